//! RFC 3261 12.1.1 and 12.2.1.1: route sets, as they come from proxies in front of us.

use std::time::Duration;

use system_tests::message::{self, Message, split_list};
use system_tests::phone::Phone;
use system_tests::system;
use tokio::net::UdpSocket;
use tokio::time::timeout;

const BOB: &str = "sip:bob@example.org";

/// A place where a proxy would be: shows what reaches it and answers 200.
struct Hop(UdpSocket);

impl Hop {
    async fn new() -> Hop {
        Hop(UdpSocket::bind("127.0.0.1:0").await.expect("a socket"))
    }

    fn address(&self) -> String {
        self.0.local_addr().expect("its address").to_string()
    }

    async fn notify(&self) -> Message {
        let mut buffer = vec![0; 65_535];
        let (count, from) = timeout(Duration::from_secs(10), self.0.recv_from(&mut buffer))
            .await
            .expect("a NOTIFY")
            .expect("a datagram");
        let message = message::parse(&buffer[..count]).expect("a good message");
        let mut answer = Message {
            start: "SIP/2.0 200 OK".into(),
            headers: vec![],
            body: vec![],
        };
        for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
            for value in message.all(name) {
                answer = answer.with(name, value);
            }
        }
        self.0
            .send_to(&answer.encode(), from)
            .await
            .expect("an answer sent");
        message
    }
}

/// 12.1.1: "The route set MUST be set to the list of URIs in the Record-Route header field from the
/// request, taken in order and preserving all URI parameters." 12.2.1.1: "If the route set is not empty,
/// and the first URI in the route set contains the lr parameter, the UAC MUST place the remote target
/// URI into the Request-URI and MUST include a Route header field containing the route set values in
/// order, including all parameters." 12.1.1: "MUST copy all Record-Route header field values from the
/// request into the response".
#[tokio::test(flavor = "multi_thread")]
async fn loose() {
    let system = system::start();
    let (alice, hop) = (Phone::udp("alice").await, Hop::new().await);
    let first = format!("<sip:{};lr;token=a%20b;x=1>", hop.address());
    let request = alice
        .subscription(BOB, Some(600))
        .set("Contact", "<sip:alice@10.1.2.3:6000;ob>")
        .with("Record-Route", first.clone())
        .with(
            "Record-Route",
            "\"inner, proxy\" <sip:inner.example.org;lr;ftag=1>;hp=2, <sip:192.0.2.9:5070;lr>",
        );
    let response = alice.send(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    let asked: Vec<String> = request.all("Record-Route").flat_map(split_list).collect();
    let mirrored: Vec<String> = response.all("Record-Route").flat_map(split_list).collect();
    assert_eq!(asked, mirrored);

    let notify = hop.notify().await;
    assert_eq!(notify.uri(), "sip:alice@10.1.2.3:6000;ob");
    let routes: Vec<String> = notify.all("Route").flat_map(split_list).collect();
    assert_eq!(routes, asked);
}

/// 12.2.1.1: "If the route set is not empty, and its first URI does not contain the lr parameter, the
/// UAC MUST place the first URI from the route set into the Request-URI, stripping any parameters that
/// are not allowed in a Request-URI. The UAC MUST add a Route header field containing the remainder of
/// the route set values in order, including all parameters. The UAC MUST then place the remote target
/// URI into the Route header field as the last value."
#[tokio::test(flavor = "multi_thread")]
async fn strict() {
    let system = system::start();
    let (alice, hop) = (Phone::udp("alice").await, Hop::new().await);
    let request = alice
        .subscription(BOB, Some(600))
        .set("Contact", "<sip:alice@10.1.2.3:6000>")
        .with(
            "Record-Route",
            format!("<sip:{}>, <sip:192.0.2.9:5070;lr>", hop.address()),
        );
    assert_eq!(
        alice.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
    let notify = hop.notify().await;
    assert_eq!(notify.uri(), format!("sip:{}", hop.address()));
    let routes: Vec<String> = notify.all("Route").flat_map(split_list).collect();
    assert_eq!(
        routes,
        ["<sip:192.0.2.9:5070;lr>", "<sip:alice@10.1.2.3:6000>"]
    );
}

/// 12.2: "Requests within a dialog MAY contain Record-Route (...) these do not cause the dialog's
/// route set to be modified".
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_does_not_change_the_route_set() {
    let system = system::start();
    let (alice, hop, other) = (
        Phone::udp("alice").await,
        Hop::new().await,
        Hop::new().await,
    );
    let request = alice
        .subscription(BOB, Some(600))
        .with("Record-Route", format!("<sip:{};lr>", hop.address()));
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200));
    hop.notify().await;
    let request = dialog
        .request("SUBSCRIBE")
        .with("Expires", "600")
        .with("Record-Route", format!("<sip:{};lr>", other.address()));
    let request = request.without("Route");
    assert_eq!(
        alice.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
    let notify = hop.notify().await;
    assert_eq!(
        notify.all("Route").collect::<Vec<_>>(),
        [format!("<sip:{};lr>", hop.address())]
    );
}

/// 8.1.2 and RFC 3263 4: the transport and port of the Contact say where the NOTIFY goes. Here a
/// Contact that is another place than the sender's, as of a phone with a second socket, behind a proxy.
#[tokio::test(flavor = "multi_thread")]
async fn tcp_next_hop() {
    let system = system::start();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let alice = Phone::udp("alice").await;
    let route = format!("<sip:{};transport=tcp;lr>", listener.local_addr().unwrap());
    let request = alice
        .subscription(BOB, Some(600))
        .with("Record-Route", route.clone());
    assert_eq!(
        alice.send(&request, system.udp(0)).await.status(),
        Some(200)
    );
    let (stream, _) = timeout(Duration::from_secs(10), listener.accept())
        .await
        .expect("a connection")
        .unwrap();
    let mut buffer = vec![0; 65_535];
    let mut length = 0;
    let notify = loop {
        timeout(Duration::from_secs(10), stream.readable())
            .await
            .expect("bytes")
            .unwrap();
        match stream.try_read(&mut buffer[length..]) {
            Ok(0) => panic!("closed"),
            Ok(count) => length += count,
            Err(_) => continue,
        }
        if let Some(whole) = message::framed(&buffer[..length]).unwrap() {
            break message::parse(&buffer[..whole]).expect("a good message");
        }
    };
    assert_eq!(notify.header("Route"), Some(route.as_str()));
    assert!(
        notify
            .header("Via")
            .is_some_and(|via| via.starts_with("SIP/2.0/TCP ")),
        "{notify}"
    );
}
