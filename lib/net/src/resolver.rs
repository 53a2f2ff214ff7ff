//! From a SIP URI to the addresses behind it (RFC 3263 section 4).
//!
//! A numeric host needs no DNS. A host with a port is looked up by A and AAAA. A name without a port is looked up by SRV,
//! and by A and AAAA at port 5060 when there is no SRV record. Answers are kept as long as DNS says.
//!
//! RFC-GAP: no NAPTR (section 4.1): without a `transport` parameter UDP is preferred, then TCP.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use hickory_resolver::proto::rr::rdata::SRV;
use sip::{Scheme, Transport, Uri};

/// How long a whole resolution may take. A NOTIFY that cannot be addressed by then is tried again later.
const PATIENCE: Duration = Duration::from_secs(5);
/// Addresses tried at the most, however many a name has.
const MAX_TARGETS: usize = 16;

/// An address to send to, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// UDP or TCP.
    pub transport: Transport,
    /// Where.
    pub addr: SocketAddr,
}

/// Why a URI has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Not a SIP URI, or one for a transport that we do not have (`sips:`, `transport=ws`).
    #[error("`{0}` asks for a transport that is not supported")]
    Unsupported(String),
    /// DNS knows no address. Remedy: the name, or its records.
    #[error("`{0}` has no address")]
    NotFound(String),
    /// DNS did not answer in time. Worth another try.
    #[error("no answer from DNS for `{0}`")]
    TimedOut(String),
    /// This machine has no usable name servers. Remedy: /etc/resolv.conf, or numeric addresses.
    #[error("no name servers: {0}")]
    NoNameServers(String),
}

/// Looks up next hops. Clones share one cache.
#[derive(Clone)]
pub struct Resolver {
    dns: Result<TokioResolver, String>,
}

impl Resolver {
    /// Asks the name servers of this machine. A machine without any can still resolve numeric hosts.
    pub fn system() -> Resolver {
        let dns = TokioResolver::builder_tokio().and_then(|builder| builder.build());
        Resolver { dns: dns.map_err(|error| error.to_string()) }
    }

    /// Asks this name server alone, by UDP.
    pub fn with_nameserver(server: SocketAddr) -> Resolver {
        let mut connection = ConnectionConfig::udp();
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let dns = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()).build();
        Resolver { dns: dns.map_err(|error| error.to_string()) }
    }

    /// The targets of a URI, in the order in which to try them (RFC 3263 section 4.3). Never empty.
    ///
    /// # Errors
    /// See [`ResolveError`].
    pub async fn resolve(&self, uri: &Uri) -> Result<Vec<Target>, ResolveError> {
        let wanted = wanted_transport(uri)?;
        let host = uri.param("maddr").map_or_else(|| uri.host_str(), str::to_owned);
        if let Some(ip) = numeric(&host) {
            let transport = wanted.unwrap_or(Transport::Udp);
            return Ok(vec![Target { transport, addr: SocketAddr::new(ip, uri.port.unwrap_or(5060)) }]);
        }
        let looked_up = tokio::time::timeout(PATIENCE, self.look_up(&host, uri.port, wanted)).await;
        let mut targets = looked_up.map_err(|_| ResolveError::TimedOut(host.clone()))??;
        targets.truncate(MAX_TARGETS);
        if targets.is_empty() { Err(ResolveError::NotFound(host)) } else { Ok(targets) }
    }

    async fn look_up(&self, host: &str, port: Option<u16>, wanted: Option<Transport>) -> Result<Vec<Target>, ResolveError> {
        let dns = self.dns.as_ref().map_err(|error| ResolveError::NoNameServers(error.clone()))?;
        if let Some(port) = port {
            return Ok(addresses(dns, host, port, wanted.unwrap_or(Transport::Udp)).await);
        }
        let transports = wanted.map_or(vec![Transport::Udp, Transport::Tcp], |transport| vec![transport]);
        for transport in transports {
            let mut targets = Vec::new();
            for server in servers(dns, host, transport).await {
                targets.extend(addresses(dns, &server.target.to_utf8(), server.port, transport).await);
            }
            if !targets.is_empty() {
                return Ok(targets);
            }
        }
        Ok(addresses(dns, host, 5060, wanted.unwrap_or(Transport::Udp)).await)
    }
}

/// The transport that the URI names, if it does and we have it (RFC 3263 section 4.1).
fn wanted_transport(uri: &Uri) -> Result<Option<Transport>, ResolveError> {
    let unsupported = || ResolveError::Unsupported(uri.to_string());
    if uri.scheme != Scheme::Sip {
        return Err(unsupported());
    }
    match (uri.param("transport"), uri.transport()) {
        (None, _) => Ok(None),
        (Some(_), Some(transport @ (Transport::Udp | Transport::Tcp))) => Ok(Some(transport)),
        _ => Err(unsupported()),
    }
}

fn numeric(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// A and AAAA; what DNS does not know, or does not tell, is no address.
async fn addresses(dns: &TokioResolver, host: &str, port: u16, transport: Transport) -> Vec<Target> {
    match dns.lookup_ip(host).await {
        Ok(found) => found.iter().map(|ip| Target { transport, addr: SocketAddr::new(ip, port) }).collect(),
        Err(error) => {
            tracing::debug!(%host, %error, "no address");
            Vec::new()
        }
    }
}

/// SRV records in the order of RFC 2782: by priority, and within one by chance in proportion to weight.
async fn servers(dns: &TokioResolver, host: &str, transport: Transport) -> Vec<SRV> {
    let name = format!("_sip._{}.{}.", transport.as_str(), host.trim_end_matches('.'));
    let Ok(found) = dns.srv_lookup(name).await else { return Vec::new() };
    let records = found.answers().iter().filter_map(|record| match &record.data {
        // A target of "." says that there is no such service.
        RData::SRV(server) if !server.target.is_root() => Some(server.clone()),
        _ => None,
    });
    by_priority_and_weight(records.collect(), |below| rand::random_range(0..below))
}

/// `chance(n)` gives a number from 0 to n - 1.
fn by_priority_and_weight(mut servers: Vec<SRV>, mut chance: impl FnMut(u32) -> u32) -> Vec<SRV> {
    // Weight 0 first within its priority: it is then chosen only when chance is 0 (RFC 2782).
    servers.sort_by_key(|server| (server.priority, server.weight));
    let mut ordered = Vec::with_capacity(servers.len());
    while !servers.is_empty() {
        let priority = servers[0].priority;
        let group = servers.iter().take_while(|server| server.priority == priority).count();
        let total: u32 = servers[..group].iter().map(|server| u32::from(server.weight)).sum();
        let drawn = chance(total + 1);
        let mut sum = 0;
        let chosen = servers[..group].iter().position(|server| {
            sum += u32::from(server.weight);
            sum >= drawn
        });
        ordered.push(servers.remove(chosen.unwrap_or(0)));
    }
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::proto::rr::Name;

    fn server(priority: u16, weight: u16, port: u16) -> SRV {
        SRV::new(priority, weight, port, Name::root())
    }

    #[test]
    fn priority_first_then_weight_by_chance() {
        let servers = vec![server(20, 1, 4), server(10, 0, 1), server(10, 60, 2), server(10, 40, 3)];
        let ports = |chance: fn(u32) -> u32| -> Vec<u16> {
            by_priority_and_weight(servers.clone(), chance).iter().map(|server| server.port).collect()
        };
        assert_eq!(ports(|_| 0), [1, 3, 2, 4]);
        assert_eq!(ports(|below| below - 1), [2, 3, 1, 4]);
    }

    #[tokio::test]
    async fn numeric_hosts_need_no_dns() {
        let silent = Resolver { dns: Err("must not be asked".to_owned()) };
        for (uri, transport, addr) in [
            ("sip:bob@192.0.2.1", Transport::Udp, "192.0.2.1:5060"),
            ("sip:192.0.2.1:5070;transport=tcp", Transport::Tcp, "192.0.2.1:5070"),
            ("sip:bob@[2001:db8::1]:5062;lr", Transport::Udp, "[2001:db8::1]:5062"),
            ("sip:bob@example.org;maddr=192.0.2.7", Transport::Udp, "192.0.2.7:5060"),
        ] {
            let targets = silent.resolve(&Uri::parse(uri).unwrap()).await.unwrap();
            assert_eq!(targets, [Target { transport, addr: addr.parse().unwrap() }], "{uri}");
        }
        for uri in ["sips:bob@192.0.2.1", "sip:bob@192.0.2.1;transport=ws"] {
            let refused = silent.resolve(&Uri::parse(uri).unwrap()).await;
            assert!(matches!(refused, Err(ResolveError::Unsupported(_))), "{uri}");
        }
    }
}
