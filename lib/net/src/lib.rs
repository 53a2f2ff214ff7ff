//! Sockets, name resolution and timers: what carries SIP messages from process to process. Drives `sip`, knows nothing of presence.
//!
//! - [`Endpoint`]: the UDP sockets, TCP listeners and TCP connections of one process (RFC 3261 section 18, RFC 5626 section 4.4.1).
//! - [`Resolver`]: from a URI to addresses (RFC 3263); [`Destinations`]: which of them may be sent to; [`may_connect`]: whether one can be a
//!   peer's own.
//! - [`DatagramSocket`]: one UDP socket in batches and without a run time, for a program that polls by itself.
//! - [`Client`]: client transactions in thousands, their outcomes in batches (RFC 3261 section 17.1.2).

mod client;
mod destination;
mod endpoint;
mod flow;
mod listen;
mod reachable;
mod resolver;

pub use client::{Client, ClientRequest, Hop, Outcome, Outcomes, Unreachable};
pub use destination::Destinations;
pub use endpoint::{
    BindError, DatagramSocket, Drops, Endpoint, EndpointOptions, Incoming, RESERVED_CONNECTIONS,
    RefusedDatagram, RefusedDatagrams,
};
pub use flow::{FlowGone, FlowKey, Packet};
pub use listen::{ListenAddr, ListenAddrError};
pub use reachable::may_connect;
pub use resolver::{ResolveError, Resolver, Target};

/// RFC 3261 section 18.1.1: what is "larger than 1300 bytes and the path MTU is unknown", as it always is here, goes by TCP where the peer
/// takes that.
pub const PATH_BYTES: usize = 1_300;

/// The octets that one UDP datagram holds over IPv4; over IPv6 it may be 20 more.
pub const DATAGRAM_BYTES: usize = 65_507;
