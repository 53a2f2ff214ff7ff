//! Pacing: an action of a phase as one worker carries it out, in a closed or an open loop.

use crate::timers::{Nanos, SECOND};
use crate::workload::{Action, Pace};

/// The part of one action that falls to one worker.
pub(crate) struct Task {
    pub(crate) action: Action,
    pace: Tempo,
    /// How many may still begin.
    left: u64,
    /// How many publications or watchers there are.
    people: usize,
    cursor: usize,
    pub(crate) in_flight: u32,
    /// Nobody was free; cleared when somebody becomes so.
    pub(crate) is_stalled: bool,
}

enum Tempo {
    Window(u32),
    /// Nanoseconds between two, and when the next one is due.
    Rate {
        interval: f64,
        next: f64,
    },
}

/// Which part of the whole load a worker has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub(crate) worker: usize,
    pub(crate) workers: usize,
    pub(crate) presentities: u32,
}

impl Share {
    /// How many presentities are this worker's: every `workers`-th.
    pub(crate) fn own(self) -> u32 {
        let (worker, workers) = (self.worker as u32, self.workers as u32);
        self.presentities.saturating_sub(worker).div_ceil(workers)
    }

    /// Workers that have any.
    fn busy_workers(self) -> u64 {
        (self.workers as u64).min(u64::from(self.presentities))
    }

    fn of(self, total: u64) -> u64 {
        let (busy, worker) = (self.busy_workers(), self.worker as u64);
        if worker >= busy {
            return 0;
        }
        total / busy + u64::from(worker < total % busy)
    }
}

/// Whether a publication or watcher can be taken for an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    Ready,
    /// Something is under way.
    Busy,
    /// The action makes no sense for it.
    Unfit,
}

impl Task {
    pub(crate) fn new(action: Action, pace: Pace, share: Share, people: usize, now: Nanos) -> Task {
        let tempo = match pace.rate {
            Some(rate) => {
                let own = f64::from(share.own()) / f64::from(share.presentities);
                let interval = SECOND as f64 / (rate * own.max(f64::MIN_POSITIVE));
                // The workers take turns.
                let offset = interval * (share.worker + 1) as f64 / share.workers as f64;
                Tempo::Rate {
                    interval,
                    next: now as f64 + offset,
                }
            }
            None => {
                let window = u64::from(pace.window.unwrap_or(1));
                Tempo::Window(share.of(window).max(1) as u32)
            }
        };
        Task {
            action,
            pace: tempo,
            left: pace.count.map_or(u64::MAX, |count| share.of(count)),
            people,
            cursor: 0,
            in_flight: 0,
            is_stalled: false,
        }
    }

    /// Whether nothing more will begin.
    pub(crate) fn is_exhausted(&self) -> bool {
        self.left == 0 || self.people == 0 || (self.action.is_once() && self.cursor >= self.people)
    }

    /// Whose turn it is, and when that was due; `None` when nothing is due or nobody free.
    pub(crate) fn next(
        &mut self,
        now: Nanos,
        readiness: impl Fn(usize) -> Readiness,
    ) -> Option<(usize, Nanos)> {
        if self.is_stalled || self.is_exhausted() {
            return None;
        }
        let intended = match &self.pace {
            Tempo::Window(window) if self.in_flight < *window => now,
            Tempo::Rate { next, .. } if *next <= now as f64 => *next as Nanos,
            _ => return None,
        };
        let chosen = self.choose(readiness)?;
        if let Tempo::Rate { interval, next } = &mut self.pace {
            *next += *interval;
        }
        self.left -= 1;
        self.in_flight += 1;
        Some((chosen, intended))
    }

    fn choose(&mut self, readiness: impl Fn(usize) -> Readiness) -> Option<usize> {
        if self.action.is_once() {
            while self.cursor < self.people {
                match readiness(self.cursor) {
                    Readiness::Busy => break,
                    Readiness::Unfit => self.cursor += 1,
                    Readiness::Ready => {
                        self.cursor += 1;
                        return Some(self.cursor - 1);
                    }
                }
            }
        } else {
            for _ in 0..self.people {
                let index = self.cursor;
                self.cursor = (self.cursor + 1) % self.people;
                if readiness(index) == Readiness::Ready {
                    return Some(index);
                }
            }
        }
        self.is_stalled = true;
        None
    }

    /// When the next one is due in an open loop.
    pub(crate) fn due(&self) -> Option<Nanos> {
        match self.pace {
            Tempo::Rate { next, .. } if !self.is_stalled && !self.is_exhausted() => {
                Some(next as Nanos)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Share = Share {
        worker: 0,
        workers: 1,
        presentities: 4,
    };

    fn pace(window: Option<u32>, rate: Option<f64>, count: Option<u64>) -> Pace {
        Pace {
            window,
            rate,
            count,
        }
    }

    fn ready(_: usize) -> Readiness {
        Readiness::Ready
    }

    #[test]
    fn a_closed_loop_keeps_its_window() {
        let mut task = Task::new(Action::Modify, pace(Some(2), None, Some(5)), ALL, 4, 0);
        assert_eq!(task.next(7, ready), Some((0, 7)));
        assert_eq!(task.next(7, ready), Some((1, 7)));
        assert_eq!(task.next(7, ready), None);
        task.in_flight -= 1;
        assert_eq!(task.next(8, ready), Some((2, 8)));
        task.in_flight = 0;
        assert_eq!(task.next(9, ready), Some((3, 9)));
        assert_eq!(task.next(9, ready), Some((0, 9)), "it goes round");
        task.in_flight = 0;
        assert!(task.is_exhausted(), "five were asked for");
        assert_eq!(task.next(9, ready), None);
    }

    #[test]
    fn an_open_loop_counts_from_the_intended_time() {
        let rate = pace(None, Some(1_000.0), None);
        let mut task = Task::new(Action::Modify, rate, ALL, 4, 0);
        assert_eq!(task.next(999_999, ready), None);
        assert_eq!(task.due(), Some(1_000_000));
        // Late by three intervals: each keeps its own time, and nobody is left out.
        assert_eq!(task.next(3_500_000, ready), Some((0, 1_000_000)));
        assert_eq!(task.next(3_500_000, |_| Readiness::Busy), None);
        assert_eq!(
            (task.next(3_600_000, ready), task.due()),
            (None, None),
            "stalled"
        );
        task.is_stalled = false;
        assert_eq!(task.next(3_600_000, ready), Some((1, 2_000_000)));
        assert_eq!(task.next(3_600_000, ready), Some((2, 3_000_000)));
        assert_eq!(task.next(3_600_000, ready), None);
    }

    #[test]
    fn once_means_once_for_each() {
        let mut task = Task::new(Action::Publish, pace(Some(9), None, None), ALL, 4, 0);
        let second_is_unfit = |index| {
            if index == 1 {
                Readiness::Unfit
            } else {
                Readiness::Ready
            }
        };
        assert_eq!(task.next(0, second_is_unfit), Some((0, 0)));
        assert_eq!(
            task.next(0, |_| Readiness::Busy),
            None,
            "it waits for the busy one"
        );
        task.is_stalled = false;
        assert_eq!(task.next(0, second_is_unfit), Some((2, 0)));
        assert_eq!(task.next(0, second_is_unfit), Some((3, 0)));
        assert!(task.is_exhausted());
    }

    #[test]
    fn the_load_is_dealt_out_whole() {
        for (workers, presentities) in [(1, 1), (2, 1), (3, 10), (4, 4), (4, 3)] {
            let shares: Vec<Share> = (0..workers)
                .map(|worker| Share {
                    worker,
                    workers,
                    presentities,
                })
                .collect();
            assert_eq!(
                shares.iter().map(|share| share.own()).sum::<u32>(),
                presentities
            );
            for total in [1, 2, 64, 1_001] {
                assert_eq!(
                    shares.iter().map(|share| share.of(total)).sum::<u64>(),
                    total
                );
            }
        }
    }
}
