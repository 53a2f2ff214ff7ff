//! Nobody is sent what he did not ask for: a stranger's request can name addresses of others in many places, and none of them is used.

use std::time::Duration;

use system_tests::message::Message;
use system_tests::phone::Phone;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{BOB, login, start, with_digest};

type Bend = fn(Message, &str) -> Message;

/// Four ways to name a third party, by one who even has a password. The third party gets not one octet; the phone gets its NOTIFYs.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_gets_nothing() {
    let system = start(with_digest());
    let victim = UdpSocket::bind("127.0.0.7:0").await.unwrap();
    let there = victim.local_addr().unwrap().to_string();
    let bends: [(&str, Bend); 5] = [
        ("Record-Route", |request, there| {
            request.with("Record-Route", format!("<sip:{there};lr>"))
        }),
        ("a second Via", |request, there| {
            request.with("Via", format!("SIP/2.0/UDP {there};branch=z9hG4bKfar"))
        }),
        ("maddr in Via", |request, there| {
            let via = request.header("Via").unwrap_or_default();
            let via = format!("{via};maddr={there}");
            request.set("Via", via)
        }),
        ("Contact", |request, there| {
            request.set("Contact", format!("<sip:mallory@{there}>"))
        }),
        ("maddr in Contact", |request, there| {
            let (host, port) = there.split_once(':').unwrap_or_default();
            request.set(
                "Contact",
                format!("<sip:mallory@192.0.2.1:{port};maddr={host}>"),
            )
        }),
    ];
    for (what, bend) in bends {
        let phone = Phone::udp("mallory").await;
        let mut own = login("mallory");
        let plain = phone.subscription(BOB, Some(600));
        assert!(own.learn(&phone.send(&plain, system.udp(0)).await));
        let request = own.sign(&phone.again(&plain));
        let request = bend(request, &there);
        let dialog = phone.expect_dialog(&request);
        let response = phone.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(200), "{what}: {response}");
        dialog.notify(1).await;
        let mut octets = [0; 65_536];
        let got = timeout(Duration::from_millis(300), victim.recv_from(&mut octets)).await;
        assert!(got.is_err(), "{what}: {got:?}");
    }
}
