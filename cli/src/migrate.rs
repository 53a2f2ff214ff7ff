//! `migrate`: brings the database's schema up to date.

use std::process::ExitCode;

use crate::arguments::Settings;
use crate::configuration::{Role, database_url, load};
use crate::{runtime, say};

pub(crate) fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    node::init_log(&config.log);
    let url = database_url(&config)?;
    let tables = server::tables(&config.presence);
    let applied = runtime()?.block_on(schema::migrate_with(url.expose(), &tables))?;
    say(format_args!(
        "the schema is at version {}, {applied} migrations were applied now",
        schema::version()
    ));
    Ok(ExitCode::SUCCESS)
}
