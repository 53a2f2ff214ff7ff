//! RFC 3903 section 6: create, refresh, modify, remove, expire.

use events::{BodyNote, ChangeKind, PublicationChange, PublishOutcome, TagChange};

use crate::database::*;

fn stored(tag: &str) -> PublishOutcome {
    PublishOutcome::Stored {
        entity_tag: tag.into(),
        expires_s: 3600,
    }
}

async fn bodies(database: &Database, user: &str) -> Vec<String> {
    let found = database
        .store
        .publication()
        .list(&[resource("nobody"), resource(user)])
        .await
        .unwrap()
        .publications;
    assert!(
        found
            .iter()
            .all(|publication| publication.resource_index == 1)
    );
    found
        .iter()
        .map(|publication| String::from_utf8(publication.body.to_vec()).unwrap())
        .collect()
}

#[tokio::test]
async fn create_stores_once_and_queues_once() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let batch = [
        publication("bob", "t1", "one"),
        publication("bob", "t1", "one"),
        publication("al", "t2", "two"),
    ];
    assert_eq!(
        publications.create_batch(&batch).await.unwrap(),
        [stored("t1"), stored("t1"), stored("t2")]
    );
    assert_eq!(
        database.queue().await,
        [
            "sip:al@example.org presence state due",
            "sip:bob@example.org presence state due"
        ]
    );
    let version: i64 = database
        .value("SELECT max(version) FROM notify_queue")
        .await;

    // The same request on another server.
    assert_eq!(
        publications.create_batch(&batch[..1]).await.unwrap(),
        [stored("t1")]
    );
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity")
            .await,
        2
    );
    assert_eq!(
        database
            .value::<i64>("SELECT max(version) FROM notify_queue")
            .await,
        version
    );
    assert_eq!(publications.create_batch(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn refresh_changes_the_tag_and_queues_nothing() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;

    let refresh = change("bob", "t1", "t2", ChangeKind::Refresh);
    let later = database.store.at(after(1000.0));
    assert_eq!(
        later
            .publication()
            .change_batch(std::slice::from_ref(&refresh))
            .await
            .unwrap(),
        [stored("t2")]
    );
    assert!(database.queue().await.is_empty());
    let left: i64 = database
        .value("SELECT expires - ceil(extract(epoch FROM now()))::bigint FROM presentity")
        .await;
    assert!((4590..=4610).contains(&left), "{left}");
    // Modified with the body it has already: a new tag, nothing to see.
    let same = change("bob", "t2", "t3", modify("one"));
    assert_eq!(
        publications.change_batch(&[same]).await.unwrap(),
        [stored("t3")]
    );
    assert!(database.queue().await.is_empty());
}

/// Package `dialog;sla`: several phones share a publication and its entity-tag. The tag of each request is remembered: its copy
/// changes nothing, also when another phone has published meanwhile.
#[tokio::test]
async fn a_tag_that_is_kept_takes_every_change_once() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t0", "zero")])
        .await
        .unwrap();
    let kept = |request: &str, kind| PublicationChange {
        tag_change: TagChange::Kept,
        ..change("bob", "t0", request, kind)
    };
    for (request, body, expected) in [
        ("r1", "one", "one"),
        ("r2", "two", "two"),
        ("r1", "one", "two"),
        ("r3", "two", "two"),
    ] {
        let change = [kept(request, modify(body))];
        let outcome = publications.change_batch(&change).await.unwrap();
        assert_eq!(outcome, [stored("t0")], "{request}");
        assert_eq!(bodies(&database, "bob").await, [expected], "{request}");
    }
    // Two phones in one batch, one after the other.
    let both = [kept("r4", modify("four")), kept("r5", modify("five"))];
    let outcomes = publications.change_batch(&both).await.unwrap();
    assert_eq!(outcomes, [stored("t0"), stored("t0")]);
    assert_eq!(bodies(&database, "bob").await, ["five"]);
    for _ in 0..2 {
        let removed = kept("r6", ChangeKind::Remove);
        let outcome = publications.change_batch(&[removed]).await.unwrap();
        let gone = PublishOutcome::Stored {
            entity_tag: "t0".into(),
            expires_s: 0,
        };
        assert_eq!(outcome, [gone]);
        assert!(bodies(&database, "bob").await.is_empty());
    }
    let late = kept("r7", modify("late"));
    assert_eq!(
        publications.change_batch(&[late]).await.unwrap(),
        [PublishOutcome::ConditionFailed]
    );
}

/// A phone that is idle does not end the call of the phone beside it.
#[tokio::test]
async fn a_body_without_a_dialog_does_not_replace_another_senders() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t0", "idle")])
        .await
        .unwrap();
    let publish = |request: &str, sender: &str, body: &str, has_dialog| PublicationChange {
        tag_change: TagChange::Kept,
        sender: Some(sender.to_owned()),
        kind: ChangeKind::Modify {
            content_type: "application/dialog-info+xml".into(),
            body: body.as_bytes().to_vec().into(),
            note: BodyNote {
                ended: Vec::new(),
                has_dialog,
            },
        },
        ..change("bob", "t0", request, ChangeKind::Refresh)
    };
    let shown = "SELECT convert_from(body, 'UTF8') || ' ' || sender FROM presentity";
    for (request, sender, body, has_dialog, expected) in [
        ("r1", "a", "a talks", true, "a talks a"),
        ("r2", "b", "b is idle", false, "a talks a"),
        ("r3", "b", "b talks", true, "b talks b"),
        ("r4", "a", "a is idle", false, "b talks b"),
        ("r5", "b", "b is idle", false, "b is idle b"),
        ("r6", "a", "a is idle", false, "a is idle a"),
    ] {
        database.by_hand("DELETE FROM notify_queue").await;
        let before: String = database.value(shown).await;
        let request = publish(request, sender, body, has_dialog);
        let outcome = publications.change_batch(&[request]).await.unwrap();
        assert_eq!(outcome, [stored("t0")], "{body}");
        let after: String = database.value(shown).await;
        assert_eq!(after, expected);
        assert_eq!(database.queue().await.is_empty(), before == after, "{body}");
    }
    // Nor does it keep that call longer.
    let a = publish("r7", "a", "a talks", true);
    publications.change_batch(&[a]).await.unwrap();
    let b = PublicationChange {
        granted_s: 7200,
        ..publish("r8", "b", "b is idle", false)
    };
    publications.change_batch(&[b]).await.unwrap();
    let left: i64 = database
        .value("SELECT expires - extract(epoch FROM now())::bigint FROM presentity")
        .await;
    assert!(left <= 3601, "{left}");
    // A refresh says nothing of who published.
    let refresh = PublicationChange {
        sender: Some("b".to_owned()),
        ..change("bob", "t0", "r9", ChangeKind::Refresh)
    };
    publications.change_batch(&[refresh]).await.unwrap();
    assert_eq!(database.value::<String>(shown).await, "a talks a");
}

#[tokio::test]
async fn a_retransmitted_change_is_answered_and_changes_nothing() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t0", "zero")])
        .await
        .unwrap();
    for n in 1..=6 {
        let modified = change(
            "bob",
            &format!("t{}", n - 1),
            &format!("t{n}"),
            modify(&format!("body {n}")),
        );
        assert_eq!(
            publications.change_batch(&[modified]).await.unwrap(),
            [stored(&format!("t{n}"))]
        );
    }
    // (if_match, tag) of a copy that comes now, and whether it is still known.
    for (if_match, tag, known) in [
        ("t5", "t6", true),
        ("t4", "t5", true),
        ("t1", "t2", true),
        ("t0", "t1", false),
    ] {
        let copy = change("bob", if_match, tag, modify("from the past"));
        let expected = if known {
            stored(tag)
        } else {
            PublishOutcome::ConditionFailed
        };
        assert_eq!(
            publications.change_batch(&[copy]).await.unwrap(),
            [expected],
            "{tag}"
        );
    }
    assert_eq!(bodies(&database, "bob").await, ["body 6"]);
    assert_eq!(
        publications
            .create_batch(&[publication("bob", "t0", "zero")])
            .await
            .unwrap(),
        [stored("t0")]
    );
    assert_eq!(bodies(&database, "bob").await, ["body 6"]);
}

#[tokio::test]
async fn what_matches_nothing_fails_the_condition() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[
            publication("bob", "t1", "one"),
            publication("al", "a1", "al's"),
        ])
        .await
        .unwrap();
    let mut other_event = change("bob", "t1", "x", ChangeKind::Refresh);
    other_event.event = "dialog".into();
    let batch = [
        change("bob", "unknown", "x1", ChangeKind::Refresh),
        change("al", "t1", "x2", modify("foreign")),
        other_event,
        change("bob", "t1", "t2", modify("good")),
    ];
    let failed = PublishOutcome::ConditionFailed;
    let outcomes = publications.change_batch(&batch).await.unwrap();
    assert_eq!(
        outcomes,
        [failed.clone(), failed.clone(), failed.clone(), stored("t2")]
    );
    // Expired, though the sweep has not been here.
    let late = database.store.at(after(3700.0));
    let outcomes = late
        .publication()
        .change_batch(&[change("bob", "t2", "t3", ChangeKind::Refresh)])
        .await
        .unwrap();
    assert_eq!(outcomes, [failed]);
}

#[tokio::test]
async fn two_changes_of_one_publication_in_a_batch_go_in_order() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    let batch = [
        change("bob", "t1", "t2", modify("two")),
        change("bob", "t1", "t3", modify("three")),
    ];
    let outcomes = publications.change_batch(&batch).await.unwrap();
    assert_eq!(outcomes, [stored("t2"), PublishOutcome::ConditionFailed]);
    assert_eq!(bodies(&database, "bob").await, ["two"]);
}

#[tokio::test]
async fn removal_leaves_a_tombstone_that_answers_its_copies() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;
    let remove = [change("bob", "t1", "t2", ChangeKind::Remove)];
    let removed = [PublishOutcome::Stored {
        entity_tag: "t2".into(),
        expires_s: 0,
    }];
    assert_eq!(publications.change_batch(&remove).await.unwrap(), removed);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    assert!(bodies(&database, "bob").await.is_empty());
    assert_eq!(
        publications.change_batch(&remove).await.unwrap(),
        removed,
        "a copy"
    );
    let gone = publications
        .change_batch(&[change("bob", "t2", "t3", ChangeKind::Refresh)])
        .await
        .unwrap();
    assert_eq!(gone, [PublishOutcome::ConditionFailed]);
    // A late copy of the first PUBLISH does not raise it.
    publications
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    assert!(bodies(&database, "bob").await.is_empty());

    for (seconds, left) in [(30.0, 1), (34.0, 0)] {
        sweep_publications(&database.store.at(after(seconds)), 10, false).await;
        assert_eq!(
            database
                .value::<i64>("SELECT count(*) FROM presentity")
                .await,
            left,
            "after {seconds} s"
        );
    }
}

#[tokio::test]
async fn the_sweep_ends_what_has_expired_and_spares_what_was_refreshed() {
    let database = Database::new().await;
    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "b1", "b"), publication("al", "a1", "a")])
        .await
        .unwrap();
    database
        .store
        .at(after(1800.0))
        .publication()
        .change_batch(&[change("al", "a1", "a2", ChangeKind::Refresh)])
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;

    assert_eq!(publications.expire_batch(10, false).await.unwrap(), 0);
    let late = database.store.at(after(3650.0));
    assert_eq!(
        sweep_publications(&late, 10, false).await,
        2,
        "one ended, one looked at later"
    );
    assert_eq!(sweep_publications(&late, 10, false).await, 0);
    let queued: Vec<String> = database
        .rows("SELECT presentity_uri FROM notify_queue", &[])
        .await
        .iter()
        .map(|row| row.get(0))
        .collect();
    assert_eq!(queued, ["sip:bob@example.org"]);
    assert_eq!(
        late.publication()
            .list(&[resource("al"), resource("bob")])
            .await
            .unwrap()
            .publications
            .len(),
        1
    );
}

#[tokio::test]
async fn force_delete_expires_without_a_word_and_only_for_that_statement() {
    let database = Database::new().await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "b1", "b")])
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;
    let late = database.store.at(after(4000.0));
    assert_eq!(sweep_publications(&late, 10, true).await, 1);
    assert!(database.queue().await.is_empty());
    // All sessions of the pool, this one included, still queue.
    late.publication()
        .create_batch(&[publication("bob", "b2", "b")])
        .await
        .unwrap();
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM notify_queue")
            .await,
        1
    );
}

#[tokio::test]
async fn list_gives_the_newest_first() {
    let database = Database::new().await;
    for (n, tag) in ["a", "b", "c"].iter().enumerate() {
        let at = database.store.at(after(n as f64 * 10.0));
        at.publication()
            .create_batch(&[publication("bob", tag, tag)])
            .await
            .unwrap();
    }
    assert_eq!(bodies(&database, "bob").await, ["c", "b", "a"]);
    // A refresh moves nothing, a new body does.
    let at = database.store.at(after(40.0));
    let changes = [
        change("bob", "b", "b2", ChangeKind::Refresh),
        change("bob", "a", "a2", modify("a2")),
    ];
    at.publication().change_batch(&changes).await.unwrap();
    assert_eq!(bodies(&database, "bob").await, ["a2", "c", "b"]);
}

#[tokio::test]
async fn what_is_listed_says_when_it_came_and_what_time_it_is() {
    let database = Database::new().await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "by PUBLISH")])
        .await
        .unwrap();
    database
        .by_hand(
            "INSERT INTO presentity (username, domain, event, etag, expires, received_time, body, priority, modified)
             VALUES ('bob', 'example.org', 'presence', 'x', -1, 17, 'by hand', 5, '2001-02-03 04:05:06.000007+00'),
                    ('bob', 'example.org', 'presence', 'y', -1, 16, 'no time', -5, 'infinity')",
        )
        .await;
    let now = after(30.0);
    let listed = database
        .store
        .at(now)
        .publication()
        .list(&[resource("bob")])
        .await
        .unwrap()
        .publications;
    let since_epoch = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let now = i64::try_from(since_epoch.as_secs()).unwrap();
    assert!(listed.iter().all(|row| row.now == now), "{listed:?}");
    let [published, typed, timeless] = listed.as_slice() else {
        panic!("{listed:?}")
    };
    assert!((now - 35..=now - 29).contains(&published.received_time));
    assert_eq!(published.modified_us / 1_000_000, published.received_time);
    assert!((published.expires - published.received_time - 3600).abs() <= 1);
    assert_eq!(published.priority, 0);
    assert_eq!(
        (
            typed.received_time,
            typed.modified_us,
            typed.expires,
            typed.priority
        ),
        (17, 981_173_106_000_007, -1, 5)
    );
    assert_eq!((timeless.modified_us, timeless.priority), (0, -5));
}

/// An entity-tag as a server gives it, of a device that these five characters stand for.
fn tag_of(device: &str, number: usize) -> String {
    format!("ab{device}{number:026}").replace(['0', '1', '8', '9'], "q") + &format!(".{number}")
}

async fn live(database: &Database, condition: &str) -> i64 {
    let count = format!("SELECT count(*) FROM presentity WHERE NOT removed AND {condition}");
    database.value(&count).await
}

/// Whoever publishes without end for one presentity keeps his newest publications, and nobody else gives way to them.
#[tokio::test]
async fn the_oldest_of_whoever_has_most_give_way() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let first = [publication("bob", &tag_of("phone", 0), "here I am")];
    publications.create_batch(&first).await.unwrap();
    let body = "x".repeat(2_000);
    for batch in 0..20 {
        let rows: Vec<_> = (0..50)
            .map(|n| publication("bob", &tag_of("flood", batch * 50 + n), &body))
            .collect();
        publications.create_batch(&rows).await.unwrap();
        let octets = "SELECT COALESCE(sum(GREATEST(1024, octet_length(body))), 0)::bigint FROM presentity WHERE NOT removed";
        let octets: i64 = database.value(octets).await;
        assert!(octets <= 524_288, "{octets} after {batch}");
    }
    assert_eq!(live(&database, "etag LIKE 'abphone%'").await, 1);
    let kept = live(&database, "etag LIKE 'abflood%'").await;
    assert!((180..=262).contains(&kept), "{kept}");
    let newest = "SELECT NOT removed FROM presentity ORDER BY id DESC LIMIT 1";
    assert!(database.value::<bool>(newest).await);
    let oldest = "SELECT min(id) FILTER (WHERE NOT removed) > max(id) FILTER (WHERE removed) FROM presentity WHERE etag LIKE 'abflood%'";
    assert!(database.value::<bool>(oldest).await, "the oldest have gone");
    // Those who watch Bob are notified, and his phone's tag is as good as ever.
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state due"]
    );
    let refresh = change("bob", &tag_of("phone", 0), "t9", ChangeKind::Refresh);
    assert_eq!(
        publications.change_batch(&[refresh]).await.unwrap(),
        [stored("t9")]
    );
    // What has gone can be published anew.
    let again = change("bob", &tag_of("flood", 0), "t8", ChangeKind::Refresh);
    let outcome = publications.change_batch(&[again]).await.unwrap();
    assert_eq!(outcome, [PublishOutcome::ConditionFailed]);
}

/// As many devices as you like: the oldest give way. One document of 60,000 octets that comes last stays.
#[tokio::test]
async fn many_publishers_give_way_by_age() {
    let database = Database::new().await;
    for number in 0..600 {
        database
            .by_hand(&format!(
                "SELECT presence_publish('sip:bob@example.org', 'presence', 'small', source => 'number {number}')"
            ))
            .await;
    }
    let kept = live(&database, "true").await;
    assert!((384..=512).contains(&kept), "{kept}");
    assert_eq!(live(&database, "ruid = 'sql:number 599'").await, 1);
    assert_eq!(live(&database, "ruid = 'sql:number 0'").await, 0);
    for _ in 0..4 {
        let large = "x".repeat(60_000);
        database
            .by_hand(&format!(
                "SELECT presence_publish('sip:bob@example.org', 'presence', '{large}', source => 'large')"
            ))
            .await;
    }
    assert_eq!(live(&database, "ruid = 'sql:large'").await, 1);
    assert!(live(&database, "true").await > 100);

    // What is too large by itself, which only SQL can store, stays as long as it is the newest.
    let alone = "SELECT presence_publish('sip:al@example.org', 'presence', repeat('x', 600000), source => 'alone')";
    database.by_hand(alone).await;
    database.by_hand(alone).await;
    let is_there = "presentity_uri = 'sip:al@example.org'";
    assert_eq!(live(&database, is_there).await, 1);
    database
        .by_hand("SELECT presence_publish('sip:al@example.org', 'presence', 'small')")
        .await;
    let left = format!("SELECT ruid FROM presentity WHERE NOT removed AND {is_there}");
    assert_eq!(database.value::<String>(&left).await, "sql:sql");
}

/// A publication that changes without end is one publication, and those beside it stay.
#[tokio::test]
async fn changes_fill_nothing() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let both = [
        publication("bob", "t0", "one"),
        publication("bob", "other", "two"),
    ];
    publications.create_batch(&both).await.unwrap();
    for number in 0..150_usize {
        let body = "x".repeat(10_000 + number);
        let modify = ChangeKind::Modify {
            content_type: "application/pidf+xml".into(),
            body: body.into_bytes().into(),
            note: BodyNote::default(),
        };
        let row = change(
            "bob",
            &format!("t{number}"),
            &format!("t{}", number + 1),
            modify,
        );
        let outcome = publications.change_batch(&[row]).await.unwrap();
        assert_eq!(outcome, [stored(&format!("t{}", number + 1))]);
    }
    assert_eq!(live(&database, "true").await, 2);
    let counted: i64 = database
        .value("SELECT published_octets FROM notify_queue")
        .await;
    assert!(counted <= 524_288, "{counted}");
}

/// A publication that somebody holds is not waited for: it may be him who waits for the row of the queue.
#[tokio::test]
async fn room_is_made_beside_what_somebody_holds() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let body = "x".repeat(60_000);
    let rows: Vec<_> = (0..8)
        .map(|n| publication("bob", &format!("t{n}"), &body))
        .collect();
    publications.create_batch(&rows).await.unwrap();
    let mut other = database.session().await;
    let holder = other.transaction().await.unwrap();
    holder
        .execute("SELECT FROM presentity ORDER BY id LIMIT 1 FOR UPDATE", &[])
        .await
        .unwrap();
    let more = [publication("bob", "t9", &body)];
    publications.create_batch(&more).await.unwrap();
    assert_eq!(
        live(&database, "true").await,
        7,
        "one of three that were to go is held"
    );
    holder.commit().await.unwrap();
}
