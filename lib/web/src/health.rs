//! `/health`: whether this process can serve requests now. Says nothing of who or what is in the database.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::Web;
use crate::reply::{self, Reply};

/// The time in which the database must answer for this process to be called ready.
const READY_WITHIN: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    #[schema(inline)]
    database: Database,
    #[schema(inline)]
    status: Status,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Database {
    Reachable,
    Unreachable,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ready,
    #[serde(rename = "not ready")]
    NotReady,
    Stopping,
}

/// Whether this process can serve requests now.
#[utoipa::path(
    get,
    path = "/health",
    tag = "service",
    security(),
    responses(
        (status = 200, description = "It can serve requests.", body = Health),
        (status = 503, description = "The process stops, or the database does not answer.", body = Health),
    )
)]
pub(crate) async fn health(State(web): State<Arc<Web>>) -> Reply {
    let asked = tokio::time::timeout(READY_WITHIN, web.store.operator().ping()).await;
    let database = match asked {
        Ok(Ok(())) => Database::Reachable,
        _ => Database::Unreachable,
    };
    let (code, status) = match database {
        _ if web.shutdown.is_triggered() => (StatusCode::SERVICE_UNAVAILABLE, Status::Stopping),
        Database::Reachable => (StatusCode::OK, Status::Ready),
        Database::Unreachable => (StatusCode::SERVICE_UNAVAILABLE, Status::NotReady),
    };
    reply::json(code, &Health { database, status })
}
