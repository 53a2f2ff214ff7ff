//! Where values come from, and what is said of those that are wrong or steer nothing.

use system_tests::process::run;
use system_tests::system;

/// Wrong values are all reported, with their paths, and the exit code is 2.
#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_is_reported() {
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for mistake in [
        "presence.max_expires=never",
        "presence.min_expires_action=3",
        "presence.no_such_key=1",
        "no_such_section.key=1",
        "server.listen=[\"udp:nowhere\"]",
        "presence.sip_uri_match=7",
    ] {
        command.args(["--set", mistake]);
    }
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert_eq!(status.code(), Some(2), "{out}{err}");
    for path in [
        "max_expires",
        "min_expires_action",
        "no_such_key",
        "no_such_section",
        "listen",
        "sip_uri_match",
    ] {
        assert!(err.contains(path), "{path} is not reported:\n{err}");
    }
}

/// Environment and file set the same keys; the command line wins over the environment, that over the file.
#[tokio::test(flavor = "multi_thread")]
async fn file_environment_command_line() {
    let system = system::setup().servers(0).notifiers(0).start();
    let file = system.sandbox().directory().join("pgpresence.toml");
    std::fs::write(
        &file,
        "[presence]\nmax_expires = 100\nmin_expires = 10\nwaitn_time = 7\n",
    )
    .unwrap();
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command
        .args(["config", "show", "--config"])
        .arg(&file)
        .args(["--set", "presence.waitn_time=9"])
        .env("PGPRESENCE_PRESENCE__WAITN_TIME", "8")
        .env("PGPRESENCE_PRESENCE__MIN_EXPIRES", "20");
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert!(status.success(), "{out}{err}");
    for line in ["max_expires = 100", "min_expires = 20", "waitn_time = 9"] {
        assert!(out.contains(line), "{line}:\n{out}");
    }
}

/// What steers a table in memory, a timer or a replication is no mistake: one sentence says what does that job here, from
/// `config check` and in the log of each process. What asks for that which happens anyway is not worth a word.
#[tokio::test(flavor = "multi_thread")]
async fn what_steers_nothing_here_is_answered() {
    let keys = [
        ("subs_db_mode", "1", "subscriptions are in the database"),
        ("publ_cache", "2", "publications are in the database"),
        ("subs_htable_size", "9", "no table in memory"),
        ("pres_htable_size", "9", "no table in memory"),
        ("db_update_period", "100", "stored before it is answered"),
        ("timer_mode", "1", "no timer processes"),
        ("db_table_lock_type", "0", "rows are locked, never tables"),
        ("enable_dmq", "1", "nothing to replicate"),
        ("startup_mode", "0", "what has expired is never shown"),
        ("subs_remove_match", "0", "by its Call-ID and both tags"),
    ];
    let mut setup = system::setup();
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for (key, value, _) in keys {
        setup = setup.set(&format!("presence.{key}"), value);
        command.args(["--set", &format!("presence.{key}={value}")]);
    }
    let (status, out, err) = run(&mut command, system::STARTUP);
    assert_eq!(
        (status.code(), out.trim()),
        (Some(0), "the configuration is valid")
    );
    assert_eq!(err.lines().count(), keys.len(), "{err}");
    let system = setup.start();
    let logs = [
        system.servers[0].process.lines().join("\n"),
        system.notifiers[0].lines().join("\n"),
    ];
    for (key, _, sentence) in keys {
        for text in [&err, &logs[0], &logs[1]] {
            let line = text
                .lines()
                .find(|line| line.contains(&format!("presence.{key}: ")));
            let line = line.unwrap_or_else(|| panic!("{key} is not answered:\n{text}"));
            assert!(
                line.contains("has no meaning here") && line.contains(sentence),
                "{line}"
            );
        }
    }

    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check"]);
    for anyway in [
        "subs_db_mode=3",
        "publ_cache=0",
        "enable_dmq=0",
        "startup_mode=1",
        "subs_remove_match=1",
    ] {
        command.args(["--set", &format!("presence.{anyway}")]);
    }
    let (status, _, err) = run(&mut command, system::STARTUP);
    assert_eq!((status.code(), err.as_str()), (Some(0), ""));
    let mut command = std::process::Command::new(system_tests::process::pgpresence());
    command.args(["config", "check", "--set", "presence.timer_mode=often"]);
    let (status, _, err) = run(&mut command, system::STARTUP);
    assert!(
        status.code() == Some(2) && err.contains("presence.timer_mode: must be a whole number"),
        "{err}"
    );
}
