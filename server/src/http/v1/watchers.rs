//! `GET …/watchers`: who watches, by pages.

use hyper::body::Incoming;
use hyper::header::CACHE_CONTROL;
use hyper::{Request, StatusCode};
use serde_json::{Value, json};
use sql::{ListedSubscription, Page};

use super::target::{Query, Target};
use super::{REVALIDATED, accept};
use crate::http::Http;
use crate::http::reply::{self, Problem, Reply};

/// Rows of a page that is not asked for with a limit, and most rows of one.
const PAGE: u32 = 1000;
const LARGEST_PAGE: u32 = 10_000;

/// # Errors
/// 400 for what is not a page; 406.
pub(in crate::http) async fn list(
    http: &Http,
    request: &Request<Incoming>,
    segments: &[&str],
) -> Result<Reply, Problem> {
    let target = Target::read(http, segments)?;
    let query = Query::read(request.uri().query(), &["limit", "after"])?;
    accept::require(request.headers(), "application/json")?;
    let limit = query.number("limit", 1, LARGEST_PAGE.into())?;
    let page = Page {
        after: query.number("after", 0, i64::MAX)?.unwrap_or(0),
        limit: limit
            .and_then(|limit| u32::try_from(limit).ok())
            .unwrap_or(PAGE),
    };
    let rows = http
        .store
        .operator()
        .list_resource_subscriptions(page, &target.resource())
        .await?;
    let is_full = rows.len() >= page.limit as usize;
    let next = rows.last().map(|row| row.id).filter(|_| is_full);
    let watchers: Vec<Value> = rows.iter().map(watcher).collect();
    let answer = reply::json(StatusCode::OK, &json!({"watchers": watchers, "next": next}));
    Ok(reply::with(answer, CACHE_CONTROL, REVALIDATED))
}

fn watcher(row: &ListedSubscription) -> Value {
    json!({
        "id": row.id,
        "watcher": row.watcher,
        "state": row.state,
        "reason": row.reason,
        "expires": row.expires,
        "user_agent": row.user_agent,
    })
}
