//! One run of `pgpresence load` against a server, and its report.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use system_tests::process::{Process, pgpresence};

use crate::ground::{Ground, file};
use crate::usage;

/// What a run may take beyond its measured time: setting up, warming up, waiting for the last states, leaving.
const BEYOND: Duration = Duration::from_secs(120);

/// What load to make. The workload is a name that `pgpresence load` knows, or a file in `tests/bench`.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    pub(crate) workload: &'static str,
    pub(crate) sets: Vec<String>,
    /// Measured seconds; `None` leaves the length to the workload.
    pub(crate) seconds: Option<u32>,
    pub(crate) seed: usize,
}

/// What came of it.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    /// The report as JSON; lib/load/src/report.rs describes it.
    pub(crate) report: Value,
    /// From start to end, in seconds.
    pub(crate) wall_s: f64,
    /// Processor seconds of the load generator.
    pub(crate) cpu_s: Option<f64>,
}

/// Runs the load against the server at `address` (such as `udp:127.0.0.1:5060`). `meanwhile` is called some twenty times a
/// second with the seconds since the start.
pub(crate) fn run(
    ground: &Ground,
    load: &Load,
    address: &str,
    mut meanwhile: impl FnMut(f64) -> Result<(), String>,
) -> Result<Outcome, String> {
    let path: PathBuf = ground.sandbox.directory().join("load.json");
    let _ = std::fs::remove_file(&path); // an earlier run's
    let mut command = Command::new(pgpresence());
    command.arg("load");
    match load.workload.ends_with(".toml") {
        true => command.arg(file(load.workload)),
        false => command.arg(load.workload),
    };
    command.args(["--server", address, "--seed", &load.seed.to_string()]);
    if let Some(seconds) = load.seconds {
        command.args(["--duration", &seconds.to_string()]);
    }
    for set in &load.sets {
        command.args(["--set", set]);
    }
    command.arg("--json").arg(&path);
    command.current_dir(ground.sandbox.directory());

    let begin = Instant::now();
    let limit = BEYOND + 3 * Duration::from_secs(load.seconds.unwrap_or(60).into());
    let mut process = Process::start(&ground.sandbox, "load", &mut command);
    let mut cpu_s = None;
    while process.is_running() {
        cpu_s = usage::cpu_s(process.pid()).or(cpu_s);
        let elapsed = begin.elapsed();
        meanwhile(elapsed.as_secs_f64())?;
        if elapsed > limit {
            return Err(format!("the load did not end within {limit:?}"));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let wall_s = begin.elapsed().as_secs_f64();
    let report = std::fs::read(&path)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    // The exit code says no more than the report does; without a report its output must do.
    match report {
        Some(report) => Ok(Outcome {
            report,
            wall_s,
            cpu_s,
        }),
        None => {
            let status = process.wait(Duration::from_secs(1));
            Err(format!(
                "no report from {command:?}, {status:?}:\n{}",
                process.lines().join("\n")
            ))
        }
    }
}

impl Outcome {
    /// A figure of the report by its JSON pointer.
    pub(crate) fn figure(&self, pointer: &str) -> Option<f64> {
        self.report.pointer(pointer)?.as_f64()
    }

    /// All that was received or answered in the measured time, for costs per message.
    pub(crate) fn messages(&self) -> Option<f64> {
        Some(self.figure("/messages/sent")? + self.figure("/messages/received")?)
    }

    /// Whether the judge found nothing.
    pub(crate) fn is_right(&self) -> bool {
        self.report.pointer("/verdict/ok") == Some(&Value::Bool(true))
    }

    /// The judge's findings, each kind with its count.
    pub(crate) fn findings(&self) -> Vec<(String, u64)> {
        let verdict = self.report.get("verdict").and_then(Value::as_object);
        let counts = verdict.into_iter().flatten();
        counts
            .filter_map(|(name, count)| Some((name.replace('_', " "), count.as_u64()?)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Outcome;

    #[test]
    fn a_report_is_read() {
        let report = serde_json::json!({
            "requests": { "publish": { "per_second": 12.5 } },
            "verdict": { "ok": false, "cseq_gaps": 0, "cseq_repeats": 3, "faults": ["one"] },
        });
        let outcome = Outcome {
            report,
            wall_s: 1.0,
            cpu_s: None,
        };
        assert_eq!(outcome.figure("/requests/publish/per_second"), Some(12.5));
        assert_eq!(outcome.figure("/requests/notify/per_second"), None);
        assert!(!outcome.is_right());
        assert_eq!(outcome.findings(), [("cseq repeats".to_owned(), 3)]);
    }
}
