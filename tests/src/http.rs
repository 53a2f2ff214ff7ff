//! A client of HTTP/1.1 that shows what is on the wire: requests as they are written, answers as they come, streams event by event.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::system::{STARTUP, System};

/// Where server `number` serves HTTP, as it has printed.
///
/// # Panics
/// With its output, when it does not.
pub fn address(system: &System, number: usize) -> SocketAddr {
    let lines = system.servers[number].process.lines();
    let shown = lines
        .iter()
        .find_map(|line| line.strip_prefix("takes RPC at http://"))
        .unwrap_or_else(|| panic!("no address of HTTP: {lines:?}"));
    shown
        .strip_suffix("/RPC")
        .and_then(|addr| addr.parse().ok())
        .unwrap_or_else(|| panic!("no address of HTTP: {shown}"))
}

/// An answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    /// 0: the connection ended without one.
    pub status: u16,
    /// Status line and headers.
    pub head: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|fault| panic!("{fault}: {}\n{}", self.head, self.text()))
    }

    /// The kind of a problem, without what goes before it.
    ///
    /// # Panics
    /// When it is none as RFC 9457 has it.
    pub fn problem(&self) -> String {
        assert_eq!(
            self.header("Content-Type"),
            Some("application/problem+json"),
            "{}\n{}",
            self.head,
            self.text()
        );
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        assert!(problem["title"].is_string() && problem["detail"].is_string());
        let kind = problem["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:pgpresence:")
            .unwrap_or_else(|| panic!("{problem}"))
            .to_owned()
    }
}

/// A request as bytes. It asks for the connection to end, so that the answer is what comes until then.
pub fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        head.push_str("Host: localhost\r\n");
    }
    if !body.is_empty() || method == "PUT" {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// Sends a request and reads the answer.
pub async fn send(
    server: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    raw(server, &request(method, path, headers, body)).await
}

/// Sends bytes and reads to the end of the connection.
///
/// # Panics
/// When there is no connection, or no end of it.
pub async fn raw(server: SocketAddr, bytes: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(server).await.expect("a connection");
    // A server that has read enough answers and closes: what is left cannot be written, and need not be.
    let _ = stream.write_all(bytes).await;
    answer(&mut stream).await
}

/// Reads an answer to the end of the connection.
///
/// # Panics
/// When that does not come.
pub async fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let read = timeout(STARTUP, stream.read_to_end(&mut bytes));
    // A reset after the answer is an answer.
    let _ = read.await.expect("an end of the connection");
    let end = bytes.windows(4).position(|octets| octets == b"\r\n\r\n");
    let (head, body) = match end {
        Some(at) => (&bytes[..at], bytes[at + 4..].to_vec()),
        None => (&bytes[..], Vec::new()),
    };
    let head = String::from_utf8_lossy(head).into_owned();
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Answer {
        status: status.unwrap_or(0),
        head,
        body,
    }
}

/// One server-sent event, or a comment (all fields empty).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Field `id`.
    pub id: String,
    /// Field `event`.
    pub event: String,
    /// Field `data`.
    pub data: String,
}

impl Event {
    /// The document in it.
    ///
    /// # Panics
    /// When there is none.
    pub fn document(&self) -> String {
        let data: serde_json::Value = serde_json::from_str(&self.data).expect("data is JSON");
        data["document"].as_str().expect("a document").to_owned()
    }
}

/// A stream of server-sent events.
#[derive(Debug)]
pub struct Events {
    stream: TcpStream,
    /// What came with `Transfer-Encoding: chunked`, and is not decoded.
    raw: Vec<u8>,
    text: String,
    is_over: bool,
    /// Head of the answer.
    pub answer: Answer,
}

impl Events {
    /// Opens a stream; one that is refused has an answer with another status than 200, and no events.
    ///
    /// # Panics
    /// When there is no connection or no answer.
    pub async fn open(server: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Events {
        let mut stream = TcpStream::connect(server).await.expect("a connection");
        stream
            .write_all(&request("GET", path, headers, b""))
            .await
            .expect("a request");
        let mut raw = Vec::new();
        let end = loop {
            if let Some(at) = raw.windows(4).position(|octets| octets == b"\r\n\r\n") {
                break at;
            }
            let read = timeout(STARTUP, stream.read_buf(&mut raw));
            match read.await.expect("an answer") {
                Ok(0) | Err(_) => break raw.len(),
                Ok(_) => {}
            }
        };
        let head = String::from_utf8_lossy(&raw[..end]).into_owned();
        raw.drain(..(end + 4).min(raw.len()));
        let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
        Events {
            stream,
            raw,
            text: String::new(),
            is_over: false,
            answer: Answer {
                status: status.unwrap_or(0),
                head,
                body: Vec::new(),
            },
        }
    }

    /// The next event or comment, `None` at the clean end of the stream (the last chunk is there).
    ///
    /// # Panics
    /// When nothing comes, or the connection breaks.
    pub async fn any(&mut self) -> Option<Event> {
        loop {
            self.decode();
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("id", value)) => event.id = value.to_owned(),
                        Some(("event", value)) => event.event = value.to_owned(),
                        Some(("data", value)) => event.data = value.to_owned(),
                        Some(("retry", _)) => {}
                        _ => assert_eq!(line, ":", "an unknown line in {block:?}"),
                    }
                }
                self.text = rest.to_owned();
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let read = timeout(STARTUP, self.stream.read_buf(&mut self.raw)).await;
            let count = read.expect("something on the stream");
            assert!(
                count.expect("a connection") > 0,
                "the stream broke off, having told {:?}",
                self.text
            );
        }
    }

    /// The next event.
    ///
    /// # Panics
    /// When the stream ends first.
    pub async fn next(&mut self) -> Event {
        loop {
            let event = self.any().await.expect("an event before the end");
            if !event.event.is_empty() {
                return event;
            }
        }
    }

    /// Reads events until one is as wanted.
    pub async fn until(&mut self, wanted: impl Fn(&Event) -> bool) -> Event {
        loop {
            let event = self.next().await;
            if wanted(&event) {
                return event;
            }
        }
    }

    fn decode(&mut self) {
        while let Some(at) = self.raw.windows(2).position(|octets| octets == b"\r\n") {
            let size = std::str::from_utf8(&self.raw[..at])
                .ok()
                .and_then(|size| usize::from_str_radix(size, 16).ok())
                .expect("the size of a chunk");
            if self.raw.len() < at + 2 + size + 2 {
                return;
            }
            let chunk = &self.raw[at + 2..at + 2 + size];
            self.text
                .push_str(std::str::from_utf8(chunk).expect("text"));
            self.raw.drain(..at + 2 + size + 2);
            self.is_over |= size == 0;
        }
    }
}
