//! Claim: resources that are due become ours, no more than free permits allow.

use super::{Fault, Running, begin, decide};
use crate::engine::Engine;
use crate::isolation::{in_parts, set_aside};
use sql::{Claimed, Claiming, Part, Refused, Resource, Store, StoreError};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What was claimed, and how long until something else will be due, if that is soon.
type Outcome = (Vec<Claimed>, Option<Duration>);

/// How much to claim.
#[derive(Clone, Copy)]
struct Limits {
    /// Of what is due for another reason than a decision.
    resources: u32,
    decisions: u32,
}

/// Starts at each poll and each ring, while there are permits.
pub(super) fn start(engine: &mut Engine, now: Instant) -> Option<Running> {
    let fetch_rows = engine.settings.fetch_rows;
    let limits = Limits {
        resources: claim_limit(engine.free_permits(), fetch_rows),
        decisions: claim_limit(decide::room(&engine.ledger), fetch_rows),
    };
    if limits.resources == 0 || engine.stopping.is_some() || !engine.pace.is_due(now) {
        return None;
    }
    engine.pace.issued(now, rand::random());
    let (store, owner) = (engine.store.clone(), engine.owner);
    let (lease, waitn) = (engine.settings.lease, engine.settings.waitn);
    let (held, horizon) = (engine.ledger.claims(), engine.pace.interval());
    let work = async move {
        let claiming = Claiming {
            owner,
            held: &held,
            limit: limits.resources,
            decisions: limits.decisions,
            apart: &[],
            lease,
            waitn,
            horizon,
        };
        match store.queue().claim_all(&claiming).await {
            Err(error) if !error.is_outage() => claim_in_parts(&store, &claiming, error).await,
            result => result,
        }
    };
    Some(begin(work, move |engine, result| {
        end(engine, now, limits, result)
    }))
}

/// Claims what is due but for the resources that are to blame for this error, and sets those aside.
async fn claim_in_parts(
    store: &Store,
    claiming: &Claiming<'_>,
    error: StoreError,
) -> Result<Outcome, StoreError> {
    let due = store.queue().list_due(claiming).await?;
    let parts = in_parts(store, due.len(), |store, part| {
        let apart = due[..part.start].iter().chain(&due[part.end..]);
        let apart: Vec<Resource> = apart.cloned().collect();
        async move {
            // Not what comes after them, which may be to blame for something else.
            let count = u32::try_from(part.len()).unwrap_or(u32::MAX);
            let claiming = Claiming {
                apart: &apart,
                limit: claiming.limit.min(count),
                decisions: claiming.decisions.min(count),
                ..*claiming
            };
            store.queue().claim_all(&claiming).await
        }
    })
    .await;
    let refused = parts
        .refused
        .iter()
        .filter_map(|(place, error)| Some(Refused::new(due.get(*place)?, Part::Whole, error)));
    let refused: Vec<Refused> = refused.collect();
    set_aside(store, "claim", &refused).await?;
    let mut claimed = Vec::new();
    for (_, (part, _)) in parts.done {
        claimed.extend(part);
    }
    match parts.outage {
        Some(outage) if claimed.is_empty() => Err(outage),
        // Nothing is due any more, and so nobody was found.
        None if claimed.is_empty() && refused.is_empty() => Err(error),
        _ => Ok((claimed, Some(Duration::ZERO))),
    }
}

/// Claimed: they are entered in the ledger. If not, what may have been claimed runs out of its lease and is recovered.
fn end(engine: &mut Engine, issued: Instant, limits: Limits, result: Result<Outcome, Fault>) {
    match result {
        Ok((claimed, next_due)) => {
            let now = Instant::now();
            let decisions = claimed.iter().filter(|claimed| claimed.decide).count();
            engine.more_decisions = decisions >= limits.decisions as usize;
            if claimed.len() >= limits.resources as usize {
                engine.pace.full(now);
            }
            if let Some(next_due) = next_due {
                engine.pace.due(now + next_due);
            }
            enter(engine, claimed, issued);
            engine.outage.over();
        }
        Err(fault) => engine.failed("claim", &fault),
    }
}

/// Enters in the ledger what was claimed by a statement that was issued then.
pub(crate) fn enter(engine: &mut Engine, claimed: Vec<Claimed>, issued: Instant) {
    log_recovered(&claimed);
    let lease_end = issued + engine.settings.lease;
    for claimed in claimed {
        let resource = Arc::new(claimed.resource);
        if claimed.continued && !engine.ledger.holds(&resource) {
            // Abandoned while the claim ran: what was taken of it may be lost, so it's left to be recovered.
            continue;
        }
        let by_state = claimed.state_due && engine.decider.looks_at_state_of(&resource);
        engine.ledger.claimed(
            resource.clone(),
            claimed.claim,
            claimed.version,
            claimed.state_due,
            lease_end,
        );
        engine.ledger.changed(&resource, claimed.last_change);
        if let Some(at) = claimed.suspect {
            engine.ledger.suspect(&resource, at);
        }
        if claimed.decide || by_state {
            engine.ledger.must_decide(&resource, claimed.recovered);
        }
    }
}

/// How many resources to claim with `free` permits, or with room for so many decisions: a resource has one watcher or more, so claiming
/// more than that would hold work that another notifier could do now.
fn claim_limit(free: usize, fetch_rows: u32) -> u32 {
    u32::try_from(free).unwrap_or(u32::MAX).min(fetch_rows)
}

/// Logs what was recovered from a notifier that died; it's rare and an operator wants to know.
fn log_recovered(claimed: &[Claimed]) {
    let recovered = claimed
        .iter()
        .filter(|claimed| claimed.recovered && claimed.suspect.is_none());
    let recovered = recovered.count();
    if recovered > 0 {
        tracing::warn!(
            resources = recovered,
            "took over resources whose holder's lease ran out; their watchers are notified again"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_no_more_than_permits() {
        for (free, fetch_rows, expected) in [(8000, 500, 500), (20, 500, 20), (0, 500, 0)] {
            assert_eq!(claim_limit(free, fetch_rows), expected);
        }
    }
}
