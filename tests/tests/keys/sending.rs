//! When and how NOTIFYs are sent.

use std::time::Duration;

use system_tests::phone::Phone;
use system_tests::{pidf, system};

use super::BOB;

/// `waitn_time`: the first change after quiet goes out at once; further ones within that time coalesce
/// into one that goes out no later than `waitn_time` after.
#[tokio::test(flavor = "multi_thread")]
async fn waitn_time() {
    let system = system::setup().set("presence.waitn_time", 3).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "first").await;
    let first = dialog
        .until_within(Duration::from_secs(1), "first", |notify| {
            notify.note() == Some("first")
        })
        .await;
    for note in ["second", "third", "fourth"] {
        publisher.show(system.udp(0), "open", note).await;
    }
    let changed = tokio::time::Instant::now();
    let last = dialog
        .until("fourth", |notify| notify.note() == Some("fourth"))
        .await;
    assert_eq!(dialog.count(), 3, "three changes, one NOTIFY");
    let apart = last.at - first.at;
    assert!(apart > Duration::from_millis(2500), "paced: {apart:?}");
    assert!(
        changed.elapsed() < Duration::from_millis(3800),
        "no later than that: {:?}",
        changed.elapsed()
    );
    // A SUBSCRIBE meanwhile is answered at once, and pulls nobody else's NOTIFY forward.
    publisher.show(system.udp(0), "open", "fifth").await;
    let other = alice.subscribe(system.udp(0), BOB, 600).await;
    let at_once = other
        .until_within(Duration::from_secs(1), "the first NOTIFY", |_| true)
        .await;
    assert_eq!(at_once.note(), Some("fifth"));
    let fifth = dialog
        .until("fifth", |notify| notify.note() == Some("fifth"))
        .await;
    assert!(
        fifth.at - last.at > Duration::from_millis(2500),
        "{:?}",
        fifth.at - last.at
    );
}

/// `notifier_processes = 0`: the server process sends NOTIFYs itself, at once.
#[tokio::test(flavor = "multi_thread")]
async fn no_notifier_processes() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.notifier_processes", 0)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let natted = Phone::natted("nat", "10.255.254.253:5062").await;
    let tcp = Phone::tcp("tcp", system.tcp(0)).await;
    let dialogs = [
        alice.subscribe(system.udp(0), BOB, 600).await,
        natted.subscribe(system.udp(0), BOB, 600).await,
        tcp.subscribe(system.tcp(0), BOB, 600).await,
    ];
    let mut publisher = bob.publisher(BOB);
    for note in ["one", "two", "three"] {
        publisher.show(system.udp(0), "open", note).await;
        for dialog in &dialogs {
            dialog
                .until_within(Duration::from_secs(2), note, |notify| {
                    notify.note() == Some(note)
                })
                .await;
        }
    }
}

/// `fetch_rows`: how much is taken in one step; it changes nothing but the number of steps.
#[tokio::test(flavor = "multi_thread")]
async fn fetch_rows() {
    let system = system::setup()
        .set("presence.fetch_rows", 1)
        .notifiers(2)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let mut dialogs = Vec::new();
    for number in 0..10 {
        let presentity = format!("sip:u{number}@example.org");
        dialogs.push((
            alice.subscribe(system.udp(0), &presentity, 600).await,
            presentity,
        ));
    }
    for (dialog, presentity) in &dialogs {
        bob.publisher(presentity)
            .publish(
                system.udp(0),
                &pidf::document(presentity, "t", "open", "x"),
                2,
            )
            .await;
        dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
    }
    for (dialog, _) in &dialogs {
        dialog
            .until("closed", |notify| notify.basic() == "closed")
            .await;
    }
}

/// `send_fast_notify = 0`: nothing is sent while nothing is published, in no package, because some phones choke on an empty document.
/// What is published is sent, and its end; a NOTIFY that ends a subscription always goes, then without a document.
#[tokio::test(flavor = "multi_thread")]
async fn send_fast_notify() {
    let system = system::setup().set("presence.send_fast_notify", 0).start();
    let server = system.udp(0);
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    for event in [
        "presence",
        "dialog",
        "dialog;sla",
        "message-summary",
        "conference",
        "reg",
        "ua-profile",
    ] {
        let dialog = alice.subscribe_to(server, BOB, event, 600).await;
        system.until(system::STARTUP, idle, 0).await;
        assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
        system.until(system::STARTUP, idle, 0).await;
        assert_eq!(dialog.count(), 0, "{event}");
        let last = dialog.unsubscribe(server).await;
        assert_eq!((last.cseq, last.body()), (1, ""), "{event}");
    }

    let dialog = alice.subscribe(server, BOB, 600).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "something").await;
    let notify = dialog
        .until("something", |notify| notify.note() == Some("something"))
        .await;
    assert_eq!(notify.cseq, 1);
    publisher.remove(server).await;
    let notify = dialog
        .until("the end of it", |notify| notify.basic() == "closed")
        .await;
    assert_eq!(notify.cseq, 2);
    system.until(system::STARTUP, idle, 0).await;
    // It knows that there is nothing.
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    system.until(system::STARTUP, idle, 0).await;
    assert_eq!(dialog.count(), 2);
    publisher.etag = None;
    publisher.show(server, "open", "more").await;
    let notify = dialog
        .until("more", |notify| notify.note() == Some("more"))
        .await;
    assert_eq!(notify.cseq, 3);
    assert_eq!(dialog.refresh(server, 600).await.status(), Some(200));
    assert_eq!(dialog.notify(4).await.note(), Some("more"));
    dialog.unsubscribe(server).await;

    // Who is refused is told so, whatever is published.
    system.psql(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('carol', 'example.org', \
         '<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\"/>', 2, 'e1', '/pres-rules/users/carol/index')",
    );
    let refused = alice.subscribe(server, "sip:carol@example.org", 600).await;
    assert!(refused.notify(1).await.ends());
}

/// `notifier_poll_rate`: without a doorbell that rings (rows typed by hand ring none) the poll finds
/// the work, so the rate bounds the delay.
#[tokio::test(flavor = "multi_thread")]
async fn notifier_poll_rate() {
    for (rate, within) in [(1, 1700), (20, 700)] {
        let system = system::setup()
            .set("presence.notifier_poll_rate", rate)
            .start();
        let alice = Phone::udp("alice").await;
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        let sql = system.sql().await;
        let begin = tokio::time::Instant::now();
        sql.execute(
            "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
             VALUES ('bob', 'example.org', 'presence', 'x', -1, 0, $1, '')",
            &[&pidf::document(BOB, "t", "open", "x").as_bytes()],
        )
        .await
        .unwrap();
        let notify = dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
        let took = notify.at - begin;
        assert!(
            took < Duration::from_millis(within),
            "rate {rate}: {took:?}"
        );
    }
}
