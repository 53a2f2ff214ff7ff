//! What a change of the rules, by SQL, does to those who watch.

use std::time::Duration;

use system_tests::phone::Phone;
use system_tests::system;

use super::{BOB, change, one, part, rule, state, store};

const ALICE: &str = "sip:alice@example.org";

/// Pending becomes active and is shown the document; active becomes terminated;rejected; another view is sent; whom it does not
/// concern hears nothing.
#[tokio::test(flavor = "multi_thread")]
async fn an_update_by_sql_decides_anew() {
    let system = system::start();
    let server = system.udp(0);
    let other = rule("o", &one("sip:other@example.org"), "allow");
    store(&system, &(rule("a", &one(ALICE), "confirm") + &other));
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(server, "open", "seen").await;
    let (alice, bystander) = (Phone::udp("alice").await, Phone::udp("other").await);
    let dialog = alice.subscribe(server, BOB, 600).await;
    let quiet = bystander.subscribe(server, BOB, 600).await;
    quiet.notify(1).await;
    assert!(dialog.notify(1).await.message.body.is_empty());
    assert!(state(&dialog).starts_with("pending"));

    change(&system, &(rule("a", &one(ALICE), "allow") + &other));
    assert_eq!(dialog.notify(2).await.note(), Some("seen"));
    assert!(state(&dialog).starts_with("active"), "{}", state(&dialog));

    let services = "<p:provide-services><p:all-services/></p:provide-services>";
    change(
        &system,
        &(part("a", &one(ALICE), "allow", services) + &other),
    );
    let notify = dialog.notify(3).await;
    assert!(
        notify.presence.is_some() && notify.note().is_none(),
        "{}",
        notify.body()
    );

    change(&system, &(rule("a", &one(ALICE), "polite-block") + &other));
    let notify = dialog.notify(4).await;
    assert_eq!((notify.basic(), notify.note()), ("closed", None));
    assert!(state(&dialog).starts_with("active"), "{}", state(&dialog));

    change(&system, &(rule("a", &one(ALICE), "block") + &other));
    let notify = dialog.notify(5).await;
    assert!(notify.ends() && notify.message.body.is_empty());
    assert_eq!(state(&dialog), "terminated;reason=rejected");
    assert_eq!(quiet.count(), 1, "whom it does not concern hears nothing");
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE watcher_username = 'other' AND local_cseq = 1")
            .await,
        1
    );
}

/// The first document comes when somebody is watching already, who was let in without one; and goes again.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_document_concerns_those_who_were_let_in() {
    let system = system::start();
    let server = system.udp(0);
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let gone = alice.subscribe(server, BOB, 600).await;
    let stays = carol.subscribe(server, BOB, 600).await;
    gone.notify(1).await;
    stays.notify(1).await;
    store(&system, &rule("c", &one("sip:carol@example.org"), "allow"));
    gone.until("the end", |n| n.ends()).await;
    assert_eq!(state(&gone), "terminated;reason=probation");
    assert_eq!(stays.count(), 1);

    system.psql("DELETE FROM xcap");
    let again = alice.subscribe(server, BOB, 600).await;
    again.notify(1).await;
    assert!(state(&again).starts_with("active"), "{}", state(&again));
    assert_eq!(stays.count(), 1);
}

/// RFC 3857 has no way back from active to pending: the subscription is deactivated, and the next one is pending.
#[tokio::test(flavor = "multi_thread")]
async fn from_active_to_confirm_is_deactivated() {
    let system = system::start();
    let server = system.udp(0);
    store(&system, &rule("a", &one(ALICE), "allow"));
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(server, BOB, 600).await;
    dialog.notify(1).await;
    change(&system, &rule("a", &one(ALICE), "confirm"));
    dialog.until("the end", |n| n.ends()).await;
    assert_eq!(state(&dialog), "terminated;reason=deactivated");
    let again = alice.subscribe(server, BOB, 600).await;
    again.notify(1).await;
    assert!(state(&again).starts_with("pending"), "{}", state(&again));
}

/// The notifier that decides is killed at any moment: the next one decides, and nobody is forgotten.
#[tokio::test(flavor = "multi_thread")]
async fn kill_9_of_the_decider_loses_nothing() {
    let mut system = system::setup()
        .notifiers(1)
        .set("notifier.lease_s", 2)
        .set("presence.waitn_time", 0)
        .errors_expected()
        .start();
    let server = system.udp(0);
    let handling = |round: usize| ["allow", "polite-block"][round % 2];
    store(
        &system,
        &rule("m", "<identity><many/></identity>", handling(1)),
    );
    let phone = Phone::udp("many").await;
    phone.tolerates(system_tests::phone::Tolerance {
        gaps: true,
        ..Default::default()
    });
    let mut dialogs = Vec::new();
    for _ in 0..100 {
        let dialog = phone.subscribe(server, BOB, 600).await;
        dialog.notify(1).await;
        dialogs.push(dialog);
    }
    let bob = Phone::udp("bob").await;
    bob.publisher(BOB).show(server, "open", "seen").await;
    for round in 2..6 {
        change(
            &system,
            &rule("m", "<identity><many/></identity>", handling(round)),
        );
        tokio::time::sleep(Duration::from_millis(30 * (round as u64 - 2))).await;
        system.notifiers[0].kill9();
        system.restart_notifier(0);
        let expected = [Some("seen"), None][round % 2];
        for dialog in &dialogs {
            dialog
                .until_within(Duration::from_secs(20), "the last decision", |n| {
                    n.note() == expected
                })
                .await;
        }
    }
    system
        .until(
            Duration::from_secs(20),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR decided_rules < rules_version",
            0,
        )
        .await;
}
