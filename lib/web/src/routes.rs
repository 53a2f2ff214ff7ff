//! All paths. Each handler says itself at which path, by which method and with which answers it is there; what is routed, what Allow tells and
//! what the OpenAPI description says are made of that.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::header::HOST;
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::routing::MethodFilter;
use utoipa::OpenApi;
use utoipa::openapi::PathItem;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::description::{Described, head_of};
use crate::problem::Problem;
use crate::reply::Reply;
use crate::{Web, access, health, json_rpc, v1};

/// The time in which a request is carried out.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// All paths, for people.
const PATHS: &str = "there is /health, /RPC, /v1/openapi.json, /v1/presentities/{uri}/{event}, and below the latter /watchers and /events";

/// The OpenAPI 3.1 description of all paths, as it is served and stands in `docs/openapi.json`.
pub fn description() -> &'static str {
    static DESCRIPTION: LazyLock<String> = LazyLock::new(|| {
        let described = open().merge(guarded()).into_openapi();
        // Unwrap safety: texts and lists always are JSON; the tests go through here.
        #[expect(clippy::expect_used, reason = "see above")]
        described.to_pretty_json().expect("a description is JSON")
    });
    &DESCRIPTION
}

/// What takes a request to its handler.
pub(crate) fn router(web: Arc<Web>) -> Router {
    let guard = from_fn_with_state(Arc::clone(&web), access::guard);
    let guarded = Router::from(guarded())
        .fallback(no_such_path)
        .layer(from_fn(with_whole_names))
        .layer(guard);
    Router::from(open())
        .merge(guarded)
        .layer(from_fn(for_one_host))
        .layer(from_fn(in_time))
        .with_state(web)
}

/// What everybody may ask.
fn open() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::with_openapi(Described::openapi())
        .routes(with_refusals(with_head(routes!(health::health))))
}

/// What is asked by whoever may. A `/` in a segment must be percent-encoded; so an encoded one never divides.
fn guarded() -> OpenApiRouter<Arc<Web>> {
    OpenApiRouter::default()
        .routes(with_refusals(routes!(json_rpc::rpc)))
        .routes(with_refusals(with_head(routes!(v1::describe))))
        .routes(with_refusals(with_head(routes!(
            v1::get_document,
            v1::publication::publish,
            v1::publication::unpublish
        ))))
        .routes(with_refusals(with_head(routes!(
            v1::watchers::list_watchers
        ))))
        .routes(with_refusals(routes!(v1::events::watch)))
}

/// HEAD wherever there is GET (RFC 9110 section 9.3.2). axum serves it; it is to be described too.
fn with_head(
    (schemas, mut paths, methods): UtoipaMethodRouter<Arc<Web>>,
) -> UtoipaMethodRouter<Arc<Web>> {
    for item in paths.paths.values_mut() {
        item.head = item.get.as_ref().map(head_of);
    }
    (schemas, paths, methods)
}

/// Any method that is not described is refused, with those that are.
fn with_refusals(
    (schemas, paths, methods): UtoipaMethodRouter<Arc<Web>>,
) -> UtoipaMethodRouter<Arc<Web>> {
    let allow = allow(paths.paths.values());
    let without_head = !allow.contains(&"HEAD");
    let allow = allow.join(", ");
    let refuse = move || async move { Problem::method_not_allowed(&allow) };
    let methods = match without_head {
        // Else axum would answer it by GET.
        true => methods.on(MethodFilter::HEAD, refuse.clone()),
        false => methods,
    };
    (schemas, paths, methods.fallback(refuse))
}

fn allow<'p>(items: impl Iterator<Item = &'p PathItem>) -> Vec<&'static str> {
    let described = |item: &PathItem| {
        [
            ("GET", item.get.is_some()),
            ("HEAD", item.head.is_some()),
            ("POST", item.post.is_some()),
            ("PUT", item.put.is_some()),
            ("DELETE", item.delete.is_some()),
        ]
    };
    items
        .flat_map(described)
        .filter_map(|(method, is_described)| is_described.then_some(method))
        .collect()
}

/// For axum a name may be empty.
async fn with_whole_names(request: Request, next: Next) -> Result<Reply, Problem> {
    match request.uri().path().contains("//") {
        true => Err(no_such_path().await),
        false => Ok(next.run(request).await),
    }
}

/// RFC 9112 sections 3.2 and 3.2.2: whom a request is for, it says once. A proxy in front may have gone by the other Host.
async fn for_one_host(request: Request, next: Next) -> Result<Reply, Problem> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Problem::bad_request("There is more than one Host").last());
    }
    let is_another = request.uri().authority().is_some_and(|authority| {
        let host = host.map_or(&b""[..], |host| host.as_bytes());
        !authority.as_str().as_bytes().eq_ignore_ascii_case(host)
    });
    match is_another {
        true => Err(Problem::bad_request("The target of the request is not its Host").last()),
        false => Ok(next.run(request).await),
    }
}

async fn no_such_path() -> Problem {
    Problem::no_such_path(PATHS)
}

async fn in_time(request: Request, next: Next) -> Result<Reply, Problem> {
    tokio::time::timeout(ANSWERED_WITHIN, next.run(request))
        .await
        .map_err(|_| Problem::unavailable("it takes too long"))
}

#[cfg(test)]
mod tests;
