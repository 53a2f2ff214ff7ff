//! The rows that are no workload: large tables, memory, pacing.

use crate::Results;
use crate::large::{Large, Point};
use crate::lifetimes::{self, Lifetimes};
use crate::measure::Run;
use crate::ours::Memory;
use crate::summary::{first_line, good, no_peers, peers, show_memory, sum};
use crate::table::{Block, Line, median, number};

/// The memory that a process may have, idle and under load, in MB.
const IDLE_MB: f64 = 30.0;
const PEAK_MB: f64 = 150.0;
/// What large tables may cost, and what a sweep may.
const COST_RATIO: f64 = 1.3;
const SWEEP_RATIO: f64 = 2.0;
const IDLE_CORE: f64 = 0.01;
/// By how many seconds the sweep may be late, and how much tables may grow that ought not to.
const LATE_S: u64 = 2;
const GROWTH: f64 = 1.1;

pub(crate) fn large(results: &Results, large: &Result<Large, String>) -> Block {
    let title = "1,000,000 subscriptions and 200,000 publications in the tables".to_owned();
    let line = |figure: &str, measured: String, target: String, met: Option<bool>| Line {
        figure: figure.to_owned(),
        measured,
        target,
        of_limit: String::new(),
        met,
        peers: no_peers(results),
    };
    let large = match large {
        Ok(large) => large,
        Err(fault) => {
            return Block {
                title,
                lines: vec![line("", "-".into(), String::new(), Some(false))],
                judge: format!("WRONG: {}", first_line(fault)),
                memory: "-".into(),
            };
        }
    };
    let compare = |figure: &str, before: Option<f64>, after: Option<f64>, most: f64| {
        let ratio = before.zip(after).map(|(before, after)| after / before);
        let show = |value: Option<f64>| value.map_or("-".into(), number);
        line(
            figure,
            format!("{} -> {}: x {}", show(before), show(after), show(ratio)),
            format!("<= x {most}"),
            Some(ratio.is_some_and(|ratio| ratio <= most)),
        )
    };
    let at = |points: &[Point], pointer: &str| {
        let values: Vec<f64> = points
            .iter()
            .filter_map(|point| point.outcome.figure(pointer))
            .collect();
        median(&values)
    };
    let cost = |points: &[Point]| {
        let costs: Vec<f64> = points.iter().filter_map(Point::cost_us).collect();
        median(&costs)
    };
    let (publish, subscribe) = (
        "/latency_ms/publish_response/p50",
        "/latency_ms/subscribe_response/p50",
    );
    let idle = |values: &[f64]| median(values);
    let left: u64 = large.left.iter().sum();
    let points = [&large.small, &large.large, &large.sweeping];
    let faults = sum(points
        .into_iter()
        .flatten()
        .map(|point| point.outcome.findings()));
    Block {
        title,
        lines: vec![
            compare(
                "processor us/message",
                cost(&large.small),
                cost(&large.large),
                COST_RATIO,
            ),
            compare(
                "PUBLISH p50 ms",
                at(&large.small, publish),
                at(&large.large, publish),
                COST_RATIO,
            ),
            compare(
                "SUBSCRIBE p50 ms",
                at(&large.small, subscribe),
                at(&large.large, subscribe),
                COST_RATIO,
            ),
            line(
                "idle notifier, of a core",
                idle(&large.idle_notifier)
                    .map_or("-".into(), |part| format!("{:.2} %", part * 100.0)),
                format!("<= {} %", IDLE_CORE * 100.0),
                idle(&large.idle_notifier).map(|part| part <= IDLE_CORE),
            ),
            line(
                "idle PostgreSQL, of a core",
                idle(&large.idle_postgres)
                    .map_or("-".into(), |part| format!("{:.2} %", part * 100.0)),
                String::new(),
                None,
            ),
            compare(
                "state p99 ms while 10,000 rows expire",
                at(&large.large, "/latency_ms/state/p99"),
                at(&large.sweeping, "/latency_ms/state/p99"),
                SWEEP_RATIO,
            ),
            compare(
                "PUBLISH p99 ms while they expire",
                at(&large.large, "/latency_ms/publish_response/p99"),
                at(&large.sweeping, "/latency_ms/publish_response/p99"),
                SWEEP_RATIO,
            ),
            line(
                "expired rows left, watchers told",
                format!("{left}, {}", number(large.told as f64)),
                "0".into(),
                Some(left == 0),
            ),
        ],
        judge: match faults.is_empty() {
            true => "right".into(),
            false => format!("WRONG: {}", faults.join(", ")),
        },
        memory: large.peak.map_or("-".into(), show_memory),
    }
}

pub(crate) fn short_lives(results: &Results, found: &Result<Lifetimes, String>) -> Block {
    let title = format!(
        "{} publications of 60 s, {} removals/s, one notifier",
        number(f64::from(lifetimes::PUBLICATIONS)),
        number(f64::from(lifetimes::REMOVALS))
    );
    let line = |figure: &str, measured: String, target: String, met: Option<bool>| Line {
        figure: figure.to_owned(),
        measured,
        target,
        of_limit: String::new(),
        met,
        peers: no_peers(results),
    };
    let found = match found {
        Ok(found) => found,
        Err(fault) => {
            return Block {
                title,
                lines: vec![line("", "-".into(), String::new(), Some(false))],
                judge: format!("WRONG: {}", first_line(fault)),
                memory: "-".into(),
            };
        }
    };
    let growth = |figure: &str, ratio: f64| {
        let met = Some(ratio <= GROWTH);
        line(
            figure,
            format!("x {ratio:.2}"),
            format!("<= x {GROWTH}"),
            met,
        )
    };
    Block {
        title,
        lines: vec![
            line(
                "the sweep is late by, s",
                found.late_s.to_string(),
                format!("<= {LATE_S}"),
                Some(found.late_s <= LATE_S),
            ),
            growth(&format!("rows in {} s", lifetimes::MEASURED_S), found.rows),
            growth(
                &format!("size of the table in {} s", lifetimes::MEASURED_S),
                found.octets,
            ),
            line(
                "notifier, PostgreSQL, of a core",
                format!(
                    "{:.0} %, {:.0} %",
                    found.notifier * 100.0,
                    found.postgres * 100.0
                ),
                String::new(),
                None,
            ),
        ],
        judge: match found.ended {
            0 => "right".into(),
            ended => format!("WRONG: {ended} publications ended that were refreshed"),
        },
        memory: "-".into(),
    }
}

pub(crate) fn memory(results: &Results) -> Option<Block> {
    let all = |of: fn(&Run) -> Option<Memory>| {
        let runs = results.rows.iter().flat_map(good);
        runs.filter_map(of).reduce(Memory::max)
    };
    let (idle, mut peak) = (all(|run| run.idle)?, all(|run| run.peak)?);
    if let Some(Ok(Large {
        peak: Some(large), ..
    })) = &results.large
    {
        peak = peak.max(*large);
    }
    let line = |figure: &str, memory: Memory, most: f64, peers: Vec<String>| Line {
        figure: figure.to_owned(),
        measured: show_memory(memory),
        target: format!("<= {most} each"),
        of_limit: String::new(),
        met: Some(memory.server <= most && memory.notifier <= most),
        peers,
    };
    let of_peers = (0..peers(results).len()).map(|at| {
        let runs = results.rows.iter().flat_map(|row| &row.peers[at]);
        runs.filter_map(|run| run.as_ref().ok()?.memory_mb)
            .reduce(f64::max)
            .map_or("-".into(), |most| format!("{most:.0} in all"))
    });
    Some(Block {
        title: "memory, MB (server/notifier)".into(),
        lines: vec![
            line("idle", idle, IDLE_MB, no_peers(results)),
            line(
                "most under all of the above",
                peak,
                PEAK_MB,
                of_peers.collect(),
            ),
        ],
        judge: String::new(),
        memory: String::new(),
    })
}

/// Paced by a clock, so nothing for a benchmark: a test of the suite keeps it.
pub(crate) fn pacing(results: &Results) -> Block {
    Block {
        title: "waitn_time: RFC 3856 pacing".into(),
        lines: vec![Line {
            figure: "by test".into(),
            measured: "tests/tests/keys.rs, waitn_time".into(),
            target: "one NOTIFY in waitn_time, none later".into(),
            of_limit: String::new(),
            met: None,
            peers: no_peers(results),
        }],
        judge: String::new(),
        memory: String::new(),
    }
}
