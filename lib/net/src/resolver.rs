//! From a URI to the addresses to try, in order (RFC 3263 section 4; RFC 2782 for the order of SRV records).
//!
//! Answers are kept for their TTL by hickory, failures for a while (`lookups`). RFC-GAP: NAPTR records (RFC 3263 section 4.1) are not asked for; the transport is
//! the URI's, else UDP before TCP.

mod lookups;
mod srv;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, LookupIpStrategy, NameServerConfig, ProtocolConfig, ResolverConfig,
    ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::rr::RData;
use sip::{Scheme, Transport, Uri};

use self::lookups::{Lookups, Question};

/// One address to try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// UDP or TCP.
    pub transport: Transport,
    /// Where to send.
    pub addr: SocketAddr,
}

/// Why a URI has no address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// `sips:`, `tel:` or a transport that we cannot send by. Nothing helps but another URI.
    #[error("cannot send to {0}: scheme or transport not supported")]
    Unsupported(String),
    /// The name exists nowhere, or has no address. Remedy: the zone, or the peer's Contact or Record-Route.
    #[error("no address for {0}")]
    NoAddress(String),
    /// No name server answered, or they failed. Remedy: `/etc/resolv.conf`, or try again later.
    #[error("name servers failed for {name}: {reason}")]
    Unavailable {
        /// What was asked for.
        name: String,
        /// What the resolver said.
        reason: String,
    },
    /// No answer in time. Try again later.
    #[error("no answer about {0} in time")]
    Deadline(String),
    /// As many questions about this zone wait already as may. Try again later.
    #[error("too many questions about {0} wait already")]
    Busy(String),
}

/// Asks the DNS. Clones share one cache, and the bounds of what is asked at once.
#[derive(Clone)]
pub struct Resolver {
    dns: TokioResolver,
    lookups: Arc<Lookups>,
    deadline: Duration,
}

/// For all questions of one URI together; below the 32 s that a transaction may take.
const DEADLINE: Duration = Duration::from_secs(5);
/// For the SRV records alone; leaves time for the addresses.
const SRV_DEADLINE: Duration = Duration::from_millis(2_500);
/// Addresses tried at the most, however many a name has.
const MAX_TARGETS: usize = 16;
/// SRV records of one name whose targets are looked up, best first. Each costs a question that is about a zone of somebody else.
const MAX_SRV: usize = 8;
/// A zone that says nothing of how long its answers hold, or less than this, is not asked for each NOTIFY.
const SHORTEST_TTL: Duration = Duration::from_secs(5);
/// A name that comes into being is found after this, whatever its zone says.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(300);
/// One packet lost must not use up the deadline.
const QUESTION_TIMEOUT: Duration = Duration::from_millis(1_500);

impl Resolver {
    /// Asks the name servers of `/etc/resolv.conf`, after `/etc/hosts`. Without a readable configuration only numeric hosts
    /// and `/etc/hosts` work; that is logged once.
    pub fn system() -> Resolver {
        let built = TokioResolver::builder_tokio().and_then(|mut builder| {
            bound(builder.options_mut());
            builder.build()
        });
        let dns = built.unwrap_or_else(|error| {
            tracing::warn!(%error, "no usable resolver configuration: only numeric hosts and /etc/hosts will be found");
            with_config(ResolverConfig::default())
        });
        Resolver {
            dns,
            lookups: Arc::new(Lookups::new()),
            deadline: DEADLINE,
        }
    }

    /// Asks one name server alone, by UDP.
    pub fn with_nameserver(server: SocketAddr) -> Resolver {
        let mut connection = ConnectionConfig::new(ProtocolConfig::Udp);
        connection.port = server.port();
        let server = NameServerConfig::new(server.ip(), true, vec![connection]);
        Resolver {
            dns: with_config(ResolverConfig::from_parts(None, Vec::new(), vec![server])),
            lookups: Arc::new(Lookups::new()),
            deadline: DEADLINE,
        }
    }

    /// Where to send a request whose next hop is `uri`, best first; never empty. RFC 3263 section 4.
    ///
    /// # Errors
    /// See [`ResolveError`]; after 5 seconds at the latest.
    pub async fn resolve(&self, uri: &Uri) -> Result<Vec<Target>, ResolveError> {
        let unsupported = || ResolveError::Unsupported(uri.raw.clone());
        if uri.scheme != Scheme::Sip {
            return Err(unsupported());
        }
        let wanted = match uri.param("transport").map(|_| uri.transport()) {
            None => None,
            Some(Some(transport @ (Transport::Udp | Transport::Tcp))) => Some(transport),
            Some(_) => return Err(unsupported()),
        };
        // RFC 3261 section 16.6 step 7: maddr is used instead of the host.
        let host = uri
            .param("maddr")
            .filter(|maddr| !maddr.is_empty())
            .map_or_else(|| uri.host_str(), str::to_owned);
        let transport = wanted.unwrap_or(Transport::Udp);
        if let Ok(ip) = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
        {
            return Ok(vec![Target {
                transport,
                addr: (ip, uri.port.unwrap_or(transport.default_port())).into(),
            }]);
        }
        if host.is_empty() {
            return Err(unsupported());
        }
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let question = Question {
            host: host.clone(),
            port: uri.port,
            wanted,
        };
        let ask = self.resolve_name(&host, uri.port, wanted);
        let mut targets = self.lookups.find(question, self.deadline, ask).await?;
        targets.truncate(MAX_TARGETS);
        Ok(targets)
    }

    async fn resolve_name(
        &self,
        host: &str,
        port: Option<u16>,
        wanted: Option<Transport>,
    ) -> Result<Vec<Target>, ResolveError> {
        // RFC 3263 section 4.2: a port in the URI means address records; without one, SRV comes first.
        if port.is_none() {
            let of_srv = match wanted {
                Some(transport) => self.by_srv(host, transport).await,
                None => {
                    let (mut udp, tcp) = tokio::join!(
                        self.by_srv(host, Transport::Udp),
                        self.by_srv(host, Transport::Tcp)
                    );
                    udp.extend(tcp);
                    udp
                }
            };
            if !of_srv.is_empty() {
                return Ok(of_srv);
            }
        }
        let transport = wanted.unwrap_or(Transport::Udp);
        let addresses = self.addresses(host).await?;
        Ok(addresses
            .into_iter()
            .map(|ip| Target {
                transport,
                addr: (ip, port.unwrap_or(5060)).into(),
            })
            .collect())
    }

    /// The targets of the SRV records; empty when there are none.
    async fn by_srv(&self, host: &str, transport: Transport) -> Vec<Target> {
        let name = format!("_sip._{}.{}.", transport.as_str(), host);
        // A zone or a server that cannot cope with SRV must not make a host unreachable that has an address.
        let lookup =
            match tokio::time::timeout(SRV_DEADLINE, self.dns.srv_lookup(name.as_str())).await {
                Ok(Ok(lookup)) => lookup,
                Ok(Err(error)) => {
                    tracing::debug!(%error, srv = %name, "no SRV records");
                    return Vec::new();
                }
                Err(_) => {
                    tracing::debug!(srv = %name, "no answer about SRV records in time");
                    return Vec::new();
                }
            };
        let records = lookup
            .answers()
            .iter()
            .filter_map(|record| match &record.data {
                // RFC 2782: a target of "." means that the service is decidedly not there.
                RData::SRV(srv) if !srv.target.is_root() => {
                    Some((srv.priority, srv.weight, (srv.target.to_utf8(), srv.port)))
                }
                _ => None,
            });
        let mut targets = Vec::new();
        let ordered = srv::in_order(records.collect(), |bound| rand::random_range(0..=bound));
        for (name, port) in ordered.into_iter().take(MAX_SRV) {
            match self.addresses(&name).await {
                Ok(addresses) => targets.extend(addresses.into_iter().map(|ip| Target {
                    transport,
                    addr: (ip, port).into(),
                })),
                // One target without an address must not hide the others.
                Err(error) => tracing::debug!(%error, srv = %name, "SRV target left out"),
            }
        }
        targets
    }

    async fn addresses(&self, host: &str) -> Result<Vec<IpAddr>, ResolveError> {
        let lookup = self.dns.lookup_ip(host).await.map_err(|error| {
            if error.is_no_records_found() {
                ResolveError::NoAddress(host.to_owned())
            } else {
                unavailable(host, &error)
            }
        })?;
        let addresses: Vec<IpAddr> = lookup.iter().collect();
        if addresses.is_empty() {
            Err(ResolveError::NoAddress(host.to_owned()))
        } else {
            Ok(addresses)
        }
    }
}

fn unavailable(name: &str, error: &NetError) -> ResolveError {
    ResolveError::Unavailable {
        name: name.to_owned(),
        reason: error.to_string(),
    }
}

fn with_config(config: ResolverConfig) -> TokioResolver {
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    bound(builder.options_mut());
    #[expect(
        clippy::expect_used,
        reason = "building fails only for TLS set-ups, and we ask for none"
    )]
    builder.build().expect("a resolver without TLS")
}

fn bound(options: &mut ResolverOpts) {
    options.timeout = QUESTION_TIMEOUT;
    options.attempts = 2;
    options.cache_size = 8_192;
    options.positive_min_ttl = Some(SHORTEST_TTL);
    options.negative_min_ttl = Some(SHORTEST_TTL);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
    // Never reached: `lookups` has those wait who ask too much at once.
    options.max_active_requests = 4_096;
    // IPv4 first: most of our peers' listeners have nothing else.
    options.ip_strategy = LookupIpStrategy::Ipv4AndIpv6;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn numeric_hosts_need_no_dns() {
        // Nobody answers at this address: a question would take until the deadline.
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let resolver = Resolver::with_nameserver(silent.local_addr().unwrap());
        for (uri, transport, addr) in [
            ("sip:bob@192.0.2.1", Transport::Udp, "192.0.2.1:5060"),
            (
                "sip:192.0.2.1:5070;transport=tcp",
                Transport::Tcp,
                "192.0.2.1:5070",
            ),
            (
                "sip:bob@[2001:db8::1]:5062;lr",
                Transport::Udp,
                "[2001:db8::1]:5062",
            ),
            (
                "sip:bob@example.org;maddr=192.0.2.7",
                Transport::Udp,
                "192.0.2.7:5060",
            ),
        ] {
            let targets = resolver.resolve(&Uri::parse(uri).unwrap()).await.unwrap();
            assert_eq!(
                targets,
                [Target {
                    transport,
                    addr: addr.parse().unwrap()
                }],
                "{uri}"
            );
        }
        for uri in [
            "sips:bob@192.0.2.1",
            "sip:bob@192.0.2.1;transport=ws",
            "sip:bob@192.0.2.1;transport=sctp",
            "tel:+15551234",
        ] {
            let refused = resolver.resolve(&Uri::parse(uri).unwrap()).await;
            assert!(
                matches!(refused, Err(ResolveError::Unsupported(_))),
                "{uri}"
            );
        }
        silent.set_nonblocking(true).unwrap();
        assert!(silent.recv(&mut [0; 512]).is_err(), "a question was asked");
    }
}
