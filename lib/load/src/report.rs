//! What a run found: the report, as JSON of a stable form and as text.
//!
//! The JSON form is an interface: fields are added, never renamed or given another meaning.
//! `verdict` covers the whole run but the leaving at its end; everything else the measured phases alone, without their warm-up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The report of one run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the workload: its file's name without the ending.
    pub workload: String,
    /// The workload's own sentence about itself.
    pub description: String,
    /// Where the requests went, such as `udp:127.0.0.1:5060`.
    pub servers: Vec<String>,
    /// How many threads made the load.
    pub workers: usize,
    /// How long was measured, in seconds; every rate below is over this time.
    pub seconds: f64,
    /// The phases, in order, measured or not.
    pub phases: Vec<PhaseReport>,
    /// Requests by kind.
    pub requests: Requests,
    /// Latencies in milliseconds.
    pub latency_ms: Latencies,
    /// Messages that were sent again.
    pub retransmissions: Retransmissions,
    /// How much went over the wire.
    pub messages: Messages,
    /// Whether the server did right.
    pub verdict: RunVerdict,
}

/// One phase of the workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseReport {
    /// Its name.
    pub name: String,
    /// Whether it was measured.
    pub measured: bool,
    /// From its beginning to its end, warm-up included, in seconds.
    pub seconds: f64,
    /// From its beginning until the last initial NOTIFY of a subscription that began in it, in seconds; `null` without any.
    pub last_initial_notify_s: Option<f64>,
}

/// Requests by kind. `publish` and `subscribe` are the sums of their steps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Requests {
    /// All PUBLISH.
    pub publish: RequestCounts,
    /// PUBLISH with a body and without an entity-tag.
    pub publish_initial: RequestCounts,
    /// PUBLISH with a body and an entity-tag.
    pub publish_modify: RequestCounts,
    /// PUBLISH without a body.
    pub publish_refresh: RequestCounts,
    /// PUBLISH with `Expires: 0`.
    pub publish_remove: RequestCounts,
    /// All SUBSCRIBE.
    pub subscribe: RequestCounts,
    /// SUBSCRIBE that begins a dialog.
    pub subscribe_initial: RequestCounts,
    /// SUBSCRIBE in its dialog.
    pub subscribe_refresh: RequestCounts,
    /// SUBSCRIBE with `Expires: 0`.
    pub subscribe_end: RequestCounts,
    /// NOTIFYs received.
    pub notify: NotifyCounts,
}

/// The requests of one kind whose final answer, or its absence, fell into the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Successes (2xx) per second.
    pub per_second: f64,
    /// Successes (2xx).
    pub ok: u64,
    /// Everything by final status: `"200"`, `"412"`, `"503"` ..., and `"timeout"`. A request that is tried again, as after
    /// 503 with Retry-After, counts once per try.
    pub outcomes: BTreeMap<String, u64>,
}

/// NOTIFYs received in the measured time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct NotifyCounts {
    /// NOTIFYs per second, retransmissions left out.
    pub per_second: f64,
    /// NOTIFYs, retransmissions left out.
    pub received: u64,
    /// Those that belong to no dialog of ours; answered 481.
    pub stray: u64,
    /// Those that ended a subscription that we had not ended.
    pub terminated: u64,
    /// Subscriptions that were notified although their SUBSCRIBE had been answered 503; the next try made a second dialog.
    pub after_refusal: u64,
}

/// Latencies in milliseconds. In an open loop they count from the time that the request was due, however late it left.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Latencies {
    /// From PUBLISH to the NOTIFY that shows its state or a newer one: one value for each published state and each watcher,
    /// so that states that were skipped count with the time for which their watcher knew nothing newer.
    pub state: Percentiles,
    /// The same, but only for the states that a NOTIFY showed.
    pub state_shown: Percentiles,
    /// From the first SUBSCRIBE of a dialog (before any 503) to its first NOTIFY.
    pub initial_notify: Percentiles,
    /// From PUBLISH to its 2xx, retries included.
    pub publish_response: Percentiles,
    /// From SUBSCRIBE to its 2xx, retries included.
    pub subscribe_response: Percentiles,
}

/// A distribution, in milliseconds; exact to 1 %.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// 99.9th percentile.
    pub p999: f64,
    /// The largest.
    pub max: f64,
    /// How many values there were; with 0 all others are 0.
    pub count: u64,
}

/// Messages that were sent again, in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Retransmissions {
    /// Requests that we sent again because no answer came (RFC 3261 timer E).
    pub sent: u64,
    /// NOTIFYs that we had already (same branch and CSeq).
    pub received_notify: u64,
}

/// Messages in the measured time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Messages {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Both, per second.
    pub per_second: f64,
    /// The part of the measured time in which the busiest worker worked, 0 to 1. Near 1 the generator itself may be the
    /// bottleneck: give it more `--workers`.
    pub generator_load: f64,
}

/// Whether the server did right: every count is a number of faults, over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunVerdict {
    /// Whether there was none.
    pub ok: bool,
    /// CSeq numbers that a dialog skipped and that never came.
    pub cseq_gaps: u64,
    /// CSeq numbers used for two different NOTIFYs.
    pub cseq_repeats: u64,
    /// NOTIFYs that came after one with a higher CSeq.
    pub cseq_disorder: u64,
    /// NOTIFYs that showed an older state than one with a lower CSeq.
    pub backwards: u64,
    /// NOTIFYs that showed the state of somebody else, or one that nobody published.
    pub foreign_state: u64,
    /// Initial SUBSCRIBEs that made two dialogs: a NOTIFY came in another one than the 2xx names.
    pub doubled_dialogs: u64,
    /// Live watchers whose last NOTIFY does not show what was acknowledged last.
    pub not_last_state: u64,
    /// Live subscriptions without any NOTIFY.
    pub missing_initial_notify: u64,
    /// Requests without a final answer.
    pub lost_requests: u64,
    /// Requests that were refused for good: any final answer but 2xx, but not those that say what to do and were heeded
    /// (503 with Retry-After, 423, 412, 481).
    pub failed_requests: u64,
    /// Messages that could not be read as SIP, or broke it.
    pub malformed: u64,
    /// The first faults, in words.
    pub faults: Vec<String>,
}

impl RunVerdict {
    /// How many faults there were.
    pub fn count(&self) -> u64 {
        self.kinds().into_iter().map(|(_, count)| count).sum()
    }

    /// The faults by kind, named for people.
    pub(crate) fn kinds(&self) -> [(&'static str, u64); 11] {
        [
            ("CSeq gaps", self.cseq_gaps),
            ("CSeq repeats", self.cseq_repeats),
            ("CSeq disorder", self.cseq_disorder),
            ("states that went backwards", self.backwards),
            ("states of another presentity", self.foreign_state),
            ("SUBSCRIBEs that made two dialogs", self.doubled_dialogs),
            ("watchers not on the last state", self.not_last_state),
            ("watchers never notified", self.missing_initial_notify),
            ("requests lost", self.lost_requests),
            ("requests refused", self.failed_requests),
            ("malformed messages", self.malformed),
        ]
    }
}
