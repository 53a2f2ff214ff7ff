//! Flows: how a watcher can be reached, and under which addresses this server is reached itself.
//!
//! A phone that talks to us directly, over a connection or from behind a NAT, can be reached only down the flow it came by. One on UDP
//! without NAT gets its NOTIFYs from the address and port that it subscribed at, which is what firewalls expect (unless
//! `server.notify_from_listener` is off). Such a subscription gets a Route to this server with a signed flow token (in the manner of RFC
//! 5626 section 5.1); `relay` honours it. Whoever came through a proxy is reached down the route set, and gets no token.
//!
//! The Route says more for the notifiers: that the flow is a connection (`by=tcp`), and that the phone's Contact can be reached without us,
//! should the flow be gone (`connect`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use net::{Endpoint, FlowKey, ListenAddr};
use sip::token::Secret;
use sip::{FlowToken, HeaderName, Host, Request, Scheme, Transport, Uri};

/// The addresses that go into what we hand out.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    /// `server_address`: the Contact of our answers, as it is written; `None`: the address that the request came to.
    pub(crate) contact: Option<String>,
    /// The same for those who came to one listener; it goes before.
    pub(crate) advertised: Vec<(ListenAddr, String)>,
    /// Where notifiers reach this server, by TCP.
    pub(crate) internal: SocketAddr,
    /// `server.notify_from_listener`: phones on UDP are notified from the socket that they came to.
    pub(crate) notify_from_listener: bool,
}

impl Addresses {
    /// The Contact URI of the answer to a request that came by `flow`.
    pub(crate) fn local_contact(&self, endpoint: &Endpoint, flow: &FlowKey) -> String {
        self.configured_contact(endpoint, flow).unwrap_or_else(|| {
            let local = reachable(endpoint, flow.local, flow.remote.ip());
            let port =
                listener(endpoint, flow).map_or(local.port(), |listener| listener.addr.port());
            let address = format!("sip:{}", SocketAddr::new(local.ip(), port));
            by_transport_of(flow, address)
        })
    }

    /// The same, if the operator has said it. `server_address` stands for all listeners, so nothing is added to it: whoever writes no
    /// transport means none. What a listener is called elsewhere is by its own transport.
    pub(crate) fn configured_contact(&self, endpoint: &Endpoint, flow: &FlowKey) -> Option<String> {
        if self.advertised.is_empty() {
            return self.contact.clone();
        }
        let listener = listener(endpoint, flow);
        let advertised = self
            .advertised
            .iter()
            .find(|(advertised, _)| Some(advertised) == listener);
        match advertised {
            Some((_, address)) => Some(by_transport_of(flow, address.clone())),
            None => self.contact.clone(),
        }
    }

    /// The Route that leads a NOTIFY down `flow`, or `""` when the phone can be reached without us. Who is not `believed` is never reached
    /// otherwise: its Contact may be anybody's address.
    pub(crate) fn route(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        flow: &FlowKey,
        believed: bool,
        secret: &Secret,
    ) -> String {
        let way = match believed {
            true => self.way_down(request, flow),
            false => Some(way_back(request, flow)),
        };
        let Some(way) = way else {
            return String::new();
        };
        let token = FlowToken {
            transport: flow.transport,
            local: flow.local,
            remote: way.remote,
            // A socket is the same after a restart.
            instance: match flow.transport {
                Transport::Udp => 0,
                _ => endpoint.instance(),
            },
            connection: flow.connection,
        };
        let by = match flow.transport {
            Transport::Udp => "",
            _ => ";by=tcp",
        };
        let connect = match way.may_connect {
            true => format!(";connect={}", Host::from(flow.remote.ip().to_canonical())),
            false => String::new(),
        };
        format!(
            "<sip:{}@{};transport=tcp{by}{connect};lr>",
            token.sign(secret),
            self.internal
        )
    }

    /// How a phone that sent this itself (one Via, no Record-Route) is reached through us; `None`: without us.
    fn way_down(&self, request: &Request, flow: &FlowKey) -> Option<WayDown> {
        let is_routed = request
            .header_lines(HeaderName::RecordRoute)
            .next()
            .is_some();
        if is_routed || !matches!(request.vias().as_deref(), Ok([_])) {
            return None;
        }
        if flow.transport.is_reliable() {
            return Some(WayDown {
                remote: flow.remote,
                may_connect: may_be_connected_to(request, flow),
            });
        }
        let contact = request.contact().ok().flatten()?;
        match place(&contact.uri, flow.remote) {
            Place::Elsewhere => Some(WayDown {
                remote: flow.remote,
                may_connect: false,
            }),
            Place::AtSource(remote) if self.notify_from_listener => Some(WayDown {
                remote,
                may_connect: !is_outbound(request),
            }),
            Place::AtSource(_) | Place::Named => None,
        }
    }
}

/// How somebody is reached who is not believed: where the request came from, whatever it says of other addresses.
fn way_back(request: &Request, flow: &FlowKey) -> WayDown {
    let contact = request.contact().ok().flatten();
    let place = contact.map(|contact| place(&contact.uri, flow.remote));
    let is_at_source = matches!(place, Some(Place::AtSource(_)));
    let by_contact = contact_ip(request) == Some(flow.remote.ip().to_canonical());
    WayDown {
        remote: match place {
            // Another port of the same host.
            Some(Place::AtSource(remote)) if !flow.transport.is_reliable() => remote,
            _ => flow.remote,
        },
        may_connect: match flow.transport.is_reliable() {
            true => by_contact && may_be_connected_to(request, flow),
            false => is_at_source && !is_outbound(request),
        },
    }
}

/// The address that Contact names, if it names one and not a host.
fn contact_ip(request: &Request) -> Option<IpAddr> {
    let contact = request.contact().ok().flatten()?;
    Some(contact.uri.host.ip()?.to_canonical())
}

/// The end of a flow, as the phone's side.
struct WayDown {
    remote: SocketAddr,
    /// The phone can be reached without us as well.
    may_connect: bool,
}

/// `uri` with the transport of `flow`, unless it names one or needs none.
fn by_transport_of(flow: &FlowKey, mut uri: String) -> String {
    if flow.transport != Transport::Udp && !uri.to_ascii_lowercase().contains(";transport=") {
        uri.push_str(";transport=");
        uri.push_str(flow.transport.as_str());
    }
    uri
}

/// The listener that `flow` came to; a connection that we opened ourselves came to the first one of its transport.
fn listener<'a>(endpoint: &'a Endpoint, flow: &FlowKey) -> Option<&'a ListenAddr> {
    let all = endpoint.local_addrs().iter();
    let mut listeners = all.filter(|listener| listener.transport == flow.transport);
    let find = |is_it: &dyn Fn(SocketAddr) -> bool| {
        listeners.clone().find(|listener| is_it(listener.addr))
    };
    find(&|addr| addr == flow.local)
        // Bound to a wildcard.
        .or_else(|| find(&|addr| addr.port() == flow.local.port()))
        .or_else(|| listeners.next())
}

/// A listener's address as others see it: a wildcard address is replaced by the one that packets to `peer` leave from.
pub(crate) fn reachable(endpoint: &Endpoint, local: SocketAddr, peer: IpAddr) -> SocketAddr {
    if !local.ip().is_unspecified() {
        return local;
    }
    let ip = match (endpoint.source_ip_for(peer), local.ip()) {
        (source, _) if !source.is_unspecified() => source,
        (_, IpAddr::V4(_)) => Ipv4Addr::LOCALHOST.into(),
        (_, IpAddr::V6(_)) => Ipv6Addr::LOCALHOST.into(),
    };
    SocketAddr::new(ip, local.port())
}

/// Says whether a phone on TCP can be connected to when its connection is gone (RFC 3261 section 18.1.1). Not if its Contact is behind NAT, or
/// if it asked to be reached down its own flows only (RFC 5626 sections 4.2.1, 4.3, 5.4). Of a name the notifier judges the addresses.
fn may_be_connected_to(request: &Request, flow: &FlowKey) -> bool {
    if flow.transport != Transport::Tcp {
        return false;
    }
    let Ok(Some(contact)) = request.contact() else {
        return false;
    };
    let by_tcp = match contact.uri.param("transport") {
        None => true,
        Some(_) => contact.uri.transport() == Some(Transport::Tcp),
    };
    let leads_there = match contact.uri.host.ip() {
        Some(ip) => net::may_connect(ip, flow.remote.ip()),
        None => true,
    };
    !is_outbound(request) && by_tcp && contact.uri.scheme == Scheme::Sip && leads_there
}

/// Says whether a phone asked to be reached down its own flows only (RFC 5626 sections 4.2.1, 4.3, 5.4).
fn is_outbound(request: &Request) -> bool {
    let asks = |tags: Vec<String>| tags.iter().any(|tag| tag.eq_ignore_ascii_case("outbound"));
    let says = request.contact().ok().flatten().is_some_and(|contact| {
        contact.uri.param("ob").is_some() || contact.param("reg-id").is_some()
    });
    says || asks(request.supported()) || asks(request.require())
}

/// Where the Contact of a phone on UDP leads.
#[derive(Debug, PartialEq, Eq)]
enum Place {
    /// To the host that the request came from: no NAT lies between, and requests go to the port that Contact names, whatever the request
    /// came from (RFC 3261 section 12.2.1.1).
    AtSource(SocketAddr),
    /// To another address: only the flow leads to the phone.
    Elsewhere,
    /// Where its name leads, or by another transport: that is for the notifiers to find out.
    Named,
}

fn place(contact: &Uri, source: SocketAddr) -> Place {
    let Some(ip) = contact
        .host
        .ip()
        .filter(|_| contact.param("maddr").is_none())
    else {
        return Place::Named;
    };
    if ip.to_canonical() != source.ip().to_canonical() {
        return Place::Elsewhere;
    }
    // RFC 3261 section 19.1.2: a SIPS URI is never by UDP.
    let by_udp = contact.scheme == Scheme::Sip
        && (contact.param("transport").is_none() || contact.transport() == Some(Transport::Udp));
    match contact.port.unwrap_or(5060) {
        _ if !by_udp => Place::Named,
        0 => Place::Elsewhere,
        port => Place::AtSource(SocketAddr::new(source.ip(), port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_leads_to_the_source_or_not() {
        let source: SocketAddr = "192.0.2.7:40000".parse().expect("an address");
        let at = |port| Place::AtSource(SocketAddr::new(source.ip(), port));
        for (contact, expected) in [
            ("sip:a@192.0.2.7:40000", at(40000)),
            ("sip:a@192.0.2.7:5062;transport=UDP", at(5062)),
            ("sip:a@192.0.2.7", at(5060)),
            ("sip:a@[::ffff:192.0.2.7]", at(5060)),
            ("sip:a@192.0.2.7:0", Place::Elsewhere),
            ("sip:a@192.0.2.8:40000", Place::Elsewhere),
            ("sip:a@10.0.0.7:40000;transport=tcp", Place::Elsewhere),
            ("sip:a@192.0.2.7:5060;transport=tcp", Place::Named),
            ("sips:a@192.0.2.7", Place::Named),
            ("sip:a@192.0.2.7;maddr=192.0.2.8", Place::Named),
            ("sip:a@phone.example.org:40000", Place::Named),
        ] {
            let uri = Uri::parse(contact).expect("a URI");
            assert_eq!(place(&uri, source), expected, "{contact}");
        }
    }
}
