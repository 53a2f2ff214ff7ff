//! RFC 4235 section 3.7.1: a dialog that was called terminated is remembered, whatever becomes of the publication that said so.

use events::{ChangeKind, NewPublication};

use crate::database::*;

/// The keys that are listed for a resource, and how many live publications there are.
async fn known(store: &sql::Store, user: &str) -> (Vec<i64>, usize) {
    let listed = store.publication().list(&[resource(user)]).await.unwrap();
    let mut keys: Vec<i64> = listed.ends.iter().map(|end| end.key).collect();
    keys.sort_unstable();
    (keys, listed.publications.len())
}

/// A publication whose first body calls these dialogs terminated.
fn ended(user: &str, tag: &str, keys: &[i64]) -> NewPublication {
    let mut new = publication(user, tag, tag);
    new.note.ended = keys.to_vec();
    new
}

#[tokio::test]
async fn an_end_survives_changes_removal_and_expiry() {
    let database = Database::new().await;
    let store = &database.store;
    let publications = store.publication();
    publications
        .create_batch(&[ended("bob", "t1", &[-7, 7]), publication("al", "a1", "a")])
        .await
        .unwrap();
    assert_eq!(known(store, "bob").await, (vec![-7, 7], 1));
    assert_eq!(known(store, "al").await, (vec![], 1));
    for (change, expected) in [
        (
            change("bob", "t1", "t2", modify("another call")),
            vec![-7, 7],
        ),
        (change("bob", "t2", "t3", ChangeKind::Refresh), vec![-7, 7]),
        (
            change("bob", "t3", "t4", ending("it ends", &[8])),
            vec![-7, 7, 8],
        ),
    ] {
        publications.change_batch(&[change]).await.unwrap();
        assert_eq!(known(store, "bob").await, (expected, 1));
    }
    let removed = change("bob", "t4", "t5", ChangeKind::Remove);
    publications.change_batch(&[removed]).await.unwrap();
    assert_eq!(known(store, "bob").await, (vec![-7, 7, 8], 0));
    // By its time, before and after the sweep has seen it.
    publications
        .create_batch(&[ended("dave", "d1", &[9])])
        .await
        .unwrap();
    let late = store.at(after(3605.0));
    assert_eq!(known(&late, "dave").await, (vec![9], 0));
    sweep_publications(&late, 10, false).await;
    assert_eq!(known(&late, "dave").await, (vec![9], 0));
}

#[tokio::test]
async fn each_end_says_when_and_one_that_is_published_again_counts_anew() {
    let database = Database::new().await;
    let store = &database.store;
    store
        .publication()
        .create_batch(&[ended("bob", "t1", &[1, 2])])
        .await
        .unwrap();
    let later = store.at(after(100.0));
    let change = change("bob", "t1", "t2", ending("once more", &[2, 3]));
    later.publication().change_batch(&[change]).await.unwrap();
    let listed = later.publication().list(&[resource("bob")]).await.unwrap();
    let at = |key| {
        let mut found = listed.ends.iter().filter(|end| end.key == key);
        let at_us = found.next().unwrap().at_us;
        assert_eq!(found.next(), None, "{key} is there once");
        at_us
    };
    assert_eq!((listed.ends.len(), at(2)), (3, at(3)));
    let apart = at(2) - at(1);
    assert!((99_000_000..=101_000_000).contains(&apart), "{apart}");
    assert_eq!(at(2), listed.publications[0].modified_us);
}

#[tokio::test]
async fn the_last_128_are_remembered() {
    let database = Database::new().await;
    let store = &database.store;
    let many: Vec<i64> = (0..200).collect();
    store
        .publication()
        .create_batch(&[ended("bob", "t1", &many)])
        .await
        .unwrap();
    assert_eq!(known(store, "bob").await.0, (0..128).collect::<Vec<_>>());
    let newer: Vec<i64> = (1000..1100).collect();
    let change = change("bob", "t1", "t2", ending("more", &newer));
    store.publication().change_batch(&[change]).await.unwrap();
    let expected: Vec<i64> = (0..28).chain(1000..1100).collect();
    assert_eq!(known(store, "bob").await.0, expected);
}

#[tokio::test]
async fn a_copy_of_a_request_ends_nothing_anew() {
    let database = Database::new().await;
    let store = &database.store;
    let new = [ended("bob", "t1", &[1])];
    store.publication().create_batch(&new).await.unwrap();
    let end = [change("bob", "t1", "t2", ending("over", &[2]))];
    store.publication().change_batch(&end).await.unwrap();
    let before: String = database
        .value("SELECT ended::text || ended_at::text FROM presentity")
        .await;
    let later = store.at(after(9.0));
    later.publication().create_batch(&new).await.unwrap();
    later.publication().change_batch(&end).await.unwrap();
    let now: String = database
        .value("SELECT ended::text || ended_at::text FROM presentity")
        .await;
    assert_eq!(now, before);
}

/// As long as anybody could contradict: the oldest publication that is left inherits what is forgotten.
#[tokio::test]
async fn ends_are_handed_on_until_nobody_is_left() {
    let database = Database::new().await;
    let store = &database.store;
    let publications = store.publication();
    publications
        .create_batch(&[publication("bob", "b1", "older, says early")])
        .await
        .unwrap();
    publications
        .create_batch(&[publication("bob", "c1", "younger")])
        .await
        .unwrap();
    publications
        .create_batch(&[ended("bob", "t1", &[1, 2]), ended("bob", "u1", &[2, 3])])
        .await
        .unwrap();
    database.by_hand("DELETE FROM notify_queue").await;
    for tag in ["t1", "u1"] {
        let removed = change("bob", tag, &format!("{tag}x"), ChangeKind::Remove);
        publications.change_batch(&[removed]).await.unwrap();
    }
    database.by_hand("DELETE FROM notify_queue").await;
    let rows = "SELECT count(*) FROM presentity";
    let later = store.at(after(34.0));
    // Two tombstones emptied and one heir; then two tombstones forgotten.
    assert_eq!(sweep_publications(&later, 10, false).await, 5);
    assert_eq!(database.value::<i64>(rows).await, 2);
    assert_eq!(known(&later, "bob").await, (vec![1, 2, 3], 2));
    let heir: String = database
        .value("SELECT ruid FROM presentity WHERE ended <> '{}'")
        .await;
    assert_eq!(heir, "b1");
    assert!(
        database.queue().await.is_empty(),
        "nobody is notified of this"
    );

    // And on, in the end to nobody.
    for (tag, left) in [("b1", vec![1, 2, 3]), ("c1", vec![])] {
        let removed = change("bob", tag, &format!("{tag}x"), ChangeKind::Remove);
        publications.change_batch(&[removed]).await.unwrap();
        assert_eq!(known(store, "bob").await.0, [1, 2, 3]);
        sweep_publications(&later, 10, false).await;
        assert_eq!(known(&later, "bob").await.0, left, "after {tag}");
    }
    assert_eq!(database.value::<i64>(rows).await, 0);
}

#[tokio::test]
async fn an_heir_of_its_own_resource_only() {
    let database = Database::new().await;
    let store = &database.store;
    let publications = store.publication();
    let mut other_event = publication("bob", "o1", "other package");
    other_event.event = "dialog".into();
    publications
        .create_batch(&[
            other_event,
            publication("al", "a1", "other presentity"),
            ended("bob", "t1", &[1]),
        ])
        .await
        .unwrap();
    let removed = change("bob", "t1", "t2", ChangeKind::Remove);
    publications.change_batch(&[removed]).await.unwrap();
    let later = store.at(after(34.0));
    sweep_publications(&later, 10, false).await;
    let with_ends: i64 = database
        .value("SELECT count(*) FROM presentity WHERE ended <> '{}'")
        .await;
    assert_eq!(with_ends, 0);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM presentity")
            .await,
        2
    );
}
