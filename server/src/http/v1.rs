//! `/v1`: state for programs that speak no SIP. A PBX or a calendar sets it, a wallboard watches it.
//!
//! `/v1/presentities/{uri}/{event}` is the document that watchers are shown. With `?source=NAME` it is what one source has
//! published: that is what PUT and DELETE change (without a name they mean [`DEFAULT_SOURCE`]). What is published here passes the
//! checks of a PUBLISH, and goes through the tables like one.

mod accept;
mod condition;
mod document;
pub(super) mod events;
pub(super) mod feed;
mod publication;
mod target;
pub(super) mod watchers;

use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, ETAG};
use hyper::{Method, Request, StatusCode};

use self::condition::Verdict;
use self::target::{Query, Target};
use super::Http;
use super::receive;
use super::reply::{self, Problem, Reply};
use super::route::Route;

/// The OpenAPI 3.1 description of all paths.
pub(super) const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");
/// Longest document that can be published: what the reader of XML takes.
pub(super) const LARGEST_DOCUMENT: usize = ::events::document::xml::MAX_BYTES;
/// Who publishes, if nobody says.
const DEFAULT_SOURCE: &str = "http";
/// Readers keep it, and ask whether it is still true.
const REVALIDATED: &str = "private, no-cache";

pub(super) fn description(request: &Request<Incoming>) -> Result<Reply, Problem> {
    Query::read(request.uri().query(), &[])?;
    accept::require(request.headers(), "application/json")?;
    let tag = document::digest([DESCRIPTION.as_bytes()]);
    represented(
        request,
        &tag,
        "application/json",
        DESCRIPTION.as_bytes().into(),
    )
}

/// GET, HEAD, PUT and DELETE of a presentity.
pub(super) async fn presentity(
    http: &Http,
    request: Request<Incoming>,
    route: &Route,
    segments: &[&str],
) -> Result<Reply, Problem> {
    let target = Target::read(http, segments)?;
    match *request.method() {
        Method::PUT => {
            let query = Query::read(request.uri().query(), &["source", "expires"])?;
            let head = publication::PutHead::read(http, &target, &request, &query)?;
            let body = receive::body(request, route.largest_body).await?;
            publication::put(http, &target, head, &body).await
        }
        Method::DELETE => publication::delete(http, &target, &request).await,
        _ => {
            let query = Query::read(request.uri().query(), &["source"])?;
            match query.source()? {
                Some(source) => publication::find(http, &target, &request, source).await,
                None => document(http, &target, &request).await,
            }
        }
    }
}

/// What a watcher is shown who may see everything.
async fn document(
    http: &Http,
    target: &Target<'_>,
    request: &Request<Incoming>,
) -> Result<Reply, Problem> {
    let resource = target.resource();
    let shown = document::look(&http.store, &http.registry, std::slice::from_ref(&resource));
    let Some(document) = shown.await?.pop().and_then(|shown| shown.document) else {
        condition::of(request.headers())?.require(None)?;
        return Err(Problem::not_found(
            "Nothing is published; watchers get the event package's neutral document, or none",
        ));
    };
    accept::require(request.headers(), &document.content_type)?;
    represented(
        request,
        &document.etag,
        &document.content_type,
        document.body,
    )
}

/// A representation with its tag, if the conditions of the request ask for it (RFC 9110 section 13.2.2).
fn represented(
    request: &Request<Incoming>,
    etag: &str,
    content_type: &str,
    body: bytes::Bytes,
) -> Result<Reply, Problem> {
    let answer = match condition::of(request.headers())?.judge(Some(etag)) {
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
