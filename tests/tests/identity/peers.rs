//! Trusted peers, domains, and servers that would believe anybody.

use std::time::Duration;

use system_tests::phone::Phone;
use system_tests::process::run;
use system_tests::system;

use super::{ALICE, BOB, login, publication, start, status, with_digest};

const EDGE: &str = "127.0.0.9";

/// An edge proxy is believed, and says by P-Asserted-Identity who it is; a stranger may say what it likes.
#[tokio::test(flavor = "multi_thread")]
async fn only_an_edge_asserts_identities() {
    let system = system::setup()
        .set("identity.trusted_peers", format!("[\"{EDGE}\"]"))
        .start();
    let (edge, stranger) = (
        Phone::udp_on("alice", EDGE).await,
        Phone::udp("alice").await,
    );
    let refused = stranger
        .send(&publication(&stranger, ALICE), system.udp(0))
        .await;
    assert_eq!(refused.status(), Some(403), "{refused}");
    assert_eq!(refused.reason(), "Not A Trusted Peer");
    let asserting = publication(&stranger, ALICE).with("P-Asserted-Identity", format!("<{ALICE}>"));
    assert_eq!(
        stranger.send(&asserting, system.udp(0)).await.status(),
        Some(403)
    );
    // What needs nobody to be known is answered: monitoring works.
    let options = stranger
        .send(
            &stranger.request("OPTIONS", "sip:example.org"),
            system.udp(0),
        )
        .await;
    assert_eq!(options.status(), Some(200));

    for (identity, expected) in [
        (format!("<{ALICE}>"), 200),
        (format!("\"Bob\" <{BOB}>"), 403),
        (format!("<tel:+441234>, <{ALICE}>"), 200),
        ("<tel:+441234>".to_owned(), 403),
        ("nonsense".to_owned(), 400),
    ] {
        let request = publication(&edge, ALICE).with("P-Asserted-Identity", identity.clone());
        let answer = edge.send(&request, system.udp(0)).await;
        assert_eq!(answer.status(), Some(expected), "{identity}: {answer}");
    }
    // Without it the edge speaks for itself.
    assert_eq!(
        edge.send(&publication(&edge, BOB), system.udp(0))
            .await
            .status(),
        Some(200)
    );
    let watching = edge
        .subscription(BOB, Some(600))
        .with("P-Asserted-Identity", "<sip:carol@example.org>");
    let (_dialog, response) = edge.subscribe_with(&watching, system.udp(0)).await;
    assert_eq!(response.status(), Some(200));
    let carol = "SELECT count(*) FROM active_watchers WHERE watcher_username = 'carol'";
    assert_eq!(
        system.count(carol).await,
        1,
        "the watcher is whom the edge names, not From"
    );
}

/// Presentities of other domains are nobody's here.
#[tokio::test(flavor = "multi_thread")]
async fn other_domains_are_not_served() {
    let system = start(with_digest().set("identity.domains", "[\"Example.org\"]"));
    let phone = Phone::udp("alice").await;
    let mut alices = login("alice");
    let elsewhere = phone.subscription("sip:bob@example.com", Some(600));
    assert_eq!(
        status(&phone, &mut alices, &elsewhere, system.udp(0)).await,
        404
    );
    assert_eq!(
        status(
            &phone,
            &mut alices,
            &publication(&phone, ALICE),
            system.udp(0)
        )
        .await,
        200
    );
    // The table is read again and again.
    system.psql("INSERT INTO domain (domain) VALUES ('EXAMPLE.com')");
    let end = std::time::Instant::now() + Duration::from_secs(15);
    loop {
        let next = phone.subscription("sip:bob@example.com", Some(0));
        match status(&phone, &mut alices, &next, system.udp(0)).await {
            200 => break,
            404 => tokio::time::sleep(Duration::from_millis(100)).await,
            other => panic!("{other}"),
        }
        assert!(
            std::time::Instant::now() < end,
            "the table domain is not read"
        );
    }
}

/// A watcher without a name is served where the operator says so, and has no one else's rights.
#[tokio::test(flavor = "multi_thread")]
async fn anonymous_watchers() {
    for (anonymous, expected) in [("refuse", 401), ("allow", 200)] {
        let system = start(with_digest().set("identity.anonymous", anonymous));
        let phone = Phone::udp("x").await;
        let nobody = "<sip:anonymous@anonymous.invalid>;tag=n";
        let request = phone.subscription(BOB, Some(600)).set("From", nobody);
        let (_dialog, response) = phone.subscribe_with(&request, system.udp(0)).await;
        assert_eq!(response.status(), Some(expected), "{response}");
        for request in [
            publication(&phone, BOB),
            phone.subscription_to(BOB, "presence.winfo", Some(600)),
        ] {
            let refused = phone
                .send(&request.set("From", nobody), system.udp(0))
                .await;
            assert!(matches!(refused.status(), Some(401 | 403)), "{refused}");
        }
    }
}

/// A server that strangers can reach does not start until somebody has said whom to believe.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_is_not_open_by_accident() {
    let system = system::setup().servers(0).start();
    let outside = ["--listen", "udp:0.0.0.0:0", "--listen", "tcp:0.0.0.0:0"];
    let mut command = system.command("server");
    command.args(outside);
    let (status, out, err) = run(&mut command, Duration::from_secs(30));
    assert!(!status.success(), "{out}");
    for remedy in [
        "identity.trusted_peers",
        "identity.digest",
        "identity.policy",
    ] {
        assert!(err.contains(remedy), "{err}");
    }
    let mut system = system::setup()
        .set("identity.policy", "open")
        .servers(0)
        .start();
    let server = system.add_server_at("udp:0.0.0.0:0");
    system.servers[server]
        .process
        .line(system::STARTUP, |line| {
            line.contains("identity.policy is open")
        })
        .unwrap();
    let status = tokio::task::block_in_place(|| system.cli(&["status"]));
    assert!(status.contains("believes everybody"), "{status}");
}
