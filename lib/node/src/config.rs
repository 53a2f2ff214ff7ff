//! The configuration: one TOML file for all processes, overridden by the environment, overridden by the command line.
//!
//! Each section is a file in `config/`, those of event packages are in crate `options`. They are the reference: `docs/CONFIGURATION.md`
//! and `config/pgpresence.toml` are made from the comments there, in the order of the fields of [`Config`]. The last paragraph of each comment gives unit, default and range; a
//! test holds them against the types and the defaults.

// The sections.
mod database;
mod http;
mod identity;
mod limits;
mod log;
mod notifier;
mod outbound;
mod presence;
mod script;
mod server;

// What values there are.
mod log_line;
mod secret;
mod table_name;
mod text;
mod value;

// From texts to a whole.
mod advice;
mod contradictions;
mod database_url;
mod foreign;
mod load;

use options::{
    ConferenceOptions, DialogOptions, FeatureEventOptions, MessageSummaryOptions, PackagesOptions,
    ProfileOptions, ReginfoOptions, SlaOptions, XcapDiffOptions,
};
use serde::{Deserialize, Serialize};

pub use database::DatabaseConfig;
pub use database_url::{ON_COMMAND_LINE, PasswordFile};
pub use http::HttpConfig;
pub use identity::{
    Anonymous, Believed, DigestAlgorithm, Domain, IdentityConfig, IdentityPolicy, Network,
    UserAgentAlgorithms,
};
pub use limits::LimitsConfig;
pub use load::{ConfigError, Fault, Origin};
pub use log::LogConfig;
pub use log_line::{Facility, LocalLevel};
pub use notifier::NotifierConfig;
pub use outbound::OutboundConfig;
pub use presence::PresenceConfig;
pub use script::ScriptConfig;
pub use secret::{DatabaseUrl, Token};
pub use server::ServerConfig;
pub use table_name::TableName;
pub use value::{
    DefaultPolicy, Listen, Listener, LogFormat, LogLevel, MinExpiresAction, Period, SameSubscriber,
    ScriptFile, ServerAddress, SslMode, Transport, UriMatch, WatcherUri, Within,
};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The SIP front-end.
    pub server: ServerConfig,
    /// Whom requests are believed to come from.
    pub identity: IdentityConfig,
    /// How much one sender may send.
    pub limits: LimitsConfig,
    /// JSON-RPC and health, served by the server process.
    pub http: HttpConfig,
    /// The sender of NOTIFYs.
    pub notifier: NotifierConfig,
    /// Where NOTIFYs may go.
    pub outbound: OutboundConfig,
    /// The routing script.
    pub script: ScriptConfig,
    /// How to use the database; which one is `presence.db_url`.
    pub database: DatabaseConfig,
    /// The parameters of Kamailio's presence module, with their names, units and defaults.
    pub presence: PresenceConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The event package `dialog`.
    pub dialog: DialogOptions,
    /// The event package `dialog;sla`.
    pub sla: SlaOptions,
    /// The event package `message-summary`.
    pub message_summary: MessageSummaryOptions,
    /// The event package `conference`.
    pub conference: ConferenceOptions,
    /// The event package `reg`.
    pub reginfo: ReginfoOptions,
    /// The event package `ua-profile`.
    pub profile: ProfileOptions,
    /// The event package `xcap-diff`.
    pub xcap_diff: XcapDiffOptions,
    /// The event package `as-feature-event`.
    pub feature_event: FeatureEventOptions,
    /// All event packages, and those without code.
    pub packages: PackagesOptions,
    /// Remarks about keys that have no meaning here, for the log and for `config check`. Not serialized.
    #[serde(skip)]
    pub remarks: Vec<Fault>,
}
