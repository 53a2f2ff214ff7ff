//! Loading: what overrides what, and what is said about faults.

use std::io::Write;
use std::time::Duration;

use node::{Config, ConfigError, Listener, MinExpiresAction, UriMatch};

fn load(file: &str, env: &[(&str, &str)], sets: &[(&str, &str)]) -> Result<Config, Vec<String>> {
    let mut written = tempfile::NamedTempFile::new().unwrap();
    written.write_all(file.as_bytes()).unwrap();
    let own = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    Config::load(Some(written.path()), own(env).into_iter(), &own(sets)).map_err(|error| {
        let name = written.path().display().to_string();
        error
            .to_string()
            .lines()
            .map(|line| line.replace(&name, "FILE"))
            .collect()
    })
}

#[test]
fn nothing_said_gives_the_defaults() {
    let config = load("", &[], &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.presence.waitn_time.seconds(), Duration::from_secs(5));
    assert_eq!(
        config.presence.clean_period.duration(),
        Some(Duration::from_secs(100))
    );
    assert_eq!(
        config.server.request_deadline_ms.milliseconds(),
        Duration::from_secs(8)
    );
}

#[test]
fn the_command_line_overrides_the_environment_overrides_the_file() {
    let file = "[presence]\nmax_expires = 1000\nmin_expires = 10\nwaitn_time = 1\n";
    let env = [
        ("PGPRESENCE_PRESENCE__MAX_EXPIRES", "2000"),
        ("PGPRESENCE_PRESENCE__MIN_EXPIRES", "20"),
        ("PGPRESENCE_SERVICE_HOST", "10.0.0.1"), // Kubernetes sets such; it is none of ours
        ("PATH", "/bin"),
    ];
    let config = load(file, &env, &[("presence.max_expires", "3000")]).unwrap();
    let presence = &config.presence;
    assert_eq!(
        (
            presence.max_expires.get(),
            presence.min_expires.get(),
            presence.waitn_time.get()
        ),
        (3000, 20, 1)
    );
}

#[test]
fn texts_become_what_the_key_takes() {
    let sets = [
        ("server.listen", "udp:127.0.0.1:0, tcp:[::1]:0"),
        ("presence.force_delete", "true"),
        ("presence.timeout_rm_subs", "0"),
        ("presence.min_expires_action", "2"),
        ("presence.sip_uri_match", "1"),
        ("presence.clean_period", "-1"),
        ("presence.db_url", "host=db user=u"),
        ("log.format", "json"),
        ("log.level", "warn,sql=debug"),
        ("server.internal_listen", ""),
    ];
    let config = load("", &[], &sets).unwrap();
    let listen: Vec<String> = config
        .server
        .listen
        .iter()
        .map(Listener::to_string)
        .collect();
    assert_eq!(listen, ["udp:127.0.0.1:0", "tcp:[::1]:0"]);
    assert!(config.presence.force_delete && !config.presence.timeout_rm_subs);
    assert_eq!(config.presence.min_expires_action, MinExpiresAction::Raise);
    assert_eq!(config.presence.sip_uri_match, UriMatch::CaseInsensitive);
    assert_eq!(config.presence.clean_period.duration(), None);
    assert_eq!(config.presence.db_url.unwrap().expose(), "host=db user=u");

    let listed = load(
        "",
        &[("PGPRESENCE_SERVER__LISTEN", "[\"udp:127.0.0.1:1\"]")],
        &[],
    )
    .unwrap();
    assert_eq!(listed.server.listen.len(), 1);
}

#[test]
fn all_faults_are_reported_with_their_places() {
    let file = "[presence]\nmax_expires = 0\nmax_expire = 7\nforce_delete = 2\n\n[server]\nlisten = [\"udp:localhost:5060\"]\nbatch_size = \"many\"\n[nonsense]\na = 1\n";
    let env = [
        ("PGPRESENCE_PRESENCE__WAITN_TIME", "4000"),
        ("PGPRESENCE_PRESENCE__DB_URL", "mysql://u:secret@h"),
    ];
    let sets = [
        ("presence.notifier_poll_rate", "0"),
        ("lease", "3"),
        ("notifier.listen", "tcp:127.0.0.1:0"),
    ];
    let faults = load(file, &env, &sets).unwrap_err();
    let expected = [
        "FILE:2: presence.max_expires: must be 1 to 2147483647, not 0",
        "FILE:3: presence.max_expire: unknown field `max_expire`",
        "FILE:4: presence.force_delete: must be 0 or 1, not 2",
        "FILE:7: server.listen: \"udp:localhost:5060\" is not an address to listen on",
        "FILE:8: server.batch_size: invalid type: string \"many\", expected a whole number",
        "FILE:10: nonsense.a: unknown field `nonsense`, expected one of `server`",
        "environment PGPRESENCE_PRESENCE__WAITN_TIME: presence.waitn_time: must be 0 to 3600, not 4000",
        "environment PGPRESENCE_PRESENCE__DB_URL: presence.db_url: is not a PostgreSQL URL",
        "command line: presence.notifier_poll_rate: must be 1 to 1000, not 0",
        "command line: lease: is not a key; write section.key",
        "command line: notifier.listen: must be a UDP address",
    ];
    for line in expected {
        assert_eq!(
            faults
                .iter()
                .filter(|fault| fault.starts_with(line))
                .count(),
            1,
            "{line}\n in {faults:#?}"
        );
    }
    assert_eq!(faults.len(), expected.len(), "{faults:#?}");
    assert!(!faults.concat().contains("secret"));
}

#[test]
fn a_file_that_is_no_toml_is_reported_without_quoting_it() {
    let faults = load("[presence]\ndb_url = \"postgres://u:secret@h/d\n", &[], &[]).unwrap_err();
    assert_eq!(faults.len(), 1);
    assert!(
        faults[0].starts_with("FILE:2: ") && !faults[0].contains("secret"),
        "{faults:?}"
    );
    let faults = load("presence = 3\n", &[], &[]).unwrap_err();
    assert_eq!(
        faults,
        ["FILE: presence: stands alone: every key belongs to a [section]"]
    );
    let missing = Config::load(Some("/nowhere.toml".as_ref()), std::iter::empty(), &[]);
    assert!(matches!(missing, Err(ConfigError::Unreadable { .. })));
}

#[test]
fn keys_must_agree() {
    for (sets, path) in [
        (
            vec![("presence.min_expires", "7200")],
            "presence.min_expires",
        ),
        (
            vec![("presence.expires_offset", "3600")],
            "presence.expires_offset",
        ),
        (
            vec![("notifier.retry_min_s", "100")],
            "notifier.retry_min_s",
        ),
        (
            vec![
                ("server.listen", "[]"),
                ("server.internal_listen", "udp:127.0.0.1:0"),
            ],
            "server.listen",
        ),
    ] {
        let faults = load("", &[], &sets).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].contains(&format!("{path}: ")), "{faults:?}");
    }
}

#[test]
fn a_configuration_survives_being_handed_on_and_shows_no_password() {
    let sets = [
        ("presence.db_url", "postgresql://u:secret@h/d"),
        ("presence.server_address", "sip:edge.example.org"),
        ("server.listen", "udp:127.0.0.1:0"),
        ("presence.force_delete", "1"),
        ("log.format", "json"),
    ];
    let mut config = load("", &[], &sets).unwrap();
    let handed_on = Config::from_toml(&config.to_toml_with_secrets()).unwrap();
    assert_eq!(config.remarks.len(), 2);
    config.remarks.clear();
    assert_eq!(handed_on, config);
    assert_eq!(
        Config::from_toml(&Config::default().to_toml()).unwrap(),
        Config::default()
    );
    for shown in [
        config.to_toml(),
        format!("{config:?}"),
        format!("{config:#?}"),
    ] {
        assert!(
            !shown.contains("secret") && shown.contains("postgresql://h/d"),
            "{shown}"
        );
    }
}

/// All that says how the database is reached ends in its URL; what that says itself wins.
#[test]
fn the_database_is_put_together_from_what_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let url_file = put("db_url", "postgres://u@h/d\n");
    let passwords = put("passwords", "h:5432:d:u:se cret\n");
    let env = [("PGPASSFILE", passwords.as_str()), ("HOME", "/nowhere")];
    let file = "[database]\nsslmode = \"verify-full\"\nsslrootcert = \"/ca\"\n";
    let exposed = |file: &str, env: &[(&str, &str)], sets: &[(&str, &str)]| {
        let config = load(file, env, sets).unwrap();
        assert_eq!(config.remarks, [], "{sets:?}");
        let handed_on = Config::from_toml(&config.to_toml_with_secrets()).unwrap();
        assert_eq!(handed_on.presence, config.presence);
        config.presence.db_url.unwrap().expose().to_owned()
    };
    let by_file = [("database.url_file", url_file.as_str())];
    assert_eq!(
        exposed(file, &env, &by_file),
        "postgres://u@h/d?sslmode=verify-full&sslrootcert=/ca&password=se%20cret"
    );
    assert_eq!(
        exposed(
            file,
            &[],
            &[("presence.db_url", "host=h sslmode=verify-ca sslcert=c")]
        ),
        "host=h sslmode=verify-ca sslcert=c sslrootcert='/ca'"
    );

    let both = load(
        "",
        &[("PGPRESENCE_PRESENCE__DB_URL", "postgres://u:p@localhost/d")],
        &by_file,
    );
    let remarks = both.unwrap().remarks;
    assert!(
        remarks.len() == 1 && remarks[0].to_string().contains("is not read"),
        "{remarks:?}"
    );
    let told = load(
        "",
        &[],
        &[("presence.db_url", "postgres://u:secret@localhost/d")],
    );
    let remarks = told.unwrap().remarks;
    assert!(
        remarks.len() == 1 && remarks[0].to_string().contains("command line"),
        "{remarks:?}"
    );
    assert!(!remarks[0].to_string().contains("secret"));

    let bad = put("bad", "mysql://u:secret@h");
    for (path, hint) in [
        (bad.as_str(), "is not a PostgreSQL URL"),
        ("/no/such", "cannot read"),
    ] {
        let refused = load("", &[], &[("database.url_file", path)]).unwrap_err();
        let refused = refused.concat();
        assert!(
            refused.contains(hint) && !refused.contains("secret"),
            "{refused}"
        );
    }
    let refused = load("", &[], &[("database.sslmode", "strict")]).unwrap_err();
    assert!(refused.concat().contains("verify-full"), "{refused:?}");
}
