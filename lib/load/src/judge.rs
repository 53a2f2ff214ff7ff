//! The judge: sees every NOTIFY of every dialog and says what is wrong with it. Pure; knows nothing of sockets or SIP text.
//!
//! RFC 3261 section 12.2.1.1: within a dialog CSeq rises by one with each request. A notifier has one NOTIFY in flight per
//! dialog at most, so first arrivals must come as n, n+1, n+2, whatever the transport. A number that is left out is a gap;
//! one that comes after a higher one is disorder; one that is used for two different NOTIFYs is a repeat; the same NOTIFY once
//! more (same branch) is a retransmission, and no fault.
//! Each publication numbers its states, and what a watcher is shown must never go back to a lower number.

use std::collections::VecDeque;

/// How many faults are described in words.
const TOLD: usize = 20;
/// How long a NOTIFY is remembered, to tell its retransmissions from a repeat: 64*T1 and a little more.
const REMEMBERED_MS: u32 = 34_000;

/// What the judge found, over all dialogs of a worker.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    pub(crate) repeats: u64,
    pub(crate) disorder: u64,
    pub(crate) backwards: u64,
    pub(crate) foreign_state: u64,
    pub(crate) doubled: u64,
    pub(crate) malformed: u64,
    pub(crate) told: Vec<String>,
}

impl Findings {
    /// Keeps a fault in words, if it is among the first.
    pub(crate) fn tell(&mut self, fault: impl FnOnce() -> String) {
        if self.told.len() < TOLD {
            self.told.push(fault());
        }
    }

    pub(crate) fn count(&self) -> u64 {
        self.repeats
            + self.disorder
            + self.backwards
            + self.foreign_state
            + self.doubled
            + self.malformed
    }
}

/// The CSeq numbers that one dialog has seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct CseqOrder {
    has_begun: bool,
    highest: u32,
    lowest: u32,
    /// Number, branch and time (ms) of those that came lately. A notifier that keeps no order may have many under way.
    recent: VecDeque<(u32, u32, u32)>,
    /// Numbers that were left out, as inclusive ranges. Nearly always none.
    missing: Vec<(u32, u32)>,
}

/// How a NOTIFY fits into its dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// The first, or the next number.
    InOrder,
    /// Higher than the next number.
    Skipped,
    /// The same NOTIFY as before.
    Retransmission,
    /// Another NOTIFY with a number that was used.
    Repeat,
    /// A new number below one that came before.
    Late,
}

impl CseqOrder {
    /// Takes a NOTIFY with this CSeq number at `now_ms`; `branch` is a hash of its topmost Via's branch.
    pub(crate) fn arrived(&mut self, cseq: u32, branch: u32, now_ms: u32) -> Arrival {
        let is_new = !self.has_begun || cseq > self.highest;
        if !is_new
            && self
                .recent
                .iter()
                .any(|(number, other, _)| (*number, *other) == (cseq, branch))
        {
            return Arrival::Retransmission;
        }
        let arrival = if !self.has_begun {
            self.has_begun = true;
            (self.highest, self.lowest) = (cseq, cseq);
            Arrival::InOrder
        } else if cseq > self.highest {
            let skipped = cseq - self.highest > 1;
            if skipped {
                self.missing.push((self.highest + 1, cseq - 1));
            }
            self.highest = cseq;
            if skipped {
                Arrival::Skipped
            } else {
                Arrival::InOrder
            }
        } else if cseq < self.lowest {
            if cseq + 1 < self.lowest {
                self.missing.push((cseq + 1, self.lowest - 1));
            }
            self.lowest = cseq;
            Arrival::Late
        } else if self.fill(cseq) {
            Arrival::Late
        } else {
            Arrival::Repeat
        };
        while self
            .recent
            .front()
            .is_some_and(|(.., then)| now_ms - then > REMEMBERED_MS)
        {
            self.recent.pop_front();
        }
        self.recent.push_back((cseq, branch, now_ms));
        arrival
    }

    /// Whether a NOTIFY has come.
    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// The highest number so far.
    pub(crate) fn highest(&self) -> u32 {
        self.highest
    }

    /// How many numbers were left out and have not come since.
    pub(crate) fn gaps(&self) -> u64 {
        self.missing
            .iter()
            .map(|(from, to)| u64::from(to - from) + 1)
            .sum()
    }

    /// Takes a number off the missing ones; false if it was none.
    fn fill(&mut self, cseq: u32) -> bool {
        let Some(at) = self
            .missing
            .iter()
            .position(|(from, to)| (*from..=*to).contains(&cseq))
        else {
            return false;
        };
        let (from, to) = self.missing.swap_remove(at);
        if from < cseq {
            self.missing.push((from, cseq - 1));
        }
        if cseq < to {
            self.missing.push((cseq + 1, to));
        }
        true
    }
}

/// What one watcher has been shown of one publication. State 0 is the time before the first PUBLISH.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shown {
    /// The newest state ever.
    pub(crate) newest: u32,
    /// The state in the NOTIFY with the highest CSeq.
    pub(crate) last: u32,
}

/// What a NOTIFY with a new highest CSeq shows of a publication, against what its watcher saw before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A newer state; all above `after` are known from now on.
    Newer {
        /// The newest before.
        after: u32,
    },
    /// The same as before.
    Same,
    /// An older state than `newest`.
    Backwards {
        /// The newest before.
        newest: u32,
    },
}

impl Shown {
    pub(crate) fn show(&mut self, state: u32) -> Change {
        self.last = state;
        let newest = self.newest;
        self.newest = newest.max(state);
        match state.cmp(&newest) {
            std::cmp::Ordering::Greater => Change::Newer { after: newest },
            std::cmp::Ordering::Equal => Change::Same,
            std::cmp::Ordering::Less => Change::Backwards { newest },
        }
    }
}

/// What is known of one publication: the states that were sent, and which of them the server has acknowledged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    /// The newest state sent.
    pub(crate) sent: u32,
    /// The newest state acknowledged (2xx).
    pub(crate) acknowledged: u32,
    /// States that are removals, ascending.
    removals: Vec<u32>,
}

impl Ledger {
    /// The next state; a removal is a state too.
    pub(crate) fn next(&mut self, is_removal: bool) -> u32 {
        self.sent += 1;
        if is_removal {
            self.removals.push(self.sent);
        }
        self.sent
    }

    /// The state that a document without this publication shows: its newest removal, or the time before it.
    pub(crate) fn absent(&self) -> u32 {
        self.removals.last().copied().unwrap_or(0)
    }

    /// Whether what a watcher was shown last is right at the end. A newer state than the acknowledged one may be shown: its
    /// answer may have been lost.
    pub(crate) fn is_satisfied_by(&self, shown: Shown) -> bool {
        shown.last >= self.acknowledged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One NOTIFY: CSeq, branch, and the state it shows (`None`: the publication is not in it).
    /// Gaps, repeats, disorder, backwards, retransmissions, and whether the last state is right.
    type Found = (u64, u64, u64, u64, u64, bool);
    type Notify = (u32, u32, Option<u32>);

    /// Gaps, repeats, disorder, backwards, retransmissions, and whether the end is right.
    fn judge(mut ledger: Ledger, notifies: &[Notify]) -> Found {
        let (mut order, mut shown) = (CseqOrder::default(), Shown::default());
        let (mut repeats, mut disorder, mut backwards, mut again) = (0, 0, 0, 0);
        ledger.sent = ledger.sent.max(ledger.acknowledged);
        for (cseq, branch, state) in notifies {
            match order.arrived(*cseq, *branch, 0) {
                Arrival::Retransmission => {
                    again += 1;
                    continue;
                }
                Arrival::Repeat => {
                    repeats += 1;
                    continue;
                }
                Arrival::Late => {
                    disorder += 1;
                    continue;
                }
                Arrival::InOrder | Arrival::Skipped => {}
            }
            if let Change::Backwards { .. } = shown.show(state.unwrap_or(ledger.absent())) {
                backwards += 1;
            }
        }
        let right = ledger.is_satisfied_by(shown);
        (order.gaps(), repeats, disorder, backwards, again, right)
    }

    fn acknowledged(state: u32) -> Ledger {
        Ledger {
            acknowledged: state,
            ..Ledger::default()
        }
    }

    #[test]
    fn sequences_and_their_verdicts() {
        let s = Some;
        let cases: &[(&str, u32, &[Notify], Found)] = &[
            (
                "nothing published, empty NOTIFY",
                0,
                &[(1, 1, None)],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "in order",
                3,
                &[(1, 1, None), (2, 2, s(1)), (3, 3, s(3))],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "from zero",
                1,
                &[(0, 1, None), (1, 2, s(1)), (2, 3, s(1))],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "any first number",
                1,
                &[(7, 1, s(1)), (8, 2, s(1))],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "a state that was never acknowledged may be shown",
                1,
                &[(1, 1, s(1)), (2, 2, s(2))],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "retransmission",
                2,
                &[
                    (1, 1, s(1)),
                    (1, 1, s(1)),
                    (2, 2, s(2)),
                    (1, 1, s(1)),
                    (2, 2, s(2)),
                ],
                (0, 0, 0, 0, 3, true),
            ),
            (
                "gap",
                2,
                &[(1, 1, s(1)), (3, 2, s(2))],
                (1, 0, 0, 0, 0, true),
            ),
            (
                "wide gap",
                2,
                &[(1, 1, s(1)), (5, 2, s(2))],
                (3, 0, 0, 0, 0, true),
            ),
            (
                "repeat",
                2,
                &[(1, 1, s(1)), (2, 2, s(2)), (2, 3, s(2))],
                (0, 1, 0, 0, 0, true),
            ),
            (
                "repeat of the first",
                2,
                &[(1, 1, s(1)), (1, 9, s(1)), (2, 2, s(2))],
                (0, 1, 0, 0, 0, true),
            ),
            (
                "its retransmission is no second repeat",
                2,
                &[(1, 1, s(2)), (1, 9, s(2)), (1, 9, s(2))],
                (0, 1, 0, 0, 1, true),
            ),
            (
                "disorder: a gap that is filled later",
                3,
                &[(1, 1, s(1)), (3, 3, s(3)), (2, 2, s(2))],
                (0, 0, 1, 0, 0, true),
            ),
            (
                "the second overtakes the first",
                2,
                &[(2, 2, s(2)), (1, 1, s(1)), (3, 3, s(2))],
                (0, 0, 1, 0, 0, true),
            ),
            (
                "a gap, partly filled",
                3,
                &[(1, 1, s(1)), (5, 5, s(3)), (3, 3, s(2))],
                (2, 0, 1, 0, 0, true),
            ),
            (
                "backwards",
                2,
                &[(1, 1, s(2)), (2, 2, s(1)), (3, 3, s(2))],
                (0, 0, 0, 1, 0, true),
            ),
            (
                "backwards into nothing",
                2,
                &[(1, 1, s(2)), (2, 2, None)],
                (0, 0, 0, 1, 0, false),
            ),
            (
                "last state missing",
                3,
                &[(1, 1, s(1)), (2, 2, s(2))],
                (0, 0, 0, 0, 0, false),
            ),
            (
                "the last state came, but not last",
                3,
                &[(1, 1, s(3)), (2, 2, s(2))],
                (0, 0, 0, 1, 0, false),
            ),
            ("never notified", 1, &[], (0, 0, 0, 0, 0, false)),
        ];
        for (name, last, notifies, expected) in cases {
            assert_eq!(judge(acknowledged(*last), notifies), *expected, "{name}");
        }
    }

    #[test]
    fn a_removal_is_a_state() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.absent(), 0);
        assert_eq!((ledger.next(false), ledger.next(true)), (1, 2));
        assert_eq!(ledger.absent(), 2);
        ledger.acknowledged = 2;
        for (name, notifies, expected) in [
            (
                "shown and removed",
                &[(1, 1, Some(1)), (2, 2, None)][..],
                (0, 0, 0, 0, 0, true),
            ),
            (
                "still shown",
                &[(1, 1, Some(1)), (2, 2, Some(1))],
                (0, 0, 0, 0, 0, false),
            ),
            (
                "back from the dead",
                &[(1, 1, None), (2, 2, Some(1)), (3, 3, None)],
                (0, 0, 0, 1, 0, true),
            ),
        ] {
            assert_eq!(judge(ledger.clone(), notifies), expected, "{name}");
        }
    }

    #[test]
    fn retransmissions_are_known_for_64_times_t1() {
        let mut order = CseqOrder::default();
        for cseq in 1..=100 {
            assert_eq!(order.arrived(cseq, cseq, cseq * 300), Arrival::InOrder);
        }
        // However many have come since.
        assert_eq!(order.arrived(1, 1, 30_000), Arrival::Retransmission);
        assert_eq!(order.arrived(1, 7, 30_000), Arrival::Repeat);
        assert_eq!(order.arrived(101, 101, 70_000), Arrival::InOrder);
        assert!(order.recent.len() < 3, "what is too old is forgotten");
        assert_eq!(order.arrived(50, 50, 70_000), Arrival::Repeat);
        assert_eq!((order.highest(), order.gaps()), (101, 0));
    }
}
