//! RPC over HTTP: the commands of Kamailio's presence module, the protocol around them, and what hostile input does: nothing.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use system_tests::phone::Phone;
use system_tests::pidf;
use system_tests::system::{self, STARTUP, System};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const BOB: &str = "sip:bob@example.org";
const TOKEN: &str = "a-token-of-the-tests";

/// A system that serves HTTP, and where.
fn serving() -> (System, SocketAddr) {
    let system = system::setup().set("http.listen", "127.0.0.1:0").start();
    let address = http_address(&system);
    (system, address)
}

fn http_address(system: &System) -> SocketAddr {
    let lines = system.servers[0].process.lines();
    let shown = lines
        .iter()
        .find_map(|line| line.strip_prefix("takes RPC at http://"))
        .unwrap_or_else(|| panic!("no address of RPC: {lines:?}"));
    shown.strip_suffix("/RPC").unwrap().parse().unwrap()
}

/// Sends bytes and reads to the end of the connection: status and body.
async fn raw(address: SocketAddr, request: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that has read enough answers and closes: what is left cannot be written, and need not be.
    let _ = stream.write_all(request).await;
    answer(&mut stream).await
}

async fn answer(stream: &mut TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(STARTUP, stream.read_to_end(&mut bytes));
    // A reset after the answer is an answer.
    let _ = read.await.expect("an end of the connection");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), body.to_owned())
}

fn request(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

const JSON: &str = "Content-Type: application/json\r\n";

async fn post(address: SocketAddr, body: &str) -> Value {
    let (status, body) = raw(address, &request("/RPC", JSON, body.as_bytes())).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// The result of a command, or its fault's code and message.
async fn call(address: SocketAddr, method: &str, params: Value) -> Result<Value, (i64, String)> {
    let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
    let answer = post(address, &body.to_string()).await;
    assert_eq!(answer["jsonrpc"], "2.0");
    assert_eq!(answer["id"], 7);
    match answer.get("error") {
        None => Ok(answer["result"].clone()),
        Some(error) => Err((
            error["code"].as_i64().unwrap(),
            error["message"].as_str().unwrap().to_owned(),
        )),
    }
}

/// Everything in the tables that a request could change.
fn tables(system: &System) -> String {
    system.psql(
        "SELECT (SELECT json_agg(p ORDER BY id) FROM (SELECT id, presentity_uri, event, etag, expires, removed FROM presentity) AS p), \
                (SELECT json_agg(a ORDER BY id) FROM (SELECT id, presentity_uri, status, reason, updated, remote_cseq FROM active_watchers) AS a), \
                (SELECT count(*) FROM watchers), (SELECT count(*) FROM xcap), (SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL), \
                (SELECT count(*) FROM node)",
    )
}

/// What SIP stored is listed with Kamailio's names, in both amounts of detail, and by pages.
#[tokio::test(flavor = "multi_thread")]
async fn lists_show_what_sip_stored() {
    let (system, http) = serving();
    let (alice, bob) = (Phone::udp("alice").await, Phone::udp("bob").await);
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let mut publisher = bob.publisher(BOB);
    publisher.show(system.udp(0), "open", "here").await;
    dialog
        .until("here", |notify| notify.note() == Some("here"))
        .await;

    let list = call(http, "presence.presentity_list", json!([]))
        .await
        .unwrap();
    let basic = ["domain", "etag", "event", "expires", "id", "sender", "user"];
    let keys: Vec<&String> = list[0].as_object().unwrap().keys().collect();
    assert_eq!(keys, basic);
    assert_eq!(list[0]["user"], "bob");
    assert_eq!(list[0]["event"], "presence");
    let full = call(http, "presence.presentity_list", json!(["full"]))
        .await
        .unwrap();
    assert!(full[0]["body"].as_str().unwrap().contains("here"));
    assert_eq!(full[0]["ruid"], list[0]["etag"]);
    let shown = [
        (json!(["basic", "BOB", "Example.ORG"]), 1),
        (json!(["basic", "*", "*"]), 1),
        (json!(["full", "bob", "*"]), 1),
        (json!(["basic", "carol", "*"]), 0),
        (json!(["basic", "bo%", "*"]), 0),
        (
            json!({"mode": "basic", "user": "*", "domain": "example.org"}),
            1,
        ),
    ];
    for (params, count) in shown {
        let found = call(http, "presence.presentity_show", params.clone())
            .await
            .unwrap();
        assert_eq!(found.as_array().unwrap().len(), count, "{params}");
    }

    let watchers = call(http, "presence.watcher_list", json!(["full", BOB]))
        .await
        .unwrap();
    let watcher = &watchers[0];
    assert_eq!(watcher["pres_uri"], BOB);
    assert_eq!(watcher["watcher_user"], "alice");
    assert_eq!(watcher["status"], 1);
    assert_eq!(watcher["local_cseq"], 2);
    let basic = call(
        http,
        "presence.watcher_list",
        json!(["basic", "SIPS:bob@EXAMPLE.org"]),
    )
    .await
    .unwrap();
    assert!(basic[0].get("local_cseq").is_none() && basic[0]["callid"].is_string());

    // By pages: each row once, in order.
    system.psql(
        "INSERT INTO presentity (username, domain, event, expires, body) \
         SELECT 'u' || n, 'example.org', 'presence', -1, '' FROM generate_series(1, 25) AS n",
    );
    let (mut users, mut after) = (Vec::new(), json!(0));
    loop {
        let page = call(
            http,
            "presence.presentity_list",
            json!(["basic", 10, after]),
        )
        .await
        .unwrap();
        let rows = page.as_array().unwrap().clone();
        let Some(last) = rows.last() else { break };
        assert!(rows.len() <= 10);
        after = last["id"].clone();
        users.extend(
            rows.iter()
                .map(|row| row["user"].as_str().unwrap().to_owned()),
        );
    }
    assert_eq!(users.len(), 26);
    assert_eq!(users[0], "bob");
    users.sort_unstable();
    users.dedup();
    assert_eq!(users.len(), 26);
}

/// `presence.auth_status` judges at once, by HTTP and from the shell, as the script does.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_watch_is_judged_at_once() {
    let (system, http) = serving();
    let shell = |user: &str| {
        let mut command = std::process::Command::new(system_tests::process::pgpresence());
        let watcher = format!("sip:{user}@example.org");
        command.args(["rpc", "presence.auth_status", &watcher, BOB]);
        command.args(["--database-url", &system.url()]);
        let (status, out, errors) = system_tests::process::run(&mut command, STARTUP);
        assert!(status.success(), "{errors}");
        serde_json::from_str::<Value>(&out).unwrap()
    };
    let by_http = async |user: &str| {
        let params = json!([
            format!("\"x\" <sip:{user}@Example.ORG>"),
            "sips:bob@example.org;x=y"
        ]);
        call(http, "presence.auth_status", params).await.unwrap()
    };
    assert_eq!(by_http("friend").await, json!({"status": 1}));
    let rules = "<ruleset xmlns=\"urn:ietf:params:xml:ns:common-policy\" xmlns:p=\"urn:ietf:params:xml:ns:pres-rules\"><rule id=\"a\">\
        <conditions><identity><one id=\"sip:friend@example.org\"/></identity></conditions>\
        <actions><p:sub-handling>polite-block</p:sub-handling></actions></rule></ruleset>";
    system.psql(&format!(
        "INSERT INTO xcap (username, domain, doc, doc_type, etag, doc_uri) VALUES ('bob', 'example.org', '{rules}', 2, 'e', '/x')"
    ));
    for (user, expected) in [("friend", 5), ("nobody", 3)] {
        assert_eq!(by_http(user).await, json!({"status": expected}));
        assert_eq!(shell(user), json!({"status": expected}));
    }
    let params = json!({"watcher_uri": "no uri", "presentity_uri": BOB});
    let told = call(http, "presence.auth_status", params).await;
    assert_eq!(told.unwrap(), json!({"status": -1}));
    let fault = call(http, "presence.auth_status", json!([BOB])).await;
    assert_eq!(fault.unwrap_err().0, 500);
}

/// Without `limit` a list is whole, as Kamailio's, however long; with it, the answer says beside the rows whether there are more.
#[tokio::test(flavor = "multi_thread")]
async fn lists_are_whole_or_say_that_there_are_more() {
    let (system, http) = serving();
    system.psql(
        "INSERT INTO presentity (username, domain, event, expires, body) \
         SELECT 'u' || n, 'example.org', 'presence', -1, 'body' FROM generate_series(1, 2500) AS n; \
         INSERT INTO active_watchers (presentity_uri, watcher_username, watcher_domain, to_user, to_domain, from_user, from_domain, \
             to_tag, from_tag, callid, remote_cseq, contact, expires, updated, status) \
         SELECT 'sip:bob@example.org', 'w' || n, 'example.org', '', '', '', '', 'a', 'b', 'c' || n, 1, 'sip:w@192.0.2.1', -1, -1, 1 \
         FROM generate_series(1, 1500) AS n",
    );
    let asked = async |method: &str, params: Value| {
        let body = json!({"jsonrpc": "2.0", "method": method, "params": params, "id": 7});
        let answer = post(http, &body.to_string()).await;
        let rows = answer["result"].as_array().unwrap().clone();
        (rows, answer.get("more").cloned())
    };
    let (presentities, shown, watchers) = (
        "presence.presentity_list",
        "presence.presentity_show",
        "presence.watcher_list",
    );
    for (method, params, count) in [
        (presentities, json!([]), 2500),
        (presentities, json!(["full"]), 2500),
        (shown, json!(["full", "*", "example.org"]), 2500),
        (shown, json!(["basic", "u7", "*"]), 1),
        (watchers, json!(["basic", BOB]), 1500),
        // As many as there are: no more.
        (presentities, json!(["basic", 2500]), 2500),
        (watchers, json!(["basic", BOB, 1500]), 1500),
    ] {
        let (rows, more) = asked(method, params.clone()).await;
        assert_eq!((rows.len(), more), (count, None), "{method} {params}");
    }
    for (method, mut params) in [
        (presentities, json!({"mode": "full", "limit": 999})),
        (
            shown,
            json!({"mode": "basic", "user": "*", "domain": "*", "limit": 999}),
        ),
        (watchers, json!({"mode": "basic", "uri": BOB, "limit": 600})),
    ] {
        let (mut sizes, mut ids) = (Vec::new(), Vec::new());
        loop {
            let (rows, more) = asked(method, params.clone()).await;
            sizes.push(rows.len());
            ids.extend(rows.iter().map(|row| row["id"].as_i64().unwrap()));
            let Some(more) = more else { break };
            assert_eq!(more, json!({"after": ids.last()}), "{method}");
            params["after"] = more["after"].clone();
        }
        let expected: &[usize] = match method {
            "presence.watcher_list" => &[600, 600, 300],
            _ => &[999, 999, 502],
        };
        assert_eq!(sizes, expected, "{method}");
        assert!(ids.is_sorted_by(|a, b| a < b), "{method}: each row once");
    }
    // A batch: each answer says it for itself.
    let one = |limit: u32| json!({"jsonrpc": "2.0", "method": presentities, "params": ["basic", limit], "id": limit});
    let answers = post(http, &json!([one(2), one(9000)]).to_string()).await;
    assert!(answers[0]["more"]["after"].is_i64() && answers[1].get("more").is_none());

    // The shell: rows on standard output, the rest beside.
    let rpc = |arguments: &[&str]| {
        let mut command = system.command("rpc");
        command.args(arguments);
        let (status, out, err) = system_tests::process::run(&mut command, STARTUP);
        assert!(status.success(), "{err}");
        let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
        (rows, err)
    };
    let (rows, beside) = rpc(&[presentities, "basic", "3"]);
    let last = rows.last().unwrap()["id"].clone();
    assert_eq!(rows.len(), 3);
    assert!(
        beside.contains(&format!(
            "there are more: the next page begins after {last}"
        )),
        "{beside}"
    );
    let (rows, beside) = rpc(&[presentities]);
    assert_eq!((rows.len(), beside.as_str()), (2500, ""));
}

/// Orders do on the wire what Kamailio's documentation says.
#[tokio::test(flavor = "multi_thread")]
async fn orders_reach_the_phones() {
    let (system, http) = serving();
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;

    let nothing = json!({});
    // As kamctl sends it: numbers as text.
    let refreshed = call(
        http,
        "presence.refreshWatchers",
        json!([BOB, "presence", "1"]),
    )
    .await;
    assert_eq!(refreshed.unwrap(), nothing);
    dialog.notify(2).await;
    // A document that came while the triggers were off: nothing but the order tells of it.
    let document = pidf::document(BOB, "h", "open", "stored").replace("\r\n", " ");
    system.psql(&format!(
        "SET session_replication_role = replica; \
         INSERT INTO xcap (presentity_uri, username, domain, doc, doc_type, etag, doc_uri) \
         VALUES ('{BOB}', 'bob', 'example.org', '{document}', 16, 'e', '/bob/index')"
    ));
    let by_name = json!({"uri": BOB, "event": "presence", "type": 2, "file_uri": "/bob/index", "filename": "index"});
    call(http, "presence.refreshWatchers", by_name)
        .await
        .unwrap();
    assert_eq!(dialog.notify(3).await.note(), Some("stored"));

    system.psql(&format!(
        "INSERT INTO watchers (presentity_uri, watcher_username, watcher_domain, event, status, reason) \
         SELECT presentity_uri, watcher_username, watcher_domain, event, 3, 'rejected' FROM active_watchers WHERE presentity_uri = '{BOB}'"
    ));
    let updated = call(http, "presence.updateWatchers", json!([BOB, "presence"])).await;
    assert_eq!(updated.unwrap(), nothing);
    let last = dialog.notify(4).await;
    let state = last
        .message
        .header("Subscription-State")
        .unwrap_or_default()
        .to_owned();
    assert!(
        state.starts_with("terminated") && state.contains("rejected"),
        "{state}"
    );
}

/// With `clean_period` 0 nothing is cleaned up, until it is ordered.
#[tokio::test(flavor = "multi_thread")]
async fn cleanup_does_what_clean_period_left() {
    let system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .set("presence.clean_period", 0)
        .start();
    let http = http_address(&system);
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    system.psql(&format!(
        "SELECT presence_publish('{BOB}', 'presence', '{}', expires_s => 600)",
        pidf::document(BOB, "p", "open", "short").replace("\r\n", " ")
    ));
    dialog
        .until("short", |notify| notify.note() == Some("short"))
        .await;
    system.psql("UPDATE presentity SET expires = 1");
    dialog
        .until("closed", |notify| notify.basic() == "closed")
        .await;
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        1
    );
    let done = call(http, "presence.cleanup", json!([])).await;
    assert_eq!(done.unwrap(), "Reload OK");
    assert_eq!(
        system
            .count("SELECT count(*) FROM presentity WHERE NOT removed")
            .await,
        0
    );
}

/// Each fault of Kamailio, by its words; and arguments that make no sense.
#[tokio::test(flavor = "multi_thread")]
async fn faults_are_the_models_and_change_nothing() {
    let system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .errors_expected()
        .start();
    let http = http_address(&system);
    let alice = Phone::udp("alice").await;
    alice
        .subscribe(system.udp(0), BOB, 600)
        .await
        .notify(1)
        .await;
    system
        .until(
            STARTUP,
            "SELECT count(*) FROM notify_queue WHERE owed_since IS NOT NULL",
            0,
        )
        .await;
    let before = tables(&system);
    let refresh = "presence.refreshWatchers";
    let injected = "x'; DROP TABLE presentity; --";
    let table = [
        (refresh, json!([]), 500, "Not enough parameters"),
        (refresh, json!([BOB]), 500, "Not enough parameters"),
        (
            refresh,
            json!([BOB, "presence"]),
            500,
            "Not enough parameters",
        ),
        (
            refresh,
            json!(["", "presence", 1]),
            500,
            "Empty presentity URI",
        ),
        (refresh, json!([BOB, "", 1]), 500, "Empty event parameter"),
        (
            refresh,
            json!([BOB, "presence", 2]),
            500,
            "No file uri or name parameters",
        ),
        (
            refresh,
            json!([BOB, "presence", 3]),
            -32602,
            "type is a whole number from 0 to 2",
        ),
        (
            refresh,
            json!([BOB, "presence", "1e0"]),
            -32602,
            "type is a whole number",
        ),
        (
            refresh,
            json!([BOB, "presence", 1.5]),
            -32602,
            "type is a whole number",
        ),
        (
            refresh,
            json!([BOB, "presense", 1]),
            500,
            "Event package 'presense' is not served; these are: ",
        ),
        (
            refresh,
            json!([BOB, "presense", 0]),
            500,
            "Event package 'presense' is not served",
        ),
        (
            refresh,
            json!([BOB, "presence", 2, "/bob/none", "index"]),
            500,
            "There is no pidf-manipulation document '/bob/none' of sip:bob@example.org",
        ),
        (
            refresh,
            json!([BOB, "dialog", 2, "/bob/none", "index"]),
            500,
            "state of presence, not of 'dialog'",
        ),
        (
            "presence.updateWatchers",
            json!([BOB, "Presence"]),
            500,
            "Event package 'Presence' is not served",
        ),
        (refresh, json!([1, 2, 3]), -32602, "uri is a text"),
        (
            refresh,
            json!([{"a": 1}, [], true]),
            -32602,
            "uri is a text",
        ),
        (
            refresh,
            json!([format!("{BOB}\0"), "presence", 1]),
            -32602,
            "without NUL",
        ),
        (
            refresh,
            json!([BOB, "presence", 1, "a", "b", "c"]),
            -32602,
            "Too many parameters",
        ),
        (
            refresh,
            json!([injected, "presence", 1]),
            500,
            "is not the URI of a presentity",
        ),
        (
            "presence.updateWatchers",
            json!([BOB]),
            500,
            "Not enough parameters",
        ),
        (
            "presence.updateWatchers",
            json!(["mailto:bob", "presence"]),
            500,
            "is not the URI of a presentity",
        ),
        (
            "presence.updateWatchers",
            json!({"uri": BOB, "evnet": "presence"}),
            -32602,
            "Unknown parameter",
        ),
        (
            "presence.presentity_list",
            json!(["fully"]),
            500,
            "Unknown output mode",
        ),
        (
            "presence.presentity_list",
            json!(["full", 0]),
            -32602,
            "limit is a whole number from 1 to 10000",
        ),
        (
            "presence.presentity_list",
            json!(["full", 10001]),
            -32602,
            "limit",
        ),
        (
            "presence.presentity_list",
            json!(["full", 1, -1]),
            -32602,
            "after",
        ),
        (
            "presence.presentity_show",
            json!(["full", "*"]),
            500,
            "Not enough parameters",
        ),
        (
            "presence.presentity_show",
            json!(["*", "*", "*"]),
            500,
            "Unknown output mode",
        ),
        (
            "presence.watcher_list",
            json!(["full"]),
            500,
            "Not enough parameters",
        ),
        (
            "presence.watcher_list",
            json!(["full", ""]),
            500,
            "Empty presentity URI",
        ),
        (
            "presence.cleanup",
            json!(["now"]),
            -32602,
            "Too many parameters",
        ),
        ("presence.nothing", json!([]), -32601, "Method not found"),
        (
            "DROP TABLE presentity",
            json!([]),
            -32601,
            "Method not found",
        ),
    ];
    for (method, params, code, part) in table {
        let (found, message) = call(http, method, params.clone()).await.unwrap_err();
        assert_eq!(found, code, "{method} {params}: {message}");
        assert!(message.contains(part), "{method} {params}: {message}");
    }
    // Names that are SQL find nothing, and do nothing.
    for user in [injected, "' OR '1'='1", "\u{202e}", "%"] {
        let found = call(http, "presence.presentity_show", json!(["full", user, "*"])).await;
        assert_eq!(found.unwrap(), json!([]), "{user}");
    }
    assert_eq!(tables(&system), before);
}

/// JSON-RPC 2.0: the examples of its specification, with our method.
#[tokio::test(flavor = "multi_thread")]
async fn the_protocol_is_json_rpc_2() {
    let (system, http) = serving();
    let list = r#"{"jsonrpc": "2.0", "method": "presence.presentity_list", "id": "1"}"#;
    assert_eq!(
        post(http, list).await,
        json!({"jsonrpc": "2.0", "result": [], "id": "1"})
    );
    let code = |answer: &Value| answer["error"]["code"].as_i64();
    let table = [
        (
            r#"{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]"#,
            -32700,
            Value::Null,
        ),
        ("", -32700, Value::Null),
        ("\u{feff}{}", -32700, Value::Null),
        (
            r#"{"jsonrpc": "2.0", "method": 1, "params": "bar"}"#,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "presence.cleanup", "params": "bar", "id": 4}"#,
            -32600,
            json!(4),
        ),
        (
            r#"{"jsonrpc": "1.0", "method": "presence.cleanup", "id": 4}"#,
            -32600,
            json!(4),
        ),
        (
            r#"{"method": "presence.cleanup", "id": 4}"#,
            -32600,
            json!(4),
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": [4]}"#,
            -32600,
            Value::Null,
        ),
        (
            r#"{"jsonrpc": "2.0", "method": "foobar", "id": "1"}"#,
            -32601,
            json!("1"),
        ),
        ("[]", -32600, Value::Null),
        ("7", -32600, Value::Null),
        ("null", -32600, Value::Null),
    ];
    for (body, expected, id) in table {
        let answer = post(http, body).await;
        assert_eq!(code(&answer), Some(expected), "{body}: {answer}");
        assert_eq!(answer["id"], id, "{body}");
    }

    let batch = format!(
        r#"[{list}, {{"jsonrpc": "2.0", "method": "presence.cleanup"}}, 1, {{"foo": "boo"}}, {list}]"#
    );
    let answers = post(http, &batch).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 4);
    assert_eq!(
        answers.iter().filter_map(code).collect::<Vec<_>>(),
        [-32600, -32600]
    );

    // A notification is carried out, whoever gets no answer; one that fails gets none either.
    let alice = Phone::udp("alice").await;
    let dialog = alice.subscribe(system.udp(0), BOB, 600).await;
    dialog.notify(1).await;
    let order = json!({"jsonrpc": "2.0", "method": "presence.refreshWatchers", "params": [BOB, "presence", 1]});
    for body in [
        order.clone(),
        json!([order, {"jsonrpc": "2.0", "method": "foobar"}]),
    ] {
        let (status, text) = raw(http, &request("/RPC", JSON, body.to_string().as_bytes())).await;
        assert_eq!((status, text.as_str()), (204, ""));
    }
    dialog.notify(2).await;
}

/// Too large, too deep, too many, too slow, of another kind: a clear answer, and nothing changes.
#[tokio::test(flavor = "multi_thread")]
async fn hostile_input_costs_its_sender() {
    let (system, http) = serving();
    let before = tables(&system);
    let valid = r#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": 1}"#;

    // 10 MB, announced and not.
    let large = vec![b' '; 10_000_000];
    assert_eq!(raw(http, &request("/RPC", JSON, &large)).await.0, 413);
    let mut chunked = format!(
        "POST /RPC HTTP/1.1\r\nHost: localhost\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    for _ in 0..100 {
        chunked.extend_from_slice(b"186a0\r\n");
        chunked.extend_from_slice(&large[..100_000]);
        chunked.extend_from_slice(b"\r\n");
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    assert_eq!(raw(http, &chunked).await.0, 413);

    for (opened, closed) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}{}", opened.repeat(200_000), closed.repeat(200_000));
        let deep = &deep.as_bytes()[..deep.len().min(1 << 20)];
        let (status, body) = raw(http, &request("/RPC", JSON, deep)).await;
        assert_eq!(status, 200);
        assert!(body.contains("-32700"), "{body}");
    }
    let many = format!("[{}]", vec![valid; 101].join(","));
    assert!(
        post(http, &many).await["error"]["message"]
            .as_str()
            .unwrap()
            .contains("at most 100")
    );
    let (status, body) = raw(http, &request("/RPC", JSON, b"\xff\xfe\x00")).await;
    assert!(status == 200 && body.contains("-32700"), "{body}");

    // What a web page can send without asking, and a name that somebody else gave this machine.
    for headers in [
        "",
        "Content-Type: text/plain\r\n",
        "Content-Type: application/x-www-form-urlencoded\r\n",
    ] {
        assert_eq!(
            raw(http, &request("/RPC", headers, valid.as_bytes()))
                .await
                .0,
            415,
            "{headers}"
        );
    }
    let rebound = String::from_utf8(request("/RPC", JSON, valid.as_bytes())).unwrap();
    let rebound = rebound.replace("Host: localhost", "Host: evil.example");
    assert_eq!(raw(http, rebound.as_bytes()).await.0, 403);

    assert_eq!(
        raw(http, &request("/", JSON, valid.as_bytes())).await.0,
        404
    );
    assert_eq!(
        raw(http, &request("/health", JSON, valid.as_bytes()))
            .await
            .0,
        405
    );
    assert_eq!(
        raw(
            http,
            b"GET /RPC HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        )
        .await
        .0,
        405
    );
    assert_eq!(
        raw(
            http,
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"
        )
        .await
        .0,
        400
    );
    let heads = format!(
        "POST /RPC HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X-A: b\r\n".repeat(20_000)
    );
    assert_eq!(raw(http, heads.as_bytes()).await.0, 431);
    // A SIP request to the wrong port.
    let sip = b"OPTIONS sip:bob@example.org SIP/2.0\r\nVia: SIP/2.0/TCP h\r\n\r\n";
    assert_eq!(raw(http, sip).await.0, 400);

    assert_eq!(tables(&system), before);
    assert_eq!(post(http, valid).await["result"], "Reload OK");
}

/// Slow heads and slow bodies are cut off, and connections that say nothing give way to others.
#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off() {
    let (_system, http) = serving();
    let mut slow_head = TcpStream::connect(http).await.unwrap();
    slow_head
        .write_all(b"POST /RPC HTTP/1.1\r\nHost: lo")
        .await
        .unwrap();
    let mut idle = Vec::new();
    for _ in 0..100 {
        idle.push(TcpStream::connect(http).await.unwrap());
    }
    let mut slow_body = TcpStream::connect(http).await.unwrap();
    let head = String::from_utf8(request("/RPC", JSON, &[b' '; 100])).unwrap();
    slow_body
        .write_all(&head.as_bytes()[..head.len() - 50])
        .await
        .unwrap();
    // Silent ones make room for one another, and for whoever asks.
    let health = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    assert_eq!(raw(http, health).await.0, 200);
    assert_eq!(answer(&mut slow_head).await.0, 0, "the oldest head");

    assert_eq!(answer(&mut slow_body).await.0, 408);
    for mut stream in idle {
        assert!(matches!(answer(&mut stream).await.0, 0 | 408));
    }
    assert_eq!(raw(http, health).await.0, 200);
}

/// With a token nothing goes without it; an address that others can reach is refused without one.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for() {
    let system = system::setup()
        .set("http.listen", "0.0.0.0:0")
        .set("http.token", TOKEN)
        .start();
    let port = http_address(&system).port();
    let http: SocketAddr = ([127, 0, 0, 1], port).into();
    let valid = br#"{"jsonrpc": "2.0", "method": "presence.cleanup", "id": 1}"#;
    let refused = [
        "",
        "Authorization: Bearer wrong-token-of-the-tests\r\n",
        "Authorization: Basic YTph\r\n",
        "Authorization: Bearer\r\n",
    ];
    for headers in refused {
        let (status, _) = raw(http, &request("/RPC", &format!("{JSON}{headers}"), valid)).await;
        assert_eq!(status, 401, "{headers}");
    }
    // Whoever has it may come by any name.
    let good = request(
        "/RPC",
        &format!("{JSON}Authorization: Bearer {TOKEN}\r\n"),
        valid,
    );
    let good = String::from_utf8(good)
        .unwrap()
        .replace("localhost", "presence.example.org");
    let (status, body) = raw(http, good.as_bytes()).await;
    assert!(
        status == 200 && body.contains("Reload OK"),
        "{status} {body}"
    );
    assert_eq!(
        raw(
            http,
            b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )
        .await
        .0,
        200
    );

    let mut command = system.command("server");
    command.args(["--set", "http.token=", "--listen", "udp:127.0.0.1:0"]);
    let (status, _, errors) = system_tests::process::run(&mut command, STARTUP);
    assert_eq!(status.code(), Some(2), "{errors}");
    assert!(
        errors.contains("http.token") && !errors.contains(TOKEN),
        "{errors}"
    );
}

/// Health follows the database, and comes back with it.
#[tokio::test(flavor = "multi_thread")]
async fn health_follows_the_database() {
    let mut system = system::setup()
        .set("http.listen", "127.0.0.1:0")
        .errors_expected()
        .start();
    let http = http_address(&system);
    let ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let (status, body) = raw(http, ask).await;
    assert_eq!(status, 200);
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"status": "ready", "database": "reachable"})
    );
    system.kill9_postgres();
    let (status, body) = raw(http, ask).await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("unreachable"), "{body}");
    let (code, message) = call(http, "presence.presentity_list", json!([]))
        .await
        .unwrap_err();
    assert_eq!(code, 503, "{message}");
    system.restart_postgres();
    let until = tokio::time::Instant::now() + STARTUP;
    while raw(http, ask).await.0 != 200 {
        assert!(tokio::time::Instant::now() < until, "it does not come back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
