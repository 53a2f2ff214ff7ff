//! `[log]`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::value::{LogFormat, LogLevel};

/// `[log]`: what is logged, and how. Log lines go to standard error; if that is the journal's (systemd), each has its priority.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LogConfig {
    /// `text` for people, `json` for programs (one object per line).
    ///
    /// Unit: none. Default: `"text"`. Range: text or json.
    pub format: LogFormat,
    /// The least severe level that is logged: `error`, `warn`, `info`, `debug` or `trace`; also by part of the program:
    /// `info,sql=debug`.
    ///
    /// Unit: none. Default: `"info"`. Range: a level, or directives of tracing's `EnvFilter`.
    pub level: LogLevel,
    /// The socket of syslog, for `presence.local_log_facility`. journald listens there as well.
    ///
    /// Unit: none. Default: `"/dev/log"`. Range: a path.
    pub syslog: PathBuf,
}

impl Default for LogConfig {
    fn default() -> LogConfig {
        LogConfig {
            format: LogFormat::default(),
            level: LogLevel::default(),
            syslog: PathBuf::from("/dev/log"),
        }
    }
}
