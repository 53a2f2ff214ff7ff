//! UDP sockets connected to relays, one each. Connected, so that the kernel reports a closed port at the other end.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sip::{Limits, Message, Response};
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use crate::endpoint::{self, Outgoing, ReceiveBuffer};

/// Datagrams that may wait for one relay; beyond that they are dropped, and retransmitted later.
const QUEUE_COUNT: usize = 16_384;
/// Relays that are kept open. There is one per server process; more than this is a mistake, and the oldest are closed.
const MAX_RELAYS: usize = 1_024;

/// The sockets of one client.
#[derive(Default)]
pub(super) struct Relays {
    open: Mutex<HashMap<SocketAddr, Relay>>,
}

/// The sending side of one socket.
#[derive(Clone)]
pub(super) struct Relay {
    /// Our address, as the relay sees it.
    pub(super) local: SocketAddr,
    queue: mpsc::Sender<Outgoing>,
}

impl Relay {
    /// Queues a datagram; a full queue drops it: UDP promises nothing, and the transaction repeats itself.
    pub(super) fn send(&self, bytes: Bytes) {
        let _ = self.queue.try_send((None, bytes));
    }
}

impl Relays {
    /// The socket to `to`. A new one begins to read at once: responses go to `answered`, errors that the kernel reports to `failed`.
    pub(super) fn open(
        &self,
        to: SocketAddr,
        answered: impl Fn(Response) + Send + 'static,
        failed: impl Fn(&io::Error) + Send + Clone + 'static,
    ) -> io::Result<Relay> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(relay) = open.get(&to) {
            return Ok(relay.clone());
        }
        if open.len() >= MAX_RELAYS {
            open.clear();
        }
        let any: SocketAddr = match to {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = endpoint::open_connected(any, to)?;
        let local = socket.local_addr()?;
        let socket = Arc::new(socket);
        let (queue, queued) = mpsc::channel(QUEUE_COUNT);
        let reading = tokio::spawn(read(Arc::clone(&socket), answered, failed.clone()));
        tokio::spawn(async move {
            write(socket, queued, failed).await;
            reading.abort();
        });
        let relay = Relay { local, queue };
        open.insert(to, relay.clone());
        Ok(relay)
    }
}

async fn read(socket: Arc<UdpSocket>, answered: impl Fn(Response), failed: impl Fn(&io::Error)) {
    let mut buffer = ReceiveBuffer::new();
    let mut datagrams = Vec::new();
    let limits = Limits::default();
    loop {
        if let Err(error) = endpoint::receive(&socket, &mut buffer, &mut datagrams).await {
            failed(&error);
            tokio::task::yield_now().await;
            continue;
        }
        for (_, bytes) in datagrams.drain(..) {
            match sip::parse_datagram(bytes, &limits) {
                Ok(Message::Response(response)) => answered(response),
                Ok(Message::Request(_)) => tracing::debug!("a request from a relay; ignored"),
                Err(error) => tracing::debug!(reason = error.reason, "ignored what is no SIP message"),
            }
        }
    }
}

/// Sends until the last handle is gone.
async fn write(socket: Arc<UdpSocket>, mut queued: mpsc::Receiver<Outgoing>, failed: impl Fn(&io::Error)) {
    let mut batch = Vec::new();
    while queued.recv_many(&mut batch, 32).await > 0 {
        let mut sent = 0;
        while sent < batch.len() {
            match endpoint::send(&socket, &batch[sent..]).await {
                Ok(count) => sent += count.max(1),
                Err(error) => {
                    // The error is that of an earlier datagram; this one has not been sent.
                    failed(&error);
                    sent += 1;
                }
            }
        }
        batch.clear();
    }
}
