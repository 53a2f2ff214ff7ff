//! Removing what nobody needs any more. Every process may do it at any time.

use std::time::Duration;

use crate::{Store, StoreError, registry};

/// The statements of this area; see [`Store::maintenance`].
#[derive(Clone, Copy, Debug)]
pub struct Maintenance<'a>(pub(crate) &'a Store);

impl Maintenance<'_> {
    /// Deletes up to `limit` rows of `notify_queue` that owe nothing and have been quiet for 15 s.
    ///
    /// # Locks
    /// Free rows of `notify_queue` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_idle_resources(&self, limit: u32) -> Result<u64, StoreError> {
        self.0
            .execute(
                &registry::MAINTENANCE_DELETE_IDLE_RESOURCES,
                &[&i64::from(limit), &self.0.now()],
            )
            .await
    }

    /// Deletes processes without a heartbeat for `silence`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_dead_nodes(&self, silence: Duration) -> Result<u64, StoreError> {
        self.0
            .execute(
                &registry::MAINTENANCE_DELETE_DEAD_NODES,
                &[&silence.as_secs_f64(), &self.0.now()],
            )
            .await
    }
}
