//! PUT, DELETE, and GET with a source: the publication that one source has of a presentity.

use ::events::publication::{Put, decide_put};
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, LOCATION};
use hyper::{HeaderMap, Request, StatusCode};
use serde_json::json;
use sql::{Precondition, SourceChange, SourceOutcome, SourceVerb, Store, StoreError};

use super::target::{Query, Target, whole_number};
use super::{DEFAULT_SOURCE, accept, condition, represented};
use crate::http::Http;
use crate::http::reply::{self, Problem, Reply};

/// The lifetime that is asked for, in seconds, where the query has none (RFC 8030 section 5.2 defines it for messages that are pushed).
const TTL: HeaderName = HeaderName::from_static("ttl");

/// What a PUT says before its body.
pub(super) struct PutHead {
    source: String,
    precondition: Precondition,
    requested_s: Option<u32>,
    headers: HeaderMap,
}

// === impl PutHead ===

impl PutHead {
    /// # Errors
    /// 405 for a package that cannot be published, 400 for what makes no sense. Nobody waits for the body then.
    pub(super) fn read(
        http: &Http,
        target: &Target<'_>,
        request: &Request<Incoming>,
        query: &Query,
    ) -> Result<PutHead, Problem> {
        require_publishable(target)?;
        // RFC 9110 section 14.5: a part of a document would be taken for the whole.
        if request.headers().contains_key(CONTENT_RANGE) {
            return Err(Problem::bad_request("A document must be sent as a whole"));
        }
        Ok(PutHead {
            source: query.source()?.unwrap_or(DEFAULT_SOURCE).to_owned(),
            precondition: condition::of(request.headers())?.into_precondition(),
            requested_s: requested_s(http, request.headers(), query)?,
            headers: request.headers().clone(),
        })
    }
}

/// Publishes a document in place of what the source has published before.
///
/// # Errors
/// As a PUBLISH is refused; 412. Nothing is changed then.
pub(super) async fn put(
    http: &Http,
    target: &Target<'_>,
    head: PutHead,
    body: &[u8],
) -> Result<Reply, Problem> {
    let header = |name| head.headers.get(name).map(|value| value.as_bytes());
    let document = Put {
        requested_s: head.requested_s,
        content_type: header(&CONTENT_TYPE),
        content_encoding: header(&CONTENT_ENCODING),
        body,
    };
    let intent = decide_put(&document, target.package, &http.policy)
        .map_err(|reject| Problem::of_reject(&reject, &http.registry))?;
    let granted_s = intent.granted_s;
    let change = change(
        target,
        &head.source,
        head.precondition,
        SourceVerb::Put(intent),
    );
    let code = match carry_out(&http.store, &change).await? {
        SourceOutcome::Created => StatusCode::CREATED,
        SourceOutcome::ConditionFailed => return Err(Problem::precondition_failed()),
        SourceOutcome::Changed | SourceOutcome::Removed | SourceOutcome::Absent => StatusCode::OK,
    };
    http.doorbell.press();
    let answer = reply::json(
        code,
        &json!({
            "source": change.source,
            "etag": change.entity_tag,
            "expires": http.policy.told_expires_s(granted_s),
        }),
    );
    let answer = reply::with(answer, ETAG, &condition::quoted(&change.entity_tag));
    Ok(match code {
        StatusCode::CREATED => reply::with(answer, LOCATION, &target.location(&change.source)),
        _ => answer,
    })
}

/// Ends what the source has published.
///
/// # Errors
/// 404 if that is nothing; 412.
pub(super) async fn delete(
    http: &Http,
    target: &Target<'_>,
    request: &Request<Incoming>,
) -> Result<Reply, Problem> {
    require_publishable(target)?;
    let query = Query::read(request.uri().query(), &["source"])?;
    let source = query.source()?.unwrap_or(DEFAULT_SOURCE);
    let precondition = condition::of(request.headers())?.into_precondition();
    let change = change(target, source, precondition, SourceVerb::Remove);
    match carry_out(&http.store, &change).await? {
        SourceOutcome::Absent => Err(no_publication(source)),
        SourceOutcome::ConditionFailed => Err(Problem::precondition_failed()),
        SourceOutcome::Removed | SourceOutcome::Changed | SourceOutcome::Created => {
            http.doorbell.press();
            Ok(reply::empty(StatusCode::NO_CONTENT))
        }
    }
}

/// What the source has published, as it was published.
///
/// # Errors
/// 404 if that is nothing; 406, 412.
pub(super) async fn find(
    http: &Http,
    target: &Target<'_>,
    request: &Request<Incoming>,
    source: &str,
) -> Result<Reply, Problem> {
    require_publishable(target)?;
    let found = http
        .store
        .publication()
        .find_source(&target.resource(), source)
        .await?;
    let Some(own) = found else {
        condition::of(request.headers())?.require(None)?;
        return Err(no_publication(source));
    };
    let content_type = match &*own.content_type {
        "" => &*target.package.notify_content_type,
        content_type => content_type,
    };
    accept::require(request.headers(), content_type)?;
    let answer = represented(request, &own.entity_tag, content_type, own.body)?;
    Ok(match own.expires_s {
        Some(left_s) => reply::with(answer, TTL, &left_s.to_string()),
        None => answer,
    })
}

/// Watcher information, and what phones set by themselves, is seen but not published.
fn require_publishable(target: &Target<'_>) -> Result<(), Problem> {
    match target.package.publish_content_types.is_empty() {
        true => Err(Problem::method_not_allowed("GET, HEAD")),
        false => Ok(()),
    }
}

fn no_publication(source: &str) -> Problem {
    Problem::not_found("This source has published nothing, or it has ended")
        .more("source", source.into())
}

/// `?expires=` or the header TTL.
fn requested_s(http: &Http, headers: &HeaderMap, query: &Query) -> Result<Option<u32>, Problem> {
    let most = i64::from(u32::MAX);
    let in_query = query.number("expires", 1, most)?;
    let in_header = match headers.get(TTL) {
        Some(value) => {
            let text = value.to_str().unwrap_or_default();
            Some(whole_number("TTL", text, 1, most)?)
        }
        None => None,
    };
    match (in_query, in_header) {
        (Some(one), Some(other)) if one != other => {
            Err(Problem::bad_request("expires and TTL differ"))
        }
        (one, other) => {
            // What is longer than the longest that is granted needs no exact number.
            let longest = http.policy.max_expires_s;
            let seconds = one.or(other);
            Ok(seconds.map(|seconds| u32::try_from(seconds).unwrap_or(longest)))
        }
    }
}

fn change(
    target: &Target<'_>,
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
