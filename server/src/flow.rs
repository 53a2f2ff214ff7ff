//! Flows: how a watcher can be reached, and under which addresses this server is reached itself.
//!
//! A phone that talks to us directly, over a connection or from behind a NAT, can be reached only down the flow it came by.
//! Such a subscription gets a Route to this server with a signed flow token (in the manner of RFC 5626 section 5.1);
//! `relay` honours it. Whoever came through a proxy is reached down the route set, and gets no token.
//!
//! Of a phone on TCP whose Contact can be connected to, should its connection close, the Route says so, for the notifiers (`connect`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

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
    /// Where notifiers reach this server.
    pub(crate) internal: SocketAddr,
    /// The socket behind it, by its name in the endpoint.
    pub(crate) internal_socket: SocketAddr,
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

    /// The Route that leads a NOTIFY down `flow`, or `""` when the phone can be reached without us.
    pub(crate) fn route(
        &self,
        endpoint: &Endpoint,
        request: &Request,
        flow: &FlowKey,
        secret: &Secret,
    ) -> String {
        if !needs_flow(request, flow) {
            return String::new();
        }
        let token = FlowToken {
            transport: flow.transport,
            local: flow.local,
            remote: flow.remote,
            instance: endpoint.instance(),
            connection: flow.connection,
        };
        let connect = match may_be_connected_to(request, flow) {
            true => format!(";connect={}", Host::from(flow.remote.ip().to_canonical())),
            false => String::new(),
        };
        format!(
            "<sip:{}@{};transport=udp{connect};lr>",
            token.sign(secret),
            self.internal
        )
    }
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
    match endpoint.source_ip_for(peer) {
        ip if ip.is_unspecified() => SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), local.port()),
        ip => SocketAddr::new(ip, local.port()),
    }
}

/// Says whether the phone itself sent this (one Via, no Record-Route) from where its Contact does not lead.
fn needs_flow(request: &Request, flow: &FlowKey) -> bool {
    if request
        .header_lines(HeaderName::RecordRoute)
        .next()
        .is_some()
    {
        return false;
    }
    if !matches!(request.vias().as_deref(), Ok([_])) {
        return false;
    }
    if flow.transport.is_reliable() {
        return true;
    }
    match request.contact() {
        Ok(Some(contact)) => !leads_to(&contact.uri, flow.remote),
        _ => false,
    }
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
    let asks = |tags: Vec<String>| tags.iter().any(|tag| tag.eq_ignore_ascii_case("outbound"));
    let is_outbound = contact.uri.param("ob").is_some()
        || contact.param("reg-id").is_some()
        || asks(request.supported())
        || asks(request.require());
    let by_tcp = match contact.uri.param("transport") {
        None => true,
        Some(_) => contact.uri.transport() == Some(Transport::Tcp),
    };
    let leads_there = match contact.uri.host.ip() {
        Some(ip) => net::may_connect(ip, flow.remote.ip()),
        None => true,
    };
    !is_outbound && by_tcp && contact.uri.scheme == Scheme::Sip && leads_there
}

/// Says whether `contact` leads to `remote`. A name may: only addresses are compared.
fn leads_to(contact: &Uri, remote: SocketAddr) -> bool {
    let Some(ip) = contact.host.ip() else {
        return true;
    };
    if ip.to_canonical() != remote.ip().to_canonical() {
        return false;
    }
    // A Contact that asks for another transport names that transport's port.
    let by_udp = contact
        .transport()
        .is_none_or(|transport| transport == Transport::Udp);
    !by_udp || contact.port.unwrap_or(5060) == remote.port()
}
