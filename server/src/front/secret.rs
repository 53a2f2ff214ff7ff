//! The cluster's secret: in the database, and once read, here.

use std::sync::OnceLock;

use sip::token::Secret;
use sql::{Store, StoreError};
use tokio::sync::Mutex;

/// The cluster's secret, or where it is to be had.
pub(crate) struct ClusterSecret {
    store: Store,
    known: OnceLock<Secret>,
    lookup: Mutex<()>,
}

impl ClusterSecret {
    pub(super) fn new(store: Store) -> ClusterSecret {
        ClusterSecret {
            store,
            known: OnceLock::new(),
            lookup: Mutex::new(()),
        }
    }

    /// If this process knows it already.
    pub(crate) fn known(&self) -> Option<&Secret> {
        self.known.get()
    }

    /// Reads it from the database for the first request that needs it, while others wait for that one.
    pub(crate) async fn find(&self) -> Result<&Secret, StoreError> {
        if let Some(secret) = self.known() {
            return Ok(secret);
        }
        let _lookup = self.lookup.lock().await;
        if let Some(secret) = self.known() {
            return Ok(secret);
        }
        let bytes = self.store.node().cluster_secret().await?;
        Ok(self.known.get_or_init(|| Secret::new(&bytes)))
    }
}
