//! What a destination policy refuses is not sent to: not a datagram, not a connection.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, UdpSocket};

use crate::wire::{endpoint_with, options, within};
use net::{
    Client, ClientRequest, Destinations, EndpointOptions, Hop, Outcome, Resolver, Target,
    Unreachable,
};
use sip::transaction::Timers;
use sip::{Method, Transport};

fn target(transport: Transport, addr: SocketAddr) -> Target {
    Target { transport, addr }
}

fn request(hop: &Hop, key: usize) -> ClientRequest<usize> {
    let branch = format!("z9hG4bK{key}");
    ClientRequest {
        key,
        bytes: options("UDP h", &branch, "refused", b"").into(),
        branch,
        method: Method::Options,
        next_hop: hop.clone(),
        may_go_by_tcp: true,
    }
}

#[tokio::test]
async fn nothing_goes_where_it_must_not() {
    let stream = TcpListener::bind("127.0.0.1:0").unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let by_tcp = target(Transport::Tcp, stream.local_addr().unwrap());
    let by_udp = target(Transport::Udp, datagrams.local_addr().unwrap());
    let public = EndpointOptions {
        destinations: Destinations::only_public_and(Vec::new()),
        ..EndpointOptions::default()
    };
    let (endpoint, _incoming) = endpoint_with(&[Transport::Udp], public).await;
    let (client, mut outcomes) = Client::new(
        endpoint.clone(),
        Resolver::system(),
        Timers {
            t1_ms: 10,
            t2_ms: 40,
        },
    );
    let refused = Unreachable::Refused("127.0.0.1".parse().unwrap());
    assert_eq!(
        refused.to_string(),
        "the destination policy refuses 127.0.0.1"
    );
    for (key, hop) in [
        Hop::Target(by_tcp),
        Hop::Target(by_udp),
        Hop::Targets(vec![by_udp, by_tcp]),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(client.via_for(hop).await, Err(refused.clone()), "{hop:?}");
        // Not by whoever leaves out the question either.
        client.send(vec![request(hop, key)]);
        let ended = within("its end", outcomes.recv_batch()).await.unwrap();
        assert!(
            matches!(&ended[..], [(ended, Outcome::Unreachable(reason))] if *ended == key && *reason == refused),
            "{hop:?}: {ended:?}"
        );
    }
    let connecting = endpoint.connect_tcp(by_tcp.addr).await;
    assert_eq!(connecting.unwrap_err().kind(), ErrorKind::PermissionDenied);
    assert_eq!(endpoint.connect_instead_of_udp(by_tcp.addr).await, None);
    stream.set_nonblocking(true).unwrap();
    datagrams.set_nonblocking(true).unwrap();
    assert_eq!(stream.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let received = datagrams.recv(&mut [0; 100]);
    assert_eq!(received.unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// Of several addresses of one name, only those are tried that may be.
#[tokio::test]
async fn one_good_address_is_enough() {
    let refused = UdpSocket::bind("127.0.0.2:0").unwrap();
    let allowed = UdpSocket::bind("127.0.0.1:0").unwrap();
    let targets =
        [&refused, &allowed].map(|socket| target(Transport::Udp, socket.local_addr().unwrap()));
    let listed = EndpointOptions {
        destinations: Destinations::only_public_and(vec!["127.0.0.1/32".parse().unwrap()]),
        ..EndpointOptions::default()
    };
    let (endpoint, _incoming) = endpoint_with(&[Transport::Udp], listed).await;
    let (client, mut outcomes) = Client::new(
        endpoint,
        Resolver::system(),
        Timers {
            t1_ms: 10,
            t2_ms: 40,
        },
    );
    let hop = Hop::Targets(targets.to_vec());
    let via = client.via_for(&hop).await.unwrap();
    assert_eq!(via.host, "127.0.0.1");
    client.send(vec![request(&hop, 0)]);
    let ended = within("its end", outcomes.recv_batch()).await.unwrap();
    assert!(matches!(ended[0].1, Outcome::TimedOut), "{ended:?}");
    allowed.set_nonblocking(true).unwrap();
    assert!(allowed.recv(&mut [0; 1_000]).is_ok());
    refused.set_nonblocking(true).unwrap();
    assert!(refused.recv(&mut [0; 1_000]).is_err());
}
