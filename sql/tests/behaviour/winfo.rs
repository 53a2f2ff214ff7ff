//! RFC 3857: whose status changed, who is notified of it, and when it need not be sent in full.

use std::time::{Duration, SystemTime};

use events::{NewSubscription, SubscriptionRefresh};
use sql::{AfterNotify, Claimed, Resource, Rest, TakenDialog, WatchedResource, Watcher, Written};

use crate::database::*;

const OWNER: i64 = 7;
const WINFO: &str = "sip:bob@example.org presence.winfo";

fn winfo_subscription(call_id: &str) -> NewSubscription {
    NewSubscription {
        event: "presence.winfo".into(),
        ..subscription("bob", call_id)
    }
}

async fn create(database: &Database, rows: &[NewSubscription]) {
    database
        .store
        .subscription()
        .create_batch(rows)
        .await
        .unwrap();
}

async fn change(database: &Database, row: SubscriptionRefresh) {
    let outcomes = database
        .store
        .subscription()
        .refresh_batch(&[row], 0)
        .await
        .unwrap();
    assert!(
        matches!(outcomes[0], events::SubscribeOutcome::Accepted { .. }),
        "{outcomes:?}"
    );
}

/// Claims all that is due, takes all that is due for dialogs, settles all; what was taken.
async fn work(database: &Database) -> Vec<(String, TakenDialog)> {
    let store = &database.store;
    let claimed = store
        .queue()
        .claim(OWNER, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let taken = taken(database, &claimed).await;
    let verdicts: Vec<_> = taken
        .iter()
        .filter(|(_, dialog)| dialog.status == 3)
        .map(|(_, dialog)| verdict(dialog, AfterNotify::Ended))
        .collect();
    store.subscription().settle_batch(&verdicts).await.unwrap();
    database.settle_all(OWNER, &claimed).await;
    taken
}

async fn taken(database: &Database, claimed: &[Claimed]) -> Vec<(String, TakenDialog)> {
    let taken = database
        .store
        .subscription()
        .take(OWNER, claimed, &[], 100)
        .await
        .unwrap();
    taken
        .into_iter()
        .map(|dialog| {
            let event = claimed[dialog.resource_index].resource.event.clone();
            (event, dialog)
        })
        .collect()
}

/// A retry is due when its second is over; this one is due now.
async fn at_once(database: &Database) {
    database
        .by_hand("UPDATE active_watchers SET retry_at = 0 WHERE retry_at > 0")
        .await;
}

/// The queue's rows that are not idle.
async fn due(database: &Database) -> Vec<String> {
    let mut queue = database.queue().await;
    queue.retain(|row| !row.ends_with("idle"));
    queue
}

async fn list(
    database: &Database,
    event: &str,
    all_live: bool,
    since: Option<SystemTime>,
) -> Vec<Watcher> {
    let resource = Resource {
        event: event.into(),
        ..resource("bob")
    };
    database
        .store
        .subscription()
        .list_watchers(
            &[WatchedResource {
                resource,
                all_live,
                since,
                after: None,
            }],
            None,
        )
        .await
        .unwrap()
}

/// A database where somebody watches who watches Bob, and has been notified.
async fn with_winfo_watcher() -> Database {
    let database = Database::new().await;
    create(&database, &[winfo_subscription("winfo")]).await;
    let taken = work(&database).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].1.partial_since, None, "the first one is full");
    assert_eq!(due(&database).await, [""; 0]);
    database
}

/// The queue row of a resource whose watchers are watched says so, however idle it is; should it be lost, the next SUBSCRIBE of
/// who watches them says it again.
#[tokio::test]
async fn the_row_that_remembers_who_watches_the_watchers_stays() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("al", "other")]).await;
    work(&database).await;
    let later = database.store.at(after(60.0));
    later.maintenance().delete_idle_resources(10).await.unwrap();
    let left = "SELECT string_agg(presentity_uri || ' ' || event, ', ') FROM notify_queue";
    assert_eq!(
        database.value::<String>(left).await,
        "sip:bob@example.org presence"
    );
    create(&database, &[subscription("bob", "c1")]).await;
    let both = [
        "sip:bob@example.org presence flagged due".to_owned(),
        format!("{WINFO} state due"),
    ];
    assert_eq!(due(&database).await, both);
    work(&database).await;

    database.by_hand("DELETE FROM notify_queue").await;
    let mut again = refresh("winfo", 2, 600);
    again.event = "presence.winfo".into();
    change(&database, again).await;
    work(&database).await;
    create(&database, &[subscription("bob", "c2")]).await;
    assert_eq!(due(&database).await, both);
}

#[tokio::test]
async fn nobody_watches_the_watchers_and_nothing_is_queued() {
    let database = Database::new().await;
    create(&database, &[subscription("bob", "c1")]).await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence flagged due"]
    );
    // A watcher of another presentity, and of another package, is not concerned.
    let mut others = [winfo_subscription("w1"), winfo_subscription("w2")];
    others[0].aor = aor("al");
    others[1].event = "dialog.winfo".into();
    create(&database, &others).await;
    work(&database).await;
    create(&database, &[subscription("bob", "c2")]).await;
    assert_eq!(
        due(&database).await,
        ["sip:bob@example.org presence flagged due"]
    );
    // Nor is one that has ended.
    let winfo = with_winfo_watcher().await;
    let mut end = refresh("winfo", 2, 0);
    end.event = "presence.winfo".into();
    change(&winfo, end).await;
    work(&winfo).await;
    create(&winfo, &[subscription("bob", "c1")]).await;
    assert_eq!(
        due(&winfo).await,
        ["sip:bob@example.org presence flagged due"]
    );
}

#[tokio::test]
async fn each_change_of_status_is_a_state_change_of_the_watcher_information() {
    let database = with_winfo_watcher().await;
    let state = [format!("{WINFO} state due")];
    let notified = async |what: &str| {
        let mut queue = due(&database).await;
        queue.retain(|row| row.starts_with(WINFO));
        assert_eq!(queue, state, "{what}");
        let taken = work(&database).await;
        let winfo: Vec<_> = taken
            .iter()
            .filter(|(event, _)| event == "presence.winfo")
            .collect();
        assert_eq!(winfo.len(), 1, "{what}");
        assert!(winfo[0].1.partial_since.is_some(), "{what}");
        // What the work itself changed (a dialog that it took for the last time) is sent already.
        let again = work(&database).await;
        assert!(again.is_empty(), "{what}: {again:?}");
    };
    create(&database, &[subscription("bob", "c1")]).await;
    notified("a new subscription").await;
    change(&database, refresh("c1", 2, 0)).await;
    notified("an unsubscription").await;

    let mut fetch = subscription("bob", "c2");
    fetch.granted_s = 0;
    create(&database, &[fetch]).await;
    notified("a fetch").await;

    create(&database, &[subscription("bob", "c3")]).await;
    notified("another").await;
    database
        .by_hand("UPDATE active_watchers SET expires = 1, sweep_at = 1 WHERE callid = 'c3'")
        .await;
    sweep_dialogs(&database.store, 10).await;
    notified("an expiry").await;

    create(&database, &[subscription("bob", "c4")]).await;
    notified("a fourth").await;
    for status in [2, 1, 3] {
        database
            .by_hand(&format!(
                "UPDATE active_watchers SET status = {status} WHERE callid = 'c4'"
            ))
            .await;
        notified("a status that is written by hand").await;
    }
}

#[tokio::test]
async fn a_subscriber_that_is_gone_is_shown() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("bob", "c1")]).await;
    let store = &database.store;
    let claimed = store
        .queue()
        .claim(OWNER, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let both = taken(&database, &claimed).await;
    let (_, phone) = both.iter().find(|(event, _)| event == "presence").unwrap();
    assert_eq!((both.len(), phone.status), (2, 1));
    // 481 to its NOTIFY.
    store
        .subscription()
        .settle_batch(&[verdict(phone, AfterNotify::Ended)])
        .await
        .unwrap();
    database.settle_all(OWNER, &claimed).await;
    assert_eq!(due(&database).await, [format!("{WINFO} state due")]);
    let partial = work(&database).await;
    let since = partial[0].1.partial_since;
    let watchers = list(&database, "presence", false, since).await;
    assert_eq!((watchers.len(), watchers[0].status), (1, 3));
}

#[tokio::test]
async fn a_dialog_that_take_finds_expired_is_shown() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("bob", "c1")]).await;
    work(&database).await;
    // The sweep has not come by, and something else is due.
    database
        .by_hand("UPDATE active_watchers SET expires = 1, updated = 0 WHERE callid = 'c1'")
        .await;
    let first = work(&database).await;
    assert_eq!(first.len(), 1);
    assert_eq!((first[0].0.as_str(), first[0].1.status), ("presence", 3));
    let second = work(&database).await;
    assert_eq!(second.len(), 1);
    assert_eq!(second[0].0, "presence.winfo");
    assert!(work(&database).await.is_empty());
}

#[tokio::test]
async fn a_refresh_changes_nobodys_status() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("bob", "c1")]).await;
    work(&database).await;
    change(&database, refresh("c1", 2, 900)).await;
    assert_eq!(
        due(&database).await,
        ["sip:bob@example.org presence flagged due"]
    );
    let taken = work(&database).await;
    assert_eq!(taken.len(), 1);
    // Nor does a failed NOTIFY, nor a state change of what is watched.
    let (_, phone) = &taken[0];
    database
        .store
        .subscription()
        .settle_batch(&[verdict(phone, AfterNotify::Retry { after_s: 0 })])
        .await
        .unwrap();
    at_once(&database).await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    let taken = work(&database).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].0, "presence");
    assert!(work(&database).await.is_empty());
}

/// RFC 3857 section 4.3: "Watcherinfo notifications triggered from a SUBSCRIBE contain full state", and so do those after a doubt.
#[tokio::test]
async fn what_must_be_full_and_how_far_partial_state_reaches_back() {
    let database = with_winfo_watcher().await;
    let before: SystemTime = database
        .value("SELECT notified_at FROM active_watchers")
        .await;
    create(&database, &[subscription("bob", "c1")]).await;
    let taken = work(&database).await;
    let winfo = |taken: &[(String, TakenDialog)]| -> Option<SystemTime> {
        let mut own = taken
            .iter()
            .filter(|(event, _)| event == "presence.winfo")
            .map(|(_, dialog)| dialog.partial_since);
        let since = own.next().expect("one was taken");
        assert!(own.next().is_none());
        since
    };
    assert_eq!(winfo(&taken), Some(before - Duration::from_secs(30)));

    // An answer to a SUBSCRIBE.
    let mut again = refresh("winfo", 2, 600);
    again.event = "presence.winfo".into();
    change(&database, again).await;
    let taken = work(&database).await;
    assert_eq!(winfo(&taken), None);

    // A failure.
    let (_, dialog) = &taken[0];
    database
        .store
        .subscription()
        .settle_batch(&[verdict(dialog, AfterNotify::Retry { after_s: 0 })])
        .await
        .unwrap();
    at_once(&database).await;
    assert_eq!(winfo(&work(&database).await), None);

    // A lease that ran out: nobody knows whether what was taken under it was sent.
    create(&database, &[subscription("bob", "c2")]).await;
    let store = &database.store;
    let lost = store
        .queue()
        .claim(OWNER, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let taken = self::taken(&database, &lost).await;
    assert!(winfo(&taken).is_some());
    let later = store.at(after(11.0));
    let claimed = later
        .queue()
        .claim(8, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    assert!(claimed.iter().all(|claimed| claimed.recovered));
    let recovered = later
        .subscription()
        .take(8, &claimed, &[], 100)
        .await
        .unwrap();
    assert!(!recovered.is_empty());
    assert!(
        recovered
            .iter()
            .all(|dialog| dialog.partial_since.is_none())
    );
    let settled: Vec<_> = claimed.iter().map(|claimed| done(claimed, true)).collect();
    later.queue().settle(8, &settled).await.unwrap();
    assert_eq!(
        database
            .value::<i64>("SELECT sum(full_version)::bigint FROM notify_queue")
            .await,
        0
    );
}

#[tokio::test]
async fn the_list_says_who_watches_and_who_has_gone() {
    let database = Database::new().await;
    let mut named = subscription("bob", "c1");
    named.from_display = "Alice & \"Co\"".into();
    named.watcher.username = "alice".into();
    let mut phone = subscription("bob", "c2");
    (phone.watcher.username, phone.watcher.domain) = ("+15551234".into(), String::new());
    let past = database
        .store
        .at(SystemTime::now() - Duration::from_secs(100));
    past.subscription()
        .create_batch(&[named, phone])
        .await
        .unwrap();
    let mut other = subscription("bob", "c3");
    other.event = "dialog".into();
    create(&database, &[other, subscription("al", "c4")]).await;
    let just_now: SystemTime = database.value("SELECT now() - interval '1 second'").await;
    database
        .by_hand("UPDATE active_watchers SET status = 3, reason = 'rejected', updated = 0 WHERE callid = 'c2'")
        .await;

    let full = list(&database, "presence", true, None).await;
    assert_eq!(full.len(), 1, "{full:?}");
    let alice = &full[0];
    assert_eq!(
        (
            alice.watcher_username.as_str(),
            alice.watcher_domain.as_str(),
            alice.display_name.as_str(),
            alice.status,
            alice.event.as_str(),
            alice.changed
        ),
        ("alice", "example.org", "Alice & \"Co\"", 1, "", false)
    );
    let left = alice.expires_s.unwrap();
    assert!((498..=501).contains(&left), "{left}");
    let since = alice.subscribed_s.unwrap();
    assert!((99..=102).contains(&since), "{since}");

    let partial = list(&database, "presence", false, Some(just_now)).await;
    assert_eq!(partial.len(), 1, "{partial:?}");
    assert_eq!(
        (
            partial[0].watcher_username.as_str(),
            partial[0].watcher_domain.as_str(),
            partial[0].status,
            partial[0].event.as_str(),
            partial[0].expires_s,
            partial[0].changed
        ),
        ("+15551234", "", 3, "rejected", None, true)
    );
    let both = list(&database, "presence", true, Some(just_now)).await;
    let changed: Vec<bool> = both.iter().map(|watcher| watcher.changed).collect();
    assert_eq!(changed, [false, true]);

    // One whose time is up is over, although nothing has been written yet; one that never ends has no expiry.
    database
        .by_hand("UPDATE active_watchers SET expires = 1 WHERE callid = 'c1'")
        .await;
    assert_eq!(list(&database, "presence", true, None).await, []);
    let partial = list(&database, "presence", false, Some(SystemTime::UNIX_EPOCH)).await;
    assert_eq!(
        (partial[0].status, partial[0].event.as_str()),
        (3, "timeout")
    );
    database
        .by_hand("UPDATE active_watchers SET expires = -1, created_time = 0 WHERE callid = 'c1'")
        .await;
    let full = list(&database, "presence", true, None).await;
    assert_eq!((full[0].expires_s, full[0].subscribed_s), (None, None));
    assert_eq!(list(&database, "dialog", true, None).await.len(), 1);
}

/// A partial document needs the row of who ended; 32 s are over long before when no notifier was there.
#[tokio::test]
async fn what_has_ended_stays_until_it_was_shown() {
    let database = with_winfo_watcher().await;
    create(
        &database,
        &[subscription("bob", "c1"), subscription("al", "c2")],
    )
    .await;
    work(&database).await;
    database
        .by_hand(
            "UPDATE active_watchers SET status = 3, ended = true, updated = -1, sweep_at = 1 WHERE event = 'presence'",
        )
        .await;
    let rows = "SELECT string_agg(callid, ',' ORDER BY callid) FROM active_watchers";
    sweep_dialogs(&database.store, 10).await;
    assert_eq!(database.value::<String>(rows).await, "c1,winfo");
    let taken = work(&database).await;
    let watchers = list(&database, "presence", false, taken[0].1.partial_since).await;
    assert_eq!((watchers.len(), watchers[0].status), (1, 3));
    sweep_dialogs(&database.store, 10).await;
    assert_eq!(database.value::<String>(rows).await, "winfo");
}

#[tokio::test]
async fn a_living_row_that_is_deleted_makes_full_state_due() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("bob", "c1")]).await;
    work(&database).await;
    database
        .by_hand("DELETE FROM active_watchers WHERE callid = 'c1'")
        .await;
    assert_eq!(due(&database).await, [format!("{WINFO} state due")]);
    let taken = work(&database).await;
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].1.partial_since, None);
    assert!(work(&database).await.is_empty());
    // Partial again from then on.
    create(&database, &[subscription("bob", "c2")]).await;
    let taken = work(&database).await;
    let winfo = taken.iter().find(|(event, _)| event == "presence.winfo");
    assert!(winfo.unwrap().1.partial_since.is_some());
}

#[tokio::test]
async fn names_of_event_packages() {
    let database = Database::new().await;
    for (event, is_winfo, winfo) in [
        ("presence", false, "presence.winfo"),
        ("dialog;sla", false, "dialog.winfo;sla"),
        ("a;b;c", false, "a.winfo;b;c"),
        ("presence.winfo", true, "presence.winfo.winfo"),
        ("dialog.winfo;sla", true, "dialog.winfo.winfo;sla"),
        ("x;y.winfo", false, "x.winfo;y.winfo"),
    ] {
        let row = database
            .rows(
                "SELECT is_winfo($1), winfo_event($1), watched_event(winfo_event($1))",
                &[&event],
            )
            .await;
        let row: (bool, String, String) = (row[0].get(0), row[0].get(1), row[0].get(2));
        assert_eq!(
            row,
            (is_winfo, winfo.to_owned(), event.to_owned()),
            "{event}"
        );
    }
}

/// RFC 3857 section 4.7.1: each transition is written down as it is made, by hand as well, and watchers are notified.
#[tokio::test]
async fn each_change_of_status_says_what_it_was() {
    let database = Database::new().await;
    let set = async |change: &str, expected: (i16, &str), what: &str| {
        database
            .by_hand(&format!("UPDATE active_watchers SET {change}"))
            .await;
        let long_ago = Some(SystemTime::UNIX_EPOCH);
        let found = list(&database, "presence", false, long_ago).await;
        let found: Vec<_> = found.iter().map(|row| (row.status, &*row.event)).collect();
        assert_eq!(found, [expected], "{what}");
    };
    create(&database, &[subscription("bob", "c1")]).await;
    set("flags = 0", (1, ""), "new").await;
    set(
        "status = 2, decided_version = 7",
        (2, "subscribe"),
        "pending",
    )
    .await;
    set("status = 1", (1, "approved"), "let in").await;
    set("updated = 0", (1, "approved"), "nothing new").await;
    for reason in [
        "rejected",
        "deactivated",
        "probation;retry-after=9",
        "giveup",
        "noresource",
        "timeout",
    ] {
        set("status = 1, reason = ''", (1, "approved"), "back").await;
        let event = reason.split(';').next().unwrap();
        let change = format!("status = 3, reason = '{reason}'");
        set(&change, (3, event), reason).await;
        // Out of the way: what comes back from here is new.
        set("status = 2, reason = ''", (2, "subscribe"), "again").await;
    }
    // Without a reason.
    set("status = 3", (3, "deactivated"), "ended by hand").await;
    set("status = 2", (2, "subscribe"), "again").await;
    set("status = 3, expires = 1", (3, "timeout"), "over").await;
    set("status = 2, expires = -1", (2, "subscribe"), "again").await;
    set(
        "status = 3, updated = -1, ended = true",
        (3, "timeout"),
        "gone",
    )
    .await;
    set("status = 2, ended = false", (2, "subscribe"), "again").await;
    set("status = 4", (4, "timeout"), "waiting").await;
    set("status = 1", (1, "approved"), "let in").await;
    // Said by hand.
    set(
        "status = 3, status_event = 'noresource'",
        (3, "noresource"),
        "said",
    )
    .await;
    // The first decision about a SUBSCRIBE is no approval.
    set(
        "status = 2, decided_version = -1",
        (2, "subscribe"),
        "undecided",
    )
    .await;
    set(
        "status = 1, decided_version = 8",
        (1, "subscribe"),
        "decided",
    )
    .await;
}

/// RFC 3857 section 4.7.1: whose subscription ended while it was pending waits, under the name that it had.
#[tokio::test]
async fn who_waits_is_listed_and_shown() {
    let database = with_winfo_watcher().await;
    let notified = async |what: &str| {
        assert_eq!(
            due(&database).await,
            [format!("{WINFO} state due")],
            "{what}"
        );
        work(&database).await[0].1.partial_since
    };
    const INSERT: &str = "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, status, subscription_id) \
        VALUES ('sip:bob@example.org', '{user}', 'example.org', {status}, {id})";
    let insert = async |user: &str, status: &str, id: &str| {
        let insert = INSERT.replace("{user}", user).replace("{id}", id);
        database.by_hand(&insert.replace("{status}", status)).await;
    };
    insert("decided", "1", "NULL").await;
    assert_eq!(due(&database).await, [""; 0]);
    insert("alice", "4", "77").await;
    let since = notified("one begins to wait").await;
    assert!(since.is_some());
    let waiting = list(&database, "presence", false, since).await;
    assert_eq!(waiting.len(), 1, "{waiting:?}");
    assert_eq!((waiting[0].id, waiting[0].status), (77, 4));
    assert_eq!(waiting[0].watcher_username, "alice");
    assert_eq!(
        (waiting[0].expires_s, waiting[0].subscribed_s),
        (None, None)
    );

    insert("carol", "4", "NULL").await;
    notified("another").await;
    let full = list(&database, "presence", true, None).await;
    let mut ids: Vec<i64> = full.iter().map(|watcher| watcher.id.signum()).collect();
    ids.sort_unstable();
    assert_eq!(ids, [-1, 1], "{full:?}");

    database
        .by_hand("UPDATE watchers SET reason = 'timeout' WHERE status = 4")
        .await;
    assert_eq!(due(&database).await, [""; 0]);
    database
        .by_hand("UPDATE watchers SET status = 3 WHERE watcher_username = 'alice'")
        .await;
    let since = notified("one was decided about").await;
    let decided = list(&database, "presence", false, since).await;
    let seen = |at: usize| (decided[at].id, decided[at].status, &*decided[at].event);
    assert_eq!(
        (decided.len(), seen(1)),
        (2, (77, 3, "rejected")),
        "{decided:?}"
    );
    database
        .by_hand("DELETE FROM watchers WHERE watcher_username = 'carol'")
        .await;
    assert_eq!(notified("one is gone").await, None, "in full");
    assert_eq!(list(&database, "presence", true, None).await, []);

    // Who is given up on is shown in partial state, as long as its row stays; that it goes is nothing new.
    insert("dave", "4", "78").await;
    notified("a third").await;
    database
        .by_hand("UPDATE watchers SET reason = 'giveup' WHERE watcher_username = 'dave'")
        .await;
    let since = notified("one is given up on").await;
    assert!(since.is_some());
    let given_up = list(&database, "presence", false, since).await;
    // Beside one who was decided about a moment ago.
    let seen = (given_up[1].id, given_up[1].status, &*given_up[1].event);
    assert_eq!((given_up.len(), seen), (2, (78, 3, "giveup")));
    assert_eq!(list(&database, "presence", true, None).await, []);
    database
        .by_hand("UPDATE watchers SET status = 2, reason = '' WHERE watcher_username = 'dave'")
        .await;
    assert!(notified("it came back").await.is_some());
    database
        .by_hand(
            "UPDATE watchers SET status = 4, reason = 'giveup' WHERE watcher_username = 'dave'",
        )
        .await;
    notified("the end").await;
    database.by_hand("DELETE FROM watchers").await;
    assert_eq!(due(&database).await, [""; 0]);
}

/// A document in pieces: each NOTIFY that was answered says where the next goes on; a SUBSCRIBE, a failure and a lost notifier begin anew.
#[tokio::test]
async fn a_document_in_pieces_goes_on_where_it_was() {
    let database = with_winfo_watcher().await;
    let mut again = refresh("winfo", 2, 600);
    again.event = "presence.winfo".into();
    change(&database, again.clone()).await;
    let go_on = |told_to| {
        AfterNotify::More(Rest {
            told_to: Some(told_to),
            after_s: 0,
        })
    };
    let judge = async |dialog: &TakenDialog, judgement: AfterNotify| {
        let subscription = database.store.subscription();
        let verdicts = [verdict(dialog, judgement)];
        subscription.settle_batch(&verdicts).await.unwrap()
    };
    let next = async || {
        let mut taken = work(&database).await;
        assert_eq!(taken.len(), 1, "{taken:?}");
        taken.remove(0).1
    };
    let begin = next().await;
    assert_eq!((begin.told_to, begin.partial_since), (None, None));
    judge(&begin, go_on(i64::MIN)).await;
    let first = next().await;
    assert_eq!(first.told_to, Some(i64::MIN));
    judge(&first, go_on(7)).await;
    let second = next().await;
    assert_eq!(second.told_to, Some(7));
    assert_eq!(
        (first.version, second.version),
        (begin.version + 1, begin.version + 2)
    );
    // What changed is reckoned from the first of them.
    assert_eq!(second.partial_since, first.partial_since);
    // It reaches further back than that NOTIFY, by no more than half a minute.
    assert!(first.partial_since.is_some());
    judge(&second, go_on(i64::MAX)).await;
    let last = next().await;
    assert_eq!(
        (last.told_to, last.partial_since),
        (Some(i64::MAX), first.partial_since)
    );
    assert_eq!(due(&database).await, [""; 0], "and that was all");

    // A failure begins anew.
    judge(&last, AfterNotify::Retry { after_s: 0 }).await;
    at_once(&database).await;
    let anew = next().await;
    assert_eq!((anew.told_to, anew.partial_since), (None, None));
    assert_eq!(anew.failures, 1);
    // That the first arrives does not mean that the next will: the failures in a row are counted on, until all have arrived.
    judge(&anew, go_on(7)).await;
    let failures = "SELECT failures FROM active_watchers";
    assert_eq!(database.value::<i32>(failures).await, 1);
    let next_one = next().await;
    // What is flagged meanwhile is to be sent more than the next piece.
    database
        .by_hand("UPDATE active_watchers SET updated = 0")
        .await;
    judge(&next_one, go_on(9)).await;
    let anew = next().await;
    assert_eq!((anew.told_to, anew.partial_since), (None, None));
    // So does a SUBSCRIBE that comes before the next piece is taken, and after.
    judge(&anew, go_on(7)).await;
    again.remote_cseq = 3;
    change(&database, again.clone()).await;
    let by_subscribe = next().await;
    assert_eq!(
        (by_subscribe.told_to, by_subscribe.partial_since),
        (None, None)
    );
    again.remote_cseq = 4;
    change(&database, again.clone()).await;
    assert_eq!(
        judge(&by_subscribe, go_on(7)).await,
        Written::default(),
        "void"
    );
    let answer = next().await;
    assert_eq!((answer.told_to, answer.partial_since), (None, None));
    // And so does a notifier that died with a piece.
    judge(&answer, go_on(7)).await;
    let store = &database.store;
    let claimed = store
        .queue()
        .claim(OWNER, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let lost = taken(&database, &claimed).await;
    assert_eq!(lost[0].1.told_to, Some(7));
    let later = store.at(after(LEASE.as_secs_f64() + 1.0));
    let recovered = later
        .queue()
        .claim(OWNER + 1, &[], 100, LEASE, Duration::ZERO)
        .await
        .unwrap();
    let found = later
        .subscription()
        .take(OWNER + 1, &recovered, &[], 100)
        .await
        .unwrap();
    assert_eq!(
        (found.len(), found[0].told_to, found[0].partial_since),
        (1, None, None)
    );
}

/// Lists are read in pieces of so many rows, by number, and watchers that wait are in their place among them.
#[tokio::test]
async fn watchers_are_listed_from_anyone_on() {
    let database = Database::new().await;
    let rows: Vec<NewSubscription> = (1..=5)
        .map(|n| subscription("bob", &format!("c{n}")))
        .collect();
    create(&database, &rows).await;
    database
        .by_hand(
            "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, inserted_time) \
             VALUES ('sip:bob@example.org', 'waits', 'example.org', 'presence', 4, 1)",
        )
        .await;
    let part = async |after: Option<i64>, limit| {
        let question = WatchedResource {
            resource: resource("bob"),
            all_live: after.is_none(),
            since: None,
            after,
        };
        let subscription = database.store.subscription();
        let found = subscription
            .list_watchers(&[question], limit)
            .await
            .unwrap();
        found
            .into_iter()
            .map(|watcher| watcher.id)
            .collect::<Vec<i64>>()
    };
    let all = part(None, None).await;
    assert_eq!(all.len(), 6);
    assert!(all[0] < 0, "who waits and has no subscription comes first");
    assert!(all.is_sorted());
    assert_eq!(part(None, Some(4)).await, all[..4]);
    assert_eq!(part(Some(i64::MIN), Some(2)).await, all[..2]);
    assert_eq!(part(Some(all[1]), Some(3)).await, all[2..5]);
    assert_eq!(part(Some(all[4]), Some(3)).await, all[5..]);
    assert_eq!(part(Some(i64::MAX), None).await, [0; 0]);
}

/// Who ends while the list is sent in pieces is not forgotten before the last of them.
#[tokio::test]
async fn an_end_between_two_pieces_is_shown() {
    let database = with_winfo_watcher().await;
    create(&database, &[subscription("bob", "c1")]).await;
    work(&database).await;
    let mut again = refresh("winfo", 2, 600);
    again.event = "presence.winfo".into();
    change(&database, again).await;
    let (_, begin) = work(&database).await.remove(0);
    let rest = Rest {
        told_to: Some(i64::MAX),
        after_s: 0,
    };
    let subscription = database.store.subscription();
    let verdicts = [verdict(&begin, AfterNotify::More(rest))];
    subscription.settle_batch(&verdicts).await.unwrap();
    // Its end is shown to nobody by version, as if that had been settled between two pieces.
    database
        .by_hand("UPDATE active_watchers SET status = 3, ended = true, updated = -1, sweep_at = 1 WHERE callid = 'c1'")
        .await;
    database
        .by_hand("UPDATE notify_queue SET version = 0, claimed_version = 0")
        .await;
    assert_eq!(subscription.forget_batch(10).await.unwrap(), 0);
    let (_, last) = work(&database).await.remove(0);
    assert_eq!(last.told_to, Some(i64::MAX));
    let watchers = list(&database, "presence", false, last.partial_since).await;
    assert_eq!((watchers.len(), watchers[0].status), (1, 3));
    assert_eq!(subscription.forget_batch(10).await.unwrap(), 1);
}
