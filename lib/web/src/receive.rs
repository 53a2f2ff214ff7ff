//! Bodies of requests: bounded in size and in time.

use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::problem::Problem;

/// The time in which a head must be there, and after it the body. An idle connection is closed after it too.
pub(crate) const READ_WITHIN: Duration = Duration::from_secs(10);

/// The body, of at most `largest` octets.
///
/// # Errors
/// 413, 408, or 400 if the connection ends first. The connection goes no further then: what is left of the body would be taken for
/// the next request.
pub(crate) async fn body(body: Body, largest: usize) -> Result<Bytes, Problem> {
    // Known before the first byte of it is read.
    if body.size_hint().lower() > largest as u64 {
        return Err(Problem::too_large(largest).last());
    }
    let read = Limited::new(body, largest).collect();
    match tokio::time::timeout(READ_WITHIN, read).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(largest).last()),
        Ok(Err(_)) => Err(Problem::bad_request("The body ends too early").last()),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-body",
            "The body comes too slowly",
        )
        .last()),
    }
}
