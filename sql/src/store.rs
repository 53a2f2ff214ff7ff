//! The handle on the database.

use std::time::{Duration, SystemTime};

use crate::{Doorbell, StoreError};
use crate::maintenance::Maintenance;
use crate::node::Nodes;
use crate::publication::Publications;
use crate::queue::Queue;
use crate::subscription::Subscriptions;

/// How a [`Store`] uses the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most connections at a time.
    pub pool_size: usize,
    /// Longest wait for a free or a new connection.
    pub connect_timeout: Duration,
    /// Longest time that a statement may take, at the server (`statement_timeout`) and, a little longer, here.
    pub statement_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions { pool_size: 8, connect_timeout: Duration::from_secs(5), statement_timeout: Duration::from_secs(5) }
    }
}

/// The database. Cheap to clone; all clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    x: (),
}

impl Store {
    /// A store that connects when it is first used: the database may be away now.
    ///
    /// # Errors
    /// [`StoreError::Bug`] if `url` is not a PostgreSQL URL.
    pub fn connect(url: &str, options: &StoreOptions) -> Result<Store, StoreError> {
        todo!()
    }

    /// The same store at another time: for tests only, which need "an hour later" without waiting.
    pub fn at(&self, now: SystemTime) -> Store {
        todo!()
    }

    /// Publications.
    pub fn publication(&self) -> Publications<'_> {
        Publications(self)
    }
    /// Subscription dialogs.
    pub fn subscription(&self) -> Subscriptions<'_> {
        Subscriptions(self)
    }
    /// Resources that are owed something.
    pub fn queue(&self) -> Queue<'_> {
        Queue(self)
    }
    /// Processes.
    pub fn node(&self) -> Nodes<'_> {
        Nodes(self)
    }
    /// Cleaning up.
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance(self)
    }

    /// Rings the doorbell of all notifiers. Ring rarely (some ms apart per process): commits that notify queue up behind one
    /// lock of the whole database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ring(&self) -> Result<(), StoreError> {
        todo!()
    }

    /// Listens to the doorbell.
    pub fn listen(&self) -> Doorbell {
        todo!()
    }
}
