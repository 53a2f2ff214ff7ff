//! What the tests of this crate share: endpoints on free loopback ports, messages, a deadline for every wait.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use net::{Endpoint, EndpointOptions, Incoming, ListenAddr, Packet};
use sip::{Limits, Message, Reply, Request, Response, StatusCode, Transport};

/// Fails instead of hanging.
pub(crate) async fn within<T>(what: &str, wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), wait)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within 10 s"))
}

/// An endpoint on 127.0.0.1 with free ports.
pub(crate) async fn endpoint(transports: &[Transport]) -> (Endpoint, Incoming) {
    endpoint_with(transports, EndpointOptions::default()).await
}

pub(crate) async fn endpoint_with(
    transports: &[Transport],
    options: EndpointOptions,
) -> (Endpoint, Incoming) {
    let addr = "127.0.0.1:0".parse().unwrap();
    let listen: Vec<_> = transports
        .iter()
        .map(|transport| ListenAddr {
            transport: *transport,
            addr,
        })
        .collect();
    Endpoint::bind(&listen, Limits::default(), options)
        .await
        .unwrap()
}

pub(crate) fn local(endpoint: &Endpoint, transport: Transport) -> SocketAddr {
    endpoint
        .local_addrs()
        .iter()
        .find(|listen| listen.transport == transport)
        .unwrap()
        .addr
}

/// Collects packets until there are `count`.
pub(crate) async fn packets(incoming: &mut Incoming, count: usize) -> Vec<Packet> {
    let mut all = Vec::new();
    while all.len() < count {
        all.extend(
            within("packets", incoming.recv_batch())
                .await
                .expect("the endpoint is open"),
        );
    }
    all
}

/// An OPTIONS with this text as its Call-ID.
pub(crate) fn options(via: &str, branch: &str, call_id: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/{via};branch={branch};rport\r\nMax-Forwards: 70\r\n\
         From: <sip:a@example.org>;tag=1\r\nTo: <sip:bob@example.org>\r\nCall-ID: {call_id}\r\nCSeq: 1 OPTIONS\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

pub(crate) fn request(bytes: &[u8]) -> Request {
    match sip::parse_datagram(bytes.to_vec(), &Limits::default()) {
        Ok(Message::Request(request)) => request,
        other => panic!("not a request: {other:?}"),
    }
}

/// A request of which only the head may be there.
pub(crate) fn request_of(bytes: &[u8]) -> Request {
    match sip::parse_datagram(bytes.to_vec(), &Limits::default()) {
        Ok(Message::Request(request)) => request,
        Err(sip::ParseError {
            answerable: Some(request),
            ..
        }) => *request,
        other => panic!("not a request: {other:?}"),
    }
}

pub(crate) fn response(bytes: Vec<u8>) -> Response {
    match sip::parse_datagram(bytes, &Limits::default()) {
        Ok(Message::Response(response)) => response,
        other => panic!("not a response: {other:?}"),
    }
}

/// 200 to a request, as it goes on the wire.
pub(crate) fn ok(bytes: &[u8], source: SocketAddr) -> Vec<u8> {
    Reply::new(&request(bytes), StatusCode::OK)
        .to_tag("t")
        .encode(source)
}
