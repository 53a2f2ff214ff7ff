//! `delete_same_subs`: of the subscriptions of one subscriber the newest lives.

use events::NewSubscription;
use sip::Aor;
use sql::AfterNotify;

use crate::database::*;

const OWNER: i64 = 5_000_000_001;

fn keyed(user: &str, call_id: &str, key: &str) -> NewSubscription {
    NewSubscription {
        subscriber_key: Some(key.into()),
        ..subscription(user, call_id)
    }
}

/// Stores and ends as a server does; returns how many were ended.
async fn subscribe(database: &Database, rows: &[NewSubscription]) -> u64 {
    let subscription = database.store.subscription();
    subscription.create_batch(rows).await.unwrap();
    subscription.supersede_batch(rows).await.unwrap()
}

/// The Call-IDs of those that live.
async fn living(database: &Database) -> String {
    database
        .value("SELECT COALESCE(string_agg(callid, ' ' ORDER BY callid), '') FROM active_watchers WHERE status <> 3")
        .await
}

#[tokio::test]
async fn the_newest_takes_the_place_of_the_others() {
    let database = Database::new().await;
    assert_eq!(
        subscribe(&database, &[keyed("bob", "c1", "phone")]).await,
        0
    );
    assert_eq!(
        subscribe(&database, &[keyed("bob", "c2", "phone")]).await,
        1
    );
    assert_eq!(living(&database).await, "c2");
    // A copy of either request changes nothing, however late it comes.
    for copy in ["c1", "c2"] {
        assert_eq!(
            subscribe(&database, &[keyed("bob", copy, "phone")]).await,
            0
        );
        assert_eq!(living(&database).await, "c2");
    }
    // For both a NOTIFY is due, the old one its last; the old one's settling does not touch the new one.
    let claimed = database
        .store
        .queue()
        .claim(OWNER, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    let taken = database
        .store
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap();
    let mut sent: Vec<(&str, i16, &str, u32)> = taken
        .iter()
        .map(|dialog| {
            (
                dialog.call_id.as_str(),
                dialog.status,
                dialog.reason.as_str(),
                dialog.expires_s,
            )
        })
        .collect();
    sent.sort_unstable();
    assert_eq!(sent[0], ("c1", 3, "rejected", 0));
    assert_eq!((sent[1].0, sent[1].1, sent[1].2), ("c2", 1, ""));
    let old = taken.iter().find(|dialog| dialog.call_id == "c1").unwrap();
    database
        .store
        .subscription()
        .settle_batch(&[verdict(old, AfterNotify::Ended)])
        .await
        .unwrap();
    assert_eq!(living(&database).await, "c2");
    // The old dialog cannot be refreshed back to life.
    let outcome = database
        .store
        .subscription()
        .refresh_batch(&[refresh("c1", 2, 600)], 0)
        .await
        .unwrap();
    assert_eq!(outcome, [events::SubscribeOutcome::NoDialog]);
    // Not even when the newest has ended: what was older once stays older.
    let end = [refresh("c2", 2, 0)];
    database
        .store
        .subscription()
        .refresh_batch(&end, 0)
        .await
        .unwrap();
    assert_eq!(living(&database).await, "");
    assert_eq!(
        subscribe(&database, &[keyed("bob", "c3", "phone")]).await,
        0
    );
    assert_eq!(living(&database).await, "c3");
}

#[tokio::test]
async fn nobody_elses_subscription_ends() {
    let database = Database::new().await;
    let same = || keyed("bob", "", "phone");
    let others = [
        keyed("al", "another presentity", "phone"),
        keyed("bob", "another phone", "telephone"),
        NewSubscription {
            event: "dialog".into(),
            call_id: "another event".into(),
            ..same()
        },
        NewSubscription {
            event_id: "7".into(),
            call_id: "another id".into(),
            ..same()
        },
        NewSubscription {
            watcher: aor("eve"),
            call_id: "another watcher".into(),
            ..same()
        },
        NewSubscription {
            watcher: Aor {
                domain: "example.com".into(),
                ..aor("watcher")
            },
            call_id: "another domain".into(),
            ..same()
        },
        NewSubscription {
            subscriber_key: None,
            call_id: "no key".into(),
            ..same()
        },
    ];
    assert_eq!(subscribe(&database, &others).await, 0);
    assert_eq!(
        subscribe(&database, &[keyed("bob", "z1", "phone")]).await,
        0
    );
    assert_eq!(
        subscribe(&database, &[keyed("bob", "z2", "phone")]).await,
        1
    );
    assert_eq!(
        living(&database).await,
        "another domain another event another id another phone another presentity another watcher no key z2"
    );
    // Several at once, of which two are one phone's, and none that has a key.
    let batch = [
        keyed("bob", "z3", "phone"),
        subscription("bob", "y"),
        keyed("bob", "z4", "phone"),
    ];
    assert_eq!(subscribe(&database, &batch).await, 2);
    assert!(living(&database).await.ends_with(" no key y z4"));
    assert_eq!(subscribe(&database, &[subscription("bob", "x")]).await, 0);
    assert!(living(&database).await.ends_with(" no key x y z4"));
}

/// Kamailio's `delete_same_subs = 1`: presentity and Call-ID, in one event package; neither the watcher nor the id counts.
#[tokio::test]
async fn by_call_id_only_presentity_and_event_count() {
    let database = Database::new().await;
    let same = |to_tag: &str| NewSubscription {
        to_tag: to_tag.into(),
        ..keyed("bob", "call", "call-id:call")
    };
    let to_tags = "SELECT COALESCE(string_agg(to_tag, ' ' ORDER BY to_tag), '') FROM active_watchers WHERE status <> 3";
    let others = [
        NewSubscription {
            event: "dialog".into(),
            ..same("another-event")
        },
        NewSubscription {
            to_tag: "another-presentity".into(),
            ..keyed("al", "call", "call-id:call")
        },
        same("first"),
    ];
    assert_eq!(subscribe(&database, &others).await, 0);
    let next = [
        NewSubscription {
            event_id: "7".into(),
            ..same("second")
        },
        NewSubscription {
            watcher: aor("eve"),
            ..same("third")
        },
        NewSubscription {
            watcher: Aor {
                domain: "example.com".into(),
                ..aor("watcher")
            },
            ..same("fourth")
        },
    ];
    for row in next {
        assert_eq!(subscribe(&database, std::slice::from_ref(&row)).await, 1);
        let living: String = database.value(to_tags).await;
        assert_eq!(
            living,
            format!("another-event another-presentity {}", row.to_tag)
        );
    }
    // Two of one batch.
    let both = [
        same("fifth"),
        NewSubscription {
            watcher: aor("eve"),
            ..same("sixth")
        },
    ];
    assert_eq!(subscribe(&database, &both).await, 2);
    let living: String = database.value(to_tags).await;
    assert!(living.ends_with("another-presentity sixth"), "{living}");
}
