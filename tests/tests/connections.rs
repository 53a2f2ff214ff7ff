//! TCP connections that nobody uses keep nobody out.

use std::net::SocketAddr;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use system_tests::phone::Phone;
use system_tests::system::{self, Setup};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

const BOB: &str = "sip:bob@example.org";
const IDLE: usize = 1_100;

async fn idle(to: SocketAddr, count: usize, says: &[u8]) -> Vec<TcpStream> {
    let mut all = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(to).await.expect("a connection");
        // One that the server has closed already takes nothing.
        let _ = stream.write_all(says).await;
        all.push(stream);
    }
    all
}

/// This process holds the other ends.
fn many_files() {
    limit_files(getrlimit(Resource::Nofile).maximum);
}

/// For this process, which runs one test, and for all that it starts.
fn limit_files(limit: Option<u64>) {
    let limit = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, limit).expect("a limit of open files");
}

/// Silent connections and such that only ping, more than one address may have, more than all may have together: an honest phone of the same
/// address comes in, is served and notified, and so is the one that was there before.
async fn an_honest_phone_gets_in(setup: Setup) {
    many_files();
    let system = setup.start();
    let before = Phone::tcp("carol", system.tcp(0)).await;
    let watched = before.subscribe(system.tcp(0), BOB, 600).await;
    watched.notify(1).await;
    for says in [&b""[..], b"\r\n\r\n"] {
        let _idle = idle(system.tcp(0), IDLE, says).await;
        let phone = Phone::tcp("alice", system.tcp(0)).await;
        let dialog = phone.subscribe(system.tcp(0), BOB, 600).await;
        dialog.notify(1).await;
        let note = format!("{} octets", says.len());
        let mut publisher = phone.publisher(BOB);
        publisher.show(system.tcp(0), "open", &note).await;
        for dialog in [&dialog, &watched] {
            let is_told = |notify: &system_tests::phone::Notify| notify.note() == Some(&*note);
            dialog.until(&note, is_told).await;
        }
        publisher.remove(system.tcp(0)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_one_address() {
    an_honest_phone_gets_in(system::setup()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_of_many_addresses() {
    let setup = system::setup()
        .set("server.max_connections", 200)
        .set("server.max_connections_per_source", 0);
    an_honest_phone_gets_in(setup).await;
}

/// With few descriptors there are fewer places, and enough is left for HTTP, PostgreSQL and notifiers.
#[tokio::test(flavor = "multi_thread")]
async fn descriptors_are_left_for_everything_else() {
    limit_files(Some(800));
    let system = system::setup().set("http.listen", "127.0.0.1:0").start();
    let limit = "open files, connections included, are limited";
    let told = system.servers[0].process.lines();
    assert!(
        told.iter()
            .any(|line| line.contains(limit) && line.contains("800")),
        "{told:?}"
    );
    let _idle = idle(system.tcp(0), 500, b"\r\n\r\n").await;
    let phone = Phone::tcp("alice", system.tcp(0)).await;
    let dialog = phone.subscribe(system.tcp(0), BOB, 600).await;
    dialog.notify(1).await;
    let http = system_tests::http::address(&system, 0);
    let health = system_tests::http::send(http, "GET", "/health", &[], b"").await;
    assert_eq!(health.status, 200, "{}", health.text());
    let accepting = "accepting a connection failed";
    let told = system.servers[0].process.lines();
    assert!(
        !told.iter().any(|line| line.contains(accepting)),
        "{told:?}"
    );
}

/// A connection that brings no request is closed, whatever else it brings.
#[tokio::test(flavor = "multi_thread")]
async fn pings_are_no_request() {
    use tokio::io::AsyncReadExt as _;
    let system = system::setup()
        .notifiers(0)
        .set("server.first_request_s", 1)
        .start();
    let mut stream = TcpStream::connect(system.tcp(0)).await.unwrap();
    let ended = async {
        let mut buffer = [0; 100];
        loop {
            let _ = stream.write_all(b"\r\n\r\n").await;
            if let Ok(0) | Err(_) = stream.read(&mut buffer).await {
                return;
            }
        }
    };
    tokio::time::timeout(system::STARTUP, ended)
        .await
        .expect("an end of the connection");
}
