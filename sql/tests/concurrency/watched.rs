//! A subscription that begins or ends meets who begins to watch the watchers.

use super::*;

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

/// Somebody begins to watch the watchers while another begins to watch: that one, or the trigger of that one, makes it due.
#[tokio::test]
async fn who_begins_to_watch_the_watchers_first_is_notified_of_the_next() {
    for (end, is_notified) in [("COMMIT", true), ("ROLLBACK", false)] {
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
        assert_eq!(winfo_is_due(&database).await, is_notified, "after {end}");
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
    // Nobody can be notified before the first has ended, because the second is not there to be notified.
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
