//! Forged identity: who has a password of his own gets nothing that is another one's.

use system_tests::message::Message;
use system_tests::phone::Phone;

use super::{ALICE, BOB, login, publication, start, status, with_digest};

/// From says what its sender likes.
fn forging(request: &Message) -> Message {
    request.clone().set("From", format!("<{ALICE}>;tag=forged"))
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_acts_for_another() {
    let system = start(with_digest());
    let mallory = Phone::udp("mallory").await;
    let mut own = login("mallory");
    let summary = mallory
        .request("PUBLISH", ALICE)
        .without("Contact")
        .with("Event", "message-summary")
        .with("Expires", "600")
        .with_body(
            "application/simple-message-summary",
            "Messages-Waiting: yes\r\n",
        );
    let feature = mallory
        .subscription_to(ALICE, "as-feature-event", Some(600))
        .with_body(
            "application/x-as-feature-event+xml",
            "<?xml version=\"1.0\"?><SetForwarding xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed3\"><device/>\
             <forwardingType>forwardImmediate</forwardingType><activateForward>true</activateForward><forwardDN>666</forwardDN></SetForwarding>",
        );
    for (what, request) in [
        ("presence", publication(&mallory, ALICE)),
        ("message waiting", summary),
        ("forwarding", feature),
        (
            "who watches",
            mallory.subscription_to(ALICE, "presence.winfo", Some(600)),
        ),
        (
            "a shared line",
            mallory.subscription_to(ALICE, "dialog;sla", Some(600)),
        ),
    ] {
        for (how, request) in [
            ("as himself", request.clone()),
            ("as alice", forging(&request)),
        ] {
            let answer = status(&mallory, &mut own, &request, system.udp(0)).await;
            // Of alice's own requests alice's password is asked, which he does not know.
            assert!(matches!(answer, 401 | 403), "{what}, {how}: {answer}");
        }
    }
    for table in ["presentity", "active_watchers"] {
        assert_eq!(
            system.count(&format!("SELECT count(*) FROM {table}")).await,
            0,
            "{table}"
        );
    }
}

/// A watcher is who has proven that he is, whatever From says.
#[tokio::test(flavor = "multi_thread")]
async fn rules_are_about_who_it_is() {
    let system = start(with_digest());
    let mallory = Phone::udp("mallory").await;
    let mut own = login("mallory");
    let request = forging(&mallory.subscription(BOB, Some(600)));
    let (_dialog, response) = mallory
        .subscribe_as(&mut own, &request, system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    let watchers = "SELECT count(*) FROM active_watchers WHERE watcher_username = 'mallory' AND watcher_domain = 'example.org'";
    assert_eq!(system.count(watchers).await, 1);
}

/// Whoever has learned the names of another one's dialog can neither renew nor end it, nor set anything by it, whatever he writes into From and To.
#[tokio::test(flavor = "multi_thread")]
async fn a_dialog_belongs_to_who_made_it() {
    let system = start(with_digest());
    let (alice, mallory) = (Phone::udp("alice").await, Phone::udp("mallory").await);
    let (mut alices, mut own) = (login("alice"), login("mallory"));
    let request = alice.subscription_to(ALICE, "as-feature-event", Some(600));
    let (dialog, response) = alice
        .subscribe_as(&mut alices, &request, system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    let tag = dialog.remote_tag().unwrap();
    let forwarding = "<?xml version=\"1.0\"?><SetForwarding xmlns=\"http://www.ecma-international.org/standards/ecma-323/csta/ed3\"><device/>\
                      <forwardingType>forwardImmediate</forwardingType><activateForward>true</activateForward><forwardDN>666</forwardDN>\
                      </SetForwarding>";
    for line in [ALICE, "sip:mallory@example.org"] {
        for (expires, body) in [("600", None), ("0", None), ("600", Some(forwarding))] {
            let mut stolen = dialog
                .request("SUBSCRIBE")
                .set("Via", mallory.via())
                .set("To", format!("<{line}>;tag={tag}"))
                .with("Expires", expires);
            if let Some(body) = body {
                stolen = stolen.with_body("application/x-as-feature-event+xml", body);
            }
            let answer = status(&mallory, &mut own, &stolen, system.udp(0)).await;
            assert_eq!(answer, 403, "{line} {expires} {body:?}");
        }
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
    let alive = "SELECT count(*) FROM active_watchers WHERE status = 1 AND remote_cseq <= 2";
    assert_eq!(system.count(alive).await, 1);
}
