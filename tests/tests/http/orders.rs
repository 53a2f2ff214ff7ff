//! Orders and judgements: what they do, here and on the wire.

use serde_json::{Value, json};
use system_tests::phone::Phone;
use system_tests::pidf;
use system_tests::system::{self, STARTUP};

use super::{BOB, call, http_address, serving};

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
