//! What is to happen later, earliest first. Entries are never taken back: whoever is woken looks whether it is still meant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Time since the beginning of the run, in nanoseconds.
pub(crate) type Nanos = u64;

pub(crate) const MILLISECOND: Nanos = 1_000_000;
pub(crate) const SECOND: Nanos = 1_000_000_000;

/// A publication or a watcher of this worker, by index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Party {
    Publication(u32),
    Watcher(u32),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Alarm {
    /// A request may need to be sent again, or given up; `serial` says which one.
    Transaction { party: Party, serial: u32 },
    /// A request that was put off may be tried again.
    Retry { party: Party, serial: u32 },
    /// A lifetime is nearly over.
    KeepAlive { party: Party },
    /// A slow watcher answers; the index of its answer.
    Answer { index: u32 },
}

/// The alarms of a worker.
#[derive(Default)]
pub(crate) struct Timers(BinaryHeap<Reverse<(Nanos, Alarm)>>);

impl Timers {
    pub(crate) fn set(&mut self, at: Nanos, alarm: Alarm) {
        self.0.push(Reverse((at, alarm)));
    }

    /// The next alarm that is due by `now`.
    pub(crate) fn due(&mut self, now: Nanos) -> Option<Alarm> {
        let Reverse((at, _)) = self.0.peek()?;
        if *at > now {
            return None;
        }
        self.0.pop().map(|Reverse((_, alarm))| alarm)
    }

    /// When the next alarm is due.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }
}
