//! What operators learn of the whole: NOTIFYs that are due and nobody sends, phones that fail for long.

use std::time::Duration;

use events::NewSubscription;
use sql::*;

use crate::database::*;

const A: i64 = 1;
const PATIENCE: Duration = Duration::from_secs(60);

/// Since when something is due, and since when there is the dialog.
const LONG_AGO: &str = "UPDATE notify_queue SET owed_since = now() - interval '5 min';
     UPDATE active_watchers SET created_time = extract(epoch FROM now())::bigint - 300";

async fn watched(call_ids: &[&str]) -> Database {
    let database = Database::new().await;
    let rows: Vec<NewSubscription> = call_ids
        .iter()
        .map(|call_id| subscription("bob", call_id))
        .collect();
    let created = database.store.subscription().create_batch(&rows).await;
    created.unwrap();
    database.hand.batch_execute(LONG_AGO).await.unwrap();
    database
}

async fn take(store: &Store) -> (Vec<Claimed>, usize) {
    let claimed = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
    let taken = store.subscription().take(A, &claimed, &[], 10).await;
    (claimed, taken.unwrap().len())
}

async fn backlog(store: &Store) -> Backlog {
    store.operator().find_backlog(PATIENCE).await.unwrap()
}

/// A notifier has it in hand, so nothing is late; and somebody holds the dialog, so nothing is sent.
#[tokio::test]
async fn what_is_claimed_and_not_sent_is_counted() {
    let database = watched(&["c1"]).await;
    let store = &database.store;
    let other = database.session().await;
    other
        .batch_execute("BEGIN; SELECT id FROM active_watchers FOR UPDATE")
        .await
        .unwrap();
    let (claimed, taken) = take(store).await;
    assert_eq!((claimed.len(), taken), (1, 0));
    let found = backlog(store).await;
    assert_eq!((found.resources, found.due, found.late_s), (1, 0, None));
    assert_eq!(found.untold, 1);
    assert!(found.untold_s.unwrap() >= 300.0, "{found:?}");

    other.batch_execute("ROLLBACK").await.unwrap();
    let taken = store.subscription().take(A, &claimed, &[], 10).await;
    assert_eq!(taken.unwrap().len(), 1);
    let found = backlog(store).await;
    assert_eq!(
        (found.resources, found.untold, found.untold_s),
        (1, 0, None)
    );
}

/// Its debts go on without a break, because it changes all the time, or somebody subscribes; each is paid.
#[tokio::test]
async fn what_is_sent_again_and_again_is_not() {
    let database = watched(&["c1"]).await;
    let store = &database.store;
    let (claimed, taken) = take(store).await;
    assert_eq!(taken, 1);
    let more = [subscription("bob", "c2")];
    store.subscription().create_batch(&more).await.unwrap();
    let published = [publication("bob", "t1", "x")];
    store.publication().create_batch(&published).await.unwrap();
    database.settle_all(A, &claimed).await;
    let found = backlog(store).await;
    assert!(found.oldest_s.unwrap() >= 300.0, "{found:?}");
    assert_eq!(found.untold, 0);
    // The new one is not notified either.
    database.hand.batch_execute(LONG_AGO).await.unwrap();
    assert_eq!(backlog(store).await.untold, 1);
}

/// Who took it died before the answer, again and again: it was taken a moment ago, and nobody was notified.
#[tokio::test]
async fn what_died_with_its_holders_is_counted() {
    let database = watched(&["c1"]).await;
    let store = &database.store;
    for _ in 0..2 {
        assert_eq!(take(store).await.1, 1);
        database
            .by_hand("UPDATE notify_queue SET lease_until = now() - interval '1 s', due = now() - interval '1 s'")
            .await;
    }
    assert_eq!(backlog(store).await.untold, 1);
}

#[tokio::test]
async fn phones_that_fail_for_long_are_counted() {
    let database = watched(&["c1", "c2", "c3"]).await;
    database
        .by_hand(
            "UPDATE active_watchers SET failures = CASE callid WHEN 'c1' THEN 4 WHEN 'c2' THEN 9 ELSE 0 END, \
             retry_at = extract(epoch FROM now())::bigint + 60, notified_at = now()",
        )
        .await;
    let store = &database.store;
    let failing = store.operator().count_failing(5).await.unwrap();
    let expected = Failing {
        dialogs: 2,
        worst: 9,
        lasting: 1,
    };
    assert_eq!(failing, expected);
    // They are sent NOTIFYs in vain.
    assert_eq!(backlog(store).await.untold, 0);
}
