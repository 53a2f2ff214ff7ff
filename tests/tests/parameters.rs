//! `docs/PARAMETERS.md` has a row for every name in the documentation of Kamailio's presence module, and each row is true as far as a table can be: the default is the
//! program's own, and the test that is named exists.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use system_tests::process::{pgpresence, run};
use system_tests::system::STARTUP;

const PAGE: &str = include_str!("../../docs/PARAMETERS.md");
const DIFFERENCES: &str = include_str!("../../docs/FROM-KAMAILIO.md");

const PARAMETERS: [&str; 37] = [
    "db_url",
    "presentity_table",
    "active_watchers_table",
    "watchers_table",
    "clean_period",
    "cseq_offset",
    "db_update_period",
    "waitn_time",
    "notifier_poll_rate",
    "notifier_processes",
    "force_delete",
    "startup_mode",
    "expires_offset",
    "max_expires",
    "min_expires",
    "min_expires_action",
    "server_address",
    "subs_db_mode",
    "publ_cache",
    "subs_htable_size",
    "pres_htable_size",
    "send_fast_notify",
    "enable_sphere_check",
    "timeout_rm_subs",
    "fetch_rows",
    "db_table_lock_type",
    "local_log_level",
    "local_log_facility",
    "subs_remove_match",
    "xavp_cfg",
    "retrieve_order",
    "retrieve_order_by",
    "sip_uri_match",
    "enable_dmq",
    "pres_subs_mode",
    "delete_same_subs",
    "timer_mode",
];
const FUNCTIONS: [&str; 6] = [
    "handle_publish",
    "handle_subscribe",
    "pres_auth_status",
    "pres_has_subscribers",
    "pres_refresh_watchers",
    "pres_update_watchers",
];
const COMMANDS: [&str; 6] = [
    "presence.cleanup",
    "presence.refreshWatchers",
    "presence.updateWatchers",
    "presence.presentity_list",
    "presence.presentity_show",
    "presence.watcher_list",
];
const ATTRIBUTES: [&str; 24] = [
    "uri",
    "pres_uri",
    "to_user",
    "to_domain",
    "from_user",
    "from_domain",
    "watcher_username",
    "watcher_domain",
    "event",
    "event_id",
    "to_tag",
    "from_tag",
    "callid",
    "remote_cseq",
    "local_cseq",
    "contact",
    "local_contact",
    "record_route",
    "expires",
    "status",
    "reason",
    "version",
    "flags",
    "user_agent",
];
const OTHERS: [&str; 3] = [
    "$notify_reply(attr)",
    "presence:notify-reply",
    "tm:local-request",
];

/// The cells of each row whose first one is a name, in the order of the page.
fn rows() -> Vec<(&'static str, Vec<&'static str>)> {
    let cells = |line: &'static str| -> Vec<&'static str> {
        let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
        inner.split('|').map(str::trim).collect()
    };
    PAGE.lines()
        .filter(|line| line.starts_with("| `"))
        .map(cells)
        .map(|cells| (cells[0].trim_matches('`'), cells))
        .collect()
}

#[test]
fn every_name_of_the_guide_has_a_row() {
    let mut expected: Vec<String> = PARAMETERS
        .iter()
        .chain(&FUNCTIONS)
        .chain(&COMMANDS)
        .map(|name| (*name).to_owned())
        .collect();
    expected.extend(ATTRIBUTES.iter().map(|name| format!("$subs({name})")));
    expected.extend(OTHERS.iter().map(|name| (*name).to_owned()));
    let found: Vec<String> = rows().iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(found, expected);
    for (name, cells) in rows() {
        let wanted = if PARAMETERS.contains(&name) { 6 } else { 3 };
        assert_eq!(cells.len(), wanted, "{name}");
        assert!(!cells[1].is_empty(), "{name} has no meaning");
    }
}

/// Rows of the table of all differences say which names they are about, and those names lead to them.
#[test]
fn names_lead_to_what_differs() {
    let table = DIFFERENCES
        .split_once("## All differences")
        .and_then(|(_, rest)| rest.split_once("\n## "))
        .unwrap()
        .0;
    let (mut about, mut anchors) = (BTreeSet::new(), BTreeSet::new());
    let lines = table.lines().filter(|line| line.starts_with("| "));
    for line in lines.skip(1) {
        let cells: Vec<&str> = line.trim().trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 6, "{line}");
        assert!(cells.iter().all(|cell| !cell.trim().is_empty()), "{line}");
        about.extend(cells[5].split('`').skip(1).step_by(2));
        let ids = cells[1].split("<a id=\"").skip(1);
        for id in ids.map(|rest| rest.split('"').next().unwrap()) {
            assert!(anchors.insert(id), "{id} stands twice");
        }
    }
    assert!(anchors.len() >= 40, "{}", anchors.len());
    for (name, cells) in rows() {
        let link = cells[1]
            .split_once("(FROM-KAMAILIO.md#")
            .map(|(_, rest)| rest.split(')').next().unwrap());
        assert_eq!(link.is_some(), about.contains(name), "{name}");
        assert!(link.is_none_or(|link| anchors.remove(link)), "{name}");
    }
    assert!(anchors.is_empty(), "nothing leads to {anchors:?}");
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut named = 0;
    for (name, cells) in rows() {
        let cell = *cells.last().unwrap();
        let (file, function) = cell
            .split_once(": ")
            .unwrap_or_else(|| panic!("{name} names no test: {cell}"));
        let (file, function) = (file.trim_matches('`'), function.trim_matches('`'));
        let source = std::fs::read_to_string(root.join(file))
            .unwrap_or_else(|error| panic!("{name}: {file}: {error}"));
        let lines: Vec<&str> = source.lines().collect();
        let is_it = |line: &&str| {
            let line = line.trim();
            line.starts_with(&format!("async fn {function}("))
                || line.starts_with(&format!("fn {function}("))
        };
        let at = lines
            .iter()
            .position(&is_it)
            .unwrap_or_else(|| panic!("{name}: there is no {function} in {file}"));
        // Right below the attribute, and whatever else stands between.
        let above = lines[..at]
            .iter()
            .rev()
            .take_while(|line| !line.trim().is_empty());
        assert!(
            above.clone().any(|line| line.trim().starts_with("#[test]")
                || line.trim().starts_with("#[tokio::test")),
            "{name}: {function} in {file} is no test"
        );
        assert!(
            !above.clone().any(|line| line.contains("#[ignore")),
            "{name}: {function} is ignored"
        );
        named += 1;
    }
    assert!(named >= 30, "{named}");
}

/// The keys of `[presence]` as the program shows them.
fn shown() -> BTreeMap<String, String> {
    let mut command = Command::new(pgpresence());
    command.args(["config", "show"]);
    let (status, out, errors) = run(&mut command, STARTUP);
    assert!(status.success(), "{errors}");
    let section = out.split("[presence]\n").nth(1).unwrap();
    section
        .lines()
        .take_while(|line| !line.starts_with('['))
        .filter_map(|line| line.split_once(" = "))
        .map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()))
        .collect()
}

#[test]
fn defaults_are_the_programs() {
    let shown = shown();
    for (name, cells) in rows().into_iter().take(PARAMETERS.len()) {
        let (default, test) = (cells[2].trim_matches('`'), cells[5]);
        let is_answered = test.contains("what_steers_nothing_here_is_answered");
        if is_answered {
            assert_eq!(shown.get(name), None, "{name} is a key");
            assert_eq!(default, "", "{name}");
        } else {
            assert_eq!(shown.get(name).map(String::as_str), Some(default), "{name}");
        }
        if is_answered {
            let mut command = Command::new(pgpresence());
            command.args(["config", "check", "--set", &format!("presence.{name}=0")]);
            let (status, _, errors) = run(&mut command, STARTUP);
            assert_eq!(status.code(), Some(0), "{name}: {errors}");
        }
    }
}
