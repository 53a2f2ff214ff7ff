//! What a lease asks of its holder: to renew it in time, to give up what it no longer covers, and to claim what is due for long.

use super::Engine;
use crate::in_flight::HoldId;
use sql::{Claimed, Resource, StoreError};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

/// How often a resource that is due for long is claimed by waiting for its lock.
pub(super) const OVERDUE_PERIOD: Duration = Duration::from_secs(1);

pub(super) struct Renewal {
    issued: Instant,
    asked: Vec<(HoldId, Arc<Resource>)>,
}

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
        let task = tokio::spawn(async move { store.queue().renew(owner, &resources, lease).await });
        self.renewal = Some((Renewal { issued: now, asked }, AbortOnDropHandle::new(task)));
    }

    pub(super) fn renewal_done(
        &mut self,
        (renewal, done): (
            Renewal,
            Result<Result<Vec<Resource>, StoreError>, JoinError>,
        ),
    ) {
        match done {
            Ok(Ok(granted)) => {
                let granted: HashSet<Arc<Resource>> = granted.into_iter().map(Arc::new).collect();
                let lease_end = renewal.issued + self.settings.lease;
                let branches = self.ledger.renewed(&renewal.asked, &granted, lease_end);
                self.cancel(branches);
            }
            Ok(Err(error)) => tracing::warn!(error = %error, "renewing leases failed"),
            Err(error) => tracing::error!(error = %error, "renewing leases failed"),
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
        let task = tokio::spawn(async move {
            store
                .queue()
                .claim_overdue(owner, &held, lease, waitn)
                .await
        });
        self.overdue = Some((now, AbortOnDropHandle::new(task)));
    }

    pub(super) fn overdue_done(
        &mut self,
        (issued, done): (
            Instant,
            Result<Result<Option<Claimed>, StoreError>, JoinError>,
        ),
    ) {
        match done {
            Ok(Ok(claimed)) => self.claimed(claimed.into_iter().collect(), issued),
            // A lock that can't be had within the statement's time is somebody's long transaction; the next round waits again.
            Ok(Err(error)) => {
                tracing::debug!(error = %error, "no overdue resource could be claimed")
            }
            Err(error) => tracing::error!(error = %error, "claiming an overdue resource failed"),
        }
    }

    pub(super) fn change_owner(&mut self, owner: i64) {
        self.owner = owner;
        let branches = self.ledger.abandon_all();
        self.cancel(branches);
    }
}
