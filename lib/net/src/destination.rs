//! Where this process may send what is not an answer: a phone writes whatever address it likes into Contact or Record-Route, and a name leads
//! where its owner wants.
//!
//! Judged is the address that a request is sent to, after DNS and right before it leaves, never a name. What goes down a flow that a phone
//! came by is not judged: it was there first.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ipnet::IpNet;

/// The addresses that may be sent to. Clones share what they know of this machine.
#[derive(Clone, Debug)]
pub struct Destinations {
    rule: Rule,
}

#[derive(Clone, Debug)]
enum Rule {
    Anywhere,
    OnlyPublicAnd {
        listed: Arc<[IpNet]>,
        own: Arc<OwnAddresses>,
    },
}

impl Destinations {
    /// Any address: for a machine that only its own programs can reach, and for clients whose user names the address.
    pub fn anywhere() -> Destinations {
        Destinations {
            rule: Rule::Anywhere,
        }
    }

    /// The addresses of the public Internet that are not this machine's own, and all of the networks in `listed`.
    pub fn only_public_and(listed: Vec<IpNet>) -> Destinations {
        Destinations {
            rule: Rule::OnlyPublicAnd {
                listed: listed.into(),
                own: Arc::default(),
            },
        }
    }

    /// Whether a packet may be sent to `address`, or a connection opened to it. An IPv4 address in the form of IPv6 is that IPv4 address.
    pub fn allows(&self, address: IpAddr) -> bool {
        let Rule::OnlyPublicAnd { listed, own } = &self.rule else {
            return true;
        };
        let address = address.to_canonical();
        listed.iter().any(|network| network.contains(&address))
            || is_public(address) && !own.contains(address)
    }
}

/// The addresses of this machine's interfaces. A public one is not for others to have us send to: what listens there may be open to
/// this machine only.
#[derive(Debug, Default)]
struct OwnAddresses {
    known: Mutex<Option<(HashSet<IpAddr>, Instant)>>,
}

/// Addresses come and go with interfaces; the kernel is asked again after this.
const KEPT: Duration = Duration::from_secs(60);

impl OwnAddresses {
    fn contains(&self, address: IpAddr) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.as_ref() {
            Some((own, asked)) if asked.elapsed() < KEPT => own.contains(&address),
            _ => {
                let own = ask_kernel();
                let is_own = own.contains(&address);
                *known = Some((own, Instant::now()));
                is_own
            }
        }
    }
}

fn ask_kernel() -> HashSet<IpAddr> {
    let interfaces = match nix::ifaddrs::getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            tracing::warn!(%error, "the addresses of this machine are not known; a public one of them can be sent to");
            return HashSet::new();
        }
    };
    let address = |storage: nix::sys::socket::SockaddrStorage| {
        let of_v4 = storage.as_sockaddr_in().map(|address| address.ip().into());
        of_v4.or_else(|| storage.as_sockaddr_in6().map(|address| address.ip().into()))
    };
    interfaces
        .filter_map(|interface| interface.address.and_then(address))
        .collect()
}

/// Whether an address is of the public Internet (RFC 6890 and its registries): not for use within one host, link, site, provider or document,
/// and not for many at once.
pub(crate) fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [first, second, third, _] = ip.octets();
    let is_shared = first == 100 && (64..128).contains(&second);
    let is_benchmarking = first == 198 && (18..20).contains(&second);
    let is_of_protocols = (first, second, third) == (192, 0, 0);
    let is_relay = (first, second, third) == (192, 88, 99);
    // 224.0.0.0/4 is multicast, 240.0.0.0/4 reserved, the last one broadcast.
    !(first == 0
        || first >= 224
        || ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || is_shared
        || is_benchmarking
        || is_of_protocols
        || is_relay)
}

/// Of IPv6 only 2000::/3 is given out. What holds an IPv4 address leads there, and is judged by it.
fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, fourth, fifth, sixth, seventh, eighth] = ip.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (first, second) {
        // RFC 6052: a translator's.
        (0x64, 0xff9b) if [third, fourth, fifth, sixth] == [0; 4] => {
            is_public_v4(v4(seventh, eighth))
        }
        // RFC 3056: 6to4.
        (0x2002, _) => is_public_v4(v4(second, third)),
        // RFC 2928, RFC 4380: for protocols, tunnels among them.
        (0x2001, 0..0x200) => false,
        // RFC 3849, RFC 9637: for documents.
        (0x2001, 0xdb8) | (0x3fff, 0..0x1000) => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const REFUSED: [&str; 36] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.7",
        "203.0.113.7",
        "224.0.1.75",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::808:808",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "3fff::1",
        "fd00::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
    ];

    #[test]
    fn only_what_is_public() {
        let public = Destinations::only_public_and(Vec::new());
        for address in REFUSED {
            assert!(!public.allows(ip(address)), "{address}");
            assert!(Destinations::anywhere().allows(ip(address)), "{address}");
        }
        for address in [
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "223.255.255.254",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2001:4860:4860::8888",
            "2002:808:808::1",
            "2620:fe::9",
        ] {
            assert!(public.allows(ip(address)), "{address}");
        }
    }

    #[test]
    fn what_is_listed_is_allowed_besides() {
        let listed = ["10.1.0.0/16", "127.0.0.1/32", "fd00::/8"];
        let listed = listed.map(|network| network.parse().unwrap());
        let destinations = Destinations::only_public_and(listed.to_vec());
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("127.0.0.1", true),
            ("127.0.0.2", false),
            ("fd12::1", true),
            ("fe80::1", false),
            ("8.8.8.8", true),
        ] {
            assert_eq!(destinations.allows(ip(address)), expected, "{address}");
        }
    }

    #[test]
    fn this_machine_knows_its_own() {
        let own = OwnAddresses::default();
        assert!(own.contains(ip("127.0.0.1")) && !own.contains(ip("8.8.8.8")));
    }
}
