//! `[presence]`.

use serde::{Deserialize, Serialize};

use super::log_line::{Facility, LocalLevel};
use super::secret::DatabaseUrl;
use super::table_name::TableName;
use super::text;
use super::value::{
    DefaultPolicy, MinExpiresAction, Period, SameSubscriber, ServerAddress, UriMatch, WatcherUri,
    Within, flag, optional,
};

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
    /// default only the presentity itself may (RFC 3857 4.6); others are answered 403. Who the
    /// subscriber is, `[identity]` decides.
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
