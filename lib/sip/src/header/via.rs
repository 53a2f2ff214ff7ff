//! Via (RFC 3261 section 20.42, RFC 3581).
use super::Params;
use crate::{Host, ParseError, Transport};
use core::net::IpAddr;

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The transport, if we know it.
    pub transport: Option<Transport>,
    /// The transport as written.
    pub transport_text: String,
    /// sent-by host.
    pub host: Host,
    /// sent-by port.
    pub port: Option<u16>,
    /// The transaction's id.
    pub branch: Option<String>,
    /// Where the message really came from, as the receiver saw it.
    pub received: Option<IpAddr>,
    /// `None`: no `rport`; `Some(None)`: asked for; `Some(Some(port))`: filled in by the receiver.
    pub rport: Option<Option<u16>>,
    /// All parameters.
    pub params: Params,
}

impl Via {
    /// Reads one Via value.
    ///
    /// # Errors
    /// It is malformed.
    pub fn parse(_text: &str) -> Result<Via, ParseError> {
        todo!()
    }
}
