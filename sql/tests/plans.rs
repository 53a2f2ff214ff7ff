//! Plans on 20,000 presentities and 200,000 subscriptions, as the pool's sessions make them: generic, and only by the indexes
//! that the header names. The same plans on new tables, and on tables that have filled since they
//! were analysed.

use std::future::poll_fn;

use crate::database::*;
use serde_json::Value;
use sql::{SESSION_SETTINGS, STATEMENTS, Statement};
use tokio_postgres::{AsyncMessage, Client, NoTls};

const LARGE: [&str; 5] = [
    "presentity",
    "active_watchers",
    "notify_queue",
    "watchers",
    "xcap",
];

const FIXTURE: &str = "
    SET session_replication_role = replica;
    INSERT INTO presentity (presentity_uri, username, domain, event, etag, expires, body, sweep_at)
    SELECT 'sip:u' || n || '@example.org', 'u' || n, 'example.org', 'presence', 'tag' || n, e, convert_to(repeat('x', 500), 'UTF8'), e
    FROM generate_series(1, 20000) AS n, LATERAL (SELECT extract(epoch FROM now())::bigint + n % 3600 AS e) AS expiry;
    INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
        event, to_tag, from_tag, callid, remote_cseq, contact, expires, status, updated, sweep_at, subscriber_key)
    SELECT 'sip:u' || n % 20000 || '@example.org', 'w', 'example.org', 'u', 'example.org', 'w', 'example.org',
        'presence', 'ours' || n, 'theirs' || n, 'call' || n, 1, 'sip:w@192.0.2.1', e, 1,
        CASE WHEN n % 100 = 0 THEN 0 ELSE -1 END, e, CASE WHEN n % 4 = 0 THEN 'instance:' || n END
    FROM generate_series(1, 200000) AS n, LATERAL (SELECT extract(epoch FROM now())::bigint + n % 3600 AS e) AS expiry;
    INSERT INTO notify_queue (presentity_uri, event, version, due)
    SELECT 'sip:u' || n || '@example.org', 'presence', n, CASE WHEN n % 10 = 0 THEN now() ELSE 'infinity' END
    FROM generate_series(1, 20000) AS n;
    INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, view)
    SELECT 'sip:u' || n % 20000 || '@example.org', 'w' || n, 'example.org', CASE WHEN n % 50 = 0 THEN 2 ELSE 1 END, 'all'
    FROM generate_series(1, 100000) AS n;
    INSERT INTO xcap (presentity_uri, username, domain, doc, doc_type, etag, doc_uri)
    SELECT 'sip:u' || n || '@example.org', 'u' || n, 'example.org', convert_to(repeat('x', 300), 'UTF8'), type, 'tag', type || '/u' || n
    FROM generate_series(1, 10000) AS n, unnest(ARRAY[2, 4, 16]) AS type;
    INSERT INTO subscriber (username, domain, ha1) SELECT 'u' || n, 'example.org', md5(n::text) FROM generate_series(1, 20000) AS n;
    INSERT INTO presence_delegate (identity, presentity_uri)
    SELECT 'sip:u' || n || '@example.org', 'sip:u' || n + 1 || '@example.org' FROM generate_series(1, 20000) AS n;
    -- Something for each step of cleaning.
    UPDATE presentity SET sweep_at = 1, removed = id % 3 <> 0 WHERE id % 100 < 3;
    UPDATE presentity SET ended = '{7}', ended_at = '{7}' WHERE removed AND id % 3 = 1;
    UPDATE active_watchers SET sweep_at = 1, ended = id % 2 = 0, status = CASE WHEN id % 2 = 0 THEN 3 ELSE 1 END, updated = -1
    WHERE id % 100 < 2;
    SET session_replication_role = origin;";

#[tokio::test]
async fn every_plan_uses_the_indexes_of_its_header() {
    let database = Database::new().await;
    for (name, value) in SESSION_SETTINGS {
        database.by_hand(&format!("SET {name} = {value}")).await;
    }
    let mut faults = Vec::new();
    let mut inside = Inside::open(&database).await;
    check(&database, &mut inside, "new", &mut faults).await;
    // Known to be empty, then filled: what a session plans when it plans again, long before autovacuum comes by.
    database.hand.batch_execute("VACUUM ANALYZE").await.unwrap();
    database.hand.batch_execute(FIXTURE).await.unwrap();
    check(&database, &mut inside, "filled", &mut faults).await;
    database.hand.batch_execute("VACUUM ANALYZE").await.unwrap();
    check(&database, &mut inside, "large", &mut faults).await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

async fn check(database: &Database, inside: &mut Inside, tables: &str, faults: &mut Vec<String>) {
    for (number, statement) in STATEMENTS
        .iter()
        .enumerate()
        .filter(|(_, statement)| is_planned(statement))
    {
        let prepared = format!("{tables}_{number}");
        let types = parameter_types(statement);
        let list = if types.is_empty() {
            String::new()
        } else {
            format!("({})", types.join(", "))
        };
        database
            .hand
            .batch_execute(&format!("PREPARE {prepared} {list} AS {}", statement.text))
            .await
            .unwrap();
        let nulls = vec!["NULL"; types.len()].join(", ");
        let arguments = if types.is_empty() {
            String::new()
        } else {
            format!("({nulls})")
        };
        let explain = format!("EXPLAIN (FORMAT JSON) EXECUTE {prepared} {arguments}");
        let plan = plan(database, &explain).await;
        let allowed = allowed_indexes(statement);
        judge(statement.name, &allowed, tables, &plan, faults);
    }
    let mut steps = 0;
    for (statement, function) in cleaning() {
        steps += 1;
        let allowed = allowed_indexes(statement);
        for plan in inside.plans(statement, function, tables).await {
            judge(function, &allowed, tables, &plan, faults);
        }
    }
    assert_eq!(steps, 10, "steps of cleaning");
    // What docs/SQL.md says of searches by presentity.
    let states = "EXPLAIN (FORMAT JSON) SELECT * FROM presence_watcher_states WHERE presentity_uri = 'sip:u1@example.org'";
    let plan = plan(database, states).await;
    let allowed = ["watchers_watcher_idx", "active_watchers_resource_idx"];
    let name = "presence_watcher_states";
    judge(name, &allowed, tables, &plan, faults);
}

/// The answer to an `EXPLAIN (FORMAT JSON)`.
async fn plan(database: &Database, explain: &str) -> Value {
    let messages = database.hand.simple_query(explain).await.unwrap();
    let text: String = messages
        .iter()
        .filter_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        })
        .collect();
    let answer: Value = serde_json::from_str(&text).unwrap();
    answer[0]["Plan"].clone()
}

/// Names the faults of a plan.
fn judge(name: &str, allowed: &[&str], tables: &str, plan: &Value, faults: &mut Vec<String>) {
    let before = faults.len();
    walk(plan, &mut |node| {
        let kind = node["Node Type"].as_str().unwrap_or_default();
        let relation = node["Relation Name"].as_str().unwrap_or_default();
        if kind == "Seq Scan" && LARGE.contains(&relation) {
            faults.push(format!("{name} ({tables}): Seq Scan of {relation}"));
        }
        // An index that is read from end to end is a Seq Scan in disguise.
        if let Some(index) = node["Index Name"].as_str() {
            if !allowed.contains(&index) {
                faults.push(format!("{name} ({tables}): {index}, not in the header"));
            } else if node["Index Cond"].is_null() && !kind.contains("Bitmap Heap") {
                faults.push(format!("{name} ({tables}): {index} without a condition"));
            }
        }
        if kind.contains("Hash Join") || kind.contains("Merge Join") {
            faults.push(format!("{name} ({tables}): {kind}"));
        }
    });
    if faults.len() > before {
        faults.push(serde_json::to_string_pretty(plan).unwrap());
    }
}

/// The statements that are one call of a function that does the work, and that function: the steps of cleaning.
fn cleaning() -> impl Iterator<Item = (&'static Statement, &'static str)> {
    STATEMENTS.iter().filter_map(|statement| {
        header(statement, "Plan").strip_prefix("one call; inside ")?;
        let (_, call) = statement.text.split_once("\nSELECT ")?;
        Some((*statement, call.split_once('(')?.0))
    })
}

/// A session that gets the plans of what runs inside functions: with the settings of the pool's sessions, the plans that these have.
struct Inside {
    client: Client,
    notices: tokio::sync::mpsc::UnboundedReceiver<String>,
}

impl Inside {
    async fn open(database: &Database) -> Inside {
        let (client, mut connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
        let (notice, notices) = tokio::sync::mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(logged) = message {
                    let _ = notice.send(logged.message().to_owned());
                }
            }
        });
        let settings = SESSION_SETTINGS.iter().copied().chain([
            ("auto_explain.log_min_duration", "0"),
            ("auto_explain.log_nested_statements", "on"),
            ("auto_explain.log_format", "json"),
            ("client_min_messages", "log"),
        ]);
        client.batch_execute("LOAD 'auto_explain'").await.unwrap();
        for (name, value) in settings {
            let set = format!("SET {name} = {value}");
            client.batch_execute(&set).await.unwrap();
        }
        Inside { client, notices }
    }

    /// Runs a statement for nothing, and returns the plans of what the function that it calls runs: the step, before which it
    /// may ask whether there is anything to do. On new tables there is not.
    async fn plans(&mut self, statement: &Statement, function: &str, tables: &str) -> Vec<Value> {
        let source = "SELECT prosrc FROM pg_proc WHERE proname = $1";
        let row = self.client.query_one(source, &[&function]).await.unwrap();
        let source: String = row.get(0);
        let arguments: Vec<&str> = parameter_types(statement)
            .iter()
            .map(|kind| if *kind == "bool" { "false" } else { "100" })
            .collect();
        let arguments = arguments.join(", ");
        // Planned anew, as the pool's sessions do every ten seconds.
        let run = format!("DISCARD PLANS; BEGIN; SELECT {function}({arguments}); ROLLBACK");
        while self.notices.try_recv().is_ok() {}
        self.client.batch_execute(&run).await.unwrap();
        let mut plans = Vec::new();
        while let Ok(logged) = self.notices.try_recv() {
            let Some((_, plan)) = logged.split_once("plan:") else {
                continue;
            };
            let plan: Value = serde_json::from_str(plan).unwrap();
            if source.contains(plan["Query Text"].as_str().unwrap()) {
                plans.push(plan["Plan"].clone());
            }
        }
        let has_written = plans.iter().any(|plan| plan["Node Type"] == "ModifyTable");
        let may_rest = tables == "new" && source.contains("IF NOT EXISTS");
        assert!(has_written || may_rest, "{function}: {plans:#?}");
        plans
    }
}

/// Statements on the large tables; `LISTEN` and the like have no plan.
fn is_planned(statement: &Statement) -> bool {
    !statement.name.starts_with("node.")
        && ![
            "queue.listen",
            "maintenance.delete_dead_nodes",
            "maintenance.discard_plans",
            "kamailio.list_columns",
        ]
        .contains(&statement.name)
}

fn walk(node: &Value, visit: &mut impl FnMut(&Value)) {
    visit(node);
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, visit);
    }
}

fn header<'a>(statement: &'a Statement, key: &str) -> &'a str {
    statement
        .text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("-- {key}:")))
        .unwrap()
        .trim()
}

fn allowed_indexes(statement: &Statement) -> Vec<&str> {
    header(statement, "Plan")
        .split([',', ' '])
        .filter(|word| word.ends_with("_idx") || word.ends_with("_pkey"))
        .collect()
}

fn parameter_types(statement: &Statement) -> Vec<&str> {
    let parameters = statement.parameters.iter();
    parameters.map(|(_, kind)| *kind).collect()
}

// === HOT ===

/// Updates of a table, and how many of them were HOT. A session reports its counts when it is idle for a while or when asked.
async fn updates(session: &tokio_postgres::Client, table: &str) -> (i64, i64) {
    let row = session
        .query_one(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_xact_user_tables WHERE relname = $1",
            &[&table],
        )
        .await
        .unwrap();
    (row.get(0), row.get(1))
}

/// Runs a statement by hand within a transaction whose own counters can then be read.
async fn hot(
    database: &Database,
    table: &str,
    statement: &str,
    given: &[(&str, &(dyn tokio_postgres::types::ToSql + Sync))],
) -> (i64, i64) {
    let mut statements = STATEMENTS.iter();
    let statement = statements.find(|found| found.name == statement).unwrap();
    let value = |(name, _): &(&str, _)| {
        let mut given = given.iter();
        given.find(|(given, _)| given == name).unwrap().1
    };
    let parameters: Vec<_> = statement.parameters.iter().map(value).collect();
    database.hand.batch_execute("BEGIN").await.unwrap();
    let rows = database.hand.query(statement.text, &parameters).await;
    rows.unwrap();
    let counts = updates(&database.hand, table).await;
    database.hand.batch_execute("COMMIT").await.unwrap();
    counts
}

#[tokio::test]
async fn a_refresh_of_a_publication_is_hot() {
    let database = Database::new().await;
    let batch: Vec<_> = (0..60)
        .map(|n| publication(&format!("u{n}"), "t1", &"x".repeat(400)))
        .collect();
    database
        .store
        .publication()
        .create_batch(&batch)
        .await
        .unwrap();
    // Refreshes come one by one, and a page is tidied between them: few of its rows change at once.
    for first in (0..60).step_by(3) {
        let uris: Vec<String> = (first..first + 3)
            .map(|n| resource(&format!("u{n}")).presentity_uri)
            .collect();
        let all = |text: &'static str| vec![text; 3];
        let nothing: Vec<Option<&str>> = vec![None; 3];
        let no_body: Vec<Option<&[u8]>> = vec![None; 3];
        let counts = hot(
            &database,
            "presentity",
            "publication.change_batch",
            &[
                ("presentity_uri", &uris),
                ("event", &all("presence")),
                ("if_match", &all("t1")),
                ("entity_tag", &all("t2")),
                ("kind", &all("refresh")),
                ("granted_s", &vec![3600_i64; 3]),
                ("content_type", &nothing),
                ("body", &no_body),
                ("sender", &nothing),
                ("keeps_tag", &vec![false; 3]),
                ("has_dialog", &vec![false; 3]),
                ("ended", &nothing),
                ("now", &None::<std::time::SystemTime>),
                ("priority", &None::<Vec<Option<i64>>>),
                ("by_age", &false),
            ],
        )
        .await;
        // The session's counts add up until it is idle.
        assert!(
            counts.0 >= 3 && counts.0 == counts.1,
            "{counts:?} of {first} and on"
        );
    }
}

#[tokio::test]
async fn taking_dialogs_for_a_state_change_is_hot() {
    let database = Database::new().await;
    let rows: Vec<_> = (0..50)
        .map(|n| subscription("bob", &format!("call-{n}")))
        .collect();
    database
        .store
        .subscription()
        .create_batch(&rows)
        .await
        .unwrap();
    let claimed = database
        .store
        .queue()
        .claim(1, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    database
        .store
        .subscription()
        .take(1, &claimed, &[], 100)
        .await
        .unwrap();
    database
        .hand
        .batch_execute("VACUUM active_watchers")
        .await
        .unwrap();
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "x")])
        .await
        .unwrap();
    let claimed = database
        .store
        .queue()
        .claim(1, &[claimed[0].claim], 10, LEASE, WAITN)
        .await
        .unwrap();
    assert!(claimed[0].state_due);
    let counts = hot(
        &database,
        "active_watchers",
        "subscription.take",
        &[
            ("owner", &1_i64),
            ("presentity_uri", &vec![resource("bob").presentity_uri]),
            ("event", &vec!["presence"]),
            ("in_flight_id", &Vec::<i64>::new()),
            ("in_flight_target", &Vec::<i32>::new()),
            ("limit", &100_i64),
            ("now", &None::<std::time::SystemTime>),
            ("looked", &vec![claimed[0].version]),
            ("digest", &vec![7_i64]),
            ("digests", &vec![None::<String>]),
            ("quiet", &vec![None::<bool>]),
            ("own_id", &Vec::<i64>::new()),
        ],
    )
    .await;
    assert_eq!(
        counts,
        (50, 50),
        "a page has room for the next version of all its rows"
    );
}
