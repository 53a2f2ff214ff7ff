//! The life of one TCP connection: framing what comes, writing what is queued, closing whoever wastes our time.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sip::{Frame, FramingError, Limits, Method, StreamFramer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::room::Usage;
use super::{Drops, EndpointOptions};
use crate::{FlowGone, FlowKey, Packet};

const READ_BYTES: usize = 16 * 1024;
/// Queued messages written by one call.
const WRITTEN_TOGETHER: usize = 64;
/// How long a peer may take to close its side after ours, and how much of what it still sends is read away meanwhile.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: usize = 1 << 20;
/// The same when all of the endpoint ends: how long a peer may take to read what it is still sent, and then to close its side.
const LAST_WRITES: Duration = Duration::from_secs(2);
const LAST_LINGER: Duration = Duration::from_millis(200);
/// RFC 5626 section 4.4.1: the pong is a single CRLF.
const PONG: &[u8] = b"\r\n";

/// What all connections of an endpoint share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    pub(super) options: EndpointOptions,
    pub(super) packets: mpsc::Sender<Vec<Packet>>,
    pub(super) drops: Arc<Drops>,
    pub(super) closing: CancellationToken,
}

/// Which side opened the connection. Incoming ones must say something soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Accepted {
        /// From one of [`EndpointOptions::trusted`].
        is_trusted: bool,
    },
    Connected,
}

/// What waits to be written to one peer, bounded in bytes; and the token that ends the connection.
pub(super) struct WriteQueue {
    flow: FlowKey,
    queue: mpsc::UnboundedSender<Bytes>,
    waiting_bytes: AtomicUsize,
    max_bytes: AtomicUsize,
    /// Requests that came by this connection, less the responses that were queued. Not exact: a copy of a request that is being worked on
    /// gets no answer of its own.
    owed: AtomicI64,
    /// Requests that went by it, less the final responses that came. Not exact either.
    asked: AtomicI64,
    /// When a message came or went last, in milliseconds of [`Clock`].
    used_ms: AtomicU64,
    /// It has brought a whole request, or was opened by us.
    has_asked: AtomicBool,
    is_ours: AtomicBool,
    clock: Clock,
    /// Rings when what was queued has been written.
    written: Notify,
    /// The peer sends no more: it gets its pending answers, and nothing new is to begin here.
    ending: AtomicBool,
    token: CancellationToken,
}

/// The time since an endpoint was made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// How long an answer is waited for: 64*T1. A request that gets none must not keep a connection in use for ever.
const ANSWERED_WITHIN_MS: u64 = 32_000;

impl WriteQueue {
    pub(super) fn new(
        flow: FlowKey,
        max_bytes: usize,
        origin: Origin,
        clock: Clock,
    ) -> (WriteQueue, mpsc::UnboundedReceiver<Bytes>) {
        let (queue, queued) = mpsc::unbounded_channel();
        (
            WriteQueue {
                flow,
                queue,
                waiting_bytes: AtomicUsize::new(0),
                max_bytes: AtomicUsize::new(max_bytes),
                owed: AtomicI64::new(0),
                asked: AtomicI64::new(0),
                used_ms: AtomicU64::new(clock.now_ms()),
                has_asked: AtomicBool::new(origin == Origin::Connected),
                is_ours: AtomicBool::new(false),
                clock,
                written: Notify::new(),
                ending: AtomicBool::new(false),
                token: CancellationToken::new(),
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

    /// Whether something new may begin here.
    pub(super) fn is_open(&self) -> bool {
        !self.token.is_cancelled() && !self.ending.load(Ordering::Relaxed)
    }

    /// A process of ours is at its end: lets as much as this wait from now on.
    pub(super) fn widen(&self, max_bytes: usize) {
        self.max_bytes.fetch_max(max_bytes, Ordering::Relaxed);
        self.is_ours.store(true, Ordering::Relaxed);
    }

    pub(super) fn usage(&self) -> Usage {
        let last_ms = self.used_ms.load(Ordering::Relaxed);
        let is_awaited =
            self.owed.load(Ordering::Relaxed) > 0 || self.asked.load(Ordering::Relaxed) > 0;
        Usage {
            last_ms,
            has_asked: self.has_asked.load(Ordering::Relaxed),
            is_busy: is_awaited && last_ms + ANSWERED_WITHIN_MS > self.clock.now_ms(),
            is_ours: self.is_ours.load(Ordering::Relaxed),
        }
    }

    fn touch(&self) {
        self.used_ms.store(self.clock.now_ms(), Ordering::Relaxed);
    }

    /// Queues, unless the connection is closed or the peer already has too much to read.
    pub(super) fn push(&self, bytes: Bytes) -> Result<(), FlowGone> {
        let length = bytes.len();
        let waiting_bytes = self.waiting_bytes.load(Ordering::Relaxed) + length;
        if self.token.is_cancelled() || waiting_bytes > self.max_bytes.load(Ordering::Relaxed) {
            return Err(FlowGone);
        }
        self.waiting_bytes.fetch_add(length, Ordering::Relaxed);
        // A pong is as little a use as its ping.
        if bytes != PONG {
            self.touch();
            match is_request(&bytes) {
                true => self.asked.fetch_add(1, Ordering::Relaxed),
                // After the bytes were counted: who sees the answer counted sees them as well.
                false => self.owed.fetch_sub(1, Ordering::Release),
            };
        }
        self.queue.send(bytes).map_err(|_| FlowGone)
    }

    /// Notes that a message came: one that wants an answer, or is one. On a connection that we opened it is us who ask.
    fn took(&self, message: &[u8], origin: Origin) {
        self.touch();
        if !is_request(message) {
            if !is_provisional(message) {
                self.asked.fetch_sub(1, Ordering::Relaxed);
            }
            return;
        }
        self.has_asked.store(true, Ordering::Relaxed);
        // RFC 3261 section 17: there is no response to an ACK.
        let is_accepted = matches!(origin, Origin::Accepted { .. });
        if is_accepted && !message.starts_with(b"ACK ") {
            self.owed.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns when every request was answered and every answer written.
    async fn settled(&self) {
        while self.owed.load(Ordering::Acquire) > 0
            || self.waiting_bytes.load(Ordering::Acquire) > 0
        {
            self.written.notified().await;
        }
    }

    /// Returns when all that was queued has been written.
    async fn written(&self) {
        while self.waiting_bytes.load(Ordering::Acquire) > 0 {
            self.written.notified().await;
        }
    }

    /// Ends the connection. Whether it was still open.
    pub(super) fn close(&self) -> bool {
        let was_open = !self.token.is_cancelled();
        self.token.cancel();
        was_open
    }
}

fn is_request(message: &[u8]) -> bool {
    !message
        .get(..4)
        .is_some_and(|start| start.eq_ignore_ascii_case(b"SIP/"))
}

fn is_provisional(response: &[u8]) -> bool {
    // SIP/2.0 and a space.
    response.get(8) == Some(&b'1')
}

/// Reads and writes until one side has enough. A peer that sends no more, or nothing that can be framed, is still given the answers
/// to what it sent before: it may have closed its own side right behind a request, or sent rubbish right behind one. When the endpoint
/// closes, what was queued until then is written out.
pub(super) async fn run(
    shared: &Shared,
    stream: TcpStream,
    queue: &WriteQueue,
    queued: mpsc::UnboundedReceiver<Bytes>,
    origin: Origin,
) {
    let flow = queue.flow();
    let (mut reading, writing) = stream.into_split();
    let patience = shared.options.write_timeout;
    let mut writing = Box::pin(write(writing, queued, queue, patience));
    let (end, can_write) = tokio::select! {
        end = read(shared, &mut reading, queue, origin) => (end, true),
        end = &mut writing => (end, false),
        () = queue.token().cancelled() => return,
        () = shared.closing.cancelled() => (End::Closing, true),
    };
    let may_be_owed = can_write && matches!(end, End::Peer | End::Lost(_) | End::Closing);
    match end {
        End::Closing => {}
        End::Peer => tracing::trace!(remote = %flow.remote, "connection closed by its peer"),
        End::Io(error) => tracing::debug!(remote = %flow.remote, %error, "connection broke"),
        End::Ours(reason) | End::Lost(reason) => {
            shared.drops.count_connection();
            tracing::debug!(remote = %flow.remote, reason, "connection closed");
        }
    }
    if !may_be_owed {
        return;
    }
    queue.ending.store(true, Ordering::Relaxed);
    tokio::select! {
        _ = timeout(shared.options.answer_timeout, queue.settled()) => {}
        // Whoever closes the endpoint has given all the answers that there will be.
        _ = async { shared.closing.cancelled().await; timeout(LAST_WRITES, queue.written()).await } => {}
        _ = &mut writing => {}
        () = async { read_away(&mut reading).await; std::future::pending().await } => {}
        () = queue.token().cancelled() => return,
    }
    let linger = match shared.closing.is_cancelled() {
        true => LAST_LINGER,
        false => LINGER,
    };
    // Closes our side. What lies unread when a socket goes makes the kernel reset the connection, and the peer would lose what it
    // was sent last.
    drop(writing);
    let _ = timeout(linger, read_away(&mut reading)).await;
}

/// Reads until the peer has closed its side too, or has sent more than anybody waits for.
async fn read_away(reading: &mut OwnedReadHalf) {
    let mut buffer = [0; 4096];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match reading.read(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(count) => left = left.saturating_sub(count),
        }
    }
}

/// Why a connection ended.
enum End {
    /// The endpoint closes, or takes in no more.
    Closing,
    Peer,
    Io(io::Error),
    Ours(&'static str),
    /// The stream cannot be framed any more.
    Lost(&'static str),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> End {
        End::Io(error)
    }
}

/// Why there is a deadline.
const NO_REQUEST: &str = "no request in time";
const SLOW_MESSAGE: &str = "message took too long";

async fn read(
    shared: &Shared,
    reading: &mut OwnedReadHalf,
    queue: &WriteQueue,
    origin: Origin,
) -> End {
    let options = &shared.options;
    let mut framer = StreamFramer::new(shared.limits);
    let mut buffer = vec![0; READ_BYTES];
    // Set while a message is expected to be complete soon: the first request of a stranger's connection, or one that has begun.
    let mut due = (origin == Origin::Accepted { is_trusted: false })
        .then(|| (Instant::now() + options.first_request_timeout, NO_REQUEST));
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
                Ok(Some(Frame::Message(bytes))) => {
                    queue.took(&bytes, origin);
                    batch.push(Packet {
                        bytes,
                        flow: queue.flow().clone(),
                        fault: None,
                    });
                }
                Ok(Some(Frame::TooLarge { head, error })) => {
                    shared.refuse(head, error, queue, origin, &mut batch);
                }
                Ok(Some(Frame::Ping)) => {
                    if queue.push(Bytes::from_static(PONG)).is_err() {
                        return End::Ours("too slow a reader");
                    }
                }
                Ok(None) => break,
                Err(error) => {
                    shared.refuse(framer.lost(), error, queue, origin, &mut batch);
                    deliver(shared, batch).await;
                    return End::Lost(error.reason);
                }
            }
        }
        if !batch.is_empty() {
            let has_asked = batch.iter().any(|packet| is_request(&packet.bytes));
            due = due.filter(|(_, reason)| *reason == NO_REQUEST && !has_asked);
            if !deliver(shared, batch).await {
                return End::Closing;
            }
        }
        // A message that trickles in gets one deadline from its first byte on, however often a byte comes.
        due = match (due, framer.is_partial()) {
            (None, true) => Some((Instant::now() + options.message_timeout, SLOW_MESSAGE)),
            (Some((_, SLOW_MESSAGE)), false) => None,
            (due, _) => due,
        };
    }
}

impl Shared {
    /// Hands on what came of a message that the framing refuses, if that is a request that somebody waits for the answer of: whether there
    /// is enough to answer it, says the parser. Rubbish must not keep the connection open for an answer that never comes.
    fn refuse(
        &self,
        bytes: Vec<u8>,
        error: FramingError,
        queue: &WriteQueue,
        origin: Origin,
        batch: &mut Vec<Packet>,
    ) {
        let fault = error.of_message(bytes.clone(), &self.limits);
        let is_answerable = fault
            .answerable
            .is_some_and(|request| *request.method() != Method::Ack);
        if is_answerable {
            queue.took(&bytes, origin);
            batch.push(Packet {
                bytes,
                flow: queue.flow().clone(),
                fault: Some(error),
            });
        }
    }
}

async fn deliver(shared: &Shared, batch: Vec<Packet>) -> bool {
    batch.is_empty() || shared.packets.send(batch).await.is_ok()
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
            .fetch_sub(joined.len(), Ordering::Release);
        queue.written.notify_one();
    }
}
