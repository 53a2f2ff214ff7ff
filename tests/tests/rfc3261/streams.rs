//! Section 18: SIP over TCP.

use std::time::Duration;

use system_tests::message;
use system_tests::phone::Phone;
use system_tests::{pidf, system};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const BOB: &str = "sip:bob@example.org";

/// 18.2.2: "the response MUST be sent using the existing connection to the source of the original
/// request". A publisher and a watcher on TCP.
#[tokio::test(flavor = "multi_thread")]
async fn publish_and_watch() {
    let system = system::start();
    let (alice, bob) = (
        Phone::tcp("alice", system.tcp(0)).await,
        Phone::tcp("bob", system.tcp(0)).await,
    );
    let dialog = alice.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.tcp(0), "open", "stream").await;
    dialog
        .until("stream", |notify| notify.note() == Some("stream"))
        .await;
    assert_eq!(dialog.refresh(system.tcp(0), 60).await.status(), Some(200));
    publisher.remove(system.tcp(0)).await;
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    dialog.unsubscribe(system.tcp(0)).await;
}

async fn read_message(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> message::Message {
    loop {
        if let Some(length) = message::framed(buffer).unwrap() {
            return message::parse(&buffer.drain(..length).collect::<Vec<u8>>()).unwrap();
        }
        let count = timeout(Duration::from_secs(10), stream.read_buf(buffer))
            .await
            .expect("an answer")
            .unwrap();
        assert!(count > 0, "the connection was closed");
    }
}

/// 7.5 and 18.3: a stream has no datagram borders: byte by byte, and several messages at once.
#[tokio::test(flavor = "multi_thread")]
async fn fragments_and_lumps() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::tcp("bob", system.tcp(0)).await;
    let document = pidf::document(BOB, "t", "open", "x");
    let bytes = phone
        .publisher(BOB)
        .draft(Some(&document), Some(60))
        .encode();
    let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut buffer = Vec::new();
    for chunk in bytes.chunks(1) {
        stream.write_all(chunk).await.unwrap();
        stream.flush().await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(
        read_message(&mut stream, &mut buffer).await.status(),
        Some(200)
    );

    let mut lump = b"\r\n\r\n".to_vec();
    for number in 0..20 {
        lump.extend(
            phone
                .request("OPTIONS", BOB)
                .set("Call-ID", format!("lump{number}"))
                .encode(),
        );
        lump.extend(b"\r\n");
    }
    let (first, second) = lump.split_at(lump.len() / 2 + 3);
    stream.write_all(first).await.unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    stream.write_all(second).await.unwrap();
    let mut seen = std::collections::HashSet::new();
    while buffer.starts_with(b"\r\n") {
        buffer.drain(..2);
    }
    for _ in 0..20 {
        let response = loop {
            while buffer.starts_with(b"\r\n") {
                buffer.drain(..2);
            }
            if !buffer.is_empty() {
                break read_message(&mut stream, &mut buffer).await;
            }
            let count = timeout(Duration::from_secs(10), stream.read_buf(&mut buffer))
                .await
                .expect("an answer")
                .unwrap();
            assert!(count > 0, "the connection was closed");
        };
        assert_eq!(response.status(), Some(200));
        seen.insert(response.header("Call-ID").unwrap_or_default().to_string());
    }
    assert_eq!(seen.len(), 20);
}

/// RFC 5626 3.5.1: "(...) when a server receives a double CRLF sequence (...) it MUST immediately respond
/// with a single CRLF".
#[tokio::test(flavor = "multi_thread")]
async fn keep_alive() {
    let system = system::setup().notifiers(0).start();
    let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
    stream.write_all(b"\r\n\r\n").await.unwrap();
    let mut pong = [0; 2];
    timeout(Duration::from_secs(5), stream.read_exact(&mut pong))
        .await
        .expect("a pong")
        .unwrap();
    assert_eq!(&pong, b"\r\n");
}

/// 18.3 and 20.14: "If a stream-based protocol (such as TCP) is used as transport, then the header field
/// MUST be used." What cannot be framed ends the connection; others do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn no_content_length() {
    let system = system::setup().notifiers(0).start();
    let healthy = Phone::tcp("bob", system.tcp(0)).await;
    for bad in [
        healthy.request("OPTIONS", BOB).encode_without_length(),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        vec![0xff; 70_000],
        vec![b'x'; 200_000],
        format!("OPTIONS {BOB} SIP/2.0\r\nContent-Length: 99999999999\r\n\r\n").into_bytes(),
    ] {
        let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
        let _ = stream.write_all(&bad).await;
        let mut rest = Vec::new();
        let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        let text = String::from_utf8_lossy(&bad[..bad.len().min(60)]).into_owned();
        assert!(end.is_ok(), "the connection stays open after {text:?}");
    }
    assert_eq!(
        healthy
            .send(&healthy.request("OPTIONS", BOB), system.tcp(0))
            .await
            .status(),
        Some(200)
    );
}

/// A client that connects and says nothing, or half of something, holds up nobody.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients() {
    let system = system::setup().notifiers(0).start();
    let mut idle = Vec::new();
    for _ in 0..200 {
        let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
        stream
            .write_all(b"OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TCP ")
            .await
            .unwrap();
        idle.push(stream);
    }
    let phone = Phone::tcp("bob", system.tcp(0)).await;
    let begin = std::time::Instant::now();
    assert_eq!(
        phone
            .send(&phone.request("OPTIONS", BOB), system.tcp(0))
            .await
            .status(),
        Some(200)
    );
    assert!(begin.elapsed() < Duration::from_secs(2));
}

/// 18.3: what cannot be framed ends the stream, but neither the answer to what came before, nor that to the broken request itself, is
/// lost; and a request that is broken in itself ends nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_second_message_loses_no_answer() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::tcp("bob", system.tcp(0)).await;
    let document = pidf::document(BOB, "t", "open", "x");
    let second = || phone.request("OPTIONS", BOB).set("Call-ID", "second@call");
    let with_length = |length: &str| second().with("Content-Length", length).encode();
    for (number, (broken, status, is_lost)) in [
        (second().encode_without_length(), 400, true),
        (with_length("-1"), 400, true),
        (with_length("99999999999"), 400, true),
        (with_length("20000000"), 413, true),
        (second().set("CSeq", "1 PUBLISH").encode(), 400, false),
        (second().without("From").encode(), 400, false),
    ]
    .into_iter()
    .enumerate()
    {
        let first = phone
            .publisher(BOB)
            .draft(Some(&document), Some(60))
            .set("Call-ID", format!("first{number}@call"));
        let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
        let mut lump = [first.encode(), broken].concat();
        if is_lost {
            lump.extend(vec![b'x'; 20_000]);
        }
        stream.write_all(&lump).await.unwrap();
        let mut buffer = Vec::new();
        let mut found = Vec::new();
        for _ in 0..2 {
            let response = read_message(&mut stream, &mut buffer).await;
            let call_id = response.header("Call-ID").unwrap_or_default().to_owned();
            found.push((call_id, response.status()));
        }
        found.sort();
        let expected = [
            (format!("first{number}@call"), Some(200)),
            ("second@call".to_owned(), Some(status)),
        ];
        assert_eq!(found, expected, "{number}");
        if is_lost {
            let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut buffer)).await;
            assert!(matches!(end, Ok(Ok(0))), "{number}: {end:?}");
        } else {
            stream.write_all(&second().encode()).await.unwrap();
            let response = read_message(&mut stream, &mut buffer).await;
            assert_eq!(response.status(), Some(200), "{number}");
        }
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 6);
}

/// A client that closes its side right behind its request is answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_no_more_is_answered() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::tcp("bob", system.tcp(0)).await;
    let document = pidf::document(BOB, "t", "open", "x");
    let request = phone.publisher(BOB).draft(Some(&document), Some(60));
    let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
    stream.write_all(&request.encode()).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut buffer = Vec::new();
    let response = read_message(&mut stream, &mut buffer).await;
    assert_eq!(response.status(), Some(200), "{response}");
    let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut buffer)).await;
    assert!(matches!(end, Ok(Ok(0))), "{end:?}");
}

/// 21.4.11 and 21.5.7: what is too large is refused, and as long as its end is known the connection lives on behind it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_refused_and_skipped() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::tcp("bob", system.tcp(0)).await;
    for octets in [66_000, 1_000_000] {
        let document = pidf::document(BOB, "t", "open", &"x".repeat(octets));
        let large = phone.publisher(BOB).draft(Some(&document), Some(60));
        let response = phone.send(&large, system.tcp(0)).await;
        assert_eq!(response.status(), Some(413), "{response}");
        let mut publisher = phone.publisher(BOB);
        publisher.show(system.tcp(0), "open", "small").await;
        publisher.remove(system.tcp(0)).await;
    }
    // Head and body are allowed each, and not together.
    let document = pidf::document(BOB, "t", "open", &"x".repeat(60_000));
    let request = phone.publisher(BOB).draft(Some(&document), Some(60));
    let request = (0..8).fold(request, |request, number| {
        request.with(&format!("X-Long-{number}"), "x".repeat(1_000))
    });
    let response = phone.send(&request, system.tcp(0)).await;
    assert_eq!(response.status(), Some(513), "{response}");
    assert_eq!(
        phone
            .send(&phone.request("OPTIONS", BOB), system.tcp(0))
            .await
            .status(),
        Some(200)
    );
}

/// A server that stops has answered what it took, also a client that has not read yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_writes_out_its_answers() {
    const ASKED: usize = 1_200;
    let mut system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    // So that answers wait in the server, and not in the kernel.
    socket.set_recv_buffer_size(4_096).unwrap();
    let mut stream = socket.connect(system.tcp(0)).await.unwrap();
    let mut asked = Vec::new();
    for number in 0..ASKED {
        let call_id = format!("asked{number}@call");
        asked.extend(
            phone
                .request("OPTIONS", BOB)
                .set("Call-ID", call_id)
                .encode(),
        );
    }
    let document = pidf::document(BOB, "t", "open", "last");
    asked.extend(
        phone
            .publisher(BOB)
            .draft(Some(&document), Some(60))
            .encode(),
    );
    stream.write_all(&asked).await.unwrap();
    let taken = "SELECT count(*) FROM presentity";
    system.until(system::STARTUP, taken, 1).await;
    system.servers[0]
        .process
        .signal(rustix::process::Signal::TERM);
    let mut read = Vec::new();
    let end = timeout(Duration::from_secs(10), stream.read_to_end(&mut read)).await;
    assert!(matches!(end, Ok(Ok(_))), "{end:?}");
    let mut answers = 0;
    while let Some(length) = message::framed(&read).unwrap() {
        let answer = message::parse(&read.drain(..length).collect::<Vec<u8>>()).unwrap();
        assert_eq!(answer.status(), Some(200), "{answer}");
        answers += 1;
    }
    assert_eq!((answers, read.len()), (ASKED + 1, 0));
    let stopped = system.servers[0].process.wait(Duration::from_secs(10));
    assert!(stopped.unwrap().success());
}
