//! How much a sender may send (`[limits]`).

use std::time::{Duration, Instant};

use system_tests::message::Message;
use system_tests::phone::{Login, Phone, Tolerance};
use system_tests::system::{self, Setup, System};

use super::{ALICE, BOB, login, publication, start, status, with_digest};

/// Another address of this machine.
const ELSEWHERE: &str = "127.0.0.9";
/// Shorter than the time after which a phone repeats itself, so that each request is sent once.
const ONCE: Duration = Duration::from_millis(450);

/// One a second of each kind, and so many at once.
fn limit(setup: Setup, kind: &str, burst: u32) -> Setup {
    setup
        .set(&format!("limits.{kind}_s"), 1)
        .set(&format!("limits.{kind}_burst"), burst)
}

/// The status of the answer to a request that is sent once; `None`: silence.
async fn answer(phone: &Phone, request: &Message, system: &System) -> Option<u16> {
    let answer = phone.try_send(request, &[system.udp(0)], ONCE).await.ok()?;
    if answer.status() == Some(503) {
        let retry_after = answer.header("Retry-After").unwrap_or_default();
        assert!(["5", "6", "7"].contains(&retry_after), "{answer}");
    }
    answer.status()
}

/// So many of one status may there be since `start`, at one a second.
fn at_most(burst: usize, start: Instant) -> usize {
    burst + start.elapsed().as_secs() as usize + 1
}

fn count(answers: &[Option<u16>], status: Option<u16>) -> usize {
    answers.iter().filter(|answer| **answer == status).count()
}

/// A flood is answered, then told to come back later, then ignored. Others do not notice, and the operator is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_a_stranger_is_refused_and_then_ignored() {
    let setup = limit(with_digest(), "requests_per_source", 10);
    let mut system = start(limit(setup, "refusals_per_source", 10));
    let stranger = Phone::udp_on("mallory", ELSEWHERE).await;
    let begun = Instant::now();
    let mut answers = Vec::new();
    while answers.last() != Some(&None) {
        answers.push(answer(&stranger, &publication(&stranger, ALICE), &system).await);
        assert!(answers.len() < 1000, "always an answer: {answers:?}");
    }
    assert_eq!(answers[..10], [Some(401); 10]);
    assert!(
        count(&answers, Some(401)) <= at_most(10, begun),
        "{answers:?}"
    );
    // Twice as many are told so.
    let told = count(&answers, Some(503));
    assert!((20..=2 * at_most(10, begun)).contains(&told), "{answers:?}");

    // In the middle of it.
    let flood = Phone::udp_on("mallory", ELSEWHERE).await;
    flood.tolerates(Tolerance {
        raw: true,
        ..Tolerance::default()
    });
    for _ in 0..500 {
        flood
            .raw(&publication(&flood, ALICE).encode(), system.udp(0))
            .await;
    }
    let (phone, mut alices) = (Phone::udp("alice").await, login("alice"));
    for _ in 0..4 {
        let request = publication(&phone, ALICE);
        assert_eq!(
            status(&phone, &mut alices, &request, system.udp(0)).await,
            200
        );
    }
    let line = system.servers[0]
        .process
        .line(Duration::from_secs(10), |line| line.contains("[limits]"));
    let line = line.unwrap_or_else(|fault| panic!("{fault}"));
    assert!(line.contains(ELSEWHERE), "{line}");
}

/// Whoever guesses passwords is slowed long before whoever knows them, and can then not even use the right one.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_guesses_is_slowed_sooner() {
    let system = start(limit(with_digest(), "refusals_per_source", 3));
    let guesser = Phone::udp_on("alice", ELSEWHERE).await;
    let mut guesses = Login::new("alice", "guessed");
    let begun = Instant::now();
    let request = publication(&guesser, ALICE);
    // To be asked for a password is no refusal.
    for _ in 0..10 {
        let challenged = guesser.send(&guesser.again(&request), system.udp(0)).await;
        assert!(guesses.learn(&challenged), "{challenged}");
    }
    let mut answers = Vec::new();
    for _ in 0..20 {
        let guess = guesses.sign(&publication(&guesser, ALICE));
        answers.push(answer(&guesser, &guess, &system).await);
    }
    assert_eq!(answers[..3], [Some(401); 3]);
    assert!(
        count(&answers, Some(401)) <= at_most(3, begun),
        "{answers:?}"
    );
    assert!(count(&answers, Some(503)) > 0, "{answers:?}");

    let (phone, mut alices) = (Phone::udp("alice").await, login("alice"));
    for _ in 0..20 {
        let request = publication(&phone, ALICE);
        assert_eq!(
            status(&phone, &mut alices, &request, system.udp(0)).await,
            200
        );
    }
}

/// Datagrams that say that they come from an address, which may be forged, take nothing from whoever has answered a challenge there.
#[tokio::test(flavor = "multi_thread")]
async fn forged_datagrams_take_nothing_from_whoever_is_there() {
    let setup = limit(with_digest(), "requests_per_source", 10);
    let system = start(limit(setup, "refusals_per_source", 2));
    let phone = Phone::udp_on("alice", ELSEWHERE).await;
    let mut alices = login("alice");
    let request = publication(&phone, ALICE);
    assert_eq!(
        status(&phone, &mut alices, &request, system.udp(0)).await,
        200
    );
    let forger = Phone::udp_on("mallory", ELSEWHERE).await;
    forger.tolerates(Tolerance {
        raw: true,
        ..Tolerance::default()
    });
    for _ in 0..50 {
        for request in [
            publication(&forger, ALICE),
            publication(&forger, ALICE).with("Authorization", "Digest nonsense"),
            forger.request("REGISTER", ALICE),
        ] {
            forger.raw(&request.encode(), system.udp(0)).await;
        }
    }
    let mut answers = Vec::new();
    for _ in 0..2 {
        answers.push(answer(&forger, &publication(&forger, ALICE), &system).await);
    }
    assert!(count(&answers, Some(401)) < 2, "{answers:?}");
    for _ in 0..5 {
        let request = publication(&phone, ALICE);
        assert_eq!(
            status(&phone, &mut alices, &request, system.udp(0)).await,
            200
        );
    }
}

/// Somebody is one, wherever he sends from.
#[tokio::test(flavor = "multi_thread")]
async fn an_identity_has_one_limit() {
    let system = start(limit(with_digest(), "requests_per_identity", 4));
    let (here, there) = (
        Phone::udp("alice").await,
        Phone::udp_on("alice", ELSEWHERE).await,
    );
    let (mut at_here, mut at_there) = (login("alice"), login("alice"));
    let begun = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..8 {
        for (phone, login) in [(&here, &mut at_here), (&there, &mut at_there)] {
            let request = publication(phone, ALICE);
            answers.push(Some(status(phone, login, &request, system.udp(0)).await));
        }
    }
    assert_eq!(answers[..4], [Some(200); 4]);
    let served = count(&answers, Some(200));
    assert!(served <= at_most(4, begun), "{answers:?}");
    assert_eq!(count(&answers, Some(503)), answers.len() - served);
    // The address is not the one that is limited.
    let mut bobs = login("bob");
    let request = publication(&there, BOB).set("From", format!("<{BOB}>;tag=bob"));
    assert_eq!(
        status(&there, &mut bobs, &request, system.udp(0)).await,
        200
    );
}

/// An edge brings the requests of all its phones: only whom it names is limited, and it always gets an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_peer_is_not_limited() {
    let setup = system::setup().set("identity.trusted_peers", format!("[\"{ELSEWHERE}\"]"));
    let setup = limit(setup, "requests_per_source", 2);
    let setup = limit(setup, "refusals_per_source", 2);
    let system = limit(setup, "requests_per_identity", 2).start();
    let edge = Phone::udp_on("alice", ELSEWHERE).await;
    for _ in 0..30 {
        assert_eq!(
            answer(&edge, &publication(&edge, ALICE), &system).await,
            Some(200)
        );
        let refused = edge
            .request("PUBLISH", ALICE)
            .with("Event", "no-such-thing");
        assert_eq!(answer(&edge, &refused, &system).await, Some(489));
    }
    let begun = Instant::now();
    let mut answers = Vec::new();
    for _ in 0..30 {
        let named = publication(&edge, ALICE).with("P-Asserted-Identity", format!("<{ALICE}>"));
        answers.push(answer(&edge, &named, &system).await);
    }
    let served = count(&answers, Some(200));
    assert!((2..=at_most(2, begun)).contains(&served), "{answers:?}");
    assert_eq!(count(&answers, Some(503)), answers.len() - served);
    let bobs = publication(&edge, BOB).with("P-Asserted-Identity", format!("<{BOB}>"));
    assert_eq!(answer(&edge, &bobs, &system).await, Some(200));

    let stranger = Phone::udp("mallory").await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        answers.push(answer(&stranger, &publication(&stranger, ALICE), &system).await);
    }
    assert_eq!(answers[..2], [Some(403); 2]);
    assert!(count(&answers, Some(503)) > 0, "{answers:?}");
}
