//! NOTIFYs that fail: what ends a subscription, what is tried again, and that nobody else waits for it.

use crate::phone::{Answer, Exchange};
use crate::stage::{Stage, subscription};
use events::{NewSubscription, SubscribeOutcome};
use std::time::{Duration, Instant};

/// RFC 6665 section 4.2.2: 481 ends the subscription.
#[tokio::test(flavor = "multi_thread")]
async fn a_481_ends_the_subscription() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut rebooted = exchange.phone_that(|_| Answer::Status(481));
    let mut witness = exchange.phone();
    stage.subscribe(&rebooted, "bob", 600).await;
    stage.subscribe(&witness, "bob", 600).await;
    rebooted.next().await;
    witness.next().await;
    // Settling follows the answer; the next state says when it's done.
    let mut bob = stage.publish("bob", "state-1.", 3600).await;
    witness.until("state-1.", 5).await;
    stage.modify(&mut bob, "state-2.").await;
    witness.until("state-2.", 5).await;
    assert!(
        rebooted.arrived().is_empty(),
        "nothing is sent to who said 481"
    );
    assert_eq!(
        stage.refresh(&rebooted, 2, 600).await,
        SubscribeOutcome::NoDialog
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// 503: tried again, not before Retry-After, with the next CSeq and the state of then.
#[tokio::test(flavor = "multi_thread")]
async fn a_503_is_tried_again_after_retry_after() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[("notifier.retry_min_s", "1")]).await;
    let mut refused = false;
    let mut phone = exchange.phone_that(move |_| {
        if std::mem::replace(&mut refused, true) {
            Answer::Status(200)
        } else {
            Answer::Busy { retry_after_s: 2 }
        }
    });
    stage.subscribe(&phone, "bob", 600).await;
    let first = phone.next().await;
    let answered = Instant::now();
    let second = phone.next_within(10).await;
    // The database counts in whole seconds, upwards.
    assert!(
        answered.elapsed() > Duration::from_millis(1900),
        "{:?}",
        answered.elapsed()
    );
    assert_eq!(second.cseq, first.cseq + 1);
    assert!(second.state.starts_with("active"));
    engine.stop().await;
    exchange.assert_flawless();
}

/// Contacts that lead nowhere: each costs its owner, none the others of its batch.
#[tokio::test(flavor = "multi_thread")]
async fn hopeless_contacts_delay_nobody() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let (garbage, unknown, mut good) = (exchange.phone(), exchange.phone(), exchange.phone());
    let rows = [
        NewSubscription {
            contact: "no uri at all".into(),
            ..subscription(&garbage, "bob")
        },
        NewSubscription {
            contact: "sip:phone@does-not-exist.invalid".into(),
            ..subscription(&unknown, "bob")
        },
        subscription(&good, "bob"),
    ];
    stage.subscribe_all(&rows).await;
    good.next().await;
    let mut bob = stage.publish("bob", "state-1.", 3600).await;
    good.until("state-1.", 5).await;
    stage.modify(&mut bob, "state-2.").await;
    good.until("state-2.", 5).await;
    assert_eq!(
        stage.refresh(&garbage, 2, 600).await,
        SubscribeOutcome::NoDialog,
        "it can never be notified"
    );
    assert!(
        matches!(
            stage.refresh(&unknown, 2, 600).await,
            SubscribeOutcome::Accepted { .. }
        ),
        "its name may come back"
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// ICMP or silence: a phone that is gone for a moment gets the state when it's back (here: by re-subscribing).
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_revives_a_dialog_that_waits_for_its_retry() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage
        .engine(&[
            ("notifier.retry_min_s", "600"),
            ("notifier.retry_max_s", "600"),
        ])
        .await;
    let mut failed = false;
    let mut phone = exchange.phone_that(move |_| {
        Answer::Status(if std::mem::replace(&mut failed, true) {
            200
        } else {
            500
        })
    });
    let mut witness = exchange.phone();
    stage.subscribe(&phone, "bob", 600).await;
    phone.next().await;
    stage.subscribe(&witness, "bob", 600).await;
    let mut bob = stage.publish("bob", "state-1.", 3600).await;
    witness.until("state-1.", 5).await;
    stage.modify(&mut bob, "state-2.").await;
    witness.until("state-2.", 5).await;
    assert!(phone.arrived().is_empty(), "it waits for ten minutes");
    stage.refresh(&phone, 2, 600).await;
    assert!(phone.next().await.body.contains("state-2."));
    engine.stop().await;
    exchange.assert_flawless();
}
