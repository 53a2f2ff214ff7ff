//! The only table from reject, outcome or error to SIP response.
//!
//! Handlers bring values of other crates here and get an [`Answer`]; nothing else in this crate names a status code.
//! What an answer says never depends on the server that gives it: a retransmission gets the same bytes from any of them.

use std::borrow::Cow;
use std::net::SocketAddr;

use events::{
    BodyFault, Policy, PublishOutcome, PublishReject, Registry, SubscribeOutcome, SubscribeReject,
};
use sip::{HeaderName, ParseError, Reply, Request, StatusCode};
use sql::StoreError;

use crate::write_batch::WriteError;

/// The methods that this server serves, for Allow (RFC 3261 section 20.5).
const ALLOW: &str = "OPTIONS, PUBLISH, SUBSCRIBE";
/// When a client that met an overload or a missing database may come back, in seconds (RFC 3261 section 21.5.4).
const RETRY_AFTER_S: u32 = 5;

/// A response before it has met its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    status: StatusCode,
    reason: Option<Cow<'static, str>>,
    to_tag: Option<String>,
    headers: Vec<(&'static str, Cow<'static, str>)>,
    is_refusal: bool,
}

impl Answer {
    fn new(status: StatusCode) -> Self {
        Self {
            is_refusal: is_refusal(status.code()),
            status,
            reason: None,
            to_tag: None,
            headers: Vec::new(),
        }
    }

    fn reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.reason = Some(reason.into());
        self
    }

    fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Its status code.
    pub(crate) fn status(&self) -> u16 {
        self.status.code()
    }

    /// Whether it says that the request should not have been sent. A stranger who gets many of these guesses or probes.
    pub(crate) fn is_refusal(&self) -> bool {
        self.is_refusal
    }

    /// A challenge that follows a wrong password. On the wire it is like any other one.
    pub(crate) fn after_wrong_password(mut self) -> Answer {
        self.is_refusal = true;
        self
    }

    /// The response on the wire. An answer that makes no dialog gets its To-tag from the request alone, not from the cluster's
    /// secret: a server that has not yet read that from the database must answer as one that has.
    pub(crate) fn encode(&self, request: &Request, source: SocketAddr) -> Vec<u8> {
        let mut reply = Reply::new(request, self.status);
        if let Some(to_tag) = &self.to_tag {
            reply = reply.to_tag(to_tag);
        }
        if let Some(reason) = &self.reason {
            reply = reply.reason(reason);
        }
        for (name, value) in &self.headers {
            reply = reply.header(name, value);
        }
        reply.encode(source)
    }
}

/// What a phone does not meet in ordinary use. A challenge, an entity-tag or a subscription that has ended, and an interval that is too brief
/// are ordinary; so are faults of ours.
fn is_refusal(code: u16) -> bool {
    match code {
        401 | 407 | 412 | 423 | 430 | 481 => false,
        501 | 505 => true,
        _ => (400..500).contains(&code),
    }
}

// === requests that reach no handler ===

/// A message that cannot be understood, but can be answered: 400, or a more exact status (505, 513).
pub(crate) fn malformed(error: &ParseError) -> Answer {
    Answer::new(error.status).reason(error.reason)
}

/// A method that we know, but do not serve (RFC 3261 section 8.2.1).
pub(crate) fn method_not_allowed() -> Answer {
    Answer::new(StatusCode::METHOD_NOT_ALLOWED).header("Allow", ALLOW)
}

/// A method that we never heard of (RFC 3261 section 21.5.2).
pub(crate) fn not_implemented() -> Answer {
    Answer::new(StatusCode::NOT_IMPLEMENTED).header("Allow", ALLOW)
}

/// CANCEL: requests are answered at once, there is never anything to cancel (RFC 3261 section 9.2).
pub(crate) fn no_transaction() -> Answer {
    Answer::new(StatusCode::CALL_DOES_NOT_EXIST)
}

/// Max-Forwards has come to 0.
pub(crate) fn too_many_hops() -> Answer {
    Answer::new(StatusCode::TOO_MANY_HOPS)
}

/// Require names what we do not do (RFC 3261 section 8.2.2.3).
pub(crate) fn bad_extension(unsupported: &[String]) -> Answer {
    Answer::new(StatusCode::BAD_EXTENSION).header("Unsupported", unsupported.join(", "))
}

/// What is too long for a datagram (RFC 3261 section 21.5.13), and cannot be sent otherwise.
pub(crate) fn message_too_large() -> Answer {
    Answer::new(StatusCode::MESSAGE_TOO_LARGE)
}

/// The flow of a token has ended, or never was ours (RFC 5626 section 5.3).
pub(crate) fn flow_failed() -> Answer {
    Answer::new(StatusCode::FLOW_FAILED)
}

/// What we can do (RFC 3261 section 11.2).
pub(crate) fn capabilities(registry: &Registry) -> Answer {
    Answer::new(StatusCode::OK)
        .header("Allow", ALLOW)
        .header("Accept", registry.accept())
        .header("Allow-Events", registry.allow_events().to_owned())
        // No extension of SIP is supported; the header says so (RFC 3261 section 20.37).
        .header("Supported", "")
}

/// It must be proven who asks, by an answer to one of these challenges (RFC 3261 section 22, RFC 8760 section 2.4).
pub(crate) fn unauthorized(challenges: impl Iterator<Item = String>) -> Answer {
    challenges.fold(
        Answer::new(StatusCode::UNAUTHORIZED),
        |answer, challenge| answer.header("WWW-Authenticate", challenge),
    )
}

/// It is known who asks, and that he may not.
pub(crate) fn forbidden() -> Answer {
    Answer::new(StatusCode::FORBIDDEN)
}

/// It did not come from a trusted peer, and nobody can prove a password here.
pub(crate) fn not_trusted() -> Answer {
    Answer::new(StatusCode::FORBIDDEN).reason("Not A Trusted Peer")
}

/// The presentity's domain is not served here.
pub(crate) fn no_such_domain() -> Answer {
    Answer::new(StatusCode::NOT_FOUND)
}

/// Too many requests wait for the database, or it is away.
pub(crate) fn unavailable() -> Answer {
    Answer::new(StatusCode::SERVICE_UNAVAILABLE).header("Retry-After", RETRY_AFTER_S.to_string())
}

/// Whoever sends it sends more than he may (`[limits]`). When he may come back depends on the request, so that many who are told so do not come
/// back together, and a copy of the request is told the same by every server.
pub(crate) fn too_many(request: &Request) -> Answer {
    let names = [HeaderName::CallId, HeaderName::Via, HeaderName::CSeq];
    let lines = names.into_iter().filter_map(|name| request.header(name));
    let sum = lines.flatten().fold(0_u32, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u32::from(*byte))
    });
    let retry_after_s = RETRY_AFTER_S + sum % (RETRY_AFTER_S / 2 + 1);
    Answer::new(StatusCode::SERVICE_UNAVAILABLE)
        .reason("Too Many Requests")
        .header("Retry-After", retry_after_s.to_string())
}

/// A bug of ours.
pub(crate) fn server_error() -> Answer {
    Answer::new(StatusCode::SERVER_INTERNAL_ERROR)
}

/// What the script says. There is no such answer if the code is none.
pub(crate) fn of_script(code: u16, reason: Option<String>) -> Option<Answer> {
    let answer = Answer::new(StatusCode::new(code)?);
    Some(match reason {
        Some(reason) => answer.reason(reason),
        None => answer,
    })
}

/// The script names a watcher or a sender by something that is not a URI, or too long.
pub(crate) fn bad_name(reason: &'static str) -> Answer {
    bad_request(reason)
}

// === rejections ===

/// RFC 3903 section 6.
pub(crate) fn publish_reject(reject: &PublishReject, registry: &Registry) -> Answer {
    match reject {
        PublishReject::BadRequest(reason) => bad_request(reason),
        PublishReject::UnsupportedScheme => Answer::new(StatusCode::UNSUPPORTED_URI_SCHEME),
        PublishReject::UriTooLong(reason) => uri_too_long(reason),
        PublishReject::UnknownEvent => bad_event(registry),
        PublishReject::BadExtension { unsupported } => bad_extension(unsupported),
        PublishReject::IntervalTooBrief { min_s } => interval_too_brief(*min_s),
        PublishReject::UnsupportedBody { accept } => unsupported_body(accept),
        PublishReject::UnsupportedEncoding => unsupported_encoding(),
        PublishReject::BodyRefused(fault) => bad_request(fault.reason()),
        PublishReject::BodyTooLarge => Answer::new(StatusCode::REQUEST_ENTITY_TOO_LARGE),
    }
}

/// RFC 6665 section 4.2.1.1.
pub(crate) fn subscribe_reject(reject: &SubscribeReject, registry: &Registry) -> Answer {
    match reject {
        SubscribeReject::BadRequest(reason) => bad_request(reason),
        SubscribeReject::UnsupportedScheme => Answer::new(StatusCode::UNSUPPORTED_URI_SCHEME),
        SubscribeReject::UriTooLong(reason) => uri_too_long(reason),
        SubscribeReject::UnknownEvent => bad_event(registry),
        SubscribeReject::BadExtension { unsupported } => bad_extension(unsupported),
        SubscribeReject::IntervalTooBrief { min_s } => interval_too_brief(*min_s),
        SubscribeReject::NotAcceptable => Answer::new(StatusCode::NOT_ACCEPTABLE),
        SubscribeReject::Forbidden => Answer::new(StatusCode::FORBIDDEN),
        SubscribeReject::UnsupportedBody { accept } => unsupported_body(accept),
        SubscribeReject::UnsupportedEncoding => unsupported_encoding(),
        SubscribeReject::BodyRefused(BodyFault::TooLarge) => {
            Answer::new(StatusCode::REQUEST_ENTITY_TOO_LARGE)
        }
        SubscribeReject::BodyRefused(fault) => bad_request(fault.reason()),
    }
}

fn bad_request(reason: &'static str) -> Answer {
    Answer::new(StatusCode::BAD_REQUEST).reason(reason)
}

fn uri_too_long(reason: &'static str) -> Answer {
    Answer::new(StatusCode::REQUEST_URI_TOO_LONG).reason(reason)
}

fn unsupported_body(accept: &str) -> Answer {
    Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE).header("Accept", accept.to_owned())
}

fn unsupported_encoding() -> Answer {
    Answer::new(StatusCode::UNSUPPORTED_MEDIA_TYPE)
        .header("Accept-Encoding", events::document::coding::ACCEPTED)
}

fn bad_event(registry: &Registry) -> Answer {
    Answer::new(StatusCode::BAD_EVENT).header("Allow-Events", registry.allow_events().to_owned())
}

fn interval_too_brief(min_s: u32) -> Answer {
    Answer::new(StatusCode::INTERVAL_TOO_BRIEF).header("Min-Expires", min_s.to_string())
}

// === outcomes and errors ===

/// The database has spoken about a PUBLISH (RFC 3903 section 6, steps 3 and 6). `contact` is the address that the operator has given this
/// server: Kamailio's documentation promises it in this answer too. RFC 3903 has no use for it there, and it does no harm.
pub(crate) fn published(
    outcome: &PublishOutcome,
    policy: &Policy,
    contact: Option<String>,
) -> Answer {
    match outcome {
        PublishOutcome::Stored {
            entity_tag,
            expires_s,
        } => {
            let answer = Answer::new(StatusCode::OK)
                .header("Expires", policy.told_expires_s(*expires_s).to_string())
                .header("SIP-ETag", entity_tag.clone());
            match contact {
                Some(contact) => answer.header("Contact", format!("<{contact}>")),
                None => answer,
            }
        }
        PublishOutcome::ConditionFailed => Answer::new(StatusCode::CONDITIONAL_REQUEST_FAILED),
    }
}

/// The database has spoken about a SUBSCRIBE (RFC 6665 section 4.2.1.1; RFC 3261 section 12.2.2 for the order of CSeq).
pub(crate) fn subscribed(outcome: &SubscribeOutcome) -> Answer {
    match outcome {
        SubscribeOutcome::Accepted {
            granted_s,
            to_tag,
            local_contact,
        } => {
            let mut answer = Answer::new(StatusCode::OK)
                .header("Expires", granted_s.to_string())
                .header("Contact", format!("<{local_contact}>"));
            answer.to_tag = Some(to_tag.clone());
            answer
        }
        SubscribeOutcome::NoDialog => {
            Answer::new(StatusCode::CALL_DOES_NOT_EXIST).reason("Subscription Does Not Exist")
        }
        SubscribeOutcome::Forbidden => forbidden(),
        SubscribeOutcome::OutOfOrder => server_error().reason("CSeq Out Of Order"),
    }
}

/// There is no outcome: 503 where trying again helps, else 500, which is logged here, once.
pub(crate) fn write_error(error: &WriteError) -> Answer {
    match error {
        WriteError::Deadline => unavailable(),
        WriteError::Store(error) => store_error(error),
        WriteError::Aborted => {
            tracing::error!("a write ended without an outcome: a bug");
            server_error()
        }
    }
}

/// See [`write_error`].
pub(crate) fn store_error(error: &StoreError) -> Answer {
    match error {
        StoreError::Unavailable { .. } | StoreError::Deadline { .. } | StoreError::Held { .. } => {
            tracing::debug!(%error, "no database for a request");
            unavailable()
        }
        StoreError::TooLong { reason } => bad_request(reason),
        // Class 22, a value that no column can hold: the sender's fault.
        StoreError::Conflict { sqlstate, .. } if sqlstate.starts_with("22") => {
            bad_request("Unacceptable Value")
        }
        StoreError::Conflict { .. } | StoreError::Inconsistent { .. } | StoreError::Bug { .. } => {
            tracing::error!(%error, "a statement failed");
            server_error()
        }
    }
}
