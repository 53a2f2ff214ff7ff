//! Passwords (RFC 3261 section 22, RFC 8760).

use system_tests::message::Message;
use system_tests::phone::{Challenge, Login, Notify, Phone};

use super::{ALICE, BOB, login, publication, start, status, with_digest};

/// A lamp is lit by a phone with a password, at a phone with a password; and one challenge serves for many requests.
#[tokio::test(flavor = "multi_thread")]
async fn who_proves_a_password_is_served() {
    let system = start(with_digest().servers(2));
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let (mut alices, mut bobs) = (login("alice"), login("bob"));
    let request = alice.subscription(BOB, Some(600));
    let unproven = alice.send(&alice.again(&request), system.udp(0)).await;
    assert_eq!(unproven.status(), Some(401), "{unproven}");
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        0
    );

    let (dialog, response) = alice
        .subscribe_as(&mut alices, &request, system.udp(0))
        .await;
    assert_eq!(response.status(), Some(200), "{response}");
    let publish = publication(&bob, BOB);
    assert_eq!(status(&bob, &mut bobs, &publish, system.udp(0)).await, 200);
    dialog
        .until("bob", |notify| notify.note() == Some("here"))
        .await;

    // The same nonce, the next count: no second challenge.
    let refresh = alices.sign(&dialog.request("SUBSCRIBE").with("Expires", "600"));
    let response = alice.send(&refresh, system.udp(0)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.learn(&response);
    // A challenge of one server is answered at another one.
    let refresh = dialog.request("SUBSCRIBE").with("Expires", "600");
    let challenged = alice.send(&refresh, system.udp(0)).await;
    assert!(alices.learn(&challenged), "{challenged}");
    let refresh = alices.sign(&dialog.request("SUBSCRIBE").with("Expires", "0"));
    let response = alice.send(&refresh, system.udp(1)).await;
    assert_eq!(response.status(), Some(200), "{response}");
    dialog.until("the last NOTIFY", Notify::ends).await;
}

/// Who is not known is answered as who has another password, and neither is told that only the nonce is old.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_an_unknown_user_are_answered_alike() {
    let system = start(with_digest());
    let phone = Phone::udp("alice").await;
    let mut answers = Vec::new();
    for mut login in [
        Login::new("alice", "guessed"),
        Login::new("nobody", "guessed"),
        // Longer than any name, and not looked up.
        Login::new(&"n".repeat(600), "guessed"),
        // By an algorithm of which nothing is stored.
        Login::new("alice@example.org", "ecila"),
    ] {
        let response = phone
            .send_as(&mut login, &publication(&phone, ALICE), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(401), "{response}");
        let offered = Challenge::all(&response);
        assert!(
            offered.iter().all(|challenge| !challenge.stale),
            "{response}"
        );
        let algorithms: Vec<&str> = offered
            .iter()
            .map(|challenge| challenge.algorithm.as_str())
            .collect();
        assert_eq!(algorithms, ["SHA-256", "MD5"]);
        let mut names: Vec<String> = response
            .headers
            .iter()
            .map(|(name, _)| name.clone())
            .collect();
        names.sort();
        answers.push((response.start.clone(), names));
    }
    assert!(
        answers.windows(2).all(|pair| pair[0] == pair[1]),
        "{answers:?}"
    );
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 0);
}

/// An answer is good for one request: what was overheard cannot be sent again with something else in it. A copy of the request is not something
/// else.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_once() {
    let system = start(with_digest());
    let (alice, mallory) = (Phone::udp("alice").await, Phone::udp("mallory").await);
    let mut alices = login("alice");
    let request = publication(&alice, ALICE);
    let challenged = alice.send(&request, system.udp(0)).await;
    assert!(alices.learn(&challenged));
    let signed = alices.sign(&alice.again(&request));
    let accepted = alice.send(&signed, system.udp(0)).await;
    assert_eq!(accepted.status(), Some(200), "{accepted}");
    let copy = alice.send(&signed, system.udp(0)).await;
    assert_eq!(copy.header("SIP-ETag"), accepted.header("SIP-ETag"));

    let overheard = signed.header("Authorization").unwrap();
    let forged = publication(&alice, ALICE).with("Authorization", overheard);
    let refused = mallory
        .send(&forged.set("Via", mallory.via()), system.udp(0))
        .await;
    assert_eq!(refused.status(), Some(401), "{refused}");
    assert!(
        Challenge::all(&refused)
            .iter()
            .all(|challenge| challenge.stale),
        "{refused}"
    );

    // Another method, another Request-URI: other answers.
    for bent in [
        overheard.replace("uri=\"sip:alice", "uri=\"sip:bob"),
        overheard.replace("realm=\"example.org\"", "realm=\"example.com\""),
        overheard.replace("nc=00000001", "nc=00000002"),
        overheard.replace("qop=auth, nc=00000001, ", ""),
        "Digest nonsense".to_owned(),
    ] {
        assert_ne!(bent, overheard);
        let request = publication(&alice, ALICE).with("Authorization", bent.clone());
        let refused = alice.send(&request, system.udp(0)).await;
        assert_eq!(refused.status(), Some(401), "{bent}");
        assert!(
            Challenge::all(&refused)
                .iter()
                .all(|challenge| !challenge.stale),
            "{bent}"
        );
    }
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);
}

/// A nonce that was given to another address says nothing about who answers it.
#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_is_bound_to_its_source() {
    let system = start(with_digest());
    let (here, there) = (
        Phone::udp("alice").await,
        Phone::udp_on("alice", "127.0.0.9").await,
    );
    let mut alices = login("alice");
    let request = publication(&here, ALICE);
    assert!(alices.learn(&here.send(&request, system.udp(0)).await));
    let signed = alices.sign(&publication(&there, ALICE));
    let refused = there.send(&signed, system.udp(0)).await;
    assert_eq!(refused.status(), Some(401));
    assert!(
        Challenge::all(&refused)
            .iter()
            .all(|challenge| challenge.stale)
    );
    // A phone that moved takes the new nonce, without asking its user.
    assert_eq!(
        status(
            &there,
            &mut alices,
            &publication(&there, ALICE),
            system.udp(0)
        )
        .await,
        200
    );
}

/// What is offered, and in which order, is configured, by User-Agent where phones differ.
#[tokio::test(flavor = "multi_thread")]
async fn algorithms_are_offered_as_configured() {
    let system = start(
        with_digest()
            .set("identity.algorithms", "[\"MD5\"]")
            .set("identity.user_agents", "[\"Modern=SHA-256\"]"),
    );
    let phone = Phone::udp("alice").await;
    for (user_agent, expected) in [("strict phone/1.0", "MD5"), ("modern phone/2", "SHA-256")] {
        let request = publication(&phone, ALICE).set("User-Agent", user_agent);
        let challenged = phone.send(&request, system.udp(0)).await;
        let offered = Challenge::all(&challenged);
        let [only] = offered.as_slice() else {
            panic!("{challenged}")
        };
        assert_eq!(only.algorithm, expected, "{user_agent}");
        let mut login = login("alice");
        assert_eq!(
            status(&phone, &mut login, &request, system.udp(0)).await,
            200
        );
        // What was not offered is not taken.
        let mut other = login_with(&challenged, expected);
        let refused = phone
            .send(&other.sign(&phone.again(&request)), system.udp(0))
            .await;
        assert_eq!(refused.status(), Some(401), "{user_agent}");
    }
}

/// Knows the password, but answers by the algorithm that was not offered.
fn login_with(challenged: &Message, offered: &str) -> Login {
    let (from, to) = match offered {
        "SHA-256" => ("SHA-256", "MD5"),
        _ => ("MD5", "SHA-256"),
    };
    let line = challenged.header("WWW-Authenticate").unwrap();
    let bent = challenged
        .clone()
        .without("WWW-Authenticate")
        .with("WWW-Authenticate", line.replace(from, to));
    let mut login = login("alice");
    assert!(login.learn(&bent));
    login
}

/// Phones of RFC 2069 leave qop out; that is accepted only where it is configured.
#[tokio::test(flavor = "multi_thread")]
async fn old_phones_leave_qop_out() {
    for (required, expected) in [(1, 401), (0, 200)] {
        let system = start(with_digest().set("identity.qop_required", required));
        let phone = Phone::udp("alice").await;
        let request = publication(&phone, ALICE);
        let challenged = phone.send(&request, system.udp(0)).await;
        let line = challenged.all("WWW-Authenticate").last().unwrap();
        let old = challenged
            .clone()
            .without("WWW-Authenticate")
            .with("WWW-Authenticate", line.replace(", qop=\"auth\"", ""));
        let mut login = login("alice");
        assert!(login.learn(&old));
        let response = phone
            .send(&login.sign(&phone.again(&request)), system.udp(0))
            .await;
        assert_eq!(response.status(), Some(expected), "{response}");
    }
}

/// A new password counts at once (nothing is cached here), the old one no more; names may be odd.
#[tokio::test(flavor = "multi_thread")]
async fn passwords_are_rows() {
    let system = start(with_digest());
    let phone = Phone::udp("alice").await;
    let mut old = login("alice");
    assert_eq!(
        status(&phone, &mut old, &publication(&phone, ALICE), system.udp(0)).await,
        200
    );
    system.psql("UPDATE subscriber SET ha1 = '', ha1_sha256 = '', ha1b = '', password = 'new' WHERE username = 'alice'");
    assert_eq!(
        status(&phone, &mut old, &publication(&phone, ALICE), system.udp(0)).await,
        401
    );
    for name in ["alice", "alice@example.org"] {
        let mut new = Login::new(name, "new");
        assert_eq!(
            status(&phone, &mut new, &publication(&phone, ALICE), system.udp(0)).await,
            200,
            "{name}"
        );
    }
    system.psql("DELETE FROM subscriber WHERE username = 'alice'");
    let mut gone = Login::new("alice", "new");
    assert_eq!(
        status(
            &phone,
            &mut gone,
            &publication(&phone, ALICE),
            system.udp(0)
        )
        .await,
        401
    );

    let odd = "J\"ö\\rg, x";
    system.psql(&format!(
        "INSERT INTO subscriber (username, domain, password) VALUES ('{odd}', 'example.org', 'p:w')"
    ));
    let mut login = Login::new(odd, "p:w");
    let own = "sip:J%22%C3%B6%5Crg,%20x@example.org";
    assert_eq!(
        status(&phone, &mut login, &publication(&phone, own), system.udp(0)).await,
        200
    );
}
