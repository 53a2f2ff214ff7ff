//! `delete_same_subs`: a phone that rebooted subscribes anew; the dialog that it forgot ends, and delays nothing.

use std::time::Duration;

use system_tests::message::Message;
use system_tests::phone::{Answer, Dialog, Phone};
use system_tests::system::{self, System};

const BOB: &str = "sip:bob@example.org";
const LIVING: &str = "SELECT count(*) FROM active_watchers WHERE status <> 3";

/// A SUBSCRIBE of a phone with this instance id.
fn by_instance(phone: &Phone, presentity: &str, instance: &str) -> Message {
    let contact = format!(
        "<{}>;+sip.instance=\"<urn:uuid:{instance}>\"",
        phone.contact()
    );
    phone
        .subscription(presentity, Some(600))
        .set("Contact", contact)
}

async fn subscribed(phone: &Phone, request: &Message, system: &System, server: usize) -> Dialog {
    let (dialog, response) = phone.subscribe_with(request, system.udp(server)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog
}

async fn ends_rejected(dialog: &Dialog) {
    let last = dialog
        .until("the last NOTIFY", |notify| notify.ends())
        .await;
    let state = last
        .message
        .header("Subscription-State")
        .unwrap_or_default();
    assert!(state.contains("reason=rejected"), "{state}");
}

/// 2: the phone is known by its `+sip.instance`, at whichever server, from whichever port. The one that is gone answers nothing: its last
/// NOTIFY is repeated for 32 s, and meanwhile the new dialog has its first NOTIFY, and each change, at once.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_rebooted_has_one_subscription() {
    let system = system::setup()
        .servers(2)
        .set("presence.delete_same_subs", 2)
        .set("presence.waitn_time", 0)
        .start();
    let instance = "f81d4fae-7dec-11d0-a765-00a0c91e6bf6";
    let (before, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let old = subscribed(&before, &by_instance(&before, BOB, instance), &system, 0).await;
    old.notify(1).await;
    before.answers(Answer::Silent);

    let after = Phone::udp("alice").await;
    let new = subscribed(&after, &by_instance(&after, BOB, instance), &system, 1).await;
    let within = Duration::from_secs(2);
    new.until_within(within, "the first NOTIFY", |_| true).await;
    assert_eq!(system.count(LIVING).await, 1);
    ends_rejected(&old).await;
    let mut publisher = bob.publisher(BOB);
    for note in ["one", "two", "three"] {
        publisher.show(system.udp(0), "open", note).await;
        new.until_within(within, note, |notify| notify.note() == Some(note))
            .await;
    }
    // The last NOTIFY of the old dialog is still unanswered.
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE status = 3 AND NOT ended")
            .await,
        1
    );
    // The new one is like any other: refreshed, and ended by its own word.
    assert_eq!(new.refresh(system.udp(0), 600).await.status(), Some(200));
    new.unsubscribe(system.udp(1)).await;
    assert_eq!(system.count(LIVING).await, 0);
}

/// Without an instance id it is known by where its Contact leads. A phone that still knows its old dialog is told, and is
/// answered 481 there. Others of the same user live on.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_is_known_by_its_contact() {
    let system = system::setup().set("presence.delete_same_subs", 2).start();
    let (alice, desk) = (Phone::udp("alice").await, Phone::udp("alice").await);
    let others = desk.subscribe(system.udp(0), BOB, 600).await;
    let old = alice.subscribe(system.udp(0), BOB, 600).await;
    old.notify(1).await;
    let new = alice.subscribe(system.udp(0), BOB, 600).await;
    new.notify(1).await;
    ends_rejected(&old).await;
    assert_eq!(old.refresh(system.udp(0), 600).await.status(), Some(481));
    let with_id = alice
        .subscribe_to(system.udp(0), BOB, "presence;id=2", 600)
        .await;
    with_id.notify(1).await;
    // A fetch takes nobody's place.
    let fetched = alice.subscribe(system.udp(0), BOB, 0).await;
    fetched.until("the answer", |notify| notify.ends()).await;
    assert_eq!(system.count(LIVING).await, 3);
    Phone::udp("bob")
        .await
        .publisher(BOB)
        .show(system.udp(0), "open", "x")
        .await;
    for dialog in [&others, &new, &with_id] {
        dialog.until("x", |notify| notify.note() == Some("x")).await;
    }
}

/// Two SUBSCRIBEs of one phone in the same instant, through two servers: one of them lives.
#[tokio::test(flavor = "multi_thread")]
async fn two_at_once_through_two_servers() {
    let system = system::setup()
        .servers(2)
        .set("presence.delete_same_subs", 2)
        .start();
    let (one, two) = (Phone::udp("alice").await, Phone::udp("alice").await);
    for round in 0..40 {
        let presentity = format!("sip:u{round}@example.org");
        let (a, b) = (
            by_instance(&one, &presentity, "1"),
            by_instance(&two, &presentity, "1"),
        );
        let (a, b) = tokio::join!(
            subscribed(&one, &a, &system, 0),
            subscribed(&two, &b, &system, 1)
        );
        let living = format!("{LIVING} AND presentity_uri = '{presentity}'");
        assert_eq!(system.count(&living).await, 1, "{presentity}");
        a.notify(1).await;
        b.notify(1).await;
    }
    assert_eq!(system.count(LIVING).await, 40);
}

/// 1, as in Kamailio: the same presentity and Call-ID, of any watcher and with whatever `id`. Another event package has subscriptions of its
/// own, and so has another presentity.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_call_id() {
    let system = system::setup().set("presence.delete_same_subs", 1).start();
    let carol = "sip:carol@example.org";
    let same = "same@call";
    // A phone for each: a phone tells its own dialogs by their Call-IDs.
    let subscribe = async |user: &str, presentity: &str, event: &str, call_id: &str| {
        let phone = Phone::udp(user).await;
        let request = phone
            .subscription_to(presentity, event, Some(600))
            .set("Call-ID", call_id);
        let dialog = subscribed(&phone, &request, &system, 0).await;
        dialog.notify(1).await;
        (phone, dialog)
    };
    let mut old = subscribe("alice", BOB, "presence", same).await;
    let mut alive = vec![
        subscribe("alice", BOB, "dialog", same).await,
        subscribe("alice", carol, "presence", same).await,
        subscribe("alice", BOB, "presence", "another@call").await,
    ];
    for (user, event) in [
        ("alice", "presence"),
        ("alice", "presence;id=7"),
        ("eve", "presence"),
    ] {
        let new = subscribe(user, BOB, event, same).await;
        ends_rejected(&old.1).await;
        assert_eq!(system.count(LIVING).await, 4, "{user} {event}");
        old = new;
    }
    alive.push(old);
    for (_, dialog) in &alive {
        assert_eq!(dialog.refresh(system.udp(0), 600).await.status(), Some(200));
    }
    // By the phone nothing ends.
    let (phone, _) = &alive[3];
    let again = phone.subscribe(system.udp(0), BOB, 600).await;
    again.notify(1).await;
    assert_eq!(system.count(LIVING).await, 5);
}

/// 0, the default: each subscription lives until it ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn off_by_default() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    for _ in 0..2 {
        let request = by_instance(&alice, BOB, "1");
        let dialog = subscribed(&alice, &request, &system, 0).await;
        dialog.notify(1).await;
    }
    assert_eq!(system.count(LIVING).await, 2);
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE subscriber_key IS NOT NULL")
            .await,
        0
    );
}
