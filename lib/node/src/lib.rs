//! What every process of pgpresence needs before it can do anything: its configuration, its log, and the word to stop.
//!
//! Nothing here knows SIP or SQL.

pub mod config;
mod descriptors;
mod hangup;
mod log;
mod shutdown;
mod syslog;

pub use config::{
    Anonymous, Believed, Config, ConfigError, DatabaseConfig, DatabaseUrl, DefaultPolicy,
    DigestAlgorithm, Domain, Facility, Fault, HttpConfig, IdentityConfig, IdentityPolicy,
    LimitsConfig, Listen, Listener, LocalLevel, LogConfig, LogFormat, LogLevel, MinExpiresAction,
    Network, NotifierConfig, ON_COMMAND_LINE, Origin, OutboundConfig, PasswordFile, Period,
    PresenceConfig, SameSubscriber, ScriptConfig, ScriptFile, ServerAddress, ServerConfig, SslMode,
    TableName, Token, Transport, UriMatch, UserAgentAlgorithms, WatcherUri, Within,
};
pub use descriptors::raise_open_files;
pub use hangup::Hangups;
pub use log::init_log;
pub use shutdown::Shutdown;
pub use syslog::{Severity, Syslog};
