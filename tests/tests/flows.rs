//! Where NOTIFYs come from and go to: down the flow that a phone came by (on TCP, behind NAT on UDP), from the socket that a phone on
//! UDP subscribed at, and by TCP where they are too long for a datagram. The notifier is another process than the server, always.

use std::process::Command;
use std::time::Duration;

use system_tests::message::{self, Message};
use system_tests::phone::{Answer, Dialog, Notify, Phone, Tolerance, token};
use system_tests::process::{Process, pgpresence};
use system_tests::{pidf, system};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{Instant, timeout};

const BOB: &str = "sip:bob@example.org";
const NOWHERE: &str = "10.255.254.253:5062";

/// `pgpresence watch --transport tcp` gets every NOTIFY on its connection; after the server was killed,
/// it gets them again once it has subscribed through the other server.
#[tokio::test(flavor = "multi_thread")]
async fn pgpresence_watch_on_tcp() {
    let mut system = system::setup().servers(2).start();
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    let mut watch = watch(&system, 0);
    watch
        .line(system::STARTUP, |line| line.contains("closed"))
        .unwrap();
    for note in ["one", "two", "three"] {
        publisher.show(system.udp(1), "open", note).await;
        watch
            .line(system::STARTUP, |line| {
                line.contains(&format!("open \"{note}\""))
            })
            .unwrap();
    }
    system.servers[0].process.kill9();
    publisher
        .show(system.udp(1), "open", "nobody sees this at once")
        .await;
    drop(watch);
    let mut watch = self::watch(&system, 1);
    watch
        .line(system::STARTUP, |line| {
            line.contains("nobody sees this at once")
        })
        .unwrap();
    publisher.show(system.udp(1), "closed", "four").await;
    watch
        .line(system::STARTUP, |line| line.contains("closed \"four\""))
        .unwrap();
    let status = watch.terminate(Duration::from_secs(15)).unwrap();
    assert!(
        status.success(),
        "Ctrl-C and SIGTERM are its regular end: {status}"
    );
    assert!(
        watch
            .lines()
            .last()
            .is_some_and(|line| line.contains("terminated")),
        "{:?}",
        watch.lines()
    );
}

fn watch(system: &system::System, server: usize) -> Process {
    let mut command = Command::new(pgpresence());
    command.args([
        "watch",
        BOB,
        "--transport",
        "tcp",
        "--server",
        &system.tcp(server).to_string(),
    ]);
    Process::start(system.sandbox(), "watch", &mut command)
}

/// A TCP phone of ours: NOTIFYs on the connection; server killed; the same dialog goes on over a
/// connection to the other server, after a refresh.
#[tokio::test(flavor = "multi_thread")]
async fn tcp_phone_moves_to_the_other_server() {
    let mut system = system::setup()
        .servers(2)
        .set("notifier.retry_min_s", 1)
        .start();
    let (alice, bob) = (
        Phone::tcp("alice", system.tcp(0)).await,
        Phone::udp("bob").await,
    );
    let mut publisher = bob.publisher(BOB);
    let dialog = alice.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    publisher.show(system.udp(1), "open", "first").await;
    dialog
        .until("first", |notify| notify.note() == Some("first"))
        .await;

    system.servers[0].process.kill9();
    publisher.show(system.udp(1), "open", "while away").await;
    let again = Phone::tcp("alice", system.tcp(1)).await;
    // What the killed server took with it is a gap in the numbers, not a fault.
    again.tolerates(Tolerance {
        gaps: true,
        ..Tolerance::default()
    });
    let dialog = again.adopt(&dialog);
    assert_eq!(dialog.refresh(system.tcp(1), 600).await.status(), Some(200));
    dialog
        .until("while away", |notify| notify.note() == Some("while away"))
        .await;
    publisher.show(system.udp(1), "closed", "last").await;
    dialog
        .until("last", |notify| notify.note() == Some("last"))
        .await;
}

/// A UDP phone whose Via and Contact show a private address that nobody can reach gets every NOTIFY
/// from the server that it subscribed through: RFC 3581, and the same hole in the NAT.
#[tokio::test(flavor = "multi_thread")]
async fn natted_phone() {
    let mut system = system::setup()
        .servers(2)
        .set("notifier.retry_min_s", 1)
        .start();
    let (alice, bob) = (
        Phone::natted("alice", NOWHERE).await,
        Phone::udp("bob").await,
    );
    let mut publisher = bob.publisher(BOB);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let first = dialog.notify(1).await;
    assert_eq!(
        first.from,
        system.udp(0),
        "through the hole that the phone made"
    );
    assert_eq!(first.message.uri(), format!("sip:alice@{NOWHERE}"));
    for note in ["one", "two"] {
        publisher.show(system.udp(1), "open", note).await;
        let notify = dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
        assert_eq!(notify.from, system.udp(0));
    }

    system.servers[0].process.kill9();
    publisher.show(system.udp(1), "open", "three").await;
    alice.tolerates(Tolerance {
        gaps: true,
        ..Tolerance::default()
    });
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(dialog.refresh(system.udp(1), 600).await.status(), Some(200));
    let notify = dialog
        .until("three", |notify| notify.note() == Some("three"))
        .await;
    assert_eq!(
        notify.from,
        system.udp(1),
        "the hole is now to the other server"
    );
    let last = dialog.unsubscribe(system.udp(1)).await;
    assert!(last.ends());
}

/// A UDP flow does not die with the process: the server comes back on its port, and the phone gets what
/// it is owed without doing anything.
#[tokio::test(flavor = "multi_thread")]
async fn natted_phone_after_a_restart() {
    let mut system = system::setup()
        .set("notifier.retry_min_s", 1)
        .set("notifier.retry_max_s", 2)
        .start();
    let (alice, bob) = (
        Phone::natted("alice", NOWHERE).await,
        Phone::udp("bob").await,
    );
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    alice.tolerates(Tolerance {
        gaps: true,
        ..Tolerance::default()
    });
    let sql = system.sql().await;
    system.servers[0].process.kill9();
    let body = pidf::document(BOB, "t", "open", "meanwhile");
    sql.execute(
        "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
         VALUES ('bob', 'example.org', 'presence', 'x', -1, 0, $1, '')",
        &[&body.as_bytes()],
    )
    .await
    .unwrap();
    tokio::time::sleep(Duration::from_millis(1000)).await;
    tokio::task::block_in_place(|| system.restart_server(0));
    dialog
        .until("meanwhile", |notify| notify.note() == Some("meanwhile"))
        .await;
    drop(bob);
}

/// A flow that is gone is answered 430 at once: the dialog waits with back-off, it does not hold the
/// notifier for 32 seconds, and nobody else is late.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_that_is_gone() {
    let system = system::start();
    let (alice, carol, bob) = (
        Phone::tcp("alice", system.tcp(0)).await,
        Phone::udp("carol").await,
        Phone::udp("bob").await,
    );
    let dialog = alice.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    let call_id = dialog.call_id().to_string();
    let healthy = carol.subscribe(system.udp(0), BOB, 600).await;
    healthy.notify(1).await;
    drop((dialog, alice));
    let begin = Instant::now();
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    healthy
        .until_within(Duration::from_secs(3), "x", |notify| {
            notify.note() == Some("x")
        })
        .await;
    let failed = format!(
        "SELECT count(*) FROM active_watchers WHERE callid = '{call_id}' AND status = 1 AND failures > 0"
    );
    system.until(Duration::from_secs(5), &failed, 1).await;
    assert!(begin.elapsed() < Duration::from_secs(5));
}

/// A NOTIFY that a phone has not answered when its connection closes has failed by that, at once. It is no silence, which would end the
/// subscription after 32 s.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_closes_under_a_notify_ends_no_subscription() {
    let system = system::start();
    let alice = Phone::tcp("alice", system.tcp(0)).await;
    let bob = Phone::udp("bob").await;
    let dialog = alice.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    alice.answers(Answer::Silent);
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    dialog.until("x", |notify| notify.note() == Some("x")).await;
    drop((dialog, alice));
    let failed = "SELECT count(*) FROM active_watchers WHERE status = 1 AND failures > 0";
    system.until(Duration::from_secs(10), failed, 1).await;
}

/// A phone on TCP that no longer reads costs nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_stuck_connection_delays_nobody() {
    use tokio::io::AsyncWriteExt;
    let system = system::start();
    let (helper, carol, bob) = (
        Phone::tcp("x", system.tcp(0)).await,
        Phone::tcp("carol", system.tcp(0)).await,
        Phone::udp("bob").await,
    );
    // Sends requests without ever reading an answer, until the server can write no more.
    let mut stuck = tokio::net::TcpStream::connect(system.tcp(0)).await.unwrap();
    let request = helper
        .request("OPTIONS", BOB)
        .with("X-Big", "x".repeat(4000))
        .encode();
    let _ = tokio::time::timeout(Duration::from_secs(3), async {
        for _ in 0..20_000 {
            if stuck.write_all(&request).await.is_err() {
                break;
            }
        }
    })
    .await;
    let dialog = carol.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    dialog
        .until_within(Duration::from_secs(3), "x", |notify| {
            notify.note() == Some("x")
        })
        .await;
}

/// A fetch over TCP, and an unsubscribe by a NATed phone, bring their last NOTIFY down the flow too.
#[tokio::test(flavor = "multi_thread")]
async fn last_notifies_use_the_flow() {
    let system = system::setup().notifiers(2).start();
    let alice = Phone::tcp("alice", system.tcp(0)).await;
    let (fetch, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(0)), system.tcp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    assert!(
        fetch
            .until("the state", Notify::ends)
            .await
            .presence
            .is_some()
    );
    let natted = Phone::natted("nat", NOWHERE).await;
    let dialog = natted.subscribe(system.udp(0), BOB, 2).await;
    dialog.until("the end by expiry", Notify::ends).await;
}

const GAPS: Tolerance = Tolerance {
    gaps: true,
    strays: false,
    answers: false,
    raw: false,
};

/// A phone on TCP that has subscribed with this Contact, been notified once, and lost its connection. The dialog is kept by a phone
/// that nobody knows.
async fn lost_its_connection(
    system: &system::System,
    expires_s: u32,
    contact: &str,
    supported: Option<&str>,
) -> Dialog {
    let alice = Phone::tcp("alice", system.tcp(0)).await;
    let mut request = alice
        .subscription(BOB, Some(expires_s))
        .set("Contact", contact);
    if let Some(tags) = supported {
        request = request.with("Supported", tags);
    }
    let (dialog, response) = alice.subscribe_with(&request, system.tcp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.notify(1).await;
    let keeper = Phone::udp("alice").await;
    keeper.adopt(&dialog)
}

/// The phone at the end of the connection that comes to `listener`, and the dialog there.
async fn connected(listener: &TcpListener, dialog: &Dialog) -> (Phone, Dialog) {
    let accepted = timeout(Duration::from_secs(15), listener.accept()).await;
    let (stream, _) = accepted.expect("nobody connects").unwrap();
    // What was sent down the lost connection is a gap in the numbers.
    Phone::connected_within("alice", stream, GAPS, dialog)
}

/// RFC 3261 18.1.1: a phone on TCP whose connection is closed gets a new one to its Contact, and on that all that follows, until it
/// subscribes again. The row keeps its flow.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_listens_gets_a_new_connection() {
    let system = system::setup().set("presence.waitn_time", 0).start();
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for contact in [
        format!("<sip:alice@{address};transport=tcp>"),
        format!("<sip:alice@{address};transport=tcp>;+sip.instance=\"<urn:uuid:1>\""),
    ] {
        let dialog = lost_its_connection(&system, 600, &contact, None).await;
        let flow = "SELECT flow FROM active_watchers WHERE status = 1";
        let sql = system.sql().await;
        let before: String = sql.query_one(flow, &[]).await.unwrap().get(0);
        publisher.show(system.udp(0), "open", "one").await;
        let (phone, dialog) = connected(&listener, &dialog).await;
        let first = dialog
            .until("one", |notify| notify.note() == Some("one"))
            .await;
        assert_eq!(first.message.header("Route"), None, "{}", first.message);
        publisher.show(system.udp(0), "closed", "two").await;
        let second = dialog
            .until("two", |notify| notify.note() == Some("two"))
            .await;
        assert_eq!(second.cseq, first.cseq + 1, "no more detours");
        let delivered = "SELECT count(*) FROM active_watchers WHERE status = 1 AND failures = 0";
        system.until(system::STARTUP, delivered, 1).await;
        let after: String = sql.query_one(flow, &[]).await.unwrap().get(0);
        assert_eq!(before, after, "the row keeps its flow");

        // It comes back, and is reached down the flow that it comes by.
        let again = Phone::tcp("alice", system.tcp(0)).await;
        again.tolerates(GAPS);
        let dialog = again.adopt(&dialog);
        assert_eq!(dialog.refresh(system.tcp(0), 600).await.status(), Some(200));
        dialog
            .until("two", |notify| notify.note() == Some("two"))
            .await;
        publisher.show(system.udp(0), "open", "three").await;
        dialog
            .until("three", |notify| notify.note() == Some("three"))
            .await;
        assert!(dialog.unsubscribe(system.tcp(0)).await.ends());
        drop(phone);
    }
}

/// The same when the server that held the connection is gone, and for the last NOTIFY.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_listens_outlives_its_server() {
    let mut system = system::setup().servers(2).start();
    let bob = Phone::udp("bob").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let contact = format!(
        "<sip:alice@{};transport=tcp>",
        listener.local_addr().unwrap()
    );
    let short = lost_its_connection(&system, 2, &contact, None).await;
    let (phone, short) = connected(&listener, &short).await;
    let last = short.until("the end", Notify::ends).await;
    assert_eq!(last.state.reason.as_deref(), Some("timeout"));
    drop((short, phone));

    let dialog = lost_its_connection(&system, 600, &contact, None).await;
    system.servers[0].process.kill9();
    bob.publisher(BOB).show(system.udp(1), "open", "x").await;
    let (_phone, dialog) = connected(&listener, &dialog).await;
    dialog.until("x", |notify| notify.note() == Some("x")).await;
}

/// No connection is made to a phone that asked to be reached down its own flows only (RFC 5626), to a Contact that is private and not
/// where the phone was seen, or to one that speaks no TCP; nor is one to a closed port worth more than a failure. The NOTIFY
/// fails, and is tried again.
#[tokio::test(flavor = "multi_thread")]
async fn phones_that_no_connection_is_made_to() {
    let system = system::setup()
        .set("notifier.retry_min_s", 1)
        .set("notifier.retry_max_s", 1)
        .start();
    let bob = Phone::udp("bob").await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let port = address.port();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed_at = closed.local_addr().unwrap();
    drop(closed);
    let mut dialogs = Vec::new();
    for (contact, supported) in [
        (format!("<sip:alice@{address};transport=tcp;ob>"), None),
        (
            format!("<sip:alice@{address};transport=tcp>;reg-id=1"),
            None,
        ),
        (
            format!("<sip:alice@{address};transport=tcp>"),
            Some("path, Outbound"),
        ),
        (format!("<sip:alice@{address};transport=udp>"), None),
        (format!("<sips:alice@{address}>"), None),
        (format!("<sip:alice@127.0.0.2:{port};transport=tcp>"), None),
        (
            format!("<sip:alice@10.255.254.253:{port};transport=tcp>"),
            None,
        ),
        (format!("<sip:alice@{closed_at};transport=tcp>"), None),
    ] {
        dialogs.push(lost_its_connection(&system, 600, &contact, supported).await);
    }
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    let failed = "SELECT count(*) FROM active_watchers WHERE status = 1 AND failures > 2";
    system
        .until(Duration::from_secs(30), failed, dialogs.len() as i64)
        .await;
    let accepted = timeout(Duration::from_millis(10), listener.accept()).await;
    assert!(accepted.is_err(), "somebody connected: {accepted:?}");
    let may = "SELECT count(*) FROM active_watchers WHERE flow LIKE '%;connect=127.0.0.1;%'";
    assert_eq!(system.count(may).await, 1, "the closed port");
}

/// Firewalls let in what comes from where a phone sent to: its NOTIFYs come from there, and after a refresh at another server from that
/// one. One notifier with its defaults reaches phones of both families, through servers and without them.
#[tokio::test(flavor = "multi_thread")]
async fn phones_on_udp_are_notified_from_where_they_subscribed() {
    for through_servers in [true, false] {
        let system = system::setup()
            .servers(2)
            .listen("udp:[::1]:0")
            .unset("notifier.listen")
            .set("server.notify_from_listener", u8::from(through_servers))
            .start();
        let bob = Phone::udp("bob").await;
        let mut publisher = bob.publisher(BOB);
        for (phone, at) in [
            (Phone::udp("alice").await, [system.udp(0), system.udp(1)]),
            (
                Phone::udp6("carol").await,
                [0, 1].map(|number: usize| system.servers[number].address6("udp")),
            ),
        ] {
            let dialog = phone.subscribe(at[0], BOB, 600).await;
            let first = dialog.notify(1).await;
            assert_eq!(first.from == at[0], through_servers, "{}", first.from);
            publisher.show(system.udp(0), "open", "one").await;
            let notify = dialog
                .until("one", |notify| notify.note() == Some("one"))
                .await;
            assert_eq!(notify.from, first.from);
            assert_eq!(dialog.refresh(at[1], 600).await.status(), Some(200));
            publisher.show(system.udp(0), "open", "two").await;
            let notify = dialog
                .until("two", |notify| notify.note() == Some("two"))
                .await;
            assert_eq!(notify.from == at[1], through_servers, "{}", notify.from);
            assert!(dialog.unsubscribe(at[1]).await.ends());
        }
        let moved = "SELECT count(*) FROM active_watchers WHERE target_version > 0";
        assert_eq!(
            system.count(moved).await,
            0,
            "the phones are where they were"
        );
    }
}

/// A phone of bare sockets: where it asks from, where it wants answers, and where its Contact leads.
struct Sockets {
    asks: UdpSocket,
    answers: UdpSocket,
    contact: UdpSocket,
}

impl Sockets {
    async fn new() -> Sockets {
        let socket = async || UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Sockets {
            asks: socket().await,
            answers: socket().await,
            contact: socket().await,
        }
    }

    /// A SUBSCRIBE without `rport`, and the answer that comes to the port of its Via.
    async fn subscribe(
        &self,
        system: &system::System,
        call_id: &str,
        to: &str,
        cseq: u32,
    ) -> Message {
        let (answers, contact) = (
            self.answers.local_addr().unwrap(),
            self.contact.local_addr().unwrap(),
        );
        let request = Message::request("SUBSCRIBE", BOB)
            .with(
                "Via",
                format!("SIP/2.0/UDP {answers};branch=z9hG4bK{}", token()),
            )
            .with("Max-Forwards", "70")
            .with("From", "<sip:alice@example.org>;tag=1")
            .with("To", to)
            .with("Call-ID", call_id)
            .with("CSeq", format!("{cseq} SUBSCRIBE"))
            .with("Contact", format!("<sip:alice@{contact}>"))
            .with("Event", "presence")
            .with("Expires", "600");
        let server = system.udp(0);
        self.asks.send_to(&request.encode(), server).await.unwrap();
        let (response, from) = receive(&self.answers).await;
        assert_eq!((response.status(), from), (Some(200), server), "{response}");
        response
    }

    /// The next NOTIFY with this number or a higher one, answered.
    async fn notify(&self, system: &system::System, cseq: u32) -> Message {
        loop {
            let (notify, from) = receive(&self.contact).await;
            assert_eq!(from, system.udp(0));
            let mut answer = Message {
                start: "SIP/2.0 200 OK".into(),
                headers: vec![],
                body: vec![],
            };
            for via in notify.all("Via") {
                answer = answer.with("Via", via);
            }
            for name in ["From", "To", "Call-ID", "CSeq"] {
                answer = answer.with(name, notify.header(name).unwrap());
            }
            self.contact.send_to(&answer.encode(), from).await.unwrap();
            if notify.cseq().unwrap() >= cseq {
                return notify;
            }
        }
    }
}

async fn receive(socket: &UdpSocket) -> (Message, std::net::SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let received = timeout(Duration::from_secs(15), socket.recv_from(&mut buffer)).await;
    let (count, from) = received.expect("nothing came").unwrap();
    (message::parse(&buffer[..count]).unwrap(), from)
}

/// RFC 3261 12.2.1.1 and 18.2.2: where the host of Contact is the source address, NOTIFYs go to the port of Contact, and without `rport`
/// answers go to the port of Via, whatever port the request came from. A refresh may move the target to another port.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_with_several_ports() {
    let system = system::start();
    let mut phone = Sockets::new().await;
    let call_id = token();
    let to = format!("<{BOB}>");
    let accepted = phone.subscribe(&system, &call_id, &to, 1).await;
    phone.notify(&system, 1).await;
    phone.contact = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = accepted.header("To").unwrap().to_owned();
    phone.subscribe(&system, &call_id, &to, 2).await;
    phone.notify(&system, 2).await;
    let moved = "SELECT count(*) FROM active_watchers WHERE target_version = 1 AND failures = 0";
    assert_eq!(system.count(moved).await, 1);
}

/// The server that a phone on UDP subscribed at is gone: its NOTIFYs come from the notifier, and from the server again when the phone has
/// subscribed again. Nobody has to wait for a time-out.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_server_holds_up_nobody() {
    let mut system = system::setup().servers(2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let mut publisher = bob.publisher(BOB);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    assert_eq!(dialog.notify(1).await.from, system.udp(0));
    alice.tolerates(GAPS);
    system.servers[0].process.kill9();
    for note in ["one", "two"] {
        publisher.show(system.udp(1), "open", note).await;
        let notify = dialog
            .until_within(Duration::from_secs(5), note, |notify| {
                notify.note() == Some(note)
            })
            .await;
        assert_ne!(notify.from, system.udp(0));
    }
    tokio::task::block_in_place(|| system.restart_server(0));
    assert_eq!(dialog.refresh(system.udp(1), 600).await.status(), Some(200));
    publisher.show(system.udp(1), "open", "three").await;
    let notify = dialog
        .until("three", |notify| notify.note() == Some("three"))
        .await;
    assert_eq!(notify.from, system.udp(1));
}

/// Bob's documents, as if somebody had published them, each with this note.
async fn publish_by_hand(system: &system::System, documents: usize, note: &str) {
    let mut sql = system.sql().await;
    let change = sql.transaction().await.unwrap();
    change.execute("DELETE FROM presentity", &[]).await.unwrap();
    for number in 0..documents {
        let tuple = format!("t{number}");
        let body = pidf::document(BOB, &tuple, "open", note).into_bytes();
        change
            .execute(
                "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
                 VALUES ('bob', 'example.org', 'presence', $1::text, -1, 0, $2::bytea, '')",
                &[&tuple, &body],
            )
            .await
            .unwrap();
    }
    change.commit().await.unwrap();
}

/// RFC 3261 18.1.1: a NOTIFY of more than 1,300 octets goes by TCP to a phone that takes connections at its Contact, and by UDP to one that
/// does not, or that asks for UDP; to the former from its server or from the notifier, as small ones do.
#[tokio::test(flavor = "multi_thread")]
async fn long_notifies_go_by_tcp_where_the_phone_takes_it() {
    for through_server in [1, 0] {
        let system = system::setup()
            .set("server.notify_from_listener", through_server)
            .start();
        let (alice, carol, dave) = (
            Phone::udp("alice").await,
            Phone::udp("carol").await,
            Phone::udp("dave").await,
        );
        let by_tcp = TcpListener::bind(alice.local()).await.unwrap();
        let never = TcpListener::bind(dave.local()).await.unwrap();
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        let by_udp = carol.subscribe(system.udp(0), BOB, 600).await;
        let asks_for_udp = dave
            .subscription(BOB, Some(600))
            .set("Contact", format!("<{};transport=udp>", dave.contact()));
        let (asks_for_udp, answer) = dave.subscribe_with(&asks_for_udp, system.udp(0)).await;
        assert_eq!(answer.status(), Some(200), "{answer}");
        for dialog in [&dialog, &by_udp, &asks_for_udp] {
            dialog.notify(1).await;
        }
        publish_by_hand(&system, 1, &"long ".repeat(1_800)).await;
        let (_phone, dialog) = connected(&by_tcp, &dialog).await;
        let is_long = |notify: &Notify| notify.message.body.len() > 8_000;
        let long = dialog.until("it by TCP", is_long).await;
        let via = long.message.header("Via").unwrap();
        assert!(via.starts_with("SIP/2.0/TCP "), "{via}");
        for by_udp in [by_udp, asks_for_udp] {
            let long = by_udp.until("it by UDP", is_long).await;
            let via = long.message.header("Via").unwrap();
            assert!(via.starts_with("SIP/2.0/UDP "), "{via}");
        }
        let failed = "SELECT count(*) FROM active_watchers WHERE failures > 0";
        assert_eq!(system.count(failed).await, 0);
        let asked = timeout(Duration::from_millis(10), never.accept()).await;
        assert!(asked.is_err(), "{asked:?}");
    }
}

/// A NOTIFY that no datagram holds reaches phones on TCP, on their connections. A phone on UDP keeps its subscription: that fails at once,
/// is known in words, delays nothing else, and is over when there is something shorter.
#[tokio::test(flavor = "multi_thread")]
async fn a_notify_that_no_datagram_holds() {
    for (through_server, words) in [
        (1, "message too long: answered 513"),
        (0, "message too long: % octets"),
    ] {
        let system = system::setup()
            .set("server.notify_from_listener", through_server)
            .set("notifier.retry_min_s", 5)
            .set("notifier.retry_max_s", 5)
            .set("packages.max_document_bytes", 200_000)
            .start();
        let (alice, carol) = (
            Phone::udp("alice").await,
            Phone::tcp("carol", system.tcp(0)).await,
        );
        let by_udp = alice.subscribe(system.udp(0), BOB, 600).await;
        let by_tcp = carol.subscribe(system.tcp(0), BOB, 600).await;
        by_udp.notify(1).await;
        by_tcp.notify(1).await;
        alice.tolerates(GAPS);
        let begin = Instant::now();
        publish_by_hand(&system, 2, &"very long ".repeat(4_000)).await;
        by_tcp
            .until("it by TCP", |notify| notify.message.body.len() > 70_000)
            .await;
        let failed = format!(
            "SELECT count(*) FROM presence_subscriptions WHERE state = 'active' AND last_failure LIKE '{words}'"
        );
        system.until(Duration::from_secs(10), &failed, 1).await;
        assert!(begin.elapsed() < Duration::from_secs(15), "no time-out");
        let explained = system.cli(&["explain", BOB]);
        let said = words.replace("% octets", "8");
        assert!(
            explained.contains(&format!("failed in a row ({said}")),
            "{explained}"
        );
        publish_by_hand(&system, 1, "short").await;
        for dialog in [by_udp, by_tcp] {
            dialog
                .until("the end of it", |notify| notify.note() == Some("short"))
                .await;
        }
        let well = "SELECT count(*) FROM presence_subscriptions WHERE last_failure IS NULL";
        system.until(Duration::from_secs(5), well, 2).await;
    }
}

/// What is too large for one document is not sent: the newest publications are, and who watches keeps watching.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_has_room_for_the_newest_publications_only() {
    let system = system::start();
    let (alice, carol) = (
        Phone::udp("alice").await,
        Phone::tcp("carol", system.tcp(0)).await,
    );
    let by_udp = alice.subscribe(system.udp(0), BOB, 600).await;
    let by_tcp = carol.subscribe(system.tcp(0), BOB, 600).await;
    by_udp.notify(1).await;
    by_tcp.notify(1).await;
    alice.tolerates(GAPS);
    publish_by_hand(&system, 2, &"very long ".repeat(4_000)).await;
    for dialog in [&by_udp, &by_tcp] {
        let told = dialog
            .until("the newest", |notify| notify.message.body.len() > 40_000)
            .await;
        assert!(
            told.message.body.len() <= 60_000,
            "{}",
            told.message.body.len()
        );
    }
    let explained = system.cli(&["explain", BOB]);
    let said = "1 of these publications are left out, the oldest or too large: packages.max_document_bytes is 60000";
    assert!(explained.contains(said), "{explained}");
    let bob = Phone::tcp("bob", system.tcp(0)).await;
    let body = pidf::document(BOB, "t", "open", &"x".repeat(60_000));
    let answer = bob.publisher(BOB).publish(system.tcp(0), &body, 60).await;
    assert_eq!(answer.status(), Some(413), "{answer}");
    publish_by_hand(&system, 2, "short").await;
    for dialog in [by_udp, by_tcp] {
        dialog
            .until("both", |notify| {
                notify
                    .message
                    .body
                    .windows(5)
                    .filter(|w| w == b"short")
                    .count()
                    == 2
            })
            .await;
    }
}
