//! One run of one workload: by us, or by Kamailio.

use std::time::Duration;

use crate::ground::{Ground, file};
use crate::kamailio::{Kamailio, Mode};
use crate::load::{self, Load, Outcome};
use crate::ours::{Cpu, Memory, Ours};

const DATABASE: &str = "presence";
/// How long processes are left alone before their idle memory is read.
const SETTLED: Duration = Duration::from_millis(500);

/// What a run of ours showed.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) outcome: Outcome,
    pub(crate) cpu: Option<Cpu>,
    pub(crate) idle: Option<Memory>,
    pub(crate) peak: Option<Memory>,
    /// Deadlocks, panics, processes that ended.
    pub(crate) faults: Vec<String>,
    /// PostgreSQL's dearest statements, if they were asked for.
    pub(crate) statements: String,
}

/// What a run of Kamailio showed.
#[derive(Clone, Debug)]
pub(crate) struct PeerRun {
    pub(crate) outcome: Outcome,
    pub(crate) cpu_s: Option<f64>,
    pub(crate) memory_mb: Option<f64>,
    pub(crate) deadlocks: usize,
}

/// Runs a load on new processes of ours and a new database.
pub(crate) fn ours(
    ground: &Ground,
    load: &Load,
    sets: &[String],
    statements: bool,
) -> Result<Run, String> {
    ground.make_ours(DATABASE)?;
    if statements {
        ground.sql_file(DATABASE, &file("forget_statements.sql"), &[])?;
    }
    let deadlocks = ground.deadlocks();
    let mut ours = Ours::start(ground, DATABASE, sets)?;
    std::thread::sleep(SETTLED);
    let (idle, before) = (ours.resident(), ours.cpu(ground));
    let outcome = load::run(ground, load, &ours.address, |_| Ok(()))?;
    let cpu = ours.cpu(ground).zip(before);
    let peak = ours.peak();
    let mut faults = ours.faults();
    let deadlocks = ground.deadlocks() - deadlocks;
    if deadlocks > 0 {
        faults.push(format!("{deadlocks} deadlocks"));
    }
    let statements = match statements {
        true => ground.sql_file(DATABASE, &file("list_statements.sql"), &[])?,
        false => String::new(),
    };
    drop(ours);
    ground.drop(DATABASE)?;
    Ok(Run {
        outcome,
        cpu: cpu.map(|(after, before)| after.since(before)),
        idle,
        peak,
        faults,
        statements,
    })
}

/// Runs a load on a new Kamailio and a new database.
///
/// What has not converged a while after the load will not, so less time is given for it.
pub(crate) fn peer(ground: &Ground, load: &Load, mode: Mode) -> Result<PeerRun, String> {
    let mut load = load.clone();
    load.sets.push("drain_s=15".into());
    let deadlocks = ground.deadlocks();
    let kamailio = Kamailio::start(ground, mode, DATABASE)?;
    let before = kamailio.cpu_s();
    let outcome = load::run(ground, &load, &kamailio.address, |_| Ok(()))?;
    let cpu = kamailio.cpu_s().zip(before);
    let memory_mb = kamailio.memory_mb();
    drop(kamailio);
    ground.drop(DATABASE)?;
    Ok(PeerRun {
        outcome,
        cpu_s: cpu.map(|(after, before)| after - before),
        memory_mb,
        deadlocks: ground.deadlocks() - deadlocks,
    })
}
