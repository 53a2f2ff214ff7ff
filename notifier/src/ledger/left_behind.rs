//! What a step could not do now: it rests, and is tried again, later each time; or it is set aside.

use std::hash::Hash;
use std::sync::Arc;
use std::time::Instant;

use sql::{Seen, TakenState};

use super::{HoldId, Ledger, Phase, Queue, Work, waiting};

impl<R: Clone + Eq + Hash> Ledger<R> {
    /// A take of this resource returned nothing, its dialogs being shown this: none was due, or another transaction holds the rows of all that
    /// do. Settling tells.
    pub(crate) fn doubted(&mut self, work: &Work<R>, seen: Option<Arc<Seen>>, now: Instant) {
        let Some(hold) = self.holds.get_mut(&work.hold) else {
            return;
        };
        hold.phase = Phase::Idle;
        hold.cuts = 0;
        hold.taken = TakenState::Doubted(seen);
        // Before it is settled its NOTIFYs must come back, which may take long.
        if hold.attempts > 0 && !hold.dialogs.is_empty() {
            self.rest(work.hold, now);
        }
        self.note_drained(work.hold);
    }

    /// A statement left something of a resource behind, because somebody holds a row of it: it rests, and is tried again.
    pub(crate) fn left_behind(&mut self, work: &Work<R>, now: Instant) {
        let Some(hold) = self.holds.get_mut(&work.hold) else {
            return;
        };
        // Of a settlement for an earlier claim nobody is interested any more.
        if hold.phase == Phase::Idle {
            return;
        }
        hold.phase = Phase::Idle;
        self.rest(work.hold, now);
        self.note_drained(work.hold);
    }

    /// The database refuses to work on a resource, which was set aside: it is given back when its NOTIFYs have come back, and nobody claims it
    /// before its time.
    pub(crate) fn set_aside(&mut self, work: &Work<R>) {
        if let Some(hold) = self.holds.get_mut(&work.hold) {
            hold.phase = Phase::Idle;
            hold.give_back = true;
            self.note_drained(work.hold);
        }
    }

    fn rest(&mut self, id: HoldId, now: Instant) {
        if let Some(hold) = self.holds.get_mut(&id)
            && hold.wanted.is_none()
            && hold.rests.is_none()
        {
            hold.attempts += 1;
            let until = now + waiting::pause(hold.attempts);
            hold.rests = Some(until);
            self.waiting.rest(id, until);
        }
    }

    /// Lets those go on whose rest is over.
    pub(crate) fn wake(&mut self, now: Instant) {
        while let Some(id) = self.waiting.first_awake(now) {
            let Some(hold) = self.holds.get_mut(&id) else {
                continue;
            };
            hold.rests = None;
            self.want(id, Queue::Cut);
            self.note_drained(id);
        }
    }

    /// When the next rest is over.
    pub(crate) fn next_wake(&self) -> Option<Instant> {
        self.waiting.next_wake()
    }
}
