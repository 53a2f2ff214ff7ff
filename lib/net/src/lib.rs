//! Sockets, name resolution and timers: what carries SIP messages from process to process. Drives `sip`, knows nothing of presence.
//!
//! - [`Endpoint`]: the UDP sockets, TCP listeners and TCP connections of one process (RFC 3261 section 18, RFC 5626 section 4.4.1).
//! - [`Resolver`]: from a URI to addresses (RFC 3263); [`may_connect`]: whether one can be a peer's own.
//! - [`DatagramSocket`]: one UDP socket in batches and without a run time, for a program that polls by itself.
//! - [`Client`]: client transactions in thousands, their outcomes in batches (RFC 3261 section 17.1.2).
//!
//! RFC-GAP: RFC 3261 section 18.1.1 wants requests larger than the path MTU sent by TCP; we keep to the transport that the URI
//! names, as Kamailio does, because most phones have no TCP listener.

mod client;
mod endpoint;
mod flow;
mod listen;
mod reachable;
mod resolver;

pub use client::{Client, ClientRequest, Hop, Outcome, Outcomes, Unreachable};
pub use endpoint::{BindError, DatagramSocket, Drops, Endpoint, EndpointOptions, Incoming};
pub use flow::{FlowGone, FlowKey, Packet};
pub use listen::{ListenAddr, ListenAddrError};
pub use reachable::may_connect;
pub use resolver::{ResolveError, Resolver, Target};
