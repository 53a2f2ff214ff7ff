//! `presence.cleanup` does all that the notifiers' sweep does: with `clean_period` 0 nothing goes by itself, and by the order
//! everything, which phones and tables show. With `force_delete` expired publications go without a word.

use std::time::Duration;

use system_tests::phone::{Notify, Phone};
use system_tests::process::run;
use system_tests::system::{self, STARTUP, System};

const BOB: &str = "sip:bob@example.org";

/// Twice the period of the sweep, were there one.
const QUIET: Duration = Duration::from_secs(2);

/// What waits for the sweep, one of each kind: rows that nobody but it removes.
const LEFT_BEHIND: &str = "
    SET session_replication_role = replica;
    INSERT INTO presentity (presentity_uri, username, domain, event, ruid, expires, sweep_at, removed, ended, ended_at, body) VALUES
        ('sip:gone@example.org', 'gone', 'example.org', 'presence', 'a', 1, 1, true, '{}', '{}', ''),
        ('sip:line@example.org', 'line', 'example.org', 'dialog', 'a', 1, 1, true, '{7}', '{7}', ''),
        ('sip:line@example.org', 'line', 'example.org', 'dialog', 'b', -1, 9223372036854775807, false, '{}', '{}', '');
    INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
        to_tag, from_tag, callid, remote_cseq, contact, expires, sweep_at, status, ended, updated) VALUES
        ('sip:al@example.org', 'w', 'x', '', '', '', '', 'a', 'b', 'ended', 1, '', 1, 1, 3, true, -1);
    INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason, inserted_time) VALUES
        ('sip:bob@example.org', 'over', 'x', 4, 'timeout', extract(epoch FROM now())::bigint - 1000),
        ('sip:bob@example.org', 'early', 'x', 4, 'timeout', extract(epoch FROM now())::bigint),
        ('sip:al@example.org', 'told', 'x', 4, 'giveup', extract(epoch FROM now())::bigint - 61);
    INSERT INTO notify_queue (presentity_uri, event, due) VALUES ('sip:idle@example.org', 'presence', 'infinity');
    INSERT INTO node (kind, host, pid, heartbeat) VALUES ('server', 'dead', 1, now() - interval '61 s')";

/// What of that is there, and what has become of what was not to go.
const REMAINS: &str = "
    SELECT concat_ws(' ',
        (SELECT count(*) FROM presentity WHERE username = 'gone'),
        (SELECT string_agg(ruid || ended::text, ',' ORDER BY ruid) FROM presentity WHERE username = 'line'),
        (SELECT count(*) FROM active_watchers WHERE callid = 'ended'),
        (SELECT string_agg(watcher_username || ':' || reason, ',' ORDER BY watcher_username) FROM watchers),
        (SELECT count(*) FROM notify_queue WHERE presentity_uri = 'sip:idle@example.org'),
        (SELECT count(*) FROM node WHERE host = 'dead'),
        (SELECT count(*) FROM presentity WHERE username = 'bob' AND NOT removed))";

const ALL: &str = "1 a{7},b{} 1 early:timeout,over:timeout,told:giveup 1 1 1";
const CLEANED: &str = "0 b{7} 0 early:timeout,over:giveup 0 0 0";

/// How the order is given.
#[derive(Clone, Copy, Debug)]
enum By {
    Shell,
    Http,
    Sql,
}

async fn order(system: &System, by: By, is_quiet: bool) {
    match by {
        By::Shell => {
            let mut command = system.command("rpc");
            command.arg("presence.cleanup");
            let (status, out, err) = run(&mut command, STARTUP);
            assert!(status.success() && out.trim() == "Reload OK", "{out}{err}");
        }
        By::Http => {
            let lines = system.servers[0].process.lines();
            let shown = lines
                .iter()
                .find_map(|line| line.strip_prefix("takes RPC at "))
                .unwrap();
            let mut command = std::process::Command::new("curl");
            command.args(["-s", "-H", "Content-Type: application/json", shown, "-d"]);
            command.arg(r#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": 1}"#);
            let (_, out, err) = run(&mut command, STARTUP);
            assert!(out.contains("Reload OK"), "{out}{err}");
        }
        By::Sql => {
            let call = format!("SELECT presence_cleanup(quiet => {is_quiet}, waiting_s => 600)");
            while system.psql(&call) != "0" {}
        }
    }
}

async fn cleaned(by: By, force_delete: u8) {
    let system = system::setup()
        .by_role()
        .set("http.listen", "127.0.0.1:0")
        .set("presence.clean_period", 0)
        .set("presence.force_delete", force_delete)
        .set("presence.watcher_waiting_s", 600)
        .set("presence.waitn_time", 0)
        .start();
    let server = system.udp(0);
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(server, BOB, 600).await;
    let lapsed = alice.subscribe(server, "sip:carol@example.org", 600).await;
    let watchers = bob.subscribe_to(server, BOB, "presence.winfo", 600).await;
    dialog.notify(1).await;
    lapsed.notify(1).await;
    bob.publisher(BOB).show(server, "open", "here").await;
    dialog
        .until("here", |notify| notify.note() == Some("here"))
        .await;
    watchers.notify(1).await;

    // Time passes: no trigger tells of it, as it is with time.
    system.psql(
        "SET session_replication_role = replica; \
         UPDATE presentity SET expires = 1, sweep_at = 1 WHERE username = 'bob'; \
         UPDATE active_watchers SET expires = 1, sweep_at = 1 WHERE presentity_uri = 'sip:carol@example.org'",
    );
    system.psql(LEFT_BEHIND);
    tokio::time::sleep(QUIET).await;
    assert_eq!(system.psql(REMAINS), ALL, "nothing goes by itself");
    let (told, ended) = (dialog.count(), lapsed.count());
    assert_eq!((told, ended), (2, 1));

    order(&system, by, force_delete == 1).await;
    assert_eq!(system.psql(REMAINS), CLEANED, "{by:?} {force_delete}");
    let last = lapsed.until("the end of its time", Notify::ends).await;
    let state = last.message.header("Subscription-State");
    assert_eq!(state, Some("terminated;reason=timeout"));
    watchers
        .until("who was given up on", |notify| {
            notify.body().contains("giveup")
        })
        .await;
    let mut expected = told;
    if force_delete == 0 {
        dialog
            .until("closed", |notify| notify.basic() == "closed")
            .await;
        expected += 1;
    }
    bob.publisher(BOB).show(server, "open", "again").await;
    dialog
        .until("again", |notify| notify.note() == Some("again"))
        .await;
    assert_eq!(
        dialog.count(),
        expected + 1,
        "with force_delete without a word"
    );
    // A minute later who was given up on is forgotten, and tombstones are.
    system.psql(
        "UPDATE watchers SET inserted_time = inserted_time - 61 WHERE reason = 'giveup'; \
         UPDATE presentity SET sweep_at = 1 WHERE removed",
    );
    order(&system, by, force_delete == 1).await;
    let left = "SELECT (SELECT count(*) FROM watchers) + (SELECT count(*) FROM presentity)";
    assert_eq!(system.count(left).await, 3, "who waits, the line, bob");
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_shell() {
    cleaned(By::Shell, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_the_shell_with_force_delete() {
    cleaned(By::Shell, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http() {
    cleaned(By::Http, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http_with_force_delete() {
    cleaned(By::Http, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sql() {
    cleaned(By::Sql, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn by_sql_with_force_delete() {
    cleaned(By::Sql, 1).await;
}
