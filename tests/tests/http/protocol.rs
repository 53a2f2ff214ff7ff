//! The protocol around the commands.

use serde_json::{Value, json};
use system_tests::phone::Phone;

use super::{BOB, JSON, post, raw, request, serving};

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
