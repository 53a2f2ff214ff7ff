//! `./dev bench`: what we carry, beside what PostgreSQL itself carries in the same run, and beside Kamailio.
//!
//! Each run of a workload has a new database on one cluster (on a disk, with fsync), a server and two notifiers of the
//! release build, and `pgpresence load` as load and as judge. Rounds go over all workloads, and each begins with pgbench, so
//! that a machine that is noisy for a while is so for all of them. What was started is gone at the end, whatever the end is.

mod arguments;
mod ground;
mod json;
mod kamailio;
mod large;
mod lifetimes;
mod load;
mod machine;
mod measure;
mod ours;
mod pgbench;
mod rows;
mod sink;
mod special;
mod summary;
mod table;
mod usage;

use std::process::ExitCode;
use std::time::Instant;

use arguments::{Arguments, USAGE};
use ground::Ground;
use kamailio::Mode;
use large::Large;
use lifetimes::Lifetimes;
use machine::Machine;
use measure::{PeerRun, Run};
use pgbench::Limit;
use rows::{ROWS, Row};

/// The name of the row about large tables.
const LARGE: &str = "large";
/// The name of the row about many short lives.
const LIFETIMES: &str = "lifetimes";
/// The large tables are filled once, and measured so often at most.
const LARGE_RUNS: usize = 3;
const PEERS: [Mode; 2] = [Mode::DbOnly, Mode::Memory];

/// Everything that was measured of a workload, in the order of the rounds.
#[derive(Debug)]
struct Measured {
    row: &'static Row,
    ours: Vec<Result<Run, String>>,
    /// Of each of [`PEERS`].
    peers: Vec<Vec<Result<PeerRun, String>>>,
}

/// Everything that was measured.
#[derive(Debug)]
struct Results {
    machine: Machine,
    limits: Vec<Limit>,
    rows: Vec<Measured>,
    large: Option<Result<Large, String>>,
    lifetimes: Option<Result<Lifetimes, String>>,
    /// Whether there is a column for each of [`PEERS`].
    with_peers: bool,
}

fn main() -> ExitCode {
    let arguments = match Arguments::parse(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(fault) if fault.is_empty() => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        Err(fault) => {
            eprintln!("bench: {fault}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let names: Vec<&str> = ROWS
        .iter()
        .map(|row| row.name)
        .chain([LARGE, LIFETIMES])
        .collect();
    if arguments.list {
        println!("{}", names.join("\n"));
        return ExitCode::SUCCESS;
    }
    if let Some(unknown) = arguments
        .only
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        eprintln!(
            "bench: there is no {unknown}; there are {}",
            names.join(", ")
        );
        return ExitCode::from(2);
    }
    let results = match Bench::prepare(arguments.clone()).map(Bench::run) {
        Ok(results) => results,
        Err(fault) => {
            eprintln!("bench: {fault}");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", summary::text(&results));
    if let Some(path) = &arguments.json
        && let Err(fault) = std::fs::write(path, format!("{:#}\n", json::of(&results)))
    {
        eprintln!("bench: {}: {fault}", path.display());
        return ExitCode::FAILURE;
    }
    // A target that is missed is a figure; a run that failed or was judged wrong is a fault.
    match summary::is_right(&results) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

struct Bench {
    arguments: Arguments,
    ground: Ground,
    begin: Instant,
}

// === impl Bench ===

impl Bench {
    fn prepare(arguments: Arguments) -> Result<Bench, String> {
        let ground = Ground::start(&arguments.postgres)?;
        if !arguments.smoke {
            pgbench::prepare(&ground)?;
        }
        Ok(Bench {
            arguments,
            ground,
            begin: Instant::now(),
        })
    }

    fn run(self) -> Results {
        let arguments = &self.arguments;
        let machine = Machine::look(self.ground.cluster.binaries(), self.ground.disk());
        eprintln!("{machine}");
        let wanted = ROWS.iter().filter(|row| arguments.wants(row.name));
        let mut rows: Vec<Measured> = wanted
            .map(|row| Measured {
                row,
                ours: vec![],
                peers: vec![vec![]; PEERS.len()],
            })
            .collect();
        let mut limits = Vec::new();
        for round in 1..=arguments.runs {
            if !arguments.smoke {
                match pgbench::measure(&self.ground, arguments.seconds) {
                    Ok(limit) => {
                        let (single, batch) = (limit.single, limit.batch);
                        self.say(
                            round,
                            "pgbench",
                            &format!("{single:.0} and {batch:.0} rows/s"),
                        );
                        limits.push(limit);
                    }
                    Err(fault) => self.say(round, "pgbench", &fault),
                }
            }
            for measured in &mut rows {
                self.run_row(round, measured);
            }
        }
        let large = (arguments.wants(LARGE) && !arguments.smoke).then(|| {
            let runs = arguments.runs.min(LARGE_RUNS);
            let sets = self.sets(&["presence.waitn_time=1"]);
            large::measure(&self.ground, runs, &sets, |step| self.say(1, LARGE, step))
        });
        let lifetimes = (arguments.wants(LIFETIMES) && !arguments.smoke).then(|| {
            let sets = self.sets(&[]);
            lifetimes::measure(&self.ground, &sets, |step| self.say(1, LIFETIMES, step))
        });
        Results {
            machine,
            limits,
            rows,
            large,
            lifetimes,
            with_peers: arguments.peer,
        }
    }

    fn run_row(&self, round: usize, measured: &mut Measured) {
        let (arguments, row) = (&self.arguments, measured.row);
        let load = row.load(arguments.seconds, round, arguments.smoke);
        let sets = self.sets(row.sets);
        let run = measure::ours(&self.ground, &load, &sets, arguments.statements);
        self.say(round, row.name, &summary::of_run(row, &run));
        measured.ours.push(run);
        if !arguments.peer || round > arguments.peer_runs {
            return;
        }
        for (mode, runs) in PEERS.into_iter().zip(&mut measured.peers) {
            let run = measure::peer(&self.ground, &load, mode);
            let line = format!("{}: {}", mode.title(), summary::of_peer_run(row, &run));
            self.say(round, row.name, &line);
            runs.push(run);
        }
    }

    /// A row's settings, then those of the command line, which win.
    fn sets(&self, row: &[&str]) -> Vec<String> {
        let own = row.iter().map(|set| (*set).to_owned());
        own.chain(self.arguments.sets.iter().cloned()).collect()
    }

    fn say(&self, round: usize, name: &str, what: &str) {
        let seconds = self.begin.elapsed().as_secs();
        let (minutes, seconds) = (seconds / 60, seconds % 60);
        eprintln!(
            "[{minutes:2}:{seconds:02}] {round}/{} {name}: {what}",
            self.arguments.runs
        );
    }
}
