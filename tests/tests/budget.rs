//! Round trips and rows written for each request, as DESIGN promises them: counted by PostgreSQL itself
//! (`pg_stat_statements` and a row trigger), not by reading code.

use std::collections::BTreeMap;
use std::time::Duration;

use system_tests::message::Message;
use system_tests::phone::{Dialog, Phone};
use system_tests::pidf;
use system_tests::system::{self, System};
use tokio_postgres::Client;

const BOB: &str = "sip:bob@example.org";

/// A system whose database counts: every statement, and every row written.
async fn counting(notifiers: usize) -> (System, Client) {
    let system = system::setup()
        .notifiers(notifiers)
        .set("presence.clean_period", 3600)
        .start();
    let client = system.sql().await;
    client
        .batch_execute(
            "CREATE EXTENSION IF NOT EXISTS pg_stat_statements;
             CREATE TABLE written (place text, verb text);
             CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO written VALUES (TG_TABLE_NAME, TG_OP); RETURN NULL; END';
             CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON presentity FOR EACH ROW EXECUTE FUNCTION note_write();
             CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON active_watchers FOR EACH ROW EXECUTE FUNCTION note_write();
             CREATE TRIGGER counted AFTER INSERT OR UPDATE OR DELETE ON notify_queue FOR EACH ROW EXECUTE FUNCTION note_write();",
        )
        .await
        .unwrap();
    (system, client)
}

async fn reset(client: &Client) {
    client
        .batch_execute("SELECT pg_stat_statements_reset(); TRUNCATE written")
        .await
        .unwrap();
}

/// Rows written, by table.
async fn written(client: &Client) -> BTreeMap<String, i64> {
    let rows = client
        .query("SELECT place, count(*) FROM written GROUP BY 1", &[])
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Statements that worked for requests, and how often: without the heartbeat, the doorbell, and ours.
async fn statements(client: &Client) -> Vec<(String, i64)> {
    let rows = client
        .query(
            "SELECT query, calls FROM pg_stat_statements, \
                    regexp_replace(query, '--[^\\n]*', '', 'g') AS code \
             WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
             AND query !~ '^-- ((publication|subscription)[.](expire|delete)_|node[.]|maintenance[.])' \
             AND code !~* '(pg_stat_statements|written|pg_notify|^\\s*(listen|set|reset|discard|begin|commit|select \\$1$))' \
             ORDER BY calls DESC, query",
            &[],
        )
        .await
        .unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

fn rows(presentity: i64, watchers: i64, queue: i64) -> BTreeMap<String, i64> {
    [
        ("presentity", presentity),
        ("active_watchers", watchers),
        ("notify_queue", queue),
    ]
    .into_iter()
    .filter(|(_, count)| *count > 0)
    .map(|(place, count)| (place.to_string(), count))
    .collect()
}

async fn costs(
    client: &Client,
    phone: &Phone,
    system: &System,
    what: &str,
    request: &Message,
    wanted: BTreeMap<String, i64>,
) -> Message {
    reset(client).await;
    let response = phone.send(request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{what}: {response}");
    let seen = statements(client).await;
    let calls: i64 = seen.iter().map(|(_, calls)| calls).sum();
    assert_eq!(calls, 1, "{what}: one round trip, not {seen:#?}");
    assert_eq!(written(client).await, wanted, "{what}: rows written");
    response
}

/// PUBLISH: one round trip, one row and one queue row, however many watchers there are; a refresh writes
/// no queue row at all.
#[tokio::test(flavor = "multi_thread")]
async fn publish() {
    let (system, client) = counting(0).await;
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    for watchers in [0, 100] {
        for _ in 0..watchers {
            alice.subscribe(system.udp(0), BOB, 600).await;
        }
        let mut publisher = bob.publisher(BOB);
        for (what, body, expires, wanted) in [
            ("initial", Some("a"), 600, rows(1, 0, 1)),
            ("modify", Some("b"), 600, rows(1, 0, 1)),
            ("refresh", None, 500, rows(1, 0, 0)),
            ("remove", None, 0, rows(1, 0, 1)),
        ] {
            let document = body.map(|note| pidf::document(BOB, "t", "open", note));
            let request = publisher.draft(document.as_deref(), Some(expires));
            let what = format!("{what} with {watchers} watchers");
            let response = costs(&client, &bob, &system, &what, &request, wanted).await;
            publisher.learn(&response);
        }
    }
}

/// SUBSCRIBE: one round trip, one row and one queue row.
#[tokio::test(flavor = "multi_thread")]
async fn subscribe() {
    let (system, client) = counting(0).await;
    let alice = Phone::udp("alice").await;
    let request = alice.subscription(BOB, Some(600));
    let dialog = alice.expect_dialog(&request);
    let response = costs(&client, &alice, &system, "initial", &request, rows(0, 1, 1)).await;
    dialog.learn(&response);
    for (what, expires) in [("refresh", "500"), ("unsubscribe", "0")] {
        let request = dialog.request("SUBSCRIBE").with("Expires", expires);
        costs(&client, &alice, &system, what, &request, rows(0, 1, 1)).await;
    }
    let request = alice.subscription(BOB, Some(0));
    alice.expect_dialog(&request);
    costs(&client, &alice, &system, "fetch", &request, rows(0, 1, 1)).await;
}

/// Refused requests cost no round trip when the database is not needed to refuse them.
#[tokio::test(flavor = "multi_thread")]
async fn refusals() {
    let (system, client) = counting(0).await;
    let phone = Phone::udp("bob").await;
    reset(&client).await;
    let document = pidf::document(BOB, "t", "open", "x");
    let publish = phone.publisher(BOB).draft(Some(&document), Some(60));
    for (request, status) in [
        (phone.request("INVITE", BOB), 405),
        (publish.clone().set("Event", "x"), 489),
        (publish.clone().set("Content-Type", "text/plain"), 415),
        (publish.clone().set("Expires", "x"), 400),
        (publish.with("Require", "x"), 420),
        (phone.request("OPTIONS", BOB), 200),
    ] {
        assert_eq!(
            phone
                .send(&request.set("Via", phone.via()), system.udp(0))
                .await
                .status(),
            Some(status)
        );
    }
    assert_eq!(statements(&client).await, []);
}

/// Requests that come together share round trips.
#[tokio::test(flavor = "multi_thread")]
async fn requests_share_round_trips() {
    let (system, client) = counting(0).await;
    let phone = Phone::udp("many").await;
    reset(&client).await;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let presentity = format!("sip:u{number}@example.org");
        let document = pidf::document(&presentity, "t", "open", "x");
        let request = phone
            .publisher(&presentity)
            .draft(Some(&document), Some(60));
        let (phone, server) = (phone.clone(), system.udp(0));
        tasks.spawn(async move { phone.send(&request, server).await });
    }
    for response in tasks.join_all().await {
        assert_eq!(response.status(), Some(200), "{response}");
    }
    let calls: i64 = statements(&client)
        .await
        .iter()
        .map(|(_, calls)| calls)
        .sum();
    assert!(calls < 250, "500 PUBLISHes in {calls} round trips");
    assert_eq!(written(&client).await, rows(500, 0, 500));
}

/// NOTIFY to N watchers: three round trips for the batch (claim, take, settle) beside the reading of the
/// publications; N rows of dialogs, and two of the queue.
#[tokio::test(flavor = "multi_thread")]
async fn notify() {
    let (system, client) = counting(1).await;
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let mut dialogs: Vec<Dialog> = Vec::new();
    for _ in 0..50 {
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        dialogs.push(dialog);
    }
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'";
    system.until(Duration::from_secs(10), idle, 0).await;
    reset(&client).await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    for dialog in &dialogs {
        dialog.until("x", |notify| notify.note() == Some("x")).await;
    }
    system.until(Duration::from_secs(10), idle, 0).await;
    let seen = statements(&client).await;
    let of = |verb: &str| -> i64 {
        let matching = seen
            .iter()
            .filter(|(query, _)| query.to_lowercase().contains(verb));
        matching.map(|(_, calls)| calls).sum()
    };
    let rows = written(&client).await;
    assert_eq!(rows["active_watchers"], 50, "{rows:?}");
    assert_eq!(rows["presentity"], 1, "{rows:?}");
    // One by the PUBLISH, one each by claim and settle; settling may take one more step.
    assert!((3..=5).contains(&rows["notify_queue"]), "{rows:?}");
    println!("{seen:#?} {}", of("update"));
}

/// A change that shows nobody anything new, here the end of a publication that a newer one hides: its document is made once for 100
/// watchers and compared in one statement. No NOTIFY, and no row of a dialog is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_is_not_shown() {
    let (system, client) = counting(1).await;
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let document = |id: u32| {
        format!(
            "<conference-info xmlns=\"urn:ietf:params:xml:ns:conference-info\" entity=\"{BOB}\" state=\"full\" version=\"{id}\">\
             <users><user entity=\"sip:u{id}@example.org\"/></users></conference-info>"
        )
    };
    let mut older = bob.publisher_of(BOB, "conference");
    let mut newer = bob.publisher_of(BOB, "conference");
    for (id, publisher) in [(1, &mut older), (2, &mut newer)] {
        let request = publisher.draft(Some(&document(id)), Some(600));
        let request = request.set("Content-Type", "application/conference-info+xml");
        let response = bob.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        publisher.learn(&response);
    }
    let mut dialogs: Vec<Dialog> = Vec::new();
    for _ in 0..100 {
        let request = alice.subscription_to(BOB, "conference", Some(600));
        let (dialog, _) = alice.subscribe_with(&request, system.udp(0)).await;
        assert!(dialog.notify(1).await.body().contains("u2@"));
        dialogs.push(dialog);
    }
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";
    system.until(Duration::from_secs(10), idle, 0).await;
    reset(&client).await;
    older.remove(system.udp(0)).await;
    system.until(Duration::from_secs(10), idle, 0).await;
    let seen = statements(&client).await;
    let of = |name: &str| -> i64 {
        let matching = seen.iter().filter(|(query, _)| query.contains(name));
        matching.map(|(_, calls)| calls).sum()
    };
    assert_eq!(
        (
            of("-- publication.list_claimed"),
            of("-- subscription.take")
        ),
        (1, 1),
        "{seen:#?}"
    );
    assert_eq!(written(&client).await.get("active_watchers"), None);
    assert!(dialogs.iter().all(|dialog| dialog.count() == 1));
}

/// An idle notifier reads once a poll, and writes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn idle() {
    let (system, client) = counting(1).await;
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system
        .until(
            Duration::from_secs(10),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    reset(&client).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let seen = statements(&client).await;
    let calls: i64 = seen.iter().map(|(_, calls)| calls).sum();
    assert!(
        (20..=45).contains(&calls),
        "10 polls a second for 3 s, one statement each: {seen:#?}"
    );
    assert_eq!(written(&client).await, BTreeMap::new());
}
