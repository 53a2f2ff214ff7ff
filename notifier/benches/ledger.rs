//! The notifier's bookkeeping alone: what 500 claimed resources and their dialogs cost between the statements.
#![expect(clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::time::{Duration, Instant};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

// The module is private to the notifier and pure, so it stands here by itself.
#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    rustdoc::broken_intra_doc_links,
    reason = "only what a NOTIFY's usual way needs is used here"
)]
#[path = "../src/ledger.rs"]
mod ledger_alone;

use ledger_alone::{Guard, Ledger, NotifyKey};

const RESOURCES: usize = 500;
const LEASE: Duration = Duration::from_secs(10);
const MARGIN: Duration = Duration::from_secs(1);

/// As large as the key that the notifier uses.
type Resource = (String, String);

fn resources() -> Vec<Resource> {
    (0..RESOURCES)
        .map(|number| (format!("sip:user{number}@example.org"), "presence".into()))
        .collect()
}

/// Claim, take, send, land, settle, as the engine calls it; `watchers` dialogs a resource. Returns how many NOTIFYs went.
fn one_round(resources: Vec<Resource>, watchers: i64, now: Instant) -> usize {
    let mut ledger = Ledger::new();
    for (number, resource) in resources.into_iter().enumerate() {
        let claim = i64::try_from(number).unwrap();
        ledger.claimed(resource, claim, claim + 1, true, now + LEASE);
    }
    let works = ledger.begin_take(RESOURCES);
    let mut cancelled = Vec::new();
    let mut keys: Vec<NotifyKey> =
        Vec::with_capacity(works.len() * usize::try_from(watchers).unwrap());
    let guard = Guard {
        target_version: 0,
        remote_cseq: 1,
    };
    for (number, work) in (0..).zip(&works) {
        for watcher in 0..watchers {
            let dialog: i64 = number * watchers + watcher;
            keys.extend(ledger.begin_notify(work, dialog, guard, &mut cancelled));
        }
    }
    ledger.taken(&works, true);
    let sent = keys
        .iter()
        .filter(|key| ledger.may_send(**key, "z9hG4bKk7q2m9x4v1z8c3b6n5", now, MARGIN))
        .count();
    for key in keys {
        ledger.over(key);
    }
    let drained = ledger.begin_settle(RESOURCES);
    ledger.settled(&drained);
    assert!(ledger.is_empty() && ledger.notify_count() == 0);
    sent
}

fn ledger(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger");
    let now = Instant::now();
    for watchers in [1_i64, 10] {
        let notifies = RESOURCES as u64 * watchers.unsigned_abs();
        group.throughput(Throughput::Elements(notifies));
        group.bench_function(format!("{RESOURCES} resources of {watchers}"), |bencher| {
            bencher.iter_batched(
                resources,
                |resources| one_round(resources, watchers, now),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(bookkeeping, ledger);
criterion_main!(bookkeeping);
