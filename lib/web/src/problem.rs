//! What is wrong, in the form of RFC 9457: `application/problem+json`.
//!
//! The member `type` of a problem is promised (docs/HTTP.md lists all of them), `detail` is for people.

use axum::http::StatusCode;
use axum::http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, CONNECTION, HeaderName, HeaderValue, RETRY_AFTER,
    WWW_AUTHENTICATE,
};
use axum::response::IntoResponse;
use events::{PublishReject, Registry};
use serde::Serialize;
use sql::StoreError;
use utoipa::ToSchema;

use crate::reply::{self, Reply};

/// What goes before the name of a kind of problem.
const KIND: &str = "urn:pgpresence:";

/// Why a request is not carried out.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    members: Box<Members>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// RFC 9457.
#[derive(Debug, Default, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(crate) struct Members {
    /// not-acceptable: the available type.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) content_type: Option<String>,
    /// For people.
    detail: String,
    /// unknown-event: the packages that are served.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) events: Option<Vec<String>>,
    /// too-large: the largest size in octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) largest: Option<usize>,
    /// interval-too-brief: the shortest lifetime, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) min_expires: Option<u32>,
    /// nothing-published: the source of the request.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) source: Option<String>,
    status: u16,
    #[schema(value_type = String)]
    title: Option<&'static str>,
    /// urn:pgpresence: and the kind.
    r#type: String,
}

// === impl Problem ===

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem {
            status,
            members: Box::new(Members {
                detail: detail.into(),
                status: status.as_u16(),
                title: status.canonical_reason(),
                r#type: format!("{KIND}{kind}"),
                ..Members::default()
            }),
            headers: Vec::new(),
        }
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "bad-request", detail)
    }

    pub(crate) fn unauthorized() -> Problem {
        Problem::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Send Authorization: Bearer with http.token",
        )
        .header(WWW_AUTHENTICATE, "Bearer")
    }

    pub(crate) fn no_such_path(paths: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "no-such-path", paths)
    }

    pub(crate) fn method_not_allowed(allow: &str) -> Problem {
        Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            format!("Allowed here: {allow}"),
        )
        .header(ALLOW, allow)
    }

    pub(crate) fn not_found(detail: &str) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "nothing-published", detail)
    }

    pub(crate) fn not_acceptable(content_type: &str) -> Problem {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            format!("The document is {content_type}, which Accept does not allow"),
        )
        .with(|members| members.content_type = Some(content_type.to_owned()))
    }

    /// RFC 9110 section 13.
    pub(crate) fn precondition_failed() -> Problem {
        Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "precondition-failed",
            "If-Match or If-None-Match does not hold; nothing was changed",
        )
    }

    pub(crate) fn unsupported_media_type(accept: &str) -> Problem {
        Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported-media-type",
            format!("Send Content-Type: {accept}"),
        )
        .header(ACCEPT, accept)
    }

    pub(crate) fn too_large(largest: usize) -> Problem {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too-large",
            format!("A body has at most {largest} octets here"),
        )
        .with(|members| members.largest = Some(largest))
    }

    pub(crate) fn unavailable(detail: &str) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", detail)
            .header(RETRY_AFTER, "1")
    }

    /// What a PUBLISH would be refused for.
    pub(crate) fn of_reject(reject: &PublishReject, registry: &Registry) -> Problem {
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
                let known = registry.packages().map(|package| package.name.to_string());
                let known = known.collect();
                Problem::new(
                    StatusCode::NOT_FOUND,
                    "unknown-event",
                    "There is no such event package",
                )
                .with(|members| members.events = Some(known))
            }
            PublishReject::IntervalTooBrief { min_s } => {
                bad_request("interval-too-brief").with(|members| members.min_expires = Some(*min_s))
            }
            PublishReject::UnsupportedBody { accept } => Problem::unsupported_media_type(accept),
            PublishReject::UnsupportedEncoding => Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported-encoding",
                "The body has an unknown Content-Encoding",
            )
            .header(ACCEPT_ENCODING, events::document::coding::ACCEPTED),
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
    pub(crate) fn with(mut self, more: impl FnOnce(&mut Members)) -> Problem {
        more(&mut self.members);
        self
    }

    /// The connection cannot go on.
    pub(crate) fn last(self) -> Problem {
        self.header(CONNECTION, "close")
    }

    fn header(mut self, name: HeaderName, value: &str) -> Problem {
        self.headers
            .extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Reply {
        let text = reply::text(&*self.members);
        let mut reply = reply::whole(self.status, "application/problem+json", text);
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
