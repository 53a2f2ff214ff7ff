//! Ends what has expired and removes what nobody needs: publications, subscriptions, tombstones, idle queue rows, dead nodes.
//!
//! Each step is a function of the schema (`V24__sweep_publications.sql` to `V27__cleanup.sql`), which SQL's `presence_cleanup` is made of as well.
//! Every notifier sweeps; none is the leader. The statements skip rows that somebody else holds locked, so several sweep side
//! by side. What cannot be ended is passed by and tried again 5 s later. Expiry only changes rows; the NOTIFYs follow from the queue as for any other change.
//!
//! Two loops, each at its own pace. What has expired together (phones behind a line that was cut) is ended gently, because each
//! end is a change of state, which must leave room for the changes of those who are there. What was refreshed meanwhile is looked
//! at again later, and what ended long ago is forgotten, as much of it as there is: this causes no NOTIFY, and it comes by
//! thousands a second where publications live for a minute.

use sql::{Store, StoreError};
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior};

/// How the sweeper works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SweepSettings {
    /// Rows per statement; fewer where watchers are notified ([`EXPIRY_BATCH`]).
    pub(crate) batch: u32,
    /// `force_delete`: expired publications go without telling the watchers.
    pub(crate) quiet: bool,
    /// `clean_period`: how often what is idle or dead is removed.
    pub(crate) clean_period: Duration,
    /// `watcher_waiting_s`: how long watchers wait for a decision before they are given up on.
    pub(crate) waiting: Duration,
}

/// How often expiry is looked for. A lamp should not outlive its publication by more than this; the look costs two index
/// probes. (The module that this replaces looked every `clean_period`, 100 s, and its users saw it.)
const EXPIRY_PERIOD: Duration = Duration::from_secs(1);

/// Most rows that are ended by one statement, and the pause between two: each notifier then ends 600 a second and leaves most
/// of its time to others. Measured with 10,000 rows that expired together: at once, a change reached its watchers seven
/// times as late (p99) as before; in batches of 100 each 50 ms, 2.1 times; of 50, 1.5 times, and a PUBLISH was answered twice as
/// late; of 25 each 25 ms, that was worse. The longer pause takes the edge off it.
const EXPIRY_BATCH: u32 = 50;
const BETWEEN_BATCHES: Duration = Duration::from_millis(75);

/// Sweeps for ever. Errors are logged and the next round tries again.
pub(crate) async fn run(store: Store, settings: SweepSettings) {
    tokio::join!(end(&store, settings), tidy(&store, settings));
}

/// Ends what has expired, gently.
async fn end(store: &Store, settings: SweepSettings) {
    let batch = settings.batch.min(EXPIRY_BATCH);
    let (publications, subscriptions) = (store.publication(), store.subscription());
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        loop {
            let more = [
                is_full(batch, publications.expire_batch(batch, settings.quiet)).await,
                is_full(batch, subscriptions.expire_batch(batch)).await,
            ];
            if more == [false, false] {
                break;
            }
            tokio::time::sleep(BETWEEN_BATCHES).await;
        }
    }
}

/// Removes what causes no NOTIFY.
async fn tidy(store: &Store, settings: SweepSettings) {
    let batch = settings.batch;
    let (publications, subscriptions) = (store.publication(), store.subscription());
    let (watchers, maintenance) = (store.watcher(), store.maintenance());
    let mut ticks = ticks();
    let mut cleaned = Instant::now();
    loop {
        ticks.tick().await;
        while is_full(batch, publications.postpone_batch(batch)).await {}
        while is_full(batch, subscriptions.postpone_batch(batch)).await {}
        while is_full(batch, publications.forget_batch(batch)).await {}
        while is_full(batch, subscriptions.forget_batch(batch)).await {}
        if cleaned.elapsed() < settings.clean_period {
            continue;
        }
        cleaned = Instant::now();
        while is_full(batch, maintenance.delete_idle_resources(batch)).await {}
        while is_full(batch, watchers.give_up(batch, settings.waiting)).await {}
        while is_full(batch, watchers.delete_waiting(batch)).await {}
        is_full(batch, maintenance.delete_dead_nodes()).await;
    }
}

fn ticks() -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(EXPIRY_PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Takes a step; says whether it is to be taken again at once. One that fails stops no other, and the next round tries again.
async fn is_full(batch: u32, step: impl Future<Output = Result<u64, StoreError>>) -> bool {
    match step.await {
        Ok(touched) => touched >= u64::from(batch),
        Err(error) => {
            tracing::warn!(error = %error, "sweeping failed; the next round tries again");
            false
        }
    }
}
