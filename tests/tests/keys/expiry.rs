//! What expires, and what of it is said.

use std::time::Duration;

use system_tests::phone::{Notify, Phone};
use system_tests::{pidf, system};

use super::BOB;

/// `force_delete`: expired publications go without a word to the watchers.
#[tokio::test(flavor = "multi_thread")]
async fn force_delete() {
    let system = system::setup().set("presence.force_delete", 1).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    bob.publisher(BOB)
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "short"), 2)
        .await;
    dialog
        .until("open", |notify| notify.basic() == "open")
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM presentity WHERE NOT removed",
            0,
        )
        .await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM notify_queue WHERE due <> 'infinity'")
            .await,
        0
    );
    // An explicit removal is told, as ever.
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "x").await;
    dialog.until("x", |notify| notify.note() == Some("x")).await;
    assert_eq!(dialog.count(), 3, "nothing between: the expiry was silent");
    publisher.remove(system.udp(0)).await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
}

/// `expires_offset`: subtracted from the Expires of the answer to PUBLISH, not from what is stored; half is told at least.
#[tokio::test(flavor = "multi_thread")]
async fn expires_offset() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.expires_offset", 20)
        .start();
    let bob = Phone::udp("bob").await;
    let document = pidf::document(BOB, "t", "open", "x");
    // Where less than half would be left, half is told: nobody refreshes each second, or takes his publication for ended.
    for (asked, shown) in [
        (100, "80"),
        (40, "20"),
        (30, "15"),
        (21, "11"),
        (20, "10"),
        (1, "1"),
    ] {
        let response = bob
            .publisher(BOB)
            .publish(system.udp(0), &document, asked)
            .await;
        assert_eq!(response.status(), Some(200));
        assert_eq!(response.header("Expires"), Some(shown), "asked for {asked}");
    }
    // Stored times are rounded up to a second, so now is as well.
    let stored = system
        .count("SELECT max(expires) - ceil(extract(epoch FROM now()))::bigint FROM presentity")
        .await;
    assert!((98..=100).contains(&stored), "{stored}");
}

/// `min_expires_action = 2`: too short is made longer instead of refused.
#[tokio::test(flavor = "multi_thread")]
async fn min_expires_action() {
    let system = system::setup()
        .set("presence.min_expires", 60)
        .set("presence.min_expires_action", 2)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let response = bob
        .publisher(BOB)
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "x"), 5)
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("60")),
        "{response}"
    );
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(5)), system.udp(0))
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("60")),
        "{response}"
    );
    dialog.unsubscribe(system.udp(0)).await;
}

/// `clean_period` is about the dead, not about expiry: that is noticed at once.
#[tokio::test(flavor = "multi_thread")]
async fn clean_period() {
    let system = system::setup().unset("presence.clean_period").start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 2).await;
    dialog
        .until_within(Duration::from_secs(5), "the end by expiry", Notify::ends)
        .await;
}
