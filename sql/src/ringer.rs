//! The ringing side of the doorbell: lets the notifiers know that something was committed, so that they look before their next poll.
//!
//! A hint and nothing more: it carries no data, is rung after the answers have gone, at most once in 5 ms per process, on a
//! connection of its own (notifying commits of one database queue behind one lock), and a lost ring costs one poll interval.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::Store;

/// The least time between two rings of one process.
const RING_INTERVAL: Duration = Duration::from_millis(5);
/// With the database away the bell is pointless: how long it rests after a failure.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);

/// Asks for rings; cheap, never waits. Its clones are one.
#[derive(Clone, Debug, Default)]
pub struct Ringer(Arc<Notify>);

impl Ringer {
    /// Notes that something was committed. Many calls within the interval are one ring.
    pub fn press(&self) {
        self.0.notify_one();
    }

    /// Rings for ever, on the connection of `store`.
    pub async fn ring(self, store: Store) {
        loop {
            self.0.notified().await;
            let next = Instant::now()
                + match store.ring().await {
                    Ok(()) => RING_INTERVAL,
                    Err(error) => {
                        tracing::debug!(%error, "the doorbell did not ring; notifiers find the work at their next poll");
                        RETRY_INTERVAL
                    }
                };
            sleep_until(next).await;
        }
    }
}
