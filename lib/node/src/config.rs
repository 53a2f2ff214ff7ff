//! The configuration: one TOML file for all processes, overridden by the environment, overridden by the command line.
//!
//! This file, and `config/package.rs` for the event packages, is the reference: `docs/CONFIGURATION.md` and `config/pgpresence.toml` are made from the comments below. The
//! last line of each comment gives unit, default and range; a test holds them against the types and the defaults.

mod advice;
mod database;
mod foreign;
mod load;
mod log_line;
mod package;
mod secret;
mod table_name;
mod text;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use database::{ON_COMMAND_LINE, PasswordFile, SslMode};
pub use load::{ConfigError, Fault, Origin};
pub use log_line::{Facility, LocalLevel};
pub use package::{
    ConferenceConfig, DeclaredPackage, DialogConfig, FeatureEventConfig, MessageSummaryConfig,
    PackagesConfig, ProfileConfig, ReginfoConfig, SlaConfig, XcapDiffConfig,
};
pub use secret::{DatabaseUrl, Token};
pub use table_name::TableName;
pub use value::{
    Accounts, DefaultPolicy, Features, Listen, Listener, LogFormat, LogLevel, MergePolicy,
    MinExpiresAction, NeutralDocument, Period, SameSubscriber, ScriptFile, ServerAddress,
    Transport, UriMatch, WatcherUri, Within,
};
use value::{flag, optional};

/// Everything that can be set.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The SIP front-end.
    pub server: ServerConfig,
    /// JSON-RPC and health, served by the server process.
    pub http: HttpConfig,
    /// The sender of NOTIFYs.
    pub notifier: NotifierConfig,
    /// The routing script.
    pub script: ScriptConfig,
    /// How to use the database; which one is `presence.db_url`.
    pub database: DatabaseConfig,
    /// The parameters of Kamailio's presence module, with their names, units and defaults.
    pub presence: PresenceConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// The event package `dialog`.
    pub dialog: DialogConfig,
    /// The event package `dialog;sla`.
    pub sla: SlaConfig,
    /// The event package `message-summary`.
    pub message_summary: MessageSummaryConfig,
    /// The event package `conference`.
    pub conference: ConferenceConfig,
    /// The event package `reg`.
    pub reginfo: ReginfoConfig,
    /// The event package `ua-profile`.
    pub profile: ProfileConfig,
    /// The event package `xcap-diff`.
    pub xcap_diff: XcapDiffConfig,
    /// The event package `as-feature-event`.
    pub feature_event: FeatureEventConfig,
    /// All event packages, and those without code.
    pub packages: PackagesConfig,
    /// Remarks about keys that have no meaning here, for the log and for `config check`. Not serialized.
    #[serde(skip)]
    pub remarks: Vec<Fault>,
}

/// `[server]`: the SIP front-end. It keeps nothing between requests except open TCP connections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServerConfig {
    /// The addresses on which requests are accepted, each `udp:ADDRESS:PORT` or `tcp:ADDRESS:PORT`, IPv6 addresses in
    /// brackets. Port 0 takes any free port. SIP requests are not authenticated: use addresses that only the edge and
    /// trusted phones can reach. If phones know a listener by another address, add it: `udp:10.0.0.5:5060 advertise
    /// sip:192.0.2.1:5060` gives phones on this listener a Contact with that URI, instead of `server_address`.
    ///
    /// Unit: none. Default: `["udp:127.0.0.1:5060", "tcp:127.0.0.1:5060"]`. Range: one or more.
    pub listen: Vec<Listener>,
    /// The TCP address at which notifiers reach this process, to send NOTIFYs from its listeners and on the connections
    /// that it holds. Set it if notifiers run on other machines. Let only notifiers reach it: it takes every SIP
    /// request. `udp:` of earlier versions means the same. Empty: the first TCP address of `listen`; if there is none,
    /// the first address of `listen`, by TCP.
    ///
    /// Unit: none. Default: `""`. Range: empty or `tcp:ADDRESS:PORT`.
    #[serde(with = "optional")]
    pub internal_listen: Option<Listen>,
    /// 1: a phone on UDP that talks to this server directly gets its NOTIFYs from the address and port that it
    /// subscribed at, as firewalls expect; the notifiers send them through this server. 0: from the notifiers' own
    /// addresses, which costs less, for networks without firewalls between notifiers and phones. Phones behind NAT and
    /// on TCP are always reached through this server, phones behind a proxy never. A change takes effect when a phone
    /// subscribes or refreshes.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub notify_from_listener: bool,
    /// Database connections that store publications and subscriptions. Each carries one batch at a time.
    ///
    /// Unit: connections. Default: `4`. Range: 1 to 64.
    pub write_connections: Within<1, 64>,
    /// The largest number of requests in one statement. While the connections are busy, requests collect up to this
    /// number; no request waits for a batch to fill.
    ///
    /// Unit: requests. Default: `64`. Range: 1 to 1000.
    pub batch_size: Within<1, 1000>,
    /// Requests that may wait for a connection. Beyond that a request is answered 503 with Retry-After at once. With a
    /// script, as many may also wait for it or be handled by it.
    ///
    /// Unit: requests. Default: `10000`. Range: 1 to 1000000.
    pub backlog: Within<1, 1_000_000>,
    /// The time within which a request is answered; after it the answer is 503. It must be shorter than the 32 s for
    /// which phones repeat a request (64*T1, RFC 3261 17.1.2.2).
    ///
    /// Unit: milliseconds. Default: `8000`. Range: 100 to 30000.
    pub request_deadline_ms: Within<100, 30_000>,
}

/// `[http]`: the HTTP interface of the server process for operators and their programs: JSON-RPC 2.0 at `/RPC`, presentities below
/// `/v1/presentities`, `/health`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// The address and port to listen on, such as `127.0.0.1:8080`; port 0 takes any free one. An address that other
    /// machines can reach (outside of 127.0.0.0/8 and ::1) needs `token`. There is no TLS: use a reverse proxy for
    /// other machines. Empty: no HTTP, because several servers of one machine cannot share an address; `pgpresence rpc`
    /// works without it.
    ///
    /// Unit: none. Default: `""`. Range: empty or `ADDRESS:PORT`.
    #[serde(with = "optional")]
    pub listen: Option<SocketAddr>,
    /// The token that a client must send as `Authorization: Bearer TOKEN`. A client with the token can read everything
    /// and publish for every presentity. Empty: no token is needed, and only this machine is served. It is never
    /// printed; set it in the environment, as `PGPRESENCE_HTTP__TOKEN`. `/health` needs no token.
    ///
    /// Unit: none. Default: `""`. Range: empty, or 16 to 256 visible ASCII characters.
    #[serde(with = "optional")]
    pub token: Option<Token>,
}

/// `[notifier]`: the sender of NOTIFYs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NotifierConfig {
    /// The UDP address from which NOTIFYs are sent. With several notifiers on a machine leave the port at 0. A wildcard
    /// address, `0.0.0.0` or `[::]`, means both IPv4 and IPv6.
    ///
    /// Unit: none. Default: `"udp:0.0.0.0:0"`. Range: `udp:ADDRESS:PORT`.
    pub listen: Listen,
    /// NOTIFYs that may wait for their answers at the same time. A watcher that does not answer holds its place for 32
    /// s.
    ///
    /// Unit: requests. Default: `8000`. Range: 1 to 1000000.
    pub in_flight: Within<1, 1_000_000>,
    /// How long a notifier holds a resource without renewing the lease. When a notifier dies, others take over its
    /// resources after this time.
    ///
    /// Unit: seconds. Default: `10`. Range: 2 to 300.
    pub lease_s: Within<2, 300>,
    /// How long to wait before a NOTIFY is sent again after a temporary failure (5xx, an unreachable address). The wait
    /// doubles with each failure in a row.
    ///
    /// Unit: seconds. Default: `2`. Range: 1 to 3600.
    pub retry_min_s: Within<1, 3600>,
    /// The longest wait between two attempts.
    ///
    /// Unit: seconds. Default: `60`. Range: 1 to 86400.
    pub retry_max_s: Within<1, 86_400>,
    /// Failures in a row after which the subscription ends.
    ///
    /// Unit: failures. Default: `10`. Range: 1 to 1000.
    pub retry_give_up: Within<1, 1000>,
}

/// `[script]`: the routing script in Lua, which decides about requests and sees the answers to NOTIFYs (docs/SCRIPT.md). Servers
/// and notifiers read it when they start, and again at SIGHUP; if it does not load then, the old one stays.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScriptConfig {
    /// The script. Empty: none; every PUBLISH and SUBSCRIBE is accepted, whoever sent it.
    ///
    /// Unit: none. Default: `""`. Range: empty or a file.
    #[serde(with = "optional")]
    pub file: Option<ScriptFile>,
    /// The processor time of one call of the script; when it is used up, the request is answered 500. Time in which the
    /// call waits for the database does not count.
    ///
    /// Unit: milliseconds. Default: `50`. Range: 1 to 10000.
    pub deadline_ms: Within<1, 10_000>,
    /// The memory of the script in each of its threads, including the variables that it keeps.
    ///
    /// Unit: bytes. Default: `16777216`. Range: 1048576 to 1073741824.
    pub memory_bytes: Within<1_048_576, 1_073_741_824>,
}

/// `[database]`: how PostgreSQL is used. `presence.db_url` says which one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The largest number of connections of each process.
    ///
    /// Unit: connections. Default: `8`. Range: 2 to 1000.
    pub pool_size: Within<2, 1000>,
    /// How long connecting may take.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub connect_timeout_ms: Within<100, 600_000>,
    /// How long a statement may take. PostgreSQL cancels longer ones.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub statement_timeout_ms: Within<100, 600_000>,
    /// A file whose content is the database's URL, in place of `presence.db_url`: so that a password stands in no
    /// configuration and on no command line. With systemd: `LoadCredential=db_url:/etc/pgpresence/db_url` and
    /// `PGPRESENCE_DATABASE__URL_FILE=%d/db_url`. It is not read if `presence.db_url` is set. Without a password in either,
    /// the one in `PGPASSFILE` or `~/.pgpass` is used, by libpq's rules (mode 0600; the first line that fits).
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub url_file: Option<String>,
    /// Whether the connection is encrypted, and who must be at its other end, as libpq's `sslmode`: `disable`, `prefer`
    /// (TLS if the server has it), `require` (TLS, with any server; with `sslrootcert` as `verify-ca`), `verify-ca` (a
    /// server whose certificate was signed by `sslrootcert`), `verify-full` (which also has the name that the URL says).
    /// `allow` is taken as `prefer`. Empty: `verify-full` if `sslrootcert` is set; else `prefer`, or `disable` for
    /// sockets and this machine (`localhost`, 127.0.0.1, ::1). Only `verify-full` protects against somebody on the way. Without TLS, a
    /// password is never sent in clear to another machine. What the URL itself says (`?sslmode=...`) wins, for this and the next three.
    ///
    /// Unit: none. Default: `""`. Range: empty, `disable`, `allow`, `prefer`, `require`, `verify-ca` or `verify-full`.
    #[serde(with = "optional")]
    pub sslmode: Option<SslMode>,
    /// The CAs that may have signed the server's certificate: a file in PEM format, or `system` for those of the
    /// operating system (only with `verify-full`). The files of this and the next two are read at each connection.
    ///
    /// Unit: none. Default: `""`. Range: a path, or `system`.
    #[serde(with = "optional")]
    pub sslrootcert: Option<String>,
    /// The certificate by which PostgreSQL knows this process (`cert` or `clientcert` in `pg_hba.conf`), and those
    /// between it and its CA, in PEM format.
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub sslcert: Option<String>,
    /// The key of `sslcert`: in PEM format, not encrypted, mode 0600 (or 0640 if it belongs to root).
    ///
    /// Unit: none. Default: `""`. Range: a path.
    #[serde(with = "optional")]
    pub sslkey: Option<String>,
}

/// `[presence]`: the parameters of Kamailio's presence module, with the names, units and defaults of its documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PresenceConfig {
    /// The database: `postgresql://user:password@host:port/database`, or a libpq connection string. Several hosts may
    /// be given (`host=a,b target_session_attrs=read-write`). Empty: `pgpresence run` starts a private PostgreSQL;
    /// every other command stops. (Kamailio's "library" mode, the module without `db_url`, does not exist here.)
    /// Percent-encode special characters in user and password (`%40` for `@`, `%23` for `#`). Only host and database
    /// are ever printed.
    ///
    /// Unit: none. Default: `""`. Range: a PostgreSQL URL.
    #[serde(with = "optional")]
    pub db_url: Option<DatabaseUrl>,
    /// The table of publications, `NAME` or `SCHEMA.NAME`. `pgpresence migrate` creates it, and the schema if needed. A
    /// database that was migrated with another name is refused. All processes must have the same name.
    ///
    /// Unit: none. Default: `"presentity"`. Range: a name of a table.
    pub presentity_table: TableName,
    /// The table of subscriptions, in the same way.
    ///
    /// Unit: none. Default: `"active_watchers"`. Range: a name of a table.
    pub active_watchers_table: TableName,
    /// The table of decisions about watchers, in the same way.
    ///
    /// Unit: none. Default: `"watchers"`. Range: a name of a table.
    pub watchers_table: TableName,
    /// The period between searches for rows that are not needed any more: dead processes, idle resources. While it is
    /// on, the expiry of publications and subscriptions is noticed within a second. Zero or negative switches all of
    /// this off: then nothing that expires is removed, and watchers are not notified of it.
    ///
    /// Unit: seconds. Default: `100`. Range: -2147483648 to 2147483647.
    pub clean_period: Period,
    /// How much lower than the last one the CSeq of a request inside a subscription may be: with 3, after CSeq 100, 97
    /// is accepted, and 96 is answered 500. The same CSeq again is a copy of a request, whatever the offset.
    ///
    /// Unit: requests. Default: `0`. Range: 0 to 2147483647.
    pub cseq_offset: Within<0, 2_147_483_647>,
    /// Changes of a presentity within this time after a NOTIFY are sent as one NOTIFY, at its end. The first change
    /// after a quiet time is sent at once, and so is the NOTIFY that answers a SUBSCRIBE. Only used if
    /// `notifier_processes` is greater than 0; otherwise every change is sent at once.
    ///
    /// Unit: seconds. Default: `5`. Range: 0 to 3600.
    pub waitn_time: Within<0, 3600>,
    /// How many times per second each notifier looks for work. With a backlog it takes at least 1/(`waitn_time` *
    /// `notifier_poll_rate` * `notifier_processes`) of it each time.
    ///
    /// Unit: 1/second. Default: `10`. Range: 1 to 1000.
    pub notifier_poll_rate: Within<1, 1000>,
    /// The notifier processes that `pgpresence run` starts. With 0 the server process sends NOTIFYs itself, right after
    /// the change is stored.
    ///
    /// Unit: processes. Default: `1`. Range: 0 to 64.
    pub notifier_processes: Within<0, 64>,
    /// 1: publications that expire are deleted without a NOTIFY to the watchers.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_delete: bool,
    /// Subtracted from the Expires of the 200 OK to a PUBLISH, so that phones refresh before their publication ends
    /// here. The answer never says less than half of the granted time: with 20, 100 s becomes 80, 30 s becomes 15.
    ///
    /// Unit: seconds. Default: `0`. Range: 0 to 2147483647.
    pub expires_offset: Within<0, 2_147_483_647>,
    /// The longest interval granted to a publication or subscription. A longer Expires is reduced to it.
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub max_expires: Within<1, 2_147_483_647>,
    /// The shortest interval granted; see `min_expires_action`. Expires 0, which ends a publication or subscription, is
    /// always accepted.
    ///
    /// Unit: seconds. Default: `0`. Range: 0 to 2147483647.
    pub min_expires: Within<0, 2_147_483_647>,
    /// What to do with an Expires shorter than `min_expires`. 1: refuse it with 423 Interval Too Brief (RFC 3903 and
    /// 6665). 2: grant `min_expires` instead.
    ///
    /// Unit: choice. Default: `1`. Range: 1 or 2.
    pub min_expires_action: MinExpiresAction,
    /// The SIP URI of this server for the Contact of 200 OK to SUBSCRIBE and PUBLISH and of NOTIFYs: phones send the
    /// refreshes of their subscriptions there. Behind a balancer it is the balancer's. It is used as it is written, for
    /// phones on UDP and TCP alike: a URI without `;transport=` means UDP. To set it for one listener, use `advertise`
    /// in `server.listen`. Empty: the address at which the SUBSCRIBE came in; the answer to PUBLISH then has no
    /// Contact.
    ///
    /// Unit: none. Default: `""`. Range: empty, or a `sip:` or `sips:` URI.
    #[serde(with = "optional")]
    pub server_address: Option<ServerAddress>,
    /// 1: every SUBSCRIBE is answered with a NOTIFY, as RFC 6665 demands. 0: while nothing is published, the NOTIFY is
    /// left out, in every package, for devices that do not understand an empty document (message-summary). Pending and
    /// refused watchers still get theirs, and the NOTIFY that ends a subscription is sent, without a document. A
    /// politely blocked watcher gets no NOTIFY at all until then, as if nothing were published.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub send_fast_notify: bool,
    /// 1: a subscription ends when a NOTIFY is not answered (RFC 6665 4.2.2). 0: it stays, and the NOTIFY is tried again,
    /// for unreliable networks.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub timeout_rm_subs: bool,
    /// The name of the list of attributes that the routing script sets for a request: with `pres`, `xavp.pres.priority`
    /// and `xavp.pres.delete_subscription`. While it is set, the default priority of a publication is the time at which
    /// its document came. Priorities order publications if `retrieve_order` is 1. Also while it is set, a refused
    /// NOTIFY ends the subscription only with 404 and 481 (and with 408 or no answer if `timeout_rm_subs` is 1), or if
    /// the script sets `delete_subscription`. Without it, all answers end the subscription for which RFC 6665 says so.
    ///
    /// Unit: none. Default: `""`. Range: empty or a name (letters, digits and `_`; not a Lua keyword).
    #[serde(deserialize_with = "text::xavp_name")]
    pub xavp_cfg: String,
    /// 1: the routing script has the handled subscription in `subs`. 0: it does not.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub pres_subs_mode: bool,
    /// Rows that are taken from the database in one step.
    ///
    /// Unit: rows. Default: `500`. Range: 1 to 100000.
    pub fetch_rows: Within<1, 100_000>,
    /// The level of the line for each NOTIFY that is sent, and for its answer: -5 L_ALERT, -2 L_CRIT, -1 L_ERR, 0
    /// L_WARN, 1 L_NOTICE, 2 L_INFO, 3 L_DBG. Without `local_log_facility` it is a line of the log, by `log.level`: 2
    /// and 3 are lines of `debug`, 1 of `info`, 0 of `warn`, below 0 of `error`. With both at their defaults there is
    /// no such line, as in Kamailio, whose own `debug` is 0 unless it is set; then it costs nothing.
    ///
    /// Unit: level. Default: `2`. Range: -5 to 3.
    pub local_log_level: LocalLevel,
    /// The syslog facility to which these lines go, through `log.syslog` and independent of `log.level`: LOG_LOCAL0 to
    /// LOG_LOCAL7, LOG_DAEMON, LOG_USER or another one of syslog(3). Lines that syslog does not take at once are lost.
    ///
    /// Unit: none. Default: `""`. Range: empty or a facility.
    #[serde(with = "optional")]
    pub local_log_facility: Option<Facility>,
    /// How the user parts of URIs are compared, in requests, SQL, HTTP and rules alike. 0: case-sensitive. 1: not
    /// case-sensitive. (Domains are never case-sensitive.) The database keeps this setting from its first `pgpresence
    /// migrate` on. A process with another setting does not start; `pgpresence migrate --uri-match` changes it.
    ///
    /// Unit: choice. Default: `0`. Range: 0 or 1.
    pub sip_uri_match: UriMatch,
    /// Order of publications in a document, in every event package. 0: the newest first. 1: by `retrieve_order_by`.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub retrieve_order: bool,
    /// The columns of the table `presentity` by which publications are ordered: priority, received_time, expires, id,
    /// etag, sender, each with `asc` or `desc`, separated by commas. As in Kamailio, the row that would be read last
    /// comes first in the document: with `priority`, the highest.
    ///
    /// Unit: none. Default: `"priority"`. Range: columns.
    pub retrieve_order_by: String,
    /// Which earlier subscription to the same presentity and event a new one replaces. The earlier one ends with
    /// `terminated;reason=rejected`. 0: none. 1: one with the same Call-ID, of any watcher. 2: one of the same watcher
    /// and phone (and the same `id` of Event), for phones that rebooted: with the same `+sip.instance` in Contact or,
    /// without one, with the same user, host, port and transport in Contact. With 2, a phone that watches the same
    /// resource twice at once must give each subscription an `id`, and phones of one user in different places with the
    /// same private address must have a `+sip.instance`. Subscriptions that were stored with another value stay until
    /// they expire.
    ///
    /// Unit: choice. Default: `0`. Range: 0 to 2.
    pub delete_same_subs: SameSubscriber,
    /// The interval granted to a publication or subscription of the package `presence` if the request has no Expires.
    /// (This key and the following ones belong to the package `presence`, in Kamailio to presence_xml.)
    ///
    /// Unit: seconds. Default: `3600`. Range: 1 to 2147483647.
    pub default_expires: Within<1, 2_147_483_647>,
    /// 1: the package `presence` is not served; requests for it are answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable_presence: bool,
    /// 1: watcher information (`presence.winfo`, and that of every other package) is not served; requests for it are
    /// answered 489.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub disable_winfo: bool,
    /// URIs that may subscribe to the watcher information of every presentity, such as an operator's console. By
    /// default only the presentity itself may (RFC 3857 4.6); others are answered 403. The URI in From is believed: let
    /// requests reach the servers only through an edge that authenticates users and checks From.
    ///
    /// Unit: none. Default: `[]`. Range: `sip:`, `sips:` or `tel:` URIs.
    pub winfo_watchers: Vec<WatcherUri>,
    /// 1: a presentity without publications is shown as open and "Available" instead of closed.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_dummy_presence: bool,
    /// 1: only one of several publications is shown, chosen by `presence_single_body_priorities`.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_presence_single_body: bool,
    /// The element whose text decides which publication is shown: its local name.
    ///
    /// Unit: none. Default: `"note"`. Range: a name, without prefix.
    #[serde(deserialize_with = "text::element_name")]
    pub presence_single_body_lookup_element: String,
    /// The texts that decide, separated by bars, the least important first; whole texts are compared.
    ///
    /// Unit: none. Default: `"Available|Ringing|On the Phone"`. Range: texts.
    pub presence_single_body_priorities: String,
    /// 1: a pidf-manipulation document (RFC 4827; table `xcap`, `doc_type` 16) is hard state: it is shown beside the
    /// publications. 0: it is ignored. (Kamailio's presence_xml: 0.)
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub pidf_manipulation: bool,
    /// 1: every watcher is allowed and sees everything; no rules are read.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub force_active: bool,
    /// What happens to watchers of a presentity without a rules document (table `xcap`, `doc_type` 2). `allow`: they
    /// see everything. `confirm`: they are pending until there is a document. `block`: they are refused. (Kamailio's
    /// presence_xml: confirm.) With `allow` everybody who can reach a server sees every presentity without rules.
    /// Existing watchers keep their decision until the rules of that presentity change.
    ///
    /// Unit: choice. Default: `"allow"`. Range: allow, confirm or block.
    pub default_policy: DefaultPolicy,
    /// The reason with which the subscription of a watcher ends if no rule of a document applies to him, with
    /// parameters if needed, such as `probation;retry-after=30`.
    ///
    /// Unit: none. Default: `"probation"`. Range: a reason (RFC 6665 8.4), perhaps with parameters.
    #[serde(deserialize_with = "text::reason")]
    pub xcapauth_userdel_reason: String,
    /// 1: rules with a condition on the presentity's sphere (RFC 4480) are evaluated again with each change of its
    /// state. 0: such a condition is never true.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub enable_sphere_check: bool,
    /// How long to remember a watcher whose subscription ended while it was pending, so that the presentity can still
    /// learn of it.
    ///
    /// Unit: seconds. Default: `259200`. Range: 1 to 2147483647.
    pub watcher_waiting_s: Within<1, 2_147_483_647>,
}

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

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        let local = |transport| {
            Listener::from(Listen {
                transport,
                addr: ([127, 0, 0, 1], 5060).into(),
            })
        };
        ServerConfig {
            listen: vec![local(Transport::Udp), local(Transport::Tcp)],
            internal_listen: None,
            notify_from_listener: true,
            write_connections: const { Within::of(4) },
            batch_size: const { Within::of(64) },
            backlog: const { Within::of(10_000) },
            request_deadline_ms: const { Within::of(8000) },
        }
    }
}

impl Default for NotifierConfig {
    fn default() -> NotifierConfig {
        NotifierConfig {
            listen: Listen {
                transport: Transport::Udp,
                addr: ([0, 0, 0, 0], 0).into(),
            },
            in_flight: const { Within::of(8000) },
            lease_s: const { Within::of(10) },
            retry_min_s: const { Within::of(2) },
            retry_max_s: const { Within::of(60) },
            retry_give_up: const { Within::of(10) },
        }
    }
}

impl Default for ScriptConfig {
    fn default() -> ScriptConfig {
        ScriptConfig {
            file: None,
            deadline_ms: const { Within::of(50) },
            memory_bytes: const { Within::of(16_777_216) },
        }
    }
}

impl Default for DatabaseConfig {
    fn default() -> DatabaseConfig {
        DatabaseConfig {
            pool_size: const { Within::of(8) },
            connect_timeout_ms: const { Within::of(5000) },
            statement_timeout_ms: const { Within::of(5000) },
            url_file: None,
            sslmode: None,
            sslrootcert: None,
            sslcert: None,
            sslkey: None,
        }
    }
}

impl PresenceConfig {
    /// How watchers are handled whose presentity has no rules, in a word for column `node.default_policy`: the name of
    /// `default_policy`, or `force_active`, with which no rules are read at all.
    pub fn says_of_watchers(&self) -> &'static str {
        match self.force_active {
            true => "force_active",
            false => self.default_policy.as_str(),
        }
    }
}

impl Default for PresenceConfig {
    fn default() -> PresenceConfig {
        PresenceConfig {
            db_url: None,
            presentity_table: TableName::usual("presentity"),
            active_watchers_table: TableName::usual("active_watchers"),
            watchers_table: TableName::usual("watchers"),
            clean_period: Period::every(100),
            cseq_offset: const { Within::of(0) },
            waitn_time: const { Within::of(5) },
            notifier_poll_rate: const { Within::of(10) },
            notifier_processes: const { Within::of(1) },
            force_delete: false,
            expires_offset: const { Within::of(0) },
            max_expires: const { Within::of(3600) },
            min_expires: const { Within::of(0) },
            min_expires_action: MinExpiresAction::Refuse,
            server_address: None,
            send_fast_notify: true,
            timeout_rm_subs: true,
            xavp_cfg: String::new(),
            pres_subs_mode: true,
            fetch_rows: const { Within::of(500) },
            local_log_level: LocalLevel::INFO,
            local_log_facility: None,
            sip_uri_match: UriMatch::CaseSensitive,
            retrieve_order: false,
            retrieve_order_by: "priority".to_owned(),
            delete_same_subs: SameSubscriber::Nobody,
            default_expires: const { Within::of(3600) },
            disable_presence: false,
            disable_winfo: false,
            winfo_watchers: Vec::new(),
            force_dummy_presence: false,
            force_presence_single_body: false,
            presence_single_body_lookup_element: "note".to_owned(),
            presence_single_body_priorities: "Available|Ringing|On the Phone".to_owned(),
            pidf_manipulation: true,
            force_active: false,
            default_policy: DefaultPolicy::Allow,
            xcapauth_userdel_reason: "probation".to_owned(),
            enable_sphere_check: false,
            watcher_waiting_s: const { Within::of(259_200) },
        }
    }
}

/// Tables with names that cannot be chosen.
const OWN_TABLES: [&str; 5] = [
    "xcap",
    "notify_queue",
    "node",
    "cluster",
    "refinery_schema_history",
];

impl Config {
    /// Checks between keys, which types cannot express. Pairs of a path and what is wrong with it.
    fn contradictions(&self) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let mut must = |holds: bool, path: &'static str, message: String| {
            if !holds {
                found.push((path, message));
            }
        };
        let Config {
            server,
            http,
            notifier,
            presence,
            ..
        } = self;
        must(
            !server.listen.is_empty(),
            "server.listen",
            "needs at least one address".to_owned(),
        );
        must(
            http.token.is_some() || http.listen.is_none_or(|addr| addr.ip().is_loopback()),
            "http.token",
            "is needed, because http.listen can be reached from other machines".to_owned(),
        );
        must(
            notifier.listen.transport == Transport::Udp,
            "notifier.listen",
            "must be a UDP address".to_owned(),
        );
        must(
            notifier.retry_min_s.get() <= notifier.retry_max_s.get(),
            "notifier.retry_min_s",
            format!(
                "must not exceed notifier.retry_max_s ({})",
                notifier.retry_max_s
            ),
        );
        let tables = [
            ("presence.presentity_table", &presence.presentity_table),
            (
                "presence.active_watchers_table",
                &presence.active_watchers_table,
            ),
            ("presence.watchers_table", &presence.watchers_table),
        ];
        for (index, (path, table)) in tables.iter().enumerate() {
            let same = tables[..index].iter().find(|(_, other)| other == table);
            must(
                same.is_none(),
                path,
                format!("must differ from {}", same.map_or("", |(path, _)| path)),
            );
            must(
                !OWN_TABLES.contains(&table.as_str()),
                path,
                format!("must not be {table}: there is such a table already"),
            );
        }
        let max_expires = presence.max_expires;
        must(
            presence.min_expires.get() <= max_expires.get(),
            "presence.min_expires",
            format!("must not exceed presence.max_expires ({max_expires})"),
        );
        must(
            presence.expires_offset.get() < max_expires.get(),
            "presence.expires_offset",
            format!("must stay below presence.max_expires ({max_expires}): no time would be left"),
        );
        found
    }
}
