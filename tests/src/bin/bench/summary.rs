//! From runs to cells: medians, ratios, the judge's word.

use crate::load::Outcome;
use crate::measure::{PeerRun, Run};
use crate::ours::Memory;
use crate::pgbench::BATCH;
use crate::rows::{Bound, Goal, ROWS, Row};
use crate::special;
use crate::table::{Block, Line, aligned, median, number, render};
use crate::{Measured, PEERS, Results};

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
        blocks.push(special::large(results, large));
    }
    if let Some(found) = &results.lifetimes {
        blocks.push(special::short_lives(results, found));
    }
    blocks.extend(special::memory(results));
    if results.rows.len() == ROWS.len() {
        blocks.push(special::pacing(results));
    }
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
    let lifetimes_are_good = match &results.lifetimes {
        None => true,
        Some(found) => found.as_ref().is_ok_and(|found| found.ended == 0),
    };
    large_is_good
        && lifetimes_are_good
        && results.rows.iter().all(|row| row.ours.iter().all(is_good))
}

pub(crate) fn peers(results: &Results) -> Vec<&'static str> {
    let titles = PEERS.iter().map(|mode| mode.title());
    titles.filter(|_| results.with_peers).collect()
}

pub(crate) fn no_peers(results: &Results) -> Vec<String> {
    vec![String::new(); peers(results).len()]
}

/// PostgreSQL's own limit: one by one, and in batches.
fn limits(results: &Results) -> Option<(f64, f64)> {
    let single: Vec<f64> = results.limits.iter().map(|limit| limit.single).collect();
    let batch: Vec<f64> = results.limits.iter().map(|limit| limit.batch).collect();
    Some((median(&single)?, median(&batch)?))
}

pub(crate) fn good(row: &Measured) -> impl Iterator<Item = &Run> {
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

pub(crate) fn line(results: &Results, measured: &Measured, goal: &Goal, is_first: bool) -> Line {
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
pub(crate) fn ratios(results: &Results, measured: &Measured, goal: &Goal) -> Option<(f64, f64)> {
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

pub(crate) fn show_memory(memory: Memory) -> String {
    format!("{:.0}/{:.0}", memory.server, memory.notifier)
}

/// "right", or what was wrong, summed over the runs.
pub(crate) fn judge(measured: &Measured) -> String {
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

pub(crate) fn sum(findings: impl Iterator<Item = Vec<(String, u64)>>) -> Vec<String> {
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

pub(crate) fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
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
