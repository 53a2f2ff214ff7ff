//! Holds that wait for their turn: to be decided about, to be taken, or to be tried again.

use std::collections::{BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use super::HoldId;

/// What a hold waits for. It waits in one queue at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Queue {
    /// Its watchers must be decided.
    Undecided,
    /// To be taken.
    Fresh,
    /// To be taken, and a take was cut short before. A large fan-out thus lets others pass between its chunks.
    Cut,
}

/// The queues.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    undecided: VecDeque<HoldId>,
    fresh: VecDeque<HoldId>,
    cut: VecDeque<HoldId>,
    resting: BTreeSet<(Instant, HoldId)>,
}

/// The first and the longest pause before something that somebody holds is tried again.
const MIN_PAUSE: Duration = Duration::from_millis(20);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// How long to wait after so many attempts in vain.
pub(crate) fn pause(attempts: u32) -> Duration {
    MIN_PAUSE
        .saturating_mul(1 << attempts.saturating_sub(1).min(16))
        .min(MAX_PAUSE)
}

// === impl Waiting ===

impl Waiting {
    pub(super) fn queue(&mut self, queue: Queue) -> &mut VecDeque<HoldId> {
        match queue {
            Queue::Undecided => &mut self.undecided,
            Queue::Fresh => &mut self.fresh,
            Queue::Cut => &mut self.cut,
        }
    }

    /// Takes a hold out of its queue. What was put in last is found first.
    pub(super) fn remove(&mut self, id: HoldId) {
        for queue in [&mut self.undecided, &mut self.fresh, &mut self.cut] {
            if let Some(place) = queue.iter().rposition(|waiting| *waiting == id) {
                queue.remove(place);
            }
        }
    }

    /// Empties the queues of what waits to be decided about or taken.
    pub(super) fn drain(&mut self) -> Vec<HoldId> {
        let queues = [&mut self.undecided, &mut self.fresh, &mut self.cut];
        queues
            .into_iter()
            .flat_map(|queue| queue.drain(..))
            .collect()
    }

    pub(super) fn has_any(&self) -> bool {
        !self.fresh.is_empty() || !self.cut.is_empty()
    }

    pub(super) fn undecided_count(&self) -> usize {
        self.undecided.len()
    }

    pub(super) fn rest(&mut self, id: HoldId, until: Instant) {
        self.resting.insert((until, id));
    }

    pub(super) fn wake(&mut self, id: HoldId, until: Instant) {
        self.resting.remove(&(until, id));
    }

    /// The one whose time has come, if any has.
    pub(super) fn first_awake(&mut self, now: Instant) -> Option<HoldId> {
        let (until, _) = self.resting.first()?;
        (*until <= now).then(|| self.resting.pop_first().map(|(_, id)| id))?
    }

    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.resting.first().map(|(until, _)| *until)
    }
}
