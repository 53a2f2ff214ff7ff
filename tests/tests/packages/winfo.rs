//! Watcher information (RFC 3857, 3858). The phone checks of each document that it is the next one, and well made.

use std::time::Duration;

use system_tests::phone::{Answer, Dialog, Notify, Phone};
use system_tests::system;
use system_tests::watcherinfo::{self, Table, Watcher, WatcherInfo};

use super::BOB;

/// Somebody who watches the watchers: the dialog, and the table that it makes of its documents.
struct Reader {
    dialog: Dialog,
    table: Table,
    read: u64,
}

impl Reader {
    async fn new(phone: &Phone, server: std::net::SocketAddr, event: &str) -> Reader {
        let dialog = phone.subscribe_to(server, BOB, event, 600).await;
        Reader {
            dialog,
            table: Table::default(),
            read: 0,
        }
    }

    /// Reads the next document.
    async fn next(&mut self) -> (Notify, WatcherInfo) {
        self.read += 1;
        let notify = self.dialog.notify(self.read).await;
        let info = watcherinfo::read(notify.body()).unwrap();
        self.table.add(&info);
        (notify, info)
    }

    /// Reads on until the table shows exactly these: `user status`, in order; the document that did it.
    async fn until(&mut self, expected: &[&str]) -> WatcherInfo {
        let mut last = None;
        loop {
            let shown: Vec<String> = self
                .table
                .users()
                .into_iter()
                .map(|(uri, status)| {
                    let user = uri.trim_start_matches("sip:");
                    format!("{} {status}", user.trim_end_matches("@example.org"))
                })
                .collect();
            match last.take() {
                Some(info) if shown == expected => return info,
                _ => last = Some(self.next().await.1),
            }
        }
    }

    /// Nothing has come since what was read last, as the next number will show.
    fn has_read_all(&self) -> bool {
        self.dialog.count() == self.read
    }
}

fn of<'a>(info: &'a WatcherInfo, user: &str) -> &'a Watcher {
    let uri = format!("sip:{user}@example.org");
    info.watchers
        .iter()
        .find(|watcher| watcher.uri == uri)
        .unwrap_or_else(|| panic!("no {user} in {info:?}"))
}

/// RFC 3857 4.3 and 4.7: full state in the first NOTIFY, then who begins and ends; nothing for a refresh; full state again for
/// whoever refreshes.
#[tokio::test(flavor = "multi_thread")]
async fn full_first_then_what_changes() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (bob, alice, carol, dave) = (
        Phone::udp("bob").await,
        Phone::udp("alice").await,
        Phone::tcp("carol", system.tcp(1)).await,
        Phone::udp("dave").await,
    );
    let first = alice.subscribe(system.udp(1), BOB, 600).await;
    first.notify(1).await;

    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    let (notify, info) = reader.next().await;
    assert!(info.is_full && info.version == 0, "{}", notify.body());
    assert_eq!(
        (info.resource.as_str(), info.package.as_str()),
        (BOB, "presence")
    );
    let shown = of(&info, "alice");
    assert_eq!(
        (shown.status.as_str(), shown.event.as_str()),
        ("active", "subscribe")
    );
    assert_eq!(shown.display_name.as_deref(), Some("alice, the phone"));
    assert!(
        (570..=600).contains(&shown.expiration_s.unwrap()),
        "{shown:?}"
    );
    assert!(shown.subscribed_s.unwrap() < 60, "{shown:?}");
    let alices_id = shown.id.clone();

    let second = carol.subscribe(system.tcp(1), BOB, 600).await;
    let info = reader.until(&["alice active", "carol active"]).await;
    assert!(!info.is_full && info.version == 1, "{info:?}");
    assert_eq!(of(&info, "carol").event, "subscribe");

    // A refresh is nobody's business; neither is what Bob publishes.
    assert_eq!(first.refresh(system.udp(0), 500).await.status(), Some(200));
    first.notify(2).await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    first.until("x", |notify| notify.note() == Some("x")).await;
    second.until("x", |notify| notify.note() == Some("x")).await;
    assert!(reader.has_read_all());

    second.unsubscribe(system.tcp(1)).await;
    let info = reader.until(&["alice active"]).await;
    assert!(!info.is_full && info.version == 2, "{info:?}");
    let gone = of(&info, "carol");
    assert_eq!(
        (gone.status.as_str(), gone.event.as_str()),
        ("terminated", "timeout")
    );
    assert_eq!(gone.expiration_s, None);

    // One that expires, without a word.
    dave.subscribe(system.udp(0), BOB, 2).await;
    reader.until(&["alice active", "dave active"]).await;
    let info = reader.until(&["alice active"]).await;
    assert!(!info.is_full, "{info:?}");
    assert_eq!(of(&info, "dave").status, "terminated");

    assert!(reader.has_read_all());
    let response = reader.dialog.refresh(system.udp(1), 600).await;
    assert_eq!(response.status(), Some(200), "{response}");
    let (_, info) = reader.next().await;
    assert!(info.is_full, "{info:?}");
    assert_eq!(info.watchers.len(), 1, "{info:?}");
    assert_eq!(of(&info, "alice").id, alices_id, "it keeps its name");
    assert!(of(&info, "alice").expiration_s.unwrap() <= 500);

    let last = reader.dialog.unsubscribe(system.udp(0)).await;
    assert!(watcherinfo::read(last.body()).unwrap().is_full);
    let third = alice.subscribe(system.udp(0), BOB, 600).await;
    third.notify(1).await;
    let idle = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'";
    system.until(system::STARTUP, idle, 0).await;
    assert_eq!(reader.dialog.last().unwrap().cseq, last.cseq);
}

/// RFC 3857 4.6: 403 for whoever is not the presentity, unless the operator names it.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_is_for_everybody() {
    let system = system::setup()
        .set("presence.winfo_watchers", "sip:console@EXAMPLE.org")
        .start();
    let (mallory, console, bob) = (
        Phone::udp("mallory").await,
        Phone::udp("console").await,
        Phone::udp("bob").await,
    );
    for event in ["presence.winfo", "dialog.winfo"] {
        let request = mallory.subscription_to(BOB, event, Some(600));
        let response = mallory.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(403), "{response}");
        for allowed in [&console, &bob] {
            let mut reader = Reader::new(allowed, system.udp(0), event).await;
            let (_, info) = reader.next().await;
            assert!(info.is_full && info.watchers.is_empty(), "{info:?}");
        }
    }
    let rows = "SELECT count(*) FROM active_watchers WHERE watcher_username = 'mallory'";
    assert_eq!(system.count(rows).await, 0);
}

/// Kamailio hard-codes the name `presence.winfo`; a lamp's owner may see who watches it as well.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_works_for_presence_only() {
    let system = system::setup()
        .set(
            "packages.declared",
            "[{ name = \"lamp\", parameters = [\"door\"], content_types = [\"application/x-lamp+xml\"], winfo = true }]",
        )
        .start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut readers = Vec::new();
    for event in ["dialog.winfo", "message-summary.winfo"] {
        readers.push(Reader::new(&bob, system.udp(0), event).await);
    }
    for reader in &mut readers {
        assert!(reader.next().await.1.watchers.is_empty());
    }
    let dialog = alice.subscribe_to(system.udp(0), BOB, "dialog", 600).await;
    let info = readers[0].until(&["alice active"]).await;
    assert_eq!(info.package, "dialog");
    dialog.unsubscribe(system.udp(0)).await;
    readers[0].until(&[]).await;
    assert!(readers[1].has_read_all(), "another package's watchers");

    // A parameter that belongs to the name belongs to the name of the watcher information.
    let mut reader = Reader::new(&bob, system.udp(0), "lamp.winfo;door").await;
    assert!(reader.next().await.1.watchers.is_empty());
    alice
        .subscribe_to(system.udp(0), BOB, "lamp;door", 600)
        .await;
    let info = reader.until(&["alice active"]).await;
    assert!(!info.is_full, "{info:?}");
}

/// Kamailio deletes what expired in the same tick in which it marks it, so that nobody is told: neither the watcher nor
/// those who watch the watchers.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_forgets_who_expired() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    let dialog = alice.subscribe(system.udp(0), BOB, 2).await;
    reader.until(&["alice active"]).await;
    let info = reader.until(&[]).await;
    let gone = of(&info, "alice");
    assert_eq!(
        (gone.status.as_str(), gone.event.as_str()),
        ("terminated", "timeout")
    );
    dialog.until("the last NOTIFY", Notify::ends).await;
}

/// Kamailio deletes a subscription whose NOTIFY was answered 481, and notifies nobody.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_forgets_who_answers_481() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    reader.until(&["alice active"]).await;
    dialog.answers(Answer::Status(481, vec![]));
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    let info = reader.until(&[]).await;
    assert_eq!(of(&info, "alice").status, "terminated");
}

/// Kamailio resets its marks after the first of those who watch the watchers: the next is told of fewer.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_second_reader_is_told_less() {
    let system = system::setup().notifiers(2).start();
    let bobs = [
        Phone::udp("bob").await,
        Phone::tcp("bob", system.tcp(0)).await,
        Phone::udp("bob").await,
    ];
    let alice = Phone::udp("alice").await;
    let mut readers = Vec::new();
    for bob in &bobs {
        let server = if bob.is_stream() {
            system.tcp(0)
        } else {
            system.udp(0)
        };
        let mut reader = Reader::new(bob, server, "presence.winfo").await;
        reader.next().await;
        readers.push(reader);
    }
    let mut dialogs = Vec::new();
    for _ in 0..5 {
        dialogs.push(alice.subscribe(system.udp(0), BOB, 600).await);
    }
    for reader in &mut readers {
        reader.until(&["alice active"; 5]).await;
    }
    for dialog in dialogs.drain(..3) {
        dialog.unsubscribe(system.udp(0)).await;
    }
    for reader in &mut readers {
        reader.until(&["alice active"; 2]).await;
    }
}

/// With somebody who watches the watchers, Kamailio's new watcher gets no NOTIFY (its issue 4118).
#[tokio::test(flavor = "multi_thread")]
async fn winfo_costs_the_new_watcher_its_first_notify() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    bob.publisher(BOB).show(system.udp(0), "open", "x").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    assert_eq!(dialog.notify(1).await.note(), Some("x"));
    reader.until(&["alice active"]).await;
}

/// Kamailio's id is the Call-ID, with which anybody could end the subscription; ours stays and says nothing.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_names_subscriptions_by_their_call_id() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    let (notify, info) = reader.next().await;
    assert!(
        !notify.body().contains(dialog.call_id()),
        "{}",
        notify.body()
    );
    let id = of(&info, "alice").id.clone();
    dialog.unsubscribe(system.udp(0)).await;
    let info = reader.until(&[]).await;
    assert_eq!(of(&info, "alice").id, id);
}

/// Kamailio cuts, or leaves out, watchers whose URI is longer than 199 characters.
#[tokio::test(flavor = "multi_thread")]
async fn winfo_cuts_watchers_of_200_characters() {
    let system = system::start();
    let user = "a".repeat(230);
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp(&user).await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    alice.subscribe(system.udp(0), BOB, 600).await;
    reader.until(&[&format!("{user} active")]).await;
}

/// A fetch (RFC 6665 4.4.3) is over when it begins. Whom it asked about is told: polling is watching too.
#[tokio::test(flavor = "multi_thread")]
async fn who_polls_is_shown() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    alice.subscribe(system.udp(0), BOB, 0).await.notify(1).await;
    let (_, info) = reader.next().await;
    let polled = of(&info, "alice");
    assert_eq!(
        (polled.status.as_str(), polled.event.as_str()),
        ("terminated", "timeout")
    );
}

/// A row that a program writes ends a subscription as a SUBSCRIBE does; one that it deletes is gone from full state.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_by_hand() {
    let system = system::start();
    let (bob, alice, carol) = (
        Phone::udp("bob").await,
        Phone::udp("alice").await,
        Phone::udp("carol").await,
    );
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    carol
        .subscribe(system.udp(0), BOB, 600)
        .await
        .notify(1)
        .await;
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.until(&["alice active", "carol active"]).await;
    system.psql(
        "UPDATE active_watchers SET status = 3, reason = 'rejected', updated = 0 WHERE watcher_username = 'alice'",
    );
    let info = reader.until(&["carol active"]).await;
    assert_eq!(of(&info, "alice").event, "rejected");
    let last = dialog.until("the last NOTIFY", Notify::ends).await;
    assert_eq!(last.state.reason.as_deref(), Some("rejected"));
    system.psql("DELETE FROM active_watchers WHERE watcher_username = 'carol'");
    assert!(reader.until(&[]).await.is_full);
}

/// RFC 3857 section 4.7.1: what a program does to the row of a subscription is told as what it was.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_change_by_hand_say_what_led_there() {
    let system = system::setup().set("presence.waitn_time", 0).start();
    let bob = Phone::udp("bob").await;
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    for (user, change, event) in [
        ("w1", "reason = 'noresource'", "noresource"),
        ("w2", "reason = 'probation;retry-after=60'", "probation"),
        ("w3", "reason = 'giveup'", "giveup"),
        // Not expired, not unsubscribed: the watcher may come back at once.
        ("w4", "reason = ''", "deactivated"),
        ("w5", "status_event = 'rejected'", "rejected"),
    ] {
        let phone = Phone::udp(user).await;
        let dialog = phone.subscribe(system.udp(0), BOB, 600).await;
        let info = reader.until(&[&format!("{user} active")]).await;
        assert_eq!(of(&info, user).event, "subscribe");
        let set = |what: &str| {
            system.psql(&format!(
                "UPDATE active_watchers SET {what}, updated = 0 WHERE watcher_username = '{user}'"
            ));
        };
        set("status = 2");
        let info = reader.until(&[&format!("{user} pending")]).await;
        assert_eq!(of(&info, user).event, "subscribe");
        set("status = 1");
        let info = reader.until(&[&format!("{user} active")]).await;
        assert_eq!(of(&info, user).event, "approved");
        set(&format!("status = 3, {change}"));
        let info = reader.until(&[]).await;
        let gone = of(&info, user);
        assert_eq!(
            (gone.status.as_str(), gone.event.as_str()),
            ("terminated", event)
        );
        dialog.until("the last NOTIFY", Notify::ends).await;
    }
}

/// `waitn_time`, as RFC 3857 4.10 asks for: what changes within it is told at once, and nothing is left out.
#[tokio::test(flavor = "multi_thread")]
async fn many_changes_are_told_together() {
    let system = system::setup().set("presence.waitn_time", 2).start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    for _ in 0..20 {
        alice.subscribe(system.udp(0), BOB, 600).await;
    }
    let started = tokio::time::Instant::now();
    reader.until(&["alice active"; 20]).await;
    assert!(reader.read <= 5, "{} documents", reader.read);
    assert!(started.elapsed() < Duration::from_secs(10));
}

/// kill -9 of the notifier at work: another one tells everything anew, and the table is right.
#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_dies() {
    let mut system = system::setup()
        .set("notifier.lease_s", 2)
        .errors_expected()
        .start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    bob.tolerates(system_tests::phone::Tolerance {
        gaps: true,
        ..Default::default()
    });
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    // It takes, sends, and waits for an answer that does not come.
    reader.dialog.answers(Answer::Silent);
    let first = alice.subscribe(system.udp(0), BOB, 600).await;
    reader.dialog.notify(2).await;
    system.notifiers[0].kill9();
    reader.dialog.answers(Answer::Ok);
    let second = alice.subscribe(system.udp(0), BOB, 600).await;
    assert_eq!(first.refresh(system.udp(0), 0).await.status(), Some(200));
    system.add_notifier();
    let right = reader
        .dialog
        .until("full state", |notify| {
            let info = watcherinfo::read(notify.body()).unwrap();
            notify.cseq > 2 && info.is_full && info.watchers.len() == 1
        })
        .await;
    assert_eq!(right.version, Some(right.cseq - 1));
    second.unsubscribe(system.udp(0)).await;
    reader
        .dialog
        .until("the second has gone", |notify| {
            let info = watcherinfo::read(notify.body()).unwrap();
            !info.is_full
                && info
                    .watchers
                    .iter()
                    .all(|watcher| watcher.status == "terminated")
        })
        .await;
}

/// So many watchers of Bob as that, who have been told all; none of them is a phone.
async fn with_watchers(system: &system::System, count: i32) {
    let sql = system.sql().await;
    sql.execute(
        "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, event, to_tag, from_tag, \
                                      callid, remote_cseq, contact, expires, status, from_user, from_domain, updated, \
                                      updated_winfo, notified_version, shown, winfo_changed_at) \
         SELECT 'sip:bob@example.org', 'watcher' || i, 'example.org', 'bob', 'example.org', 'presence', 't' || i, 'f' || i, \
                'many' || i, 1, 'sip:watcher@127.0.0.1:9', -1, 1, 'watcher' || i, 'example.org', -1, -1, 9223372036854775807, 0, '2026-01-01' \
         FROM generate_series(1, $1::integer) AS i",
        &[&count],
    )
    .await
    .unwrap();
}

/// RFC 3857 4.6 and 3858 4: a list that no NOTIFY has room for comes as an empty full state and then as partial ones; what changes meanwhile is
/// told at the end.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_watchers_are_told_in_pieces() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let first = alice.subscribe(system.udp(0), BOB, 600).await;
    first.notify(1).await;
    with_watchers(&system, 10_000).await;
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    let (_, info) = reader.next().await;
    assert!(info.is_full && info.watchers.is_empty(), "{info:?}");
    for _ in 0..3 {
        let (notify, info) = reader.next().await;
        assert!(!info.is_full && !info.watchers.is_empty(), "{info:?}");
        assert!(notify.message.body.len() <= 60_000);
    }
    // Alice was told of already, and others as well; now she goes.
    first.unsubscribe(system.udp(0)).await;
    let is_there = |reader: &Reader, user: &str| {
        let uri = format!("sip:{user}@example.org");
        let users = reader.table.users();
        users.iter().any(|(shown, _)| **shown == uri)
    };
    assert!(is_there(&reader, "alice"));
    while reader.table.users().len() < 10_000 || is_there(&reader, "alice") {
        let (_, info) = reader.next().await;
        assert!(!info.is_full, "{info:?}");
    }
    assert!((10..60).contains(&reader.read), "{} documents", reader.read);
    // From now on as ever.
    let second = alice.subscribe(system.udp(0), BOB, 600).await;
    while !is_there(&reader, "alice") {
        reader.next().await;
    }
    assert_eq!(reader.table.users().len(), 10_001);
    second.unsubscribe(system.udp(0)).await;

    // A refresh is answered by all of it, from the beginning.
    let before = reader.read;
    let status = reader.dialog.refresh(system.udp(0), 600).await.status();
    assert_eq!(status, Some(200));
    while reader.read == before || reader.table.users().len() != 10_000 {
        reader.next().await;
    }
}

/// kill -9 of the notifier that tells them: another one begins anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_notifier_dies_between_two_pieces() {
    let mut system = system::setup()
        .set("notifier.lease_s", 2)
        .errors_expected()
        .start();
    let bob = Phone::udp("bob").await;
    bob.tolerates(system_tests::phone::Tolerance {
        gaps: true,
        ..Default::default()
    });
    with_watchers(&system, 3_000).await;
    let mut reader = Reader::new(&bob, system.udp(0), "presence.winfo").await;
    reader.next().await;
    reader.next().await;
    system.notifiers[0].kill9();
    system.add_notifier();
    while reader.table.users().len() < 3_000 {
        reader.next().await;
    }
}
