//! Table tests: a raw SUBSCRIBE and what it asks for.

use super::*;
use crate::policy::MinExpiresAction;
use crate::requester::Proof;

const CONTACT: &str = "Contact: <sip:alice@192.0.2.1:5070;transport=tcp>;expires=9\r\n";

fn raw(uri: &str, to: &str, headers: &str) -> String {
    format!(
        "SUBSCRIBE {uri} SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.1:5070;branch=z9hG4bK1\r\n\
         Max-Forwards: 70\r\n\
         From: \"Alice, A.\" <sip:%61lice@Example.ORG;x=y>;tag=f1\r\n\
         To: {to}\r\n\
         Call-ID: c1@192.0.2.1\r\n\
         CSeq: 7 SUBSCRIBE\r\n\
         {headers}Content-Length: 0\r\n\r\n"
    )
}

fn parse(bytes: Vec<u8>) -> sip::Request {
    match sip::parse_datagram(bytes, &sip::Limits::default()).unwrap() {
        sip::Message::Request(request) => request,
        sip::Message::Response(_) => panic!("a response"),
    }
}

fn decide_by(policy: &Policy, text: &str) -> Result<SubscribeIntent, SubscribeReject> {
    let request = parse(text.to_owned().into_bytes());
    let sound = request.check_mandatory();
    sound.map_err(|fault| SubscribeReject::BadRequest(fault.reason))?;
    decide(
        &request,
        &Requester::default(),
        &Registry::standard(),
        policy,
        &Secret::new(b"secret"),
    )
}

fn initial(headers: &str) -> Result<SubscribeIntent, SubscribeReject> {
    decide_by(
        &Policy::default(),
        &raw("sip:bob@example.org", "<sip:bob@example.org>", headers),
    )
}

fn within(headers: &str) -> Result<SubscribeIntent, SubscribeReject> {
    decide_by(
        &Policy::default(),
        &raw(
            "sip:192.0.2.9:5060",
            "<sip:bob@example.org>;tag=ours",
            headers,
        ),
    )
}

fn created(headers: &str) -> NewSubscription {
    match initial(headers) {
        Ok(SubscribeIntent::Create(new)) => new,
        other => panic!("{other:?}"),
    }
}

fn refreshed(headers: &str) -> SubscriptionRefresh {
    match within(headers) {
        Ok(SubscribeIntent::Refresh(refresh)) => refresh,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_initial_subscribe_creates() {
    let new = created(&format!(
        "Event: presence;id=a1\r\n{CONTACT}Expires: 600\r\nUser-Agent: Phone 1.0\r\n\
         Record-Route: <sip:p2.example.org;lr>, <sip:p1.example.org;lr>\r\nRecord-Route: <sip:p0.example.org;lr>\r\n"
    ));
    assert_eq!(new.aor.uri(), "sip:bob@example.org");
    assert_eq!(
        (new.event.as_str(), new.event_id.as_str()),
        ("presence", "a1")
    );
    assert_eq!(new.watcher.uri(), "sip:alice@example.org");
    assert_eq!(
        (new.to_user.as_str(), new.to_domain.as_str()),
        ("bob", "example.org")
    );
    assert_eq!(new.from_user, "%61lice");
    assert!(new.from_domain.eq_ignore_ascii_case("example.org"));
    assert_eq!(new.local_uri, "<sip:bob@example.org>");
    assert_eq!(
        new.remote_uri,
        "\"Alice, A.\" <sip:%61lice@Example.ORG;x=y>"
    );
    assert_eq!(
        (new.from_tag.as_str(), new.call_id.as_str(), new.remote_cseq),
        ("f1", "c1@192.0.2.1", 7)
    );
    assert_eq!(new.contact, "sip:alice@192.0.2.1:5070;transport=tcp");
    assert_eq!(
        new.record_route,
        [
            "<sip:p2.example.org;lr>",
            "<sip:p1.example.org;lr>",
            "<sip:p0.example.org;lr>"
        ]
    );
    assert_eq!(new.granted_s, 600);
    assert_eq!(new.accept, "application/pidf+xml");
    assert_eq!(new.user_agent, "Phone 1.0");
    assert!(new.to_tag.len() >= 16, "{}", new.to_tag);

    // Without Expires the package's default; a fetch is not too short for anybody.
    assert_eq!(
        created(&format!("Event: presence\r\n{CONTACT}")).granted_s,
        3600
    );
    assert_eq!(
        created(&format!("Event: presence\r\n{CONTACT}Expires: 0\r\n")).granted_s,
        0
    );
}

#[test]
fn a_subscribe_with_our_tag_refreshes() {
    let refresh = refreshed(&format!(
        "Event: presence;id=a1\r\n{CONTACT}Expires: 600\r\n"
    ));
    assert_eq!(
        refresh,
        SubscriptionRefresh {
            call_id: "c1@192.0.2.1".to_owned(),
            to_tag: "ours".to_owned(),
            from_tag: "f1".to_owned(),
            event: "presence".to_owned(),
            event_id: "a1".to_owned(),
            remote_cseq: 7,
            request: refresh.request,
            contact: Some("sip:alice@192.0.2.1:5070;transport=tcp".to_owned()),
            granted_s: 600,
            requester: None,
            decided_by: DecidedBy::Nobody,
            feature: None,
            reach: Reach::default(),
        }
    );
    let remove = refreshed("Event: presence\r\nExpires: 0\r\n");
    assert_eq!(
        (remove.granted_s, remove.contact, remove.event_id.as_str()),
        (0, None, "")
    );
}

#[test]
fn accept_must_allow_what_we_send() {
    for (accept, is_allowed) in [
        ("Accept: application/pidf+xml\r\n", true),
        ("Accept: Application/PIDF+XML;q=0.5\r\n", true),
        (
            "Accept: text/plain\r\nAccept: application/cpim-pidf+xml, application/pidf+xml\r\n",
            true,
        ),
        ("Accept: */*\r\n", true),
        ("Accept: application/*\r\n", true),
        ("Accept: */*;q=0, application/pidf+xml\r\n", true),
        ("Accept: application/sdp\r\n", false),
        ("Accept: text/*\r\n", false),
        ("Accept: application/pidf+xml;q=0\r\n", false),
        ("Accept: */*, application/pidf+xml;q=0.0\r\n", false),
        ("Accept: application/pidf\r\n", false),
        ("Accept: \r\n", false),
        ("Accept: application/cpim-pidf+xml\r\n", true),
        (
            "Accept: application/cpim-pidf+xml;q=0, text/plain\r\n",
            false,
        ),
        ("Accept: text/plain; application/pidf+xml\r\n", true),
        ("Accept: nonsense\r\n", true),
    ] {
        let headers = format!("Event: presence\r\n{CONTACT}{accept}");
        for result in [initial(&headers), within(&headers)] {
            if is_allowed {
                assert!(result.is_ok(), "{accept}: {result:?}");
            } else {
                assert_eq!(result, Err(SubscribeReject::NotAcceptable), "{accept}");
            }
        }
    }
}

/// RFC 3842 section 3.7, RFC 4235 section 3.5, RFC 3857 section 4.5: what is acceptable is the package's own type.
#[test]
fn every_package_has_its_own_type_in_accept() {
    for (event, kind) in [
        ("dialog", "application/dialog-info+xml"),
        ("dialog;sla", "application/dialog-info+xml"),
        ("message-summary", "application/simple-message-summary"),
        ("as-feature-event", "application/x-as-feature-event+xml"),
    ] {
        let headers = format!("Event: {event}\r\n{CONTACT}Accept: text/plain, {kind}\r\n");
        let new = created(&headers);
        assert_eq!((new.event.as_str(), new.accept.as_str()), (event, kind));
        let headers = format!("Event: {event}\r\n{CONTACT}Accept: application/pidf+xml\r\n");
        assert_eq!(
            initial(&headers),
            Err(SubscribeReject::NotAcceptable),
            "{event}"
        );
    }
}

/// RFC 3857 section 4.6: the presentity itself, whatever its URI looks like, and whom the operator names.
#[test]
fn only_the_presentity_is_told_who_watches_it() {
    let console = || Policy {
        winfo_watchers: vec![Aor {
            username: "alice".to_owned(),
            domain: "example.org".to_owned(),
        }],
        ..Policy::default()
    };
    let headers =
        |event: &str| format!("Event: {event}\r\n{CONTACT}Accept: application/watcherinfo+xml\r\n");
    for event in ["presence.winfo", "dialog.winfo"] {
        for (policy, uri, is_allowed) in [
            (Policy::default(), "sip:bob@example.org", false),
            (Policy::default(), "sip:alice@example.com", false),
            (Policy::default(), "sip:example.org", false),
            (Policy::default(), "sip:alice@example.org", true),
            (Policy::default(), "sips:alice@EXAMPLE.org:5061;a=b", true),
            (console(), "sip:bob@example.org", true),
        ] {
            let text = raw(uri, &format!("<{uri}>"), &headers(event));
            match decide_by(&policy, &text) {
                Ok(SubscribeIntent::Create(new)) => {
                    assert!(is_allowed, "{event} {uri}");
                    assert_eq!(
                        (new.event.as_str(), new.accept.as_str()),
                        (event, "application/watcherinfo+xml")
                    );
                    assert_eq!(new.from_display, "Alice, A.");
                }
                other => {
                    assert_eq!(other, Err(SubscribeReject::Forbidden), "{event} {uri}");
                    assert!(!is_allowed, "{event} {uri}");
                }
            }
        }
        // Within the dialog that was allowed, the Request-URI is ours.
        assert!(within(&headers(event)).is_ok());
        let headers = format!("Event: {event}\r\n{CONTACT}Accept: application/pidf+xml\r\n");
        assert_eq!(initial(&headers), Err(SubscribeReject::NotAcceptable));
    }
}

#[test]
fn every_rejection_has_its_request() {
    use SubscribeReject as R;
    let refused = |headers: &str, expected: R| {
        for result in [initial(headers), within(headers)] {
            assert_eq!(result, Err(expected.clone()), "{headers}");
        }
    };
    refused(CONTACT, R::UnknownEvent);
    for event in [
        "PRESENCE",
        "lamp",
        "presence.winfo.winfo",
        "presence.winfo2",
    ] {
        refused(&format!("Event: {event}\r\n{CONTACT}"), R::UnknownEvent);
    }
    refused(
        &format!("Event: presence\r\n{CONTACT}Require: eventlist\r\n"),
        R::BadExtension {
            unsupported: vec!["eventlist".to_owned()],
        },
    );
    refused(
        &format!("Event: presence\r\n{CONTACT}{CONTACT}"),
        R::BadRequest("Multiple Contacts"),
    );
    refused(
        "Event: presence\r\nContact: <tel:+15550100>\r\n",
        R::BadRequest("Bad Contact"),
    );
    assert_eq!(
        initial("Event: presence\r\n"),
        Err(R::BadRequest("Missing Contact"))
    );
    for headers in [
        "Event: presence\r\nContact: *\r\n".to_owned(),
        "Event: presence\r\nContact: <sip:alice@192.0.2.1\r\n".to_owned(),
        format!("Event: \r\n{CONTACT}"),
        format!("Event: presence\r\n{CONTACT}Expires: 1\r\nExpires: 2\r\n"),
    ] {
        for result in [initial(&headers), within(&headers)] {
            assert!(
                matches!(result, Err(R::BadRequest(_))),
                "{headers}: {result:?}"
            );
        }
    }
    let headers = format!("Event: presence\r\n{CONTACT}");
    for (uri, to) in [
        ("http://example.org/", "<sip:bob@example.org>"),
        ("pres:bob@example.org", "<sip:bob@example.org>"),
    ] {
        assert_eq!(
            decide_by(&Policy::default(), &raw(uri, to, &headers)),
            Err(R::UnsupportedScheme),
            "{uri}"
        );
    }
}

#[test]
fn malformed_expires_is_never_taken_for_zero() {
    for value in ["abc", "-1", "", "4294967296", "99999999999999999999"] {
        let headers = format!("Event: presence\r\n{CONTACT}Expires: {value}\r\n");
        for result in [initial(&headers), within(&headers)] {
            assert!(
                matches!(result, Err(SubscribeReject::BadRequest(_))),
                "{value}: {result:?}"
            );
        }
    }
}

#[test]
fn mandatory_headers_are_mandatory() {
    let whole = raw(
        "sip:bob@example.org",
        "<sip:bob@example.org>",
        &format!("Event: presence\r\n{CONTACT}"),
    );
    for (from, to) in [
        ("To: <sip:bob@example.org>\r\n", ""),
        ("Call-ID: c1@192.0.2.1\r\n", ""),
        (
            "<sip:%61lice@Example.ORG;x=y>",
            "<mailto:alice@example.org>",
        ),
        ("CSeq: 7 SUBSCRIBE", "CSeq: 7 PUBLISH"),
        ("CSeq: 7 SUBSCRIBE", "CSeq: 99999999999 SUBSCRIBE"),
        ("CSeq: 7 SUBSCRIBE", "CSeq: 2147483648 SUBSCRIBE"),
    ] {
        assert!(whole.contains(from));
        let bytes = whole.replacen(from, to, 1).into_bytes();
        let request = parse(bytes);
        // As the server does it.
        let checked = request.check_mandatory();
        let checked = checked.map_err(|_| SubscribeReject::BadRequest("mandatory headers"));
        let result = checked.and_then(|()| {
            decide(
                &request,
                &Requester::default(),
                &Registry::standard(),
                &Policy::default(),
                &Secret::new(b"secret"),
            )
        });
        assert!(
            matches!(result, Err(SubscribeReject::BadRequest(_))),
            "{from} -> {to}: {result:?}"
        );
    }
}

#[test]
fn the_policy_is_obeyed() {
    let granted = |policy: &Policy, expires: &str| {
        let text = raw(
            "sip:bob@example.org",
            "<sip:bob@example.org>",
            &format!("Event: presence\r\n{CONTACT}{expires}"),
        );
        match decide_by(policy, &text) {
            Ok(SubscribeIntent::Create(new)) => Ok(new.granted_s),
            Ok(other) => panic!("{other:?}"),
            Err(reject) => Err(reject),
        }
    };
    let refuse = Policy {
        min_expires_s: 60,
        max_expires_s: 600,
        expires_offset_s: 20,
        ..Policy::default()
    };
    assert_eq!(
        granted(&refuse, "Expires: 59\r\n"),
        Err(SubscribeReject::IntervalTooBrief { min_s: 60 })
    );
    assert_eq!(granted(&refuse, "Expires: 60\r\n"), Ok(60));
    assert_eq!(granted(&refuse, "Expires: 0\r\n"), Ok(0));
    assert_eq!(granted(&refuse, ""), Ok(600));
    let raise = Policy {
        min_expires_action: MinExpiresAction::Raise,
        ..refuse
    };
    assert_eq!(granted(&raise, "Expires: 59\r\n"), Ok(60));
    // "greater than zero and smaller than one hour": an hour is never too brief.
    let long = Policy {
        min_expires_s: 7200,
        max_expires_s: 9000,
        ..Policy::default()
    };
    assert_eq!(
        granted(&long, "Expires: 3599\r\n"),
        Err(SubscribeReject::IntervalTooBrief { min_s: 7200 })
    );
    assert_eq!(granted(&long, "Expires: 3600\r\n"), Ok(3600));
}

#[test]
fn the_to_tag_is_the_same_for_a_retransmission_and_for_nothing_else() {
    let base = raw(
        "sip:bob@example.org",
        "<sip:bob@example.org>",
        &format!("Event: presence;id=a1\r\n{CONTACT}"),
    );
    let tag = |text: &str| match decide_by(&Policy::default(), text) {
        Ok(SubscribeIntent::Create(new)) => new.to_tag,
        other => panic!("{other:?}"),
    };
    let first = tag(&base);
    for by_an_edge in [
        "Via: SIP/2.0/UDP edge;branch=z9hG4bKe1\r\nVia: ",
        "Via: SIP/2.0/UDP edge;branch=z9hG4bKe2\r\nVia: ",
    ] {
        assert_eq!(first, tag(&base.replacen("Via: ", by_an_edge, 1)));
    }
    assert!(first.starts_with(&sip::token::home("sip:bob@example.org")));
    let mut others = vec![first];
    for (from, to) in [
        ("z9hG4bK1", "z9hG4bK2"),
        ("192.0.2.1:5070", "192.0.2.1:5071"),
        ("CSeq: 7", "CSeq: 8"),
        ("tag=f1", "tag=f2"),
        ("c1@", "c2@"),
        ("sip:bob@example.org SIP", "sip:eve@example.org SIP"),
        ("id=a1", "id=a2"),
        (";id=a1", ""),
    ] {
        assert!(base.contains(from));
        others.push(tag(&base.replacen(from, to, 1)));
    }
    let count = others.len();
    others.sort();
    others.dedup();
    assert_eq!(others.len(), count);
}

/// Inside a dialog too, a copy is the same request, and one with the same CSeq and another branch is not.
#[test]
fn a_refresh_is_told_apart_by_its_branch() {
    let base = raw(
        "sip:192.0.2.9",
        "<sip:bob@example.org>;tag=t1",
        &format!("Event: presence\r\n{CONTACT}"),
    );
    let request = |text: &str| match decide_by(&Policy::default(), text) {
        Ok(SubscribeIntent::Refresh(refresh)) => refresh.request,
        other => panic!("{other:?}"),
    };
    let first = request(&base);
    let by_an_edge = base.replacen("Via: ", "Via: SIP/2.0/UDP edge;branch=z9hG4bKe\r\nVia: ", 1);
    assert_eq!(first, request(&by_an_edge));
    for (from, to) in [("z9hG4bK1", "z9hG4bK2"), ("CSeq: 7", "CSeq: 8")] {
        assert_ne!(first, request(&base.replacen(from, to, 1)), "{to}");
    }
}

#[test]
fn what_is_too_long_is_named() {
    let long = |count| "x".repeat(count);
    let bob = "<sip:bob@example.org>";
    let headers = format!("Event: presence\r\n{CONTACT}");
    let base = raw("sip:bob@example.org", bob, &headers);
    let refused = |from: &str, to: &str| {
        assert!(base.contains(from), "{from}");
        let text = base.replacen(from, to, 1);
        match decide_by(&Policy::default(), &text) {
            Err(SubscribeReject::BadRequest(reason) | SubscribeReject::UriTooLong(reason)) => {
                reason
            }
            other => panic!("{from}: {other:?}"),
        }
    };
    for (from, to, reason) in [
        (
            "sip:bob@example.org SIP",
            format!("sip:{}@h SIP", long(256)),
            "User Of Request-URI Longer Than 255 Octets",
        ),
        ("c1@192.0.2.1", long(256), "Call-ID Longer Than 255 Octets"),
        (
            "tag=f1",
            format!("tag={}", long(256)),
            "From Tag Longer Than 255 Octets",
        ),
        (
            "%61lice@Example.ORG",
            format!("{}@h", long(256)),
            "User Of From Longer Than 255 Octets",
        ),
        (
            "%61lice@Example.ORG",
            format!("a@{}", long(256)),
            "Domain Of From Longer Than 255 Octets",
        ),
        // Shorter in its canonical form, but it is stored as written, too.
        (
            "%61lice@Example.ORG",
            format!("{}@h", "%61".repeat(86)),
            "User Of From Longer Than 255 Octets",
        ),
        (
            bob,
            format!("<sip:{}@h>", long(256)),
            "User Of To Longer Than 255 Octets",
        ),
        (
            bob,
            format!("<sip:b@h;p={}>", long(2048)),
            "To Longer Than 2048 Octets",
        ),
        (
            ";x=y>",
            format!(";x={}>", long(2048)),
            "From Longer Than 2048 Octets",
        ),
        (
            "Alice, A.",
            long(1025),
            "Display Name Of From Longer Than 1024 Octets",
        ),
        (
            "presence\r\n",
            format!("presence;id={}\r\n", long(256)),
            "Event ID Longer Than 255 Octets",
        ),
        (
            CONTACT,
            format!("Contact: <sip:a@h;p={}>\r\n", long(1015)),
            "Contact Longer Than 1024 Octets",
        ),
        (
            CONTACT,
            format!(
                "{CONTACT}Record-Route: <sip:{}>, <sip:{};lr>\r\n",
                long(2041),
                long(2041)
            ),
            "Record-Route Longer Than 4096 Octets",
        ),
        (
            CONTACT,
            format!("{CONTACT}User-Agent: {}\r\n", long(1025)),
            "User-Agent Longer Than 1024 Octets",
        ),
    ] {
        assert_eq!(refused(from, &to), reason);
    }
    let within = raw(
        "sip:192.0.2.9",
        &format!("{bob};tag={}", long(256)),
        &headers,
    );
    assert_eq!(
        decide_by(&Policy::default(), &within),
        Err(SubscribeReject::BadRequest("To Tag Longer Than 255 Octets"))
    );
}

#[test]
fn what_an_operator_reads_is_whole_and_clean() {
    let agent = "x".repeat(1024);
    let new = created(&format!(
        "Event: presence\r\n{CONTACT}User-Agent: {agent}\r\n"
    ));
    assert_eq!(new.user_agent, agent);
}

// === bodies that ask for something ===

const DND: &str = "<SetDoNotDisturb xmlns='http://www.ecma-international.org/standards/ecma-323/csta/ed3'>\
    <device/><doNotDisturbOn>true</doNotDisturbOn></SetDoNotDisturb>";
const FEATURE: &str = "Content-Type: application/x-as-feature-event+xml\r\n";

fn asked(
    to: &str,
    from: &str,
    headers: &str,
    body: &str,
) -> Result<SubscribeIntent, SubscribeReject> {
    let headers = format!("Event: as-feature-event\r\n{CONTACT}{headers}");
    let text = raw("sip:bob@example.org", to, &headers)
        .replace("sip:%61lice@Example.ORG", from)
        .replace(
            "Content-Length: 0",
            &format!("Content-Length: {}", body.len()),
        );
    decide_by(&Policy::default(), &format!("{text}{body}"))
}

#[test]
fn a_body_sets_a_feature_of_the_line_itself() {
    let (initial, within) = ("<sip:bob@example.org>", "<sip:bob@example.org>;tag=ours");
    let feature_of = |to: &str, from: &str| match asked(to, from, FEATURE, DND).unwrap() {
        SubscribeIntent::Create(new) => new.feature.unwrap(),
        SubscribeIntent::Refresh(refresh) => refresh.feature.unwrap(),
    };
    let new = feature_of(initial, "sip:bob@Example.ORG:5080;transport=tcp");
    assert_eq!(new.feature, "doNotDisturb");
    assert_eq!(new.lifetime_s, None);
    assert_eq!(new.content_type, "application/x-as-feature-event+xml");
    let body = std::str::from_utf8(&new.body).unwrap();
    assert!(body.contains("<DoNotDisturbEvent "), "{body}");
    assert!(body.contains("<doNotDisturbOn>true</doNotDisturbOn>"));
    let refresh = feature_of(within, "sip:bob@example.org");
    assert_eq!((&refresh.body, &refresh.feature), (&new.body, &new.feature));
    for to in [initial, within] {
        assert_eq!(
            asked(to, "sip:alice@example.org", FEATURE, DND),
            Err(SubscribeReject::Forbidden),
            "{to}"
        );
        // Who sets nothing may watch.
        assert!(asked(to, "sip:alice@example.org", FEATURE, "").is_ok());
    }
}

#[test]
fn a_body_that_cannot_be_obeyed_is_refused() {
    let accept = "application/x-as-feature-event+xml".to_owned();
    for (headers, body, expected) in [
        (
            "Content-Type: text/plain\r\n",
            DND,
            SubscribeReject::UnsupportedBody { accept },
        ),
        ("", DND, SubscribeReject::BadRequest("Missing Content-Type")),
        (
            "Content-Type: application/x-as-feature-event+xml\r\nContent-Encoding: br\r\n",
            DND,
            SubscribeReject::UnsupportedEncoding,
        ),
        (
            "Content-Type: multipart/mixed;boundary=b\r\n",
            "--b\r\n\r\ntext\r\n--b--\r\n",
            SubscribeReject::UnsupportedBody {
                accept: "application/x-as-feature-event+xml".to_owned(),
            },
        ),
        (
            FEATURE,
            "<torn",
            SubscribeReject::BodyRefused(crate::BodyFault::NotWellFormed),
        ),
        (
            FEATURE,
            "<SetLights/>",
            SubscribeReject::BodyRefused(crate::BodyFault::WrongRoot),
        ),
    ] {
        let found = asked(
            "<sip:bob@example.org>",
            "sip:bob@example.org",
            headers,
            body,
        );
        assert_eq!(found, Err(expected), "{headers}{body}");
    }
    // In other packages nobody reads it (filters of RFC 4660 are optional).
    let headers = format!("Event: presence\r\n{CONTACT}Content-Type: text/plain\r\n");
    let text = raw("sip:bob@example.org", "<sip:bob@example.org>", &headers)
        .replace("Content-Length: 0", "Content-Length: 1");
    assert!(decide_by(&Policy::default(), &format!("{text}x")).is_ok());
}

/// What makes a later subscription take the place of an earlier one: the Call-ID, or the phone, whatever changes when it starts anew.
#[test]
fn a_phone_is_known_again() {
    let key = |same_subscriber: SameSubscriber, contact: &str, expires: u32| {
        let policy = Policy {
            same_subscriber,
            ..Policy::default()
        };
        let headers = format!("Event: presence\r\nContact: {contact}\r\nExpires: {expires}\r\n");
        match decide_by(
            &policy,
            &raw("sip:bob@example.org", "<sip:bob@example.org>", &headers),
        ) {
            Ok(SubscribeIntent::Create(new)) => new.subscriber_key,
            other => panic!("{contact}: {other:?}"),
        }
    };
    let plain = "<sip:alice@192.0.2.1:5070>";
    assert_eq!(key(SameSubscriber::Nobody, plain, 60), None);
    assert_eq!(
        key(SameSubscriber::SameCall, plain, 60).as_deref(),
        Some("call-id:c1@192.0.2.1")
    );
    for (contact, expected) in [
        (plain, "contact:sip:alice@192.0.2.1:5070;"),
        // A parameter that is drawn anew at each start, another spelling, a display name.
        (
            "\"A\" <sips:%61lice@192.0.2.1:5070;line=x1y2;ob>;expires=60",
            "contact:sip:alice@192.0.2.1:5070;",
        ),
        (
            "<sip:alice@Phone.Example.ORG;transport=TCP>",
            "contact:sip:alice@phone.example.org;tcp",
        ),
        (
            "<sip:[2001:db8::1]:5060>",
            "contact:sip:[2001:db8::1]:5060;",
        ),
        (
            "<sip:x@192.0.2.7:40123>;+sip.instance=\"<urn:uuid:F81D4FAE-7DEC-11D0-A765-00A0C91E6BF6>\";reg-id=1",
            "instance:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ),
        (
            "<sip:y@192.0.2.8:1>;+SIP.INSTANCE=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\"",
            "instance:urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6",
        ),
        (
            "<sip:alice@192.0.2.1:5070>;+sip.instance=\"<>\"",
            "contact:sip:alice@192.0.2.1:5070;",
        ),
    ] {
        assert_eq!(
            key(SameSubscriber::SamePhone, contact, 60).as_deref(),
            Some(expected),
            "{contact}"
        );
    }
    for policy in [SameSubscriber::SameCall, SameSubscriber::SamePhone] {
        assert_eq!(key(policy, plain, 0), None, "a fetch takes nobody's place");
    }
}

/// Who has proven who he is, and is somebody else, gets nothing that is for the line alone; a delegate does.
#[test]
fn what_is_for_the_presentity_itself() {
    let ask = |event: &str, from: &str, identity: &str, acts: Acts| {
        let text = raw(
            "sip:bob@example.org",
            "<sip:bob@example.org>",
            &format!("Event: {event}\r\n{CONTACT}"),
        )
        .replace("sip:%61lice@Example.ORG", from);
        let requester = Requester {
            identity: Some(Aor::of_account(identity, "example.org", false).unwrap()),
            proof: Proof::Digest,
            acts,
        };
        decide(
            &parse(text.into_bytes()),
            &requester,
            &Registry::standard(),
            &Policy::default(),
            &Secret::new(b"secret"),
        )
    };
    for event in ["presence.winfo", "dialog;sla"] {
        // From lies.
        assert_eq!(
            ask(event, "sip:bob@example.org", "mallory", Acts::ForOthers),
            Err(SubscribeReject::Forbidden),
            "{event}"
        );
        for (identity, acts) in [("bob", Acts::ForPresentity), ("pbx", Acts::ForPresentity)] {
            let intent = ask(event, "sip:bob@example.org", identity, acts);
            let Ok(SubscribeIntent::Create(new)) = intent else {
                panic!("{event} {identity}: {intent:?}")
            };
            assert_eq!(new.watcher.username, identity);
        }
    }
    // Of all else it is who he is that counts, not what From says.
    let intent = ask(
        "presence",
        "sip:carol@example.org",
        "mallory",
        Acts::ForOthers,
    );
    let Ok(SubscribeIntent::Create(new)) = intent else {
        panic!("{intent:?}")
    };
    assert_eq!(new.watcher.username, "mallory");
}
