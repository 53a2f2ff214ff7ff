//! This process's own row in `node`: registered as soon as the database is there, kept alive, removed at the end. SQL reads in it which
//! servers live, where notifiers reach them, which event packages are served, and what becomes of watchers without rules; its id is
//! the owner of a notifier's leases.

use std::time::Duration;

use node::{PresenceConfig, Shutdown};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::NewNode;
use crate::{Store, StoreError};

/// How often a process says that it lives; after six of these it is called silent (`presence_processes`).
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
/// Between two tries while the database is away.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// A process that stops does not wait for its database.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Ids given by the database begin at 1.
const NO_ROW: i64 = 0;

/// Keeps the row while it lives.
#[derive(Debug)]
pub struct NodeRow {
    store: Store,
    id: watch::Receiver<i64>,
    keeper: JoinHandle<()>,
}

// === impl NewNode ===

impl NewNode {
    /// What a process of this kind, reached at this address, says of itself.
    pub fn this_process(
        kind: &str,
        address: String,
        config: &PresenceConfig,
        events: Vec<String>,
    ) -> NewNode {
        NewNode {
            kind: kind.to_owned(),
            host: std::fs::read_to_string("/proc/sys/kernel/hostname")
                .unwrap_or_default()
                .trim()
                .to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            address,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            believes: String::new(),
            default_policy: config.says_of_watchers().to_owned(),
            events,
        }
    }
}

// === impl NodeRow ===

impl NodeRow {
    /// Registers this process as soon as the database can be reached, and says ever after that it lives. If the row is gone (the
    /// database was restored, or the process was silent for too long), it registers anew: what was held under the old id is no longer
    /// its own. Ends the process if the database matches URIs otherwise than it.
    pub fn keep(store: Store, about: NewNode, shutdown: Shutdown) -> NodeRow {
        let (kept, id) = watch::channel(NO_ROW);
        let keeper = tokio::spawn(beat(store.clone(), about, kept, shutdown));
        NodeRow { store, id, keeper }
    }

    /// The id of the row, as soon as there is one.
    pub async fn registered(&mut self) -> i64 {
        let known = self.id.wait_for(|id| *id != NO_ROW).await;
        match known.map(|id| *id) {
            Ok(id) => id,
            // Nobody will register any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Its id, and those that it gets instead of it; 0 while there is none.
    pub fn ids(&self) -> watch::Receiver<i64> {
        self.id.clone()
    }

    /// Returns if nobody keeps the row any more, which is a bug.
    pub async fn ended(&mut self) {
        let _ = (&mut self.keeper).await;
    }

    /// Removes the row; a row that cannot be removed now is removed by maintenance, when no heartbeat comes.
    pub async fn remove(self) {
        self.keeper.abort();
        let id = *self.id.borrow();
        if id == NO_ROW {
            return;
        }
        let removed = timeout(REMOVE_TIMEOUT, self.store.node().deregister(id)).await;
        if !matches!(removed, Ok(Ok(()))) {
            tracing::debug!(node.id = id, "left without deregistering");
        }
    }
}

impl Drop for NodeRow {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

async fn beat(store: Store, about: NewNode, id: watch::Sender<i64>, shutdown: Shutdown) {
    let mut is_away = false;
    loop {
        let pause = match register_or_beat(&store, &about, &id).await {
            Ok(true) => {
                is_away = false;
                HEARTBEAT_INTERVAL
            }
            Ok(false) => {
                tracing::error!("sip_uri_match of the database was changed: this process ends");
                shutdown.trigger();
                return std::future::pending().await;
            }
            Err(error) if !is_away => {
                is_away = true;
                tracing::warn!(%error, "no heartbeat: the database is away; waiting for it");
                RETRY_INTERVAL
            }
            Err(error) => {
                tracing::debug!(%error, "no heartbeat: the database is still away");
                RETRY_INTERVAL
            }
        };
        sleep(pause).await;
    }
}

/// `false`: this process may not be.
async fn register_or_beat(
    store: &Store,
    about: &NewNode,
    id: &watch::Sender<i64>,
) -> Result<bool, StoreError> {
    let known = *id.borrow();
    if known != NO_ROW && store.node().heartbeat(known).await? {
        return Ok(true);
    }
    let Some(new) = store.node().register(about).await? else {
        return Ok(false);
    };
    match known {
        NO_ROW => tracing::info!(node.id = new, address = about.address, "registered"),
        _ => tracing::warn!(
            node.id = new,
            "this process was taken for dead; registered anew"
        ),
    }
    id.send_replace(new);
    Ok(true)
}
