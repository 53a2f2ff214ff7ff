//! SQL is an interface: what is typed into the real `psql` lights the lamps exactly as a PUBLISH does.
//! The rows are written with Kamailio's columns alone, as its users' scripts write them.

use std::time::Duration;

use system_tests::phone::{Dialog, Phone};
use system_tests::pidf;
use system_tests::system::{self, System};

const BOB: &str = "sip:bob@example.org";

async fn watched() -> (System, Dialog) {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    (system, dialog)
}

fn insert(etag: &str, expires: &str, body: &str) -> String {
    format!(
        "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender, priority) \
         VALUES ('bob', 'example.org', 'presence', '{etag}', {expires}, extract(epoch FROM now())::bigint, '{body}', '', 0)"
    )
}

fn body(basic: &str, note: &str) -> String {
    pidf::document(BOB, "typed", basic, note).replace("\r\n", " ")
}

const IN_AN_HOUR: &str = "extract(epoch FROM now())::bigint + 3600";

/// INSERT, UPDATE and DELETE, one after another.
#[tokio::test(flavor = "multi_thread")]
async fn insert_update_delete() {
    let (system, dialog) = watched().await;
    system.psql(&insert("by-hand", IN_AN_HOUR, &body("open", "typed")));
    dialog
        .until("typed", |notify| notify.note() == Some("typed"))
        .await;
    system.psql(&format!(
        "UPDATE presentity SET body = '{}' WHERE username = 'bob'",
        body("closed", "changed")
    ));
    let notify = dialog
        .until("changed", |notify| notify.note() == Some("changed"))
        .await;
    assert_eq!(notify.basic(), "closed");
    system.psql("DELETE FROM presentity WHERE username = 'bob'");
    dialog
        .until("nothing", |notify| {
            notify.note().is_none() && !notify.presence.as_ref().unwrap().is_open()
        })
        .await;
    assert_eq!(dialog.count(), 4);
}

/// A pidf-manipulation document (RFC 4827) reaches watchers, is joined by what is published, and outlives it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stored_document_is_hard_state() {
    let (system, dialog) = watched().await;
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
         VALUES ('bob', 'example.org', '{}', 16, 'e1', '/pidf-manipulation/users/bob/index')",
        pidf::document(BOB, "stored", "open", "on holiday").replace("\r\n", " ")
    ));
    let notify = dialog
        .until("stored", |notify| notify.note() == Some("on holiday"))
        .await;
    assert_eq!(notify.basic(), "open");
    system.psql(&insert("soft", IN_AN_HOUR, &body("closed", "published")));
    dialog
        .until("both", |notify| {
            let text = String::from_utf8_lossy(&notify.message.body);
            text.contains("on holiday") && text.contains("published")
        })
        .await;
    system.psql("DELETE FROM presentity");
    dialog
        .until("stored alone", |notify| {
            let text = String::from_utf8_lossy(&notify.message.body);
            text.contains("on holiday") && !text.contains("published")
        })
        .await;
    system.psql("DELETE FROM xcap");
    dialog
        .until("nothing", |notify| {
            notify.note().is_none() && !notify.presence.as_ref().unwrap().is_open()
        })
        .await;
    assert_eq!(dialog.count(), 5);
}

/// Kamailio's upper-case domain and a row that never expires (`expires = -1`, its hard state).
#[tokio::test(flavor = "multi_thread")]
async fn hard_state() {
    let (system, dialog) = watched().await;
    system.psql(
        &insert("hard", "-1", &body("open", "for ever")).replace("'example.org'", "'Example.ORG'"),
    );
    dialog
        .until("for ever", |notify| notify.note() == Some("for ever"))
        .await;
    // Two clean-ups later it is still there.
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
    assert_eq!(dialog.count(), 2);
}

/// `UPDATE … SET expires` by hand ends a publication that would have lived on; a short one that is
/// inserted goes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_by_hand() {
    let (system, dialog) = watched().await;
    system.psql(&insert("a", IN_AN_HOUR, &body("open", "long")));
    dialog
        .until("long", |notify| notify.note() == Some("long"))
        .await;
    system.psql("UPDATE presentity SET expires = 1 WHERE etag = 'a'");
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM presentity WHERE NOT removed",
            0,
        )
        .await;
    system.psql(&insert(
        "b",
        "extract(epoch FROM now())::bigint + 2",
        &body("open", "short"),
    ));
    dialog
        .until("short", |notify| notify.note() == Some("short"))
        .await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
}

/// What changes nothing that a watcher can see tells nobody: expiry, entity-tag, received time, the same
/// body again.
#[tokio::test(flavor = "multi_thread")]
async fn invisible_changes() {
    let (system, dialog) = watched().await;
    system.psql(&insert("x", IN_AN_HOUR, &body("open", "same")));
    dialog
        .until("same", |notify| notify.note() == Some("same"))
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;
    for change in [
        "expires = expires + 5",
        "etag = 'y'",
        "received_time = received_time + 1",
        "body = body",
        "username = 'bob'",
    ] {
        system.psql(&format!("UPDATE presentity SET {change}"));
        assert_eq!(
            system
                .count("SELECT count(*) FROM notify_queue WHERE due <> 'infinity'")
                .await,
            0,
            "{change}"
        );
    }
    assert_eq!(dialog.count(), 2);
}

/// A row that moves to another presentity is news for the watchers of both.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_moves() {
    let (system, dialog) = watched().await;
    let carol = dialog
        .phone()
        .subscribe(system.udp(0), "sip:carol@example.org", 600)
        .await;
    carol.notify(1).await;
    system.psql(&insert("m", IN_AN_HOUR, &body("open", "moves")));
    dialog
        .until("moves", |notify| notify.note() == Some("moves"))
        .await;
    system.psql("UPDATE presentity SET username = 'carol' WHERE etag = 'm'");
    dialog.until("gone", |notify| notify.note().is_none()).await;
    carol
        .until("there", |notify| notify.note() == Some("moves"))
        .await;
}

/// One statement for very many presentities: each watcher is told once, and only what concerns him.
#[tokio::test(flavor = "multi_thread")]
async fn one_statement_for_many() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let mut dialogs = Vec::new();
    for number in 0..30 {
        let dialog = alice
            .subscribe(system.udp(0), &format!("sip:u{number}@example.org"), 600)
            .await;
        dialog.notify(1).await;
        dialogs.push(dialog);
    }
    system.psql(&format!(
        "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender) \
         SELECT 'u' || n, 'example.org', 'presence', 'e' || n, {IN_AN_HOUR}, 0, \
         convert_to(replace('{}', 'sip:bob@', 'sip:u' || n || '@'), 'UTF8'), '' FROM generate_series(0, 999) n",
        body("open", "all")
    ));
    for dialog in &dialogs {
        dialog
            .until("all", |notify| notify.note() == Some("all"))
            .await;
        assert_eq!(dialog.count(), 2);
    }
    system.psql("BEGIN; UPDATE presentity SET body = convert_to(replace(convert_from(body, 'UTF8'), '>all<', '>one<'), 'UTF8'); \
         UPDATE presentity SET body = convert_to(replace(convert_from(body, 'UTF8'), '>one<', '>two<'), 'UTF8'); COMMIT");
    for dialog in &dialogs {
        dialog
            .until("two", |notify| notify.note() == Some("two"))
            .await;
        assert_eq!(dialog.count(), 3, "a transaction is one change");
    }
    system.psql("TRUNCATE presentity");
}

/// A change that is rolled back never was.
#[tokio::test(flavor = "multi_thread")]
async fn rolled_back() {
    let (system, dialog) = watched().await;
    system.psql(&format!(
        "BEGIN; {}; ROLLBACK",
        insert("never", IN_AN_HOUR, &body("open", "never"))
    ));
    system.psql(&insert("real", IN_AN_HOUR, &body("open", "real")));
    dialog
        .until("real", |notify| notify.note() == Some("real"))
        .await;
    assert_eq!(dialog.count(), 2);
}

/// A body that is no PIDF at all, typed by hand, darkens nobody else's publication.
#[tokio::test(flavor = "multi_thread")]
async fn a_bad_body_by_hand() {
    let (system, dialog) = watched().await;
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(system.udp(0), "open", "good").await;
    dialog
        .until("good", |notify| notify.note() == Some("good"))
        .await;
    system.psql(&insert("bad", IN_AN_HOUR, "this is <no PIDF"));
    bob.publisher(BOB)
        .publish(
            system.udp(0),
            &pidf::document(BOB, "second", "open", "still here"),
            600,
        )
        .await;
    let notify = dialog
        .until("still here", |notify| notify.note() == Some("still here"))
        .await;
    assert_eq!(notify.presence.unwrap().tuples.len(), 2);
}

/// `UPDATE active_watchers SET updated = 0` is Kamailio's way to owe a dialog a NOTIFY.
#[tokio::test(flavor = "multi_thread")]
async fn flag_a_dialog_by_hand() {
    let (system, dialog) = watched().await;
    system.psql("UPDATE active_watchers SET updated = 0");
    dialog.notify(2).await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE updated = -1",
            1,
        )
        .await;
}

/// A subscription whose time an operator takes away ends, and the watcher is told.
#[tokio::test(flavor = "multi_thread")]
async fn end_a_subscription_by_hand() {
    let (system, dialog) = watched().await;
    system.psql("UPDATE active_watchers SET expires = 1");
    dialog
        .until("the last NOTIFY", system_tests::phone::Notify::ends)
        .await;
}

/// Every column of every table is commented: `\d+` explains them.
#[tokio::test(flavor = "multi_thread")]
async fn columns_are_commented() {
    let system = system::setup().servers(0).notifiers(0).start();
    let bare = system.psql(
        "SELECT string_agg(c.relname || '.' || a.attname, ' ') FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
         JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = 'public' \
         WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND c.relname <> 'refinery_schema_history' \
         AND col_description(c.oid, a.attnum) IS NULL",
    );
    assert_eq!(bare, "");
}
