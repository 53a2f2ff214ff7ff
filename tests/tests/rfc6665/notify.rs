//! Section 4.2.2: what is in a NOTIFY, and when it comes. Much of it is checked by the phones on
//! every NOTIFY; these tests are about the course of things.

use system_tests::phone::{Answer, Notify, Phone};
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

/// RFC 3261 12.2.1.1: "The sequence number (...) MUST contain monotonically increasing and contiguous
/// (increasing-by-one) CSeq sequence numbers". The phone checks each; here are many, with losses.
#[tokio::test(flavor = "multi_thread")]
async fn contiguous_numbers_in_spite_of_losses() {
    let system = system::setup().notifiers(2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    alice.answers(Answer::Lossy(0.3));
    let mut publisher = bob.publisher(BOB);
    for number in 0..6 {
        let note = number.to_string();
        publisher.show(system.udp(0), "open", &note).await;
        dialog
            .until(&note, |notify| notify.note() == Some(&note))
            .await;
    }
    alice.answers(Answer::Ok);
    let last = dialog.unsubscribe(system.udp(0)).await;
    assert_eq!(
        system.psql("SELECT local_cseq FROM active_watchers"),
        last.cseq.to_string()
    );
}

/// RFC 3261 17.1.2.2: a NOTIFY that is not answered is retransmitted: the same bytes (the phone
/// compares), and at most one NOTIFY is under way in a dialog: the next waits for the answer.
#[tokio::test(flavor = "multi_thread")]
async fn retransmitted_until_answered() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    alice.answers(Answer::AfterCopies(3));
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "one").await;
    publisher.show(system.udp(0), "open", "two").await;
    publisher.show(system.udp(0), "open", "three").await;
    dialog
        .until("three", |notify| notify.note() == Some("three"))
        .await;
    let all = dialog.notifies();
    for pair in all.windows(2) {
        // Three retransmissions take 0.5 + 1 + 2 s; before that the next one must not come.
        let apart = pair[1].at - pair[0].at;
        assert!(
            apart.as_millis() > 3000,
            "two NOTIFYs under way at once: {apart:?}"
        );
    }
    assert!(
        all.len() <= 3,
        "changes meanwhile coalesce: {} NOTIFYs",
        all.len()
    );
}

/// 4.2.2: "(...) expiration: the notifier sends a NOTIFY with "terminated" and reason "timeout"".
#[tokio::test(flavor = "multi_thread")]
async fn expiry_of_a_subscription() {
    let system = system::start();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 2).await;
    let last = dialog.until("the last NOTIFY", Notify::ends).await;
    assert_eq!(last.state.reason.as_deref(), Some("timeout"));
    assert_eq!(dialog.count(), 2);
    assert_eq!(dialog.refresh(system.udp(0), 60).await.status(), Some(481));
}

/// RFC 3903 section 3: soft state that is not refreshed expires, and watchers see it.
#[tokio::test(flavor = "multi_thread")]
async fn expiry_of_a_publication() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    bob.publisher(BOB)
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "short"), 2)
        .await;
    dialog
        .until("open", |notify| notify.basic() == "open")
        .await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM presentity WHERE NOT removed",
            0,
        )
        .await;
}

/// A publication that is refreshed in time does not flicker.
#[tokio::test(flavor = "multi_thread")]
async fn refreshed_in_time() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 4).await;
    let mut publisher = bob.publisher(BOB);
    publisher
        .publish(system.udp(0), &pidf::document(BOB, "t", "open", "kept"), 3)
        .await;
    dialog
        .until("open", |notify| notify.basic() == "open")
        .await;
    let begin = std::time::Instant::now();
    while begin.elapsed().as_secs() < 7 {
        assert_eq!(
            publisher.refresh(system.udp(0), 3).await.status(),
            Some(200)
        );
        assert_eq!(dialog.refresh(system.udp(0), 4).await.status(), Some(200));
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    }
    let all = dialog.notifies();
    let open = all
        .iter()
        .position(|notify| notify.basic() == "open")
        .unwrap();
    assert!(
        all[open..]
            .iter()
            .all(|notify| notify.basic() == "open" && !notify.ends()),
        "it flickered"
    );
}

/// 4.2.2 and RFC 3856 6.10: changes coalesce, the last one is shown, and no older one after it.
#[tokio::test(flavor = "multi_thread")]
async fn many_changes_few_notifies() {
    let system = system::setup().notifiers(2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    alice.inspects(system_tests::judge::never_back());
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let mut publisher = bob.publisher(BOB);
    for number in 1..=200 {
        publisher
            .show(system.udp(0), "open", &number.to_string())
            .await;
    }
    dialog
        .until("200", |notify| notify.note() == Some("200"))
        .await;
    assert!(
        dialog.count() < 30,
        "{} NOTIFYs for 200 changes",
        dialog.count()
    );
}
