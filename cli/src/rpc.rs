//! `rpc`: the commands of `POST /RPC`, straight to the database. They need no server: what they do is in the tables.

use std::process::ExitCode;

use anyhow::{Context, bail};
use node::Config;
use serde_json::Value;
use sql::{Store, StoreOptions};
use web::method::{METHODS, call, cleaning};

use crate::arguments::RpcArgs;
use crate::configuration::{Role, find_database, load, schema_fault, schema_settings};
use crate::settings::Settings;
use crate::{packages, remark, say};

pub(crate) async fn run(settings: &Settings, args: &RpcArgs) -> anyhow::Result<ExitCode> {
    if !METHODS.contains(&args.method.as_str()) {
        bail!(
            "there is no command {}; the commands are {}",
            args.method,
            METHODS.join(", ")
        );
    }
    let config = load(settings, Role::Other)?;
    let store = open(settings, &config).await?;
    let judge = sql::Judge::new(&config.presence, packages::registry(&config)?);
    let parameters: Value = args.parameters.iter().map(String::as_str).collect();
    let answer = call(
        &store,
        &judge,
        cleaning(&config),
        &args.method,
        Some(&parameters),
    )
    .await?;
    match answer.result {
        Value::String(text) => say(text),
        Value::Object(fields) if fields.is_empty() => {}
        result => say(format_args!("{result:#}")),
    }
    if let Some(last) = answer.more {
        // Not among the rows, which a program may read.
        remark(format_args!(
            "there are more: the next page begins after {last} (parameters: limit, then after)"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

/// The database, checked to be there and of our version: an operator wants to read that, not that a view is missing.
pub(crate) async fn open(settings: &Settings, config: &Config) -> anyhow::Result<Store> {
    let url = find_database(settings, config)?;
    let url = url.expose();
    let wanted = schema_settings(config);
    schema::require(url, &wanted).await.map_err(schema_fault)?;
    Store::connect(url, &StoreOptions::of(config, 1)).context("presence.db_url")
}
