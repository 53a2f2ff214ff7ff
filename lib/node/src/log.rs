//! Where log lines go: to standard error, so that standard output stays free for what a person or program asked for.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogConfig, LogFormat};

/// Starts logging for this process. A second call changes nothing (tests start several nodes in one process).
pub fn init_log(config: &LogConfig) {
    // The text was checked when the configuration was loaded.
    let filter = EnvFilter::new(config.level.as_str());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(Log {
            is_journal: is_journal(),
        })
        .log_internal_errors(false);
    let already_there = match config.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    drop(already_there);
}

/// Whether standard error leads to the journal: systemd says which file that is (systemd.exec(5), JOURNAL_STREAM), since a child may
/// have inherited the variable and writes elsewhere.
fn is_journal() -> bool {
    let Some(stream) = std::env::var_os("JOURNAL_STREAM") else {
        return false;
    };
    let stderr = io::stderr().as_fd().try_clone_to_owned();
    let Ok(metadata) = stderr.and_then(|stderr| File::from(stderr).metadata()) else {
        return false;
    };
    stream.to_str() == Some(&format!("{}:{}", metadata.dev(), metadata.ino()))
}

/// Makes the writer of each line.
struct Log {
    is_journal: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Stderr;

    fn make_writer(&'a self) -> Stderr {
        Stderr { priority: "" }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Stderr {
        // sd-daemon(3): the journal takes the number off the line and files it by that.
        let priority = match *metadata.level() {
            _ if !self.is_journal => "",
            Level::ERROR => "<3>",
            Level::WARN => "<4>",
            Level::INFO => "<6>",
            Level::DEBUG | Level::TRACE => "<7>",
        };
        Stderr { priority }
    }
}

/// Standard error, whose reader may have gone (`pgpresence run 2>&1 | head`). Then nobody reads the log, and that is all:
/// an error here would be reported on standard error, and that fails with a panic.
struct Stderr {
    /// Goes before each line.
    priority: &'static str,
}

impl Write for Stderr {
    /// What is logged at once comes in one piece, often of one line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stderr = io::stderr().lock();
        if self.priority.is_empty() {
            let _ = stderr.write_all(bytes);
        } else {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let marked: Vec<u8> = lines
                .flat_map(|line| [self.priority.as_bytes(), line].concat())
                .collect();
            let _ = stderr.write_all(&marked);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
