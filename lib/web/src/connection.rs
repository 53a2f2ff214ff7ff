//! Connections: taken while there is room, each with its deadlines, until the word to stop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_LENGTH;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use node::Shutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::OwnedSemaphorePermit;

use crate::half_open::Head;
use crate::patience::Patient;
use crate::receive::READ_WITHIN;
use crate::reply::Reply;
use crate::{Web, routes};

/// Longest head of a request, and the most that is read ahead.
const LARGEST_HEAD: usize = 64 * 1024;
/// What the kernel keeps for a reader that is behind; it doubles it. The rest waits here, where it is one document a stream.
const SEND_BUFFER: u32 = 64 * 1024;
/// The time in which a reader must take something.
const READER_WITHIN: Duration = Duration::from_secs(10);
/// The age at which a connection takes no more requests, and then what is left to it to read its answer.
const LAST_REQUEST: Duration = Duration::from_secs(60);
const LAST_ANSWER: Duration = Duration::from_secs(90);
/// Pause after a connection could not be taken (no file descriptors are left).
const BREATH: Duration = Duration::from_millis(100);
/// How long a newcomer waits for the place of a connection that had to go for it.
const PLACE_WITHIN: Duration = Duration::from_secs(1);
/// Connections that the kernel takes ahead.
const ACCEPTED_AHEAD: u32 = 1024;

/// Listens.
///
/// # Errors
/// The system's.
pub fn listen(addr: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match addr {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    // Handed down to what is accepted.
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.bind(addr)?;
    socket.listen(ACCEPTED_AHEAD)
}

/// A connection's place among those that make requests.
#[derive(Debug)]
pub(crate) struct Slot {
    place: Mutex<Option<OwnedSemaphorePermit>>,
    is_stream: AtomicBool,
}

// === impl Slot ===

impl Slot {
    fn new(place: OwnedSemaphorePermit) -> Slot {
        Slot {
            place: Mutex::new(Some(place)),
            is_stream: AtomicBool::new(false),
        }
    }

    /// The connection has become a stream, which counts among those: its place is free for another.
    pub(crate) fn becomes_stream(&self) {
        self.is_stream.store(true, Ordering::Relaxed);
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        drop(place.take());
    }

    fn is_stream(&self) -> bool {
        self.is_stream.load(Ordering::Relaxed)
    }
}

// === impl Web ===

impl Web {
    /// Serves until it is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let router = routes::router(Arc::clone(&self));
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be accepted");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            let place = Arc::clone(&self.connections).try_acquire_owned().ok();
            let (head, one_goes) = self.half_open.wait(peer.ip());
            if place.is_none() && !one_goes && !self.half_open.expel() {
                turn_away(&stream);
                continue;
            }
            let (web, router) = (Arc::clone(&self), router.clone());
            tokio::spawn(async move {
                let place = match place {
                    Some(place) => Some(place),
                    None => web.place_of_another().await,
                };
                match place {
                    Some(place) => {
                        let slot = Arc::new(Slot::new(place));
                        let shutdown = web.shutdown.clone();
                        drop(web);
                        converse(router, shutdown, stream, peer, slot, head).await;
                    }
                    None => turn_away(&stream),
                }
            });
        }
    }

    async fn place_of_another(&self) -> Option<OwnedSemaphorePermit> {
        let place = Arc::clone(&self.connections).acquire_owned();
        tokio::time::timeout(PLACE_WITHIN, place).await.ok()?.ok()
    }
}

async fn converse(
    router: Router,
    shutdown: Shutdown,
    stream: TcpStream,
    peer: SocketAddr,
    slot: Arc<Slot>,
    head: Head,
) {
    let router = TowerToHyperService::new(router);
    let service = service_fn(|mut request: Request<Incoming>| {
        head.came();
        request.extensions_mut().insert(Arc::clone(&slot));
        let answered = router.call(request);
        async move { answered.await.map(without_false_length) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(READ_WITHIN)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Patient::new(stream, READER_WITHIN)), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = head.has_to_go() => return,
        () = async {
            tokio::select! {
                () = shutdown.triggered() => {}
                () = tokio::time::sleep(LAST_REQUEST) => {}
            }
        } => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(LAST_ANSWER, connection.as_mut()).await {
                Ok(ended) => ended,
                // A stream lasts as long as its reader, and its reader as long as it reads.
                Err(_) if slot.is_stream() => connection.await,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "an HTTP connection ended early");
    }
}

/// RFC 9110 section 8.6: 204 has no Content-Length, and of 304 it would be that of the document. axum writes 0.
fn without_false_length(mut reply: Reply) -> Reply {
    if matches!(
        reply.status(),
        StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
    ) {
        reply.headers_mut().remove(CONTENT_LENGTH);
    }
    reply
}

/// One answer without reading anything; if even that does not fit into the socket, silence.
fn turn_away(stream: &TcpStream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}
