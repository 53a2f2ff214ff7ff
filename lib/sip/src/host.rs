//! Hosts of URIs and Vias (RFC 3261 section 25.1, `host`).
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::fmt;

/// A host. Domain names keep the case they were written in; compare through [`Host::eq`], which ignores it.
#[derive(Clone, Debug)]
pub enum Host {
    /// A domain name; empty where a URI has no host (`tel:`).
    Domain(String),
    /// `192.0.2.1`
    V4(Ipv4Addr),
    /// `[2001:db8::1]`
    V6(Ipv6Addr),
}

impl Host {
    /// The address, if the host is numeric.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Host::Domain(_) => None,
            Host::V4(ip) => Some(IpAddr::V4(*ip)),
            Host::V6(ip) => Some(IpAddr::V6(*ip)),
        }
    }
}

impl PartialEq for Host {
    fn eq(&self, other: &Host) -> bool {
        match (self, other) {
            (Host::Domain(a), Host::Domain(b)) => a.eq_ignore_ascii_case(b),
            (Host::V4(a), Host::V4(b)) => a == b,
            (Host::V6(a), Host::V6(b)) => a == b,
            _ => false,
        }
    }
}

impl Eq for Host {}

impl From<IpAddr> for Host {
    fn from(ip: IpAddr) -> Host {
        match ip {
            IpAddr::V4(ip) => Host::V4(ip),
            IpAddr::V6(ip) => Host::V6(ip),
        }
    }
}

/// As in a URI: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Domain(name) => f.write_str(name),
            Host::V4(ip) => write!(f, "{ip}"),
            Host::V6(ip) => write!(f, "[{ip}]"),
        }
    }
}

/// Reads `host`, or `host:port` with LWS around the colon as a Via allows it.
pub(crate) fn host_and_port(text: &str) -> Option<(Host, Option<u16>)> {
    crate::work::note(text.len());
    let (host, rest) = match text.strip_prefix('[') {
        Some(inner) => {
            let (ip, rest) = inner.split_once(']')?;
            (Host::V6(ip.parse().ok()?), rest)
        }
        None => {
            let end = text.find([':', ' ', '\t']).unwrap_or(text.len());
            (name_or_v4(&text[..end])?, &text[end..])
        }
    };
    let rest = rest.trim_matches([' ', '\t']);
    if rest.is_empty() {
        return Some((host, None));
    }
    let port = rest.strip_prefix(':')?.trim_start_matches([' ', '\t']);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    Some((
        host,
        Some(if is_number {
            port.parse().ok()?
        } else {
            return None;
        }),
    ))
}

/// Host names with underscores are wrong, and common.
fn name_or_v4(text: &str) -> Option<Host> {
    if let Ok(ip) = text.parse() {
        return Some(Host::V4(ip));
    }
    let is_name = !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_'));
    is_name.then(|| Host::Domain(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        for (text, expected) in [
            ("example.com", Some(("example.com", None))),
            ("192.0.2.1:5060", Some(("192.0.2.1", Some(5060)))),
            ("[2001:DB8::1]", Some(("[2001:db8::1]", None))),
            ("[::1]:7", Some(("[::1]", Some(7)))),
            ("host \t: 9", Some(("host", Some(9)))),
            ("a_b", Some(("a_b", None))),
            ("1.2.3.4.5", Some(("1.2.3.4.5", None))),
            ("", None),
            ("host:", None),
            ("host:+1", None),
            ("host:65536", None),
            ("[::1", None),
            ("::1", None),
            ("[1.2.3.4]", None),
            ("a b", None),
            ("a,b", None),
            ("hóst", None),
        ] {
            let found = host_and_port(text).map(|(host, port)| (host.to_string(), port));
            assert_eq!(
                found,
                expected.map(|(host, port)| (host.to_owned(), port)),
                "{text:?}"
            );
        }
        assert_eq!(Host::Domain("A.b".into()), Host::Domain("a.B".into()));
    }
}
