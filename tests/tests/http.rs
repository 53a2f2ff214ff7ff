//! RPC over HTTP: the commands of Kamailio's presence module, the protocol around them, and what hostile input does: nothing.

mod access;
mod faults;
mod hostile;
mod lists;
mod orders;
mod protocol;

use std::net::SocketAddr;

use serde_json::{Value, json};
use system_tests::system::{self, STARTUP, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BOB: &str = "sip:bob@example.org";

/// A system that serves HTTP, and where.
fn serving() -> (System, SocketAddr) {
    let system = system::setup().set("http.listen", "127.0.0.1:0").start();
    let address = http_address(&system);
    (system, address)
}

fn http_address(system: &System) -> SocketAddr {
    let lines = system.servers[0].process.lines();
    let shown = lines
        .iter()
        .find_map(|line| line.strip_prefix("takes RPC at http://"))
        .unwrap_or_else(|| panic!("no address of RPC: {lines:?}"));
    shown.strip_suffix("/RPC").unwrap().parse().unwrap()
}

/// Sends bytes and reads to the end of the connection: status and body.
async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has read enough answers and closes: what is left cannot be written, and need not be.
    let _ = stream.write_all(request).await;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(STARTUP, stream.read_to_end(&mut bytes));
    // A reset after the answer is an answer.
    let _ = read.await.expect("an end of the connection");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const JSON: &str = "Content-Type: application/json\r\n";

async fn post(address: SocketAddr, body: &str) -> Value {
    let (status, body) = raw(address, &request("/RPC", JSON, body.as_bytes())).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The result of a command, or its fault's code and message.
async fn call(address: SocketAddr, method: &str, params: Value) -> Result<Value, (i64, String)> {
    let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
    let answer = post(address, &body.to_string()).await;
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["id"], 7);
    match answer.get("error") {
        None => Ok(answer["result"].clone()),
        Some(error) => Err((
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )),
    }
}

/// Everything in the tables that a request could change.
fn tables(system: &System) -> String {
    system.psql(
        "SELECT (SELECT json_agg(p ORDER BY id) FROM (SELECT id, presentity_uri, event, etag, expires, removed FROM presentity) AS p), \
                (SELECT json_agg(a ORDER BY id) FROM (SELECT id, presentity_uri, status, reason, updated, remote_cseq FROM active_watchers) AS a), \
                (SELECT count(*) FROM watchers), (SELECT count(*) FROM xcap), (SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL), \
                (SELECT count(*) FROM node)",
    )
}
