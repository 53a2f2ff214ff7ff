//! A UDP socket connected to one process of ours. Connected, so that the kernel reports when nobody listens there.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sip::{Limits, Message, Transport};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::table::Branch;
use super::{Outcome, Shared, Unreachable};
use crate::FlowKey;
use crate::endpoint::{Outgoing, ReceiveBuffer, open_udp, receive, send};

/// Servers come and go; a socket that nothing travels on is closed after this. Longer than any transaction lives, so that a
/// Via that was made with it stays true.
const IDLE: Duration = Duration::from_secs(120);
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
const SENT_TOGETHER: usize = 64;
const CLOSED: u64 = u64::MAX;

/// The socket as senders see it.
pub(super) struct Relay {
    pub(super) local: SocketAddr,
    // Unbounded, but never longer than the number of open transactions.
    queue: mpsc::UnboundedSender<(Branch, Bytes)>,
    began: Instant,
    /// Milliseconds since `began`, or `CLOSED`.
    used_ms: AtomicU64,
}

impl Relay {
    pub(super) fn send(&self, branch: &Branch, bytes: Bytes) {
        // A closed queue means that the client is ending.
        let _ = self.queue.send((Arc::clone(branch), bytes));
    }

    /// Notes that the socket is wanted. False: it is closed, open another.
    pub(super) fn touch(&self) -> bool {
        let now_ms = self.now_ms();
        self.used_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used != CLOSED).then_some(now_ms)
            })
            .is_ok()
    }

    fn close_if_idle(&self) -> bool {
        let long_ago = self
            .now_ms()
            .checked_sub(u64::try_from(IDLE.as_millis()).unwrap_or(u64::MAX));
        let Some(long_ago) = long_ago else {
            return false;
        };
        self.used_ms
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                (used <= long_ago).then_some(CLOSED)
            })
            .is_ok()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX - 1)
    }
}

/// Opens the socket and starts its task.
pub(super) fn open<K: Send + 'static>(
    shared: &Arc<Shared<K>>,
    to: SocketAddr,
) -> io::Result<Arc<Relay>> {
    let any: SocketAddr = if to.is_ipv4() {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    };
    let socket = open_udp(any, RECEIVE_BUFFER_BYTES)?;
    socket2::SockRef::from(&socket).connect(&to.into())?;
    let (queue, queued) = mpsc::unbounded_channel();
    let relay = Arc::new(Relay {
        local: socket.local_addr()?,
        queue,
        began: Instant::now(),
        used_ms: AtomicU64::new(0),
    });
    let task = run(
        Arc::downgrade(shared),
        Arc::downgrade(&relay),
        socket,
        to,
        queued,
    );
    tokio::spawn(shared.closing.clone().run_until_cancelled_owned(task));
    Ok(relay)
}

async fn run<K: Send + 'static>(
    shared: Weak<Shared<K>>,
    relay: Weak<Relay>,
    socket: UdpSocket,
    to: SocketAddr,
    mut queued: mpsc::UnboundedReceiver<(Branch, Bytes)>,
) {
    let mut buffer = ReceiveBuffer::new();
    let mut datagrams = Vec::new();
    let mut batch = Vec::new();
    let flow = FlowKey {
        transport: Transport::Udp,
        local: socket.local_addr().unwrap_or(to),
        remote: to,
        connection: 0,
    };
    loop {
        let event = tokio::select! {
            received = receive(&socket, &mut buffer, &mut datagrams) => Event::Received(received),
            count = queued.recv_many(&mut batch, SENT_TOGETHER) => if count > 0 { Event::Queued } else { return },
            () = tokio::time::sleep(IDLE) => Event::Quiet,
        };
        let Some(shared) = shared.upgrade() else {
            return;
        };
        match event {
            Event::Received(Ok(())) => datagrams
                .drain(..)
                .for_each(|(_, bytes)| take(&shared, &flow, bytes)),
            Event::Received(Err(error)) => fail_sent(&shared, to, &error),
            Event::Queued => deliver(&shared, &socket, to, &mut batch).await,
            Event::Quiet => {
                let mut table = shared.table();
                if table.relay_is_idle(to)
                    && relay.upgrade().is_none_or(|relay| relay.close_if_idle())
                {
                    table.relays.remove(&to);
                    return;
                }
            }
        }
    }
}

enum Event {
    Received(io::Result<()>),
    Queued,
    Quiet,
}

fn take<K: Send + 'static>(shared: &Arc<Shared<K>>, flow: &FlowKey, bytes: Vec<u8>) {
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Response(response)) => shared.take_response(response, flow.clone()),
        // Nobody sends requests to this socket: its port stands in no Contact.
        Ok(Message::Request(_)) => {}
        Err(error) => tracing::debug!(%error, "relay sent something unreadable"),
    }
}

async fn deliver<K: Send + 'static>(
    shared: &Arc<Shared<K>>,
    socket: &UdpSocket,
    to: SocketAddr,
    batch: &mut Vec<(Branch, Bytes)>,
) {
    let (branches, datagrams): (Vec<Branch>, Vec<Outgoing>) = batch
        .drain(..)
        .map(|(branch, bytes)| (branch, (None, bytes)))
        .unzip();
    let mut sent = 0;
    let mut failed_before = false;
    while sent < datagrams.len() {
        match send(socket, &datagrams[sent..]).await {
            Ok(count) => {
                shared
                    .table()
                    .mark_sent(branches[sent..].iter().take(count));
                sent += count.max(1);
                failed_before = false;
            }
            Err(error) if !failed_before => {
                // The error is about what was sent earlier; this datagram has not left yet and gets its own chance.
                fail_sent(shared, to, &error);
                failed_before = true;
            }
            Err(error) => {
                shared.fail(
                    &branches[sent],
                    Outcome::Unreachable(Unreachable::Io(error.kind())),
                );
                sent += 1;
                failed_before = false;
            }
        }
    }
}

/// RFC 3261 section 17.1.4, RFC 3263 section 4.3: a fatal ICMP error is a transport failure.
fn fail_sent<K: Send + 'static>(shared: &Arc<Shared<K>>, to: SocketAddr, error: &io::Error) {
    let branches = shared.table().sent_to_relay(to);
    tracing::debug!(relay = %to, %error, open = branches.len(), "relay is unreachable");
    for branch in branches {
        shared.fail(&branch, Outcome::Unreachable(Unreachable::Io(error.kind())));
    }
}
