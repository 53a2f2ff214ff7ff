//! The text form of an address to listen on, as it stands in `--listen` and in the configuration.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use sip::Transport;

/// A transport and the address to bind it to: `udp:127.0.0.1:5060`, `tcp:[::1]:0`. Port 0 lets the kernel choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenAddr {
    /// `udp` or `tcp`; the others parse, but [`crate::Endpoint::bind`] refuses them.
    pub transport: Transport,
    /// Where to bind.
    pub addr: SocketAddr,
}

/// Why a text is not a [`ListenAddr`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddrError {
    /// No `transport:` in front, or one that SIP does not know. Remedy: write `udp:` or `tcp:`.
    #[error("`{0}` does not begin with `udp:` or `tcp:`")]
    Transport(String),
    /// What follows the transport is not an `ip:port`. Remedy: a numeric address and a port, IPv6 in brackets.
    #[error("`{0}` is not a numeric address and port, such as 127.0.0.1:5060 or [::1]:5060")]
    Address(String),
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<ListenAddr, ListenAddrError> {
        let fault = || ListenAddrError::Transport(text.to_owned());
        let (transport, addr) = text.trim().split_once(':').ok_or_else(fault)?;
        let transport = transport.parse::<Transport>().map_err(|_| fault())?;
        let addr = addr
            .parse()
            .map_err(|_| ListenAddrError::Address(addr.to_owned()))?;
        Ok(ListenAddr { transport, addr })
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.transport.as_str(), self.addr)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        for (text, printed) in [
            ("udp:127.0.0.1:5060", Some("udp:127.0.0.1:5060")),
            (" TCP:[::1]:0 ", Some("tcp:[::1]:0")),
            ("127.0.0.1:5060", None),
            ("sctp:127.0.0.1:5060", None),
            ("udp:localhost:5060", None),
            ("udp:127.0.0.1", None),
            ("udp:::1:5060", None),
            ("", None),
        ] {
            assert_eq!(
                text.parse::<ListenAddr>()
                    .ok()
                    .map(|a| a.to_string())
                    .as_deref(),
                printed,
                "{text}"
            );
        }
    }
}
