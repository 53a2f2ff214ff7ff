//! How requests get onto their paths, and what happens when a path breaks.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use sip::{Response, Transport, ViaOut};

use super::relay;
use super::table::{Branch, Open, Path};
use super::{ClientRequest, Hop, Outcome, Shared, Unreachable};
use crate::{FlowKey, Target};

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
    pub(super) async fn via_to(&self, target: Target) -> io::Result<ViaOut> {
        if target.transport == Transport::Udp {
            let local = self
                .endpoint
                .udp_towards(target.addr)
                .ok_or(io::ErrorKind::AddrNotAvailable)?;
            return Ok(via(Transport::Udp, self.reachable(local, target.addr)));
        }
        if target.transport != Transport::Tcp {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let flow = match self.endpoint.open_tcp(target.addr) {
            Some(flow) => flow,
            None => self.endpoint.connect_tcp(target.addr).await?,
        };
        // RFC 3261 section 18.1.1: sent-by names where a new connection would be accepted, if we listen at all.
        let listener = self.endpoint.local_addrs().iter().find(|listen| {
            let ip = listen.addr.ip();
            listen.transport == Transport::Tcp
                && (ip == flow.local.ip()
                    || ip.is_unspecified() && ip.is_ipv4() == flow.local.is_ipv4())
        });
        let port = listener.map_or(flow.local.port(), |listen| listen.addr.port());
        Ok(via(Transport::Tcp, SocketAddr::new(flow.local.ip(), port)))
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
        let mut ready = Vec::with_capacity(requests.len());
        {
            let mut table = self.table();
            let mut keys = self.keys();
            for request in requests {
                let branch: Branch = request.branch.as_str().into();
                let (target, relay, rest) = match request.next_hop {
                    Hop::Relay(to) => (None, Some(to), VecDeque::new()),
                    Hop::Target(target) => (Some(target), None, VecDeque::new()),
                    Hop::Targets(targets) => {
                        let mut targets = table.best_first(&targets);
                        (targets.pop_front(), None, targets)
                    }
                };
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
                        sent: false,
                    },
                );
                ready.push((branch, target, relay));
            }
        }
        for (branch, target, relay) in ready {
            match (target, relay) {
                (Some(target), _) if target.transport == Transport::Tcp => {
                    match self.endpoint.open_tcp(target.addr) {
                        Some(flow) => self.depart_by_tcp(&branch, flow),
                        None => connecting.entry(target).or_default().push(branch),
                    }
                }
                (Some(target), _) => self.depart_by_udp(&branch, target),
                (None, Some(to)) => self.depart_by_relay(&branch, to),
                (None, None) => self.fail(&branch, Outcome::Unreachable(Unreachable::NoSocket)),
            }
        }
        for (target, branches) in connecting {
            self.connect_for(target, branches);
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

    fn depart_by_relay(self: &Arc<Self>, branch: &Branch, to: SocketAddr) {
        match self.relay(to) {
            Ok(relay) => {
                let departed = self.table().depart(branch, Path::Relay(to));
                if let Some(bytes) = departed {
                    relay.send(branch, bytes);
                }
            }
            Err(error) => self.fail(branch, Outcome::Unreachable(Unreachable::Io(error.kind()))),
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

    /// The socket connected to a relay; opened at first use.
    pub(super) fn relay(self: &Arc<Self>, to: SocketAddr) -> io::Result<Arc<relay::Relay>> {
        let mut table = self.table();
        if let Some(relay) = table.relays.get(&to).filter(|relay| relay.touch()) {
            return Ok(Arc::clone(relay));
        }
        let relay = relay::open(self, to)?;
        table.relays.insert(to, Arc::clone(&relay));
        Ok(relay)
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
            Some(Path::Relay(to)) => match self.relay(to) {
                Ok(relay) => relay.send(branch, bytes),
                Err(error) => {
                    self.fail(branch, Outcome::Unreachable(Unreachable::Io(error.kind())))
                }
            },
            // Reliable transports are never retransmitted on (RFC 3261 section 17.1.2.2).
            Some(Path::Tcp(_) | Path::Waiting) | None => {}
        }
    }

    /// A target failed: goes on to the next, or ends with `outcome`. RFC 3263 section 4.3.
    pub(super) fn fail(self: &Arc<Self>, branch: &Branch, outcome: Outcome) {
        let fallen = self.table().fall(branch);
        match fallen {
            None => {}
            Some(None) => self.conclude(branch, outcome),
            Some(Some(next)) => {
                let (shared, branch) = (Arc::clone(self), Arc::clone(branch));
                let closing = self.closing.clone();
                tokio::spawn(closing.run_until_cancelled_owned(async move {
                    shared.fail_over(branch, next).await
                }));
            }
        }
    }

    async fn fail_over(self: Arc<Self>, branch: Branch, target: Target) {
        let via = match self.via_to(target).await {
            Ok(via) => via,
            Err(error) => {
                return self.fail(&branch, Outcome::Unreachable(Unreachable::Io(error.kind())));
            }
        };
        self.table().rewrite(&branch, |open| {
            (
                via.branch.clone(),
                with_via(&open.bytes, &open.wire_branch, &via),
            )
        });
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
