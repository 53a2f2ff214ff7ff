//! `config import`: what it writes is a configuration, whatever it reads.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::program::{Directory, output, pgpresence};

fn configs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/kamailio/tests/configs")
}

#[test]
fn whatever_is_imported_passes_config_check() {
    let directory = Directory::new();
    let mut count = 0;
    for entry in std::fs::read_dir(configs()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let made = directory.join(&format!("{name}.toml"));
        let imported = pgpresence(&["config", "import"])
            .arg(folder.join("kamailio.cfg"))
            .arg("--output")
            .arg(&made)
            .env("PRESENCE_DB_HOST", "db.example.org")
            .env("PRESENCE_DB_PASSWORD", "secret")
            .output()
            .unwrap();
        let report = String::from_utf8(imported.stderr).unwrap();
        assert_eq!(imported.status.code(), Some(0), "{name}: {report}");
        assert_eq!(imported.stdout, b"", "{name}");
        let mode = std::fs::metadata(&made).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{name}: {mode:o}");
        let (code, said, errors) = output(&["config", "check", "--config", made.to_str().unwrap()]);
        assert_eq!(
            (code, said.as_str()),
            (Some(0), "the configuration is valid\n"),
            "{name}: {errors}"
        );
        count += 1;
    }
    assert!(count >= 6, "{count}");
}

#[test]
fn what_is_in_force_is_what_kamailio_had() {
    let directory = Directory::new();
    let made = directory.join("made.toml");
    let file = configs().join("dbonly/kamailio.cfg");
    let (code, toml, report) = output(&["config", "import", file.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{report}");
    assert!(report.ends_with("28 converted, 17 left out\n"), "{report}");
    std::fs::write(&made, toml).unwrap();
    let (code, shown, errors) = output(&["config", "show", "--config", made.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{errors}");
    for line in [
        "max_expires = 7200",
        "min_expires = 60",
        "min_expires_action = 2",
        "waitn_time = 2",
        "notifier_processes = 4",
        "send_fast_notify = 0",
        "sip_uri_match = 1",
        "retrieve_order = 1",
        "enable_sphere_check = 1",
        "default_policy = \"confirm\"",
        "retrieve_order_by = \"priority, received_time\"",
        "db_url = \"postgresql://db1.example.org/presence\"",
        "listen = [\"udp:10.1.1.1:5070\", \"tcp:10.1.1.1:5070\"]",
    ] {
        assert!(shown.contains(line), "{line} is missing:\n{shown}");
    }
}

#[test]
fn defines_come_from_the_command_line() {
    let file = configs().join("default/kamailio.cfg");
    let url = "DBURL=\"postgres://u@elsewhere/db\"";
    let (code, toml, report) = output(&[
        "config",
        "import",
        file.to_str().unwrap(),
        "-A",
        "WITH_TLS",
        "--define",
        url,
    ]);
    assert_eq!(code, Some(0), "{report}");
    assert!(toml.contains("postgresql://u@elsewhere/db"), "{toml}");
    assert!(report.contains("TLS"), "{report}");
    assert_eq!(
        output(&["config", "import", "x", "--define", "A-B"]).0,
        Some(2)
    );
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let directory = Directory::new();
    let (code, made, errors) = output(&["config", "import", "/nowhere/kamailio.cfg"]);
    assert_eq!((code, made.as_str()), (Some(2), ""));
    assert!(
        errors.starts_with("error: /nowhere/kamailio.cfg: cannot read"),
        "{errors}"
    );

    let file = directory.join("open.cfg");
    std::fs::write(&file, "\nmodparam(\"presence\", \"db_url\", \"secret\n").unwrap();
    let written = directory.join("none.toml");
    let (code, _, errors) = output(&[
        "config",
        "import",
        file.to_str().unwrap(),
        "--output",
        written.to_str().unwrap(),
    ]);
    assert_eq!(code, Some(2));
    assert!(
        errors.contains("open.cfg:2: this string has no end") && !errors.contains("secret"),
        "{errors}"
    );
    assert!(!written.exists());

    let (code, _, errors) = output(&[
        "config",
        "import",
        configs().join("mysql/kamailio.cfg").to_str().unwrap(),
        "--output",
        "/nowhere/made.toml",
    ]);
    assert_eq!(code, Some(1));
    assert!(
        errors.contains("cannot write /nowhere/made.toml"),
        "{errors}"
    );
}
