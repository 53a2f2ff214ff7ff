//! `pgpresence load`: the load generator and judge of `lib/load`, on the command line.
//!
//! Exit codes: 0 the verdict is good, 1 it is bad or the run failed, 2 the workload or the command line is wrong.

use std::path::PathBuf;
use std::process::ExitCode;

use ::load::{NAMES, Options, Progress, Report, Server, Workload, WorkloadError};
use anyhow::Context;
use sip::Transport;

use crate::login::first_line;
use crate::progress::ProgressLine;
use crate::settings::Settings;
use crate::{complain, remark, say};

/// What `pgpresence load` takes. `--set KEY=VALUE` sets keys of the workload here, such as `presentities=100` or
/// `phase.measured.modify.window=8`.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct LoadArgs {
    /// Name of a built-in workload, or path of a file; see docs/LOAD.md.
    #[arg(required_unless_present = "list")]
    workload: Option<String>,
    /// Server to load, such as udp:127.0.0.1:5060; repeatable: requests go to each in turn.
    #[arg(
        long,
        value_name = "TRANSPORT:HOST:PORT",
        default_value = "udp:127.0.0.1:5060"
    )]
    server: Vec<String>,
    /// Transport; overrides that of --server.
    #[arg(long, value_parser = ["udp", "tcp"])]
    transport: Option<String>,
    /// Length of every timed phase in seconds, without its warm-up; overrides the workload.
    #[arg(long, value_name = "SECONDS")]
    duration: Option<f64>,
    /// Threads.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..))]
    workers: u8,
    /// Domain of all users.
    #[arg(long, default_value = "example.org")]
    domain: String,
    /// File whose first line is the password of all users, for servers that ask for one.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Decides which watchers are slow or dead.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the report as JSON to this file as well; `-`: to standard output, instead of the text.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// List the built-in workloads.
    #[arg(long)]
    list: bool,
}

/// Runs the workload, prints the report, and says by the exit code whether the verdict is good.
///
/// # Errors
/// The servers cannot be reached, or the report cannot be written.
pub(crate) fn run(settings: &Settings, args: &LoadArgs) -> anyhow::Result<ExitCode> {
    if args.list {
        return list();
    }
    let workload = match workload(settings, args) {
        Ok(workload) => workload,
        Err(faults) => {
            for line in faults.to_string().lines() {
                complain(line);
            }
            return Ok(ExitCode::from(2));
        }
    };
    let transport = args.transport.as_deref().map(|name| match name {
        "tcp" => Transport::Tcp,
        _ => Transport::Udp,
    });
    let servers = args
        .server
        .iter()
        .map(|server| Server::parse(server, transport))
        .collect::<Result<Vec<Server>, _>>()?;
    let options = Options {
        servers,
        workers: usize::from(args.workers),
        seed: args.seed,
        domain: args.domain.clone(),
        password: args.password_file.as_deref().map(first_line).transpose()?,
    };
    let line = ProgressLine::start("connecting");
    let mut next_s = 0.0;
    let report = ::load::run(&workload, &options, |progress| {
        show(&line, &mut next_s, progress)
    })?;
    drop(line);
    print(args, &report)?;
    Ok(if report.verdict.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn list() -> anyhow::Result<ExitCode> {
    for name in NAMES {
        say(format_args!(
            "{name:<16} {}",
            Workload::load(name, &[])?.description
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn workload(settings: &Settings, args: &LoadArgs) -> Result<Workload, WorkloadError> {
    let name = args.workload.as_deref().unwrap_or_default();
    let mut sets = settings.set.clone();
    if let Some(duration) = args.duration {
        let phases = Workload::load(name, &sets)?.phase;
        for (number, _) in (1..)
            .zip(phases)
            .filter(|(_, phase)| phase.duration_s.is_some())
        {
            sets.push((format!("phase.{number}.duration_s"), duration.to_string()));
        }
    }
    Workload::load(name, &sets)
}

fn print(args: &LoadArgs, report: &Report) -> anyhow::Result<()> {
    let json = || serde_json::to_string_pretty(report);
    match &args.json {
        Some(file) if file.as_os_str() == "-" => say(json()?),
        Some(file) => {
            std::fs::write(file, json()? + "\n")
                .with_context(|| format!("cannot write {}", file.display()))?;
            say(report.to_string().trim_end());
        }
        None => say(report.to_string().trim_end()),
    }
    Ok(())
}

/// Shows the progress on the line, or, where nobody sees that, prints a line every five seconds.
fn show(line: &ProgressLine, next_s: &mut f64, progress: &Progress) {
    let text = format!(
        "{:>4.0} s  {:<10} publish {:>6.0}/s  subscribe {:>6.0}/s  notify {:>6.0}/s  {:>7.0} messages/s  in flight {}  faults {}",
        progress.elapsed_s,
        progress.stage,
        progress.publish_per_second,
        progress.subscribe_per_second,
        progress.notify_per_second,
        progress.messages_per_second,
        progress.in_flight,
        progress.faults,
    );
    if line.is_shown() {
        line.show(text);
    } else if progress.elapsed_s >= *next_s {
        *next_s = progress.elapsed_s + 4.5;
        remark(text);
    }
}
