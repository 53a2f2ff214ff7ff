//! From a row of Kamailio's tables to a row of ours, or why not.

mod unfit;

#[cfg(test)]
mod tests;

use events::Registry;
use sip::bound::{self, AddressBound, Bound};
use sip::header::NameAddr;
use sip::{Aor, Scheme, Uri};
use sql::{
    ImportedDecision, ImportedDialog, ImportedDocument, ImportedPublication, KamailioDecision,
    KamailioDialog, KamailioDocument, KamailioPublication,
};

pub use unfit::{NoProxy, Unfit};

/// A CSeq must stay below 2^31 (RFC 3261 section 8.1.1.5); a dialog needs some more of them.
const MAX_CSEQ: i64 = (1 << 31) - 1;
/// Epoch second that means never.
const NEVER: i64 = -1;

/// What the conversion depends on, besides the row. What it leaves out is no error: each row that cannot be taken over has its reason.
#[derive(Debug)]
pub struct Converter<'a> {
    /// The event packages that are served here.
    pub registry: &'a Registry,
    /// `sip_uri_match` = 1.
    pub fold_case: bool,
    /// `server_address`: our Contact, in place of Kamailio's.
    pub local_contact: Option<String>,
    /// A route before all others.
    pub route: Option<String>,
    /// A NOTIFY is due for each dialog.
    pub notify: bool,
    /// CSeq numbers to leave unused.
    pub cseq_gap: i64,
}

impl Converter<'_> {
    /// A row of `presentity`.
    ///
    /// # Errors
    /// Says why it cannot be taken over.
    pub fn publication(&self, row: KamailioPublication) -> Result<ImportedPublication, Unfit> {
        let package = self.registry.find_name(&row.event);
        let package = package.ok_or_else(|| Unfit::NotServed(row.event.clone()))?;
        in_time(row.expires, row.now)?;
        if row.etag.is_empty() {
            return Err(Unfit::Without("entity-tag"));
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
            .map_err(|_| Unfit::Not("body", "a document of that event package"))?;
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

    /// A row of `active_watchers`.
    ///
    /// The CSeq: Kamailio's transaction layer puts one more on the wire than the presence module hands down, and the column
    /// has what was handed down last. Initially it is 0: a notifier process adds one first (the first NOTIFY has CSeq 2,
    /// the column then 1), a SIP worker does not (CSeq 1, column 0). So the last NOTIFY had the column's number and one
    /// more, in both ways, and before the first NOTIFY of a notifier nothing up to that number is lost by leaving it out.
    /// A process that was stopped between sending and committing has used one more than its row says.
    ///
    /// # Errors
    /// Says why it cannot be taken over.
    pub fn dialog(&self, row: KamailioDialog) -> Result<ImportedDialog, Unfit> {
        self.registry
            .find_name(&row.event)
            .ok_or_else(|| Unfit::NotServed(row.event.clone()))?;
        let status = match row.status {
            1 => 1,
            2 => 2,
            4 => 4,
            3 => return Err(Unfit::Ended),
            other => return Err(Unfit::Status(other)),
        };
        in_time(row.expires, row.now)?;
        for (name, text) in [
            ("Call-ID", &row.call_id),
            ("to_tag", &row.to_tag),
            ("from_tag", &row.from_tag),
        ] {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(Unfit::Invalid(name));
            }
        }
        let local_cseq = row
            .local_cseq
            .checked_add(1 + self.cseq_gap + i64::from(row.interrupted));
        let local_cseq = local_cseq.filter(|cseq| (1..MAX_CSEQ).contains(cseq));
        let local_cseq = local_cseq.ok_or(Unfit::NoMoreCseq)?;
        if !(0..=MAX_CSEQ).contains(&row.remote_cseq) {
            return Err(Unfit::Invalid("remote_cseq"));
        }
        let contact = target(&row.contact).ok_or(Unfit::Not("contact", "a SIP URI"))?;
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
                return Err(Unfit::Not("record_route", "a list of SIP URIs"));
            }
        }
        let local_uri = address(&row.to_user, &row.to_domain).ok_or(Unfit::Invalid("to_user"))?;
        let remote_uri =
            address(&row.from_user, &row.from_domain).ok_or(Unfit::Invalid("from_user"))?;
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

    /// A row of `watchers`.
    ///
    /// # Errors
    /// Says why it cannot be taken over.
    pub fn decision(&self, row: KamailioDecision) -> Result<ImportedDecision, Unfit> {
        let status = i16::try_from(row.status)
            .ok()
            .filter(|status| (1..=4).contains(status));
        let status = status.ok_or(Unfit::Status(row.status))?;
        if row.event.is_empty() {
            return Err(Unfit::NoPackage);
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

    /// A row of `xcap`.
    ///
    /// # Errors
    /// Says why it cannot be taken over.
    pub fn document(&self, row: KamailioDocument) -> Result<ImportedDocument, Unfit> {
        if row.doc_uri.is_empty() {
            return Err(Unfit::Without("address"));
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

    fn presentity(&self, uri: &str) -> Result<Aor, Unfit> {
        self.canonical(&bound::URI, "presentity", uri)
    }

    /// A watcher as our own SUBSCRIBEs would have stored it, so that decisions meet subscriptions.
    fn watcher(&self, user: &str, domain: &str) -> Result<Aor, Unfit> {
        let uri = match (user, domain) {
            ("", domain) => format!("sip:{domain}"),
            (number, "") => format!("tel:{number}"),
            (user, domain) => format!("sip:{user}@{domain}"),
        };
        self.canonical(&bound::WATCHER, "watcher", &uri)
    }

    fn canonical(&self, bound: &AddressBound, who: &'static str, uri: &str) -> Result<Aor, Unfit> {
        let aor = Uri::parse(uri).and_then(|uri| Aor::within(bound, &uri, self.fold_case));
        aor.map_err(|fault| match bound.is_exceeded(&fault) {
            true => Unfit::TooLong(fault.reason),
            false => Unfit::Not(who, "a URI of a user"),
        })
    }
}

/// Whether the tables can hold these texts.
fn within(texts: &[(&Bound, &str)]) -> Result<(), Unfit> {
    texts
        .iter()
        .try_for_each(|(bound, text)| bound.check(text))
        .map_err(Unfit::TooLong)
}

/// A proxy's URI as a route: in brackets, and loose (RFC 3261 section 19.1.1).
///
/// # Errors
/// For what is no such URI.
pub fn route(uri: &str) -> Result<String, NoProxy> {
    match Uri::parse(uri) {
        Ok(parsed) if is_sip(&parsed) && parsed.is_loose_route() => Ok(format!("<{uri}>")),
        Ok(parsed) if is_sip(&parsed) && parsed.headers.is_none() => Ok(format!("<{uri};lr>")),
        _ => Err(NoProxy(uri.to_owned())),
    }
}

fn in_time(expires: i64, now: i64) -> Result<(), Unfit> {
    if expires == NEVER || expires > now {
        Ok(())
    } else if expires < 0 {
        Err(Unfit::Not("expires", "a time"))
    } else {
        Err(Unfit::Expired(now - expires))
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
