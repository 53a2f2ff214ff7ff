//! Client transactions over an endpoint: thousands at once, outcomes in batches (RFC 3261 sections 17.1.2 and 18.1).
//!
//! The transactions themselves are `sip`'s; this module gives them a clock, sockets and somebody to tell. One task serves
//! all timers. A request to a relay goes through a UDP socket connected to it, so that an ICMP "port unreachable" ends
//! everything that waits for that relay at once, instead of after 32 seconds.

mod relay;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use sip::transaction::{ClientAction, ClientEvent, ClientTransactions, Timers};
use sip::{Method, Response, Transport, ViaOut};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use crate::{Endpoint, FlowKey, Resolver, Target};
use relay::Relays;

/// Outcomes handed over at once.
const OUTCOMES_TOGETHER: usize = 512;

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Hop {
    /// By the endpoint's own sockets.
    Target(Target),
    /// By UDP to the server that holds a phone's flow.
    Relay(SocketAddr),
}

/// A request to be sent, retransmitted and answered.
#[derive(Debug)]
pub struct ClientRequest<K> {
    /// The caller's key; it comes back with the outcome.
    pub key: K,
    /// Branch of the topmost Via.
    pub branch: String,
    /// Method of the request.
    pub method: Method,
    /// The request.
    pub bytes: Bytes,
    /// Where it goes.
    pub next_hop: Hop,
}

/// How a transaction ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A final response.
    Final(Response),
    /// None within 64*T1 (timer F).
    TimedOut,
    /// It could not be sent, or its connection closed before the answer.
    Unreachable(String),
}

/// Sends requests and keeps their transactions. Clones are handles to the same transactions.
pub struct Client<K> {
    shared: Arc<Shared<K>>,
}

impl<K> Clone for Client<K> {
    fn clone(&self) -> Client<K> {
        Client { shared: Arc::clone(&self.shared) }
    }
}

/// The ends of transactions. When it is dropped, outcomes are lost, and nobody misses them.
pub struct Outcomes<K> {
    receiver: mpsc::UnboundedReceiver<(K, Outcome)>,
}

impl<K> Outcomes<K> {
    /// Waits for outcomes and gives those that are there. `None`: all clients are gone.
    pub async fn recv_batch(&mut self) -> Option<Vec<(K, Outcome)>> {
        let mut batch = Vec::new();
        let count = self.receiver.recv_many(&mut batch, OUTCOMES_TOGETHER).await;
        (count > 0).then_some(batch)
    }
}

struct Shared<K> {
    endpoint: Endpoint,
    started: Instant,
    state: Mutex<State<K>>,
    /// Rung when an earlier deadline than the one waited for may have come.
    wake: Arc<Notify>,
    relays: Relays,
    outcomes: mpsc::UnboundedSender<(K, Outcome)>,
}

struct State<K> {
    transactions: ClientTransactions<Arc<str>>,
    waiting: HashMap<Arc<str>, Waiting<K>>,
    /// Which transactions end when a connection or a relay does.
    by_path: HashMap<Path, HashSet<Arc<str>>>,
}

struct Waiting<K> {
    key: K,
    hop: Hop,
    path: Option<Path>,
}

/// What a transaction depends on besides time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Path {
    Connection(u64),
    Relay(SocketAddr),
}

// === impl Client ===

impl<K: Send + 'static> Client<K> {
    /// A client over the sockets of `endpoint`. Its receive loop must hand responses to [`Client::on_response`].
    /// Must be called inside a tokio runtime.
    pub fn new(endpoint: Endpoint, _resolver: Resolver, timers: Timers) -> (Client<K>, Outcomes<K>) {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let wake = Arc::new(Notify::new());
        let state = State { transactions: ClientTransactions::new(timers), waiting: HashMap::new(), by_path: HashMap::new() };
        let shared = Arc::new(Shared {
            endpoint,
            started: Instant::now(),
            state: Mutex::new(state),
            wake: Arc::clone(&wake),
            relays: Relays::default(),
            outcomes,
        });
        tokio::spawn(serve_timers(Arc::downgrade(&shared), wake));
        (Client { shared }, Outcomes { receiver })
    }

    /// The Via for a request by `hop`: our address as that hop reaches it, and a branch never used before. A TCP hop is
    /// connected to first.
    ///
    /// # Errors
    /// No connection, no socket of that family, or no route.
    pub async fn via_for(&self, hop: &Hop) -> io::Result<ViaOut> {
        let endpoint = &self.shared.endpoint;
        let (transport, local) = match hop {
            Hop::Target(Target { transport: Transport::Udp, addr }) => (Transport::Udp, self.shared.udp_local(*addr)?),
            Hop::Target(Target { transport, addr }) => (*transport, endpoint.connect_tcp(*addr).await?.local),
            Hop::Relay(addr) => (Transport::Udp, Shared::relay(&self.shared, *addr)?.local),
        };
        Ok(ViaOut {
            transport,
            host: sip::Host::from(local.ip()).to_string(),
            port: local.port(),
            branch: format!("z9hG4bK{:016x}{:08x}", rand::random::<u64>(), rand::random::<u32>()),
            rport: transport == Transport::Udp,
        })
    }

    /// Sends requests, each once now and again as RFC 3261 section 17.1.2 says. Never waits.
    pub fn send(&self, requests: Vec<ClientRequest<K>>) {
        let now_ms = self.shared.now_ms();
        let mut to_send = Vec::with_capacity(requests.len());
        {
            let mut state = self.shared.locked();
            for ClientRequest { key, branch, method, bytes, next_hop } in requests {
                let reliable = matches!(next_hop, Hop::Target(target) if target.transport.is_reliable());
                let name: Arc<str> = branch.as_str().into();
                let path = match next_hop {
                    Hop::Relay(addr) => Some(Path::Relay(addr)),
                    Hop::Target(_) => None,
                };
                state.transactions.start(now_ms, branch, method, Arc::clone(&name), bytes.clone(), reliable);
                state.waiting.insert(Arc::clone(&name), Waiting { key, hop: next_hop, path: None });
                if let Some(path) = path {
                    state.depend(&name, path);
                }
                to_send.push((name, next_hop, bytes));
            }
        }
        self.shared.wake.notify_one();
        for (branch, hop, bytes) in to_send {
            Shared::transmit(&self.shared, &branch, hop, bytes);
        }
    }

    /// Takes in a response that arrived on one of the endpoint's sockets. What is no answer to us is ignored.
    pub fn on_response(&self, response: Response) {
        self.shared.on_response(response);
    }

    /// Abandons a transaction: no more retransmission, no outcome.
    pub fn cancel(&self, branch: &str) {
        let mut state = self.shared.locked();
        state.transactions.cancel(branch);
        state.forget(branch);
    }

    /// Transactions that wait for their answer.
    pub fn open_count(&self) -> usize {
        self.shared.locked().transactions.len()
    }
}

// === impl Shared ===

impl<K: Send + 'static> Shared<K> {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn locked(&self) -> MutexGuard<'_, State<K>> {
        // Every change below is whole before the guard goes, so a poisoned lock is still good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn udp_local(&self, to: SocketAddr) -> io::Result<SocketAddr> {
        let sockets = self.endpoint.local_addrs().iter().filter(|listen| listen.transport == Transport::Udp);
        let socket = sockets.map(|listen| listen.addr).find(|addr| addr.is_ipv4() == to.is_ipv4());
        let socket = socket.ok_or_else(|| io::Error::other("no UDP socket of that address family"))?;
        let ip = if socket.ip().is_unspecified() { self.endpoint.source_ip_for(to.ip()) } else { socket.ip() };
        Ok(SocketAddr::new(ip, socket.port()))
    }

    /// The socket connected to a relay, opened at need.
    fn relay(shared: &Arc<Self>, to: SocketAddr) -> io::Result<relay::Relay> {
        let (answers, failed) = (Arc::downgrade(shared), Arc::downgrade(shared));
        shared.relays.open(
            to,
            move |response| {
                if let Some(shared) = answers.upgrade() {
                    shared.on_response(response);
                }
            },
            move |error: &io::Error| {
                if let Some(shared) = failed.upgrade() {
                    shared.fail_path(Path::Relay(to), &error.to_string());
                }
            },
        )
    }

    /// Puts one request on the wire. What cannot be sent ends its transaction.
    fn transmit(shared: &Arc<Self>, branch: &Arc<str>, hop: Hop, bytes: Bytes) {
        match hop {
            Hop::Target(Target { transport: Transport::Udp, addr }) => shared.endpoint.send_udp(None, addr, bytes),
            Hop::Target(Target { addr, .. }) => match shared.endpoint.open_tcp(addr) {
                Some(flow) => Shared::transmit_by(shared, branch, &flow, bytes),
                None => {
                    let (shared, branch) = (Arc::clone(shared), Arc::clone(branch));
                    tokio::spawn(async move {
                        match shared.endpoint.connect_tcp(addr).await {
                            Ok(flow) => Shared::transmit_by(&shared, &branch, &flow, bytes),
                            Err(error) => shared.fail(&branch, &error.to_string()),
                        }
                    });
                }
            },
            Hop::Relay(addr) => match Shared::relay(shared, addr) {
                Ok(relay) => relay.send(bytes),
                Err(error) => shared.fail(branch, &error.to_string()),
            },
        }
    }

    /// Sends down a connection, and sees to it that the connection's end is the transaction's end.
    fn transmit_by(shared: &Arc<Self>, branch: &Arc<str>, flow: &FlowKey, bytes: Bytes) {
        let path = Path::Connection(flow.connection);
        let is_new = {
            let mut state = shared.locked();
            let is_new = !state.by_path.contains_key(&path);
            state.depend(branch, path) && is_new
        };
        if is_new && let Some(closed) = shared.endpoint.closed(flow) {
            let shared = Arc::downgrade(shared);
            tokio::spawn(async move {
                closed.await;
                if let Some(shared) = shared.upgrade() {
                    shared.fail_path(path, "the connection was closed");
                }
            });
        }
        if shared.endpoint.send_flow(flow, bytes).is_err() {
            shared.fail(branch, "the connection was closed");
        }
    }

    fn on_response(&self, response: Response) {
        let now_ms = self.now_ms();
        let ended = {
            let mut state = self.locked();
            let event = state.transactions.on_response(now_ms, &response);
            event.and_then(|ClientEvent::Final { key: branch, .. }| state.forget(&branch))
        };
        if let Some(waiting) = ended {
            self.tell(waiting.key, Outcome::Final(response));
        }
    }

    fn fail(&self, branch: &str, reason: &str) {
        let failed = {
            let mut state = self.locked();
            state.transactions.fail(branch).and_then(|branch| state.forget(&branch))
        };
        if let Some(waiting) = failed {
            self.tell(waiting.key, Outcome::Unreachable(reason.to_owned()));
        }
    }

    fn fail_path(&self, path: Path, reason: &str) {
        let branches = self.locked().by_path.remove(&path).unwrap_or_default();
        for branch in branches {
            self.fail(&branch, reason);
        }
    }

    fn tell(&self, key: K, outcome: Outcome) {
        // Nobody listens any more: the process is stopping.
        let _ = self.outcomes.send((key, outcome));
    }
}

// === impl State ===

impl<K> State<K> {
    /// Notes that a transaction ends with `path`. False when it has ended already.
    fn depend(&mut self, branch: &Arc<str>, path: Path) -> bool {
        let Some(waiting) = self.waiting.get_mut(branch) else { return false };
        waiting.path = Some(path);
        self.by_path.entry(path).or_default().insert(Arc::clone(branch));
        true
    }

    /// Takes a transaction out of the books. The set of a connection stays, empty, until the connection closes: it says that
    /// somebody waits for that.
    fn forget(&mut self, branch: &str) -> Option<Waiting<K>> {
        let waiting = self.waiting.remove(branch)?;
        if let Some(path) = waiting.path
            && let Some(branches) = self.by_path.get_mut(&path)
        {
            branches.remove(branch);
        }
        Some(waiting)
    }
}

/// Retransmits and times out, for all transactions, until the last client is gone.
async fn serve_timers<K: Send + 'static>(shared: Weak<Shared<K>>, wake: Arc<Notify>) {
    let mut actions = Vec::new();
    loop {
        let next = {
            let Some(shared) = shared.upgrade() else { return };
            let now_ms = shared.now_ms();
            let mut to_send = Vec::new();
            let mut timed_out = Vec::new();
            let next = {
                let mut state = shared.locked();
                state.transactions.on_time(now_ms, &mut actions);
                for action in actions.drain(..) {
                    match action {
                        ClientAction::Retransmit { key: branch, bytes } => {
                            if let Some(waiting) = state.waiting.get(&branch) {
                                to_send.push((branch, waiting.hop, bytes));
                            }
                        }
                        ClientAction::TimedOut { key: branch } => timed_out.extend(state.forget(&branch)),
                    }
                }
                state.transactions.next_deadline()
            };
            for (branch, hop, bytes) in to_send {
                Shared::transmit(&shared, &branch, hop, bytes);
            }
            for waiting in timed_out {
                shared.tell(waiting.key, Outcome::TimedOut);
            }
            next.map(|deadline_ms| shared.started + Duration::from_millis(deadline_ms))
        };
        // Without a deadline a dropped client is noticed at the next of these.
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
        tokio::select! {
            () = tokio::time::sleep_until(next) => {}
            () = wake.notified() => {}
        }
    }
}
