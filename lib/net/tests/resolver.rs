//! RFC 3263 against a name server of ours.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use crate::wire::within;
use hickory_resolver::proto::op::{Message, OpCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use net::{ResolveError, Resolver, Target};
use sip::{Transport, Uri};
use tokio::net::UdpSocket;

/// Answers from a list of (name, data); says what was asked for.
async fn name_server(zone: Vec<(&'static str, RData)>) -> (Resolver, Arc<Mutex<Vec<String>>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::with_nameserver(socket.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let asked_here = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 2_000];
        while let Ok((count, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(&buffer[..count]).unwrap();
            let query = question.queries[0].clone();
            let name = query.name().to_utf8().to_lowercase();
            asked_here
                .lock()
                .unwrap()
                .push(format!("{name} {}", query.query_type()));
            let mut answer = Message::response(question.id, OpCode::Query);
            let found = zone
                .iter()
                .filter(|(owner, data)| *owner == name && data.record_type() == query.query_type());
            answer.add_answers(
                found.map(|(_, data)| Record::from_rdata(query.name().clone(), 60, data.clone())),
            );
            answer.add_query(query);
            socket
                .send_to(&answer.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    });
    (resolver, asked)
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> RData {
    RData::SRV(SRV::new(
        priority,
        weight,
        port,
        Name::from_utf8(target).unwrap(),
    ))
}

fn a(last: u8) -> RData {
    RData::A(A(Ipv4Addr::new(192, 0, 2, last)))
}

fn targets(list: &[(Transport, &str)]) -> Vec<Target> {
    list.iter()
        .map(|(transport, addr)| Target {
            transport: *transport,
            addr: addr.parse::<SocketAddr>().unwrap(),
        })
        .collect()
}

#[tokio::test]
async fn srv_then_addresses() {
    use Transport::{Tcp, Udp};
    let (resolver, _) = name_server(vec![
        (
            "_sip._udp.example.org.",
            srv(20, 0, 5070, "backup.example.org."),
        ),
        (
            "_sip._udp.example.org.",
            srv(10, 5, 5060, "main.example.org."),
        ),
        (
            "_sip._udp.example.org.",
            srv(15, 5, 5060, "missing.example.org."),
        ),
        (
            "_sip._tcp.example.org.",
            srv(10, 0, 5062, "main.example.org."),
        ),
        ("main.example.org.", a(1)),
        ("main.example.org.", RData::AAAA(AAAA(Ipv6Addr::LOCALHOST))),
        ("backup.example.org.", a(2)),
        ("plain.example.org.", a(3)),
        ("_sip._udp.none.example.org.", srv(0, 0, 0, ".")),
        ("none.example.org.", a(4)),
    ])
    .await;
    let udp = [
        (Udp, "192.0.2.1:5060"),
        (Udp, "[::1]:5060"),
        (Udp, "192.0.2.2:5070"),
    ];
    let tcp = [(Tcp, "192.0.2.1:5062"), (Tcp, "[::1]:5062")];
    for (uri, expected) in [
        ("sip:bob@example.org", [&udp[..], &tcp].concat()),
        ("sip:bob@example.org;transport=udp", udp.to_vec()),
        ("sip:bob@EXAMPLE.org;transport=tcp", tcp.to_vec()),
        (
            "sip:bob@main.example.org:5080;transport=tcp",
            vec![(Tcp, "192.0.2.1:5080"), (Tcp, "[::1]:5080")],
        ),
        ("sip:plain.example.org", vec![(Udp, "192.0.2.3:5060")]),
        (
            "sip:plain.example.org;transport=tcp",
            vec![(Tcp, "192.0.2.3:5060")],
        ),
        (
            "sip:bob@example.com;maddr=plain.example.org",
            vec![(Udp, "192.0.2.3:5060")],
        ),
    ] {
        let found = within(uri, resolver.resolve(&Uri::parse(uri).unwrap())).await;
        assert_eq!(found, Ok(targets(&expected)), "{uri}");
    }
    let missing = within(
        "missing",
        resolver.resolve(&Uri::parse("sip:bob@nowhere.example.org").unwrap()),
    )
    .await;
    assert_eq!(
        missing,
        Err(ResolveError::NoAddress("nowhere.example.org".to_owned()))
    );
}

#[tokio::test]
async fn answers_are_kept() {
    let (resolver, asked) = name_server(vec![("plain.example.org.", a(3))]).await;
    let uri = Uri::parse("sip:plain.example.org:5060").unwrap();
    within("first", resolver.resolve(&uri)).await.unwrap();
    within("second", resolver.resolve(&uri)).await.unwrap();
    // Only of A: an empty answer without SOA, as our server gives it for AAAA, says not how long it holds.
    assert_eq!(
        asked
            .lock()
            .unwrap()
            .iter()
            .filter(|question| *question == "plain.example.org. A")
            .count(),
        1
    );
}

#[tokio::test]
async fn a_silent_name_server_costs_a_bounded_time() {
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::with_nameserver(silent.local_addr().unwrap());
    let failed = within(
        "the deadline",
        resolver.resolve(&Uri::parse("sip:bob@example.org").unwrap()),
    )
    .await;
    assert!(
        matches!(
            failed,
            Err(ResolveError::Deadline(_) | ResolveError::Unavailable { .. })
        ),
        "{failed:?}"
    );
}
