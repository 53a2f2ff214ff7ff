//! A database, servers in this process, and phones that speak raw SIP.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use node::{Config, Shutdown, Within};
use postgres_dev::{Cluster, Saved};
use server::Ready;
use sip::{HeaderName, Limits, Message, Request, Response, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls};

/// Longer than anything takes; only a test that fails waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) const OPEN: &str = "<?xml version='1.0' encoding='UTF-8'?><presence xmlns='urn:ietf:params:xml:ns:pidf' \
    entity='sip:bob@example.org'><tuple id='t1'><status><basic>open</basic></status></tuple></presence>";

/// A cluster of its own with a migrated database.
fn migrated_cluster() -> Cluster {
    let saved = Saved {
        folder: Path::new(env!("CARGO_TARGET_TMPDIR")),
        name: "server",
        inputs: Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../schema")),
    };
    let make = |cluster: &Cluster| {
        cluster.create_database("presence").expect("a database");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let migrated = runtime.block_on(schema::migrate(&cluster.url("presence")));
        migrated.expect("migrations apply");
    };
    Cluster::start_copy(saved, make).expect("PostgreSQL starts")
}

pub(crate) struct Database {
    pub(crate) cluster: Cluster,
    pub(crate) url: String,
}

impl Database {
    pub(crate) async fn migrated() -> Self {
        let cluster = tokio::task::spawn_blocking(migrated_cluster)
            .await
            .expect("a cluster");
        let url = cluster.url("presence");
        Self { cluster, url }
    }

    /// A connection for looking at rows, and for locking them.
    pub(crate) async fn client(&self) -> Client {
        let (client, connection) = tokio_postgres::connect(&self.url, NoTls)
            .await
            .expect("PostgreSQL answers");
        tokio::spawn(connection);
        client
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.client()
            .await
            .query_one(sql, &[])
            .await
            .expect("a row")
            .get(0)
    }

    pub(crate) async fn text(&self, sql: &str) -> String {
        self.client()
            .await
            .query_one(sql, &[])
            .await
            .expect("a row")
            .get(0)
    }
}

/// A server that listens on free ports of 127.0.0.1.
pub(crate) struct Server {
    pub(crate) udp: SocketAddr,
    pub(crate) tcp: SocketAddr,
    pub(crate) internal: SocketAddr,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), server::RunError>>,
}

impl Server {
    pub(crate) async fn start(url: &str) -> Self {
        Self::configured(url, |_| ()).await
    }

    pub(crate) async fn configured(url: &str, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.server.listen = ["udp:127.0.0.1:0", "tcp:127.0.0.1:0"]
            .map(|listen| listen.parse().expect("an address"))
            .to_vec();
        config.presence.db_url = Some(url.parse().expect("a URL"));
        change(&mut config);
        let shutdown = Shutdown::new();
        let (sender, ready) = oneshot::channel();
        let task = tokio::spawn(server::run(
            config,
            events::Registry::standard(),
            shutdown.clone(),
            move |ready| {
                let _ = sender.send(ready);
            },
        ));
        let Ready {
            listen, internal, ..
        } = ready.await.expect("the server starts");
        let address = |transport| {
            listen
                .iter()
                .find(|listen| listen.transport == transport)
                .expect("a listener")
                .addr
        };
        Self {
            udp: address(Transport::Udp),
            tcp: address(Transport::Tcp),
            internal,
            shutdown,
            task,
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.trigger();
        timeout(PATIENCE, self.task)
            .await
            .expect("the server stops")
            .expect("without a panic")
            .expect("without an error");
    }
}

/// A number in the configuration.
pub(crate) fn within<const MIN: u32, const MAX: u32>(value: u32) -> Within<MIN, MAX> {
    Within::new(value).expect("in range")
}

/// A UDP phone.
pub(crate) struct Phone {
    pub(crate) socket: UdpSocket,
}

impl Phone {
    pub(crate) async fn new() -> Self {
        Self {
            socket: UdpSocket::bind("127.0.0.1:0").await.expect("a port"),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    pub(crate) async fn send(&self, to: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.socket.send_to(bytes.as_ref(), to).await.expect("sent");
    }

    /// The next datagram and its source.
    pub(crate) async fn receive(&self) -> (Vec<u8>, SocketAddr) {
        let mut buffer = vec![0; 65_536];
        let (length, source) = timeout(PATIENCE, self.socket.recv_from(&mut buffer))
            .await
            .expect("something arrives")
            .expect("received");
        buffer.truncate(length);
        (buffer, source)
    }

    pub(crate) async fn response(&self) -> Response {
        response(self.receive().await.0)
    }

    pub(crate) async fn ask(&self, to: SocketAddr, bytes: impl AsRef<[u8]>) -> Response {
        self.send(to, bytes).await;
        self.response().await
    }

    /// Sends a request that the server must not answer; then one that it does. Answers come in order.
    pub(crate) async fn ask_in_vain(&self, to: SocketAddr, bytes: impl AsRef<[u8]>) {
        self.send(to, bytes).await;
        let answer = self
            .ask(to, Draft::new("OPTIONS", "after-silence").by(self).text())
            .await;
        assert_eq!(
            answer.call_id().expect("Call-ID"),
            "after-silence",
            "the first request was answered"
        );
    }
}

/// A TCP phone.
pub(crate) struct TcpPhone {
    pub(crate) stream: TcpStream,
    buffer: Vec<u8>,
}

impl TcpPhone {
    pub(crate) async fn connect(to: SocketAddr) -> Self {
        Self::on(TcpStream::connect(to).await.expect("connected"))
    }

    /// At its end of a connection.
    pub(crate) fn on(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.expect("sent");
    }

    pub(crate) async fn receive(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = self
                .buffer
                .windows(4)
                .position(|window| window == b"\r\n\r\n")
            {
                let head = String::from_utf8_lossy(&self.buffer[..end]).to_lowercase();
                let length: usize = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length:"))
                    .expect("Content-Length, on a stream")
                    .trim()
                    .parse()
                    .expect("a number");
                if self.buffer.len() >= end + 4 + length {
                    return self.buffer.drain(..end + 4 + length).collect();
                }
            }
            let read = timeout(PATIENCE, self.stream.read_buf(&mut self.buffer))
                .await
                .expect("something arrives");
            assert_ne!(
                read.expect("readable"),
                0,
                "the server closed the connection"
            );
        }
    }

    pub(crate) async fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Response {
        self.send(bytes).await;
        response(self.receive().await)
    }
}

pub(crate) fn response(bytes: Vec<u8>) -> Response {
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Response(response)) => response,
        other => panic!("not a response: {other:?}"),
    }
}

pub(crate) fn request(bytes: Vec<u8>) -> Request {
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

pub(crate) fn header(response: &Response, name: HeaderName) -> &str {
    response
        .header_str(name)
        .unwrap_or_else(|| panic!("no {} in {:?}", name.as_str(), response.status()))
}

/// A request, line by line, so that a test can break any of them.
#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) method: String,
    pub(crate) uri: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Draft {
    /// A request to sip:bob@example.org with the headers that every request has.
    pub(crate) fn new(method: &str, call_id: &str) -> Self {
        let headers = [
            (
                "Via",
                format!("SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bK{call_id}{method};rport"),
            ),
            ("Max-Forwards", "70".to_owned()),
            (
                "From",
                format!("<sip:alice@example.org>;tag=from-{call_id}"),
            ),
            ("To", "<sip:bob@example.org>".to_owned()),
            ("Call-ID", call_id.to_owned()),
            ("CSeq", format!("1 {method}")),
        ];
        Self {
            method: method.to_owned(),
            uri: "sip:bob@example.org".to_owned(),
            headers: headers
                .map(|(name, value)| (name.to_owned(), value))
                .to_vec(),
            body: String::new(),
        }
    }

    pub(crate) fn publish(call_id: &str) -> Self {
        Self::new("PUBLISH", call_id)
            .with("Event", "presence")
            .with("Expires", "600")
            .with("Content-Type", "application/pidf+xml")
            .body(OPEN)
    }

    pub(crate) fn subscribe(call_id: &str, contact: SocketAddr) -> Self {
        Self::new("SUBSCRIBE", call_id)
            .with("Event", "presence")
            .with("Expires", "600")
            .with("Contact", &format!("<sip:alice@{contact}>"))
    }

    /// Sets a header, in the place of one that is there.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        match self.headers.iter_mut().find(|(known, _)| known == name) {
            Some((_, known)) => value.clone_into(known),
            None => self.headers.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    pub(crate) fn body(mut self, body: &str) -> Self {
        body.clone_into(&mut self.body);
        self
    }

    pub(crate) fn uri(mut self, uri: &str) -> Self {
        uri.clone_into(&mut self.uri);
        self
    }

    /// The presentity, in Request-URI and To.
    pub(crate) fn to(self, user: &str) -> Self {
        let uri = format!("sip:{user}@example.org");
        self.uri(&uri).with("To", &format!("<{uri}>"))
    }

    /// With the Via that this phone would write.
    pub(crate) fn by(self, phone: &Phone) -> Self {
        let via = self
            .headers
            .iter()
            .find(|(name, _)| name == "Via")
            .map(|(_, value)| value.clone())
            .expect("a Via");
        self.with(
            "Via",
            &via.replace("127.0.0.1:9;", &format!("{};", phone.address())),
        )
    }

    pub(crate) fn text(&self) -> String {
        let mut text = format!("{} {} SIP/2.0\r\n", self.method, self.uri);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text + &format!("Content-Length: {}\r\n\r\n{}", self.body.len(), self.body)
    }
}
