//! Orders about an event package: refused when it is known that nobody serves it; and about a document that is not there.

use events::{Finding, Inquiry};
use sql::{NewNode, Resource};
use tokio_postgres::error::SqlState;

use crate::database::*;

const BOB: &str = "'sip:bob@example.org'";

fn process(events: &[&str]) -> NewNode {
    NewNode {
        kind: "server".into(),
        host: "one".into(),
        pid: 7,
        address: String::new(),
        version: "0.1.0".into(),
        events: events.iter().map(|&event| event.to_owned()).collect(),
        believes: String::new(),
        default_policy: String::new(),
    }
}

/// The orders that name an event package.
fn orders(event: &str) -> [String; 3] {
    [
        format!("SELECT presence_refresh_watchers({BOB}, '{event}')"),
        format!("SELECT presence_refresh_watchers({BOB}, '{event}', 0)"),
        format!("SELECT presence_update_watchers({BOB}, '{event}')"),
    ]
}

async fn refusal(database: &Database, sql: &str) -> Option<String> {
    let error = database.hand.execute(sql, &[]).await.err()?;
    assert_eq!(
        error.code(),
        Some(&SqlState::INVALID_PARAMETER_VALUE),
        "{sql}: {error:?}"
    );
    Some(error.as_db_error().unwrap().message().to_owned())
}

#[tokio::test]
async fn what_no_process_serves_is_refused() {
    let database = Database::new().await;
    let nodes = database.store.node();
    // Nobody runs, or nobody says what it serves: any is taken.
    let mut old = process(&[]);
    old.kind = "notifier".into();
    nodes.register(&old).await.unwrap();
    for sql in orders("presense") {
        assert_eq!(refusal(&database, &sql).await, None, "{sql}");
    }
    let both = process(&["presence", "presence.winfo"]);
    let first = nodes.register(&both).await.unwrap();
    nodes
        .register(&process(&["presence", "dialog;sla"]))
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;
    for event in [
        "presense",
        "Presence",
        "dialog",
        "presence;x=y",
        " presence",
    ] {
        for sql in orders(event) {
            let message = refusal(&database, &sql).await;
            let expected = format!(
                "Event package '{event}' is not served; these are: dialog;sla, presence, presence.winfo"
            );
            assert_eq!(message, Some(expected), "{sql}");
        }
    }
    let injected = "x''; DROP TABLE node; --";
    for sql in orders(injected) {
        assert!(
            refusal(&database, &sql)
                .await
                .unwrap()
                .contains("not served")
        );
    }
    assert!(database.queue().await.is_empty(), "nothing was changed");
    for event in ["presence", "dialog;sla", "presence.winfo"] {
        for sql in orders(event) {
            assert_eq!(refusal(&database, &sql).await, None, "{sql}");
        }
    }
    // What only the one served goes with it.
    nodes.deregister(first.unwrap()).await.unwrap();
    for sql in orders("presence.winfo") {
        assert!(refusal(&database, &sql).await.is_some(), "{sql}");
    }
    let shown = "SELECT events::text FROM presence_processes WHERE kind = 'server'";
    assert_eq!(
        database.value::<String>(shown).await,
        "{presence,dialog;sla}"
    );
}

/// By the way of the script: -1, as for any order that makes no sense.
#[tokio::test]
async fn a_script_is_refused_as_well() {
    let database = Database::new().await;
    let node = process(&["presence"]);
    database.store.node().register(&node).await.unwrap();
    let refresh = |event: &str, file: Option<(&str, &str)>| Inquiry::RefreshWatchers {
        uri: "sip:bob@example.org".into(),
        event: event.into(),
        kind: if file.is_some() { 2 } else { 1 },
        file: file.map(|(uri, name)| (uri.into(), name.into())),
    };
    let update = |event: &str| Inquiry::UpdateWatchers {
        uri: "sip:bob@example.org".into(),
        event: event.into(),
    };
    for (inquiry, code) in [
        (refresh("presence", None), 1),
        (refresh("presense", None), -1),
        (refresh("presence", Some(("/none", "index"))), -1),
        (update("presence"), 1),
        (update("presense"), -1),
    ] {
        let found = super::script::answer(&database, inquiry.clone()).await;
        assert_eq!(found, Finding::Code(code), "{inquiry:?}");
    }
}

#[tokio::test]
async fn a_document_that_changed_is_one_that_is_there() {
    let database = Database::new().await;
    database
        .by_hand(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES \
             ('bob', 'example.org', 'p', 16, 'e', '/bob/index'), ('bob', 'example.org', 'r', 2, 'e', '/bob/rules'), \
             ('al', 'example.org', 'p', 16, 'e', '/al/index')",
        )
        .await;
    database.by_hand("DELETE FROM notify_queue").await;
    let refresh = |event: &str, file: &str| {
        format!("SELECT presence_refresh_watchers({BOB}, '{event}', 2, '{file}', 'index')")
    };
    for (event, file, part) in [
        (
            "presence",
            "/bob/none",
            "no pidf-manipulation document '/bob/none' of sip:bob@example.org",
        ),
        ("presence", "/bob/rules", "no pidf-manipulation document"),
        ("presence", "/al/index", "no pidf-manipulation document"),
        (
            "dialog",
            "/bob/index",
            "is state of presence, not of 'dialog'",
        ),
        ("presence", "", "No file uri or name parameters"),
    ] {
        let message = refusal(&database, &refresh(event, file)).await.unwrap();
        assert!(message.contains(part), "{message}");
    }
    assert!(database.queue().await.is_empty(), "nothing was changed");
    database.by_hand(&refresh("presence", "/bob/index")).await;
    let claimed = database
        .store
        .queue()
        .claim(1, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    let resources: Vec<Resource> = claimed.iter().map(|one| one.resource.clone()).collect();
    assert_eq!(resources, [resource("bob")]);
    assert!(claimed[0].state_due);
}
