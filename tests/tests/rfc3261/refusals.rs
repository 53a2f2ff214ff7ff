//! Sections 8.2 and 21: requests that are refused, and how.

use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::system::System;
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

async fn quiet() -> (System, Phone) {
    (
        system::setup().notifiers(0).start(),
        Phone::udp("bob").await,
    )
}

fn publish(phone: &Phone) -> Message {
    let document = pidf::document(BOB, "t", "open", "hello");
    phone.publisher(BOB).draft(Some(&document), Some(600))
}

/// 8.2.1: "If the UAS recognizes but does not support the method of a request, it MUST generate a 405
/// (Method Not Allowed) response. (...) MUST also add an Allow header field". 21.5.2: "501 (...) does not
/// recognize the request method". Methods are case-sensitive (7.1).
#[tokio::test(flavor = "multi_thread")]
async fn methods() {
    let (system, phone) = quiet().await;
    for (method, status) in [
        ("INVITE", 405),
        ("REGISTER", 405),
        ("MESSAGE", 405),
        ("INFO", 405),
        ("REFER", 405),
        ("UPDATE", 405),
        ("PRACK", 405),
        ("BYE", 405),
        ("NOTIFY", 405),
        ("FOOBAR", 501),
        ("publish", 501),
        ("Subscribe", 501),
        ("PUBLISHX", 501),
        ("X-.!%*_+`'~", 501),
    ] {
        let response = phone.send(&phone.request(method, BOB), system.udp(0)).await;
        let found = response.status().unwrap_or_default();
        // Requests that only make sense inside a dialog may be answered by 481 as well.
        let fits = found == status
            || (found == 481 && matches!(method, "BYE" | "NOTIFY" | "PRACK" | "UPDATE" | "INFO"));
        assert!(fits, "{method}: {response}");
        if found == 405 {
            let allow = response.header("Allow").unwrap_or_default();
            assert!(
                ["PUBLISH", "SUBSCRIBE", "OPTIONS"]
                    .iter()
                    .all(|method| allow.contains(method)),
                "{response}"
            );
        }
    }
}

/// 17.1.1.3: an ACK is never answered. 9.2: "If the UAS did not find a matching transaction for the
/// CANCEL (...) it SHOULD respond to the CANCEL with a 481".
#[tokio::test(flavor = "multi_thread")]
async fn ack_and_cancel() {
    let (system, phone) = quiet().await;
    phone
        .raw(&phone.request("ACK", BOB).encode(), system.udp(0))
        .await;
    let response = phone
        .send(&phone.request("CANCEL", BOB), system.udp(0))
        .await;
    assert!(matches!(response.status(), Some(481 | 405)), "{response}");
    let response = phone
        .send(&phone.request("OPTIONS", BOB), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200));
    // (An answer to the ACK would be "an answer to nothing" for the phone.)
}

/// 8.2.2.3: "If a UAS does not understand an option-tag listed in a Require header field, it MUST respond
/// by generating a response with status code 420 (Bad Extension). The UAS MUST add an Unsupported header
/// field, and list in it those options it does not understand".
#[tokio::test(flavor = "multi_thread")]
async fn require() {
    let (system, phone) = quiet().await;
    let alice = phone.subscription(BOB, Some(60));
    for request in [publish(&phone), alice, phone.request("OPTIONS", BOB)] {
        let request = request
            .with("Require", "nothing-we-know, 100rel")
            .with("Require", "another");
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(420), "{response}");
        let unsupported = response.header("Unsupported").unwrap_or_default();
        assert!(
            unsupported.contains("nothing-we-know") && unsupported.contains("another"),
            "{response}"
        );
    }
    // Proxy-Require and Supported are not for us.
    let request = publish(&phone)
        .with("Proxy-Require", "x")
        .with("Supported", "nothing-we-know");
    assert_eq!(
        phone.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
}

/// 8.1.1: "A valid SIP request formulated by a UAC MUST, at a minimum, contain the following header fields:
/// To, From, CSeq, Call-ID, Max-Forwards, and Via". 21.4.1: "The Reason-Phrase SHOULD identify the syntax
/// problem in more detail, for example, "Missing Call-ID header field"."
#[tokio::test(flavor = "multi_thread")]
async fn missing_headers() {
    let (system, phone) = quiet().await;
    for name in ["From", "To", "Call-ID", "CSeq"] {
        let request = publish(&phone).without(name);
        phone.tolerates(system_tests::phone::Tolerance {
            answers: true,
            ..Default::default()
        });
        let response = phone
            .try_send(&request, &[system.udp(0)], system_tests::phone::PATIENCE)
            .await;
        // What is not there cannot be mirrored: the phone's complaints about that are no faults.
        phone.violations();
        let response = response.unwrap_or_else(|fault| panic!("{name}: {fault}"));
        assert_eq!(response.status(), Some(400), "{name}: {response}");
        assert!(
            response.reason().contains(name),
            "the reason does not name {name}: {response}"
        );
    }
}

/// 8.1.1.5: "The method MUST match that of the request"; "The sequence number value MUST be expressible as
/// a 32-bit unsigned integer and MUST be less than 2**31". Other broken header values as well.
#[tokio::test(flavor = "multi_thread")]
async fn broken_headers() {
    let (system, phone) = quiet().await;
    for (name, value) in [
        ("CSeq", "1 SUBSCRIBE"),
        ("CSeq", "x PUBLISH"),
        ("CSeq", "-1 PUBLISH"),
        ("CSeq", "4294967296 PUBLISH"),
        ("CSeq", "99999999999999999999999 PUBLISH"),
        ("CSeq", "1"),
        ("From", "<sip:bob@example.org"),
        ("From", "\"bob <sip:bob@example.org>;tag=1"),
        ("From", ""),
        ("To", "<>"),
        ("Call-ID", ""),
        ("Content-Length", "-1"),
        ("Content-Length", "x"),
        ("Content-Type", "application"),
        ("Expires", "soon"),
        ("Max-Forwards", "256x"),
    ] {
        let response = phone
            .send(&publish(&phone).set(name, value), system.udp(0))
            .await;
        phone.violations();
        assert_eq!(
            response.status(),
            Some(400),
            "{name}: {value:?}: {response}"
        );
    }
}

/// 7.3.1: headers that may stand only once and stand twice with different values are a fault, not a
/// matter of taste.
#[tokio::test(flavor = "multi_thread")]
async fn doubled_headers() {
    let (system, phone) = quiet().await;
    for (name, value) in [
        ("Call-ID", "another"),
        ("CSeq", "7 PUBLISH"),
        ("From", "<sip:eve@example.org>;tag=9"),
        ("To", "<sip:eve@example.org>"),
        ("Content-Length", "3"),
    ] {
        let request = publish(&phone);
        let length = request.body.len().to_string();
        let request = if name == "Content-Length" {
            request.with(name, length)
        } else {
            request
        };
        let response = phone.send(&request.with(name, value), system.udp(0)).await;
        phone.violations();
        assert_eq!(response.status(), Some(400), "{name} twice: {response}");
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
}

/// 8.2.2.1: "If the Request-URI uses a scheme not supported by the UAS, it SHOULD reject the request with
/// a 416 (Unsupported URI Scheme) response." RFC 4475 3.3.2 and 3.3.3 have two for OPTIONS. What is no URI is 400.
#[tokio::test(flavor = "multi_thread")]
async fn schemes() {
    let (system, phone) = quiet().await;
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    for (uri, status) in [
        ("nobodyKnowsThisScheme:totallyopaquecontent", 416),
        ("soap.beep://192.0.2.103:3002", 416),
        ("http://example.org/", 416),
        ("mailto:bob@example.org", 416),
        ("urn:service:sos", 416),
        ("sip:", 400),
        ("sip:@example.org", 400),
        ("sips:bob@example.org:port", 400),
        ("sip:bob@example.org:99999", 400),
        ("tel:", 400),
        ("tel:bob", 400),
        ("example.org", 400),
        ("*", 400),
    ] {
        for request in [
            publish(&phone),
            phone.subscription(BOB, Some(60)),
            phone.request("OPTIONS", BOB),
            phone.request("MESSAGE", BOB),
            phone.request("FOOBAR", BOB),
            dialog.request("SUBSCRIBE").with("Expires", "60"),
        ] {
            let method = request.start.split(' ').next().unwrap_or_default();
            let request = Message {
                start: format!("{method} {uri} SIP/2.0"),
                ..request.clone()
            };
            let response = phone.send(&request, system.udp(0)).await;
            assert_eq!(
                response.status(),
                Some(status),
                "{method} {uri}: {response}"
            );
        }
    }
    for uri in ["tel:+15550100", "sips:bob@example.org", "sip:example.org"] {
        let request = phone.request("OPTIONS", BOB);
        let request = Message {
            start: format!("OPTIONS {uri} SIP/2.0"),
            ..request
        };
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{uri}: {response}");
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
}

/// 21.5.6: "505 (Version Not Supported)".
#[tokio::test(flavor = "multi_thread")]
async fn version() {
    let (system, phone) = quiet().await;
    let request = phone.request("OPTIONS", BOB);
    let request = Message {
        start: format!("OPTIONS {BOB} SIP/7.0"),
        ..request
    };
    let response = phone.send(&request, system.udp(0)).await;
    assert!(matches!(response.status(), Some(505 | 400)), "{response}");
}

/// 18.3: "If the transport packet ends before the end of the message body, this is considered an error.
/// (...) If the message is a request, the element SHOULD generate a 400 (Bad Request) response." And
/// "any additional bytes (...) MUST be discarded".
#[tokio::test(flavor = "multi_thread")]
async fn content_length_of_datagrams() {
    let (system, phone) = quiet().await;
    let request = publish(&phone);
    let long = request
        .clone()
        .with("Content-Length", (request.body.len() + 1).to_string());
    assert_eq!(phone.send(&long, system.udp(0)).await.status(), Some(400));

    let request = publish(&phone);
    let mut more = request
        .clone()
        .with("Content-Length", request.body.len().to_string());
    more.body.extend_from_slice(b"<garbage/>");
    assert_eq!(phone.send(&more, system.udp(0)).await.status(), Some(200));
    assert_eq!(
        system.psql("SELECT position('garbage' IN convert_from(body, 'UTF8')) FROM presentity"),
        "0"
    );

    // A datagram without Content-Length: the body is all the rest.
    let request = publish(&phone);
    let text = request.to_string();
    let text = text.replace(&format!("Content-Length: {}\r\n", request.body.len()), "");
    phone.raw(text.as_bytes(), system.udp(0)).await;
    system
        .until(system::STARTUP, "SELECT count(*) FROM presentity", 2)
        .await;
    phone.violations(); // its answer belongs to no transaction of the phone
}

/// 21.4.11 and common sense: too much is refused or dropped, in time, and the server lives on.
#[tokio::test(flavor = "multi_thread")]
async fn too_much() {
    let (system, phone) = quiet().await;
    let mut many = phone.request("OPTIONS", BOB);
    for number in 0..2000 {
        many = many.with("X-Much", number.to_string());
    }
    let wide = phone
        .request("OPTIONS", BOB)
        .with("X-Wide", "x".repeat(40_000));
    let vias = (0..70).fold(phone.request("OPTIONS", BOB), |request, _| {
        request.with("Via", "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKx")
    });
    let params = phone
        .request("OPTIONS", BOB)
        .with("Record-Route", format!("<sip:a{}>", ";p=1".repeat(10_000)));
    for request in [many, wide, params] {
        let found = phone
            .try_send(
                &request,
                &[system.udp(0)],
                std::time::Duration::from_secs(2),
            )
            .await;
        assert!(
            found.as_ref().map_or(true, |response| (400..600)
                .contains(&response.status().unwrap_or_default())),
            "{found:?}"
        );
        phone.violations();
    }
    assert_eq!(
        phone.send(&vias, system.udp(0)).await.status(),
        Some(200),
        "70 Vias are many, but legal"
    );
    assert_eq!(
        phone
            .send(&phone.request("OPTIONS", BOB), system.udp(0))
            .await
            .status(),
        Some(200)
    );
}

/// Garbage of all kinds: no answer or an error, and everything works as before.
#[tokio::test(flavor = "multi_thread")]
async fn garbage() {
    let (system, phone) = quiet().await;
    let mallory = Phone::udp("mallory").await;
    let whole = publish(&mallory).encode();
    mallory.tolerates(system_tests::phone::Tolerance {
        raw: true,
        ..Default::default()
    });
    for cut in (0..whole.len()).step_by(7) {
        mallory.raw(&whole[..cut], system.udp(0)).await;
    }
    for seed in 0..500_u64 {
        let mut bent = whole.clone();
        for step in 0..4 {
            let dice = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(step)
                .rotate_left(29)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let at = usize::try_from(dice >> 32).unwrap_or_default() % bent.len();
            bent[at] = u8::try_from(dice & 0xff).unwrap_or_default();
        }
        mallory.raw(&bent, system.udp(0)).await;
    }
    for bytes in [
        &b"\x00\x01\x00\x08\x21\x12\xa4\x42stunstunstun"[..],
        b"\r\n\r\n",
        b"",
        b"SIP/2.0 200 OK\r\n\r\n",
        b"\0\0\0\0",
        &[0xff; 1400],
    ] {
        mallory.raw(bytes, system.udp(0)).await;
    }
    let response = phone
        .send(&phone.request("OPTIONS", BOB), system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200));
}

/// Answers that nobody asked for are dropped (18.1.2).
#[tokio::test(flavor = "multi_thread")]
async fn stray_answers() {
    let (system, phone) = quiet().await;
    let via = format!("SIP/2.0/UDP {};branch=z9hG4bKnobody", system.udp(0));
    for via in [via.clone(), format!("{via}, {}", phone.via())] {
        let stray = Message {
            start: "SIP/2.0 200 OK".into(),
            headers: vec![],
            body: vec![],
        }
        .with("Via", via)
        .with("From", "<sip:a@b>;tag=1")
        .with("To", "<sip:a@b>;tag=2")
        .with("Call-ID", "x")
        .with("CSeq", "1 NOTIFY");
        phone.raw(&stray.encode(), system.udp(0)).await;
    }
    assert_eq!(
        phone
            .send(&phone.request("OPTIONS", BOB), system.udp(0))
            .await
            .status(),
        Some(200)
    );
}
