//! The database away, and data that it refuses: kept apart, because only one of them is a row's fault.

use std::time::Duration;

use postgres_dev::Cluster;
use sql::{Store, StoreError, StoreOptions};

use crate::database::*;

#[tokio::test]
async fn a_bad_row_is_a_conflict_and_spoils_nothing_else() {
    let database = Database::new().await;
    let mut nul = publication("al", "t2", "x");
    nul.sender = "a\0b".into();
    let mut nameless = publication("al", "t3", "x");
    nameless.event = String::new();
    for bad in [nul, nameless] {
        let batch = [publication("bob", "t1", "x"), bad];
        let error = database
            .store
            .publication()
            .create_batch(&batch)
            .await
            .unwrap_err();
        assert!(
            matches!(error, StoreError::Conflict { .. }) && !error.is_outage(),
            "{error:?}"
        );
        assert_eq!(
            database
                .value::<i64>("SELECT count(*) FROM presentity")
                .await,
            0
        );
    }
    // Bytes that are no text are no matter in a body.
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "a\0b")])
        .await
        .unwrap();
}

#[tokio::test]
async fn the_database_may_be_away_at_the_start_and_come_back() {
    let options = StoreOptions {
        pool_size: 2,
        connect_timeout: Duration::from_millis(500),
        statement_timeout: Duration::from_millis(500),
        ..StoreOptions::default()
    };
    let mut cluster = tokio::task::spawn_blocking(|| Cluster::start_throwaway().unwrap())
        .await
        .unwrap();
    cluster.create_database("late").unwrap();
    let url = cluster.url("late");
    let store = Store::connect(&url, &options).unwrap();
    let empty = store.node().list().await.unwrap_err();
    assert!(empty.is_outage(), "not migrated yet: {empty:?}");
    schema::migrate(&url).await.unwrap();
    store.node().list().await.unwrap();

    cluster.kill9();
    for _ in 0..3 {
        let away = store.node().list().await.unwrap_err();
        assert!(matches!(away, StoreError::Unavailable { .. }), "{away:?}");
    }
    let cluster = tokio::task::spawn_blocking(move || {
        cluster.restart().unwrap();
        cluster
    })
    .await
    .unwrap();
    store.node().list().await.unwrap();
    drop(cluster);

    let typo = Store::connect("postgres//x y", &options).unwrap_err();
    assert!(matches!(typo, StoreError::Bug { .. }), "{typo:?}");
}

#[tokio::test]
async fn a_statement_that_waits_too_long_is_cancelled() {
    let database = Database::new().await;
    let options = StoreOptions {
        statement_timeout: Duration::from_millis(200),
        ..StoreOptions::default()
    };
    let store = Store::connect(&database.url, &options).unwrap();
    store
        .publication()
        .create_batch(&[publication("bob", "t1", "x")])
        .await
        .unwrap();
    database.by_hand("BEGIN").await;
    database.by_hand("UPDATE presentity SET priority = 1").await;
    let changes = [change("bob", "t1", "t2", modify("y"))];
    let error = store
        .publication()
        .change_batch(&changes)
        .await
        .unwrap_err();
    assert!(
        matches!(error, StoreError::Deadline { .. }) && error.is_outage(),
        "{error:?}"
    );
    database.by_hand("ROLLBACK").await;
    store.publication().change_batch(&changes).await.unwrap();
}

#[tokio::test]
async fn a_schema_change_under_cached_plans_is_survived() {
    let database = Database::new().await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "x")])
        .await
        .unwrap();
    database
        .store
        .publication()
        .list(&[resource("bob")])
        .await
        .unwrap();
    // What an incompatible migration does to a cached plan: 0A000, the result type changed. No view must stand on the column.
    database.by_hand("DROP VIEW presence_publications").await;
    database
        .by_hand("ALTER TABLE presentity ALTER COLUMN sender TYPE varchar")
        .await;
    assert_eq!(
        database
            .store
            .publication()
            .list(&[resource("bob")])
            .await
            .unwrap()
            .publications
            .len(),
        1
    );
}

/// What is checked before a URL comes to the driver, so that the driver never says which part of a password it took for a parameter.
#[test]
fn the_driver_knows_the_parameters_that_are_let_through() {
    use std::error::Error;

    let said = |parameter: &str| {
        let read = format!("host=h {parameter}=1").parse::<tokio_postgres::Config>();
        let error = read.err()?;
        Some(error.source()?.to_string())
    };
    assert!(said("nonsense").is_some_and(|text| text.contains("unknown")));
    // Taken out of the URL before the driver sees it.
    let ours = ["sslmode", "sslrootcert", "sslcert", "sslkey"];
    for parameter in node::DatabaseUrl::PARAMETERS {
        if ours.contains(parameter) {
            continue;
        }
        let text = said(parameter).unwrap_or_default();
        assert!(!text.contains("unknown"), "{parameter}: {text}");
    }
}
