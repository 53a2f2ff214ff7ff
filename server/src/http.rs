//! HTTP/1.1: JSON-RPC 2.0 at `/RPC`, presentities below `/v1`, `/health`.
//!
//! For operators and programs, not for phones: few connections, small bodies, a deadline on everything. Without a token it
//! listens on loopback only (`lib/node` sees to that) and takes no name but the machine's own in Host, and `/RPC` no type of body
//! that a web page could send by itself: else any page in a browser on this machine could give orders.
//!
//! The way of a request: a connection ([`connection`]) → [`route`], the table of all paths → who may ([`access`]) → its handler.

mod access;
mod connection;
mod json_rpc;
mod method;
mod patience;
mod receive;
mod reply;
mod route;
mod v1;

use std::sync::Arc;
use std::time::Duration;

use events::{Policy, Registry};
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::{Request, StatusCode};
use node::{Shutdown, Token};
use serde_json::json;
use sql::{Cleaning, Judge, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::connection::Slot;
use self::reply::{Problem, Reply};
use self::route::{Access, Found, Handler};
use self::v1::feed::Feed;
use crate::doorbell::Doorbell;

pub(crate) use connection::listen;
pub use method::{Answer, Fault, METHODS, call, cleaning};

/// Connections at once that make requests; more are answered 503 and closed.
const CONNECTIONS: usize = 64;
/// Streams of events at once, besides.
const STREAMS: usize = 256;
/// The time in which a request is carried out.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// The time in which the database must answer for this process to be called ready.
const READY_WITHIN: Duration = Duration::from_secs(2);
/// At the end, the time for what is being answered and for streams to say goodbye.
const DRAINED_WITHIN: Duration = Duration::from_secs(3);

/// What the listener and all handlers need.
#[derive(Debug)]
pub(crate) struct Http {
    store: Store,
    cleaning: Cleaning,
    token: Option<Token>,
    shutdown: Shutdown,
    registry: Registry,
    policy: Policy,
    judge: Judge,
    doorbell: Doorbell,
    feed: Arc<Feed>,
    connections: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Http {
    pub(crate) fn new(
        store: Store,
        cleaning: Cleaning,
        token: Option<Token>,
        shutdown: Shutdown,
        policy: Policy,
        judge: Judge,
        doorbell: Doorbell,
    ) -> Arc<Http> {
        let registry = judge.registry.clone();
        Arc::new(Http {
            feed: Feed::new(store.clone(), registry.clone()),
            store,
            cleaning,
            token,
            shutdown,
            registry,
            policy,
            judge,
            doorbell,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        })
    }

    /// Begins to look at what streams are about.
    pub(crate) fn look_for_ever(&self) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.feed).look_for_ever())
    }

    /// Returns when nothing is being answered and no stream is open any more, or its time is over. Nobody listens by then.
    pub(crate) async fn drained(&self) {
        let all = async {
            // Connections first: one of them may become a stream, but no stream a connection.
            let _ = self.connections.acquire_many(CONNECTIONS as u32).await;
            let _ = self.streams.acquire_many(STREAMS as u32).await;
        };
        if tokio::time::timeout(DRAINED_WITHIN, all).await.is_err() {
            tracing::debug!("stopped with HTTP connections open");
        }
    }

    async fn answer(&self, request: Request<Incoming>, slot: &Slot) -> Reply {
        let answered = self.routed(request, slot).await;
        answered.unwrap_or_else(Problem::into_reply)
    }

    async fn routed(&self, request: Request<Incoming>, slot: &Slot) -> Result<Reply, Problem> {
        let path = request.uri().path().to_owned();
        let found = route::find(&path);
        if !found
            .as_ref()
            .is_some_and(|found| found.route.access == Access::Open)
        {
            access::check(self.token.as_ref(), request.headers())?;
        }
        let Found { route, segments } = found.ok_or_else(|| Problem::no_such_path(route::PATHS))?;
        if !route.methods.contains(&request.method().as_str()) {
            return Err(Problem::method_not_allowed(&route.allow()));
        }
        let handled = async {
            match route.handler {
                Handler::Health => Ok(self.health().await),
                Handler::Rpc => self.rpc(request, route.largest_body).await,
                Handler::Description => v1::description(&request),
                Handler::Presentity => v1::presentity(self, request, route, &segments).await,
                Handler::Watchers => v1::watchers::list(self, &request, &segments).await,
                Handler::Events => v1::events::open(self, &request, &segments, slot).await,
            }
        };
        match tokio::time::timeout(ANSWERED_WITHIN, handled).await {
            Ok(answered) => answered,
            Err(_) => Err(Problem::unavailable("it takes too long")),
        }
    }

    /// Whether this process can serve requests now. Says nothing of who or what is in the database.
    async fn health(&self) -> Reply {
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
        reply::json(code, &json!({"status": status, "database": database}))
    }

    async fn rpc(&self, request: Request<Incoming>, largest: usize) -> Result<Reply, Problem> {
        let media_type = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .map(|value| value.split(';').next().unwrap_or_default().trim());
        if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
            return Err(Problem::unsupported_media_type("application/json"));
        }
        let body = receive::body(request, largest).await?;
        Ok(
            match json_rpc::respond(&self.store, &self.judge, self.cleaning, &body).await {
                Some(answer) => reply::json(StatusCode::OK, &answer),
                None => reply::empty(StatusCode::NO_CONTENT),
            },
        )
    }
}
