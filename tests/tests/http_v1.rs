//! Presentities by HTTP: what is published reaches phones, what phones publish is seen, and what makes no sense changes nothing.

mod description;
mod hostile;
mod origins;
mod publish;
mod streams;
mod watchers;

use std::net::SocketAddr;

use system_tests::http::{self, Answer};
use system_tests::pidf;
use system_tests::system::{self, System};

const BOB: &str = "sip:bob@example.org";
const PATH: &str = "/v1/presentities/sip:bob@example.org/presence";
const PIDF: (&str, &str) = ("Content-Type", "application/pidf+xml");

/// A system that serves HTTP with the rights of its roles and no others, and where.
fn serving() -> (System, SocketAddr) {
    let system = system::setup()
        .by_role()
        .set("http.listen", "127.0.0.1:0")
        .start();
    let address = http::address(&system, 0);
    (system, address)
}

fn document(note: &str) -> String {
    pidf::document(BOB, "desk", "open", note)
}

async fn put(server: SocketAddr, path: &str, note: &str) -> Answer {
    http::send(server, "PUT", path, &[PIDF], document(note).as_bytes()).await
}

async fn get(server: SocketAddr, path: &str) -> Answer {
    http::send(server, "GET", path, &[], b"").await
}

async fn delete(server: SocketAddr, path: &str) -> Answer {
    http::send(server, "DELETE", path, &[], b"").await
}

fn etag(answer: &Answer) -> String {
    let etag = answer.header("ETag");
    etag.unwrap_or_else(|| panic!("no ETag: {}", answer.head))
        .to_owned()
}

/// Everything in the tables that a request could change.
fn tables(system: &System) -> String {
    system.psql(
        "SELECT (SELECT json_agg(p ORDER BY id) FROM (SELECT id, presentity_uri, event, ruid, etag, expires, removed, body FROM presentity) AS p), \
                (SELECT json_agg(a ORDER BY id) FROM (SELECT id, presentity_uri, status, updated FROM active_watchers) AS a), \
                (SELECT count(*) FROM watchers), (SELECT count(*) FROM xcap), (SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL)",
    )
}
