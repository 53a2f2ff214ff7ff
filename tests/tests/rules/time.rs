//! Decisions that time changes, and those who wait for one.

use std::time::Duration;

use system_tests::phone::{Dialog, Notify, Phone};
use system_tests::{system, watcherinfo};

use super::{BOB, change, one, rule, state, store};

const ALICE: &str = "sip:alice@example.org";

/// RFC 4745 section 7.3: the validity ends, and with it the subscription, in time.
#[tokio::test(flavor = "multi_thread")]
async fn a_validity_ends_in_time() {
    let system = system::start();
    let until: String = system
        .sql()
        .await
        .query_one(
            "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '4 seconds', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    let validity = format!(
        "{}<validity><from>2020-01-01T00:00:00Z</from><until>{until}</until></validity>",
        one(ALICE)
    );
    store(&system, &rule("a", &validity, "allow"));
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    assert!(state(&dialog).starts_with("active"), "{}", state(&dialog));
    dialog
        .until_within(Duration::from_secs(7), "the end", |n| n.ends())
        .await;
    assert_eq!(state(&dialog), "terminated;reason=probation");
    assert_eq!(dialog.count(), 2);
}

/// A pending watcher is told nothing of state; when its time is up it waits (RFC 3857 section 4.7.1), until it is given up on. The
/// presentity is told of each step, and may read of the end for a minute.
#[tokio::test(flavor = "multi_thread")]
async fn a_pending_watcher_hears_of_no_state_and_waits_in_the_end() {
    let system = system::setup().set("presence.watcher_waiting_s", 3).start();
    let server = system.udp(0);
    store(&system, &rule("a", &one(ALICE), "confirm"));
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let watchers = bob.subscribe_to(server, BOB, "presence.winfo", 600).await;
    watchers.notify(1).await;
    let short = alice.subscribe(server, BOB, 3).await;
    let unsubscribed = alice.subscribe(server, BOB, 600).await;
    short.notify(1).await;
    unsubscribed.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "secret").await;
    publisher.show(server, "closed", "secret").await;
    let status = "SELECT max(status)::bigint FROM watchers";
    let last = unsubscribed.unsubscribe(server).await;
    assert!(last.message.body.is_empty(), "{}", last.body());
    assert_eq!(system.count(status).await, 2, "another dialog is pending");
    let last = short
        .until_within(Duration::from_secs(8), "the end", |n| n.ends())
        .await;
    assert!(last.message.body.is_empty(), "{}", last.body());
    assert_eq!(state(&short), "terminated;reason=timeout");
    assert_eq!(
        (short.count(), unsubscribed.count()),
        (2, 2),
        "no state changes"
    );
    system.until(Duration::from_secs(5), status, 4).await;

    let mut ids = Vec::new();
    for (status, event) in [("waiting", "timeout"), ("terminated", "giveup")] {
        let led_there = format!("event=\"{event}\"");
        let notify = watchers
            .until_within(Duration::from_secs(12), event, |notify| {
                let body = notify.body();
                body.contains(&format!("status=\"{status}\"")) && body.contains(&led_there)
            })
            .await;
        let info = watcherinfo::read(notify.body()).unwrap();
        assert!(!info.is_full, "{info:?}");
        let told = |w: &&watcherinfo::Watcher| w.status == status && w.event == event;
        let watcher = info.watchers.iter().find(told).unwrap();
        assert_eq!(watcher.uri, ALICE);
        ids.push(watcher.id.clone());
    }
    assert_eq!(ids[0], ids[1], "it keeps its name");
    // A minute later it is forgotten, which is nothing to be told.
    let left = "SELECT count(*) FROM watchers";
    assert_eq!(system.count(left).await, 1);
    let told = watchers.count();
    let answer = watchers.refresh(server, 600).await;
    assert_eq!(answer.status(), Some(200));
    let full = watchers.notify(told + 1).await;
    assert!(!full.body().contains("<watcher "), "{}", full.body());
    let told = watchers.count();
    system.psql("UPDATE watchers SET inserted_time = inserted_time - 61");
    system.until(Duration::from_secs(10), left, 0).await;
    assert_eq!(watchers.count(), told);
}

/// One who waits is decided about when the rules change, though there is nobody to be told but the presentity: `approved` or
/// `rejected` ends the waiting (RFC 3857 section 4.7.1).
#[tokio::test(flavor = "multi_thread")]
async fn one_who_waits_is_decided_about() {
    for (handling, decided, event) in [("allow", 1, "approved"), ("block", 3, "rejected")] {
        let system = system::setup().set("presence.waitn_time", 0).start();
        let server = system.udp(0);
        store(&system, &rule("a", &one(ALICE), "confirm"));
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let watchers = bob.subscribe_to(server, BOB, "presence.winfo", 600).await;
        watchers.notify(1).await;
        let dialog = alice.subscribe(server, BOB, 600).await;
        dialog.notify(1).await;
        dialog.unsubscribe(server).await;
        let status = "SELECT max(status)::bigint FROM watchers";
        system.until(Duration::from_secs(5), status, 4).await;
        let waits = told(&watchers, "waiting", "timeout").await;
        change(&system, &rule("a", &one(ALICE), handling));
        system.until(Duration::from_secs(5), status, decided).await;
        let over = told(&watchers, "terminated", event).await;
        assert_eq!(waits, over, "it keeps its name");
        let count = watchers.count();
        assert_eq!(watchers.refresh(server, 600).await.status(), Some(200));
        let full = watchers.notify(count + 1).await;
        assert!(!full.body().contains("<watcher "), "{}", full.body());
    }
}

/// Waits until the watcher information says this of Alice, in part; her id.
async fn told(watchers: &Dialog, status: &str, event: &str) -> String {
    let says = |notify: &Notify| {
        let info = watcherinfo::read(notify.body()).unwrap();
        let of_alice = |watcher: &&watcherinfo::Watcher| {
            watcher.uri == ALICE && watcher.status == status && watcher.event == event
        };
        let found = info.watchers.iter().find(of_alice);
        found.map(|watcher| (info.is_full, watcher.id.clone()))
    };
    let what = format!("{status} by {event}");
    let notify = watchers
        .until_within(Duration::from_secs(12), &what, |notify| {
            says(notify).is_some()
        })
        .await;
    let (is_full, id) = says(&notify).unwrap();
    assert!(!is_full, "{}", notify.body());
    id
}

/// RFC 3857 section 4.7.1: what rules do to a watcher is told as what it was, in partial state and in full state.
#[tokio::test(flavor = "multi_thread")]
async fn watcher_information_says_what_the_rules_did() {
    for (first, then, status, event) in [
        ("allow", "", "active", "subscribe"),
        ("confirm", "", "pending", "subscribe"),
        ("block", "", "terminated", "rejected"),
        ("confirm", "allow", "active", "approved"),
        ("confirm", "polite-block", "active", "approved"),
        ("confirm", "block", "terminated", "rejected"),
        ("allow", "block", "terminated", "rejected"),
        ("allow", "confirm", "terminated", "deactivated"),
        ("allow", "none", "terminated", "probation"),
        ("confirm", "none", "terminated", "probation"),
    ] {
        let system = system::setup().set("presence.waitn_time", 0).start();
        let server = system.udp(0);
        store(&system, &rule("a", &one(ALICE), first));
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let watchers = bob.subscribe_to(server, BOB, "presence.winfo", 600).await;
        watchers.notify(1).await;
        let dialog = alice.subscribe(server, BOB, 600).await;
        dialog.notify(1).await;
        match then {
            "" => {}
            "none" => change(&system, &rule("a", &one("sip:carol@example.org"), "allow")),
            handling => change(&system, &rule("a", &one(ALICE), handling)),
        }
        told(&watchers, status, event).await;
        let told = watchers.count();
        assert_eq!(watchers.refresh(server, 600).await.status(), Some(200));
        let full = watchers.notify(told + 1).await;
        let info = watcherinfo::read(full.body()).unwrap();
        let shown: Vec<_> = info
            .watchers
            .iter()
            .map(|watcher| (watcher.status.as_str(), watcher.event.as_str()))
            .collect();
        let expected = [(status, event)];
        let expected = match status {
            "terminated" => &expected[..0],
            _ => &expected[..],
        };
        assert!(
            info.is_full && shown == expected,
            "{first} {then}: {}",
            full.body()
        );
    }
}

/// RFC 4745 section 7.3 with `enable_sphere_check`: what the presentity publishes decides.
#[tokio::test(flavor = "multi_thread")]
async fn the_sphere_decides() {
    let system = system::setup()
        .set("presence.enable_sphere_check", 1)
        .start();
    let server = system.udp(0);
    let condition = format!("{}<sphere value=\"work\"/>", one(ALICE));
    store(
        &system,
        &(rule("a", &condition, "allow") + &rule("b", &one(ALICE), "polite-block")),
    );
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(server, BOB, 600).await;
    assert_eq!(dialog.notify(1).await.basic(), "closed");
    let sphere = |sphere: &str| {
        format!(
            "<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" xmlns:dm=\"urn:ietf:params:xml:ns:pidf:data-model\" \
             xmlns:r=\"urn:ietf:params:xml:ns:pidf:rpid\" entity=\"{BOB}\"><tuple id=\"t\"><status><basic>open</basic></status>\
             </tuple><dm:person id=\"p\"><r:sphere><r:{sphere}/></r:sphere></dm:person></presence>"
        )
    };
    let publish = |text: String| {
        system.psql(&format!(
            "DELETE FROM presentity; INSERT INTO presentity (username, domain, event, etag, expires, body, sender) \
             VALUES ('bob', 'example.org', 'presence', 'e', -1, '{text}', '')"
        ));
    };
    publish(sphere("work"));
    dialog.until("work", |n| n.basic() == "open").await;
    publish(sphere("home"));
    dialog.until("home", |n| n.basic() == "closed").await;
}
