//! PostgreSQL on a machine of its own: each process comes by TLS, verifies whom it talks to, and has an account with the rights of its
//! role.

use system_tests::phone::Phone;
use system_tests::process::run;
use system_tests::system::{self, STARTUP};

const BOB: &str = "sip:bob@example.org";
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity AS a JOIN pg_stat_ssl AS s USING (pid) WHERE a.usename IN ('front', 'engine')";

#[tokio::test(flavor = "multi_thread")]
async fn a_lamp_is_lit_over_tls_and_again_after_a_restart_of_postgresql() {
    let mut system = system::setup().over_tls().errors_expected().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "here").await;
    dialog
        .until("here", |notify| notify.note() == Some("here"))
        .await;
    assert!(system.count(SESSIONS).await > 2);
    assert_eq!(system.count(&format!("{SESSIONS} AND NOT s.ssl")).await, 0);

    system.restart_postgres();
    publisher.show(system.udp(0), "open", "back").await;
    dialog
        .until("back", |notify| notify.note() == Some("back"))
        .await;
    assert_eq!(system.count(&format!("{SESSIONS} AND NOT s.ssl")).await, 0);
}

/// A reader's account is enough for `status`, and for the views; not for what would let it take part.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_sees_how_the_system_is_and_no_secret() {
    let system = system::setup().over_tls().errors_expected().start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    bob.publisher(BOB).show(system.udp(0), "open", "here").await;
    dialog
        .until("here", |notify| notify.note() == Some("here"))
        .await;
    let (status, out, errors) = run(&mut system.command("status"), STARTUP);
    assert!(status.success(), "{out}{errors}");
    assert!(out.contains("server") && out.contains("notifier"), "{out}");

    let ask = |sql: &str| {
        let mut command = system.command("psql");
        command.args(["--", "-X", "-A", "-t", "-c", sql]);
        run(&mut command, STARTUP)
    };
    let (status, out, errors) = ask("SELECT document FROM presence_publications");
    assert!(status.success() && out.contains("here"), "{out}{errors}");
    for secret in [
        "etag FROM presence_publications",
        "callid FROM presence_subscriptions",
        "flow FROM active_watchers",
        "secret FROM cluster",
    ] {
        let (status, out, errors) = ask(&format!("SELECT {secret}"));
        assert!(!status.success(), "{secret}: {out}");
        assert!(errors.contains("permission denied"), "{secret}: {errors}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_the_right_one_is_told_nothing() {
    let system = system::setup()
        .over_tls()
        .servers(0)
        .notifiers(0)
        .errors_expected()
        .start();
    for verb in ["migrate", "status"] {
        let mut command = system.command(verb);
        system.encrypted().mislead(&mut command);
        let (status, out, errors) = run(&mut command, STARTUP);
        assert!(!status.success(), "{verb}: {out}");
        assert!(errors.contains("certificate"), "{verb}: {errors}");
        assert!(!errors.contains("of owner"), "{verb}: {errors}");
    }
}
