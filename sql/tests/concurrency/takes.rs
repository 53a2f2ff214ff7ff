//! Takes, verdicts and settles pass by what somebody holds, and lose nothing.

use super::*;

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
fn outcome(taken: &Taken) -> (Vec<&str>, &[usize]) {
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
    assert_eq!(outcome(&taken), (vec!["c1"], &[0][..]));
    commit(&lock).await;
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(outcome(&taken), (vec!["c2"], &[][..]));
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
    assert_eq!(outcome(&taken), (vec!["c2"], &[0][..]));
    assert!(taken.is_cut, "eve's was not even looked at");
    commit(&lock).await;
    let taken = subscription.take_free(A, &claimed, &[], 10).await.unwrap();
    assert_eq!(outcome(&taken), (vec!["c1", "c3"], &[][..]));
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
        assert_eq!(outcome(&taken), (vec!["c1", "c2"], &[][..]), "{way}");
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
    assert_eq!(outcome(&taken), (vec!["c2"], &[0][..]));
    commit(&subscribe).await;
    // Its trigger pulled the resource forward for the holder.
    let again = store
        .queue()
        .claim(A, &[claimed[0].claim], 10, LEASE, WAITN)
        .await
        .unwrap();
    let taken = subscription.take_free(A, &again, &[], 10).await.unwrap();
    assert_eq!(outcome(&taken), (vec!["c1"], &[][..]));
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
    assert_eq!(outcome(&taken), (vec!["c2"], &[0][..]));
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
async fn what_commits_before_a_settle_can_lock_stays_due() {
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
