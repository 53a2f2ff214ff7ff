//! The publication of a source: HTTP's conditions, looked at under the row's lock, and marks.

use events::BodyNote;
use events::publication::PutIntent;
use sql::{EntityTags, MarkOf, Precondition, Resource, SourceChange, SourceOutcome, SourceVerb};

use crate::database::*;

fn put(tag: &str, body: &str) -> SourceChange {
    SourceChange {
        aor: aor("bob"),
        event: "presence".into(),
        source: "door".into(),
        entity_tag: tag.into(),
        verb: SourceVerb::Put(PutIntent {
            granted_s: 600,
            content_type: "application/pidf+xml".into(),
            body: bytes::Bytes::copy_from_slice(body.as_bytes()),
            note: BodyNote::default(),
        }),
        precondition: Precondition::default(),
    }
}

fn remove(tag: &str) -> SourceChange {
    SourceChange {
        verb: SourceVerb::Remove,
        ..put(tag, "")
    }
}

fn tags(tags: &[&str]) -> Option<EntityTags> {
    Some(match tags {
        ["*"] => EntityTags::Any,
        tags => EntityTags::OneOf(tags.iter().map(|&tag| tag.to_owned()).collect()),
    })
}

fn if_match(change: SourceChange, wanted: &[&str]) -> SourceChange {
    let precondition = Precondition {
        if_match: tags(wanted),
        if_none_match: None,
    };
    SourceChange {
        precondition,
        ..change
    }
}

fn if_none_match(change: SourceChange, wanted: &[&str]) -> SourceChange {
    let precondition = Precondition {
        if_match: None,
        if_none_match: tags(wanted),
    };
    SourceChange {
        precondition,
        ..change
    }
}

/// The source's row, and whether anything has become due for its watchers since the last call.
async fn row(database: &Database) -> (Option<String>, bool) {
    let text = "SELECT etag || ' ' || convert_from(body, 'UTF8') || CASE WHEN removed THEN ' removed' ELSE '' END
                FROM presentity WHERE ruid = 'sql:door'";
    let rows = database.rows(text, &[]).await;
    let is_due = !database.queue().await.is_empty();
    database.by_hand("DELETE FROM notify_queue").await;
    (rows.first().map(|row| row.get(0)), is_due)
}

#[tokio::test]
async fn conditions_decide_and_a_refusal_changes_nothing() {
    use SourceOutcome::{Absent, Changed, ConditionFailed, Created, Removed};
    let database = Database::new().await;
    let publications = database.store.publication();
    let steps = [
        // There is nothing.
        (remove("r0"), Absent, None, false),
        (if_match(remove("r0"), &["*"]), ConditionFailed, None, false),
        (
            if_match(put("a", "1"), &["*"]),
            ConditionFailed,
            None,
            false,
        ),
        (
            if_match(put("a", "1"), &["a"]),
            ConditionFailed,
            None,
            false,
        ),
        (
            if_none_match(put("a", "1"), &["*"]),
            Created,
            Some("a 1"),
            true,
        ),
        // There is something.
        (
            if_none_match(put("b", "2"), &["*"]),
            ConditionFailed,
            Some("a 1"),
            false,
        ),
        (
            if_none_match(put("b", "2"), &["x", "a"]),
            ConditionFailed,
            Some("a 1"),
            false,
        ),
        (
            if_match(put("b", "2"), &["x"]),
            ConditionFailed,
            Some("a 1"),
            false,
        ),
        (
            if_match(put("b", "2"), &[]),
            ConditionFailed,
            Some("a 1"),
            false,
        ),
        (
            if_match(remove("b"), &["x"]),
            ConditionFailed,
            Some("a 1"),
            false,
        ),
        (
            if_match(put("b", "2"), &["x", "a"]),
            Changed,
            Some("b 2"),
            true,
        ),
        (
            if_none_match(put("c", "3"), &["a"]),
            Changed,
            Some("c 3"),
            true,
        ),
        (if_match(put("d", "4"), &["*"]), Changed, Some("d 4"), true),
        // The same again is a refresh: another tag, nobody is notified.
        (put("e", "4"), Changed, Some("e 4"), false),
        // A repetition, whatever its condition: it was carried out.
        (if_match(put("e", "4"), &["d"]), Changed, Some("e 4"), false),
        (
            if_none_match(put("d", "4"), &["*"]),
            Changed,
            Some("e 4"),
            false,
        ),
        // It ends, and is not there any more: a past tag does not bring it back.
        (
            if_match(remove("f"), &["e"]),
            Removed,
            Some("f 4 removed"),
            true,
        ),
        (
            if_match(remove("f"), &["e"]),
            Removed,
            Some("f 4 removed"),
            false,
        ),
        (remove("g"), Absent, Some("f 4 removed"), false),
        (
            if_match(put("g", "5"), &["f"]),
            ConditionFailed,
            Some("f 4 removed"),
            false,
        ),
        (
            if_match(put("g", "5"), &["*"]),
            ConditionFailed,
            Some("f 4 removed"),
            false,
        ),
        (
            if_none_match(put("g", "4"), &["*"]),
            Created,
            Some("g 4"),
            true,
        ),
    ];
    for (number, (change, outcome, expected, due)) in steps.into_iter().enumerate() {
        let found = publications.change_source(&change).await.unwrap();
        assert_eq!(found, outcome, "step {number}");
        let (row, is_due) = row(&database).await;
        assert_eq!(row.as_deref(), expected, "step {number}");
        assert_eq!(is_due, due, "step {number}");
    }
}

/// One that has expired and was not swept yet is not there either.
#[tokio::test]
async fn an_expired_publication_is_not_there() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications.change_source(&put("a", "1")).await.unwrap();
    let late = database.store.at(after(601.0));
    let late = late.publication();
    assert_eq!(
        late.find_source(&resource("bob"), "door").await.unwrap(),
        None
    );
    assert_eq!(
        late.change_source(&if_match(put("b", "2"), &["a"]))
            .await
            .unwrap(),
        SourceOutcome::ConditionFailed
    );
    assert_eq!(
        late.change_source(&remove("b")).await.unwrap(),
        SourceOutcome::Absent
    );
    assert_eq!(
        late.change_source(&put("b", "2")).await.unwrap(),
        SourceOutcome::Created
    );
    let found = late.find_source(&resource("bob"), "door").await.unwrap();
    let found = found.unwrap();
    assert_eq!((&*found.entity_tag, &*found.body), ("b", &b"2"[..]));
    assert!((599..=600).contains(&found.expires_s.unwrap()));
    let sweep: bool = database
        .value("SELECT sweep_at <= expires FROM presentity")
        .await;
    assert!(sweep);
}

/// A source is the same in SQL, and one that published for ever gets a lifetime.
#[tokio::test]
async fn a_source_is_the_same_in_sql() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let tag: String = database
        .value("SELECT presence_publish('sip:bob@example.org', 'presence', 'x', expires_s => NULL, source => 'door')")
        .await;
    let change = if_match(put("a", "1"), &[&tag]);
    assert_eq!(
        publications.change_source(&change).await.unwrap(),
        SourceOutcome::Changed
    );
    let is_swept: bool = database
        .value("SELECT sweep_at = expires FROM presentity")
        .await;
    assert!(is_swept);
    let ended: bool = database
        .value("SELECT presence_unpublish('sip:bob@example.org', 'presence', source => 'door')")
        .await;
    assert!(ended);
    assert_eq!(
        publications
            .find_source(&resource("bob"), "door")
            .await
            .unwrap(),
        None
    );
}

/// What a body calls terminated is remembered, through further bodies, newest first.
#[tokio::test]
async fn ended_dialogs_are_remembered() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let ending = |tag: &str, keys: &[i64]| {
        let mut change = put(tag, tag);
        if let SourceVerb::Put(put) = &mut change.verb {
            put.note.ended = keys.to_vec();
        }
        change
    };
    for (tag, keys, expected) in [
        ("a", &[1, 2][..], vec![1, 2]),
        ("b", &[], vec![1, 2]),
        ("c", &[2, 3], vec![2, 3, 1]),
    ] {
        publications
            .change_source(&ending(tag, keys))
            .await
            .unwrap();
        let ended: Vec<i64> = database.value("SELECT ended FROM presentity").await;
        assert_eq!(ended, expected, "{tag}");
        let paired: bool = database
            .value("SELECT cardinality(ended) = cardinality(ended_at) FROM presentity")
            .await;
        assert!(paired, "{tag}");
    }
    let many: Vec<i64> = (10..300).collect();
    publications
        .change_source(&ending("d", &many))
        .await
        .unwrap();
    let count: i32 = database
        .value("SELECT cardinality(ended) FROM presentity")
        .await;
    assert_eq!(count, 128);
}

/// Of writers that know one tag, one wins; of those that know of none, one creates.
#[tokio::test]
async fn of_writers_at_once_one_wins() {
    let database = Database::new().await;
    for (round, expected) in [(0, SourceOutcome::Created), (1, SourceOutcome::Changed)] {
        let writers = (0..8).map(|writer| {
            let store = database.store.clone();
            let tag = format!("t{round}-{writer}");
            let change = match round {
                0 => if_none_match(put(&tag, &tag), &["*"]),
                _ => if_match(put(&tag, &tag), &["known"]),
            };
            tokio::spawn(async move { store.publication().change_source(&change).await.unwrap() })
        });
        let writers: Vec<_> = writers.collect();
        let mut won = 0;
        for writer in writers {
            match writer.await.unwrap() {
                SourceOutcome::ConditionFailed => {}
                outcome => {
                    assert_eq!(outcome, expected);
                    won += 1;
                }
            }
        }
        assert_eq!(won, 1, "round {round}");
        database
            .by_hand("UPDATE presentity SET etag = 'known'")
            .await;
    }
}

/// A mark changes with whatever a document is made of, and only then, but for a refresh.
#[tokio::test]
async fn marks_tell_every_change() {
    let database = Database::new().await;
    let wanted = [
        MarkOf::Publications(resource("bob")),
        MarkOf::Publications(resource("carol")),
        MarkOf::Watchers(resource("bob")),
    ];
    let marks = async || -> Vec<String> {
        let found = database
            .store
            .publication()
            .list_marks(&wanted)
            .await
            .unwrap();
        found.into_iter().map(|mark| mark.text).collect()
    };
    let mut before = marks().await;
    assert_eq!(marks().await, before);
    let publish =
        "SELECT presence_publish('sip:bob@example.org', 'presence', 'x', source => 'door')";
    for (by_hand, changes) in [
        (publish, [true, false, false]),
        ("UPDATE presentity SET body = 'y'", [true, false, false]),
        ("UPDATE presentity SET priority = 7", [true, false, false]),
        (
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', 'x', 16, 'e', 'u')",
            [true, false, false],
        ),
        ("UPDATE xcap SET doc = 'y'", [true, false, false]),
        ("DELETE FROM xcap", [true, false, false]),
        ("DELETE FROM presentity", [true, false, false]),
        (
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status) VALUES ('sip:bob@example.org', 'w', 'example.org', 'presence', 4)",
            [false, false, true],
        ),
        ("SELECT 1", [false, false, false]),
    ] {
        database.by_hand(by_hand).await;
        let now = marks().await;
        let changed: Vec<bool> = now.iter().zip(&before).map(|(a, b)| a != b).collect();
        assert_eq!(changed, changes, "{by_hand}");
        before = now;
    }
    let store = &database.store;
    store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let now = marks().await;
    assert!(now[2] != before[2] && now[0] == before[0], "{now:?}");
    // A NOTIFY changes nothing about who watches.
    database
        .by_hand("UPDATE active_watchers SET local_cseq = local_cseq + 1, version = version + 1")
        .await;
    assert_eq!(marks().await, now);
    database
        .by_hand("UPDATE active_watchers SET status = 2")
        .await;
    assert_ne!(marks().await[2], now[2]);
    let at = after(100_000.0);
    let late = store
        .at(at)
        .publication()
        .list_marks(&wanted)
        .await
        .unwrap();
    assert!(late[0].now > 0);
}

#[tokio::test]
async fn a_page_of_subscriptions_says_who_watches() {
    let database = Database::new().await;
    let mut rows = Vec::new();
    for n in 0..5 {
        let mut row = subscription("bob", &format!("c{n}"));
        row.watcher.username = format!("w{n}");
        row.user_agent = "Desk 7".into();
        rows.push(row);
    }
    rows.push(subscription("carol", "c9"));
    let store = &database.store;
    store.subscription().create_batch(&rows).await.unwrap();
    database
        .by_hand(
            "UPDATE active_watchers SET ended = true, status = 3, updated = -1 WHERE callid = 'c4'",
        )
        .await;
    database
        .by_hand("UPDATE active_watchers SET expires = -1, status = 2, reason = 'giveup' WHERE callid = 'c3'")
        .await;
    let mut page = sql::Page { after: 0, limit: 3 };
    let first = store
        .operator()
        .list_resource_subscriptions(page, &resource("bob"))
        .await
        .unwrap();
    assert_eq!(first.len(), 3);
    assert_eq!(first[0].watcher, "sip:w0@example.org");
    assert_eq!(
        (&*first[0].state, &*first[0].user_agent),
        ("active", "Desk 7")
    );
    let expires = first[0].expires.as_deref().unwrap();
    assert!(expires.len() == 20 && expires.ends_with('Z'), "{expires}");
    page.after = first[2].id;
    let rest = store
        .operator()
        .list_resource_subscriptions(page, &resource("bob"))
        .await
        .unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!((&*rest[0].state, &*rest[0].reason), ("pending", "giveup"));
    assert_eq!(rest[0].expires, None);
    let other = Resource {
        event: "dialog".into(),
        ..resource("bob")
    };
    let none = store
        .operator()
        .list_resource_subscriptions(page, &other)
        .await
        .unwrap();
    assert!(none.is_empty());
}
