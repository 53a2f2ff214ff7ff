//! `GET …/watchers`: who watches, by pages.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderMap, StatusCode};
use serde::Serialize;
use sql::{ListedSubscription, Page};
use utoipa::ToSchema;
use utoipa::openapi::schema::Object;

use super::query::PageQuery;
use super::target::Target;
use super::{REVALIDATED, accept};
use crate::Web;
use crate::description::{BadRequest, Guarded, MethodNotAllowed, NotAcceptable, NotFound, text};
use crate::problem::Problem;
use crate::reply::{self, Reply};

/// Rows of a page that is not asked for with a limit.
const PAGE: u32 = 1000;

#[derive(Debug, Serialize, ToSchema)]
struct WatcherPage<'r> {
    /// after of the next page.
    #[schema(required = true)]
    next: Option<i64>,
    watchers: Vec<Watcher<'r>>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Watcher<'r> {
    /// null: never.
    #[schema(required = true, format = DateTime)]
    expires: Option<&'r str>,
    id: i64,
    reason: &'r str,
    #[schema(schema_with = states)]
    state: &'r str,
    user_agent: &'r str,
    /// URI.
    watcher: &'r str,
}

fn states() -> Object {
    let states = ["active", "pending", "waiting", "terminated", "expired"];
    text().enum_values(Some(states)).build()
}

/// The watchers, in pages.
#[utoipa::path(
    get,
    path = "/v1/presentities/{uri}/{event}/watchers",
    operation_id = "listWatchers",
    tag = "presentities",
    params(Target, PageQuery),
    responses(
        (
            status = 200, description = "A page, by id. next is null on the last one.", body = WatcherPage,
            headers(("Cache-Control" = String, description = "private, no-cache")),
        ),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 405, response = MethodNotAllowed),
        (status = 406, response = NotAcceptable),
        Guarded,
    )
)]
pub(crate) async fn list_watchers(
    State(web): State<Arc<Web>>,
    target: Target,
    query: PageQuery,
    headers: HeaderMap,
) -> Result<Reply, Problem> {
    accept::require(&headers, "application/json")?;
    let limit = query.limit.and_then(|limit| u32::try_from(limit).ok());
    let page = Page {
        after: query.after.unwrap_or(0),
        limit: limit.unwrap_or(PAGE),
    };
    let rows = web
        .store
        .operator()
        .list_resource_subscriptions(page, &target.resource())
        .await?;
    let is_full = rows.len() >= page.limit as usize;
    let page = WatcherPage {
        next: rows.last().map(|row| row.id).filter(|_| is_full),
        watchers: rows.iter().map(watcher).collect(),
    };
    let answer = reply::json(StatusCode::OK, &page);
    Ok(reply::with(answer, CACHE_CONTROL, REVALIDATED))
}

fn watcher(row: &ListedSubscription) -> Watcher<'_> {
    Watcher {
        expires: row.expires.as_deref(),
        id: row.id,
        reason: &row.reason,
        state: &row.state,
        user_agent: &row.user_agent,
        watcher: &row.watcher,
    }
}
