//! Which requests are taken, and what of their URIs counts.

use system_tests::phone::Phone;
use system_tests::system;

use super::BOB;

/// `cseq_offset`: how far a refresh may be behind and still be taken: by 3 with 3, by 4 not.
#[tokio::test(flavor = "multi_thread")]
async fn cseq_offset() {
    let system = system::setup().set("presence.cseq_offset", 3).start();
    let alice = Phone::udp("alice").await;
    let request = alice
        .subscription(BOB, Some(600))
        .set("CSeq", "100 SUBSCRIBE");
    let (dialog, response) = alice.subscribe_with(&request, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    for (cseq, status) in [
        (98, 200),
        (97, 200),
        (96, 500),
        (150, 200),
        (147, 200),
        (146, 500),
    ] {
        let request = dialog
            .request("SUBSCRIBE")
            .with("Expires", "300")
            .set("CSeq", format!("{cseq} SUBSCRIBE"));
        let response = alice.send(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(status), "CSeq {cseq}: {response}");
    }
}

/// `sip_uri_match = 1`: Bob and bob are one; with 0 they are two.
#[tokio::test(flavor = "multi_thread")]
async fn sip_uri_match() {
    for (value, rows) in [(0, 2), (1, 1)] {
        let system = system::setup().set("presence.sip_uri_match", value).start();
        let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
        let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
        dialog.notify(1).await;
        for uri in ["sip:BOB@example.org", BOB] {
            bob.publisher(uri).show(system.udp(0), "open", "x").await;
        }
        dialog
            .until("open", |notify| notify.basic() == "open")
            .await;
        assert_eq!(
            system
                .count("SELECT count(DISTINCT presentity_uri) FROM presentity")
                .await,
            rows
        );
    }
}
