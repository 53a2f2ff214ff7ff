//! This process's row in `node`: SQL shows which servers are alive, and where notifiers reach them.
//!
//! Nothing of SIP depends on the row; a server works without it. SQL reads in it which event packages are served, and what becomes of
//! watchers where there are no rules.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use events::Registry;
use node::Shutdown;
use sql::{NewNode, Store, StoreError};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// A stopping server does not wait for its database.
const REMOVE_TIMEOUT: Duration = Duration::from_secs(1);
/// Ids given by the database begin at 1.
const NO_ROW: i64 = 0;

/// Keeps the row while it lives.
pub(crate) struct NodeRow {
    store: Store,
    id: Arc<AtomicI64>,
    keeper: JoinHandle<()>,
}

impl NodeRow {
    /// Registers this server as soon as the database can be reached, and says ever after that it lives.
    /// Ends the process if the database matches URIs otherwise than it.
    pub(crate) fn keep(store: Store, about: NewNode, shutdown: Shutdown) -> Self {
        let id = Arc::new(AtomicI64::new(NO_ROW));
        let keeper = tokio::spawn(beat(store.clone(), about, Arc::clone(&id), shutdown));
        Self { store, id, keeper }
    }

    /// Removes the row; a row that cannot be removed now is removed by maintenance, when no heartbeat comes.
    pub(crate) async fn remove(self) {
        self.keeper.abort();
        let id = self.id.load(Ordering::Relaxed);
        if id != NO_ROW
            && !matches!(
                timeout(REMOVE_TIMEOUT, self.store.node().deregister(id)).await,
                Ok(Ok(()))
            )
        {
            tracing::debug!(node.id = id, "left without deregistering");
        }
    }
}

async fn beat(store: Store, about: NewNode, id: Arc<AtomicI64>, shutdown: Shutdown) {
    loop {
        let pause = match register_or_beat(&store, &about, &id).await {
            Ok(true) => HEARTBEAT_INTERVAL,
            Ok(false) => {
                tracing::error!("sip_uri_match of the database was changed: this process ends");
                shutdown.trigger();
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "no heartbeat");
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
    id: &AtomicI64,
) -> Result<bool, StoreError> {
    let known = id.load(Ordering::Relaxed);
    if known != NO_ROW && store.node().heartbeat(known).await? {
        return Ok(true);
    }
    let Some(new) = store.node().register(about).await? else {
        return Ok(false);
    };
    id.store(new, Ordering::Relaxed);
    tracing::info!(node.id = new, "registered");
    Ok(true)
}

/// What this server says of itself.
pub(crate) fn about(
    internal: SocketAddr,
    config: &node::PresenceConfig,
    registry: &Registry,
) -> NewNode {
    NewNode {
        kind: "server".to_owned(),
        host: std::fs::read_to_string("/proc/sys/kernel/hostname")
            .unwrap_or_default()
            .trim()
            .to_owned(),
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        address: format!("tcp:{internal}"),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        default_policy: config.says_of_watchers().to_owned(),
        events: registry.names(),
    }
}
