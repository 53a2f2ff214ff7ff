//! What is counted in the measured time, and the report made of it.

use std::collections::BTreeMap;

use crate::histogram::Histogram;
use crate::people::Step;
use crate::report::{Latencies, Messages, NotifyCounts, RequestCounts, Requests, Retransmissions};

/// The outcome of a request without a final answer.
pub(crate) const TIMEOUT: u16 = 0;

/// The counts of one worker.
#[derive(Clone)]
pub(crate) struct Tally {
    outcomes: [BTreeMap<u16, u64>; Step::COUNT],
    pub(crate) notifies: u64,
    pub(crate) stray: u64,
    pub(crate) terminated: u64,
    pub(crate) after_refusal: u64,
    pub(crate) sent_again: u64,
    pub(crate) received_again: u64,
    pub(crate) sent: u64,
    pub(crate) received: u64,
    pub(crate) state: Histogram,
    pub(crate) state_shown: Histogram,
    pub(crate) initial_notify: Histogram,
    pub(crate) publish_response: Histogram,
    pub(crate) subscribe_response: Histogram,
}

impl Tally {
    pub(crate) fn new() -> Tally {
        Tally {
            outcomes: Default::default(),
            notifies: 0,
            stray: 0,
            terminated: 0,
            after_refusal: 0,
            sent_again: 0,
            received_again: 0,
            sent: 0,
            received: 0,
            state: Histogram::new(),
            state_shown: Histogram::new(),
            initial_notify: Histogram::new(),
            publish_response: Histogram::new(),
            subscribe_response: Histogram::new(),
        }
    }

    /// Counts a final answer, or [`TIMEOUT`].
    pub(crate) fn outcome(&mut self, step: Step, status: u16) {
        *self.outcomes[step as usize].entry(status).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Tally) {
        for (mine, theirs) in self.outcomes.iter_mut().zip(&other.outcomes) {
            for (status, count) in theirs {
                *mine.entry(*status).or_default() += count;
            }
        }
        for (mine, theirs) in [
            (&mut self.notifies, other.notifies),
            (&mut self.stray, other.stray),
            (&mut self.terminated, other.terminated),
            (&mut self.after_refusal, other.after_refusal),
            (&mut self.sent_again, other.sent_again),
            (&mut self.received_again, other.received_again),
            (&mut self.sent, other.sent),
            (&mut self.received, other.received),
        ] {
            *mine += theirs;
        }
        for (mine, theirs) in [
            (&mut self.state, &other.state),
            (&mut self.state_shown, &other.state_shown),
            (&mut self.initial_notify, &other.initial_notify),
            (&mut self.publish_response, &other.publish_response),
            (&mut self.subscribe_response, &other.subscribe_response),
        ] {
            mine.add(theirs);
        }
    }

    /// How many requests of the steps succeeded.
    pub(crate) fn successes(&self, steps: &[Step]) -> u64 {
        let outcomes = steps.iter().flat_map(|step| &self.outcomes[*step as usize]);
        outcomes
            .filter(|(status, _)| is_success(**status))
            .map(|(_, count)| count)
            .sum()
    }

    pub(crate) fn requests(&self, seconds: f64) -> Requests {
        use Step::{
            PublishInitial, PublishModify, PublishRefresh, PublishRemove, SubscribeEnd,
            SubscribeInitial, SubscribeRefresh,
        };
        let counts = |steps: &[Step]| {
            let mut outcomes = BTreeMap::new();
            for (status, count) in steps.iter().flat_map(|step| &self.outcomes[*step as usize]) {
                let name = match *status {
                    TIMEOUT => "timeout".to_owned(),
                    status => status.to_string(),
                };
                *outcomes.entry(name).or_default() += count;
            }
            let ok = self.successes(steps);
            RequestCounts {
                per_second: rate(ok, seconds),
                ok,
                outcomes,
            }
        };
        Requests {
            publish: counts(&[PublishInitial, PublishModify, PublishRefresh, PublishRemove]),
            publish_initial: counts(&[PublishInitial]),
            publish_modify: counts(&[PublishModify]),
            publish_refresh: counts(&[PublishRefresh]),
            publish_remove: counts(&[PublishRemove]),
            subscribe: counts(&[SubscribeInitial, SubscribeRefresh, SubscribeEnd]),
            subscribe_initial: counts(&[SubscribeInitial]),
            subscribe_refresh: counts(&[SubscribeRefresh]),
            subscribe_end: counts(&[SubscribeEnd]),
            notify: NotifyCounts {
                per_second: rate(self.notifies, seconds),
                received: self.notifies,
                stray: self.stray,
                terminated: self.terminated,
                after_refusal: self.after_refusal,
            },
        }
    }

    pub(crate) fn latencies(&self) -> Latencies {
        Latencies {
            state: self.state.percentiles(),
            state_shown: self.state_shown.percentiles(),
            initial_notify: self.initial_notify.percentiles(),
            publish_response: self.publish_response.percentiles(),
            subscribe_response: self.subscribe_response.percentiles(),
        }
    }

    pub(crate) fn retransmissions(&self) -> Retransmissions {
        Retransmissions {
            sent: self.sent_again,
            received_notify: self.received_again,
        }
    }

    pub(crate) fn messages(&self, seconds: f64, generator_load: f64) -> Messages {
        Messages {
            sent: self.sent,
            received: self.received,
            per_second: rate(self.sent + self.received, seconds),
            generator_load,
        }
    }
}

pub(crate) fn is_success(status: u16) -> bool {
    (200..300).contains(&status)
}

fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        count as f64 / seconds
    } else {
        0.0
    }
}
