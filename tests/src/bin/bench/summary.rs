//! From runs to cells: medians, ratios, the judge's word; and everything as JSON.

use serde_json::{Value, json};

use crate::kamailio;
use crate::large::{Large, Point};
use crate::load::Outcome;
use crate::measure::{PeerRun, Run};
use crate::ours::Memory;
use crate::pgbench::BATCH;
use crate::rows::{Bound, Goal, Row};
use crate::table::{Block, Line, aligned, median, number, render};
use crate::{Measured, PEERS, Results};

/// The memory that a process may have, idle and under load, in MB.
const IDLE_MB: f64 = 30.0;
const PEAK_MB: f64 = 150.0;
/// What large tables may cost, and what a sweep may.
const COST_RATIO: f64 = 1.3;
const SWEEP_RATIO: f64 = 2.0;
const IDLE_CORE: f64 = 0.01;

// === lines of progress ===

/// One run of ours in a line.
pub(crate) fn of_run(row: &Row, run: &Result<Run, String>) -> String {
    match run {
        Ok(run) => {
            let faults = [findings(&run.outcome), run.faults.join(", ")];
            let faults = faults.iter().filter(|text| !text.is_empty());
            let faults: String = faults.map(|text| format!("; {text}")).collect();
            let statements = run.statements.lines();
            let statements: String = statements.map(|line| format!("\n    {line}")).collect();
            format!("{}{faults}{statements}", figures(row, &run.outcome))
        }
        Err(fault) => format!("FAILED: {fault}"),
    }
}

/// One run of Kamailio in a line.
pub(crate) fn of_peer_run(row: &Row, run: &Result<PeerRun, String>) -> String {
    match run {
        Ok(run) => format!("{}; {}", figures(row, &run.outcome), findings(&run.outcome)),
        Err(fault) => format!("FAILED: {fault}"),
    }
}

fn figures(row: &Row, outcome: &Outcome) -> String {
    let goals = row.goals.iter().map(|goal| {
        let value = goal.read(outcome);
        format!("{} {}", value.map_or("-".into(), number), goal.figure)
    });
    goals.collect::<Vec<_>>().join(", ")
}

fn findings(outcome: &Outcome) -> String {
    let findings = outcome.findings().into_iter();
    findings
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect::<Vec<_>>()
        .join(", ")
}

// === the table ===

/// Everything for the terminal.
pub(crate) fn text(results: &Results) -> String {
    let mut blocks: Vec<Block> = results.rows.iter().map(|row| block(results, row)).collect();
    if let Some(large) = &results.large {
        blocks.push(large_block(results, large));
    }
    blocks.extend(memory_block(results));
    blocks.push(pacing_block(results));
    let mut text = format!("\n{}\n", results.machine);
    if let Some((single, batch)) = limits(results) {
        text.push_str(&format!(
            "PostgreSQL's own limit (pgbench, one row of a publication and one of the queue): {} rows/s one by one at 32 clients, \
             {} rows/s in statements of {BATCH}\n",
            number(single),
            number(batch)
        ));
    }
    let runs = results.rows.iter().map(|row| row.ours.len()).max();
    text.push_str(&format!(
        "medians of {} runs; MB: the most that the server and a notifier ever had\n\n",
        runs.unwrap_or(0)
    ));
    text.push_str(&render(&blocks, &peers(results)));
    text.push_str(&processors(results));
    text
}

/// Whether every run of ours ended and was judged right.
pub(crate) fn is_right(results: &Results) -> bool {
    let is_good = |run: &Result<Run, String>| {
        run.as_ref()
            .is_ok_and(|run| run.outcome.is_right() && run.faults.is_empty())
    };
    let large_is_good = match &results.large {
        None => true,
        Some(Err(_)) => false,
        Some(Ok(large)) => [&large.small, &large.large, &large.sweeping]
            .into_iter()
            .flatten()
            .all(|point| point.outcome.is_right()),
    };
    large_is_good && results.rows.iter().all(|row| row.ours.iter().all(is_good))
}

fn peers(results: &Results) -> Vec<&'static str> {
    let titles = PEERS.iter().map(|mode| mode.title());
    titles.filter(|_| results.with_peers).collect()
}

fn no_peers(results: &Results) -> Vec<String> {
    vec![String::new(); peers(results).len()]
}

/// PostgreSQL's own limit: one by one, and in batches.
fn limits(results: &Results) -> Option<(f64, f64)> {
    let single: Vec<f64> = results.limits.iter().map(|limit| limit.single).collect();
    let batch: Vec<f64> = results.limits.iter().map(|limit| limit.batch).collect();
    Some((median(&single)?, median(&batch)?))
}

fn good(row: &Measured) -> impl Iterator<Item = &Run> {
    row.ours.iter().filter_map(|run| run.as_ref().ok())
}

fn block(results: &Results, measured: &Measured) -> Block {
    let goals = measured.row.goals.iter().enumerate();
    let lines = goals.map(|(at, goal)| line(results, measured, goal, at == 0));
    Block {
        title: measured.row.title.to_owned(),
        lines: lines.collect(),
        judge: judge(measured),
        memory: good(measured)
            .filter_map(|run| run.peak)
            .reduce(Memory::max)
            .map_or("-".into(), show_memory),
    }
}

fn line(results: &Results, measured: &Measured, goal: &Goal, is_first: bool) -> Line {
    let values: Vec<f64> = good(measured)
        .filter_map(|run| goal.read(&run.outcome))
        .collect();
    let value = median(&values);
    let ratios = ratios(results, measured, goal);
    let keeps_ratio = match (goal.of_limit, ratios) {
        (Some(least), Some((single, _))) => single >= least,
        _ => true,
    };
    let least = goal.of_limit.filter(|least| *least > 0.0);
    Line {
        figure: goal.figure.to_owned(),
        measured: value.map_or("-".into(), number),
        target: match least {
            Some(least) => format!("{}, {least} x single", show_bound(goal.bound)),
            None => show_bound(goal.bound),
        },
        of_limit: ratios.map_or(String::new(), |(single, batch)| {
            format!("{single:.2} x single, {batch:.2} x batch")
        }),
        met: Some(value.is_some_and(|value| goal.bound.is_met(value)) && keeps_ratio),
        peers: match results.with_peers {
            true => measured
                .peers
                .iter()
                .map(|runs| peer_cell(runs, goal, is_first))
                .collect(),
            false => vec![],
        },
    }
}

/// Medians of each run's ratio to pgbench's two rates of the same round.
fn ratios(results: &Results, measured: &Measured, goal: &Goal) -> Option<(f64, f64)> {
    goal.of_limit?;
    let pairs: Vec<(f64, f64)> = measured
        .ours
        .iter()
        .zip(&results.limits)
        .filter_map(|(run, limit)| {
            let value = goal.read(&run.as_ref().ok()?.outcome)?;
            Some((value / limit.single, value / limit.batch))
        })
        .collect();
    let single: Vec<f64> = pairs.iter().map(|(single, _)| *single).collect();
    let batch: Vec<f64> = pairs.iter().map(|(_, batch)| *batch).collect();
    Some((median(&single)?, median(&batch)?))
}

fn show_bound(bound: Bound) -> String {
    match bound {
        Bound::AtLeast(least) => format!(">= {}", number(least)),
        Bound::AtMost(most) => format!("<= {}", number(most)),
    }
}

fn show_memory(memory: Memory) -> String {
    format!("{:.0}/{:.0}", memory.server, memory.notifier)
}

/// "right", or what was wrong, summed over the runs.
fn judge(measured: &Measured) -> String {
    let failed = measured.ours.iter().filter(|run| run.is_err()).count();
    let mut faults: Vec<String> = sum(good(measured).map(|run| run.outcome.findings()));
    faults.extend(good(measured).flat_map(|run| run.faults.clone()));
    if failed > 0 {
        let first = measured.ours.iter().find_map(|run| run.as_ref().err());
        let reason = first.map_or("", |fault| first_line(fault));
        faults.insert(0, format!("{failed} runs failed: {reason}"));
    }
    let all_right = good(measured).all(|run| run.outcome.is_right());
    match faults.is_empty() && all_right && !measured.ours.is_empty() {
        true => "right".into(),
        false => format!("WRONG: {}", faults.join(", ")),
    }
}

fn sum(findings: impl Iterator<Item = Vec<(String, u64)>>) -> Vec<String> {
    let mut sums: Vec<(String, u64)> = Vec::new();
    for (kind, count) in findings.flatten() {
        match sums.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, sum)) => *sum += count,
            None => sums.push((kind, count)),
        }
    }
    let sums = sums.into_iter();
    sums.map(|(kind, count)| format!("{count} {kind}"))
        .collect()
}

/// The median, and what the judge found in all runs together.
fn peer_cell(runs: &[Result<PeerRun, String>], goal: &Goal, is_first: bool) -> String {
    let done: Vec<&PeerRun> = runs.iter().filter_map(|run| run.as_ref().ok()).collect();
    if done.is_empty() {
        return match runs.first() {
            Some(Err(fault)) if is_first => format!("failed: {}", first_line(fault)),
            _ => "-".into(),
        };
    }
    let values: Vec<f64> = done
        .iter()
        .filter_map(|run| goal.read(&run.outcome))
        .collect();
    let mut cell = median(&values).map_or("-".into(), number);
    if !is_first {
        return cell;
    }
    let mut faults = sum(done.iter().map(|run| run.outcome.findings()));
    let deadlocks: usize = done.iter().map(|run| run.deadlocks).sum();
    if deadlocks > 0 {
        faults.push(format!("{deadlocks} deadlocks"));
    }
    let converged = |run: &&PeerRun| {
        ["not_last_state", "missing_initial_notify"]
            .iter()
            .all(|kind| run.outcome.figure(&format!("/verdict/{kind}")) == Some(0.0))
    };
    if !done.iter().all(converged) {
        cell.push_str(" NOT CONVERGED");
    }
    if !faults.is_empty() {
        cell.push_str(&format!(" ({})", faults.join(", ")));
    }
    cell
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

// === rows of their own kind ===

fn large_block(results: &Results, large: &Result<Large, String>) -> Block {
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

fn memory_block(results: &Results) -> Option<Block> {
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
fn pacing_block(results: &Results) -> Block {
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

/// Where the processors' time went, as parts of all of it.
fn processors(results: &Results) -> String {
    let mut table = vec![
        [
            "processor time",
            "cores used",
            "server",
            "notifiers",
            "PostgreSQL",
            "load",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    for measured in &results.rows {
        let runs: Vec<(f64, [f64; 4])> = good(measured)
            .filter_map(|run| {
                let (cpu, load) = (run.cpu?, run.outcome.cpu_s?);
                let parts = [cpu.server, cpu.notifiers, cpu.postgres, load];
                Some((run.outcome.wall_s, parts))
            })
            .collect();
        let wall: f64 = runs.iter().map(|(wall_s, _)| wall_s).sum();
        let parts = (0..4).map(|at| runs.iter().map(|(_, parts)| parts[at]).sum::<f64>());
        let parts: Vec<f64> = parts.collect();
        let all: f64 = parts.iter().sum();
        if all > 0.0 {
            let mut cells = vec![measured.row.name.to_owned(), format!("{:.2}", all / wall)];
            cells.extend(
                parts
                    .iter()
                    .map(|part| format!("{:.0} %", 100.0 * part / all)),
            );
            table.push(cells);
        }
    }
    match table.len() {
        1 => String::new(),
        _ => format!("\n{}", aligned(&table)),
    }
}

// === JSON ===

/// Everything that was measured.
pub(crate) fn json(results: &Results) -> Value {
    let limits = results
        .limits
        .iter()
        .map(|limit| json!({ "single": limit.single, "batch": limit.batch }));
    let machine = &results.machine;
    json!({
        "machine": {
            "cores": machine.cores,
            "processor": machine.processor,
            "memory_gb": machine.memory_gb,
            "kernel": machine.kernel,
            "postgres": machine.postgres,
            "disk": machine.disk,
            "commit": machine.commit,
            "kamailio": results.with_peers.then(kamailio::version),
        },
        "pgbench_rows_per_second": limits.collect::<Vec<_>>(),
        "rows": results.rows.iter().map(|row| row_json(results, row)).collect::<Vec<_>>(),
        "large": results.large.as_ref().map(|large| match large {
            Ok(large) => large_json(large),
            Err(fault) => json!({ "failed": fault }),
        }),
    })
}

fn row_json(results: &Results, measured: &Measured) -> Value {
    let goals = measured.row.goals.iter().enumerate().map(|(at, goal)| {
        let line = line(results, measured, goal, at == 0);
        let (bound, is_least) = match goal.bound {
            Bound::AtLeast(least) => (least, true),
            Bound::AtMost(most) => (most, false),
        };
        let values = good(measured).filter_map(|run| goal.read(&run.outcome));
        let values: Vec<f64> = values.collect();
        let ratios = ratios(results, measured, goal);
        json!({
            "figure": goal.figure,
            "median": median(&values),
            "values": values,
            if is_least { "at_least" } else { "at_most" }: bound,
            "of_single": ratios.map(|(single, _)| single),
            "of_batch": ratios.map(|(_, batch)| batch),
            "met": line.met,
        })
    });
    let peers = PEERS.iter().zip(&measured.peers).map(|(mode, runs)| {
        let runs = runs.iter().map(|run| match run {
            Ok(run) => json!({
                "report": run.outcome.report,
                "cpu_s": run.cpu_s,
                "memory_mb": run.memory_mb,
                "deadlocks": run.deadlocks,
            }),
            Err(fault) => json!({ "failed": fault }),
        });
        json!({ "peer": mode.title(), "runs": runs.collect::<Vec<_>>() })
    });
    let ours = measured.ours.iter().map(|run| match run {
        Ok(run) => json!({
            "report": run.outcome.report,
            "wall_s": run.outcome.wall_s,
            "cpu_s": run.cpu.map(|cpu| json!({
                "server": cpu.server,
                "notifiers": cpu.notifiers,
                "postgres": cpu.postgres,
                "load": run.outcome.cpu_s,
            })),
            "idle_mb": run.idle.map(memory_json),
            "peak_mb": run.peak.map(memory_json),
            "faults": run.faults,
        }),
        Err(fault) => json!({ "failed": fault }),
    });
    json!({
        "name": measured.row.name,
        "title": measured.row.title,
        "goals": goals.collect::<Vec<_>>(),
        "judge": judge(measured),
        "runs": ours.collect::<Vec<_>>(),
        "peers": peers.filter(|_| results.with_peers).collect::<Vec<_>>(),
    })
}

fn large_json(large: &Large) -> Value {
    let points = |points: &[Point]| {
        let points = points.iter().map(|point| {
            json!({ "report": point.outcome.report, "processor_us_per_message": point.cost_us() })
        });
        points.collect::<Vec<_>>()
    };
    json!({
        "small": points(&large.small),
        "large": points(&large.large),
        "sweeping": points(&large.sweeping),
        "idle_notifier_of_a_core": large.idle_notifier,
        "idle_postgres_of_a_core": large.idle_postgres,
        "expired_rows_left": large.left,
        "watchers_told": large.told,
        "fill_s": large.fill_s,
        "peak_mb": large.peak.map(memory_json),
    })
}

fn memory_json(memory: Memory) -> Value {
    json!({ "server": memory.server, "notifier": memory.notifier })
}
