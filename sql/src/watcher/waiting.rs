//! Watchers who wait for a decision after their subscription has ended. RFC 3857 section 4.7.1.

use std::time::Duration;

use super::Watchers;
use crate::StoreError;
use crate::registry::watcher;

impl Watchers<'_> {
    /// Makes those wait whose last pending dialog is over (RFC 3857 section 4.7.1); returns how many.
    ///
    /// # Locks
    /// Rows of `watchers` by key, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn put_waiting(
        &self,
        owner: i64,
        presentity_uris: &[&str],
    ) -> Result<u64, StoreError> {
        self.0
            .execute(&watcher::PutWaiting {
                owner: &owner,
                presentity_uri: &presentity_uris,
                now: &self.0.now(),
            })
            .await
    }

    /// Gives up on up to `limit` watchers who have waited for `waiting` (`watcher_waiting_s`), so that their presentities are notified;
    /// returns how many.
    ///
    /// # Locks
    /// Free rows of `watchers` (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn give_up(&self, limit: u32, waiting: Duration) -> Result<u64, StoreError> {
        let (limit, waiting_s) = (i64::from(limit), whole_seconds(waiting));
        self.0
            .clean(&watcher::GiveUp {
                limit: &limit,
                waiting_s: &waiting_s,
            })
            .await
    }

    /// Forgets up to `limit` watchers who were given up on a minute ago; returns how many.
    ///
    /// # Locks
    /// Free rows of `watchers` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_waiting(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        self.0
            .clean(&watcher::DeleteWaiting { limit: &limit })
            .await
    }
}

/// For ever, if there are too many.
pub(crate) fn whole_seconds(waiting: Duration) -> i64 {
    i64::try_from(waiting.as_secs()).unwrap_or(i64::MAX / 2)
}
