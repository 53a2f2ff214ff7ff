//! What phones are told is the address of the server.

use system_tests::phone::Phone;
use system_tests::process::run;
use system_tests::{message, pidf, system};

use super::BOB;

/// `server_address`: the Contact of answers to SUBSCRIBE and PUBLISH and of NOTIFYs, as it is written: also for a phone that comes by
/// TCP. That this phone is sent to a UDP address is worth a word, in the log and from `config check`.
#[tokio::test(flavor = "multi_thread")]
async fn server_address_is_used_as_it_is_written() {
    const ADDRESS: &str = "sip:presence.example.org:5070";
    let system = system::setup()
        .set("presence.server_address", ADDRESS)
        .start();
    for (phone, server) in [
        (Phone::udp("alice").await, system.udp(0)),
        (Phone::tcp("tcp", system.tcp(0)).await, system.tcp(0)),
    ] {
        let (dialog, response) = phone
            .subscribe_with(&phone.subscription(BOB, Some(60)), server)
            .await;
        let contact = response.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let notify = dialog.notify(1).await;
        let contact = notify.message.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let refreshed = dialog.refresh(server, 60).await;
        let contact = refreshed.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS);
        let published = phone
            .publisher(BOB)
            .publish(server, &pidf::document(BOB, "t", "open", "x"), 60)
            .await;
        let contact = published.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), ADDRESS, "{published}");
    }
    let stored = "SELECT count(*) FROM active_watchers WHERE local_contact = 'sip:presence.example.org:5070'";
    assert_eq!(system.count(stored).await, 2);
    let sentence = "presence.server_address: names no transport, so phones that come to tcp:";
    let log = system.servers[0].process.lines().join("\n");
    assert!(log.contains(sentence), "{log}");
    let check = |sets: &[&str]| {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        command.args(["config", "check"]);
        for set in sets {
            command.args(["--set", set]);
        }
        let (status, _, err) = run(&mut command, system::STARTUP);
        assert_eq!(status.code(), Some(0), "{err}");
        err
    };
    let address = format!("presence.server_address={ADDRESS}");
    assert!(check(&[&address]).contains(sentence));
    for silent in [
        &[&*format!("{address};transport=tcp")][..],
        &[&address, "server.listen=udp:127.0.0.1:5060"],
        &[
            &address,
            "server.listen=udp:127.0.0.1:5060, tcp:127.0.0.1:5060 advertise sip:192.0.2.1",
        ],
    ] {
        assert_eq!(check(silent), "", "{silent:?}");
    }
}

/// Without it, the answer to PUBLISH has no Contact.
#[tokio::test(flavor = "multi_thread")]
async fn server_address() {
    let system = system::setup()
        .set(
            "presence.server_address",
            "sip:presence.example.org:5070;transport=udp",
        )
        .start();
    let alice = Phone::udp("alice").await;
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(60)), system.udp(0))
        .await;
    let contact = response.header("Contact").unwrap_or_default();
    assert_eq!(
        message::addr(contact),
        "sip:presence.example.org:5070;transport=udp"
    );
    let notify = dialog.notify(1).await;
    let contact = notify.message.header("Contact").unwrap_or_default();
    assert_eq!(
        message::addr(contact),
        "sip:presence.example.org:5070;transport=udp"
    );
    let none = system::setup().notifiers(0).start();
    let published = alice
        .publisher(BOB)
        .publish(none.udp(0), &pidf::document(BOB, "t", "open", "x"), 60)
        .await;
    assert_eq!(
        (published.status(), published.header("Contact")),
        (Some(200), None),
        "{published}"
    );
}

/// A listener that is called otherwise where phones are goes before it.
#[tokio::test(flavor = "multi_thread")]
async fn server_address_of_a_listener() {
    let system = system::setup()
        .listen("udp:127.0.0.1:0 advertise sip:192.0.2.7:5062")
        .listen("tcp:0.0.0.0:0 advertise sip:192.0.2.8")
        .set("identity.policy", "open")
        .set("presence.server_address", "sip:presence.example.org")
        .start();
    let of = |transport: &str| {
        let listeners = system.servers[0].listen.iter();
        listeners
            .filter(|(name, _)| name == transport)
            .map(|(_, addr)| *addr)
            .collect::<Vec<_>>()
    };
    let (udp, tcp) = (of("udp"), of("tcp"));
    let everywhere = (std::net::Ipv4Addr::LOCALHOST, tcp[1].port()).into();
    let alice = Phone::udp("alice").await;
    for (phone, server, shown) in [
        (&alice, udp[0], "sip:presence.example.org"),
        (&alice, udp[1], "sip:192.0.2.7:5062"),
        (
            &Phone::tcp("tcp", tcp[0]).await,
            tcp[0],
            "sip:presence.example.org",
        ),
        (
            &Phone::tcp("tcp", everywhere).await,
            everywhere,
            "sip:192.0.2.8;transport=tcp",
        ),
    ] {
        let (dialog, response) = phone
            .subscribe_with(&phone.subscription(BOB, Some(60)), server)
            .await;
        let contact = response.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), shown);
        let notify = dialog.notify(1).await;
        let contact = notify.message.header("Contact").unwrap_or_default();
        assert_eq!(message::addr(contact), shown);
    }
}

/// Without `server_address`, the Contact is the address at which the SUBSCRIBE came in.
#[tokio::test(flavor = "multi_thread")]
async fn no_server_address() {
    let system = system::start();
    let (alice, tcp) = (
        Phone::udp("alice").await,
        Phone::tcp("tcp", system.tcp(0)).await,
    );
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(60)), system.udp(0))
        .await;
    let shown = message::addr(response.header("Contact").unwrap_or_default()).to_string();
    assert!(shown.contains(&system.udp(0).to_string()), "{shown}");
    let notify = dialog.notify(1).await;
    assert_eq!(
        message::addr(notify.message.header("Contact").unwrap_or_default()),
        shown
    );
    let (dialog, response) = tcp
        .subscribe_with(&tcp.subscription(BOB, Some(60)), system.tcp(0))
        .await;
    let shown = message::addr(response.header("Contact").unwrap_or_default()).to_string();
    assert!(
        shown.contains(&system.tcp(0).to_string()) && shown.contains("transport=tcp"),
        "{shown}"
    );
    dialog.notify(1).await;
}
