//! Rules end to end: who is let in, what is shown to whom, and what a change of the rules does (RFC 4745, RFC 5025, RFC 3857).

mod changes;
mod handling;
mod scale;
mod shown;
mod time;

use system_tests::phone::Dialog;
use system_tests::system::System;

const BOB: &str = "sip:bob@example.org";

/// A document of these rules, as a client stores it.
fn ruleset(rules: &str) -> String {
    format!(
        "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\">{rules}</ruleset>"
    )
}

/// A rule for one watcher, or for everybody; the whole document is provided.
fn rule(id: &str, conditions: &str, handling: &str) -> String {
    part(
        id,
        conditions,
        handling,
        "<p:provide-services><p:all-services/></p:provide-services><p:provide-persons><p:all-persons/></p:provide-persons>\
        <p:provide-devices><p:all-devices/></p:provide-devices><p:provide-all-attributes/>",
    )
}

/// A rule with transformations of its own.
fn part(id: &str, conditions: &str, handling: &str, provided: &str) -> String {
    format!(
        "<rule id=\"{id}\"><conditions>{conditions}</conditions><actions><p:sub-handling>{handling}</p:sub-handling></actions>\
        <transformations>{provided}</transformations></rule>"
    )
}

fn one(watcher: &str) -> String {
    format!("<identity><one id=\"{watcher}\"/></identity>")
}

/// Stores Bob's rules, as an XCAP server does.
fn store(system: &System, rules: &str) {
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
         VALUES ('bob', 'example.org', '{}', 2, 'e1', '/pres-rules/users/bob/index')",
        ruleset(rules)
    ));
}

/// Changes them.
fn change(system: &System, rules: &str) {
    system.psql(&format!(
        "UPDATE xcap SET doc = '{}' WHERE doc_type = 2",
        ruleset(rules)
    ));
}

/// Subscription-State of the newest NOTIFY.
fn state(dialog: &Dialog) -> String {
    let last = dialog.last();
    let header = last
        .as_ref()
        .and_then(|n| n.message.header("Subscription-State"));
    header.unwrap_or_default().to_owned()
}
