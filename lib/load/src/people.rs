//! Publications and watchers: what a worker remembers of each, and the one request that each may have under way.

use std::collections::VecDeque;

use crate::judge::{CseqOrder, Ledger};
use crate::login::Login;
use crate::timers::Nanos;

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    PublishInitial,
    PublishModify,
    PublishRefresh,
    PublishRemove,
    SubscribeInitial,
    SubscribeRefresh,
    SubscribeEnd,
}

impl Step {
    pub(crate) const COUNT: usize = 7;

    pub(crate) fn is_publish(self) -> bool {
        matches!(
            self,
            Step::PublishInitial | Step::PublishModify | Step::PublishRefresh | Step::PublishRemove
        )
    }

    /// Whether it carries a body.
    pub(crate) fn has_body(self) -> bool {
        matches!(self, Step::PublishInitial | Step::PublishModify)
    }
}

/// The place in an action's window that a request takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) stage: usize,
    pub(crate) task: usize,
}

/// The request that is under way, and its client transaction (RFC 3261 section 17.1.2).
#[derive(Clone, Debug, Default)]
pub(crate) struct Flight {
    /// `None`: nothing is under way.
    pub(crate) step: Option<Step>,
    /// Counts the transactions; stands in the branch, so that late answers and alarms can be distinguished.
    pub(crate) serial: u32,
    /// Waits for a Retry-After to pass: no transaction at the moment.
    pub(crate) is_put_off: bool,
    pub(crate) slot: Option<Slot>,
    /// When the request was due.
    pub(crate) intended: Nanos,
    /// Whether that falls into measured time.
    pub(crate) is_measured: bool,
    /// Until the next retransmission.
    pub(crate) interval: Nanos,
    /// When it is given up.
    pub(crate) end: Nanos,
    pub(crate) server: usize,
    /// The challenge to be answered, once there was one.
    pub(crate) login: Option<Box<Login>>,
    /// The answer in this request; the same in each of its copies.
    pub(crate) authorization: Option<Box<str>>,
    /// How often the server's own proposal of a lifetime was taken up.
    pub(crate) proposals: u8,
}

/// When a soft state must be renewed, with one alarm at a time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lifetime {
    pub(crate) renew_at: Nanos,
    pub(crate) has_alarm: bool,
}

/// One publication of one presentity.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    /// The presentity's number in the workload.
    pub(crate) presentity: u32,
    /// Which of its publications.
    pub(crate) number: u32,
    pub(crate) cseq: u32,
    pub(crate) entity_tag: Option<String>,
    pub(crate) expires_s: u32,
    pub(crate) ledger: Ledger,
    pub(crate) times: StateTimes,
    pub(crate) flight: Flight,
    pub(crate) lifetime: Lifetime,
}

/// How a watcher answers NOTIFYs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    Lively,
    Slow,
    Dead,
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    /// No dialog.
    None,
    /// SUBSCRIBE was sent.
    Begun,
    /// SUBSCRIBE was accepted.
    Accepted,
    /// We have asked for the end, or had it.
    Ended,
}

/// One watcher of one presentity, and its dialog.
#[derive(Clone, Debug)]
pub(crate) struct Watcher {
    /// Its number in the workload.
    pub(crate) number: u32,
    /// The presentity's number in the workload.
    pub(crate) presentity: u32,
    pub(crate) manner: Manner,
    pub(crate) usage: Usage,
    /// Counts the dialogs; stands in Call-ID and tag.
    pub(crate) generation: u32,
    pub(crate) cseq: u32,
    pub(crate) expires_s: u32,
    /// Whether the SUBSCRIBE of this dialog was answered 503 before.
    pub(crate) was_refused: bool,
    /// Empty before the dialog is made, by the 2xx or by a NOTIFY that overtook it (RFC 6665 section 4.4.1).
    pub(crate) remote_tag: String,
    pub(crate) remote_target: String,
    /// The route set as header lines, each with its CRLF.
    pub(crate) routes: String,
    pub(crate) order: CseqOrder,
    /// The stage in which the subscription began, when it was due, and whether it is measured.
    pub(crate) begun: (usize, Nanos, bool),
    /// A slow watcher has not answered its newest NOTIFY before this time.
    pub(crate) answers_at: Nanos,
    pub(crate) flight: Flight,
    pub(crate) lifetime: Lifetime,
}

impl Watcher {
    /// Whether it must be shown the truth.
    pub(crate) fn is_judged(&self) -> bool {
        self.usage == Usage::Accepted && self.manner != Manner::Dead
    }
}

/// When each state of a publication was due to be published, for as long as some watcher has not seen it.
#[derive(Clone, Debug)]
pub(crate) struct StateTimes {
    /// Number of the state whose time is in front.
    first: u32,
    times: VecDeque<Nanos>,
    /// Length at which it is worth looking for what everybody has seen.
    trim_at: usize,
}

/// The time of a state that is not measured.
const UNMEASURED: Nanos = 0;
const TRIM_AT: usize = 256;

impl StateTimes {
    pub(crate) fn new() -> StateTimes {
        StateTimes {
            first: 1,
            times: VecDeque::new(),
            trim_at: TRIM_AT,
        }
    }

    /// Notes the time of the next state; `None` for one that is not measured.
    pub(crate) fn push(&mut self, due: Option<Nanos>) {
        self.times.push_back(due.unwrap_or(UNMEASURED));
    }

    /// A state is not measured after all: it was refused.
    pub(crate) fn forget(&mut self, state: u32) {
        if let Some(time) = state
            .checked_sub(self.first)
            .and_then(|index| self.times.get_mut(index as usize))
        {
            *time = UNMEASURED;
        }
    }

    pub(crate) fn get(&self, state: u32) -> Option<Nanos> {
        let index = state.checked_sub(self.first)?;
        let time = self.times.get(index as usize).copied();
        time.filter(|time| *time != UNMEASURED)
    }

    /// Whether there may be much that everybody has seen.
    pub(crate) fn is_long(&self) -> bool {
        self.times.len() > self.trim_at
    }

    /// Drops the times of states up to `seen`.
    pub(crate) fn trim(&mut self, seen: u32) {
        while self.first <= seen && self.times.pop_front().is_some() {
            self.first += 1;
        }
        self.trim_at = (2 * self.times.len()).max(TRIM_AT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_kept_until_seen() {
        let mut times = StateTimes::new();
        for state in 1..=600_u32 {
            times.push((state != 5).then_some(u64::from(state) * 10));
        }
        times.forget(7);
        times.forget(9_000);
        for (state, expected) in [
            (0, None),
            (1, Some(10)),
            (5, None),
            (7, None),
            (600, Some(6_000)),
            (601, None),
        ] {
            assert_eq!(times.get(state), expected, "{state}");
        }
        assert!(times.is_long());
        times.trim(500);
        assert!(!times.is_long());
        assert_eq!((times.get(500), times.get(501)), (None, Some(5_010)));
        times.trim(10_000);
        times.push(Some(1));
        assert_eq!(times.get(601), Some(1));
    }
}
