//! `/v1`: state for programs that speak no SIP. A PBX or a calendar sets it, a wallboard watches it.
//!
//! `/v1/presentities/{uri}/{event}` is the document that watchers are shown. With `?source=NAME` it is what one source has
//! published: that is what PUT and DELETE change (without a name they mean [`DEFAULT_SOURCE`]). What is published here passes the
//! checks of a PUBLISH, and goes through the tables like one.

mod accept;
mod condition;
mod document;
pub(crate) mod events;
pub(crate) mod feed;
pub(crate) mod publication;
mod query;
mod target;
pub(crate) mod watchers;

use std::sync::{Arc, LazyLock};

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, ETAG};
use axum::http::{HeaderMap, StatusCode};

use self::condition::{Conditions, Verdict};
use self::query::{NoQuery, SourceQuery};
use self::target::Target;
use crate::description::{
    AnyDocument, BadRequest, Guarded, MethodNotAllowed, NotAcceptable, NotFound, PreconditionFailed,
};
use crate::problem::Problem;
use crate::reply::{self, Reply};
use crate::{Web, routes};

/// Longest document that can be published: what the reader of XML takes.
const LARGEST_DOCUMENT: usize = ::events::document::xml::MAX_BYTES;
/// Who publishes, if nobody says.
const DEFAULT_SOURCE: &str = "http";
/// Readers keep it, and ask whether it is still true.
const REVALIDATED: &str = "private, no-cache";

/// This description.
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "service",
    params(Conditions),
    responses(
        (
            status = 200, description = "OpenAPI 3.1.", body = Object, content_type = "application/json",
            headers(
                ("ETag" = String, description = "Strong: a digest of the description."),
                ("Cache-Control" = String, description = "private, no-cache"),
            ),
        ),
        (
            status = 304, description = "If-None-Match has its tag.",
            headers(
                ("ETag" = String, description = "Strong: a digest of the description."),
                ("Cache-Control" = String, description = "private, no-cache"),
            ),
        ),
        (status = 400, response = BadRequest),
        (status = 405, response = MethodNotAllowed),
        (status = 406, response = NotAcceptable),
        (status = 412, response = PreconditionFailed),
        Guarded,
    )
)]
pub(crate) async fn describe(
    _: NoQuery,
    conditions: Conditions,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    static TAG: LazyLock<String> =
        LazyLock::new(|| document::digest([routes::description().as_bytes()]));
    accept::require(&headers, "application/json")?;
    let body = routes::description().into();
    represented(&conditions, &TAG, "application/json", body)
}

/// The document that watchers get, or the publication of one source.
///
/// Without source: the document that a watcher without restrictions gets, merged from all publications and hard state; 404 if nothing is published. A document with a version (dialog-info, watcherinfo) has the first one. With source: the publication of this source, as it was published; TTL is its remaining lifetime.
#[utoipa::path(
    get,
    path = "/v1/presentities/{uri}/{event}",
    operation_id = "getDocument",
    tag = "presentities",
    params(
        Target,
        SourceQuery,
        Conditions,
        ("Accept" = Option<String>, Header, nullable = false, description = "If present, it must allow the document's type."),
    ),
    responses(
        (
            status = 200, description = "The document.", body = inline(AnyDocument), content_type = "*/*",
            headers(
                ("ETag" = String, description = "Strong. Without source: a digest of the document. With source: the publication's entity-tag, another one after each PUT."),
                ("Cache-Control" = String, description = "private, no-cache"),
                ("TTL" = u32, description = "With source: remaining seconds."),
            ),
            example = json!("<presence xmlns=\"urn:ietf:params:xml:ns:pidf\" entity=\"sip:alice@example.org\"><tuple id=\"desk\"><status><basic>open</basic></status></tuple></presence>"),
        ),
        (
            status = 304, description = "Not modified: If-None-Match has the tag of the document.",
            headers(
                ("ETag" = String, description = "As of 200."),
                ("Cache-Control" = String, description = "private, no-cache"),
            ),
        ),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 405, response = MethodNotAllowed),
        (status = 406, response = NotAcceptable),
        (status = 412, response = PreconditionFailed),
        Guarded,
    )
)]
pub(crate) async fn get_document(
    State(web): State<Arc<Web>>,
    target: Target,
    query: SourceQuery,
    conditions: Conditions,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    match query.source {
        Some(source) => publication::find(&web, &target, &source, &conditions, &headers).await,
        None => shown(&web, &target, &conditions, &headers).await,
    }
}

/// What a watcher is shown who may see everything.
async fn shown(
    web: &Web,
    target: &Target,
    conditions: &Conditions,
    headers: &HeaderMap,
) -> Result<Reply, Problem> {
    let resource = target.resource();
    let shown = document::look(&web.store, &web.registry, std::slice::from_ref(&resource));
    let Some(document) = shown.await?.pop().and_then(|shown| shown.document) else {
        conditions.require(None)?;
        return Err(Problem::not_found(
            "Nothing is published; watchers get the event package's neutral document, or none",
        ));
    };
    accept::require(headers, &document.content_type)?;
    represented(
        conditions,
        &document.etag,
        &document.content_type,
        document.body.into(),
    )
}

/// A representation with its tag, if the conditions of the request ask for it (RFC 9110 section 13.2.2).
fn represented(
    conditions: &Conditions,
    etag: &str,
    content_type: &str,
    body: Body,
) -> Result<Reply, Problem> {
    let answer = match conditions.judge(Some(etag)) {
        Verdict::Holds => reply::whole(StatusCode::OK, content_type, body),
        Verdict::NotModified => reply::empty(StatusCode::NOT_MODIFIED),
        Verdict::Fails => return Err(Problem::precondition_failed()),
    };
    Ok(reply::with(
        reply::with(answer, ETAG, &condition::quoted(etag)),
        CACHE_CONTROL,
        REVALIDATED,
    ))
}
