//! The life of a subscription: first NOTIFY, changes, refresh, end.

use crate::phone::{Answer, Exchange};
use crate::stage::{Stage, subscription};
use events::{NewSubscription, Reach, SubscribeOutcome};
use sip::{Limits, Message, Reply, StatusCode};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// RFC 6665 section 4.2.1.2: a NOTIFY follows a SUBSCRIBE at once; 4.2.2: and each change of state.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_notify_shows_closed_and_a_change_shows_open() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut phone = exchange.phone();
    stage.subscribe(&phone, "bob", 600).await;
    let first = phone.next().await;
    assert!(
        first.state.starts_with("active;expires="),
        "{}",
        first.state
    );
    let left: u32 = first.state["active;expires=".len()..].parse().unwrap();
    assert!((595..=600).contains(&left), "{left}");
    assert!(!first.body.contains("open"), "{}", first.body);
    stage.publish("bob", "in a meeting", 3600).await;
    let second = phone.next().await;
    assert_eq!(second.cseq, first.cseq + 1);
    assert!(
        second.body.contains("open") && second.body.contains("in a meeting"),
        "{}",
        second.body
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// Changes within `waitn_time` become one NOTIFY, which shows the last of them.
#[tokio::test(flavor = "multi_thread")]
async fn changes_coalesce_and_the_last_state_wins() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut phone = exchange.phone();
    stage.subscribe(&phone, "bob", 600).await;
    let first = phone.next().await;
    let mut bob = stage.publish("bob", "state-0.", 3600).await;
    phone.until("state-0.", 5).await;
    let changed = Instant::now();
    for change in 1..=10 {
        stage.modify(&mut bob, &format!("state-{change}.")).await;
    }
    phone.until("state-10.", 5).await;
    assert!(
        changed.elapsed() < Duration::from_secs(3),
        "waitn_time is 1 s; it took {:?}",
        changed.elapsed()
    );
    assert!(matches!(
        stage.refresh(&phone, 2, 0).await,
        SubscribeOutcome::Accepted { .. }
    ));
    let last = phone.next().await;
    assert!(last.state.starts_with("terminated"));
    // First, state-0, at most one in between, state-10, terminated.
    assert!(
        last.cseq <= first.cseq + 4,
        "{} NOTIFYs for 11 changes",
        last.cseq - first.cseq - 1
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// RFC 6665 section 4.1.2.3: unsubscribing is answered by a last NOTIFY. 4.4.3: so is a fetch, with the whole document.
#[tokio::test(flavor = "multi_thread")]
async fn unsubscribe_and_fetch_end_with_a_document() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    stage.publish("bob", "here", 3600).await;
    let (mut watcher, mut fetcher) = (exchange.phone(), exchange.phone());
    stage.subscribe(&watcher, "bob", 600).await;
    watcher.until("here", 5).await;
    stage.refresh(&watcher, 2, 0).await;
    let last = watcher.next().await;
    assert_eq!(last.state, "terminated;reason=timeout");
    stage.subscribe(&fetcher, "bob", 0).await;
    let fetched = fetcher.next().await;
    assert!(fetched.state.starts_with("terminated"), "{}", fetched.state);
    assert!(fetched.body.contains("here"));

    stage.publish("bob", "elsewhere", 3600).await;
    let mut witness = exchange.phone();
    stage.subscribe(&witness, "bob", 600).await;
    witness.until("elsewhere", 5).await;
    assert!(
        watcher.arrived().is_empty() && fetcher.arrived().is_empty(),
        "nothing comes after terminated"
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// A refresh is answered at once, whatever the pacing of the state.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_is_answered_without_waiting() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[("presence.waitn_time", "600")]).await;
    let mut phone = exchange.phone();
    stage.subscribe(&phone, "bob", 600).await;
    phone.next().await;
    stage.publish("bob", "state-1.", 3600).await;
    phone.until("state-1.", 5).await;
    stage.publish("bob", "state-2.", 3600).await;
    stage.refresh(&phone, 2, 900).await;
    let refreshed = phone.next().await;
    let left: u32 = refreshed.state["active;expires=".len()..].parse().unwrap();
    assert!(left > 600, "{left}");
    assert!(
        refreshed.body.contains("state-2."),
        "it shows what is true now"
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// RFC 6665 section 4.2.2: "terminated;reason=timeout" when the subscription runs out.
#[tokio::test(flavor = "multi_thread")]
async fn an_expired_subscription_is_told_so() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut phone = exchange.phone();
    stage.subscribe(&phone, "bob", 1).await;
    assert!(phone.next().await.state.starts_with("active"));
    assert_eq!(phone.next().await.state, "terminated;reason=timeout");
    assert_eq!(
        stage.refresh(&phone, 2, 600).await,
        SubscribeOutcome::NoDialog
    );
    engine.stop().await;
    exchange.assert_flawless();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_publication_shows_closed() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut phone = exchange.phone();
    stage.publish("bob", "soon gone", 2).await;
    stage.subscribe(&phone, "bob", 600).await;
    phone.until("soon gone", 5).await;
    let closed = phone.next_within(8).await;
    assert!(
        !closed.body.contains("open") && closed.state.starts_with("active"),
        "{}",
        closed.body
    );
    engine.stop().await;
    exchange.assert_flawless();
}

/// RFC 3261 section 12.2.1.1: the route set is used, the Contact stays in the Request-URI.
#[tokio::test(flavor = "multi_thread")]
async fn routes_are_followed() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let mut phone = exchange.phone();
    let route = format!("<sip:{};lr>", exchange.addr());
    let row = NewSubscription {
        contact: "sip:phone@192.0.2.99:5099".into(),
        record_route: vec![route.clone(), "<sip:second.invalid;lr>".into()],
        ..subscription(&phone, "bob")
    };
    stage.subscribe_as(row).await;
    let notify = phone.next().await;
    assert_eq!(notify.request.uri(), "sip:phone@192.0.2.99:5099");
    let routes: Vec<String> = notify
        .request
        .route()
        .unwrap()
        .into_iter()
        .map(|route| route.raw)
        .collect();
    assert_eq!(routes, [route.as_str(), "<sip:second.invalid;lr>"]);
    engine.stop().await;
    exchange.assert_flawless();
}

/// The flow's route comes first and leads to the server that holds it.
#[tokio::test(flavor = "multi_thread")]
async fn a_flow_leads_through_its_server() {
    let (stage, exchange) = (Stage::new().await, Exchange::new().await);
    let engine = stage.engine(&[]).await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let flow = format!(
        "<sip:token@{};transport=udp;lr>",
        server.local_addr().unwrap()
    );
    let row = NewSubscription {
        contact: "sip:phone@10.255.255.1:5099".into(),
        reach: Reach {
            flow: flow.clone(),
            ..Reach::default()
        },
        ..subscription(&exchange.phone(), "bob")
    };
    stage.subscribe_as(row).await;
    let (mut connection, notifier) = server.accept().await.unwrap();
    let mut received = Vec::new();
    let request = loop {
        assert!(connection.read_buf(&mut received).await.unwrap() > 0);
        let whole = received.clone();
        if let Ok(Message::Request(request)) = sip::parse_datagram(whole, &Limits::default()) {
            break request;
        }
    };
    assert_eq!(request.uri(), "sip:phone@10.255.255.1:5099");
    assert_eq!(request.route().unwrap()[0].raw, flow);
    let answer = Reply::new(&request, StatusCode::OK).encode(notifier);
    connection.write_all(&answer).await.unwrap();
    engine.stop().await;
}

/// A phone that re-subscribed from another address is notified there, though its old address never answers.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_target_is_notified_at_once() {
    let (stage, old, new) = (
        Stage::new().await,
        Exchange::new().await,
        Exchange::new().await,
    );
    let engine = stage.engine(&[]).await;
    let mut before = old.phone_that(|_| Answer::Silence);
    stage.subscribe(&before, "bob", 600).await;
    let first = before.next().await;
    let mut after = new.phone();
    after.call_id = new.rename(&after.call_id, &before.call_id);
    assert!(matches!(
        stage.refresh(&after, 2, 600).await,
        SubscribeOutcome::Accepted { .. }
    ));
    assert_eq!(after.next().await.cseq, first.cseq + 1);
    engine.stop().await;
    old.assert_flawless();
    new.assert_flawless();
}
