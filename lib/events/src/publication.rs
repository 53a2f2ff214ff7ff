//! What a PUBLISH asks for: RFC 3903 section 6, one function a step.
//!
//! Whether the entity-tag is the current one, and so whether the answer is 200 or 412, only the database can tell.
//! The new entity-tag is derived from the request, so that a retransmission computes the same one on any server.

mod intent;
mod put;

use std::borrow::Cow;

use bytes::Bytes;
use sip::token::Secret;
use sip::{Aor, HeaderName, MediaType, NameAddr, ParseError, Request, Uri, bound};

use crate::document::BodyFault;
use crate::document::body::{Received, Unreadable, received};
use crate::document::{coding, encoding};
use crate::package::{BodyNote, Echo, EventPackage, Publisher, Registry, TagChange};
use crate::policy::Policy;
use crate::reject::PublishReject;
use crate::request::{self, Identity, UriFault};

pub use intent::{
    ChangeKind, NewPublication, Priority, PublicationChange, PublishIntent, PublishOutcome,
};
pub use put::{Put, PutIntent, decide_put, find_resource};

/// Decides what a PUBLISH asks for that has passed [`Request::check_mandatory`].
///
/// # Errors
/// The first step of RFC 3903 section 6 that fails names the rejection.
pub fn decide(
    request: &Request,
    registry: &Registry,
    policy: &Policy,
    secret: &Secret,
) -> Result<PublishIntent, PublishReject> {
    let aor = presentity(request, policy)?;
    let package = package(request, registry)?;
    require_no_extension(request)?;
    let if_match = if_match(request)?;
    let requested_s = request::requested_expires_s(request).map_err(PublishReject::BadRequest)?;
    let granted_s = policy
        .grant(requested_s, package.default_expires_s)
        .map_err(|brief| PublishReject::IntervalTooBrief { min_s: brief.min_s })?;
    let identity = Identity::of(request).map_err(PublishReject::BadRequest)?;
    let entity_tag = identity.entity_tag(secret, &aor, &package.name, if_match.as_deref());
    // What the row is named by when the body is in it.
    let stored_tag = match (&if_match, package.tag_change) {
        (Some(kept), TagChange::Kept) => kept,
        _ => &entity_tag,
    };
    let publisher = Publisher::of_request(stored_tag);
    let event = package.name.clone().into_owned();
    let sender = sender(request, package)?;

    let Some(if_match) = &if_match else {
        // RFC 3903 section 6 step 5: a PUBLISH without entity-tag and without body is an error.
        let (content_type, body, note) =
            state(request, package, publisher)?.ok_or(PublishReject::BadRequest("Missing Body"))?;
        return Ok(PublishIntent::Create(NewPublication {
            aor,
            event,
            entity_tag,
            granted_s,
            content_type,
            body,
            sender: sender.unwrap_or_default(),
            priority: policy.priority,
            note,
        }));
    };
    let kind = if requested_s == Some(0) {
        // "The body … SHOULD NOT" be there (section 4.5), and means nothing if it is.
        ChangeKind::Remove
    } else {
        match state(request, package, publisher)? {
            Some((content_type, body, note)) => ChangeKind::Modify {
                content_type,
                body,
                note,
            },
            None => ChangeKind::Refresh,
        }
    };
    Ok(PublishIntent::Change(PublicationChange {
        aor,
        event,
        if_match: if_match.clone(),
        entity_tag,
        tag_change: package.tag_change,
        kind,
        granted_s,
        sender,
        priority: policy.priority,
    }))
}

/// Step 1: the Request-URI names the presentity.
fn presentity(request: &Request, policy: &Policy) -> Result<Aor, PublishReject> {
    request::presentity(request, policy.fold_case).map_err(PublishReject::from)
}

/// Step 2: "If the Event header field is missing or contains an event package which the ESC does not support": 489.
fn package<'r>(
    request: &Request,
    registry: &'r Registry,
) -> Result<&'r EventPackage, PublishReject> {
    let event = request
        .event()
        .map_err(|error| PublishReject::BadRequest(error.reason))?
        .ok_or(PublishReject::UnknownEvent)?;
    let package = registry
        .find(&event)
        .filter(|package| !package.publish_content_types.is_empty())
        .ok_or(PublishReject::UnknownEvent)?;
    bound::EVENT
        .check(&package.name)
        .map_err(PublishReject::BadRequest)?;
    Ok(package)
}

/// Who publishes, as a URI, for a package that always asks: the Sender header where it is trusted (Kamailio's
/// `handle_publish(sender_uri)`), else the Contact. The watcher with that address of record or that Contact is not told.
fn sender(request: &Request, package: &EventPackage) -> Result<Option<String>, PublishReject> {
    if package.echo == Echo::Sent {
        return Ok(None);
    }
    let named = match package.trusts_sender() {
        true => request.header_named("Sender"),
        false => None,
    };
    let sender = match named {
        Some(value) => {
            let text = String::from_utf8_lossy(value);
            sender_uri(&text).map_err(PublishReject::BadRequest)?
        }
        None => {
            let contacts = request
                .contacts()
                .map_err(|error| PublishReject::BadRequest(error.reason))?;
            let contact = contacts.first().map(|contact| contact.uri.to_string());
            let contact = contact.unwrap_or_default();
            bound::CONTACT
                .check(&contact)
                .map_err(PublishReject::BadRequest)?;
            contact
        }
    };
    request::require_storable(&[&sender]).map_err(PublishReject::BadRequest)?;
    Ok(Some(sender))
}

/// The URI of a sender, given as one, or in angle brackets with whatever may stand around it.
///
/// # Errors
/// A reason phrase for what is not an address, or too long.
pub fn sender_uri(text: &str) -> Result<String, &'static str> {
    let uri = match text.contains('<') {
        true => NameAddr::parse(text).map(|address| address.uri),
        false => Uri::parse(text.trim()),
    };
    let uri = uri.map_err(|_| "Bad Sender")?;
    bound::SENDER.check(&uri.raw)?;
    // Of a scheme that somebody can watch by.
    Aor::from_uri(&uri, false).map_err(|_| "Bad Sender")?;
    Ok(uri.raw)
}

/// RFC 3261 section 8.2.2.3: what the publisher requires must be understood.
fn require_no_extension(request: &Request) -> Result<(), PublishReject> {
    let unsupported = request::unsupported_extensions(request);
    if unsupported.is_empty() {
        Ok(())
    } else {
        Err(PublishReject::BadExtension { unsupported })
    }
}

/// Step 3: "the ESC checks if the header field contains a single entity-tag. If not, the request is invalid".
/// Any single word will do here: one that we never issued gets its 412 from the database.
fn if_match(request: &Request) -> Result<Option<String>, PublishReject> {
    let mut lines = request.header_lines(HeaderName::SipIfMatch);
    let Some(line) = lines.next() else {
        return Ok(None);
    };
    let tag = line.trim_ascii();
    let is_single = !tag.is_empty() && tag.iter().all(|b| b.is_ascii_graphic() && *b != b',');
    match std::str::from_utf8(tag) {
        Ok(tag) if is_single && lines.next().is_none() => {
            bound::IF_MATCH
                .check(tag)
                .map_err(PublishReject::BadRequest)?;
            Ok(Some(tag.to_owned()))
        }
        _ => Err(PublishReject::BadRequest("Bad SIP-If-Match")),
    }
}

/// Step 5: the published state, of a type that the package takes and fit to be shown; nothing if there is no body.
fn state(
    request: &Request,
    package: &EventPackage,
    publisher: Publisher<'_>,
) -> Result<Option<(String, Bytes, BodyNote)>, PublishReject> {
    if request.body().is_empty() {
        return Ok(None);
    }
    let coding = coding::of(request);
    let content_type = request.content_type();
    accepted_state(
        package,
        publisher,
        coding.as_deref(),
        content_type,
        request.body(),
    )
    .map(Some)
}

/// A body, judged by its package.
fn accepted_state(
    package: &EventPackage,
    publisher: Publisher<'_>,
    coding: Option<&[u8]>,
    content_type: Result<Option<MediaType>, ParseError>,
    body: &[u8],
) -> Result<(String, Bytes, BodyNote), PublishReject> {
    let refused = |fault| match fault {
        BodyFault::TooLarge => PublishReject::BodyTooLarge,
        fault => PublishReject::BodyRefused(fault),
    };
    let Received { media, octets } = received(content_type, coding, body, |kind| {
        package.takes(kind)
    })
    .map_err(|fault| match fault {
        Unreadable::Bad(reason) => PublishReject::BadRequest(reason),
        Unreadable::Type => PublishReject::UnsupportedBody {
            accept: package.publish_content_types.join(", "),
        },
        Unreadable::Encoding => PublishReject::UnsupportedEncoding,
        Unreadable::Body(fault) => refused(fault),
    })?;
    let body = match media.kind.ends_with("xml") {
        true => encoding::to_utf8(&octets, media.params.value("charset")).map_err(refused)?,
        false => Cow::Borrowed(&*octets),
    };
    let note = package.note(&body, publisher).map_err(refused)?;
    Ok((media.kind, Bytes::copy_from_slice(&body), note))
}

impl From<UriFault> for PublishReject {
    fn from(fault: UriFault) -> PublishReject {
        match fault {
            UriFault::Scheme => PublishReject::UnsupportedScheme,
            UriFault::TooLong(reason) => PublishReject::UriTooLong(reason),
            UriFault::Malformed(reason) => PublishReject::BadRequest(reason),
        }
    }
}

#[cfg(test)]
mod tests;
