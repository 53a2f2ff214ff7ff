//! `migrate`: brings the database's schema up to date.

use std::process::ExitCode;

use schema::UriMatch;

use crate::arguments::MigrateArgs;
use crate::configuration::{Role, find_database, load, schema_fault, schema_settings};
use crate::progress::ProgressLine;
use crate::settings::Settings;
use crate::{remark, runtime, say};

pub(crate) fn run(settings: &Settings, args: &MigrateArgs) -> anyhow::Result<ExitCode> {
    let config = load(settings, Role::Other)?;
    node::init_log(&config.log);
    let url = find_database(settings, &config)?;
    let wanted = schema_settings(&config);
    if let Some(number) = args.uri_match {
        let uri_match = match number {
            1 => UriMatch::CaseInsensitive,
            _ => UriMatch::CaseSensitive,
        };
        let is_configured = uri_match == wanted.uri_match;
        let ordered = schema::Settings {
            uri_match,
            ..wanted
        };
        let progress = ProgressLine::start("changing the form of users in all rows");
        let changed = runtime()?.block_on(schema::change_uri_match(url.expose(), &ordered))?;
        drop(progress);
        say(format_args!(
            "sip_uri_match of the database is {uri_match}, {changed} rows were changed"
        ));
        if !is_configured {
            remark(format_args!(
                "set presence.sip_uri_match = {uri_match} before you start the processes again"
            ));
        }
        return Ok(ExitCode::SUCCESS);
    }
    let progress = ProgressLine::start("applying migrations");
    let applied = runtime()?
        .block_on(schema::migrate_with(url.expose(), &wanted))
        .map_err(schema_fault)?;
    drop(progress);
    say(format_args!(
        "the schema is at version {}, {applied} migrations were applied now",
        schema::version()
    ));
    Ok(ExitCode::SUCCESS)
}
