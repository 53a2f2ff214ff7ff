//! Sections 17.2.3 and 12.2.2: what is a copy of a request, and what is another one. A copy comes by the phone's own transaction, the
//! bottom Via, within 64*T1; everything else is served.

use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

fn saying(request: &Message, note: &str) -> Message {
    let document = pidf::document(BOB, "t", "open", note);
    request
        .clone()
        .without("Content-Type")
        .with_body("application/pidf+xml", document)
}

/// As if 40 s had passed: what is stored was made so much earlier.
fn after_40_s(system: &system::System) {
    system.psql(
        "UPDATE presentity SET created_time = created_time - 40, renewed_at = GREATEST(0, renewed_at - 40);
         UPDATE active_watchers SET created_time = created_time - 40, renewed_at = GREATEST(0, renewed_at - 40), expires = expires - 40, updated_winfo = -1 WHERE NOT ended",
    );
}

/// A device that fills in a template uses Call-ID, From-tag and CSeq for all it says. So does one that draws them once at its start.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_is_shown_each_time_it_is_filled() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let template = bob.publisher(BOB).draft(None, Some(600));
    for note in ["one", "two", "three"] {
        let request = saying(&template, note).set("Via", bob.via());
        let response = bob.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
    // With the tag of each answer in the next request, and all else the same, the branch too.
    let mut publisher = bob.publisher(BOB);
    let first = saying(&publisher.draft(None, Some(600)), "four");
    publisher.learn(&bob.send(&first, system.udp(0)).await);
    for note in ["five", "six"] {
        let tag = publisher.etag.clone().expect("an entity-tag");
        let request = saying(&first, note).with("SIP-If-Match", tag);
        let response = bob.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        publisher.learn(&response);
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
    }
}

/// Everything is as it was at the last start, to the last octet but what is said.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_starts_again_is_shown() {
    let system = system::setup().servers(2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let template = bob.publisher(BOB).draft(None, Some(600));
    let mut tags = std::collections::BTreeSet::new();
    for note in ["one", "two"] {
        let request = saying(&template, note);
        let answers = bob.spray(&request, &system.all_udp()).await.unwrap();
        assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
        assert_eq!(answers[0].header("SIP-ETag"), answers[1].header("SIP-ETag"));
        let tag = answers[0].header("SIP-ETag").unwrap_or_default().to_owned();
        assert!(tags.insert(tag), "another tag each time");
        dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
        assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
        after_40_s(&system);
    }
}

/// A phone that subscribes anew with everything as before has a new dialog, and its NOTIFY; a copy at the other server finds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_starts_again_is_notified() {
    let system = system::setup().servers(2).start();
    let alice = Phone::udp("alice").await;
    let request = alice.subscription(BOB, Some(600));
    let mut tags = std::collections::BTreeSet::new();
    for _ in 0..2 {
        let dialog = alice.expect_dialog(&request);
        let answers = alice.spray(&request, &system.all_udp()).await.unwrap();
        assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
        assert_eq!(answers[0].tag("To"), answers[1].tag("To"));
        assert!(tags.insert(answers[0].tag("To").map(str::to_owned)));
        dialog.learn(&answers[0]);
        dialog.notify(1).await;
        after_40_s(&system);
    }
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        2
    );
}

/// 12.2.2: "If the remote sequence number (...) is lower than (...) the request is out of order and MUST be rejected with a 500". An equal
/// one is not lower: some phones have one CSeq for all.
#[tokio::test(flavor = "multi_thread")]
async fn one_cseq_for_all_refreshes() {
    let system = system::setup().servers(2).start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let template = dialog.request("SUBSCRIBE");
    for (count, expires) in [(2, "500"), (3, "400"), (4, "300")] {
        let request = template
            .clone()
            .set("Via", alice.via())
            .with("Expires", expires);
        let answers = alice.spray(&request, &system.all_udp()).await.unwrap();
        assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
        assert_eq!(answers[0].header("Expires"), Some(expires));
        dialog.learn(&answers[0]);
        dialog.notify(count).await;
    }
    let lower = template
        .set("Via", alice.via())
        .set("CSeq", "1 SUBSCRIBE")
        .with("Expires", "200");
    let response = alice.send(&lower, system.udp(0)).await;
    assert_eq!(response.status(), Some(500), "{response}");
}

/// 8.2.2.2 has a server answer 482 where the same request comes by two ways. Here both ways lead to one answer.
#[tokio::test(flavor = "multi_thread")]
async fn copies_by_two_ways_are_one_request() {
    let system = system::setup().servers(2).notifiers(0).start();
    let bob = Phone::udp("bob").await;
    let request = saying(&bob.publisher(BOB).draft(None, Some(600)), "once");
    let mut tags = std::collections::BTreeSet::new();
    for server in [0, 1, 0] {
        let mut request = request.clone();
        request.headers.insert(0, ("Via".to_owned(), bob.via()));
        let response = bob.send(&request, system.udp(server)).await;
        assert_eq!(response.status(), Some(200), "{response}");
        tags.insert(response.header("SIP-ETag").map(str::to_owned));
    }
    assert_eq!(tags.len(), 1, "{tags:?}");
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
}
