use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use axum::body::Body;
use axum::http::header::{ALLOW, HOST};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use sql::{Cleaning, Judge, Ringer, Store, StoreOptions, Tables};

use super::*;
use crate::Means;

/// All paths, in front of a database that nobody will find.
fn served() -> TowerToHyperService<Router> {
    let options = StoreOptions {
        pool_size: 1,
        connect_timeout: Duration::from_millis(1),
        statement_timeout: Duration::from_millis(1),
        tables: Tables::default(),
        hard_state: false,
        lock_timeout: None,
        uri_match: 0,
    };
    let registry = events::Registry::new(&events::package::PackageOptions::default()).unwrap();
    let web = Web::new(Means {
        store: Store::connect("postgres://nobody@192.0.2.1/nothing", &options).unwrap(),
        cleaning: Cleaning {
            quiet: false,
            waiting: Duration::ZERO,
        },
        token: None,
        shutdown: node::Shutdown::new(),
        policy: events::Policy::default(),
        judge: Judge::new(&node::PresenceConfig::default(), registry),
        doorbell: Ringer::default(),
    });
    TowerToHyperService::new(router(web))
}

async fn answer(served: &TowerToHyperService<Router>, method: &str, path: &str) -> (u16, String) {
    let request = Request::builder().method(method).uri(path);
    let request = request.header(HOST, "localhost").body(Body::empty());
    let answer = served.call(request.unwrap()).await.unwrap();
    let allow = answer.headers().get(ALLOW);
    let allow = allow.map(|value| value.to_str().unwrap().to_owned());
    (answer.status().as_u16(), allow.unwrap_or_default())
}

#[tokio::test]
async fn paths_are_found_whole_or_not_at_all() {
    let served = served();
    let document = "GET, HEAD, PUT, DELETE";
    for (path, allow) in [
        ("/health", "GET, HEAD"),
        ("/RPC", "POST"),
        ("/v1/openapi.json", "GET, HEAD"),
        ("/v1/presentities/sip:a@b/presence", document),
        ("/v1/presentities/sip:a%2Fb@c/dialog;sla", document),
        ("/v1/presentities/../RPC", document),
        ("/v1/presentities/a/b/watchers", "GET, HEAD"),
        ("/v1/presentities/watchers/events/events", "GET"),
    ] {
        for method in ["TRACE", "PATCH", "OPTIONS", "get", "PUBLISH"] {
            let expected = (405, allow.to_owned());
            assert_eq!(answer(&served, method, path).await, expected, "{path}");
        }
        let (status, _) = answer(&served, "HEAD", path).await;
        assert_eq!(status != 405, allow.contains("HEAD"), "HEAD {path}");
    }
    for path in [
        "/",
        "/rpc",
        "/RPC/",
        "//RPC",
        "/v1",
        "/v1/presentities//presence",
        "/v1/presentities/a//events",
        "/v1/presentities/a",
        "/v1/presentities/a/",
        "/v1/presentities/a/b/",
        "/v1/presentities/a/b/c",
        "/v1/presentities/a/b/events/1",
        "/v1/presentities/%7Buri%7D%2F%7Bevent%7D",
    ] {
        for method in ["GET", "TRACE"] {
            let (status, _) = answer(&served, method, path).await;
            assert_eq!(status, 404, "{method} {path}");
        }
    }
}

/// The file in docs is what is served. `PGPRESENCE_BLESS=1` writes it anew.
#[test]
fn the_description_stands_in_docs() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
    if std::env::var_os("PGPRESENCE_BLESS").is_some() {
        std::fs::write(&file, description()).unwrap();
    }
    let found = std::fs::read_to_string(&file).unwrap();
    assert!(
        found == description(),
        "docs/openapi.json is not what the handlers and types say; ./dev verify writes it anew"
    );
}

/// What no macro looks after: names that are there once, references that lead somewhere, answers and words for everything.
#[test]
fn the_description_is_whole() {
    let described: Value = serde_json::from_str(description()).unwrap();
    assert_eq!(described["openapi"], "3.1.0");
    assert_eq!(
        described["components"]["securitySchemes"]["token"]["scheme"],
        "bearer"
    );
    references(&described, &described);
    let mut names = BTreeSet::new();
    for (path, item) in described["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{name} is given twice");
            assert!(operation["summary"].is_string(), "{method} {path}");
            let mut parameters = BTreeSet::new();
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let name = parameter["name"].as_str().unwrap();
                assert!(parameters.insert(name), "{method} {path}: {name} twice");
                assert!(parameter["description"].is_string(), "{path}: {name}");
            }
            for name in ["uri", "event"] {
                let in_path = path.contains(&format!("{{{name}}}"));
                assert_eq!(parameters.contains(name), in_path, "{method} {path}");
            }
            let answers = operation["responses"].as_object().unwrap();
            assert!(!answers.is_empty(), "{method} {path}");
            let guarded = answers.contains_key("401") || answers.contains_key("default");
            assert_eq!(guarded, *path != "/health" || *method == "head", "{path}");
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
