//! Changes, claims and the sweep meet at the queue.

use super::*;

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
