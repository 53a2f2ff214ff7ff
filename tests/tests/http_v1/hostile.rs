//! What hostile clients send gets a clear answer, and changes nothing.

use std::time::Duration;

use super::*;
use system_tests::http::{Events, answer, raw, request, send};
use system_tests::system::STARTUP;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

const INJECTED: &str = "x'%3B%20DROP%20TABLE%20presentity%3B%20--";

/// Names that are none, methods that are none, bodies that are none.
#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_changes_nothing() {
    let (system, http) = serving();
    assert_eq!(put(http, PATH, "before").await.status, 201);
    let settled = "SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL";
    system.until(STARTUP, settled, 0).await;
    let before = tables(&system);
    let bytes = document("x").into_bytes();
    let below = |uri: &str, event: &str| format!("/v1/presentities/{uri}/{event}");
    let injected_event = below("sip:bob@example.org", INJECTED);
    let injected_user = below(&format!("sip:{INJECTED}@example.org"), "presence");
    for (method, path, status, kind) in [
        (
            "PUT",
            "/v1/presentities/sip:bob%zz@example.org/presence",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org%/presence",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob%ff@example.org/presence",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob%00@example.org/presence",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob%0d%0aX:y@example.org/presence",
            400,
            "bad-request",
        ),
        ("PUT", "/v1/presentities/bob/presence", 400, "bad-request"),
        ("PUT", "/v1/presentities/sip:@/presence", 400, "bad-request"),
        (
            "PUT",
            "/v1/presentities/sip:a@b@c/presence",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/mailto:bob@example.org/presence",
            400,
            "unsupported-scheme",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/nothing",
            404,
            "unknown-event",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/PRESENCE",
            404,
            "unknown-event",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence%00",
            400,
            "bad-request",
        ),
        ("PUT", &injected_event, 404, "unknown-event"),
        ("PUT", &injected_user, 400, "bad-request"),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence?source=",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence?source=%ff",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence?sauce=a",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence?source=a&source=b",
            400,
            "bad-request",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence.winfo",
            405,
            "method-not-allowed",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence/watchers",
            405,
            "method-not-allowed",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence/events",
            405,
            "method-not-allowed",
        ),
        ("PUT", "/v1/openapi.json", 405, "method-not-allowed"),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org",
            404,
            "no-such-path",
        ),
        (
            "PUT",
            "/v1/presentities/sip:bob@example.org/presence/",
            404,
            "no-such-path",
        ),
        ("PUT", "/v1/presentities/../RPC", 400, "bad-request"),
        (
            "PUT",
            "/v2/presentities/sip:bob@example.org/presence",
            404,
            "no-such-path",
        ),
        ("POST", PATH, 405, "method-not-allowed"),
        ("PATCH", PATH, 405, "method-not-allowed"),
        ("OPTIONS", PATH, 405, "method-not-allowed"),
        ("put", PATH, 405, "method-not-allowed"),
        ("PUBLISH", PATH, 405, "method-not-allowed"),
        (
            "DELETE",
            "/v1/presentities/sip:bob@example.org/presence?source=other",
            404,
            "nothing-published",
        ),
        (
            "DELETE",
            "/v1/presentities/sip:bob@example.org/presence?expires=1",
            400,
            "bad-request",
        ),
    ] {
        let found = send(http, method, path, &[PIDF], &bytes).await;
        assert_eq!(found.status, status, "{method} {path}: {}", found.text());
        assert_eq!(found.problem(), kind, "{method} {path}");
        if status == 405 {
            assert!(found.header("Allow").is_some(), "{method} {path}");
        }
    }
    let unknown = put(http, &below(BOB, "nothing"), "x").await.json();
    assert!(
        unknown["events"]
            .as_array()
            .unwrap()
            .contains(&"presence".into())
    );

    let deep = format!("{}{}", "<a>".repeat(5_000), "</a>".repeat(5_000));
    let bomb = "<!DOCTYPE a [<!ENTITY b \"bbbbbbbbbb\"><!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;\">]><a>&c;&c;&c;</a>";
    let external = "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>";
    let wide: String = (0..3_000).map(|n| format!(" a{n}=\"\"")).collect();
    let wide = format!("<presence{wide}/>");
    let text = "Content-Type";
    let encoded = ("Content-Encoding", "br");
    for (headers, body, status, kind) in [
        (&[PIDF][..], &b""[..], 400, "bad-request"),
        (&[], &bytes[..], 400, "bad-request"),
        (&[(text, "nonsense")], &bytes[..], 400, "bad-request"),
        (
            &[(text, "text/html")],
            &bytes[..],
            415,
            "unsupported-media-type",
        ),
        (&[PIDF, encoded], &bytes[..], 415, "unsupported-encoding"),
        (&[PIDF], &b"no document"[..], 422, "body-refused"),
        (&[PIDF], &b"<presence"[..], 422, "body-refused"),
        (&[PIDF], &b"<a xmlns='b'/>"[..], 422, "body-refused"),
        (&[PIDF], &b"\xff\xfe<\0a\0>\0"[..], 422, "body-refused"),
        (&[PIDF], &b"\0"[..], 422, "body-refused"),
        (&[PIDF], deep.as_bytes(), 422, "body-refused"),
        (&[PIDF], wide.as_bytes(), 422, "body-refused"),
        (&[PIDF], bomb.as_bytes(), 422, "body-refused"),
        (&[PIDF], external.as_bytes(), 422, "body-refused"),
        (&[PIDF], &[b' '; 65_537][..], 413, "too-large"),
        (
            &[PIDF, ("Content-Range", "bytes 0-9/20")],
            &bytes[..],
            400,
            "bad-request",
        ),
        (
            &[PIDF, ("If-Match", "no tag")],
            &bytes[..],
            400,
            "bad-request",
        ),
    ] {
        let found = send(http, "PUT", PATH, headers, body).await;
        let shown = String::from_utf8_lossy(&body[..body.len().min(40)]);
        assert_eq!(
            found.status,
            status,
            "{headers:?} {shown}: {}",
            found.text()
        );
        assert_eq!(found.problem(), kind, "{headers:?} {shown}");
    }
    assert_eq!(tables(&system), before);

    // A name that is SQL is a name.
    let path = format!("{PATH}?source={INJECTED}");
    assert_eq!(put(http, &path, "x").await.status, 201);
    assert_eq!(get(http, &path).await.status, 200);
    assert_eq!(delete(http, &path).await.status, 204);
}

/// Too large, too many, too slow.
#[tokio::test(flavor = "multi_thread")]
async fn floods_cost_their_sender() {
    let (system, http) = serving();
    let before = tables(&system);
    // 10 MB, announced and not.
    let large = vec![b'<'; 10_000_000];
    let found = raw(http, &request("PUT", PATH, &[PIDF], &large)).await;
    assert_eq!(found.problem(), "too-large");
    let mut chunked = format!(
        "PUT {PATH} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/pidf+xml\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for part in large.chunks(100_000) {
        chunked.extend_from_slice(format!("{:x}\r\n", part.len()).as_bytes());
        chunked.extend_from_slice(part);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw(http, &chunked).await.status, 413);
    let mut heads = format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\n").into_bytes();
    heads.extend_from_slice(&b"X-A: b\r\n".repeat(20_000));
    heads.extend_from_slice(b"\r\n");
    assert_eq!(raw(http, &heads).await.status, 431);
    let long = format!(
        "GET /v1/presentities/sip:{}@h/presence HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a".repeat(100_000)
    );
    let status = raw(http, long.as_bytes()).await.status;
    assert!(status == 414 || status == 431, "{status}");
    // Many tags in one condition are looked at once.
    let tags = vec!["\"x\""; 8_000].join(",");
    let found = send(
        http,
        "PUT",
        PATH,
        &[PIDF, ("If-Match", &tags)],
        document("x").as_bytes(),
    )
    .await;
    assert_eq!(found.status, 412);
    let ranges = vec!["a/b"; 8_000].join(",");
    let found = send(http, "GET", "/v1/openapi.json", &[("Accept", &ranges)], b"").await;
    assert_eq!(found.problem(), "not-acceptable");

    // Slow: the head is there, the body is not.
    let mut slow = TcpStream::connect(http).await.unwrap();
    let whole = request("PUT", PATH, &[PIDF], document("slow").as_bytes());
    slow.write_all(&whole[..whole.len() - 10]).await.unwrap();
    let late = answer(&mut slow).await;
    assert_eq!((late.status, &*late.problem()), (408, "slow-body"));
    // Cut off in the middle.
    let mut cut = TcpStream::connect(http).await.unwrap();
    cut.write_all(&whole[..whole.len() - 10]).await.unwrap();
    cut.shutdown().await.unwrap();
    assert!(matches!(answer(&mut cut).await.status, 0 | 400));
    assert_eq!(tables(&system), before);
    assert_eq!(put(http, PATH, "all is well").await.status, 201);
}

/// What is left of a request that was refused is not the next request.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_is_never_a_request() {
    let (system, http) = serving();
    assert_eq!(put(http, PATH, "before").await.status, 201);
    let before = tables(&system);
    let inner = format!("DELETE {PATH} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let last = "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for (first, status) in [
        (format!("PUT {PATH}?sauce=a"), 400),
        (format!("PUT {PATH}/"), 404),
        (format!("POST {PATH}"), 405),
        (format!("PUT {PATH}"), 400),
        ("POST /RPC".to_owned(), 415),
        (format!("GET {PATH}"), 200),
    ] {
        let length = inner.len();
        let bytes = format!(
            "{first} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{inner}{last}"
        );
        let answer = raw(http, bytes.as_bytes()).await;
        assert_eq!(answer.status, status, "{first}");
    }
    let settled = "SELECT count(*) FROM presentity WHERE NOT removed";
    assert_eq!(system.count(settled).await, 1);
    let after = tables(&system);
    assert_eq!(after.split('|').next(), before.split('|').next());
}

/// Thousands of streams: as many as are allowed, a clear no for the others, and room for requests all the while.
#[tokio::test(flavor = "multi_thread")]
async fn streams_are_bounded_and_leave_room() {
    let (system, http) = serving();
    let path = |n: usize| format!("/v1/presentities/sip:u{n}@example.org/presence/events");
    let (mut open, mut refused) = (Vec::new(), 0);
    // A few at a time: requests for streams are requests, until they are streams.
    for first in (0..2_000).step_by(40) {
        let mut opening = JoinSet::new();
        for path in (first..first + 40).map(path) {
            opening.spawn(async move { Events::open(http, &path, &[]).await });
        }
        for stream in opening.join_all().await {
            match stream.answer.status {
                200 => open.push(stream),
                503 => refused += 1,
                status => panic!("{status}: {}", stream.answer.head),
            }
        }
    }
    assert_eq!((open.len(), refused), (256, 1_744));
    assert_eq!(get(http, "/health").await.status, 200);
    assert_eq!(put(http, PATH, "there is room").await.status, 201);
    let more = get(http, &path(0)).await;
    assert_eq!(more.problem(), "unavailable");
    assert!(more.header("Retry-After").is_some());
    // All of them are told.
    system.psql(&format!(
        "SELECT presence_publish('sip:u' || n || '@example.org', 'presence', '{}') FROM generate_series(0, 399) AS n",
        document("told").replace("\r\n", " ")
    ));
    for stream in &mut open {
        stream.until(|event| event.event == "state").await;
    }
    // Those that go make room.
    drop(open);
    let until = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let stream = Events::open(http, &path(0), &[]).await;
        if stream.answer.status == 200 {
            break;
        }
        assert!(tokio::time::Instant::now() < until, "no room again");
    }
}

/// Without the token there is nothing but /health, whatever the path.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for_everywhere() {
    const TOKEN: &str = "a-token-of-the-tests";
    let system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .set("http.token", TOKEN)
        .start();
    let http = http::address(&system, 0);
    let body = document("x");
    let good = format!("Bearer {TOKEN}");
    for (method, path, status) in [
        ("GET", PATH.to_owned(), 404),
        ("PUT", PATH.to_owned(), 201),
        ("GET", format!("{PATH}/watchers"), 200),
        ("GET", "/v1/openapi.json".to_owned(), 200),
        ("GET", "/nothing".to_owned(), 404),
        ("DELETE", PATH.to_owned(), 204),
    ] {
        let bytes = if method == "PUT" {
            body.as_bytes()
        } else {
            &[]
        };
        for wrong in [&[PIDF][..], &[PIDF, ("Authorization", "Bearer wrong")]] {
            let refused = send(http, method, &path, wrong, bytes).await;
            assert_eq!(refused.problem(), "unauthorized", "{method} {path}");
            assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
        }
        let headers = [
            PIDF,
            ("Authorization", &*good),
            ("Host", "presence.example.org"),
        ];
        let answer = send(http, method, &path, &headers, bytes).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
    }
    let stream = Events::open(http, &format!("{PATH}/events"), &[]).await;
    assert_eq!(stream.answer.status, 401);
    assert_eq!(get(http, "/health").await.status, 200);
    // Without a token it is the name in Host that counts.
    let (_open, http) = serving();
    let foreign = [("Host", "evil.example")];
    for path in [PATH, "/v1/openapi.json", "/nothing"] {
        let refused = send(http, "GET", path, &foreign, b"").await;
        assert_eq!(refused.problem(), "foreign-host", "{path}");
    }
}
