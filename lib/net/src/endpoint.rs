//! All sockets of one process behind one cheap handle. Never blocks its callers: what cannot be sent is dropped and counted.
//!
//! Back-pressure goes towards the network: when nobody takes what has arrived, sockets are no longer read, so that the
//! kernel drops datagrams and slows TCP peers down, and our memory stays bounded.

mod batch;
mod connection;
mod datagram_socket;
mod no_tcp;
mod options;
mod refusal;
mod room;
mod source_ip;
mod tcp;
mod udp;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use sip::{Limits, Transport};
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use crate::{Destinations, FlowGone, FlowKey, ListenAddr, Packet};
pub use datagram_socket::DatagramSocket;
use no_tcp::NoTcp;
pub use options::EndpointOptions;
use refusal::Refusals;
pub use refusal::{RefusedDatagram, RefusedDatagrams};
use source_ip::SourceIps;
use tcp::TcpTable;
use udp::{Trouble, UdpSender};

/// See [`EndpointOptions::reserved_for`].
pub const RESERVED_CONNECTIONS: usize = 64;

/// Why the endpoint could not open its sockets.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is taken, not ours, or not permitted. Remedy: another `--listen`, or end the other process.
    #[error("cannot listen on {listen}: {source}")]
    Socket {
        /// The address that was asked for.
        listen: ListenAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Only UDP and TCP can be listened on. Remedy: `udp:` or `tcp:`.
    #[error("cannot listen on {0}: only udp and tcp are supported")]
    Transport(ListenAddr),
}

/// What was dropped or closed for want of room, since the start.
#[derive(Debug, Default)]
pub struct Drops {
    datagrams: AtomicU64,
    connections: AtomicU64,
}

impl Drops {
    /// Datagrams that were not sent: full queue, no socket of the family, or refused by the kernel.
    pub fn datagrams(&self) -> u64 {
        self.datagrams.load(Ordering::Relaxed)
    }

    /// Connections closed on our side: slow readers, garbage, timeouts, too many.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    fn count_datagram(&self) {
        self.datagrams.fetch_add(1, Ordering::Relaxed);
    }

    fn count_connection(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }
}

/// The sockets of one process. Clones are handles to the same sockets.
#[derive(Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

/// What arrives. Dropping it closes the endpoint's ears, not its mouth.
pub struct Incoming {
    receiver: mpsc::Receiver<Vec<Packet>>,
}

struct Shared {
    listens: Vec<ListenAddr>,
    udp: Vec<UdpSender>,
    tcp: Arc<TcpTable>,
    no_tcp: NoTcp,
    refusals: Arc<Refusals>,
    source_ips: SourceIps,
    destinations: Destinations,
    instance: u64,
    closing: CancellationToken,
    tasks: TaskTracker,
    drops: Arc<Drops>,
}

/// Packets handed over at once: enough to pay for the wake-up, few enough to keep the others waiting briefly.
const PACKETS_TOGETHER: usize = 256;

// === impl Incoming ===

impl Incoming {
    /// Waits for packets and gives all that are there, in order of arrival per flow. `None`: the endpoint is closed.
    pub async fn recv_batch(&mut self) -> Option<Vec<Packet>> {
        let mut batch = self.receiver.recv().await?;
        while batch.len() < PACKETS_TOGETHER {
            match self.receiver.try_recv() {
                Ok(more) => batch.extend(more),
                Err(_) => break,
            }
        }
        Some(batch)
    }
}

// === impl Endpoint ===

impl Endpoint {
    /// Opens the sockets and begins to read them. Must be called inside a tokio runtime.
    ///
    /// An empty list is allowed: such an endpoint can only open TCP connections.
    ///
    /// # Errors
    /// The first address that cannot be bound; nothing stays open then.
    pub async fn bind(
        listen: &[ListenAddr],
        limits: Limits,
        options: EndpointOptions,
    ) -> Result<(Endpoint, Incoming), BindError> {
        let (packets, receiver) = mpsc::channel(options.incoming_queue_count.max(1));
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let drops = Arc::new(Drops::default());
        let refusals = Arc::new(Refusals::default());
        let mut sockets = Vec::new();
        let mut listeners = Vec::new();
        let mut listens = Vec::new();
        for (place, listen) in listen.iter().enumerate() {
            let fault = |source| BindError::Socket {
                listen: *listen,
                source,
            };
            let addr = match listen.transport {
                Transport::Udp => {
                    let socket =
                        udp::open(listen.addr, options.receive_buffer_bytes).map_err(fault)?;
                    let addr = socket.local_addr().map_err(fault)?;
                    sockets.push((socket, addr));
                    addr
                }
                Transport::Tcp => {
                    let listener = tcp::listen(listen.addr).map_err(fault)?;
                    let addr = listener.local_addr().map_err(fault)?;
                    let is_reserved = options.reserved_for == Some(place);
                    listeners.push((listener, is_reserved));
                    addr
                }
                _ => return Err(BindError::Transport(*listen)),
            };
            listens.push(ListenAddr {
                transport: listen.transport,
                addr,
            });
        }
        let udp_queue_count = options.udp_queue_count;
        let destinations = options.destinations.clone();
        let tcp = TcpTable::new(
            limits,
            options,
            packets.clone(),
            closing.clone(),
            tasks.clone(),
            Arc::clone(&drops),
        );
        let trouble = Trouble {
            drops: Arc::clone(&drops),
            refusals: Arc::clone(&refusals),
        };
        let udp = sockets
            .into_iter()
            .map(|(socket, addr)| {
                UdpSender::start(
                    socket,
                    addr,
                    udp_queue_count,
                    packets.clone(),
                    &closing,
                    &tasks,
                    trouble.clone(),
                )
            })
            .collect();
        for (listener, is_reserved) in listeners {
            tasks.spawn(Arc::clone(&tcp).accept(listener, is_reserved));
        }
        let shared = Shared {
            listens,
            udp,
            tcp,
            no_tcp: NoTcp::default(),
            refusals,
            source_ips: SourceIps::default(),
            destinations,
            instance: rand::random(),
            closing,
            tasks,
            drops,
        };
        Ok((
            Endpoint {
                shared: Arc::new(shared),
            },
            Incoming { receiver },
        ))
    }

    /// Where we listen, with the ports that the kernel chose, in the order given to [`Endpoint::bind`].
    pub fn local_addrs(&self) -> &[ListenAddr] {
        &self.shared.listens
    }

    /// Queues a datagram. `local` names the socket by its address in [`Endpoint::local_addrs`]; `None` takes the one
    /// that [`Endpoint::udp_towards`] names. A full queue or a missing socket drops the datagram and counts it: UDP promises nothing.
    pub fn send_udp(&self, local: Option<SocketAddr>, to: SocketAddr, bytes: Bytes) {
        let local = local.or_else(|| self.udp_towards(to));
        let socket = self
            .shared
            .udp
            .iter()
            .find(|socket| Some(socket.local()) == local);
        if !socket.is_some_and(|socket| socket.send(to, bytes)) {
            self.shared.drops.count_datagram();
        }
    }

    /// The UDP socket of ours that reaches `to` best: the one bound to the address that the kernel would send from, else one
    /// bound to a wildcard, else the first of the family. `None`: no socket of that family.
    pub fn udp_towards(&self, to: SocketAddr) -> Option<SocketAddr> {
        let mut family = self
            .shared
            .udp
            .iter()
            .map(UdpSender::local)
            .filter(|local| local.is_ipv4() == to.is_ipv4());
        let first = family.next()?;
        if family.next().is_none() {
            return Some(first);
        }
        let source = self.source_ip_for(to.ip());
        let of_family = || {
            self.shared
                .udp
                .iter()
                .map(UdpSender::local)
                .filter(|local| local.is_ipv4() == to.is_ipv4())
        };
        of_family()
            .find(|local| local.ip() == source)
            .or_else(|| of_family().find(|local| local.ip().is_unspecified()))
            .or(Some(first))
    }

    /// Sends down a flow; for UDP the same as [`Endpoint::send_udp`]. A peer that does not read fast enough loses its connection.
    ///
    /// # Errors
    /// [`FlowGone`]: the connection is closed, or was closed just now because its queue was full.
    pub fn send_flow(&self, flow: &FlowKey, bytes: Bytes) -> Result<(), FlowGone> {
        if flow.transport == Transport::Udp {
            self.send_udp(Some(flow.local), flow.remote, bytes);
            return Ok(());
        }
        self.shared.tcp.send(flow.connection, bytes)
    }

    /// Sends down the open connection to `to`, a process of ours that many wait behind: from now on far more may wait for it
    /// ([`EndpointOptions::shared_queue_bytes`]). Without room even so it loses its connection, and not single messages: whoever waits on it is to know.
    ///
    /// # Errors
    /// [`FlowGone`]: there is no such connection, or it was closed just now because its queue was full.
    pub fn send_to_many(&self, to: SocketAddr, bytes: Bytes) -> Result<(), FlowGone> {
        self.shared.tcp.send_to_many(to, bytes)
    }

    /// Whether a request may be sent to `address` that is not for a flow ([`EndpointOptions::destinations`]).
    pub fn may_send_to(&self, address: IpAddr) -> bool {
        self.shared.destinations.allows(address)
    }

    /// A connection to `to`: one that is open already, or a new one. Several callers at once share one attempt.
    ///
    /// # Errors
    /// Refused, unreachable, timed out, too many connections, or not a destination of ours (`PermissionDenied`): not a packet is sent then.
    pub async fn connect_tcp(&self, to: SocketAddr) -> io::Result<FlowKey> {
        if !self.may_send_to(to.ip()) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Arc::clone(&self.shared.tcp).connect(to).await
    }

    /// A connection to a peer that is otherwise spoken to by UDP, for a request that is too long for a datagram
    /// ([`crate::PATH_BYTES`]): one that is open, or a new one if it opens within a second. `None`: this peer takes none, which is
    /// remembered for a while, so that not each such request costs an attempt.
    pub async fn connect_instead_of_udp(&self, to: SocketAddr) -> Option<FlowKey> {
        if let Some(flow) = self.open_tcp(to) {
            return Some(flow);
        }
        if !self.may_take_tcp(to) {
            return None;
        }
        let connecting = tokio::time::timeout(no_tcp::PATIENCE, self.connect_tcp(to));
        let flow = connecting.await.ok().and_then(Result::ok);
        if flow.is_none() {
            self.takes_no_tcp(to);
        }
        flow
    }

    /// Notes that a peer that is spoken to by UDP does not answer by TCP.
    pub fn takes_no_tcp(&self, peer: SocketAddr) {
        self.shared.no_tcp.note(peer);
    }

    /// Whether it is worth while to try TCP with a peer that is spoken to by UDP.
    pub fn may_take_tcp(&self, peer: SocketAddr) -> bool {
        self.may_send_to(peer.ip()) && !self.shared.no_tcp.has(peer)
    }

    /// The datagrams that the kernel refuses to send from now on. `None`: somebody has them already.
    pub fn refused(&self) -> Option<RefusedDatagrams> {
        self.shared.refusals.subscribe()
    }

    /// The open connection to `to`, if there is one.
    pub fn open_tcp(&self, to: SocketAddr) -> Option<FlowKey> {
        self.shared.tcp.open_to(to)
    }

    /// Resolves when the flow's connection has closed (at once if it has already). `None` for UDP, which never closes.
    pub fn closed(&self, flow: &FlowKey) -> Option<WaitForCancellationFutureOwned> {
        (flow.transport != Transport::Udp).then(|| self.shared.tcp.closed(flow.connection))
    }

    /// The address of ours that the kernel would send from to reach `to`; for Via and Contact when bound to a wildcard.
    /// Kept for a minute; asking costs no packet. The unspecified address when there is no route.
    pub fn source_ip_for(&self, to: IpAddr) -> IpAddr {
        self.shared.source_ips.find(to)
    }

    /// A random number that names this process in flow tokens: a connection number means nothing in another process.
    pub fn instance(&self) -> u64 {
        self.shared.instance
    }

    /// What was dropped so far.
    pub fn drops(&self) -> &Drops {
        &self.shared.drops
    }

    /// Writes out what is queued, for datagrams and connections, closes all sockets and waits until that is done. A peer that reads slowly
    /// is waited for briefly.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }
}
