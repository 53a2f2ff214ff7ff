//! `[identity]`: whom requests are believed to come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::de::{self, Deserializer};
use serde::{Deserialize, Serialize, Serializer};

use super::ServerConfig;
use super::value::{Within, flag};

/// `[identity]`: who sends a request, how that is proven, and what of it is believed (docs/SECURITY.md).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityConfig {
    /// `known`: requests are accepted from `trusted_peers` and, if `digest` is 1, from whoever proves a password. With
    /// neither set, a server that listens on loopback addresses only trusts this machine, and any other server does not
    /// start. `open`: everybody is believed, whatever a request says: anybody may publish for anybody, and have NOTIFYs
    /// sent to anybody. Only for networks that nobody else can reach; it is logged at each start, and `pgpresence
    /// status` shows it.
    ///
    /// Unit: choice. Default: `"known"`. Range: known or open.
    pub policy: IdentityPolicy,
    /// The edge proxies and PBXs that are believed, as addresses or networks. From them, P-Asserted-Identity (RFC 3325)
    /// names who sends a request; without it the peer speaks for itself, may do everything, and From is believed: have
    /// the edge check From, or write P-Asserted-Identity. Record-Route, further Vias and a Contact at another address
    /// are followed only if they come from them.
    ///
    /// Unit: none. Default: `[]`. Range: addresses (`10.0.0.1`, `fd00::1`) and networks (`10.0.0.0/8`, `[fd00::]/8`).
    pub trusted_peers: Vec<Network>,
    /// 1: everybody else must prove a password (digest authentication, RFC 3261 section 22 and RFC 8760), which is
    /// looked for in the view `presence_credentials`. 0: everybody else is answered 403.
    ///
    /// Unit: flag. Default: `0`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub digest: bool,
    /// The realm of challenges. Empty: the domain of From, as in Kamailio's usual script. Who has proven a password is
    /// the user of that name in the domain of From.
    ///
    /// Unit: none. Default: `""`. Range: empty or a text without control characters, at most 255 octets.
    #[serde(deserialize_with = "realm")]
    pub realm: String,
    /// The algorithms of challenges, in their order. Phones answer the first one that they know. An algorithm works for a
    /// user only if `presence_credentials` has its hash; Kamailio's tables hold MD5 or passwords.
    ///
    /// Unit: none. Default: `["SHA-256", "MD5"]`. Range: SHA-256 and MD5, one or both.
    #[serde(deserialize_with = "algorithms")]
    pub algorithms: Vec<DigestAlgorithm>,
    /// Other algorithms for phones whose User-Agent begins with a text, in any case: `TEXT=ALGORITHM`, or
    /// `TEXT=ALGORITHM,ALGORITHM`. The first one that fits counts. baresip 1.0 gives up when it is offered SHA-256,
    /// sipsak when SHA-256 comes first.
    ///
    /// Unit: none. Default: `["baresip v1=MD5", "sipsak=MD5,SHA-256"]`. Range: any number.
    pub user_agents: Vec<UserAgentAlgorithms>,
    /// 1: an answer to a challenge must have `qop=auth`, so that it is good once. 0: phones of RFC 2069 may leave it out;
    /// who overhears such an answer can use it until its nonce ends, from the same address.
    ///
    /// Unit: flag. Default: `1`. Range: 0 or 1.
    #[serde(with = "flag")]
    pub qop_required: bool,
    /// How long the nonce of a challenge is good at the server that gave it. At other servers it is good for 10 s.
    ///
    /// Unit: seconds. Default: `300`. Range: 10 to 86400.
    pub nonce_life_s: Within<10, 86_400>,
    /// How long a server keeps what it has read of passwords, domains and delegates. A changed password counts after this time.
    ///
    /// Unit: seconds. Default: `5`. Range: 0 to 3600.
    pub cache_s: Within<0, 3600>,
    /// The domains whose presentities are served, besides those in the table `domain`. Requests for others are answered
    /// 404. None in both: all domains are served.
    ///
    /// Unit: none. Default: `[]`. Range: names of domains.
    pub domains: Vec<Domain>,
    /// `refuse`: everybody must say who he is. `allow`: a SUBSCRIBE that comes neither from a trusted peer nor with a
    /// password, and whose From is `sip:anonymous@anonymous.invalid` (RFC 3323), is accepted from that watcher.
    ///
    /// Unit: choice. Default: `"refuse"`. Range: refuse or allow.
    pub anonymous: Anonymous,
}

impl Default for IdentityConfig {
    fn default() -> Self {
        IdentityConfig {
            policy: IdentityPolicy::Known,
            trusted_peers: Vec::new(),
            digest: false,
            realm: String::new(),
            algorithms: vec![DigestAlgorithm::Sha256, DigestAlgorithm::Md5],
            user_agents: [
                ("baresip v1", &[DigestAlgorithm::Md5][..]),
                ("sipsak", &[DigestAlgorithm::Md5, DigestAlgorithm::Sha256]),
            ]
            .map(|(prefix, algorithms)| UserAgentAlgorithms {
                prefix: prefix.to_owned(),
                algorithms: algorithms.to_vec(),
            })
            .to_vec(),
            qop_required: true,
            nonce_life_s: const { Within::of(300) },
            cache_s: const { Within::of(5) },
            domains: Vec::new(),
            anonymous: Anonymous::Refuse,
        }
    }
}

/// What is believed without proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Believed {
    /// Everything: `identity.policy = "open"`.
    Everybody,
    /// What comes from this machine: nothing is configured, and nobody else can reach the listeners.
    ThisMachine,
    /// What comes from `identity.trusted_peers`.
    Peers(Vec<IpNet>),
}

impl Believed {
    /// Whether a peer at this address is believed.
    pub fn includes(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        match self {
            Believed::Everybody => true,
            Believed::ThisMachine => address.is_loopback(),
            Believed::Peers(networks) => networks.iter().any(|network| network.contains(&address)),
        }
    }

    /// A word for `node` and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Believed::Everybody => "open",
            Believed::ThisMachine => "this machine",
            Believed::Peers(networks) if networks.is_empty() => "nobody",
            Believed::Peers(_) => "trusted peers",
        }
    }
}

impl IdentityConfig {
    /// What a server with these listeners believes without proof; `None`: it must not start, because strangers can reach it, and nobody said
    /// what to think of them.
    pub fn believed(&self, server: &ServerConfig) -> Option<Believed> {
        if self.policy == IdentityPolicy::Open {
            return Some(Believed::Everybody);
        }
        if self.digest || !self.trusted_peers.is_empty() {
            let networks = self.trusted_peers.iter().map(|network| network.0);
            return Some(Believed::Peers(networks.collect()));
        }
        let mut listeners = server.listen.iter();
        listeners
            .all(|listener| listener.listen.addr.ip().to_canonical().is_loopback())
            .then_some(Believed::ThisMachine)
    }
}

/// `policy`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityPolicy {
    /// Requests come from trusted peers, or prove a password.
    Known,
    /// Everybody is believed.
    Open,
}

/// `anonymous`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Anonymous {
    /// Everybody must say who he is.
    Refuse,
    /// Whoever says that he is nobody may watch.
    Allow,
}

/// One of `trusted_peers`: an address, or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(pub IpNet);

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let refused = || format!("{text:?} is not an address or a network such as 10.0.0.0/8");
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let bare = address
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'));
        let address: IpAddr = bare.unwrap_or(address).parse().map_err(|_| refused())?;
        let Some(length) = length else {
            return Ok(Network(IpNet::from(address)));
        };
        let length: u8 = length.parse().map_err(|_| refused())?;
        let network = IpNet::new(address, length).map_err(|_| refused())?;
        match network.trunc().addr() == address {
            true => Ok(Network(network)),
            // Of 10.1.2.3/8 either the address or the length is a mistake, and the larger network may not be meant.
            false => Err(format!(
                "{text:?} has an address inside the network {}: write that, or leave the length out",
                network.trunc()
            )),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One of `domains`, in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain(String);

impl Domain {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Domain, String> {
        let is_host = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        match !text.is_empty() && text.len() <= 255 && text.bytes().all(is_host) {
            true => Ok(Domain(text.trim_end_matches('.').to_ascii_lowercase())),
            false => Err(format!("{text:?} is not the name of a domain")),
        }
    }
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One of `algorithms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestAlgorithm {
    /// RFC 8760.
    Sha256,
    /// RFC 3261.
    Md5,
}

impl FromStr for DigestAlgorithm {
    type Err = String;

    fn from_str(text: &str) -> Result<DigestAlgorithm, String> {
        match text.trim().to_ascii_uppercase().as_str() {
            "SHA-256" => Ok(DigestAlgorithm::Sha256),
            "MD5" => Ok(DigestAlgorithm::Md5),
            _ => Err(format!("must be SHA-256 or MD5, not {text:?}")),
        }
    }
}

impl fmt::Display for DigestAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            DigestAlgorithm::Sha256 => "SHA-256",
            DigestAlgorithm::Md5 => "MD5",
        })
    }
}

/// One of `user_agents`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserAgentAlgorithms {
    /// What its User-Agent begins with.
    pub prefix: String,
    /// What it is offered, in this order.
    pub algorithms: Vec<DigestAlgorithm>,
}

impl UserAgentAlgorithms {
    /// Whether it is about phones of this User-Agent.
    pub fn fits(&self, user_agent: &str) -> bool {
        user_agent
            .get(..self.prefix.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(&self.prefix))
    }
}

impl FromStr for UserAgentAlgorithms {
    type Err = String;

    fn from_str(text: &str) -> Result<UserAgentAlgorithms, String> {
        let (prefix, algorithms) = text
            .rsplit_once('=')
            .filter(|(prefix, _)| !prefix.is_empty())
            .ok_or_else(|| format!("{text:?} is not TEXT=ALGORITHM,ALGORITHM"))?;
        Ok(UserAgentAlgorithms {
            prefix: prefix.to_owned(),
            algorithms: distinct(
                algorithms
                    .split(',')
                    .map(str::parse)
                    .collect::<Result<_, _>>()?,
            )?,
        })
    }
}

impl fmt::Display for UserAgentAlgorithms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}=", self.prefix)?;
        for (place, algorithm) in self.algorithms.iter().enumerate() {
            let comma = if place == 0 { "" } else { "," };
            write!(f, "{comma}{algorithm}")?;
        }
        Ok(())
    }
}

fn distinct(algorithms: Vec<DigestAlgorithm>) -> Result<Vec<DigestAlgorithm>, String> {
    match algorithms.as_slice() {
        [_] => Ok(algorithms),
        [first, second] if first != second => Ok(algorithms),
        _ => Err("must be SHA-256 and MD5, one or both, each once".to_owned()),
    }
}

fn algorithms<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Vec<DigestAlgorithm>, D::Error> {
    distinct(Vec::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn realm<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let text = String::deserialize(deserializer)?;
    match text.len() <= 255 && !text.chars().any(char::is_control) {
        true => Ok(text),
        false => Err(de::Error::custom(
            "must be at most 255 octets, without control characters",
        )),
    }
}

/// Written in the configuration as their texts.
macro_rules! written_as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

written_as_text!(Network, Domain, DigestAlgorithm, UserAgentAlgorithms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        for (text, expected) in [
            ("10.0.0.0/8", Some("10.0.0.0/8")),
            ("10.0.0.1", Some("10.0.0.1/32")),
            ("[fd00::]/8", Some("fd00::/8")),
            ("fd00::1", Some("fd00::1/128")),
            ("10.1.2.3/8", None),
            ("10.0.0.0/33", None),
            ("edge.example.org", None),
            ("", None),
        ] {
            let read = text.parse::<Network>().ok();
            assert_eq!(
                read.map(|network| network.to_string()).as_deref(),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn nobody_is_believed_by_accident() {
        let listening = |address: &str| ServerConfig {
            listen: vec![address.parse().expect("a listener")],
            ..ServerConfig::default()
        };
        let (here, outside) = (
            listening("udp:127.0.0.1:5060"),
            listening("udp:0.0.0.0:5060"),
        );
        let unset = IdentityConfig::default();
        assert_eq!(unset.believed(&here), Some(Believed::ThisMachine));
        assert_eq!(unset.believed(&outside), None);
        let open = IdentityConfig {
            policy: IdentityPolicy::Open,
            ..unset.clone()
        };
        assert_eq!(open.believed(&outside), Some(Believed::Everybody));
        // With digest not even this machine.
        let digest = IdentityConfig {
            digest: true,
            ..unset.clone()
        };
        assert_eq!(digest.believed(&here), Some(Believed::Peers(Vec::new())));
        let peers = IdentityConfig {
            trusted_peers: vec!["10.0.0.0/8".parse().expect("a network")],
            ..unset
        };
        let believed = peers.believed(&outside).expect("something");
        for (address, expected) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("11.1.2.3", false),
            ("127.0.0.1", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            assert_eq!(believed.includes(address), expected, "{address}");
        }
    }

    #[test]
    fn what_a_phone_is_offered() {
        let rule: UserAgentAlgorithms = "sipsak=MD5, sha-256".parse().expect("a rule");
        assert_eq!(rule.to_string(), "sipsak=MD5,SHA-256");
        assert!(rule.fits("SIPSAK 0.9.8") && !rule.fits("sip") && !rule.fits("ösipsak"));
        for bad in ["", "=MD5", "x", "x=", "x=MD5,MD5", "x=SHA-1"] {
            assert!(bad.parse::<UserAgentAlgorithms>().is_err(), "{bad}");
        }
    }
}
