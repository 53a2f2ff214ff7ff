//! What becomes of dialogs in time: they end, and are forgotten. Steps of the notifiers' sweep.

use super::Subscriptions;
use crate::StoreError;
use crate::registry::subscription;

impl Subscriptions<'_> {
    /// Ends up to `limit` dialogs that have expired: `terminated;reason=timeout` becomes due for each. Returns how many: call again when
    /// that is `limit`.
    ///
    /// # Locks
    /// Free rows of `active_watchers` only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn expire_batch(&self, limit: u32) -> Result<u64, StoreError> {
        self.0
            .clean(&subscription::ExpireBatch {
                limit: &i64::from(limit),
            })
            .await
    }

    /// Looks again later at up to `limit` dialogs that were refreshed since it was decided when to look. Returns how many: call
    /// again at once when that is `limit`.
    ///
    /// # Locks
    /// Free rows of `active_watchers` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn postpone_batch(&self, limit: u32) -> Result<u64, StoreError> {
        self.0
            .clean(&subscription::PostponeBatch {
                limit: &i64::from(limit),
            })
            .await
    }

    /// Forgets up to `limit` dialogs that ended more than 64*T1 ago. Returns how many: call again at once when that is `limit`.
    ///
    /// # Locks
    /// Free rows of `active_watchers` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_batch(&self, limit: u32) -> Result<u64, StoreError> {
        self.0
            .clean(&subscription::DeleteEnded {
                limit: &i64::from(limit),
            })
            .await
    }
}
