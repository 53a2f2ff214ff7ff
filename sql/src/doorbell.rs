//! The doorbell: "there may be work", without data. A lost ring costs one poll interval.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// Rings heard on a connection of its own, which reconnects for as long as this lives. Several rings may be heard as one.
#[derive(Debug)]
pub struct Doorbell {
    heard: Arc<Notify>,
    listener: JoinHandle<()>,
}

impl Doorbell {
    /// Waits for the next ring. Also returns after a reconnection, because a ring may have been missed. Cancel-safe.
    pub async fn rung(&mut self) {
        self.heard.notified().await;
    }
}

impl Drop for Doorbell {
    fn drop(&mut self) {
        self.listener.abort();
    }
}
