//! What goes back.

use axum::body::Body;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::Response;
use serde::Serialize;

/// An answer, whole or as a stream.
pub(crate) type Reply = Response;

pub(crate) fn json(code: StatusCode, value: &impl Serialize) -> Reply {
    whole(code, "application/json", text(value))
}

/// JSON with its names in order of the alphabet, whatever it is made of.
pub(crate) fn text(value: &impl Serialize) -> String {
    // What has no names but texts, as all here, always is JSON.
    serde_json::to_value(value).unwrap_or_default().to_string()
}

pub(crate) fn whole(code: StatusCode, content_type: &str, body: impl Into<Body>) -> Reply {
    let mut reply = empty(code);
    *reply.body_mut() = body.into();
    with(reply, CONTENT_TYPE, content_type)
}

pub(crate) fn empty(code: StatusCode) -> Reply {
    let mut reply = Response::new(Body::empty());
    *reply.status_mut() = code;
    reply
}

/// Adds a header; one that cannot stand there (a type or a tag that somebody wrote into the table by hand) is left out.
pub(crate) fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
    reply
}
