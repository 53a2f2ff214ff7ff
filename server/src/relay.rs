//! The relay: sends requests down the flows that this process holds, and their responses back. It keeps nothing between the two.
//!
//! A request whose topmost Route carries a flow token signed by this cluster goes down that flow (RFC 5626 section 5.3); if the
//! flow has ended, 430 tells so at once. The branch of the Via that we add is a keyed hash of the Via below it: a retransmission is a
//! retransmission for the phone too (RFC 3261 section 16.11), and a response proves by it that its request went through a
//! server of this cluster. So nobody can use us to reach other addresses: not with requests, not with forged responses.

use std::net::SocketAddr;

use bytes::Bytes;
use net::{Endpoint, FlowKey};
use sip::token::Secret;
use sip::{FlowToken, ForwardError, HeaderName, Host, Request, Response, Transport, Via, ViaOut};

use crate::answer::{self, Answer};
use crate::flow::reachable;
use crate::front::{Arrival, Front};

/// The flow that the topmost Route of `request` names, if the token is one of ours.
pub(crate) fn token(request: &Request, secret: &Secret) -> Option<FlowToken> {
    request.header(HeaderName::Route)?;
    let routes = request.route().ok()?;
    FlowToken::verify(routes.first()?.uri.user.as_deref()?, secret)
}

/// Sends a request down the flow of its token. There is an answer only if that fails.
pub(crate) fn forward(front: &Front, arrival: &Arrival, token: &FlowToken, secret: &Secret) {
    if let Err(answer) = down_the_flow(&front.endpoint, arrival, token, secret) {
        front.reply(arrival, &answer);
    }
}

fn down_the_flow(
    endpoint: &Endpoint,
    arrival: &Arrival,
    token: &FlowToken,
    secret: &Secret,
) -> Result<(), Answer> {
    let request = &arrival.request;
    let flow = FlowKey {
        transport: token.transport,
        local: token.local,
        remote: token.remote,
        connection: token.connection,
    };
    // A connection belongs to one process; a UDP flow to whoever holds the socket.
    let is_ours = if flow.transport == Transport::Udp {
        endpoint
            .local_addrs()
            .iter()
            .any(|listen| listen.transport == Transport::Udp && listen.addr == flow.local)
    } else {
        token.instance == endpoint.instance()
    };
    if !is_ours {
        return Err(answer::flow_failed());
    }
    // Also whatever an answer needs: what cannot be answered is not forwarded.
    request
        .check_mandatory()
        .map_err(|error| answer::malformed(&error))?;
    let below = request
        .top_via()
        .map_err(|error| answer::malformed(&error))?;
    let address = reachable(endpoint, flow.local, flow.remote.ip());
    let via = ViaOut {
        transport: flow.transport,
        host: Host::from(address.ip()).to_string(),
        port: address.port(),
        branch: branch(&below, secret),
        rport: false,
    };
    let bytes = match sip::forward_request_from(request, &via, arrival.flow.remote) {
        Ok(bytes) => Bytes::from(bytes),
        Err(ForwardError::TooManyHops) => return Err(answer::too_many_hops()),
        Err(ForwardError::Parse(error)) => return Err(answer::malformed(&error)),
    };
    if flow.transport == Transport::Udp {
        endpoint.send_udp(Some(flow.local), flow.remote, bytes);
        return Ok(());
    }
    endpoint
        .send_flow(&flow, bytes)
        .map_err(|_| answer::flow_failed())
}

/// Sends a response that came up a flow to whoever sent its request: the next Via. Anything else is dropped.
pub(crate) fn back(front: &Front, response: &Response, secret: &Secret) {
    let Ok(top) = response.top_via() else { return };
    let Ok((bytes, below)) = sip::forward_response(response) else {
        return;
    };
    if top.branch.as_deref() != Some(branch(&below, secret).as_str()) {
        tracing::debug!("a response that is not the answer to anything forwarded; dropped");
        return;
    }
    let Some(target) = target(&below) else { return };
    // The sender's socket is connected to our internal address and hears nothing from elsewhere.
    front.endpoint.send_udp(
        Some(front.addresses.internal_socket),
        target,
        Bytes::from(bytes),
    );
}

/// The branch of our Via above `below`: RFC 3261 section 16.11 asks that it be a function of the branch received.
fn branch(below: &Via, secret: &Secret) -> String {
    let sent_by = format!("{}:{}", below.host, below.port.unwrap_or(5060)).to_ascii_lowercase();
    let tag = secret.tag(
        "relay",
        &[
            below.branch.as_deref().unwrap_or_default().as_bytes(),
            sent_by.as_bytes(),
        ],
    );
    format!("z9hG4bK{tag}")
}

/// Where the sender of a Via waits for responses (RFC 3261 section 18.2.2, RFC 3581 section 4). Ours are notifiers: numeric, by UDP.
fn target(via: &Via) -> Option<SocketAddr> {
    let ip = via.received.or_else(|| via.host.ip())?;
    Some(SocketAddr::new(
        ip,
        via.rport.flatten().or(via.port).unwrap_or(5060),
    ))
}
