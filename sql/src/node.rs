//! The processes that are alive: rows of `node`, and the secret that they share.

use std::time::SystemTime;

use crate::registry::{self, Statement};
use crate::{Store, StoreError};

/// A process that starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNode {
    /// `server` or `notifier`.
    pub kind: String,
    /// Name of the machine.
    pub host: String,
    /// Process id there.
    pub pid: i32,
    /// Where others reach it (`udp:192.0.2.1:5060`), or `""`.
    pub address: String,
    /// Version of the program.
    pub version: String,
}

/// A process that is, or was, alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Given by the database, never used twice: the owner of leases.
    pub id: i64,
    /// What it said of itself.
    pub about: NewNode,
    /// When it started.
    pub started: SystemTime,
    /// When it last said that it lives.
    pub heartbeat: SystemTime,
}

/// The statements of this area; see [`Store::node`].
#[derive(Clone, Copy, Debug)]
pub struct Nodes<'a>(pub(crate) &'a Store);

impl Nodes<'_> {
    /// Writes a new process down and returns its id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn register(&self, node: &NewNode) -> Result<i64, StoreError> {
        todo!()
    }

    /// Says that the process lives. `false`: its row is gone (it was taken for dead); register again.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn heartbeat(&self, id: i64) -> Result<bool, StoreError> {
        todo!()
    }

    /// Removes the row of a process that stops.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn deregister(&self, id: i64) -> Result<(), StoreError> {
        todo!()
    }

    /// All processes, by id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list(&self) -> Result<Vec<Node>, StoreError> {
        todo!()
    }

    /// The secret behind entity-tags, To-tags and flow tokens, the same for all processes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn cluster_secret(&self) -> Result<Vec<u8>, StoreError> {
        todo!()
    }
}
