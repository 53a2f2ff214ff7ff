//! What a lease asks of its holder: to renew it in time, to give up what it no longer covers, and to claim what is due for long.

use super::Engine;
use crate::ledger::HoldId;
use crate::step::{Fault, begin, claim};
use sql::{Claimed, Renewed, Resource};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a resource that is due for long is claimed by waiting for its lock.
pub(super) const OVERDUE_PERIOD: Duration = Duration::from_secs(1);

impl Engine {
    pub(super) fn watch_leases(&mut self) {
        let now = Instant::now();
        let (count, branches) = self
            .ledger
            .abandon_expired(now, self.settings.lease_margin());
        if count > 0 {
            tracing::warn!(
                resources = count,
                "leases ran out before their work was settled; abandoned, to be recovered"
            );
        }
        self.cancel(branches);
        if self.renewal.is_some() {
            return;
        }
        let asked = self.ledger.to_renew(now, self.settings.lease / 2);
        if asked.is_empty() {
            return;
        }
        let (store, owner, lease) = (self.store.clone(), self.owner, self.settings.lease);
        let resources: Vec<Resource> = asked
            .iter()
            .map(|(_, resource)| Resource::clone(resource))
            .collect();
        let work = async move { store.queue().renew(owner, &resources, lease).await };
        self.renewal = Some(begin(work, move |engine, result| {
            engine.renewed(&asked, now + lease, result);
        }));
    }

    fn renewed(
        &mut self,
        asked: &[(HoldId, Arc<Resource>)],
        lease_end: Instant,
        result: Result<Vec<(Resource, Renewed)>, Fault>,
    ) {
        match result {
            Ok(granted) => {
                let granted = granted.into_iter();
                let granted: HashMap<Arc<Resource>, Renewed> = granted
                    .map(|(resource, renewed)| (Arc::new(resource), renewed))
                    .collect();
                let branches = self.ledger.renewed(asked, &granted, lease_end);
                self.cancel(branches);
            }
            Err(fault) => tracing::warn!(error = %fault, "renewing leases failed"),
        }
    }

    /// Runs beside the other statements, since it may wait long for its lock. Should it claim a resource that is being
    /// settled at that moment, the database decides: a settlement of an earlier claim settles nothing.
    pub(super) fn start_overdue(&mut self) {
        let now = Instant::now();
        if self.overdue.is_some()
            || self.stopping.is_some()
            || self.free_permits() == 0
            || self.outage.lasts(now)
        {
            return;
        }
        let (store, owner) = (self.store.clone(), self.owner);
        let (lease, waitn) = (self.settings.lease, self.settings.waitn);
        let held = self.ledger.claims();
        let work = async move {
            store
                .queue()
                .claim_overdue(owner, &held, lease, waitn)
                .await
        };
        self.overdue = Some(begin(work, move |engine, result| {
            engine.overdue_claimed(now, result);
        }));
    }

    fn overdue_claimed(&mut self, issued: Instant, result: Result<Option<Claimed>, Fault>) {
        match result {
            Ok(claimed) => claim::enter(self, claimed.into_iter().collect(), issued),
            // A lock that can't be had within the statement's time is somebody's long transaction; the next round waits again.
            Err(fault) => tracing::debug!(error = %fault, "no overdue resource could be claimed"),
        }
    }

    pub(super) fn change_owner(&mut self, owner: i64) {
        self.owner = owner;
        let branches = self.ledger.abandon_all();
        self.cancel(branches);
    }
}
