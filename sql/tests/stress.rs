//! Everything at once: publishers, subscribers, three notifiers of which some stall, the sweep. No deadlock, no CSeq twice,
//! one holder at a time, and in the end every dialog was last notified of the last state.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::database::*;
use events::{ChangeKind, PublishOutcome, SubscribeOutcome};
use sql::*;

const PRESENTITIES: u32 = 12;
const DIALOGS_EACH: u32 = 15;
const ROUNDS: u32 = 40;
const LEASE: Duration = Duration::from_millis(300);
const WAITN: Duration = Duration::from_millis(20);

/// What the subscribers saw: for each dialog the CSeq and body of every NOTIFY that was sent.
type Seen = Arc<Mutex<HashMap<String, Vec<(u32, String)>>>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn publishers_subscribers_and_notifiers_at_once() {
    let database = Database::new().await;
    let options = StoreOptions {
        pool_size: 16,
        ..StoreOptions::default()
    };
    let store = Store::connect(&database.url, &options).unwrap();
    let seen: Seen = Arc::default();
    let quiet = Arc::new(AtomicBool::new(false));
    let stalls = Arc::new(AtomicU64::new(0));

    let mut writers = Vec::new();
    for publisher in 0..4 {
        writers.push(tokio::spawn(publish(store.clone(), publisher)));
    }
    for subscriber in 0..3 {
        writers.push(tokio::spawn(subscribe(store.clone(), subscriber)));
    }
    let notifiers: Vec<_> = (1..=3)
        .map(|owner| {
            tokio::spawn(notify(
                store.clone(),
                owner,
                seen.clone(),
                quiet.clone(),
                stalls.clone(),
            ))
        })
        .collect();
    let sweeper = tokio::spawn(sweep(store.clone(), quiet.clone()));
    for writer in writers {
        writer.await.unwrap();
    }
    // All is written. What is due now must be sent, by whoever is left.
    let due = "SELECT count(*) FROM notify_queue WHERE due < 'infinity'";
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while database.value::<i64>(due).await > 0 {
        assert!(
            std::time::Instant::now() < deadline,
            "still due: {:?}",
            database.queue().await
        );
    }
    quiet.store(true, Ordering::Relaxed);
    for notifier in notifiers {
        notifier.await.unwrap();
    }
    sweeper.await.unwrap();

    assert_eq!(store.races_lost(), 0, "deadlocks");
    assert!(
        stalls.load(Ordering::Relaxed) > 0,
        "no notifier stalled: recovery was not tried"
    );
    let mut final_bodies = HashMap::new();
    for n in 0..PRESENTITIES {
        final_bodies.insert(
            format!("p{n}"),
            merged(&store, &resource(&format!("p{n}"))).await,
        );
    }
    let flags: i64 = database
        .value("SELECT count(*) FROM active_watchers WHERE updated <> -1")
        .await;
    assert_eq!(flags, 0);

    let seen = seen.lock().unwrap();
    assert_eq!(
        seen.len(),
        usize::try_from(PRESENTITIES * DIALOGS_EACH).unwrap()
    );
    for (call_id, notifies) in seen.iter() {
        let cseqs: Vec<u32> = notifies.iter().map(|(cseq, _)| *cseq).collect();
        assert!(cseqs.is_sorted_by(|a, b| a < b), "{call_id}: {cseqs:?}");
        let presentity = call_id.split('-').next().unwrap();
        assert_eq!(
            notifies.last().unwrap().1,
            final_bodies[presentity],
            "{call_id} shows an old state"
        );
    }
}

async fn merged(store: &Store, resource: &Resource) -> String {
    let found = store
        .publication()
        .list(std::slice::from_ref(resource))
        .await
        .unwrap()
        .publications;
    found
        .iter()
        .map(|publication| String::from_utf8_lossy(&publication.body).into_owned())
        .collect::<Vec<_>>()
        .join("|")
}

async fn publish(store: Store, publisher: u32) {
    let users: Vec<String> = (0..PRESENTITIES).map(|n| format!("p{n}")).collect();
    let tag = |user: &str, round: u32| format!("{publisher}-{user}-{round}");
    let new: Vec<_> = users
        .iter()
        .rev()
        .map(|user| publication(user, &tag(user, 0), &tag(user, 0)))
        .collect();
    store.publication().create_batch(&new).await.unwrap();
    for round in 1..=ROUNDS {
        let changes: Vec<_> = users
            .iter()
            .enumerate()
            // Some batches upside down, some changes without a new body.
            .map(|(n, user)| {
                let kind = if (n as u32 + round).is_multiple_of(4) {
                    ChangeKind::Refresh
                } else {
                    modify(&tag(user, round))
                };
                change(user, &tag(user, round - 1), &tag(user, round), kind)
            })
            .collect();
        let changes: Vec<_> = if round % 2 == 0 {
            changes
        } else {
            changes.into_iter().rev().collect()
        };
        let outcomes = store.publication().change_batch(&changes).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, PublishOutcome::Stored { .. })),
            "{outcomes:?}"
        );
        // At another server, too.
        let copies = store
            .publication()
            .change_batch(&changes[..3])
            .await
            .unwrap();
        assert_eq!(copies, outcomes[..3]);
    }
}

async fn subscribe(store: Store, subscriber: u32) {
    let calls = |n: u32| {
        (0..DIALOGS_EACH)
            .filter(move |d| d % 3 == subscriber)
            .map(move |d| (format!("p{n}"), format!("p{n}-{d}")))
    };
    for n in 0..PRESENTITIES {
        let rows: Vec<_> = calls(n)
            .map(|(user, call)| subscription(&user, &call))
            .collect();
        store.subscription().create_batch(&rows).await.unwrap();
    }
    for round in 0..ROUNDS / 2 {
        let rows: Vec<_> = (0..PRESENTITIES)
            .rev()
            .flat_map(calls)
            .map(|(_, call)| refresh(&call, round + 2, 600))
            .collect();
        let outcomes = store.subscription().refresh_batch(&rows, 0).await.unwrap();
        assert!(
            outcomes
                .iter()
                .all(|outcome| matches!(outcome, SubscribeOutcome::Accepted { .. }))
        );
    }
}

/// Claim, take, read, "send", settle. One in seven claims is given up after the take, as by kill -9 or a lost answer.
async fn notify(
    store: Store,
    owner: i64,
    seen: Seen,
    quiet: Arc<AtomicBool>,
    stalls: Arc<AtomicU64>,
) {
    let mut round = 0;
    while !quiet.load(Ordering::Relaxed) {
        round += 1;
        let claiming = std::time::Instant::now();
        let mut claimed = store
            .queue()
            .claim(owner, &[], 5, LEASE, WAITN)
            .await
            .unwrap();
        if claimed.is_empty() && round % 5 == 0 {
            claimed.extend(
                store
                    .queue()
                    .claim_overdue(owner, &[], LEASE, WAITN)
                    .await
                    .unwrap(),
            );
        }
        if claimed.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        loop {
            let taken = store
                .subscription()
                .take(owner, &claimed, &[], 20)
                .await
                .unwrap();
            if taken.is_empty() {
                break;
            }
            let mut bodies = Vec::new();
            for claimed in &claimed {
                bodies.push(merged(&store, &claimed.resource).await);
            }
            // Too little of the lease is left: nothing may be sent. Also what a dead notifier sends.
            if claiming.elapsed() > LEASE / 2 || round % 7 == 0 {
                claimed.clear();
                stalls.fetch_add(1, Ordering::Relaxed);
                break;
            }
            let mut seen = seen.lock().unwrap();
            for dialog in taken {
                let body = bodies[dialog.resource_index].clone();
                seen.entry(dialog.call_id)
                    .or_default()
                    .push((dialog.cseq, body));
            }
        }
        // The last take returned nothing: perhaps a publisher or a subscriber holds what is due.
        let settled: Vec<_> = claimed.iter().map(doubted).collect();
        store.queue().settle(owner, &settled).await.unwrap();
    }
}

async fn sweep(store: Store, quiet: Arc<AtomicBool>) {
    while !quiet.load(Ordering::Relaxed) {
        sweep_publications(&store, 10, false).await;
        sweep_dialogs(&store, 10).await;
        store.maintenance().delete_idle_resources(10).await.unwrap();
    }
}
