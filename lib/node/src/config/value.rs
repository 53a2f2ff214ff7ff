//! The types of values: each can hold only what makes sense.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

use super::table_name::TableName;

/// A whole number from MIN to MAX.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Within<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Within<MIN, MAX> {
    /// For constants: in a `const` block a number out of range does not compile.
    ///
    /// # Panics
    /// Outside constants, when the number is out of range; use [`Within::new`] there.
    pub const fn of(value: u32) -> Self {
        assert!(MIN <= value && value <= MAX, "out of range");
        Within(value)
    }

    /// The number, if it is in range.
    pub fn new(value: u32) -> Option<Self> {
        (MIN..=MAX).contains(&value).then_some(Within(value))
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The number as a size.
    pub const fn usize(self) -> usize {
        self.0 as usize
    }

    /// So many seconds.
    pub const fn seconds(self) -> Duration {
        Duration::from_secs(self.0 as u64)
    }

    /// So many milliseconds.
    pub const fn milliseconds(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Debug for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<const MIN: u32, const MAX: u32> fmt::Display for Within<MIN, MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl<const MIN: u32, const MAX: u32> Serialize for Within<MIN, MAX> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u32(self.0)
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Within<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = whole_number(deserializer)?;
        u32::try_from(value)
            .ok()
            .and_then(Self::new)
            .ok_or_else(|| de::Error::custom(format!("must be {MIN} to {MAX}, not {value}")))
    }
}

/// How often something happens, or never: Kamailio's timers are off when their period is zero or negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period(i32);

impl Period {
    /// So many seconds.
    pub const fn every(seconds: i32) -> Period {
        Period(seconds)
    }

    /// The period; `None`: never.
    pub fn duration(self) -> Option<Duration> {
        u64::try_from(self.0)
            .ok()
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs)
    }
}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i32(self.0)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = whole_number(deserializer)?;
        let refused =
            || de::Error::custom(format!("must be {} to {}, not {value}", i32::MIN, i32::MAX));
        i32::try_from(value).map(Period).map_err(|_| refused())
    }
}

/// Declares an enum whose values are numbers in the configuration.
macro_rules! numbered {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $number:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant = $number),* }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_u8(*self as u8)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                match whole_number(deserializer)? {
                    $($number => Ok($name::$variant),)*
                    other => {
                        let allowed = [$(stringify!($number)),*].join(" or ");
                        Err(de::Error::custom(format!("must be {allowed}, not {other}")))
                    }
                }
            }
        }
    };
}

numbered! {
    /// What becomes of an Expires that is shorter than `min_expires`.
    MinExpiresAction {
        /// 423 Interval Too Brief.
        Refuse = 1,
        /// `min_expires` is granted.
        Raise = 2,
    }
}

numbered! {
    /// How the user parts of URIs are compared.
    UriMatch {
        /// `sip:Bob@` and `sip:bob@` are two.
        CaseSensitive = 0,
        /// `sip:Bob@` and `sip:bob@` are one.
        CaseInsensitive = 1,
    }
}

impl UriMatch {
    /// Whether users are compared, and stored, in lower case.
    pub fn folds_case(self) -> bool {
        self == UriMatch::CaseInsensitive
    }
}

impl From<UriMatch> for i16 {
    fn from(matching: UriMatch) -> i16 {
        matching as i16
    }
}

numbered! {
    /// Which earlier subscription a new one takes the place of.
    SameSubscriber {
        /// None.
        Nobody = 0,
        /// One with the same Call-ID.
        SameCall = 1,
        /// One of the same phone.
        SamePhone = 2,
    }
}

/// A transport that can be listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Streams.
    Tcp,
}

/// An address to listen on: `udp:127.0.0.1:5060`, `tcp:[::1]:5060`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Listen {
    /// By which transport.
    pub transport: Transport,
    /// Where; port 0 is any free one.
    pub addr: SocketAddr,
}

/// An address to take requests on, and how it is called elsewhere: `udp:10.0.0.5:5060 advertise sip:192.0.2.1:5060`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where.
    pub listen: Listen,
    /// The URI by which phones reach it, if that is another one.
    pub advertise: Option<ServerAddress>,
}

/// Why a text is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// No [`Listen`].
    #[error(
        "{0:?} is not an address to listen on; write udp:ADDRESS:PORT or tcp:ADDRESS:PORT, such as udp:127.0.0.1:5060 or tcp:[::1]:5060"
    )]
    Listen(String),
    /// No [`ServerAddress`].
    #[error("{0:?} is not a SIP URI; write sip:HOST:PORT")]
    ServerAddress(String),
    /// No [`WatcherUri`].
    #[error("{0:?} is not a URI of a user; write sip:USER@HOST or tel:NUMBER")]
    WatcherUri(String),
    /// No [`TableName`].
    #[error(
        "{0:?} is not a name of a table; write NAME or SCHEMA.NAME, each of a-z, 0-9 and _, not beginning with a digit, 63 characters at most"
    )]
    TableName(String),
    /// No [`LogLevel`].
    #[error(
        "{0:?} is not a log level; write error, warn, info, debug or trace, or such as info,sql=debug"
    )]
    LogLevel(String),
    /// No [`Facility`](super::Facility).
    #[error(
        "{0:?} is not a syslog facility; write LOG_LOCAL0 to LOG_LOCAL7, LOG_DAEMON or another one of syslog(3)"
    )]
    Facility(String),
    /// No [`Token`](super::Token); not shown, because somebody may have meant it as a secret.
    #[error("is not a token; write 16 to 256 visible ASCII characters")]
    Token,
    /// No [`DatabaseUrl`](super::DatabaseUrl); not shown, because there may be a password in it.
    #[error("is not a PostgreSQL URL; write postgresql://user:password@host:port/database")]
    DatabaseUrl,
    /// A part of it cannot be what it would be read as, or would be read otherwise by others.
    #[error(
        "is a PostgreSQL URL whose parts are ambiguous; percent-encode special characters in user and password: \
         %40 for @, %23 for #, %2F for /, %3A for :, %3F for ?, %25 for %"
    )]
    DatabaseParts,
    /// No [`SslMode`](super::SslMode).
    #[error("is no sslmode; write disable, allow, prefer, require, verify-ca or verify-full")]
    SslMode,
    /// A parameter of it is none.
    #[error(
        "is a PostgreSQL URL with an unknown parameter; write name=value with names such as sslmode or \
         target_session_attrs, and percent-encode a & in a value as %26"
    )]
    DatabaseParameter,
}

impl FromStr for Listen {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Listen, ValueError> {
        let refused = || ValueError::Listen(text.to_owned());
        let (transport, addr) = text.split_once(':').ok_or_else(refused)?;
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(refused()),
        };
        Ok(Listen {
            transport,
            addr: addr.parse().map_err(|_| refused())?,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{transport}:{}", self.addr)
    }
}

impl FromStr for Listener {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<Listener, ValueError> {
        let (listen, advertise) = match text.split_once(" advertise ") {
            Some((listen, address)) => (listen.trim_end(), Some(address.trim_start().parse()?)),
            None => (text, None),
        };
        let listen = listen.parse()?;
        Ok(Listener { listen, advertise })
    }
}

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.advertise {
            Some(address) => write!(f, "{} advertise {address}", self.listen),
            None => self.listen.fmt(f),
        }
    }
}

impl From<Listen> for Listener {
    fn from(listen: Listen) -> Listener {
        Listener {
            listen,
            advertise: None,
        }
    }
}

/// The file of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptFile(PathBuf);

impl ScriptFile {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl FromStr for ScriptFile {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<ScriptFile, Self::Err> {
        Ok(ScriptFile(text.into()))
    }
}

impl fmt::Display for ScriptFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The URI by which phones reach this server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress(String);

impl ServerAddress {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServerAddress {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<ServerAddress, ValueError> {
        // It is put between angle brackets in a header: nothing in it may end that.
        let host = text
            .strip_prefix("sip:")
            .or_else(|| text.strip_prefix("sips:"));
        let clean = |text: &str| {
            text.bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"<>\"".contains(&byte))
        };
        match host {
            Some(host) if !host.is_empty() && clean(host) => Ok(ServerAddress(text.to_owned())),
            _ => Err(ValueError::ServerAddress(text.to_owned())),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The URI of somebody who may watch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatcherUri(String);

impl WatcherUri {
    /// The URI.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for WatcherUri {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<WatcherUri, ValueError> {
        let rest = ["sip:", "sips:", "tel:"]
            .iter()
            .find_map(|scheme| text.strip_prefix(scheme));
        match rest {
            Some(rest) if !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_graphic()) => {
                Ok(WatcherUri(text.to_owned()))
            }
            _ => Err(ValueError::WatcherUri(text.to_owned())),
        }
    }
}

impl fmt::Display for WatcherUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The directives.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for LogLevel {
    fn default() -> LogLevel {
        LogLevel("info".to_owned())
    }
}

impl FromStr for LogLevel {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<LogLevel, ValueError> {
        let refused = || ValueError::LogLevel(text.to_owned());
        // A lone word would be taken for the name of a crate: "inof" would log nothing.
        let words = ["off", "error", "warn", "info", "debug", "trace"];
        let plausible = text
            .split(',')
            .all(|part| part.contains('=') || words.contains(&part));
        match tracing_subscriber::EnvFilter::try_new(text) {
            Ok(_) if plausible => Ok(LogLevel(text.to_owned())),
            _ => Err(refused()),
        }
    }
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// What a message summary shows of several accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Accounts {
    /// One summary with the sums.
    #[default]
    Summed,
    /// A block for each account.
    Each,
}

/// What a NOTIFY of `as-feature-event` tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Features {
    /// Every feature that is known.
    #[default]
    All,
    /// Only the one that changed last.
    Newest,
}

/// What is shown if nothing is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NeutralDocument {
    /// A document that says so.
    #[default]
    Shown,
    /// A NOTIFY without body.
    Omitted,
}

/// What is shown of several publications of a declared event package.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MergePolicy {
    /// The newest, as it is.
    #[default]
    Newest,
    /// The elements of all, under one root.
    All,
    /// The same, but of elements with the same name and id only the newest.
    Id,
}

/// How watchers are handled of a presentity without rules (RFC 5025 section 3.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DefaultPolicy {
    /// They see everything.
    #[default]
    Allow,
    /// They are pending.
    Confirm,
    /// They are refused.
    Block,
}

impl DefaultPolicy {
    /// The name in the configuration, which is that of RFC 5025 too.
    pub fn as_str(self) -> &'static str {
        match self {
            DefaultPolicy::Allow => "allow",
            DefaultPolicy::Confirm => "confirm",
            DefaultPolicy::Block => "block",
        }
    }
}

/// Values that are texts.
macro_rules! as_text {
    ($($name:ty),*) => { $(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )* };
}

as_text!(
    Listen,
    Listener,
    ServerAddress,
    WatcherUri,
    TableName,
    LogLevel
);

/// Texts that may be empty: `""` is `None`.
pub(super) mod optional {
    use super::{Deserialize, Deserializer, FromStr, Serializer, de, fmt};

    pub(crate) fn serialize<T: fmt::Display, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => to.collect_str(value),
            None => to.serialize_str(""),
        }
    }

    pub(crate) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: fmt::Display>,
        D: Deserializer<'de>,
    {
        let text = String::deserialize(from)?;
        if text.is_empty() {
            Ok(None)
        } else {
            text.parse().map(Some).map_err(de::Error::custom)
        }
    }
}

/// Kamailio's flags: 0 and 1; `true` and `false` are understood as well.
pub(super) mod flag {
    use super::{Deserializer, NumberOrFlag, Serializer, Visited, de};

    pub(crate) fn serialize<S: Serializer>(value: &bool, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u8(u8::from(*value))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        match from.deserialize_any(NumberOrFlag { flag_allowed: true })? {
            Visited::Flag(flag) => Ok(flag),
            Visited::Number(0) => Ok(false),
            Visited::Number(1) => Ok(true),
            Visited::Number(other) => {
                Err(de::Error::custom(format!("must be 0 or 1, not {other}")))
            }
        }
    }
}

pub(super) fn whole_number<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    match from.deserialize_any(NumberOrFlag {
        flag_allowed: false,
    })? {
        Visited::Number(number) => Ok(number),
        Visited::Flag(flag) => Err(de::Error::custom(format!(
            "must be a whole number, not {flag}"
        ))),
    }
}

struct NumberOrFlag {
    flag_allowed: bool,
}

enum Visited {
    Number(i64),
    Flag(bool),
}

impl Visitor<'_> for NumberOrFlag {
    type Value = Visited;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.flag_allowed {
            "0 or 1"
        } else {
            "a whole number"
        })
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Visited, E> {
        Ok(Visited::Number(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Visited, E> {
        // Larger than anything allowed stays larger than anything allowed.
        Ok(Visited::Number(i64::try_from(number).unwrap_or(i64::MAX)))
    }

    fn visit_bool<E: de::Error>(self, flag: bool) -> Result<Visited, E> {
        Ok(Visited::Flag(flag))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_checked() {
        for good in ["udp:127.0.0.1:5060", "tcp:[::1]:0", "udp:0.0.0.0:65535"] {
            assert_eq!(good.parse::<Listen>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "5060",
            "127.0.0.1:5060",
            "sctp:1.2.3.4:5",
            "udp:localhost:5060",
            "udp:1.2.3.4",
            "UDP:1.2.3.4:5",
        ] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
        for good in [
            "udp:127.0.0.1:5060",
            "tcp:[::1]:0 advertise sips:edge.example.org",
        ] {
            assert_eq!(good.parse::<Listener>().unwrap().to_string(), good);
        }
        for bad in [
            "udp:1.2.3.4:5 advertise ",
            "udp:1.2.3.4:5 advertise 1.2.3.4",
            "udp:1.2.3.4:5 advertise sip:a advertise sip:b",
            "udp:1.2.3.4:5 sip:a",
            " advertise sip:a",
        ] {
            assert!(bad.parse::<Listener>().is_err(), "{bad}");
        }
        for good in [
            "sip:10.0.0.1:5060",
            "sips:edge.example.org",
            "sip:presence@[2001:db8::1]:5060;transport=tcp",
        ] {
            assert_eq!(good.parse::<ServerAddress>().unwrap().as_str(), good);
        }
        for bad in [
            "sip:",
            "10.0.0.1",
            "sip:a>b",
            "sip:a b",
            "sip:a\r\nVia: x",
            "<sip:a>",
            "http://a",
        ] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad}");
        }
        for good in ["info", "warn,sql=debug", "off", "server=trace"] {
            assert_eq!(good.parse::<LogLevel>().unwrap().as_str(), good);
        }
        for bad in ["", "inof", "info sql", "sql=loud"] {
            assert!(bad.parse::<LogLevel>().is_err(), "{bad}");
        }
    }

    #[test]
    fn periods_may_be_off() {
        assert_eq!(
            Period::every(100).duration(),
            Some(Duration::from_secs(100))
        );
        assert_eq!(
            (Period::every(0).duration(), Period::every(-1).duration()),
            (None, None)
        );
    }
}
