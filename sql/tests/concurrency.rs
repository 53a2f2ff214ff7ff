//! Races, each with its interleaving spelled out. Nothing sleeps: a step is known to be waiting when PostgreSQL says so.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::database::*;
use events::{ChangeKind, DecidedBy, FeatureChange, FeatureOwner, NewSubscription, PublishOutcome};
use sql::*;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const A: i64 = 1;
const B: i64 = 2;

/// Starts a step that must come to wait for a lock, and returns when it does.
async fn blocked<T: Send + 'static>(
    database: &Database,
    others_waiting: i64,
    step: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let task = tokio::spawn(step);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.value::<i64>(waiting).await <= others_waiting {
        assert!(!task.is_finished(), "it did not wait");
    }
    task
}

async fn is_locked(database: &Database, row: &str) -> bool {
    let session = database.session().await;
    match session
        .execute(&format!("SELECT 1 FROM {row} FOR UPDATE NOWAIT"), &[])
        .await
    {
        Ok(rows) => {
            assert_eq!(rows, 1, "{row}");
            false
        }
        Err(error) => {
            assert_eq!(
                error.code(),
                Some(&SqlState::LOCK_NOT_AVAILABLE),
                "{error:?}"
            );
            true
        }
    }
}

/// A session that has run this in an open transaction.
async fn open(database: &Database, sql: &str) -> Client {
    let session = database.session().await;
    session
        .batch_execute(&format!("BEGIN; {sql}"))
        .await
        .unwrap();
    session
}

async fn commit(session: &Client) {
    session.batch_execute("COMMIT").await.unwrap();
}

fn stored(tag: &str) -> PublishOutcome {
    PublishOutcome::Stored {
        entity_tag: tag.into(),
        expires_s: 3600,
    }
}

async fn with_publication() -> (Database, Store) {
    let database = Database::new().await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    let store = database.store.clone();
    (database, store)
}

/// Two dialogs, ids ascending, whose first NOTIFY is owed, claimed by A.
async fn with_claimed_dialogs(lease: Duration) -> (Database, Store, Vec<Claimed>) {
    let database = Database::new().await;
    let store = database.store.clone();
    store
        .subscription()
        .create_batch(&[subscription("bob", "c1"), subscription("bob", "c2")])
        .await
        .unwrap();
    let claimed = store.queue().claim(A, &[], 10, lease, WAITN).await.unwrap();
    assert_eq!(claimed.len(), 1);
    (database, store, claimed)
}

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

#[tokio::test]
async fn a_version_is_drawn_after_the_wait_for_the_queue_row() {
    let (database, store) = with_publication().await;
    let lock = open(&database, "SELECT 1 FROM notify_queue FOR UPDATE").await;
    let publish = blocked(&database, 0, async move {
        store
            .publication()
            .change_batch(&[change("bob", "t1", "t2", modify("two"))])
            .await
            .unwrap()
    })
    .await;
    let drawn_meanwhile: i64 = database.value("SELECT nextval('notify_version')").await;
    commit(&lock).await;
    publish.await.unwrap();
    assert!(
        database
            .value::<i64>("SELECT version FROM notify_queue")
            .await
            > drawn_meanwhile
    );
}

#[tokio::test]
async fn triggers_lock_the_queue_by_key_whatever_the_order_of_the_batch() {
    let (database, store) = with_publication().await;
    store
        .publication()
        .create_batch(&[publication("al", "a1", "x"), publication("zoe", "z1", "x")])
        .await
        .unwrap();
    let lock = open(
        &database,
        "SELECT 1 FROM notify_queue WHERE presentity_uri = 'sip:zoe@example.org' FOR UPDATE",
    )
    .await;
    let batch = ["zoe", "bob", "al"].map(|user| publication(user, "new", "x"));
    let publish = blocked(&database, 0, async move {
        store.publication().create_batch(&batch).await.unwrap()
    })
    .await;
    for user in ["al", "bob"] {
        assert!(
            is_locked(
                &database,
                &format!("notify_queue WHERE presentity_uri = 'sip:{user}@example.org'")
            )
            .await
        );
    }
    commit(&lock).await;
    publish.await.unwrap();
}

#[tokio::test]
async fn the_sweep_passes_by_a_publication_that_is_being_refreshed() {
    let (database, _) = with_publication().await;
    let late = database.store.at(after(4000.0));
    let refresh = open(&database, "UPDATE presentity SET expires = expires + 3600").await;
    assert_eq!(sweep_publications(&late, 10, false).await, 0);
    commit(&refresh).await;
    assert_eq!(
        sweep_publications(&late, 10, false).await,
        1,
        "looked at, not ended"
    );
    assert!(
        !database
            .value::<bool>("SELECT removed FROM presentity")
            .await
    );
}

// === claim ===

#[tokio::test]
async fn a_claim_skips_a_locked_row_and_an_overdue_claim_waits_for_it() {
    let (database, store) = with_publication().await;
    let lock = open(&database, "SELECT 1 FROM notify_queue FOR UPDATE").await;
    assert!(
        store
            .queue()
            .claim(A, &[], 10, LEASE, WAITN)
            .await
            .unwrap()
            .is_empty()
    );
    let waiting = store.at(after(2.0));
    let overdue = blocked(&database, 0, async move {
        waiting
            .queue()
            .claim_overdue(A, &[], LEASE, WAITN)
            .await
            .unwrap()
    })
    .await;
    commit(&lock).await;
    assert!(overdue.await.unwrap().is_some());
}

#[tokio::test]
async fn an_overdue_claim_that_lost_the_race_claims_nothing() {
    let (database, store) = with_publication().await;
    let winner = open(
        &database,
        "UPDATE notify_queue SET owner = 2, claim = nextval('notify_version'), claimed_version = version, \
         lease_until = now() + interval '60 s', due = now() + interval '60 s'",
    )
    .await;
    let waiting = store.at(after(2.0));
    let loser = blocked(&database, 0, async move {
        waiting
            .queue()
            .claim_overdue(A, &[], LEASE, WAITN)
            .await
            .unwrap()
    })
    .await;
    commit(&winner).await;
    assert_eq!(loser.await.unwrap(), None);
}

#[tokio::test]
async fn many_claimers_share_without_overlap() {
    let database = Database::new().await;
    let batch: Vec<_> = (0..200)
        .map(|n| publication(&format!("u{n}"), "t", "x"))
        .collect();
    database
        .store
        .publication()
        .create_batch(&batch)
        .await
        .unwrap();
    let claimers: Vec<_> = (1..=8)
        .map(|owner| {
            let store = database.store.clone();
            tokio::spawn(async move {
                let mut mine = Vec::new();
                loop {
                    let claimed = store
                        .queue()
                        .claim(owner, &[], 7, LEASE, WAITN)
                        .await
                        .unwrap();
                    if claimed.is_empty() {
                        return mine;
                    }
                    mine.extend(claimed.into_iter().map(|claimed| claimed.resource));
                }
            })
        })
        .collect();
    let mut all = Vec::new();
    for claimer in claimers {
        all.extend(claimer.await.unwrap());
    }
    // A claimer may find nothing but locked rows and stop early; what it left is still there.
    all.extend(
        database
            .store
            .queue()
            .claim(99, &[], 200, LEASE, WAITN)
            .await
            .unwrap()
            .into_iter()
            .map(|c| c.resource),
    );
    all.sort();
    let count = all.len();
    all.dedup();
    assert_eq!((all.len(), count), (200, 200));
}

// === take ===

#[tokio::test]
async fn take_never_waits_for_the_queue() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    let lock = open(&database, "SELECT 1 FROM notify_queue FOR UPDATE").await;
    assert_eq!(
        store
            .subscription()
            .take(A, &claimed, &[], 10)
            .await
            .unwrap()
            .len(),
        2
    );
    commit(&lock).await;
}

/// The calls of dialogs that were taken, and the resources of which something was left behind.
fn told(taken: &Taken) -> (Vec<&str>, &[usize]) {
    let calls = taken.dialogs.iter().map(|dialog| dialog.call_id.as_str());
    (calls.collect(), &taken.left_behind)
}

#[tokio::test]
async fn take_passes_by_a_dialog_that_somebody_holds_and_says_so() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    let lock = open(
        &database,
        "SELECT 1 FROM active_watchers WHERE callid = 'c2' FOR UPDATE",
    )
    .await;
    let subscription = store.subscription();
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c1"], &[0][..]));
    commit(&lock).await;
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c2"], &[][..]));
}

/// Who was chosen counts against the limit, also when somebody holds the row: there may be more.
#[tokio::test]
async fn a_take_that_its_limit_cut_says_so_whatever_it_left_behind() {
    let (database, store, mut claimed) = with_claimed_dialogs(LEASE).await;
    let subscription = store.subscription();
    let eve = [crate::database::subscription("eve", "c3")];
    subscription.create_batch(&eve).await.unwrap();
    let held = [claimed[0].claim];
    let more = store.queue().claim(A, &held, 10, LEASE, WAITN).await;
    claimed.extend(more.unwrap());
    let c1 = "SELECT 1 FROM active_watchers WHERE callid = 'c1' FOR UPDATE";
    let lock = open(&database, c1).await;
    let taken = subscription.take_free(A, &claimed, &[], 2).await.unwrap();
    assert_eq!(told(&taken), (vec!["c2"], &[0][..]));
    assert!(taken.is_cut, "eve's was not even looked at");
    commit(&lock).await;
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c1", "c3"], &[][..]));
    assert!(!taken.is_cut);
}

/// One that has expired and cannot be ended, because somebody holds the row of its queue, stops no other.
#[tokio::test]
async fn the_sweep_passes_by_a_resource_that_somebody_holds() {
    let database = Database::new().await;
    let options = StoreOptions {
        lock_timeout: Some(Duration::from_millis(50)),
        ..StoreOptions::default()
    };
    let store = Store::connect(&database.url, &options).unwrap();
    let users = ["a", "bob", "c", "d"];
    let published: Vec<_> = users
        .iter()
        .map(|user| publication(user, user, "x"))
        .collect();
    store.publication().create_batch(&published).await.unwrap();
    let subscribed: Vec<_> = users
        .iter()
        .map(|user| crate::database::subscription(user, user))
        .collect();
    store
        .subscription()
        .create_batch(&subscribed)
        .await
        .unwrap();
    let bob = "SELECT 1 FROM notify_queue WHERE presentity_uri = 'sip:bob@example.org' FOR UPDATE";
    let lock = open(&database, bob).await;
    let late = store.at(after(4000.0));
    // Three have ended, and one is looked at again later, be it a publication or a dialog.
    assert_eq!(late.publication().expire_batch(10, false).await.unwrap(), 4);
    let left = "SELECT string_agg(username, ',') FROM presentity WHERE NOT removed";
    assert_eq!(database.value::<String>(left).await, "bob");
    let ended = late.subscription().expire_batch(10).await.unwrap();
    assert!(ended >= 3, "{ended}");
    let left = "SELECT string_agg(callid, ',') FROM active_watchers WHERE status <> 3";
    assert_eq!(database.value::<String>(left).await, "bob");
    commit(&lock).await;
    let later = store.at(after(4006.0));
    assert_eq!(
        later.publication().expire_batch(10, false).await.unwrap(),
        1
    );
    assert_eq!(later.subscription().expire_batch(10).await.unwrap(), 1);
}

/// A take that returns nothing cannot say why. What it left behind is not settled away.
#[tokio::test]
async fn what_somebody_holds_is_not_settled_away() {
    for way in ["flagged", "state"] {
        let (database, store, mut claimed) = with_claimed_dialogs(LEASE).await;
        let subscription = store.subscription();
        if way == "state" {
            subscription.take(A, &claimed, &[], 10).await.unwrap();
            store
                .publication()
                .create_batch(&[publication("bob", "t1", "one")])
                .await
                .unwrap();
            let held = [claimed[0].claim];
            claimed = store
                .queue()
                .claim(A, &held, 10, LEASE, WAITN)
                .await
                .unwrap();
        }
        let seen = Seen {
            version: claimed[0].version,
            digest: 7,
            ..Seen::default()
        };
        let offer = || Offer {
            resource: &claimed[0].resource,
            seen: Some(&seen),
        };
        let settled = [SettledResource {
            taken: TakenState::Doubted(Some(Arc::new(seen.clone()))),
            ..done(&claimed[0], true)
        }];
        let lock = open(&database, "SELECT 1 FROM active_watchers FOR UPDATE").await;
        let taken = subscription.take_free(A, [offer()], &[], 10).await.unwrap();
        assert_eq!(taken, Taken::default(), "{way}");
        assert_eq!(
            store.queue().settle(A, &settled).await.unwrap(),
            [] as [usize; 0]
        );
        commit(&lock).await;
        let taken = subscription.take_free(A, [offer()], &[], 10).await.unwrap();
        assert_eq!(told(&taken), (vec!["c1", "c2"], &[][..]), "{way}");
        assert_eq!(store.queue().settle(A, &settled).await.unwrap(), [0]);
        assert_eq!(
            database.queue().await,
            ["sip:bob@example.org presence idle"]
        );
    }
}

/// A holder whose lease is over is still writing what it took. Whoever recovers the resource passes its dialogs by, and takes all of them again
/// afterwards, with higher numbers.
#[tokio::test]
async fn what_a_late_take_takes_is_taken_again() {
    let (database, store, claimed) = with_claimed_dialogs(Duration::from_millis(400)).await;
    let late = open(
        &database,
        "UPDATE active_watchers SET updated = -1, local_cseq = local_cseq + 1, version = version + 1",
    )
    .await;
    // B claims as soon as the lease is over by PostgreSQL's clock.
    let recovered = loop {
        let claimed = store.queue().claim(B, &[], 10, LEASE, WAITN).await.unwrap();
        if !claimed.is_empty() {
            break claimed;
        }
    };
    assert!(recovered[0].recovered);
    let subscription = store.subscription();
    let too_late = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(too_late, Taken::default());
    let of_b = subscription
        .take_free(B, &recovered, &[], 10)
        .await
        .unwrap();
    assert_eq!(of_b, Taken::default());
    let settled = [SettledResource {
        taken: TakenState::Doubted(None),
        ..done(&recovered[0], true)
    }];
    assert_eq!(
        store.queue().settle(B, &settled).await.unwrap(),
        [] as [usize; 0]
    );
    commit(&late).await;
    let of_b = subscription.take(B, &recovered, &[], 10).await.unwrap();
    let cseqs: Vec<u32> = of_b.iter().map(|taken| taken.cseq).collect();
    assert_eq!(cseqs, [2, 2]);
}

#[tokio::test]
async fn a_subscribe_during_a_take_is_answered_after_it() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    // The SUBSCRIBE has changed the row and not committed; the take after its commit sees the new CSeq and target.
    let subscribe = open(
        &database,
        "UPDATE active_watchers SET updated = 0, remote_cseq = 2, target_version = 1, contact = 'sip:new@192.0.2.2' WHERE callid = 'c1'",
    )
    .await;
    let subscription = store.subscription();
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c2"], &[0][..]));
    commit(&subscribe).await;
    // Its trigger pulled the resource forward for the holder.
    let again = store
        .queue()
        .claim(A, &[claimed[0].claim], 10, LEASE, WAITN)
        .await
        .unwrap();
    let taken = subscription.take_free(A, &again, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c1"], &[][..]));
    let c1 = &taken.dialogs[0];
    assert_eq!(
        (c1.contact.as_str(), c1.remote_cseq, c1.target_version),
        ("sip:new@192.0.2.2", 2, 1)
    );
}

#[tokio::test]
async fn an_ended_verdict_that_comes_first_is_respected() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    let verdict = open(
        &database,
        "UPDATE active_watchers SET ended = true, status = 3, updated = -1 WHERE callid = 'c1'",
    )
    .await;
    let subscription = store.subscription();
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(told(&taken), (vec!["c2"], &[0][..]));
    commit(&verdict).await;
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(taken, Taken::default());
    let settled = [SettledResource {
        taken: TakenState::Doubted(None),
        ..done(&claimed[0], true)
    }];
    assert_eq!(store.queue().settle(A, &settled).await.unwrap(), [0]);
}

// === verdicts ===

/// A verdict whose dialog, or whose row of the queue, somebody holds waits; the others are written.
#[tokio::test]
async fn verdicts_pass_by_what_somebody_holds() {
    for held in [
        "SELECT 1 FROM active_watchers WHERE callid = 'c1' FOR UPDATE",
        "SELECT 1 FROM notify_queue WHERE presentity_uri = 'sip:bob@example.org' FOR UPDATE",
    ] {
        let database = Database::new().await;
        let store = database.store.clone();
        let rows = [subscription("bob", "c1"), subscription("eve", "c2")];
        let subscription = store.subscription();
        subscription.create_batch(&rows).await.unwrap();
        let claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
        let taken = subscription.take(A, &claimed, &[], 10).await.unwrap();
        let c1 = taken
            .iter()
            .position(|dialog| dialog.call_id == "c1")
            .unwrap();
        let verdicts: Vec<DialogVerdict> = taken
            .iter()
            .map(|dialog| verdict(dialog, AfterNotify::Retry { after_s: 9 }))
            .collect();
        let lock = open(&database, held).await;
        let written = subscription.settle_batch(&verdicts).await.unwrap();
        assert_eq!(written.left_behind, [c1], "{held}");
        assert_eq!(written.written, [1 - c1], "{held}");
        commit(&lock).await;
        let again = subscription.settle_batch(&verdicts[c1..=c1]).await.unwrap();
        assert_eq!((again.written, again.left_behind), (vec![0], vec![]));
    }
}

// === settle and renew ===

#[tokio::test]
async fn what_commits_before_a_settle_can_lock_stays_owed() {
    let table = [
        (
            "UPDATE active_watchers SET updated = 0 WHERE callid = 'c1'",
            "sip:bob@example.org presence flagged due",
        ),
        (
            "INSERT INTO presentity (username, domain, event, expires, body) VALUES ('bob', 'example.org', 'presence', -1, 'x')",
            "sip:bob@example.org presence state due",
        ),
    ];
    for (sql, expected) in table {
        let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
        let subscription = store.subscription();
        assert_eq!(
            subscription.take(A, &claimed, &[], 10).await.unwrap().len(),
            2
        );
        let change = open(&database, sql).await;
        assert_eq!(database.settle_all(A, &claimed).await, 0, "it is passed by");
        commit(&change).await;
        assert_eq!(database.settle_all(A, &claimed).await, 1);
        assert_eq!(database.queue().await, [expected], "{sql}");
    }
}

#[tokio::test]
async fn a_settle_that_lost_its_row_settles_nothing() {
    let (database, _, claimed) = with_claimed_dialogs(LEASE).await;
    let thief = open(
        &database,
        "UPDATE notify_queue SET owner = 2, claim = nextval('notify_version'), lease_until = now() + interval '60 s'",
    )
    .await;
    assert_eq!(database.settle_all(A, &claimed).await, 0);
    commit(&thief).await;
    assert_eq!(database.settle_all(A, &claimed).await, 0);
    let owner = database.value::<i64>("SELECT owner FROM notify_queue");
    assert_eq!(owner.await, 2);
}

#[tokio::test]
async fn a_lease_whose_row_somebody_holds_is_not_taken_for_lost() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    let resources = [claimed[0].resource.clone(), resource("al")];
    let lock = open(&database, "SELECT 1 FROM notify_queue FOR UPDATE").await;
    let renewed = store.queue().renew(A, &resources, LEASE).await.unwrap();
    assert_eq!(renewed, [(resource("bob"), Renewed::Busy)]);
    commit(&lock).await;
    let renewed = store.queue().renew(A, &resources, LEASE).await.unwrap();
    assert_eq!(renewed, [(resource("bob"), Renewed::Renewed)]);
}

// === watcher information ===

const WATCH: &str = "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, \
    from_user, from_domain, event, to_tag, from_tag, callid, remote_cseq, contact, expires, status) \
    VALUES ('sip:bob@example.org', 'w', 'example.org', 'bob', 'example.org', 'w', 'example.org', \
    '{event}', 'ours', 'theirs', '{event}', 1, 'sip:w@192.0.2.1', -1, 1)";

fn watch(event: &str) -> String {
    WATCH.replace("{event}", event)
}

async fn winfo_is_due(database: &Database) -> bool {
    let queue = database.queue().await;
    queue
        .iter()
        .any(|row| row.starts_with("sip:bob@example.org presence.winfo state"))
}

/// Somebody begins to watch the watchers while another begins to watch: that one, or the trigger of that one, is told.
#[tokio::test]
async fn who_begins_to_watch_the_watchers_first_is_told_of_the_next() {
    for (end, is_told) in [("COMMIT", true), ("ROLLBACK", false)] {
        let database = Database::new().await;
        let store = database.store.clone();
        let first = open(&database, &watch("presence.winfo")).await;
        let second = blocked(&database, 0, async move {
            store
                .subscription()
                .create_batch(&[subscription("bob", "c1")])
                .await
                .unwrap()
        })
        .await;
        first.batch_execute(end).await.unwrap();
        second.await.unwrap();
        assert_eq!(winfo_is_due(&database).await, is_told, "after {end}");
    }
}

#[tokio::test]
async fn who_begins_to_watch_the_watchers_second_is_shown_the_first() {
    let database = Database::new().await;
    let store = database.store.clone();
    let first = open(&database, &watch("presence")).await;
    let winfo = NewSubscription {
        event: "presence.winfo".into(),
        ..subscription("bob", "c1")
    };
    let writer = store.clone();
    let second = blocked(&database, 0, async move {
        writer.subscription().create_batch(&[winfo]).await.unwrap()
    })
    .await;
    // Nobody can be told before the first has ended, because the second is not there to be told.
    let claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
    assert_eq!(claimed, []);
    commit(&first).await;
    second.await.unwrap();
    let claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
    let taken = store
        .subscription()
        .take(A, &claimed, &[], 10)
        .await
        .unwrap();
    assert!(taken.iter().all(|dialog| dialog.partial_since.is_none()));
    let watched = WatchedResource {
        resource: resource("bob"),
        all_live: true,
        since: None,
        after: None,
    };
    let shown = store
        .subscription()
        .list_watchers(&[watched], None)
        .await
        .unwrap();
    assert_eq!(shown.len(), 1);
}

/// The same for each way in which a subscription ends, flagged or not.
#[tokio::test]
async fn whatever_ends_a_subscription_meets_who_begins_to_watch_the_watchers() {
    for way in ["unsubscribe", "expiry", "take", "deletion"] {
        let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
        store
            .subscription()
            .take(A, &claimed, &[], 10)
            .await
            .unwrap();
        database.settle_all(A, &claimed).await;
        let mut claimed = Vec::new();
        match way {
            "expiry" => {
                database
                    .by_hand(
                        "UPDATE active_watchers SET expires = 1, sweep_at = 1 WHERE callid = 'c1'",
                    )
                    .await;
            }
            "take" => {
                database
                    .by_hand(
                        "UPDATE active_watchers SET expires = 1, updated = 0 WHERE callid = 'c1'",
                    )
                    .await;
                claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
            }
            _ => {}
        }
        let first = open(&database, &watch("presence.winfo")).await;
        let hand = database.session().await;
        let second = blocked(&database, 0, async move {
            let subscription = store.subscription();
            match way {
                "unsubscribe" => {
                    let end = [refresh("c1", 2, 0)];
                    subscription.refresh_batch(&end, 0).await.map(|_| ())
                }
                "expiry" => subscription.expire_batch(10).await.map(|_| ()),
                "take" => subscription.take(A, &claimed, &[], 10).await.map(|_| ()),
                _ => {
                    let delete = "DELETE FROM active_watchers WHERE callid = 'c1'";
                    hand.batch_execute(delete).await.unwrap();
                    Ok(())
                }
            }
        })
        .await;
        commit(&first).await;
        second.await.unwrap().unwrap();
        assert!(winfo_is_due(&database).await, "{way}");
    }
}

/// A verdict does not wait for whoever begins to watch the watchers: it comes after.
#[tokio::test]
async fn a_verdict_comes_after_who_begins_to_watch_the_watchers() {
    let (database, store, claimed) = with_claimed_dialogs(LEASE).await;
    let subscription = store.subscription();
    let taken = subscription.take(A, &claimed, &[], 10).await.unwrap();
    let ended = [verdict(&taken[0], AfterNotify::Ended)];
    let first = open(&database, &watch("presence.winfo")).await;
    let written = subscription.settle_batch(&ended).await.unwrap();
    assert_eq!(written.left_behind, [0]);
    commit(&first).await;
    assert_eq!(
        subscription.settle_batch(&ended).await.unwrap().written,
        [0]
    );
    assert!(winfo_is_due(&database).await);
}

// === the retry of races ===

#[tokio::test]
async fn a_deadlock_with_a_foreign_program_is_run_again_and_counted() {
    let (database, store) = with_publication().await;
    store
        .publication()
        .create_batch(&[publication("al", "a1", "x")])
        .await
        .unwrap();
    // A foreign program that locks in the wrong order: bob before al. It waits patiently; ours finds the deadlock.
    let foreign = open(
        &database,
        "SET LOCAL deadlock_timeout = '60s'; SELECT 1 FROM presentity WHERE username = 'bob' FOR UPDATE",
    )
    .await;
    let batch = [
        change("al", "a1", "a2", modify("y")),
        change("bob", "t1", "t2", modify("y")),
    ];
    let ours = store.clone();
    let ours = blocked(&database, 0, async move {
        ours.publication().change_batch(&batch).await
    })
    .await;
    foreign
        .batch_execute("SELECT 1 FROM presentity WHERE username = 'al' FOR UPDATE; COMMIT")
        .await
        .unwrap();
    assert_eq!(ours.await.unwrap().unwrap(), [stored("a2"), stored("t2")]);
    assert_eq!(store.races_lost(), 1);
}

// === import ===

/// A NOTIFY is taken, or a PUBLISH stored, while an import waits for the row: it is ours then, and stays.
#[tokio::test]
async fn an_import_that_waited_judges_anew() {
    let database = Database::new().await;
    let store = database.store.clone();
    let dialog = ImportedDialog {
        presentity_uri: "sip:bob@example.org".into(),
        event: "presence".into(),
        to_tag: "ours".into(),
        from_tag: "theirs".into(),
        call_id: "call".into(),
        local_cseq: 5,
        remote_cseq: 1,
        contact: "sip:w@192.0.2.1".into(),
        expires: 4_000_000_000,
        status: 1,
        ..ImportedDialog::default()
    };
    let publication = ImportedPublication {
        source_id: 1,
        presentity_uri: "sip:bob@example.org".into(),
        username: "bob".into(),
        domain: "example.org".into(),
        event: "presence".into(),
        etag: "k1".into(),
        expires: -1,
        ..ImportedPublication::default()
    };
    let rows = ([dialog.clone()], [publication.clone()]);
    store.import().dialogs(&rows.0, false).await.unwrap();
    store.import().publications(&rows.1, false).await.unwrap();

    let changed = ImportedDialog {
        remote_cseq: 2,
        ..dialog
    };
    let ours = open(&database, "UPDATE active_watchers SET local_cseq = 6").await;
    let waiting = {
        let store = store.clone();
        async move { store.import().dialogs(&[changed], false).await.unwrap() }
    };
    let task = blocked(&database, 0, waiting).await;
    commit(&ours).await;
    assert_eq!(task.await.unwrap(), [ImportOutcome::Newer]);

    let changed = ImportedPublication {
        etag: "k2".into(),
        ..publication
    };
    let ours = open(
        &database,
        "UPDATE presentity SET etag = 'o1', past_etags = '{k1}'",
    )
    .await;
    let waiting = {
        let store = store.clone();
        async move {
            store
                .import()
                .publications(&[changed], false)
                .await
                .unwrap()
        }
    };
    let task = blocked(&database, 0, waiting).await;
    commit(&ours).await;
    assert_eq!(task.await.unwrap(), [ImportOutcome::Newer]);
    let kept = "SELECT (SELECT etag FROM presentity) || (SELECT local_cseq || '/' || remote_cseq FROM active_watchers)";
    assert_eq!(database.value::<String>(kept).await, "o16/1");
}

// === Rules ===

const RULES: &str = "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
    VALUES ('bob', 'example.org', '<x/>', 2, 'e', 'rules')";

const UNDECIDED: &str = "SELECT count(*) FROM active_watchers WHERE decided_version = -1 AND status = 2 AND view = 'none'";
const TO_DECIDE: &str = "SELECT count(*) FROM notify_queue WHERE decide_at <= now() AND due <= now() AND rules_version > 0";

fn by_rules(call_id: &str) -> NewSubscription {
    NewSubscription {
        decided_by: DecidedBy::RulesOrAllowed,
        ..subscription("bob", call_id)
    }
}

/// The document is stored first; the SUBSCRIBE did not see it, but waits for its lock.
#[tokio::test]
async fn a_subscribe_that_waits_for_a_document_is_undecided() {
    let database = Database::new().await;
    let document = open(&database, RULES).await;
    let store = database.store.clone();
    let rows = vec![by_rules("c1"), by_rules("c2")];
    let subscribe = blocked(&database, 0, async move {
        store.subscription().create_batch(&rows).await
    })
    .await;
    commit(&document).await;
    assert_eq!(subscribe.await.unwrap().unwrap().len(), 2);
    assert_eq!(database.value::<i64>(UNDECIDED).await, 2);
    assert_eq!(database.value::<i64>(TO_DECIDE).await, 1);
    let queue = database.store.queue();
    let claimed = queue.claim(A, &[], 10, LEASE, WAITN).await.unwrap();
    assert!(claimed[0].decide);
    let subscriptions = database.store.subscription();
    let taken = subscriptions.take(A, &claimed, &[], 10).await;
    assert_eq!(taken.unwrap(), []);
}

/// The SUBSCRIBE is stored first; the document waits for it, and makes it due to be decided about.
#[tokio::test]
async fn a_document_that_waits_for_a_subscribe_decides_about_it() {
    let database = Database::new().await;
    let subscribe = open(
        &database,
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain,
             to_tag, from_tag, callid, remote_cseq, contact, expires, status, decided_version)
         VALUES ('sip:bob@example.org', 'w', 'example.org', 'bob', 'example.org', 'w', 'example.org', 'o', 't', 'c', 1,
             'sip:w@192.0.2.1', -1, 1, 0)",
    )
    .await;
    let session = database.session().await;
    let document = blocked(
        &database,
        0,
        async move { session.execute(RULES, &[]).await },
    )
    .await;
    commit(&subscribe).await;
    document.await.unwrap().unwrap();
    assert_eq!(database.value::<i64>(TO_DECIDE).await, 1);
    let watchers = database.store.watcher();
    let rules = watchers.rules(&["sip:bob@example.org"]).await.unwrap();
    assert!(
        rules[0].rules_version > rules[0].decided_rules,
        "all are looked at"
    );
    let dialogs = watchers
        .dialogs(&[("sip:bob@example.org", "presence")], 0, 10)
        .await;
    assert_eq!(dialogs.unwrap().len(), 1);
}

/// A rules document and a list of one owner, each waiting for the other's row: the list is not lost.
#[tokio::test]
async fn a_list_that_comes_with_the_first_rules_is_looked_at() {
    let database = Database::new().await;
    let rules = open(&database, RULES).await;
    let session = database.session().await;
    let list = blocked(&database, 0, async move {
        session
            .execute(&RULES.replace("2, 'e', 'rules'", "4, 'e', 'list'"), &[])
            .await
    })
    .await;
    commit(&rules).await;
    let before: i64 = database
        .value("SELECT max(rules_version) FROM notify_queue")
        .await;
    list.await.unwrap().unwrap();
    let after: i64 = database
        .value("SELECT max(rules_version) FROM notify_queue")
        .await;
    assert!(after >= before && after > 1, "{before} {after}");
    assert_eq!(database.value::<i64>(TO_DECIDE).await, 1);
}

async fn with_undecided(lease: Duration) -> (Database, Vec<Subject>, i64) {
    let database = Database::new().await;
    database.by_hand(RULES).await;
    let rows = [by_rules("c1")];
    let store = database.store.clone();
    store.subscription().create_batch(&rows).await.unwrap();
    store.queue().claim(A, &[], 10, lease, WAITN).await.unwrap();
    let bob = ["sip:bob@example.org"];
    let version = store.watcher().rules(&bob).await.unwrap()[0].rules_version;
    let subjects = store.watcher().undecided(&bob, 10).await.unwrap();
    (database, subjects, version)
}

fn allowed(subject: &Subject, rules_version: i64) -> DecidedDialog {
    DecidedDialog {
        id: subject.id,
        status_before: subject.status,
        status: 1,
        reason: Some(String::new()),
        view: "all".into(),
        tell: true,
        rules_version,
    }
}

/// The watcher unsubscribes while it is decided about: the decision does not bring the dialog back, and the presentity is due
/// again, for the last NOTIFY.
#[tokio::test]
async fn an_unsubscribe_goes_before_a_decision() {
    let (database, subjects, version) = with_undecided(LEASE).await;
    let gone = open(
        &database,
        "UPDATE active_watchers SET status = 3, reason = 'timeout', updated = 0",
    )
    .await;
    let store = database.store.clone();
    let decisions = vec![allowed(&subjects[0], version)];
    let decide = blocked(&database, 0, async move {
        store
            .watcher()
            .decide_batch(A, &["sip:bob@example.org"], &decisions, &[])
            .await
    })
    .await;
    commit(&gone).await;
    assert_eq!(decide.await.unwrap().unwrap(), 0);
    assert_eq!(database.value::<i64>(TO_DECIDE).await, 1);
    assert_eq!(
        database
            .value::<i64>(
                "SELECT count(*) FROM active_watchers WHERE status = 3 AND decided_version = -1"
            )
            .await,
        1
    );
}

/// A decider that waited for a lock until its lease was over writes nothing: neither dialogs nor watchers.
#[tokio::test]
async fn a_decider_that_lost_its_lease_writes_nothing() {
    let (database, subjects, version) = with_undecided(Duration::from_millis(700)).await;
    let lock = open(&database, "SELECT 1 FROM active_watchers FOR UPDATE").await;
    let store = database.store.clone();
    let decisions = vec![allowed(&subjects[0], version)];
    let watchers = vec![DecidedWatcher {
        presentity_uri: "sip:bob@example.org".into(),
        username: "watcher".into(),
        domain: "example.org".into(),
        event: "presence".into(),
        dialog: Some(subjects[0].id),
        decision: StoredDecision {
            status: 1,
            reason: String::new(),
            view: Some("all".into()),
            recheck_at: None,
        },
        rules_version: version,
    }];
    let decide = blocked(&database, 0, async move {
        store
            .watcher()
            .decide_batch(A, &["sip:bob@example.org"], &decisions, &watchers)
            .await
    })
    .await;
    while database
        .value::<bool>("SELECT lease_until > clock_timestamp() FROM notify_queue")
        .await
    {}
    let queue = database.store.queue();
    let claimed = queue.claim(B, &[], 10, LEASE, WAITN).await.unwrap();
    assert!(claimed[0].recovered && claimed[0].decide);
    commit(&lock).await;
    assert_eq!(decide.await.unwrap().unwrap(), 0);
    assert_eq!(database.value::<i64>(UNDECIDED).await, 1);
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM watchers").await,
        0
    );
}

/// One whose lease was good when it locked its dialogs still commits; whoever recovers the presentity waits for that, and sees it.
#[tokio::test]
async fn the_next_decider_waits_for_what_the_last_one_writes() {
    let (database, _, version) = with_undecided(LEASE).await;
    let late = open(
        &database,
        &format!("UPDATE active_watchers SET status = 3, reason = 'rejected', decided_version = {version}"),
    )
    .await;
    let store = database.store.clone();
    let next = blocked(&database, 0, async move {
        store
            .watcher()
            .await_decider(&["sip:bob@example.org"])
            .await?;
        store
            .watcher()
            .dialogs(&[("sip:bob@example.org", "presence")], 0, 10)
            .await
    })
    .await;
    commit(&late).await;
    assert_eq!(next.await.unwrap().unwrap()[0].status, 3);
}

/// The same for what is stored of a watcher: neither a row that is being changed is overlooked, nor one that is being made, for which
/// the earlier decider holds the dialog.
#[tokio::test]
async fn the_next_decider_waits_for_watchers_too() {
    let (database, subjects, version) = with_undecided(LEASE).await;
    let bob = ["sip:bob@example.org"];
    let watcher = |status| DecidedWatcher {
        presentity_uri: bob[0].into(),
        username: "watcher".into(),
        domain: "example.org".into(),
        event: "presence".into(),
        dialog: Some(subjects[0].id),
        decision: StoredDecision {
            status,
            reason: String::new(),
            view: Some("none".into()),
            recheck_at: None,
        },
        rules_version: version,
    };
    let decisions = database.store.watcher();
    decisions
        .decide_batch(A, &bob, &[], &[watcher(2)])
        .await
        .unwrap();
    let late = open(&database, "UPDATE watchers SET status = 3").await;
    let store = database.store.clone();
    let next = blocked(&database, 0, async move {
        let watchers = store.watcher();
        watchers.await_decider(&["sip:bob@example.org"]).await?;
        watchers.persons(&["sip:bob@example.org"], None, 10).await
    })
    .await;
    commit(&late).await;
    assert_eq!(next.await.unwrap().unwrap()[0].stored.status, 3);

    database.by_hand("DELETE FROM watchers").await;
    let lock = open(&database, "SELECT 1 FROM active_watchers FOR UPDATE").await;
    let store = database.store.clone();
    let rows = [watcher(2)];
    let first = blocked(&database, 0, async move {
        let decisions = store.watcher();
        decisions
            .decide_batch(A, &["sip:bob@example.org"], &[], &rows)
            .await
    })
    .await;
    commit(&lock).await;
    first.await.unwrap().unwrap();
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM watchers").await,
        1
    );
}

// === delete_same_subs ===

fn of_the_phone(call_id: &str) -> NewSubscription {
    NewSubscription {
        subscriber_key: Some("instance:urn:uuid:1".into()),
        ..subscription("bob", call_id)
    }
}

/// A phone that has just started sends two SUBSCRIBEs, to two servers. Whatever the order of their statements, one dialog lives: the newest.
#[tokio::test]
async fn of_two_dialogs_of_a_phone_the_newest_lives() {
    #[derive(Clone, Copy, Debug)]
    enum Step {
        Create(&'static str),
        Supersede(&'static str),
    }
    use Step::{Create, Supersede};
    const ORDERS: [[Step; 4]; 6] = [
        [Create("a"), Supersede("a"), Create("b"), Supersede("b")],
        [Create("a"), Create("b"), Supersede("a"), Supersede("b")],
        [Create("a"), Create("b"), Supersede("b"), Supersede("a")],
        [Create("b"), Create("a"), Supersede("a"), Supersede("b")],
        [Create("b"), Create("a"), Supersede("b"), Supersede("a")],
        [Create("b"), Supersede("b"), Create("a"), Supersede("a")],
    ];
    for order in ORDERS {
        let database = Database::new().await;
        let subscriptions = database.store.subscription();
        let mut newest = "";
        for step in order {
            match step {
                Create(call_id) => {
                    let rows = [of_the_phone(call_id)];
                    subscriptions.create_batch(&rows).await.unwrap();
                    newest = call_id;
                }
                Supersede(call_id) => {
                    let rows = [of_the_phone(call_id)];
                    subscriptions.supersede_batch(&rows).await.unwrap();
                }
            }
        }
        let living = "SELECT string_agg(callid, ' ') FROM active_watchers WHERE status <> 3";
        assert_eq!(database.value::<String>(living).await, newest, "{order:?}");
    }
}

/// The same with both servers at it: one holds the older row when the other comes; and a row that was begun first and
/// committed last.
#[tokio::test]
async fn two_servers_supersede_at_once() {
    let database = Database::new().await;
    let store = database.store.clone();
    let rows = [of_the_phone("a"), of_the_phone("b"), of_the_phone("c")];
    store.subscription().create_batch(&rows).await.unwrap();
    let lock = open(
        &database,
        "SELECT 1 FROM active_watchers WHERE callid = 'a' FOR UPDATE",
    )
    .await;
    let (one, two) = (store.clone(), store.clone());
    let first = blocked(&database, 0, async move {
        let rows = [of_the_phone("b")];
        one.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    let second = blocked(&database, 1, async move {
        let rows = [of_the_phone("c")];
        two.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    commit(&lock).await;
    assert_eq!(first.await.unwrap() + second.await.unwrap(), 2);
    let living = "SELECT string_agg(callid, ' ') FROM active_watchers WHERE status <> 3";
    assert_eq!(database.value::<String>(living).await, "c");

    // d has the lower id, and its transaction is still open when e comes, which waits for it at the row of the queue.
    let begun = open(
        &database,
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, \
             event, to_tag, from_tag, callid, remote_cseq, contact, expires, status, subscriber_key) \
         VALUES ('sip:bob@example.org', 'watcher', 'example.org', 'bob', 'example.org', 'watcher', 'example.org', \
             'presence', 'ours', 'theirs', 'd', 1, 'sip:w@192.0.2.1', 4102444800, 1, 'instance:urn:uuid:1')",
    )
    .await;
    let later = store.clone();
    let e = blocked(&database, 0, async move {
        let rows = [of_the_phone("e")];
        later.subscription().create_batch(&rows).await.unwrap();
        later.subscription().supersede_batch(&rows).await.unwrap()
    })
    .await;
    commit(&begun).await;
    assert_eq!(e.await.unwrap(), 2, "c and d");
    let rows = [of_the_phone("d")];
    assert_eq!(
        store.subscription().supersede_batch(&rows).await.unwrap(),
        0
    );
    assert_eq!(database.value::<String>(living).await, "e");
    assert_eq!(store.races_lost(), 0);
}

/// Many phones, each at many servers at once, while their state changes: no deadlock, and one dialog of each is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_that_all_start_at_once() {
    let database = Database::new().await;
    let store = database.store.clone();
    let mut servers = Vec::new();
    for server in 0..6 {
        let store = store.clone();
        servers.push(tokio::spawn(async move {
            for round in 0..10 {
                // Each server has them in another order.
                let rows: Vec<NewSubscription> = (0..12)
                    .map(|number| (number * (server + 1) * 5 + round) % 12)
                    .map(|number| NewSubscription {
                        aor: aor(&format!("u{}", number / 4)),
                        subscriber_key: Some(format!("phone {number}")),
                        ..subscription("u", &format!("{server} {round} {number}"))
                    })
                    .collect();
                store.subscription().create_batch(&rows).await.unwrap();
                store.subscription().supersede_batch(&rows).await.unwrap();
            }
        }));
    }
    for server in servers {
        server.await.unwrap();
    }
    let phones = "SELECT count(*) FROM (SELECT 1 FROM active_watchers WHERE status <> 3 GROUP BY subscriber_key HAVING count(*) = 1) AS p";
    assert_eq!(database.value::<i64>(phones).await, 12);
    let newest = "SELECT bool_and(a.status = 3 OR a.id = (SELECT max(b.id) FROM active_watchers AS b WHERE b.subscriber_key = a.subscriber_key)) FROM active_watchers AS a";
    assert!(database.value::<bool>(newest).await);
    assert_eq!(store.races_lost(), 0);
}
