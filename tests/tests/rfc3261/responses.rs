//! Sections 8.2.6, 11 and 18.2, and RFC 3581: answers, and where they go. That Vias, tags and numbers
//! are mirrored is checked by the phone on every answer.

use std::time::Duration;

use system_tests::message::{self, Message, param};
use system_tests::phone::{Phone, token};
use system_tests::system;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const BOB: &str = "sip:bob@example.org";

/// 11.2: "The response to an OPTIONS is constructed using the standard rules (...) Allow, Accept,
/// Accept-Encoding, Accept-Language, and Supported header fields SHOULD be present". RFC 6665: Allow-Events.
#[tokio::test(flavor = "multi_thread")]
async fn options() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    for uri in [BOB.to_string(), format!("sip:{}", system.udp(0))] {
        let response = phone
            .send(&phone.request("OPTIONS", &uri), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(200), "{response}");
        assert!(
            response
                .header("Allow-Events")
                .is_some_and(|events| events.contains("presence")),
            "{response}"
        );
        assert!(
            response
                .header("Accept")
                .is_some_and(|types| types.contains("application/pidf+xml")),
            "{response}"
        );
    }
}

/// 8.2.6.2: "the UAS MUST add a tag to the To header field (...) the same tag MUST be used for all
/// responses to that request": a stateless server computes the same tag again, whoever it is.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_tag_from_every_server() {
    let system = system::setup().servers(2).notifiers(0).start();
    let phone = Phone::udp("bob").await;
    for request in [
        phone.request("OPTIONS", BOB),
        phone.request("INVITE", BOB),
        phone.subscription(BOB, Some(60)).set("Event", "weather"),
        phone.publisher(BOB).draft(None, Some(60)),
    ] {
        phone.spray(&request, &system.all_udp()).await.unwrap();
    }
}

async fn ask(system: &system::System, via: &str, from: &UdpSocket, at: &UdpSocket) -> Message {
    let request = Message::request("OPTIONS", BOB)
        .with("Via", via)
        .with(
            "Via",
            "SIP/2.0/TLS inner.example.org:5061;branch=z9hG4bKinner ; x=\"a, b\"",
        )
        .with("Max-Forwards", "70")
        .with("From", "<sip:a@example.org>;tag=1")
        .with("To", "<sip:b@example.org>")
        .with("Call-ID", token())
        .with("CSeq", "1 OPTIONS");
    from.send_to(&request.encode(), system.udp(0))
        .await
        .unwrap();
    let mut buffer = vec![0; 65_535];
    let received = timeout(Duration::from_secs(5), at.recv_from(&mut buffer)).await;
    let (count, _) = received
        .unwrap_or_else(|_| panic!("no answer to Via {via}"))
        .unwrap();
    let response = message::parse(&buffer[..count]).unwrap();
    assert_eq!(response.status(), Some(200));
    let vias: Vec<&str> = response.all("Via").collect();
    let inner = vias.last().copied().unwrap_or_default();
    assert!(
        inner.ends_with("SIP/2.0/TLS inner.example.org:5061;branch=z9hG4bKinner ; x=\"a, b\""),
        "{vias:?}"
    );
    response
}

/// 18.2.2: "Otherwise (for unreliable unicast transports), if the top Via has a "received" parameter, the
/// response MUST be sent to the address in the "received" parameter, using the port indicated in the
/// "sent-by" value". RFC 3581 4: with `rport` to the source port. 18.2.1: "received" when the host differs.
#[tokio::test(flavor = "multi_thread")]
async fn where_answers_go() {
    let system = system::setup().notifiers(0).start();
    let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let two = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (source, other) = (
        one.local_addr().unwrap().port(),
        two.local_addr().unwrap().port(),
    );

    let response = ask(
        &system,
        &format!("SIP/2.0/UDP 127.0.0.1:{other};branch=z9hG4bK1"),
        &one,
        &two,
    )
    .await;
    assert_eq!(param(response.header("Via").unwrap(), "rport"), None);

    let via = format!("SIP/2.0/UDP phone.example.org:{other};branch=z9hG4bK2");
    let response = ask(&system, &via, &one, &two).await;
    assert_eq!(
        param(response.header("Via").unwrap(), "received"),
        Some("127.0.0.1")
    );

    let via = format!("SIP/2.0/UDP 10.9.8.7:{other};rport;branch=z9hG4bK3");
    let response = ask(&system, &via, &one, &one).await;
    let shown = response.header("Via").unwrap();
    assert_eq!(param(shown, "received"), Some("127.0.0.1"), "{shown}");
    assert_eq!(
        param(shown, "rport"),
        Some(source.to_string().as_str()),
        "{shown}"
    );

    // A client that lies about `received` is not believed.
    let via = format!("SIP/2.0/UDP 127.0.0.1:{source};received=192.0.2.1;branch=z9hG4bK4");
    ask(&system, &via, &one, &one).await;

    // Compact, folded, several in one line, odd spacing: all legal.
    let via = format!(
        "SIP / 2.0 / UDP  127.0.0.1 : {source} ;branch = z9hG4bK5 , SIP/2.0/UDP x;branch=z9hG4bK6"
    );
    ask(&system, &via, &one, &one).await;
}

/// 18.2.2 and RFC 3581: an answer goes to the address that its request came from, whatever else is written into any Via: not to `maddr`, which
/// is for multicast, and a response that nobody asked for goes nowhere at all.
#[tokio::test(flavor = "multi_thread")]
async fn no_answer_goes_to_a_third_address() {
    let system = system::setup().notifiers(0).start();
    let victim = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let port = victim.local_addr().unwrap().port();
    let one = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let at = UdpSocket::bind(("127.0.0.1", port)).await.unwrap();
    for via in [
        format!("SIP/2.0/UDP 127.0.0.1:{port};maddr=127.0.0.2;branch=z9hG4bK1"),
        format!("SIP/2.0/UDP 127.0.0.2:{port};branch=z9hG4bK2"),
        format!("SIP/2.0/UDP 127.0.0.2:{port};received=127.0.0.2;branch=z9hG4bK3"),
        format!(
            "SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK4, SIP/2.0/UDP 127.0.0.2:{port};branch=z9hG4bK5"
        ),
    ] {
        ask(&system, &via, &one, &at).await;
    }
    let via = format!("SIP/2.0/UDP 127.0.0.2:{port};maddr=127.0.0.2;rport;branch=z9hG4bK6");
    ask(&system, &via, &one, &one).await;

    let forged = Message {
        start: "SIP/2.0 200 OK".into(),
        headers: vec![],
        body: vec![],
    };
    let forged = forged
        .with(
            "Via",
            format!("SIP/2.0/UDP {};branch=z9hG4bK7", system.udp(0)),
        )
        .with(
            "Via",
            format!("SIP/2.0/UDP 127.0.0.2:{port};branch=z9hG4bK8"),
        )
        .with("From", "<sip:a@example.org>;tag=1")
        .with("To", "<sip:b@example.org>;tag=2")
        .with("Call-ID", token())
        .with("CSeq", "1 NOTIFY");
    one.send_to(&forged.encode(), system.udp(0)).await.unwrap();
    // Packets are handled in their order: what comes of the forged one has come when the next is answered.
    let via = format!("SIP/2.0/UDP 127.0.0.1:{port};branch=z9hG4bK9");
    ask(&system, &via, &one, &at).await;
    let mut buffer = [0; 2_000];
    assert!(
        victim.try_recv(&mut buffer).is_err(),
        "the victim got: {}",
        String::from_utf8_lossy(&buffer)
    );
}

/// 8.1.1.7: a branch without the magic cookie comes from a client of RFC 2543; it is answered all the same.
/// No branch at all, and no Via at all: no crash.
#[tokio::test(flavor = "multi_thread")]
async fn old_branches() {
    let system = system::setup().notifiers(0).start();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    ask(
        &system,
        &format!("SIP/2.0/UDP 127.0.0.1:{port};branch=1"),
        &socket,
        &socket,
    )
    .await;
    ask(
        &system,
        &format!("SIP/2.0/UDP 127.0.0.1:{port}"),
        &socket,
        &socket,
    )
    .await;
    let phone = Phone::udp("bob").await;
    phone
        .raw(
            &phone.request("OPTIONS", BOB).without("Via").encode(),
            system.udp(0),
        )
        .await;
    assert_eq!(
        phone
            .send(&phone.request("OPTIONS", BOB), system.udp(0))
            .await
            .status(),
        Some(200)
    );
}

/// 16.6 and 16.3: the server relays only what bears its own signed token; a stranger's Route makes it
/// no open relay. A token that is made up or bent is no token.
#[tokio::test(flavor = "multi_thread")]
async fn no_open_relay() {
    let system = system::setup().notifiers(0).start();
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let target = victim.local_addr().unwrap();
    let phone = Phone::udp("eve").await;
    for route in [
        format!("<sip:{};lr>", system.udp(0)),
        format!("<sip:{};lr>, <sip:{target};lr>", system.udp(0)),
        format!("<sip:{target};lr>"),
        format!(
            "<sip:AAAA0000forged@{};lr>, <sip:{target};lr>",
            system.udp(0)
        ),
    ] {
        let request = phone
            .request("NOTIFY", &format!("sip:x@{target}"))
            .with("Route", route);
        let request = request
            .with("Event", "presence")
            .with("Subscription-State", "active;expires=1");
        let found = phone
            .try_send(&request, &[system.udp(0)], Duration::from_secs(2))
            .await;
        if let Ok(response) = found {
            assert!(
                response.status().is_some_and(|status| status >= 400),
                "{response}"
            );
        }
    }
    let mut buffer = [0; 100];
    assert!(
        victim.try_recv(&mut buffer).is_err(),
        "something was relayed: {}",
        String::from_utf8_lossy(&buffer)
    );
}
