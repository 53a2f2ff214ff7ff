//! Hostile input.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{JSON, answer, post, raw, request, serving, tables};

/// Too large, too deep, too many, too slow, of another kind: a clear answer, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_costs_its_sender() {
    let (system, http) = serving();
    let before = tables(&system);
    let valid = r#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": 1}"#;

    // 10 MB, announced and not.
    let large = vec![b' '; 10_000_000];
    assert_eq!(raw(http, &request("/RPC", JSON, &large)).await.0, 413);
    let mut chunked = format!(
        "POST /RPC HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..100 {
        chunked.extend_from_slice(b"186a0\r\n");
        chunked.extend_from_slice(&large[..100_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw(http, &chunked).await.0, 413);

    for (opened, closed) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}{}", opened.repeat(200_000), closed.repeat(200_000));
        let deep = &deep.as_bytes()[..deep.len().min(1 << 20)];
        let (status, body) = raw(http, &request("/RPC", JSON, deep)).await;
        assert_eq!(status, 200);
        assert!(body.contains("-32700"), "{body}");
    }
    let many = format!("[{}]", vec![valid; 101].join(","));
    assert!(
        post(http, &many).await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("at most 100")
    );
    let (status, body) = raw(http, &request("/RPC", JSON, b"\xff\xfe\x00")).await;
    assert!(status == 200 && body.contains("-32700"), "{body}");

    // What a web page can send without asking, and a name that somebody else gave this machine.
    for headers in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        assert_eq!(
            raw(http, &request("/RPC", headers, valid.as_bytes()))
                .await
                .0,
            415,
            "{headers}"
        );
    }
    let rebound = String::from_utf8(request("/RPC", JSON, valid.as_bytes())).unwrap();
    let rebound = rebound.replace("Host: localhost", "Host: evil.example");
    assert_eq!(raw(http, rebound.as_bytes()).await.0, 403);

    assert_eq!(
        raw(http, &request("/", JSON, valid.as_bytes())).await.0,
        404
    );
    assert_eq!(
        raw(http, &request("/health", JSON, valid.as_bytes()))
            .await
            .0,
        405
    );
    assert_eq!(
        raw(
            http,
            b"GET /RPC HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .await
        .0,
        405
    );
    assert_eq!(
        raw(
            http,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
        )
        .await
        .0,
        400
    );
    let heads = format!(
        "POST /RPC HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X-A: b\r\n".repeat(20_000)
    );
    assert_eq!(raw(http, heads.as_bytes()).await.0, 431);
    // A SIP request to the wrong port.
    let sip = b"OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n";
    assert_eq!(raw(http, sip).await.0, 400);

    assert_eq!(tables(&system), before);
    assert_eq!(post(http, valid).await["result"], "Reload OK");
}

/// Slow heads and slow bodies are cut off, and connections that say nothing give way to others.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off() {
    let (_system, http) = serving();
    let mut slow_head = TcpStream::connect(http).await.unwrap();
    slow_head
        .write_all(b"POST /RPC HTTP/1.1\r\nHost: lo")
        .await
        .unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(http).await.unwrap());
    }
    let mut slow_body = TcpStream::connect(http).await.unwrap();
    let head = String::from_utf8(request("/RPC", JSON, &[b' '; 100])).unwrap();
    slow_body
        .write_all(&head.as_bytes()[..head.len() - 50])
        .await
        .unwrap();
    // Silent ones make room for one another, and for whoever asks.
    let health = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(http, health).await.0, 200);
    assert_eq!(answer(&mut slow_head).await.0, 0, "the oldest head");

    assert_eq!(answer(&mut slow_body).await.0, 408);
    for mut stream in idle {
        assert!(matches!(answer(&mut stream).await.0, 0 | 408));
    }
    assert_eq!(raw(http, health).await.0, 200);
}
