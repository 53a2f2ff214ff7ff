//! Section 4.2.2: what becomes of a subscription whose NOTIFY is refused.

use std::time::Duration;

use system_tests::phone::{Answer, Phone};
use system_tests::system;

const BOB: &str = "sip:bob@example.org";

/// 4.2.2: "If the NOTIFY request fails due to (...) a 481 (...) the notifier MUST remove the
/// subscription"; RFC 5057 and our policy name the others. One dialog for each status code.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_end_a_subscription() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let fatal = [
        404, 405, 410, 416, 480, 481, 482, 483, 484, 485, 489, 501, 604,
    ];
    for status in fatal {
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        dialog.answers(Answer::Status(status, vec![]));
    }
    let healthy = alice.subscribe(system.udp(0), BOB, 600).await;
    healthy.notify(1).await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    healthy
        .until("x", |notify| notify.note() == Some("x"))
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE status <> 3",
            1,
        )
        .await;
}

/// 4.2.2 and RFC 3261 21.5: 5xx and the like are failures of the moment: the NOTIFY is tried again,
/// with a CSeq of its own, and the subscription stays.
#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_tried_again() {
    let system = system::setup().set("notifier.retry_min_s", 1).start();
    let alice = Phone::udp("alice").await;
    for status in [500, 503, 504, 486, 400] {
        alice.answers(Answer::Status(status, vec![]));
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        alice.answers(Answer::Ok);
        dialog.notify(2).await;
        assert!(!dialog.last().unwrap().ends(), "{status}");
        dialog.unsubscribe(system.udp(0)).await;
    }
}

/// RFC 6665 4.2.2 counts an answer with Retry-After as no failure, and RFC 5057 5.1 has the next request of the usage wait for that
/// time: 480 of a phone that is temporarily unavailable ends nothing then. 481 does, whatever else it says.
#[tokio::test(flavor = "multi_thread")]
async fn retry_after_keeps_who_is_temporarily_unavailable() {
    let system = system::setup().set("notifier.retry_min_s", 1).start();
    let alice = Phone::udp("alice").await;
    let later = |status| Answer::Status(status, vec![("Retry-After".into(), "2".into())]);
    alice.answers(later(480));
    let kept = alice.subscribe(system.udp(0), BOB, 600).await;
    kept.notify(1).await;
    alice.answers(Answer::Ok);
    kept.notify(2).await;
    alice.answers(later(481));
    let gone = alice.subscribe(system.udp(0), BOB, 600).await;
    gone.notify(1).await;
    let living = "SELECT count(*) FROM active_watchers WHERE status <> 3";
    system.until(system::STARTUP, living, 1).await;
}

/// Answers of an unclear kind: the subscription is given up after so many in a row (`retry_give_up`). A server's error is none: it says
/// nothing about the phone.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_in_a_row_end_a_subscription() {
    let system = system::setup()
        .set("notifier.retry_min_s", 1)
        .set("notifier.retry_max_s", 1)
        .set("notifier.retry_give_up", 2)
        .start();
    let alice = Phone::udp("alice").await;
    let mut refused = Vec::new();
    for (status, is_kept) in [
        (302, false),
        (400, false),
        (403, false),
        (486, false),
        (603, false),
        (500, true),
        (503, true),
    ] {
        alice.answers(Answer::Status(status, vec![]));
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.answers(Answer::Status(status, vec![]));
        refused.push((status, is_kept, dialog));
    }
    for (status, is_kept, dialog) in &refused {
        dialog.notify(if *is_kept { 4 } else { 2 }).await;
        let living = format!(
            "SELECT count(*) FROM active_watchers WHERE status <> 3 AND callid = '{}'",
            dialog.call_id()
        );
        system
            .until(system::STARTUP, &living, i64::from(*is_kept))
            .await;
        assert!(*is_kept || dialog.count() == 2, "{status}");
    }
}

/// RFC 3261 20.33: Retry-After "(...) indicates how long the service is expected to be unavailable".
#[tokio::test(flavor = "multi_thread")]
async fn retry_after() {
    let system = system::setup().set("notifier.retry_min_s", 1).start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Status(
        503,
        vec![("Retry-After".into(), "4 (in a meeting)".into())],
    ));
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let first = dialog.notify(1).await;
    alice.answers(Answer::Ok);
    let second = dialog.notify(2).await;
    let apart = second.at - first.at;
    assert!(
        apart > Duration::from_millis(3500),
        "tried again after {apart:?}"
    );
}

/// 4.2.2: "If the NOTIFY request fails (...) due to a timeout condition (...) the notifier SHOULD remove
/// the subscription": after 64*T1 = 32 s, with `timeout_rm_subs` at its default of 1. The row goes.
#[tokio::test(flavor = "multi_thread")]
async fn silent_phone_is_removed() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 3600).await;
    dialog.notify(1).await;
    alice.answers(Answer::Silent);
    let begin = std::time::Instant::now();
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    system
        .until(
            Duration::from_secs(40),
            "SELECT count(*) FROM active_watchers WHERE status <> 3",
            0,
        )
        .await;
    assert!(
        begin.elapsed() > Duration::from_secs(30),
        "given up too early: {:?}",
        begin.elapsed()
    );
}

/// `timeout_rm_subs = 0`: the subscription of a phone that is silent stays, and is served again.
#[tokio::test(flavor = "multi_thread")]
async fn silent_phone_is_kept() {
    let system = system::setup()
        .set("presence.timeout_rm_subs", 0)
        .set("notifier.retry_min_s", 1)
        .start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 3600).await;
    dialog.notify(1).await;
    alice.answers(Answer::Silent);
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    system
        .until(
            Duration::from_secs(45),
            "SELECT count(*) FROM active_watchers WHERE failures > 0",
            1,
        )
        .await;
    alice.answers(Answer::Ok);
    dialog
        .until_within(Duration::from_secs(20), "the state", |notify| {
            notify.note() == Some("x") && notify.cseq > 2
        })
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE status = 1 AND failures = 0",
            1,
        )
        .await;
}

/// A phone whose port is closed: kept, and served again when it is back and refreshes.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_ends_the_back_off() {
    let system = system::setup().set("notifier.retry_min_s", 30).start();
    let alice = Phone::udp("alice").await;
    alice.answers(Answer::Status(500, vec![]));
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE failures > 0",
            1,
        )
        .await;
    alice.answers(Answer::Ok);
    let begin = std::time::Instant::now();
    assert_eq!(dialog.refresh(system.udp(0), 600).await.status(), Some(200));
    dialog.notify(2).await;
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE failures = 0",
            1,
        )
        .await;
}
