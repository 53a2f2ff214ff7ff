//! How long a value may be: each bound, by each way in. What is longer is refused by name before it comes to the database, whose log
//! would have an error else, which fails these tests.

use std::time::Duration;

use serde_json::json;
use system_tests::http;
use system_tests::message::Message;
use system_tests::phone::Phone;
use system_tests::{pidf, system};
use tokio::task::JoinSet;

const BOB: &str = "sip:bob@example.org";

/// What makes a request of a request and so many octets; and the bound of that, and how its reason names it.
type Bent = (fn(&Message, usize) -> Message, usize, &'static str);

const OF_SUBSCRIBE: &[Bent] = &[
    (uri_user, 255, "User Of Request-URI"),
    (uri_domain, 255, "Domain Of Request-URI"),
    (
        |request, octets| request.clone().set("Call-ID", x(octets)),
        255,
        "Call-ID",
    ),
    (
        |request, octets| from(request, &format!("<sip:a@h>;tag={}", x(octets))),
        255,
        "From Tag",
    ),
    (
        |request, octets| from(request, &format!("<sip:{}@h>;tag=f", x(octets))),
        255,
        "User Of From",
    ),
    (
        |request, octets| from(request, &format!("<sip:a@{}>;tag=f", x(octets))),
        255,
        "Domain Of From",
    ),
    (
        |request, octets| from(request, &format!("\"{}\" <sip:a@h>;tag=f", x(octets))),
        1024,
        "Display Name Of From",
    ),
    (
        |request, octets| {
            from(
                request,
                &format!("{};tag=f", filled("<sip:a@h;p=", octets, ">")),
            )
        },
        2048,
        "From",
    ),
    (
        |request, octets| request.clone().set("To", format!("<sip:{}@h>", x(octets))),
        255,
        "User Of To",
    ),
    (
        |request, octets| {
            let to = filled("<sip:b@h;p=", octets, ">");
            request.clone().set("To", to)
        },
        2048,
        "To",
    ),
    (
        |request, octets| {
            let event = format!("presence;id={}", x(octets));
            request.clone().set("Event", event)
        },
        255,
        "Event ID",
    ),
    (
        |request, octets| {
            let contact = format!("<{}>", filled("sip:a@127.0.0.1:9;p=", octets, ""));
            request.clone().set("Contact", contact)
        },
        1024,
        "Contact",
    ),
    (
        |request, octets| request.clone().set("User-Agent", x(octets)),
        1024,
        "User-Agent",
    ),
    (
        |request, octets| {
            let half = octets / 2;
            let route = |octets: usize| filled("<sip:127.0.0.1:9;lr;p=", octets, ">");
            request
                .clone()
                .with("Record-Route", route(half))
                .with("Record-Route", route(octets - half - 1))
        },
        4096,
        "Record-Route",
    ),
];

const OF_PUBLISH: &[Bent] = &[
    (uri_user, 255, "User Of Request-URI"),
    (uri_domain, 255, "Domain Of Request-URI"),
    (
        |request, octets| request.clone().set("Call-ID", x(octets)),
        255,
        "Call-ID",
    ),
    (
        |request, octets| from(request, &format!("<sip:a@h>;tag={}", x(octets))),
        255,
        "From Tag",
    ),
];

fn x(octets: usize) -> String {
    "x".repeat(octets)
}

/// So many octets in all.
fn filled(before: &str, octets: usize, after: &str) -> String {
    let rest = octets.saturating_sub(before.len() + after.len());
    format!("{before}{}{after}", x(rest))
}

fn from(request: &Message, from: &str) -> Message {
    request.clone().set("From", from)
}

fn uri_user(request: &Message, octets: usize) -> Message {
    to_uri(request, &format!("sip:{}@example.org", x(octets)))
}

fn uri_domain(request: &Message, octets: usize) -> Message {
    to_uri(request, &format!("sip:bob@{}", x(octets)))
}

fn to_uri(request: &Message, uri: &str) -> Message {
    let method = request.method().to_owned();
    let mut bent = request.clone();
    bent.start = format!("{method} {uri} SIP/2.0");
    bent
}

fn publish(phone: &Phone) -> Message {
    let document = pidf::document(BOB, "t", "open", "hello");
    phone.publisher(BOB).draft(Some(&document), Some(600))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_bound_and_one_octet_more() {
    let system = system::setup().notifiers(0).start();
    let phone = Phone::udp("bob").await;
    let mut stored = 0;
    for (method, bent) in [("SUBSCRIBE", OF_SUBSCRIBE), ("PUBLISH", OF_PUBLISH)] {
        for (bend, bound, name) in bent {
            for octets in [bound - 1, *bound, bound + 1, bound + 500] {
                let request = match method {
                    "PUBLISH" => publish(&phone),
                    _ => phone.subscription(BOB, Some(600)),
                };
                let request = bend(&request, octets);
                let response = phone.send(&request, system.udp(0)).await;
                let expected = match octets > *bound {
                    false => (Some(200), "OK".to_owned()),
                    true if name.ends_with("Request-URI") => {
                        (Some(414), format!("{name} Longer Than {bound} Octets"))
                    }
                    true => (Some(400), format!("{name} Longer Than {bound} Octets")),
                };
                assert_eq!(
                    (response.status(), response.reason().to_owned()),
                    expected,
                    "{method} {name} {octets}"
                );
                stored += i64::from(octets <= *bound);
            }
        }
    }
    let rows = "SELECT (SELECT count(*) FROM active_watchers) + (SELECT count(*) FROM presentity)";
    assert_eq!(system.count(rows).await, stored);
    let request = publish(&phone).with("SIP-If-Match", x(256));
    let response = phone.send(&request, system.udp(0)).await;
    assert_eq!(
        (response.status(), response.reason()),
        (Some(400), "SIP-If-Match Longer Than 255 Octets")
    );
    let request = phone.subscription(BOB, Some(600));
    let request = request.set("To", format!("<{BOB}>;tag={}", x(256)));
    let response = phone.send(&request, system.udp(0)).await;
    assert_eq!(
        (response.status(), response.reason()),
        (Some(400), "To Tag Longer Than 255 Octets")
    );
}

/// Whatever the lengths of all values at once, many requests at a time: what is let in is stored, and what is not is refused by name.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_in_is_stored() {
    let system = system::setup()
        .notifiers(0)
        .set("presence.delete_same_subs", 2)
        .start();
    let phone = Phone::udp("bob").await;
    let mut dice = 0x1234_5678_9ABC_DEF0_u64;
    let mut throw = move |sides: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(dice >> 33).unwrap_or_default() % sides
    };
    let mut requests = Vec::new();
    for _ in 0..600 {
        let (mut request, bent) = match throw(3) {
            0 => (publish(&phone), OF_PUBLISH),
            _ => (phone.subscription(BOB, Some(600)), OF_SUBSCRIBE),
        };
        let (mut is_within, mut changed) = (true, std::collections::BTreeSet::new());
        for _ in 0..4 {
            let (bend, bound, name) = bent[throw(bent.len())];
            // Of two that bend the same header the later one would undo the earlier.
            let header = name.rsplit(' ').next().unwrap_or(name);
            if !changed.insert(header.replace("Tag", "From")) {
                continue;
            }
            // Mostly within, else few requests were let in.
            let octets = match throw(8) {
                0 => bound + 1 + throw(300),
                1 => bound,
                _ => 80 + throw(bound - 80),
            };
            is_within &= octets <= bound;
            request = bend(&request, octets);
        }
        requests.push((request, is_within));
    }
    let let_in = requests.iter().filter(|(_, is_within)| *is_within).count();
    let mut sent = JoinSet::new();
    for (request, is_within) in requests {
        let (phone, server) = (phone.clone(), system.udp(0));
        sent.spawn(async move {
            let response = phone.send(&request, server).await;
            let reason = response.reason().to_owned();
            if is_within {
                assert_eq!(response.status(), Some(200), "{request}\n{response}");
            } else {
                let is_refused = matches!(response.status(), Some(400 | 414));
                assert!(
                    is_refused && reason.contains(" Longer Than "),
                    "{request}\n{response}"
                );
            }
        });
    }
    sent.join_all().await;
    assert!((200..500).contains(&let_in), "{let_in}");
    let rows = "SELECT (SELECT count(*) FROM active_watchers) + (SELECT count(*) FROM presentity)";
    assert_eq!(system.count(rows).await, i64::try_from(let_in).unwrap());
}

/// Each was a row that no statement of a notifier could take.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_subscribes_with_a_long_user_silence_nobody() {
    let system = system::start();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mallory = Phone::udp("mallory").await;
    let mut refused = JoinSet::new();
    for number in 0..300 {
        let long = format!("{number}{}", x(2000));
        let request = mallory.subscription(BOB, Some(600));
        let request = match number % 3 {
            0 => from(&request, &format!("<sip:{long}@example.org>;tag=f")),
            1 => to_uri(&request, &format!("sip:{long}@example.org")),
            _ => request.set("To", format!("<sip:{long}@example.org>")),
        };
        let (mallory, server) = (mallory.clone(), system.udp(0));
        refused.spawn(async move {
            let response = mallory.send(&request, server).await;
            assert!(matches!(response.status(), Some(400 | 414)), "{response}");
        });
    }
    let mut publisher = bob.publisher(BOB);
    for note in ["one", "two", "three"] {
        publisher.show(system.udp(0), "open", note).await;
        dialog
            .until_within(Duration::from_secs(5), note, |notify| {
                notify.note() == Some(note)
            })
            .await;
    }
    refused.join_all().await;
    assert_eq!(
        system.count("SELECT count(*) FROM active_watchers").await,
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn by_http_and_rpc() {
    let system = system::setup()
        .notifiers(0)
        .set("http.listen", "127.0.0.1:0")
        .start();
    let server = http::address(&system, 0);
    let pidf = ("Content-Type", "application/pidf+xml");
    let document = pidf::document(BOB, "t", "open", "hello");
    let long_type = ("Content-Type", format!("a/{}", x(254)));
    let put = async |path: String, header: (&str, &str)| {
        http::send(server, "PUT", &path, &[header], document.as_bytes()).await
    };
    let presence = |user: usize, source: usize| {
        format!(
            "/v1/presentities/sip:{}@example.org/presence?source={}",
            x(user),
            x(source)
        )
    };
    assert_eq!(put(presence(255, 128), pidf).await.status, 201);
    for (path, header, reason) in [
        (presence(256, 1), pidf, "User Of URI Longer Than 255 Octets"),
        (presence(1, 129), pidf, "source Longer Than 128 Octets"),
        (
            presence(1, 1),
            (long_type.0, long_type.1.as_str()),
            "Content-Type Longer Than 255 Octets",
        ),
    ] {
        let answer = put(path, header).await;
        assert_eq!(answer.status, 400, "{reason}");
        assert_eq!(answer.json()["detail"], reason);
    }

    let long = format!("sip:{}@example.org", x(256));
    for (method, params) in [
        ("presence.refreshWatchers", json!([long, "presence", 1])),
        ("presence.updateWatchers", json!([long, "presence"])),
        ("presence.watcher_list", json!(["basic", long])),
        ("presence.auth_status", json!([long, BOB])),
        ("presence.auth_status", json!([BOB, long])),
    ] {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
        let json = [("Content-Type", "application/json")];
        let body = body.to_string();
        let answer = http::send(server, "POST", "/RPC", &json, body.as_bytes()).await;
        let error = &answer.json()["error"];
        assert_eq!(error["code"], 400, "{method}: {error}");
        assert_eq!(error["message"], "User Of URI Longer Than 255 Octets");
    }
}
