//! What becomes of publications in time: they end, and are forgotten. Steps of the notifiers' sweep.

use super::Publications;
use crate::StoreError;
use crate::registry::publication;

impl Publications<'_> {
    /// Ends up to `limit` publications whose time is up. Returns how many: call again when that is `limit`. `quiet`
    /// (`force_delete`) notifies no watcher.
    ///
    /// # Locks
    /// Free rows of `presentity` only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn expire_batch(&self, limit: u32, quiet: bool) -> Result<u64, StoreError> {
        self.0
            .clean(&publication::ExpireBatch {
                limit: &i64::from(limit),
                quiet: &quiet,
            })
            .await
    }

    /// Looks again later at up to `limit` publications that were refreshed since it was decided when to look. Returns how
    /// many: call again at once when that is `limit`.
    ///
    /// # Locks
    /// Free rows of `presentity` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn postpone_batch(&self, limit: u32) -> Result<u64, StoreError> {
        self.0
            .clean(&publication::PostponeBatch {
                limit: &i64::from(limit),
            })
            .await
    }

    /// Forgets up to `limit` publications that ended more than 64*T1 ago, but not which dialogs they have called terminated, as
    /// long as their resource has another publication: up to `limit` hand that on before. Returns how many rows it touched: call
    /// again at once when that is `limit` or more.
    ///
    /// # Locks
    /// Free rows of `presentity` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_batch(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        let handed_on = self
            .0
            .clean(&publication::HandOnEnds { limit: &limit })
            .await?;
        let deleted = self
            .0
            .clean(&publication::DeleteRemoved { limit: &limit })
            .await?;
        Ok(handed_on + deleted)
    }
}
