//! `presence_watcher_states`: decisions, and the states of subscriptions that there is nothing to decide about, as Kamailio's `watchers`.

use crate::database::*;

async fn states(database: &Database) -> Vec<String> {
    let sql = "SELECT concat_ws(' ', watcher_username, event, status, state, NULLIF(reason, ''), decided) \
               FROM presence_watcher_states WHERE presentity_uri = 'sip:bob@example.org' ORDER BY 1";
    let rows = database.rows(sql, &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

fn by(watcher: &str, event: &str, call_id: &str) -> events::NewSubscription {
    events::NewSubscription {
        watcher: aor(watcher),
        event: event.into(),
        ..subscription("bob", call_id)
    }
}

#[tokio::test]
async fn each_watcher_has_one_state() {
    let database = Database::new().await;
    let subscriptions = database.store.subscription();
    // No rules: let in, without a decision. Two phones are one watcher, two packages are two states.
    subscriptions
        .create_batch(&[
            by("alice", "presence", "a1"),
            by("alice", "presence", "a2"),
            by("alice", "dialog", "a3"),
            by("dave", "presence", "d1"),
        ])
        .await
        .unwrap();
    assert_eq!(
        states(&database).await,
        [
            "alice dialog 1 active f",
            "alice presence 1 active f",
            "dave presence 1 active f"
        ]
    );
    let none: i64 = database.value("SELECT count(*) FROM watchers").await;
    assert_eq!(none, 0, "a SUBSCRIBE writes no more than before");

    // The columns are Kamailio's, and the row tells which one it stands for.
    let row = &database
        .rows(
            "SELECT w.id, w.presentity_uri, w.watcher_username, w.watcher_domain, w.event, w.status, w.reason, w.inserted_time, \
                    -w.id = a.id AND w.inserted_time = a.created_time AS is_of_dialog \
             FROM presence_watcher_states AS w JOIN active_watchers AS a ON a.callid = 'd1' WHERE w.watcher_username = 'dave'",
            &[],
        )
        .await[0];
    assert!(row.get::<_, bool>("is_of_dialog"));
    assert_eq!(row.get::<_, &str>("watcher_domain"), "example.org");

    // A decision takes the place of the dialog's own state, whoever wrote it; the best of several dialogs counts.
    database
        .by_hand(
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason) VALUES \
             ('sip:bob@example.org', 'dave', 'example.org', 'presence', 3, 'rejected'), \
             ('sip:bob@example.org', 'erin', 'example.org', 'presence', 4, 'timeout'), \
             ('sip:al@example.org', 'alice', 'example.org', 'presence', 3, 'rejected')",
        )
        .await;
    database
        .by_hand("UPDATE active_watchers SET status = 2, decided_version = -1, view = 'none' WHERE callid = 'a2'")
        .await;
    database
        .by_hand("UPDATE active_watchers SET view = 'polite-block' WHERE callid = 'a3'")
        .await;
    assert_eq!(
        states(&database).await,
        [
            "alice dialog 1 active polite-block f",
            "alice presence 1 active f",
            "dave presence 3 terminated rejected t",
            "erin presence 4 waiting timeout t"
        ]
    );

    // What is over, or has run out, is no state any more; a decision stays.
    database
        .by_hand("UPDATE active_watchers SET status = 3 WHERE callid IN ('a1', 'd1')")
        .await;
    database
        .by_hand("UPDATE active_watchers SET expires = 1 WHERE callid = 'a3'")
        .await;
    assert_eq!(
        states(&database).await,
        [
            "alice presence 2 pending f",
            "dave presence 3 terminated rejected t",
            "erin presence 4 waiting timeout t"
        ]
    );
}
