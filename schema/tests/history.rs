//! Released migrations are never edited, and a database that others have made is refused with a sentence that says what to do.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use postgres_dev::Cluster;
use refinery::Migration;
use schema::{SchemaError, Settings};
use tokio_postgres::Client;

/// One line for each migration: its number, its name, and the checksum that refinery keeps in the databases that it has migrated.
const CHECKSUMS: &str = "golden/checksums";

async fn migrated(cluster: &Cluster, name: &str) -> (String, Client) {
    cluster.create_database(name).unwrap();
    let url = cluster.url(name);
    schema::migrate(&url).await.unwrap();
    let (client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls)
        .await
        .unwrap();
    tokio::spawn(connection);
    (url, client)
}

/// `PGPRESENCE_BLESS=1` adds the lines of new migrations. A line that is there stays: what it names has been applied somewhere.
#[test]
fn a_migration_is_never_edited() {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(home.join("migrations")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let sql = fs::read_to_string(&path).unwrap();
        let migration = Migration::unapplied(name, &sql).unwrap();
        let line = format!("{name} {:016x}", migration.checksum());
        found.insert(migration.version(), line);
    }
    let numbers: Vec<_> = found.keys().copied().collect();
    assert_eq!(numbers, (1..=schema::version()).collect::<Vec<_>>());
    let golden = home.join(CHECKSUMS);
    let frozen = fs::read_to_string(&golden).unwrap_or_default();
    for (line, found) in frozen.lines().zip(found.values()) {
        assert_eq!(
            found, line,
            "a migration that was released has changed: put it back, and add another"
        );
    }
    let all: String = found.values().map(|line| format!("{line}\n")).collect();
    if std::env::var_os("PGPRESENCE_BLESS").is_some() {
        fs::write(&golden, &all).unwrap();
    }
    assert!(
        fs::read_to_string(&golden).unwrap_or_default() == all,
        "schema/{CHECKSUMS} does not have all migrations. PGPRESENCE_BLESS=1 adds those that are new."
    );
}

/// The first release has other migrations than the databases that were made before it.
#[tokio::test]
async fn a_database_from_before_the_first_release_is_refused() {
    let cluster = Cluster::start_throwaway().unwrap();
    let (url, client) = migrated(&cluster, "old").await;
    let as_before = "DELETE FROM refinery_schema_history WHERE version > 31;
                     UPDATE refinery_schema_history SET name = 'presentity' WHERE version = 2";
    client.batch_execute(as_before).await.unwrap();
    for refused in [
        schema::require_version(&url).await.unwrap_err(),
        schema::migrate(&url).await.unwrap_err(),
        schema::change_uri_match(&url, &Settings::default())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(
            refused.to_string(),
            "this database was made by other migrations: it has V2__presentity, this program has V2__bounds. A database from before the \
             first release cannot be upgraded: create an empty one and run `pgpresence migrate` on it"
        );
        assert!(!refused.is_outage());
    }
}

/// The same name, and another text.
#[tokio::test]
async fn a_migration_that_said_something_else_is_refused() {
    let cluster = Cluster::start_throwaway().unwrap();
    let (url, client) = migrated(&cluster, "edited").await;
    let edited = "UPDATE refinery_schema_history SET checksum = '1' WHERE version = 1";
    client.batch_execute(edited).await.unwrap();
    let refused = schema::migrate(&url).await.unwrap_err();
    assert!(
        matches!(&refused, SchemaError::OtherHistory { found, .. } if found == "another V1__clock"),
        "{refused}"
    );
}

/// The release before runs on the schema of the next one, while an upgrade rolls, and does not migrate it.
#[tokio::test]
async fn a_newer_schema_is_used_and_not_migrated() {
    let cluster = Cluster::start_throwaway().unwrap();
    let (url, client) = migrated(&cluster, "newer").await;
    let newer = "INSERT INTO refinery_schema_history (version, name, applied_on, checksum)
                 SELECT max(h.version) + 1, 'of_tomorrow', max(h.applied_on), '1' FROM refinery_schema_history AS h";
    client.batch_execute(newer).await.unwrap();
    schema::require_version(&url).await.unwrap();
    let refused = schema::migrate(&url).await.unwrap_err();
    assert!(
        matches!(refused, SchemaError::TooNew { found, known } if found == known + 1 && known == schema::version()),
        "{refused}"
    );
}
