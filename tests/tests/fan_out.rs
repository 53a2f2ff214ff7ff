//! One presentity with 5,000 watchers.

use std::time::Duration;

use system_tests::judge::{phones, watches};
use system_tests::phone::{Answer, Phone};
use system_tests::system;
use tokio::time::Instant;

const WATCHERS: usize = 5000;
const BOSS: &str = "sip:boss@example.org";

/// One PUBLISH costs one queue row, and all 5,000 are notified, each exactly once; one among them that
/// never answers delays none of the others, not even at the next change, and is removed by policy.
#[tokio::test(flavor = "multi_thread")]
async fn one_publish_five_thousand_lamps() {
    let system = system::setup().notifiers(2).start();
    let server = system.udp(0);
    let watchers = phones(10).await;
    let all = watches(
        &watchers,
        &[BOSS.to_string()],
        WATCHERS,
        move |phone, presentity, _| async move { phone.subscribe(server, &presentity, 1800).await },
    )
    .await;
    let silent = Phone::udp("silent").await;
    let silent_dialog = silent.subscribe(server, BOSS, 1800).await;
    silent_dialog.notify(1).await;
    for (dialog, _) in &all {
        dialog.notify(1).await;
    }
    silent.answers(Answer::Silent);
    system
        .until(
            Duration::from_secs(30),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;

    let client = system.sql().await;
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOSS);
    let begin = Instant::now();
    publisher.show(server, "open", "one").await;
    assert!(
        begin.elapsed() < Duration::from_secs(1),
        "a PUBLISH must not feel its watchers: {:?}",
        begin.elapsed()
    );
    assert!(
        system.count("SELECT count(*) FROM notify_queue").await <= 1,
        "one queue row"
    );
    for (dialog, _) in &all {
        dialog
            .until_within(Duration::from_secs(20), "one", |notify| {
                notify.note() == Some("one")
            })
            .await;
    }
    println!("5,000 lamps after {:?}", begin.elapsed());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );

    // The silent one has an unanswered NOTIFY; the rest see the next change all the same.
    let begin = Instant::now();
    publisher.show(server, "closed", "two").await;
    for (dialog, _) in &all {
        dialog
            .until_within(Duration::from_secs(20), "two", |notify| {
                notify.note() == Some("two")
            })
            .await;
        assert_eq!(
            dialog.count(),
            3,
            "each watcher is told of each change once"
        );
    }
    println!("5,000 lamps again after {:?}", begin.elapsed());
    assert!(
        begin.elapsed() < Duration::from_secs(20),
        "{:?}",
        begin.elapsed()
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE status = 1")
            .await,
        5001
    );

    system
        .until(
            Duration::from_secs(45),
            "SELECT count(*) FROM active_watchers WHERE status = 1",
            5000,
        )
        .await;
    let left = client
        .query(
            "SELECT 1 FROM active_watchers WHERE callid = $1 AND status = 1",
            &[&silent_dialog.call_id()],
        )
        .await
        .unwrap();
    assert!(left.is_empty(), "it is the silent one that went");
}
