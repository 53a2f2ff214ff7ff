//! Client transactions over real loopback sockets.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::wire::{endpoint, local, ok, options, packets, within};
use bytes::Bytes;
use net::{
    Client, ClientRequest, Endpoint, EndpointOptions, Hop, Incoming, ListenAddr, Outcome, Outcomes,
    Resolver, Target, Unreachable,
};
use sip::transaction::Timers;
use sip::{Method, Transport};
use tokio::net::{TcpListener, UdpSocket};

/// Timer F after 640 ms.
const SHORT: Timers = Timers {
    t1_ms: 10,
    t2_ms: 40,
};
/// Longer than any test: what ends, ends for another reason.
const LONG: Timers = Timers {
    t1_ms: 100_000,
    t2_ms: 100_000,
};

struct Caller {
    endpoint: Endpoint,
    client: Client<usize>,
    outcomes: Outcomes<usize>,
}

impl Caller {
    async fn new(transports: &[Transport], timers: Timers) -> Caller {
        let (endpoint, mut incoming) = endpoint(transports).await;
        let (client, outcomes) = Client::new(endpoint.clone(), Resolver::system(), timers);
        let responses = client.clone();
        tokio::spawn(async move {
            while let Some(batch) = incoming.recv_batch().await {
                batch.into_iter().for_each(|packet| {
                    responses.on_response(crate::wire::response(packet.bytes), packet.flow)
                });
            }
        });
        Caller {
            endpoint,
            client,
            outcomes,
        }
    }

    /// Builds requests with the keys 0..count.
    async fn requests(&self, hop: &Hop, count: usize) -> Vec<ClientRequest<usize>> {
        let mut requests = Vec::with_capacity(count);
        for key in 0..count {
            let via = self.client.via_for(hop).await.unwrap();
            requests.push(request(
                key,
                hop,
                &format!("{} {}:{}", via.transport.via_str(), via.host, via.port),
                &via.branch,
            ));
        }
        requests
    }

    async fn outcomes(&mut self, count: usize) -> Vec<(usize, Outcome)> {
        let mut all = Vec::new();
        while all.len() < count {
            all.extend(
                within("outcomes", self.outcomes.recv_batch())
                    .await
                    .unwrap(),
            );
        }
        assert_eq!(
            all.iter().map(|(key, _)| key).collect::<HashSet<_>>().len(),
            count,
            "one outcome each"
        );
        assert_eq!(self.client.open_count(), 0);
        all
    }
}

fn request(key: usize, hop: &Hop, via: &str, branch: &str) -> ClientRequest<usize> {
    let bytes = options(via, branch, &key.to_string(), b"").into();
    ClientRequest {
        key,
        branch: branch.to_owned(),
        method: Method::Options,
        bytes,
        next_hop: hop.clone(),
        may_go_by_tcp: false,
    }
}

fn relay(to: SocketAddr) -> Hop {
    Hop::Relay {
        to,
        retransmits: true,
    }
}

fn target(transport: Transport, addr: SocketAddr) -> Target {
    Target { transport, addr }
}

/// Answers everything with 200, copies too, until the test ends. The connections that requests came by.
fn answering(endpoint: Endpoint, mut incoming: Incoming) -> Arc<Mutex<HashSet<u64>>> {
    let connections = Arc::new(Mutex::new(HashSet::new()));
    let seen = Arc::clone(&connections);
    tokio::spawn(async move {
        while let Some(batch) = incoming.recv_batch().await {
            for packet in batch {
                seen.lock().unwrap().insert(packet.flow.connection);
                let answer = ok(&packet.bytes, packet.flow.remote).into();
                endpoint.send_flow(&packet.flow, answer).unwrap();
            }
        }
    });
    connections
}

fn is_ok(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Final(response, _) if response.status() == sip::StatusCode::OK)
}

#[tokio::test]
async fn thousands_at_once_on_every_kind_of_hop() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut caller = Caller::new(&[transport], Timers::default()).await;
        let (peer, incoming) = endpoint(&[transport]).await;
        let addr = local(&peer, transport);
        let connections = answering(peer, incoming);
        for hop in [
            Hop::Target(target(transport, addr)),
            Hop::Targets(vec![target(transport, addr)]),
        ] {
            let requests = caller.requests(&hop, 3_000).await;
            caller.client.send(requests);
            assert!(
                caller
                    .outcomes(3_000)
                    .await
                    .iter()
                    .all(|(_, outcome)| is_ok(outcome)),
                "{hop:?}"
            );
        }
        assert_eq!(connections.lock().unwrap().len(), 1, "{transport}");
    }
}

/// Through a relay all go on one connection, however long they are, and answers find their transactions.
#[tokio::test]
async fn thousands_at_once_through_a_relay() {
    let mut caller = Caller::new(&[Transport::Udp], Timers::default()).await;
    let (peer, incoming) = endpoint(&[Transport::Tcp]).await;
    let hop = relay(local(&peer, Transport::Tcp));
    let connections = answering(peer, incoming);
    let mut requests = caller.requests(&hop, 3_000).await;
    for request in requests.iter_mut().step_by(100) {
        let body = vec![b'x'; 60_000];
        let call_id = request.key.to_string();
        request.bytes = options("TCP 127.0.0.1:9", &request.branch, &call_id, &body).into();
    }
    caller.client.send(requests);
    let outcomes = caller.outcomes(3_000).await;
    assert!(outcomes.iter().all(|(_, outcome)| is_ok(outcome)));
    assert_eq!(connections.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_connection_is_opened_by_send_as_well() {
    let mut caller = Caller::new(&[], LONG).await;
    let (peer, incoming) = endpoint(&[Transport::Tcp]).await;
    let hop = Hop::Target(target(Transport::Tcp, local(&peer, Transport::Tcp)));
    let connections = answering(peer, incoming);
    caller.client.send(
        (0..20)
            .map(|key| request(key, &hop, "TCP h", &format!("z9hG4bK{key}")))
            .collect(),
    );
    assert!(
        caller
            .outcomes(20)
            .await
            .iter()
            .all(|(_, outcome)| is_ok(outcome))
    );
    assert_eq!(
        connections.lock().unwrap().len(),
        1,
        "one connection for all"
    );
}

#[tokio::test]
async fn lost_requests_are_sent_again_until_answered_or_timer_f() {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::Target(target(Transport::Udp, peer.local_addr().unwrap()));
    let mut caller = Caller::new(&[Transport::Udp], SHORT).await;
    let requests = caller.requests(&hop, 1).await;
    let sent = requests[0].bytes.clone();
    caller.client.send(requests);
    let mut buffer = [0; 2_000];
    for copy in 0..3 {
        let (count, from) = within("a copy", peer.recv_from(&mut buffer)).await.unwrap();
        assert_eq!(buffer[..count], sent);
        if copy == 2 {
            peer.send_to(&ok(&buffer[..count], from), from)
                .await
                .unwrap();
        }
    }
    assert!(is_ok(&caller.outcomes(1).await[0].1));

    let requests = caller.requests(&hop, 1).await;
    caller.client.send(requests);
    assert!(matches!(caller.outcomes(1).await[0].1, Outcome::TimedOut));
}

/// What a relay sends on as datagrams may get lost behind it; what it sends down a connection may not.
#[tokio::test]
async fn copies_go_through_a_relay_only_where_they_are_wanted() {
    for retransmits in [true, false] {
        let mut caller = Caller::new(&[], SHORT).await;
        let (peer, mut incoming) = endpoint(&[Transport::Tcp]).await;
        let to = local(&peer, Transport::Tcp);
        let hop = Hop::Relay { to, retransmits };
        let requests = caller.requests(&hop, 1).await;
        let sent = requests[0].bytes.clone();
        caller.client.send(requests);
        let count = if retransmits { 3 } else { 1 };
        for packet in packets(&mut incoming, count).await {
            assert_eq!(packet.bytes, sent);
        }
        assert!(matches!(caller.outcomes(1).await[0].1, Outcome::TimedOut));
        if !retransmits {
            let more = tokio::time::timeout(Duration::ZERO, incoming.recv_batch()).await;
            assert!(more.is_err(), "{more:?}");
        }
    }
}

#[tokio::test]
async fn a_relay_that_is_gone_fails_everything_at_once() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let mut caller = Caller::new(&[Transport::Udp], LONG).await;
    let requests = caller.requests(&relay(free), 100).await;
    caller.client.send(requests);
    for (_, outcome) in caller.outcomes(100).await {
        assert!(
            matches!(
                outcome,
                Outcome::Unreachable(Unreachable::Io(ErrorKind::ConnectionRefused))
            ),
            "{outcome:?}"
        );
    }
    // The process comes back at the same address: the very next request gets through.
    let back = ListenAddr {
        transport: Transport::Tcp,
        addr: free,
    };
    let (peer, incoming) =
        Endpoint::bind(&[back], sip::Limits::default(), EndpointOptions::default())
            .await
            .unwrap();
    answering(peer, incoming);
    let requests = caller.requests(&relay(free), 1).await;
    caller.client.send(requests);
    assert!(is_ok(&caller.outcomes(1).await[0].1));
}

/// Two relays: what is open with the one that dies fails, what is open with the other stays open.
#[tokio::test]
async fn a_relay_that_dies_fails_what_waits_for_it_and_nothing_else() {
    let mut caller = Caller::new(&[Transport::Udp], LONG).await;
    let (dies, mut to_dying) = endpoint(&[Transport::Tcp]).await;
    let (lives, mut to_living) = endpoint(&[Transport::Tcp]).await;
    let requests = caller
        .requests(&relay(local(&dies, Transport::Tcp)), 10)
        .await;
    let mut others = caller
        .requests(&relay(local(&lives, Transport::Tcp)), 1)
        .await;
    others[0].key = 10;
    caller.client.send(requests);
    caller.client.send(others);
    packets(&mut to_dying, 10).await;
    let open = packets(&mut to_living, 1).await.remove(0);
    within("its end", dies.close()).await;
    let mut failed = Vec::new();
    while failed.len() < 10 {
        failed.extend(
            within("failures", caller.outcomes.recv_batch())
                .await
                .unwrap(),
        );
    }
    for (key, outcome) in failed {
        assert!(key < 10, "{key}");
        assert!(
            matches!(outcome, Outcome::Unreachable(Unreachable::FlowGone)),
            "{outcome:?}"
        );
    }
    let answer = ok(&open.bytes, open.flow.remote).into();
    lives.send_flow(&open.flow, answer).unwrap();
    assert!(is_ok(&caller.outcomes(1).await[0].1));
}

/// What no server reads fails by itself, and at once; the connection goes on for all others.
#[tokio::test]
async fn a_request_that_no_relay_takes_fails_alone() {
    let mut caller = Caller::new(&[], LONG).await;
    let (peer, incoming) = endpoint(&[Transport::Tcp]).await;
    let hop = relay(local(&peer, Transport::Tcp));
    let connections = answering(peer, incoming);
    let mut requests = caller.requests(&hop, 3).await;
    // Far more than a server would skip.
    let body = vec![b'x'; 17 << 20];
    requests[1].bytes = options("TCP h", &requests[1].branch, "1", &body).into();
    caller.client.send(requests);
    for (key, outcome) in caller.outcomes(3).await {
        match outcome {
            Outcome::Unreachable(Unreachable::TooLong { octets }) => {
                assert!(key == 1 && octets > 17 << 20, "{key}: {octets}");
            }
            outcome => assert!(key != 1 && is_ok(&outcome), "{key}: {outcome:?}"),
        }
    }
    assert_eq!(connections.lock().unwrap().len(), 1);
}

/// A server that sends an answer on writes it anew, which makes it longer than what the server took from the phone. What waits beside it on the connection is
/// not to suffer.
#[tokio::test]
async fn an_answer_that_grew_on_its_way_harms_nobody() {
    let mut caller = Caller::new(&[], LONG).await;
    let (peer, mut incoming) = endpoint(&[Transport::Tcp]).await;
    let hop = relay(local(&peer, Transport::Tcp));
    let requests = caller.requests(&hop, 3).await;
    caller.client.send(requests);
    let asked = packets(&mut incoming, 3).await;
    let limits = sip::Limits::default();
    let grown = [
        format!("X: {}\r\n", "x".repeat(100)).repeat(limits.message_bytes / 100),
        "X: x\r\n".repeat(limits.header_count),
        format!("X: {}\r\n", "x".repeat(limits.header_line_bytes)),
    ];
    for (packet, more) in asked.iter().zip(grown) {
        let answer = String::from_utf8(ok(&packet.bytes, packet.flow.remote)).unwrap();
        let answer = answer.replace("Content-Length", &format!("{more}Content-Length"));
        peer.send_flow(&packet.flow, answer.into()).unwrap();
    }
    assert!(
        caller
            .outcomes(3)
            .await
            .iter()
            .all(|(_, outcome)| is_ok(outcome))
    );
}

/// A datagram that the kernel does not take is a fault of that one request, known at once: neither a time-out, nor a word about the
/// peer or about what else is on its way there.
#[tokio::test]
async fn a_request_that_cannot_be_sent_fails_alone_and_at_once() {
    let mut caller = Caller::new(&[Transport::Udp], LONG).await;
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::Targets(vec![target(Transport::Udp, peer.local_addr().unwrap())]);
    let mut requests = caller.requests(&hop, 3).await;
    let via = caller.client.via_for(&hop).await.unwrap();
    requests[1].bytes = options(
        &format!("UDP {}:{}", via.host, via.port),
        &requests[1].branch,
        "1",
        &vec![b'x'; 69_000],
    )
    .into();
    let octets = requests[1].bytes.len();
    caller.client.send(requests);
    let (key, outcome) = within("the failure", caller.outcomes.recv_batch())
        .await
        .unwrap()
        .remove(0);
    assert_eq!(key, 1);
    assert!(
        matches!(outcome, Outcome::Unreachable(Unreachable::TooLong { octets: said }) if said == octets),
        "{outcome:?}"
    );
    let nowhere = Hop::Target(target(Transport::Udp, "127.0.0.1:0".parse().unwrap()));
    let mut invalid = caller.requests(&nowhere, 1).await;
    invalid[0].key = 3;
    caller.client.send(invalid);
    let (key, outcome) = within("the failure", caller.outcomes.recv_batch())
        .await
        .unwrap()
        .remove(0);
    assert_eq!(key, 3);
    assert!(
        matches!(
            outcome,
            Outcome::Unreachable(Unreachable::Io(ErrorKind::InvalidInput))
        ),
        "{outcome:?}"
    );
    let mut buffer = [0; 2_000];
    for _ in 0..2 {
        let (count, from) = within("the others", peer.recv_from(&mut buffer))
            .await
            .unwrap();
        peer.send_to(&ok(&buffer[..count], from), from)
            .await
            .unwrap();
    }
    assert!(
        caller
            .outcomes(2)
            .await
            .iter()
            .all(|(_, outcome)| is_ok(outcome))
    );
}

/// RFC 3261 section 18.1.1: what is too long for a datagram goes by TCP, where the peer takes that, and by UDP after all where it does not.
#[tokio::test]
async fn long_requests_go_by_tcp_where_the_peer_takes_it() {
    let (both, mut to_both) = endpoint(&[Transport::Udp]).await;
    let addr = local(&both, Transport::Udp);
    let also = ListenAddr {
        transport: Transport::Tcp,
        addr,
    };
    let (by_tcp, mut to_tcp) =
        Endpoint::bind(&[also], sip::Limits::default(), EndpointOptions::default())
            .await
            .unwrap();
    let (udp_only, mut to_udp_only) = endpoint(&[Transport::Udp]).await;
    let mut caller = Caller::new(&[Transport::Udp], Timers::default()).await;
    let long = async |caller: &Caller, to: SocketAddr, may_go_by_tcp: bool| {
        let hop = Hop::Targets(vec![target(Transport::Udp, to)]);
        let mut request = caller.requests(&hop, 1).await.remove(0);
        request.bytes = options("UDP h", &request.branch, "long", &[b'x'; 2_000]).into();
        request.may_go_by_tcp = may_go_by_tcp;
        caller.client.send(vec![request]);
    };
    for (may_go_by_tcp, peer, incoming) in
        [(true, &by_tcp, &mut to_tcp), (false, &both, &mut to_both)]
    {
        long(&caller, addr, may_go_by_tcp).await;
        let packet = packets(incoming, 1).await.remove(0);
        let via = crate::wire::request(&packet.bytes).top_via().unwrap();
        assert_eq!(via.transport, Some(packet.flow.transport));
        let answer = ok(&packet.bytes, packet.flow.remote).into();
        peer.send_flow(&packet.flow, answer).unwrap();
        assert!(is_ok(&caller.outcomes(1).await[0].1));
    }
    let at = local(&udp_only, Transport::Udp);
    for attempt in 0..2 {
        assert_eq!(caller.endpoint.may_take_tcp(at), attempt == 0);
        long(&caller, at, true).await;
        let packet = packets(&mut to_udp_only, 1).await.remove(0);
        let via = crate::wire::request(&packet.bytes).top_via().unwrap();
        assert_eq!(via.transport, Some(Transport::Udp));
        let answer = ok(&packet.bytes, packet.flow.remote).into();
        udp_only.send_flow(&packet.flow, answer).unwrap();
        assert!(is_ok(&caller.outcomes(1).await[0].1));
    }
}

#[tokio::test]
async fn refused_and_broken_connections_fail_at_once() {
    let mut caller = Caller::new(&[], LONG).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hop = Hop::Target(target(Transport::Tcp, listener.local_addr().unwrap()));
    let requests = caller.requests(&hop, 5).await;
    caller.client.send(requests);
    let (stream, _) = within("connection", listener.accept()).await.unwrap();
    drop((stream, listener));
    for (_, outcome) in caller.outcomes(5).await {
        assert!(
            matches!(outcome, Outcome::Unreachable(Unreachable::FlowGone)),
            "{outcome:?}"
        );
    }
    caller
        .client
        .send(vec![request(0, &hop, "TCP h", "z9hG4bKrefused")]);
    let outcome = &caller.outcomes(1).await[0].1;
    assert!(
        matches!(
            outcome,
            Outcome::Unreachable(Unreachable::Io(ErrorKind::ConnectionRefused))
        ),
        "{outcome:?}"
    );
    assert_eq!(
        caller.client.via_for(&hop).await.unwrap_err(),
        Unreachable::Io(ErrorKind::ConnectionRefused)
    );
    let no_socket = Hop::Target(target(Transport::Udp, "127.0.0.1:9".parse().unwrap()));
    caller
        .client
        .send(vec![request(0, &no_socket, "UDP h", "z9hG4bKnone")]);
    assert!(matches!(
        caller.outcomes(1).await[0].1,
        Outcome::Unreachable(Unreachable::NoSocket)
    ));
    caller.endpoint.close().await;
}

#[tokio::test]
async fn the_next_target_is_tried_and_the_failed_one_comes_last() {
    let mut caller = Caller::new(&[Transport::Udp], SHORT).await;
    let refused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let (peer, mut incoming) = endpoint(&[Transport::Udp]).await;
    let hop = Hop::Targets(vec![
        target(Transport::Tcp, refused),
        target(Transport::Udp, silent.local_addr().unwrap()),
        target(Transport::Udp, local(&peer, Transport::Udp)),
    ]);
    caller
        .client
        .send(vec![request(0, &hop, "TCP h", "z9hG4bKfirst")]);
    let packet = packets(&mut incoming, 1).await.remove(0);
    let via = crate::wire::request(&packet.bytes).top_via().unwrap();
    assert_eq!(via.transport, Some(Transport::Udp));
    assert_ne!(
        via.branch.as_deref(),
        Some("z9hG4bKfirst"),
        "another target is another transaction"
    );
    peer.send_flow(
        &packet.flow,
        Bytes::from(ok(&packet.bytes, packet.flow.remote)),
    )
    .unwrap();
    assert!(is_ok(&caller.outcomes(1).await[0].1));
    // What was learnt: the next request goes to the good one at once.
    let requests = caller.requests(&hop, 1).await;
    let bytes = requests[0].bytes.clone();
    caller.client.send(requests);
    let packet = packets(&mut incoming, 1).await.remove(0);
    assert_eq!(packet.bytes, bytes);
}

#[tokio::test]
async fn all_targets_failed() {
    let mut caller = Caller::new(&[], LONG).await;
    let refused = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let hop = Hop::Targets(vec![
        target(Transport::Tcp, refused),
        target(Transport::Udp, refused),
    ]);
    caller
        .client
        .send(vec![request(0, &hop, "TCP h", "z9hG4bK1")]);
    assert!(matches!(
        caller.outcomes(1).await[0].1,
        Outcome::Unreachable(_)
    ));
    caller.client.send(vec![request(
        0,
        &Hop::Targets(Vec::new()),
        "TCP h",
        "z9hG4bK2",
    )]);
    assert!(matches!(
        caller.outcomes(1).await[0].1,
        Outcome::Unreachable(Unreachable::NoSocket)
    ));
}

#[tokio::test]
async fn a_cancelled_transaction_is_silent() {
    let mut caller = Caller::new(&[Transport::Udp], SHORT).await;
    let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let requests = caller.requests(&relay(peer.local_addr().unwrap()), 2).await;
    let branch = requests[0].branch.clone();
    caller.client.send(requests);
    caller.client.cancel(&branch);
    caller.client.cancel("z9hG4bKnever");
    // The other one's end comes after the cancelled one's would have come.
    assert_eq!(caller.outcomes(1).await[0].0, 1);
}

#[tokio::test]
async fn the_last_client_ends_the_outcomes() {
    let (endpoint, _incoming) = endpoint(&[Transport::Udp]).await;
    let (client, mut outcomes) = Client::<()>::new(endpoint, Resolver::system(), LONG);
    client
        .via_for(&relay("127.0.0.1:9".parse().unwrap()))
        .await
        .unwrap();
    drop(client.clone());
    drop(client);
    assert!(within("the end", outcomes.recv_batch()).await.is_none());
}
