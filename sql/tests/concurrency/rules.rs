//! Rules documents, subscriptions and deciders.

use super::*;

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
