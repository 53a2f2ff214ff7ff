//! What names a flow, and what arrives by it.

use std::net::SocketAddr;

use sip::{FramingError, Transport};

/// One flow: for UDP a pair of addresses, for TCP one connection (RFC 5626 section 3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey {
    /// UDP or TCP.
    pub transport: Transport,
    /// Our side. For UDP the address that the socket is bound to, which may be a wildcard: it names the socket.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
    /// Number of the connection, never used twice by a process; 0 for UDP.
    pub connection: u64,
}

/// One whole SIP message as it arrived. Keep-alives and STUN never get this far.
#[derive(Clone, Debug)]
pub struct Packet {
    /// The datagram, or the message cut from the stream.
    pub bytes: Vec<u8>,
    /// Where it came from, and so where an answer goes.
    pub flow: FlowKey,
    /// Set for a request of a stream that is too large, or that cannot be framed: `bytes` is its head, or what came of it
    /// ([`sip::StreamFramer::lost`]), for an answer that says so. Where nobody knows any more where the next one begins, the connection is
    /// closed when all that came by it are answered.
    pub fault: Option<FramingError>,
}

/// The connection is closed: nothing can be sent by this flow any more (RFC 5626: answer 430).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the flow is gone")]
pub struct FlowGone;
