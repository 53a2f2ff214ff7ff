//! Orders. They go through the functions of `docs/SQL.md`, so that an order by HTTP, by a script and in SQL is one thing.

use std::time::Duration;

use super::{Operator, first};
use crate::StoreError;
use crate::registry::operator;
use crate::watcher::whole_seconds;

/// Most rows that one cleaning statement ends or removes of a kind.
const CLEANING_BATCH: i32 = 1000;

/// What the configuration says of cleaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleaning {
    /// `force_delete`: expired publications go without a NOTIFY to the watchers.
    pub quiet: bool,
    /// `watcher_waiting_s`: how long watchers wait for a decision before they are given up on.
    pub waiting: Duration,
}

impl Operator<'_> {
    /// Makes a NOTIFY due for all watchers of a resource; returns how many there are. `kind` is 0 for changed rules, 1 for changed
    /// state, 2 for a changed pidf-manipulation document, which `file` names by URI and name.
    ///
    /// # Locks
    /// The row of `notify_queue`.
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::Conflict`] if an argument makes no sense, or any other.
    pub async fn refresh_watchers(
        &self,
        presentity_uri: &str,
        event: &str,
        kind: i32,
        file: Option<(&str, &str)>,
    ) -> Result<i64, StoreError> {
        require_bounded(presentity_uri, event)?;
        let (file_uri, filename) = file.unzip();
        let rows = self
            .0
            .query(&operator::RefreshWatchers {
                presentity_uri: &presentity_uri,
                event: &event,
                kind: &kind,
                file_uri: &file_uri,
                filename: &filename,
            })
            .await?;
        Ok(first(&rows, "watchers"))
    }

    /// Has it decided anew about the watchers of a presentity with rules; `None`. Without rules, carries what stands in
    /// `watchers` over to the subscriptions of a resource that differ from it, and returns how many.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key, then the row of `notify_queue`.
    /// # Errors
    /// [`StoreError::TooLong`], [`StoreError::Conflict`] if an argument makes no sense, or any other.
    pub async fn update_watchers(
        &self,
        presentity_uri: &str,
        event: &str,
    ) -> Result<Option<i64>, StoreError> {
        require_bounded(presentity_uri, event)?;
        let rows = self
            .0
            .query(&operator::UpdateWatchers {
                presentity_uri: &presentity_uri,
                event: &event,
            })
            .await?;
        Ok(rows.first().and_then(|row| row.get("changed")))
    }

    /// Ends some of what has expired and removes some of what nobody needs, as the notifiers' sweep does; returns how many rows: 0
    /// when nothing is left.
    ///
    /// # Locks
    /// Free rows only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn clean_up(&self, cleaning: Cleaning) -> Result<u64, StoreError> {
        let waiting_s = whole_seconds(cleaning.waiting);
        self.0
            .clean(&operator::Cleanup {
                limit: &CLEANING_BATCH,
                quiet: &cleaning.quiet,
                waiting_s: &waiting_s,
            })
            .await
    }
}

/// An order writes a row of the queue under these names.
fn require_bounded(presentity_uri: &str, event: &str) -> Result<(), StoreError> {
    sip::bound::check_uri(presentity_uri)
        .and(sip::bound::EVENT.check(event))
        .map_err(|reason| StoreError::TooLong { reason })
}
