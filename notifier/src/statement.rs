//! The four statements that move the queue on, detached from the engine so that they run beside it.

use crate::decide::{Asked, Decider};
use crate::engine::Held;
use crate::render::Rendered;
use crate::seen::{ChangedBy, Manner};
use crate::watchers::Wanted;
use events::Registry;
use sql::{
    Claimed, DialogVerdict, Looked, Offer, Resource, Seen, SettledResource, Store, StoreError,
    TakenDialog, WatchedResource, Watcher,
};
use std::collections::BTreeSet;
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
        manner: Manner,
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
                manner,
            } => {
                let taking = Taking {
                    store,
                    owner,
                    registry: decider.registry(),
                    manner,
                    claimed: &claimed,
                    in_flight: &in_flight,
                    limit,
                };
                Done::Take(decide_and_take(&taking, &asked, &decider).await)
            }
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

/// What it takes to take.
struct Taking<'a> {
    store: &'a Store,
    owner: i64,
    registry: &'a Registry,
    manner: Manner,
    claimed: &'a [Claimed],
    in_flight: &'a [(i64, i32)],
    limit: u32,
}

/// Decides about watchers where that is asked for, then takes: whoever is let in gets its NOTIFY in the same round, and nobody gets one
/// that a rule forbids.
async fn decide_and_take(
    taking: &Taking<'_>,
    asked: &[(usize, Asked)],
    decider: &Decider,
) -> Result<Take, StoreError> {
    let mut decided = Vec::new();
    if !asked.is_empty() {
        let (places, asked): (Vec<usize>, Vec<Asked>) = asked.iter().cloned().unzip();
        let versions = decider.decide(taking.store, taking.owner, &asked).await?;
        decided = places.into_iter().zip(versions).collect();
    }
    let (dialogs, rendered) = taking.run().await?;
    Ok(Take {
        dialogs,
        rendered,
        decided,
    })
}

impl Taking<'_> {
    /// Reads and renders what publications show, takes, and then reads and renders what must be read after that: watcher information,
    /// and whatever a phone that has just subscribed may know to be newer. Most often there is nothing left to read.
    async fn run(&self) -> Result<(Vec<TakenDialog>, Rendered), StoreError> {
        let mut rendered = Rendered::new(self.manner.is_quiet);
        let (places, seen) = self.look(&mut rendered).await?;
        let mut offered: Vec<(usize, Offer<'_>)> = Vec::with_capacity(self.claimed.len());
        for (place, claimed) in self.claimed.iter().enumerate() {
            let seen = match places.get(place) {
                Some(Place::Seen(index)) => seen.get(*index),
                Some(Place::Unwatched) => continue,
                _ => None,
            };
            let resource = &claimed.resource;
            offered.push((place, Offer { resource, seen }));
        }
        let offers = offered.iter().map(|(_, offer)| *offer);
        let (owner, in_flight) = (self.owner, self.in_flight);
        let subscription = self.store.subscription();
        let mut dialogs = subscription
            .take(owner, offers, in_flight, self.limit)
            .await?;
        for dialog in &mut dialogs {
            if let Some((place, _)) = offered.get(dialog.resource_index) {
                dialog.resource_index = *place;
            }
        }
        self.read(&mut rendered, &dialogs).await?;
        for dialog in &dialogs {
            if let Some(claimed) = self.claimed.get(dialog.resource_index) {
                rendered.show(self.registry, &claimed.resource, dialog);
            }
        }
        Ok((dialogs, rendered))
    }

    /// What is known of each resource before the take.
    async fn look(&self, rendered: &mut Rendered) -> Result<(Vec<Place>, Vec<Seen>), StoreError> {
        let is_watcher_information = |claimed: &Claimed| {
            let package = self.registry.find_name(&claimed.resource.event);
            package.is_some_and(|package| package.watched_package().is_some())
        };
        let mut places = Vec::with_capacity(self.claimed.len());
        let (mut resources, mut at) = (Vec::new(), Vec::new());
        for (place, claimed) in self.claimed.iter().enumerate() {
            if is_watcher_information(claimed) {
                places.push(Place::ReadLater);
            } else {
                places.push(Place::Unwatched);
                resources.push(claimed.resource.clone());
                at.push(place);
            }
        }
        let (looked, listed) = self.store.publication().list_claimed(&resources).await?;
        let mut seen = rendered.look(self.registry, &resources, &looked, &listed);
        for (index, look) in looked.iter().enumerate() {
            if let Some(place) = at.get(look.resource_index) {
                places[*place] = Place::Seen(index);
            }
        }
        self.find_own(&resources, &looked, &mut seen).await?;
        Ok((places, seen))
    }

    /// The dialogs of those who made the last changes. Asks nothing where nobody said who did.
    async fn find_own(
        &self,
        resources: &[Resource],
        looked: &[Looked],
        seen: &mut [Seen],
    ) -> Result<(), StoreError> {
        let (mut asked, mut about) = (Vec::new(), Vec::new());
        for (index, look) in looked.iter().enumerate() {
            if look.changed_by.is_empty() {
                continue;
            }
            let by = ChangedBy::read(&look.changed_by, self.manner);
            if let (Some(by), Some(resource)) = (by, resources.get(look.resource_index)) {
                asked.push(resource.clone());
                about.push((index, by));
            }
        }
        for dialog in self.store.subscription().list_contacts(&asked).await? {
            let about = about.get(dialog.resource_index);
            if let Some((index, _)) = about.filter(|(_, by)| by.watches_by(&dialog))
                && let Some(seen) = seen.get_mut(*index)
            {
                seen.own.push(dialog.id);
            }
        }
        Ok(())
    }

    /// What dialogs are shown that could not be known before they were taken.
    async fn read(
        &self,
        rendered: &mut Rendered,
        dialogs: &[TakenDialog],
    ) -> Result<(), StoreError> {
        let unknown = || dialogs.iter().filter(|dialog| !dialog.is_known);
        let shown: BTreeSet<usize> = unknown().map(|dialog| dialog.resource_index).collect();
        let (mut resources, mut winfos) = (Vec::new(), Vec::new());
        for index in shown {
            let Some(claimed) = self.claimed.get(index) else {
                continue;
            };
            let own = unknown().filter(|dialog| dialog.resource_index == index);
            match Wanted::of(self.registry, &claimed.resource, own) {
                Some(wanted) => winfos.push(wanted),
                None => resources.push(claimed.resource.clone()),
            }
        }
        let questions: Vec<WatchedResource> = winfos.iter().map(Wanted::question).collect();
        let (subscription, publication) = (self.store.subscription(), self.store.publication());
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
        let winfos = winfos.map(|(wanted, own)| wanted.render(self.registry, own));
        rendered.read(self.registry, &resources, &listed, winfos);
        Ok(())
    }
}

/// What is known of a claimed resource before it is taken.
enum Place {
    /// The documents of its dialogs.
    Seen(usize),
    /// That it has no dialogs: there is nothing to take.
    Unwatched,
    /// Nothing yet.
    ReadLater,
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
