//! The only table from what can happen to an HTTP response. Errors are in the form of RFC 9457: `application/problem+json`.
//!
//! The member `type` of a problem is promised (docs/HTTP.md lists all of them), `detail` is for people.

use std::convert::Infallible;

use bytes::Bytes;
use events::{PublishReject, Registry};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};
use sql::StoreError;

/// An answer, whole or as a stream.
pub(super) type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What goes before the name of a kind of problem.
const KIND: &str = "urn:pgpresence:";

/// Why a request is not carried out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    more: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

pub(super) fn json(code: StatusCode, value: &Value) -> Reply {
    whole(code, "application/json", value.to_string())
}

pub(super) fn whole(code: StatusCode, content_type: &str, body: impl Into<Bytes>) -> Reply {
    let mut reply = empty(code);
    *reply.body_mut() = Full::new(body.into()).boxed_unsync();
    with(reply, CONTENT_TYPE, content_type)
}

pub(super) fn empty(code: StatusCode) -> Reply {
    let mut reply = Response::new(Full::default().boxed_unsync());
    *reply.status_mut() = code;
    reply
}

/// Adds a header; one that cannot stand there (a type or a tag that somebody wrote into the table by hand) is left out.
pub(super) fn with(mut reply: Reply, name: HeaderName, value: &str) -> Reply {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
    reply
}

// === impl Problem ===

impl Problem {
    pub(super) fn new(
        status: StatusCode,
        kind: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            kind,
            detail: detail.into(),
            more: Map::new(),
            headers: Vec::new(),
        }
    }

    pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub(super) fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Send Authorization: Bearer with http.token",
        )
        .header(WWW_AUTHENTICATE, "Bearer")
    }

    pub(super) fn no_such_path(paths: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-such-path", paths)
    }

    pub(super) fn method_not_allowed(allow: &str) -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            format!("Allowed here: {allow}"),
        )
        .header(ALLOW, allow)
    }

    pub(super) fn not_found(detail: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "nothing-published", detail)
    }

    pub(super) fn not_acceptable(content_type: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            format!("The document is {content_type}, which Accept does not allow"),
        )
        .more("content_type", content_type.into())
    }

    /// RFC 9110 section 13.
    pub(super) fn precondition_failed() -> Problem {
        Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "If-Match or If-None-Match does not hold; nothing was changed",
        )
    }

    pub(super) fn unsupported_media_type(accept: &str) -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            format!("Send Content-Type: {accept}"),
        )
        .header(ACCEPT, accept)
    }

    pub(super) fn too_large(largest: usize) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("A body has at most {largest} octets here"),
        )
        .more("largest", largest.into())
    }

    pub(super) fn unavailable(detail: &str) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .header(RETRY_AFTER, "1")
    }

    /// What a PUBLISH would be refused for.
    pub(super) fn of_reject(reject: &PublishReject, registry: &Registry) -> Problem {
        let bad_request = |kind| Problem::new(StatusCode::BAD_REQUEST, kind, reject.to_string());
        match reject {
            PublishReject::BadRequest(reason) | PublishReject::UriTooLong(reason) => {
                Problem::bad_request(*reason)
            }
            PublishReject::BadExtension { .. } => Problem::bad_request(reject.to_string()),
            PublishReject::UnsupportedScheme => Problem::new(
                StatusCode::BAD_REQUEST,
                "unsupported-scheme",
                "The URI is not a sip:, sips: or tel: URI",
            ),
            PublishReject::UnknownEvent => {
                let known: Vec<&str> = registry.packages().map(|package| &*package.name).collect();
                Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown-event",
                    "There is no such event package",
                )
                .more("events", known.into())
            }
            PublishReject::IntervalTooBrief { min_s } => {
                bad_request("interval-too-brief").more("min_expires", (*min_s).into())
            }
            PublishReject::UnsupportedBody { accept } => Problem::unsupported_media_type(accept),
            PublishReject::UnsupportedEncoding => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "The body has an unknown Content-Encoding",
            )
            .header(ACCEPT_ENCODING, ::events::document::coding::ACCEPTED),
            PublishReject::BodyRefused(fault) => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "body-refused",
                fault.to_string(),
            ),
            PublishReject::BodyTooLarge => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "too-large",
                "The body is larger than this event package accepts",
            ),
        }
    }

    /// Further members.
    pub(super) fn more(mut self, name: &str, value: Value) -> Problem {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// The connection cannot go on.
    pub(super) fn last(self) -> Problem {
        self.header(CONNECTION, "close")
    }

    fn header(mut self, name: HeaderName, value: &str) -> Problem {
        self.headers
            .extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    pub(super) fn into_reply(self) -> Reply {
        let mut members = self.more;
        for (name, value) in [
            ("type", json!(format!("{KIND}{}", self.kind))),
            ("title", json!(self.status.canonical_reason())),
            ("status", json!(self.status.as_u16())),
            ("detail", json!(self.detail)),
        ] {
            members.insert(name.to_owned(), value);
        }
        let text = Value::Object(members).to_string();
        let mut reply = whole(self.status, "application/problem+json", text);
        reply.headers_mut().extend(self.headers);
        reply
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Problem {
        match error {
            StoreError::Unavailable { .. }
            | StoreError::Deadline { .. }
            | StoreError::Held { .. } => {
                tracing::debug!(%error, "no database for an HTTP request");
                Problem::unavailable("The database does not answer; try again")
            }
            StoreError::TooLong { reason } => Problem::bad_request(reason),
            // Class 22, a value that no column can hold: the sender's fault.
            StoreError::Conflict { ref sqlstate, .. } if sqlstate.starts_with("22") => {
                Problem::bad_request("A value that cannot be stored")
            }
            StoreError::Conflict { .. }
            | StoreError::Inconsistent { .. }
            | StoreError::Bug { .. } => {
                tracing::error!(%error, "an HTTP request failed");
                Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "internal",
                    "Internal error; the log says why",
                )
            }
        }
    }
}
