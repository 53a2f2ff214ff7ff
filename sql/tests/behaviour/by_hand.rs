//! SQL is an interface: rows written with Kamailio's columns alone do what a PUBLISH does.

use crate::database::*;

const INSERT: &str = "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, sender, priority) \
     VALUES ('bob', 'Example.ORG', 'presence', 'by-hand', extract(epoch FROM now())::bigint + 600, extract(epoch FROM now())::bigint, 'one', '', 0)";
const DUE: &str = "sip:bob@example.org presence state due";

#[tokio::test]
async fn each_kind_of_change_is_queued() {
    let database = Database::new().await;
    let table = [
        (INSERT, true),
        ("UPDATE presentity SET body = 'two'", true),
        ("UPDATE presentity SET body = 'two', priority = 0", false),
        (
            "UPDATE presentity SET etag = 'x', received_time = received_time + 1, expires = expires + 5",
            false,
        ),
        ("UPDATE presentity SET content_type = 'text/plain'", true),
        (
            "UPDATE presentity SET expires = extract(epoch FROM now())::bigint - 5",
            true,
        ),
        ("UPDATE presentity SET expires = -1", true),
        ("DELETE FROM presentity", true),
    ];
    for (sql, queued) in table {
        database.by_hand("DELETE FROM notify_queue").await;
        assert_eq!(database.by_hand(sql).await, 1, "{sql}");
        let expected: &[&str] = if queued { &[DUE] } else { &[] };
        assert_eq!(database.queue().await, expected, "{sql}");
    }
}

#[tokio::test]
async fn a_row_by_hand_can_be_published_over_and_expires() {
    let database = Database::new().await;
    database.by_hand(INSERT).await;
    let changes = [change("bob", "by-hand", "t2", modify("over"))];
    let outcomes = database
        .store
        .publication()
        .change_batch(&changes)
        .await
        .unwrap();
    assert!(matches!(outcomes[0], events::PublishOutcome::Stored { .. }));
    database
        .by_hand("UPDATE presentity SET expires = extract(epoch FROM now())::bigint - 5")
        .await;
    assert!(
        database
            .store
            .publication()
            .list(&[resource("bob")])
            .await
            .unwrap()
            .publications
            .is_empty()
    );
    assert_eq!(sweep_publications(&database.store, 10, false).await, 1);
    assert!(
        database
            .value::<bool>("SELECT removed FROM presentity")
            .await
    );
}

#[tokio::test]
async fn the_sweep_finds_whatever_expires() {
    let database = Database::new().await;
    database.by_hand(INSERT).await;
    let sweep_is_expires = "SELECT sweep_at = expires FROM presentity";
    assert!(database.value::<bool>(sweep_is_expires).await);
    database
        .by_hand("UPDATE presentity SET expires = expires - 100")
        .await;
    assert!(
        database.value::<bool>(sweep_is_expires).await,
        "sooner: pulled forward"
    );
    database
        .by_hand("UPDATE presentity SET expires = expires + 500")
        .await;
    assert!(
        !database.value::<bool>(sweep_is_expires).await,
        "later: lazily"
    );
    database.by_hand("UPDATE presentity SET expires = -1").await;
    let late = database.store.at(after(5000.0));
    assert_eq!(sweep_publications(&late, 10, false).await, 1);
    assert_eq!(
        sweep_publications(&late, 10, false).await,
        0,
        "hard state rests"
    );
    assert_eq!(
        database
            .value::<i64>("SELECT sweep_at FROM presentity")
            .await,
        i64::MAX
    );
    database.by_hand("UPDATE presentity SET expires = 1").await;
    assert!(database.value::<bool>(sweep_is_expires).await);
}

#[tokio::test]
async fn canonical_uris() {
    let database = Database::new().await;
    for (username, domain, uri) in [
        ("Bob", "EX.org", "sip:Bob@ex.org"),
        ("", "EX.org", "sip:ex.org"),
        ("+1555", "", "tel:+1555"),
    ] {
        let row = database
            .rows(
                "INSERT INTO presentity (username, domain, event, expires, body) VALUES ($1::text, $2::text, 'presence', -1, 'x') RETURNING presentity_uri",
                &[&username, &domain],
            )
            .await;
        assert_eq!(row[0].get::<_, &str>(0), uri);
    }
}

#[tokio::test]
async fn a_flag_set_by_hand_is_queued_and_moving_a_publication_queues_both() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET updated = -1")
        .await;
    database.by_hand("DELETE FROM notify_queue").await;
    database
        .by_hand("UPDATE active_watchers SET version = version")
        .await;
    assert!(database.queue().await.is_empty());
    database
        .by_hand("UPDATE active_watchers SET updated = 3")
        .await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged due"]
    );

    database.by_hand(INSERT).await;
    database.by_hand("DELETE FROM notify_queue").await;
    database
        .by_hand("UPDATE presentity SET username = 'al'")
        .await;
    assert_eq!(
        database.queue().await,
        ["sip:al@example.org presence state due", DUE]
    );
}

const HARD: &str = "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) \
     VALUES ('bob', 'Example.ORG', 'hard', 16, 'h1', '/pidf-manipulation/users/bob/index')";

#[tokio::test]
async fn each_change_of_hard_state_is_queued_and_no_other_document() {
    let database = Database::new().await;
    let alice = DUE.replace("bob", "alice");
    let table: [(&str, &[&str]); 11] = [
        (HARD, &[DUE]),
        ("UPDATE xcap SET doc = 'other'", &[DUE]),
        ("UPDATE xcap SET doc = 'other', etag = 'h2'", &[]),
        ("UPDATE xcap SET id = 7", &[DUE]),
        ("UPDATE xcap SET username = 'alice'", &[&alice, DUE]),
        ("UPDATE xcap SET doc_type = 8", &[&alice]),
        ("UPDATE xcap SET doc = 'services'", &[]),
        ("UPDATE xcap SET doc_type = 16", &[&alice]),
        ("DELETE FROM xcap", &[&alice]),
        (
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', 'r', 8, 'e', '/r')",
            &[],
        ),
        ("DELETE FROM xcap", &[]),
    ];
    for (sql, expected) in table {
        database.by_hand("DELETE FROM notify_queue").await;
        assert_eq!(database.by_hand(sql).await, 1, "{sql}");
        assert_eq!(database.queue().await, expected, "{sql}");
    }
}

#[tokio::test]
async fn hard_state_is_merged_after_all_publications_and_into_presence_only() {
    let database = Database::new().await;
    database.by_hand(HARD).await;
    database
        .by_hand("INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', 'rules', 2, 'e', '/r'), ('carol', 'example.org', 'hers', 16, 'e', '/c')")
        .await;
    database.by_hand(INSERT).await;
    database
        .by_hand("UPDATE presentity SET received_time = 1")
        .await;
    let mut dialogs = resource("bob");
    dialogs.event = "dialog".to_owned();
    let found = database
        .store
        .publication()
        .list(&[dialogs, resource("bob"), resource("dave")])
        .await
        .unwrap()
        .publications;
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.resource_index, &one.body[..], one.entity_tag.as_str()))
        .collect();
    assert_eq!(
        found,
        [(1, &b"one"[..], "by-hand"), (1, &b"hard"[..], "h1")]
    );
}
