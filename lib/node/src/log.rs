//! Where log lines go: to standard error, so that standard output stays free for what a person or program asked for.

use std::io;

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for this process. A second call changes nothing (tests start several nodes in one process).
pub fn init_log(config: &LogConfig) {
    // The text was checked when the configuration was loaded.
    let filter = EnvFilter::new(config.level.as_str());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let already_there = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(already_there);
}
