//! The relay: sends requests down the flows that this process holds, and their responses back. Between the two it keeps nothing that an answer
//! needs; only what is to be done if the connection of a request closes first ([`Unanswered`]).
//!
//! A request whose topmost Route carries a flow token signed by this cluster goes down that flow (RFC 5626 section 5.3); if the
//! flow has ended, 430 tells so at once. The branch of the Via that we add is a keyed hash of the Via below it and of where the request came from: a
//! retransmission is a retransmission for the phone too (RFC 3261 section 16.11), and a response proves by it that its request went through
//! a server of this cluster, and came from where the response is to go. So nobody can use us to reach other addresses: not with requests, not with
//! forged responses, not with true ones whose Via was changed.
//!
//! Notifiers send over connections, on which they get the answers. What came together leaves together ([`Outbox`]). What cannot be sent to
//! a phone, because it is too long for a datagram or the kernel knows no way, is answered in the phone's place, at once.

mod unanswered;

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use net::{Endpoint, FlowKey, RefusedDatagram};
use sip::token::Secret;
use sip::{
    FlowToken, ForwardError, HeaderName, Host, Message, Request, Response, Transport, Uri, Via,
    ViaOut,
};

use crate::answer::{self, Answer};
use crate::flow::reachable;
use crate::front::{Arrival, Front};
use unanswered::Instead;
pub(crate) use unanswered::Unanswered;

/// The flow that the topmost Route of `request` names, if the token is one of ours.
pub(crate) fn token(request: &Request, secret: &Secret) -> Option<FlowToken> {
    request.header(HeaderName::Route)?;
    let routes = request.route().ok()?;
    FlowToken::verify(routes.first()?.uri.user.as_deref()?, secret)
}

/// What is sent when a batch of packets is worked off: together it takes a system call, one by one it would take one each, and wake
/// another thread for it.
#[derive(Default)]
pub(crate) struct Outbox {
    datagrams: Vec<(FlowKey, Bytes)>,
    answers: Vec<(SocketAddr, Bytes)>,
}

impl Outbox {
    /// Answers a request in the place of a phone: as its own answers leave, for many may wait on that connection.
    fn refuse(&mut self, front: &Front, arrival: &Arrival, answer: &Answer) {
        let Arrival { request, flow, .. } = arrival;
        if !flow.transport.is_reliable() {
            return front.answers.reply(arrival, answer);
        }
        let bytes = answer.encode(request, flow.remote);
        self.answers.push((flow.remote, Bytes::from(bytes)));
    }

    /// Sends what is to be sent in place of answers that can come no more.
    fn make_up(&mut self, front: &Front, unanswered: Vec<Instead>) {
        for instead in unanswered {
            match instead {
                Instead::Answer(notifier, bytes) => self.answers.push((notifier, bytes)),
                Instead::Datagram(flow, bytes) => {
                    front.answers.endpoint.takes_no_tcp(flow.remote);
                    self.datagrams.push((flow, bytes));
                }
            }
        }
    }

    pub(crate) fn flush(&mut self, endpoint: &Endpoint) {
        for (flow, bytes) in self.datagrams.drain(..) {
            endpoint.send_udp(Some(flow.local), flow.remote, bytes);
        }
        for (notifier, bytes) in self.answers.drain(..) {
            if endpoint.send_to_many(notifier, bytes).is_err() {
                // All that it waits for on this connection has failed by that, and it tries again.
                tracing::debug!(%notifier, "no connection for an answer");
            }
        }
    }
}

/// Sends a request down the flow of its token. There is an answer only if that fails.
pub(crate) fn forward(
    front: &Arc<Front>,
    arrival: &Arrival,
    token: &FlowToken,
    secret: &Secret,
    outbox: &mut Outbox,
) {
    let forwarded = Forwarding::new(front, arrival, token, secret).and_then(|forwarding| {
        let bytes = forwarding.encode(front, arrival, forwarding.flow.transport)?;
        if forwarding.flow.transport != Transport::Udp {
            let instead = Instead::refuse(arrival);
            forwarding.send_on(front, &forwarding.flow, bytes, instead, outbox);
            return Ok(());
        }
        if !forwarding.is_for_tcp(front, arrival, &bytes) {
            outbox.datagrams.push((forwarding.flow, bytes));
            return Ok(());
        }
        let (front, arrival) = (Arc::clone(front), arrival.clone_request());
        tokio::spawn(async move {
            let mut outbox = Outbox::default();
            let sent = forwarding.send_by_tcp(&front, &arrival, bytes, &mut outbox);
            if let Err(answer) = sent.await {
                outbox.refuse(&front, &arrival, &answer);
            }
            outbox.flush(&front.answers.endpoint);
        });
        Ok(())
    });
    if let Err(answer) = forwarded {
        outbox.refuse(front, arrival, &answer);
    }
}

/// A request on its way down a flow.
struct Forwarding {
    flow: FlowKey,
    /// The Via of who sent it.
    below: Via,
    branch: String,
}

impl Forwarding {
    fn new(
        front: &Front,
        arrival: &Arrival,
        token: &FlowToken,
        secret: &Secret,
    ) -> Result<Forwarding, Answer> {
        let (endpoint, request) = (&front.answers.endpoint, &arrival.request);
        // A connection belongs to one process; a UDP flow to whoever holds the socket.
        let is_ours = if token.transport == Transport::Udp {
            endpoint
                .local_addrs()
                .iter()
                .any(|listen| listen.transport == Transport::Udp && listen.addr == token.local)
        } else {
            token.instance == endpoint.instance()
        };
        // The answer will have to go back on a connection. What the request says otherwise is not looked at: who has a token is a notifier.
        if !is_ours || !arrival.flow.transport.is_reliable() {
            return Err(answer::flow_failed());
        }
        let below = request
            .top_via()
            .map_err(|error| answer::malformed(&error))?;
        Ok(Forwarding {
            flow: FlowKey {
                transport: token.transport,
                local: token.local,
                remote: token.remote,
                connection: token.connection,
            },
            branch: branch(&below, arrival.flow.remote, secret),
            below,
        })
    }

    /// The request as it leaves by `transport`, which is not that of the flow where a connection stands in for a datagram: its copies are copies
    /// by both, so both have one address in the Via (RFC 3261 section 17.2.3).
    fn encode(
        &self,
        front: &Front,
        arrival: &Arrival,
        transport: Transport,
    ) -> Result<Bytes, Answer> {
        let address = reachable(
            &front.answers.endpoint,
            self.flow.local,
            self.flow.remote.ip(),
        );
        let via = ViaOut {
            transport,
            host: Host::from(address.ip()).to_string(),
            port: address.port(),
            branch: self.branch.clone(),
            rport: false,
        };
        match sip::forward_request_from(&arrival.request, &self.below, &via, arrival.flow.remote) {
            Ok(bytes) => Ok(Bytes::from(bytes)),
            Err(ForwardError::TooManyHops) => Err(answer::too_many_hops()),
            Err(ForwardError::Parse(error)) => Err(answer::malformed(&error)),
        }
    }

    /// Writes it on a connection, and notes what is to be sent `instead` should that close before the answer comes.
    fn send_on(
        &self,
        front: &Arc<Front>,
        flow: &FlowKey,
        bytes: Bytes,
        instead: Instead,
        outbox: &mut Outbox,
    ) {
        let (unanswered, connection) = (&front.answers.unanswered, flow.connection);
        if unanswered.note(connection, &self.branch, instead)
            && let Some(closed) = front.answers.endpoint.closed(flow)
        {
            tokio::spawn(make_up_for(Arc::clone(front), flow.clone(), closed));
        }
        if front.answers.endpoint.send_flow(flow, bytes).is_err() {
            // Of nothing that was noted, that has been done already.
            outbox.make_up(front, unanswered.forget(connection, &self.branch));
        }
    }

    /// Whether it is too long for a datagram, and the phone may take it by TCP (RFC 3261 section 18.1.1).
    fn is_for_tcp(&self, front: &Front, arrival: &Arrival, bytes: &Bytes) -> bool {
        bytes.len() > net::PATH_BYTES
            && may_be_connected_to(&arrival.request)
            && front.answers.endpoint.may_take_tcp(self.flow.remote)
    }

    /// What the phone does not answer by TCP, it gets by UDP: a copy, because the notifier repeats itself; or all, when the connection closes.
    async fn send_by_tcp(
        self,
        front: &Arc<Front>,
        arrival: &Arrival,
        by_udp: Bytes,
        outbox: &mut Outbox,
    ) -> Result<(), Answer> {
        match front
            .answers
            .endpoint
            .connect_instead_of_udp(self.flow.remote)
            .await
        {
            Some(flow) if !front.answers.unanswered.has(flow.connection, &self.branch) => {
                let by_tcp = self.encode(front, arrival, Transport::Tcp)?;
                let instead = Instead::Datagram(self.flow.clone(), by_udp);
                self.send_on(front, &flow, by_tcp, instead, outbox);
            }
            _ => outbox.datagrams.push((self.flow, by_udp)),
        }
        Ok(())
    }
}

/// When a connection has closed: what was written on it and not answered is refused in the phone's place, as if it had come a moment later,
/// or sent as a datagram after all.
async fn make_up_for(front: Arc<Front>, flow: FlowKey, closed: impl Future<Output = ()>) {
    closed.await;
    let mut outbox = Outbox::default();
    outbox.make_up(&front, front.answers.unanswered.take(flow.connection));
    outbox.flush(&front.answers.endpoint);
}

/// Whether the phone behind this Route can be reached without its flow, and leaves it to us by which transport.
fn may_be_connected_to(request: &Request) -> bool {
    let route = request.route().ok();
    let may_connect = route
        .as_ref()
        .and_then(|route| route.first())
        .is_some_and(|route| route.uri.param("connect").is_some());
    may_connect && Uri::parse(request.uri()).is_ok_and(|uri| uri.param("transport").is_none())
}

/// The longest answer that is handed on, as it leaves. A notifier needs its head, which has a few hundred octets; the connection is not one
/// phone's to fill.
const ANSWER_BYTES: usize = 16 << 10;

/// Sends a response that came up `flow` to whoever sent its request: down the connection that the next Via names. Anything else is
/// dropped, and so is a response longer than [`ANSWER_BYTES`].
pub(crate) fn back(
    front: &Front,
    response: &Response,
    flow: &FlowKey,
    secret: &Secret,
    outbox: &mut Outbox,
) {
    let branch = hand_on(response, secret, outbox);
    if let Some(branch) = branch.filter(|_| response.status().is_final())
        && flow.transport.is_reliable()
    {
        front.answers.unanswered.forget(flow.connection, &branch);
    }
}

/// The branch that the request had on its way, if it was one of those that were forwarded.
fn hand_on(response: &Response, secret: &Secret, outbox: &mut Outbox) -> Option<String> {
    let top = response.top_via().ok()?;
    let (bytes, below) = sip::forward_response(response).ok()?;
    let notifier = below.target()?;
    let branch = branch(&below, notifier, secret);
    if top.branch.as_deref() != Some(branch.as_str()) {
        tracing::debug!("a response that is not the answer to anything forwarded; dropped");
        return None;
    }
    if bytes.len() > ANSWER_BYTES {
        tracing::debug!(octets = bytes.len(), "an answer that is too long; dropped");
        return None;
    }
    outbox.answers.push((notifier, Bytes::from(bytes)));
    Some(branch)
}

/// Answers for ever in the place of phones what the kernel refuses to send them: nobody has to wait for a time-out to learn of it, and nobody
/// takes it for a silent phone.
pub(crate) async fn answer_refused(front: Arc<Front>) {
    let Some(mut refused) = front.answers.endpoint.refused() else {
        return;
    };
    while let Some(datagram) = refused.recv().await {
        if let Some(secret) = front.secret.known() {
            answer_in_place(&front, &datagram, secret);
        }
    }
}

/// Of what is not a request that was forwarded, nothing comes.
fn answer_in_place(front: &Front, datagram: &RefusedDatagram, secret: &Secret) {
    let parsed = |bytes: Vec<u8>| sip::parse_datagram(bytes, &front.intake.limits);
    let Ok(Message::Request(request)) = parsed(datagram.bytes.to_vec()) else {
        return;
    };
    let answer = match datagram.is_too_long() {
        true => answer::message_too_large(),
        false => answer::flow_failed(),
    };
    if let Ok(Message::Response(response)) = parsed(answer.encode(&request, datagram.to)) {
        let mut outbox = Outbox::default();
        hand_on(&response, secret, &mut outbox);
        outbox.flush(&front.answers.endpoint);
    }
}

/// The branch of our Via above `below`, which came from `notifier`: RFC 3261 section 16.11 asks that it be a function of the branch received.
fn branch(below: &Via, notifier: SocketAddr, secret: &Secret) -> String {
    let sent_by = format!("{}:{}", below.host, below.port.unwrap_or(5060)).to_ascii_lowercase();
    let tag = secret.tag(
        "relay",
        &[
            below.branch.as_deref().unwrap_or_default().as_bytes(),
            sent_by.as_bytes(),
            format!("{}:{}", notifier.ip().to_canonical(), notifier.port()).as_bytes(),
        ],
    );
    format!("z9hG4bK{tag}")
}
