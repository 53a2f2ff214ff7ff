//! Leases: which are to be renewed, and what is given up of those that are lost.
//!
//! Nothing of an abandoned resource is sent, awaited or settled any more; each of these returns the branches to cancel.

use sql::Renewed;
use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use super::{HoldId, Ledger, NotifyKey, Phase, Work};

impl<R: Clone + Eq + Hash> Ledger<R> {
    /// Resources at work with less than `half_lease` of their lease left. Drained ones aren't renewed: what can't be
    /// settled within its lease is left to the recovery by whoever claims it next.
    pub(crate) fn to_renew(&self, now: Instant, half_lease: Duration) -> Vec<(HoldId, R)> {
        let working = self.holds.iter().filter(|(id, hold)| {
            hold.phase != Phase::Settling
                && !self.drained.contains(id)
                && hold.lease_end < now + half_lease
        });
        working
            .map(|(id, hold)| (*id, hold.resource.clone()))
            .collect()
    }

    /// Notes the result of a renewal. A resource that the database no longer grants is abandoned; one whose row somebody holds is
    /// ours as long as it was before. Compares hold numbers, since a resource may have been settled and claimed anew while the renewal ran.
    pub(crate) fn renewed(
        &mut self,
        asked: &[(HoldId, R)],
        granted: &HashMap<R, Renewed>,
        lease_end: Instant,
    ) -> Vec<String> {
        let mut cancelled = Vec::new();
        for (id, resource) in asked {
            let Some(hold) = self.holds.get_mut(id) else {
                continue;
            };
            match granted.get(resource) {
                Some(Renewed::Renewed) => hold.lease_end = hold.lease_end.max(lease_end),
                Some(Renewed::Busy) => {}
                None if hold.phase == Phase::Settling => {}
                None => cancelled.extend(self.forget(*id)),
            }
        }
        cancelled
    }

    /// Abandons what has no more than `margin` of its lease left: nothing of it is sent, awaited or settled any more.
    /// A resource that is being settled is left to that statement's result.
    pub(crate) fn abandon_expired(
        &mut self,
        now: Instant,
        margin: Duration,
    ) -> (usize, Vec<String>) {
        let expired = self
            .holds
            .iter()
            .filter(|(_, hold)| hold.phase != Phase::Settling && hold.lease_end <= now + margin);
        let ids: Vec<HoldId> = expired.map(|(id, _)| *id).collect();
        let branches = ids.iter().flat_map(|id| self.forget(*id)).collect();
        (ids.len(), branches)
    }

    /// Abandons these resources at once.
    ///
    /// For a take that failed: it may have been committed with only its result lost, and its dialogs would then look
    /// notified. Left to run out of its lease, the resource is claimed as recovered and everything of it is sent again.
    pub(crate) fn abandon(&mut self, works: &[Work<R>]) -> Vec<String> {
        works
            .iter()
            .flat_map(|work| self.forget(work.hold))
            .collect()
    }

    /// Abandons the resource of a NOTIFY of which nobody can write down what became of it.
    pub(crate) fn abandon_of(&mut self, key: NotifyKey) -> Vec<String> {
        match self.hold_of(key) {
            Some(id) => self.forget(id),
            None => Vec::new(),
        }
    }

    /// Abandons everything (this process was taken for dead).
    pub(crate) fn abandon_all(&mut self) -> Vec<String> {
        let ids: Vec<HoldId> = self.holds.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.forget(id)).collect()
    }

    pub(super) fn forget(&mut self, id: HoldId) -> Vec<String> {
        self.drained.remove(&id);
        let Some(hold) = self.holds.remove(&id) else {
            return Vec::new();
        };
        if hold.wanted.is_some() {
            self.waiting.remove(id);
        }
        if let Some(until) = hold.rests {
            self.waiting.wake(id, until);
        }
        if self.by_resource.get(&hold.resource) == Some(&id) {
            self.by_resource.remove(&hold.resource);
        }
        hold.dialogs
            .iter()
            .filter_map(|dialog| self.notifies.remove(dialog)?.branch)
            .collect()
    }
}
