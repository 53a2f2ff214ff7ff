//! Rules that concern few of many.

use std::time::Duration;

use system_tests::phone::Phone;
use system_tests::system;

use super::{BOB, change, state, store};

const WATCHERS: usize = 10_000;

fn all_but(blocked: &[usize]) -> String {
    let except: String = blocked
        .iter()
        .map(|n| format!("<except id=\"sip:w{n}@example.org\"/>"))
        .collect();
    super::rule(
        "all",
        &format!("<identity><many>{except}</many></identity>"),
        "allow",
    )
}

/// 10,000 watchers of whom 10 are concerned: those 10 rows change, those 10 get a NOTIFY, nobody else, in one poll. Nine of ten are
/// rows that SQL copies from a real phone's; the concerned ones are real.
#[tokio::test(flavor = "multi_thread")]
async fn ten_of_ten_thousand_are_told() {
    let system = system::start();
    let server = system.udp(0);
    let concerned: Vec<usize> = (0..10).map(|n| n * 997).collect();
    store(&system, &all_but(&[]));
    let mut dialogs = Vec::new();
    for n in &concerned {
        let phone = Phone::udp(&format!("w{n}")).await;
        let dialog = phone.subscribe(server, BOB, 3600).await;
        dialog.notify(1).await;
        dialogs.push((phone, dialog));
    }
    let others = Phone::udp("others").await;
    let client = system.sql().await;
    client
        .batch_execute(&format!(
            "INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, \
                 from_domain, event, to_tag, from_tag, callid, remote_cseq, contact, expires, status, updated, \
                 notified_version, view, decided_version, local_cseq, version) \
             SELECT '{BOB}', 'w' || n, 'example.org', 'bob', 'example.org', 'w' || n, 'example.org', 'presence', 'o' || n, \
                 't' || n, 'call' || n, 1, '{}', extract(epoch FROM now())::bigint + 3600, 1, -1, 9223372036854775807, 'all', \
                 (SELECT rules_version FROM notify_queue), 1, 1 \
             FROM generate_series(0, {}) AS n WHERE n % 997 <> 0 OR n > 9000",
            others.contact(),
            WATCHERS - 1
        ))
        .await
        .unwrap();
    system
        .until(
            Duration::from_secs(20),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;
    let count = system
        .count("SELECT count(*) FROM active_watchers WHERE status = 1")
        .await;
    assert!(count >= WATCHERS as i64, "{count}");
    client
        .batch_execute(
            "CREATE TABLE changed (id bigint, version bigint);
             CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql AS
               'BEGIN INSERT INTO changed VALUES (NEW.id, NEW.local_cseq); RETURN NULL; END';
             CREATE TRIGGER changed AFTER UPDATE ON active_watchers FOR EACH ROW EXECUTE FUNCTION note_change();",
        )
        .await
        .unwrap();

    let begin = std::time::Instant::now();
    change(&system, &all_but(&concerned));
    for (_, dialog) in &dialogs {
        dialog.until("the end", |n| n.ends()).await;
        assert_eq!(state(dialog), "terminated;reason=probation");
        assert_eq!(dialog.count(), 2);
    }
    println!("10 of {count} told after {:?}", begin.elapsed());
    system
        .until(
            Duration::from_secs(20),
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity' OR decided_rules < rules_version",
            0,
        )
        .await;
    assert_eq!(
        system.count("SELECT count(DISTINCT id) FROM changed").await,
        10,
        "those rows and no others"
    );
    assert_eq!(
        system
            .count("SELECT count(*) FROM active_watchers WHERE status = 1")
            .await,
        count - 10
    );
}
