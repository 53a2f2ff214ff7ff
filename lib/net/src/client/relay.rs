//! The way to one process of ours: a connection that is kept open, on which requests go in line, many in one write.
//!
//! A stream, because a request may be longer than any datagram, and because one write carries many. The process at its end may send
//! them on as datagrams, so they are repeated here as over UDP ([`super::Hop::Relay`]). When the connection breaks, or cannot be opened,
//! all that is open on it fails at once, and nothing else does.

pub(super) mod queue;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use sip::{Frame, Limits, Message, StreamFramer, Transport};
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::timeout;

use self::queue::Relay;
use super::table::Table;
use super::{Outcome, Shared, Unreachable};
use crate::FlowKey;

/// Servers come and go; a connection that nothing travels on is closed after this. Sooner than the process at its end would.
const IDLE: Duration = Duration::from_secs(120);
/// How long the connection may take to open.
const OPENING: Duration = Duration::from_secs(4);
/// How long what was written may stay without the other kernel's word, and a write without progress: a machine that is gone must
/// not be taken for phones that are silent, which would be after 64*T1 = 32 s.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// Requests written by one call.
const WRITTEN_TOGETHER: usize = 64;
const READ_BYTES: usize = 64 * 1024;
/// What is read of answers. They were written anew from what phones sent within the default limits, and are longer for it: names are written in
/// full, and Content-Length is a header more. One that exceeded these would end the connection for all.
const ANSWERS: Limits = Limits {
    message_bytes: 1 << 20,
    header_count: 1_024,
    header_line_bytes: 64 << 10,
    body_bytes: 1 << 20,
    notify_bytes: 1 << 20,
};

/// The connection to `to`; begins to open one if there is none.
pub(super) fn find_or_open<K: Send + 'static>(
    shared: &Arc<Shared<K>>,
    table: &mut Table,
    to: SocketAddr,
) -> Arc<Relay> {
    if let Some(relay) = table.relays.get(&to) {
        return Arc::clone(relay);
    }
    let (queue, queued) = mpsc::unbounded_channel();
    let relay = Arc::new(Relay {
        id: table.next_relay(),
        queue,
        waiting_bytes: Arc::default(),
    });
    table.relays.insert(to, Arc::clone(&relay));
    let line = Line {
        shared: Arc::downgrade(shared),
        id: relay.id,
        to,
        queued,
        waiting_bytes: Arc::clone(&relay.waiting_bytes),
    };
    tokio::spawn(shared.closing.clone().run_until_cancelled_owned(line.run()));
    relay
}

/// The connection as its task sees it.
struct Line<K> {
    shared: Weak<Shared<K>>,
    id: u64,
    to: SocketAddr,
    queued: mpsc::UnboundedReceiver<Bytes>,
    waiting_bytes: Arc<AtomicUsize>,
}

/// Why a connection ended.
enum End {
    /// Nothing travelled on it, and it is out of the table already.
    Idle,
    Broken(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Broken(error)
    }
}

// === impl Line ===

impl<K: Send + 'static> Line<K> {
    async fn run(mut self) {
        let stream = match open(self.to).await {
            Ok(stream) => stream,
            Err(error) => return self.end(&error, Unreachable::Io(error.kind())),
        };
        let flow = FlowKey {
            transport: Transport::Tcp,
            local: stream.local_addr().unwrap_or(self.to),
            remote: self.to,
            connection: 0,
        };
        let (reading, writing) = stream.into_split();
        let shared = Weak::clone(&self.shared);
        let end = tokio::select! {
            end = read(&shared, reading, &flow) => end,
            end = self.write(writing) => end,
        };
        if let End::Broken(error) = end {
            self.end(&error, Unreachable::FlowGone);
        }
    }

    /// RFC 3261 section 17.1.4: all that is open on it has failed.
    fn end(mut self, error: &io::Error, outcome: Unreachable) {
        let Some(shared) = self.shared.upgrade() else {
            return;
        };
        let branches = {
            let mut table = shared.table();
            self.queued.close();
            table.relays.remove(&self.to);
            table.on_relay(self.id)
        };
        tracing::debug!(relay = %self.to, %error, open = branches.len(), "relay is unreachable");
        for branch in branches {
            shared.fail(&branch, Outcome::Unreachable(outcome.clone()));
        }
    }

    async fn write(&mut self, mut writing: OwnedWriteHalf) -> End {
        let mut batch: Vec<Bytes> = Vec::with_capacity(WRITTEN_TOGETHER);
        let mut joined = Vec::new();
        loop {
            match timeout(IDLE, self.queued.recv_many(&mut batch, WRITTEN_TOGETHER)).await {
                Err(_) if self.close_if_idle() => return End::Idle,
                Err(_) => continue,
                // The client is gone.
                Ok(0) => return End::Idle,
                Ok(_) => {}
            }
            joined.clear();
            batch
                .drain(..)
                .for_each(|bytes| joined.extend_from_slice(&bytes));
            let mut rest = joined.as_slice();
            while !rest.is_empty() {
                match timeout(DEAD_AFTER, writing.write(rest)).await {
                    Ok(Ok(0)) => return io::Error::from(io::ErrorKind::WriteZero).into(),
                    Ok(Ok(count)) => rest = &rest[count..],
                    Ok(Err(error)) => return error.into(),
                    Err(_) => return io::Error::from(io::ErrorKind::TimedOut).into(),
                }
            }
            self.waiting_bytes
                .fetch_sub(joined.len(), Ordering::Relaxed);
        }
    }

    /// Whoever sends holds the table's lock, so nothing can come in between.
    fn close_if_idle(&mut self) -> bool {
        let Some(shared) = self.shared.upgrade() else {
            return true;
        };
        let mut table = shared.table();
        let is_idle = table.relay_is_idle(self.id) && self.queued.is_empty();
        if is_idle {
            self.queued.close();
            table.relays.remove(&self.to);
        }
        is_idle
    }
}

async fn open(to: SocketAddr) -> io::Result<TcpStream> {
    let connecting = timeout(OPENING, TcpStream::connect(to)).await;
    let stream = connecting.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    // To a port of this host where nobody listens: the kernel may give us that very port, and connect us with ourselves.
    if stream.local_addr()? == to {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    stream.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    SockRef::from(&stream).set_tcp_user_timeout(Some(DEAD_AFTER))?;
    Ok(stream)
}

async fn read<K: Send + 'static>(
    shared: &Weak<Shared<K>>,
    mut reading: OwnedReadHalf,
    flow: &FlowKey,
) -> End {
    let mut framer = StreamFramer::new(ANSWERS);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match reading.read(&mut buffer).await {
            Ok(0) => return io::Error::from(io::ErrorKind::UnexpectedEof).into(),
            Ok(count) => framer.push(&buffer[..count]),
            Err(error) => return error.into(),
        }
        let Some(shared) = shared.upgrade() else {
            return End::Idle;
        };
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) => take(&shared, flow, bytes),
                Ok(Some(Frame::Ping | Frame::TooLarge { .. })) => {}
                Ok(None) => break,
                Err(error) => return io::Error::other(error.reason).into(),
            }
        }
    }
}

fn take<K: Send + 'static>(shared: &Arc<Shared<K>>, flow: &FlowKey, bytes: Vec<u8>) {
    match sip::parse_datagram(bytes, &ANSWERS) {
        Ok(Message::Response(response)) => shared.take_response(response, flow.clone()),
        // Nobody sends requests on this connection.
        Ok(Message::Request(_)) => {}
        Err(error) => tracing::debug!(%error, "relay sent something unreadable"),
    }
}
