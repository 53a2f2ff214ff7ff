//! Flows: who gets a token, and what the relay does with it (RFC 5626 section 5.3, RFC 3261 section 16.11).
#![expect(clippy::expect_used, reason = "a test fails by panicking")]

mod support;

use sip::{HeaderName, Secret};
use support::{Database, Draft, Phone, Server, TcpPhone, request, response};

/// A NOTIFY as a notifier sends it through the server that holds the flow.
fn notify(notifier: &Phone, flow: &str, branch: &str) -> Draft {
    Draft::new("NOTIFY", "dialog")
        .uri("sip:alice@192.0.2.1:5060")
        .with(
            "Via",
            &format!("SIP/2.0/UDP {};branch=z9hG4bK{branch}", notifier.address()),
        )
        .with("Route", flow)
        .with("Event", "presence")
        .with("Subscription-State", "active;expires=600")
        .body("hello")
}

fn ok(notify: &sip::Request) -> Vec<u8> {
    sip::Reply::new(notify, sip::StatusCode::OK)
        .to_tag("x")
        .encode(([127, 0, 0, 1], 9).into())
}

async fn flow(database: &Database) -> String {
    database.text("SELECT flow FROM active_watchers").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notify_goes_down_the_connection_and_its_answer_comes_back() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let mut phone = TcpPhone::connect(server.tcp).await;
    let answer = phone
        .ask(Draft::subscribe("dialog", ([192, 0, 2, 1], 5060).into()).text())
        .await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let flow = flow(&database).await;
    let notifier = Phone::new().await;

    let sent = notify(&notifier, &flow, "n1").text();
    notifier.send(server.internal, &sent).await;
    let first = phone.receive().await;
    notifier.send(server.internal, &sent).await;
    assert_eq!(
        phone.receive().await,
        first,
        "a retransmission is one for the phone, too"
    );
    let received = request(first);
    assert_eq!(
        received.header(HeaderName::Route),
        None,
        "our Route is popped"
    );
    assert_eq!(received.max_forwards().expect("a number"), Some(69));
    assert_eq!(received.uri(), "sip:alice@192.0.2.1:5060");
    assert_eq!(received.body(), b"hello");
    let vias = received.vias().expect("Vias");
    assert_eq!(vias.len(), 2);
    assert_eq!(
        (vias[0].transport_text.as_str(), vias[0].port),
        ("TCP", Some(server.tcp.port()))
    );

    phone.send(ok(&received)).await;
    let (bytes, source) = notifier.receive().await;
    assert_eq!(
        source, server.internal,
        "the notifier's socket is connected, and hears nothing else"
    );
    let back = response(bytes);
    assert_eq!(back.status().code(), 200);
    assert_eq!(back.vias().expect("Vias").len(), 1);
    assert_eq!(
        back.top_via().expect("a Via").branch.as_deref(),
        Some("z9hG4bKn1")
    );

    // Another transaction has another branch.
    notifier
        .send(server.internal, notify(&notifier, &flow, "n2").text())
        .await;
    assert_ne!(
        request(phone.receive().await)
            .top_via()
            .expect("a Via")
            .branch,
        vias[0].branch
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_gone_fails_at_once() {
    let database = Database::migrated().await;
    let (server, other) = (
        Server::start(&database.url).await,
        Server::start(&database.url).await,
    );
    let mut phone = TcpPhone::connect(server.tcp).await;
    assert_eq!(
        phone
            .ask(Draft::subscribe("dialog", ([192, 0, 2, 1], 5060).into()).text())
            .await
            .status()
            .code(),
        200
    );
    let flow = flow(&database).await;
    let notifier = Phone::new().await;

    let elsewhere = notifier
        .ask(other.udp, notify(&notifier, &flow, "n1").text())
        .await;
    assert_eq!(
        elsewhere.status().code(),
        430,
        "a connection belongs to one process"
    );

    let hops = notifier
        .ask(
            server.internal,
            notify(&notifier, &flow, "n2")
                .with("Max-Forwards", "0")
                .text(),
        )
        .await;
    assert_eq!(hops.status().code(), 483);

    // The end of the stream says that the server knows.
    tokio::io::AsyncWriteExt::shutdown(&mut phone.stream)
        .await
        .expect("closed");
    assert_eq!(
        tokio::io::AsyncReadExt::read(&mut phone.stream, &mut [0])
            .await
            .expect("the end"),
        0
    );
    let gone = notifier
        .ask(server.internal, notify(&notifier, &flow, "n3").text())
        .await;
    assert_eq!(gone.status().code(), 430, "{}", gone.reason());
    server.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_behind_a_nat_is_reached_from_the_socket_it_knows() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.server.internal_listen = Some("udp:127.0.0.1:0".parse().expect("an address"));
    })
    .await;
    assert_ne!(server.internal, server.udp);
    let (phone, notifier) = (Phone::new().await, Phone::new().await);
    let subscribe = Draft::subscribe("dialog", ([192, 168, 7, 7], 5060).into()).with(
        "Via",
        "SIP/2.0/UDP 192.168.7.7:5060;branch=z9hG4bKnat;rport",
    );
    assert_eq!(
        phone
            .ask(server.udp, subscribe.text())
            .await
            .status()
            .code(),
        200
    );
    let flow = flow(&database).await;
    assert!(flow.contains(&server.internal.to_string()), "{flow}");

    notifier
        .send(server.internal, notify(&notifier, &flow, "n1").text())
        .await;
    let (bytes, source) = phone.receive().await;
    assert_eq!(source, server.udp, "the pinhole is for this socket");
    let received = request(bytes);
    phone.send(server.udp, ok(&received)).await;
    let (bytes, source) = notifier.receive().await;
    assert_eq!(
        (response(bytes).status().code(), source),
        (200, server.internal)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_tokens_and_branches_are_honoured() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let (phone, notifier, victim) = (Phone::new().await, Phone::new().await, Phone::new().await);
    assert_eq!(
        phone
            .ask(server.udp, Draft::publish("p").by(&phone).text())
            .await
            .status()
            .code(),
        200
    );

    let forged = sip::FlowToken {
        transport: sip::Transport::Udp,
        local: server.udp,
        remote: victim.address(),
        instance: 0,
        connection: 0,
    };
    let route = format!(
        "<sip:{}@{};lr>",
        forged.sign(&Secret::new(b"guess")),
        server.internal
    );
    let refused = notifier
        .ask(server.internal, notify(&notifier, &route, "n1").text())
        .await;
    assert_eq!(refused.status().code(), 405);

    let reflected = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKguess\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKvictim\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n",
        server.udp,
        victim.address()
    );
    phone.ask_in_vain(server.udp, reflected).await;
    assert!(
        victim.socket.try_recv(&mut [0; 1]).is_err(),
        "nothing reached the third party"
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_came_through_a_proxy_gets_no_token() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let proxy = Phone::new().await;
    let unreachable = ([192, 168, 7, 7], 5060).into();
    let routed =
        Draft::subscribe("routed", unreachable).with("Record-Route", "<sip:edge.example.org;lr>");
    let mut two_vias = Draft::subscribe("forwarded", unreachable);
    two_vias.headers.insert(
        0,
        (
            "Via".to_owned(),
            format!("SIP/2.0/UDP {};branch=z9hG4bKproxy", proxy.address()),
        ),
    );
    for draft in [routed, two_vias] {
        let answer = proxy.ask(server.udp, draft.text()).await;
        assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    }
    assert_eq!(
        database
            .number("SELECT count(*) FROM active_watchers WHERE flow = ''")
            .await,
        2
    );
    server.stop().await;
}
