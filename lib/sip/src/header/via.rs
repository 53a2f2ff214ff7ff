//! Via (RFC 3261 section 20.42, RFC 3581), and what a server writes into the top one of a request.

use super::Params;
use super::list::split;
use super::text::{is_token, trim};
use crate::encode::number;
use crate::host::{Host, host_and_port};
use crate::{ParseError, Transport};
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

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
    /// It is malformed. A protocol version other than 2.0 is not: the start line decides on that.
    pub fn parse(text: &str) -> Result<Via, ParseError> {
        let fault = || ParseError::new("Bad Via");
        let (protocol, rest) = text.split_once('/').ok_or_else(fault)?;
        let (version, rest) = rest.split_once('/').ok_or_else(fault)?;
        let rest = rest.trim_start_matches([' ', '\t']);
        let (transport, rest) = rest.split_once([' ', '\t']).ok_or_else(fault)?;
        if ![protocol, version, transport]
            .iter()
            .all(|part| is_token(trim(part).as_bytes()))
        {
            return Err(fault());
        }
        let end = rest.find(';').unwrap_or(rest.len());
        let (host, port) = host_and_port(trim(&rest[..end])).ok_or_else(fault)?;
        let params = Params::parse(&rest[end..])?;
        let rport = match params.find("rport") {
            None => None,
            Some(None | Some("")) => Some(None),
            Some(Some(port)) => Some(Some(port.parse().map_err(|_| fault())?)),
        };
        Ok(Via {
            transport: transport.parse().ok(),
            transport_text: transport.to_owned(),
            host,
            port,
            branch: params.value("branch").map(str::to_owned),
            received: params.value("received").and_then(address),
            rport,
            params,
        })
    }

    /// Where a response with this Via on top goes over UDP, when the Via says so in numbers (RFC 3261 section 18.2.2,
    /// RFC 3581 section 4): `received` and `rport` first, then what the sender wrote.
    pub fn target(&self) -> Option<SocketAddr> {
        let ip = self.received.or_else(|| self.host.ip())?;
        let port = self.rport.flatten().or(self.port).filter(|port| *port != 0);
        Some(SocketAddr::new(
            ip,
            port.unwrap_or(self.transport.map_or(5060, Transport::default_port)),
        ))
    }
}

fn address(text: &str) -> Option<IpAddr> {
    match text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
    {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => text.parse().ok(),
    }
}

/// Writes a Via value with `received` and `rport` as its receiver has to add them: `received` when sent-by is not the
/// source address (RFC 3261 section 18.2.1) or `rport` was asked for, and then the source port as its value (RFC 3581
/// section 4). What a sender claims in these two parameters is dropped. `sent_by` is the address in it, if it is one.
pub(crate) fn write_as_received(
    out: &mut Vec<u8>,
    value: &[u8],
    sent_by: Option<IpAddr>,
    source: SocketAddr,
) {
    let ip = source.ip().to_canonical();
    let mut asked = false;
    for (index, piece) in split(value, b';').enumerate() {
        let piece = piece.trim_ascii();
        let name = piece
            .split(|byte| *byte == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        if index > 0 {
            if name.eq_ignore_ascii_case(b"received") {
                continue;
            }
            out.push(b';');
        }
        if index > 0 && name.eq_ignore_ascii_case(b"rport") {
            asked = true;
            out.extend_from_slice(b"rport=");
            number(out, u64::from(source.port()));
        } else {
            out.extend_from_slice(piece);
        }
    }
    if asked || sent_by != Some(ip) {
        out.extend_from_slice(format!(";received={ip}").as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        for (text, transport, host, port, branch, rport) in [
            (
                "SIP/2.0/UDP h.example.com;branch=z9hG4bK1",
                Some(Transport::Udp),
                "h.example.com",
                None,
                Some("z9hG4bK1"),
                None,
            ),
            (
                "SIP  /   2.0  /UDP     192.0.2.2;rport;branch=390skdjuw",
                Some(Transport::Udp),
                "192.0.2.2",
                None,
                Some("390skdjuw"),
                Some(None),
            ),
            (
                "sip/2.0/tcp [2001:db8::1] : 5070 ; branch = x ; rport = 99",
                Some(Transport::Tcp),
                "[2001:db8::1]",
                Some(5070),
                Some("x"),
                Some(Some(99)),
            ),
            ("SIP/2.0/TLS-SCTP h:1", None, "h", Some(1), None, None),
            (
                "SIP/7.0/WSS a_b.invalid;rport=",
                Some(Transport::Wss),
                "a_b.invalid",
                None,
                None,
                Some(None),
            ),
        ] {
            let via = Via::parse(text).unwrap_or_else(|fault| panic!("{text:?}: {fault}"));
            assert_eq!(
                (
                    via.transport,
                    via.host.to_string().as_str(),
                    via.port,
                    via.branch.as_deref(),
                    via.rport
                ),
                (transport, host, port, branch, rport),
                "{text:?}"
            );
        }
        for text in [
            "",
            "SIP/2.0/UDP",
            "SIP/2.0/UDP ",
            "SIP/2.0 h",
            "SIP/2.0/U DP/h",
            "SIP/2.0/UDP h:",
            "SIP/2.0/UDP h:99999",
            "SIP/2.0/UDP [::1",
            "SIP/2.0/UDP h;;",
            "SIP/2.0/UDP h;rport=x",
            "SIP/2.0/UDP h x",
            "SIP/2.0/UDP ;branch=1",
            "SIP/2.0/UDP h,x",
        ] {
            assert!(Via::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_receiver_writes_received_and_rport() {
        for (value, source, expected) in [
            (
                "SIP/2.0/UDP 192.0.2.1;branch=b",
                "192.0.2.1:5060",
                "SIP/2.0/UDP 192.0.2.1;branch=b",
            ),
            (
                "SIP/2.0/UDP 192.0.2.1;branch=b",
                "192.0.2.9:7",
                "SIP/2.0/UDP 192.0.2.1;branch=b;received=192.0.2.9",
            ),
            (
                "SIP/2.0/UDP 192.0.2.1;rport;branch=b",
                "192.0.2.1:7",
                "SIP/2.0/UDP 192.0.2.1;rport=7;branch=b;received=192.0.2.1",
            ),
            (
                "SIP/2.0/UDP h ; RPORT = 1;Received=6.6.6.6",
                "192.0.2.1:7",
                "SIP/2.0/UDP h;rport=7;received=192.0.2.1",
            ),
            (
                "SIP/2.0/UDP [2001:db8::1]:5060;branch=b",
                "[2001:db8::1]:9",
                "SIP/2.0/UDP [2001:db8::1]:5060;branch=b",
            ),
            (
                "SIP/2.0/UDP [2001:db8::1];rport",
                "[2001:db8::2]:9",
                "SIP/2.0/UDP [2001:db8::1];rport=9;received=2001:db8::2",
            ),
            (
                "SIP/2.0/UDP 192.0.2.1",
                "[::ffff:192.0.2.1]:9",
                "SIP/2.0/UDP 192.0.2.1",
            ),
        ] {
            let mut out = Vec::new();
            let sent_by = Via::parse(value).expect("a Via").host.ip();
            write_as_received(
                &mut out,
                value.as_bytes(),
                sent_by,
                source.parse().expect("an address"),
            );
            assert_eq!(
                String::from_utf8_lossy(&out),
                expected,
                "{value:?} from {source}"
            );
        }
    }

    #[test]
    fn targets() {
        for (text, expected) in [
            ("SIP/2.0/UDP 192.0.2.1", Some("192.0.2.1:5060")),
            (
                "SIP/2.0/UDP 192.0.2.1:7;received=192.0.2.9",
                Some("192.0.2.9:7"),
            ),
            (
                "SIP/2.0/UDP h:7;received=192.0.2.9;rport=8",
                Some("192.0.2.9:8"),
            ),
            (
                "SIP/2.0/UDP h:7;received=[2001:db8::1]",
                Some("[2001:db8::1]:7"),
            ),
            ("SIP/2.0/UDP h", None),
        ] {
            let via = Via::parse(text).expect("well-formed");
            assert_eq!(
                via.target().map(|target| target.to_string()).as_deref(),
                expected,
                "{text:?}"
            );
        }
    }
}
