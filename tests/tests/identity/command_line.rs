//! `pgpresence user`, and `watch` and `publish` with a password.

use std::time::Duration;

use system_tests::process::run;
use system_tests::system;

use super::{BOB, start, with_digest};

#[tokio::test(flavor = "multi_thread")]
async fn users_are_added_and_used() {
    let system = start(with_digest());
    let listed = system.cli(&["user", "list"]);
    assert_eq!(
        listed.lines().collect::<Vec<_>>(),
        [
            "alice@example.org\tSHA-256, MD5",
            "bob@example.org\tSHA-256, MD5",
            "mallory@example.org\tSHA-256, MD5",
        ]
    );
    system.cli(&["user", "remove", "mallory@example.org"]);
    assert_eq!(system.cli(&["user", "list"]).lines().count(), 2);
    let added = system.cli(&["user", "add", "carol@example.org"]);
    let made = added
        .lines()
        .find_map(|line| line.strip_prefix("password: "))
        .unwrap_or_else(|| panic!("{added}"));
    let stored = system.psql(
        "SELECT password, length(ha1), length(ha1_sha256) FROM subscriber WHERE username = 'carol'",
    );
    assert!(
        stored.contains("32") && stored.contains("64") && !stored.contains(made),
        "{stored}"
    );

    let server = system.udp(0).to_string();
    let publish = |user: &str, password: &str| {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        command
            .args([
                "publish", BOB, "--server", &server, "--once", "--user", user,
            ])
            .env("PGPRESENCE_PASSWORD", password);
        run(&mut command, system::STARTUP)
    };
    let (status, out, err) = publish("bob", "bob");
    assert!(status.success(), "{out}\n{err}");
    for (user, password, answer) in [("bob", "x", "401"), ("carol", made, "403")] {
        let (status, _, err) = publish(user, password);
        assert!(!status.success() && err.contains(answer), "{user}: {err}");
    }
    let mut watch = std::process::Command::new(system_tests::process::pgpresence());
    watch
        .args([
            "watch",
            BOB,
            "--server",
            &server,
            "--from",
            "sip:carol@example.org",
            "--once",
            "--user",
            "carol",
        ])
        .env("PGPRESENCE_PASSWORD", made);
    let (status, out, err) = run(&mut watch, Duration::from_secs(30));
    assert!(status.success() && out.contains("open"), "{out}\n{err}");
}
