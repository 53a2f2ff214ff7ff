//! What every process of pgpresence needs before it can do anything: its configuration, its log, and the word to stop.
//!
//! Nothing here knows SIP or SQL.

pub mod config;
mod log;
mod shutdown;

pub use config::{
    Config, ConfigError, DatabaseConfig, DatabaseUrl, Fault, Listen, LogConfig, LogFormat,
    LogLevel, MinExpiresAction, NotifierConfig, Origin, Period, PresenceConfig, ServerAddress,
    ServerConfig, Transport, UriMatch, Within,
};
pub use log::init_log;
pub use shutdown::Shutdown;
