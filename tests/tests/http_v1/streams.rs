//! Server-sent events: the present state, each change, and what slow readers and a stop do to them.

use std::time::Duration;

use super::*;
use system_tests::http::Events;
use system_tests::phone::Phone;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;

const DEADLINE: Duration = Duration::from_secs(10);

fn events() -> String {
    format!("{PATH}/events")
}

/// Whoever changes the state, and by whichever door, the stream tells; and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_tells_the_state_and_each_change() {
    let system = system::setup()
        .servers(2)
        .set("http.listen", "127.0.0.1:0")
        .start();
    let (one, other) = (http::address(&system, 0), http::address(&system, 1));
    let mut stream = Events::open(one, &events(), &[("Accept", "text/event-stream")]).await;
    assert_eq!(
        stream.answer.header("Content-Type"),
        Some("text/event-stream")
    );
    let nothing = stream.next().await;
    assert_eq!((&*nothing.event, &*nothing.id), ("none", "none"));

    // By HTTP at the other server, by SIP, by hand, by a stored document.
    put(other, PATH, "by program").await;
    let told = stream.next().await;
    assert_eq!(told.event, "state");
    assert!(told.document().contains("by program"));
    let shown = get(one, PATH).await;
    assert_eq!(told.document(), shown.text());
    let data: serde_json::Value = serde_json::from_str(&told.data).unwrap();
    assert_eq!(
        format!("\"{}\"", data["etag"].as_str().unwrap()),
        etag(&shown)
    );
    assert_eq!(data["content_type"], "application/pidf+xml");

    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(1), "open", "by phone").await;
    assert!(stream.next().await.document().contains("by phone"));
    // A refresh is no change.
    publisher.refresh(system.udp(1), 600).await;
    put(other, PATH, "by program").await;
    system.psql("UPDATE presentity SET body = convert_to(replace(convert_from(body, 'UTF8'), 'by phone', 'by hand'), 'UTF8') WHERE ruid NOT LIKE 'sql:%'");
    assert!(stream.next().await.document().contains("by hand"));
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '{}', 16, 'e', 'u')",
        document("stored").replace("\r\n", " ")
    ));
    assert!(stream.next().await.document().contains("stored"));

    // Whoever comes later is first told what is, not what was.
    put(one, PATH, "later").await;
    let mut late = Events::open(one, &events(), &[]).await;
    let first = late.next().await;
    assert!(first.document().contains("later"));
    let same = stream.next().await;
    assert_eq!(same, first);

    // Whoever comes back is told what is new, at any server.
    for server in [one, other] {
        let headers = [("Last-Event-ID", &*first.id)];
        let mut back = Events::open(server, &events(), &headers).await;
        assert_eq!(back.answer.status, 200);
        assert_eq!(back.any().await, Some(Default::default()));
        let note = format!("told to {server}");
        put(server, PATH, &note).await;
        assert!(back.next().await.document().contains(&note));
        put(server, PATH, "later").await;
    }
    let stale = [("Last-Event-ID", "nothing like it")];
    let mut back = Events::open(one, &events(), &stale).await;
    assert!(back.next().await.document().contains("later"));

    publisher.remove(system.udp(0)).await;
    system.psql("DELETE FROM xcap");
    delete(one, PATH).await;
    stream.until(|event| event.event == "none").await;
}

/// Short lives end on the stream as well; and watcher information is told when somebody comes or goes, not each second.
#[tokio::test(flavor = "multi_thread")]
async fn ends_and_watchers_are_told() {
    let (system, http) = serving();
    let mut stream = Events::open(http, &events(), &[]).await;
    assert_eq!(stream.next().await.event, "none");
    put(http, &format!("{PATH}?expires=2"), "short").await;
    assert!(stream.next().await.document().contains("short"));
    assert_eq!(stream.next().await.event, "none");

    let path = format!("/v1/presentities/{BOB}/presence.winfo/events");
    let mut winfo = Events::open(http, &path, &[]).await;
    assert!(!winfo.next().await.document().contains("sip:alice@"));
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let told = winfo.next().await;
    assert!(told.document().contains("sip:alice@"), "{}", told.data);
    put(http, PATH, "a NOTIFY more").await;
    dialog.notify(2).await;
    dialog.unsubscribe(system.udp(0)).await;
    let told = winfo.next().await;
    assert!(!told.document().contains("sip:alice@"), "{}", told.data);
}

/// One look for all streams, and none for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn the_process_looks_once_for_all() {
    let (system, http) = serving();
    let client = system.sql().await;
    client
        .batch_execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        .await
        .unwrap();
    let looks = async || -> (i64, i64) {
        let text = "SELECT COALESCE(sum(calls) FILTER (WHERE query LIKE '-- publication.list_marks%'), 0)::bigint, \
                           COALESCE(sum(calls) FILTER (WHERE query LIKE '-- publication.list_live%'), 0)::bigint FROM pg_stat_statements";
        let row = client.query_one(text, &[]).await.unwrap();
        (row.get(0), row.get(1))
    };
    client
        .batch_execute("SELECT pg_stat_statements_reset()")
        .await
        .unwrap();
    assert_eq!(looks().await.0, 0, "looks for nobody");
    let mut streams = Vec::new();
    for n in 0..50 {
        let path = format!("/v1/presentities/sip:u{n}@example.org/presence/events");
        let mut stream = Events::open(http, &path, &[]).await;
        assert_eq!(stream.next().await.event, "none");
        streams.push(stream);
    }
    client
        .batch_execute("SELECT pg_stat_statements_reset()")
        .await
        .unwrap();
    // A window to count in.
    tokio::time::sleep(Duration::from_secs(5)).await;
    let (marks, documents) = looks().await;
    assert!(
        (3..=8).contains(&marks),
        "{marks} looks in 5 s at 50 streams"
    );
    assert_eq!(documents, 0, "documents are read though nothing changes");
    drop(streams);
    // The server notices with the next thing it has to say.
}

/// While nothing happens there are comments; a stop ends streams cleanly, and the process with them.
#[tokio::test(flavor = "multi_thread")]
async fn comments_keep_it_alive_and_a_stop_ends_it() {
    let (mut system, http) = serving();
    let mut stream = Events::open(http, &events(), &[]).await;
    stream.next().await;
    let began = tokio::time::Instant::now();
    assert_eq!(stream.any().await, Some(Default::default()), "a comment");
    assert!(began.elapsed() > Duration::from_secs(10));
    let stopped = tokio::task::spawn_blocking(move || {
        let status = system.servers[0].process.terminate(DEADLINE);
        (system, status)
    });
    assert_eq!(stream.any().await, None, "a clean end");
    let (_system, status) = stopped.await.unwrap();
    assert!(status.unwrap().success());
}

/// Who does not read is cut off, and costs nobody else anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_reader_is_cut_off() {
    let (system, http) = serving();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut slow = socket.connect(http).await.unwrap();
    slow.write_all(&http::request("GET", &events(), &[], b""))
        .await
        .unwrap();
    let mut quick = Events::open(http, &events(), &[]).await;
    quick.next().await;
    let long = "x".repeat(30_000);
    let until = tokio::time::Instant::now() + Duration::from_secs(90);
    let mut number = 0;
    let cut_off = loop {
        number += 1;
        let note = format!("{number} {long}");
        assert_eq!(put(http, PATH, &note).await.status / 100, 2);
        let told = quick
            .until(|event| event.event == "state" && event.document().contains(&note))
            .await;
        assert!(!told.id.is_empty());
        // The server has given the slow one up when only the quick one's connection to it is left.
        let open = established(http.port());
        if open
            .iter()
            .filter(|peer| **peer == slow.local_addr().unwrap().port())
            .count()
            == 0
        {
            break true;
        }
        if tokio::time::Instant::now() > until {
            break false;
        }
    };
    assert!(
        cut_off,
        "after {number} changes the slow reader still has its stream"
    );
    // What it has not read is gone, or breaks off: it ends in any case.
    let mut rest = Vec::new();
    let read = tokio::time::timeout(DEADLINE, slow.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the slow reader's connection is still open");
    assert_eq!(get(http, "/health").await.status, 200);
    drop(system);
}

/// The peers' ports of the established connections of a port of this machine.
fn established(port: u16) -> Vec<u16> {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let lines = table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, remote, state) = (fields.next()?, fields.next()?, fields.next()?);
        let port_of = |address: &str| {
            let (_, port) = address.split_once(':')?;
            u16::from_str_radix(port, 16).ok()
        };
        (state == "01" && port_of(local)? == port).then(|| port_of(remote))?
    });
    lines.collect()
}
