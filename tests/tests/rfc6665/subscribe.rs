//! Section 4.2.1: processing SUBSCRIBE.

use std::time::Duration;

use system_tests::phone::{Phone, State};
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

/// 4.2.1.1: "The notifier MUST also include an "Expires" header field in the response; its value MUST
/// NOT be longer than that requested". And 4.2.1.2: "Upon successfully accepting (...) notifiers MUST
/// send a NOTIFY request immediately to communicate the current resource state to the subscriber."
#[tokio::test(flavor = "multi_thread")]
async fn accepted_and_notified_at_once() {
    let system = system::setup().unset("presence.waitn_time").start();
    let alice = Phone::udp("alice").await;
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(77)), system.udp(0))
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("77")),
        "{response}"
    );
    let notify = dialog
        .until_within(Duration::from_secs(2), "the first NOTIFY", |_| true)
        .await;
    assert_eq!(notify.state.state, State::Active);
    assert!(
        notify
            .state
            .expires_s
            .is_some_and(|left| (70..=77).contains(&left)),
        "{:?}",
        notify.state
    );
    assert_eq!(notify.basic(), "closed", "nobody has published");
    // A second one of the same resource does not wait for the pacing of the first.
    let other = alice.subscribe(system.udp(0), BOB, 77).await;
    other
        .until_within(Duration::from_secs(2), "the first NOTIFY", |_| true)
        .await;
    assert_eq!(dialog.count(), 1, "nobody else's NOTIFY is pulled forward");
}

/// 4.2.1.1: "If the SUBSCRIBE request contains no Expires header field, the default of the package
/// is used"; more than `max_expires` is shortened to it.
#[tokio::test(flavor = "multi_thread")]
async fn granted_time() {
    let system = system::setup().set("presence.max_expires", 4000).start();
    let alice = Phone::udp("alice").await;
    for (asked, granted) in [
        (None, "3600"),
        (Some(4001), "4000"),
        (Some(u32::MAX), "4000"),
    ] {
        let (_, response) = alice
            .subscribe_with(&alice.subscription(BOB, asked), system.udp(0))
            .await;
        assert_eq!(
            (response.status(), response.header("Expires")),
            (Some(200), Some(granted)),
            "{asked:?}"
        );
    }
    for nonsense in ["abc", "-1", "", "4294967296", "1 2"] {
        let request = alice.subscription(BOB, None).with("Expires", nonsense);
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(
            response.status(),
            Some(400),
            "Expires: {nonsense:?}: {response}"
        );
    }
}

/// 4.2.1.1: "If (...) smaller than a notifier-configured minimum, the notifier MAY return 423 (Interval
/// too small) (...) MUST include a Min-Expires header field". Expires 0 is never too brief.
#[tokio::test(flavor = "multi_thread")]
async fn interval_too_brief() {
    let system = system::setup().set("presence.min_expires", 60).start();
    let alice = Phone::udp("alice").await;
    let response = alice
        .send(&alice.subscription(BOB, Some(59)), system.udp(0))
        .await;
    assert_eq!(
        (response.status(), response.header("Min-Expires")),
        (Some(423), Some("60")),
        "{response}"
    );
    let dialog = alice.subscribe(system.udp(0), BOB, 60).await;
    let refused = dialog.refresh(system.udp(0), 10).await;
    assert_eq!(refused.status(), Some(423), "{refused}");
    dialog.unsubscribe(system.udp(0)).await;
}

/// 4.2.1.1: "If the notifier does not understand the event package (...) it MUST return a 489 (Bad
/// Event) response". 8.2.1: a SUBSCRIBE without Event has none that we understand.
#[tokio::test(flavor = "multi_thread")]
async fn bad_event() {
    let system = system::setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    for event in [
        Some("weather"),
        Some("presence.winfo.winfo"),
        Some("Presence"),
        None,
    ] {
        let mut request = alice.subscription(BOB, Some(60)).without("Event");
        if let Some(event) = event {
            request = request.with("Event", event);
        }
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(489), "{event:?}: {response}");
    }
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        0
    );
}

/// 8.2.1: the Event of a NOTIFY carries the `id` of the SUBSCRIBE ("If the "id" parameter is present
/// in the SUBSCRIBE, it MUST also be present in the NOTIFY"; the phone compares).
#[tokio::test(flavor = "multi_thread")]
async fn event_id() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let request = alice
        .subscription(BOB, Some(60))
        .set("Event", "presence;id=7f");
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.notify(1).await;
    assert_eq!(
        system.psql("SELECT event, event_id FROM active_watchers"),
        "presence|7f"
    );
    assert_eq!(dialog.refresh(system.udp(0), 60).await.status(), Some(200));
    dialog.notify(2).await;
    // Another id in the same dialog is another subscription, which we do not have.
    let request = dialog
        .request("SUBSCRIBE")
        .set("Event", "presence;id=other")
        .with("Expires", "60");
    let response = alice.send(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(481), "{response}");
}

/// RFC 3261 13.2 and 21.4.7: a subscriber that accepts nothing that the package can show gets 406.
/// RFC 6665 4.2.1.1 leaves the body type to the package; no Accept means its default type.
#[tokio::test(flavor = "multi_thread")]
async fn accept() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    for (accept, status) in [
        (Some("application/pidf+xml"), 200),
        (Some("APPLICATION/pidf+XML;q=0.5"), 200),
        (Some("*/*"), 200),
        (Some("application/*"), 200),
        (Some("application/xpidf+xml, application/pidf+xml"), 200),
        (None, 200),
        (Some("application/xpidf+xml"), 406),
        (Some("text/*"), 406),
    ] {
        let mut request = alice.subscription(BOB, Some(60)).without("Accept");
        if let Some(accept) = accept {
            request = request.with("Accept", accept);
        }
        let (_, response) = alice.subscribe_with(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "{accept:?}: {response}");
    }
}

/// 4.2.1.4: "(...) a SUBSCRIBE for a subscription that does not exist: 481". RFC 3261 12.2.2: "If the
/// request has a tag in the To header field, but the dialog identifier does not match any existing
/// dialogs (...) 481".
#[tokio::test(flavor = "multi_thread")]
async fn no_such_dialog() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let request = alice
        .subscription(BOB, Some(60))
        .set("To", format!("<{BOB}>;tag=nobody-gave-this"));
    assert_eq!(
        alice.send(&request, system.udp(0)).await.status(),
        Some(481)
    );
    // Right Call-ID, right To-tag, another From-tag: no.
    let dialog = alice.subscribe(system.udp(0), BOB, 60).await;
    let request = dialog
        .request("SUBSCRIBE")
        .set("From", "<sip:alice@example.org>;tag=somebody-else");
    assert_eq!(
        alice.send(&request, system.udp(0)).await.status(),
        Some(481)
    );
    // And a dialog that has ended is one that does not exist.
    dialog.unsubscribe(system.udp(0)).await;
    let response = dialog.refresh(system.udp(0), 60).await;
    assert_eq!(response.status(), Some(481), "{response}");
}

/// RFC 3261 12.2.2: "If the remote sequence number was not empty, but the sequence number of the
/// request is lower than the remote sequence number, the request is out of order and MUST be rejected
/// with a 500 (Server Internal Error) response."
#[tokio::test(flavor = "multi_thread")]
async fn out_of_order() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let old = dialog.request("SUBSCRIBE").with("Expires", "0");
    assert_eq!(dialog.refresh(system.udp(0), 300).await.status(), Some(200));
    let response = alice.send(&old, system.udp(0)).await;
    assert_eq!(response.status(), Some(500), "{response}");
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE status = 1")
            .await,
        1,
        "it did not unsubscribe"
    );
    assert_eq!(dialog.refresh(system.udp(0), 300).await.status(), Some(200));
}

/// 4.2.1.3 and 4.1.2.3: "Unsubscribing is handled in the same way as refreshing of a subscription, with
/// the "Expires" header field set to "0". Note that a successful unsubscription will also trigger a final
/// NOTIFY request." (4.4.1: with "terminated".)
#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let last = dialog.unsubscribe(system.udp(0)).await;
    assert_eq!(last.state.reason.as_deref(), Some("timeout"));
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE status <> 3 OR updated <> -1",
            0,
        )
        .await;
    // And then there is silence (the phone would complain of a NOTIFY after the last one).
    bob.publisher(BOB)
        .show(system.udp(0), "open", "nobody listens")
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;
    assert_eq!(dialog.count(), 2);
}

/// 4.4.3: "A SUBSCRIBE request with an "Expires" header field of "0" (...) polls the state: (...) an
/// immediate NOTIFY (...) terminated." It carries the state, and leaves no subscription.
#[tokio::test(flavor = "multi_thread")]
async fn fetch() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    bob.publisher(BOB)
        .show(system.udp(0), "open", "fetch me")
        .await;
    let (dialog, response) = alice
        .subscribe_with(&alice.subscription(BOB, Some(0)), system.udp(0))
        .await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("0")),
        "{response}"
    );
    let notify = dialog.notify(1).await;
    assert!(notify.ends());
    assert_eq!((notify.basic(), notify.note()), ("open", Some("fetch me")));
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE status <> 3 OR updated <> -1",
            0,
        )
        .await;
    assert_eq!(dialog.count(), 1);
}

/// 4.1.2.2 and 4.2.1.2: a refresh is answered, prolongs the time, and is followed by a NOTIFY with the
/// full state. "(...) notifiers MUST send a NOTIFY request immediately", for refreshes too.
#[tokio::test(flavor = "multi_thread")]
async fn refresh() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    bob.publisher(BOB)
        .show(system.udp(0), "open", "state")
        .await;
    let dialog = alice.subscribe(system.udp(0), BOB, 60).await;
    dialog.notify(1).await;
    let response = dialog.refresh(system.udp(0), 1200).await;
    assert_eq!(
        (response.status(), response.header("Expires")),
        (Some(200), Some("1200")),
        "{response}"
    );
    let notify = dialog.notify(2).await;
    assert_eq!(notify.note(), Some("state"));
    assert!(
        notify.state.expires_s.is_some_and(|left| left > 1100),
        "{:?}",
        notify.state
    );
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        1
    );
}

/// RFC 3261 12.2.1.2: a refresh with another Contact moves the remote target: "it MUST replace the
/// dialog's remote target URI".
#[tokio::test(flavor = "multi_thread")]
async fn target_refresh() {
    let system = system::start();
    let (alice, moved) = (Phone::udp("alice").await, Phone::udp("alice").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let request = dialog.request("SUBSCRIBE").with("Expires", "600");
    // From its new place: same dialog, other socket.
    let request = request
        .set("Contact", format!("<{}>", moved.contact()))
        .set("Via", moved.via());
    moved.tolerates(system_tests::phone::Tolerance {
        strays: true,
        ..Default::default()
    });
    assert_eq!(
        moved.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
    system
        .until(
            system::STARTUP,
            &format!(
                "SELECT count(*) FROM active_watchers WHERE contact = '{}'",
                moved.contact()
            ),
            1,
        )
        .await;
    // The new place knows no dialog: its 481 ends the subscription. So the NOTIFY went there.
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE status <> 3",
            0,
        )
        .await;
    assert_eq!(dialog.count(), 1);
}

/// RFC 3261 8.1.1.8: "The Contact header field MUST be present and contain exactly one SIP or SIPS URI
/// in any request that can result in the establishment of a dialog."
#[tokio::test(flavor = "multi_thread")]
async fn contact() {
    let system = system::setup().notifiers(0).start();
    let alice = Phone::udp("alice").await;
    let request = alice.subscription(BOB, Some(60));
    for (what, bent) in [
        ("none", request.clone().without("Contact")),
        ("star", request.clone().set("Contact", "*")),
        (
            "two",
            request
                .clone()
                .set("Contact", "<sip:a@127.0.0.1:9>, <sip:b@127.0.0.1:9>"),
        ),
        (
            "mailto",
            request.clone().set("Contact", "<mailto:a@example.org>"),
        ),
        ("nonsense", request.clone().set("Contact", "<<>>")),
        (
            "CSeq of 2^31",
            request.clone().set("CSeq", "2147483648 SUBSCRIBE"),
        ),
    ] {
        let response = alice
            .send(&bent.set("Via", alice.via()), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(400), "{what}: {response}");
    }
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        0
    );
}

/// The same SUBSCRIBE on both servers: one dialog, one To-tag; unsubscribe and fetch as well.
#[tokio::test(flavor = "multi_thread")]
async fn retransmissions() {
    let system = system::setup().servers(2).start();
    let alice = Phone::udp("alice").await;
    let servers = system.all_udp();
    let request = alice.subscription(BOB, Some(600));
    let dialog = alice.expect_dialog(&request);
    let answers = alice.spray(&request, &servers).await.unwrap();
    dialog.learn(&answers[0]);
    dialog.notify(1).await;
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        1
    );
    for expires in ["500", "400", "0"] {
        let request = dialog.request("SUBSCRIBE").with("Expires", expires);
        let answers = alice.spray(&request, &servers).await.unwrap();
        assert_eq!(
            answers[0].status(),
            Some(200),
            "Expires {expires}: {}",
            answers[0]
        );
    }
    dialog
        .until("the last NOTIFY", system_tests::phone::Notify::ends)
        .await;
    let request = alice.subscription(BOB, Some(0));
    let fetch = alice.expect_dialog(&request);
    let answers = alice.spray(&request, &servers).await.unwrap();
    assert_eq!(answers[0].status(), Some(200));
    fetch.notify(1).await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE updated <> -1",
            0,
        )
        .await;
    let late = alice.spray(&request, &servers).await.unwrap();
    assert_eq!(late[0].status(), Some(200));
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM active_watchers WHERE updated <> -1",
            0,
        )
        .await;
    assert_eq!(
        (
            fetch.count(),
            system.count("SELECT count(*) FROM active_watchers").await
        ),
        (1, 2)
    );
}

/// Two dialogs of one phone to one presentity are two subscriptions (4.5.1 leaves them apart).
#[tokio::test(flavor = "multi_thread")]
async fn two_dialogs() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let one = alice.subscribe(system.udp(0), BOB, 600).await;
    let two = alice.subscribe(system.udp(0), BOB, 600).await;
    bob.publisher(BOB).show(system.udp(0), "open", "both").await;
    one.until("the state", |notify| notify.note() == Some("both"))
        .await;
    two.until("the state", |notify| notify.note() == Some("both"))
        .await;
    one.unsubscribe(system.udp(0)).await;
    let mut again = bob.publisher(BOB);
    again
        .publish(
            system.udp(0),
            &pidf::document(BOB, "z", "open", "one left"),
            60,
        )
        .await;
    two.until("the state", |notify| notify.note() == Some("one left"))
        .await;
}
