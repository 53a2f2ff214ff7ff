//! Servers and notifiers as processes: how they start, stop, and live without a database.

use std::time::Duration;

use system_tests::phone::{Answer, Phone, Tolerance};
use system_tests::{pidf, system};

const BOB: &str = "sip:bob@example.org";

/// The database goes away: 503 with Retry-After (checked by the phone) in time, nothing half-done; it
/// comes back: everything works again by itself, and what is owed is sent.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_database() {
    let mut system = system::setup().errors_expected().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "before").await;
    dialog
        .until("before", |notify| notify.note() == Some("before"))
        .await;

    // A CSeq that was taken in the very moment of the kill is a gap, no fault.
    alice.tolerates(Tolerance {
        gaps: true,
        ..Tolerance::default()
    });
    system.kill9_postgres();
    let document = pidf::document(BOB, "phone", "open", "during");
    for request in [
        publisher.draft(Some(&document), Some(600)),
        alice.subscription("sip:c@example.org", Some(60)),
    ] {
        let response = bob.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(503), "{response}");
    }
    let response = bob.send(&bob.request("OPTIONS", BOB), system.udp(0)).await;
    assert!(
        response
            .status()
            .is_some_and(|status| status == 200 || status == 503),
        "{response}"
    );

    tokio::task::block_in_place(|| system.restart_postgres());
    let begin = std::time::Instant::now();
    loop {
        let request = publisher.draft(
            Some(&pidf::document(BOB, "phone", "open", "after")),
            Some(600),
        );
        let response = bob.send(&request, system.udp(0)).await;
        if response.status() == Some(200) {
            break;
        }
        assert_eq!(response.status(), Some(503), "{response}");
        assert!(begin.elapsed() < Duration::from_secs(15), "no recovery");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    dialog
        .until("after", |notify| notify.note() == Some("after"))
        .await;
}

/// SIGTERM under load: what is in flight is finished; nothing that was answered 200 is lost.
#[tokio::test(flavor = "multi_thread")]
async fn stops_cleanly() {
    let mut system = system::setup().servers(2).notifiers(2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(1), BOB, 600).await;
    dialog.notify(1).await;
    alice.answers(Answer::AfterCopies(1));
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(1), "open", "in flight").await;
    dialog
        .until("in flight", |notify| notify.note() == Some("in flight"))
        .await;
    for notifier in &mut system.notifiers {
        let status =
            tokio::task::block_in_place(|| notifier.terminate(Duration::from_secs(15))).unwrap();
        assert!(status.success(), "{status}");
    }
    let held = system
        .count("SELECT count(*) FROM notify_queue WHERE owner IS NOT NULL")
        .await;
    assert_eq!(held, 0, "what was held is given back");
    let status = tokio::task::block_in_place(|| {
        system.servers[0].process.terminate(Duration::from_secs(15))
    })
    .unwrap();
    assert!(status.success(), "{status}");
    alice.answers(Answer::Ok);
    publisher.show(system.udp(1), "open", "later").await;
    system.add_notifier();
    // A clean stop leaves no gap in the numbers (the phone would complain), and the rest goes on.
    dialog
        .until("later", |notify| notify.note() == Some("later"))
        .await;
    system
        .until(system::STARTUP, "SELECT count(*) FROM node", 2)
        .await;
}

/// A notifier is killed with NOTIFYs in flight: another takes over when the lease is over.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_notifier_is_replaced() {
    let mut system = system::setup().set("notifier.lease_s", 2).start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    alice.answers(Answer::Silent);
    bob.publisher(BOB).show(system.udp(0), "open", "owed").await;
    dialog
        .until("owed", |notify| notify.note() == Some("owed"))
        .await;
    system.notifiers[0].kill9();
    alice.answers(Answer::Ok);
    let other = system.add_notifier();
    let again = dialog.notify(3).await;
    assert_eq!(
        again.note(),
        Some("owed"),
        "sent anew, with a CSeq of its own"
    );
    assert!(system.notifiers[other].is_running());
    system
        .until(
            system::STARTUP,
            "SELECT count(*) FROM notify_queue WHERE due <> 'infinity'",
            0,
        )
        .await;
}

/// A server refuses to work on a schema that is not there, and says what to do.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_schema() {
    let system = system::setup()
        .servers(0)
        .notifiers(0)
        .errors_expected()
        .start();
    system.cluster().create_database("empty").unwrap();
    for verb in ["server", "notifier"] {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        command.args([verb, "--database-url", &system.cluster().url("empty")]);
        if verb == "server" {
            command.args(["--listen", "udp:127.0.0.1:0"]);
        }
        let (status, out, err) = system_tests::process::run(&mut command, Duration::from_secs(30));
        assert!(
            !status.success() && err.contains("migrate"),
            "{verb}: {out}{err}"
        );
    }
}

/// Migrating twice, and four times at once, is no fault.
#[tokio::test(flavor = "multi_thread")]
async fn migrate_again() {
    let system = system::setup().servers(0).notifiers(0).start();
    system.cli(&["migrate"]);
    system.cluster().create_database("race").unwrap();
    let url = system.cluster().url("race");
    let racers: Vec<_> = (0..4)
        .map(|_| {
            let url = url.clone();
            std::thread::spawn(move || {
                let mut command = std::process::Command::new(system_tests::process::pgpresence());
                command.args(["migrate", "--database-url", &url]);
                system_tests::process::run(&mut command, Duration::from_secs(30))
            })
        })
        .collect();
    for racer in racers {
        let (status, out, err) = racer.join().unwrap();
        assert!(status.success(), "{out}{err}");
    }
}

/// A port that is taken is a clear error.
#[tokio::test(flavor = "multi_thread")]
async fn port_taken() {
    let system = system::setup().notifiers(0).start();
    let mut command = system.command("server");
    command.args(["--listen", &format!("tcp:{}", system.tcp(0))]);
    let (status, out, err) = system_tests::process::run(&mut command, Duration::from_secs(30));
    assert!(
        !status.success() && err.contains(&system.tcp(0).port().to_string()),
        "{out}{err}"
    );
}
