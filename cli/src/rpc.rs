//! `rpc`: the commands of `POST /RPC`, straight to the database. They need no server: what they do is in the tables.

use std::process::ExitCode;

use anyhow::{Context, bail};
use node::Config;
use serde_json::Value;
use sql::{Store, StoreOptions};
use web::method::{METHODS, call, cleaning};

use crate::arguments::{RpcArgs, Settings};
use crate::configuration::{Role, database_url, load, schema_fault, schema_settings};
use crate::{packages, remark, say};

pub(crate) async fn run(settings: &Settings, args: &RpcArgs) -> anyhow::Result<ExitCode> {
    if !METHODS.contains(&args.method.as_str()) {
        bail!(
            "there is no {}; there are {}",
            args.method,
            METHODS.join(", ")
        );
    }
    let config = load(settings, Role::Other)?;
    let store = open(&config).await?;
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
pub(crate) async fn open(config: &Config) -> anyhow::Result<Store> {
    let url = database_url(config)?.expose();
    let wanted = schema_settings(config);
    schema::require(url, &wanted).await.map_err(schema_fault)?;
    let options = StoreOptions::of(config, 1);
    Store::connect(url, &options).context("presence.db_url")
}
