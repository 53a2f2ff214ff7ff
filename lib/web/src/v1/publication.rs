//! PUT, DELETE, and GET with a source: the publication that one source has of a presentity.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LOCATION,
};
use axum::http::{HeaderMap, StatusCode};
use events::publication::{Put, decide_put};
use serde::Serialize;
use sql::{Precondition, SourceChange, SourceOutcome, SourceVerb, Store, StoreError};
use utoipa::openapi::path::{Parameter, ParameterIn};
use utoipa::{IntoParams, ToSchema};

use super::condition::Conditions;
use super::query::{PutQuery, SourceQuery, whole_number};
use super::target::Target;
use super::{DEFAULT_SOURCE, LARGEST_DOCUMENT, accept, condition, represented};
use crate::description::{
    AnyDocument, BadRequest, BodyRefused, Guarded, MethodNotAllowed, NotFound, PreconditionFailed,
    SlowBody, TooLarge, UnsupportedMediaType, header, lifetime,
};
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::{Web, receive};

/// The lifetime that is asked for, in seconds, where the query has none (RFC 8030 section 5.2 defines it for messages that are pushed).
const TTL: HeaderName = HeaderName::from_static("ttl");

/// The header TTL of a PUT.
enum Ttl {}

impl IntoParams for Ttl {
    fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
        vec![header(
            "TTL",
            "The lifetime, in seconds, as a header.",
            lifetime(),
        )]
    }
}

#[derive(Debug, Serialize, ToSchema)]
struct Published<'c> {
    /// The publication's entity-tag.
    etag: &'c str,
    /// Granted seconds.
    expires: u32,
    source: &'c str,
}

/// Publishes a document; it replaces the earlier one of the same source.
///
/// Watchers are notified if anything changed. The lifetime is granted as for a PUBLISH (min_expires, max_expires); without expires and TTL it is the event package's default. Publish again before it expires.
#[utoipa::path(
    put,
    path = "/v1/presentities/{uri}/{event}",
    tag = "presentities",
    params(Target, PutQuery, Ttl, Conditions),
    request_body(
        content = inline(AnyDocument),
        content_type = "*/*",
        description = "At most 65536 octets, unpacked (Content-Encoding gzip or deflate).",
        example = json!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.org\"><tuple id=\"desk\"><status><basic>open</basic></status></tuple></presence>"),
    ),
    responses(
        (
            status = 200, description = "Replaced.", body = Published,
            headers(("ETag" = String, description = "Strong: the publication's entity-tag, another one after each PUT.")),
        ),
        (
            status = 201, description = "Created: the source had no publication.", body = Published,
            headers(
                ("ETag" = String, description = "Strong: the publication's entity-tag, another one after each PUT."),
                ("Location" = String, description = "Where this source's publication is."),
            ),
        ),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 405, response = MethodNotAllowed),
        (status = 408, response = SlowBody),
        (status = 412, response = PreconditionFailed),
        (status = 413, response = TooLarge),
        (status = 415, response = UnsupportedMediaType),
        (status = 422, response = BodyRefused),
        Guarded,
    )
)]
pub(crate) async fn publish(
    State(web): State<Arc<Web>>,
    target: Target,
    query: PutQuery,
    conditions: Conditions,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply, Problem> {
    // What makes no sense is refused before anybody waits for the body.
    require_publishable(&target)?;
    // RFC 9110 section 14.5: a part of a document would be taken for the whole.
    if headers.contains_key(CONTENT_RANGE) {
        return Err(Problem::bad_request("A document must be sent as a whole"));
    }
    let requested_s = requested_s(&web, &headers, query.expires)?;
    let body = receive::body(body, LARGEST_DOCUMENT).await?;
    let header = |name| headers.get(name).map(|value| value.as_bytes());
    let document = Put {
        requested_s,
        content_type: header(&CONTENT_TYPE),
        content_encoding: header(&CONTENT_ENCODING),
        body: &body,
    };
    let intent = decide_put(&document, &target.package, &web.policy)
        .map_err(|reject| Problem::of_reject(&reject, &web.registry))?;
    let granted_s = intent.granted_s;
    let source = query.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    let precondition = conditions.into_precondition();
    let change = change(&target, source, precondition, SourceVerb::Put(intent));
    let code = match carry_out(&web.store, &change).await? {
        SourceOutcome::Created => StatusCode::CREATED,
        SourceOutcome::ConditionFailed => return Err(Problem::precondition_failed()),
        SourceOutcome::Changed | SourceOutcome::Removed | SourceOutcome::Absent => StatusCode::OK,
    };
    web.doorbell.press();
    let answer = reply::json(
        code,
        &Published {
            etag: &change.entity_tag,
            expires: web.policy.told_expires_s(granted_s),
            source: &change.source,
        },
    );
    let answer = reply::with(answer, ETAG, &condition::quoted(&change.entity_tag));
    Ok(match code {
        StatusCode::CREATED => reply::with(answer, LOCATION, &target.location(&change.source)),
        _ => answer,
    })
}

/// Ends the publication of this source.
#[utoipa::path(
    delete,
    path = "/v1/presentities/{uri}/{event}",
    tag = "presentities",
    params(Target, SourceQuery, Conditions),
    responses(
        (status = 204, description = "It has ended."),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 405, response = MethodNotAllowed),
        (status = 412, response = PreconditionFailed),
        Guarded,
    )
)]
pub(crate) async fn unpublish(
    State(web): State<Arc<Web>>,
    target: Target,
    query: SourceQuery,
    conditions: Conditions,
) -> Result<Reply, Problem> {
    require_publishable(&target)?;
    let source = query.source.as_deref().unwrap_or(DEFAULT_SOURCE);
    let precondition = conditions.into_precondition();
    let change = change(&target, source, precondition, SourceVerb::Remove);
    match carry_out(&web.store, &change).await? {
        SourceOutcome::Absent => Err(no_publication(source)),
        SourceOutcome::ConditionFailed => Err(Problem::precondition_failed()),
        SourceOutcome::Removed | SourceOutcome::Changed | SourceOutcome::Created => {
            web.doorbell.press();
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
    }
}

/// What the source has published, as it was published.
///
/// # Errors
/// 404 if that is nothing; 406, 412.
pub(super) async fn find(
    web: &Web,
    target: &Target,
    source: &str,
    conditions: &Conditions,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    require_publishable(target)?;
    let found = web
        .store
        .publication()
        .find_source(&target.resource(), source)
        .await?;
    let Some(own) = found else {
        conditions.require(None)?;
        return Err(no_publication(source));
    };
    let content_type = match &*own.content_type {
        "" => &*target.package.notify_content_type,
        content_type => content_type,
    };
    accept::require(headers, content_type)?;
    let answer = represented(conditions, &own.entity_tag, content_type, own.body.into())?;
    Ok(match own.expires_s {
        Some(left_s) => reply::with(answer, TTL, &left_s.to_string()),
        None => answer,
    })
}

/// Watcher information, and what phones set by themselves, is seen but not published.
fn require_publishable(target: &Target) -> Result<(), Problem> {
    match target.package.publish_content_types.is_empty() {
        true => Err(Problem::method_not_allowed("GET, HEAD")),
        false => Ok(()),
    }
}

fn no_publication(source: &str) -> Problem {
    Problem::not_found("This source has published nothing, or it has ended")
        .with(|members| members.source = Some(source.to_owned()))
}

/// `?expires=` or the header TTL.
fn requested_s(
    web: &Web,
    headers: &HeaderMap,
    in_query: Option<i64>,
) -> Result<Option<u32>, Problem> {
    let in_header = match headers.get(TTL) {
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            Some(whole_number("TTL", text, 1, u32::MAX.into())?)
        }
        None => None,
    };
    match (in_query, in_header) {
        (Some(one), Some(other)) if one != other => {
            Err(Problem::bad_request("expires and TTL differ"))
        }
        (one, other) => {
            // What is longer than the longest that is granted needs no exact number.
            let longest = web.policy.max_expires_s;
            let seconds = one.or(other);
            Ok(seconds.map(|seconds| u32::try_from(seconds).unwrap_or(longest)))
        }
    }
}

fn change(
    target: &Target,
    source: &str,
    precondition: Precondition,
    verb: SourceVerb,
) -> SourceChange {
    SourceChange {
        aor: target.aor.clone(),
        event: target.package.name.clone().into_owned(),
        source: source.to_owned(),
        // Each request is one of its own: HTTP repeats nothing by itself.
        entity_tag: format!(
            "{}{:032x}",
            sip::token::home(&target.aor.uri()),
            rand::random::<u128>()
        ),
        verb,
        precondition,
    }
}

/// A connection that turns out to be dead gets one more try on a new one (after a restart or failover): the change carries its own tag.
async fn carry_out(store: &Store, change: &SourceChange) -> Result<SourceOutcome, StoreError> {
    let publications = store.publication();
    match publications.change_source(change).await {
        Err(StoreError::Unavailable { .. }) => publications.change_source(change).await,
        other => other,
    }
}
