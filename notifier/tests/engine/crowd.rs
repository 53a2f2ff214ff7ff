//! Many watchers, many resources, several engines.

use crate::phone::{Answer, Exchange, Phone};
use crate::stage::{Publisher, Stage, subscription};
use events::NewSubscription;
use std::time::{Duration, Instant};

/// One watcher that never answers among 200: the others are notified as if it weren't there, change after change.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_watcher_delays_nobody() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut silent = exchange.phone_that(|_| Answer::Silence);
    let mut phones: Vec<Phone> = (0..199).map(|_| exchange.phone()).collect();
    let mut bob = stage.publish("bob", "state-0.", 3600).await;
    let mut rows: Vec<NewSubscription> = phones
        .iter()
        .map(|phone| subscription(phone, "bob"))
        .collect();
    rows.insert(100, subscription(&silent, "bob"));
    stage.subscribe_all(&rows).await;
    for change in 0..=3 {
        let changed = Instant::now();
        if change > 0 {
            stage.modify(&mut bob, &format!("state-{change}.")).await;
        }
        for phone in &mut phones {
            phone.until(&format!("state-{change}."), 5).await;
        }
        assert!(
            changed.elapsed() < Duration::from_secs(4),
            "change {change} took {:?}",
            changed.elapsed()
        );
    }
    assert_eq!(
        silent.arrived().len(),
        1,
        "one NOTIFY at a time, and the first is still in flight"
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// More watchers than permits, and than one take returns: all are notified.
#[tokio::test(flavor = "multi_thread")]
async fn a_fan_out_larger_than_the_permits_goes_in_chunks() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[("notifier.in_flight", "50")]).await;
    stage.publish("bob", "state-0.", 3600).await;
    let mut phones: Vec<Phone> = (0..500).map(|_| exchange.phone()).collect();
    let rows: Vec<NewSubscription> = phones
        .iter()
        .map(|phone| subscription(phone, "bob"))
        .collect();
    stage.subscribe_all(&rows).await;
    for phone in &mut phones {
        assert_eq!(phone.until("state-0.", 20).await.len(), 1);
    }
    engine.stop().await;
    exchange.assert_flawless();
}

/// Two engines share 300 resources that change all the time: in every dialog CSeq rises by exactly one (the phones check),
/// and every phone ends on the last state.
#[tokio::test(flavor = "multi_thread")]
async fn two_engines_keep_every_dialog_in_order() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let settings = [("presence.waitn_time", "0")];
    let engines = [stage.engine(&settings).await, stage.engine(&settings).await];
    let users: Vec<String> = (0..300).map(|user| format!("user{user}")).collect();
    let mut phones: Vec<Phone> = users.iter().map(|_| exchange.phone()).collect();
    let mut publishers: Vec<Publisher> = Vec::new();
    for user in &users {
        publishers.push(stage.publish(user, "state-0.", 3600).await);
    }
    let rows: Vec<NewSubscription> = phones
        .iter()
        .zip(&users)
        .map(|(phone, user)| subscription(phone, user))
        .collect();
    stage.subscribe_all(&rows).await;
    for change in 1..=60 {
        // A different third each time; the last three changes reach all.
        let third = publishers
            .iter_mut()
            .enumerate()
            .filter(|(index, _)| index % 3 == change % 3);
        let mut third: Vec<&mut Publisher> = third.map(|(_, publisher)| publisher).collect();
        stage
            .modify_all(&mut third, &format!("state-{change}."))
            .await;
    }
    let mut notifies = 0;
    for (index, phone) in phones.iter_mut().enumerate() {
        let last = (58..=60).find(|change| change % 3 == index % 3).unwrap();
        notifies += phone.until(&format!("state-{last}."), 20).await.len();
    }
    assert!(notifies >= 600, "{notifies}");
    for engine in engines {
        engine.stop().await;
    }
    exchange.assert_flawless();
}
