//! `GET …/events`: server-sent events (WHATWG HTML, section 9.2). First the present state, then each change.
//!
//! A stream tells states, not history: whoever is slow, or comes back, is told the latest. The id of an event names the state, so a
//! client that comes back with it (Last-Event-ID) is told nothing until that is another one, whichever server it comes to.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::HeaderMap;
use axum::http::header::{CACHE_CONTROL, CONNECTION, HeaderName};
use axum::response::IntoResponse;
use axum::response::sse::{self, KeepAlive, Sse};
use futures_util::stream::unfold;
use node::Shutdown;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;
use utoipa::ToSchema;

use super::accept;
use super::document::{NOTHING, Shown};
use super::feed::Subscribed;
use super::query::NoQuery;
use super::target::Target;
use crate::Web;
use crate::connection::Slot;
use crate::description::{BadRequest, Guarded, MethodNotAllowed, NotAcceptable, NotFound};
use crate::problem::Problem;
use crate::reply::{self, Reply};

const CONTENT_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// After this time without an event a comment is sent, so that proxies and dead peers are found out.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client is to come back.
const RETRY: Duration = Duration::from_secs(2);
/// The time in which the present state must be known.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// data of an event state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Event<'s> {
    content_type: &'s str,
    /// Left out if it is not UTF-8: GET has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    document: Option<&'s str>,
    /// Of the document, as GET has it.
    etag: &'s str,
}

/// Server-sent events: the present state, then each change.
///
/// An event state has the document as JSON (Event); an event none says that nothing is published. The id names the state: with Last-Event-ID no event is sent until the state changes. The stream carries states, not the history: a slow client gets the latest. A comment is sent every 15 s.
#[utoipa::path(
    get,
    path = "/v1/presentities/{uri}/{event}/events",
    tag = "presentities",
    params(
        Target,
        ("Last-Event-ID" = Option<String>, Header, nullable = false, description = "The id of the last event that the client has seen."),
    ),
    responses(
        (
            status = 200, description = "The stream.", body = String, content_type = "text/event-stream",
            example = json!("id: 5d41402abc4b2a76b9719d911017c592\nevent: state\ndata: {\"content_type\":\"application/pidf+xml\",\"document\":\"<presence/>\",\"etag\":\"5d41402abc4b2a76b9719d911017c592\"}\n\n"),
        ),
        (status = 400, response = BadRequest),
        (status = 404, response = NotFound),
        (status = 405, response = MethodNotAllowed),
        (status = 406, response = NotAcceptable),
        Guarded,
    )
)]
pub(crate) async fn watch(
    State(web): State<Arc<Web>>,
    target: Target,
    _: NoQuery,
    headers: HeaderMap,
    Extension(slot): Extension<Arc<Slot>>,
) -> Result<Reply, Problem> {
    accept::require(&headers, CONTENT_TYPE)?;
    if web.shutdown.is_triggered() {
        return Err(Problem::unavailable("This server stops").last());
    }
    let place = Arc::clone(&web.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("Too many streams are open").last())?;
    let last_id = headers
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut subscribed = web.feed.subscribe(target.resource());
    timeout(FIRST_WITHIN, subscribed.is_fresh())
        .await
        .map_err(|_| Problem::unavailable("The database does not answer; try again"))?;
    slot.becomes_stream();
    let stream = Stream {
        subscribed,
        told: last_id,
        is_open: false,
        shutdown: web.shutdown.clone(),
        _place: place,
    };
    let events = unfold(stream, |mut stream| async move {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    let kept_alive = Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let answer = reply::with(kept_alive.into_response(), CACHE_CONTROL, "no-store");
    // Its connection counts as a stream from now on.
    Ok(reply::with(answer, CONNECTION, "close"))
}

/// One client's stream.
struct Stream {
    subscribed: Subscribed,
    /// The state that the client knows.
    told: Option<String>,
    is_open: bool,
    shutdown: Shutdown,
    _place: OwnedSemaphorePermit,
}

// === impl Stream ===

impl Stream {
    /// What goes to the client next, when there is something; nothing at the end.
    async fn next(&mut self) -> Option<sse::Event> {
        if !self.is_open {
            self.is_open = true;
            return Some(sse::Event::default().retry(RETRY));
        }
        loop {
            if let Some(event) = self.news() {
                return Some(event);
            }
            tokio::select! {
                biased;
                () = self.shutdown.triggered() => return None,
                changed = self.subscribed.shown.changed() => changed.ok()?,
            }
        }
    }

    /// The state, if the client does not know it.
    fn news(&mut self) -> Option<sse::Event> {
        let shown = self.subscribed.shown.borrow_and_update().clone()?;
        if self.told.as_ref() == Some(&shown.version) {
            return None;
        }
        self.told = Some(shown.version.clone());
        Some(event(&shown))
    }
}

/// An event is JSON of one line: documents have line ends of their own, which this format would change.
fn event(shown: &Shown) -> sse::Event {
    let Some(document) = &shown.document else {
        return sse::Event::default().id(NOTHING).event("none").data("{}");
    };
    let data = Event {
        content_type: &document.content_type,
        // What is no text is only named; GET has it.
        document: std::str::from_utf8(&document.body).ok(),
        etag: &document.etag,
    };
    sse::Event::default()
        .id(&shown.version)
        .event("state")
        .data(reply::text(&data))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::v1::document::ShownDocument;

    fn shown(body: &'static [u8]) -> Shown {
        Shown {
            document: Some(ShownDocument {
                content_type: "a/b".into(),
                body: Bytes::from_static(body),
                etag: "e1".into(),
            }),
            version: "v1".into(),
            next_change: None,
        }
    }

    /// The octets of an event, as a stream of this one event has them.
    async fn octets(event: sse::Event) -> String {
        let stream = futures_util::stream::iter([Ok::<_, Infallible>(event)]);
        let body = Sse::new(stream).into_response().into_body();
        let octets = axum::body::to_bytes(body, 1000).await.unwrap();
        String::from_utf8(octets.into()).unwrap()
    }

    #[tokio::test]
    async fn an_event_is_three_lines_whatever_it_tells() {
        assert_eq!(
            octets(event(&shown(b"<a>\r\n\n</a>"))).await,
            "id: v1\nevent: state\ndata: {\"content_type\":\"a/b\",\"document\":\"<a>\\r\\n\\n</a>\",\"etag\":\"e1\"}\n\n"
        );
        assert_eq!(
            octets(event(&shown(b"\xff"))).await,
            "id: v1\nevent: state\ndata: {\"content_type\":\"a/b\",\"etag\":\"e1\"}\n\n"
        );
        let nothing = Shown {
            document: None,
            ..shown(b"")
        };
        assert_eq!(
            octets(event(&nothing)).await,
            "id: none\nevent: none\ndata: {}\n\n"
        );
        assert_eq!(
            octets(sse::Event::default().retry(RETRY)).await,
            "retry: 2000\n\n"
        );
    }
}
