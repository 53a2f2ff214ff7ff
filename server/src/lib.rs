//! The stateless SIP front-end: takes PUBLISH, SUBSCRIBE and OPTIONS, commits, answers; relays NOTIFYs down the flows it holds.
//!
//! The way of a PUBLISH: `net` → [`dispatch`] → [`publish`] → `events` → [`write_batch`] → `sql` → [`answer`] → `net`.
//! A server keeps nothing between requests but live connections and requests in flight: any other one can take the next
//! request, and the answer to a retransmission is the same from each of them. It starts, and stays up, without its database:
//! until that is there, what needs it is answered 503.

mod admission;
mod answer;
mod dispatch;
mod doorbell;
mod flow;
mod front;
mod node_row;
pub mod publish;
mod relay;
pub mod subscribe;
pub mod write_batch;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use events::{MinExpiresAction, Policy};
use net::{Endpoint, EndpointOptions, Incoming, ListenAddr};
use node::{Config, Shutdown};
use sip::{Limits, Transport};
use sql::{Store, StoreError, StoreOptions};
use thiserror::Error;

pub use admission::{Admission, Admitted};

use crate::flow::Addresses;
use crate::front::{Budgets, Front};

/// Where a server listens, once it does.
#[derive(Debug, Clone)]
pub struct Ready {
    /// The listeners, with the ports that they really have.
    pub listen: Vec<ListenAddr>,
    /// Where notifiers reach this server (UDP), as its flow tokens and its row in `node` say.
    pub internal: SocketAddr,
}

/// Why a server cannot start. Each is for the operator to mend; a missing database is none of them.
#[derive(Debug, Error)]
pub enum RunError {
    /// `server.listen` or `server.internal_listen` is not of the form `udp:127.0.0.1:5060`.
    #[error("cannot listen on {value:?}: want udp: or tcp:, an IP address, and a port")]
    Listen {
        /// What the configuration says.
        value: String,
    },
    /// `server.internal_listen` is not a UDP address.
    #[error("internal_listen {0} must be udp")]
    InternalNotUdp(ListenAddr),
    /// `server.listen` is empty.
    #[error("server.listen names no address")]
    NothingToListenOn,
    /// An address is taken, or not of this machine.
    #[error(transparent)]
    Bind(#[from] net::BindError),
    /// The database's URL cannot be understood.
    #[error("database: {0}")]
    Database(#[from] StoreError),
}

/// Runs a server until `shutdown`. Calls `ready` when it listens, whether the database is there or not.
///
/// At the end, no more requests are taken, and those in flight are answered before the sockets close.
///
/// # Errors
/// [`RunError`], only before `ready`.
pub async fn run(config: Config, shutdown: Shutdown, ready: impl FnOnce(Ready) + Send) -> Result<(), RunError> {
    todo!()
}
