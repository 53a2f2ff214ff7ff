//! The life of one TCP connection: framing what comes, writing what is queued, closing whoever wastes our time.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sip::{Frame, StreamFramer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::tcp::{Origin, TcpTable};
use crate::{FlowGone, FlowKey, Packet};

const READ_BYTES: usize = 16 * 1024;
/// Queued messages written by one call.
const WRITTEN_TOGETHER: usize = 64;
/// RFC 5626 section 4.4.1: the pong is a single CRLF.
const PONG: &[u8] = b"\r\n";

/// What waits to be written to one peer, bounded in bytes; and the token that ends the connection.
pub(super) struct WriteQueue {
    flow: FlowKey,
    queue: mpsc::UnboundedSender<Bytes>,
    waiting_bytes: AtomicUsize,
    max_bytes: usize,
    token: CancellationToken,
}

impl WriteQueue {
    pub(super) fn new(
        flow: FlowKey,
        max_bytes: usize,
        token: CancellationToken,
    ) -> (WriteQueue, mpsc::UnboundedReceiver<Bytes>) {
        let (queue, queued) = mpsc::unbounded_channel();
        (
            WriteQueue {
                flow,
                queue,
                waiting_bytes: AtomicUsize::new(0),
                max_bytes,
                token,
            },
            queued,
        )
    }

    pub(super) fn flow(&self) -> &FlowKey {
        &self.flow
    }

    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Queues, unless the connection is closed or the peer already has too much to read.
    pub(super) fn push(&self, bytes: Bytes) -> Result<(), FlowGone> {
        let length = bytes.len();
        if self.token.is_cancelled()
            || self.waiting_bytes.load(Ordering::Relaxed) + length > self.max_bytes
        {
            return Err(FlowGone);
        }
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        self.queue.send(bytes).map_err(|_| FlowGone)
    }

    /// Ends the connection. Whether it was still open.
    pub(super) fn close(&self) -> bool {
        let was_open = !self.token.is_cancelled();
        self.token.cancel();
        was_open
    }
}

/// Reads and writes until one side has enough.
pub(super) async fn run(
    table: &TcpTable,
    stream: TcpStream,
    queue: &WriteQueue,
    queued: mpsc::UnboundedReceiver<Bytes>,
    origin: Origin,
) {
    let flow = queue.flow();
    let (reading, writing) = stream.into_split();
    let end = tokio::select! {
        end = read(table, reading, queue, origin) => end,
        end = write(writing, queued, queue, table.options.write_timeout) => end,
        () = queue.token().cancelled() => return,
    };
    match end {
        End::Peer => tracing::trace!(remote = %flow.remote, "connection closed by its peer"),
        End::Io(error) => tracing::debug!(remote = %flow.remote, %error, "connection broke"),
        End::Ours(reason) => {
            table.drops.count_connection();
            tracing::debug!(remote = %flow.remote, reason, "connection closed");
        }
    }
}

/// Why a connection ended.
enum End {
    Peer,
    Io(io::Error),
    Ours(&'static str),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Io(error)
    }
}

async fn read(
    table: &TcpTable,
    mut reading: OwnedReadHalf,
    queue: &WriteQueue,
    origin: Origin,
) -> End {
    let options = &table.options;
    let mut framer = StreamFramer::new(table.limits);
    let mut buffer = vec![0; READ_BYTES];
    // Set while a message is expected to be complete soon: the first of an accepted connection, or one that has begun.
    let mut due = (origin == Origin::Accepted).then(|| {
        (
            Instant::now() + options.first_message_timeout,
            "no message in time",
        )
    });
    loop {
        let (deadline, reason) = due.unwrap_or((Instant::now() + options.idle_timeout, "idle"));
        let count = match timeout_at(deadline, reading.read(&mut buffer)).await {
            Err(_) => return End::Ours(reason),
            Ok(Ok(0)) => return End::Peer,
            Ok(Ok(count)) => count,
            Ok(Err(error)) => return error.into(),
        };
        framer.push(&buffer[..count]);
        let mut batch = Vec::new();
        loop {
            match framer.next() {
                Ok(Some(Frame::Message(bytes))) if sip::is_keepalive(&bytes) => {}
                Ok(Some(Frame::Message(bytes))) => batch.push(Packet {
                    bytes,
                    flow: queue.flow().clone(),
                }),
                Ok(Some(Frame::Ping)) => {
                    if queue.push(Bytes::from_static(PONG)).is_err() {
                        return End::Ours("too slow a reader");
                    }
                    // A keep-alive is a sign of life of a phone that has nothing to say yet.
                    due = due.filter(|(_, reason)| *reason != "no message in time");
                }
                Ok(None) => break,
                Err(error) => {
                    deliver(table, batch).await;
                    return End::Ours(error.reason);
                }
            }
        }
        if !batch.is_empty() {
            due = None;
            if !deliver(table, batch).await {
                return End::Ours("the endpoint is closed");
            }
        }
        // A message that trickles in gets one deadline from its first byte on, however often a byte comes.
        due = match (due, framer.is_partial()) {
            (None, true) => Some((
                Instant::now() + options.message_timeout,
                "message took too long",
            )),
            (Some((_, "message took too long")), false) => None,
            (due, _) => due,
        };
    }
}

async fn deliver(table: &TcpTable, batch: Vec<Packet>) -> bool {
    batch.is_empty() || table.packets.send(batch).await.is_ok()
}

async fn write(
    mut writing: OwnedWriteHalf,
    mut queued: mpsc::UnboundedReceiver<Bytes>,
    queue: &WriteQueue,
    patience: Duration,
) -> End {
    let mut batch: Vec<Bytes> = Vec::with_capacity(WRITTEN_TOGETHER);
    let mut joined = Vec::new();
    loop {
        if queued.recv_many(&mut batch, WRITTEN_TOGETHER).await == 0 {
            return End::Peer;
        }
        joined.clear();
        for bytes in batch.drain(..) {
            joined.extend_from_slice(&bytes);
        }
        let mut rest = joined.as_slice();
        while !rest.is_empty() {
            match timeout(patience, writing.write(rest)).await {
                Err(_) => return End::Ours("too slow a reader"),
                Ok(Ok(0)) => return End::Peer,
                Ok(Ok(count)) => rest = &rest[count..],
                Ok(Err(error)) => return error.into(),
            }
        }
        queue
            .waiting_bytes
            .fetch_sub(joined.len(), Ordering::Relaxed);
    }
}
