//! Decide: about the watchers of presentities whose rules, or whose watchers, have changed.
//!
//! It runs beside the steps that take turns, a bounded number at once: ten thousand changed documents do not delay other NOTIFYs.
//! Nothing is taken before its decision, so that no watcher gets a NOTIFY that a rule forbids.

use super::{Fault, Running, begin};
use crate::decider::{Asked, Decider};
use crate::engine::{Engine, Held};
use crate::isolation::{Parts, in_parts, set_aside};
use crate::ledger::Ledger;
use sql::{Part, Refused, Resource, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many decisions run at once at most, each about so many presentities.
const MAX_DECISIONS: usize = 2;
const BATCH: usize = 64;

/// One that lasts longer probably waits for a row that somebody holds, and another one starts beside it. Not before: two that work take
/// the database's processors from everybody else's NOTIFYs, and are done no earlier.
const SLOW_DECISION: Duration = Duration::from_millis(250);

/// Most presentities that wait here to be decided about, enough for the next decision. The others wait in the queue, for whichever
/// notifier has time: what is claimed together is taken together, and a long take delays everybody else's NOTIFYs.
const MAX_WAITING: usize = BATCH;

/// How many more may be claimed.
pub(super) fn room(ledger: &Ledger<Arc<Resource>>) -> usize {
    MAX_WAITING.saturating_sub(ledger.undecided_count())
}

/// When the next one may start, with so many under way of which the last was started then.
pub(crate) fn may_start(running: usize, last: Instant) -> Option<Instant> {
    match running {
        0 => Some(last),
        MAX_DECISIONS.. => None,
        _ => Some(last + SLOW_DECISION),
    }
}

/// Starts when resources wait to be decided about.
pub(crate) fn start(engine: &mut Engine) -> Option<Running> {
    let works = engine.ledger.begin_decide(BATCH);
    if works.is_empty() {
        return None;
    }
    let asked: Vec<Asked> = works.iter().map(asked).collect();
    let (store, owner, decider) = (engine.store.clone(), engine.owner, engine.decider.clone());
    let work = async move { decide(&store, owner, &decider, &asked).await };
    Some(begin(work, move |engine, result| {
        end(engine, works, result)
    }))
}

/// Decides, and sets aside the presentities about whom the database refuses to tell.
async fn decide(
    store: &Store,
    owner: i64,
    decider: &Decider,
    asked: &[Asked],
) -> Result<Parts<Vec<i64>>, StoreError> {
    let parts = in_parts(store, asked.len(), |store, part| {
        let asked = &asked[part];
        async move { decider.decide(&store, owner, asked).await }
    })
    .await;
    let refused = parts.refused.iter().filter_map(|(place, error)| {
        let resource = crate::decider::resource(&asked.get(*place)?.presentity_uri);
        Some(Refused::new(&resource, Part::Whole, error))
    });
    let refused: Vec<Refused> = refused.collect();
    set_aside(store, "decide", &refused).await?;
    Ok(parts)
}

/// Decided: they can be taken. Where somebody holds a row it is tried again later. If an outage came between, some of it may have been
/// written, and whoever holds them next decides about the rest.
fn end(engine: &mut Engine, works: Vec<Held>, result: Result<Parts<Vec<i64>>, Fault>) {
    let parts = match result {
        Ok(parts) => parts,
        Err(fault) => {
            engine.abandon(&works);
            engine.failed("decide", &fault);
            return;
        }
    };
    let now = Instant::now();
    for (part, rules_versions) in &parts.done {
        for (work, rules_version) in works[part.clone()].iter().zip(rules_versions) {
            engine.ledger.decided(work, *rules_version);
        }
    }
    for place in &parts.held {
        engine.ledger.left_behind(&works[*place], now);
    }
    for (place, _) in &parts.refused {
        engine.ledger.set_aside(&works[*place]);
    }
    for place in parts.undone() {
        engine.abandon(&works[place..=place]);
    }
    if std::mem::take(&mut engine.more_decisions) {
        engine.pace.ring(now);
    }
    engine.note("decide", parts.outage);
}

fn asked(work: &Held) -> Asked {
    Asked {
        presentity_uri: work.resource.presentity_uri.clone(),
        recovered: work.decide.is_some_and(|decide| decide.recovered),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_decision_starts_when_the_first_is_slow() {
        let last = Instant::now();
        assert_eq!(may_start(0, last), Some(last));
        assert_eq!(may_start(1, last), Some(last + SLOW_DECISION));
        assert_eq!(may_start(MAX_DECISIONS, last), None);
    }
}
