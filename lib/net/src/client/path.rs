//! How requests get onto their paths, and what happens when a path breaks.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip::{Limits, Message, Response, Transport, ViaOut};

use super::relay;
use super::table::{Branch, Open, Path};
use super::{ClientRequest, Hop, Outcome, Shared, Unreachable};
use crate::{FlowKey, PATH_BYTES, RefusedDatagram, Target};

/// A Via for a socket of ours (an IPv6 host in brackets, fit for a Contact too), with a fresh branch (RFC 3261 section 8.1.1.7: unique over space and time).
pub(super) fn via(transport: Transport, local: SocketAddr) -> ViaOut {
    let branch = format!("z9hG4bK{:032x}", rand::random::<u128>());
    // rport (RFC 3581): the answer comes back to the very socket, through NAT too.
    ViaOut {
        transport,
        host: sip::Host::from(local.ip()).to_string(),
        port: local.port(),
        branch,
        rport: transport == Transport::Udp,
    }
}

impl<K: Send + 'static> Shared<K> {
    /// The Via towards one target; connects first if it has to.
    pub(super) async fn via_to(&self, target: Target) -> Result<ViaOut, Unreachable> {
        if !self.endpoint.may_send_to(target.addr.ip()) {
            return Err(Unreachable::Refused(target.addr.ip()));
        }
        if target.transport == Transport::Udp {
            let local = self
                .endpoint
                .udp_towards(target.addr)
                .ok_or(Unreachable::NoSocket)?;
            return Ok(via(Transport::Udp, self.reachable(local, target.addr)));
        }
        if target.transport != Transport::Tcp {
            return Err(Unreachable::Io(io::ErrorKind::Unsupported));
        }
        let flow = match self.endpoint.open_tcp(target.addr) {
            Some(flow) => flow,
            None => self.endpoint.connect_tcp(target.addr).await?,
        };
        Ok(self.via_by(&flow))
    }

    /// The Via of what goes by a TCP connection.
    fn via_by(&self, flow: &FlowKey) -> ViaOut {
        // RFC 3261 section 18.1.1: sent-by names where a new connection would be accepted, if we listen at all.
        let listener = self.endpoint.local_addrs().iter().find(|listen| {
            let ip = listen.addr.ip();
            listen.transport == Transport::Tcp
                && (ip == flow.local.ip()
                    || ip.is_unspecified() && ip.is_ipv4() == flow.local.is_ipv4())
        });
        let port = listener.map_or(flow.local.port(), |listen| listen.addr.port());
        via(Transport::Tcp, SocketAddr::new(flow.local.ip(), port))
    }

    /// The Via of what goes to a relay. It answers on the connection that the request came by, which `rport` names; nobody connects to
    /// this address.
    pub(super) fn via_to_relay(&self, to: SocketAddr) -> ViaOut {
        let port = self.endpoint.local_addrs().first();
        let port = port.map_or(Transport::Tcp.default_port(), |listen| listen.addr.port());
        let ip = self.endpoint.source_ip_for(to.ip());
        ViaOut {
            rport: true,
            ..via(Transport::Tcp, SocketAddr::new(ip, port))
        }
    }

    fn reachable(&self, local: SocketAddr, to: SocketAddr) -> SocketAddr {
        if local.ip().is_unspecified() {
            SocketAddr::new(self.endpoint.source_ip_for(to.ip()), local.port())
        } else {
            local
        }
    }

    /// Puts requests on their paths; those that need a connection first share one task per address.
    pub(super) fn begin(self: &Arc<Self>, requests: Vec<ClientRequest<K>>) {
        let mut connecting: HashMap<Target, Vec<Branch>> = HashMap::new();
        let mut too_long = Vec::new();
        let mut ready = Vec::with_capacity(requests.len());
        {
            let mut table = self.table();
            let mut keys = self.keys();
            for request in requests {
                let branch: Branch = request.branch.as_str().into();
                let (relay, mut rest) = match request.next_hop {
                    Hop::Relay { to, retransmits } => (Some((to, retransmits)), VecDeque::new()),
                    Hop::Target(target) => (None, VecDeque::from([target])),
                    Hop::Targets(targets) => (None, table.best_first(&targets)),
                };
                let first = rest.front().map(|target| target.addr.ip());
                rest.retain(|target| self.endpoint.may_send_to(target.addr.ip()));
                let mut target = rest.pop_front();
                let stand_in = target.filter(|target| {
                    request.may_go_by_tcp
                        && request.bytes.len() > PATH_BYTES
                        && target.transport == Transport::Udp
                        && self.endpoint.may_take_tcp(target.addr)
                });
                if let Some(udp) = stand_in {
                    rest.push_front(udp);
                    let addr = udp.addr;
                    target = Some(Target {
                        transport: Transport::Tcp,
                        addr,
                    });
                    too_long.push((Arc::clone(&branch), addr));
                }
                let (method, bytes, wire_branch) = (request.method, request.bytes, request.branch);
                keys.insert(Arc::clone(&branch), request.key);
                table.insert(
                    Arc::clone(&branch),
                    Open {
                        method,
                        bytes,
                        wire_branch,
                        path: Path::Waiting,
                        target,
                        rest,
                        instead_of_udp: stand_in.is_some(),
                    },
                );
                if stand_in.is_none() {
                    ready.push((branch, target, relay, first));
                }
            }
        }
        for (branch, target, relay, first) in ready {
            match (target, relay) {
                (Some(target), _) if target.transport == Transport::Tcp => {
                    match self.endpoint.open_tcp(target.addr) {
                        Some(flow) => self.depart_by_tcp(&branch, flow),
                        None => connecting.entry(target).or_default().push(branch),
                    }
                }
                (Some(target), _) => self.depart_by_udp(&branch, target),
                (None, Some((to, retransmits))) => self.depart_by_relay(&branch, to, retransmits),
                (None, None) => {
                    let nowhere = first.map_or(Unreachable::NoSocket, Unreachable::Refused);
                    self.fail(&branch, Outcome::Unreachable(nowhere));
                }
            }
        }
        for (target, branches) in connecting {
            self.connect_for(target, branches);
        }
        for (branch, addr) in too_long {
            let shared = Arc::clone(self);
            let closing = self.closing.clone();
            tokio::spawn(closing.run_until_cancelled_owned(async move {
                shared.go_by_tcp_instead(branch, addr).await
            }));
        }
        let deadline_ms = self.table().next_deadline();
        self.timer.advance(deadline_ms);
    }

    fn connect_for(self: &Arc<Self>, target: Target, branches: Vec<Branch>) {
        let shared = Arc::clone(self);
        let closing = self.closing.clone();
        tokio::spawn(closing.run_until_cancelled_owned(async move {
            match shared.endpoint.connect_tcp(target.addr).await {
                Ok(flow) => branches
                    .iter()
                    .for_each(|branch| shared.depart_by_tcp(branch, flow.clone())),
                Err(error) => {
                    let outcome = Outcome::Unreachable(Unreachable::Io(error.kind()));
                    branches
                        .iter()
                        .for_each(|branch| shared.fail(branch, outcome.clone()));
                }
            }
            let deadline_ms = shared.table().next_deadline();
            shared.timer.advance(deadline_ms);
        }));
    }

    fn depart_by_udp(self: &Arc<Self>, branch: &Branch, target: Target) {
        let Some(local) = self
            .endpoint
            .udp_towards(target.addr)
            .filter(|_| target.transport == Transport::Udp)
        else {
            return self.fail(branch, Outcome::Unreachable(Unreachable::NoSocket));
        };
        let departed = self.table().depart(
            branch,
            Path::Udp {
                local,
                to: target.addr,
            },
        );
        if let Some(bytes) = departed {
            self.endpoint.send_udp(Some(local), target.addr, bytes);
        }
    }

    fn depart_by_tcp(self: &Arc<Self>, branch: &Branch, flow: FlowKey) {
        let (departed, unwatched) = {
            let mut table = self.table();
            let departed = table.depart(branch, Path::Tcp(flow.clone()));
            let unwatched = departed.is_some() && table.watch(flow.connection);
            (departed, unwatched)
        };
        let Some(bytes) = departed else { return };
        if unwatched {
            self.watch(&flow);
        }
        if self.endpoint.send_flow(&flow, bytes).is_err() {
            self.fail(branch, Outcome::Unreachable(Unreachable::FlowGone));
        }
    }

    fn depart_by_relay(self: &Arc<Self>, branch: &Branch, to: SocketAddr, retransmits: bool) {
        let sent = {
            // One hold of the lock: a relay that breaks fails all that departed on it before, and is not found after.
            let mut table = self.table();
            let relay = relay::find_or_open(self, &mut table, to);
            let id = relay.id;
            let path = Path::Relay {
                to,
                id,
                retransmits,
            };
            let departed = table.depart(branch, path);
            departed.map_or(Ok(()), |bytes| relay.send(bytes))
        };
        if let Err(unsent) = sent {
            self.fail(branch, Outcome::Unreachable(unsent));
        }
    }

    /// RFC 3261 section 18.1.1: a request that is too long for a datagram goes by TCP, and by UDP after all where that is refused.
    async fn go_by_tcp_instead(self: Arc<Self>, branch: Branch, addr: SocketAddr) {
        let Some(flow) = self.endpoint.connect_instead_of_udp(addr).await else {
            let refused = Unreachable::Io(io::ErrorKind::ConnectionRefused);
            return self.fail(&branch, Outcome::Unreachable(refused));
        };
        self.rewrite(&branch, &self.via_by(&flow));
        self.depart_by_tcp(&branch, flow);
        let deadline_ms = self.table().next_deadline();
        self.timer.advance(deadline_ms);
    }

    /// Fails the transaction whose datagram the kernel did not take: at once, and that one alone.
    pub(super) fn take_refused(self: &Arc<Self>, datagram: &RefusedDatagram) {
        let Some(wire_branch) = branch_of(&datagram.bytes) else {
            return;
        };
        let reason = match datagram.is_too_long() {
            true => Unreachable::TooLong {
                octets: datagram.bytes.len(),
            },
            false => Unreachable::Io(datagram.error.kind()),
        };
        let branch = self.table().by_wire_branch(&wire_branch);
        if let Some(branch) = branch {
            self.fail(&branch, Outcome::Unreachable(reason));
        }
    }

    /// When a connection closes, all that is open on it has failed (RFC 3261 section 17.1.4).
    fn watch(self: &Arc<Self>, flow: &FlowKey) {
        let Some(closed) = self.endpoint.closed(flow) else {
            return;
        };
        let (weak, connection) = (Arc::downgrade(self), flow.connection);
        let closing = self.closing.clone();
        tokio::spawn(closing.run_until_cancelled_owned(async move {
            closed.await;
            if let Some(shared) = weak.upgrade() {
                let branches = shared.table().on_connection(connection);
                branches.iter().for_each(|branch| {
                    shared.fail(branch, Outcome::Unreachable(Unreachable::FlowGone))
                });
            }
        }));
    }

    pub(super) fn take_response(&self, response: Response, flow: FlowKey) {
        let ended = self.table().on_response(&response);
        if let Some(branch) = ended {
            self.conclude(&branch, Outcome::Final(response, flow));
        }
    }

    pub(super) fn retransmit(self: &Arc<Self>, branch: &Branch, bytes: Bytes) {
        let path = self.table().path(branch).cloned();
        match path {
            Some(Path::Udp { local, to }) => self.endpoint.send_udp(Some(local), to, bytes),
            Some(Path::Relay { to, id, .. }) => {
                let table = self.table();
                // Another connection than this one's carries nothing of it.
                let relay = table.relays.get(&to).filter(|relay| relay.id == id);
                if let Some(relay) = relay {
                    relay.send_again(bytes);
                }
            }
            // Reliable transports are never retransmitted on (RFC 3261 section 17.1.2.2).
            Some(Path::Tcp(_) | Path::Waiting) | None => {}
        }
    }

    /// A target failed: goes on to the next, or ends with `outcome`. RFC 3263 section 4.3.
    pub(super) fn fail(self: &Arc<Self>, branch: &Branch, outcome: Outcome) {
        let fallen = self.table().fall(branch);
        let Some(fallen) = fallen else { return };
        match fallen.failed {
            // It may well answer by UDP.
            Some(failed) if fallen.instead_of_udp => self.endpoint.takes_no_tcp(failed.addr),
            Some(failed) if outcome.is_about_target() => self.table().suspect(failed.addr),
            _ => {}
        }
        let Some(next) = fallen.next else {
            return self.conclude(branch, outcome);
        };
        let (shared, branch) = (Arc::clone(self), Arc::clone(branch));
        let closing = self.closing.clone();
        tokio::spawn(
            closing.run_until_cancelled_owned(async move { shared.fail_over(branch, next).await }),
        );
    }

    fn rewrite(&self, branch: &Branch, via: &ViaOut) {
        self.table().rewrite(branch, |open| {
            (
                via.branch.clone(),
                with_via(&open.bytes, &open.wire_branch, via),
            )
        });
    }

    async fn fail_over(self: Arc<Self>, branch: Branch, target: Target) {
        let via = match self.via_to(target).await {
            Ok(via) => via,
            Err(unreachable) => return self.fail(&branch, Outcome::Unreachable(unreachable)),
        };
        self.rewrite(&branch, &via);
        match target.transport {
            Transport::Tcp => match self.endpoint.open_tcp(target.addr) {
                Some(flow) => self.depart_by_tcp(&branch, flow),
                None => self.fail(&branch, Outcome::Unreachable(Unreachable::FlowGone)),
            },
            _ => self.depart_by_udp(&branch, target),
        }
        let deadline_ms = self.table().next_deadline();
        self.timer.advance(deadline_ms);
    }
}

/// The branch of the topmost Via of a request, however long that is.
fn branch_of(bytes: &Bytes) -> Option<String> {
    let limits = Limits {
        message_bytes: usize::MAX,
        body_bytes: usize::MAX,
        ..Limits::default()
    };
    match sip::parse_datagram(bytes.to_vec(), &limits) {
        Ok(Message::Request(request)) => request.top_via().ok()?.branch,
        _ => None,
    }
}

/// The same request with another topmost Via: the header line that holds `old_branch` is written anew.
fn with_via(bytes: &Bytes, old_branch: &str, via: &ViaOut) -> Bytes {
    let head = bytes
        .windows(4)
        .position(|end| end == b"\r\n\r\n")
        .unwrap_or(bytes.len());
    let lines = bytes[..head].split_inclusive(|byte| *byte == b'\n');
    let mut at = 0;
    for line in lines {
        if line
            .windows(old_branch.len().max(1))
            .any(|text| text == old_branch.as_bytes())
        {
            let host = &via.host;
            let rport = if via.rport { ";rport" } else { "" };
            let written = format!(
                "Via: SIP/2.0/{} {host}:{};branch={}{rport}\r\n",
                via.transport.via_str(),
                via.port,
                via.branch
            );
            let end = at + line.len();
            let line_end = if line.ends_with(b"\n") { end } else { head + 2 };
            return [&bytes[..at], written.as_bytes(), &bytes[line_end..]]
                .concat()
                .into();
        }
        at += line.len();
    }
    bytes.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_via_names_the_socket() {
        for (transport, local, host, rport) in [
            (Transport::Udp, "192.0.2.1:5060", "192.0.2.1", true),
            (Transport::Tcp, "[::1]:5060", "[::1]", false),
        ] {
            let (one, other) = (
                via(transport, local.parse().unwrap()),
                via(transport, local.parse().unwrap()),
            );
            assert_eq!(
                (one.host.as_str(), one.port, one.rport),
                (host, 5060, rport)
            );
            assert!(one.branch.starts_with("z9hG4bK") && one.branch != other.branch);
        }
    }

    #[test]
    fn only_the_topmost_via_changes() {
        let via = ViaOut {
            transport: Transport::Tcp,
            host: "[::1]".into(),
            port: 5070,
            branch: "z9hG4bKnew".into(),
            rport: false,
        };
        for (request, expected) in [
            (
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h:1;branch=z9hG4bKold;rport\r\nCSeq: 1 OPTIONS\r\n\r\nz9hG4bKold",
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP [::1]:5070;branch=z9hG4bKnew\r\nCSeq: 1 OPTIONS\r\n\r\nz9hG4bKold",
            ),
            (
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/UDP h:1;branch=z9hG4bKold\r\n\r\n",
                "OPTIONS sip:a SIP/2.0\r\nVia: SIP/2.0/TCP [::1]:5070;branch=z9hG4bKnew\r\n\r\n",
            ),
            (
                "OPTIONS sip:a SIP/2.0\r\n\r\n",
                "OPTIONS sip:a SIP/2.0\r\n\r\n",
            ),
        ] {
            let changed = with_via(&Bytes::from_static(request.as_bytes()), "z9hG4bKold", &via);
            assert_eq!(String::from_utf8_lossy(&changed), expected);
        }
    }
}
