//! `conference` (RFC 4575).

use system_tests::phone::{Notify, Phone};
use system_tests::system;

use super::bodies::{conference_info, users};

const ROOM: &str = "sip:room@example.org";

/// The newest publication is shown; when it expires the one before is, and at last a conference with nobody in it.
#[tokio::test(flavor = "multi_thread")]
async fn the_newest_focus_counts() {
    let system = system::setup().servers(2).notifiers(2).start();
    let (focus, spare) = (Phone::udp("focus").await, Phone::udp("spare").await);
    let (alice, carol) = (Phone::udp("alice").await, Phone::udp("carol").await);
    let has = |user: &'static str| move |notify: &Notify| users(notify) == [user];
    let is_over = |notify: &Notify| {
        users(notify).is_empty() && notify.body().contains("<active>false</active>")
    };
    let first = alice
        .subscribe_to(system.udp(0), ROOM, "conference", 600)
        .await;
    assert!(is_over(&first.notify(1).await));

    let mut older = focus.publisher_of(ROOM, "conference");
    let body = conference_info(ROOM, "sip:al@example.org");
    assert_eq!(
        older.publish(system.udp(1), &body, 3600).await.status(),
        Some(200)
    );
    first.until("al", has("sip:al@example.org")).await;
    let mut newer = spare.publisher_of(ROOM, "conference");
    let body = conference_info(ROOM, "sip:bo@example.org");
    newer.publish(system.udp(0), &body, 6).await;
    first.until("bo", has("sip:bo@example.org")).await;
    let second = carol
        .subscribe_to(system.udp(1), ROOM, "conference", 600)
        .await;
    assert!(has("sip:bo@example.org")(&second.notify(1).await));
    for watcher in [&first, &second] {
        watcher.until("al again", has("sip:al@example.org")).await;
    }
    older.remove(system.udp(0)).await;
    for watcher in [&first, &second] {
        let last = watcher.until("it is over", is_over).await;
        assert_eq!(last.version, Some(last.cseq - watcher.notifies()[0].cseq));
    }
}
