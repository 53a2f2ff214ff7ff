//! Servers keep nothing: a retransmission gets the same answer from any of them, and a missing database costs a 503.

use crate::support::{Database, Draft, Phone, Server, header, within};
use sip::HeaderName;

#[tokio::test(flavor = "multi_thread")]
async fn a_retransmission_to_another_server_gets_the_same_bytes() {
    let database = Database::migrated().await;
    let (one, other) = (
        Server::start(&database.url).await,
        Server::start(&database.url).await,
    );
    let phone = Phone::new().await;
    let twice = async |draft: Draft| {
        let text = draft.by(&phone).text();
        phone.send(one.udp, &text).await;
        let first = phone.receive().await.0;
        phone.send(other.udp, &text).await;
        let second = phone.receive().await.0;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (text(&first), text(&second), crate::support::response(first))
    };

    let (first, second, published) = twice(Draft::publish("pub")).await;
    assert_eq!(published.status().code(), 200, "{first}");
    assert_eq!(first, second);
    assert_eq!(database.number("SELECT count(*) FROM presentity").await, 1);

    let tag = published.sip_etag().expect("SIP-ETag").to_owned();
    let modify = Draft::publish("pub")
        .with("SIP-If-Match", &tag)
        .with("CSeq", "2 PUBLISH");
    let (first, second, modified) = twice(modify).await;
    assert_eq!(modified.status().code(), 200, "{first}");
    assert_eq!(first, second);

    let tag = modified.sip_etag().expect("SIP-ETag").to_owned();
    let remove = Draft::publish("pub")
        .with("SIP-If-Match", &tag)
        .with("CSeq", "3 PUBLISH")
        .with("Expires", "0")
        .body("");
    let (first, second, removed) = twice(remove).await;
    assert_eq!(removed.status().code(), 200, "{first}");
    assert_eq!(first, second);

    // With server_address unset each server names itself: all but the Contact is the same.
    let (first, second, subscribed) = twice(Draft::subscribe("sub", phone.address())).await;
    assert_eq!(subscribed.status().code(), 200, "{first}");
    assert_eq!(first, second);
    assert_eq!(
        database
            .number("SELECT count(*) FROM active_watchers")
            .await,
        1
    );
    let to = header(&subscribed, HeaderName::To).to_owned();

    let end = Draft::subscribe("sub", phone.address())
        .with("To", &to)
        .with("CSeq", "2 SUBSCRIBE")
        .with("Expires", "0");
    let (first, second, ended) = twice(end).await;
    assert_eq!(ended.status().code(), 200, "{first}");
    assert_eq!(first, second);

    let (first, second, refused) = twice(Draft::new("INVITE", "no")).await;
    assert_eq!(refused.status().code(), 405);
    assert_eq!(first, second, "the To-tag of a refusal too");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_starts_without_its_database_and_recovers_by_itself() {
    let mut database = Database::migrated().await;
    database.cluster.kill9();
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let text = Draft::publish("pub").by(&phone).text();

    let refused = phone.ask(server.udp, &text).await;
    assert_eq!(refused.status().code(), 503, "{}", refused.reason());
    assert!(refused.retry_after().expect("a number").is_some());
    let options = phone
        .ask(server.udp, Draft::new("OPTIONS", "o").by(&phone).text())
        .await;
    assert_eq!(
        options.status().code(),
        200,
        "what needs no database is answered"
    );

    database.cluster.restart().expect("PostgreSQL comes back");
    let accepted = phone.ask(server.udp, &text).await;
    assert_eq!(accepted.status().code(), 200, "{}", accepted.reason());

    database.cluster.kill9();
    let refused = phone
        .ask(server.udp, Draft::publish("late").by(&phone).text())
        .await;
    assert_eq!(refused.status().code(), 503);
    database.cluster.restart().expect("PostgreSQL comes back");
    let accepted = phone
        .ask(server.udp, Draft::publish("late").by(&phone).text())
        .await;
    assert_eq!(accepted.status().code(), 200, "{}", accepted.reason());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_backlog_is_told_at_once_and_a_hung_database_at_the_deadline() {
    let database = Database::migrated().await;
    let server = Server::configured(&database.url, |config| {
        config.server.backlog = within(2);
        config.server.write_connections = within(1);
        config.server.request_deadline_ms = within(2000);
    })
    .await;
    let phone = Phone::new().await;
    // The secret is known after the first answer.
    assert_eq!(
        phone
            .ask(
                server.udp,
                Draft::publish("zero").to("zero").by(&phone).text()
            )
            .await
            .status()
            .code(),
        200
    );

    let barrier = database.client().await;
    barrier
        .batch_execute("BEGIN; SELECT 1 FROM notify_queue FOR UPDATE")
        .await
        .expect("locked");
    phone
        .send(
            server.udp,
            Draft::publish("one").to("zero").by(&phone).text(),
        )
        .await;
    phone
        .send(
            server.udp,
            Draft::publish("two").to("two").by(&phone).text(),
        )
        .await;
    // A copy of one that is being worked on is no further request: it gets no answer of its own.
    phone
        .send(
            server.udp,
            Draft::publish("one").to("zero").by(&phone).text(),
        )
        .await;
    let third = phone
        .ask(
            server.udp,
            Draft::publish("three").to("three").by(&phone).text(),
        )
        .await;
    assert_eq!(
        (third.call_id().expect("Call-ID"), third.status().code()),
        ("three", 503),
        "before the other two, and nothing before it"
    );
    assert!(third.retry_after().expect("a number").is_some());

    let mut late = [phone.response().await, phone.response().await];
    late.sort_by_key(|answer| answer.call_id().map(str::to_owned).unwrap_or_default());
    for (answer, call_id) in late.iter().zip(["one", "two"]) {
        assert_eq!(
            (answer.call_id().expect("Call-ID"), answer.status().code()),
            (call_id, 503),
            "at its deadline"
        );
    }
    barrier.batch_execute("ROLLBACK").await.expect("released");
    // A client that repeats itself is served, as soon as the statement that hung has given its place back.
    while phone
        .ask(
            server.udp,
            Draft::publish("two").to("two").by(&phone).text(),
        )
        .await
        .status()
        .code()
        == 503
    {}
    assert_eq!(
        database
            .number("SELECT count(*) FROM presentity WHERE username = 'two'")
            .await,
        1
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopping_server_answers_what_it_has_taken() {
    let database = Database::migrated().await;
    let server = Server::start(&database.url).await;
    let phone = Phone::new().await;
    let text = Draft::publish("zero").to("zero").by(&phone).text();
    assert_eq!(phone.ask(server.udp, &text).await.status().code(), 200);
    assert_eq!(
        database
            .number("SELECT count(*) FROM node WHERE kind = 'server'")
            .await,
        1
    );

    let barrier = database.client().await;
    barrier
        .batch_execute("BEGIN; SELECT 1 FROM notify_queue FOR UPDATE")
        .await
        .expect("locked");
    phone
        .send(
            server.udp,
            Draft::publish("one").to("zero").by(&phone).text(),
        )
        .await;
    // The server has taken the request when its statement waits for the lock.
    let watcher = database.client().await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()";
    while watcher
        .query_one(waits, &[])
        .await
        .expect("a row")
        .get::<_, i64>(0)
        == 0
    {}
    let stopping = tokio::spawn(server.stop());
    barrier.batch_execute("ROLLBACK").await.expect("released");
    assert_eq!(phone.response().await.status().code(), 200);
    stopping.await.expect("stopped");
    assert_eq!(
        database.number("SELECT count(*) FROM node").await,
        0,
        "deregistered"
    );
}
