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
