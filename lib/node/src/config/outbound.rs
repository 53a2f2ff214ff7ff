//! `[outbound]`: where NOTIFYs may go.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Config;
use super::identity::{Believed, Network};

/// `[outbound]`: where NOTIFYs may go. A phone writes any address into its Contact, so what is not listed here must be an
/// address of the public Internet, and none of this machine; the address is judged after DNS. A phone is always reached on the
/// connection, or at the UDP address, by which it talks to a server, and trusted peers are reached wherever they are. With `identity.policy =
/// "open"`, and while this machine alone is believed (see there), NOTIFYs go anywhere.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboundConfig {
    /// Networks that NOTIFYs may go to besides, such as `10.0.0.0/8`, `[fd00::]/8` or `192.0.2.5`: those of your edge
    /// proxies, and of phones in your own networks that are notified at their Contact.
    ///
    /// Unit: none. Default: `[]`. Range: addresses (`10.0.0.1`, `fd00::1`) and networks (`10.0.0.0/8`, `[fd00::]/8`).
    pub allow: Vec<Network>,
}

impl Config {
    /// The networks of trusted peers, whose connections are not counted.
    pub fn trusted_networks(&self) -> Vec<IpNet> {
        match self.identity.believed(&self.server) {
            Some(Believed::Peers(networks)) => networks,
            Some(Believed::Everybody | Believed::ThisMachine) | None => Vec::new(),
        }
    }

    /// The networks besides the public Internet that NOTIFYs may go to; `None`: they may go anywhere.
    pub fn outbound_networks(&self) -> Option<Vec<IpNet>> {
        let mut networks = match self.identity.believed(&self.server) {
            Some(Believed::Everybody | Believed::ThisMachine) => return None,
            Some(Believed::Peers(networks)) => networks,
            None => Vec::new(),
        };
        networks.extend(self.outbound.allow.iter().map(|network| network.0));
        Some(networks)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifys_go_where_somebody_is_believed() {
        let networks = |listen: &str, key: &str, value: &str| {
            let sets = [
                ("server.listen", listen),
                ("outbound.allow", "10.0.0.0/8"),
                (key, value),
            ];
            let sets = sets.map(|(key, value)| (key.to_owned(), value.to_owned()));
            let config = Config::load(None, std::iter::empty(), &sets).unwrap();
            let networks = config.outbound_networks()?;
            let texts = networks.iter().map(ToString::to_string);
            Some(texts.collect::<Vec<String>>().join(" "))
        };
        let (here, outside) = ("udp:127.0.0.1:5060", "udp:0.0.0.0:5060");
        for (listen, key, value, expected) in [
            (here, "log.level", "info", None),
            (outside, "identity.policy", "open", None),
            (here, "identity.digest", "1", Some("10.0.0.0/8")),
            (
                outside,
                "identity.trusted_peers",
                "192.168.0.1",
                Some("192.168.0.1/32 10.0.0.0/8"),
            ),
        ] {
            let found = networks(listen, key, value);
            assert_eq!(found.as_deref(), expected, "{listen} {key} {value}");
        }
    }
}
