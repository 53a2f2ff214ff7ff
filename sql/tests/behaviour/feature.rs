//! `as-feature-event`: what a phone sets by a SUBSCRIBE is one publication for each feature of its line.

use bytes::Bytes;
use events::{DialogId, FeatureChange, FeatureOwner, NewSubscription};

use crate::database::*;

const EVENT: &str = "as-feature-event";

fn line() -> FeatureOwner {
    FeatureOwner::Line(aor("bob"))
}

fn dialog(call_id: &str, remote_cseq: u32) -> FeatureOwner {
    acting(call_id, remote_cseq, None)
}

/// Somebody who has proven who he is, for a line that he may act for.
fn acting(call_id: &str, remote_cseq: u32, who_for: Option<(&str, &str)>) -> FeatureOwner {
    FeatureOwner::Dialog {
        dialog: DialogId {
            call_id: call_id.into(),
            to_tag: "ours".into(),
            from_tag: "theirs".into(),
        },
        remote_cseq,
        acting: who_for.map(|(who, line)| (aor(who), aor(line))),
    }
}

fn set(owner: FeatureOwner, feature: &str, tag: &str, body: &str) -> FeatureChange {
    FeatureChange {
        owner,
        event: EVENT.into(),
        feature: feature.into(),
        entity_tag: tag.into(),
        content_type: "application/x-as-feature-event+xml".into(),
        body: Bytes::copy_from_slice(body.as_bytes()),
        lifetime_s: None,
    }
}

fn subscribed(call_id: &str, watcher: &str) -> NewSubscription {
    NewSubscription {
        event: EVENT.into(),
        watcher: aor(watcher),
        ..subscription("bob", call_id)
    }
}

async fn rows(database: &Database) -> Vec<String> {
    let text = "SELECT presentity_uri || ' ' || ruid || ' ' || etag || ' ' || convert_from(body, 'UTF8') || ' ' || expires
                FROM presentity ORDER BY 1";
    let rows = database.rows(text, &[]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn one_row_for_each_feature_of_a_line() {
    let database = Database::new().await;
    let publications = database.store.publication();
    for (feature, tag, body, queued) in [
        ("dnd", "t1", "on", true),
        ("busy", "u1", "to mail", true),
        ("dnd", "t2", "off", true),
        // The same once more: nobody has to be notified.
        ("dnd", "t3", "off", false),
    ] {
        database.by_hand("DELETE FROM notify_queue").await;
        let change = set(line(), feature, tag, body);
        assert!(publications.put_feature(&change, 0).await.unwrap(), "{tag}");
        assert_eq!(!database.queue().await.is_empty(), queued, "{tag}");
    }
    let expected = [
        "sip:bob@example.org feature:busy u1 to mail -1",
        "sip:bob@example.org feature:dnd t3 off -1",
    ];
    assert_eq!(rows(&database).await, expected);
    // Copies of requests change nothing, however late.
    database.by_hand("DELETE FROM notify_queue").await;
    for tag in ["t1", "t2", "t3"] {
        let copy = set(line(), "dnd", tag, "on");
        assert!(!publications.put_feature(&copy, 0).await.unwrap(), "{tag}");
    }
    assert_eq!(rows(&database).await, expected);
    assert!(database.queue().await.is_empty());
}

#[tokio::test]
async fn what_is_set_for_a_time_ends() {
    let database = Database::new().await;
    let publications = database.store.publication();
    let brief = |tag: &str, lifetime_s| FeatureChange {
        lifetime_s,
        ..set(line(), "dnd", tag, "on")
    };
    publications
        .put_feature(&brief("t1", Some(60)), 0)
        .await
        .unwrap();
    let late = database.store.at(after(70.0));
    assert_eq!(sweep_publications(&late, 10, false).await, 1);
    let resource = sql::Resource {
        event: EVENT.into(),
        ..resource("bob")
    };
    let shown = |store: sql::Store, resource: sql::Resource| async move {
        let listed = store.publication().list(&[resource]).await.unwrap();
        listed.publications.len()
    };
    assert_eq!(shown(late.clone(), resource.clone()).await, 0);
    // Set again while the tombstone is there; and then for good.
    for lifetime_s in [Some(60), None] {
        let tag = format!("again {lifetime_s:?}");
        let change = brief(&tag, lifetime_s);
        assert!(late.publication().put_feature(&change, 0).await.unwrap());
        assert_eq!(shown(late.clone(), resource.clone()).await, 1);
    }
    let much_later = database.store.at(after(1e9));
    sweep_publications(&much_later, 10, false).await;
    assert_eq!(shown(much_later, resource).await, 1);
}

/// Within a dialog the line is the one that it was made for, and only that line may; a request that is too late does nothing.
#[tokio::test]
async fn a_dialog_says_whose_features() {
    let database = Database::new().await;
    let store = &database.store;
    let dialogs = [
        subscribed("own", "bob"),
        subscribed("other", "alice"),
        NewSubscription {
            event: "presence".into(),
            ..subscribed("presence", "bob")
        },
    ];
    store.subscription().create_batch(&dialogs).await.unwrap();
    for (owner, stored) in [
        (dialog("own", 2), true),
        (dialog("own", 1), true),
        (dialog("other", 2), false),
        (dialog("presence", 2), false),
        (dialog("unknown", 2), false),
        (dialog("own", 0), false),
    ] {
        let tag = format!("{owner:?}");
        let change = set(owner, "dnd", &tag, "on");
        let found = store.publication().put_feature(&change, 0).await.unwrap();
        assert_eq!(found, stored, "{tag}");
    }
    assert_eq!(rows(&database).await.len(), 1);
    // `cseq_offset`: one that is a little behind is taken.
    let behind = set(dialog("own", 0), "dnd", "behind", "on");
    assert!(store.publication().put_feature(&behind, 1).await.unwrap());
    let late = store.at(after(700.0));
    let change = set(dialog("own", 3), "dnd", "after its end", "off");
    assert!(!late.publication().put_feature(&change, 0).await.unwrap());
}

/// Within a dialog, somebody who has proven who he is sets something by his own dialog only, and only for the line that it was made with.
#[tokio::test]
async fn a_dialog_is_of_use_to_its_owner_alone() {
    let database = Database::new().await;
    let (subscriptions, publications) =
        (database.store.subscription(), database.store.publication());
    // Bob's own, and that of his secretary with his line.
    let rows_made = [subscribed("own", "bob"), subscribed("secretary's", "carol")];
    subscriptions.create_batch(&rows_made).await.unwrap();
    for (who, call_id, line, expected) in [
        ("mallory", "own", "mallory", false),
        ("mallory", "own", "bob", false),
        ("carol", "own", "bob", false),
        ("carol", "secretary's", "carol", false),
        ("bob", "own", "bob", true),
        ("carol", "secretary's", "bob", true),
    ] {
        let owner = acting(call_id, 2, Some((who, line)));
        let change = set(owner, "dnd", &format!("{who} {call_id} {line}"), "on");
        let stored = publications.put_feature(&change, 0).await.unwrap();
        assert_eq!(stored, expected, "{who} by {call_id} for {line}");
        assert!(
            rows(&database)
                .await
                .iter()
                .all(|row| row.starts_with("sip:bob@"))
        );
    }
}
