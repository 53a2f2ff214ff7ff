//! The binary `pgpresence`: one for everything.
//!
//! Exit codes: 0 done, 1 failed (one line on standard error says why), 2 the configuration or the command line is wrong
//! (all that is wrong with it, one line each). Standard output holds what was asked for, standard error the log.

mod arguments;
mod config_check;
mod configuration;
mod explain;
mod import;
mod import_config;
mod load;
mod login;
mod manual;
mod migrate;
mod packages;
mod progress;
mod psql;
mod publish;
mod random;
mod rpc;
mod run;
mod serve;
mod settings;
mod shown;
mod status;
mod supervise;
mod user;
mod user_agent;
mod watch;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use node::ConfigError;

use arguments::{Arguments, Command, ConfigCommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match execute(Arguments::read()) {
        Ok(code) => code,
        Err(error) => match error.downcast_ref::<ConfigError>() {
            Some(faults) => {
                for line in faults.to_string().lines() {
                    complain(line);
                }
                ExitCode::from(2)
            }
            None => {
                complain(format_args!("{error:#}"));
                ExitCode::FAILURE
            }
        },
    }
}

fn execute(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { settings, command } = arguments;
    match command {
        Command::Run => run::run(&settings),
        Command::Server(args) => serve::server(&settings, &args),
        Command::Notifier(args) => serve::notifier(&settings, &args),
        Command::Migrate(args) => migrate::run(&settings, &args),
        Command::Import(args) => import::run(&settings, &args),
        Command::Config(ConfigCommand::Check) => config_check::check(&settings),
        Command::Config(ConfigCommand::Show) => config_check::show(&settings),
        Command::Config(ConfigCommand::Import(args)) => import_config::run(&args),
        Command::Rpc(args) => runtime()?.block_on(rpc::run(&settings, &args)),
        Command::Status(args) => runtime()?.block_on(status::run(&settings, &args)),
        Command::Explain(args) => runtime()?.block_on(explain::run(&settings, &args)),
        Command::Load(args) => load::run(&settings, &args),
        Command::User(command) => runtime()?.block_on(user::run(&settings, &command)),
        Command::Psql(args) => psql::run(&settings, &args),
        Command::Completions { shell } => Ok(manual::completions(shell)),
        Command::Man { folder } => manual::pages(&folder),
        Command::Watch(args) => runtime()?.block_on(watch::run(args)),
        Command::Publish(args) => runtime()?.block_on(publish::run(args)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}

/// A line on standard output. Whoever reads it may have gone: that is not a reason to stop.
fn say(line: impl Display) {
    let _ = progress::above(|| writeln!(std::io::stdout().lock(), "{line}"));
}

/// A line on standard error that is not an error.
fn remark(line: impl Display) {
    let _ = progress::above(|| writeln!(std::io::stderr().lock(), "{line}"));
}

/// An error on standard error.
fn complain(line: impl Display) {
    let _ = progress::above(|| writeln!(std::io::stderr().lock(), "error: {line}"));
}
