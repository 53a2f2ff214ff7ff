//! Removing what nobody needs any more. Every process may do it at any time.
//!
//! Each step of cleaning is a function of the schema (`V24__sweep_publications.sql` to `V27__cleanup.sql`), which `presence_cleanup` is made of as well.

use crate::registry::maintenance;
use crate::{Store, StoreError};

/// The statements of this area; see [`Store::maintenance`].
#[derive(Clone, Copy, Debug)]
pub struct Maintenance<'a>(pub(crate) &'a Store);

impl Maintenance<'_> {
    /// Deletes up to `limit` rows of `notify_queue` with nothing due that have been quiet for 15 s.
    ///
    /// # Locks
    /// Free rows of `notify_queue` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_idle_resources(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        self.0
            .clean(&maintenance::DeleteIdleResources { limit: &limit })
            .await
    }

    /// Deletes processes without a heartbeat for 60 s.
    ///
    /// # Locks
    /// Free rows of `node` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_dead_nodes(&self) -> Result<u64, StoreError> {
        self.0.clean(&maintenance::DeleteDeadNodes).await
    }
}
