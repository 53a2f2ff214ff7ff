//! Which resources this notifier holds and which of their dialogs have a NOTIFY in flight.
//!
//! Pure bookkeeping: no sockets, no SQL, no clock of its own (the time is an argument). It answers four questions: which
//! resources must be taken (again), which are drained and can be settled, whose lease must be renewed, and whether a
//! request may still be sent. It doesn't decide what an answer means ([`crate::failure`]).
//!
//! At most one NOTIFY is in flight per dialog (RFC 6665 section 4.2.2 asks for one that awaits its answer): a dialog in
//! flight is named to the taking statement, which leaves it out. When its resource is claimed again meanwhile (the state
//! changed, the dialog was refreshed), the dialog is marked, and the resource is taken again the moment the dialog comes
//! back. Taking needs no new claim while the lease holds; the alternative, leaving the resource unsettled until it is due
//! again, would make a dialog that was busy for 50 ms wait for up to `waitn_time`, and would need a timer against busy loops.
//!
//! A resource of which a statement left something behind, because somebody holds a row of it, rests and is tried again, later each
//! time. Until then its NOTIFY stays due, and nobody waits for it.

// Paths are spelled out for benches/ledger.rs, which includes this file.
#[path = "ledger/decisions.rs"]
mod decisions;
#[path = "ledger/leases.rs"]
mod leases;
#[path = "ledger/left_behind.rs"]
mod left_behind;
#[path = "ledger/notifies.rs"]
mod notifies;
#[path = "ledger/waiting.rs"]
mod waiting;

use sql::{Decided, LastChange, NextChange, TakenState};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::time::{Instant, SystemTime};

use notifies::Open;
pub(crate) use notifies::{Guard, NotifyKey};
pub(crate) use waiting::pause;
use waiting::{Queue, Waiting};

/// Names one hold of a resource, from its claim to its settling. A later hold of the same resource has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HoldId(u64);

/// What is to be taken for one held resource, or what was taken when it is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work<R> {
    pub(crate) hold: HoldId,
    pub(crate) resource: R,
    /// Number of the latest claim, as the database gave it.
    pub(crate) claim: i64,
    pub(crate) version: i64,
    pub(crate) state_due: bool,
    /// Whether all was taken. If not (shutting down, or it was set aside), it's due at once for whoever comes next.
    pub(crate) taken: TakenState,
    /// How many takes in a row left something of it to be taken.
    pub(crate) cuts: u32,
    /// Something of it was left behind before.
    pub(crate) again: bool,
    /// Something of it was set aside before, and it was claimed then: it's alone.
    pub(crate) suspect: Option<SystemTime>,
    /// The last change of its state, as of the claim.
    pub(crate) last_change: LastChange,
    /// When the first of the documents that were shown changes by itself. Never forgotten by a later claim: a dialog may have been
    /// shown the newer state before that was claimed, and is then not taken again.
    pub(crate) next_change: NextChange,
    /// The watchers must be decided before anything is taken.
    pub(crate) decide: Option<Decide>,
    /// What became of the decision.
    pub(crate) decided: Decided,
}

/// That a decision about the watchers of a presentity is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decide {
    /// The claim that says so: a decision that was begun before it does not settle it.
    claim: i64,
    /// An earlier holder may still be writing.
    pub(crate) recovered: bool,
}

/// The record of everything this notifier holds.
#[derive(Debug)]
pub(crate) struct Ledger<R> {
    holds: HashMap<HoldId, Hold<R>>,
    by_resource: HashMap<R, HoldId>,
    notifies: HashMap<i64, Open>,
    waiting: Waiting,
    drained: BTreeSet<HoldId>,
    stopping: bool,
    last_serial: u64,
}

/// How many resources whose last take was cut short are taken together.
const CUT_BATCH: usize = 16;

#[derive(Debug)]
struct Hold<R> {
    resource: R,
    claim: i64,
    version: i64,
    state_due: bool,
    lease_end: Instant,
    dialogs: HashSet<i64>,
    phase: Phase,
    /// What it waits for. While a statement works for it that may be the next thing already.
    wanted: Option<Queue>,
    /// It waits for this time, and is then tried again.
    rests: Option<Instant>,
    /// How often in a row something of it was left behind.
    attempts: u32,
    /// Something of it was set aside before, and it was claimed then.
    suspect: Option<SystemTime>,
    last_change: LastChange,
    taken: TakenState,
    give_back: bool,
    cuts: u32,
    next_change: NextChange,
    decide: Option<Decide>,
    decided: Decided,
}

/// Statements run outside the ledger; while one works for a hold, the hold is not drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Deciding,
    Taking,
    Settling,
}

// === impl Ledger ===

impl<R: Clone + Eq + Hash> Ledger<R> {
    pub(crate) fn new() -> Self {
        Ledger {
            holds: HashMap::new(),
            by_resource: HashMap::new(),
            notifies: HashMap::new(),
            waiting: Waiting::default(),
            drained: BTreeSet::new(),
            stopping: false,
            last_serial: 0,
        }
    }

    /// The claims that are being worked on. What was abandoned isn't among them: the next claim must leave it alone until its
    /// lease runs out, so that it's recovered.
    pub(crate) fn claims(&self) -> Vec<i64> {
        self.holds.values().map(|hold| hold.claim).collect()
    }

    /// Whether a resource is held.
    pub(crate) fn holds(&self, resource: &R) -> bool {
        self.by_resource.contains_key(resource)
    }

    /// Whether nothing at all is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.holds.is_empty()
    }

    /// Records a claim: a new hold, or more work for one that exists.
    ///
    /// A claim of flagged dialogs only (`state_due` false) does not hide a state change that is already due in this hold: the
    /// version of that change stays the one that is taken and settled.
    pub(crate) fn claimed(
        &mut self,
        resource: R,
        claim: i64,
        version: i64,
        state_due: bool,
        lease_end: Instant,
    ) {
        if let Some(&id) = self.by_resource.get(&resource)
            && let Some(hold) = self.holds.get_mut(&id)
        {
            if state_due || !hold.state_due {
                hold.version = version;
            }
            hold.state_due |= state_due;
            hold.claim = claim;
            hold.lease_end = hold.lease_end.max(lease_end);
            // A settling statement that is under way was issued for the earlier claim; its result no longer ends this hold.
            if hold.phase == Phase::Settling {
                hold.phase = Phase::Idle;
            }
            for dialog in &hold.dialogs {
                if let Some(open) = self.notifies.get_mut(dialog) {
                    open.again = true;
                }
            }
            self.want(id, Queue::Fresh);
            self.note_drained(id);
            return;
        }
        let id = HoldId(self.serial());
        let hold = Hold {
            resource: resource.clone(),
            claim,
            version,
            state_due,
            lease_end,
            dialogs: HashSet::new(),
            phase: Phase::Idle,
            wanted: None,
            rests: None,
            attempts: 0,
            suspect: None,
            last_change: LastChange::default(),
            taken: TakenState::All,
            give_back: false,
            cuts: 0,
            next_change: NextChange::Unknown,
            decide: None,
            decided: Decided::NotAsked,
        };
        self.holds.insert(id, hold);
        self.by_resource.insert(resource, id);
        self.want(id, Queue::Fresh);
        self.note_drained(id);
    }

    /// Something of a resource that was just claimed was set aside before: it is taken by itself, so that it harms nobody else.
    pub(crate) fn suspect(&mut self, resource: &R, claimed: SystemTime) {
        let hold = self.by_resource.get(resource);
        if let Some(hold) = hold.and_then(|id| self.holds.get_mut(id)) {
            hold.suspect = Some(claimed);
        }
    }

    /// The last change of a resource that was just claimed.
    pub(crate) fn changed(&mut self, resource: &R, last_change: LastChange) {
        let hold = self.by_resource.get(resource);
        if let Some(hold) = hold.and_then(|id| self.holds.get_mut(id)) {
            hold.last_change = last_change;
        }
    }

    // --- take ---

    /// Whether a resource waits to be taken.
    pub(crate) fn wants_take(&self) -> bool {
        self.waiting.has_any()
    }

    /// Hands out the resources to take: all the fresh ones, or else a few of those whose take was cut short; a suspect one
    /// alone. Each must come back through [`Ledger::taken`] or [`Ledger::abandon`].
    pub(crate) fn begin_take(&mut self, limit: usize) -> Vec<Work<R>> {
        let (queue, limit) = match self.waiting.queue(Queue::Fresh).is_empty() {
            true => (self.waiting.queue(Queue::Cut), limit.min(CUT_BATCH)),
            false => (self.waiting.queue(Queue::Fresh), limit),
        };
        let mut works = Vec::with_capacity(limit.min(queue.len()));
        while works.len() < limit
            && let Some(id) = queue.pop_front()
        {
            let Some(hold) = self.holds.get_mut(&id) else {
                continue;
            };
            if hold.suspect.is_some() && !works.is_empty() {
                queue.push_front(id);
                break;
            }
            hold.wanted = None;
            hold.phase = Phase::Taking;
            works.push(hold.work(id));
            if hold.suspect.is_some() {
                break;
            }
        }
        works
    }

    /// A take has ended. `complete` false: the statement's limit cut it short, so its resources are taken once more.
    pub(crate) fn taken<'a>(&mut self, works: impl IntoIterator<Item = &'a Work<R>>, complete: bool)
    where
        R: 'a,
    {
        for work in works {
            let Some(hold) = self.holds.get_mut(&work.hold) else {
                continue;
            };
            hold.phase = Phase::Idle;
            hold.taken = TakenState::All;
            if complete {
                hold.cuts = 0;
                hold.attempts = 0;
            } else {
                hold.cuts += 1;
                self.want(work.hold, Queue::Cut);
            }
            self.note_drained(work.hold);
        }
    }

    /// Notes when the document that a take has shown to some of the dialogs changes by itself.
    pub(crate) fn shown(&mut self, work: &Work<R>, next_change: NextChange) {
        if let Some(hold) = self.holds.get_mut(&work.hold) {
            hold.next_change = hold.next_change.earliest(next_change);
        }
    }

    // --- settle ---

    /// Hands out up to `limit` drained resources: nothing to take, nothing in flight. Each must come back through
    /// [`Ledger::settled`] or [`Ledger::settle_failed`].
    pub(crate) fn begin_settle(&mut self, limit: usize) -> Vec<Work<R>> {
        let ids: Vec<HoldId> = self.drained.iter().copied().take(limit).collect();
        let mut works = Vec::with_capacity(ids.len());
        for id in ids {
            self.drained.remove(&id);
            if let Some(hold) = self.holds.get_mut(&id) {
                hold.phase = Phase::Settling;
                works.push(hold.work(id));
            }
        }
        works
    }

    /// Whether a resource waits to be settled.
    #[cfg(test)]
    pub(crate) fn has_drained(&self) -> bool {
        !self.drained.is_empty()
    }

    /// These resources are settled: forget them, unless they were claimed again while the statement ran.
    pub(crate) fn settled(&mut self, works: &[Work<R>]) {
        for work in works {
            if self
                .holds
                .get(&work.hold)
                .is_some_and(|hold| hold.phase == Phase::Settling)
            {
                self.forget(work.hold);
            }
        }
    }

    /// Settling failed: tried again, for as long as the lease lasts ([`Ledger::abandon_expired`]).
    pub(crate) fn settle_failed(&mut self, works: &[Work<R>]) {
        for work in works {
            if let Some(hold) = self.holds.get_mut(&work.hold)
                && hold.phase == Phase::Settling
            {
                hold.phase = Phase::Idle;
                self.note_drained(work.hold);
            }
        }
    }

    /// Stops taking for good (shutting down): what waits to be taken, now or later, is given back when it's drained.
    pub(crate) fn stop_taking(&mut self) {
        self.stopping = true;
        for id in self.waiting.drain() {
            if let Some(hold) = self.holds.get_mut(&id) {
                hold.wanted = None;
                hold.give_back = true;
            }
            self.note_drained(id);
        }
    }

    fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// Puts a hold in line, unless it is there.
    fn want(&mut self, id: HoldId, queue: Queue) {
        let Some(hold) = self.holds.get_mut(&id) else {
            return;
        };
        if let Some(until) = hold.rests.take() {
            self.waiting.wake(id, until);
        }
        if self.stopping {
            hold.give_back = true;
        } else if hold.wanted.is_none() {
            let queue = match hold.decide {
                Some(_) => Queue::Undecided,
                None => queue,
            };
            hold.wanted = Some(queue);
            self.waiting.queue(queue).push_back(id);
        }
    }

    /// Puts a hold that is in line where it belongs now: nothing is taken before its decision.
    fn want_again(&mut self, id: HoldId) {
        let Some(hold) = self.holds.get_mut(&id) else {
            return;
        };
        let Some(waits) = hold.wanted else { return };
        if hold.decide.is_some() != (waits == Queue::Undecided) {
            hold.wanted = None;
            self.waiting.remove(id);
            self.want(id, Queue::Fresh);
        }
    }

    /// Puts a hold among the drained ones when it is.
    fn note_drained(&mut self, id: HoldId) {
        let Some(hold) = self.holds.get(&id) else {
            return;
        };
        if hold.is_drained() {
            self.drained.insert(id);
        } else {
            self.drained.remove(&id);
        }
    }
}

// === impl Hold ===

impl<R: Clone> Hold<R> {
    fn is_drained(&self) -> bool {
        let is_idle = self.phase == Phase::Idle && self.wanted.is_none() && self.rests.is_none();
        is_idle && self.dialogs.is_empty()
    }

    fn work(&self, id: HoldId) -> Work<R> {
        Work {
            hold: id,
            resource: self.resource.clone(),
            claim: self.claim,
            version: self.version,
            state_due: self.state_due,
            taken: match self.give_back {
                true => TakenState::Some,
                false => self.taken.clone(),
            },
            cuts: self.cuts,
            again: self.attempts > 0,
            suspect: self.suspect,
            last_change: self.last_change.clone(),
            next_change: self.next_change,
            decide: self.decide,
            decided: match self.decide {
                Some(_) => Decided::NotYet,
                None => self.decided,
            },
        }
    }
}

#[cfg(test)]
#[path = "ledger/tests.rs"]
mod tests;
