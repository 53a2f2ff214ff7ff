//! Whole messages as phones and proxies really send them: what the scanner, the typed headers and the limits make of them.
//! Many of these are the ones that common parsers get wrong.

use sip::{
    HeaderName, Host, Limits, Message, Method, ParseError, Request, Response, StatusCode, Transport,
};

const VIA: &str = "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1";

fn read(text: &str) -> Result<Message, ParseError> {
    sip::parse_datagram(text.replace('\n', "\r\n").into_bytes(), &Limits::default())
}

fn request(text: &str) -> Request {
    match read(text) {
        Ok(Message::Request(request)) => request,
        other => unreachable!("{text:?}: {other:?}"),
    }
}

/// A request with these further header lines.
fn with(headers: &str) -> Request {
    request(&format!(
        "SUBSCRIBE sip:bob@example.com SIP/2.0\n{VIA}\n{headers}\n\n"
    ))
}

fn response(text: &str) -> Response {
    match read(text) {
        Ok(Message::Response(response)) => response,
        other => unreachable!("{text:?}: {other:?}"),
    }
}

#[test]
fn request_lines() {
    for (line, method, uri) in [
        (
            "PUBLISH sip:alice.smith@example.com SIP/2.0",
            Method::Publish,
            "sip:alice.smith@example.com",
        ),
        (
            "OPTIONS sip:[2001:db8::1]:5060 SIP/2.0",
            Method::Options,
            "sip:[2001:db8::1]:5060",
        ),
        (
            "FOOBAR sip:h SIP/2.0",
            Method::Extension("FOOBAR".into()),
            "sip:h",
        ),
        (
            "subscribe sip:h SIP/2.0",
            Method::Extension("subscribe".into()),
            "sip:h",
        ),
        ("NOTIFY tel:+1555 sip/2.0", Method::Notify, "tel:+1555"),
        (
            "SUBSCRIBE urn:service:sos SIP/2.0",
            Method::Subscribe,
            "urn:service:sos",
        ),
        (
            "SUBSCRIBE sip:bob@h;gr=urn:uuid:f81d SIP/2.0",
            Method::Subscribe,
            "sip:bob@h;gr=urn:uuid:f81d",
        ),
    ] {
        let request = request(&format!("{line}\n{VIA}\n\n"));
        assert_eq!((request.method(), request.uri()), (&method, uri), "{line}");
        assert!(request.parsed_uri().is_ok(), "{line}");
    }
}

#[test]
fn request_lines_that_are_refused() {
    for (line, status, answerable) in [
        ("OPTIONS sip:h SIP/2.7", 505, true),
        ("OPTIONS sip:h SIP/3.0", 505, true),
        ("OPTIONS  sip:h SIP/2.0", 400, true),
        ("OPTIONS <sip:h> SIP/2.0", 400, true),
        ("OPTIONS sip:h\tSIP/2.0", 400, true),
        ("OPTIONS SIP/2.0", 400, true),
        ("OPTIONS sip:h HTTP/1.1", 400, false),
        ("OPTIONS sip:h", 400, false),
        ("OPT<>IONS sip:h SIP/2.0", 400, false),
        ("GET / HTTP/1.1", 400, false),
        ("hello", 400, false),
        (" ", 400, false),
    ] {
        let fault = read(&format!("{line}\n{VIA}\n\n")).expect_err(line);
        assert_eq!(
            (fault.status.code(), fault.answerable.is_some()),
            (status, answerable),
            "{line}: {fault}"
        );
    }
}

#[test]
fn status_lines() {
    for (line, code, reason) in [
        ("SIP/2.0 200 OK", 200, "OK"),
        ("SIP/2.0 200", 200, ""),
        ("SIP/2.0 200 ", 200, ""),
        ("sip/2.0 489 Bad  Event", 489, "Bad  Event"),
        ("SIP/2.0 699 \u{439}", 699, "\u{439}"),
    ] {
        let response = response(&format!("{line}\n{VIA}\n\n"));
        assert_eq!(
            (response.status().code(), response.reason()),
            (code, reason),
            "{line}"
        );
    }
    for line in [
        "SIP/2.0 99 X",
        "SIP/2.0 2000 X",
        "SIP/2.0 700 X",
        "SIP/2.0 abc X",
        "SIP/2.0",
        "SIP/2.0200 OK",
        "SIP/3.0 200 OK",
        "SIP/2.0  200 OK",
        "SIP/2.01 200 OK",
    ] {
        let fault = read(&format!("{line}\n{VIA}\n\n")).expect_err(line);
        assert!(
            fault.answerable.is_none(),
            "nobody answers a response: {line}"
        );
    }
}

#[test]
fn bodies() {
    for (label, wire, body) in [
        (
            "cut to Content-Length",
            "OPTIONS sip:h SIP/2.0\r\nl: 3\r\n\r\nabcdef",
            &b"abc"[..],
        ),
        (
            "the rest without it",
            "OPTIONS sip:h SIP/2.0\r\nX: y\r\n\r\nabcdef",
            b"abcdef",
        ),
        (
            "the same length twice",
            "OPTIONS sip:h SIP/2.0\r\nl: 3\r\nContent-Length: 003\r\n\r\nabcdef",
            b"abc",
        ),
        (
            "after line ends",
            "\r\n\r\nOPTIONS sip:h SIP/2.0\r\nl: 1\r\n\r\nabcdef",
            b"a",
        ),
        (
            "bare line feeds",
            "OPTIONS sip:h SIP/2.0\nl: 3\n\nabc",
            b"abc",
        ),
        ("empty", "OPTIONS sip:h SIP/2.0\r\nl:0\r\n\r\n", b""),
    ] {
        match sip::parse_datagram(wire.into(), &Limits::default()) {
            Ok(Message::Request(request)) => assert_eq!(request.body(), body, "{label}"),
            other => unreachable!("{label}: {other:?}"),
        }
    }
    let mut binary = b"MESSAGE sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h\r\nl: 256\r\n\r\n".to_vec();
    binary.extend(0..=255u8);
    match sip::parse_datagram(binary.clone(), &Limits::default()) {
        Ok(Message::Request(request)) => {
            assert_eq!(request.body(), (0..=255u8).collect::<Vec<_>>());
            assert!(
                request.encode().ends_with(&(0..=255u8).collect::<Vec<_>>()),
                "and as it is on output"
            );
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn limits_are_kept() {
    let limits = Limits {
        message_bytes: 300,
        header_count: 6,
        header_line_bytes: 60,
        body_bytes: 50,
        notify_bytes: 0,
    };
    for (label, rest, status) in [
        ("within", format!("l: 50\r\n\r\n{}", "b".repeat(50)), None),
        (
            "body",
            format!("l: 51\r\n\r\n{}", "b".repeat(51)),
            Some(StatusCode::REQUEST_ENTITY_TOO_LARGE),
        ),
        (
            "body without length",
            format!("\r\n{}", "b".repeat(51)),
            Some(StatusCode::REQUEST_ENTITY_TOO_LARGE),
        ),
        (
            "message",
            format!("l: 1\r\n\r\n{}", "b".repeat(300)),
            Some(StatusCode::MESSAGE_TOO_LARGE),
        ),
        (
            "header line",
            format!("X: {}\r\n\r\n", "x".repeat(60)),
            Some(StatusCode::BAD_REQUEST),
        ),
        (
            "folded header line",
            format!("X: {0}\r\n {0}\r\n {0}\r\n\r\n", "x".repeat(30)),
            Some(StatusCode::BAD_REQUEST),
        ),
        (
            "header count",
            format!("{}\r\n", "X: y\r\n".repeat(6)),
            Some(StatusCode::BAD_REQUEST),
        ),
        (
            "no blank line",
            "X: y\r\n".to_owned(),
            Some(StatusCode::BAD_REQUEST),
        ),
        (
            "Content-Length too big",
            "l: 5\r\n\r\nabcd".to_owned(),
            Some(StatusCode::BAD_REQUEST),
        ),
        (
            "Content-Length huge",
            "l: 99999999999999999999999\r\n\r\nabcd".to_owned(),
            Some(StatusCode::BAD_REQUEST),
        ),
    ] {
        let result = sip::parse_datagram(
            format!("OPTIONS sip:h SIP/2.0\r\n{VIA}\r\n{rest}").into_bytes(),
            &limits,
        );
        let found = result.as_ref().err().map(|fault| fault.status);
        assert_eq!(found, status, "{label}: {result:?}");
        if let Err(fault) = result {
            assert!(
                fault
                    .answerable
                    .is_some_and(|request| request.top_via().is_ok()),
                "{label}: the sender can be told"
            );
        }
    }
}

#[test]
fn vias_of_lines_and_lists() {
    let request = request(
        "OPTIONS sip:h SIP/2.0\nv: SIP/2.0/UDP a;x=\"1,2\" , SIP/2.0/TCP [2001:db8::1]:5\nVia :SIP/2.0/WSS c;alias\n\n",
    );
    let vias = request.vias().unwrap();
    assert_eq!(
        vias.iter()
            .map(|via| via.transport.unwrap())
            .collect::<Vec<_>>(),
        [Transport::Udp, Transport::Tcp, Transport::Wss]
    );
    assert_eq!(
        (&vias[1].host, vias[1].port),
        (&Host::V6("2001:db8::1".parse().unwrap()), Some(5))
    );
    assert_eq!(request.top_via().unwrap(), vias[0]);
}

#[test]
fn compact_folded_and_padded_headers() {
    let request = with(
        "f : \"A, B\"\n <sip:a@h>\n\t;tag=1\nt:sip:b@h;tag=2 \ni :\tid\nCSEQ: 1\n SUBSCRIBE\nm: <sip:c@h>\no: presence;id=9\nk: a, b\nK: c\nExpires: 600 \nu: presence",
    );
    assert_eq!(request.check_mandatory(), Ok(()));
    assert_eq!(
        (
            request.from().unwrap().display.as_deref(),
            request.from().unwrap().tag()
        ),
        (Some("A, B"), Some("1"))
    );
    assert_eq!(
        (request.to().unwrap().tag(), request.call_id()),
        (Some("2"), Ok("id"))
    );
    assert_eq!(request.event().unwrap().unwrap().id.as_deref(), Some("9"));
    assert_eq!(request.supported(), ["a", "b", "c"]);
    assert_eq!(request.expires(), Ok(Some(600)));
    assert_eq!(
        request.header_str(HeaderName::AllowEvents),
        Some("presence")
    );
}

#[test]
fn bytes_that_are_not_utf_8() {
    let mut wire = format!("PUBLISH sip:h SIP/2.0\r\n{VIA}\r\nFrom: \"M\u{fc}ller\" <sip:a@h>;tag=1\r\nUser-Agent: X\r\n\r\n").into_bytes();
    let bytes: Vec<u8> = wire
        .drain(..)
        .map(|byte| if byte == 0xC3 { 0xFF } else { byte })
        .collect();
    let bytes: Vec<u8> = bytes
        .into_iter()
        .map(|byte| if byte == b'X' { 0xFE } else { byte })
        .collect();
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Request(request)) => {
            assert_eq!(
                request.from().unwrap().tag(),
                Some("1"),
                "the address can be used"
            );
            assert_eq!(
                (request.user_agent(), request.header(HeaderName::UserAgent)),
                (None, Some(&b"\xFE"[..]))
            );
        }
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn contacts_and_routes() {
    let request = with(
        "m: \"x,y\" <sip:a@h;transport=tcp>;+sip.instance=\"<urn:uuid:1>\";q=0.5, sip:b@h;q=1\nContact: <sip:c@h>\n\
         Record-Route: <sip:p1;lr>, \"P, 2\" <sip:p2;transport=tcp;lr>;x\nRecord-Route: <sip:[2001:db8::1];lr>\nRoute: <sip:TOKEN@h;lr>,<sip:r2>",
    );
    let contacts = request.contacts().unwrap();
    assert_eq!(
        contacts
            .iter()
            .map(|contact| contact.uri.raw.as_str())
            .collect::<Vec<_>>(),
        ["sip:a@h;transport=tcp", "sip:b@h", "sip:c@h"]
    );
    assert_eq!(contacts[0].param("+sip.instance"), Some("<urn:uuid:1>"));
    assert_eq!(request.contact().unwrap().unwrap(), contacts[0]);
    let recorded = request.record_route().unwrap();
    assert_eq!(
        recorded,
        [
            "<sip:p1;lr>",
            "\"P, 2\" <sip:p2;transport=tcp;lr>;x",
            "<sip:[2001:db8::1];lr>"
        ],
        "raw, in order"
    );
    let route = request.route().unwrap();
    assert_eq!(
        (
            route.len(),
            route[0].uri.user.as_deref(),
            route[1].uri.is_loose_route()
        ),
        (2, Some("TOKEN"), false)
    );
    for headers in ["m: *", "m: <sip:a", "m: <sip:a@h>x", "m:"] {
        assert_eq!(
            with(headers).contact().map_err(|fault| fault.header),
            Err(Some(HeaderName::Contact)),
            "{headers}"
        );
    }
    for headers in [
        "Record-Route: <sip:p",
        "Record-Route: <sip:p>,",
        "Record-Route: \"\u{1}\" <sip:p>",
    ] {
        assert_eq!(
            with(headers).record_route().map_err(|fault| fault.reason),
            Err("Bad Record-Route"),
            "{headers:?}"
        );
    }
}

#[test]
fn numbers_are_never_guessed() {
    for (headers, expected) in [
        ("X: y", Ok(None)),
        ("Expires: 0", Ok(Some(0))),
        ("Expires: 4294967295", Ok(Some(u32::MAX))),
        ("Expires: 60\nExpires: 60", Ok(Some(60))),
        (
            "Expires: 60\nExpires: 61",
            Err("Contradictory header fields"),
        ),
        ("Expires: 4294967296", Err("Bad Expires")),
        ("Expires: -1", Err("Bad Expires")),
        ("Expires:", Err("Bad Expires")),
        ("Expires: 60s", Err("Bad Expires")),
        ("Expires: Thu, 01 Dec 1994 16:00:00 GMT", Err("Bad Expires")),
    ] {
        assert_eq!(
            with(headers).expires().map_err(|fault| fault.reason),
            expected,
            "{headers}"
        );
    }
    assert_eq!(
        with("Max-Forwards: 256")
            .max_forwards()
            .map_err(|fault| fault.reason),
        Err("Bad Max-Forwards")
    );
    let response = response(&format!(
        "SIP/2.0 503 X\n{VIA}\nRetry-After: 30 (busy)\nMin-Expires: 60\nSIP-ETag: e1\n\n"
    ));
    assert_eq!(
        (
            response.retry_after(),
            response.min_expires(),
            response.sip_etag()
        ),
        (Ok(Some(30)), Ok(Some(60)), Some("e1"))
    );
}

#[test]
fn lists_that_are_empty_missing_or_odd() {
    assert_eq!(with("X: y").accept(), None);
    assert_eq!(with("Accept:").accept(), Some(vec![]));
    for (text, expected) in [
        (
            "Accept: application/pidf+xml;q=0.5,, */*\nAccept: A/B",
            vec!["application/pidf+xml", "*/*", "a/b"],
        ),
        (
            "Accept: a/b; c/d, nonsense, e/f g/h",
            vec!["a/b", "c/d", "e/f", "g/h"],
        ),
    ] {
        let ranges = with(text).accept().unwrap().into_iter();
        let kinds: Vec<_> = ranges.map(|range| range.kind).collect();
        assert_eq!(kinds, expected);
    }
    assert_eq!(with("Accept: nonsense").accept(), None, "as without one");
    assert_eq!(
        with("Require: eventlist , x\nRequire:\nRequire: y").require(),
        ["eventlist", "x", "y"]
    );
}

#[test]
fn mandatory_headers() {
    let good = [
        "From: <sip:a@h>;tag=1",
        "To: <sip:b@h>",
        "Call-ID: c",
        "CSeq: 1 SUBSCRIBE",
    ];
    assert_eq!(with(&good.join("\n")).check_mandatory(), Ok(()));
    for (index, header, reason) in [
        (0, HeaderName::From, "Missing From"),
        (1, HeaderName::To, "Missing To"),
        (2, HeaderName::CallId, "Missing Call-ID"),
        (3, HeaderName::CSeq, "Missing CSeq"),
    ] {
        let left: Vec<_> = good
            .iter()
            .enumerate()
            .filter(|(at, _)| *at != index)
            .map(|(_, line)| *line)
            .collect();
        let fault = with(&left.join("\n")).check_mandatory().unwrap_err();
        assert_eq!((fault.header, fault.reason), (Some(header), reason));
        let twice = [&good[..], &[good[index]]].concat().join("\n");
        assert_eq!(
            with(&twice).check_mandatory(),
            Ok(()),
            "the same again is no contradiction: {twice}"
        );
    }
    for (extra, header) in [
        ("From: <sip:x@h>;tag=1", HeaderName::From),
        ("Call-ID: d", HeaderName::CallId),
        ("CSeq: 2 SUBSCRIBE", HeaderName::CSeq),
        ("Event: presence\nEvent: dialog", HeaderName::Event),
        ("SIP-If-Match: a\nSIP-If-Match: b", HeaderName::SipIfMatch),
        ("Max-Forwards: x", HeaderName::MaxForwards),
        ("Via: nonsense", HeaderName::Via),
    ] {
        let fault = with(&[&good[..], &[extra]].concat().join("\n"))
            .check_mandatory()
            .unwrap_err();
        assert_eq!(
            (fault.header, fault.status),
            (Some(header), StatusCode::BAD_REQUEST),
            "{extra}"
        );
    }
    let other = good.join("\n").replace("1 SUBSCRIBE", "1 NOTIFY");
    assert_eq!(
        with(&other).check_mandatory().map_err(|fault| fault.reason),
        Err("CSeq method does not match")
    );
    let without_via = request("OPTIONS sip:h SIP/2.0\nFrom: <sip:a>\n\n");
    assert_eq!(
        without_via.check_mandatory().map_err(|fault| fault.reason),
        Err("Missing Via")
    );
}

#[test]
fn faults_are_small_and_hold_none_of_the_message() {
    let fault = read(&format!(
        "OPTIONS sip:h SIP/2.0\n{VIA}\nProxy-Authorization: Digest hush\nbad line\n\nhush"
    ))
    .unwrap_err();
    let text = format!("{fault} {fault:?}");
    assert!(!text.contains("hush") && text.len() < 300, "{text}");
}
