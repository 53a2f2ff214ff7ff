//! Workloads: what is asked of the server, in a small TOML file. docs/LOAD.md explains the keys to users.

mod named;
mod read;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::document::Package;
pub use named::NAMES;
pub use read::{Fault, WorkloadError};

/// A workload: the people, how they behave, and what happens to them, phase by phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workload {
    /// The name; not a key of the file.
    #[serde(skip)]
    pub name: String,
    /// One sentence for people.
    pub description: String,
    /// Event package.
    pub event: Package,
    /// How many presentities.
    pub presentities: u32,
    /// Publications of each presentity: its devices.
    pub publications: u32,
    /// Watchers of each presentity.
    pub watchers: u32,
    /// Size of a published body, in bytes; a body is never smaller than its document needs.
    pub body_bytes: usize,
    /// Lifetime asked for by PUBLISH, in seconds.
    pub publish_expires_s: u32,
    /// Lifetime asked for by SUBSCRIBE, in seconds.
    pub subscribe_expires_s: u32,
    /// Share of the watchers that answer each NOTIFY late, 0 to 1.
    pub slow_share: f64,
    /// How late they answer, in milliseconds.
    pub slow_ms: u64,
    /// Share of the watchers that never answer a NOTIFY, 0 to 1. They are not judged.
    pub dead_share: f64,
    /// UDP sockets, or TCP connections per server, of each worker.
    pub sockets: usize,
    /// How long the watchers may take after the last phase until all of them show the last state, in seconds.
    pub drain_s: f64,
    /// Whether to end all subscriptions and to remove all publications at the end.
    pub leave: bool,
    /// Whether a skipped CSeq is not a fault, as when notifiers are killed on purpose.
    pub gaps_allowed: bool,
    /// RFC 3261 T1, in milliseconds: when a request is sent again first.
    pub t1_ms: u64,
    /// RFC 3261 T2, in milliseconds: the longest time between two retransmissions.
    pub t2_ms: u64,
    /// RFC 3261 timer F, in milliseconds: when a request is given up.
    pub timeout_ms: u64,
    /// The phases, in order.
    pub phase: Vec<Phase>,
}

/// One phase: some actions at the same time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// Whether it counts for the report.
    pub measure: bool,
    /// Time before counting begins, in seconds.
    pub warmup_s: f64,
    /// How long it lasts after the warm-up, in seconds. Without it, until its actions are done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_s: Option<f64>,
    /// Publish each publication that is not there, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publish: Option<Pace>,
    /// Publish new states, going round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub modify: Option<Pace>,
    /// Refresh publications, going round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh: Option<Pace>,
    /// Remove each publication, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remove: Option<Pace>,
    /// Begin each subscription that is not there, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribe: Option<Pace>,
    /// Refresh subscriptions, going round.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resubscribe: Option<Pace>,
    /// End each subscription, once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unsubscribe: Option<Pace>,
}

/// How fast an action goes: one of `window` and `rate`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Pace {
    /// Closed loop: so many at the same time, the next when one is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<u32>,
    /// Open loop: so many per second, whatever the server does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<f64>,
    /// The end after so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}

/// What an action does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Publish,
    Modify,
    Refresh,
    Remove,
    Subscribe,
    Resubscribe,
    Unsubscribe,
}

impl Action {
    /// Whether it visits each publication or watcher once, instead of going round.
    pub(crate) fn is_once(self) -> bool {
        matches!(
            self,
            Action::Publish | Action::Remove | Action::Subscribe | Action::Unsubscribe
        )
    }

    /// Whether it is about watchers; else about publications.
    pub(crate) fn is_of_watchers(self) -> bool {
        matches!(
            self,
            Action::Subscribe | Action::Resubscribe | Action::Unsubscribe
        )
    }
}

impl Phase {
    /// The actions and their paces.
    pub(crate) fn actions(&self) -> impl Iterator<Item = (Action, Pace)> {
        [
            (Action::Publish, self.publish),
            (Action::Modify, self.modify),
            (Action::Refresh, self.refresh),
            (Action::Remove, self.remove),
            (Action::Subscribe, self.subscribe),
            (Action::Resubscribe, self.resubscribe),
            (Action::Unsubscribe, self.unsubscribe),
        ]
        .into_iter()
        .filter_map(|(action, pace)| Some((action, pace?)))
    }

    pub(crate) fn warmup(&self) -> Duration {
        Duration::from_secs_f64(self.warmup_s)
    }

    /// How long actions are begun, warm-up included.
    pub(crate) fn length(&self) -> Option<Duration> {
        self.duration_s
            .map(|duration_s| self.warmup() + Duration::from_secs_f64(duration_s))
    }
}

impl Default for Workload {
    fn default() -> Workload {
        Workload {
            name: String::new(),
            description: String::new(),
            event: Package::Presence,
            presentities: 100,
            publications: 1,
            watchers: 0,
            body_bytes: 550,
            publish_expires_s: 3600,
            subscribe_expires_s: 3600,
            slow_share: 0.0,
            slow_ms: 1000,
            dead_share: 0.0,
            sockets: 4,
            drain_s: 30.0,
            leave: true,
            gaps_allowed: false,
            t1_ms: 500,
            t2_ms: 4000,
            timeout_ms: 32_000,
            phase: Vec::new(),
        }
    }
}
