//! The OpenAPI description is served, is the file in docs, and says what the server does; and the page's examples work.

use std::path::Path;
use std::process::Command;

use super::*;
use serde_json::Value;
use system_tests::process::run;
use system_tests::system::STARTUP;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_is_served_and_true() {
    let (_system, http) = serving();
    let served = get(http, "/v1/openapi.json").await;
    assert_eq!(served.header("Content-Type"), Some("application/json"));
    assert_eq!(served.text(), page("openapi.json"));
    let unchanged = [("If-None-Match", &*etag(&served))];
    let again = http::send(http, "GET", "/v1/openapi.json", &unchanged, b"").await;
    assert_eq!(again.status, 304);

    // Each path exists with exactly the methods that are described, and answers what is described.
    let description = served.json();
    assert_eq!(description["openapi"], "3.1.0");
    references(&description, &description);
    for (path, item) in description["paths"].as_object().unwrap() {
        let real = path
            .replace("{uri}", "sip:bob@example.org")
            .replace("{event}", "presence");
        let described: Vec<String> = item
            .as_object()
            .unwrap()
            .keys()
            .filter(|key| *key != "parameters")
            .map(|key| key.to_uppercase())
            .collect();
        let refused = http::send(http, "TRACE", &real, &[], b"").await;
        assert_eq!(refused.status, 405, "{path}");
        let mut allowed: Vec<&str> = refused.header("Allow").unwrap().split(", ").collect();
        allowed.sort_unstable();
        let mut sorted: Vec<&str> = described.iter().map(String::as_str).collect();
        sorted.sort_unstable();
        assert_eq!(allowed, sorted, "{path}");
        for method in &described {
            let answers = &item[method.to_lowercase()]["responses"];
            let stream = http::Events::open(http, &real, &[]);
            let status = match path.ends_with("/events") {
                true => stream.await.answer.status,
                false => http::send(http, method, &real, &[], b"").await.status,
            };
            let known =
                answers.get(status.to_string()).is_some() || answers.get("default").is_some();
            assert!(
                known,
                "{method} {path} answers {status}, which is not described"
            );
        }
    }
}

/// Each `$ref` leads somewhere.
fn references(value: &Value, root: &Value) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                let pointer = reference.strip_prefix('#').unwrap();
                assert!(root.pointer(pointer).is_some(), "{reference}");
            }
            members.values().for_each(|value| references(value, root));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, root)),
        _ => {}
    }
}

/// Each `sh` block of docs/HTTP.md runs as it stands, but for the address, in order; what is printed begins with the block below it.
#[tokio::test(flavor = "multi_thread")]
async fn every_example_of_the_page_works() {
    let (system, http) = serving();
    let alice = system_tests::phone::Phone::udp("alice").await;
    let watched = "sip:carol@example.org";
    let dialog = alice.subscribe(system.udp(0), watched, 600).await;
    dialog.notify(1).await;
    let text = page("HTTP.md");
    let mut rest = &*text;
    let mut examples = 0;
    while let Some((_, after)) = rest.split_once("```sh\n") {
        let (script, after) = after.split_once("```\n").unwrap();
        let expected = after
            .strip_prefix("```text\n")
            .map(|block| block.split_once("```").unwrap().0);
        let script = script.replace("127.0.0.1:8080", &http.to_string());
        let mut command = Command::new("/bin/sh");
        command
            .args(["-ec", &script])
            .current_dir(system.sandbox().directory());
        let (status, out, err) = tokio::task::spawn_blocking(move || run(&mut command, STARTUP))
            .await
            .unwrap();
        assert!(status.success(), "{script}\n{out}\n{err}");
        for line in expected.unwrap_or_default().lines() {
            // What differs each time is written as an ellipsis.
            let parts: Vec<&str> = line.split('…').collect();
            let found = out.replace('\r', "").lines().any(|printed| {
                let mut left = printed;
                parts.iter().enumerate().all(|(at, part)| match at {
                    0 => left.strip_prefix(part).map(|rest| left = rest).is_some(),
                    _ => left
                        .find(part)
                        .map(|found| left = &left[found + part.len()..])
                        .is_some(),
                }) && (left.is_empty() || line.ends_with('…'))
            });
            assert!(found, "{script}\nprinted\n{out}\nwithout\n{line}");
        }
        examples += 1;
        rest = after;
    }
    assert!(examples >= 8, "{examples} examples");
    let told = dialog.notifies();
    let was_told = told
        .iter()
        .any(|notify| notify.note() == Some("In a meeting"));
    assert!(was_told, "no phone was told what the page publishes");
}

/// The page lists each kind of problem that the server can tell, and no other.
#[test]
fn the_page_lists_all_problems() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lib/web/src");
    let mut told = std::collections::BTreeSet::new();
    let mut open = vec![source];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let code: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
            for marker in [
                "Problem::new( StatusCode::",
                "Problem::new(StatusCode::",
                "bad_request(\"",
            ] {
                for (_, after) in code
                    .match_indices(marker)
                    .map(|(at, found)| code.split_at(at + found.len()))
                {
                    let kind = match marker.starts_with("bad") {
                        true => after.split('"').next(),
                        false => after.split('"').nth(1),
                    };
                    let kind = kind.unwrap_or_default();
                    if !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
                    {
                        told.insert(kind.to_owned());
                    }
                }
            }
        }
    }
    assert!(told.len() >= 15, "{told:?}");
    let listed: std::collections::BTreeSet<String> = page("HTTP.md")
        .lines()
        .filter_map(|line| line.strip_prefix("| `urn:pgpresence:"))
        .filter_map(|line| line.split('`').next())
        .map(str::to_owned)
        .collect();
    assert_eq!(listed, told);
}
