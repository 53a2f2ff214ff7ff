//! Others' proofs of who they are: baresip and sipp answer challenges, Kamailio asserts identities.

use system_tests::system::Setup;

use super::*;

const ALICE: &str = "sip:alice@example.org";

fn with_passwords(setup: Setup) -> System {
    let system = setup.set("identity.digest", 1).start();
    for user in ["alice", "bob"] {
        system.psql(&format!(
            "INSERT INTO subscriber (username, domain, password) VALUES ('{user}', 'example.org', 'secret-{user}')"
        ));
    }
    system
}

/// baresip 1.0 knows MD5 only: it watches and publishes, with a password of Kamailio's kind.
#[tokio::test(flavor = "multi_thread")]
async fn baresip_proves_a_password() {
    let system = with_passwords(system::setup());
    let server = system.udp(0);
    let bob = Phone::udp("bob").await;
    let mut bobs = Login::new("bob", "secret-bob");
    let body = pidf::document(BOB, "desk", "open", "here");
    let publish = bob
        .request("PUBLISH", BOB)
        .without("Contact")
        .with("Event", "presence")
        .with("Expires", "600")
        .with_body("application/pidf+xml", body);
    assert_eq!(
        bob.send_as(&mut bobs, &publish, server).await.status(),
        Some(200)
    );
    let watching = bob.subscription(ALICE, Some(600));
    let (alice, response) = bob.subscribe_as(&mut bobs, &watching, server).await;
    assert_eq!(response.status(), Some(200), "{response}");

    let parameters = "auth_user=alice;auth_pass=secret-alice;regint=0;pubint=60";
    let account = Baresip::account("alice", server, parameters);
    let mut baresip = Baresip::start_with(system.sandbox(), "alice", "presence.so", &account);
    tokio::task::block_in_place(|| baresip.shows("Online"));
    baresip.0.type_text("[");
    alice
        .until("alice online", |notify| notify.basic() == "open")
        .await;
    tokio::task::block_in_place(|| baresip.quit());
}

/// sipp publishes once without a password and then with one. It gives up where SHA-256 is offered, and must be told that the URI in its
/// answer is the one in its request.
#[tokio::test(flavor = "multi_thread")]
async fn sipp_proves_a_password() {
    let system = with_passwords(system::setup().set("identity.algorithms", "[\"MD5\"]"));
    let scenario = "publish_with_password.xml";
    let options = ["-auth_uri", "alice@example.org"];
    sipp_with(&system, system.udp(0), scenario, &options, &[], 20, 20);
    let published = "SELECT count(*) FROM presentity WHERE username = 'alice'";
    assert_eq!(system.count(published).await, 20);
}

/// Kamailio says who its phones are; each publishes for himself, and for nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn kamailio_asserts_identities() {
    let system = system::setup()
        .servers(2)
        .set("identity.trusted_peers", "[\"127.0.0.1\"]")
        .start();
    let edge = kamailio_asserting(system.sandbox(), &system.all_udp());
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(edge.address, BOB, 600).await;
    bob.publisher(BOB)
        .show(edge.address, "open", "himself")
        .await;
    dialog
        .until("bob", |notify| notify.note() == Some("himself"))
        .await;
    let forged = bob
        .publisher(ALICE)
        .draft(
            Some(&pidf::document(ALICE, "desk", "open", "forged")),
            Some(600),
        )
        .set("From", format!("<{BOB}>;tag=forged"));
    let refused = bob.send(&forged, edge.address).await;
    assert_eq!(refused.status(), Some(403), "{refused}");
    dialog.unsubscribe(edge.address).await;
    drop(edge.process);
}
