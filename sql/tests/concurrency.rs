//! Races, each with its interleaving spelled out. Nothing sleeps: a step is known to be waiting when PostgreSQL says so.

mod claims;
mod foreign;
mod requests;
mod rules;
mod superseded;
mod takes;
mod watched;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::database::*;
use events::{ChangeKind, DecidedBy, FeatureChange, FeatureOwner, NewSubscription, PublishOutcome};
use sql::*;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

const A: i64 = 1;
const B: i64 = 2;

/// Starts a step that must come to wait for a lock, and returns when it does.
async fn blocked<T: Send + 'static>(
    database: &Database,
    others_waiting: i64,
    step: impl Future<Output = T> + Send + 'static,
) -> JoinHandle<T> {
    let task = tokio::spawn(step);
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.value::<i64>(waiting).await <= others_waiting {
        assert!(!task.is_finished(), "it did not wait");
    }
    task
}

async fn is_locked(database: &Database, row: &str) -> bool {
    let session = database.session().await;
    match session
        .execute(&format!("SELECT 1 FROM {row} FOR UPDATE NOWAIT"), &[])
        .await
    {
        Ok(rows) => {
            assert_eq!(rows, 1, "{row}");
            false
        }
        Err(error) => {
            assert_eq!(
                error.code(),
                Some(&SqlState::LOCK_NOT_AVAILABLE),
                "{error:?}"
            );
            true
        }
    }
}

/// A session that has run this in an open transaction.
async fn open(database: &Database, sql: &str) -> Client {
    let session = database.session().await;
    session
        .batch_execute(&format!("BEGIN; {sql}"))
        .await
        .unwrap();
    session
}

async fn commit(session: &Client) {
    session.batch_execute("COMMIT").await.unwrap();
}

fn stored(tag: &str) -> PublishOutcome {
    PublishOutcome::Stored {
        entity_tag: tag.into(),
        expires_s: 3600,
    }
}

async fn with_publication() -> (Database, Store) {
    let database = Database::new().await;
    database
        .store
        .publication()
        .create_batch(&[publication("bob", "t1", "one")])
        .await
        .unwrap();
    let store = database.store.clone();
    (database, store)
}

/// Two dialogs, ids ascending, whose first NOTIFY is due, claimed by A.
async fn with_claimed_dialogs(lease: Duration) -> (Database, Store, Vec<Claimed>) {
    let database = Database::new().await;
    let store = database.store.clone();
    store
        .subscription()
        .create_batch(&[subscription("bob", "c1"), subscription("bob", "c2")])
        .await
        .unwrap();
    let claimed = store.queue().claim(A, &[], 10, lease, WAITN).await.unwrap();
    assert_eq!(claimed.len(), 1);
    (database, store, claimed)
}
