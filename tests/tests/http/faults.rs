//! Kamailio's faults, by their words.

use serde_json::json;
use system_tests::phone::Phone;
use system_tests::system::{self, STARTUP};

use super::{BOB, call, http_address, tables};

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
