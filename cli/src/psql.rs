//! `psql`: opens psql on the database that the processes use.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::anyhow;

use crate::arguments::PsqlArgs;
use crate::configuration::{Role, find_database, load};
use crate::settings::Settings;

/// Becomes psql; returns only when that is not possible. The password is handed on in the environment: a command line can be read by
/// every user of the machine.
pub(crate) fn run(settings: &Settings, args: &PsqlArgs) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    let url = find_database(settings, &config)?;
    let error = Command::new("psql")
        .arg(url.for_psql())
        .args(&args.arguments)
        .envs(url.psql_environment())
        .exec();
    Err(anyhow!(error).context("cannot start psql: is PostgreSQL's client installed?"))
}
