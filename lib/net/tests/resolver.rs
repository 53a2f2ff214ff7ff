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

/// What has failed is not asked again for a while, and those who ask at the same time ask once.
#[tokio::test]
async fn failures_are_kept() {
    let (resolver, asked) = name_server(vec![("plain.example.org.", a(3))]).await;
    let missing = Uri::parse("sip:bob@Nowhere.example.org.:5060").unwrap();
    let all = futures_util::future::join_all((0..50).map(|_| resolver.resolve(&missing)));
    let refused = ResolveError::NoAddress("nowhere.example.org".to_owned());
    for found in within("all of them", all).await {
        assert_eq!(found, Err(refused.clone()));
    }
    let questions = || asked.lock().unwrap().len();
    let once = questions();
    let addresses = |question: &&String| question.starts_with("nowhere.example.org. A");
    let of_name = asked.lock().unwrap().iter().filter(addresses).count();
    assert!(of_name <= 2, "A and AAAA: {of_name}");
    assert_eq!(resolver.resolve(&missing).await, Err(refused));
    assert_eq!(questions(), once);
    let silent = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::with_nameserver(silent.local_addr().unwrap());
    let failed = within("a failure", resolver.resolve(&missing)).await;
    let again = std::time::Instant::now();
    assert_eq!(resolver.resolve(&missing).await, failed);
    assert!(again.elapsed() < std::time::Duration::from_secs(1));
}

/// A zone whose name servers are silent has its own names wait, and nobody else's.
#[tokio::test]
async fn a_silent_zone_holds_up_only_itself() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let resolver = Resolver::with_nameserver(socket.local_addr().unwrap());
    let of_zone = |number: usize| {
        let resolver = resolver.clone();
        async move {
            let uri = format!("sip:{number}.silent.example:5060");
            resolver.resolve(&Uri::parse(&uri).unwrap()).await
        }
    };
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..600 {
        waiting.spawn(of_zone(number));
    }
    // Those for which there is not even room to wait, before anybody had an answer.
    for _ in 512..600 {
        let ended = within("too many", waiting.join_next()).await;
        let refused = Err(ResolveError::Busy("silent.example".to_owned()));
        assert_eq!(ended.unwrap().unwrap(), refused);
    }
    let other = Uri::parse("sip:plain.example.org:5060").unwrap();
    let mut silent = std::collections::HashSet::new();
    let mut buffer = [0; 2_000];
    let asking = resolver.resolve(&other);
    let answering = async {
        loop {
            let (count, from) = socket.recv_from(&mut buffer).await.unwrap();
            let question = Message::from_vec(&buffer[..count]).unwrap();
            let query = question.queries[0].clone();
            let name = query.name().to_utf8().to_lowercase();
            if name != "plain.example.org." {
                silent.insert(name);
                continue;
            }
            let mut answer = Message::response(question.id, OpCode::Query);
            if query.query_type() == a(3).record_type() {
                answer.add_answers([Record::from_rdata(query.name().clone(), 60, a(3))]);
            }
            answer.add_query(query);
            socket
                .send_to(&answer.to_vec().unwrap(), from)
                .await
                .unwrap();
        }
    };
    let found = within("the other zone", async {
        tokio::select! {
            found = asking => found,
            () = answering => unreachable!(),
        }
    })
    .await;
    assert_eq!(found, Ok(targets(&[(Transport::Udp, "192.0.2.3:5060")])));
    assert!(silent.len() <= 32, "{} names at once", silent.len());
}
