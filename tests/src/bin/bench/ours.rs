//! Our processes for one run: one server and two notifiers of the built program, on a database of their own.

use std::process::Command;

use system_tests::process::{Process, pgpresence};
use system_tests::system::{STARTUP, addresses, is_ready};

use crate::ground::Ground;
use crate::usage;

/// As many as one machine needs for both of its cores.
pub(crate) const NOTIFIERS: usize = 2;

/// The running processes. Dropping kills them.
pub(crate) struct Ours {
    server: Process,
    notifiers: Vec<Process>,
    /// Where the server takes requests: `udp:127.0.0.1:PORT`.
    pub(crate) address: String,
}

/// Processor seconds so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) server: f64,
    pub(crate) notifiers: f64,
    pub(crate) postgres: f64,
}

/// Resident memory in MB; of the notifiers, the larger.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) server: f64,
    pub(crate) notifier: f64,
}

// === impl Ours ===

impl Ours {
    /// Starts the processes with settings (`key=value`) and waits until all are ready.
    pub(crate) fn start(ground: &Ground, database: &str, sets: &[String]) -> Result<Ours, String> {
        Ours::start_with(ground, database, sets, NOTIFIERS)
    }

    /// The same with so many notifiers.
    pub(crate) fn start_with(
        ground: &Ground,
        database: &str,
        sets: &[String],
        notifiers: usize,
    ) -> Result<Ours, String> {
        let command = |verb: &str| {
            let mut command = Command::new(pgpresence());
            command
                .arg(verb)
                .args(["--database-url", &ground.url(database)])
                .args(["--set", "notifier.listen=udp:127.0.0.1:0"])
                // The phones stand for phones behind a proxy, whose NOTIFYs need no server; rows for those that come directly say so.
                .args(["--set", "server.notify_from_listener=0"])
                .current_dir(ground.sandbox.directory());
            for set in sets {
                command.args(["--set", set]);
            }
            command
        };
        let mut serve = command("server");
        serve.args(["--listen", "udp:127.0.0.1:0", "--listen", "tcp:127.0.0.1:0"]);
        let server = ready(Process::start(&ground.sandbox, "server", &mut serve))?;
        let lines = server.lines();
        let mut listening = lines.iter().flat_map(|line| addresses(line));
        let (_, udp) = listening
            .find(|(transport, _)| transport == "udp")
            .ok_or("the server names no UDP address")?;
        let notifiers = (0..notifiers)
            .map(|_| {
                let mut notify = command("notifier");
                ready(Process::start(&ground.sandbox, "notifier", &mut notify))
            })
            .collect::<Result<Vec<Process>, String>>()?;
        Ok(Ours {
            server,
            notifiers,
            address: format!("udp:{udp}"),
        })
    }

    /// Processor seconds so far, PostgreSQL's included. `None` without /proc.
    pub(crate) fn cpu(&self, ground: &Ground) -> Option<Cpu> {
        Some(Cpu {
            server: usage::cpu_s(self.server.pid())?,
            notifiers: self
                .notifiers
                .iter()
                .filter_map(|notifier| usage::cpu_s(notifier.pid()))
                .sum(),
            postgres: ground.cpu_s()?,
        })
    }

    /// Resident memory now.
    pub(crate) fn resident(&self) -> Option<Memory> {
        self.memory(usage::resident_mb)
    }

    /// The most that was ever resident.
    pub(crate) fn peak(&self) -> Option<Memory> {
        self.memory(usage::peak_mb)
    }

    fn memory(&self, of: impl Fn(u32) -> Option<f64>) -> Option<Memory> {
        let notifiers = self.notifiers.iter();
        Some(Memory {
            server: of(self.server.pid())?,
            notifier: notifiers
                .filter_map(|notifier| of(notifier.pid()))
                .fold(0.0, f64::max),
        })
    }

    /// Panics, and processes that have ended.
    pub(crate) fn faults(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        for process in std::iter::once(&mut self.server).chain(&mut self.notifiers) {
            if !process.is_running() {
                faults.push(format!("{process:?} has ended"));
            }
            let lines = process.lines().into_iter();
            faults.extend(lines.filter(|line| line.contains("panicked at")));
        }
        faults
    }
}

impl Cpu {
    /// What was used since `earlier`.
    pub(crate) fn since(self, earlier: Cpu) -> Cpu {
        Cpu {
            server: self.server - earlier.server,
            notifiers: self.notifiers - earlier.notifiers,
            postgres: self.postgres - earlier.postgres,
        }
    }

    /// All together.
    pub(crate) fn total(self) -> f64 {
        self.server + self.notifiers + self.postgres
    }
}

impl Memory {
    /// The larger of each.
    pub(crate) fn max(self, other: Memory) -> Memory {
        Memory {
            server: self.server.max(other.server),
            notifier: self.notifier.max(other.notifier),
        }
    }
}

fn ready(mut process: Process) -> Result<Process, String> {
    process.line(STARTUP, is_ready)?;
    Ok(process)
}
