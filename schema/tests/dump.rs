//! A database as text that two of them can be compared by.

use std::process::Command;

use postgres_dev::Cluster;

/// What `pg_dump` says of the schema of a database.
pub(crate) fn of(cluster: &Cluster, database: &str) -> String {
    let dump = Command::new(cluster.binaries().join("pg_dump"))
        .args([
            "--schema-only",
            "--no-owner",
            "--no-privileges",
            "--exclude-table=refinery_schema_history",
            "--dbname",
        ])
        .arg(cluster.url(database))
        .output()
        .unwrap();
    assert!(
        dump.status.success(),
        "{}",
        String::from_utf8_lossy(&dump.stderr)
    );
    normalised(&String::from_utf8(dump.stdout).unwrap())
}

/// Without what differs between versions of pg_dump: its name, its settings, its random tokens.
fn normalised(dump: &str) -> String {
    let mut text = String::from(
        "-- What the migrations add up to. Written by the test of crate `schema`; do not edit.\n",
    );
    let mut blank = false;
    for line in dump.lines() {
        let noise = line.starts_with("--")
            || line.starts_with("SET ")
            || line.starts_with("SELECT pg_catalog.set_config")
            || line.starts_with('\\');
        if noise || (line.is_empty() && blank) {
            continue;
        }
        blank = line.is_empty();
        text.push_str(line);
        text.push('\n');
    }
    text
}
