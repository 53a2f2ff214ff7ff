//! Signed flow tokens (after RFC 5626 section 5.2): which socket or connection of which process reaches a phone.
use crate::{Secret, Transport};
use core::net::SocketAddr;

/// One flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowToken {
    /// The transport.
    pub transport: Transport,
    /// Our end.
    pub local: SocketAddr,
    /// The phone's end.
    pub remote: SocketAddr,
    /// The process that holds the connection.
    pub instance: u64,
    /// The connection in that process; 0 for UDP.
    pub connection: u64,
}

#[expect(clippy::todo, reason = "filled next")]
impl FlowToken {
    /// The token: characters that may stand in a URI's user without escapes.
    pub fn sign(&self, _secret: &Secret) -> String {
        todo!()
    }

    /// The flow, if the token was signed with this secret.
    pub fn verify(_token: &str, _secret: &Secret) -> Option<FlowToken> {
        todo!()
    }
}
