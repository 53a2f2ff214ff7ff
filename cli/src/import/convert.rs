//! From a row of Kamailio's to a row of ours, or why not. Pure.

use events::Registry;
use sip::bound::{self, AddressBound, Bound};
use sip::header::NameAddr;
use sip::{Aor, Scheme, Uri};
use sql::{
    ImportedDecision, ImportedDialog, ImportedDocument, ImportedPublication, KamailioDecision,
    KamailioDialog, KamailioDocument, KamailioPublication,
};

/// A CSeq must stay below 2^31 (RFC 3261 section 8.1.1.5); a dialog needs some more of them.
const MAX_CSEQ: i64 = (1 << 31) - 1;
/// Epoch second that means never.
const NEVER: i64 = -1;

/// What the conversion depends on, besides the row.
pub(super) struct Converter<'a> {
    /// The event packages that are served here.
    pub(super) registry: &'a Registry,
    /// `sip_uri_match` = 1.
    pub(super) fold_case: bool,
    /// `server_address`: our Contact, in place of Kamailio's.
    pub(super) local_contact: Option<String>,
    /// A route before all others.
    pub(super) route: Option<String>,
    /// A NOTIFY is due for each dialog.
    pub(super) notify: bool,
    /// CSeq numbers to leave unused.
    pub(super) cseq_gap: i64,
}

impl Converter<'_> {
    pub(super) fn publication(
        &self,
        row: KamailioPublication,
    ) -> Result<ImportedPublication, String> {
        let package = self.registry.find_name(&row.event);
        let package = package.ok_or_else(|| not_served(&row.event))?;
        in_time(row.expires, row.now)?;
        if row.etag.is_empty() {
            return Err("it has no entity-tag".to_owned());
        }
        let presentity = match row.username.as_str() {
            "" => format!("sip:{}", row.domain),
            user => format!("sip:{user}@{}", row.domain),
        };
        let presentity = self.presentity(&presentity)?;
        within(&[
            (&bound::EVENT, &row.event),
            (&bound::IF_MATCH, &row.etag),
            (&bound::SENDER, &row.sender),
        ])?;
        package
            .check(&row.body)
            .map_err(|_| "its body is not a document of that event package".to_owned())?;
        Ok(ImportedPublication {
            source_id: row.id,
            presentity_uri: presentity.uri(),
            username: presentity.username,
            domain: presentity.domain,
            event: row.event,
            etag: row.etag,
            expires: row.expires,
            received_time: row.received_time.max(0),
            body: row.body,
            sender: row.sender,
            priority: row.priority,
        })
    }

    /// The CSeq: Kamailio's transaction layer puts one more on the wire than the presence module hands down, and the column
    /// has what was handed down last. Initially it is 0: a notifier process adds one first (the first NOTIFY has CSeq 2,
    /// the column then 1), a SIP worker does not (CSeq 1, column 0). So the last NOTIFY had the column's number and one
    /// more, in both ways, and before the first NOTIFY of a notifier nothing up to that number is lost by leaving it out.
    /// A process that was stopped between sending and committing has used one more than its row says.
    pub(super) fn dialog(&self, row: KamailioDialog) -> Result<ImportedDialog, String> {
        self.registry
            .find_name(&row.event)
            .ok_or_else(|| not_served(&row.event))?;
        let status = match row.status {
            1 => 1,
            2 => 2,
            4 => 4,
            3 => return Err("it has ended".to_owned()),
            other => return Err(format!("there is no status {other}")),
        };
        in_time(row.expires, row.now)?;
        for (name, text) in [
            ("Call-ID", &row.call_id),
            ("to_tag", &row.to_tag),
            ("from_tag", &row.from_tag),
        ] {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("its {name} is not valid"));
            }
        }
        let local_cseq = row
            .local_cseq
            .checked_add(1 + self.cseq_gap + i64::from(row.interrupted));
        let local_cseq = local_cseq.filter(|cseq| (1..MAX_CSEQ).contains(cseq));
        let local_cseq = local_cseq.ok_or("its local_cseq is not valid, or at its maximum")?;
        if !(0..=MAX_CSEQ).contains(&row.remote_cseq) {
            return Err("its remote_cseq is not valid".to_owned());
        }
        let contact = target(&row.contact).ok_or("its contact is not a SIP URI")?;
        let route_set = self.route.iter().cloned().chain(row.record_route.clone());
        let route_set: Vec<String> = route_set.collect();
        within(&[
            (&bound::CALL_ID, &row.call_id),
            (&bound::TO_TAG, &row.to_tag),
            (&bound::FROM_TAG, &row.from_tag),
            (&bound::EVENT, &row.event),
            (&bound::EVENT_ID, &row.event_id),
            (&bound::CONTACT, &contact),
            (&bound::RECORD_ROUTE, &route_set.join(",")),
            (&bound::WATCHED_TO.user, &row.to_user),
            (&bound::WATCHED_TO.domain, &row.to_domain),
            (&bound::WATCHER_FROM.user, &row.from_user),
            (&bound::WATCHER_FROM.domain, &row.from_domain),
            (&bound::USER_AGENT, &row.user_agent),
        ])?;
        for route in &row.record_route {
            let route = NameAddr::parse(route);
            if !route.is_ok_and(|route| is_sip(&route.uri)) {
                return Err("its record_route is not a list of SIP URIs".to_owned());
            }
        }
        let local_uri = address(&row.to_user, &row.to_domain).ok_or("its to_user is not valid")?;
        let remote_uri =
            address(&row.from_user, &row.from_domain).ok_or("its from_user is not valid")?;
        let local_contact = match &self.local_contact {
            Some(ours) => ours.clone(),
            // Without one, the notifier writes its own address.
            None => target(&row.local_contact).unwrap_or_default(),
        };
        let watcher = self.watcher(&row.watcher_username, &row.watcher_domain)?;
        Ok(ImportedDialog {
            presentity_uri: self.presentity(&row.presentity_uri)?.uri(),
            event: row.event,
            event_id: row.event_id,
            watcher_username: watcher.username,
            watcher_domain: watcher.domain,
            to_user: row.to_user,
            to_domain: row.to_domain,
            from_user: row.from_user,
            from_domain: row.from_domain,
            local_uri,
            remote_uri,
            to_tag: row.to_tag,
            from_tag: row.from_tag,
            call_id: row.call_id,
            local_cseq,
            remote_cseq: row.remote_cseq,
            version: row.version.max(0),
            contact,
            record_route: route_set,
            expires: row.expires,
            granted_s: match row.expires {
                NEVER => 0,
                expires => expires - row.now,
            },
            status,
            reason: row.reason,
            local_contact,
            socket_info: row.socket_info,
            flags: row.flags,
            user_agent: row.user_agent,
            // What Kamailio's notifier has not sent, or not surely, it will not send any more.
            owed: self.notify || row.updated >= 0 || row.interrupted,
        })
    }

    pub(super) fn decision(&self, row: KamailioDecision) -> Result<ImportedDecision, String> {
        let status = i16::try_from(row.status)
            .ok()
            .filter(|status| (1..=4).contains(status));
        let status = status.ok_or_else(|| format!("there is no status {}", row.status))?;
        if row.event.is_empty() {
            return Err("it names no event package".to_owned());
        }
        let watcher = self.watcher(&row.watcher_username, &row.watcher_domain)?;
        within(&[(&bound::EVENT, &row.event)])?;
        Ok(ImportedDecision {
            presentity_uri: self.presentity(&row.presentity_uri)?.uri(),
            watcher_username: watcher.username,
            watcher_domain: watcher.domain,
            event: row.event,
            status,
            reason: row.reason,
            inserted_time: row.inserted_time,
        })
    }

    pub(super) fn document(&self, row: KamailioDocument) -> Result<ImportedDocument, String> {
        if row.doc_uri.is_empty() {
            return Err("it has no address".to_owned());
        }
        within(&[
            (&bound::URI.user, &row.username),
            (&bound::URI.domain, &row.domain),
            (&bound::DOCUMENT_ADDRESS, &row.doc_uri),
        ])?;
        Ok(ImportedDocument {
            username: row.username,
            domain: row.domain,
            doc: row.doc,
            doc_type: row.doc_type,
            etag: row.etag,
            source: row.source,
            doc_uri: row.doc_uri,
            port: row.port,
        })
    }

    fn presentity(&self, uri: &str) -> Result<Aor, String> {
        self.canonical(&bound::URI, "presentity", uri)
    }

    /// A watcher as our own SUBSCRIBEs would have stored it, so that decisions meet subscriptions.
    fn watcher(&self, user: &str, domain: &str) -> Result<Aor, String> {
        let uri = match (user, domain) {
            ("", domain) => format!("sip:{domain}"),
            (number, "") => format!("tel:{number}"),
            (user, domain) => format!("sip:{user}@{domain}"),
        };
        self.canonical(&bound::WATCHER, "watcher", &uri)
    }

    fn canonical(&self, bound: &AddressBound, who: &str, uri: &str) -> Result<Aor, String> {
        let aor = Uri::parse(uri).and_then(|uri| Aor::within(bound, &uri, self.fold_case));
        aor.map_err(|fault| match bound.is_exceeded(&fault) {
            true => fault.reason.to_owned(),
            false => format!("its {who} is not a URI of a user"),
        })
    }
}

/// Whether the tables can hold these texts.
fn within(texts: &[(&Bound, &str)]) -> Result<(), String> {
    texts
        .iter()
        .try_for_each(|(bound, text)| bound.check(text))
        .map_err(str::to_owned)
}

/// A proxy's URI as a route: in brackets, and loose (RFC 3261 section 19.1.1).
pub(super) fn route(uri: &str) -> anyhow::Result<String> {
    match Uri::parse(uri) {
        Ok(parsed) if is_sip(&parsed) && parsed.is_loose_route() => Ok(format!("<{uri}>")),
        Ok(parsed) if is_sip(&parsed) && parsed.headers.is_none() => Ok(format!("<{uri};lr>")),
        _ => anyhow::bail!("--route {uri:?} is not a SIP URI of a proxy; write sip:HOST:PORT"),
    }
}

fn not_served(event: &str) -> String {
    format!(
        "the event package {} is not served here",
        event.escape_debug()
    )
}

fn in_time(expires: i64, now: i64) -> Result<(), String> {
    if expires == NEVER || expires > now {
        Ok(())
    } else if expires < 0 {
        Err("its expires is not a time".to_owned())
    } else {
        Err(format!("it expired {} s ago", now - expires))
    }
}

fn is_sip(uri: &Uri) -> bool {
    matches!(uri.scheme, Scheme::Sip | Scheme::Sips)
}

/// A URI that a request can be sent to, without brackets.
fn target(text: &str) -> Option<String> {
    let address = NameAddr::parse(text).ok()?;
    // A bare URI's parameters are its own, and `NameAddr` would take them for the header's.
    let uri = match text.contains('<') {
        true => address.uri,
        false => Uri::parse(text.trim()).ok()?,
    };
    is_sip(&uri).then_some(uri.raw)
}

/// From or To as Kamailio builds it for a NOTIFY: without display name.
fn address(user: &str, domain: &str) -> Option<String> {
    let address = match user {
        "" => format!("<sip:{domain}>"),
        user => format!("<sip:{user}@{domain}>"),
    };
    NameAddr::parse(&address)
        .is_ok_and(|parsed| is_sip(&parsed.uri))
        .then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> KamailioDialog {
        KamailioDialog {
            id: 7,
            presentity_uri: "sip:Bob@Example.ORG".to_owned(),
            watcher_username: "alice".to_owned(),
            watcher_domain: "example.org".to_owned(),
            to_user: "Bob".to_owned(),
            to_domain: "Example.ORG".to_owned(),
            event: "presence".to_owned(),
            to_tag: "10a.b-1".to_owned(),
            from_tag: "f1".to_owned(),
            call_id: "c1@192.0.2.1".to_owned(),
            local_cseq: 4,
            remote_cseq: 11,
            contact: "sip:alice@192.0.2.1:5062;transport=udp".to_owned(),
            record_route: vec!["<sip:a;lr>".to_owned(), "<sip:b;lr>".to_owned()],
            expires: 1600,
            status: 1,
            version: 5,
            local_contact: "sip:192.0.2.9:5060".to_owned(),
            from_user: "alice".to_owned(),
            from_domain: "example.org".to_owned(),
            updated: -1,
            now: 1000,
            ..KamailioDialog::default()
        }
    }

    fn converter(registry: &Registry) -> Converter<'_> {
        Converter {
            registry,
            fold_case: false,
            local_contact: None,
            route: None,
            notify: false,
            cseq_gap: 0,
        }
    }

    #[test]
    fn a_dialog_goes_on_where_it_was() {
        let registry = Registry::standard();
        let dialog = converter(&registry).dialog(row()).unwrap();
        assert_eq!(dialog.presentity_uri, "sip:Bob@example.org");
        assert_eq!((dialog.local_cseq, dialog.version), (5, 5));
        assert_eq!(dialog.record_route, ["<sip:a;lr>", "<sip:b;lr>"]);
        assert_eq!(dialog.contact, "sip:alice@192.0.2.1:5062;transport=udp");
        assert_eq!(dialog.local_uri, "<sip:Bob@Example.ORG>");
        assert_eq!(dialog.remote_uri, "<sip:alice@example.org>");
        assert_eq!(dialog.local_contact, "sip:192.0.2.9:5060");
        assert_eq!((dialog.expires, dialog.granted_s), (1600, 600));
        assert!(!dialog.owed);

        let pending = KamailioDialog {
            updated: 12,
            ..row()
        };
        assert!(converter(&registry).dialog(pending).unwrap().owed);
        let interrupted = KamailioDialog {
            interrupted: true,
            ..row()
        };
        let dialog = converter(&registry).dialog(interrupted).unwrap();
        assert_eq!((dialog.local_cseq, dialog.owed), (6, true));
        let with_all = Converter {
            local_contact: Some("sip:new.example.org".to_owned()),
            route: Some(route("sip:edge:5070;transport=tcp").unwrap()),
            notify: true,
            cseq_gap: 1,
            fold_case: true,
            ..converter(&registry)
        };
        let dialog = with_all.dialog(row()).unwrap();
        assert_eq!((dialog.local_cseq, dialog.owed), (6, true));
        assert_eq!(dialog.local_contact, "sip:new.example.org");
        assert_eq!(dialog.presentity_uri, "sip:bob@example.org");
        let routes = [
            "<sip:edge:5070;transport=tcp;lr>",
            "<sip:a;lr>",
            "<sip:b;lr>",
        ];
        assert_eq!(dialog.record_route, routes);
        assert_eq!(route("sip:edge;lr").unwrap(), "<sip:edge;lr>");
        for bad in ["edge", "tel:+1", "sip:edge?a=b", "sip:a>b"] {
            assert!(route(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_over_or_broken_is_named() {
        let registry = Registry::standard();
        type Breaking = fn(&mut KamailioDialog);
        let table: [(Breaking, &str); 14] = [
            (|row| row.expires = 1000, "it expired 0 s ago"),
            (|row| row.expires = -5, "its expires is not a time"),
            (|row| row.status = 3, "it has ended"),
            (|row| row.status = 9, "there is no status 9"),
            (
                |row| row.event = "x\n".to_owned(),
                "the event package x\\n is not served here",
            ),
            (|row| row.call_id.clear(), "its Call-ID is not valid"),
            (
                |row| row.from_tag = "a b".to_owned(),
                "its from_tag is not valid",
            ),
            (
                |row| row.contact = "alice".to_owned(),
                "its contact is not a SIP URI",
            ),
            (
                |row| row.contact = "tel:+1".to_owned(),
                "its contact is not a SIP URI",
            ),
            (
                |row| row.record_route[0] = "<sip:a;lr".to_owned(),
                "its record_route is not a list of SIP URIs",
            ),
            (
                |row| row.to_user = "a> b".to_owned(),
                "its to_user is not valid",
            ),
            (
                |row| row.local_cseq = -1,
                "its local_cseq is not valid, or at its maximum",
            ),
            (
                |row| row.local_cseq = (1 << 31) - 2,
                "its local_cseq is not valid, or at its maximum",
            ),
            (
                |row| row.presentity_uri = "http://x".to_owned(),
                "its presentity is not a URI of a user",
            ),
        ];
        for (breaking, reason) in table {
            let mut row = row();
            breaking(&mut row);
            assert_eq!(converter(&registry).dialog(row).unwrap_err(), reason);
        }
    }

    #[test]
    fn publications_and_decisions_are_checked() {
        let registry = Registry::standard();
        let checked = converter(&registry);
        let body =
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:bob@example.org\"/>";
        let row = KamailioPublication {
            id: 3,
            username: "bob".to_owned(),
            domain: "Example.org".to_owned(),
            event: "presence".to_owned(),
            etag: "a.1.2.3.4".to_owned(),
            expires: -1,
            body: body.into(),
            now: 1000,
            ..KamailioPublication::default()
        };
        let taken = checked.publication(row.clone()).unwrap();
        assert_eq!(taken.presentity_uri, "sip:bob@example.org");
        assert_eq!((taken.source_id, taken.domain.as_str()), (3, "example.org"));
        for (row, reason) in [
            (
                KamailioPublication {
                    expires: 999,
                    ..row.clone()
                },
                "it expired 1 s ago",
            ),
            (
                KamailioPublication {
                    body: "<presence".into(),
                    ..row.clone()
                },
                "its body is not a document of that event package",
            ),
            (
                KamailioPublication {
                    etag: String::new(),
                    ..row.clone()
                },
                "it has no entity-tag",
            ),
            (
                KamailioPublication {
                    domain: "a b".to_owned(),
                    ..row
                },
                "its presentity is not a URI of a user",
            ),
        ] {
            assert_eq!(checked.publication(row).unwrap_err(), reason);
        }
        // A decision is about whom a SUBSCRIBE of the same watcher is from.
        for (user, domain, fold_case, expected) in [
            ("%45ve", "Example.ORG", false, ("Eve", "example.org")),
            ("%45VE", "example.org.", true, ("eve", "example.org")),
            ("+1-555", "", false, ("+1555", "")),
        ] {
            let decision = KamailioDecision {
                presentity_uri: "sip:bob@example.org".to_owned(),
                watcher_username: user.to_owned(),
                watcher_domain: domain.to_owned(),
                event: "presence".to_owned(),
                status: 1,
                ..KamailioDecision::default()
            };
            let converter = Converter {
                fold_case,
                ..converter(&registry)
            };
            let taken = converter.decision(decision.clone()).unwrap();
            assert_eq!(
                (
                    taken.watcher_username.as_str(),
                    taken.watcher_domain.as_str()
                ),
                expected
            );
            let nobody = KamailioDecision {
                watcher_domain: "a b".to_owned(),
                ..decision
            };
            assert_eq!(
                converter.decision(nobody).unwrap_err(),
                "its watcher is not a URI of a user"
            );
        }
        let decision = KamailioDecision {
            presentity_uri: "sip:bob@example.org".to_owned(),
            event: "presence".to_owned(),
            status: 5,
            ..KamailioDecision::default()
        };
        assert_eq!(
            checked.decision(decision).unwrap_err(),
            "there is no status 5"
        );
    }
}
