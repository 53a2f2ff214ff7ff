//! `[limits]`: how much one sender may send.

use serde::{Deserialize, Serialize};

use super::Config;
use super::identity::Believed;
use super::value::Within;

/// `[limits]`: how many requests one sender may send to this process. A sender is the address of a stranger (IPv6: a /64), or whoever has proven
/// a password or is named by a trusted peer. Beyond its limit it is answered 503 with Retry-After, and not at all when even these answers are
/// too many. Trusted peers that name nobody are not limited, and nobody is with `identity.policy = "open"` or while this machine alone
/// is believed. Each limit is a rate, and a number of requests that may come at once after a pause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Requests a second from one address that is not that of a trusted peer. Copies count, and so does a request without
    /// a password that is answered by a challenge. What comes by TCP, or with an answer to a challenge, is counted apart
    /// from other datagrams, whose source may be forged. 0: no limit.
    ///
    /// Unit: 1/s. Default: `200`. Range: 0 to 100000.
    pub requests_per_source_s: Within<0, 100_000>,
    /// How many of them may come at once. By default the 1,000 phones of an office behind one NAT can all subscribe at the same
    /// moment, after a power cut, and be challenged. 0: no limit.
    ///
    /// Unit: requests. Default: `2000`. Range: 0 to 1000000.
    pub requests_per_source_burst: Within<0, 1_000_000>,
    /// Requests a second from one such address that are refused: 4xx for whoever has proven nothing, such as 401 to a wrong
    /// password, 403, 404 or 405. When there are more, everything from this address is answered 503 for a while, except
    /// that it can be challenged. A challenge is no refusal. 0: no limit.
    ///
    /// Unit: 1/s. Default: `5`. Range: 0 to 100000.
    pub refusals_per_source_s: Within<0, 100_000>,
    /// How many of them may come at once. 0: no limit.
    ///
    /// Unit: requests. Default: `100`. Range: 0 to 1000000.
    pub refusals_per_source_burst: Within<0, 1_000_000>,
    /// PUBLISH and SUBSCRIBE a second from one user who has proven a password, or whom a trusted peer names, wherever they come
    /// from. A PBX that publishes for all its extensions by one account may need more. 0: no limit.
    ///
    /// Unit: 1/s. Default: `20`. Range: 0 to 100000.
    pub requests_per_identity_s: Within<0, 100_000>,
    /// How many of them may come at once. 0: no limit.
    ///
    /// Unit: requests. Default: `200`. Range: 0 to 1000000.
    pub requests_per_identity_burst: Within<0, 1_000_000>,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        LimitsConfig {
            requests_per_source_s: const { Within::of(200) },
            requests_per_source_burst: const { Within::of(2000) },
            refusals_per_source_s: const { Within::of(5) },
            refusals_per_source_burst: const { Within::of(100) },
            requests_per_identity_s: const { Within::of(20) },
            requests_per_identity_burst: const { Within::of(200) },
        }
    }
}

impl Config {
    /// What limits senders; `None`: nothing, because everybody who can reach the listeners is believed.
    pub fn sender_limits(&self) -> Option<&LimitsConfig> {
        match self.identity.believed(&self.server) {
            Some(Believed::Everybody | Believed::ThisMachine) => None,
            Some(Believed::Peers(_)) | None => Some(&self.limits),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_limited_where_everybody_is_believed() {
        for (key, value, expected) in [
            ("log.level", "info", false),
            ("identity.policy", "open", false),
            ("identity.digest", "1", true),
            ("identity.trusted_peers", "192.168.0.1", true),
        ] {
            let sets = [(key.to_owned(), value.to_owned())];
            let config = Config::load(None, std::iter::empty(), &sets).unwrap();
            assert_eq!(config.sender_limits().is_some(), expected, "{key}");
        }
    }
}
