//! RFC 6665 section 4.2: dialogs, their CSeq, their end.

use std::time::Duration;

use events::{SubscribeOutcome, SubscriptionRefresh};
use sql::{AfterNotify, Claimed, TakenDialog, Written};

use crate::database::*;

const OWNER: i64 = 5_000_000_001;

fn accepted(granted_s: u32) -> SubscribeOutcome {
    SubscribeOutcome::Accepted {
        granted_s,
        to_tag: "ours".into(),
        local_contact: "sip:presence@192.0.2.9".into(),
    }
}

async fn claim(database: &Database) -> Vec<Claimed> {
    claim_more(database, &[]).await
}

/// A claim by a notifier that is at work on others.
async fn claim_more(database: &Database, held: &[Claimed]) -> Vec<Claimed> {
    let held: Vec<i64> = held.iter().map(|claimed| claimed.claim).collect();
    database
        .store
        .queue()
        .claim(OWNER, &held, 100, LEASE, WAITN)
        .await
        .unwrap()
}

async fn take(database: &Database, claimed: &[Claimed]) -> Vec<TakenDialog> {
    let mut taken = database
        .store
        .subscription()
        .take(OWNER, claimed, &[], 100)
        .await
        .unwrap();
    taken.sort_by(|a, b| a.call_id.cmp(&b.call_id));
    taken
}

#[tokio::test]
async fn create_makes_one_dialog_with_a_notify_due() {
    let database = Database::new().await;
    // A row id beyond 2^31 and a CSeq beyond it too.
    database
        .by_hand("ALTER SEQUENCE active_watchers_id_seq RESTART WITH 3000000000")
        .await;
    let mut new = subscription("bob", "c1");
    new.remote_cseq = 3_000_000_000;
    let rows = [new.clone(), new.clone(), subscription("al", "c2")];
    let outcomes = database
        .store
        .subscription()
        .create_batch(&rows)
        .await
        .unwrap();
    assert_eq!(outcomes, [accepted(600), accepted(600), accepted(600)]);
    assert_eq!(
        database
            .value::<i64>("SELECT count(*) FROM active_watchers")
            .await,
        2
    );
    assert_eq!(
        database.queue().await,
        [
            "sip:al@example.org presence flagged due",
            "sip:bob@example.org presence flagged due"
        ]
    );

    let claimed = claim(&database).await;
    assert!(
        claimed
            .iter()
            .all(|claimed| !claimed.state_due && claimed.version == 0 && !claimed.recovered)
    );
    let taken = take(&database, &claimed).await;
    let first = &taken[0];
    assert_eq!(
        (first.cseq, first.version, first.status, first.expires_s),
        (1, 1, 1, 600)
    );
    assert_eq!(first.remote_cseq, 3_000_000_000);
    assert!(first.id >= 3_000_000_000);
    assert_eq!(first.record_route, new.record_route);
    assert_eq!(
        (first.local_uri.as_str(), first.remote_uri.as_str()),
        (new.local_uri.as_str(), new.remote_uri.as_str())
    );
    assert_eq!(claimed[first.resource_index].resource, resource("bob"));
    assert!(take(&database, &claimed).await.is_empty(), "once");

    // A copy at another server, which would have another Contact and another policy: the stored answer.
    let mut copy = new;
    copy.reach.local_contact = "sip:other".into();
    copy.granted_s = 60;
    let outcomes = database
        .store
        .subscription()
        .create_batch(&[copy])
        .await
        .unwrap();
    assert_eq!(outcomes, [accepted(600)]);
    assert_eq!(database.settle_all(OWNER, &claimed).await, 2);
    assert!(
        database
            .queue()
            .await
            .iter()
            .all(|row| row.ends_with("idle"))
    );
}

#[tokio::test]
async fn a_fetch_is_notified_once_as_terminated() {
    let database = Database::new().await;
    let mut fetch = subscription("bob", "c1");
    fetch.granted_s = 0;
    let rows = [fetch];
    assert_eq!(
        database
            .store
            .subscription()
            .create_batch(&rows)
            .await
            .unwrap(),
        [accepted(0)]
    );
    let claimed = claim(&database).await;
    let taken = take(&database, &claimed).await;
    assert_eq!(
        (
            taken[0].status,
            taken[0].reason.as_str(),
            taken[0].expires_s
        ),
        (3, "timeout", 0)
    );
    let verdicts = [verdict(&taken[0], AfterNotify::Ended)];
    assert_eq!(
        database
            .store
            .subscription()
            .settle_batch(&verdicts)
            .await
            .unwrap()
            .written,
        [0]
    );
    assert_eq!(
        database
            .store
            .subscription()
            .settle_batch(&verdicts)
            .await
            .unwrap(),
        Written::default(),
        "only once"
    );
    database.settle_all(OWNER, &claimed).await;

    // The tombstone answers a copy, is not notified of changes, and goes after 32 s.
    assert_eq!(
        database
            .store
            .subscription()
            .create_batch(&rows)
            .await
            .unwrap(),
        [accepted(0)]
    );
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t", "x")])
        .await
        .unwrap();
    let claimed = claim(&database).await;
    assert!(claimed[0].state_due);
    assert!(take(&database, &claimed).await.is_empty());
    for (seconds, left) in [(30.0, 1), (34.0, 0)] {
        sweep_dialogs(&database.store.at(after(seconds)), 10).await;
        assert_eq!(
            database
                .value::<i64>("SELECT count(*) FROM active_watchers")
                .await,
            left
        );
    }
}

#[tokio::test]
async fn refresh_outcomes() {
    let database = Database::new().await;
    let subscriptions = database.store.subscription();
    let mut new = subscription("bob", "c1");
    new.remote_cseq = 10;
    subscriptions.create_batch(&[new]).await.unwrap();
    let wrong = |change: fn(&mut SubscriptionRefresh)| {
        let mut row = refresh("c1", 20, 60);
        change(&mut row);
        row
    };
    let table = [
        ("same CSeq", refresh("c1", 10, 63), 0, accepted(63)),
        (
            "lower",
            refresh("c1", 9, 60),
            0,
            SubscribeOutcome::OutOfOrder,
        ),
        (
            "lower, beyond the offset",
            refresh("c1", 6, 60),
            3,
            SubscribeOutcome::OutOfOrder,
        ),
        (
            "lower, by just the offset",
            refresh("c1", 7, 61),
            3,
            accepted(61),
        ),
        (
            "lower, within the offset",
            refresh("c1", 8, 61),
            3,
            accepted(61),
        ),
        ("higher", refresh("c1", 11, 62), 0, accepted(62)),
        ("its copy", refresh("c1", 11, 62), 0, accepted(62)),
        (
            "unknown dialog",
            refresh("c9", 20, 60),
            0,
            SubscribeOutcome::NoDialog,
        ),
        (
            "other tag",
            wrong(|row| row.to_tag = "x".into()),
            0,
            SubscribeOutcome::NoDialog,
        ),
        (
            "other event",
            wrong(|row| row.event = "dialog".into()),
            0,
            SubscribeOutcome::NoDialog,
        ),
        (
            "other event id",
            wrong(|row| row.event_id = "7".into()),
            0,
            SubscribeOutcome::NoDialog,
        ),
        (
            "another's dialog",
            wrong(|row| row.requester = sip::Aor::of_account("mallory", "example.org", false).ok()),
            0,
            SubscribeOutcome::Forbidden,
        ),
        ("unsubscribe", refresh("c1", 12, 0), 0, accepted(0)),
        ("its copy", refresh("c1", 12, 0), 0, accepted(0)),
        (
            "after the end",
            refresh("c1", 13, 60),
            0,
            SubscribeOutcome::NoDialog,
        ),
    ];
    for (name, row, offset, expected) in table {
        assert_eq!(
            subscriptions.refresh_batch(&[row], offset).await.unwrap(),
            [expected],
            "{name}"
        );
    }
    assert_eq!(
        database
            .value::<i16>("SELECT status FROM active_watchers")
            .await,
        3
    );
}

#[tokio::test]
async fn two_requests_of_one_dialog_in_a_batch_go_in_order() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let rows = [
        refresh("c1", 2, 100),
        refresh("c1", 2, 100),
        refresh("c1", 3, 0),
    ];
    let outcomes = database
        .store
        .subscription()
        .refresh_batch(&rows, 0)
        .await
        .unwrap();
    assert_eq!(outcomes, [accepted(100), accepted(100), accepted(0)]);
}

#[tokio::test]
async fn an_expired_dialog_is_gone_and_notified_of_it() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1"), subscription("bob", "c2")])
        .await
        .unwrap();
    let half = database.store.at(after(300.0));
    half.subscription()
        .refresh_batch(&[refresh("c2", 2, 3600)], 0)
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET updated = -1")
        .await;
    database.by_hand("DELETE FROM notify_queue").await;

    let late = database.store.at(after(602.0));
    let outcome = late
        .subscription()
        .refresh_batch(&[refresh("c1", 2, 600)], 0)
        .await
        .unwrap();
    assert_eq!(outcome, [SubscribeOutcome::NoDialog]);
    assert_eq!(
        sweep_dialogs(&late, 10).await,
        2,
        "one ended, one looked at later"
    );
    assert_eq!(sweep_dialogs(&late, 10).await, 0);
    let claimed = late
        .queue()
        .claim(OWNER, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    let taken = late
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1);
    assert_eq!(
        (
            taken[0].call_id.as_str(),
            taken[0].status,
            taken[0].reason.as_str()
        ),
        ("c1", 3, "timeout")
    );
    // Never settled, forgotten by everybody: the sweep makes it due again.
    let much_later = database.store.at(after(1000.0));
    assert_eq!(sweep_dialogs(&much_later, 10).await, 1);
    assert_eq!(
        database
            .value::<i64>("SELECT updated FROM active_watchers WHERE callid = 'c1'")
            .await,
        0
    );
}

#[tokio::test]
async fn take_ends_a_dialog_that_the_sweep_has_not_seen() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let late = database.store.at(after(700.0));
    let claimed = late
        .queue()
        .claim(OWNER, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    let taken = late
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!(
        (
            taken[0].status,
            taken[0].reason.as_str(),
            taken[0].expires_s
        ),
        (3, "timeout", 0)
    );
    assert_eq!(sweep_dialogs(&late, 10).await, 0, "not due twice");
}

#[tokio::test]
async fn dialogs_in_flight_are_left_alone_until_their_target_changes() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let claimed = claim(&database).await;
    let first = take(&database, &claimed).await.remove(0);
    let in_flight = [(first.id, first.target_version)];
    let subscriptions = database.store.subscription();

    subscriptions
        .refresh_batch(&[refresh("c1", 2, 600)], 0)
        .await
        .unwrap();
    assert!(
        subscriptions
            .take(OWNER, &claimed, &in_flight, 10)
            .await
            .unwrap()
            .is_empty()
    );
    let mut moved = refresh("c1", 3, 600);
    moved.reach.flow = "<sip:token@192.0.2.7;lr>".into();
    subscriptions.refresh_batch(&[moved], 0).await.unwrap();
    let again = subscriptions
        .take(OWNER, &claimed, &in_flight, 10)
        .await
        .unwrap();
    assert_eq!(
        (
            again[0].cseq,
            again[0].target_version,
            again[0].flow.as_str()
        ),
        (2, 1, "<sip:token@192.0.2.7;lr>")
    );
    // The old target's answer says nothing any more.
    let void = [verdict(&first, AfterNotify::Ended)];
    let nothing = subscriptions.settle_batch(&void).await.unwrap();
    assert_eq!(nothing, Written::default());
    assert!(
        !database
            .value::<bool>("SELECT ended FROM active_watchers")
            .await
    );
}

#[tokio::test]
async fn a_retry_waits_for_its_time_and_a_subscribe_ends_the_wait() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    let claimed = claim(&database).await;
    let taken = take(&database, &claimed).await.remove(0);
    let subscriptions = database.store.subscription();
    subscriptions
        .settle_batch(&[verdict(&taken, AfterNotify::Retry { after_s: 30 })])
        .await
        .unwrap();
    assert_eq!(database.settle_all(OWNER, &claimed).await, 1);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged later"]
    );

    // A state change does not get past the back-off.
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t", "x")])
        .await
        .unwrap();
    let claimed = claim(&database).await;
    assert!(claimed[0].state_due);
    assert!(take(&database, &claimed).await.is_empty());
    database.settle_all(OWNER, &claimed).await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged later"]
    );

    let later = database.store.at(after(40.0));
    let claimed = later
        .queue()
        .claim(OWNER, &[], 10, LEASE, WAITN)
        .await
        .unwrap();
    let retried = later
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap()
        .remove(0);
    assert_eq!((retried.cseq, retried.failures), (2, 1));
    later
        .subscription()
        .settle_batch(&[verdict(&retried, AfterNotify::Delivered)])
        .await
        .unwrap();
    assert_eq!(
        database
            .value::<i32>("SELECT failures FROM active_watchers")
            .await,
        0
    );

    later
        .subscription()
        .settle_batch(&[verdict(&retried, AfterNotify::Retry { after_s: 3000 })])
        .await
        .unwrap();
    later
        .subscription()
        .refresh_batch(&[refresh("c1", 2, 600)], 0)
        .await
        .unwrap();
    let now = later
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!((now.len(), now[0].failures), (1, 0));
}

/// RFC 3261 section 8.1.1.5: a CSeq is less than 2^31. Rows at the end of their numbers harm nobody else.
#[tokio::test]
async fn take_retires_a_dialog_with_its_last_cseq() {
    let database = Database::new().await;
    let rows = ["c1", "c2", "c3"].map(|call_id| subscription("bob", call_id));
    database
        .store
        .subscription()
        .create_batch(&rows)
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET local_cseq = 2147483646 WHERE callid = 'c2'")
        .await;
    database
        .by_hand("UPDATE active_watchers SET local_cseq = 2147483647 WHERE callid = 'c3'")
        .await;
    let claimed = claim(&database).await;
    let taken = take(&database, &claimed).await;
    let seen: Vec<_> = taken
        .iter()
        .map(|dialog| {
            let call_id = dialog.call_id.as_str();
            (call_id, dialog.cseq, dialog.status, dialog.ended)
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("c1", 1, 1, false),
            ("c2", 2_147_483_647, 3, false),
            ("c3", 2_147_483_647, 3, true),
        ]
    );
    assert!(
        take(&database, &claimed).await.is_empty(),
        "nothing is due for anybody"
    );
    for nonsense in [
        "remote_cseq = 4294967296",
        "local_cseq = -1",
        "version = 2147483648",
    ] {
        let update = format!("UPDATE active_watchers SET {nonsense}");
        let refused = database.session().await.execute(&update, &[]).await;
        assert!(refused.is_err(), "{nonsense}");
    }
}

#[tokio::test]
async fn take_is_for_the_holder_within_the_lease_and_in_chunks_flagged_first() {
    let database = Database::new().await;
    let rows: Vec<_> = (0..10)
        .map(|n| subscription("bob", &format!("c{n}")))
        .collect();
    database
        .store
        .subscription()
        .create_batch(&rows)
        .await
        .unwrap();
    let claimed = claim(&database).await;
    let subscriptions = database.store.subscription();
    assert!(
        subscriptions
            .take(OWNER + 1, &claimed, &[], 100)
            .await
            .unwrap()
            .is_empty(),
        "not the holder"
    );
    let late = database.store.at(after(11.0));
    assert!(
        late.subscription()
            .take(OWNER, &claimed, &[], 100)
            .await
            .unwrap()
            .is_empty(),
        "the lease is over"
    );
    assert_eq!(
        subscriptions
            .take(OWNER, &claimed, &[], 100)
            .await
            .unwrap()
            .len(),
        10
    );

    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t", "x")])
        .await
        .unwrap();
    subscriptions
        .refresh_batch(&[refresh("c7", 2, 600)], 0)
        .await
        .unwrap();
    let claimed = claim_more(&database, &claimed).await;
    let chunk = subscriptions.take(OWNER, &claimed, &[], 1).await.unwrap();
    assert_eq!(chunk[0].call_id, "c7");
    let mut count = chunk.len();
    loop {
        let chunk = subscriptions.take(OWNER, &claimed, &[], 4).await.unwrap();
        count += chunk.len();
        if chunk.is_empty() {
            break;
        }
    }
    assert_eq!(count, 10, "each once, c7 too");
}

#[tokio::test]
async fn a_dialog_without_end_never_ends() {
    let database = Database::new().await;
    database
        .store
        .subscription()
        .create_batch(&[subscription("bob", "c1")])
        .await
        .unwrap();
    database
        .by_hand("UPDATE active_watchers SET expires = -1")
        .await;
    let late = database.store.at(after(100_000.0));
    sweep_dialogs(&late, 10).await;
    let claimed = late
        .queue()
        .claim(OWNER, &[], 10, Duration::from_secs(10), WAITN)
        .await
        .unwrap();
    let taken = late
        .subscription()
        .take(OWNER, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!((taken[0].status, taken[0].expires_s), (1, u32::MAX));
}
