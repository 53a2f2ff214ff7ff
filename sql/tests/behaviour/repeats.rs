//! What is a copy of a request, and what comes again: RFC 3261 sections 17.1.2.2 and 12.2.2. 64*T1 is 32 s.

use events::{
    ChangeKind, FeatureChange, FeatureOwner, PublishOutcome, SubscribeOutcome, TagChange,
};

use crate::database::*;

fn entity_tag(outcomes: &[PublishOutcome]) -> String {
    match outcomes {
        [PublishOutcome::Stored { entity_tag, .. }] => entity_tag.clone(),
        other => panic!("{other:?}"),
    }
}

fn to_tag(outcomes: &[SubscribeOutcome]) -> String {
    match outcomes {
        [SubscribeOutcome::Accepted { to_tag, .. }] => to_tag.clone(),
        other => panic!("{other:?}"),
    }
}

async fn publish(database: &Database, seconds: f64, body: &str) -> String {
    let store = database.store.at(after(seconds));
    let rows = [publication("bob", "t1", body)];
    entity_tag(&store.publication().create_batch(&rows).await.unwrap())
}

async fn modify_at(database: &Database, seconds: f64, if_match: &str, tag: &str) -> PublishOutcome {
    let store = database.store.at(after(seconds));
    let rows = [change("bob", if_match, tag, modify(tag))];
    let outcomes = store.publication().change_batch(&rows).await.unwrap();
    outcomes.into_iter().next().unwrap()
}

const BODIES: &str = "SELECT string_agg(convert_from(body, 'UTF8'), ',' ORDER BY id) FROM presentity WHERE NOT removed";

#[tokio::test]
async fn a_first_publish_that_comes_again_later_is_served_anew() {
    let database = Database::new().await;
    assert_eq!(publish(&database, 0.0, "one").await, "t1");
    database.by_hand("DELETE FROM notify_queue").await;

    // Within 64*T1 it is a copy, whatever it says.
    assert_eq!(publish(&database, 31.0, "a copy").await, "t1");
    assert_eq!(database.value::<String>(BODIES).await, "one");
    assert!(database.queue().await.is_empty());

    // Later it is what the device publishes now, in place of what it published then; its watchers are notified.
    let again = publish(&database, 34.0, "after a reboot").await;
    assert!(again.starts_with("t1."), "{again}");
    assert_eq!(database.value::<String>(BODIES).await, "after a reboot");
    assert_eq!(database.queue().await.len(), 1);
    // And has its copies, which are answered with the same tag,
    assert_eq!(publish(&database, 60.0, "a copy").await, again);
    // also when it was changed meanwhile,
    let changed = modify_at(&database, 61.0, &again, "t2").await;
    assert!(matches!(changed, PublishOutcome::Stored { .. }));
    assert_eq!(publish(&database, 62.0, "a copy").await, again);
    assert_eq!(database.value::<String>(BODIES).await, "t2");
    // until that is over as well.
    let third = publish(&database, 70.0, "another reboot").await;
    assert!(third.starts_with("t1.") && third != again, "{third}");
    assert_eq!(database.value::<String>(BODIES).await, "another reboot");
}

/// Whether it is a copy depends on when it was made, and not on what has become of it.
#[tokio::test]
async fn a_late_copy_of_a_first_publish_undoes_nothing() {
    let database = Database::new().await;
    publish(&database, 0.0, "one").await;
    modify_at(&database, 5.0, "t1", "t2").await;
    assert_eq!(publish(&database, 10.0, "one").await, "t1");
    assert_eq!(database.value::<String>(BODIES).await, "t2");

    // A device that has just changed it, and reboots.
    modify_at(&database, 40.0, "t2", "t3").await;
    let again = publish(&database, 41.0, "after a reboot").await;
    assert!(again.starts_with("t1."), "{again}");
    assert_eq!(database.value::<String>(BODIES).await, "after a reboot");
    // What it did before does not meet what it does now, even if all is the same but the tag.
    assert_eq!(
        modify_at(&database, 42.0, "t1", "t2").await,
        PublishOutcome::ConditionFailed
    );
}

#[tokio::test]
async fn a_first_publish_that_comes_again_raises_its_tombstone() {
    let database = Database::new().await;
    publish(&database, 0.0, "one").await;
    let remove = [change("bob", "t1", "t2", ChangeKind::Remove)];
    let store = database.store.at(after(20.0));
    store.publication().change_batch(&remove).await.unwrap();
    assert_eq!(publish(&database, 25.0, "a copy").await, "t1");
    let live = "SELECT count(*) FROM presentity WHERE NOT removed";
    assert_eq!(database.value::<i64>(live).await, 0);
    let again = publish(&database, 40.0, "after a reboot").await;
    assert!(again.starts_with("t1."), "{again}");
    assert_eq!(database.value::<i64>(live).await, 1);
}

/// In one batch with others, which are as they would have been alone.
#[tokio::test]
async fn a_batch_may_have_all_kinds() {
    let database = Database::new().await;
    publish(&database, 0.0, "one").await;
    let store = database.store.at(after(40.0));
    let publications = store.publication();
    let copied = [publication("al", "a1", "al's")];
    publications.create_batch(&copied).await.unwrap();
    let batch = [
        publication("al", "a1", "a copy"),
        publication("bob", "t1", "again"),
        publication("cy", "c1", "new"),
    ];
    let outcomes = publications.create_batch(&batch).await.unwrap();
    let tags: Vec<String> = outcomes
        .into_iter()
        .map(|outcome| entity_tag(&[outcome]))
        .collect();
    assert_eq!((tags[0].as_str(), tags[2].as_str()), ("a1", "c1"));
    assert!(tags[1].starts_with("t1."), "{tags:?}");
    assert_eq!(database.value::<String>(BODIES).await, "again,al's,new");
}

#[tokio::test]
async fn a_change_that_comes_again_is_refused_or_made_but_never_dropped() {
    let database = Database::new().await;
    publish(&database, 0.0, "one").await;
    let stored = |outcome: &PublishOutcome| matches!(outcome, PublishOutcome::Stored { .. });
    assert!(stored(&modify_at(&database, 1.0, "t1", "t2").await));
    assert!(
        stored(&modify_at(&database, 20.0, "t1", "t2").await),
        "a copy"
    );
    // No copy any more, and the tag that it names is not the current one.
    assert!(!stored(&modify_at(&database, 40.0, "t1", "t2").await));
    assert!(stored(&modify_at(&database, 41.0, "t2", "t3").await));
    assert!(!stored(&modify_at(&database, 60.0, "t1", "t2").await));
    let copy = modify_at(&database, 61.0, "t2", "t3").await;
    assert!(stored(&copy), "a copy");

    // A shared line keeps its tag, so the same change later is one more.
    let shared = |seconds: f64, tag: &str, body: &str| {
        let store = database.store.at(after(seconds));
        let mut row = change("bob", "t3", tag, modify(body));
        row.tag_change = TagChange::Kept;
        async move { store.publication().change_batch(&[row]).await.unwrap() }
    };
    for (seconds, tag, body, expected) in [
        (100.0, "k1", "ringing", "ringing"),
        (110.0, "k2", "held", "held"),
        (120.0, "k1", "a copy", "held"),
        (140.0, "k1", "ringing again", "ringing again"),
        (141.0, "k1", "a copy", "ringing again"),
    ] {
        assert_eq!(entity_tag(&shared(seconds, tag, body).await), "t3");
        assert_eq!(
            database.value::<String>(BODIES).await,
            expected,
            "{seconds}"
        );
    }
}

#[tokio::test]
async fn a_feature_that_is_set_again_later_is_set() {
    let database = Database::new().await;
    let set = |seconds: f64, tag: &str, body: &str| {
        let store = database.store.at(after(seconds));
        let change = FeatureChange {
            owner: FeatureOwner::Line(aor("bob")),
            event: "as-feature-event".into(),
            feature: "dnd".into(),
            entity_tag: tag.into(),
            content_type: String::new(),
            body: body.as_bytes().to_vec().into(),
            lifetime_s: None,
        };
        async move { store.publication().put_feature(&change, 0).await.unwrap() }
    };
    assert!(set(0.0, "on", "on").await);
    assert!(!set(1.0, "on", "on").await, "a copy");
    assert!(set(2.0, "off", "off").await);
    assert!(!set(20.0, "on", "on").await, "a late copy");
    assert_eq!(database.value::<String>(BODIES).await, "off");
    assert!(set(40.0, "on", "on").await);
    assert_eq!(database.value::<String>(BODIES).await, "on");
}

async fn subscribe(database: &Database, seconds: f64) -> String {
    let store = database.store.at(after(seconds));
    let rows = [subscription("bob", "c1")];
    to_tag(&store.subscription().create_batch(&rows).await.unwrap())
}

const DIALOGS: &str =
    "SELECT string_agg(split_part(to_tag, '.', 1), ',' ORDER BY id) FROM active_watchers";

#[tokio::test]
async fn a_first_subscribe_that_comes_again_later_gets_a_dialog_of_its_own() {
    let database = Database::new().await;
    assert_eq!(subscribe(&database, 0.0).await, "ours");
    assert_eq!(subscribe(&database, 31.0).await, "ours");
    let again = subscribe(&database, 34.0).await;
    assert!(again.starts_with("ours."), "{again}");
    assert_eq!(subscribe(&database, 60.0).await, again, "a copy");
    assert_eq!(database.value::<String>(DIALOGS).await, "ours,ours");
    let due = "SELECT count(*) FROM active_watchers WHERE updated = 0 AND status = 1";
    assert_eq!(
        database.value::<i64>(due).await,
        2,
        "for each a NOTIFY is due"
    );
    let third = subscribe(&database, 70.0).await;
    assert!(third.starts_with("ours.") && third != again, "{third}");
    assert_eq!(database.value::<String>(DIALOGS).await, "ours,ours,ours");
}

/// The first row must not go while copies of the second request may come: one would take its place, and be a third dialog.
#[tokio::test]
async fn an_ended_dialog_stays_while_copies_of_what_came_again_may_come() {
    let database = Database::new().await;
    subscribe(&database, 0.0).await;
    // Ended 30 s ago: it would go in 2 s.
    database
        .by_hand("UPDATE active_watchers SET status = 3, ended = true, updated = -1, sweep_at = extract(epoch FROM now())::bigint + 42")
        .await;
    let again = subscribe(&database, 40.0).await;
    let sweep = async |seconds: f64| {
        let store = database.store.at(after(seconds));
        store.subscription().forget_batch(10).await.unwrap()
    };
    assert_eq!(sweep(60.0).await, 0);
    assert_eq!(subscribe(&database, 70.0).await, again, "a copy");
    assert_eq!(sweep(75.0).await, 1);
    assert_eq!(database.value::<String>(DIALOGS).await, "ours");
    assert_eq!(
        subscribe(&database, 80.0).await,
        "ours",
        "its place is free"
    );
}

#[tokio::test]
async fn one_cseq_may_have_many_requests() {
    let database = Database::new().await;
    subscribe(&database, 0.0).await;
    let ask = |seconds: f64, request: i64, granted_s: u32| {
        let store = database.store.at(after(seconds));
        let mut row = refresh("c1", 1, granted_s);
        row.request = request;
        async move {
            let outcomes = store.subscription().refresh_batch(&[row], 0).await.unwrap();
            match outcomes.into_iter().next() {
                Some(SubscribeOutcome::Accepted { granted_s, .. }) => Some(granted_s),
                Some(SubscribeOutcome::NoDialog) => None,
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(
        ask(1.0, 7, 100).await,
        Some(100),
        "the CSeq of the first SUBSCRIBE"
    );
    assert_eq!(ask(2.0, 7, 999).await, Some(100), "a copy");
    assert_eq!(ask(3.0, 8, 200).await, Some(200), "another branch");
    assert_eq!(
        ask(40.0, 8, 300).await,
        Some(300),
        "the same, too late for a copy"
    );
    assert_eq!(ask(41.0, 9, 0).await, Some(0));
    assert_eq!(ask(42.0, 9, 0).await, Some(0), "a copy");
    assert_eq!(
        ask(43.0, 10, 100).await,
        None,
        "no copy: there is nothing to refresh"
    );
}
