//! This process's row in `node`: SQL shows which servers are alive, and where notifiers reach them.

use std::net::SocketAddr;
use std::time::Duration;

use sql::Store;
use tokio::time::sleep;

const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Registers this server, as soon as the database can be reached, and keeps its row alive for ever.
pub(crate) async fn keep(store: &Store, internal: SocketAddr, id: &std::sync::OnceLock<i64>) {
    todo!()
}
