//! The 49 messages of RFC 4475, one file each beside this one, byte-exact with CRLF, and what we make of each.
//! The binary part of `mpart01.sip` is a stand-in of the same length for the RFC's signature, and its Identity header is
//! left out; nothing here reads them.

use sip::{
    Aor, ForwardError, HeaderName, Limits, Message, Method, ParseError, Reply, Request, Response,
    StatusCode, Transport, ViaOut,
};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What becomes of a message.
enum Outcome {
    /// A request that is understood, and a closer look at it.
    Accepted(&'static str, fn(&Request)),
    /// A response that is understood, and a closer look at it.
    Answer(u16, &'static str, fn(&Response)),
    /// A request that is answered with this status; the header at fault.
    Refused(u16, Option<HeaderName>),
    /// A response that is dropped.
    Dropped(&'static str),
}

use Outcome::{Accepted, Answer, Dropped, Refused};

/// In the order of the RFC, with its section.
const MESSAGES: &[(&str, &str, Outcome)] = &[
    // 3.1.1 valid messages
    ("3.1.1.1", "wsinv", Accepted("INVITE", wsinv)),
    (
        "3.1.1.2",
        "intmeth",
        Accepted("!interesting-Method0123456789_*+`.%indeed'~", intmeth),
    ),
    ("3.1.1.3", "esc01", Accepted("INVITE", esc01)),
    ("3.1.1.4", "escnull", Accepted("REGISTER", escnull)),
    ("3.1.1.5", "esc02", Accepted("RE%47IST%45R", esc02)),
    (
        "3.1.1.6",
        "lwsdisp",
        Accepted("OPTIONS", |request| {
            assert_eq!(request.from().unwrap().display.as_deref(), Some("caller"))
        }),
    ),
    ("3.1.1.7", "longreq", Accepted("INVITE", longreq)),
    (
        "3.1.1.8",
        "dblreq",
        Accepted("REGISTER", |request| {
            assert_eq!(
                request.body(),
                b"",
                "the second request is no body of the first"
            )
        }),
    ),
    ("3.1.1.9", "semiuri", Accepted("OPTIONS", semiuri)),
    ("3.1.1.10", "transports", Accepted("OPTIONS", transports)),
    ("3.1.1.11", "mpart01", Accepted("MESSAGE", mpart01)),
    (
        "3.1.1.12",
        "unreason",
        Answer(
            200,
            "= 2**3 * 5**2 но сто девяносто девять - простое",
            |response| assert_eq!(response.body().len(), 154),
        ),
    ),
    ("3.1.1.13", "noreason", Answer(100, "", |_| {})),
    // 3.1.2 invalid messages
    ("3.1.2.1", "badinv01", Refused(400, Some(HeaderName::Via))),
    (
        "3.1.2.2",
        "clerr",
        Refused(400, Some(HeaderName::ContentLength)),
    ),
    (
        "3.1.2.3",
        "ncl",
        Refused(400, Some(HeaderName::ContentLength)),
    ),
    (
        "3.1.2.4",
        "scalar02",
        Refused(400, Some(HeaderName::MaxForwards)),
    ),
    ("3.1.2.5", "scalarlg", Dropped("Bad CSeq")),
    ("3.1.2.6", "quotbal", Refused(400, Some(HeaderName::To))),
    ("3.1.2.7", "ltgtruri", Refused(400, None)),
    ("3.1.2.8", "lwsruri", Refused(400, None)),
    ("3.1.2.9", "lwsstart", Refused(400, None)),
    ("3.1.2.10", "trws", Refused(400, None)),
    // "an element could choose to be liberal": the headers of a Request-URI mean nothing to us.
    ("3.1.2.11", "escruri", Accepted("INVITE", escruri)),
    // We do not read Date.
    (
        "3.1.2.12",
        "baddate",
        Accepted("INVITE", |request| {
            assert!(request.header(HeaderName::Date).is_some())
        }),
    ),
    (
        "3.1.2.13",
        "regbadct",
        Refused(400, Some(HeaderName::Contact)),
    ),
    // Spaces within the brackets are ignored, "the intent is clear".
    (
        "3.1.2.14",
        "badaspec",
        Accepted("OPTIONS", |request| {
            assert_eq!(request.to().unwrap().uri.raw, "sip:t.watson@example.org")
        }),
    ),
    ("3.1.2.15", "baddn", Refused(400, Some(HeaderName::From))),
    ("3.1.2.16", "badvers", Refused(505, None)),
    (
        "3.1.2.17",
        "mismatch01",
        Refused(400, Some(HeaderName::CSeq)),
    ),
    // 501 is as good an answer; whoever looks at the method first gives it.
    (
        "3.1.2.18",
        "mismatch02",
        Refused(400, Some(HeaderName::CSeq)),
    ),
    ("3.1.2.19", "bigcode", Dropped("Bad Status-Line")),
    // 3.2 transaction layer
    (
        "3.2.1",
        "badbranch",
        Accepted("OPTIONS", |request| {
            assert_eq!(
                request.top_via().unwrap().branch.as_deref(),
                Some("z9hG4bK")
            )
        }),
    ),
    // 3.3 application layer
    ("3.3.1", "insuf", Refused(400, Some(HeaderName::From))),
    ("3.3.2", "unkscm", Refused(416, None)),
    ("3.3.3", "novelsc", Refused(416, None)),
    ("3.3.4", "unksm2", Accepted("REGISTER", unksm2)),
    (
        "3.3.5",
        "bext01",
        Accepted("OPTIONS", |request| {
            assert_eq!(
                request.require(),
                ["nothingSupportsThis", "nothingSupportsThisEither"]
            )
        }),
    ),
    (
        "3.3.6",
        "invut",
        Accepted("INVITE", |request| {
            assert_eq!(
                request.content_type().unwrap().unwrap().kind,
                "application/unknownformat"
            )
        }),
    ),
    ("3.3.7", "regaut01", Accepted("REGISTER", regaut01)),
    ("3.3.8", "multi01", Refused(400, Some(HeaderName::From))),
    (
        "3.3.9",
        "mcl01",
        Refused(400, Some(HeaderName::ContentLength)),
    ),
    ("3.3.10", "bcast", Answer(200, "OK", bcast)),
    ("3.3.11", "zeromf", Accepted("OPTIONS", zeromf)),
    ("3.3.12", "cparam01", Accepted("REGISTER", cparam01)),
    ("3.3.13", "cparam02", Accepted("REGISTER", cparam02)),
    ("3.3.14", "regescrt", Accepted("REGISTER", regescrt)),
    (
        "3.3.15",
        "sdp01",
        Accepted("INVITE", |request| {
            assert_eq!(request.accept().unwrap()[0].kind, "text/nobodyknowsthis")
        }),
    ),
    // 3.4 backward compatibility
    ("3.4.1", "inv2543", Accepted("INVITE", inv2543)),
];

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torture")
}

fn message(name: &str) -> Vec<u8> {
    std::fs::read(folder().join(format!("{name}.sip")))
        .unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What a server checks of a request before it looks at its method.
fn check(request: &Request) -> Result<(), ParseError> {
    request.check_mandatory()?;
    Aor::from_uri(&request.parsed_uri()?, false)?;
    request.contacts()?;
    request.expires()?;
    request.record_route()?;
    request.content_type()?;
    Ok(())
}

#[test]
fn each_message_has_its_outcome() {
    for (section, name, outcome) in MESSAGES {
        let parsed = sip::parse_datagram(message(name), &Limits::default());
        match (outcome, parsed) {
            (Accepted(method, look), Ok(Message::Request(request))) => {
                assert_eq!(request.method(), &Method::new(method), "{section} {name}");
                assert_eq!(check(&request), Ok(()), "{section} {name}");
                look(&request);
            }
            (Answer(status, reason, look), Ok(Message::Response(response))) => {
                assert_eq!(
                    (response.status().code(), response.reason()),
                    (*status, *reason),
                    "{section} {name}"
                );
                assert!(
                    response.cseq().is_ok() && response.top_via().is_ok(),
                    "{section} {name}"
                );
                look(&response);
            }
            (Refused(status, header), Ok(Message::Request(request))) => {
                let fault = check(&request).expect_err(name);
                assert_eq!(
                    (fault.status.code(), fault.header),
                    (*status, *header),
                    "{section} {name}: {fault}"
                );
                assert_answerable(name, &request, &fault);
            }
            (Refused(status, header), Err(fault)) => {
                assert_eq!(
                    (fault.status.code(), fault.header),
                    (*status, *header),
                    "{section} {name}: {fault}"
                );
                let request = fault
                    .answerable
                    .clone()
                    .unwrap_or_else(|| panic!("{section} {name}: not answerable"));
                assert_answerable(name, &request, &fault);
            }
            (Dropped(reason), Err(fault)) => {
                assert_eq!(
                    (fault.reason, fault.answerable.is_none()),
                    (*reason, true),
                    "{section} {name}"
                );
            }
            (Dropped(reason), Ok(Message::Response(response))) => {
                assert_eq!(
                    response.cseq().expect_err(name).reason,
                    *reason,
                    "{section} {name}"
                );
                assert!(response.retry_after().is_err(), "{section} {name}");
            }
            (_, parsed) => panic!("{section} {name}: {parsed:?}"),
        }
    }
}

/// The refusal is a response that the sender can match: same Call-ID and CSeq, a top Via of ours to follow.
fn assert_answerable(name: &str, request: &Request, fault: &ParseError) {
    let bytes = Reply::new(request, fault.status)
        .reason(fault.reason)
        .encode("192.0.2.77:5060".parse().unwrap());
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Response(response)) => {
            assert_eq!(response.status(), fault.status, "{name}");
            assert_eq!(
                response.header(HeaderName::CallId),
                request.header(HeaderName::CallId),
                "{name}"
            );
            assert_eq!(
                response.header(HeaderName::CSeq),
                request.header(HeaderName::CSeq),
                "{name}"
            );
            assert_eq!(
                response.header_lines(HeaderName::Via).count(),
                request.header_lines(HeaderName::Via).count(),
                "{name}"
            );
        }
        other => panic!("{name}: {other:?}"),
    }
}

#[test]
fn no_message_is_left_out() {
    let listed: BTreeSet<String> = MESSAGES
        .iter()
        .map(|(_, name, _)| format!("{name}.sip"))
        .collect();
    let files = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = files.filter(|name| name.ends_with(".sip")).collect();
    assert_eq!(listed, files);
    assert_eq!(files.len(), 49);
}

#[test]
fn what_is_accepted_survives_being_written() {
    for (section, name, outcome) in MESSAGES {
        if let (Accepted(..), Ok(Message::Request(request))) = (
            outcome,
            sip::parse_datagram(message(name), &Limits::default()),
        ) {
            let Ok(Message::Request(again)) =
                sip::parse_datagram(request.encode(), &Limits::default())
            else {
                panic!("{section} {name}")
            };
            assert_eq!(
                (again.method(), again.uri(), again.body()),
                (request.method(), request.uri(), request.body()),
                "{section} {name}"
            );
            assert_eq!(again.vias(), request.vias(), "{section} {name}");
            assert_eq!(
                (again.from(), again.to(), again.contacts()),
                (request.from(), request.to(), request.contacts()),
                "{section} {name}"
            );
            assert_eq!(
                again.encode(),
                request.encode(),
                "{section} {name}: written text is stable"
            );
        }
    }
}

// === a closer look ===

fn wsinv(request: &Request) {
    let to = request.to().unwrap();
    assert_eq!(
        (to.uri.raw.as_str(), to.tag()),
        ("sip:vivekg@chair-dnrc.example.com", Some("1918181833n"))
    );
    let from = request.from().unwrap();
    assert_eq!(
        (from.display.as_deref(), from.tag()),
        (Some(r#"J Rosenberg \""#), Some("98asjd8"))
    );
    assert_eq!(request.max_forwards(), Ok(Some(68)));
    let cseq = request.cseq().unwrap();
    assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
    let vias = request.vias().unwrap();
    let vias: Vec<_> = vias
        .iter()
        .map(|via| {
            (
                via.transport.unwrap(),
                via.host.to_string(),
                via.branch.as_deref().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        vias,
        [
            (Transport::Udp, "192.0.2.2".to_owned(), "390skdjuw"),
            (
                Transport::Tcp,
                "spindle.example.com".to_owned(),
                "z9hG4bK9ikj8"
            ),
            (Transport::Udp, "192.168.255.111".to_owned(), "z9hG4bK30239"),
        ]
    );
    assert_eq!(request.header(HeaderName::Subject), Some(&b""[..]));
    assert_eq!(
        request.header_named("newfangledheader"),
        Some(&b"newfangled value   continued newfangled value"[..])
    );
    assert_eq!(
        request.header_named("UnknownHeaderWithUnusualValue"),
        Some(&b";;,,;;,;"[..])
    );
    assert!(request.route().unwrap()[0].uri.is_loose_route());
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(contact.display.as_deref(), Some("Quoted string \"\""));
    assert_eq!(
        (
            contact.param("newparam"),
            contact.param("secondparam"),
            contact.param("q")
        ),
        (Some("newvalue"), Some(""), Some("0.33"))
    );
    assert_eq!(request.body().len(), 150);
}

fn intmeth(request: &Request) {
    let uri = request.parsed_uri().unwrap();
    assert_eq!(
        uri.user.as_deref(),
        Some("1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*")
    );
    assert_eq!(
        uri.password.as_deref(),
        Some("&it+has=1,weird!*pas$wo~d_too.(doesn't-it)")
    );
    let to = request.to().unwrap();
    assert_eq!(
        to.display.as_deref(),
        Some("BEL:\u{7} NUL:\u{FFFD} DEL:\u{7F}")
    );
    assert_eq!(
        to.raw_addr(),
        "<sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>"
    );
    let from = request.from().unwrap();
    assert_eq!(
        (from.display.as_deref(), from.tag()),
        (
            Some("token1~` token2'+_ token3*%!.-"),
            Some("_token~1'+`*%!-.")
        )
    );
    assert_eq!(from.param("fromParam''~+*_!.-%"), Some("работающий"));
    assert_eq!(
        request.call_id(),
        Ok("intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{")
    );
    assert_eq!(request.max_forwards(), Ok(Some(255)));
}

fn esc01(request: &Request) {
    assert_eq!(
        request.parsed_uri().unwrap().user.as_deref(),
        Some("sips%3Auser%40example.com")
    );
    assert_eq!(
        Aor::from_uri(&request.to().unwrap().uri, false)
            .unwrap()
            .uri(),
        "sip:user@example.com"
    );
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(
        Aor::from_uri(&contact.uri, false).unwrap().username,
        "caller"
    );
    assert!(contact.uri.is_loose_route());
    assert_eq!(contact.uri.param("name"), Some("v%61lue%25%34%31"));
}

fn escnull(request: &Request) {
    let users: Vec<_> = request
        .contacts()
        .unwrap()
        .into_iter()
        .map(|contact| contact.uri.user.unwrap())
        .collect();
    assert_eq!(users, ["%00", "%00%00"]);
    assert_eq!(
        Aor::from_uri(&request.to().unwrap().uri, false)
            .unwrap()
            .uri(),
        "sip:null-%00-null@example.com"
    );
}

fn esc02(request: &Request) {
    assert_eq!(request.to().unwrap().display.as_deref(), Some("%Z%45"));
    let hosts: Vec<_> = request
        .contacts()
        .unwrap()
        .iter()
        .map(|contact| contact.uri.host_str())
        .collect();
    assert_eq!(
        hosts,
        ["host1.example.com", "host3.example.com"],
        "C%6Fntact is no Contact"
    );
    assert!(request.header_named("C%6Fntact").is_some());
}

fn longreq(request: &Request) {
    assert_eq!(request.vias().unwrap().len(), 34);
    assert_eq!(request.to().unwrap().uri.port, Some(6000));
    assert_eq!(
        request.call_id().unwrap().len(),
        "longreq.onelongcallid".len() + 20 * "really".len()
    );
}

fn semiuri(request: &Request) {
    assert_eq!(
        request.parsed_uri().unwrap().user.as_deref(),
        Some("user;par=u%40example.net")
    );
    let kinds: Vec<_> = request
        .accept()
        .unwrap()
        .into_iter()
        .map(|range| range.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "application/sdp",
            "application/pkcs7-mime",
            "multipart/mixed",
            "multipart/signed",
            "message/sip",
            "message/sipfrag"
        ]
    );
}

fn transports(request: &Request) {
    let vias = request.vias().unwrap();
    let texts: Vec<_> = vias.iter().map(|via| via.transport_text.as_str()).collect();
    assert_eq!(texts, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    assert_eq!(
        (vias[1].transport, vias[2].transport),
        (None, Some(Transport::Tls))
    );
}

fn mpart01(request: &Request) {
    assert_eq!(
        request
            .content_type()
            .unwrap()
            .unwrap()
            .params
            .value("boundary"),
        Some("7a9cbec02ceef655")
    );
    assert_eq!(request.body().len(), 553);
    assert!(
        std::str::from_utf8(request.body()).is_err()
            && request.body().ends_with(b"\r\n--7a9cbec02ceef655--")
    );
}

fn escruri(request: &Request) {
    let uri = request.parsed_uri().unwrap();
    assert_eq!(uri.headers.as_deref(), Some("Route=%3Csip:example.com%3E"));
    assert_eq!(
        Aor::from_uri(&uri, false).unwrap().uri(),
        "sip:user@example.com"
    );
    assert!(request.route().unwrap().is_empty());
}

fn unksm2(request: &Request) {
    let to = request.to().unwrap();
    assert_eq!(
        Aor::from_uri(&to.uri, false).map_err(|fault| fault.status),
        Err(StatusCode::UNSUPPORTED_URI_SCHEME)
    );
    assert_eq!(
        request.contact().unwrap().unwrap().uri.raw,
        "name:John_Smith"
    );
}

fn regaut01(request: &Request) {
    assert_eq!(
        request.header_str(HeaderName::Authorization),
        Some("NoOneKnowsThisScheme opaque-data=here")
    );
    assert_eq!(request.body(), b"");
}

fn bcast(response: &Response) {
    let (_, next) = sip::forward_response(response).unwrap();
    assert_eq!(
        next.target().unwrap().to_string(),
        "255.255.255.255:5060",
        "whoever forwards looks at the address first"
    );
}

fn zeromf(request: &Request) {
    let via = ViaOut {
        transport: Transport::Udp,
        host: "h".into(),
        port: 5060,
        branch: "z9hG4bK1".into(),
        rport: false,
    };
    assert_eq!(
        sip::forward_request(request, &via),
        Err(ForwardError::TooManyHops)
    );
}

fn cparam01(request: &Request) {
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(
        (
            contact.param("unknownparam"),
            contact.uri.param("unknownparam")
        ),
        (Some(""), None),
        "a parameter of the header"
    );
}

fn cparam02(request: &Request) {
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(
        (
            contact.param("unknownparam"),
            contact.uri.param("unknownparam")
        ),
        (None, Some("")),
        "a parameter of the URI"
    );
}

fn regescrt(request: &Request) {
    let contact = request.contact().unwrap().unwrap();
    assert_eq!(
        contact.uri.headers.as_deref(),
        Some("Route=%3Csip:sip.example.com%3E")
    );
}

fn inv2543(request: &Request) {
    assert_eq!(request.top_via().unwrap().branch, None);
    assert_eq!(
        (request.from().unwrap().tag(), request.to().unwrap().tag()),
        (None, None)
    );
    assert_eq!(
        request.record_route(),
        Ok(vec![
            "<sip:UserB@example.com;maddr=ss1.example.com>".to_owned()
        ])
    );
    assert!(
        request.body().ends_with(b"RTP/AVP 0\r\n"),
        "without Content-Length the body is the rest"
    );
}
