//! `[outbound]`: where NOTIFYs may go.

use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::Config;

/// `[outbound]`: where NOTIFYs may go. A phone writes any address into its Contact, so what is not listed here must be an
/// address of the public Internet, and none of this machine; the address is judged after DNS. A phone is always reached on the
/// connection, or at the UDP address, by which it talks to a server. While every address of `server.listen` is one of the loopback
/// interface, NOTIFYs go anywhere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundConfig {
    /// Networks that NOTIFYs may go to besides, such as `10.0.0.0/8`, `[fd00::]/8` or `192.0.2.5`: those of your edge
    /// proxies, and of phones in your own networks that are notified at their Contact.
    ///
    /// Unit: none. Default: `[]`. Range: networks or addresses.
    #[serde(with = "networks")]
    pub allow: Vec<IpNet>,
}

impl Config {
    /// The networks besides the public Internet that NOTIFYs may go to; `None`: they may go anywhere.
    pub fn outbound_networks(&self) -> Option<Vec<IpNet>> {
        let mut listeners = self.server.listen.iter();
        let is_private = listeners.all(|listener| listener.listen.addr.ip().is_loopback());
        (!is_private).then(|| self.outbound.allow.clone())
    }
}

/// Lists of networks.
pub(super) mod networks {
    use super::{Deserialize, Deserializer, IpNet, Serializer, de, network};

    pub(crate) fn serialize<S: Serializer>(networks: &[IpNet], to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(networks.iter().map(IpNet::to_string))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        let read = |text: &String| {
            network(text).ok_or_else(|| {
                de::Error::custom(format!(
                    "`{text}` is not a network, such as 10.0.0.0/8 or [fd00::]/8"
                ))
            })
        };
        Vec::<String>::deserialize(from)?.iter().map(read).collect()
    }
}

/// `10.0.0.0/8`, `fd00::/8`, `[fd00::]/8`, or one address. What stands behind the prefix is no part of it.
fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let bracketed = address
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    let address: IpAddr = bracketed.unwrap_or(address).parse().ok()?;
    let network = match prefix {
        Some(prefix) => IpNet::new(address, prefix.parse().ok()?).ok()?,
        None => IpNet::from(address),
    };
    Some(network.trunc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_as_they_are_written() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            (" 10.1.2.3/8 ", Some("10.0.0.0/8")),
            ("192.0.2.5", Some("192.0.2.5/32")),
            ("fd00::/8", Some("fd00::/8")),
            ("[fd00::]/8", Some("fd00::/8")),
            ("[::1]", Some("::1/128")),
            ("10.0.0.0/33", None),
            ("10.0.0.0/", None),
            ("edge.example.org", None),
            ("[fd00::/8", None),
            ("", None),
        ] {
            let found = network(text).map(|network| network.to_string());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_machine_that_nobody_reaches_sends_anywhere() {
        let networks = |listen: &str| {
            let sets = [("server.listen", listen), ("outbound.allow", "10.0.0.0/8")];
            let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let config = Config::load(None, std::iter::empty(), &sets).unwrap();
            config.outbound_networks()
        };
        let listed = vec!["10.0.0.0/8".parse().unwrap()];
        assert_eq!(networks("udp:127.0.0.1:5060, tcp:[::1]:5060"), None);
        assert_eq!(
            networks("udp:127.0.0.1:5060, udp:192.0.2.1:5060"),
            Some(listed.clone())
        );
        assert_eq!(networks("udp:0.0.0.0:5060"), Some(listed));
    }
}
