//! Where NOTIFYs go when strangers can subscribe: what a phone writes into Contact or Record-Route, and what its name leads to, gives it no
//! packet of ours to an address of the inside.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use system_tests::message::Message;
use system_tests::phone::{Dialog, Login, PATIENCE, Phone};
use system_tests::pidf;
use system_tests::system::{self, System};

const BOB: &str = "sip:bob@example.org";
const REFUSED: &str = "the destination policy refuses 127.0.0.1";

/// Inside, where no stranger's request is to lead.
struct Inside {
    stream: TcpListener,
    datagrams: UdpSocket,
}

impl Inside {
    fn new() -> Inside {
        let stream = TcpListener::bind("127.0.0.1:0").unwrap();
        let datagrams = UdpSocket::bind(stream.local_addr().unwrap()).unwrap();
        stream.set_nonblocking(true).unwrap();
        datagrams.set_nonblocking(true).unwrap();
        Inside { stream, datagrams }
    }

    fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    fn saw_nothing(&self) {
        let connected = self.stream.accept().map(|(_, from)| from);
        assert_eq!(connected.unwrap_err().kind(), ErrorKind::WouldBlock);
        let mut buffer = [0; 2_000];
        let received = self.datagrams.recv_from(&mut buffer);
        assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock);
    }
}

/// Where an edge proxy is. NOTIFYs may go there, and nowhere else on this machine.
const EDGE: &str = "127.0.0.9";

/// Servers that know whom to believe. All others prove passwords.
fn public() -> System {
    let system = system::setup()
        .set("identity.trusted_peers", format!("[\"{EDGE}\"]"))
        .set("identity.digest", 1)
        .start();
    for user in ["alice", "bob", "carol", "eve"] {
        system.psql(&format!(
            "INSERT INTO subscriber (username, domain, password) VALUES ('{user}', 'example.org', '{user}')"
        ));
    }
    system
}

/// A subscription to bob with a password.
async fn subscribed(phone: &Phone, user: &str, server: SocketAddr, request: &Message) -> Dialog {
    let mut login = Login::new(user, user);
    let (dialog, answer) = phone.subscribe_as(&mut login, request, server).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
    dialog
}

/// Bob shows that he is open, with a password.
async fn show(bob: &Phone, server: SocketAddr) {
    let mut login = Login::new("bob", "bob");
    let document = pidf::document(BOB, "phone", "open", "hi");
    let publish = bob.publisher(BOB).draft(Some(&document), Some(600));
    let answer = bob.send_as(&mut login, &publish, server).await;
    assert_eq!(answer.status(), Some(200), "{answer}");
}

async fn refused(system: &System, count: i64) {
    let sql = format!("SELECT count(*) FROM active_watchers WHERE failure = '{REFUSED}'");
    system.until(PATIENCE, &sql, count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_contact_and_no_route_leads_inside() {
    let mut system = public();
    let inside = Inside::new();
    let port = inside.port();
    let eve = Phone::udp_on("eve", EDGE).await;
    for contact in [
        // /etc/hosts is as good as a zone of the phone's.
        format!("<sip:eve@localhost:{port}>"),
        format!("<sip:eve@localhost:{port};transport=tcp>"),
        format!("<sip:eve@example.org:{port};maddr=127.0.0.1>"),
    ] {
        let subscribe = eve.subscription(BOB, Some(600)).set("Contact", &contact);
        let answer = eve.send(&subscribe, system.udp(0)).await;
        assert_eq!(answer.status(), Some(200), "{contact}: {answer}");
    }
    let routed = eve
        .subscription(BOB, Some(600))
        .with("Record-Route", format!("<sip:127.0.0.1:{port};lr>"))
        .with("Record-Route", "<sip:192.0.2.9;lr>");
    assert_eq!(eve.send(&routed, system.udp(0)).await.status(), Some(200));

    // Whoever is reached by the way he came is not concerned.
    let alice = Phone::udp("alice").await;
    let carol = Phone::tcp("carol", system.tcp(0)).await;
    let [ask_alice, ask_carol] = [&alice, &carol].map(|phone| phone.subscription(BOB, Some(600)));
    let dialogs = [
        subscribed(&alice, "alice", system.udp(0), &ask_alice).await,
        subscribed(&carol, "carol", system.tcp(0), &ask_carol).await,
    ];
    for dialog in &dialogs {
        dialog.notify(1).await;
    }
    refused(&system, 4).await;
    show(&alice, system.udp(0)).await;
    for dialog in &dialogs {
        let told = |notify: &system_tests::phone::Notify| notify.note() == Some("hi");
        dialog.until("the change", told).await;
    }
    inside.saw_nothing();
    let explained = tokio::task::block_in_place(|| system.cli(&["explain", BOB]));
    assert!(explained.contains(REFUSED), "{explained}");
    let told = system.notifiers[0].lines();
    assert!(told.iter().any(|line| line.contains(REFUSED)), "{told:?}");

    // Listed, it may be sent to.
    tokio::task::block_in_place(|| system.reconfigure("outbound.allow", "127.0.0.0/8"));
    let subscribe = eve.subscription(BOB, Some(600)).set(
        "Contact",
        format!("<sip:eve@localhost:{port};transport=tcp>"),
    );
    assert_eq!(
        eve.send(&subscribe, system.udp(0)).await.status(),
        Some(200)
    );
    let until = tokio::time::Instant::now() + PATIENCE;
    while inside.stream.accept().is_err() {
        assert!(tokio::time::Instant::now() < until, "no connection");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// A phone on a connection says where else it can be reached. When its connection is gone, that is a Contact like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_gone_leads_nowhere_inside() {
    let system = public();
    let inside = Inside::new();
    let eve = Phone::tcp("eve", system.tcp(0)).await;
    let contact = format!("<sip:eve@127.0.0.1:{};transport=tcp>", inside.port());
    let subscribe = eve.subscription(BOB, Some(600)).set("Contact", &contact);
    let dialog = subscribed(&eve, "eve", system.tcp(0), &subscribe).await;
    dialog.notify(1).await;
    let connect = "SELECT count(*) FROM active_watchers WHERE flow LIKE '%;connect=127.0.0.1;%'";
    assert_eq!(system.count(connect).await, 1);
    drop((dialog, eve));
    let bob = Phone::udp("bob").await;
    show(&bob, system.udp(0)).await;
    refused(&system, 1).await;
    inside.saw_nothing();
}
