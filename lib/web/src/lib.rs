//! HTTP/1.1: JSON-RPC 2.0 at `/RPC`, presentities below `/v1`, `/health`.
//!
//! For operators and programs, not for phones: few connections, small bodies, a deadline on everything. Without a token it
//! listens on loopback only (`lib/node` sees to that) and takes no name but the machine's own in Host, no request of a web page from
//! elsewhere or through a proxy, and `/RPC` no type of body that a web page could send by itself: else any page in a browser on this machine could
//! give orders, and whoever reaches a proxy.
//!
//! The way of a request: a connection (`connection`) → all paths (`routes`), who may ask (`access`) → its handler. All of it is answered
//! from the database; nothing here knows of the SIP that is spoken beside it.

mod access;
mod connection;
mod description;
mod half_open;
mod health;
mod json_rpc;
pub mod method;
mod patience;
mod problem;
mod receive;
mod reply;
mod routes;
mod v1;

use std::sync::Arc;
use std::time::Duration;

use events::{Policy, Registry};
use node::{Shutdown, Token};
use sql::{Cleaning, Judge, Ringer, Store};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use self::half_open::HalfOpen;
use self::v1::feed::Feed;

pub use connection::listen;
pub use routes::description;

/// Connections at once that make requests. For one more, one goes that has sent no head for a second; else the newcomer is answered 503.
const CONNECTIONS: usize = 64;
/// Streams of events at once, besides.
const STREAMS: usize = 256;
/// The descriptors that all of HTTP takes at most, the listener and newcomers included.
pub const DESCRIPTORS: usize = 2 * CONNECTIONS + STREAMS;
/// At the end, the time for what is being answered and for streams to say goodbye.
const DRAINED_WITHIN: Duration = Duration::from_secs(3);

/// What requests are answered from.
#[derive(Debug)]
pub struct Means {
    /// Database connections of its own: a long list takes none from phones.
    pub store: Store,
    /// What `presence.cleanup` does.
    pub cleaning: Cleaning,
    /// `http.token`; without one only this machine is served.
    pub token: Option<Token>,
    /// After its word no stream is opened, and those that are open end.
    pub shutdown: Shutdown,
    /// What may be published, and for how long.
    pub policy: Policy,
    /// Who may watch whom, and which event packages are served.
    pub judge: Judge,
    /// Is pressed after each change.
    pub doorbell: Ringer,
}

/// What the listener and all handlers need.
#[derive(Debug)]
pub struct Web {
    store: Store,
    cleaning: Cleaning,
    token: Option<Token>,
    shutdown: Shutdown,
    registry: Registry,
    policy: Policy,
    judge: Judge,
    doorbell: Ringer,
    feed: Arc<Feed>,
    half_open: Arc<HalfOpen>,
    connections: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

// === impl Web ===

impl Web {
    /// Serves nobody yet.
    pub fn new(means: Means) -> Arc<Web> {
        let registry = means.judge.registry.clone();
        Arc::new(Web {
            feed: Feed::new(means.store.clone(), registry.clone()),
            store: means.store,
            cleaning: means.cleaning,
            token: means.token,
            shutdown: means.shutdown,
            registry,
            policy: means.policy,
            judge: means.judge,
            doorbell: means.doorbell,
            half_open: Arc::default(),
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
        })
    }

    /// Begins to look at what streams are about. Must be called within a Tokio runtime.
    pub fn look_for_ever(&self) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.feed).look_for_ever())
    }

    /// Returns when nothing is being answered and no stream is open any more, or its time is over. Nobody listens by then.
    pub async fn drained(&self) {
        let all = async {
            // Connections first: one of them may become a stream, but no stream a connection.
            let _ = self.connections.acquire_many(CONNECTIONS as u32).await;
            let _ = self.streams.acquire_many(STREAMS as u32).await;
        };
        if tokio::time::timeout(DRAINED_WITHIN, all).await.is_err() {
            tracing::debug!("stopped with HTTP connections open");
        }
    }
}
