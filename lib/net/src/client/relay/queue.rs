//! The end of the connection at which requests are put in line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use sip::Limits;
use tokio::sync::mpsc;

use crate::client::Unreachable;

/// What may wait for one process. 8,000 requests of 8 kB; what is beyond fails, and is tried again later.
const MAX_WAITING_BYTES: usize = 64 << 20;
/// While so much waits, copies of what was sent before are of no use.
const NO_COPIES_BYTES: usize = 1 << 20;

/// The connection as senders see it.
pub(in crate::client) struct Relay {
    /// Never used twice by a client.
    pub(in crate::client) id: u64,
    pub(super) queue: mpsc::UnboundedSender<Bytes>,
    pub(super) waiting_bytes: Arc<AtomicUsize>,
}

impl Relay {
    pub(in crate::client) fn send(&self, bytes: Bytes) -> Result<(), Unreachable> {
        let length = bytes.len();
        // A server refuses it, and of far more it would not even find the end.
        if length > Limits::default().notify_bytes {
            return Err(Unreachable::TooLong { octets: length });
        }
        if self.waiting_bytes.load(Ordering::Relaxed) + length > MAX_WAITING_BYTES {
            return Err(Unreachable::Busy);
        }
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        // Never closed while it stands in the table, whose lock the caller holds.
        self.queue.send(bytes).map_err(|_| Unreachable::FlowGone)
    }

    /// Sends a copy of what was sent before, if that can do any good.
    pub(in crate::client) fn send_again(&self, bytes: Bytes) {
        if self.waiting_bytes.load(Ordering::Relaxed) < NO_COPIES_BYTES {
            // Without room it is as lost as a datagram.
            let _ = self.send(bytes);
        }
    }
}
