//! JSON-RPC 2.0 (the specification of 2013): requests, notifications, batches and their answers.
//!
//! Depth of nesting is bounded by serde_json (128).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use sql::{Cleaning, Judge, Store};

use crate::description::{
    BadRequest, Guarded, MethodNotAllowed, OneOrMany, SlowBody, TooLarge, UnsupportedMediaType,
};
use crate::method::{Answer, Fault, call};
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::{Web, receive};

/// Longest body of a request.
const LARGEST: usize = 1 << 20;

/// Most requests of a batch. They are carried out one after the other.
const LARGEST_BATCH: usize = 100;

/// JSON-RPC 2.0: the commands of Kamailio's presence module.
#[utoipa::path(
    post,
    path = "/RPC",
    tag = "service",
    request_body(content = inline(OneOrMany), content_type = "application/json"),
    responses(
        (status = 200, description = "The answer, or the answers to a batch.", body = inline(OneOrMany), content_type = "application/json"),
        (status = 204, description = "The request had notifications only."),
        (status = 400, response = BadRequest),
        (status = 405, response = MethodNotAllowed),
        (status = 408, response = SlowBody),
        (status = 413, response = TooLarge),
        (status = 415, response = UnsupportedMediaType),
        Guarded,
    )
)]
pub(crate) async fn rpc(
    State(web): State<Arc<Web>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, Problem> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .map(|value| value.split(';').next().unwrap_or_default().trim());
    if !media_type.is_some_and(|value| value.eq_ignore_ascii_case("application/json")) {
        return Err(Problem::unsupported_media_type("application/json"));
    }
    let body = receive::body(body, LARGEST).await?;
    Ok(
        match respond(&web.store, &web.judge, web.cleaning, &body).await {
            Some(answer) => reply::json(StatusCode::OK, &answer),
            None => reply::empty(StatusCode::NO_CONTENT),
        },
    )
}

/// Carries out what a body asks for. Nothing is to be answered if it holds notifications only (section 4.1).
async fn respond(store: &Store, judge: &Judge, cleaning: Cleaning, body: &[u8]) -> Option<Value> {
    let parsed: Value = match serde_json::from_slice(body) {
        Ok(parsed) => parsed,
        Err(error) => {
            return Some(failure(
                &Value::Null,
                -32700,
                &format!("Parse error: {error}"),
            ));
        }
    };
    let requests = match &parsed {
        Value::Array(requests) => requests,
        single => return respond_to_one(store, judge, cleaning, single).await,
    };
    if requests.is_empty() {
        return Some(invalid(&Value::Null, "an empty batch"));
    }
    if requests.len() > LARGEST_BATCH {
        let text = format!("a batch has at most {LARGEST_BATCH} requests");
        return Some(invalid(&Value::Null, &text));
    }
    let mut answers = Vec::new();
    for request in requests {
        answers.extend(respond_to_one(store, judge, cleaning, request).await);
    }
    (!answers.is_empty()).then_some(Value::Array(answers))
}

async fn respond_to_one(
    store: &Store,
    judge: &Judge,
    cleaning: Cleaning,
    request: &Value,
) -> Option<Value> {
    let id = request.get("id");
    // Only these may be an id; any other is answered as if it could not be read (section 5).
    let answered_id = match id {
        Some(id @ (Value::String(_) | Value::Number(_) | Value::Null)) => id,
        Some(_) => return Some(invalid(&Value::Null, "id must be text, a number or null")),
        None => &Value::Null,
    };
    if request.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Some(invalid(answered_id, "jsonrpc is not \"2.0\""));
    }
    let Some(method) = request.get("method").and_then(Value::as_str) else {
        return Some(invalid(answered_id, "method is missing or not text"));
    };
    let params = match request.get("params") {
        None => None,
        Some(params @ (Value::Array(_) | Value::Object(_))) => Some(params),
        Some(_) => {
            return Some(invalid(
                answered_id,
                "params is neither an array nor an object",
            ));
        }
    };
    let result = call(store, judge, cleaning, method, params).await;
    // A notification gets no answer, whatever its outcome.
    let id = id?;
    Some(match result {
        Ok(Answer { result, more: None }) => json!({"jsonrpc": "2.0", "result": result, "id": id}),
        // Beside the result, not in it: a client that does not know pages reads the same as before.
        Ok(Answer { result, more }) => {
            json!({"jsonrpc": "2.0", "result": result, "more": {"after": more}, "id": id})
        }
        Err(Fault { code, message }) => failure(id, code, &message),
    })
}

fn invalid(id: &Value, why: &str) -> Value {
    failure(id, -32600, &format!("Invalid request: {why}"))
}

fn failure(id: &Value, code: i64, message: &str) -> Value {
    json!({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": id})
}
