//! This process's row in `node`: registered at the start, kept alive, removed at the end. Its id is the owner of our leases.

use events::Registry;
use node::Shutdown;
use sql::{NewNode, Store};
use std::time::Duration;
use tokio::sync::watch;

/// How often we say that we live; the sweep calls a node dead after many of these.
const PERIOD: Duration = Duration::from_secs(10);

/// Waits between attempts to register while the database is away.
const PATIENCE: Duration = Duration::from_millis(500);

/// What we say of ourselves.
pub(crate) fn this_node(
    address: String,
    config: &node::PresenceConfig,
    registry: &Registry,
) -> NewNode {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    NewNode {
        kind: "notifier".to_owned(),
        host: host.trim().to_owned(),
        pid: i32::try_from(std::process::id()).unwrap_or_default(),
        address,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        default_policy: config.says_of_watchers().to_owned(),
        events: registry.names(),
    }
}

/// Registers, waiting for the database as long as it takes. Ends the process, and never returns, if the database matches URIs
/// otherwise than it.
pub(crate) async fn register(store: &Store, node: &NewNode, shutdown: &Shutdown) -> i64 {
    let mut said = false;
    loop {
        match store.node().register(node).await {
            Ok(Some(id)) => return id,
            Ok(None) => {
                tracing::error!("sip_uri_match of the database was changed: this process ends");
                shutdown.trigger();
                return std::future::pending().await;
            }
            Err(error) if !said => {
                said = true;
                tracing::warn!(error = %error, "the database does not answer; waiting for it");
            }
            Err(error) => tracing::debug!(error = %error, "the database still does not answer"),
        }
        tokio::time::sleep(PATIENCE).await;
    }
}

/// Keeps the row alive for ever. If it's gone (the database was restored, or we were silent for too long and taken for dead),
/// registers anew and publishes the new id: what was held under the old one is no longer ours.
pub(crate) async fn keep(
    store: Store,
    node: NewNode,
    owner: watch::Sender<i64>,
    shutdown: Shutdown,
) {
    loop {
        tokio::time::sleep(PERIOD).await;
        let id = *owner.borrow();
        match store.node().heartbeat(id).await {
            Ok(true) => {}
            Ok(false) => {
                let id = register(&store, &node, &shutdown).await;
                tracing::warn!(
                    node = id,
                    "this process was considered dead; registered again"
                );
                owner.send_replace(id);
            }
            Err(error) => tracing::warn!(error = %error, "heartbeat failed"),
        }
    }
}
