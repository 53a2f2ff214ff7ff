//! What no type of a value can express: keys that must agree with one another.

use super::Config;
use super::value::Transport;

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
    pub(super) fn contradictions(&self) -> Vec<(&'static str, String)> {
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
            self.identity.believed(server).is_some(),
            "identity.policy",
            "nothing says whom to believe, and server.listen has an address that others can reach: set identity.trusted_peers (edge proxies) or \
             identity.digest = 1 (phones with passwords); or, if nobody else can reach it, identity.policy = \"open\""
                .to_owned(),
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
