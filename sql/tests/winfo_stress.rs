//! Watchers come and go, people begin to watch the watchers at any moment, notifiers stall: in the end everybody who watches the
//! watchers knows exactly those who watch, from full and partial documents alone (RFC 3858 section 4).

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::database::*;
use events::{NewSubscription, SubscriptionRefresh};
use sql::*;

const PRESENTITIES: u32 = 5;
const ROUNDS: u32 = 60;
const LEASE: Duration = Duration::from_millis(300);
const WAITN: Duration = Duration::from_millis(15);

/// By Call-ID of who watches the watchers: the ids that it knows.
type Tables = Arc<Mutex<HashMap<String, BTreeSet<i64>>>>;

#[derive(Default)]
struct Counts {
    stalls: AtomicU64,
    full: AtomicU64,
    partial: AtomicU64,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_knows_in_the_end_who_watches() {
    let database = Database::new().await;
    let options = StoreOptions {
        pool_size: 16,
        ..StoreOptions::default()
    };
    let store = Store::connect(&database.url, &options).unwrap();
    let tables: Tables = Arc::default();
    let counts: Arc<Counts> = Arc::default();
    let quiet = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for number in 0..3 {
        writers.push(tokio::spawn(come_and_go(store.clone(), number)));
        writers.push(tokio::spawn(watch_watchers(store.clone(), number)));
    }
    let notifiers: Vec<_> = (1..=3)
        .map(|owner| {
            let (tables, counts, quiet) = (tables.clone(), counts.clone(), quiet.clone());
            tokio::spawn(notify(store.clone(), owner, tables, counts, quiet))
        })
        .collect();
    let sweeper = tokio::spawn(sweep(store.clone(), quiet.clone()));
    for writer in writers {
        writer.await.unwrap();
    }
    all_notified(&database).await;
    // On a busy machine everybody may have been sent everything each time. A watcher who comes when it is quiet is shown alone,
    // unless a notifier stalls.
    for n in 0..50 {
        if counts.partial.load(Ordering::Relaxed) > 0 {
            break;
        }
        let late = subscription(&user(0), &format!("late-{n}"));
        store.subscription().create_batch(&[late]).await.unwrap();
        all_notified(&database).await;
    }
    quiet.store(true, Ordering::Relaxed);
    for notifier in notifiers {
        notifier.await.unwrap();
    }
    sweeper.await.unwrap();

    assert_eq!(store.races_lost(), 0, "deadlocks");
    for (what, count) in [
        ("stalls", &counts.stalls),
        ("full documents", &counts.full),
        ("partial documents", &counts.partial),
    ] {
        assert!(count.load(Ordering::Relaxed) > 0, "no {what}");
    }
    let truth = database
        .rows(
            "SELECT w.callid, array_agg(a.id) FILTER (WHERE a.id IS NOT NULL)
             FROM active_watchers AS w
             LEFT JOIN active_watchers AS a ON a.presentity_uri = w.presentity_uri AND a.event = 'presence' AND a.status <> 3
             WHERE w.event = 'presence.winfo' AND w.status <> 3
             GROUP BY w.callid",
            &[],
        )
        .await;
    assert!(truth.len() > 20, "{}", truth.len());
    let tables = tables.lock().unwrap();
    for row in truth {
        let (call_id, ids): (String, Option<Vec<i64>>) = (row.get(0), row.get(1));
        let ids: BTreeSet<i64> = ids.into_iter().flatten().collect();
        assert_eq!(tables.get(&call_id), Some(&ids), "{call_id}");
    }
}

/// Waits until nothing is due for anybody.
async fn all_notified(database: &Database) {
    let due = "SELECT count(*) FROM notify_queue WHERE due < 'infinity'";
    let deadline = Instant::now() + Duration::from_secs(30);
    while database.value::<i64>(due).await > 0 {
        let queue = database.queue().await;
        assert!(Instant::now() < deadline, "still due: {queue:?}");
    }
}

fn user(n: u32) -> String {
    format!("p{}", n % PRESENTITIES)
}

/// Each round some begin to watch, one that has begun before ends, one fetches, and one is refreshed.
async fn come_and_go(store: Store, number: u32) {
    let call = |round: u32, n: u32| format!("{number}-{round}-{n}");
    for round in 0..ROUNDS {
        let mut new: Vec<_> = (0..4)
            .map(|n| subscription(&user(n * number + round), &call(round, n)))
            .collect();
        new[3].granted_s = 0;
        if round % 2 == 1 {
            new.reverse();
        }
        store.subscription().create_batch(&new).await.unwrap();
        let mut changes = vec![refresh(&call(round, 0), 2, 600)];
        if round > 3 {
            changes.push(refresh(&call(round - 3, 1), 2, 0));
        }
        store
            .subscription()
            .refresh_batch(&changes, 0)
            .await
            .unwrap();
    }
}

/// Begins to watch the watchers of one after another, in batches with ordinary subscriptions; ends and refreshes some.
async fn watch_watchers(store: Store, number: u32) {
    let call = |round: u32| format!("winfo-{number}-{round}");
    for round in 0..ROUNDS / 2 {
        let new = NewSubscription {
            event: "presence.winfo".into(),
            ..subscription(&user(round + number), &call(round))
        };
        let other = subscription(&user(round), &format!("beside-{number}-{round}"));
        let batch = if round % 2 == 0 {
            [new, other]
        } else {
            [other, new]
        };
        store.subscription().create_batch(&batch).await.unwrap();
        if round % 4 == 3 {
            let changes = [(1, 0), (2, 600)].map(|(before, granted_s)| SubscriptionRefresh {
                event: "presence.winfo".into(),
                ..refresh(&call(round - before), 2, granted_s)
            });
            store
                .subscription()
                .refresh_batch(&changes, 0)
                .await
                .unwrap();
        }
        tokio::task::yield_now().await;
    }
}

/// Claim, take, list, "send", settle. One in six claims is given up after the take, as by kill -9.
async fn notify(
    store: Store,
    owner: i64,
    tables: Tables,
    counts: Arc<Counts>,
    quiet: Arc<AtomicBool>,
) {
    let mut round = 0;
    while !quiet.load(Ordering::Relaxed) {
        round += 1;
        let claiming = Instant::now();
        let mut claimed = store
            .queue()
            .claim(owner, &[], 4, LEASE, WAITN)
            .await
            .unwrap();
        if claimed.is_empty() {
            tokio::task::yield_now().await;
            continue;
        }
        let mut ended = Vec::new();
        loop {
            let taken = store
                .subscription()
                .take(owner, &claimed, &[], 20)
                .await
                .unwrap();
            if taken.is_empty() {
                break;
            }
            let mut notified = Vec::new();
            for dialog in &taken {
                let resource = &claimed[dialog.resource_index].resource;
                if let Some(watched) = resource.event.strip_suffix(".winfo") {
                    notified.push((dialog, list(&store, resource, watched, dialog).await));
                }
            }
            if claiming.elapsed() > LEASE / 2 || round % 6 == 0 {
                claimed.clear();
                counts.stalls.fetch_add(1, Ordering::Relaxed);
                break;
            }
            for (dialog, watchers) in notified {
                tell(&tables, &counts, dialog, &watchers);
            }
            let over = taken.iter().filter(|dialog| dialog.status == 3);
            ended.extend(over.map(|dialog| verdict(dialog, AfterNotify::Ended)));
        }
        while !ended.is_empty() {
            let written = store.subscription().settle_batch(&ended).await.unwrap();
            let behind = written.left_behind.iter();
            ended = behind.map(|place| ended[*place].clone()).collect();
        }
        let settled: Vec<_> = claimed.iter().map(doubted).collect();
        store.queue().settle(owner, &settled).await.unwrap();
    }
}

async fn list(
    store: &Store,
    resource: &Resource,
    watched: &str,
    dialog: &TakenDialog,
) -> Vec<Watcher> {
    let question = WatchedResource {
        resource: Resource {
            presentity_uri: resource.presentity_uri.clone(),
            event: watched.to_owned(),
        },
        all_live: dialog.partial_since.is_none(),
        since: dialog.partial_since,
        after: None,
    };
    store
        .subscription()
        .list_watchers(&[question], None)
        .await
        .unwrap()
}

fn tell(tables: &Tables, counts: &Counts, dialog: &TakenDialog, watchers: &[Watcher]) {
    let mut tables = tables.lock().unwrap();
    let table = tables.entry(dialog.call_id.clone()).or_default();
    let count = match dialog.partial_since {
        None => {
            table.clear();
            &counts.full
        }
        Some(_) => &counts.partial,
    };
    count.fetch_add(1, Ordering::Relaxed);
    for watcher in watchers {
        match watcher.status {
            3 => table.remove(&watcher.id),
            _ => table.insert(watcher.id),
        };
    }
}

async fn sweep(store: Store, quiet: Arc<AtomicBool>) {
    while !quiet.load(Ordering::Relaxed) {
        sweep_dialogs(&store, 10).await;
        store.maintenance().delete_idle_resources(10).await.unwrap();
        tokio::task::yield_now().await;
    }
}
