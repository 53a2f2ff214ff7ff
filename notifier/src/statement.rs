//! The four statements that move the queue on, detached from the engine so that they run beside it.

use crate::decide::{Asked, Decider};
use crate::engine::Held;
use crate::render::Rendered;
use crate::watchers::Wanted;
use events::Registry;
use sql::{
    Claimed, DialogVerdict, Resource, SettledResource, Store, StoreError, TakenDialog,
    WatchedResource, Watcher,
};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// A statement with all it needs, detached from the engine.
pub(crate) enum Job {
    Verdicts(Vec<DialogVerdict>),
    Settle(Vec<SettledResource>),
    Take {
        claimed: Vec<Claimed>,
        in_flight: Vec<(i64, i32)>,
        /// About whose watchers is to be decided first, by the place in `claimed`.
        asked: Vec<(usize, Asked)>,
        limit: u32,
        decider: Arc<Decider>,
    },
    Claim {
        held: Vec<i64>,
        limit: u32,
        lease: Duration,
        waitn: Duration,
        horizon: Duration,
    },
}

/// What came of it.
pub(crate) enum Done {
    Verdicts(Result<u64, StoreError>),
    Settle(Result<u64, StoreError>),
    Take(Result<Take, StoreError>),
    /// What was claimed, and how long until something else will be due, if that is soon.
    Claim(Result<(Vec<Claimed>, Option<Duration>), StoreError>),
}

/// What was taken, and what is shown of it.
pub(crate) struct Take {
    pub(crate) dialogs: Vec<TakenDialog>,
    pub(crate) rendered: Rendered,
    /// By which rules it was decided about the watchers, by the place in `claimed`.
    pub(crate) decided: Vec<(usize, i64)>,
}

// === impl Job ===

impl Job {
    pub(crate) async fn run(self, store: &Store, owner: i64) -> Done {
        match self {
            Job::Verdicts(verdicts) => {
                Done::Verdicts(store.subscription().settle_batch(&verdicts).await)
            }
            Job::Settle(resources) => Done::Settle(store.queue().settle(owner, &resources).await),
            Job::Take {
                claimed,
                in_flight,
                asked,
                limit,
                decider,
            } => Done::Take(
                decide_and_take(store, owner, &claimed, &in_flight, &asked, limit, &decider).await,
            ),
            Job::Claim {
                held,
                limit,
                lease,
                waitn,
                horizon,
            } => Done::Claim(
                store
                    .queue()
                    .claim_and_look_ahead(owner, &held, limit, lease, waitn, horizon)
                    .await,
            ),
        }
    }
}

/// Decides about watchers where that is asked for, then takes: whoever is let in gets its NOTIFY in the same round, and nobody gets one
/// that a rule forbids.
async fn decide_and_take(
    store: &Store,
    owner: i64,
    claimed: &[Claimed],
    in_flight: &[(i64, i32)],
    asked: &[(usize, Asked)],
    limit: u32,
    decider: &Decider,
) -> Result<Take, StoreError> {
    let mut decided = Vec::new();
    if !asked.is_empty() {
        let (places, asked): (Vec<usize>, Vec<Asked>) = asked.iter().cloned().unzip();
        let versions = decider.decide(store, owner, &asked).await?;
        decided = places.into_iter().zip(versions).collect();
    }
    let (dialogs, rendered) =
        take(store, owner, claimed, in_flight, limit, decider.registry()).await?;
    Ok(Take {
        dialogs,
        rendered,
        decided,
    })
}

/// Takes, then reads the publications (or the watchers) of what was taken, then renders. In this order: a phone that subscribes
/// after a publication was acknowledged must be shown it, and only a look after the take is certain to see it.
async fn take(
    store: &Store,
    owner: i64,
    claimed: &[Claimed],
    in_flight: &[(i64, i32)],
    limit: u32,
    registry: &Registry,
) -> Result<(Vec<TakenDialog>, Rendered), StoreError> {
    let dialogs = store
        .subscription()
        .take(owner, claimed, in_flight, limit)
        .await?;
    let shown: HashSet<usize> = dialogs.iter().map(|dialog| dialog.resource_index).collect();
    let (mut resources, mut winfos) = (Vec::new(), Vec::new());
    for index in shown {
        let Some(claimed) = claimed.get(index) else {
            continue;
        };
        let own = dialogs.iter().filter(|d| d.resource_index == index);
        match Wanted::of(registry, &claimed.resource, own) {
            Some(wanted) => winfos.push(wanted),
            None => resources.push(claimed.resource.clone()),
        }
    }
    let questions: Vec<WatchedResource> = winfos.iter().map(Wanted::question).collect();
    let (subscription, publication) = (store.subscription(), store.publication());
    // Neither asks the database when there is nothing to ask.
    let (watchers, listed) = tokio::try_join!(
        subscription.list_watchers(&questions),
        publication.list(&resources),
    )?;
    let mut own: Vec<Vec<&Watcher>> = vec![Vec::new(); winfos.len()];
    for watcher in &watchers {
        if let Some(own) = own.get_mut(watcher.resource_index) {
            own.push(watcher);
        }
    }
    let winfos = winfos.iter().zip(&own);
    let winfos = winfos.map(|(wanted, own)| wanted.render(registry, own));
    let mut rendered = Rendered::new(registry, &resources, &listed, winfos);
    for dialog in &dialogs {
        if let Some(claimed) = claimed.get(dialog.resource_index) {
            rendered.show(registry, &claimed.resource, &dialog.view);
        }
    }
    Ok((dialogs, rendered))
}

// === impl Done ===

impl Done {
    pub(crate) fn error(self) -> Option<StoreError> {
        match self {
            Done::Verdicts(result) | Done::Settle(result) => result.err(),
            Done::Take(result) => result.err(),
            Done::Claim(result) => result.err(),
        }
    }
}

pub(crate) fn claimed(work: &Held) -> Claimed {
    Claimed {
        resource: Resource::clone(&work.resource),
        claim: work.claim,
        version: work.version,
        state_due: work.state_due,
        continued: false,
        recovered: false,
        decide: false,
    }
}

pub(crate) fn settled_resource(work: &Held) -> SettledResource {
    SettledResource {
        resource: Resource::clone(&work.resource),
        claim: work.claim,
        state_taken: !work.give_back,
        next_change: work.next_change,
        decided: work.decided,
    }
}
