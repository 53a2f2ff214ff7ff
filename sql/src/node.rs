//! The processes that are alive: rows of `node`, and the secret that they share.

mod row;

use std::time::SystemTime;

use crate::registry::node;
use crate::{Store, StoreError};

pub use row::NodeRow;

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
    /// How it has watchers handled whose presentity has no rules: `allow`, `confirm`, `block`, or `force_active` if it reads no
    /// rules at all. `""`: it does not say.
    pub default_policy: String,
    /// From whom a server accepts requests without a password, in a word or two; `""`: it takes none.
    pub believes: String,
    /// The event packages that it serves, so that orders in SQL about others are refused.
    pub events: Vec<String>,
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
    /// Writes a new process down and returns its id; nothing if the database has another `sip_uri_match` than this process, which
    /// must end then.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn register(&self, node: &NewNode) -> Result<Option<i64>, StoreError> {
        let rows = self
            .0
            .query(&node::PutNode {
                kind: &node.kind,
                host: &node.host,
                pid: &node.pid,
                address: &node.address,
                version: &node.version,
                events: &node.events,
                now: &self.0.now(),
                uri_match: &self.0.uri_match(),
                default_policy: &node.default_policy,
                believes: &node.believes,
            })
            .await?;
        Ok(rows.first().map(|row| row.get("id")))
    }

    /// Says that the process lives. `false`: its row is gone (it was taken for dead); register again.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn heartbeat(&self, id: i64) -> Result<bool, StoreError> {
        Ok(self
            .0
            .execute(&node::PutHeartbeat {
                id: &id,
                now: &self.0.now(),
            })
            .await?
            == 1)
    }

    /// Removes the row of a process that stops.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn deregister(&self, id: i64) -> Result<(), StoreError> {
        self.0
            .execute(&node::DeleteNode { id: &id })
            .await
            .map(|_| ())
    }

    /// All processes, by id.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list(&self) -> Result<Vec<Node>, StoreError> {
        let rows = self.0.query(&node::ListNodes).await?;
        Ok(rows
            .iter()
            .map(|row| Node {
                id: row.get("id"),
                about: NewNode {
                    kind: row.get("kind"),
                    host: row.get("host"),
                    pid: row.get("pid"),
                    address: row.get("address"),
                    version: row.get("version"),
                    default_policy: row.get("default_policy"),
                    believes: row.get("believes"),
                    events: row.get("events"),
                },
                started: row.get("started"),
                heartbeat: row.get("heartbeat"),
            })
            .collect())
    }

    /// The secret behind entity-tags, To-tags and flow tokens, the same for all processes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn cluster_secret(&self) -> Result<Vec<u8>, StoreError> {
        let rows = self.0.query(&node::FindSecret).await?;
        rows.first()
            .map(|row| row.get("secret"))
            .ok_or_else(|| no_row("node.find_secret"))
    }
}

fn no_row(statement: &'static str) -> StoreError {
    StoreError::Bug {
        sqlstate: String::new(),
        statement,
        reason: "returned no row".to_owned(),
    }
}
