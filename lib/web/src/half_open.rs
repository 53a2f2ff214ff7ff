//! Connections whose first head has not come yet: cheap for whoever opens them, so the oldest goes when there are too many of one source, or
//! when there is no place for a newcomer.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// Heads of one source that may be awaited at once: three quarters of all places, for a program may well connect many times at once.
pub(crate) const HEADS_OF_SOURCE: usize = 48;
/// How long a head has while others wait for its place: a few round trips.
const GRACE: Duration = Duration::from_secs(1);

/// The half-open connections, oldest first.
#[derive(Debug, Default)]
pub(crate) struct HalfOpen {
    waiting: Mutex<VecDeque<Waiting>>,
}

#[derive(Debug)]
struct Waiting {
    source: IpAddr,
    since: Instant,
    go: Arc<Notify>,
}

/// A half-open connection, until its head is there or it is gone.
#[derive(Debug)]
pub(crate) struct Head {
    all: Arc<HalfOpen>,
    go: Arc<Notify>,
}

// === impl HalfOpen ===

impl HalfOpen {
    /// A connection from `peer` begins to wait for its head. The oldest of the same source goes, if there are too many; says whether one does.
    pub(crate) fn wait(self: &Arc<HalfOpen>, peer: IpAddr) -> (Head, bool) {
        let source = source(peer);
        let go = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        let is_of_source = |other: &&Waiting| other.source == source;
        let oldest = match waiting.iter().filter(is_of_source).count() {
            ..HEADS_OF_SOURCE => None,
            _ => waiting.iter().position(|other| other.source == source),
        };
        let gone = oldest.and_then(|oldest| waiting.remove(oldest));
        gone.iter().for_each(|gone| gone.go.notify_one());
        waiting.push_back(Waiting {
            source,
            since: Instant::now(),
            go: Arc::clone(&go),
        });
        let head = Head {
            all: Arc::clone(self),
            go,
        };
        (head, gone.is_some())
    }

    /// Has the oldest of all go, if it had its time. Whether one goes.
    pub(crate) fn expel(&self) -> bool {
        let mut waiting = self.waiting();
        let oldest = waiting.front();
        if oldest.is_none_or(|oldest| oldest.since.elapsed() < GRACE) {
            return false;
        }
        let gone = waiting.pop_front();
        gone.iter().for_each(|gone| gone.go.notify_one());
        gone.is_some()
    }

    fn waiting(&self) -> MutexGuard<'_, VecDeque<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Head ===

impl Head {
    /// The head is there.
    pub(crate) fn came(&self) {
        let mut waiting = self.all.waiting();
        waiting.retain(|other| !Arc::ptr_eq(&other.go, &self.go));
    }

    /// Returns when the connection has to go.
    pub(crate) async fn has_to_go(&self) {
        self.go.notified().await;
    }
}

impl Drop for Head {
    fn drop(&mut self) {
        self.came();
    }
}

/// An IPv4 address, or what one subscriber of IPv6 is given, a /64.
fn source(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V4(peer) => peer.into(),
        IpAddr::V6(peer) => Ipv6Addr::from(u128::from(peer) >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn has_to_go(head: &Head) -> bool {
        head.has_to_go().now_or_never().is_some()
    }

    #[test]
    fn the_oldest_of_a_source_goes() {
        let all = Arc::new(HalfOpen::default());
        let mut heads = Vec::new();
        let wait = |peer: &str| all.wait(peer.parse().unwrap());
        let (other, _) = wait("192.0.2.2");
        for _ in 0..HEADS_OF_SOURCE {
            heads.push(wait("192.0.2.1").0);
        }
        heads[1].came();
        heads.push(wait("::ffff:192.0.2.1").0);
        assert!(!heads.iter().any(has_to_go), "one has come");
        let (newcomer, one_goes) = wait("192.0.2.1");
        assert!(one_goes);
        heads.push(newcomer);
        let gone: Vec<usize> = (0..heads.len())
            .filter(|place| has_to_go(&heads[*place]))
            .collect();
        assert_eq!(gone, [0]);
        assert!(!has_to_go(&other));
        assert!(!all.expel(), "all of them are young");
        assert_eq!(
            source("2001:db8::1".parse().unwrap()),
            source("2001:db8::2".parse().unwrap())
        );
    }
}
