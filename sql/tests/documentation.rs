//! Every example of `docs/SQL.md` runs as it stands there, and prints what stands below it.

use crate::database::*;
use tokio_postgres::SimpleQueryMessage;

const PAGE: &str = include_str!("../../docs/SQL.md");

/// What the page's examples are about: Alice with a watcher whose first NOTIFY is due, Bob in a call.
async fn populated() -> Database {
    let database = Database::new().await;
    let mut dave = subscription("alice", "c1");
    dave.watcher.username = "dave".into();
    dave.user_agent = "Desk 7".into();
    let mut gone = subscription("bob", "c2");
    gone.watcher.username = "erin".into();
    let store = &database.store;
    store
        .subscription()
        .create_batch(&[dave, gone])
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET failures = 3, retry_at = extract(epoch FROM now())::bigint + 60 WHERE callid = 'c2'")
        .await;
    database
        .by_hand("SELECT presence_publish('sip:bob@example.org', 'dialog', '<dialog-info><dialog id=\"1\"><state>confirmed</state></dialog></dialog-info>', sender => 'sip:bob@example.org')")
        .await;
    database
        .by_hand("INSERT INTO node (kind, host, pid, default_policy) VALUES ('server', 'one', 7, 'allow')")
        .await;
    database
}

/// The `sql` blocks, each with the `text` block right below it.
fn examples() -> Vec<(&'static str, Option<&'static str>)> {
    let mut found = Vec::new();
    let mut rest = PAGE;
    while let Some((_, after)) = rest.split_once("```sql\n") {
        let (sql, after) = after.split_once("```\n").unwrap();
        let output = after
            .strip_prefix("```text\n")
            .map(|block| block.split_once("```").unwrap().0.trim_end());
        found.push((sql, output));
        rest = after;
    }
    found
}

/// Rows as `psql -A` prints them, with a header.
async fn printed(database: &Database, sql: &str) -> String {
    let messages = database
        .hand
        .simple_query(sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let mut lines = Vec::new();
    for message in messages {
        match message {
            SimpleQueryMessage::RowDescription(columns) => {
                let names: Vec<&str> = columns.iter().map(|column| column.name()).collect();
                lines.push(names.join(" | "));
            }
            SimpleQueryMessage::Row(row) => {
                let values: Vec<&str> = (0..row.len())
                    .map(|index| match row.get(index).unwrap_or_default() {
                        "t" => "true",
                        "f" => "false",
                        other => other,
                    })
                    .collect();
                lines.push(values.join(" | "));
            }
            _ => {}
        }
    }
    lines.join("\n")
}

#[tokio::test]
async fn every_example_prints_what_the_page_says() {
    let database = populated().await;
    let examples = examples();
    assert!(examples.len() >= 14, "{} examples", examples.len());
    for (sql, expected) in examples {
        let found = printed(&database, sql).await;
        if let Some(expected) = expected {
            assert_eq!(found, expected, "{sql}");
        }
    }
}

#[tokio::test]
async fn the_four_questions_have_answers() {
    let database = populated().await;
    let answers = [
        ["sip:dave@example.org | presence | active | Desk 7", ""],
        ["dialog | confirmed | sip:bob@example.org", ""],
        [
            "sip:alice@example.org | presence | answers | due",
            "sip:bob@example.org | dialog | state | due",
        ],
        ["sip:erin@example.org | ", " | does not answer | 3"],
    ];
    for ((sql, _), parts) in examples().into_iter().zip(answers) {
        let found = printed(&database, sql).await;
        for part in parts {
            assert!(found.contains(part), "{sql}\n{found}\nwithout {part}");
        }
    }
}

/// Each column that the page lists is there, in this order.
#[tokio::test]
async fn the_views_have_the_columns_of_the_page() {
    let database = Database::new().await;
    let mut views = 0;
    for line in PAGE.lines().filter(|line| {
        line.starts_with("| `presence_") && !line.contains('(')
            || line.starts_with("| `presence_publications`")
            || line.starts_with("| `presence_subscriptions`")
            || line.starts_with("| `presence_backlog`")
            || line.starts_with("| `presence_processes`")
    }) {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let view = cells[1].trim_matches('`');
        let documented: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
        let rows = database
            .rows(
                "SELECT attname::text FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0 ORDER BY attnum",
                &[&view],
            )
            .await;
        let found: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(found, documented, "{view}");
        views += 1;
    }
    assert_eq!(views, 8);
}
