//! Claim, renew, settle: one holder, nothing forgotten, pacing.

use std::time::Duration;

use sql::{Claimed, Claiming, NextChange, Renewed, SettledResource, Store};

use crate::database::*;

const A: i64 = 1;
const B: i64 = 2;

async fn claim_at(store: &Store, owner: i64, seconds: f64) -> Vec<Claimed> {
    claim_more_at(store, owner, &[], seconds).await
}

/// A claim by an owner that is at work on others.
async fn claim_more_at(store: &Store, owner: i64, held: &[Claimed], seconds: f64) -> Vec<Claimed> {
    let held: Vec<i64> = held.iter().map(|claimed| claimed.claim).collect();
    store
        .at(after(seconds))
        .queue()
        .claim(owner, &held, 10, LEASE, WAITN)
        .await
        .unwrap()
}

/// A claim that looks ahead.
fn looking(owner: i64, horizon_s: f64) -> Claiming<'static> {
    Claiming {
        owner,
        held: &[],
        limit: 10,
        decisions: 10,
        apart: &[],
        lease: LEASE,
        waitn: WAITN,
        horizon: Duration::from_secs_f64(horizon_s),
    }
}

async fn publish_at(store: &Store, seconds: f64, tag: &str) {
    store
        .at(after(seconds))
        .publication()
        .create_batch(&[publication("bob", tag, tag)])
        .await
        .unwrap();
}

async fn subscribe_at(store: &Store, seconds: f64, call_id: &str) {
    store
        .at(after(seconds))
        .subscription()
        .create_batch(&[subscription("bob", call_id)])
        .await
        .unwrap();
}

async fn take_at(store: &Store, owner: i64, claimed: &[Claimed], seconds: f64) -> Vec<String> {
    let taken = store
        .at(after(seconds))
        .subscription()
        .take(owner, claimed, &[], 100)
        .await
        .unwrap();
    let mut calls: Vec<String> = taken
        .into_iter()
        .map(|taken| format!("{}:{}", taken.call_id, taken.cseq))
        .collect();
    calls.sort();
    calls
}

async fn settle_at(
    store: &Store,
    owner: i64,
    claimed: &[Claimed],
    state_taken: bool,
    seconds: f64,
) -> u64 {
    let settled: Vec<_> = claimed
        .iter()
        .map(|claimed| done(claimed, state_taken))
        .collect();
    let store = store.at(after(seconds));
    let settled = store.queue().settle(owner, &settled).await.unwrap();
    settled.len() as u64
}

#[tokio::test]
async fn a_claim_excludes_others_until_it_is_settled() {
    let database = Database::new().await;
    let store = &database.store;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.5).await;
    assert_eq!(claimed.len(), 1);
    assert!(claimed[0].state_due && claimed[0].version > 0 && !claimed[0].recovered);
    assert!(claim_at(store, B, 1.0).await.is_empty());
    assert!(
        claim_more_at(store, A, &claimed, 1.0).await.is_empty(),
        "nothing new for the holder"
    );
    assert_eq!(
        settle_at(store, B, &claimed, true, 1.0).await,
        0,
        "not B's to settle"
    );
    assert_eq!(settle_at(store, A, &claimed, true, 1.0).await, 1);
    assert_eq!(settle_at(store, A, &claimed, true, 1.0).await, 0, "once");
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"]
    );
    assert!(claim_at(store, B, 100.0).await.is_empty());
    let deleted = store
        .at(after(30.0))
        .maintenance()
        .delete_idle_resources(10)
        .await
        .unwrap();
    assert_eq!(deleted, 1);
}

#[tokio::test]
async fn changes_are_paced_and_coalesce() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    assert_eq!(take_at(store, A, &claimed, 0.1).await, ["c1:1"]);
    settle_at(store, A, &claimed, true, 0.2).await;
    publish_at(store, 1.0, "t2").await;
    publish_at(store, 2.0, "t3").await;
    assert!(claim_at(store, A, 4.9).await.is_empty(), "paced");
    let claimed = claim_at(store, B, 5.2).await;
    assert_eq!(
        take_at(store, B, &claimed, 5.2).await,
        ["c1:2"],
        "two changes, one NOTIFY"
    );
    settle_at(store, B, &claimed, true, 5.3).await;
    // After quiet the next change goes at once.
    publish_at(store, 60.0, "t4").await;
    assert_eq!(claim_at(store, A, 60.0).await.len(), 1);
}

#[tokio::test]
async fn a_subscribe_neither_waits_nor_pulls_the_others_forward() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_at(store, A, &claimed, true, 0.2).await;

    publish_at(store, 1.0, "t2").await;
    subscribe_at(store, 2.0, "c2").await;
    let claimed = claim_at(store, A, 2.0).await;
    assert!(!claimed[0].state_due);
    assert_eq!(
        take_at(store, A, &claimed, 2.0).await,
        ["c2:1"],
        "c1 keeps its pacing"
    );
    assert_eq!(settle_at(store, A, &claimed, false, 2.1).await, 1);
    assert!(claim_at(store, A, 4.0).await.is_empty());
    let claimed = claim_at(store, A, 5.2).await;
    assert!(claimed[0].state_due);
    assert_eq!(
        take_at(store, A, &claimed, 5.2).await,
        ["c1:2"],
        "c2 has seen that state"
    );
}

#[tokio::test]
async fn a_change_during_the_work_stays_due() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let first = claim_at(store, A, 0.1).await;
    take_at(store, A, &first, 0.1).await;
    publish_at(store, 0.2, "t2").await;
    settle_at(store, A, &first, true, 0.3).await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence state later"]
    );
    let second = claim_at(store, B, 5.2).await;
    assert_eq!(take_at(store, B, &second, 5.2).await, ["c1:2"]);
}

#[tokio::test]
async fn a_long_lease_hides_nothing_from_its_holder() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let lease = Duration::from_secs(3);
    let claimed = store
        .at(after(0.1))
        .queue()
        .claim(A, &[], 10, lease, WAITN)
        .await
        .unwrap();
    take_at(store, A, &claimed, 0.1).await;
    // Due at 5.1, later than the lease lasts; renewed twice before and after.
    publish_at(store, 1.0, "t2").await;
    for seconds in [2.0, 4.0] {
        let held = store
            .at(after(seconds))
            .queue()
            .renew(A, &[resource("bob"), resource("al")], lease)
            .await
            .unwrap();
        assert_eq!(held, [(resource("bob"), Renewed::Renewed)]);
        assert!(
            claim_more_at(store, A, &claimed, seconds + 0.1)
                .await
                .is_empty(),
            "not yet due"
        );
        assert!(claim_at(store, B, seconds + 0.1).await.is_empty());
    }
    let again = claim_more_at(store, A, &claimed, 5.2).await;
    assert!(again[0].state_due && !again[0].recovered && again[0].version > claimed[0].version);
    assert_eq!(take_at(store, A, &again, 5.2).await, ["c1:2"]);
    // The first claim was replaced: it settles nothing.
    assert_eq!(settle_at(store, A, &claimed, true, 5.3).await, 0);
    assert_eq!(settle_at(store, A, &again, true, 5.3).await, 1);
    // A flag is due for the holder at once, whatever renewals come.
    publish_at(store, 20.0, "t3").await;
    let claimed = claim_at(store, A, 20.1).await;
    subscribe_at(store, 20.2, "c2").await;
    assert_eq!(
        store
            .at(after(20.3))
            .queue()
            .renew(A, &[resource("bob")], LEASE)
            .await
            .unwrap()
            .len(),
        1
    );
    assert!(claim_at(store, B, 20.4).await.is_empty());
    let again = claim_more_at(store, A, &claimed, 20.4).await;
    assert_eq!(
        again[0].version, claimed[0].version,
        "the change is still the holder's"
    );
    assert_eq!(take_at(store, A, &again, 20.4).await, ["c1:3", "c2:1"]);
}

#[tokio::test]
async fn what_a_dead_holder_had_taken_is_taken_again() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    subscribe_at(store, 0.0, "c2").await;
    let flagged_only = claim_at(store, A, 0.1).await;
    assert_eq!(
        take_at(store, A, &flagged_only, 0.1).await,
        ["c1:1", "c2:1"]
    );
    // A dies here. Nobody knows whether these were sent.
    assert!(claim_at(store, B, 10.0).await.is_empty());
    let recovered = claim_at(store, B, 10.2).await;
    assert!(recovered[0].recovered && recovered[0].state_due);
    assert_eq!(
        take_at(store, A, &flagged_only, 10.2).await,
        [""; 0],
        "A lives after all, but is no holder"
    );
    assert_eq!(take_at(store, B, &recovered, 10.2).await, ["c1:2", "c2:2"]);
    assert_eq!(
        store
            .at(after(10.3))
            .queue()
            .renew(A, &[resource("bob")], LEASE)
            .await
            .unwrap(),
        []
    );
    assert_eq!(settle_at(store, A, &flagged_only, true, 10.3).await, 0);
    assert_eq!(settle_at(store, B, &recovered, true, 10.4).await, 1);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"]
    );
    // One's own lease that ran out is no better: the answer to a take may have been lost.
    publish_at(store, 100.0, "t").await;
    claim_at(store, B, 100.1).await;
    let own = claim_at(store, B, 111.0).await;
    assert!(own[0].recovered);
    assert_eq!(take_at(store, B, &own, 111.0).await, ["c1:3", "c2:3"]);
}

#[tokio::test]
async fn what_a_notifier_gave_up_is_not_claimed_as_if_nothing_had_happened() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    let claimed = claim_at(store, A, 0.1).await;
    // The answer to this take is lost: A gives the resource up.
    take_at(store, A, &claimed, 0.1).await;
    subscribe_at(store, 0.2, "c2").await;
    publish_at(store, 0.3, "t1").await;
    assert!(claim_at(store, A, 6.0).await.is_empty());
    let overdue = store
        .at(after(6.0))
        .queue()
        .claim_overdue(A, &[], LEASE, WAITN)
        .await
        .unwrap();
    assert_eq!(overdue, None);
    let recovered = claim_at(store, A, 10.2).await;
    assert!(recovered[0].recovered);
    assert_eq!(take_at(store, A, &recovered, 10.2).await, ["c1:2", "c2:1"]);
}

#[tokio::test]
async fn unfinished_work_is_handed_on_at_once() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    subscribe_at(store, 0.0, "c2").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    let chunk = store
        .at(after(0.1))
        .subscription()
        .take(A, &claimed, &[], 1)
        .await
        .unwrap();
    assert_eq!(chunk.len(), 1);
    settle_at(store, A, &claimed, false, 0.2).await;
    let rest = claim_at(store, B, 0.3).await;
    assert!(!rest[0].recovered);
    assert_eq!(
        take_at(store, B, &rest, 0.3).await.len(),
        1,
        "only the one that A left"
    );
}

#[tokio::test]
async fn overdue_rows_are_claimed_one_by_one() {
    let database = Database::new().await;
    let store = &database.store;
    publish_at(store, 0.0, "t1").await;
    let overdue = |seconds| store.at(after(seconds));
    assert!(
        overdue(0.5)
            .queue()
            .claim_overdue(A, &[], LEASE, WAITN)
            .await
            .unwrap()
            .is_none()
    );
    let claimed = overdue(1.5)
        .queue()
        .claim_overdue(A, &[], LEASE, WAITN)
        .await
        .unwrap()
        .unwrap();
    assert!(claimed.state_due);
    assert!(
        overdue(3.0)
            .queue()
            .claim_overdue(B, &[], LEASE, WAITN)
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn earliest_first_up_to_the_limit() {
    let database = Database::new().await;
    for (n, user) in ["c", "a", "b"].iter().enumerate() {
        let store = database.store.at(after(n as f64));
        store
            .publication()
            .create_batch(&[publication(user, "t", "x")])
            .await
            .unwrap();
    }
    for user in ["c", "a", "b"] {
        let claimed = database
            .store
            .at(after(10.0))
            .queue()
            .claim(A, &[], 1, LEASE, WAITN)
            .await
            .unwrap();
        assert_eq!(claimed[0].resource, resource(user));
    }
}

#[tokio::test]
async fn the_doorbell_is_heard_and_survives_its_connection() {
    let database = Database::new().await;
    let mut doorbell = database.store.listen();
    doorbell.rung().await; // connected
    database.store.ring().await.unwrap();
    doorbell.rung().await;
    database.by_hand("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%LISTEN pgpresence%' AND pid <> pg_backend_pid()").await;
    doorbell.rung().await; // connected again
    database.store.ring().await.unwrap();
    doorbell.rung().await;
}

#[tokio::test]
async fn a_claim_tells_when_the_pacing_lets_the_next_change_go() {
    let database = Database::new().await;
    let store = &database.store;
    let look = async |owner, seconds, horizon_s| {
        let (claimed, next_due) = store
            .at(after(seconds))
            .queue()
            .claim_all(&looking(owner, horizon_s))
            .await
            .unwrap();
        (claimed, next_due.map(|next| next.as_secs_f64().round()))
    };
    publish_at(store, 0.0, "t1").await;
    let (claimed, next_due) = look(A, 0.0, 100.0).await;
    assert_eq!((claimed.len(), next_due), (1, None));
    assert_eq!(settle_at(store, A, &claimed, true, 0.0).await, 1);
    publish_at(store, 1.0, "t2").await;
    let waitn_s = WAITN.as_secs_f64();
    assert_eq!(look(B, 1.0, 100.0).await, (vec![], Some(waitn_s - 1.0)));
    assert_eq!(look(B, 1.0, waitn_s - 2.0).await, (vec![], None), "too far");
    assert_eq!(look(B, 1.0, 0.0).await, (vec![], None));
    let (claimed, next_due) = look(B, waitn_s, 100.0).await;
    assert_eq!((claimed.len(), next_due), (1, None));
    assert_eq!(
        look(A, waitn_s + 1.0, 100.0).await,
        (vec![], None),
        "somebody else holds it"
    );
}

// === documents that change by themselves ===

async fn settle_with(store: &Store, claimed: &Claimed, next_change: NextChange, seconds: f64) {
    let settled = SettledResource {
        next_change,
        ..done(claimed, true)
    };
    let count = store
        .at(after(seconds))
        .queue()
        .settle(A, &[settled])
        .await
        .unwrap();
    assert_eq!(count, [0]);
}

/// The second that is so many seconds away.
fn second_after(seconds: f64) -> NextChange {
    let since = after(seconds)
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    NextChange::At(i64::try_from(since.as_secs()).unwrap())
}

#[tokio::test]
async fn a_document_that_changes_by_itself_is_due_again_for_everybody() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    assert_eq!(take_at(store, A, &claimed, 0.1).await, ["c1:1"]);
    settle_with(store, &claimed[0], second_after(20.0), 0.2).await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence later"],
        "nothing is due yet"
    );
    assert!(claim_at(store, B, 18.5).await.is_empty(), "not before");
    // Whoever subscribes meanwhile is answered alone.
    subscribe_at(store, 10.0, "c2").await;
    let flagged = claim_at(store, A, 10.1).await;
    assert!(!flagged[0].state_due);
    assert_eq!(take_at(store, A, &flagged, 10.1).await, ["c2:1"]);
    settle_with(store, &flagged[0], second_after(20.0), 10.2).await;

    let (_, next_due) = store
        .at(after(15.0))
        .queue()
        .claim_all(&looking(A, 60.0))
        .await
        .unwrap();
    assert!(next_due.is_some(), "it can be looked ahead to");
    let aged = claim_at(store, B, 20.5).await;
    assert!(aged[0].state_due && aged[0].version > claimed[0].version && !aged[0].recovered);
    assert_eq!(take_at(store, B, &aged, 20.5).await, ["c1:2", "c2:2"]);
    assert_eq!(settle_at(store, B, &aged, true, 20.6).await, 1);
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"],
        "once"
    );
}

#[tokio::test]
async fn a_publication_meanwhile_goes_at_once_and_decides_anew() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_with(store, &claimed[0], second_after(60.0), 0.2).await;
    publish_at(store, 20.0, "t2").await;
    let claimed = claim_at(store, A, 20.1).await;
    assert!(claimed[0].state_due, "it does not wait for that time");
    assert_eq!(take_at(store, A, &claimed, 20.1).await, ["c1:2"]);
    settle_with(store, &claimed[0], NextChange::Never, 20.2).await;
    assert!(claim_at(store, A, 100.0).await.is_empty());
}

/// A SUBSCRIBE that is answered a moment after a lamp went dark must not make the others forget that it did.
#[tokio::test]
async fn what_one_dialog_was_shown_does_not_excuse_the_others() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_with(store, &claimed[0], second_after(20.0), 0.2).await;
    // Claimed before that second, rendered after it.
    subscribe_at(store, 18.0, "c2").await;
    let flagged = claim_at(store, A, 18.5).await;
    assert_eq!(take_at(store, A, &flagged, 18.6).await, ["c2:1"]);
    settle_with(store, &flagged[0], NextChange::Never, 20.2).await;
    let aged = claim_at(store, A, 20.5).await;
    assert_eq!(take_at(store, A, &aged, 20.5).await, ["c1:2", "c2:2"]);
    // Shown to nobody: what was known stays, and nothing is left of a time that has come.
    settle_with(store, &aged[0], NextChange::Unknown, 20.6).await;
    assert!(claim_at(store, A, 100.0).await.is_empty());
}

#[tokio::test]
async fn such_a_change_is_paced_and_comes_during_a_lease_as_well() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_with(store, &claimed[0], second_after(2.0), 0.2).await;
    assert!(claim_at(store, A, 4.5).await.is_empty(), "waitn_time");
    assert_eq!(claim_at(store, A, 5.2).await.len(), 1);
    settle_at(
        store,
        A,
        &claim_more_at(store, A, &[], 5.2).await,
        true,
        5.3,
    )
    .await;

    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_with(store, &claimed[0], second_after(12.0), 0.2).await;
    // A flagged dialog whose phone is slow: the resource is held while the time comes.
    subscribe_at(store, 8.0, "c2").await;
    let held = claim_at(store, A, 8.1).await;
    take_at(store, A, &held, 8.1).await;
    let renewed = store
        .at(after(9.0))
        .queue()
        .renew(A, &[resource("bob")], LEASE)
        .await
        .unwrap();
    assert_eq!(renewed, [(resource("bob"), Renewed::Renewed)]);
    assert!(claim_at(store, B, 12.5).await.is_empty(), "A holds it");
    let again = claim_more_at(store, A, &held, 12.5).await;
    assert!(again[0].state_due && again[0].continued);
    assert_eq!(take_at(store, A, &again, 12.5).await, ["c1:2", "c2:2"]);
}

/// A second that no clock will ever show, by a document written by hand, harms nobody.
#[tokio::test]
async fn any_second_can_be_stored() {
    let database = Database::new().await;
    let store = &database.store;
    for (number, second) in [i64::MIN, -1, i64::MAX].into_iter().enumerate() {
        publish_at(
            store,
            f64::from(number as u32) * 60.0,
            &format!("t{number}"),
        )
        .await;
        let claimed = claim_at(store, A, f64::from(number as u32) * 60.0 + 0.1).await;
        settle_with(
            store,
            &claimed[0],
            NextChange::At(second),
            f64::from(number as u32) * 60.0 + 0.2,
        )
        .await;
    }
}

/// The same with a state change: a dialog that has seen it already, as a flagged one, is not taken with the others.
#[tokio::test]
async fn a_time_that_has_come_is_not_taken_back() {
    let database = Database::new().await;
    let store = &database.store;
    subscribe_at(store, 0.0, "c1").await;
    subscribe_at(store, 0.0, "c2").await;
    publish_at(store, 0.0, "t1").await;
    let claimed = claim_at(store, A, 0.1).await;
    take_at(store, A, &claimed, 0.1).await;
    settle_with(store, &claimed[0], second_after(20.0), 0.2).await;
    publish_at(store, 18.0, "t2").await;
    let state = claim_at(store, A, 18.6).await;
    assert_eq!(
        take_at(store, A, &state, 18.6).await,
        ["c1:2", "c2:2"],
        "rendered after that second"
    );
    settle_with(store, &state[0], NextChange::Never, 20.5).await;
    assert!(claim_at(store, A, 22.0).await.is_empty(), "paced");
    let aged = claim_at(store, A, 23.7).await;
    assert_eq!(take_at(store, A, &aged, 23.7).await, ["c1:3", "c2:3"]);
    settle_with(store, &aged[0], NextChange::Never, 23.8).await;
    assert!(claim_at(store, A, 100.0).await.is_empty());
}
