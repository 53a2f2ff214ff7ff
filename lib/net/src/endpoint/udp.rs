//! UDP sockets: one task that reads, one that writes, per socket.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip::Transport;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::batch::{BATCH, Outgoing, ReceiveBuffer, receive, send};
use super::{Drops, Refusals};
use crate::{FlowKey, Packet};

/// Opens and binds a socket. IPv6 sockets take IPv6 alone, so that `0.0.0.0` and `[::]` can be listened on side by side.
pub(super) fn open(addr: SocketAddr, receive_buffer_bytes: usize) -> io::Result<UdpSocket> {
    UdpSocket::from_std(open_std(addr, receive_buffer_bytes)?)
}

/// The same without a run time.
pub(super) fn open_std(
    addr: SocketAddr,
    receive_buffer_bytes: usize,
) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    raise_receive_buffer(&socket, receive_buffer_bytes);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

fn raise_receive_buffer(socket: &Socket, bytes: usize) {
    // With CAP_NET_ADMIN beyond `net.core.rmem_max`; without it as far as that. A small buffer is not a reason not to start.
    #[cfg(target_os = "linux")]
    if rustix::net::sockopt::set_socket_recv_buffer_size_force(socket, bytes).is_ok() {
        return;
    }
    if let Err(error) = socket.set_recv_buffer_size(bytes) {
        tracing::debug!(bytes, %error, "receive buffer left as it is");
    }
}

/// The sending side of a socket, as the endpoint holds it.
pub(super) struct UdpSender {
    local: SocketAddr,
    queue: mpsc::Sender<Outgoing>,
}

impl UdpSender {
    /// Begins to read and write the socket.
    pub(super) fn start(
        socket: UdpSocket,
        local: SocketAddr,
        queue_count: usize,
        packets: mpsc::Sender<Vec<Packet>>,
        closing: &CancellationToken,
        tasks: &TaskTracker,
        trouble: Trouble,
    ) -> UdpSender {
        let socket = Arc::new(socket);
        let (queue, queued) = mpsc::channel(queue_count.max(1));
        tasks.spawn(closing.clone().run_until_cancelled_owned(read(
            Arc::clone(&socket),
            local,
            packets,
        )));
        tasks.spawn(write(socket, queued, closing.clone(), trouble));
        UdpSender { local, queue }
    }

    pub(super) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Whether the datagram found room.
    pub(super) fn send(&self, to: SocketAddr, bytes: Bytes) -> bool {
        self.queue.try_send((Some(to), bytes)).is_ok()
    }
}

async fn read(socket: Arc<UdpSocket>, local: SocketAddr, packets: mpsc::Sender<Vec<Packet>>) {
    let mut buffer = ReceiveBuffer::new();
    let mut datagrams = Vec::with_capacity(BATCH);
    loop {
        if let Err(error) = receive(&socket, &mut buffer, &mut datagrams).await {
            // What an unconnected socket reports here belongs to a datagram of the past, not to the socket.
            tracing::debug!(%local, %error, "receiving failed");
            tokio::task::yield_now().await;
            continue;
        }
        let batch: Vec<Packet> = datagrams
            .drain(..)
            // RFC 5626 section 4.4.2 keeps UDP flows open by STUN; some phones send CRLF. Neither is SIP, neither is answered.
            .filter(|(_, bytes)| !sip::is_keepalive(bytes) && !sip::is_stun(bytes))
            .map(|(remote, bytes)| Packet {
                bytes,
                flow: FlowKey {
                    transport: Transport::Udp,
                    local,
                    remote,
                    connection: 0,
                },
                fault: None,
            })
            .collect();
        if !batch.is_empty() && packets.send(batch).await.is_err() {
            return;
        }
    }
}

/// Where it is noted what could not be sent.
#[derive(Clone)]
pub(super) struct Trouble {
    pub(super) drops: Arc<Drops>,
    pub(super) refusals: Arc<Refusals>,
}

async fn write(
    socket: Arc<UdpSocket>,
    mut queued: mpsc::Receiver<Outgoing>,
    closing: CancellationToken,
    trouble: Trouble,
) {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        let count = tokio::select! {
            biased;
            count = queued.recv_many(&mut batch, BATCH) => count,
            () = closing.cancelled() => {
                // Flush what was queued before: an answer after COMMIT must be sent.
                queued.close();
                queued.recv_many(&mut batch, BATCH).await
            }
        };
        if count == 0 {
            return;
        }
        send_all(&socket, &batch, &trouble).await;
        batch.clear();
    }
}

async fn send_all(socket: &UdpSocket, batch: &[Outgoing], trouble: &Trouble) {
    let mut sent = 0;
    while sent < batch.len() {
        match send(socket, &batch[sent..]).await {
            Ok(count) => sent += count.max(1),
            Err(error) => {
                // Only this one datagram is at fault (too long, no route, forbidden): the others go on.
                let (to, bytes) = &batch[sent];
                tracing::debug!(?to, octets = bytes.len(), %error, "datagram not sent");
                trouble.drops.count_datagram();
                if let Some(to) = to {
                    trouble.refusals.note(*to, bytes, error);
                }
                sent += 1;
            }
        }
    }
}
