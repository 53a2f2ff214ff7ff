//! Client transactions over an [`Endpoint`]: thousands at once, outcomes in batches (RFC 3261 sections 17.1.2 and 18.1).
//!
//! All transactions of a client share one table behind one lock, held for moments and never over an await, and one task for
//! their timers. What a request needs before it can leave (a TCP connection, another target) happens in tasks of its own.

mod path;
mod relay;
mod table;
mod timer;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use sip::transaction::Timers;
use sip::{Method, Response, ViaOut};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{Endpoint, FlowKey, Resolver, Target};
use table::Table;

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hop {
    /// One address.
    Target(Target),
    /// Several, best first, as [`Resolver::resolve`] gives them: the next is tried when one is unreachable or does not answer
    /// (RFC 3263 section 4.3). An address that failed lately comes last for a minute.
    Targets(Vec<Target>),
    /// A process of ours that sends it on, over a TCP connection that is kept open for all that goes there: when that process is gone, all
    /// that is open with it fails at once instead of timing out. It answers on the same connection, and answers are taken in by the client
    /// itself.
    Relay {
        /// Where it listens.
        to: SocketAddr,
        /// Whether the request is repeated as over UDP, because what lies beyond may lose it (RFC 3261 section 17.1.2.2).
        retransmits: bool,
    },
}

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct ClientRequest<K> {
    /// The caller's name for it; comes back with the outcome.
    pub key: K,
    /// The branch of the topmost Via in `bytes`, from [`Client::via_for`]. Must not be used twice.
    pub branch: String,
    /// The method, which an answer must repeat in CSeq.
    pub method: Method,
    /// The whole request.
    pub bytes: Bytes,
    /// Where it goes.
    pub next_hop: Hop,
    /// Whether a target that is to be sent it by UDP may get it by TCP if it is longer than [`crate::PATH_BYTES`] (RFC 3261 section
    /// 18.1.1). Not if the URI asks for UDP.
    pub may_go_by_tcp: bool,
}

/// How a transaction ended. Each request that was not cancelled gets exactly one.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A final answer, and how it came.
    Final(Response, FlowKey),
    /// Timer F: nothing came, from any of the targets.
    TimedOut,
    /// It could not be delivered, and there is no other target.
    Unreachable(Unreachable),
}

impl Outcome {
    /// Whether a failure says something about the target, and not about the request alone.
    fn is_about_target(&self) -> bool {
        !matches!(self, Outcome::Unreachable(Unreachable::TooLong { .. }))
    }
}

/// Why a request could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// No TCP connection could be opened (to a relay: its process is gone), or the kernel refused the datagram.
    #[error("{0}")]
    Io(io::ErrorKind),
    /// The TCP connection closed before the answer came.
    #[error("the connection closed before the answer came")]
    FlowGone,
    /// We have no socket of the address' family.
    #[error("no socket reaches this address")]
    NoSocket,
    /// It is longer than a datagram, and the peer takes no other transport; or longer than what the process behind a relay reads.
    #[error("message too long: {octets} octets")]
    TooLong {
        /// Its length.
        octets: usize,
    },
    /// Too much waits for the relay already.
    #[error("too much waits to be sent there")]
    Busy,
    /// None of its targets may be sent to ([`crate::EndpointOptions::destinations`]); nothing was sent to this one, the first of them. Remedy:
    /// list it, if it is meant.
    #[error("the destination policy refuses {0}")]
    Refused(IpAddr),
}

impl From<io::Error> for Unreachable {
    fn from(error: io::Error) -> Unreachable {
        Unreachable::Io(error.kind())
    }
}

/// The way out. Clones share the same transactions; with the last one they end.
pub struct Client<K> {
    shared: Arc<Shared<K>>,
    // Not in `Shared`: its tasks hold that while they work, and must not keep themselves alive.
    guard: Arc<DropGuard>,
}

/// The way back.
pub struct Outcomes<K> {
    receiver: mpsc::UnboundedReceiver<(K, Outcome)>,
}

struct Shared<K> {
    endpoint: Endpoint,
    resolver: Resolver,
    table: Mutex<Table>,
    keys: Mutex<Keys<K>>,
    // Unbounded, but never longer than the number of requests that the caller has chosen to have open.
    outcomes: mpsc::UnboundedSender<(K, Outcome)>,
    timer: timer::Alarm,
    closing: CancellationToken,
}

type Keys<K> = std::collections::HashMap<Arc<str>, K>;

const OUTCOMES_TOGETHER: usize = 1_024;

impl<K> Clone for Client<K> {
    fn clone(&self) -> Client<K> {
        Client {
            shared: Arc::clone(&self.shared),
            guard: Arc::clone(&self.guard),
        }
    }
}

impl<K> Outcomes<K> {
    /// Waits for outcomes and gives all that are there. `None`: every handle to the client is gone.
    pub async fn recv_batch(&mut self) -> Option<Vec<(K, Outcome)>> {
        let mut batch = Vec::new();
        let count = self.receiver.recv_many(&mut batch, OUTCOMES_TOGETHER).await;
        (count > 0).then_some(batch)
    }
}

impl<K: Send + 'static> Client<K> {
    /// A client without transactions. Must be called inside a tokio runtime.
    pub fn new(endpoint: Endpoint, resolver: Resolver, timers: Timers) -> (Client<K>, Outcomes<K>) {
        let (outcomes, receiver) = mpsc::unbounded_channel();
        let closing = CancellationToken::new();
        let shared = Arc::new(Shared {
            endpoint,
            resolver,
            table: Mutex::new(Table::new(timers)),
            keys: Mutex::default(),
            outcomes,
            timer: timer::Alarm::new(),
            closing: closing.clone(),
        });
        timer::start(&shared);
        hear_of_refused(&shared);
        (
            Client {
                shared,
                guard: Arc::new(closing.drop_guard()),
            },
            Outcomes { receiver },
        )
    }

    /// The resolver that this client was made with.
    pub fn resolver(&self) -> &Resolver {
        &self.shared.resolver
    }

    /// The Via for a request over `hop`, with a branch of its own. Opens the TCP connection if the hop needs one.
    ///
    /// # Errors
    /// No target of the hop can be reached, or may be sent to.
    pub async fn via_for(&self, hop: &Hop) -> Result<ViaOut, Unreachable> {
        match hop {
            Hop::Relay { to, .. } => Ok(self.shared.via_to_relay(*to)),
            Hop::Target(target) => self.shared.via_to(*target).await,
            Hop::Targets(targets) => {
                let mut last = None;
                // Not in the loop's head: the lock's guard would live across the await.
                let ordered = self.shared.table().best_first(targets);
                for target in ordered {
                    match self.shared.via_to(target).await {
                        Ok(via) => return Ok(via),
                        Err(refused @ Unreachable::Refused(_)) => {
                            last.get_or_insert(refused);
                        }
                        Err(unreachable) => {
                            self.shared.table().suspect(target.addr);
                            last = Some(unreachable);
                        }
                    }
                }
                Err(last.unwrap_or(Unreachable::NoSocket))
            }
        }
    }

    /// Sends requests. Never blocks and never fails: whatever becomes of them comes as an [`Outcome`].
    pub fn send(&self, requests: Vec<ClientRequest<K>>) {
        self.shared.begin(requests);
    }

    /// Takes in a response that the process received. What belongs to no open transaction is ignored.
    pub fn on_response(&self, response: Response, flow: FlowKey) {
        self.shared.take_response(response, flow);
    }

    /// Abandons a transaction: no retransmission, no outcome any more. An outcome that is already on its way still comes.
    pub fn cancel(&self, branch: &str) {
        self.shared.table().cancel(branch);
        self.shared.keys().remove(branch);
    }

    /// How many transactions wait for their answer.
    pub fn open_count(&self) -> usize {
        self.shared.keys().len()
    }
}

/// Takes in what the endpoint could not send, until the client ends.
fn hear_of_refused<K: Send + 'static>(shared: &Arc<Shared<K>>) {
    let Some(mut refused) = shared.endpoint.refused() else {
        return;
    };
    let weak = Arc::downgrade(shared);
    tokio::spawn(
        shared
            .closing
            .clone()
            .run_until_cancelled_owned(async move {
                while let Some(datagram) = refused.recv().await {
                    let Some(shared) = weak.upgrade() else { return };
                    shared.take_refused(&datagram);
                }
            }),
    );
}

impl<K> Shared<K> {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keys(&self) -> MutexGuard<'_, Keys<K>> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a transaction towards the caller; a second end of the same one is nothing.
    fn conclude(&self, branch: &str, outcome: Outcome) {
        let key = self.keys().remove(branch);
        if let Some(key) = key {
            // Fails only when nobody waits any more.
            let _ = self.outcomes.send((key, outcome));
        }
    }
}
