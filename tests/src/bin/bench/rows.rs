//! The workloads and what they must reach.

use crate::load::{Load, Outcome};

/// A workload of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// What `--only` names.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// A workload of `pgpresence load`.
    workload: &'static str,
    /// What makes it small enough for `--smoke`.
    smoke_sets: &'static [&'static str],
    /// Settings of our processes.
    pub(crate) sets: &'static [&'static str],
    length: Length,
    pub(crate) goals: &'static [Goal],
}

/// How long is measured.
#[derive(Clone, Copy, Debug)]
enum Length {
    /// As long as `--seconds` says.
    Asked,
    /// The same, but at least so many seconds: few things happen in one.
    AtLeast(u32),
    /// Until the workload is done.
    Fixed,
}

/// One figure of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Goal {
    pub(crate) figure: &'static str,
    /// Where the report has it: a JSON pointer.
    at: &'static str,
    pub(crate) bound: Bound,
    /// Written rows a second, to be compared with PostgreSQL's limit; at least this part of the single-row rate.
    pub(crate) of_limit: Option<f64>,
}

/// What a figure must be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const fn at_least(figure: &'static str, at: &'static str, least: f64) -> Goal {
    Goal {
        figure,
        at,
        bound: Bound::AtLeast(least),
        of_limit: None,
    }
}

const fn at_most(figure: &'static str, at: &'static str, most: f64) -> Goal {
    Goal {
        figure,
        at,
        bound: Bound::AtMost(most),
        of_limit: None,
    }
}

const MODIFY: &str = "/requests/publish_modify/per_second";
const STATE_P50: &str = "/latency_ms/state/p50";
const STATE_P99: &str = "/latency_ms/state/p99";
/// So that a state may be shown each second.
const WAITN: &[&str] = &["presence.waitn_time=1"];

/// The built-in route as a script.
const SCRIPT: &[&str] = &[
    "presence.waitn_time=1",
    concat!(
        "script.file=",
        env!("CARGO_MANIFEST_DIR"),
        "/bench/route.lua"
    ),
];

/// All of them, in the table's order.
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "publish",
        title: "PUBLISH (modify), 1,000 presentities, no watchers, window 64",
        workload: "publish-1000",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[Goal {
            of_limit: Some(0.9),
            ..at_least("PUBLISH/s", MODIFY, 15_000.0)
        }],
    },
    Row {
        name: "publish-script",
        title: "the same with a routing script",
        workload: "publish-1000",
        smoke_sets: &["presentities=20"],
        sets: SCRIPT,
        length: Length::Asked,
        goals: &[Goal {
            of_limit: Some(0.0),
            ..at_least("PUBLISH/s", MODIFY, 12_750.0)
        }],
    },
    Row {
        name: "publish-1",
        title: "PUBLISH, 2,000 presentities x 1 watcher, saturated",
        workload: "publish-2000x1",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[Goal {
            of_limit: Some(0.0),
            ..at_least("PUBLISH/s", MODIFY, 10_000.0)
        }],
    },
    Row {
        name: "publish-10",
        title: "PUBLISH, 100 x 10 watchers, saturated",
        workload: "publish-100x10",
        smoke_sets: &["presentities=10"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[Goal {
            of_limit: Some(0.0),
            ..at_least("PUBLISH/s", MODIFY, 10_000.0)
        }],
    },
    Row {
        name: "latency-50",
        title: "state latency, 50 PUBLISH/s on 100 x 10 watchers",
        workload: "latency-100x10",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[
            at_most("p50 ms", STATE_P50, 10.0),
            at_most("p99 ms", STATE_P99, 40.0),
        ],
    },
    Row {
        name: "latency-500",
        title: "state latency, 500 PUBLISH/s on 1,000 x 10 watchers",
        workload: "latency-1000x10",
        smoke_sets: &["presentities=50"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[
            at_most("p50 ms", STATE_P50, 10.0),
            at_most("p99 ms", STATE_P99, 40.0),
        ],
    },
    Row {
        name: "fan-out",
        title: "fan-out, 1 presentity x 2,000 watchers, 1 PUBLISH/s",
        workload: "fanout-2000",
        smoke_sets: &["watchers=50"],
        sets: WAITN,
        length: Length::AtLeast(10),
        goals: &[
            at_most("p50 ms", STATE_P50, 60.0),
            at_most("p99 ms", STATE_P99, 120.0),
        ],
    },
    Row {
        name: "notify",
        title: "NOTIFY/s, fan-out saturated, 100 x 100 watchers",
        workload: "notify-100x100",
        smoke_sets: &["presentities=5", "watchers=10"],
        // Paced by a second, 10,000 dialogs get 10,000 NOTIFYs a second and no more.
        sets: &["presence.waitn_time=0"],
        length: Length::Asked,
        goals: &[at_least(
            "NOTIFY/s",
            "/requests/notify/per_second",
            25_000.0,
        )],
    },
    Row {
        name: "notify-direct",
        title: "the same, phones that subscribed directly: through the server",
        workload: "notify-100x100",
        smoke_sets: &["presentities=5", "watchers=10"],
        sets: &["presence.waitn_time=0", "server.notify_from_listener=1"],
        length: Length::Asked,
        // 0.8 of what it is without the way through the server.
        goals: &[at_least(
            "NOTIFY/s",
            "/requests/notify/per_second",
            20_000.0,
        )],
    },
    Row {
        name: "latency-direct",
        title: "state latency, 50 PUBLISH/s on 100 x 10 watchers, through the server",
        workload: "latency-100x10",
        smoke_sets: &["presentities=20"],
        sets: &["presence.waitn_time=1", "server.notify_from_listener=1"],
        length: Length::Asked,
        goals: &[
            at_most("p50 ms", STATE_P50, 10.0),
            at_most("p99 ms", STATE_P99, 40.0),
        ],
    },
    Row {
        name: "subscribe",
        title: "SUBSCRIBE, initial",
        workload: "subscribe",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Fixed,
        goals: &[Goal {
            of_limit: Some(0.0),
            ..at_least(
                "SUBSCRIBE/s",
                "/requests/subscribe_initial/per_second",
                8_000.0,
            )
        }],
    },
    Row {
        name: "refresh",
        title: "SUBSCRIBE, refresh",
        workload: "resubscribe",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Asked,
        goals: &[Goal {
            of_limit: Some(0.0),
            ..at_least(
                "SUBSCRIBE/s",
                "/requests/subscribe_refresh/per_second",
                8_000.0,
            )
        }],
    },
    Row {
        name: "storm",
        title: "storm: 50,000 phones subscribe at once, last initial NOTIFY",
        workload: "storm-50000",
        smoke_sets: &["presentities=20"],
        sets: WAITN,
        length: Length::Fixed,
        goals: &[at_most("last served s", LAST_SERVED, 15.0)],
    },
];

/// No pointer of the report, but the largest of its phases' `last_initial_notify_s`.
const LAST_SERVED: &str = "last_initial_notify_s";

// === impl Row ===

impl Row {
    /// The load of one run. What it leaves behind goes with its database, so it needs no time for leaving.
    pub(crate) fn load(&self, seconds: u32, seed: usize, smoke: bool) -> Load {
        let smoke_sets = if smoke { self.smoke_sets } else { &[] };
        let sets = ["leave=false"].iter().chain(smoke_sets);
        Load {
            workload: self.workload,
            sets: sets.map(|set| (*set).to_owned()).collect(),
            seconds: match self.length {
                Length::Asked => Some(seconds),
                Length::AtLeast(least) if !smoke => Some(seconds.max(least)),
                Length::AtLeast(_) => Some(seconds),
                Length::Fixed => None,
            },
            seed,
        }
    }
}

// === impl Goal ===

impl Goal {
    /// The figure in a report.
    pub(crate) fn read(&self, outcome: &Outcome) -> Option<f64> {
        if self.at != LAST_SERVED {
            return outcome.figure(self.at);
        }
        let phases = outcome.report.get("phases")?.as_array()?;
        let measured = phases
            .iter()
            .filter(|phase| phase["measured"] == serde_json::Value::Bool(true));
        measured
            .filter_map(|phase| phase[LAST_SERVED].as_f64())
            .reduce(f64::max)
    }
}

// === impl Bound ===

impl Bound {
    /// Whether a value keeps to it.
    pub(crate) fn is_met(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(least) => value >= least,
            Bound::AtMost(most) => value <= most,
        }
    }
}
