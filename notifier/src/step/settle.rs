//! Settle: resources of which nothing is to be taken and nothing is in flight are handed back.

use super::{Fault, Running, begin};
use crate::engine::{Engine, Held};
use crate::isolation::{Parts, in_parts, set_aside};
use sql::{Part, Refused, Resource, SettledResource, Store, StoreError, TakenState};
use std::collections::HashSet;
use std::time::{Instant, SystemTime};

/// Most resources that are settled together.
const BATCH: usize = 2000;

/// Starts when resources are drained.
pub(super) fn start(engine: &mut Engine, _now: Instant) -> Option<Running> {
    let works = engine.ledger.begin_settle(BATCH);
    if works.is_empty() {
        return None;
    }
    let (store, owner, handed) = (engine.store.clone(), engine.owner, works.clone());
    let work = async move { settle(&store, owner, &handed).await };
    Some(begin(work, move |engine, result| {
        end(engine, works, result)
    }))
}

/// Hands them back, and forgets what was set aside of them before.
async fn settle(
    store: &Store,
    owner: i64,
    works: &[Held],
) -> Result<Parts<Vec<usize>>, StoreError> {
    let resources: Vec<SettledResource> = works.iter().map(settled).collect();
    let parts = in_parts(store, resources.len(), |store, part| {
        let resources = &resources[part];
        async move { store.queue().settle(owner, resources).await }
    })
    .await;
    let refused = parts.refused.iter().filter_map(|(place, error)| {
        Some(Refused::new(
            &works.get(*place)?.resource,
            Part::Whole,
            error,
        ))
    });
    let refused: Vec<Refused> = refused.collect();
    set_aside(store, "settle", &refused).await?;
    let cured = places(&parts)
        .filter_map(|place| works.get(place))
        .filter(|work| work.taken != TakenState::Some)
        .filter_map(|work| Some((Resource::clone(&work.resource), work.suspect?)));
    let cured: Vec<(Resource, SystemTime)> = cured.collect();
    store.quarantine().delete_done(&cured).await?;
    Ok(parts)
}

/// Settled: they are forgotten. What is not, because another transaction holds its row or because it turns out to be due, is tried again later. What
/// the database refuses is given up. After an outage nobody knows what was settled; it may be settled twice, as long as the lease
/// lasts.
fn end(engine: &mut Engine, works: Vec<Held>, result: Result<Parts<Vec<usize>>, Fault>) {
    let parts = match result {
        Ok(parts) => parts,
        Err(fault) => {
            engine.ledger.settle_failed(&works);
            engine.failed("settle", &fault);
            return;
        }
    };
    let settled: HashSet<usize> = places(&parts).collect();
    let undone: HashSet<usize> = parts.undone().collect();
    let refused: HashSet<usize> = parts.refused.iter().map(|(place, _)| *place).collect();
    let now = Instant::now();
    for (place, work) in works.iter().enumerate() {
        let work = std::slice::from_ref(work);
        if settled.contains(&place) {
            engine.ledger.settled(work);
        } else if refused.contains(&place) {
            engine.abandon(work);
        } else if undone.contains(&place) {
            engine.ledger.settle_failed(work);
        } else {
            engine.ledger.left_behind(&work[0], now);
        }
    }
    engine.note("settle", parts.outage);
}

/// The places of those that are settled.
fn places(parts: &Parts<Vec<usize>>) -> impl Iterator<Item = usize> {
    let done = parts.done.iter();
    done.flat_map(|(part, settled)| settled.iter().map(|place| part.start + place))
}

fn settled(work: &Held) -> SettledResource {
    SettledResource {
        resource: Resource::clone(&work.resource),
        claim: work.claim,
        taken: work.taken.clone(),
        next_change: work.next_change,
        decided: work.decided,
        suspect: work.suspect,
    }
}
