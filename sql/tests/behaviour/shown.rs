//! Who is taken for a change of state, and what is written down of it: what a dialog is shown, who made the change, and who has
//! nothing to be sent.

use sql::{AfterNotify, Claimed, LastChange, Offer, Seen, TakenDialog};

use crate::database::*;

const OWNER: i64 = 1;

/// A resource at work: its claims so far, and what was looked at last.
struct Work<'a> {
    database: &'a Database,
    held: Vec<i64>,
    claimed: Claimed,
}

impl<'a> Work<'a> {
    /// Claims what is due, pacing aside.
    async fn claim(database: &'a Database) -> Work<'a> {
        let mut work = Work {
            database,
            held: Vec::new(),
            claimed: claim(database, &[]).await,
        };
        work.held.push(work.claimed.claim);
        work
    }

    async fn claim_more(&mut self) {
        self.claimed = claim(self.database, &self.held).await;
        self.held.push(self.claimed.claim);
    }

    async fn look(&self) -> LastChange {
        self.views().await;
        self.claimed.last_change.clone()
    }

    /// Those of its dialogs.
    async fn views(&self) -> Vec<String> {
        let resources = [self.claimed.resource.clone()];
        let publication = self.database.store.publication();
        let (mut looked, _) = publication.list_claimed(&resources).await.unwrap();
        looked.pop().unwrap().views
    }

    async fn take(&self, seen: &Seen) -> Vec<TakenDialog> {
        let offer = Offer {
            resource: &self.claimed.resource,
            seen: Some(seen),
        };
        let subscription = self.database.store.subscription();
        subscription.take(OWNER, [offer], &[], 10).await.unwrap()
    }

    /// Looks and takes; everybody is shown the document of this digest.
    async fn show(&self, digest: i64) -> Vec<TakenDialog> {
        self.take(&seen(&self.look().await, digest)).await
    }

    async fn settle(self) {
        let settled = [done(&self.claimed, true)];
        let queue = self.database.store.queue();
        assert_eq!(queue.settle(OWNER, &settled).await.unwrap(), [0]);
    }
}

async fn claim(database: &Database, held: &[i64]) -> Claimed {
    database
        .by_hand("UPDATE notify_queue SET not_before = '-infinity', due = LEAST(due, now()) WHERE due < 'infinity'")
        .await;
    let queue = database.store.queue();
    let mut claimed = queue.claim(OWNER, held, 10, LEASE, WAITN).await.unwrap();
    assert_eq!(claimed.len(), 1);
    claimed.pop().unwrap()
}

fn seen(looked: &LastChange, digest: i64) -> Seen {
    Seen {
        version: looked.version,
        digest,
        ..Seen::default()
    }
}

async fn publish(database: &Database, tag: &str) {
    let row = publication("bob", tag, tag);
    let publications = database.store.publication();
    publications.create_batch(&[row]).await.unwrap();
}

/// A PUBLISH that changes what `tag` names, by this sender.
async fn changed_by(database: &Database, tag: &str, next: &str, sender: Option<&str>) {
    let mut row = change("bob", tag, next, modify(next));
    row.sender = sender.map(str::to_owned);
    let publications = database.store.publication();
    publications.change_batch(&[row]).await.unwrap();
}

async fn subscribe(database: &Database, calls: &[&str]) {
    let rows: Vec<_> = calls.iter().map(|call| subscription("bob", call)).collect();
    let subscriptions = database.store.subscription();
    subscriptions.create_batch(&rows).await.unwrap();
}

/// Dialogs that were shown the document of digest 7 of publication `t1`, and for which nothing is due.
async fn shown(calls: &[&str]) -> Database {
    let database = Database::new().await;
    publish(&database, "t1").await;
    subscribe(&database, calls).await;
    let work = Work::claim(&database).await;
    let taken = work.show(7).await;
    assert_eq!(taken.len(), calls.len());
    assert!(
        taken
            .iter()
            .all(|dialog| dialog.is_known && dialog.cseq == 1)
    );
    work.settle().await;
    database
}

/// Call-ID and CSeq of each, in order, with an `s` for silence.
fn calls(taken: &[TakenDialog]) -> Vec<String> {
    let mut calls: Vec<String> = taken
        .iter()
        .map(|dialog| {
            let silent = if dialog.silent { "s" } else { "" };
            format!("{}:{}{silent}", dialog.call_id, dialog.cseq)
        })
        .collect();
    calls.sort();
    calls
}

const NOTHING: [&str; 0] = [];

/// A retry is for the next second at the earliest.
const AT_ONCE: &str = "UPDATE active_watchers SET retry_at = 0";

#[tokio::test]
async fn who_is_shown_the_same_is_not_taken_and_not_written() {
    let database = shown(&["c1", "c2"]).await;
    database
        .by_hand("UPDATE active_watchers SET view = 'part' WHERE callid = 'c2'")
        .await;
    let writes = "SELECT string_agg(xmin::text, ' ' ORDER BY id) FROM active_watchers";
    let before: String = database.value(writes).await;
    changed_by(&database, "t1", "t2", None).await;
    let mut work = Work::claim(&database).await;
    let looked = work.look().await;
    assert_eq!(work.views().await, ["part"]);
    let same = Seen {
        other_digests: vec![("part".to_owned(), 7)],
        ..seen(&looked, 7)
    };
    assert_eq!(calls(&work.take(&same).await), NOTHING);
    assert_eq!(database.value::<String>(writes).await, before);
    // Only one of the views shows the next change.
    changed_by(&database, "t2", "t3", None).await;
    work.claim_more().await;
    let half = Seen {
        other_digests: vec![("part".to_owned(), 7)],
        ..seen(&work.look().await, 8)
    };
    assert_eq!(calls(&work.take(&half).await), ["c1:2"]);
    work.settle().await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"]
    );
    // And the one after it both: no number was left out.
    changed_by(&database, "t3", "t4", None).await;
    let work = Work::claim(&database).await;
    let both = Seen {
        other_digests: vec![("part".to_owned(), 9)],
        ..seen(&work.look().await, 9)
    };
    assert_eq!(calls(&work.take(&both).await), ["c1:3", "c2:2"]);
}

#[tokio::test]
async fn whatever_may_not_have_arrived_is_sent_though_it_is_the_same() {
    // The holder dies after it took.
    let database = shown(&["c1"]).await;
    changed_by(&database, "t1", "t2", None).await;
    let work = Work::claim(&database).await;
    assert_eq!(calls(&work.show(8).await), ["c1:2"]);
    database
        .by_hand("UPDATE notify_queue SET lease_until = now() - interval '1 second', due = now()")
        .await;
    let work = Work::claim(&database).await;
    assert!(work.claimed.recovered);
    assert_eq!(calls(&work.show(8).await), ["c1:3"]);
    assert_eq!(calls(&work.show(8).await), NOTHING, "once");
    work.settle().await;

    // It failed, and what came next shows what it was shown before that.
    changed_by(&database, "t2", "t3", None).await;
    let work = Work::claim(&database).await;
    let taken = work.show(9).await;
    let failed = verdict(&taken[0], AfterNotify::Retry { after_s: 0 });
    let subscriptions = database.store.subscription();
    subscriptions.settle_batch(&[failed]).await.unwrap();
    database.by_hand(AT_ONCE).await;
    assert_eq!(calls(&work.show(9).await), ["c1:5"]);
    work.settle().await;

    // The operator orders it.
    database
        .by_hand("SELECT presence_refresh_watchers('sip:bob@example.org', 'presence')")
        .await;
    let work = Work::claim(&database).await;
    assert_eq!(calls(&work.show(9).await), ["c1:6"]);
    work.settle().await;

    // Its phone is elsewhere: what was sent to the old address is nothing.
    let mut moved = refresh("c1", 2, 600);
    moved.contact = Some("sip:watcher@192.0.2.99".into());
    subscriptions.refresh_batch(&[moved], 0).await.unwrap();
    assert!(
        database
            .value::<bool>("SELECT shown IS NULL FROM active_watchers")
            .await
    );
}

#[tokio::test]
async fn who_subscribes_between_look_and_take_is_read_afterwards() {
    let database = shown(&["c1"]).await;
    changed_by(&database, "t1", "t2", None).await;
    let mut work = Work::claim(&database).await;
    let looked = work.look().await;
    // Acknowledged before the phone subscribes: it must be shown it, and what was looked at does not.
    changed_by(&database, "t2", "t3", None).await;
    subscribe(&database, &["c2"]).await;
    let taken = work.take(&seen(&looked, 8)).await;
    assert_eq!(calls(&taken), ["c1:2", "c2:1"]);
    for dialog in &taken {
        assert_eq!(dialog.is_known, dialog.call_id == "c1", "{dialog:?}");
    }
    // The one was shown an older state, and the rest is due for it; of the other it is not known what it was shown.
    work.claim_more().await;
    assert_eq!(calls(&work.show(9).await), ["c1:3"]);
    work.settle().await;
    changed_by(&database, "t3", "t4", None).await;
    let work = Work::claim(&database).await;
    assert_eq!(calls(&work.show(9).await), ["c2:2"]);
}

#[tokio::test]
async fn a_sender_is_not_notified_of_his_own_changes_and_of_nothing_less() {
    let database = shown(&["c1", "c2"]).await;
    let own: i64 = database
        .value("SELECT id FROM active_watchers WHERE callid = 'c1'")
        .await;
    let by = |looked: &LastChange, digest| Seen {
        own: vec![own],
        ..seen(looked, digest)
    };
    let bob = "sip:bob@example.org";

    // Two of his, one after the other.
    changed_by(&database, "t1", "t2", Some(bob)).await;
    changed_by(&database, "t2", "t3", Some(bob)).await;
    let mut work = Work::claim(&database).await;
    let looked = work.look().await;
    assert_eq!(looked.by, bob);
    assert_eq!(calls(&work.take(&by(&looked, 8)).await), ["c1:1s", "c2:2"]);
    assert_eq!(calls(&work.take(&by(&looked, 8)).await), NOTHING);
    // One more while the resource is held.
    changed_by(&database, "t3", "t4", Some(bob)).await;
    work.claim_more().await;
    let looked = work.look().await;
    assert_eq!(calls(&work.take(&by(&looked, 9)).await), ["c1:1s", "c2:3"]);
    work.settle().await;

    // What he was shown before his own changes is new to him when somebody brings it back.
    changed_by(&database, "t4", "t5", Some("sip:carol@example.org")).await;
    let work = Work::claim(&database).await;
    assert_eq!(calls(&work.show(7).await), ["c1:2", "c2:4"]);
    work.settle().await;

    // Another's change and his own, in either order; his own, and one that nobody made.
    let carol = Some("sip:carol@example.org");
    let mut tag = "t5".to_owned();
    for (number, (first, second)) in [(carol, Some(bob)), (Some(bob), carol), (Some(bob), None)]
        .into_iter()
        .enumerate()
    {
        for (step, sender) in [first, second].into_iter().enumerate() {
            let next = format!("u{number}{step}");
            changed_by(&database, &tag, &next, sender).await;
            tag = next;
        }
        let work = Work::claim(&database).await;
        let looked = work.look().await;
        let taken = work.take(&by(&looked, 20 + number as i64)).await;
        assert!(
            taken.iter().all(|dialog| !dialog.silent),
            "{first:?} {second:?}"
        );
        assert_eq!(taken.len(), 2, "{first:?} {second:?}");
        work.settle().await;
    }

    // What was due for him before is not his own, though all that came since is.
    changed_by(&database, &tag, "v1", carol).await;
    let mut work = Work::claim(&database).await;
    changed_by(&database, "v1", "v2", Some(bob)).await;
    work.claim_more().await;
    let looked = work.look().await;
    assert_eq!(looked.by, bob);
    let taken = work.take(&by(&looked, 30)).await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(taken.iter().all(|dialog| !dialog.silent), "{taken:?}");
    work.settle().await;

    // Nor is anything, once somebody else has made a change that the claim does not know.
    changed_by(&database, "v2", "v3", Some(bob)).await;
    let mut work = Work::claim(&database).await;
    changed_by(&database, "v3", "v4", carol).await;
    let looked = work.look().await;
    assert_eq!(looked.by, bob);
    let taken = work.take(&by(&looked, 31)).await;
    assert_eq!(taken.len(), 2, "{taken:?}");
    assert!(taken.iter().all(|dialog| !dialog.silent), "{taken:?}");
    work.claim_more().await;
    work.settle().await;

    // By hand, and by the end of its time, a row changes that he published: that is nobody's own change.
    for sql in [
        "UPDATE presentity SET body = 'by hand'",
        "UPDATE presentity SET expires = 1, sweep_at = 1",
    ] {
        database.by_hand(sql).await;
        sweep_publications(&database.store, 10, false).await;
        let work = Work::claim(&database).await;
        assert_eq!(work.look().await.by, "", "{sql}");
        work.settle().await;
    }
}

#[tokio::test]
async fn who_removes_is_the_sender_of_the_removal() {
    for sender in [Some("sip:carol@example.org"), None] {
        let database = Database::new().await;
        let mut row = publication("bob", "t1", "x");
        row.sender = "sip:bob@example.org".to_owned();
        let publications = database.store.publication();
        publications.create_batch(&[row]).await.unwrap();
        subscribe(&database, &["c1"]).await;
        let work = Work::claim(&database).await;
        assert_eq!(work.look().await.by, "sip:bob@example.org");
        work.show(7).await;
        work.settle().await;
        let mut removal = change("bob", "t1", "t2", events::ChangeKind::Remove);
        removal.sender = sender.map(str::to_owned);
        publications.change_batch(&[removal]).await.unwrap();
        let work = Work::claim(&database).await;
        assert_eq!(work.look().await.by, sender.unwrap_or_default());
    }
}

#[tokio::test]
async fn what_has_nothing_to_tell_is_left_out_where_that_is_asked_for() {
    let database = Database::new().await;
    let quiet = |looked: &LastChange, digest, is_empty| Seen {
        quiet: Some(is_empty),
        ..seen(looked, digest)
    };
    subscribe(&database, &["c1", "c2"]).await;
    database
        .by_hand("UPDATE active_watchers SET view = 'polite-block' WHERE callid = 'c2'")
        .await;
    let with_polite = |seen: Seen| Seen {
        other_digests: vec![("polite-block".to_owned(), 1)],
        ..seen
    };
    let work = Work::claim(&database).await;
    let looked = work.look().await;
    let taken = work.take(&with_polite(quiet(&looked, 1, true))).await;
    assert_eq!(calls(&taken), ["c1:0s", "c2:0s"]);
    work.settle().await;
    assert_eq!(
        database.queue().await,
        ["sip:bob@example.org presence idle"]
    );

    // Something is published, and seen by who may see it. Then nothing is, which is a change of state.
    publish(&database, "t1").await;
    let work = Work::claim(&database).await;
    let looked = work.look().await;
    let taken = work.take(&with_polite(quiet(&looked, 2, false))).await;
    assert_eq!(calls(&taken), ["c1:1"]);
    work.settle().await;
    let removal = change("bob", "t1", "t2", events::ChangeKind::Remove);
    let publications = database.store.publication();
    publications.change_batch(&[removal]).await.unwrap();
    let mut work = Work::claim(&database).await;
    let looked = work.look().await;
    let taken = work.take(&with_polite(quiet(&looked, 1, true))).await;
    assert_eq!(calls(&taken), ["c1:2"]);

    // That one fails: it is due, whatever is published.
    let subscriptions = database.store.subscription();
    let failed = verdict(&taken[0], AfterNotify::Retry { after_s: 0 });
    subscriptions.settle_batch(&[failed]).await.unwrap();
    database.by_hand(AT_ONCE).await;
    let taken = work.take(&with_polite(quiet(&looked, 1, true))).await;
    assert_eq!(calls(&taken), ["c1:3"]);

    // The answers to both refreshes have nothing to tell; the one that ends a subscription is sent.
    let refreshes = [refresh("c1", 2, 600), refresh("c2", 2, 600)];
    subscriptions.refresh_batch(&refreshes, 0).await.unwrap();
    work.claim_more().await;
    let taken = work.take(&with_polite(quiet(&looked, 1, true))).await;
    assert_eq!(calls(&taken), ["c1:3s", "c2:0s"]);
    subscriptions
        .refresh_batch(&[refresh("c2", 3, 0)], 0)
        .await
        .unwrap();
    work.claim_more().await;
    let taken = work.take(&with_polite(quiet(&looked, 1, true))).await;
    assert_eq!(calls(&taken), ["c2:1"]);
}
