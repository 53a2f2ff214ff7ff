//! Signed flow tokens (after RFC 5626 section 5.2): which socket or connection of which process reaches a phone.
//! The token is the user of a Route URI of ours, so that any process can send down a flow that another one holds, and
//! nobody outside can make us send anywhere.

use crate::token::MAC_BYTES;
use crate::{Secret, Transport, base32};
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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

const PURPOSE: &str = "flow";
/// The first byte; another layout gets another number.
const LAYOUT: u8 = 1;

impl FlowToken {
    /// The token: characters that may stand in a URI's user without escapes.
    pub fn sign(&self, secret: &Secret) -> String {
        let mut bytes = Vec::with_capacity(72);
        bytes.extend([LAYOUT, self.transport as u8]);
        write_address(&mut bytes, self.local);
        write_address(&mut bytes, self.remote);
        bytes.extend(self.instance.to_be_bytes());
        bytes.extend(self.connection.to_be_bytes());
        let signature = secret.sign(PURPOSE, &[&bytes]);
        bytes.extend(signature);
        base32::encode(&bytes)
    }

    /// The flow, if the token was signed with this secret.
    pub fn verify(token: &str, secret: &Secret) -> Option<FlowToken> {
        let bytes = base32::decode(token)?;
        let (content, signature) = bytes.split_at_checked(bytes.len().checked_sub(MAC_BYTES)?)?;
        if !secret.verify(PURPOSE, &[content], signature) {
            return None;
        }
        let mut reader = Reader(content);
        if reader.byte()? != LAYOUT {
            return None;
        }
        let flow = FlowToken {
            transport: transport(reader.byte()?)?,
            local: reader.address()?,
            remote: reader.address()?,
            instance: u64::from_be_bytes(reader.take()?),
            connection: u64::from_be_bytes(reader.take()?),
        };
        reader.0.is_empty().then_some(flow)
    }
}

fn transport(byte: u8) -> Option<Transport> {
    [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ]
    .into_iter()
    .find(|transport| *transport as u8 == byte)
}

fn write_address(bytes: &mut Vec<u8>, address: SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            bytes.push(4);
            bytes.extend(ip.octets());
        }
        IpAddr::V6(ip) => {
            bytes.push(6);
            bytes.extend(ip.octets());
        }
    }
    bytes.extend(address.port().to_be_bytes());
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn address(&mut self) -> Option<SocketAddr> {
        let ip = match self.byte()? {
            4 => IpAddr::V4(Ipv4Addr::from(self.take::<4>()?)),
            6 => IpAddr::V6(Ipv6Addr::from(self.take::<16>()?)),
            _ => return None,
        };
        Some(SocketAddr::new(ip, u16::from_be_bytes(self.take()?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, local: &str, remote: &str) -> FlowToken {
        let address = |text: &str| text.parse().expect("an address");
        FlowToken {
            transport,
            local: address(local),
            remote: address(remote),
            instance: u64::MAX,
            connection: 7,
        }
    }

    #[test]
    fn what_is_signed_is_read_back() {
        let secret = Secret::new(b"key");
        for flow in [
            flow(Transport::Udp, "192.0.2.1:5060", "10.0.0.1:1024"),
            flow(Transport::Tcp, "[2001:db8::1]:5060", "[2001:db8::2]:65535"),
            flow(Transport::Wss, "192.0.2.1:443", "[::1]:1"),
        ] {
            let token = flow.sign(&secret);
            assert_eq!(FlowToken::verify(&token, &secret), Some(flow));
            assert_eq!(
                FlowToken::verify(&token.to_ascii_uppercase(), &secret),
                Some(flow)
            );
            let route = crate::Uri::parse(&format!("sip:{token}@192.0.2.1:5060;lr"))
                .expect("a token may be a user");
            assert_eq!(route.user.as_deref(), Some(token.as_str()));
        }
    }

    #[test]
    fn forgeries_are_refused() {
        let secret = Secret::new(b"key");
        let token = flow(Transport::Udp, "192.0.2.1:5060", "10.0.0.1:1024").sign(&secret);
        assert_eq!(FlowToken::verify(&token, &Secret::new(b"other")), None);
        for index in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[index] = if forged[index] == b'b' { b'c' } else { b'b' };
            let forged = String::from_utf8(forged).expect("ASCII");
            assert_eq!(
                FlowToken::verify(&forged, &secret),
                None,
                "character {index}"
            );
        }
        for text in ["", "a", &token[..26], &token[1..], "alice", "-"] {
            assert_eq!(FlowToken::verify(text, &secret), None, "{text:?}");
        }
    }
}
