//! Who is under rules, when it is to be decided about whom, and what a decision writes.

use events::{DecidedBy, NewSubscription, SubscriptionRefresh};
use sql::*;

use crate::database::*;

const A: i64 = 1;
const B: i64 = 2;

fn by_rules(user: &str, watcher: &str, call_id: &str) -> NewSubscription {
    NewSubscription {
        watcher: aor(watcher),
        decided_by: DecidedBy::RulesOrAllowed,
        ..subscription(user, call_id)
    }
}

async fn subscribe(database: &Database, rows: &[NewSubscription]) {
    database
        .store
        .subscription()
        .create_batch(rows)
        .await
        .unwrap();
}

async fn store_document(database: &Database, user: &str, doc_type: i64) {
    database
        .by_hand(&format!(
            "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri)
             VALUES ('{user}', 'example.org', '<x/>', {doc_type}, 'e', '{doc_type}/{user}')"
        ))
        .await;
}

/// `call-id status view decided`, decided as `null`, `-1` or `version`, one line a dialog.
async fn dialogs(database: &Database) -> Vec<String> {
    let rows = database
        .rows(
            "SELECT callid || ' ' || status || ' ' || reason || ' ' || view || ' '
                 || CASE WHEN decided_version > 0 THEN 'version' ELSE COALESCE(decided_version::text, 'null') END
                 || CASE WHEN updated <> -1 THEN ' flagged' ELSE '' END
             FROM active_watchers ORDER BY callid",
            &[],
        )
        .await;
    rows.iter().map(|row| row.get(0)).collect()
}

async fn claim(database: &Database, owner: i64) -> Vec<Claimed> {
    let queue = database.store.queue();
    queue.claim(owner, &[], 10, LEASE, WAITN).await.unwrap()
}

async fn take(database: &Database, owner: i64, claimed: &[Claimed]) -> Vec<String> {
    let taken = database
        .store
        .subscription()
        .take(owner, claimed, &[], 100)
        .await
        .unwrap();
    let mut taken: Vec<String> = taken
        .into_iter()
        .map(|dialog| format!("{} {} {}", dialog.call_id, dialog.status, dialog.view))
        .collect();
    taken.sort();
    taken
}

fn decided(subject: &Subject, status: i16, view: &str, rules_version: i64) -> DecidedDialog {
    DecidedDialog {
        id: subject.id,
        status_before: subject.status,
        status,
        reason: Some(if status == 3 { "rejected" } else { "" }.into()),
        view: view.into(),
        tell: true,
        rules_version,
    }
}

fn stored(
    subject: &Subject,
    watcher: &str,
    status: i16,
    recheck_at: Option<i64>,
) -> DecidedWatcher {
    DecidedWatcher {
        presentity_uri: resource("bob").presentity_uri,
        username: watcher.into(),
        domain: "example.org".into(),
        event: "presence".into(),
        dialog: subject.stored.is_none().then_some(subject.id),
        decision: StoredDecision {
            status,
            reason: String::new(),
            view: Some("all".into()),
            recheck_at,
        },
        rules_version: 1,
    }
}

fn done_by(claimed: &Claimed, rules_version: i64) -> SettledResource {
    SettledResource {
        decided: Decided::By(rules_version),
        ..done(claimed, true)
    }
}

const BOB: &str = "sip:bob@example.org";

#[tokio::test]
async fn a_dialog_is_undecided_if_there_is_something_to_decide() {
    let database = Database::new().await;
    store_document(&database, "bob", 2).await;
    let confirmed = NewSubscription {
        decided_by: DecidedBy::Rules,
        ..subscription("al", "c3")
    };
    let fetch = NewSubscription {
        granted_s: 0,
        ..by_rules("bob", "w", "c5")
    };
    let rows = [
        subscription("bob", "c1"),
        by_rules("bob", "w", "c2"),
        confirmed,
        by_rules("al", "w", "c4"),
        fetch,
    ];
    subscribe(&database, &rows).await;
    assert_eq!(
        dialogs(&database).await,
        [
            "c1 1  all null flagged",
            "c2 2  none -1 flagged",
            "c3 2  none -1 flagged",
            "c4 1  all 0 flagged",
            "c5 3 timeout none -1 flagged",
        ]
    );
    let claimed = claim(&database, A).await;
    let mut asked: Vec<(String, bool)> = claimed
        .iter()
        .map(|claimed| (claimed.resource.presentity_uri.clone(), claimed.decide))
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            ("sip:al@example.org".to_owned(), true),
            (BOB.to_owned(), true)
        ]
    );
    assert!(claimed.iter().all(|claimed| !claimed.state_due));
    assert_eq!(
        take(&database, A, &claimed).await,
        ["c1 1 all", "c4 1 all"],
        "an undecided dialog is never taken"
    );
    // Not made: it is due at once, for whoever comes.
    let given_back: Vec<SettledResource> = claimed
        .iter()
        .map(|claimed| SettledResource {
            decided: Decided::NotYet,
            ..done(claimed, true)
        })
        .collect();
    assert_eq!(
        database
            .store
            .queue()
            .settle(A, &given_back)
            .await
            .unwrap()
            .len(),
        2
    );
    let again = claim(&database, B).await;
    assert!(again.len() == 2 && again.iter().all(|claimed| claimed.decide));
}

#[tokio::test]
async fn a_document_raises_the_number_and_a_list_only_where_there_are_rules() {
    let database = Database::new().await;
    let version = "SELECT COALESCE(max(rules_version), -1) FROM notify_queue";
    store_document(&database, "bob", 4).await;
    assert_eq!(database.value::<i64>(version).await, 0);
    store_document(&database, "bob", 2).await;
    let first: i64 = database.value(version).await;
    assert!(first > 0);
    database
        .by_hand("UPDATE xcap SET etag = 'f' WHERE doc_type = 2")
        .await;
    assert_eq!(database.value::<i64>(version).await, first, "nothing seen");
    database
        .by_hand("UPDATE xcap SET doc = '<y/>' WHERE doc_type = 4")
        .await;
    let second: i64 = database.value(version).await;
    assert!(second > first);
    database.by_hand("DELETE FROM xcap").await;
    assert!(database.value::<i64>(version).await > second);
    assert_eq!(
        database
            .value::<i64>("SELECT max(version) FROM notify_queue")
            .await,
        0,
        "rules are no state"
    );

    // A row that numbers rules stays, however idle.
    let claimed = claim(&database, A).await;
    let settled: Vec<SettledResource> = claimed
        .iter()
        .map(|claimed| done_by(claimed, second + 1))
        .collect();
    database.store.queue().settle(A, &settled).await.unwrap();
    let later = database.store.at(after(3600.0));
    assert_eq!(
        later.maintenance().delete_idle_resources(10).await.unwrap(),
        0
    );
}

#[tokio::test]
async fn what_is_decided_is_written_and_sent_and_the_time_to_look_again_is_kept() {
    let database = Database::new().await;
    store_document(&database, "bob", 2).await;
    let rows = [
        by_rules("bob", "in", "c1"),
        by_rules("bob", "out", "c2"),
        by_rules("bob", "wait", "c3"),
    ];
    subscribe(&database, &rows).await;
    let claimed = claim(&database, A).await;
    let rules = database.store.watcher().rules(&[BOB]).await.unwrap();
    assert_eq!(rules[0].documents, [b"<x/>".to_vec()]);
    assert!(rules[0].rules_version > 0 && rules[0].decided_rules == 0 && !rules[0].recheck_due);
    let version = rules[0].rules_version;
    let subjects = database
        .store
        .watcher()
        .undecided(&[BOB], 10)
        .await
        .unwrap();
    assert_eq!(subjects.len(), 3);
    assert!(
        subjects
            .iter()
            .all(|subject| subject.undecided && subject.stored.is_none())
    );
    let dialogs_decided = [
        decided(&subjects[0], 1, "services", version),
        decided(&subjects[1], 3, "none", version),
        decided(&subjects[2], 2, "none", version),
    ];
    let in_an_hour: i64 = database
        .value("SELECT extract(epoch FROM now())::bigint + 3600")
        .await;
    let watchers = [
        stored(&subjects[0], "in", 1, Some(in_an_hour)),
        stored(&subjects[1], "out", 3, None),
        stored(&subjects[2], "wait", 2, None),
    ];
    let decisions = database.store.watcher();
    let write = |owner| decisions.decide_batch(owner, &[BOB], &dialogs_decided, &watchers);
    assert_eq!(write(B).await.unwrap(), 0, "only the holder writes");
    assert_eq!(
        database.value::<i64>("SELECT count(*) FROM watchers").await,
        0
    );
    assert_eq!(write(A).await.unwrap(), 3);
    assert_eq!(
        write(A).await.unwrap(),
        1,
        "only the pending one is as it was read"
    );
    assert_eq!(
        dialogs(&database).await,
        [
            "c1 1  services version flagged",
            "c2 3 rejected none version flagged",
            "c3 2  none version flagged",
        ]
    );
    assert_eq!(
        take(&database, A, &claimed).await,
        ["c1 1 services", "c2 3 none", "c3 2 none"]
    );
    let settled: Vec<SettledResource> = claimed
        .iter()
        .map(|claimed| done_by(claimed, version))
        .collect();
    assert_eq!(
        database.store.queue().settle(A, &settled).await.unwrap(),
        [0]
    );
    // The flags that the decision set were queued as well; there is nothing left of them.
    let claimed = claim(&database, A).await;
    assert!(claimed.len() == 1 && !claimed[0].decide);
    assert_eq!(take(&database, A, &claimed).await, [""; 0]);
    assert_eq!(database.settle_all(A, &claimed).await, 1);
    assert_eq!(
        database
            .value::<i64>("SELECT extract(epoch FROM due)::bigint FROM notify_queue")
            .await,
        in_an_hour
    );
    let store = database.store.at(after(3601.0));
    assert!(store.watcher().rules(&[BOB]).await.unwrap()[0].recheck_due);
    let again = store.queue().claim(A, &[], 10, LEASE, WAITN).await.unwrap();
    assert!(again.len() == 1 && again[0].decide && !again[0].state_due);
}

#[tokio::test]
async fn pending_dialogs_hear_of_no_state_but_of_a_recovery() {
    let database = Database::new().await;
    store_document(&database, "bob", 2).await;
    subscribe(&database, &[by_rules("bob", "w", "c1")]).await;
    let claimed = claim(&database, A).await;
    let version = database.store.watcher().rules(&[BOB]).await.unwrap()[0].rules_version;
    let subjects = database
        .store
        .watcher()
        .undecided(&[BOB], 10)
        .await
        .unwrap();
    let pending = [decided(&subjects[0], 2, "none", version)];
    let watchers = database.store.watcher();
    watchers
        .decide_batch(A, &[BOB], &pending, &[])
        .await
        .unwrap();
    assert_eq!(take(&database, A, &claimed).await, ["c1 2 none"]);
    let held = [claimed[0].claim];
    let queue = database.store.queue();
    let claimed = queue.claim(A, &held, 10, LEASE, WAITN).await.unwrap();
    let settled = [done_by(&claimed[0], version)];
    assert_eq!(queue.settle(A, &settled).await.unwrap(), [0]);

    let publications = database.store.publication();
    publications
        .create_batch(&[publication("bob", "t1", "x")])
        .await
        .unwrap();
    let claimed = claim(&database, A).await;
    assert!(claimed[0].state_due && !claimed[0].decide);
    assert_eq!(take(&database, A, &claimed).await, [""; 0]);

    let later = database.store.at(after(11.0));
    let claimed = later.queue().claim(B, &[], 10, LEASE, WAITN).await.unwrap();
    assert!(claimed[0].recovered && claimed[0].decide);
    let taken = later
        .subscription()
        .take(B, &claimed, &[], 10)
        .await
        .unwrap();
    assert_eq!(taken.len(), 1, "its first NOTIFY may have been lost");
}

#[tokio::test]
async fn a_refresh_comes_under_rules_and_goes_free() {
    let database = Database::new().await;
    subscribe(&database, &[subscription("bob", "c1")]).await;
    let store = &database.store;
    let with = |cseq, decided_by| SubscriptionRefresh {
        decided_by,
        ..refresh("c1", cseq, 600)
    };
    for (cseq, decided_by, expected) in [
        (2, DecidedBy::Nobody, "c1 1  all null flagged"),
        (3, DecidedBy::RulesOrAllowed, "c1 1  all -1 flagged"),
        (4, DecidedBy::Rules, "c1 1  all -1 flagged"),
        (5, DecidedBy::Nobody, "c1 1  all null flagged"),
    ] {
        let rows = [with(cseq, decided_by)];
        store.subscription().refresh_batch(&rows, 0).await.unwrap();
        assert_eq!(dialogs(&database).await, [expected], "{decided_by:?}");
    }
    database
        .by_hand("UPDATE active_watchers SET status = 2, view = 'none', decided_version = 7")
        .await;
    let rows = [with(6, DecidedBy::Nobody)];
    store.subscription().refresh_batch(&rows, 0).await.unwrap();
    assert_eq!(dialogs(&database).await, ["c1 1  all null flagged"]);
}

#[tokio::test]
async fn a_watcher_waits_when_the_last_pending_dialog_is_over_and_is_given_up_on() {
    let database = Database::new().await;
    store_document(&database, "bob", 2).await;
    let rows = [by_rules("bob", "w", "c1"), by_rules("bob", "w", "c2")];
    subscribe(&database, &rows).await;
    claim(&database, A).await;
    let watchers = database.store.watcher();
    let subjects = watchers.undecided(&[BOB], 10).await.unwrap();
    let pending: Vec<DecidedDialog> = subjects
        .iter()
        .map(|subject| decided(subject, 2, "none", 9999))
        .collect();
    let rows = [stored(&subjects[0], "w", 2, None)];
    watchers
        .decide_batch(A, &[BOB], &pending, &rows)
        .await
        .unwrap();
    let status = "SELECT status::bigint FROM watchers";
    let unsubscribe = |call_id: &'static str| SubscriptionRefresh {
        decided_by: DecidedBy::RulesOrAllowed,
        ..refresh(call_id, 2, 0)
    };
    for (call_id, waiting) in [("c1", 0), ("c2", 1)] {
        database
            .by_hand("UPDATE notify_queue SET decide_at = 'infinity'")
            .await;
        let rows = [unsubscribe(call_id)];
        let subscriptions = database.store.subscription();
        subscriptions.refresh_batch(&rows, 0).await.unwrap();
        let due = "SELECT count(*) FROM notify_queue WHERE decide_at <= now()";
        assert_eq!(database.value::<i64>(due).await, 1);
        assert_eq!(watchers.put_waiting(B, &[BOB]).await.unwrap(), 0);
        assert_eq!(watchers.put_waiting(A, &[BOB]).await.unwrap(), waiting);
    }
    assert_eq!(database.value::<i64>(status).await, 4);
    // Watcher information goes on to call the watcher by the last of its dialogs.
    let called = "SELECT subscription_id FROM watchers";
    assert_eq!(database.value::<i64>(called).await, subjects[1].id);
    // Who has waited long enough is given up on, once, and forgotten a minute later.
    let patience = std::time::Duration::from_secs(100);
    assert_eq!(watchers.give_up(10, patience).await.unwrap(), 0);
    let later = database.store.at(after(101.0));
    assert_eq!(later.watcher().give_up(10, patience).await.unwrap(), 1);
    let reason = "SELECT reason FROM watchers";
    assert_eq!(database.value::<String>(reason).await, "giveup");
    for (seconds, given_up, deleted) in [(160.0, 0, 0), (163.0, 0, 1)] {
        let later = database.store.at(after(seconds));
        let watchers = later.watcher();
        assert_eq!(watchers.give_up(10, patience).await.unwrap(), given_up);
        assert_eq!(watchers.delete_waiting(10).await.unwrap(), deleted);
    }
}

/// RFC 3857 section 4.7.1: what we ended, as when an active watcher is to be confirmed anew, is terminated and does not wait.
#[tokio::test]
async fn a_watcher_whose_subscription_was_deactivated_does_not_wait() {
    let database = Database::new().await;
    store_document(&database, "bob", 2).await;
    subscribe(&database, &[by_rules("bob", "w", "c1")]).await;
    claim(&database, A).await;
    let watchers = database.store.watcher();
    let subjects = watchers.undecided(&[BOB], 10).await.unwrap();
    let rows = [stored(&subjects[0], "w", 2, None)];
    watchers.decide_batch(A, &[BOB], &[], &rows).await.unwrap();
    for (reason, waiting) in [("deactivated", 0), ("timeout", 1)] {
        database
            .by_hand(&format!(
                "UPDATE active_watchers SET status = 3, reason = '{reason}'"
            ))
            .await;
        assert_eq!(
            watchers.put_waiting(A, &[BOB]).await.unwrap(),
            waiting,
            "{reason}"
        );
    }
}

#[tokio::test]
async fn persons_come_page_by_page() {
    let database = Database::new().await;
    database
        .by_hand(
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status)
             SELECT 'sip:bob@example.org', 'w' || n, 'example.org', 1 FROM generate_series(0, 4) AS n",
        )
        .await;
    let watchers = database.store.watcher();
    let first = watchers.persons(&[BOB], None, 3).await.unwrap();
    let second = watchers.persons(&[BOB], first.last(), 3).await.unwrap();
    let names: Vec<&str> = first
        .iter()
        .chain(&second)
        .map(|person| person.username.as_str())
        .collect();
    assert_eq!(names, ["w0", "w1", "w2", "w3", "w4"]);
    assert!(second[0].stored.view.is_none(), "not known, of an import");

    // The same over several presentities, some of whom nothing is stored of.
    let uris = [
        "sip:al@example.org",
        BOB,
        "sip:eve@example.org",
        "sip:al@example.org",
    ];
    let page = watchers.persons(&uris, None, 4).await.unwrap();
    let places: Vec<usize> = page.iter().map(|person| person.presentity_index).collect();
    assert_eq!(places, [1, 1, 1, 1]);
    let rest = watchers.persons(&uris[1..], page.last(), 4).await.unwrap();
    assert_eq!((rest.len(), rest[0].username.as_str()), (1, "w4"));
}

#[tokio::test]
async fn what_operators_ask_is_answered_in_any_spelling() {
    let database = Database::new().await;
    subscribe(&database, &[by_rules("bob", "watcher", "c1")]).await;
    let status = |watcher: &str, presentity: &str| {
        format!("SELECT pres_auth_status('{watcher}', '{presentity}')::bigint")
    };
    for (watcher, presentity, expected) in [
        ("sip:watcher@example.org", BOB, 1),
        (
            "<sip:watcher@Example.ORG:5060;transport=tcp>",
            "sip:bob@EXAMPLE.org;x=y",
            1,
        ),
        ("sips:watcher@example.org", "sip:bob:secret@example.org", 1),
        ("sip:other@example.org", BOB, -1),
        ("tel:+123", BOB, -1),
        ("", "", -1),
    ] {
        let found: i64 = database.value(&status(watcher, presentity)).await;
        assert_eq!(found, expected, "{watcher} {presentity}");
    }
    database
        .by_hand(
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, reason)
             VALUES ('sip:bob@example.org', 'watcher', 'example.org', 1, 'polite-block')",
        )
        .await;
    let found: i64 = database
        .value(&status("sip:watcher@example.org", BOB))
        .await;
    assert_eq!(found, 5);
    let has = |event: &str| format!("SELECT pres_has_subscribers('{BOB}', '{event}')");
    assert!(database.value::<bool>(&has("presence")).await);
    assert!(!database.value::<bool>(&has("dialog")).await);
}
