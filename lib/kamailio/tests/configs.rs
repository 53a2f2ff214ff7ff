//! Configurations in the style of those that run out there, each with the TOML and the report that it must give.
//! `PGPRESENCE_BLESS=1` writes both anew.

use std::path::Path;

use kamailio::{Surroundings, Translation, read, translate};

fn environment(name: &str) -> Option<String> {
    match name {
        "PRESENCE_DB_HOST" => Some("db.example.org".to_owned()),
        "PRESENCE_DB_PASSWORD" => Some("from:the/environment".to_owned()),
        _ => None,
    }
}

/// What becomes of one of them; paths are relative, so that the report is the same everywhere.
fn imported(name: &str, defines: &[(String, String)]) -> Translation {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let mut files = |path: &Path| std::fs::read(root.join(name).join(path));
    let mut around = Surroundings {
        files: &mut files,
        environment: &environment,
        defines,
    };
    let settings = read(Path::new("kamailio.cfg"), &mut around);
    translate(&settings.unwrap_or_else(|error| panic!("{name}: {error}")))
}

fn hold_against(file: &Path, text: &str) {
    if std::env::var_os("PGPRESENCE_BLESS").is_some() {
        std::fs::write(file, text).unwrap();
    }
    let expected = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(text, expected, "{}", file.display());
}

#[test]
fn each_gives_its_toml_and_its_report() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/configs");
    let names = ["default", "sbc", "dbonly", "split", "quirks", "mysql"];
    assert_eq!(std::fs::read_dir(&root).unwrap().count(), names.len());
    for name in names {
        let Translation { toml, report } = imported(name, &[]);
        hold_against(&root.join(name).join("expected.toml"), &toml);
        hold_against(
            &root.join(name).join("expected.report"),
            &report.to_string(),
        );
        for secret in ["kamailiorw", "p@ss", "secret", "from:the"] {
            assert!(!report.to_string().contains(secret), "{name}: {report}");
        }
    }
}

#[test]
fn defines_of_the_command_line_count() {
    let tls = [("WITH_TLS".to_owned(), String::new())];
    let with = imported("default", &tls).report.to_string();
    assert!(with.contains("listen 192.0.2.10: TLS"), "{with}");
    let without = imported("default", &[]).report.to_string();
    assert!(!without.contains("TLS"), "{without}");

    let url = [(
        "DBURL".to_owned(),
        "\"postgres://other@elsewhere/db\"".to_owned(),
    )];
    let toml = imported("default", &url).toml;
    assert!(
        toml.contains("db_url = \"postgresql://other@elsewhere/db\""),
        "{toml}"
    );
}
