//! Flows: who gets a token, and what the relay does with it (RFC 5626 section 5.3, RFC 3261 section 16.11).

use crate::support::{Database, Draft, Phone, Server, TcpPhone, request, response};
use sip::{HeaderName, Secret};

/// A NOTIFY as a notifier sends it through the server that holds the flow.
fn notify(flow: &str, branch: &str) -> Draft {
    Draft::new("NOTIFY", "dialog")
        .uri("sip:alice@192.0.2.1:5060")
        .with(
            "Via",
            &format!("SIP/2.0/TCP 192.0.2.9:5060;branch=z9hG4bK{branch};rport"),
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
    let mut notifier = TcpPhone::connect(server.internal).await;

    let sent = notify(&flow, "n1").text();
    notifier.send(&sent).await;
    let first = phone.receive().await;
    notifier.send(&sent).await;
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
    let back = response(notifier.receive().await);
    assert_eq!(back.status().code(), 200);
    assert_eq!(back.vias().expect("Vias").len(), 1);
    assert_eq!(
        back.top_via().expect("a Via").branch.as_deref(),
        Some("z9hG4bKn1")
    );

    // Another transaction has another branch.
    notifier.send(notify(&flow, "n2").text()).await;
    assert_ne!(
        request(phone.receive().await)
            .top_via()
            .expect("a Via")
            .branch,
        vias[0].branch
    );
    server.stop().await;
}

/// A phone that answers with all that fits a datagram fills nobody's connection: its answer is not handed on, and those of others are.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_too_long_stays_here() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let subscribe = Draft::subscribe("dialog", phone.address()).by(&phone);
    let answer = phone.ask(server.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let flow = flow(&database).await;
    let mut notifier = TcpPhone::connect(server.internal).await;
    for (branch, length) in [("n1", 60_000), ("n2", 17_000), ("n3", 15_000)] {
        notifier.send(notify(&flow, branch).text()).await;
        let answer = String::from_utf8(ok(&request(phone.receive().await.0))).expect("UTF-8");
        let more = format!("X:{}\r\n", "x".repeat(1_000)).repeat(length / 1_000);
        let answer = answer.replace("Content-Length", &format!("{more}Content-Length"));
        phone.send(server.udp, answer).await;
    }
    let back = response(notifier.receive().await);
    assert_eq!(
        back.top_via().expect("a Via").branch.as_deref(),
        Some("z9hG4bKn3")
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
    let mut notifier = TcpPhone::connect(server.internal).await;

    let elsewhere = TcpPhone::connect(other.internal)
        .await
        .ask(notify(&flow, "n1").text())
        .await;
    assert_eq!(
        elsewhere.status().code(),
        430,
        "a connection belongs to one process"
    );

    let hops = notifier
        .ask(notify(&flow, "n2").with("Max-Forwards", "0").text())
        .await;
    assert_eq!(hops.status().code(), 483);

    let by_udp = Phone::new()
        .await
        .ask(server.udp, notify(&flow, "n2").text())
        .await;
    assert_eq!(
        by_udp.status().code(),
        430,
        "an answer could not be brought back"
    );

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
    let gone = notifier.ask(notify(&flow, "n3").text()).await;
    assert_eq!(gone.status().code(), 430, "{}", gone.reason());
    server.stop().await;
    other.stop().await;
}

/// Where notifiers are told to connect to somebody listens, whatever the family of the listener.
#[tokio::test(flavor = "multi_thread")]
async fn notifiers_reach_a_listener_on_all_addresses() {
    let database = Database::migrated().await;
    for listen in ["tcp:0.0.0.0:0", "tcp:[::]:0"] {
        let server = Server::configured(&database.url, |config| {
            config.server.internal_listen = Some(listen.parse().expect("an address"));
        })
        .await;
        assert_eq!(server.internal.is_ipv6(), listen.contains('['), "{listen}");
        let mut notifier = TcpPhone::connect(server.internal).await;
        let options = Draft::new("OPTIONS", "there").text();
        assert_eq!(notifier.ask(options).await.status().code(), 200, "{listen}");
        server.stop().await;
    }
}

/// A notifier that reads late still gets every answer, the refusals among them.
#[tokio::test(flavor = "multi_thread")]
async fn no_refusal_is_lost() {
    const MANY: usize = 2_000;
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let subscribe = Draft::subscribe("dialog", phone.address()).by(&phone);
    let answer = phone.ask(server.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let no_hops = notify(&flow(&database).await, "n1")
        .with("Max-Forwards", "0")
        // An answer repeats it, so all answers together are more than the kernels hold.
        .with(
            "From",
            &format!("<sip:{}@example.org>;tag=f", "x".repeat(7_000)),
        )
        .text();
    let mut notifier = TcpPhone::connect(server.internal).await;
    for _ in 0..MANY {
        notifier.send(&no_hops).await;
    }
    for _ in 0..MANY {
        let refused = response(notifier.receive().await);
        assert_eq!(refused.status().code(), 483);
    }
    server.stop().await;
}

/// A phone whose connection closes does not answer what it was sent there. The notifier learns it at once, and does not take it for
/// silent; what was answered before is over.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_closed_connection_leaves_unanswered_is_refused() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let mut phone = TcpPhone::connect(server.tcp).await;
    let subscribe = Draft::subscribe("dialog", ([192, 0, 2, 1], 5060).into());
    let answer = phone.ask(subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let flow = flow(&database).await;
    let mut notifier = TcpPhone::connect(server.internal).await;
    let mut received = Vec::new();
    for branch in ["n1", "n2", "n3"] {
        notifier.send(notify(&flow, branch).text()).await;
        received.push(request(phone.receive().await));
    }
    phone.send(ok(&received[1])).await;
    let first = response(notifier.receive().await);
    drop(phone);
    let (second, third) = (notifier.receive().await, notifier.receive().await);
    let answers = [first, response(second), response(third)].map(|answer| {
        let branch = answer.top_via().expect("a Via").branch;
        (answer.status().code(), branch.unwrap_or_default())
    });
    let expected = [(200, "z9hG4bKn2"), (430, "z9hG4bKn1"), (430, "z9hG4bKn3")];
    assert_eq!(
        answers,
        expected.map(|(status, branch)| (status, branch.to_owned()))
    );
    // Nothing more about them comes before the next answer.
    let next = notifier.ask(notify(&flow, "n4").text()).await;
    let branch = next.top_via().expect("a Via").branch;
    assert_eq!(branch.as_deref(), Some("z9hG4bKn4"));
    server.stop().await;
}

/// RFC 3261 section 18.1.1: a long NOTIFY for a phone on UDP goes by TCP. A phone that takes the connection and does not answer there gets the copy
/// by UDP, and the next ones too once it has closed it.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_takes_connections_and_does_not_answer_there() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let (phone, listener) = loop {
        let phone = Phone::new().await;
        // Another process may have the port.
        if let Ok(listener) = tokio::net::TcpListener::bind(phone.address()).await {
            break (phone, listener);
        }
    };
    let subscribe = Draft::subscribe("dialog", phone.address()).by(&phone);
    let answer = phone.ask(server.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let flow = flow(&database).await;
    let mut notifier = TcpPhone::connect(server.internal).await;
    let long = |branch| notify(&flow, branch).body(&"x".repeat(2_000)).text();
    let own_via = |request: &sip::Request| {
        let via = request.top_via().expect("a Via");
        (via.host.to_string(), via.port, via.branch)
    };

    notifier.send(long("n1")).await;
    let (stream, _) = listener.accept().await.expect("a connection");
    let mut by_tcp = TcpPhone::on(stream);
    let first = request(by_tcp.receive().await);
    notifier.send(long("n1")).await;
    let copy = request(phone.receive().await.0);
    assert_eq!(
        own_via(&copy),
        own_via(&first),
        "one transaction for the phone"
    );
    phone.send(server.udp, ok(&copy)).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);

    notifier.send(long("n2")).await;
    let second = request(by_tcp.receive().await);
    drop(by_tcp);
    // The first one as well: nobody said by TCP that it had arrived.
    let mut branches = Vec::new();
    for _ in 0..2 {
        branches.push(own_via(&request(phone.receive().await.0)).2);
    }
    assert_eq!(branches, [own_via(&first).2, own_via(&second).2]);

    notifier.send(long("n3")).await;
    let (bytes, _) = phone.receive().await;
    phone.send(server.udp, ok(&request(bytes))).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_behind_a_nat_is_reached_from_the_socket_it_knows() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.server.internal_listen = Some("tcp:127.0.0.1:0".parse().expect("an address"));
    })
    .await;
    assert_ne!(server.internal, server.tcp);
    let phone = Phone::new().await;
    let mut notifier = TcpPhone::connect(server.internal).await;
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

    notifier.send(notify(&flow, "n1").text()).await;
    let (bytes, source) = phone.receive().await;
    assert_eq!(source, server.udp, "the pinhole is for this socket");
    let received = request(bytes);
    phone.send(server.udp, ok(&received)).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);

    // What no datagram holds is answered in the phone's place, at once, and the others go on.
    let large = notify(&flow, "n2").body(&"x".repeat(70_000)).text();
    let small = notify(&flow, "n3").text();
    notifier.send([large, small].concat()).await;
    let refused = response(notifier.receive().await);
    assert_eq!(refused.status().code(), 513, "{}", refused.reason());
    assert_eq!(
        refused.top_via().expect("a Via").branch.as_deref(),
        Some("z9hG4bKn2")
    );
    assert_eq!(refused.vias().expect("Vias").len(), 1);
    let (bytes, _) = phone.receive().await;
    phone.send(server.udp, ok(&request(bytes))).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);

    // Longer than any NOTIFY is allowed to be: the connection lives on.
    let endless = notify(&flow, "n4").body(&"x".repeat(600_000)).text();
    let answer = notifier.ask(endless).await;
    assert_eq!(answer.status().code(), 513, "{}", answer.reason());
    notifier.send(notify(&flow, "n5").text()).await;
    phone.receive().await;
    server.stop().await;
}

/// A phone without NAT is reached at the port of its Contact, wherever its requests come from, and a refresh may name another; by the
/// socket that it came to. Without the key it is left to the notifiers.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_without_nat_is_reached_at_its_contact() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let (phone, asks_by) = (Phone::new().await, Phone::new().await);
    let mut notifier = TcpPhone::connect(server.internal).await;
    let subscribe = Draft::subscribe("dialog", phone.address()).by(&asks_by);
    let answer = asks_by.ask(server.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let route = flow(&database).await;
    assert!(
        route.ends_with(";transport=tcp;connect=127.0.0.1;lr>"),
        "{route}"
    );
    notifier.send(notify(&route, "n1").text()).await;
    let (bytes, source) = phone.receive().await;
    assert_eq!(source, server.udp);
    phone.send(server.udp, ok(&request(bytes))).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);
    server.stop().await;

    let without = Server::configured(&database.url, |config| {
        config.server.notify_from_listener = false;
    })
    .await;
    let subscribe = Draft::subscribe("other", phone.address()).by(&asks_by);
    let answer = asks_by.ask(without.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    let none = "SELECT count(*) FROM active_watchers WHERE flow = ''";
    assert_eq!(database.number(none).await, 1);
    without.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_our_own_tokens_and_branches_are_honoured() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let (phone, victim) = (Phone::new().await, Phone::new().await);
    let mut notifier = TcpPhone::connect(server.internal).await;
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
    let refused = notifier.ask(notify(&route, "n1").text()).await;
    assert_eq!(refused.status().code(), 405);

    let reflected = format!(
        "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKguess\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKvictim\r\n\
         From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 NOTIFY\r\nContent-Length: 0\r\n\r\n",
        server.udp,
        victim.address()
    );
    phone.ask_in_vain(server.udp, reflected).await;

    // A true answer goes where its request came from, and nowhere else.
    let subscribe = Draft::subscribe("dialog", phone.address()).by(&phone);
    let answer = phone.ask(server.udp, subscribe.text()).await;
    assert_eq!(answer.status().code(), 200, "{}", answer.reason());
    notifier
        .send(notify(&flow(&database).await, "n2").text())
        .await;
    let answer = ok(&request(phone.receive().await.0));
    let answer = String::from_utf8(answer).expect("UTF-8");
    let stranger = TcpPhone::connect(server.tcp).await;
    let (own, other) = [&notifier, &stranger]
        .map(|end| end.stream.local_addr().expect("bound").port())
        .into();
    let changed = answer.replace(&format!("rport={own}"), &format!("rport={other}"));
    assert_ne!(answer, changed);
    phone.ask_in_vain(server.udp, changed).await;
    phone.send(server.udp, answer).await;
    assert_eq!(response(notifier.receive().await).status().code(), 200);
    let nothing = stranger.stream.try_read(&mut [0; 1]);
    assert!(nothing.is_err(), "it went to a third party: {nothing:?}");
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
