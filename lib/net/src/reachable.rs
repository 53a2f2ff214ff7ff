//! Whether a peer that gives an address as its own can be connected to there, seen from where its request came from.

use std::net::IpAddr;

use crate::destination::is_public;

/// Whether a new connection may be opened to `address`, which a peer gives as its own, when its request came from `source`.
///
/// It may if the request came from that very address, or if the address is one of the public Internet. A private one that is seen under
/// another is behind NAT: here it leads nowhere, or to somebody else.
pub fn may_connect(address: IpAddr, source: IpAddr) -> bool {
    let (address, source) = (address.to_canonical(), source.to_canonical());
    let names_a_host = !address.is_unspecified() && !address.is_multicast();
    names_a_host && (address == source || is_public(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_is_judged_by_where_the_request_came_from() {
        for (address, source, expected) in [
            // As it is seen, it is.
            ("127.0.0.1", "127.0.0.1", true),
            ("10.0.0.7", "10.0.0.7", true),
            ("fd00::7", "fd00::7", true),
            ("::ffff:192.168.1.2", "192.168.1.2", true),
            // Public, whoever speaks for it.
            ("9.9.9.9", "198.51.100.1", true),
            ("2620:fe::9", "2001:db8::1", true),
            ("100.63.0.1", "198.51.100.1", true),
            ("172.32.0.1", "198.51.100.1", true),
            // Behind NAT, or in an example.
            ("203.0.113.9", "198.51.100.1", false),
            ("2001:db8::9", "2001:db8::1", false),
            ("10.0.0.7", "198.51.100.1", false),
            ("10.0.0.7", "10.0.0.8", false),
            ("172.16.0.7", "198.51.100.1", false),
            ("172.31.255.7", "198.51.100.1", false),
            ("192.168.1.2", "198.51.100.1", false),
            ("::ffff:192.168.1.2", "198.51.100.1", false),
            ("169.254.3.4", "198.51.100.1", false),
            ("100.64.0.1", "198.51.100.1", false),
            ("127.0.0.1", "198.51.100.1", false),
            ("198.18.0.1", "198.51.100.1", false),
            ("192.0.0.8", "198.51.100.1", false),
            ("240.0.0.1", "198.51.100.1", false),
            ("fd00::7", "2001:db8::1", false),
            ("fe80::7", "2001:db8::1", false),
            ("fec0::7", "2001:db8::1", false),
            ("::1", "2001:db8::1", false),
            // Nobody is there.
            ("0.0.0.0", "0.0.0.0", false),
            ("::", "2001:db8::1", false),
            ("224.0.1.75", "198.51.100.1", false),
            ("255.255.255.255", "198.51.100.1", false),
            ("ff02::1", "ff02::1", false),
        ] {
            let parsed = |text: &str| text.parse().unwrap();
            assert_eq!(
                may_connect(parsed(address), parsed(source)),
                expected,
                "{address} seen from {source}"
            );
        }
    }
}
