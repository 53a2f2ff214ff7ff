//! Who is let in, and what everybody may ask.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::system::{self, STARTUP};

use super::{JSON, call, http_address, raw, request};

const TOKEN: &str = "a-token-of-the-tests";

/// With a token nothing goes without it; an address that others can reach is refused without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for() {
    let system = system::setup()
        .set("http.listen", "0.0.0.0:0")
        .set("http.token", TOKEN)
        .start();
    let port = http_address(&system).port();
    let http: SocketAddr = ([127, 0, 0, 1], port).into();
    let valid = br#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": 1}"#;
    let refused = [
        "",
        "Authorization: Bearer wrong-token-of-the-tests\r\n",
        "Authorization: Basic YTph\r\n",
        "Authorization: Bearer\r\n",
    ];
    for headers in refused {
        let (status, _) = raw(http, &request("/RPC", &format!("{JSON}{headers}"), valid)).await;
        assert_eq!(status, 401, "{headers}");
    }
    // Whoever has it may come by any name.
    let good = request(
        "/RPC",
        &format!("{JSON}Authorization: Bearer {TOKEN}\r\n"),
        valid,
    );
    let good = String::from_utf8(good)
        .unwrap()
        .replace("localhost", "presence.example.org");
    let (status, body) = raw(http, good.as_bytes()).await;
    assert!(
        status == 200 && body.contains("Reload OK"),
        "{status} {body}"
    );
    assert_eq!(
        raw(
            http,
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .await
        .0,
        200
    );

    let mut command = system.command("server");
    command.args(["--set", "http.token=", "--listen", "udp:127.0.0.1:0"]);
    let (status, _, errors) = system_tests::process::run(&mut command, STARTUP);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("http.token") && !errors.contains(TOKEN),
        "{errors}"
    );
}

/// Health follows the database, and comes back with it.
#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_database() {
    let mut system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .errors_expected()
        .start();
    let http = http_address(&system);
    let ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (status, body) = raw(http, ask).await;
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"status": "ready", "database": "reachable"})
    );
    system.kill9_postgres();
    let (status, body) = raw(http, ask).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("unreachable"), "{body}");
    let (code, message) = call(http, "presence.presentity_list", json!([]))
        .await
        .unwrap_err();
    assert_eq!(code, 503, "{message}");
    system.restart_postgres();
    let until = tokio::time::Instant::now() + STARTUP;
    while raw(http, ask).await.0 != 200 {
        assert!(tokio::time::Instant::now() < until, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
