//! HTTP/1.1: `POST /RPC` (JSON-RPC 2.0) and `GET /health`.
//!
//! For operators and their programs, not for phones: few connections, small bodies, a deadline on everything. Without a token it
//! listens on loopback only (`lib/node` sees to that), takes no name but the machine's own in Host, and no type of body that a web
//! page could send by itself: else any page in a browser on this machine could give orders.

mod json_rpc;
mod method;

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper::header::{ALLOW, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, WWW_AUTHENTICATE};
use hyper::header::{HeaderName, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use node::{Shutdown, Token};
use serde_json::json;
use sql::Store;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

pub use method::{Fault, METHODS, call};

/// Connections at once; more are answered 503 and closed.
const CONNECTIONS: usize = 64;
/// Longest body of a request.
const LARGEST_BODY: usize = 1 << 20;
/// Longest head of a request, and the most that is read ahead.
const LARGEST_HEAD: usize = 64 * 1024;
/// The time in which a head must be there, and after it the body. An idle connection is closed after it too.
const READ_WITHIN: Duration = Duration::from_secs(10);
/// The time in which a request is carried out.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// The age at which a connection takes no more requests, and then what is left to it to read its answer.
const LAST_REQUEST: Duration = Duration::from_secs(60);
const LAST_ANSWER: Duration = Duration::from_secs(90);
/// The time in which the database must answer for this process to be called ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a connection could not be taken (no file descriptors are left).
const BREATH: Duration = Duration::from_millis(100);

/// What the listener needs.
#[derive(Debug)]
pub(crate) struct Http {
    store: Store,
    token: Option<Token>,
    shutdown: Shutdown,
}

impl Http {
    pub(crate) fn new(store: Store, token: Option<Token>, shutdown: Shutdown) -> Http {
        Http {
            store,
            token,
            shutdown,
        }
    }

    /// Serves until it is dropped.
    pub(crate) async fn serve(self, listener: TcpListener) {
        let shared = Arc::new(self);
        let free = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let (stream, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "an HTTP connection could not be taken");
                    tokio::time::sleep(BREATH).await;
                    continue;
                }
            };
            match Arc::clone(&free).try_acquire_owned() {
                Ok(permit) => {
                    let shared = Arc::clone(&shared);
                    tokio::spawn(async move {
                        shared.converse(stream, peer).await;
                        drop(permit);
                    });
                }
                Err(_) => turn_away(&stream),
            }
        }
    }

    async fn converse(self: Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let shutdown = self.shutdown.clone();
        let service = service_fn(move |request| {
            let shared = Arc::clone(&self);
            async move { Ok::<_, Infallible>(shared.answer(request).await) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(READ_WITHIN)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = async {
                tokio::select! {
                    () = shutdown.triggered() => {}
                    () = tokio::time::sleep(LAST_REQUEST) => {}
                }
            } => {
                connection.as_mut().graceful_shutdown();
                match tokio::time::timeout(LAST_ANSWER, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "an HTTP connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match (request.uri().path(), request.method()) {
            ("/health", &Method::GET | &Method::HEAD) => self.health().await,
            ("/health", _) => not_allowed("GET, HEAD"),
            ("/RPC", &Method::POST) => match self.refusal(&request) {
                Some(refusal) => refusal,
                None => self.rpc(request).await,
            },
            ("/RPC", _) => not_allowed("POST"),
            _ => text(StatusCode::NOT_FOUND, "there is /RPC and /health"),
        }
    }

    /// Whether this process can serve requests now. Says nothing of who or what is in the database.
    async fn health(&self) -> Response<Full<Bytes>> {
        let asked = tokio::time::timeout(READY_WITHIN, self.store.operator().ping()).await;
        let database = match asked {
            Ok(Ok(())) => "reachable",
            _ => "unreachable",
        };
        let is_stopping = self.shutdown.is_triggered();
        let (code, status) = match database {
            _ if is_stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
            "reachable" => (StatusCode::OK, "ready"),
            _ => (StatusCode::SERVICE_UNAVAILABLE, "not ready"),
        };
        json_response(code, &json!({"status": status, "database": database}))
    }

    /// Who may not give orders, and what is none.
    fn refusal(&self, request: &Request<Incoming>) -> Option<Response<Full<Bytes>>> {
        let header = |name| {
            request
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        match &self.token {
            Some(token) if !is_bearer(header(AUTHORIZATION), token) => {
                let refused = text(
                    StatusCode::UNAUTHORIZED,
                    "send Authorization: Bearer with http.token",
                );
                return Some(with(refused, WWW_AUTHENTICATE, "Bearer"));
            }
            None if !header(HOST).is_some_and(is_own_name) => {
                let why = "without http.token, Host must be an address or localhost";
                return Some(text(StatusCode::FORBIDDEN, why));
            }
            _ => {}
        }
        let media_type =
            header(CONTENT_TYPE).map(|value| value.split(';').next().unwrap_or_default().trim());
        if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
            let why = "send Content-Type: application/json";
            return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
        }
        // Known before the first byte of it is read.
        (request.body().size_hint().lower() > LARGEST_BODY as u64).then(too_large)
    }

    async fn rpc(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let read = Limited::new(request.into_body(), LARGEST_BODY).collect();
        let body = match tokio::time::timeout(READ_WITHIN, read).await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return too_large(),
            Ok(Err(_)) => return last(text(StatusCode::BAD_REQUEST, "the body ends too early")),
            Err(_) => {
                return last(text(
                    StatusCode::REQUEST_TIMEOUT,
                    "the body comes too slowly",
                ));
            }
        };
        let respond = json_rpc::respond(&self.store, &body);
        match tokio::time::timeout(ANSWERED_WITHIN, respond).await {
            Ok(Some(answer)) => json_response(StatusCode::OK, &answer),
            Ok(None) => text(StatusCode::NO_CONTENT, ""),
            Err(_) => text(StatusCode::SERVICE_UNAVAILABLE, "it takes too long"),
        }
    }
}

/// One answer without reading anything; if even that does not fit into the socket, silence.
fn turn_away(stream: &TcpStream) {
    let _ = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
}

/// Compares in a time that tells nothing of the token but its length.
fn is_bearer(header: Option<&str>, token: &Token) -> bool {
    let Some((scheme, given)) = header.and_then(|value| value.split_once(' ')) else {
        return false;
    };
    let (given, wanted) = (given.trim().as_bytes(), token.expose().as_bytes());
    let differences = given
        .iter()
        .zip(wanted)
        .fold(0, |all, (a, b)| all | (a ^ b));
    scheme.eq_ignore_ascii_case("bearer") && given.len() == wanted.len() && differences == 0
}

/// An address or `localhost`, with or without port: no name that somebody's name server could point here.
fn is_own_name(host: &str) -> bool {
    if host.parse::<SocketAddr>().is_ok() || host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => name,
        _ => host,
    };
    let bracketed = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    name.eq_ignore_ascii_case("localhost")
        || bracketed.is_some_and(|ip| ip.parse::<IpAddr>().is_ok())
}

fn json_response(code: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    response(code, "application/json", value.to_string())
}

fn text(code: StatusCode, line: &str) -> Response<Full<Bytes>> {
    let ended = if line.is_empty() {
        String::new()
    } else {
        format!("{line}\n")
    };
    response(code, "text/plain; charset=utf-8", ended)
}

fn response(code: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = code;
    with(response, CONTENT_TYPE, content_type)
}

fn not_allowed(methods: &'static str) -> Response<Full<Bytes>> {
    with(
        text(StatusCode::METHOD_NOT_ALLOWED, methods),
        ALLOW,
        methods,
    )
}

fn too_large() -> Response<Full<Bytes>> {
    last(text(
        StatusCode::PAYLOAD_TOO_LARGE,
        "a body has at most 1 MiB",
    ))
}

/// The connection cannot go on: what is left of the request would be taken for the next one.
fn last(response: Response<Full<Bytes>>) -> Response<Full<Bytes>> {
    with(response, CONNECTION, "close")
}

fn with(
    mut response: Response<Full<Bytes>>,
    name: HeaderName,
    value: &'static str,
) -> Response<Full<Bytes>> {
    response
        .headers_mut()
        .insert(name, HeaderValue::from_static(value));
    response
}

#[cfg(test)]
mod tests {
    use super::{is_bearer, is_own_name};

    #[test]
    fn only_names_that_nobody_else_can_give() {
        for own in [
            "localhost",
            "LOCALHOST:8080",
            "127.0.0.1",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:8080",
            "10.1.2.3",
        ] {
            assert!(is_own_name(own), "{own}");
        }
        for foreign in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil.example:8080",
            "127.0.0.1.evil.example",
            "[evil]:1",
        ] {
            assert!(!is_own_name(foreign), "{foreign}");
        }
    }

    #[test]
    fn the_whole_token_and_nothing_else() {
        let token = "0123456789abcdef".parse().unwrap();
        for good in ["Bearer 0123456789abcdef", "bearer  0123456789abcdef "] {
            assert!(is_bearer(Some(good), &token), "{good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcde",
            "Bearer 0123456789abcdefg",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
        ] {
            assert!(!is_bearer(Some(bad), &token), "{bad}");
        }
        assert!(!is_bearer(None, &token));
    }
}
