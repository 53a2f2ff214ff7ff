//! PUT, GET, DELETE: between programs and phones, with HTTP's own conditions.

use std::time::Duration;

use super::*;
use system_tests::phone::Phone;

const DEADLINE: Duration = Duration::from_secs(10);

/// A program's document lights the lamp, is replaced and taken back; and GET shows what the phone was shown.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_reaches_the_phones() {
    let (system, http) = serving();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    assert_eq!(get(http, PATH).await.problem(), "nothing-published");

    let created = put(http, PATH, "in a meeting").await;
    assert_eq!(created.status, 201, "{}", created.text());
    let own = created.header("Location").unwrap().to_owned();
    assert_eq!(own, format!("{PATH}?source=http"));
    assert_eq!(created.json()["source"], "http");
    assert_eq!(created.json()["expires"], 3600);
    assert_eq!(
        format!("\"{}\"", created.json()["etag"].as_str().unwrap()),
        etag(&created)
    );
    let notify = dialog
        .until("in a meeting", |notify| {
            notify.note() == Some("in a meeting")
        })
        .await;
    let shown = get(http, PATH).await;
    assert_eq!(shown.status, 200);
    assert_eq!(shown.header("Content-Type"), Some("application/pidf+xml"));
    assert_eq!(shown.body, notify.message.body);
    assert_ne!(etag(&shown), etag(&created));

    // The source's own, as it was sent.
    let as_sent = get(http, &own).await;
    assert_eq!(as_sent.text(), document("in a meeting"));
    assert_eq!(etag(&as_sent), etag(&created));
    let left: i64 = as_sent.header("TTL").unwrap().parse().unwrap();
    assert!((3590..=3600).contains(&left), "{left}");

    let replaced = put(http, &own, "at the desk").await;
    assert_eq!(replaced.status, 200);
    assert_eq!(replaced.header("Location"), None);
    assert_ne!(etag(&replaced), etag(&created));
    dialog
        .until("at the desk", |notify| notify.note() == Some("at the desk"))
        .await;
    assert_eq!(system.count("SELECT count(*) FROM presentity").await, 1);

    assert_eq!(delete(http, PATH).await.status, 204);
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    assert_eq!(get(http, PATH).await.status, 404);
    assert_eq!(get(http, &own).await.problem(), "nothing-published");
    assert_eq!(delete(http, PATH).await.problem(), "nothing-published");
}

/// Sources, phones, SQL and stored documents are merged into one; each keeps its own.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_publish_are_merged() {
    let (system, http) = serving();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    let bob = Phone::udp("bob").await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "by phone").await;
    let path = |source: &str| format!("{PATH}?source={source}");
    assert_eq!(
        put(http, &path("calendar"), "by calendar").await.status,
        201
    );
    assert_eq!(put(http, &path("a%20PBX%26co"), "by PBX").await.status, 201);
    system.psql(&format!(
        "SELECT presence_publish('{BOB}', 'presence', '{}', source => 'door')",
        document("by door").replace("\r\n", " ")
    ));
    let notes = ["by phone", "by calendar", "by PBX", "by door"];
    let all = |text: &str| notes.iter().all(|note| text.contains(note));
    let notify = dialog
        .until("all of them", |notify| all(notify.body()))
        .await;
    let shown = get(http, PATH).await;
    assert!(all(&shown.text()), "{}", shown.text());
    assert_eq!(shown.body, notify.message.body);

    // A source that speaks SQL is the same by HTTP, and the other way round.
    assert!(get(http, &path("door")).await.text().contains("by door"));
    assert_eq!(delete(http, &path("door")).await.status, 204);
    system.psql(&format!(
        "SELECT presence_unpublish('{BOB}', 'presence', source => 'a PBX&co')"
    ));
    dialog
        .until("two of them", |notify| {
            let text = notify.body();
            text.contains("by phone")
                && text.contains("by calendar")
                && !text.contains("by PBX")
                && !text.contains("by door")
        })
        .await;
    // Nobody ends what a phone has published.
    for source in ["http", "phone", publisher.etag.as_deref().unwrap()] {
        assert_eq!(delete(http, &path(source)).await.status, 404, "{source}");
    }
}

/// If-Match and If-None-Match as RFC 9110 has them, on what a source has and on what watchers are shown.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_are_http_s_own() {
    let (system, http) = serving();
    let own = format!("{PATH}?source=door");
    let with = async |method: &str, path: &str, name: &str, value: &str| -> Answer {
        let note = document(value);
        let body = if method == "PUT" {
            note.as_bytes()
        } else {
            &[]
        };
        http::send(http, method, path, &[PIDF, (name, value)], body).await
    };
    // Nothing is there.
    for (method, name, value, status) in [
        ("GET", "If-Match", "*", 412),
        ("GET", "If-None-Match", "*", 404),
        ("PUT", "If-Match", "*", 412),
        ("PUT", "If-Match", "\"a\"", 412),
        ("DELETE", "If-Match", "*", 412),
        ("DELETE", "If-None-Match", "*", 404),
        ("PUT", "If-None-Match", "*", 201),
    ] {
        let answer = with(method, &own, name, value).await;
        assert_eq!(answer.status, status, "{method} {name}: {value}");
    }
    let first = etag(&get(http, &own).await);
    let before = tables(&system);
    for (method, name, value, status) in [
        ("PUT", "If-None-Match", "*", 412),
        ("PUT", "If-None-Match", &*first, 412),
        ("PUT", "If-None-Match", &format!("W/{first}"), 412),
        ("PUT", "If-Match", "\"other\"", 412),
        ("PUT", "If-Match", &format!("W/{first}"), 412),
        ("DELETE", "If-Match", "\"other\"", 412),
        ("PUT", "If-Match", &*first.replace('"', ""), 400),
        ("PUT", "If-Match", "", 400),
        ("GET", "If-None-Match", &*first, 304),
        ("GET", "If-None-Match", "*", 304),
        ("HEAD", "If-None-Match", &*first, 304),
        ("GET", "If-None-Match", "\"other\"", 200),
        ("GET", "If-Match", &*first, 200),
        ("GET", "If-Match", "\"other\"", 412),
        ("HEAD", "If-Match", "\"other\"", 412),
    ] {
        let answer = with(method, &own, name, value).await;
        assert_eq!(answer.status, status, "{method} {name}: {value}");
        match status {
            304 => assert!(answer.body.is_empty() && etag(&answer) == first),
            412 if method != "HEAD" => assert_eq!(answer.problem(), "precondition-failed"),
            _ => {}
        }
    }
    assert_eq!(tables(&system), before);
    let second = with("PUT", &own, "If-Match", &format!("\"x\", {first}")).await;
    assert_eq!(second.status, 200);
    // A past tag is past.
    assert_eq!(with("PUT", &own, "If-Match", &first).await.status, 412);
    assert_eq!(with("DELETE", &own, "If-Match", &first).await.status, 412);
    let second = etag(&second);
    assert_eq!(with("DELETE", &own, "If-Match", &second).await.status, 204);

    // What watchers are shown: the tag is the state's, and comes back with it.
    assert_eq!(put(http, &own, "one").await.status, 201);
    let one = etag(&get(http, PATH).await);
    assert_eq!(with("GET", PATH, "If-None-Match", &one).await.status, 304);
    put(http, &own, "two").await;
    let changed = with("GET", PATH, "If-None-Match", &one).await;
    assert!(changed.status == 200 && etag(&changed) != one);
    put(http, &own, "one").await;
    assert_eq!(with("GET", PATH, "If-None-Match", &one).await.status, 304);
    // A refresh is another tag of the publication, and the same state.
    let head = http::send(http, "HEAD", PATH, &[], b"").await;
    assert!(head.status == 200 && head.body.is_empty() && etag(&head) == one);
    assert_eq!(
        head.header("Content-Length"),
        get(http, PATH).await.header("Content-Length")
    );
}

/// Of programs that know one tag one wins, on two servers at once.
#[tokio::test(flavor = "multi_thread")]
async fn of_writers_at_two_servers_one_wins() {
    let system = system::setup()
        .servers(2)
        .set("http.listen", "127.0.0.1:0")
        .start();
    let servers = [http::address(&system, 0), http::address(&system, 1)];
    let mut tag = etag(&put(servers[0], PATH, "first").await);
    for round in 0..5 {
        let writers = (0..8).map(|writer| {
            let (server, tag) = (servers[writer % 2], tag.clone());
            tokio::spawn(async move {
                let body = document(&format!("{round} {writer}"));
                let headers = [PIDF, ("If-Match", &*tag)];
                http::send(server, "PUT", PATH, &headers, body.as_bytes()).await
            })
        });
        let writers: Vec<_> = writers.collect();
        let mut won = Vec::new();
        for writer in writers {
            let answer = writer.await.unwrap();
            match answer.status {
                200 => won.push(etag(&answer)),
                status => assert_eq!(status, 412),
            }
        }
        assert_eq!(won.len(), 1, "round {round}");
        tag = won.remove(0);
        let stored = get(servers[0], &format!("{PATH}?source=http")).await;
        assert_eq!(etag(&stored), tag);
    }
}

/// The lifetime is asked for in the query or by TTL, granted as to a PUBLISH, and ends by itself.
#[tokio::test(flavor = "multi_thread")]
async fn lifetimes_are_those_of_a_publish() {
    let system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .set("presence.min_expires", 2)
        .set("presence.max_expires", 1000)
        .start();
    let http = http::address(&system, 0);
    let body = document("x");
    for (query, ttl, status, granted) in [
        ("", None, 201, 1000),
        ("?expires=600", None, 200, 600),
        ("", Some("500"), 200, 500),
        ("?expires=400", Some("400"), 200, 400),
        ("?expires=4294967295", None, 200, 1000),
        ("?expires=1", None, 400, 0),
        ("?expires=0", None, 400, 0),
        ("?expires=400", Some("500"), 400, 0),
        ("?expires=-1", None, 400, 0),
        ("?expires=ten", None, 400, 0),
        ("?expires=4294967296", None, 400, 0),
        ("", Some("never"), 400, 0),
    ] {
        let mut headers = vec![PIDF];
        headers.extend(ttl.map(|ttl| ("TTL", ttl)));
        let path = format!("{PATH}{query}");
        let answer = http::send(http, "PUT", &path, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{query} {ttl:?} {}", answer.text());
        if status < 300 {
            assert_eq!(answer.json()["expires"], granted, "{query} {ttl:?}");
        }
    }
    let brief = put(http, &format!("{PATH}?expires=1"), "x").await;
    assert_eq!(brief.problem(), "interval-too-brief");
    assert_eq!(brief.json()["min_expires"], 2);
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    put(http, &format!("{PATH}?expires=2"), "short").await;
    dialog
        .until_within(DEADLINE, "closed again", |notify| {
            notify.basic() == "closed"
        })
        .await;
    assert_eq!(get(http, PATH).await.status, 404);
}

/// The document of each kind of package is the one in a phone's first NOTIFY.
#[tokio::test(flavor = "multi_thread")]
async fn each_package_is_shown_as_to_a_phone() {
    let (system, http) = serving();
    let alice = Phone::udp("alice").await;
    let dialog_info = |state: &str| {
        format!(
            "<?xml version=\"1.0\"?>\r\n<dialog-info xmlns=\"urn:ietf:params:xml:ns:dialog-info\" version=\"3\" state=\"full\" entity=\"{BOB}\">\
             <dialog id=\"d1\" call-id=\"c1\" direction=\"recipient\"><state>{state}</state></dialog></dialog-info>"
        )
    };
    let summary = "Messages-Waiting: yes\r\nMessage-Account: sip:bob@example.org\r\nVoice-Message: 2/0 (0/0)\r\n";
    for (event, content_type, body) in [
        (
            "dialog",
            "application/dialog-info+xml",
            dialog_info("early"),
        ),
        (
            "message-summary",
            "application/simple-message-summary",
            summary.to_owned(),
        ),
    ] {
        let path = format!("/v1/presentities/{BOB}/{event}");
        let headers = [("Content-Type", content_type)];
        let stored = http::send(http, "PUT", &path, &headers, body.as_bytes()).await;
        assert_eq!(stored.status, 201, "{event}: {}", stored.text());
        let request = alice.subscription_to(BOB, event, Some(600));
        let (dialog, _) = alice.subscribe_with(&request, system.udp(0)).await;
        let notify = dialog.notify(1).await;
        let shown = get(http, &path).await;
        assert_eq!(shown.status, 200, "{event}");
        assert_eq!(shown.text(), notify.body(), "{event}");
        let accept = [("Accept", "application/pidf+xml, text/*")];
        let refused = http::send(http, "GET", &path, &accept, b"").await;
        assert_eq!(refused.problem(), "not-acceptable");
        assert_eq!(refused.json()["content_type"], content_type);
    }
    // A call that has ended, by whichever of two says so, does not come back.
    let path = |source: &str| format!("/v1/presentities/{BOB}/dialog?source={source}");
    let kind = [("Content-Type", "application/dialog-info+xml")];
    let ended = dialog_info("terminated");
    http::send(http, "PUT", &path("switch"), &kind, ended.as_bytes()).await;
    let shown = get(http, &format!("/v1/presentities/{BOB}/dialog")).await;
    assert!(!shown.text().contains("early"), "{}", shown.text());

    // Who watches, with the seconds that both documents count left out.
    let path = format!("/v1/presentities/{BOB}/dialog.winfo");
    let shown = get(http, &path).await;
    assert_eq!(
        shown.header("Content-Type"),
        Some("application/watcherinfo+xml")
    );
    assert!(shown.text().contains("sip:alice@"), "{}", shown.text());
    let refused = put(http, &path, "x").await;
    assert_eq!(refused.problem(), "method-not-allowed");
    assert_eq!(refused.header("Allow"), Some("GET, HEAD"));
}

/// With the database away: 503, and all is well when it is back.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_it_says_so() {
    let mut system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .errors_expected()
        .start();
    let http = http::address(&system, 0);
    assert_eq!(put(http, PATH, "before").await.status, 201);
    let watched = format!("{PATH}/events");
    let mut events = http::Events::open(http, &watched, &[]).await;
    assert!(events.next().await.document().contains("before"));
    system.kill9_postgres();
    for answer in [
        put(http, PATH, "meanwhile").await,
        get(http, PATH).await,
        get(http, &format!("{PATH}/watchers")).await,
        delete(http, PATH).await,
        get(http, &watched).await,
    ] {
        assert_eq!(answer.problem(), "unavailable");
        assert!(answer.header("Retry-After").is_some());
    }
    system.restart_postgres();
    let stored = async { put(http, PATH, "after").await.status };
    let mut status = stored.await;
    let until = tokio::time::Instant::now() + DEADLINE;
    while status == 503 && tokio::time::Instant::now() < until {
        status = put(http, PATH, "after").await.status;
    }
    assert_eq!(status, 200);
    // The stream has lived through it.
    events
        .until(|event| event.document().contains("after"))
        .await;
}
