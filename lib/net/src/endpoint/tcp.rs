//! The table of TCP connections: accepting, connecting with reuse, finding. One connection's life is in `connection`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
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

use super::connection::{self, Origin, Shared, WriteQueue};
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
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    connections: HashMap<u64, Arc<WriteQueue>>,
    by_remote: HashMap<SocketAddr, u64>,
    connecting: HashMap<SocketAddr, Attempt>,
}

/// One connect that any number of callers wait for; `io::Error` cannot be cloned, so kind and text travel.
type Attempt = Arc<OnceCell<Result<FlowKey, (io::ErrorKind, String)>>>;

impl TcpTable {
    pub(super) fn new(
        limits: Limits,
        options: EndpointOptions,
        packets: mpsc::Sender<Vec<Packet>>,
        closing: CancellationToken,
        tasks: TaskTracker,
        drops: Arc<Drops>,
    ) -> Arc<TcpTable> {
        let open = Mutex::default();
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
                    drop(self.adopt(stream, remote, Origin::Accepted { is_reserved }))
                }
                Err(error) => {
                    tracing::warn!(%error, "accepting a connection failed");
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
            Arc::clone(open.connecting.entry(to).or_default())
        };
        // A waiter that is dropped while it connects hands the attempt to the next one.
        let outcome = attempt
            .get_or_init(|| async {
                self.connect_anew(to)
                    .await
                    .map_err(|error| (error.kind(), error.to_string()))
            })
            .await
            .clone();
        let mut open = self.open();
        if open
            .connecting
            .get(&to)
            .is_some_and(|current| Arc::ptr_eq(current, &attempt))
        {
            open.connecting.remove(&to);
        }
        drop(open);
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
        self.adopt(stream, to, Origin::Connected)
    }

    /// Takes a stream into the table and starts its tasks.
    fn adopt(
        self: &Arc<Self>,
        stream: TcpStream,
        remote: SocketAddr,
        origin: Origin,
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
            CancellationToken::new(),
        );
        let queue = Arc::new(queue);
        {
            let mut open = self.open();
            let reserved = match origin {
                Origin::Accepted { is_reserved: true } => RESERVED_CONNECTIONS,
                Origin::Accepted { is_reserved: false } | Origin::Connected => 0,
            };
            if open.connections.len() >= self.shared.options.max_connections + reserved {
                self.shared.drops.count_connection();
                return Err(io::Error::other("too many connections"));
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

    fn forget(&self, flow: &FlowKey) {
        let mut open = self.open();
        open.connections.remove(&flow.connection);
        if open.by_remote.get(&flow.remote) == Some(&flow.connection) {
            open.by_remote.remove(&flow.remote);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// RFC 3261 section 18.1.1: a connection that is open already is used again.
    fn flow_to(&self, to: SocketAddr) -> Option<FlowKey> {
        let queue = self.queue_to(to)?;
        queue.is_open().then(|| queue.flow().clone())
    }

    fn queue_to(&self, to: SocketAddr) -> Option<&Arc<WriteQueue>> {
        self.connections.get(self.by_remote.get(&to)?)
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
