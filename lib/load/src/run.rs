//! A run: the workers, their progress, and the report made of what they hand back.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use sip::Transport;

use crate::plan::{Plan, Shared, Totals};
use crate::report::{PhaseReport, Report, RunVerdict};
use crate::tally::Tally;
use crate::timers::{Nanos, SECOND};
use crate::transport::Lanes;
use crate::worker::{Outcome, StageTimes, Worker};
use crate::workload::Workload;

/// How many faults the report tells in words.
const TOLD: usize = 20;

/// Where the load goes, and how it is made.
#[derive(Clone, Debug)]
pub struct Options {
    /// The servers; requests go to each in turn.
    pub servers: Vec<Server>,
    /// Threads.
    pub workers: usize,
    /// Decides which watchers are slow or dead, and all other chances.
    pub seed: u64,
    /// Domain of all users.
    pub domain: String,
    /// Password of all users, for servers that ask for one. `None`: then their requests are refused.
    pub password: Option<String>,
}

/// A server's transport and address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// UDP or TCP.
    pub transport: Transport,
    /// Where it listens.
    pub address: SocketAddr,
}

/// Why a run failed; a bad verdict is not a failure of the run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A text names no server. Remedy: `udp:HOST:PORT` or `tcp:HOST:PORT`.
    #[error("`{0}` is not a server: write udp:HOST:PORT or tcp:HOST:PORT")]
    Server(String),
    /// A host name has no address.
    #[error("cannot find {0}: {1}")]
    Resolve(String, io::Error),
    /// There is no server, or UDP and TCP are mixed. Remedy: name servers of one transport.
    #[error("all servers must be of one transport, and there must be one")]
    Servers,
    /// No sockets, or a TCP server that takes no connections.
    #[error("cannot reach the servers: {0}")]
    Open(io::Error),
    /// The sockets failed in the middle.
    #[error("the sockets failed: {0}")]
    Sockets(io::Error),
    /// A worker panicked, which is a bug.
    #[error("a worker failed; this is a bug")]
    Worker,
}

impl Server {
    /// Reads `udp:HOST:PORT`, `tcp:HOST:PORT` or `HOST:PORT`; `transport` stands for what is not said, and goes over what is.
    ///
    /// # Errors
    /// It is none of these, or the host has no address.
    pub fn parse(text: &str, transport: Option<Transport>) -> Result<Server, RunError> {
        let fault = || RunError::Server(text.to_owned());
        let (said, rest) = match text.split_once(':') {
            Some((word, rest)) if word.eq_ignore_ascii_case("udp") => (Some(Transport::Udp), rest),
            Some((word, rest)) if word.eq_ignore_ascii_case("tcp") => (Some(Transport::Tcp), rest),
            _ => (None, text),
        };
        let has_port = rest.rsplit_once(':').is_some_and(|(host, port)| {
            let is_host = !host.is_empty() && (!host.contains(':') || host.ends_with(']'));
            is_host && port.parse::<u16>().is_ok()
        });
        if !has_port {
            return Err(fault());
        }
        let address = rest
            .to_socket_addrs()
            .map_err(|error| RunError::Resolve(rest.to_owned(), error))?
            .next()
            .ok_or_else(fault)?;
        Ok(Server {
            transport: transport.or(said).unwrap_or(Transport::Udp),
            address,
        })
    }
}

/// A moment of a run, for people who wait.
#[derive(Clone, Debug)]
pub struct Progress {
    /// Seconds since the beginning.
    pub elapsed_s: f64,
    /// Name of the stage: a phase, `drain` or `leave`.
    pub stage: String,
    /// Successful PUBLISH per second, since the last moment.
    pub publish_per_second: f64,
    /// Successful SUBSCRIBE per second.
    pub subscribe_per_second: f64,
    /// NOTIFYs per second.
    pub notify_per_second: f64,
    /// Messages both ways per second.
    pub messages_per_second: f64,
    /// Requests under way.
    pub in_flight: u64,
    /// Faults found so far.
    pub faults: u64,
}

/// Runs a workload to its end. `progress` is called once a second.
///
/// # Errors
/// The servers are not usable, or the sockets fail.
pub fn run(
    workload: &Workload,
    options: &Options,
    mut progress: impl FnMut(&Progress),
) -> Result<Report, RunError> {
    let transport = options.servers.first().ok_or(RunError::Servers)?.transport;
    if options
        .servers
        .iter()
        .any(|server| server.transport != transport)
    {
        return Err(RunError::Servers);
    }
    let plan = Plan {
        workload: workload.clone(),
        transport,
        servers: options
            .servers
            .iter()
            .map(|server| server.address)
            .collect(),
        workers: options.workers.max(1),
        domain: options.domain.clone(),
        password: options.password.clone(),
        seed: options.seed,
        run: run_number(),
    };
    let lanes = (0..plan.workers)
        .map(|_| Lanes::open(transport, &plan.servers, workload.sockets))
        .collect::<io::Result<Vec<Lanes>>>()
        .map_err(RunError::Open)?;
    let shared = Shared::new(workload.phase.len() + 2, plan.workers);
    let outcomes = thread::scope(|scope| {
        let threads: Vec<_> = lanes
            .into_iter()
            .enumerate()
            .map(|(number, lanes)| {
                let (plan, shared) = (&plan, &shared);
                scope.spawn(move || {
                    let outcome = Worker::new(plan, shared, number, lanes).run();
                    if outcome.is_err() {
                        shared.is_aborted.store(true, Ordering::Relaxed);
                    }
                    outcome
                })
            })
            .collect();
        let mut last = (Instant::now(), Totals::default());
        while !threads.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::park_timeout(Duration::from_millis(20));
            if last.0.elapsed() >= Duration::from_secs(1) {
                last = report_progress(&plan.workload, &shared, last, &mut progress);
            }
        }
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(outcome) => outcome.map_err(RunError::Sockets),
                Err(_) => Err(RunError::Worker),
            })
            .collect::<Result<Vec<Outcome>, RunError>>()
    })?;
    Ok(report(&plan, options, &outcomes))
}

fn report_progress(
    workload: &Workload,
    shared: &Shared,
    (since, before): (Instant, Totals),
    progress: &mut impl FnMut(&Progress),
) -> (Instant, Totals) {
    let (now, totals) = (Instant::now(), shared.totals());
    let seconds = (now - since).as_secs_f64();
    let rate = |now: u64, before: u64| now.saturating_sub(before) as f64 / seconds;
    progress(&Progress {
        elapsed_s: (now - shared.beginning).as_secs_f64(),
        stage: stage_name(workload, totals.stage),
        publish_per_second: rate(totals.publish, before.publish),
        subscribe_per_second: rate(totals.subscribe, before.subscribe),
        notify_per_second: rate(totals.notify, before.notify),
        messages_per_second: rate(totals.messages, before.messages),
        in_flight: totals.in_flight,
        faults: totals.faults,
    });
    (now, totals)
}

fn stage_name(workload: &Workload, stage: usize) -> String {
    match workload.phase.get(stage) {
        Some(phase) if phase.name.is_empty() => format!("phase {}", stage + 1),
        Some(phase) => phase.name.clone(),
        None if stage == workload.phase.len() => "drain".to_owned(),
        None => "leave".to_owned(),
    }
}

/// From the clock and the process: two runs at once, or one after the other, must not share Call-IDs.
fn run_number() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let nanos = since.map_or(0, |since| since.as_nanos() as u64);
    let mixed = (nanos ^ u64::from(std::process::id()) << 40).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32
}

fn report(plan: &Plan, options: &Options, outcomes: &[Outcome]) -> Report {
    let mut tally = Tally::new();
    for outcome in outcomes {
        tally.add(&outcome.tally);
    }
    let workload = &plan.workload;
    let stages = outcomes
        .iter()
        .map(|outcome| outcome.stages.len())
        .min()
        .unwrap_or(0);
    let (mut phases, mut measured) = (Vec::new(), 0.0);
    for stage in 0..stages {
        let all: Vec<StageTimes> = outcomes
            .iter()
            .map(|outcome| outcome.stages[stage])
            .collect();
        let begin = all.iter().map(|times| times.begin).min().unwrap_or(0);
        let end = all.iter().map(|times| times.end).max().unwrap_or(0);
        let windows = || all.iter().filter_map(|times| times.window);
        let from = windows().map(|(from, _)| from).min();
        let to = windows().map(|(_, to)| to).max();
        if let (Some(from), Some(to)) = (from, to) {
            measured += seconds(to.saturating_sub(from));
        }
        let last_initial = all.iter().filter_map(|times| times.last_initial).max();
        phases.push(PhaseReport {
            name: stage_name(workload, stage),
            measured: from.is_some(),
            seconds: seconds(end.saturating_sub(begin)),
            last_initial_notify_s: last_initial.map(|last| seconds(last.saturating_sub(begin))),
        });
    }
    Report {
        workload: workload.name.clone(),
        description: workload.description.clone(),
        servers: options
            .servers
            .iter()
            .map(|server| format!("{}:{}", server.transport.as_str(), server.address))
            .collect(),
        workers: plan.workers,
        seconds: measured,
        phases,
        requests: tally.requests(measured),
        latency_ms: tally.latencies(),
        retransmissions: tally.retransmissions(),
        messages: tally.messages(measured, busiest(outcomes)),
        verdict: verdict(workload, outcomes),
    }
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}

/// The share of the measured time in which the busiest worker did not wait.
fn busiest(outcomes: &[Outcome]) -> f64 {
    let load = |outcome: &Outcome| {
        let measured = outcome.stages.iter().filter_map(|times| {
            let (from, to) = times.window?;
            Some((to - from, times.waited))
        });
        let (length, waited) = measured.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        if length == 0 {
            return 0.0;
        }
        (1.0 - waited as f64 / length as f64).clamp(0.0, 1.0)
    };
    outcomes.iter().map(load).fold(0.0, f64::max)
}

fn verdict(workload: &Workload, outcomes: &[Outcome]) -> RunVerdict {
    let mut verdict = RunVerdict::default();
    for outcome in outcomes {
        let theirs = &outcome.verdict;
        if !workload.gaps_allowed {
            verdict.cseq_gaps += theirs.gaps;
        }
        verdict.cseq_repeats += theirs.findings.repeats;
        verdict.cseq_disorder += theirs.findings.disorder;
        verdict.backwards += theirs.findings.backwards;
        verdict.foreign_state += theirs.findings.foreign_state;
        verdict.doubled_dialogs += theirs.findings.doubled;
        verdict.not_last_state += theirs.not_last_state;
        verdict.missing_initial_notify += theirs.missing_initial_notify;
        verdict.lost_requests += theirs.lost;
        verdict.failed_requests += theirs.failed;
        verdict.malformed += theirs.findings.malformed;
        let room = TOLD.saturating_sub(verdict.faults.len());
        verdict
            .faults
            .extend(theirs.findings.told.iter().take(room).cloned());
    }
    verdict.ok = verdict.count() == 0;
    verdict
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read() {
        for (text, transport, expected) in [
            ("udp:127.0.0.1:5060", None, Some("udp 127.0.0.1:5060")),
            ("TCP:127.0.0.1:5060", None, Some("tcp 127.0.0.1:5060")),
            ("127.0.0.1:5060", None, Some("udp 127.0.0.1:5060")),
            (
                "127.0.0.1:5060",
                Some(Transport::Tcp),
                Some("tcp 127.0.0.1:5060"),
            ),
            (
                "udp:127.0.0.1:5060",
                Some(Transport::Tcp),
                Some("tcp 127.0.0.1:5060"),
            ),
            ("udp:[::1]:5060", None, Some("udp [::1]:5060")),
            ("udp:127.0.0.1", None, None),
            ("udp:", None, None),
            ("sctp:127.0.0.1:5060", None, None),
            ("udp:127.0.0.1:port", None, None),
        ] {
            let found = Server::parse(text, transport).ok();
            let shown =
                found.map(|server| format!("{} {}", server.transport.as_str(), server.address));
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }
}
