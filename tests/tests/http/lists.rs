//! Lists: what is in them, and by how much at a time.

use serde_json::{Value, json};
use system_tests::phone::Phone;
use system_tests::system::STARTUP;

use super::{BOB, call, post, serving};

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
