//! Two servers, two notifiers, one database, and a network that delivers every request twice: once to
//! the server it was meant for, and once to the other one. 1,000 dialogs, 10,000 PUBLISH.

use std::time::Duration;

use system_tests::judge::{Kind, Ledger, Source, phones, watches};
use system_tests::phone::{Answer, Notify, Phone};
use system_tests::system;
use tokio::task::JoinSet;

const PRESENTITIES: usize = 50;
const WATCHERS: usize = 20;
const SOURCES: usize = 2;
const PUBLISHES: usize = 100;

/// No duplicate publication or dialog, no 412 for a retransmission, both servers give the same answer,
/// each dialog's CSeq goes up by exactly one, and every watcher ends on the last state.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_reaches_both_servers() {
    let system = system::setup().servers(2).notifiers(2).start();
    let servers = system.all_udp();
    let presentities: Vec<String> = (0..PRESENTITIES)
        .map(|number| format!("sip:p{number}@example.org"))
        .collect();
    let ledger = Ledger::default();

    let watchers = phones(10).await;
    let to = servers.clone();
    let all = watches(
        &watchers,
        &presentities,
        WATCHERS,
        move |phone, presentity, index| {
            let mut to = to.clone();
            to.rotate_left(index % 2);
            async move {
                let request = phone.subscription(&presentity, Some(1800));
                let dialog = phone.expect_dialog(&request);
                let answers = phone.spray(&request, &to).await.unwrap();
                assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
                dialog.learn(&answers[0]);
                dialog
            }
        },
    )
    .await;
    assert_eq!(all.len(), PRESENTITIES * WATCHERS);
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        1000
    );
    for phone in &watchers {
        phone.answers(Answer::Lossy(0.01));
    }

    let mut load = JoinSet::new();
    for (number, presentity) in presentities.iter().enumerate() {
        let phone = Phone::udp(&format!("p{number}")).await;
        for source in 0..SOURCES {
            let mut source = Source::new(&phone, &ledger, presentity, &format!("s{source}"));
            let (phone, mut to) = (phone.clone(), servers.clone());
            load.spawn(async move {
                for step in 0..PUBLISHES {
                    let kind = match step % 20 {
                        7 | 13 if source.is_published() => Kind::Refresh,
                        19 if source.is_published() && step + 1 < PUBLISHES => Kind::Remove,
                        _ => Kind::State,
                    };
                    to.rotate_left(usize::from(rand::random::<bool>()));
                    let request = source.draft(kind, 1800);
                    let answers = phone.spray(&request, &to).await.unwrap();
                    source.settle(kind, &answers[0]).unwrap();
                }
            });
        }
    }
    // Meanwhile every dialog is refreshed once, by both servers.
    for (dialog, _) in &all {
        let (dialog, to, phone) = (dialog.clone(), servers.clone(), dialog.phone());
        load.spawn(async move {
            tokio::time::sleep(Duration::from_millis(rand::random::<u64>() % 5000)).await;
            let request = dialog.request("SUBSCRIBE").with("Expires", "1700");
            let answers = phone.spray(&request, &to).await.unwrap();
            assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
        });
    }
    while let Some(done) = load.join_next().await {
        done.expect("no load task may fail");
    }

    ledger
        .reached(&all, true, Duration::from_secs(60))
        .await
        .unwrap();
    for phone in &watchers {
        phone.answers(Answer::Ok);
    }
    assert_eq!(ledger.publications(), PRESENTITIES * SOURCES);
    let live = system
        .count("SELECT count(*) FROM presentity WHERE NOT removed")
        .await;
    assert_eq!(live, i64::try_from(ledger.publications()).unwrap());
    let dialogs = system
        .count("SELECT count(*) FROM active_watchers WHERE status = 1")
        .await;
    assert_eq!(dialogs, 1000);
    system
        .until(
            Duration::from_secs(40),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;

    // The numbers that the database counted are the numbers that the phones saw.
    let rows = system
        .sql()
        .await
        .query("SELECT callid, local_cseq FROM active_watchers", &[])
        .await
        .unwrap();
    let counted: std::collections::HashMap<String, i64> =
        rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (dialog, _) in &all {
        let last = dialog.last().expect("at least one NOTIFY");
        assert_eq!(
            counted[dialog.call_id()],
            i64::from(last.cseq),
            "{}",
            dialog.call_id()
        );
    }

    // All leave, by both servers.
    let mut leave = JoinSet::new();
    for (dialog, _) in &all {
        let (dialog, to, phone) = (dialog.clone(), servers.clone(), dialog.phone());
        leave.spawn(async move {
            let request = dialog.request("SUBSCRIBE").with("Expires", "0");
            let answers = phone.spray(&request, &to).await.unwrap();
            assert_eq!(answers[0].status(), Some(200), "{}", answers[0]);
            dialog
                .until_within(Duration::from_secs(30), "the last NOTIFY", Notify::ends)
                .await;
        });
    }
    while let Some(done) = leave.join_next().await {
        done.expect("all may leave");
    }
}
