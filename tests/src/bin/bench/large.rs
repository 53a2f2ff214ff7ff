//! Large tables: what a request costs beside a million subscriptions, what an idle notifier costs, and whether the sweep
//! of many rows at once gets in anybody's way.

use std::time::Duration;

use crate::ground::{Ground, file};
use crate::load::{self, Load, Outcome};
use crate::ours::{Cpu, Memory, Ours};
use crate::pgbench::body;
use crate::sink::Sink;

const DATABASE: &str = "large";
/// Subscriptions and publications.
const SMALL: (u32, u32) = (10_000, 2_000);
const LARGE: (u32, u32) = (1_000_000, 200_000);
/// Rows of each of the two tables that expire at once.
const EXPIRING: u32 = 5_000;
const IDLE: Duration = Duration::from_secs(5);
/// When the rows expire, in seconds after the start of the load: its warm-up is over, its measured time is not.
const EXPIRE_AFTER_S: f64 = 5.0;
const SECONDS: u32 = 10;

/// Everything that was measured.
#[derive(Clone, Debug)]
pub(crate) struct Large {
    pub(crate) small: Vec<Point>,
    pub(crate) large: Vec<Point>,
    pub(crate) sweeping: Vec<Point>,
    /// Part of a core that a notifier takes with nothing to do, by run.
    pub(crate) idle_notifier: Vec<f64>,
    /// The same of all of PostgreSQL.
    pub(crate) idle_postgres: Vec<f64>,
    /// What of the expired rows was left at the end of each run.
    pub(crate) left: Vec<u64>,
    /// NOTIFYs that the watchers of expired subscriptions got.
    pub(crate) told: u64,
    /// How long filling took, in seconds.
    pub(crate) fill_s: f64,
    pub(crate) peak: Option<Memory>,
}

/// One run of the load.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    pub(crate) outcome: Outcome,
    pub(crate) cpu: Option<Cpu>,
}

// === impl Point ===

impl Point {
    /// Processor time of all processes but the load's, per message, in microseconds.
    pub(crate) fn cost_us(&self) -> Option<f64> {
        Some(self.cpu?.total() * 1e6 / self.outcome.messages()?)
    }
}

/// Fills, measures and cleans up. `say` gets a line of progress for each step.
pub(crate) fn measure(
    ground: &Ground,
    runs: usize,
    sets: &[String],
    mut say: impl FnMut(&str),
) -> Result<Large, String> {
    let sink = Sink::open().map_err(|fault| fault.to_string())?;
    let mut found = Large {
        small: vec![],
        large: vec![],
        sweeping: vec![],
        idle_notifier: vec![],
        idle_postgres: vec![],
        left: vec![],
        told: 0,
        fill_s: 0.0,
        peak: None,
    };
    fill(ground, SMALL, &sink)?;
    for run in 0..runs {
        say(&format!("at {} subscriptions", SMALL.0));
        let ours = Ours::start(ground, DATABASE, sets)?;
        found.small.push(point(ground, &ours, run, &mut || Ok(()))?);
    }
    say(&format!("filling with {} subscriptions", LARGE.0));
    let begin = std::time::Instant::now();
    fill(ground, LARGE, &sink)?;
    found.fill_s = begin.elapsed().as_secs_f64();
    for run in 0..runs {
        let ours = Ours::start(ground, DATABASE, sets)?;
        say("idle");
        if let Some((notifier, postgres)) = idle(ground, &ours) {
            found.idle_notifier.push(notifier);
            found.idle_postgres.push(postgres);
        }
        say(&format!("at {} subscriptions", LARGE.0));
        found.large.push(point(ground, &ours, run, &mut || Ok(()))?);
        say(&format!("while {} rows expire", 2 * EXPIRING));
        let told = sink.answered();
        let swept = point(ground, &ours, run + runs, &mut || {
            ground
                .sql_file(DATABASE, &file("expire_rows.sql"), &[("rows", &EXPIRING)])
                .map(drop)
        });
        found.sweeping.push(swept?);
        let left = ground.sql_file(DATABASE, &file("count_expired.sql"), &[])?;
        found
            .left
            .push(left.parse().map_err(|_| format!("no number: {left}"))?);
        found.told += sink.answered() - told;
        found.peak = match (found.peak, ours.peak()) {
            (Some(one), Some(two)) => Some(one.max(two)),
            (one, two) => one.or(two),
        };
    }
    ground.drop(DATABASE)?;
    Ok(found)
}

fn fill(
    ground: &Ground,
    (subscriptions, publications): (u32, u32),
    sink: &Sink,
) -> Result<(), String> {
    ground.make_ours(DATABASE)?;
    let file = file("fill_tables.sql");
    ground
        .sql_file(
            DATABASE,
            &file,
            &[
                ("subscriptions", &subscriptions),
                ("publications", &publications),
                ("contact", &sink.address),
                ("body", &body(1)),
            ],
        )
        .map(drop)
}

fn point(
    ground: &Ground,
    ours: &Ours,
    seed: usize,
    expire: &mut dyn FnMut() -> Result<(), String>,
) -> Result<Point, String> {
    let load = Load {
        workload: "large.toml",
        sets: vec![],
        seconds: Some(SECONDS),
        seed,
    };
    let before = ours.cpu(ground);
    let mut expired = false;
    let outcome = load::run(ground, &load, &ours.address, |elapsed_s| {
        if elapsed_s > EXPIRE_AFTER_S && !expired {
            expired = true;
            expire()?;
        }
        Ok(())
    })?;
    let cpu = ours.cpu(ground).zip(before);
    Ok(Point {
        outcome,
        cpu: cpu.map(|(after, before)| after.since(before)),
    })
}

/// Parts of a core: one notifier's, and PostgreSQL's.
fn idle(ground: &Ground, ours: &Ours) -> Option<(f64, f64)> {
    std::thread::sleep(Duration::from_secs(1)); // starting up is not idling
    let before = ours.cpu(ground)?;
    std::thread::sleep(IDLE);
    let used = ours.cpu(ground)?.since(before);
    let seconds = IDLE.as_secs_f64();
    Some((
        used.notifiers / crate::ours::NOTIFIERS as f64 / seconds,
        used.postgres / seconds,
    ))
}
