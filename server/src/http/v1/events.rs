//! `GET …/events`: server-sent events (WHATWG HTML, section 9.2). First the present state, then each change.
//!
//! A stream carries states, not the history: a client that is slow, or reconnects, gets the latest. The id of an event names the state, so a
//! client that reconnects with it (Last-Event-ID) gets nothing until that changes, at any server.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::unfold;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderName};
use hyper::{Request, StatusCode};
use node::Shutdown;
use serde_json::json;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::accept;
use super::document::{NOTHING, Shown};
use super::feed::Subscribed;
use super::target::{Query, Target};
use crate::http::Http;
use crate::http::connection::Slot;
use crate::http::reply::{self, Problem, Reply};

const CONTENT_TYPE: &str = "text/event-stream";
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// After this time without an event a comment is sent, so that proxies and dead peers are found out.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How soon a client is to come back, in milliseconds.
const RETRY_MS: u32 = 2000;
/// The time in which the present state must be known.
const FIRST_WITHIN: Duration = Duration::from_secs(5);

/// Opens a stream.
///
/// # Errors
/// 406; 503 if there are too many, the process stops, or the database does not answer.
pub(in crate::http) async fn open(
    http: &Http,
    request: &Request<Incoming>,
    segments: &[&str],
    slot: &Slot,
) -> Result<Reply, Problem> {
    let target = Target::read(http, segments)?;
    Query::read(request.uri().query(), &[])?;
    accept::require(request.headers(), CONTENT_TYPE)?;
    if http.shutdown.is_triggered() {
        return Err(Problem::unavailable("This server stops").last());
    }
    let place = Arc::clone(&http.streams)
        .try_acquire_owned()
        .map_err(|_| Problem::unavailable("Too many streams are open").last())?;
    let last_id = request
        .headers()
        .get(LAST_EVENT_ID)
        .and_then(|value| value.to_str().ok())
        .map(str::to_owned);
    let mut subscribed = http.feed.subscribe(target.resource());
    timeout(FIRST_WITHIN, subscribed.is_fresh())
        .await
        .map_err(|_| Problem::unavailable("The database does not answer; try again"))?;
    slot.becomes_stream();
    let stream = Stream {
        subscribed,
        told: last_id,
        is_open: false,
        shutdown: http.shutdown.clone(),
        _place: place,
    };
    let frames = unfold(stream, |mut stream| async move {
        let text = stream.next().await?;
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(text))), stream))
    });
    let mut answer = reply::empty(StatusCode::OK);
    *answer.body_mut() = StreamBody::new(frames).boxed_unsync();
    for (name, value) in [
        (hyper::header::CONTENT_TYPE, CONTENT_TYPE),
        (CACHE_CONTROL, "no-store"),
        // Its connection counts as a stream from now on.
        (CONNECTION, "close"),
    ] {
        answer = reply::with(answer, name, value);
    }
    Ok(answer)
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
    async fn next(&mut self) -> Option<String> {
        if !self.is_open {
            self.is_open = true;
            let event = self.news().unwrap_or_default();
            return Some(format!("retry: {RETRY_MS}\n\n{event}"));
        }
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.triggered() => return None,
                changed = self.subscribed.shown.changed() => changed.ok()?,
                () = tokio::time::sleep(KEEP_ALIVE) => return Some(":\n\n".to_owned()),
            }
            if let Some(event) = self.news() {
                return Some(event);
            }
        }
    }

    /// The state, if the client does not know it.
    fn news(&mut self) -> Option<String> {
        let shown = self.subscribed.shown.borrow_and_update().clone()?;
        if self.told.as_ref() == Some(&shown.version) {
            return None;
        }
        self.told = Some(shown.version.clone());
        Some(event(&shown))
    }
}

/// An event is JSON of one line: documents have line ends of their own, which this format would change.
fn event(shown: &Shown) -> String {
    let Some(document) = &shown.document else {
        return format!("id: {NOTHING}\nevent: none\ndata: {{}}\n\n");
    };
    let mut data = json!({"etag": document.etag, "content_type": document.content_type});
    // What is not text is only named; GET has it.
    if let (Ok(text), Some(data)) = (std::str::from_utf8(&document.body), data.as_object_mut()) {
        data.insert("document".to_owned(), text.into());
    }
    format!("id: {}\nevent: state\ndata: {data}\n\n", shown.version)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::v1::document::ShownDocument;

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

    #[test]
    fn an_event_is_three_lines_whatever_it_tells() {
        assert_eq!(
            event(&shown(b"<a>\r\n\n</a>")),
            "id: v1\nevent: state\ndata: {\"content_type\":\"a/b\",\"document\":\"<a>\\r\\n\\n</a>\",\"etag\":\"e1\"}\n\n"
        );
        assert_eq!(
            event(&shown(b"\xff")),
            "id: v1\nevent: state\ndata: {\"content_type\":\"a/b\",\"etag\":\"e1\"}\n\n"
        );
        let nothing = Shown {
            document: None,
            ..shown(b"")
        };
        assert_eq!(event(&nothing), "id: none\nevent: none\ndata: {}\n\n");
    }
}
