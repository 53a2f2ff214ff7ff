//! A change of state is told to whom it shows something else.

use std::time::Duration;

use system_tests::phone::{Answer, Phone};
use system_tests::system::{self, System};

use super::{BOB, one, part, rule, store};

/// Nothing is owed to anybody any more.
async fn quiet(system: &System) {
    let busy = "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR owner IS NOT NULL";
    system.until(Duration::from_secs(20), busy, 0).await;
}

/// A politely blocked watcher sees an unavailable presentity, and cannot tell from the NOTIFYs when it is active: there are none.
/// Whose view leaves out what changed gets none either.
#[tokio::test(flavor = "multi_thread")]
async fn whose_view_stays_the_same_is_told_nothing() {
    let system = system::start();
    let server = system.udp(0);
    store(
        &system,
        &(rule("a", &one("sip:alice@example.org"), "allow")
            + &rule("p", &one("sip:polly@example.org"), "polite-block")
            + &part(
                "s",
                &one("sip:sam@example.org"),
                "allow",
                "<p:provide-services><p:all-services/></p:provide-services>",
            )),
    );
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "note 0").await;
    let phones = [
        Phone::udp("alice").await,
        Phone::udp("polly").await,
        Phone::udp("sam").await,
    ];
    let whole = phones[0].subscribe(server, BOB, 600).await;
    let polite = phones[1].subscribe(server, BOB, 600).await;
    let services = phones[2].subscribe(server, BOB, 600).await;
    whole
        .until("the note", |n| n.note() == Some("note 0"))
        .await;
    polite.until("closed", |n| n.presence.is_some()).await;
    services.until("open", |n| n.basic() == "open").await;
    quiet(&system).await;
    let before = (polite.count(), services.count());

    for number in 1..=5 {
        let note = format!("note {number}");
        publisher.show(server, "open", &note).await;
        whole
            .until(&note, |n| n.note() == Some(note.as_str()))
            .await;
    }
    quiet(&system).await;
    assert_eq!((polite.count(), services.count()), before);
    assert_eq!(
        system
            .count("SELECT count(*) FROM presence_subscriptions WHERE owed <> 'nothing'")
            .await,
        0
    );

    // What one of them does see reaches him, with the next CSeq: the phone complains of any other.
    publisher.show(server, "closed", "note 6").await;
    services.until("closed", |n| n.basic() == "closed").await;
    quiet(&system).await;
    assert_eq!((polite.count(), services.count()), (before.0, before.1 + 1));

    // Who asks is answered: a refresh, and a fetch.
    assert_eq!(polite.refresh(server, 600).await.status(), Some(200));
    assert_eq!(polite.notify(before.0 + 1).await.basic(), "closed");
    let fetch = Phone::udp("polly").await.subscribe(server, BOB, 0).await;
    assert_eq!(fetch.notify(1).await.basic(), "closed");
    // A refresh of everybody by the operator's order is one.
    system.psql(&format!(
        "SELECT presence_refresh_watchers('{BOB}', 'presence')"
    ));
    polite.notify(before.0 + 2).await;
    services.notify(before.1 + 2).await;
}

/// A notifier dies with NOTIFYs in flight: whoever comes next tells everybody anew, also whom it shows the same.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_all_are_told_the_state() {
    let mut system = system::setup().set("notifier.lease_s", 5).start();
    let server = system.udp(0);
    store(
        &system,
        &(rule("a", &one("sip:alice@example.org"), "allow")
            + &rule("p", &one("sip:polly@example.org"), "polite-block")),
    );
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(server, "open", "before").await;
    let (alice, polly) = (Phone::udp("alice").await, Phone::udp("polly").await);
    let whole = alice.subscribe(server, BOB, 600).await;
    let polite = polly.subscribe(server, BOB, 600).await;
    whole.until("before", |n| n.note() == Some("before")).await;
    polite.until("closed", |n| n.presence.is_some()).await;
    quiet(&system).await;
    let told = polite.count();
    whole.answers(Answer::Silent);
    publisher.show(server, "open", "after").await;
    whole.until("after", |n| n.note() == Some("after")).await;
    system.notifiers[0].kill9();
    whole.answers(Answer::Ok);
    system.restart_notifier(0);
    let heard = whole.count();
    whole.notify(heard + 1).await;
    assert_eq!(whole.last().unwrap().note(), Some("after"));
    assert_eq!(polite.notify(told + 1).await.basic(), "closed");
    quiet(&system).await;
}
