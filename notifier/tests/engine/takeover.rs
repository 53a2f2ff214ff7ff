//! Notifiers that die or stop: another one goes on, nothing is lost, no CSeq is used twice.

use crate::phone::{Answer, Counting, Exchange, Phone};
use crate::stage::{Publisher, Stage, subscription};
use events::NewSubscription;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// An engine dies in the middle of a batch: some dialogs have had their NOTIFY, some were taken but never sent, some wait.
/// Once its leases are over, the other engine brings every phone to the last state; a CSeq that was seen never comes again
/// with another NOTIFY, and none falls (the phones check).
#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_mid_batch_loses_nothing() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let settings = [
        ("notifier.lease_s", "2"),
        ("presence.waitn_time", "0"),
        ("notifier.in_flight", "40"),
    ];
    let dying = stage.engine(&settings).await;
    let seen = Arc::new(AtomicUsize::new(0));
    let mut phones: Vec<Phone> = (0..120)
        .map(|_| {
            let seen = seen.clone();
            exchange.phone_counting(Counting::Rising, move |_| {
                // The hundredth NOTIFY and those after it stay unanswered for a while: they are in flight at the crash.
                if (100..200).contains(&seen.fetch_add(1, Ordering::Relaxed)) {
                    Answer::Silence
                } else {
                    Answer::Status(200)
                }
            })
        })
        .collect();
    let users: Vec<String> = (0..60).map(|user| format!("user{user}")).collect();
    let mut publishers: Vec<Publisher> = Vec::new();
    for user in &users {
        publishers.push(stage.publish(user, "state-0.", 3600).await);
    }
    let rows: Vec<NewSubscription> = phones
        .iter()
        .enumerate()
        .map(|(index, phone)| subscription(phone, &users[index % 60]))
        .collect();
    stage.subscribe_all(&rows).await;
    for phone in &mut phones[..60] {
        phone.until("state-0.", 10).await;
    }
    stage
        .modify_all(&mut publishers.iter_mut().collect::<Vec<_>>(), "state-1.")
        .await;
    dying.crash().await;
    let survivor = stage.engine(&settings).await;
    for phone in &mut phones {
        phone.until("state-1.", 20).await;
    }
    survivor.stop().await;
    exchange.assert_flawless();
}

/// A notifier that stops hands over at once what is still in flight: nobody waits for its lease.
#[tokio::test(flavor = "multi_thread")]
async fn stopping_hands_over_without_waiting_for_the_lease() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let settings = [("notifier.lease_s", "300")];
    let first = stage.engine(&settings).await;
    let mut phone = exchange.phone_that(|_| Answer::Silence);
    stage.subscribe(&phone, "bob", 600).await;
    let unanswered = phone.next().await;
    first.stop().await;
    let second = stage.engine(&settings).await;
    let again = phone.next_within(10).await;
    assert_eq!(again.cseq, unanswered.cseq + 1);
    second.stop().await;
    exchange.assert_flawless();
}

/// A dialog that is in flight for longer than a lease stays with its notifier: the lease is renewed, no other takes over.
#[tokio::test(flavor = "multi_thread")]
async fn leases_are_renewed_while_a_phone_is_slow() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let settings = [("notifier.lease_s", "2")];
    let engines = [stage.engine(&settings).await, stage.engine(&settings).await];
    let started = Instant::now();
    let slow = move |_: &_| {
        if started.elapsed() > Duration::from_secs(5) {
            Answer::Status(200)
        } else {
            Answer::Silence
        }
    };
    let mut phone = exchange.phone_that(slow);
    stage.subscribe(&phone, "bob", 600).await;
    let first = phone.next().await;
    // Comes back at a retransmission after five seconds; the change of state waits for it and comes as the next CSeq.
    stage.publish("bob", "state-1.", 3600).await;
    let second = phone.next_within(15).await;
    assert!(second.body.contains("state-1.") && started.elapsed() > Duration::from_secs(5));
    assert_eq!(
        second.cseq,
        first.cseq + 1,
        "nobody else sent anything in between"
    );
    for engine in engines {
        engine.stop().await;
    }
    exchange.assert_flawless();
}

/// The database dies while an answer is awaited: the answer can't be settled, the lease runs out. When the database is back,
/// the engine goes on by itself, and what it may have lost is repeated with a higher CSeq.
#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_dies_and_comes_back_loses_nothing() {
    let (mut stage, exchange) = (Stage::with_own_cluster().await, Exchange::new().await);
    let engine = stage.engine(&[("notifier.lease_s", "2")]).await;
    let away = Arc::new(AtomicBool::new(false));
    let answers = away.clone();
    let mut phone = exchange.phone_counting(Counting::Rising, move |notify| {
        let waits = notify.body.contains("state-1.") && !answers.load(Ordering::SeqCst);
        if waits {
            Answer::Silence
        } else {
            Answer::Status(200)
        }
    });
    let mut bob = stage.publish("bob", "state-0.", 3600).await;
    stage.subscribe(&phone, "bob", 600).await;
    phone.until("state-0.", 5).await;
    stage.modify(&mut bob, "state-1.").await;
    phone.until("state-1.", 5).await;
    stage.kill_database();
    away.store(true, Ordering::SeqCst);
    stage.restart_database().await;
    stage.modify(&mut bob, "state-2.").await;
    phone.until("state-2.", 20).await;
    engine.stop().await;
    exchange.assert_flawless();
}
