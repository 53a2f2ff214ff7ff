//! More connections than there is room for: who goes, and who stays.

use std::time::Duration;

use crate::endpoint::assert_closed;
use crate::wire::{endpoint_with, local, ok, options, packets, within};
use bytes::Bytes;
use net::{Endpoint, EndpointOptions, FlowKey, Incoming};
use sip::Transport;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// Connects, and has a request answered.
async fn served(
    endpoint: &Endpoint,
    incoming: &mut Incoming,
    place: usize,
) -> (TcpStream, FlowKey) {
    let to = endpoint.local_addrs()[place].addr;
    let mut phone = TcpStream::connect(to).await.unwrap();
    let flow = ask(&mut phone, incoming).await;
    answer(endpoint, &mut phone, &flow).await;
    (phone, flow)
}

async fn ask(phone: &mut TcpStream, incoming: &mut Incoming) -> FlowKey {
    phone.write_all(&hello()).await.unwrap();
    packets(incoming, 1).await.remove(0).flow
}

async fn answer(endpoint: &Endpoint, phone: &mut TcpStream, flow: &FlowKey) {
    let answer = ok(&hello(), flow.remote);
    let mut read = vec![0; answer.len()];
    endpoint.send_flow(flow, answer.into()).unwrap();
    within("an answer", phone.read_exact(&mut read))
        .await
        .unwrap();
}

fn hello() -> Vec<u8> {
    options("TCP h", "z9hG4bK", "hello", b"")
}

/// Lets the clock of the connections, which counts milliseconds, go on.
async fn later() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}

fn few(max_connections: usize) -> EndpointOptions {
    EndpointOptions {
        max_connections,
        ..EndpointOptions::default()
    }
}

#[tokio::test]
async fn the_least_recently_used_goes_and_what_is_in_use_stays() {
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], few(3)).await;
    let to = local(&endpoint, Transport::Tcp);
    // The first waits for an answer.
    let mut waiting = TcpStream::connect(to).await.unwrap();
    let awaited = ask(&mut waiting, &mut incoming).await;
    let (mut second, _) = served(&endpoint, &mut incoming, 0).await;
    later().await;
    let (mut third, _) = served(&endpoint, &mut incoming, 0).await;
    later().await;
    // The second is used again; pings are no use of the third.
    let flow = ask(&mut second, &mut incoming).await;
    answer(&endpoint, &mut second, &flow).await;
    later().await;
    third.write_all(b"\r\n\r\n").await.unwrap();
    let (_fourth, _) = served(&endpoint, &mut incoming, 0).await;
    assert_closed(&mut third, "the least recently used").await;
    answer(&endpoint, &mut waiting, &awaited).await;
    let flow = ask(&mut second, &mut incoming).await;
    answer(&endpoint, &mut second, &flow).await;
    assert_eq!(endpoint.drops().connections(), 1);
}

#[tokio::test]
async fn while_all_are_in_use_the_newcomer_goes() {
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], few(2)).await;
    let to = local(&endpoint, Transport::Tcp);
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut phone = TcpStream::connect(to).await.unwrap();
        let flow = ask(&mut phone, &mut incoming).await;
        waiting.push((phone, flow));
    }
    let mut third = TcpStream::connect(to).await.unwrap();
    assert_closed(&mut third, "one too many").await;
    for (phone, flow) in &mut waiting {
        answer(&endpoint, phone, flow).await;
    }
}

/// Silent connections push out one another, not those that have said something.
#[tokio::test]
async fn silent_ones_push_out_silent_ones() {
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], few(20)).await;
    let to = local(&endpoint, Transport::Tcp);
    let (mut phone, flow) = served(&endpoint, &mut incoming, 0).await;
    let mut silent = Vec::new();
    for _ in 0..19 {
        silent.push(TcpStream::connect(to).await.unwrap());
    }
    // Longer than each has for its first request while others wait.
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for _ in 0..19 {
        silent.push(TcpStream::connect(to).await.unwrap());
    }
    for stream in &mut silent[..19] {
        assert_closed(stream, "a silent one").await;
    }
    answer(&endpoint, &mut phone, &flow).await;
    let (mut newcomer, flow) = served(&endpoint, &mut incoming, 0).await;
    answer(&endpoint, &mut newcomer, &flow).await;
}

/// Whoever is trusted, and whoever comes to the listener that has places of its own, is neither counted nor closed.
#[tokio::test]
async fn some_are_not_counted() {
    for (transports, options) in [
        (
            [Transport::Tcp, Transport::Tcp],
            EndpointOptions {
                reserved_for: Some(1),
                ..few(2)
            },
        ),
        (
            [Transport::Tcp, Transport::Tcp],
            EndpointOptions {
                trusted: vec!["127.0.0.0/8".parse().unwrap()],
                first_request_timeout: Duration::from_millis(1),
                ..few(2)
            },
        ),
    ] {
        let is_trusted = !options.trusted.is_empty();
        let (endpoint, mut incoming) = endpoint_with(&transports, options).await;
        let mut ours = Vec::new();
        for _ in 0..10 {
            ours.push(served(&endpoint, &mut incoming, 1).await);
            later().await;
        }
        let mut others = Vec::new();
        for _ in 0..3 {
            others.push(served(&endpoint, &mut incoming, 0).await);
            later().await;
        }
        for (phone, flow) in &mut ours {
            answer(&endpoint, phone, flow).await;
        }
        match is_trusted {
            true => assert_eq!(endpoint.drops().connections(), 0),
            false => assert_closed(&mut others[0].0, "a stranger").await,
        }
    }
}

/// A connection that many wait behind turns out to be that of a process of ours, whoever it came as.
#[tokio::test]
async fn a_process_of_ours_stays() {
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], few(2)).await;
    let (mut process, flow) = served(&endpoint, &mut incoming, 0).await;
    let bytes = Bytes::from(ok(&hello(), flow.remote));
    let mut read = vec![0; bytes.len()];
    endpoint.send_to_many(flow.remote, bytes).unwrap();
    process.read_exact(&mut read).await.unwrap();
    let mut others = Vec::new();
    for _ in 0..4 {
        later().await;
        others.push(served(&endpoint, &mut incoming, 0).await);
    }
    answer(&endpoint, &mut process, &flow).await;
}

/// What we open ourselves is bounded in the same way, in all and to one address.
#[tokio::test]
async fn connections_out_are_bounded() {
    for options in [
        EndpointOptions {
            max_connections_out: 2,
            ..EndpointOptions::default()
        },
        EndpointOptions {
            max_connections_to_target: 2,
            ..EndpointOptions::default()
        },
    ] {
        let (endpoint, _incoming) = endpoint_with(&[], options).await;
        let mut open = Vec::new();
        for _ in 0..3 {
            let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let to = peer.local_addr().unwrap();
            let flow = endpoint.connect_tcp(to).await.unwrap();
            open.push((peer.accept().await.unwrap().0, flow));
            later().await;
        }
        assert_closed(&mut open[0].0, "the least recently used").await;
        assert_eq!(endpoint.open_tcp(open[2].1.remote), Some(open[2].1.clone()));
        // One that waits for an answer stays.
        for (_, flow) in &open[1..] {
            endpoint.send_flow(flow, hello().into()).unwrap();
        }
        let peer = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refused = endpoint.connect_tcp(peer.local_addr().unwrap()).await;
        assert_eq!(refused.unwrap_err().to_string(), "too many connections");
    }
}

/// Attempts are bounded like connections, and whoever gives up waiting for one takes it along.
#[tokio::test]
async fn attempts_are_bounded() {
    let options = EndpointOptions {
        max_connections_to_target: 1,
        ..EndpointOptions::default()
    };
    let (endpoint, _incoming) = endpoint_with(&[], options).await;
    // A listener whose queue is full: the kernel leaves further attempts without an answer.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let to = full.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        tokio::time::timeout(Duration::from_millis(200), TcpStream::connect(to)).await
    {
        queued.push(stream.unwrap());
    }
    for _ in 0..4 {
        let attempt = endpoint.connect_tcp(to);
        let given_up = tokio::time::timeout(Duration::from_millis(10), attempt).await;
        assert!(given_up.is_err(), "it hangs");
    }
    // Nothing of them is left that would count.
    let other = TcpListener::bind("127.0.0.1:0").await.unwrap();
    endpoint
        .connect_tcp(other.local_addr().unwrap())
        .await
        .unwrap();
}
