//! The sockets of a process, on real loopback sockets.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use crate::wire::{endpoint, endpoint_with, local, ok, options, packets, within};
use bytes::Bytes;
use net::{BindError, Endpoint, EndpointOptions, FlowGone, ListenAddr};
use sip::{Limits, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

#[tokio::test]
async fn udp_batches_travel_both_ways() {
    let (a, mut to_a) = endpoint(&[Transport::Udp]).await;
    let (b, mut to_b) = endpoint(&[Transport::Udp]).await;
    let (at_a, at_b) = (local(&a, Transport::Udp), local(&b, Transport::Udp));
    for number in 0..1_000 {
        a.send_udp(
            None,
            at_b,
            Bytes::from(options("UDP h", "z9hG4bK", &number.to_string(), b"")),
        );
    }
    let arrived = packets(&mut to_b, 1_000).await;
    for (number, packet) in arrived.iter().enumerate() {
        assert_eq!(
            (
                packet.flow.remote,
                packet.flow.local,
                packet.flow.connection
            ),
            (at_a, at_b, 0)
        );
        assert_eq!(
            crate::wire::request(&packet.bytes).call_id().unwrap(),
            number.to_string()
        );
        b.send_flow(&packet.flow, Bytes::copy_from_slice(&packet.bytes))
            .unwrap();
    }
    let returned = packets(&mut to_a, 1_000).await;
    assert!(
        returned
            .iter()
            .zip(&arrived)
            .all(|(back, there)| back.bytes == there.bytes)
    );
    assert_eq!((a.drops().datagrams(), b.drops().datagrams()), (0, 0));
}

#[tokio::test]
async fn udp_keepalives_and_stun_are_ignored_and_large_datagrams_whole() {
    let (endpoint, mut incoming) = endpoint(&[Transport::Udp]).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = local(&endpoint, Transport::Udp);
    let stun = [&[0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[7; 12]].concat();
    for noise in [&b""[..], b"\r\n\r\n", b"\0\0", &stun] {
        phone.send_to(noise, to).await.unwrap();
    }
    let large = options("UDP h", "z9hG4bK1", "large", &vec![b'x'; 60_000]);
    phone.send_to(&large, to).await.unwrap();
    let arrived = packets(&mut incoming, 1).await;
    assert_eq!(arrived.len(), 1);
    assert!(arrived[0].bytes == large);
}

#[tokio::test]
async fn a_datagram_that_cannot_be_sent_harms_only_itself() {
    let (endpoint, _incoming) = endpoint(&[Transport::Udp]).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = phone.local_addr().unwrap();
    endpoint.send_udp(None, to, Bytes::from_static(b"before"));
    endpoint.send_udp(None, to, Bytes::from(vec![0; 70_000]));
    endpoint.send_udp(
        None,
        "[::1]:9".parse().unwrap(),
        Bytes::from_static(b"no socket of that family"),
    );
    endpoint.send_udp(None, to, Bytes::from_static(b"after"));
    let mut buffer = [0; 100];
    for expected in [&b"before"[..], b"after"] {
        let (count, _) = within("datagram", phone.recv_from(&mut buffer))
            .await
            .unwrap();
        assert_eq!(&buffer[..count], expected);
    }
    assert_eq!(endpoint.drops().datagrams(), 2);
}

#[tokio::test]
async fn closing_flushes_what_was_queued() {
    let (endpoint, _incoming) = endpoint(&[Transport::Udp]).await;
    let phone = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for _ in 0..100 {
        endpoint.send_udp(
            None,
            phone.local_addr().unwrap(),
            Bytes::from_static(b"owed"),
        );
    }
    within("close", endpoint.close()).await;
    let mut buffer = [0; 100];
    for _ in 0..100 {
        within("datagram", phone.recv_from(&mut buffer))
            .await
            .unwrap();
    }
}

/// Answers that were queued before the end are written out, also those that do not fit into the kernel at once, and what the peer still
/// sends does not make them vanish.
#[tokio::test]
async fn closing_writes_out_what_was_queued_for_connections() {
    let (endpoint, mut incoming) = endpoint(&[Transport::Tcp]).await;
    let mut phone = TcpStream::connect(local(&endpoint, Transport::Tcp))
        .await
        .unwrap();
    phone
        .write_all(&options("TCP h", "z9hG4bK1", "1", b""))
        .await
        .unwrap();
    let packet = packets(&mut incoming, 1).await.remove(0);
    for _ in 0..10 {
        let answer = Bytes::from(vec![b'x'; 100_000]);
        endpoint.send_flow(&packet.flow, answer).unwrap();
    }
    phone
        .write_all(&options("TCP h", "z9hG4bK2", "too late", b""))
        .await
        .unwrap();
    let mut read = Vec::new();
    let (all, ()) = tokio::join!(
        within("all of it", phone.read_to_end(&mut read)),
        within("close", endpoint.close())
    );
    assert_eq!(all.unwrap(), 1_000_000);
    assert_eq!(endpoint.drops().connections(), 0);
}

/// A message that is too large costs its sender that message, and not the connection, as long as its end is known.
#[tokio::test]
async fn a_stream_goes_on_behind_what_is_too_large() {
    let (endpoint, mut incoming) = endpoint(&[Transport::Tcp]).await;
    let mut phone = TcpStream::connect(local(&endpoint, Transport::Tcp))
        .await
        .unwrap();
    let large = options("TCP h", "z9hG4bK1", "large", &vec![b'x'; 3_000_000]);
    let next = options("TCP h", "z9hG4bK2", "next", b"");
    phone.write_all(&[large, next].concat()).await.unwrap();
    let arrived = packets(&mut incoming, 2).await;
    let fault = arrived[0].fault.expect("the first is at fault");
    assert_eq!(fault.status.code(), 413);
    assert!(arrived[0].bytes.len() < 1_000, "its head alone");
    assert_eq!(arrived[1].fault, None);
    for packet in &arrived {
        let request = crate::wire::request_of(&packet.bytes);
        let is_large = packet.fault.is_some();
        let expected = if is_large { "large" } else { "next" };
        assert_eq!(request.call_id().unwrap(), expected);
    }
}

#[tokio::test]
async fn taken_and_unknown_addresses_are_refused() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = ListenAddr {
        transport: Transport::Tcp,
        addr: taken.local_addr().unwrap(),
    };
    let refused = Endpoint::bind(&[listen], Limits::default(), EndpointOptions::default()).await;
    assert!(
        matches!(refused, Err(BindError::Socket { source, .. }) if source.kind() == ErrorKind::AddrInUse)
    );
    let listen = ListenAddr {
        transport: Transport::Ws,
        ..listen
    };
    let refused = Endpoint::bind(&[listen], Limits::default(), EndpointOptions::default()).await;
    assert!(matches!(refused, Err(BindError::Transport(_))));
}

#[tokio::test]
async fn a_stream_is_cut_into_messages_however_it_is_fragmented() {
    let (endpoint, mut incoming) = endpoint(&[Transport::Tcp]).await;
    let mut phone = TcpStream::connect(local(&endpoint, Transport::Tcp))
        .await
        .unwrap();
    phone.set_nodelay(true).unwrap();
    let messages: Vec<_> = (0..3)
        .map(|n| options("TCP h", "z9hG4bK", &n.to_string(), b"four"))
        .collect();
    for byte in messages.concat() {
        phone.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    phone.write_all(&messages.concat()).await.unwrap();
    let arrived = packets(&mut incoming, 6).await;
    assert!(
        arrived
            .iter()
            .zip(messages.iter().cycle())
            .all(|(packet, sent)| packet.bytes == *sent)
    );
    assert!(
        arrived
            .iter()
            .all(|packet| packet.flow == arrived[0].flow && packet.flow.connection != 0)
    );
    assert_eq!(arrived[0].flow.remote, phone.local_addr().unwrap());
}

#[tokio::test]
async fn a_ping_gets_its_pong() {
    let (endpoint, _incoming) = endpoint(&[Transport::Tcp]).await;
    let mut phone = TcpStream::connect(local(&endpoint, Transport::Tcp))
        .await
        .unwrap();
    phone.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    within("pong", phone.read_exact(&mut pong)).await.unwrap();
    assert_eq!(&pong, b"\r\n");
}

#[tokio::test]
async fn connections_are_used_again_and_a_closed_flow_is_gone() {
    let (a, mut to_a) = endpoint(&[Transport::Tcp]).await;
    let (b, mut to_b) = endpoint(&[Transport::Tcp]).await;
    let to = local(&b, Transport::Tcp);
    let attempts = futures_util::future::join_all((0..50).map(|_| a.connect_tcp(to)));
    let flows: Vec<_> = within("connect", attempts)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert!(
        flows.iter().all(|flow| *flow == flows[0]),
        "concurrent connects share one attempt"
    );
    assert_eq!(a.connect_tcp(to).await.unwrap(), flows[0]);
    assert_eq!(a.open_tcp(to), Some(flows[0].clone()));

    let message = Bytes::from(options("TCP h", "z9hG4bK", "1", b""));
    a.send_flow(&flows[0], message.clone()).unwrap();
    let back = packets(&mut to_b, 1).await.remove(0).flow;
    assert_eq!(
        b.connect_tcp(back.remote).await.unwrap(),
        back,
        "an accepted connection is used again as well"
    );
    b.send_flow(&back, message.clone()).unwrap();
    assert_eq!(packets(&mut to_a, 1).await[0].flow, flows[0]);

    let closed = a.closed(&flows[0]).unwrap();
    within("close", b.close()).await;
    within("the flow's end", closed).await;
    assert_eq!(a.send_flow(&flows[0], message), Err(FlowGone));
    assert_eq!(a.open_tcp(to), None);
    within("a flow that is gone", a.closed(&flows[0]).unwrap()).await;
}

#[tokio::test]
async fn connecting_where_nobody_listens_is_refused() {
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (endpoint, _incoming) = endpoint(&[]).await;
    let refused = within("refusal", endpoint.connect_tcp(free)).await;
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_slow_reader_loses_its_connection_and_delays_nobody() {
    let options_ = EndpointOptions {
        write_queue_bytes: 256 * 1024,
        ..EndpointOptions::default()
    };
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], options_).await;
    let to = local(&endpoint, Transport::Tcp);
    let mut slow = TcpStream::connect(to).await.unwrap();
    slow.write_all(&options("TCP h", "z9hG4bK", "slow", b""))
        .await
        .unwrap();
    let slow_flow = packets(&mut incoming, 1).await.remove(0).flow;
    let mut quick = TcpStream::connect(to).await.unwrap();
    quick
        .write_all(&options("TCP h", "z9hG4bK", "quick", b""))
        .await
        .unwrap();
    let quick_flow = packets(&mut incoming, 1).await.remove(0).flow;

    let large = Bytes::from(vec![b'x'; 60_000]);
    let mut sent = 0;
    while endpoint.send_flow(&slow_flow, large.clone()).is_ok() {
        sent += 1;
        assert!(sent < 10_000, "the queue has no bound");
        tokio::task::yield_now().await;
    }
    within("the slow one's end", endpoint.closed(&slow_flow).unwrap()).await;
    assert_eq!(endpoint.drops().connections(), 1);

    endpoint
        .send_flow(&quick_flow, Bytes::from_static(b"hello"))
        .unwrap();
    let mut hello = [0; 5];
    within("the quick one", quick.read_exact(&mut hello))
        .await
        .unwrap();
    assert_eq!(&hello, b"hello");
}

/// A process that many wait behind may be late by far more than a phone; and it never loses a single message of many.
#[tokio::test]
async fn much_waits_for_a_process_and_then_its_connection_is_closed() {
    let large = Bytes::from(vec![b'x'; 60_000]);
    for (shared_queue_bytes, is_enough) in [(64 << 20, true), (2 << 20, false)] {
        let options_ = EndpointOptions {
            shared_queue_bytes,
            ..EndpointOptions::default()
        };
        let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], options_).await;
        let mut process = TcpStream::connect(local(&endpoint, Transport::Tcp))
            .await
            .unwrap();
        process
            .write_all(&options("TCP h", "z9hG4bK", "late", b""))
            .await
            .unwrap();
        let flow = packets(&mut incoming, 1).await.remove(0).flow;
        let mut sent = 0;
        // More than both kernels hold.
        while sent < 30_000_000 && endpoint.send_to_many(flow.remote, large.clone()).is_ok() {
            sent += large.len();
        }
        assert_eq!(sent >= 30_000_000, is_enough);
        if is_enough {
            // A refusal takes its place behind all that.
            endpoint.send_flow(&flow, large.clone()).unwrap();
            let mut all = vec![0; sent + large.len()];
            within("all of it", process.read_exact(&mut all))
                .await
                .unwrap();
        } else {
            within("its end", endpoint.closed(&flow).unwrap()).await;
            assert_eq!(endpoint.drops().connections(), 1);
        }
    }
}

/// A machine that is gone, or a NAT that has forgotten the connection, sends no FIN: what is written stays without an answer of the other kernel.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_peer_that_is_gone_without_a_word_is_found() {
    let short = EndpointOptions {
        unacknowledged_timeout: Duration::from_millis(500),
        ..EndpointOptions::default()
    };
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], short).await;
    let mut phone = TcpStream::connect(local(&endpoint, Transport::Tcp))
        .await
        .unwrap();
    phone
        .write_all(&options("TCP h", "z9hG4bK", "1", b""))
        .await
        .unwrap();
    let flow = packets(&mut incoming, 1).await.remove(0).flow;
    // BPF "ret 0": from here on the phone's kernel throws away whatever comes for this socket.
    let nothing = socket2::SockFilter::new(6, 0, 0, 0);
    socket2::SockRef::from(&phone)
        .attach_filter(&[nothing])
        .unwrap();
    endpoint
        .send_flow(&flow, Bytes::from_static(b"hello"))
        .unwrap();
    within("its end", endpoint.closed(&flow).unwrap()).await;
}

#[tokio::test]
async fn whoever_wastes_time_is_closed() {
    let short = EndpointOptions {
        message_timeout: Duration::from_millis(100),
        first_request_timeout: Duration::from_millis(100),
        idle_timeout: Duration::from_millis(200),
        ..EndpointOptions::default()
    };
    let whole = options("TCP h", "z9hG4bK", "1", b"");
    let half = &whole[..whole.len() / 2];
    for (case, bytes) in [
        ("says nothing", &b""[..]),
        ("has only pings", b"\r\n\r\n"),
        ("stops in a message", half),
        ("talks no SIP", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        ("falls silent", &whole),
        ("stops in the second message", &[&whole, half].concat()),
    ] {
        let (endpoint, _incoming) = endpoint_with(&[Transport::Tcp], short.clone()).await;
        let to = local(&endpoint, Transport::Tcp);
        let mut phone = TcpStream::connect(to).await.unwrap();
        phone.write_all(bytes).await.unwrap();
        assert_closed(&mut phone, case).await;
        assert_eq!(endpoint.drops().connections(), 1, "{case}");
    }
}

/// RFC 3261 section 18.3: a stream that cannot be framed is lost, but not what was asked before, nor the word that it is lost.
#[tokio::test]
async fn a_lost_stream_is_closed_after_the_answers() {
    let (endpoint, mut incoming) =
        endpoint_with(&[Transport::Tcp], EndpointOptions::default()).await;
    let to = local(&endpoint, Transport::Tcp);
    let first = options("TCP h", "z9hG4bK1", "first", b"");
    let text = String::from_utf8(options("TCP h", "z9hG4bK2", "second", b"")).unwrap();
    let second = text.replace("Content-Length: 0\r\n", "");
    let mut phone = TcpStream::connect(to).await.unwrap();
    // What follows stays unread, or is read away: it must not make the answers vanish.
    let rest = vec![b'x'; 100_000];
    phone
        .write_all(&[&first, second.as_bytes(), &rest].concat())
        .await
        .unwrap();
    let arrived = packets(&mut incoming, 2).await;
    assert_eq!(arrived[0].fault, None);
    let fault = arrived[1].fault.expect("the second is at fault");
    assert_eq!(fault.reason, "Missing Content-Length");
    assert_eq!(arrived[1].bytes, second.as_bytes());
    // Nothing new begins by a connection that ends.
    within("the end of what may begin", async {
        while endpoint.open_tcp(arrived[0].flow.remote).is_some() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for packet in arrived {
        let answer = Bytes::from(ok(&packet.bytes, packet.flow.remote));
        endpoint.send_flow(&packet.flow, answer).unwrap();
    }
    let mut read = String::new();
    within("both answers, and the end", phone.read_to_string(&mut read))
        .await
        .unwrap();
    assert_eq!(read.matches("SIP/2.0 200 OK\r\n").count(), 2, "{read}");
    assert!(
        read.contains("Call-ID: first") && read.contains("Call-ID: second"),
        "{read}"
    );
    assert_eq!(endpoint.drops().connections(), 1);
}

/// A client may close its side right behind its request, and still wants the answer.
#[tokio::test]
async fn a_peer_that_sends_no_more_gets_its_answer() {
    let (endpoint, mut incoming) =
        endpoint_with(&[Transport::Tcp], EndpointOptions::default()).await;
    let to = local(&endpoint, Transport::Tcp);
    let mut phone = TcpStream::connect(to).await.unwrap();
    phone
        .write_all(&options("TCP h", "z9hG4bK1", "only", b""))
        .await
        .unwrap();
    phone.shutdown().await.unwrap();
    let packet = packets(&mut incoming, 1).await.remove(0);
    // So that the end of the stream is seen before the answer goes.
    tokio::time::sleep(Duration::from_millis(50)).await;
    let answer = Bytes::from(ok(&packet.bytes, packet.flow.remote));
    endpoint.send_flow(&packet.flow, answer).unwrap();
    let mut read = String::new();
    within("the answer, and the end", phone.read_to_string(&mut read))
        .await
        .unwrap();
    assert!(read.starts_with("SIP/2.0 200 OK\r\n"), "{read}");
    within("the flow's end", endpoint.closed(&packet.flow).unwrap()).await;
}

/// Nobody is waited for longer than for an answer.
#[tokio::test]
async fn an_answer_that_never_comes_keeps_no_connection() {
    let short = EndpointOptions {
        answer_timeout: Duration::from_millis(100),
        ..EndpointOptions::default()
    };
    let (endpoint, mut incoming) = endpoint_with(&[Transport::Tcp], short).await;
    let to = local(&endpoint, Transport::Tcp);
    let mut phone = TcpStream::connect(to).await.unwrap();
    phone
        .write_all(&options("TCP h", "z9hG4bK1", "only", b""))
        .await
        .unwrap();
    phone.shutdown().await.unwrap();
    packets(&mut incoming, 1).await;
    assert_closed(&mut phone, "no answer").await;
}

/// What is sent before, such as a pong, is read away.
pub(crate) async fn assert_closed(stream: &mut TcpStream, case: &str) {
    within(case, async {
        while !matches!(stream.read(&mut [0; 100]).await, Ok(0) | Err(_)) {}
    })
    .await;
}

#[tokio::test]
async fn source_address_and_socket_towards_a_peer() {
    let (endpoint, _incoming) = endpoint(&[Transport::Udp]).await;
    let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
    assert_eq!(endpoint.source_ip_for(peer.ip()), peer.ip());
    assert_eq!(
        endpoint.udp_towards(peer),
        Some(local(&endpoint, Transport::Udp))
    );
    assert_eq!(endpoint.udp_towards("[::1]:9".parse().unwrap()), None);
}
