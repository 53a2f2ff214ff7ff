//! What the command line says, and what is said about a wrong one.

use crate::program::{Directory, output, pgpresence};

#[test]
fn help_names_every_command_and_option() {
    let (code, help, _) = output(&["--help"]);
    assert_eq!(code, Some(0));
    for word in [
        "run",
        "server",
        "notifier",
        "migrate",
        "import",
        "config",
        "watch",
        "publish",
        "load",
        "rpc",
        "status",
        "explain",
        "--config",
        "--database-url",
    ] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
    for word in ["--listen", "--data-dir", "--set"] {
        assert!(help.contains(word), "{word} is missing:\n{help}");
    }
    assert!(!help.contains("supervised"));
    for command in [
        "run",
        "server",
        "notifier",
        "migrate",
        "import",
        "config",
        "watch",
        "publish",
        "load",
        "rpc",
        "status",
        "explain",
        "psql",
        "completions",
        "man",
    ] {
        assert_eq!(output(&[command, "--help"]).0, Some(0), "{command}");
    }
    assert!(output(&["--version"]).1.contains(env!("CARGO_PKG_VERSION")));
}

/// Yet all are accepted everywhere, as they may stand before the command.
#[test]
fn help_of_a_command_shows_only_the_settings_that_it_reads() {
    let settings = [
        "--config",
        "--database-url",
        "--listen",
        "--data-dir",
        "--set",
    ];
    for (command, read) in [
        (&["run"][..], &settings[..]),
        (
            &["server"],
            &["--config", "--database-url", "--listen", "--set"],
        ),
        (
            &["status"],
            &["--config", "--database-url", "--data-dir", "--set"],
        ),
        (
            &["config", "check"],
            &["--config", "--database-url", "--listen", "--set"],
        ),
        (&["config", "import"], &[]),
        (&["load"], &["--set"]),
        (&["watch"], &[]),
        (&["publish"], &[]),
    ] {
        let (_, help, _) = output(&[command, &["--help"]].concat());
        let is_shown = |setting: &&&str| help.contains(&format!("{setting} <"));
        let shown: Vec<&str> = settings.iter().filter(is_shown).copied().collect();
        assert_eq!(shown, read, "{command:?}\n{help}");
    }
    let (code, _, errors) = output(&["--set", "x.y=1", "config", "check"]);
    assert_eq!(code, Some(2), "{errors}");
    assert!(errors.contains("x.y"), "{errors}");
}

#[test]
fn completions_and_manual_pages_are_written() {
    let (code, script, _) = output(&["completions", "bash"]);
    assert_eq!(code, Some(0));
    let checked = std::process::Command::new("bash")
        .args(["-n", "-c", &script])
        .status();
    assert!(checked.unwrap().success(), "{script}");
    for word in ["complete -F", "explain", "--tolerate"] {
        assert!(script.contains(word), "{word}");
    }
    let folder = Directory::new();
    let pages = folder.join("man1");
    assert_eq!(output(&["man", pages.to_str().unwrap()]).0, Some(0));
    let page = std::fs::read_to_string(pages.join("pgpresence-status.1")).unwrap();
    assert!(
        page.contains("tolerate") && !page.contains("listen"),
        "{page}"
    );
    assert!(pages.join("pgpresence.1").exists());
    let (code, _, errors) = output(&["man", "/dev/null/man1"]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("cannot write into /dev/null/man1"),
        "{errors}"
    );
}

#[test]
fn config_check_reports_all_faults_and_exits_with_2() {
    let directory = Directory::new();
    let file = directory.join("wrong.toml");
    std::fs::write(&file, "[presence]\nmax_expires = 0\nwaitn = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let faulty = pgpresence(&[
        "config",
        "check",
        "--config",
        file,
        "--listen",
        "5060",
        "--set",
        "log.level=loud",
    ])
    .env("PGPRESENCE_PRESENCE__FETCH_ROWS", "0")
    .output()
    .unwrap();
    let errors = String::from_utf8(faulty.stderr).unwrap();
    assert_eq!(faulty.status.code(), Some(2), "{errors}");
    assert_eq!(faulty.stdout, b"");
    for part in [
        "wrong.toml:2: presence.max_expires: must be 1 to",
        "wrong.toml:3: presence.waitn: unknown field",
        "environment PGPRESENCE_PRESENCE__FETCH_ROWS: presence.fetch_rows: must be 1 to",
        "command line: log.level: \"loud\" is not a log level",
        "command line: server.listen: \"5060\" is not an address to listen on",
    ] {
        assert_eq!(
            errors
                .lines()
                .filter(|line| line.starts_with("error: ") && line.contains(part))
                .count(),
            1,
            "{errors}"
        );
    }
    assert_eq!(errors.lines().count(), 5, "{errors}");

    assert_eq!(
        output(&["config", "check", "--config", "/nowhere.toml"]).0,
        Some(2)
    );
    assert_eq!(output(&["config", "check", "--set", "nonsense"]).0, Some(2));
    assert_eq!(output(&["fly"]).0, Some(2));
}

#[test]
fn a_good_configuration_is_shown_without_its_password() {
    let arguments = [
        "--database-url",
        "postgresql://u:secret@h/d?sslmode=verify-full&sslrootcert=system",
        "--set",
        "presence.max_expires=600",
        "config",
    ];
    let (code, said, errors) = output(&[&arguments[..], &["check"]].concat());
    assert_eq!(
        (code, said.as_str()),
        (Some(0), "the configuration is valid\n")
    );
    // Everybody on this machine can read a command line.
    assert!(
        errors.lines().count() == 1 && errors.contains("a password on the command line"),
        "{errors}"
    );
    let (code, shown, _) =
        output(&[&arguments[..], &["show", "--listen", "udp:127.0.0.1:1"]].concat());
    assert_eq!(code, Some(0));
    for part in [
        "max_expires = 600",
        "postgresql://h/d",
        "listen = [\"udp:127.0.0.1:1\"]",
        "waitn_time = 5",
    ] {
        assert!(shown.contains(part), "{part} is missing:\n{shown}");
    }
    assert!(!shown.contains("secret"));
}

/// What would be read as a host, and printed with the error that there is none.
#[test]
fn a_password_that_is_not_encoded_is_refused_and_not_shown() {
    for url in [
        "postgresql://u:se@cret@h/d",
        "postgresql://u:se@cret#cret/d",
        "postgresql://u:cret@h/d?cret=1",
        "mysql://u:cret@h/d",
    ] {
        for arguments in [
            &["config", "check", "--database-url", url][..],
            &["server", "--database-url", url],
            &["migrate", "--set", &format!("presence.db_url={url}")],
            &[
                "import",
                "--database-url",
                "postgresql://h/d",
                "--from",
                url,
            ],
        ] {
            let (code, said, errors) = output(arguments);
            assert_eq!(
                (code, said.as_str()),
                (Some(2), ""),
                "{arguments:?}: {errors}"
            );
            assert!(errors.contains("PostgreSQL URL"), "{errors}");
            assert!(!errors.contains("cret"), "{arguments:?}: {errors}");
        }
    }
    let (_, _, errors) = output(&[
        "config",
        "check",
        "--database-url",
        "postgresql://u:se@cret@h/d",
    ]);
    assert!(
        errors.contains("percent-encode") && errors.contains("%40 for @"),
        "{errors}"
    );
}

/// It cannot be reached; where it is, is said, and nothing else of it.
#[test]
fn a_failed_connection_shows_no_password() {
    let url = "postgresql://somebody:se%40c%23ret@127.0.0.1:1/d";
    for arguments in [
        &["migrate", "--database-url", url][..],
        &["status", "--database-url", url],
        &["import", "--database-url", url, "--from", url],
    ] {
        let (code, said, errors) = output(arguments);
        assert_eq!(code, Some(1), "{arguments:?}: {errors}");
        for part in ["somebody", "se@", "se%40", "#ret", "23ret"] {
            assert!(
                !said.contains(part) && !errors.contains(part),
                "{arguments:?}: {errors}"
            );
        }
    }
}

#[test]
fn what_needs_a_database_says_so() {
    let nowhere = Directory::new();
    let nowhere = nowhere.path().to_str().unwrap();
    for command in ["server", "notifier", "migrate", "status", "psql"] {
        let (code, _, errors) = output(&[command, "--data-dir", nowhere]);
        assert_eq!(code, Some(2), "{command}: {errors}");
        assert!(
            errors.contains("--database-url")
                && errors.contains("no library mode")
                && errors.lines().count() == 1,
            "{errors}"
        );
    }
}
