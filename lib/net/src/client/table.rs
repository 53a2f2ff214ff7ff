//! What is open, and on which path: pure bookkeeping behind the client's lock.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::transaction::{ClientAction, ClientTransactions, Timers};
use sip::{Method, Response};

use super::relay::queue::Relay;
use crate::{FlowKey, Target};

/// The branch that the caller gave: the name of a transaction for its whole life, over all its targets.
pub(super) type Branch = Arc<str>;

/// How a request travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Not on its way yet: a connection is being opened.
    Waiting,
    Udp {
        local: SocketAddr,
        to: SocketAddr,
    },
    Tcp(FlowKey),
    /// The number of the connection to the relay; `retransmits` as in [`super::Hop::Relay`].
    Relay {
        to: SocketAddr,
        id: u64,
        retransmits: bool,
    },
}

/// What can break and take all transactions on it along.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Carrier {
    Connection(u64),
    Relay(u64),
}

/// One open transaction.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) method: Method,
    pub(super) bytes: Bytes,
    /// The branch on the wire; differs from the name after a failover (RFC 3263 section 4.3: a new transaction).
    pub(super) wire_branch: String,
    pub(super) path: Path,
    /// The target in use; `None` for relays.
    pub(super) target: Option<Target>,
    /// Targets not tried yet.
    pub(super) rest: VecDeque<Target>,
    /// The target stands in for the next one, because the request is too long for a datagram.
    pub(super) instead_of_udp: bool,
}

/// A transaction whose target has failed.
pub(super) struct Fallen {
    pub(super) failed: Option<Target>,
    /// See [`Open::instead_of_udp`].
    pub(super) instead_of_udp: bool,
    /// Where it goes next.
    pub(super) next: Option<Target>,
}

pub(super) struct Table {
    transactions: ClientTransactions<Branch>,
    open: HashMap<Branch, Open>,
    carried: HashMap<Carrier, HashSet<Branch>>,
    /// Connections whose end somebody waits for.
    watched: HashSet<u64>,
    pub(super) relays: HashMap<SocketAddr, Arc<Relay>>,
    last_relay: u64,
    suspects: HashMap<SocketAddr, Instant>,
    began: Instant,
}

/// How long an address that failed comes after the others.
const SUSPECT_FOR: Duration = Duration::from_secs(60);
const MAX_SUSPECTS: usize = 4_096;

impl Table {
    pub(super) fn new(timers: Timers) -> Table {
        Table {
            transactions: ClientTransactions::new(timers),
            open: HashMap::new(),
            carried: HashMap::new(),
            watched: HashSet::new(),
            relays: HashMap::new(),
            last_relay: 0,
            suspects: HashMap::new(),
            began: Instant::now(),
        }
    }

    /// Milliseconds since the client began: the clock of the transactions.
    pub(super) fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn instant(&self, at_ms: u64) -> Instant {
        self.began + Duration::from_millis(at_ms)
    }

    pub(super) fn next_deadline(&self) -> Option<u64> {
        self.transactions.next_deadline()
    }

    /// Notes a request; its timers start with [`Table::depart`].
    pub(super) fn insert(&mut self, branch: Branch, open: Open) {
        self.open.insert(branch, open);
    }

    /// Puts a transaction on its path and starts its timers. `None`: cancelled meanwhile.
    pub(super) fn depart(&mut self, branch: &Branch, path: Path) -> Option<Bytes> {
        let now_ms = self.now_ms();
        let open = self.open.get_mut(branch)?;
        let reliable = match path {
            Path::Tcp(_) => true,
            Path::Relay { retransmits, .. } => !retransmits,
            Path::Waiting | Path::Udp { .. } => false,
        };
        let carrier = carrier(&path);
        open.path = path;
        let bytes = open.bytes.clone();
        self.transactions.start(
            now_ms,
            open.wire_branch.clone(),
            open.method.clone(),
            Arc::clone(branch),
            bytes.clone(),
            reliable,
        );
        if let Some(carrier) = carrier {
            self.carried
                .entry(carrier)
                .or_default()
                .insert(Arc::clone(branch));
        }
        Some(bytes)
    }

    /// Whether the end of this connection has to be waited for from now on.
    pub(super) fn watch(&mut self, connection: u64) -> bool {
        self.watched.insert(connection)
    }

    /// The transaction that a response ends.
    pub(super) fn on_response(&mut self, response: &Response) -> Option<Branch> {
        let sip::transaction::ClientEvent::Final { key, .. } =
            self.transactions.on_response(response)?;
        self.remove(&key);
        Some(key)
    }

    pub(super) fn on_time(&mut self, actions: &mut Vec<ClientAction<Branch>>) {
        let now_ms = self.now_ms();
        self.transactions.on_time(now_ms, actions);
    }

    pub(super) fn path(&self, branch: &str) -> Option<&Path> {
        self.open.get(branch).map(|open| &open.path)
    }

    pub(super) fn cancel(&mut self, branch: &str) {
        if let Some(open) = self.remove(branch) {
            self.transactions.cancel(&open.wire_branch);
        }
    }

    /// The transaction that travels under this branch.
    pub(super) fn by_wire_branch(&self, wire_branch: &str) -> Option<Branch> {
        self.transactions.key(wire_branch).cloned()
    }

    /// Takes a transaction off its path after a failure. The next target, if one is left; the transaction then waits for
    /// [`Table::depart`]. Otherwise it is gone. `None`: it was not open.
    pub(super) fn fall(&mut self, branch: &Branch) -> Option<Fallen> {
        let open = self.open.get_mut(branch)?;
        self.transactions.fail(&open.wire_branch);
        let path = std::mem::replace(&mut open.path, Path::Waiting);
        let instead_of_udp = std::mem::take(&mut open.instead_of_udp);
        let fallen = Fallen {
            failed: open.target,
            instead_of_udp,
            next: open.rest.pop_front(),
        };
        if fallen.next.is_some() {
            open.target = fallen.next;
        } else {
            self.open.remove(branch);
        }
        self.unload(&path, branch);
        Some(fallen)
    }

    /// Gives a transaction the bytes for its next target.
    pub(super) fn rewrite(&mut self, branch: &str, rewrite: impl FnOnce(&Open) -> (String, Bytes)) {
        if let Some(open) = self.open.get_mut(branch) {
            (open.wire_branch, open.bytes) = rewrite(open);
        }
    }

    /// All that travels on a broken connection.
    pub(super) fn on_connection(&mut self, connection: u64) -> Vec<Branch> {
        self.watched.remove(&connection);
        self.carried
            .remove(&Carrier::Connection(connection))
            .into_iter()
            .flatten()
            .collect()
    }

    /// A number for a connection to a relay.
    pub(super) fn next_relay(&mut self) -> u64 {
        self.last_relay += 1;
        self.last_relay
    }

    /// All that travels on a broken connection to a relay.
    pub(super) fn on_relay(&mut self, id: u64) -> Vec<Branch> {
        let carried = self.carried.remove(&Carrier::Relay(id));
        carried.into_iter().flatten().collect()
    }

    pub(super) fn relay_is_idle(&self, id: u64) -> bool {
        !self.carried.contains_key(&Carrier::Relay(id))
    }

    /// An address that failed.
    pub(super) fn suspect(&mut self, addr: SocketAddr) {
        let now = Instant::now();
        if self.suspects.len() >= MAX_SUSPECTS {
            self.suspects
                .retain(|_, since| now.duration_since(*since) < SUSPECT_FOR);
        }
        if self.suspects.len() < MAX_SUSPECTS {
            self.suspects.insert(addr, now);
        }
    }

    /// The targets in their order, those that failed lately last.
    pub(super) fn best_first(&self, targets: &[Target]) -> VecDeque<Target> {
        let suspicious = |target: &Target| {
            self.suspects
                .get(&target.addr)
                .is_some_and(|since| since.elapsed() < SUSPECT_FOR)
        };
        let (bad, good): (Vec<Target>, Vec<Target>) =
            targets.iter().partition(|target| suspicious(target));
        good.into_iter().chain(bad).collect()
    }

    fn remove(&mut self, branch: &str) -> Option<Open> {
        let open = self.open.remove(branch)?;
        self.unload(&open.path, branch);
        Some(open)
    }

    fn unload(&mut self, path: &Path, branch: &str) {
        if let Some(carrier) = carrier(path)
            && let Some(carried) = self.carried.get_mut(&carrier)
        {
            carried.remove(branch);
            if carried.is_empty() {
                self.carried.remove(&carrier);
            }
        }
    }
}

fn carrier(path: &Path) -> Option<Carrier> {
    match path {
        Path::Waiting | Path::Udp { .. } => None,
        Path::Tcp(flow) => Some(Carrier::Connection(flow.connection)),
        Path::Relay { id, .. } => Some(Carrier::Relay(*id)),
    }
}
