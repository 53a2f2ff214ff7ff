//! What becomes of each parameter: one line each. **When our configuration gains a key, its line here changes from
//! [`Fate::NotYet`] to [`Fate::Becomes`]; nothing else does.**

/// What a key of our configuration takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// A whole number from the first to the second.
    Number(i64, i64),
    /// 0 or 1.
    Flag,
    /// A `sip:` or `sips:` URI.
    SipUri,
    /// A database's URL.
    Database,
    /// Any text.
    Text,
    /// A name of attributes that a script sets.
    Xavp,
    /// The local name of an element.
    Element,
    /// A reason of Subscription-State.
    Reason,
    /// Columns of presentity that order publications.
    Columns,
    /// A name of a table.
    Table,
    /// A facility of the system's log.
    Facility,
}

/// What becomes of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is `section.key` here.
    Becomes(&'static str, Form),
    /// The same, and the reader should know what the sentence says when the value is this one.
    Beware(&'static str, Form, i64, &'static str),
    /// It will be a key here, and is none yet; the sentence says what happens until then.
    NotYet(&'static str),
    /// It has no meaning here; the sentence says why, and what does that job.
    NoMeaning(&'static str),
    /// With this value it is what happens here in any case; else it has no meaning.
    Always(&'static str, &'static str),
}

use Fate::{Always, Becomes, Beware, NoMeaning, NotYet};
use Form::{Columns, Database, Element, Facility, Flag, Number, Reason, SipUri, Table, Text, Xavp};

const MAX: i64 = 2_147_483_647;
const DMQ: &str = "servers here share the database, so there is nothing to replicate";
const MEMORY: &str = "there is no table in memory here: the database is the only state";
const RLS: &str = "resource lists (RFC 4662) are not served yet; keep them on Kamailio's rls, with its subscriptions sent here";
const PUA: &str = "Kamailio publishes here: keep this module in Kamailio, and set its outbound_proxy to this server";
const XCAP_SERVER: &str = "documents are read from the table xcap; keep Kamailio's xcap_server to write them, on this database";
const ONE_DATABASE: &str = "there is one database for all, presence.db_url";

/// The fate of every parameter; `*` stands for all others of its module.
#[rustfmt::skip]
const TABLE: &[(&str, &str, Fate)] = &[
    ("presence", "db_url", Becomes("presence.db_url", Database)),
    ("presence", "presentity_table", Becomes("presence.presentity_table", Table)),
    ("presence", "active_watchers_table", Becomes("presence.active_watchers_table", Table)),
    ("presence", "watchers_table", Becomes("presence.watchers_table", Table)),
    ("presence", "clean_period", Becomes("presence.clean_period", Number(-MAX - 1, MAX))),
    ("presence", "cseq_offset", Becomes("presence.cseq_offset", Number(0, MAX))),
    ("presence", "db_update_period", NoMeaning("nothing waits in memory to be written: every change is stored before it is answered, and expiry is noticed within a second")),
    ("presence", "waitn_time", Becomes("presence.waitn_time", Number(0, 3600))),
    ("presence", "notifier_poll_rate", Becomes("presence.notifier_poll_rate", Number(1, 1000))),
    ("presence", "notifier_processes", Becomes("presence.notifier_processes", Number(0, 64))),
    ("presence", "force_delete", Becomes("presence.force_delete", Flag)),
    ("presence", "startup_mode", Always("1", "what has expired is never shown, whatever the mode; hard state (expires -1) and closed states always are")),
    ("presence", "expires_offset", Becomes("presence.expires_offset", Number(0, MAX))),
    ("presence", "max_expires", Becomes("presence.max_expires", Number(1, MAX))),
    ("presence", "min_expires", Becomes("presence.min_expires", Number(0, MAX))),
    ("presence", "min_expires_action", Becomes("presence.min_expires_action", Number(1, 2))),
    ("presence", "server_address", Becomes("presence.server_address", SipUri)),
    ("presence", "subs_db_mode", Always("3", "subscriptions are in the database only, as with 3: no memory, no writing back")),
    ("presence", "publ_cache", Always("0", "publications are in the database only, as with 0: several servers can share it")),
    ("presence", "subs_htable_size", NoMeaning(MEMORY)),
    ("presence", "pres_htable_size", NoMeaning(MEMORY)),
    ("presence", "send_fast_notify", Beware("presence.send_fast_notify", Flag, 0, "here 0 leaves out the NOTIFY while nothing is published; if it was set to make notifiers work with PostgreSQL, set it to 1")),
    ("presence", "enable_sphere_check", Becomes("presence.enable_sphere_check", Flag)),
    ("presence", "timeout_rm_subs", Becomes("presence.timeout_rm_subs", Flag)),
    ("presence", "fetch_rows", Becomes("presence.fetch_rows", Number(1, 100_000))),
    ("presence", "db_table_lock_type", Always("0", "rows are locked, never tables, always in one order, so deadlocks do not happen")),
    ("presence", "local_log_level", Becomes("presence.local_log_level", Number(-5, 3))),
    ("presence", "local_log_facility", Becomes("presence.local_log_facility", Facility)),
    ("presence", "subs_remove_match", Always("1", "a subscription is found by its Call-ID and both tags, never by one of them")),
    ("presence", "xavp_cfg", Becomes("presence.xavp_cfg", Xavp)),
    ("presence", "retrieve_order", Becomes("presence.retrieve_order", Flag)),
    ("presence", "retrieve_order_by", Becomes("presence.retrieve_order_by", Columns)),
    ("presence", "sip_uri_match", Becomes("presence.sip_uri_match", Number(0, 1))),
    ("presence", "enable_dmq", Always("0", DMQ)),
    ("presence", "pres_subs_mode", Becomes("presence.pres_subs_mode", Flag)),
    ("presence", "delete_same_subs", Becomes("presence.delete_same_subs", Flag)),
    ("presence", "timer_mode", NoMeaning("there are no timer processes: each notifier looks for what has expired")),
    ("presence", "subs_respond_200", Always("1", "a SUBSCRIBE is answered with 200, as RFC 6665 says")),
    ("presence", "enable_pres_dmq", Always("0", DMQ)),
    ("presence", "enable_pres_sync_dmq", NoMeaning(DMQ)),
    ("presence", "enable_subs_dmq", Always("0", DMQ)),
    ("presence", "enable_subs_sync_dmq", NoMeaning(DMQ)),
    ("presence", "skip_notify_dmq", NoMeaning(DMQ)),
    ("presence", "dmq_peer_id", NoMeaning(DMQ)),
    ("presence", "default_socket", NoMeaning("NOTIFYs are sent from notifier.listen")),

    ("presence_xml", "db_url", NoMeaning(ONE_DATABASE)),
    ("presence_xml", "xcap_table", Always("xcap", "tables have fixed names; to keep them apart, use a database or a schema of their own")),
    ("presence_xml", "force_active", Becomes("presence.force_active", Flag)),
    ("presence_xml", "pidf_manipulation", Becomes("presence.pidf_manipulation", Flag)),
    ("presence_xml", "xcap_server", NoMeaning("documents are read from the table xcap, not over HTTP")),
    ("presence_xml", "integrated_xcap_server", Always("1", "documents are always read from the table xcap")),
    ("presence_xml", "disable_presence", Becomes("presence.disable_presence", Flag)),
    ("presence_xml", "disable_winfo", Becomes("presence.disable_winfo", Flag)),
    ("presence_xml", "disable_watcherinfo", Becomes("presence.disable_winfo", Flag)),
    ("presence_xml", "disable_bla", Becomes("sla.disable_bla", Flag)),
    ("presence_xml", "disable_xcapdiff", Becomes("xcap_diff.disable_xcapdiff", Flag)),
    ("presence_xml", "passive_mode", NoMeaning("it loads the module as a library only; there are no libraries here")),
    ("presence_xml", "xcapauth_userdel_reason", Becomes("presence.xcapauth_userdel_reason", Reason)),
    ("presence_xml", "force_dummy_presence", Becomes("presence.force_dummy_presence", Flag)),
    ("presence_xml", "force_presence_single_body", Becomes("presence.force_presence_single_body", Flag)),
    ("presence_xml", "presence_single_body_priorities", Becomes("presence.presence_single_body_priorities", Text)),
    ("presence_xml", "presence_single_body_lookup_element", Becomes("presence.presence_single_body_lookup_element", Element)),
    ("presence_xml", "default_expires", Becomes("presence.default_expires", Number(1, MAX))),

    ("presence_dialoginfo", "force_single_dialog", Becomes("dialog.force_single_dialog", Flag)),
    ("presence_dialoginfo", "force_dummy_dialog", Becomes("dialog.force_dummy_dialog", Flag)),
    ("presence_dialoginfo", "default_expires", Becomes("dialog.default_expires", Number(1, MAX))),
    ("presence_mwi", "default_expires", Becomes("message_summary.default_expires", Number(1, MAX))),
    ("presence_conference", "default_expires", Becomes("conference.default_expires", Number(1, MAX))),
    ("presence_profile", "default_expires", Becomes("profile.default_expires", Number(1, MAX))),
    ("presence_reginfo", "default_expires", Becomes("reginfo.default_expires", Number(1, MAX))),
    ("presence_reginfo", "aggregate_presentities", Becomes("reginfo.aggregate_presentities", Flag)),
    ("presence_dfks", "get_route", NotYet("no route of the script is called for it; features that phones set are kept in the database, and sent by as-feature-event")),
    ("presence_dfks", "set_route", NotYet("no route of the script is called for it; features that phones set are kept in the database, and sent by as-feature-event")),

    ("rls", "*", NotYet(RLS)),
    ("xcap_server", "*", NoMeaning(XCAP_SERVER)),
    ("xcap_client", "*", NoMeaning("documents are read from the table xcap, not over HTTP")),
    ("pua", "*", NoMeaning(PUA)),
    ("pua_bla", "*", NoMeaning(PUA)),
    ("pua_dialoginfo", "*", NoMeaning(PUA)),
    ("pua_json", "*", NoMeaning(PUA)),
    ("pua_reginfo", "*", NoMeaning(PUA)),
    ("pua_rpc", "*", NoMeaning(PUA)),
    ("pua_usrloc", "*", NoMeaning(PUA)),
    ("pua_xmpp", "*", NoMeaning(PUA)),
];

/// The fate of a parameter; `None` inside: the module has no such parameter; `None` outside: the module is not about
/// presence.
pub(crate) fn fate(module: &str, name: &str) -> Option<Option<Fate>> {
    let mut of_module = TABLE
        .iter()
        .filter(|(known, ..)| *known == module)
        .peekable();
    of_module.peek()?;
    Some(
        of_module
            .find(|(_, known, _)| *known == name || *known == "*")
            .map(|(.., fate)| *fate),
    )
}

/// The numbers that have a meaning in Kamailio, of a parameter that has none here: what is wrong there is not answered as if it were right.
pub(crate) fn range(module: &str, name: &str) -> Option<(i64, i64)> {
    match (module, name) {
        ("presence", "subs_db_mode") => Some((0, 3)),
        ("presence", "publ_cache") => Some((0, 2)),
        ("presence", "subs_htable_size" | "pres_htable_size") => Some((0, 31)),
        (
            "presence",
            "startup_mode" | "db_table_lock_type" | "subs_remove_match" | "enable_dmq"
            | "timer_mode",
        ) => Some((0, 1)),
        _ => None,
    }
}

/// The modules that the table knows, each once.
pub(crate) fn modules() -> impl Iterator<Item = &'static str> {
    TABLE
        .iter()
        .enumerate()
        .filter(|(at, (module, ..))| *at == 0 || TABLE[at - 1].0 != *module)
        .map(|(_, (module, ..))| *module)
}

/// The key to which a parameter of `presence` has gone, and the place of that key in the file that is written.
pub(crate) fn order(key: &str) -> usize {
    TABLE
        .iter()
        .position(
            |(.., fate)| matches!(fate, Becomes(known, _) | Beware(known, ..) if *known == key),
        )
        .unwrap_or(TABLE.len())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{Fate, TABLE, fate, modules};

    /// The names in the module's documentation, in its order.
    const GUIDE: &str = "db_url presentity_table active_watchers_table watchers_table clean_period cseq_offset \
        db_update_period waitn_time notifier_poll_rate notifier_processes force_delete startup_mode expires_offset \
        max_expires min_expires min_expires_action server_address subs_db_mode publ_cache subs_htable_size \
        pres_htable_size send_fast_notify enable_sphere_check timeout_rm_subs fetch_rows db_table_lock_type \
        local_log_level local_log_facility subs_remove_match xavp_cfg retrieve_order retrieve_order_by sip_uri_match \
        enable_dmq pres_subs_mode delete_same_subs timer_mode";

    #[test]
    fn every_parameter_of_the_guide_has_a_fate() {
        assert_eq!(GUIDE.split_whitespace().count(), 37);
        for name in GUIDE.split_whitespace() {
            assert!(matches!(fate("presence", name), Some(Some(_))), "{name}");
        }
        assert_eq!(fate("presence", "no_such"), Some(None));
        assert_eq!(fate("tm", "fr_timer"), None);
        assert!(matches!(fate("rls", "anything"), Some(Some(_))));
    }

    #[test]
    fn no_line_stands_twice_and_sentences_end_without_a_stop() {
        let mut seen = BTreeSet::new();
        for (module, name, fate) in TABLE {
            assert!(seen.insert((module, name)), "{module} {name}");
            let sentence = match fate {
                Fate::Becomes(key, _) => {
                    assert!(key.contains('.'), "{key}");
                    continue;
                }
                Fate::Beware(.., sentence) | Fate::NotYet(sentence) | Fate::NoMeaning(sentence) => {
                    sentence
                }
                Fate::Always(_, sentence) => sentence,
            };
            assert!(
                !sentence.ends_with('.') && !sentence.contains(". ") && !sentence.contains('\n'),
                "{sentence}"
            );
        }
        let names: Vec<_> = modules().collect();
        assert_eq!(names.len(), names.iter().collect::<BTreeSet<_>>().len());
    }
}
