//! Stateless forwarding (RFC 3261 section 16.11), as the flow relay needs it.
use crate::{ParseError, Request, Response, Transport, Via};
use core::net::SocketAddr;

/// A Via that we write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViaOut {
    /// The transport that the message leaves by.
    pub transport: Transport,
    /// Our host; IPv6 with or without brackets.
    pub host: String,
    /// Our port.
    pub port: u16,
    /// With the magic cookie `z9hG4bK`.
    pub branch: String,
    /// Whether to ask for `rport` (RFC 3581).
    pub rport: bool,
}

/// A request cannot be forwarded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ForwardError {
    /// Max-Forwards is 0: answer 483.
    #[error("too many hops")]
    TooManyHops,
    /// A header that forwarding needs is malformed: answer 400.
    #[error(transparent)]
    Parse(#[from] ParseError),
}

/// Forwards a request: the topmost Route value goes, Max-Forwards falls by one, `via` is pushed; nothing else changes.
///
/// # Errors
/// See [`ForwardError`].
#[expect(clippy::todo, reason = "filled next")]
pub fn forward_request(_request: &Request, _via: &ViaOut) -> Result<Vec<u8>, ForwardError> {
    todo!()
}

/// The same, and notes in the previous Via where the request came from (`received`, `rport`), as a server that receives
/// it must (RFC 3261 section 18.2.1, RFC 3581 section 4).
///
/// # Errors
/// See [`ForwardError`].
#[expect(clippy::todo, reason = "filled next")]
pub fn forward_request_from(_request: &Request, _via: &ViaOut, _source: SocketAddr) -> Result<Vec<u8>, ForwardError> {
    todo!()
}

/// Forwards a response: the top Via, ours, goes; the next one says where to.
///
/// # Errors
/// There is no further Via, or it is malformed.
#[expect(clippy::todo, reason = "filled next")]
pub fn forward_response(_response: &Response) -> Result<(Vec<u8>, Via), ParseError> {
    todo!()
}
