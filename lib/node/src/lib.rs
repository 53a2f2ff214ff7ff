//! What every process of pgpresence needs before it can do anything: its configuration, its log, and the word to stop.
//!
//! Nothing here knows SIP or SQL.

pub mod config;
mod hangup;
mod log;
mod shutdown;
mod syslog;

pub use config::{
    Accounts, ConferenceConfig, Config, ConfigError, DatabaseConfig, DatabaseUrl, DeclaredPackage,
    DefaultPolicy, DialogConfig, Facility, Fault, FeatureEventConfig, Features, HttpConfig, Listen,
    Listener, LocalLevel, LogConfig, LogFormat, LogLevel, MergePolicy, MessageSummaryConfig,
    MinExpiresAction, NeutralDocument, NotifierConfig, ON_COMMAND_LINE, Origin, PackagesConfig,
    PasswordFile, Period, PresenceConfig, ProfileConfig, ReginfoConfig, SameSubscriber,
    ScriptConfig, ScriptFile, ServerAddress, ServerConfig, SlaConfig, SslMode, TableName, Token,
    Transport, UriMatch, WatcherUri, Within, XcapDiffConfig,
};
pub use hangup::Hangups;
pub use log::init_log;
pub use shutdown::Shutdown;
pub use syslog::{Severity, Syslog};
