//! Peers that are spoken to by UDP and take no connections: most phones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a connection that stands in for a datagram may take to open: whoever waits has UDP to fall back to.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);
/// How long such a peer is not asked again. A phone that was exchanged, or a proxy that was configured anew, is found after it.
const KEPT: Duration = Duration::from_secs(600);
/// Beyond that all are forgotten: each then costs an attempt once more.
const MOST: usize = 100_000;

#[derive(Default)]
pub(super) struct NoTcp {
    since: Mutex<HashMap<SocketAddr, Instant>>,
}

impl NoTcp {
    pub(super) fn note(&self, peer: SocketAddr) {
        let mut since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        if since.len() >= MOST {
            since.clear();
        }
        since.insert(peer, Instant::now());
    }

    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        let since = self.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.get(&peer).is_some_and(|since| since.elapsed() < KEPT)
    }
}
