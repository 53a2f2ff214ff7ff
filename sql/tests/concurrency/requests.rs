//! PUBLISH, SUBSCRIBE and their copies, at two servers at once.

use super::*;

// === PUBLISH ===

#[tokio::test]
async fn one_modify_at_two_servers_is_one_modify() {
    let (database, store) = with_publication().await;
    let lock = open(&database, "SELECT 1 FROM presentity FOR UPDATE").await;
    let (first, second) = (store.clone(), store);
    let request = || vec![change("bob", "t1", "t2", modify("two"))];
    let (a, b) = (request(), request());
    let a = blocked(&database, 0, async move {
        first.publication().change_batch(&a).await
    })
    .await;
    let b = blocked(&database, 1, async move {
        second.publication().change_batch(&b).await
    })
    .await;
    commit(&lock).await;
    assert_eq!(a.await.unwrap().unwrap(), [stored("t2")]);
    assert_eq!(b.await.unwrap().unwrap(), [stored("t2")]);
    assert_eq!(
        database
            .value::<String>("SELECT etag || (SELECT string_agg(split_part(p, '@', 1), ',') FROM unnest(past_etags) AS p) FROM presentity")
            .await,
        "t2t2"
    );
}

/// A device that begins anew with the very same PUBLISH, at two servers at once: the row's lock decides which of them renews its row.
#[tokio::test]
async fn a_publish_that_comes_again_at_two_servers_is_one() {
    let (database, _) = with_publication().await;
    let lock = open(&database, "SELECT 1 FROM presentity FOR UPDATE").await;
    let at_server = |seconds: f64, body: &'static str| {
        let store = database.store.at(after(seconds));
        async move {
            let rows = [publication("bob", "t1", body)];
            store.publication().create_batch(&rows).await.unwrap()
        }
    };
    let first = blocked(&database, 0, at_server(40.0, "again")).await;
    let second = blocked(&database, 1, at_server(41.0, "its copy")).await;
    commit(&lock).await;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first, second);
    assert_ne!(first, [stored("t1")]);
    let rows = "SELECT string_agg(convert_from(body, 'UTF8'), ',') FROM presentity";
    assert_eq!(database.value::<String>(rows).await, "again");
}

/// Between finding a row and looking at it, the sweep may take it: then the request is a new one.
#[tokio::test]
async fn a_publish_whose_row_is_swept_away_meanwhile_is_stored() {
    let (database, _) = with_publication().await;
    let sweep = open(&database, "DELETE FROM presentity").await;
    let store = database.store.at(after(40.0));
    let first = blocked(&database, 0, async move {
        let rows = [publication("bob", "t1", "again")];
        store.publication().create_batch(&rows).await.unwrap()
    })
    .await;
    commit(&sweep).await;
    assert_eq!(first.await.unwrap(), [stored("t1")]);
    let rows = "SELECT string_agg(convert_from(body, 'UTF8'), ',') FROM presentity";
    assert_eq!(database.value::<String>(rows).await, "again");
}

/// The same for a SUBSCRIBE: one more dialog, not two.
#[tokio::test]
async fn a_subscribe_that_comes_again_at_two_servers_is_one() {
    let database = Database::new().await;
    let rows = [subscription("bob", "c1")];
    let subscriptions = database.store.subscription();
    let before = subscriptions.create_batch(&rows).await.unwrap();
    let lock = open(&database, "SELECT 1 FROM active_watchers FOR UPDATE").await;
    let at_server = |seconds: f64| {
        let store = database.store.at(after(seconds));
        async move {
            let rows = [subscription("bob", "c1")];
            store.subscription().create_batch(&rows).await.unwrap()
        }
    };
    let first = blocked(&database, 0, at_server(40.0)).await;
    let second = blocked(&database, 1, at_server(41.0)).await;
    commit(&lock).await;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    assert_eq!(first, second);
    assert_ne!(first, before);
    let dialogs = "SELECT count(*) FROM active_watchers";
    assert_eq!(database.value::<i64>(dialogs).await, 2);
}

/// A server that dies between the two statements has given the To-tag: whoever takes the copy makes the dialog.
#[tokio::test]
async fn a_dialog_that_was_named_and_not_made_is_made_by_the_copy() {
    let database = Database::new().await;
    let rows = [subscription("bob", "c1")];
    let subscriptions = database.store.subscription();
    subscriptions.create_batch(&rows).await.unwrap();
    let named = "UPDATE active_watchers SET renewed_at = extract(epoch FROM now())::bigint + 40";
    database.by_hand(named).await;
    let later = database.store.at(after(45.0));
    let copy = later.subscription().create_batch(&rows).await.unwrap();
    let tags = "SELECT string_agg(to_tag, ',' ORDER BY id) = 'ours,ours.' || max(renewed_at) FROM active_watchers";
    assert!(database.value::<bool>(tags).await);
    let again = later.subscription().create_batch(&rows).await.unwrap();
    assert_eq!(copy, again);
    let dialogs = "SELECT count(*) FROM active_watchers";
    assert_eq!(database.value::<i64>(dialogs).await, 2);
}

#[tokio::test]
async fn a_feature_that_is_set_by_two_copies_is_set_once() {
    let database = Database::new().await;
    let store = database.store.clone();
    let set = |tag: &str, body: &str| FeatureChange {
        owner: FeatureOwner::Line(aor("bob")),
        event: "as-feature-event".into(),
        feature: "dnd".into(),
        entity_tag: tag.into(),
        content_type: String::new(),
        body: body.as_bytes().to_vec().into(),
        lifetime_s: None,
    };
    store
        .publication()
        .put_feature(&set("t1", "off"), 0)
        .await
        .unwrap();
    let lock = open(&database, "SELECT 1 FROM presentity FOR UPDATE").await;
    let (one, two) = (store.clone(), store.clone());
    let (first, second) = (set("t2", "on"), set("t2", "on"));
    let first = blocked(&database, 0, async move {
        one.publication().put_feature(&first, 0).await.unwrap()
    })
    .await;
    let second = blocked(&database, 1, async move {
        two.publication().put_feature(&second, 0).await.unwrap()
    })
    .await;
    commit(&lock).await;
    let stored = [first.await.unwrap(), second.await.unwrap()];
    assert!(stored[0] != stored[1], "{stored:?}");
    let row = "SELECT convert_from(body, 'UTF8') || (SELECT string_agg(split_part(p, '@', 1), ',') FROM unnest(past_etags) AS p) FROM presentity";
    assert_eq!(database.value::<String>(row).await, "ont2,t1");
}

/// The sweep never waits for a publication that somebody changes: the tombstone stays, and its ends with it.
#[tokio::test]
async fn an_heir_that_is_locked_inherits_later() {
    let (database, store) = with_publication().await;
    let mut gone = publication("bob", "g1", "gone");
    gone.note.ended = vec![1];
    store.publication().create_batch(&[gone]).await.unwrap();
    let removed = change("bob", "g1", "g2", ChangeKind::Remove);
    store.publication().change_batch(&[removed]).await.unwrap();
    let later = store.at(after(34.0));
    let lock = open(
        &database,
        "SELECT 1 FROM presentity WHERE ruid = 't1' FOR UPDATE",
    )
    .await;
    assert_eq!(sweep_publications(&later, 10, false).await, 0);
    let holder = "SELECT string_agg(ruid, ',') FROM presentity WHERE ended <> '{}'";
    assert_eq!(database.value::<String>(holder).await, "g1");
    commit(&lock).await;
    assert_eq!(sweep_publications(&later, 10, false).await, 3);
    assert_eq!(database.value::<String>(holder).await, "t1");
}

/// The end and the ringing of one call at two servers, of two phones: whichever commits first, the end is known afterwards.
#[tokio::test]
async fn an_end_is_known_whoever_commits_first() {
    for end_first in [true, false] {
        let (database, store) = with_publication().await;
        store
            .publication()
            .create_batch(&[publication("bob", "e1", "other phone")])
            .await
            .unwrap();
        let lock = open(&database, "SELECT 1 FROM presentity FOR UPDATE").await;
        let end = vec![change("bob", "t1", "t2", ending("over", &[1]))];
        let early = vec![change("bob", "e1", "e2", modify("early"))];
        let (first, second) = match end_first {
            true => (end, early),
            false => (early, end),
        };
        let (one, two) = (store.clone(), store.clone());
        let first = blocked(&database, 0, async move {
            one.publication().change_batch(&first).await.unwrap()
        })
        .await;
        let second = blocked(&database, 1, async move {
            two.publication().change_batch(&second).await.unwrap()
        })
        .await;
        commit(&lock).await;
        for outcomes in [first.await.unwrap(), second.await.unwrap()] {
            assert!(matches!(outcomes[0], PublishOutcome::Stored { .. }));
        }
        let removed = change("bob", "t2", "t3", ChangeKind::Remove);
        store.publication().change_batch(&[removed]).await.unwrap();
        let listed = store.publication().list(&[resource("bob")]).await.unwrap();
        assert_eq!((listed.publications.len(), listed.ends.len()), (1, 1));
    }
}

#[tokio::test]
async fn of_two_different_changes_one_wins() {
    let (database, store) = with_publication().await;
    let lock = open(&database, "SELECT 1 FROM presentity FOR UPDATE").await;
    let (first, second) = (store.clone(), store);
    let a = blocked(&database, 0, async move {
        first
            .publication()
            .change_batch(&[change("bob", "t1", "t2", modify("two"))])
            .await
            .unwrap()
    })
    .await;
    let b = blocked(&database, 1, async move {
        second
            .publication()
            .change_batch(&[change("bob", "t1", "t3", ChangeKind::Remove)])
            .await
            .unwrap()
    })
    .await;
    commit(&lock).await;
    let outcomes = [a.await.unwrap(), b.await.unwrap()];
    let failed = outcomes
        .iter()
        .filter(|outcomes| outcomes[0] == PublishOutcome::ConditionFailed)
        .count();
    assert_eq!(failed, 1, "{outcomes:?}");
}

#[tokio::test]
async fn a_copy_of_an_initial_publish_waits_for_the_first() {
    for end in ["COMMIT", "ROLLBACK"] {
        let database = Database::new().await;
        let store = database.store.clone();
        let first = open(
            &database,
            "INSERT INTO presentity (username, domain, event, etag, ruid, expires, body) \
             VALUES ('bob', 'example.org', 'presence', 't1', 't1', -1, 'one')",
        )
        .await;
        let copy = blocked(&database, 0, async move {
            store
                .publication()
                .create_batch(&[publication("bob", "t1", "one")])
                .await
                .unwrap()
        })
        .await;
        first.batch_execute(end).await.unwrap();
        assert_eq!(copy.await.unwrap(), [stored("t1")]);
        assert_eq!(
            database
                .value::<i64>("SELECT count(*) FROM presentity")
                .await,
            1,
            "after {end}"
        );
    }
}
