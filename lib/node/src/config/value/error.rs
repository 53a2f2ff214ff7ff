//! Why a text is not a value.

/// Why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No [`Listen`](super::Listen).
    #[error(
        "{0:?} is not an address to listen on; write udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as udp:127.0.0.1:5060 or tcp:[::1]:5060"
    )]
    Listen(String),
    /// No [`ServerAddress`](super::ServerAddress).
    #[error("{0:?} is not a SIP URI; write sip:HOST:PORT")]
    ServerAddress(String),
    /// No [`WatcherUri`](super::WatcherUri).
    #[error("{0:?} is not a URI of a user; write sip:USER@HOST or tel:NUMBER")]
    WatcherUri(String),
    /// No [`TableName`](super::super::table_name::TableName).
    #[error(
        "{0:?} is not a name of a table; write NAME or SCHEMA.NAME, each of a-z, 0-9 and _, not beginning with a digit, 63 characters at most"
    )]
    TableName(String),
    /// No [`LogLevel`](super::LogLevel).
    #[error(
        "{0:?} is not a log level; write error, warn, info, debug or trace, or such as info,sql=debug"
    )]
    LogLevel(String),
    /// No [`Facility`](super::super::log_line::Facility).
    #[error(
        "{0:?} is not a syslog facility; write LOG_LOCAL0 to LOG_LOCAL7, LOG_DAEMON or another one of syslog(3)"
    )]
    Facility(String),
    /// No [`Token`](super::super::secret::Token); not shown, because somebody may have meant it as a secret.
    #[error("is not a token; write 16 to 256 visible ASCII characters")]
    Token,
    /// No [`DatabaseUrl`](super::super::secret::DatabaseUrl); not shown, because there may be a password in it.
    #[error("is not a PostgreSQL URL; write postgresql://user:password@host:port/database")]
    DatabaseUrl,
    /// A part of it cannot be what it would be read as, or would be read otherwise by others.
    #[error(
        "is a PostgreSQL URL whose parts are ambiguous; percent-encode special characters in user and password: \
         %40 for @, %23 for #, %2F for /, %3A for :, %3F for ?, %25 for %"
    )]
    DatabaseParts,
    /// No [`SslMode`](crate::SslMode).
    #[error("is no sslmode; write disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// A parameter of it is none.
    #[error(
        "is a PostgreSQL URL with an unknown parameter; write name=value with names such as sslmode or \
         target_session_attrs, and percent-encode a & in a value as %26"
    )]
    DatabaseParameter,
}
