//! Without a token only this machine itself is served: not what comes through a proxy, not a web page from elsewhere. And a request says once
//! whom it is for.

use super::*;
use system_tests::http::{raw, send};

/// RFC 7239, and what proxies write by custom; RFC 6454. `/health` tells nothing, and is for everybody.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_neither_proxies_nor_pages_are_served() {
    let (_system, http) = serving();
    let own = http.to_string();
    let host = ("Host", own.as_str());
    let page = format!("http://{own}");
    for (headers, kind) in [
        (&[host, ("Forwarded", "for=192.0.2.1")][..], "forwarded"),
        (&[host, ("X-Forwarded-For", "192.0.2.1")], "forwarded"),
        (&[host, ("x-forwarded-proto", "https")], "forwarded"),
        (
            &[host, ("Origin", "https://evil.example")],
            "foreign-origin",
        ),
        (&[host, ("Origin", "null")], "foreign-origin"),
        (&[host, ("Origin", "http://localhost:1")], "foreign-origin"),
    ] {
        for (method, path) in [
            ("GET", PATH),
            ("PUT", PATH),
            ("POST", "/RPC"),
            ("GET", "/nothing"),
        ] {
            let refused = send(http, method, path, headers, b"").await;
            assert_eq!(refused.status, 403, "{method} {path} {headers:?}");
            assert_eq!(refused.problem(), kind, "{method} {path} {headers:?}");
        }
        let health = send(http, "GET", "/health", headers, b"").await;
        assert_eq!(health.status, 200, "{headers:?}");
    }
    let own_page = send(http, "GET", PATH, &[host, ("Origin", &page)], b"").await;
    assert_eq!(own_page.status, 404, "nothing is published");
}

/// RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that lacks a Host header field
/// and to any request message that contains more than one Host header field line". 3.2.2: in absolute form it is the target that counts; here
/// the two have to say the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_for_one_host() {
    let (_system, http) = serving();
    for (target, hosts, status) in [
        ("/health", &["localhost"][..], 200),
        ("/health", &["localhost", "localhost"], 400),
        ("/health", &["localhost", "evil.example"], 400),
        ("http://localhost/health", &["localhost"], 200),
        ("http://LOCALHOST:8080/health", &["localhost:8080"], 200),
        ("http://evil.example/health", &["localhost"], 400),
        ("http://localhost@evil.example/health", &["localhost"], 400),
        ("http://localhost/health", &["evil.example"], 400),
        (PATH, &["127.0.0.1", "evil.example"], 400),
    ] {
        let hosts: String = hosts
            .iter()
            .map(|host| format!("Host: {host}\r\n"))
            .collect();
        let request = format!("GET {target} HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
        let found = raw(http, request.as_bytes()).await;
        assert_eq!(found.status, status, "{target} {hosts}: {}", found.text());
    }
}
