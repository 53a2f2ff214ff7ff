//! Which resources this notifier holds and which of their dialogs have a NOTIFY in flight.
//!
//! Pure bookkeeping: no sockets, no SQL, no clock of its own (the time is an argument). It answers four questions: which
//! resources must be taken (again), which are drained and can be settled, whose lease must be renewed, and whether a
//! request may still be sent. It doesn't decide what an answer means ([`crate::settle`]).
//!
//! At most one NOTIFY is in flight per dialog (RFC 6665 section 4.2.2 asks for one that awaits its answer): a dialog in
//! flight is named to the taking statement, which leaves it out. When its resource is claimed again meanwhile (the state
//! changed, the dialog was refreshed), the dialog is marked, and the resource is taken again the moment the dialog comes
//! back. Taking needs no new claim while the lease holds; the alternative, leaving the resource unsettled until it is due
//! again, would make a dialog that was busy for 50 ms wait for up to `waitn_time`, and would need a timer against busy loops.

use sql::{Decided, NextChange};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Names one NOTIFY: the dialog's row and a number that is never used twice in this process, so that a late answer to
/// an abandoned NOTIFY is told from the answer to its successor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FlightKey {
    pub(crate) dialog: i64,
    pub(crate) serial: u64,
}

/// Names one hold of a resource, from its claim to its settling. A later hold of the same resource has another number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HoldId(u64);

/// What the dialog looked like when it was taken: a verdict on this NOTIFY is void once it looks different.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guard {
    /// Grows with a new Contact or flow: the NOTIFY went elsewhere.
    pub(crate) target_version: i32,
    /// CSeq of the last SUBSCRIBE.
    pub(crate) remote_cseq: u32,
}

/// What is to be taken for one held resource, or what was taken when it is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Work<R> {
    pub(crate) hold: HoldId,
    pub(crate) resource: R,
    /// Number of the latest claim, as the database gave it.
    pub(crate) claim: i64,
    pub(crate) version: i64,
    pub(crate) state_due: bool,
    /// The resource is given back with work undone (shutting down): it's due at once for whoever comes next.
    pub(crate) give_back: bool,
    /// How many takes in a row left something of it to be taken.
    pub(crate) cuts: u32,
    /// When the first of the documents that were shown changes by itself. Never forgotten by a later claim: a dialog may have been
    /// shown the newer state before that was claimed, and is then not taken again.
    pub(crate) next_change: NextChange,
    /// It is to be decided about the watchers before anything is taken.
    pub(crate) decide: Option<Decide>,
    /// What became of the decision.
    pub(crate) decided: Decided,
}

/// That it is to be decided about the watchers of a presentity.
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
    flights: HashMap<i64, Flight>,
    /// Holds to take that no take has yet cut short, and those where one has. A large fan-out thus lets others pass
    /// between its chunks. A hold is in at most one of the two.
    fresh: VecDeque<HoldId>,
    cut: VecDeque<HoldId>,
    drained: BTreeSet<HoldId>,
    stopping: bool,
    last_serial: u64,
}

/// How many resources whose last take was cut short are taken together.
const CUT_TOGETHER: usize = 16;

#[derive(Debug)]
struct Hold<R> {
    resource: R,
    claim: i64,
    version: i64,
    state_due: bool,
    lease_end: Instant,
    dialogs: HashSet<i64>,
    phase: Phase,
    /// Waits in `fresh` or `cut`.
    wanted: bool,
    give_back: bool,
    cuts: u32,
    next_change: NextChange,
    decide: Option<Decide>,
    decided: Decided,
}

/// Statements run outside the ledger; while one works for a hold, the hold is neither drained nor wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Idle,
    Taking,
    Settling,
}

#[derive(Debug)]
struct Flight {
    serial: u64,
    hold: HoldId,
    guard: Guard,
    /// Branch of the client transaction once there is one.
    branch: Option<String>,
    /// Something new is owed to this dialog: its resource is taken again when it comes back.
    again: bool,
}

// === impl Ledger ===

impl<R: Clone + Eq + Hash> Ledger<R> {
    pub(crate) fn new() -> Self {
        Ledger {
            holds: HashMap::new(),
            by_resource: HashMap::new(),
            flights: HashMap::new(),
            fresh: VecDeque::new(),
            cut: VecDeque::new(),
            drained: BTreeSet::new(),
            stopping: false,
            last_serial: 0,
        }
    }

    /// NOTIFYs in flight, including those whose verdict is not yet stored.
    pub(crate) fn flight_count(&self) -> usize {
        self.flights.len()
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
    /// A claim of flagged dialogs only (`state_due` false) doesn't hide a state change that this hold already owes: the
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
                if let Some(flight) = self.flights.get_mut(dialog) {
                    flight.again = true;
                }
            }
            self.want(id, false);
            self.look(id);
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
            wanted: false,
            give_back: false,
            cuts: 0,
            next_change: NextChange::Unknown,
            decide: None,
            decided: Decided::NotAsked,
        };
        self.holds.insert(id, hold);
        self.by_resource.insert(resource, id);
        self.want(id, false);
        self.look(id);
    }

    /// Whether a resource waits to be taken.
    pub(crate) fn wants_take(&self) -> bool {
        !self.fresh.is_empty() || !self.cut.is_empty()
    }

    /// Hands out the resources to take: all the fresh ones, or else a few of those whose take was cut short. Each must
    /// come back through [`Ledger::taken`] or [`Ledger::abandon`].
    pub(crate) fn begin_take(&mut self, limit: usize) -> Vec<Work<R>> {
        let (queue, limit) = match self.fresh.is_empty() {
            true => (&mut self.cut, limit.min(CUT_TOGETHER)),
            false => (&mut self.fresh, limit),
        };
        let ids: Vec<HoldId> = queue.drain(..limit.min(queue.len())).collect();
        let mut works = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(hold) = self.holds.get_mut(&id) {
                hold.wanted = false;
                hold.phase = Phase::Taking;
                works.push(hold.work(id));
            }
        }
        works
    }

    /// Dialogs of these resources that are in flight, with the target they were sent to. Taking leaves them out unless
    /// their target has changed.
    pub(crate) fn in_flight_of(&self, works: &[Work<R>]) -> Vec<(i64, i32)> {
        let holds = works.iter().filter_map(|work| self.holds.get(&work.hold));
        let dialogs = holds.flat_map(|hold| hold.dialogs.iter());
        dialogs
            .filter_map(|dialog| {
                self.flights
                    .get(dialog)
                    .map(|flight| (*dialog, flight.guard.target_version))
            })
            .collect()
    }

    /// Opens a flight for a dialog that was taken for `work`. `None`: the resource was abandoned meanwhile, nothing may
    /// be sent. The branch of a transaction that this one replaces is added to `cancelled`.
    pub(crate) fn take_off(
        &mut self,
        work: &Work<R>,
        dialog: i64,
        guard: Guard,
        cancelled: &mut Vec<String>,
    ) -> Option<FlightKey> {
        let serial = self.serial();
        let hold = self.holds.get_mut(&work.hold)?;
        let again = hold.claim != work.claim;
        hold.dialogs.insert(dialog);
        let flight = Flight {
            serial,
            hold: work.hold,
            guard,
            branch: None,
            again,
        };
        if let Some(earlier) = self.flights.insert(dialog, flight) {
            cancelled.extend(earlier.branch);
            if earlier.hold != work.hold
                && let Some(other) = self.holds.get_mut(&earlier.hold)
            {
                other.dialogs.remove(&dialog);
            }
        }
        Some(FlightKey { dialog, serial })
    }

    /// A take has ended. `complete` false: the statement's limit cut it short, so its resources are taken once more.
    pub(crate) fn taken(&mut self, works: &[Work<R>], complete: bool) {
        for work in works {
            let Some(hold) = self.holds.get_mut(&work.hold) else {
                continue;
            };
            hold.phase = Phase::Idle;
            if complete {
                hold.cuts = 0;
            } else {
                hold.cuts += 1;
                self.want(work.hold, true);
            }
            self.look(work.hold);
        }
    }

    /// Notes when the document that a take has shown to some of the dialogs changes by itself.
    pub(crate) fn shown(&mut self, work: &Work<R>, next_change: NextChange) {
        if let Some(hold) = self.holds.get_mut(&work.hold) {
            hold.next_change = hold.next_change.earliest(next_change);
        }
    }

    /// Notes that it is to be decided about the watchers of a resource that was just claimed.
    pub(crate) fn must_decide(&mut self, resource: &R, recovered: bool) {
        let hold = self.by_resource.get(resource);
        if let Some(hold) = hold.and_then(|id| self.holds.get_mut(id)) {
            let before = hold.decide.is_some_and(|decide| decide.recovered);
            hold.decide = Some(Decide {
                claim: hold.claim,
                recovered: recovered || before,
            });
        }
    }

    /// Notes by which rules it was decided. What a later claim asks for stays to be done.
    pub(crate) fn decided(&mut self, work: &Work<R>, rules_version: i64) {
        if let Some(hold) = self.holds.get_mut(&work.hold) {
            hold.decided = Decided::By(rules_version);
            if hold.decide == work.decide {
                hold.decide = None;
            }
        }
    }

    /// Whether this flight may be sent now: it's still the dialog's current one, and more than `margin` of the lease is
    /// left. Remembers the branch, so that the transaction can be cancelled.
    pub(crate) fn may_send(
        &mut self,
        key: FlightKey,
        branch: &str,
        now: Instant,
        margin: Duration,
    ) -> bool {
        let Some(flight) = self
            .flights
            .get_mut(&key.dialog)
            .filter(|flight| flight.serial == key.serial)
        else {
            return false;
        };
        let Some(hold) = self.holds.get(&flight.hold) else {
            return false;
        };
        if hold.lease_end <= now + margin {
            return false;
        }
        flight.branch = Some(branch.to_owned());
        true
    }

    /// The guard of a flight that is still the dialog's current one; `None` for a late outcome.
    pub(crate) fn guard(&self, key: FlightKey) -> Option<Guard> {
        self.flights
            .get(&key.dialog)
            .filter(|flight| flight.serial == key.serial)
            .map(|flight| flight.guard)
    }

    /// A flight is over: its outcome needs no writing, or has been written.
    pub(crate) fn landed(&mut self, key: FlightKey) {
        if self.guard(key).is_none() {
            return;
        }
        let Some(flight) = self.flights.remove(&key.dialog) else {
            return;
        };
        let Some(hold) = self.holds.get_mut(&flight.hold) else {
            return;
        };
        hold.dialogs.remove(&key.dialog);
        if flight.again {
            self.want(flight.hold, false);
        }
        self.look(flight.hold);
    }

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
                self.look(work.hold);
            }
        }
    }

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

    /// Notes the result of a renewal. A resource that the database no longer grants is abandoned; returns the branches to
    /// cancel. Compares hold numbers, since a resource may have been settled and claimed anew while the renewal ran.
    pub(crate) fn renewed(
        &mut self,
        asked: &[(HoldId, R)],
        granted: &HashSet<R>,
        lease_end: Instant,
    ) -> Vec<String> {
        let mut cancelled = Vec::new();
        for (id, resource) in asked {
            let Some(hold) = self.holds.get_mut(id) else {
                continue;
            };
            if granted.contains(resource) {
                hold.lease_end = hold.lease_end.max(lease_end);
            } else if hold.phase != Phase::Settling {
                cancelled.extend(self.forget(*id));
            }
        }
        cancelled
    }

    /// Abandons what has no more than `margin` of its lease left: nothing of it is sent, awaited or settled any more.
    /// Returns the branches to cancel. A resource that is being settled is left to that statement's result.
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

    /// Abandons these resources at once. Returns the branches to cancel.
    ///
    /// For a take that failed: it may have been committed with only its result lost, and its dialogs would then look
    /// notified. Left to run out of its lease, the resource is claimed as recovered and everything of it is sent again.
    pub(crate) fn abandon(&mut self, works: &[Work<R>]) -> Vec<String> {
        works
            .iter()
            .flat_map(|work| self.forget(work.hold))
            .collect()
    }

    /// The flights that are still open with the branches of those that were sent, for shutting down.
    pub(crate) fn open_flights(&self) -> Vec<(FlightKey, Option<String>)> {
        let flights = self.flights.iter();
        flights
            .map(|(dialog, flight)| {
                (
                    FlightKey {
                        dialog: *dialog,
                        serial: flight.serial,
                    },
                    flight.branch.clone(),
                )
            })
            .collect()
    }

    /// Stops taking for good (shutting down): what waits to be taken, now or later, is given back when it's drained.
    pub(crate) fn stop_taking(&mut self) {
        self.stopping = true;
        for id in std::mem::take(&mut self.fresh)
            .into_iter()
            .chain(std::mem::take(&mut self.cut))
        {
            if let Some(hold) = self.holds.get_mut(&id) {
                hold.wanted = false;
                hold.give_back = true;
            }
            self.look(id);
        }
    }

    /// Abandons everything (this process was taken for dead). Returns the branches to cancel.
    pub(crate) fn abandon_all(&mut self) -> Vec<String> {
        let ids: Vec<HoldId> = self.holds.keys().copied().collect();
        ids.into_iter().flat_map(|id| self.forget(id)).collect()
    }

    fn serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    fn want(&mut self, id: HoldId, cut: bool) {
        let Some(hold) = self.holds.get_mut(&id) else {
            return;
        };
        if self.stopping {
            hold.give_back = true;
        } else if !hold.wanted {
            hold.wanted = true;
            if cut {
                self.cut.push_back(id)
            } else {
                self.fresh.push_back(id)
            }
        }
    }

    /// Puts a hold among the drained ones when it is.
    fn look(&mut self, id: HoldId) {
        let Some(hold) = self.holds.get(&id) else {
            return;
        };
        if hold.phase == Phase::Idle && hold.dialogs.is_empty() && !hold.wanted {
            self.drained.insert(id);
        } else {
            self.drained.remove(&id);
        }
    }

    fn forget(&mut self, id: HoldId) -> Vec<String> {
        self.drained.remove(&id);
        let Some(hold) = self.holds.remove(&id) else {
            return Vec::new();
        };
        if hold.wanted {
            self.fresh.retain(|wanted| *wanted != id);
            self.cut.retain(|wanted| *wanted != id);
        }
        if self.by_resource.get(&hold.resource) == Some(&id) {
            self.by_resource.remove(&hold.resource);
        }
        hold.dialogs
            .iter()
            .filter_map(|dialog| self.flights.remove(dialog)?.branch)
            .collect()
    }
}

// === impl Hold ===

impl<R: Clone> Hold<R> {
    fn work(&self, id: HoldId) -> Work<R> {
        Work {
            hold: id,
            resource: self.resource.clone(),
            claim: self.claim,
            version: self.version,
            state_due: self.state_due,
            give_back: self.give_back,
            cuts: self.cuts,
            next_change: self.next_change,
            decide: self.decide,
            decided: match self.decide {
                Some(_) => Decided::NotYet,
                None => self.decided,
            },
        }
    }
}

// The path is spelled out for benches/ledger.rs, which includes this file.
#[cfg(test)]
#[path = "in_flight/tests.rs"]
mod tests;
