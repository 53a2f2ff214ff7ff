//! Where log lines go: to standard error, so that standard output stays free for what a person or program asked for.

use std::io::{self, Write};

use tracing_subscriber::EnvFilter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for this process. A second call changes nothing (tests start several nodes in one process).
pub fn init_log(config: &LogConfig) {
    // The text was checked when the configuration was loaded.
    let filter = EnvFilter::new(config.level.as_str());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Stderr)
        .log_internal_errors(false);
    let already_there = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(already_there);
}

/// Standard error, whose reader may have gone (`pgpresence run 2>&1 | head`). Then nobody reads the log, and that is all:
/// an error here would be reported on standard error, and that fails with a panic.
struct Stderr;

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = io::stderr().write_all(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
