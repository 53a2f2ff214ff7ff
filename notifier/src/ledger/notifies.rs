//! The NOTIFYs in flight: at most one of each dialog.

use std::hash::Hash;
use std::time::{Duration, Instant};

use super::{HoldId, Ledger, Queue, Work};

/// Names one NOTIFY: the dialog's row and a number that is never used twice in this process, so that a late answer to
/// an abandoned NOTIFY is distinguished from the answer to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct NotifyKey {
    pub(crate) dialog: i64,
    pub(crate) serial: u64,
}

/// What the dialog looked like when it was taken: a verdict on this NOTIFY is void once it looks different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Grows with a new Contact or flow: the NOTIFY went elsewhere.
    pub(crate) target_version: i32,
    /// CSeq of the last SUBSCRIBE.
    pub(crate) remote_cseq: u32,
}

/// A NOTIFY in flight.
#[derive(Debug)]
pub(super) struct Open {
    serial: u64,
    hold: HoldId,
    guard: Guard,
    /// Branch of the client transaction once there is one.
    pub(super) branch: Option<String>,
    /// A newer NOTIFY of this dialog is due: its resource is taken again when it comes back.
    pub(super) again: bool,
    /// What came of it is known, and waits to be written down.
    judged: bool,
}

// === impl Ledger ===

impl<R: Clone + Eq + Hash> Ledger<R> {
    /// NOTIFYs in flight, including those whose verdict is not yet stored.
    pub(crate) fn notify_count(&self) -> usize {
        self.notifies.len()
    }

    /// Dialogs of these resources that are in flight, with the target they were sent to. Taking leaves them out unless
    /// their target has changed.
    pub(crate) fn in_flight_of(&self, works: &[Work<R>]) -> Vec<(i64, i32)> {
        let holds = works.iter().filter_map(|work| self.holds.get(&work.hold));
        let dialogs = holds.flat_map(|hold| hold.dialogs.iter());
        dialogs
            .filter_map(|dialog| {
                self.notifies
                    .get(dialog)
                    .map(|open| (*dialog, open.guard.target_version))
            })
            .collect()
    }

    /// Opens a NOTIFY for a dialog that was taken for `work`. `None`: the resource was abandoned meanwhile, nothing may
    /// be sent. The branch of a transaction that this one replaces is added to `cancelled`.
    pub(crate) fn begin_notify(
        &mut self,
        work: &Work<R>,
        dialog: i64,
        guard: Guard,
        cancelled: &mut Vec<String>,
    ) -> Option<NotifyKey> {
        let serial = self.serial();
        let hold = self.holds.get_mut(&work.hold)?;
        let again = hold.claim != work.claim;
        hold.dialogs.insert(dialog);
        let open = Open {
            serial,
            hold: work.hold,
            guard,
            branch: None,
            again,
            judged: false,
        };
        if let Some(earlier) = self.notifies.insert(dialog, open) {
            cancelled.extend(earlier.branch);
            if earlier.hold != work.hold
                && let Some(other) = self.holds.get_mut(&earlier.hold)
            {
                other.dialogs.remove(&dialog);
            }
        }
        Some(NotifyKey { dialog, serial })
    }

    /// Whether this NOTIFY may be sent now: it's still the dialog's current one, and more than `margin` of the lease is
    /// left. Remembers the branch, so that the transaction can be cancelled.
    pub(crate) fn may_send(
        &mut self,
        key: NotifyKey,
        branch: &str,
        now: Instant,
        margin: Duration,
    ) -> bool {
        let Some(open) = self
            .notifies
            .get_mut(&key.dialog)
            .filter(|open| open.serial == key.serial)
        else {
            return false;
        };
        let Some(hold) = self.holds.get(&open.hold) else {
            return false;
        };
        if hold.lease_end <= now + margin {
            return false;
        }
        open.branch = Some(branch.to_owned());
        true
    }

    /// The guard of a NOTIFY that is still the dialog's current one; `None` for a late outcome.
    pub(crate) fn guard(&self, key: NotifyKey) -> Option<Guard> {
        self.notifies
            .get(&key.dialog)
            .filter(|open| open.serial == key.serial)
            .map(|open| open.guard)
    }

    /// The resource that a NOTIFY is of; `None` for one that is over.
    pub(crate) fn resource_of(&self, key: NotifyKey) -> Option<R> {
        let hold = self.holds.get(&self.hold_of(key)?)?;
        Some(hold.resource.clone())
    }

    pub(super) fn hold_of(&self, key: NotifyKey) -> Option<HoldId> {
        self.guard(key)?;
        self.notifies.get(&key.dialog).map(|open| open.hold)
    }

    /// A NOTIFY is over: its outcome needs no writing, or has been written.
    pub(crate) fn over(&mut self, key: NotifyKey) {
        if self.guard(key).is_none() {
            return;
        }
        let Some(open) = self.notifies.remove(&key.dialog) else {
            return;
        };
        let Some(hold) = self.holds.get_mut(&open.hold) else {
            return;
        };
        hold.dialogs.remove(&key.dialog);
        if open.again {
            self.want(open.hold, Queue::Fresh);
        }
        self.note_drained(open.hold);
    }

    /// What came of a NOTIFY is known, and waits to be written down.
    pub(crate) fn judged(&mut self, key: NotifyKey) {
        let open = self.notifies.get_mut(&key.dialog);
        if let Some(open) = open.filter(|open| open.serial == key.serial) {
            open.judged = true;
        }
    }

    /// The NOTIFYs of which nobody knows yet what became of them, with the branches of those that were sent, for shutting down.
    pub(crate) fn open_notifies(&self) -> Vec<(NotifyKey, Option<String>)> {
        let open = self.notifies.iter().filter(|(_, open)| !open.judged);
        open.map(|(dialog, open)| {
            let key = NotifyKey {
                dialog: *dialog,
                serial: open.serial,
            };
            (key, open.branch.clone())
        })
        .collect()
    }
}
