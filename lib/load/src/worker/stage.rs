//! Stages: the workload's phases, then the drain, then leaving. All workers begin each stage together.

use std::sync::atomic::Ordering;

use super::{Outcome, Worker};
use crate::judge::Findings;
use crate::people::Usage;
use crate::plan::Totals;
use crate::task::Task;
use crate::timers::{MILLISECOND, Nanos, SECOND};
use crate::workload::{Action, Pace};

/// How long nothing new may have come when the drain ends: a late NOTIFY with an old state would be a fault.
const QUIET: Nanos = SECOND;
const LEAVE_AT_MOST: Nanos = 15 * SECOND;
const LEAVE_WINDOW: u32 = 64;
/// Looking through all watchers is done at most this often.
const CHECK_EVERY: Nanos = 10 * MILLISECOND;
const SHOW_EVERY: Nanos = 200 * MILLISECOND;

/// When a stage took place, on one worker.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StageTimes {
    pub(crate) begin: Nanos,
    pub(crate) end: Nanos,
    /// What counts for the report, if the stage is measured.
    pub(crate) window: Option<(Nanos, Nanos)>,
    pub(crate) waited: Nanos,
    pub(crate) last_initial: Option<Nanos>,
}

/// What one worker says about the server.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkerVerdict {
    pub(crate) findings: Findings,
    pub(crate) gaps: u64,
    pub(crate) not_last_state: u64,
    pub(crate) missing_initial_notify: u64,
    pub(crate) lost: u64,
    pub(crate) failed: u64,
}

/// Where the run stands.
#[derive(Default)]
pub(super) struct Progress {
    stage: usize,
    times: Vec<StageTimes>,
    /// The measured time of this stage, its end unknown (`Nanos::MAX`) for one that ends when its work is done.
    window: Option<(Nanos, Nanos)>,
    /// When no more requests are begun, for a stage of fixed length.
    stops_at: Option<Nanos>,
    is_measuring: bool,
    /// Reported to the others as done.
    is_done: bool,
    is_over: bool,
    next_check: Nanos,
    next_show: Nanos,
    verdict: Option<WorkerVerdict>,
    pub(super) last_notify: Nanos,
    /// Gaps of dialogs that are over.
    pub(super) gaps: u64,
    /// Last NOTIFYs of subscriptions that we ended.
    pub(super) farewells: u64,
}

impl Progress {
    pub(super) fn stage(&self) -> usize {
        self.stage
    }

    /// Whether what happens now counts for the report.
    pub(super) fn is_measuring(&self) -> bool {
        self.is_measuring
    }

    /// Whether a request that was due then counts for the report.
    pub(super) fn is_measured(&self, intended: Nanos) -> bool {
        self.window
            .is_some_and(|(from, to)| (from..to).contains(&intended))
    }

    /// Whether the verdict is still open.
    pub(super) fn is_judging(&self) -> bool {
        self.verdict.is_none()
    }

    pub(super) fn has_stopped(&self, now: Nanos) -> bool {
        self.is_done || self.stops_at.is_some_and(|at| now >= at)
    }

    pub(super) fn ends_at(&self) -> Option<Nanos> {
        self.stops_at.filter(|_| !self.is_done)
    }

    pub(super) fn note_waited(&mut self, waited: Nanos) {
        if self.is_measuring
            && let Some(times) = self.times.last_mut()
        {
            times.waited += waited;
        }
    }

    pub(super) fn note_initial(&mut self, stage: usize, now: Nanos) {
        if let Some(times) = self.times.get_mut(stage) {
            times.last_initial = Some(now);
        }
    }
}

impl Worker<'_> {
    pub(super) fn is_over(&self) -> bool {
        self.progress.is_over || self.shared.is_aborted.load(Ordering::Relaxed)
    }

    /// Begins a stage: the number of a phase, or one of the two after them.
    pub(super) fn enter_stage(&mut self, stage: usize) {
        let (now, phases) = (self.now, &self.plan.workload.phase);
        self.progress.stage = stage;
        self.progress.is_done = false;
        self.progress.stops_at = None;
        self.progress.window = None;
        self.progress.next_check = 0;
        self.tasks.clear();
        self.progress.times.push(StageTimes {
            begin: now,
            ..StageTimes::default()
        });
        if let Some(phase) = phases.get(stage) {
            let stops_at = phase
                .length()
                .map(|length| now + length.as_nanos() as Nanos);
            self.progress.stops_at = stops_at;
            if phase.measure {
                let from = now + phase.warmup().as_nanos() as Nanos;
                self.progress.window = Some((from, stops_at.unwrap_or(Nanos::MAX)));
            }
            for (action, pace) in phase.actions() {
                self.add_task(action, pace);
            }
        } else if stage == phases.len() + 1 {
            let pace = Pace {
                window: Some(LEAVE_WINDOW),
                ..Pace::default()
            };
            if self.plan.workload.watchers > 0 {
                self.add_task(Action::Unsubscribe, pace);
            }
            self.add_task(Action::Remove, pace);
        } else if stage > phases.len() + 1 {
            self.progress.times.pop();
            self.progress.is_over = true;
        }
        self.measure();
    }

    fn add_task(&mut self, action: Action, pace: Pace) {
        let people = if action.is_of_watchers() {
            self.watchers.len()
        } else {
            self.publications.len()
        };
        self.tasks
            .push(Task::new(action, pace, self.share, people, self.now));
    }

    fn measure(&mut self) {
        let now = self.now;
        self.progress.is_measuring = self
            .progress
            .window
            .is_some_and(|(from, to)| (from..to).contains(&now));
    }

    /// Ends the stage when its work is done, and begins the next when all workers are there.
    pub(super) fn advance_stage(&mut self) {
        self.measure();
        let stage = self.progress.stage;
        if !self.progress.is_done && self.is_stage_done() {
            self.end_stage();
            self.shared.finished[stage].fetch_add(1, Ordering::AcqRel);
        }
        if self.progress.is_done
            && self.shared.finished[stage].load(Ordering::Acquire) == self.plan.workers
        {
            // Leaving can be left out, but not the drain.
            let leaving = self.plan.workload.phase.len() + 1;
            let next = if stage + 1 == leaving && !self.plan.workload.leave {
                leaving + 1
            } else {
                stage + 1
            };
            self.enter_stage(next);
        }
    }

    fn end_stage(&mut self) {
        let now = self.now;
        let is_drain = self.progress.stage == self.plan.workload.phase.len();
        self.progress.is_done = true;
        self.close_window();
        if let Some(times) = self.progress.times.last_mut() {
            times.end = now;
        }
        if is_drain {
            self.progress.verdict = Some(self.judge_end());
        }
    }

    /// The measured time ends with the work, not with what is waited for afterwards.
    fn close_window(&mut self) {
        let now = self.now;
        let (Some((from, to)), Some(times)) =
            (self.progress.window, self.progress.times.last_mut())
        else {
            return;
        };
        if times.window.is_none() {
            times.window = Some((from.min(now), to.min(now)));
            self.progress.window = Some((from, to.min(now)));
            self.progress.is_measuring = false;
        }
    }

    fn is_stage_done(&mut self) -> bool {
        let now = self.now;
        let begin = self.progress.times.last().map_or(0, |times| times.begin);
        let elapsed = now - begin;
        let phases = self.plan.workload.phase.len();
        let patience = (self.plan.workload.drain_s * SECOND as f64) as Nanos;
        let stage = self.progress.stage;
        let is_idle = self
            .tasks
            .iter()
            .all(|task| task.is_exhausted() && task.in_flight == 0);
        let is_stopped = self.progress.stops_at.is_some_and(|at| now >= at);
        if stage < phases && !is_idle && !is_stopped {
            return false;
        }
        if stage < phases {
            self.close_window();
        }
        if now < self.progress.next_check {
            return false;
        }
        self.progress.next_check = now + CHECK_EVERY;
        if stage < phases {
            let ended = self
                .progress
                .times
                .last()
                .and_then(|times| times.window)
                .map_or(begin, |(_, to)| to);
            return self.missing_initial() == 0 || now - ended > patience;
        }
        let is_quiet = now.saturating_sub(self.progress.last_notify.max(begin)) > QUIET;
        if stage == phases {
            let has_watchers = !self.watchers.is_empty();
            // A NOTIFY that was lost on the way is sent again: what is missing now may still come.
            let has_gaps = !self.plan.workload.gaps_allowed && self.gaps() > 0;
            let is_right = !self.is_anything_under_way() && !has_gaps && self.not_last_state() == 0;
            return elapsed > patience
                || is_right && self.missing_initial() == 0 && (is_quiet || !has_watchers);
        }
        let left = self
            .watchers
            .iter()
            .filter(|watcher| watcher.usage == Usage::Ended && watcher.order.has_begun());
        let is_answered = self.progress.farewells >= left.count() as u64;
        is_idle && (is_answered || is_quiet) || elapsed > LEAVE_AT_MOST
    }

    fn is_anything_under_way(&self) -> bool {
        let publications = self
            .publications
            .iter()
            .map(|publication| &publication.flight);
        let watchers = self.watchers.iter().map(|watcher| &watcher.flight);
        publications
            .chain(watchers)
            .any(|flight| flight.step.is_some())
    }

    fn missing_initial(&self) -> u64 {
        let missing = self
            .watchers
            .iter()
            .filter(|watcher| watcher.usage == Usage::Accepted && !watcher.order.has_begun());
        missing.count() as u64
    }

    /// CSeq numbers that are missing in the dialogs there are.
    fn gaps(&self) -> u64 {
        let gaps = self.watchers.iter().map(|watcher| watcher.order.gaps());
        gaps.sum()
    }

    fn not_last_state(&self) -> u64 {
        let wrong = (0..self.watchers.len()).filter(|index| self.wrong_at_end(*index).is_some());
        wrong.count() as u64
    }

    /// The publication whose last state a live watcher was not shown, if there is one.
    fn wrong_at_end(&self, index: usize) -> Option<usize> {
        let watcher = &self.watchers[index];
        // Without any NOTIFY it is another fault.
        if !watcher.is_judged() || !watcher.order.has_begun() {
            return None;
        }
        let publications = self.plan.workload.publications as usize;
        let first = watcher.presentity as usize / self.plan.workers * publications;
        (0..publications).find(|number| {
            let shown = self.shown[index * publications + number];
            !self.publications[first + number]
                .ledger
                .is_satisfied_by(shown)
        })
    }

    /// The verdict, after the drain.
    fn judge_end(&mut self) -> WorkerVerdict {
        let publications = self.plan.workload.publications as usize;
        for index in 0..self.watchers.len() {
            let party = crate::timers::Party::Watcher(index as u32);
            if let Some(number) = self.wrong_at_end(index) {
                let first =
                    self.watchers[index].presentity as usize / self.plan.workers * publications;
                let shown = self.shown[index * publications + number].last;
                let ledger = &self.publications[first + number].ledger;
                let acknowledged = ledger.acknowledged;
                let name = self.name_of(party);
                self.findings.tell(|| {
                    format!("{name}: ends on state {shown} of publication {number}; {acknowledged} was acknowledged")
                });
            } else if self.watchers[index].usage == Usage::Accepted
                && self.watchers[index].manner != crate::people::Manner::Dead
                && !self.watchers[index].order.has_begun()
            {
                let name = self.name_of(party);
                self.findings
                    .tell(|| format!("{name}: subscribed, and never notified"));
            }
        }
        // What waits for an answer has none by now; what was put off was refused up to the end.
        let flights = self
            .publications
            .iter()
            .map(|publication| &publication.flight)
            .chain(self.watchers.iter().map(|watcher| &watcher.flight))
            .filter(|flight| flight.step.is_some());
        let (put_off, unanswered): (Vec<_>, Vec<_>) = flights.partition(|flight| flight.is_put_off);
        let missing = self
            .watchers
            .iter()
            .filter(|watcher| watcher.is_judged() && !watcher.order.has_begun());
        WorkerVerdict {
            gaps: self.gaps() + self.progress.gaps,
            not_last_state: self.not_last_state(),
            missing_initial_notify: missing.count() as u64,
            lost: self.lost + unanswered.len() as u64,
            failed: self.failed + put_off.len() as u64,
            findings: self.findings.clone(),
        }
    }

    /// Lets the progress line know, now and then.
    pub(super) fn show_progress(&mut self) {
        if self.now < self.progress.next_show {
            return;
        }
        self.progress.next_show = self.now + SHOW_EVERY;
        let in_flight = self.tasks.iter().map(|task| u64::from(task.in_flight));
        let totals = Totals {
            in_flight: in_flight.sum(),
            faults: self.findings.count() + self.failed + self.lost,
            stage: self.progress.stage,
            ..self.total
        };
        self.shared.show(self.share.worker, totals);
    }

    pub(super) fn outcome(mut self) -> Outcome {
        let verdict = match self.progress.verdict.take() {
            Some(verdict) => verdict,
            None => self.judge_end(),
        };
        Outcome {
            tally: self.tally,
            stages: self.progress.times,
            verdict,
        }
    }
}
