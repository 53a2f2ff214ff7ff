//! The table of TCP connections: accepting, connecting with reuse, finding. One connection's life is in `connection`.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sip::{Limits, Transport};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OnceCell, mpsc};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

use super::connection::{self, Clock, Origin, Shared, WriteQueue};
use super::room::{Entered, Most, Room, Source, Usage};
use super::{Drops, EndpointOptions, RESERVED_CONNECTIONS};
use crate::{FlowGone, FlowKey, Packet};

/// Opens a listener; the socket options are those of [`super::udp::open`], plus SO_REUSEADDR for a quick restart.
pub(super) fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if addr.is_ipv6() {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    socket.listen(1_024)
}

/// All connections of an endpoint.
pub(super) struct TcpTable {
    shared: Shared,
    tasks: TaskTracker,
    next: AtomicU64,
    clock: Clock,
    open: Mutex<Open>,
}

struct Open {
    connections: HashMap<u64, Arc<WriteQueue>>,
    /// Those of strangers.
    accepted: Room,
    connected: Room,
    /// Those that came to the listener with places of its own, and have one.
    reserved: HashSet<u64>,
    by_remote: HashMap<SocketAddr, u64>,
    connecting: HashMap<SocketAddr, Attempt>,
}

/// One connect that any number of callers wait for; `io::Error` cannot be cloned, so kind and text travel.
type Attempt = Arc<OnceCell<Result<FlowKey, (io::ErrorKind, String)>>>;

const TOO_MANY: &str = "too many connections";

/// Somebody who waits for an attempt. With the last one it is forgotten, and so it is when it has come to an end.
struct Trying<'a> {
    table: &'a TcpTable,
    to: SocketAddr,
    attempt: Attempt,
}

impl Drop for Trying<'_> {
    fn drop(&mut self) {
        let mut open = self.table.open();
        let current = open.connecting.get(&self.to);
        // One is the table's own. Others are made under its lock only.
        let is_over = self.attempt.initialized() || Arc::strong_count(&self.attempt) <= 2;
        if is_over && current.is_some_and(|current| Arc::ptr_eq(current, &self.attempt)) {
            open.connecting.remove(&self.to);
        }
    }
}

impl TcpTable {
    pub(super) fn new(
        limits: Limits,
        options: EndpointOptions,
        packets: mpsc::Sender<Vec<Packet>>,
        closing: CancellationToken,
        tasks: TaskTracker,
        drops: Arc<Drops>,
    ) -> Arc<TcpTable> {
        let open = Mutex::new(Open::new(&options));
        Arc::new(TcpTable {
            shared: Shared {
                limits,
                options,
                packets,
                drops,
                closing,
            },
            tasks,
            next: AtomicU64::new(1),
            clock: Clock::start(),
            open,
        })
    }

    /// Accepts until the endpoint closes.
    pub(super) async fn accept(self: Arc<Self>, listener: TcpListener, is_reserved: bool) {
        /// Out of descriptors: accepting again at once would only burn the core.
        const PAUSE: Duration = Duration::from_millis(50);
        while let Some(accepted) = self
            .shared
            .closing
            .run_until_cancelled(listener.accept())
            .await
        {
            match accepted {
                // Too many: the peer sees the connection closed, and we have counted it.
                Ok((stream, remote)) => {
                    let is_trusted = self.is_trusted(remote.ip());
                    let origin = Origin::Accepted { is_trusted };
                    drop(self.adopt(stream, remote, origin, is_reserved));
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
                    if is_out_of_descriptors(&error) {
                        self.expel();
                    }
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// See [`super::Endpoint::connect_tcp`].
    pub(super) async fn connect(self: Arc<Self>, to: SocketAddr) -> io::Result<FlowKey> {
        let attempt = {
            let mut open = self.open();
            if let Some(flow) = open.flow_to(to) {
                return Ok(flow);
            }
            if !self.is_trusted(to.ip()) && !open.may_try(to) {
                return Err(io::Error::other(TOO_MANY));
            }
            let attempt = Arc::clone(open.connecting.entry(to).or_default());
            Trying {
                table: &self,
                to,
                attempt,
            }
        };
        // A waiter that is dropped while it connects hands the attempt to the next one.
        let outcome = attempt
            .attempt
            .get_or_init(|| async {
                self.connect_anew(to)
                    .await
                    .map_err(|error| (error.kind(), error.to_string()))
            })
            .await
            .clone();
        outcome.map_err(|(kind, text)| io::Error::new(kind, text))
    }

    async fn connect_anew(self: &Arc<Self>, to: SocketAddr) -> io::Result<FlowKey> {
        let connecting =
            tokio::time::timeout(self.shared.options.connect_timeout, TcpStream::connect(to));
        let stream = match self.shared.closing.run_until_cancelled(connecting).await {
            None => {
                return Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    "the endpoint is closed",
                ));
            }
            Some(Err(_)) => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "connecting took too long",
                ));
            }
            Some(Ok(connected)) => connected?,
        };
        // To a port of this host where nobody listens: the kernel may give us that very port, and connect us with ourselves.
        if stream.local_addr()? == to {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        self.adopt(stream, to, Origin::Connected, false)
    }

    /// Takes a stream into the table and starts its tasks.
    fn adopt(
        self: &Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        origin: Origin,
        is_reserved: bool,
    ) -> io::Result<FlowKey> {
        tune(&stream, &self.shared.options)?;
        let connection = self.next.fetch_add(1, Ordering::Relaxed);
        let flow = FlowKey {
            transport: Transport::Tcp,
            local: stream.local_addr()?,
            remote,
            connection,
        };
        let (queue, queued) = WriteQueue::new(
            flow.clone(),
            self.shared.options.write_queue_bytes,
            origin,
            self.clock,
        );
        let queue = Arc::new(queue);
        {
            let mut open = self.open();
            if !self.is_trusted(remote.ip()) && !open.reserve(connection, is_reserved) {
                match open.enter(connection, remote.ip(), origin, self.clock.now_ms()) {
                    Entered::Free => {}
                    Entered::InPlaceOf(other) => self.close_for_room(&open, other),
                    Entered::Refused => {
                        self.shared.drops.count_connection();
                        return Err(io::Error::other(TOO_MANY));
                    }
                }
            }
            open.connections.insert(connection, Arc::clone(&queue));
            open.by_remote.insert(remote, connection);
        }
        let table = Arc::clone(self);
        self.tasks.spawn(async move {
            connection::run(&table.shared, stream, &queue, queued, origin).await;
            table.forget(queue.flow());
            // Last, so that the receiver of this event finds the connection gone.
            queue.close();
        });
        Ok(flow)
    }

    /// See [`super::Endpoint::send_flow`].
    pub(super) fn send(&self, connection: u64, bytes: Bytes) -> Result<(), FlowGone> {
        let queue = self
            .open()
            .connections
            .get(&connection)
            .cloned()
            .ok_or(FlowGone)?;
        self.push(&queue, bytes)
    }

    /// See [`super::Endpoint::send_to_many`].
    pub(super) fn send_to_many(&self, to: SocketAddr, bytes: Bytes) -> Result<(), FlowGone> {
        let queue = self.open().queue_to(to).cloned().ok_or(FlowGone)?;
        queue.widen(self.shared.options.shared_queue_bytes);
        self.push(&queue, bytes)
    }

    fn push(&self, queue: &WriteQueue, bytes: Bytes) -> Result<(), FlowGone> {
        queue.push(bytes).inspect_err(|FlowGone| {
            // A slow reader must not hold up the others; nor may it keep half of what it was sent.
            if queue.close() {
                self.shared.drops.count_connection();
            }
        })
    }

    pub(super) fn open_to(&self, to: SocketAddr) -> Option<FlowKey> {
        self.open().flow_to(to)
    }

    pub(super) fn closed(&self, connection: u64) -> WaitForCancellationFutureOwned {
        let token = self
            .open()
            .connections
            .get(&connection)
            .map(|queue| queue.token().clone());
        let token = token.unwrap_or_else(|| {
            let gone = CancellationToken::new();
            gone.cancel();
            gone
        });
        token.cancelled_owned()
    }

    fn is_trusted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let mut trusted = self.shared.options.trusted.iter();
        trusted.any(|network| network.contains(&address))
    }

    /// No descriptor is left, whoever has them: a stranger goes, so that the next who comes finds one.
    fn expel(&self) {
        let mut open = self.open();
        let now_ms = self.clock.now_ms();
        let Open {
            connections,
            accepted,
            ..
        } = &mut *open;
        if let Some(other) = accepted.expel(now_ms, usage_among(connections)) {
            self.close_for_room(&open, other);
        }
    }

    fn close_for_room(&self, open: &Open, connection: u64) {
        if let Some(queue) = open.connections.get(&connection)
            && queue.close()
        {
            self.shared.drops.count_connection();
            tracing::debug!(remote = %queue.flow().remote, "connection closed for want of room");
        }
    }

    fn forget(&self, flow: &FlowKey) {
        let mut open = self.open();
        open.connections.remove(&flow.connection);
        open.accepted.leave(flow.connection);
        open.connected.leave(flow.connection);
        open.reserved.remove(&flow.connection);
        if open.by_remote.get(&flow.remote) == Some(&flow.connection) {
            open.by_remote.remove(&flow.remote);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    fn new(options: &EndpointOptions) -> Open {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.map_or(usize::MAX, |limit| {
            usize::try_from(limit).unwrap_or(usize::MAX)
        });
        let left = descriptors.saturating_sub(options.other_descriptors);
        let most = |in_all: usize, of_source: usize, descriptors: usize| Most {
            in_all: bound(in_all).min(descriptors.max(FEWEST)),
            of_source: bound(of_source),
        };
        Open {
            connections: HashMap::new(),
            accepted: Room::new(most(
                options.max_connections,
                options.max_connections_of_source,
                left / 2,
            )),
            connected: Room::new(most(
                options.max_connections_out,
                options.max_connections_to_target,
                left / 4,
            )),
            reserved: HashSet::new(),
            by_remote: HashMap::new(),
            connecting: HashMap::new(),
        }
    }

    /// Whether one more attempt may be begun, unless there is one already: as many wait for strangers as may be connected to.
    fn may_try(&self, to: SocketAddr) -> bool {
        let (most, target) = (self.connected.most(), Source::from(to.ip()));
        let to_target = |addr: &&SocketAddr| Source::from(addr.ip()) == target;
        self.connecting.contains_key(&to)
            || self.connecting.len() < most.in_all
                && self.connecting.keys().filter(to_target).count() < most.of_source
    }

    /// Whether it has one of the reserved places.
    fn reserve(&mut self, connection: u64, is_reserved: bool) -> bool {
        let has_place = is_reserved && self.reserved.len() < RESERVED_CONNECTIONS;
        has_place && self.reserved.insert(connection)
    }

    fn enter(&mut self, connection: u64, peer: IpAddr, origin: Origin, now_ms: u64) -> Entered {
        let room = match origin {
            Origin::Accepted { .. } => &mut self.accepted,
            Origin::Connected => &mut self.connected,
        };
        let usage = usage_among(&self.connections);
        room.enter(connection, Source::from(peer), now_ms, usage)
    }

    /// RFC 3261 section 18.1.1: a connection that is open already is used again.
    fn flow_to(&self, to: SocketAddr) -> Option<FlowKey> {
        let queue = self.queue_to(to)?;
        queue.is_open().then(|| queue.flow().clone())
    }

    fn queue_to(&self, to: SocketAddr) -> Option<&Arc<WriteQueue>> {
        self.connections.get(self.by_remote.get(&to)?)
    }
}

fn usage_among(connections: &HashMap<u64, Arc<WriteQueue>>) -> impl Fn(u64) -> Option<Usage> {
    |connection| connections.get(&connection).map(|queue| queue.usage())
}

/// Even with next to no descriptors somebody is to be served.
const FEWEST: usize = 16;

fn is_out_of_descriptors(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE))
}

/// 0 stands for no bound.
fn bound(most: usize) -> usize {
    match most {
        0 => usize::MAX,
        most => most,
    }
}

/// SIP messages are small and awaited: no Nagle. A dead peer is found within two minutes even when nothing is sent.
fn tune(stream: &TcpStream, options: &EndpointOptions) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(options.unacknowledged_timeout))?;
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    socket.set_tcp_keepalive(&keepalive)
}
