//! Section 4: what a publisher may rely on.

use system_tests::phone::Phone;
use system_tests::{pidf, system};

/// 4.1: "An initial PUBLISH request MUST NOT contain a SIP-If-Match header field. (...) the
/// entity-tag (...) is returned to the EPA in the SIP-ETag header field of the response."
#[tokio::test(flavor = "multi_thread")]
async fn initial() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    let mut publisher = phone.publisher("sip:bob@example.org");
    publisher.show(system.udp(0), "open", "hello").await;
    let etag = publisher.etag.clone().expect("an entity-tag");
    assert!(etag.len() >= 16, "{etag:?} is easy to guess");
    let row = system.psql("SELECT username, domain, event, etag, convert_from(body, 'UTF8') LIKE '%hello%' FROM presentity");
    assert_eq!(row, format!("bob|example.org|presence|{etag}|t"));
}

/// 4.3: "the EPA MUST NOT include a body in a refresh"; 6, 5: the state stays, only its time and
/// its entity-tag are new. Nobody is told, because nothing changed.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_changes_no_state_and_tells_nobody() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut publisher = bob.publisher("sip:bob@example.org");
    publisher.show(system.udp(0), "open", "hello").await;
    let dialog = alice
        .subscribe(system.udp(0), "sip:bob@example.org", 600)
        .await;
    dialog
        .until("the state", |notify| notify.note() == Some("hello"))
        .await;
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;

    let before = publisher.etag.clone();
    let response = publisher.refresh(system.udp(0), 1800).await;
    assert_eq!(response.status(), Some(200), "{response}");
    assert_eq!(response.header("Expires"), Some("1800"));
    assert_ne!(
        publisher.etag, before,
        "each success has an entity-tag of its own"
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM notify_queue WHERE due <> 'infinity'")
            .await,
        0
    );

    // A real change afterwards is the very next NOTIFY: the refresh sent none before it.
    publisher.show(system.udp(0), "open", "later").await;
    dialog
        .until("the change", |notify| notify.note() == Some("later"))
        .await;
    assert_eq!(dialog.count(), 2);
}

/// 4.4: "the state that is being modified": the new body replaces the old one of this publication.
#[tokio::test(flavor = "multi_thread")]
async fn modify_replaces() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut publisher = bob.publisher("sip:bob@example.org");
    let dialog = alice
        .subscribe(system.udp(0), "sip:bob@example.org", 600)
        .await;
    for (basic, note) in [("open", "one"), ("closed", "two"), ("open", "three")] {
        publisher.show(system.udp(0), basic, note).await;
        let notify = dialog
            .until(note, |notify| notify.note() == Some(note))
            .await;
        assert_eq!(notify.basic(), basic);
        assert_eq!(
            notify.presence.expect("a document").tuples.len(),
            1,
            "one publication, one tuple"
        );
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
}

/// 4.5: "To immediately remove event state, an EPA MUST create a PUBLISH request with an Expires
/// value of 0 and set the SIP-If-Match (...) If the removal succeeds the watchers see it go.
#[tokio::test(flavor = "multi_thread")]
async fn remove() {
    let system = system::start();
    let (bob, alice) = (Phone::udp("bob").await, Phone::udp("alice").await);
    let mut publisher = bob.publisher("sip:bob@example.org");
    publisher.show(system.udp(0), "open", "here").await;
    let dialog = alice
        .subscribe(system.udp(0), "sip:bob@example.org", 600)
        .await;
    dialog
        .until("open", |notify| notify.basic() == "open")
        .await;
    let response = publisher.remove(system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    assert_eq!(response.header("Expires"), Some("0"));
    let notify = dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    assert!(
        !notify
            .presence
            .expect("a closed document, not an empty NOTIFY")
            .is_open()
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
}

/// 4.1 and RFC 3863: several publications of one presentity are merged; each goes by itself.
#[tokio::test(flavor = "multi_thread")]
async fn several_publications_are_merged() {
    let system = system::start();
    let bob = "sip:bob@example.org";
    let (desk, mobile, alice) = (
        Phone::udp("bob").await,
        Phone::udp("bob").await,
        Phone::udp("alice").await,
    );
    let (mut first, mut second) = (desk.publisher(bob), mobile.publisher(bob));
    let dialog = alice.subscribe(system.udp(0), bob, 600).await;
    let server = system.udp(0);
    first
        .publish(
            server,
            &pidf::document(bob, "desk", "open", "at the desk"),
            600,
        )
        .await;
    dialog
        .until("one tuple", |notify| notify.note() == Some("at the desk"))
        .await;
    second
        .publish(
            server,
            &pidf::document(bob, "mobile", "closed", "in the bag"),
            600,
        )
        .await;
    let notify = dialog
        .until("two tuples", |notify| {
            notify
                .presence
                .as_ref()
                .is_some_and(|presence| presence.tuples.len() == 2)
        })
        .await;
    let tuples = notify.presence.expect("a document").tuples;
    assert_eq!(tuples[0].id, "mobile", "newest first: {tuples:?}");
    second.remove(server).await;
    let notify = dialog
        .until("one tuple again", |notify| {
            notify
                .presence
                .as_ref()
                .is_some_and(|presence| presence.tuples.len() == 1)
        })
        .await;
    assert_eq!(notify.note(), Some("at the desk"));
}

/// Two publications that use the same tuple id make a document in which no id stands twice (the
/// phone checks that), and neither is lost.
#[tokio::test(flavor = "multi_thread")]
async fn same_tuple_id_twice() {
    let system = system::start();
    let bob = "sip:bob@example.org";
    let (desk, mobile, alice) = (
        Phone::udp("bob").await,
        Phone::udp("bob").await,
        Phone::udp("alice").await,
    );
    let (mut first, mut second) = (desk.publisher(bob), mobile.publisher(bob));
    first
        .publish(
            system.udp(0),
            &pidf::document(bob, "a", "open", "desk"),
            600,
        )
        .await;
    second
        .publish(
            system.udp(0),
            &pidf::document(bob, "a", "closed", "mobile"),
            600,
        )
        .await;
    let dialog = alice.subscribe(system.udp(0), bob, 600).await;
    let notify = dialog.notify(1).await;
    let presence = notify.presence.expect("a document");
    assert_eq!(
        presence.note(),
        Some("mobile"),
        "newest first: {presence:?}"
    );
}
