//! Cleaning: the notifiers' sweep, step by step, and `presence_cleanup` leave the same behind.

use std::time::{Duration, SystemTime};

use sql::Store;

use crate::database::*;

/// Epoch second at which the fixture is looked at.
const NOW: u64 = 2_000_000_000;
/// `watcher_waiting_s`
const WAITING: Duration = Duration::from_secs(300);

/// Something of each kind that is to be ended or removed, and of each kind that is not, or not yet. No trigger runs.
const FIXTURE: &str = "
    SET session_replication_role = replica;
    INSERT INTO presentity (presentity_uri, username, domain, event, ruid, expires, sweep_at, removed, ended, ended_at, body, modified)
    SELECT 'sip:' || name || '@x', name, 'x', event, ruid, 2000000000 + expires, 2000000000 + sweep, removed, ended, ended, '', to_timestamp(1)
    FROM (VALUES
        ('expired',   'presence', 'a', -5,  -5,  false, '{}'::bigint[]),
        ('refreshed', 'presence', 'a', 500, -5,  false, '{}'),
        ('live',      'presence', 'a', 500, 500, false, '{}'),
        ('gone',      'presence', 'a', -40, -1,  true,  '{}'),
        ('going',     'presence', 'a', -5,  20,  true,  '{}'),
        ('line',      'dialog',   'a', 500, 500, false, '{3}'),
        ('line',      'dialog',   'b', -40, -1,  true,  '{7,8}'),
        ('alone',     'dialog',   'a', -40, -1,  true,  '{9}')) AS v (name, event, ruid, expires, sweep, removed, ended);
    INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
        to_tag, from_tag, callid, remote_cseq, contact, expires, sweep_at, status, reason, ended, updated, updated_winfo, winfo_changed_at)
    SELECT 'sip:' || name || '@x', 'w', 'x', '', '', '', '', 'a', 'b', name, 1, '', 2000000000 + expires, 2000000000 + sweep, status,
           '', ended, -1, -1, to_timestamp(1)
    FROM (VALUES
        ('expired',   -5,  -5, 1, false),
        ('refreshed', 500, -5, 1, false),
        ('forgotten', -9,  -1, 3, false),
        ('ended',     -40, -1, 3, true),
        ('unsent',    -40, -1, 3, true)) AS v (name, expires, sweep, status, ended);
    INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason, inserted_time)
    SELECT 'sip:al@x', name, 'x', status, reason, 2000000000 + inserted
    FROM (VALUES
        ('over',    4, 'timeout', -400),
        ('waiting', 4, 'timeout', -10),
        ('given',    4, 'giveup',  -61),
        ('telling', 4, 'giveup',  -30),
        ('pending', 2, '',        -400)) AS v (name, status, reason, inserted);
    INSERT INTO notify_queue (presentity_uri, event, version, due, not_before, rules_version, winfo_watched, owner)
    VALUES
        ('sip:idle@x',   'presence', 0, 'infinity', '-infinity', 0, false, NULL),
        ('sip:paced@x',  'presence', 0, 'infinity', to_timestamp(1999999990), 0, false, NULL),
        ('sip:rules@x',  'presence', 0, 'infinity', '-infinity', 5, false, NULL),
        ('sip:seen@x',   'presence', 0, 'infinity', '-infinity', 0, true,  NULL),
        ('sip:held@x',   'presence', 0, 'infinity', '-infinity', 0, false, 7),
        ('sip:unsent@x', 'presence.winfo', 3, to_timestamp(2000000000), '-infinity', 0, false, NULL);
    INSERT INTO node (kind, host, pid, started, heartbeat)
    VALUES ('dead', 'x', 1, to_timestamp(1), to_timestamp(1999999939)), ('alive', 'x', 2, to_timestamp(1), to_timestamp(1999999990));
    SET session_replication_role = origin;";

/// Everything in the tables but what numbers and ids have been drawn.
const TABLES: &str = "
    SELECT row FROM (
        SELECT concat_ws(' ', 'presentity', username, event, ruid, removed, sweep_at - 2000000000, ended) AS row FROM presentity
        UNION ALL
        SELECT concat_ws(' ', 'dialog', callid, status, NULLIF(reason, ''), updated, ended, sweep_at - 2000000000, updated_winfo,
                         extract(epoch FROM winfo_changed_at)::bigint) FROM active_watchers
        UNION ALL
        SELECT concat_ws(' ', 'watcher', watcher_username, status, NULLIF(reason, ''), inserted_time - 2000000000) FROM watchers
        UNION ALL
        SELECT concat_ws(' ', 'queue', presentity_uri, event, version > 0, flagged_due, due, owed_since) FROM notify_queue
        UNION ALL
        SELECT concat_ws(' ', 'node', kind) FROM node) AS all_rows
    ORDER BY row";

async fn filled() -> Database {
    let database = Database::new().await;
    database.hand.batch_execute(FIXTURE).await.unwrap();
    database.by_hand("SET timezone = 'UTC'").await;
    database
}

async fn tables(database: &Database) -> Vec<String> {
    let rows = database.rows(TABLES, &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

/// Each step of the sweep, over and over until nothing is left.
async fn sweep(store: &Store, quiet: bool) {
    loop {
        let touched = [
            Ok(sweep_publications(store, 2, quiet).await),
            Ok(sweep_dialogs(store, 2).await),
            store.maintenance().delete_idle_resources(2).await,
            store.watcher().give_up(2, WAITING).await,
            store.watcher().delete_waiting(2).await,
            store.maintenance().delete_dead_nodes().await,
        ];
        if touched.into_iter().map(Result::unwrap).sum::<u64>() == 0 {
            return;
        }
    }
}

/// The same by one function.
async fn clean_up(database: &Database, second: u64, quiet: bool) {
    let clock = format!("SELECT set_config('pgpresence.now', to_timestamp({second})::text, false)");
    let _: String = database.value(&clock).await;
    let cleanup = format!("SELECT presence_cleanup(2, {quiet}, 300)");
    while database.value::<i64>(&cleanup).await > 0 {}
}

#[tokio::test]
async fn the_order_leaves_what_the_sweep_leaves() {
    for quiet in [false, true] {
        let (swept, ordered) = (filled().await, filled().await);
        assert_eq!(tables(&swept).await, tables(&ordered).await);
        // Now; when tombstones and those who were given up on have been remembered for long enough; and when all time is over.
        for later in [0, 70, 1000] {
            sweep(&swept.store.at(at(NOW + later)), quiet).await;
            clean_up(&ordered, NOW + later, quiet).await;
            let found = tables(&ordered).await;
            assert_eq!(
                found,
                tables(&swept).await,
                "after {later} s, quiet {quiet}"
            );
            let has = |part: &str| found.iter().any(|row| row.starts_with(part));
            let has_due = |uri: &str| has(&format!("queue sip:{uri}@x presence t"));
            assert_eq!(has_due("expired"), !quiet, "{found:#?}");
            match later {
                0 => {
                    for (part, is_there) in [
                        ("presentity expired presence a t 32", true),
                        ("presentity refreshed presence a f 500", true),
                        ("presentity gone", false),
                        ("presentity going", true),
                        ("presentity line dialog a f 500 {8,7,3}", true),
                        ("presentity line dialog b", false),
                        ("presentity alone", false),
                        ("dialog expired 3 timeout 0", true),
                        ("dialog refreshed 1", true),
                        ("dialog forgotten 3 timeout 0", false),
                        ("dialog forgotten 3 0 f 300", true),
                        ("dialog ended", false),
                        ("dialog unsent", true),
                        ("watcher over 4 giveup 0", true),
                        ("watcher waiting 4 timeout", true),
                        ("watcher given", false),
                        ("watcher telling 4 giveup", true),
                        ("watcher pending", true),
                        ("queue sip:idle@x", false),
                        ("queue sip:paced@x", true),
                        ("queue sip:rules@x", true),
                        ("queue sip:seen@x", true),
                        ("queue sip:held@x", true),
                        ("node dead", false),
                        ("node alive", true),
                    ] {
                        assert_eq!(has(part), is_there, "{part}: {found:#?}");
                    }
                }
                70 => {
                    assert!(!has("presentity expired") && !has("presentity going"));
                    assert!(!has("watcher telling") && !has("watcher over"));
                    assert!(!has("queue sip:paced@x") && !has("node"));
                    assert!(has("watcher waiting 4 timeout"));
                }
                _ => {
                    assert!(has("watcher waiting 4 giveup 1000"));
                    assert!(has("watcher pending"));
                    assert!(has("presentity live presence a t") && has("dialog refreshed 3"));
                }
            }
        }
    }
}

/// Whoever holds a row holds up nobody: it is left for the next time.
#[tokio::test]
async fn rows_that_somebody_holds_are_left() {
    let database = filled().await;
    let mut other = database.session().await;
    let held = other.transaction().await.unwrap();
    for lock in [
        "SELECT FROM presentity WHERE username IN ('expired', 'gone', 'line') FOR UPDATE",
        "SELECT FROM active_watchers WHERE callid IN ('expired', 'ended') FOR UPDATE",
        "SELECT FROM watchers WHERE watcher_username IN ('over', 'given') FOR UPDATE",
        "SELECT FROM notify_queue WHERE presentity_uri = 'sip:idle@x' FOR UPDATE",
        "SELECT FROM node WHERE kind = 'dead' FOR UPDATE",
    ] {
        held.execute(lock, &[]).await.unwrap();
    }
    database.by_hand("SET lock_timeout = '5s'").await;
    clean_up(&database, NOW, false).await;
    let left = tables(&database).await;
    let has = |part: &str| left.iter().any(|row| row.starts_with(part));
    for part in [
        "presentity expired presence a f",
        "presentity gone",
        "presentity line dialog b t",
        "dialog expired 1",
        "dialog ended",
        "watcher over 4 timeout",
        "watcher given",
        "queue sip:idle@x",
        "node dead",
    ] {
        assert!(has(part), "{part}: {left:#?}");
    }
    assert!(!has("presentity alone"), "{left:#?}");
    held.rollback().await.unwrap();
    clean_up(&database, NOW, false).await;
    let left = tables(&database).await;
    let has = |part: &str| left.iter().any(|row| row.starts_with(part));
    assert!(!has("presentity gone") && !has("node dead") && !has("queue sip:idle@x"));
}
