//! Table tests: a raw PUBLISH and what it asks for.

use super::*;
use crate::policy::MinExpiresAction;

const BODY: &str =
    "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"e\"><tuple id=\"t\"/></presence>";
const PIDF: &str = "Content-Type: application/pidf+xml\r\n";

fn raw(uri: &str, headers: &str, body: &str) -> Vec<u8> {
    format!(
        "PUBLISH {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:bob@example.org>;tag=f1\r\n\
         To: <sip:bob@example.org>\r\n\
         Call-ID: c1@192.0.2.1\r\n\
         CSeq: 7 PUBLISH\r\n\
         {headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn parse(bytes: Vec<u8>) -> Request {
    let limits = sip::Limits {
        message_bytes: 1 << 20,
        body_bytes: 1 << 20,
        ..sip::Limits::default()
    };
    match sip::parse_datagram(bytes, &limits).unwrap() {
        sip::Message::Request(request) => request,
        sip::Message::Response(_) => panic!("a response"),
    }
}

fn decide_by(policy: &Policy, bytes: Vec<u8>) -> Result<PublishIntent, PublishReject> {
    let request = parse(bytes);
    let sound = request.check_mandatory();
    sound.map_err(|fault| PublishReject::BadRequest(fault.reason))?;
    decide(
        &request,
        &Registry::standard(),
        policy,
        &Secret::new(b"secret"),
    )
}

fn decided(headers: &str, body: &str) -> Result<PublishIntent, PublishReject> {
    decide_by(
        &Policy::default(),
        raw("sip:bob@example.org", headers, body),
    )
}

fn created(uri: &str, headers: &str) -> NewPublication {
    let headers = format!("Event: presence\r\n{PIDF}{headers}");
    match decide_by(&Policy::default(), raw(uri, &headers, BODY)) {
        Ok(PublishIntent::Create(new)) => new,
        other => panic!("{other:?}"),
    }
}

fn changed(headers: &str, body: &str) -> PublicationChange {
    match decided(&format!("Event: presence\r\n{headers}"), body) {
        Ok(PublishIntent::Change(change)) => change,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_initial_publish_creates() {
    let new = created("sip:bob@Example.ORG:5070;transport=tcp", "Expires: 600\r\n");
    assert_eq!(new.aor.uri(), "sip:bob@example.org");
    assert_eq!(new.event, "presence");
    assert_eq!(new.granted_s, 600);
    assert_eq!(new.content_type, "application/pidf+xml");
    assert_eq!(new.body, BODY);
    assert_eq!(new.sender, "");
    assert!(
        new.entity_tag.len() >= 16
            && new
                .entity_tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    );

    // Nothing asked: the package's default. More than allowed: the most. Nothing at all: nothing.
    assert_eq!(created("sip:bob@example.org", "").granted_s, 3600);
    assert_eq!(
        created("sip:bob@example.org", "Expires: 4294967295\r\n").granted_s,
        3600
    );
    assert_eq!(
        created("sip:bob@example.org", "Expires: 0\r\n").granted_s,
        0
    );
    assert_eq!(created("tel:+1-555-0100", "").aor.uri(), "tel:+15550100");
    assert_eq!(
        created("sips:bob@example.org", "").aor.uri(),
        "sip:bob@example.org"
    );
}

#[test]
fn parameters_of_event_are_no_reason_to_refuse() {
    for event in ["presence;id=7", "presence ; x=\"y\"", "presence;sla"] {
        assert!(
            decided(&format!("Event: {event}\r\n{PIDF}"), BODY).is_ok(),
            "{event}"
        );
    }
}

#[test]
fn a_later_publish_changes() {
    let content_type = "application/pidf+xml".to_owned();
    for (headers, body, kind, granted_s) in [
        ("SIP-If-Match: e1\r\n", "", ChangeKind::Refresh, 3600),
        (
            "SIP-If-Match:  e1 \r\nExpires: 60\r\n",
            "",
            ChangeKind::Refresh,
            60,
        ),
        (
            "SIP-If-Match: e1\r\nExpires: 0\r\n",
            "",
            ChangeKind::Remove,
            0,
        ),
        // A body of whatever kind means nothing to a removal.
        (
            "SIP-If-Match: e1\r\nExpires: 0\r\n",
            "gone",
            ChangeKind::Remove,
            0,
        ),
        (
            "SIP-If-Match: e1\r\nExpires: 60\r\nContent-Type: Application/PIDF+xml;charset=\"UTF-8\"\r\n",
            BODY,
            ChangeKind::Modify {
                content_type,
                body: Bytes::from_static(BODY.as_bytes()),
                note: BodyNote::default(),
            },
            60,
        ),
    ] {
        let change = changed(headers, body);
        assert_eq!(
            (&change.kind, change.granted_s, change.if_match.as_str()),
            (&kind, granted_s, "e1"),
            "{headers}"
        );
    }
    // One that we cannot have issued is for the database to miss (412), not for us to choke on.
    assert_eq!(
        changed("SIP-If-Match: \"quoted/1.2\"\r\n", "").if_match,
        "\"quoted/1.2\""
    );
}

const DIALOGS: &str = "<dialog-info xmlns='urn:ietf:params:xml:ns:dialog-info' version='0' state='full' \
    entity='sip:bob@example.org'><dialog id='1'><state>trying</state></dialog></dialog-info>";

fn line_published(registry: &Registry, headers: &str) -> PublishIntent {
    let headers =
        format!("Event: dialog;sla\r\nContent-Type: application/dialog-info+xml\r\n{headers}");
    let request = parse(raw("sip:bob@example.org", &headers, DIALOGS));
    decide(
        &request,
        registry,
        &Policy::default(),
        &Secret::new(b"secret"),
    )
    .unwrap()
}

#[test]
fn a_shared_line_keeps_its_entity_tag() {
    let registry = Registry::standard();
    match line_published(
        &registry,
        "SIP-If-Match: e1\r\nContact: <sip:phone@192.0.2.1>\r\n",
    ) {
        PublishIntent::Change(change) => {
            assert_eq!(change.if_match, "e1");
            assert_eq!(change.tag_change, TagChange::Kept);
            // It names the request all the same.
            assert_ne!(change.entity_tag, "e1");
            assert_eq!(change.sender.as_deref(), Some("sip:phone@192.0.2.1"));
            let ChangeKind::Modify { note, .. } = change.kind else {
                panic!("{:?}", change.kind)
            };
            assert!(note.has_dialog && note.ended.is_empty());
        }
        other => panic!("{other:?}"),
    }
    match decided(
        &format!("Event: presence\r\n{PIDF}SIP-If-Match: e1\r\n"),
        BODY,
    )
    .unwrap()
    {
        PublishIntent::Change(change) => {
            assert_ne!(change.entity_tag, "e1");
            assert_eq!(change.tag_change, TagChange::Renewed);
            assert_eq!(change.sender, None);
        }
        other => panic!("{other:?}"),
    }
}

/// Kamailio's documentation: "It should be taken from the Sender header. It was left at the decision of the administrator".
#[test]
fn who_published_a_shared_line_is_the_contact_or_a_trusted_sender() {
    let mut options = crate::PackageOptions::default();
    let sender_of = |registry: &Registry| {
        let headers =
            "Sender: \"P\" <sip:phone@198.51.100.1>\r\nContact: <sip:phone@192.0.2.1;ob>\r\n";
        match line_published(registry, headers) {
            PublishIntent::Create(new) => new.sender,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(
        sender_of(&Registry::new(&options).unwrap()),
        "sip:phone@192.0.2.1;ob"
    );
    options.sla.trust_sender = true;
    assert_eq!(
        sender_of(&Registry::new(&options).unwrap()),
        "sip:phone@198.51.100.1"
    );
    assert_eq!(
        created("sip:bob@example.org", "Contact: <sip:x@y>\r\n").sender,
        ""
    );
}

/// RFC 4235 section 3.7.1: what a body calls terminated is to be remembered.
#[test]
fn the_ends_of_a_body_go_with_it() {
    let ends = |event: &str, state: &str| {
        let body = DIALOGS.replace("trying", state);
        let headers = format!("Event: {event}\r\nContent-Type: application/dialog-info+xml\r\n");
        match decided(&headers, &body).unwrap() {
            PublishIntent::Create(new) => new.note.ended.len(),
            other => panic!("{other:?}"),
        }
    };
    for event in ["dialog", "dialog;sla"] {
        assert_eq!(ends(event, "confirmed"), 0, "{event}");
        assert_eq!(ends(event, "terminated"), 1, "{event}");
    }
}

#[test]
fn every_package_takes_its_own_type() {
    for (event, kind, body) in [
        ("dialog", "application/dialog-info+xml", DIALOGS),
        (
            "message-summary",
            "application/simple-message-summary",
            "Messages-Waiting: yes\r\n",
        ),
        ("ua-profile", "text/xml", "<p/>"),
    ] {
        let headers = |kind: &str| format!("Event: {event}\r\nContent-Type: {kind}\r\n");
        assert!(decided(&headers(kind), body).is_ok(), "{event}");
        match decided(&headers("application/pidf+xml"), BODY) {
            Err(PublishReject::UnsupportedBody { accept }) => assert!(accept.contains(kind)),
            other => panic!("{event}: {other:?}"),
        }
    }
}

#[test]
fn every_rejection_has_its_request() {
    use PublishReject as R;
    let event = "Event: presence\r\n";
    let refused = |headers: String, body: &str, expected: R| {
        assert_eq!(decided(&headers, body), Err(expected), "{headers}");
    };
    refused(String::new(), BODY, R::UnknownEvent);
    for name in ["Presence", "lamp", "presence.winfo", "dialog.winfo"] {
        refused(format!("Event: {name}\r\n{PIDF}"), BODY, R::UnknownEvent);
    }
    refused(
        format!("{event}{PIDF}Require: foo, eventlist\r\nRequire: bar\r\n"),
        BODY,
        R::BadExtension {
            unsupported: ["foo", "eventlist", "bar"].map(str::to_owned).to_vec(),
        },
    );
    for line in [
        "SIP-If-Match: a, b",
        "SIP-If-Match: a b",
        "SIP-If-Match: ",
        "SIP-If-Match: a\r\nSIP-If-Match: a",
        "SIP-If-Match: \u{e9}",
    ] {
        refused(
            format!("{event}{line}\r\n"),
            "",
            R::BadRequest("Bad SIP-If-Match"),
        );
    }
    refused(event.to_owned(), "", R::BadRequest("Missing Body"));
    refused(
        event.to_owned(),
        BODY,
        R::BadRequest("Missing Content-Type"),
    );
    for contradiction in [
        "Expires: 1\r\nExpires: 2\r\n",
        "SIP-If-Match: a\r\nSIP-If-Match: b\r\n",
        "Event: dialog\r\n",
    ] {
        let result = decided(&format!("{event}{PIDF}{contradiction}"), BODY);
        assert!(
            matches!(result, Err(R::BadRequest(_))),
            "{contradiction}: {result:?}"
        );
    }
    refused(
        format!("{event}Content-Type: multipart/related;boundary=x\r\n"),
        BODY,
        R::BadRequest("Body Parts Do Not End"),
    );
    for content_type in ["text/plain", "application/xml"] {
        let accept = "application/pidf+xml".to_owned();
        refused(
            format!("{event}Content-Type: {content_type}\r\n"),
            BODY,
            R::UnsupportedBody { accept },
        );
    }
    refused(
        format!("{event}{PIDF}Content-Encoding: br\r\n"),
        BODY,
        R::UnsupportedEncoding,
    );
    refused(
        format!("{event}{PIDF}Content-Encoding: identity\r\nContent-Encoding: identity\r\n"),
        BODY,
        R::UnsupportedEncoding,
    );
    refused(
        format!("{event}{PIDF}Content-Encoding: gzip\r\n"),
        BODY,
        R::BodyRefused(BodyFault::BadCoding),
    );
    assert!(
        decided(
            &format!("{event}{PIDF}Content-Encoding: identity\r\n"),
            BODY
        )
        .is_ok()
    );
    for (body, fault) in [
        ("hello", BodyFault::NotWellFormed),
        ("<html/>", BodyFault::WrongRoot),
        ("<!DOCTYPE a><a/>", BodyFault::HasDtd),
        ("<presence>&#xD800;</presence>", BodyFault::NotWellFormed),
    ] {
        refused(format!("{event}{PIDF}"), body, R::BodyRefused(fault));
        refused(
            format!("{event}{PIDF}SIP-If-Match: e1\r\n"),
            body,
            R::BodyRefused(fault),
        );
    }
    let large = format!("<a>{}</a>", "x".repeat(crate::document::xml::MAX_BYTES));
    refused(format!("{event}{PIDF}"), &large, R::BodyTooLarge);
}

#[test]
fn malformed_expires_is_never_taken_for_zero() {
    for value in [
        "abc",
        "-1",
        "",
        "4294967296",
        "99999999999999999999",
        "60 s",
        "0x10",
    ] {
        for more in ["", "SIP-If-Match: e1\r\n"] {
            let headers = format!("Event: presence\r\n{PIDF}Expires: {value}\r\n{more}");
            assert!(
                matches!(decided(&headers, BODY), Err(PublishReject::BadRequest(_))),
                "{value}"
            );
        }
    }
}

#[test]
fn the_request_uri_must_name_a_presentity() {
    let headers = format!("Event: presence\r\n{PIDF}");
    for uri in [
        "http://example.org/bob",
        "urn:service:sos",
        "pres:bob@example.org",
    ] {
        let result = decide_by(&Policy::default(), raw(uri, &headers, BODY));
        assert_eq!(result, Err(PublishReject::UnsupportedScheme), "{uri}");
    }
    for uri in ["sip:", "sip:bob@", "sip:bob@[::1"] {
        let result = decide_by(&Policy::default(), raw(uri, &headers, BODY));
        assert!(
            matches!(result, Err(PublishReject::BadRequest(_))),
            "{uri}: {result:?}"
        );
    }
}

#[test]
fn mandatory_headers_are_mandatory() {
    let whole = String::from_utf8(raw(
        "sip:bob@example.org",
        &format!("Event: presence\r\n{PIDF}"),
        BODY,
    ))
    .unwrap();
    for (from, to) in [
        ("To: <sip:bob@example.org>\r\n", ""),
        ("Call-ID: c1@192.0.2.1\r\n", ""),
        ("CSeq: 7 PUBLISH", "CSeq: 2147483648 PUBLISH"),
        ("CSeq: 7 PUBLISH", "CSeq: 7 SUBSCRIBE"),
        ("CSeq: 7 PUBLISH", "CSeq: x PUBLISH"),
        ("Event: presence", "Event: ;"),
    ] {
        assert!(whole.contains(from));
        let bytes = whole.replacen(from, to, 1).into_bytes();
        let request = parse(bytes);
        // As the server does it.
        let checked = request.check_mandatory();
        let checked = checked.map_err(|_| PublishReject::BadRequest("mandatory headers"));
        let result = checked.and_then(|()| {
            decide(
                &request,
                &Registry::standard(),
                &Policy::default(),
                &Secret::new(b"secret"),
            )
        });
        assert!(
            matches!(result, Err(PublishReject::BadRequest(_))),
            "{from} -> {to}: {result:?}"
        );
    }
}

#[test]
fn the_policy_is_obeyed() {
    let publish = |policy: &Policy, expires: &str| {
        decide_by(
            policy,
            raw(
                "sip:BOB@example.org",
                &format!("Event: presence\r\n{PIDF}{expires}"),
                BODY,
            ),
        )
    };
    let granted = |policy: &Policy, expires: &str| match publish(policy, expires) {
        Ok(PublishIntent::Create(new)) => new.granted_s,
        other => panic!("{other:?}"),
    };
    let refuse = Policy {
        min_expires_s: 60,
        max_expires_s: 600,
        ..Policy::default()
    };
    assert_eq!(
        publish(&refuse, "Expires: 59\r\n"),
        Err(PublishReject::IntervalTooBrief { min_s: 60 })
    );
    assert_eq!(granted(&refuse, "Expires: 60\r\n"), 60);
    assert_eq!(granted(&refuse, ""), 600);
    let raise = Policy {
        min_expires_action: MinExpiresAction::Raise,
        ..refuse
    };
    assert_eq!(granted(&raise, "Expires: 59\r\n"), 60);
    let fold = Policy {
        fold_case: true,
        ..Policy::default()
    };
    for (policy, uri) in [
        (&fold, "sip:bob@example.org"),
        (&Policy::default(), "sip:BOB@example.org"),
    ] {
        let Ok(PublishIntent::Create(new)) = publish(policy, "") else {
            panic!()
        };
        assert_eq!(new.aor.uri(), uri);
    }
}

#[test]
fn the_entity_tag_is_the_same_for_a_retransmission_and_for_nothing_else() {
    let base = String::from_utf8(raw(
        "sip:bob@example.org",
        &format!("Event: presence\r\n{PIDF}"),
        BODY,
    ))
    .unwrap();
    let tag = |text: &str, secret: &[u8]| match decide(
        &parse(text.to_owned().into_bytes()),
        &Registry::standard(),
        &Policy::default(),
        &Secret::new(secret),
    ) {
        Ok(PublishIntent::Create(new)) => new.entity_tag,
        other => panic!("{other:?}"),
    };
    let first = tag(&base, b"s");
    assert_eq!(first, tag(&base, b"s"));
    // It may come by another way, through another server's name.
    for (from, to) in [
        ("Via: ", "Via: SIP/2.0/TCP edge;branch=z9hG4bKe1\r\nVia: "),
        ("Via: ", "Via: SIP/2.0/TCP edge;branch=z9hG4bKe2, "),
        (
            ";branch=z9hG4bK1",
            ";rport=9;received=192.0.2.7;branch=z9hG4bK1",
        ),
        ("sip:bob@example.org SIP", "sip:bob@EXAMPLE.org;x SIP"),
    ] {
        assert_eq!(first, tag(&base.replacen(from, to, 1), b"s"), "{from}");
    }
    let mut others = vec![first, tag(&base, b"another secret")];
    for (from, to) in [
        ("branch=z9hG4bK1", "branch=z9hG4bK2"),
        ("branch=z9hG4bK1", "branch=z9hg4bk1"),
        ("192.0.2.1:5060", "192.0.2.1:5062"),
        ("192.0.2.1:5060", "192.0.2.2:5060"),
        ("CSeq: 7", "CSeq: 8"),
        ("tag=f1", "tag=f2"),
        ("c1@", "c2@"),
        ("sip:bob@example.org SIP", "sip:eve@example.org SIP"),
    ] {
        assert!(base.contains(from));
        others.push(tag(&base.replacen(from, to, 1), b"s"));
    }
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), count);
}

/// RFC 3261 section 17.2.3: the sent-by is compared as a host, and the branch as it is.
#[test]
fn a_host_is_the_same_in_any_case() {
    let named = |host: &str| {
        let bytes = raw(
            "sip:bob@example.org",
            &format!("Event: presence\r\n{PIDF}"),
            BODY,
        );
        let text = String::from_utf8(bytes).unwrap();
        text.replacen("192.0.2.1:5060", host, 1).into_bytes()
    };
    let tag = |host| match decide_by(&Policy::default(), named(host)) {
        Ok(PublishIntent::Create(new)) => new.entity_tag,
        other => panic!("{other:?}"),
    };
    assert_eq!(tag("Phone.example.org"), tag("phone.EXAMPLE.org"));
    assert_ne!(tag("phone.example.org"), tag("phone.example.com"));
}

/// A branch from before RFC 3261, or none, may come again for another request: its words count as well.
#[test]
fn without_the_magic_cookie_the_body_and_expires_count() {
    for branch in [";branch=1", ""] {
        let tag = |expires: &str, body: &str| {
            let headers = format!("Event: presence\r\n{PIDF}Expires: {expires}\r\n");
            let text = String::from_utf8(raw("sip:bob@example.org", &headers, body)).unwrap();
            let text = text.replacen(";branch=z9hG4bK1", branch, 1);
            match decide_by(&Policy::default(), text.into_bytes()) {
                Ok(PublishIntent::Create(new)) => new.entity_tag,
                other => panic!("{other:?}"),
            }
        };
        let first = tag("600", BODY);
        assert_eq!(first, tag("600", BODY), "{branch}");
        let other = BODY.replace("\"t\"", "\"u\"");
        assert_ne!(first, tag("600", &other), "{branch}");
        assert_ne!(first, tag("601", BODY), "{branch}");
    }
}

/// A device may send all of its changes from one template: what it changes makes them different.
#[test]
fn the_entity_tag_of_a_change_depends_on_the_one_before() {
    let tag =
        |if_match: &str| changed(&format!("SIP-If-Match: {if_match}\r\n{PIDF}"), BODY).entity_tag;
    assert_eq!(tag("e1"), tag("e1"));
    assert_ne!(tag("e1"), tag("e2"));
}

#[test]
fn a_tag_begins_with_the_home_of_its_presentity() {
    for uri in ["sip:bob@example.org", "sip:eve@example.org", "tel:+441234"] {
        let tag = created(uri, "").entity_tag;
        assert!(tag.starts_with(&sip::token::home(uri)), "{uri} {tag}");
    }
}

/// All entity-tags of a publication say who published first, by what a device keeps when it restarts.
#[test]
fn a_tag_tells_who_published_first() {
    let source = |tag: &str| {
        let tag = sip::token::EntityTag::read(tag).expect("it is ours");
        tag.source.expect("it tells").to_owned()
    };
    let tag = |headers: &str, from: &str, to: &str| {
        let headers = format!("Event: presence\r\n{headers}{PIDF}");
        let text = String::from_utf8(raw("sip:bob@example.org", &headers, BODY)).unwrap();
        assert!(text.contains(from));
        match decide_by(&Policy::default(), text.replace(from, to).into_bytes()) {
            Ok(PublishIntent::Create(new)) => new.entity_tag,
            Ok(PublishIntent::Change(change)) => change.entity_tag,
            Err(reject) => panic!("{reject:?}"),
        }
    };
    let first = tag("", "c1@", "c1@");
    assert_eq!(source(&first), sip::token::source("192.0.2.1:5060"));
    assert_eq!(first.len(), 33);
    // It restarted; it is somebody else.
    assert_eq!(source(&tag("", "c1@", "c2@")), source(&first));
    let elsewhere = |headers: &str| tag(headers, "192.0.2.1:5060", "192.0.2.1:5062");
    assert_ne!(source(&elsewhere("")), source(&first));
    let change = |tag: &str| elsewhere(&format!("SIP-If-Match: {tag}\r\n"));
    let second = change(&first);
    assert_eq!(source(&second), source(&first));
    assert_eq!(source(&change(&second)), source(&first));
    assert_eq!(
        source(&change(&format!("{first}.1700000000"))),
        source(&first)
    );
    // A tag of an older version, or of another server, does not say it: the next one says who changes it.
    for untold in [format!("wd{}", "a".repeat(26)), "a.17.12.5.0".to_owned()] {
        assert_eq!(source(&change(&untold)), source(&elsewhere("")));
    }
}

/// The end of what has no call-id is remembered as its publisher's.
#[test]
fn an_end_without_a_call_id_is_kept_with_its_publisher() {
    let ended = |event: &str, headers: &str, port: &str, body: &str| {
        let headers =
            format!("Event: {event}\r\n{headers}Content-Type: application/dialog-info+xml\r\n");
        let body = body.replace("trying", "terminated");
        let text = String::from_utf8(raw("sip:bob@example.org", &headers, &body)).unwrap();
        let text = text.replace("192.0.2.1:5060", &format!("192.0.2.1:{port}"));
        match decide_by(&Policy::default(), text.into_bytes()) {
            Ok(PublishIntent::Create(new)) => (new.note.ended, new.entity_tag),
            Ok(PublishIntent::Change(PublicationChange {
                kind: ChangeKind::Modify { note, .. },
                entity_tag,
                ..
            })) => (note.ended, entity_tag),
            other => panic!("{other:?}"),
        }
    };
    let (first, tag) = ended("dialog", "", "5060", DIALOGS);
    let (other, _) = ended("dialog", "", "5062", DIALOGS);
    assert_eq!((first.len(), other.len()), (1, 1));
    assert_ne!(first, other);
    let if_match = format!("SIP-If-Match: {tag}\r\n");
    let (moved, _) = ended("dialog", &if_match, "5062", DIALOGS);
    assert_eq!(moved, first, "all of a publication are one publisher's");
    // A shared line keeps its tag, and so its publisher, even one that the tag does not tell.
    let old = format!("SIP-If-Match: wd{}\r\n", "a".repeat(26));
    let shared = |headers: &str, port: &str| ended("dialog;sla", headers, port, DIALOGS).0;
    assert_eq!(shared(&old, "5060"), shared(&old, "5062"));
    assert_ne!(shared(&old, "5060"), shared("", "5060"));
    let named = DIALOGS.replace("id='1'", "id='1' call-id='c'");
    let (one, _) = ended("dialog", "", "5060", &named);
    assert_eq!(one, ended("dialog", "", "5062", &named).0);
    // A program has one publication only: what it says next is newer than its own end.
    let registry = Registry::standard();
    let dialog = registry.find_name("dialog").unwrap();
    let over = DIALOGS.replace("trying", "terminated");
    let note = dialog.note(over.as_bytes(), Publisher::Row(0)).unwrap();
    assert!(note.ended.is_empty());
}

#[test]
fn what_is_too_long_is_named() {
    let long = |count| "x".repeat(count);
    let reject = |uri: &str, headers: &str| {
        let headers = format!("Event: presence\r\n{headers}");
        decide_by(&Policy::default(), raw(uri, &headers, BODY)).map(|_| ())
    };
    for (uri, reason) in [
        (
            format!("sip:{}@h", long(256)),
            "User Of Request-URI Longer Than 255 Octets",
        ),
        (
            format!("sip:a@{}", long(256)),
            "Domain Of Request-URI Longer Than 255 Octets",
        ),
    ] {
        assert_eq!(reject(&uri, PIDF), Err(PublishReject::UriTooLong(reason)));
    }
    assert_eq!(
        reject(&format!("sip:{0}@{0}", long(255)), PIDF),
        Ok(()),
        "within the bounds"
    );
    let bob = "sip:bob@example.org";
    for (headers, reason) in [
        (
            format!("SIP-If-Match: {}\r\n{PIDF}", long(256)),
            "SIP-If-Match Longer Than 255 Octets",
        ),
        (
            format!("Content-Type: a/{}\r\n", long(254)),
            "Content-Type Longer Than 255 Octets",
        ),
    ] {
        assert_eq!(
            reject(bob, &headers),
            Err(PublishReject::BadRequest(reason))
        );
    }
    let sender = format!("sip:a@h;p={}", long(1024));
    assert_eq!(sender_uri(&sender), Err("Sender Longer Than 1024 Octets"));
}
