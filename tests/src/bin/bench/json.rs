//! Everything that was measured, as JSON.

use serde_json::{Value, json};

use crate::kamailio;
use crate::large::{Large, Point};
use crate::ours::Memory;
use crate::rows::Bound;
use crate::summary::{good, judge, line, ratios};
use crate::table::median;
use crate::{Measured, PEERS, Results};

/// Everything that was measured.
pub(crate) fn of(results: &Results) -> Value {
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
        "lifetimes": results.lifetimes.as_ref().map(|found| match found {
            Ok(found) => json!({
                "late_s": found.late_s,
                "ended_although_refreshed": found.ended,
                "rows_growth": found.rows,
                "table_growth": found.octets,
                "notifier_of_a_core": found.notifier,
                "postgres_of_a_core": found.postgres,
            }),
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
