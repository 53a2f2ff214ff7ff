//! What a SUBSCRIBE asks for: RFC 6665 section 4.2.1.
//!
//! Whether a dialog exists and its CSeq is in order, only the database can tell. The To-tag of a new dialog is derived
//! from the request, so that a retransmission that reaches another server makes no second dialog.

mod intent;

use sip::bound::AddressBound;
use sip::token::Secret;
use sip::{Aor, NameAddr, Request, bound};

use crate::document::body::{Received, Unreadable, received};
use crate::document::{coding, encoding};
use crate::package::{Authorization, EventPackage, Registry};
use crate::policy::{Policy, SameSubscriber};
use crate::reject::SubscribeReject;
use crate::request::{self, Identity, UriFault};
use crate::requester::{Acts, Requester};

pub use intent::{
    DecidedBy, DialogId, FeatureChange, FeatureOwner, NewSubscription, Reach, SubscribeIntent,
    SubscribeOutcome, SubscriptionRefresh,
};

/// Decides what a SUBSCRIBE asks for that has passed [`Request::check_mandatory`]. `requester` is who watches, where it is known by more
/// than From; within a dialog it must be who made that, which only the database can tell.
///
/// # Errors
/// The first check that fails names the rejection.
pub fn decide(
    request: &Request,
    requester: &Requester,
    registry: &Registry,
    policy: &Policy,
    secret: &Secret,
) -> Result<SubscribeIntent, SubscribeReject> {
    let to = request
        .to()
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?;
    // Within a dialog, the Request-URI is our own Contact.
    let aor = if to.tag().is_none() {
        Some(presentity(request, policy)?)
    } else {
        None
    };
    let (package, event_id) = package(request, registry)?;
    require_no_extension(request)?;
    let granted_s = granted_s(request, package, policy)?;
    let accept = acceptable(request, package)?;
    let identity = Identity::of(request).map_err(SubscribeReject::BadRequest)?;
    let contact = contact(request)?;
    let line = match &aor {
        Some(aor) => aor.clone(),
        None => address(&bound::WATCHED_TO, &to, policy)?,
    };
    let feature = feature(
        request,
        requester,
        policy,
        package,
        &line,
        to.tag(),
        &identity,
        secret,
    )?;
    let event = package.name.clone().into_owned();
    let decided_by = decided_by(package, policy);

    if let Some(to_tag) = to.tag() {
        request::require_storable(&[to_tag]).map_err(SubscribeReject::BadRequest)?;
        bound::TO_TAG
            .check(to_tag)
            .map_err(SubscribeReject::BadRequest)?;
        let digest = identity.digest(secret);
        return Ok(SubscribeIntent::Refresh(SubscriptionRefresh {
            call_id: identity.call_id,
            to_tag: to_tag.to_owned(),
            from_tag: identity.from_tag,
            event,
            event_id,
            remote_cseq: identity.cseq,
            request: digest,
            contact: contact.map(|contact| contact.uri.to_string()),
            granted_s,
            requester: requester.owner().cloned(),
            decided_by,
            feature,
            reach: Reach::default(),
        }));
    }
    let Some(aor) = aor else {
        return Err(SubscribeReject::BadRequest("Bad Request-URI"));
    };
    // RFC 6665 section 4.1.2.1 and RFC 3261 section 12.1.1: a request that makes a dialog has a Contact.
    let contact = contact.ok_or(SubscribeReject::BadRequest("Missing Contact"))?;
    let to_tag = identity.derive(secret, "to-tag", &aor, &[&package.name, &event_id]);
    let from = request
        .from()
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?;
    let watcher = watcher_of(request, requester, policy)?;
    require_allowed(package, &watcher, &aor, requester, policy)?;
    let subscriber_key = subscriber_key(policy, granted_s, &identity.call_id, &contact)?;
    let (to_user, to_domain) = user_and_host(&bound::WATCHED_TO, &to)?;
    let (from_user, from_domain) = user_and_host(&bound::WATCHER_FROM, &from)?;
    let new = NewSubscription {
        aor,
        event,
        event_id,
        watcher,
        to_user,
        to_domain,
        from_user,
        from_domain,
        from_display: for_eyes(from.display.as_deref()),
        local_uri: to.raw_addr().to_string(),
        remote_uri: from.raw_addr().to_string(),
        to_tag,
        from_tag: identity.from_tag,
        call_id: identity.call_id,
        remote_cseq: identity.cseq,
        contact: contact.uri.to_string(),
        record_route: request
            .record_route()
            .map_err(|error| SubscribeReject::BadRequest(error.reason))?,
        granted_s,
        accept,
        user_agent: for_eyes(request.user_agent()),
        decided_by,
        feature,
        subscriber_key,
        reach: Reach::default(),
    };
    let mut texts = vec![
        new.local_uri.as_str(),
        &new.remote_uri,
        &new.watcher.username,
        &new.watcher.domain,
    ];
    texts.extend(new.record_route.iter().map(String::as_str));
    texts.extend(new.subscriber_key.as_deref());
    request::require_storable(&texts).map_err(SubscribeReject::BadRequest)?;
    require_bounded(&new).map_err(SubscribeReject::BadRequest)?;
    Ok(SubscribeIntent::Create(new))
}

/// What has not been checked where it was read.
fn require_bounded(new: &NewSubscription) -> Result<(), &'static str> {
    bound::TO.check(&new.local_uri)?;
    bound::FROM.check(&new.remote_uri)?;
    bound::DISPLAY_NAME.check(&new.from_display)?;
    bound::USER_AGENT.check(&new.user_agent)?;
    let commas = new.record_route.len().saturating_sub(1);
    let routes: usize = new.record_route.iter().map(String::len).sum();
    bound::RECORD_ROUTE.check_octets(routes + commas)
}

/// Who watches: who has proven that it does, else From.
fn watcher_of(
    request: &Request,
    requester: &Requester,
    policy: &Policy,
) -> Result<Aor, SubscribeReject> {
    if let Some(named) = &requester.identity {
        return Ok(named.clone());
    }
    let from = request
        .from()
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?;
    address(&bound::WATCHER_FROM, &from, policy)
}

/// Whom From or To names.
fn address(
    bound: &AddressBound,
    header: &NameAddr,
    policy: &Policy,
) -> Result<Aor, SubscribeReject> {
    Aor::within(bound, &header.uri, policy.fold_case)
        .map_err(|error| SubscribeReject::BadRequest(bound.reason(&error)))
}

/// The Request-URI of an initial SUBSCRIBE names the presentity.
fn presentity(request: &Request, policy: &Policy) -> Result<Aor, SubscribeReject> {
    request::presentity(request, policy.fold_case).map_err(|fault| match fault {
        UriFault::Scheme => SubscribeReject::UnsupportedScheme,
        UriFault::TooLong(reason) => SubscribeReject::UriTooLong(reason),
        UriFault::Malformed(reason) => SubscribeReject::BadRequest(reason),
    })
}

/// RFC 6665 section 4.2.1.1: an event package that is missing or not understood is answered by 489.
fn package<'r>(
    request: &Request,
    registry: &'r Registry,
) -> Result<(&'r EventPackage, String), SubscribeReject> {
    let event = request
        .event()
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?
        .ok_or(SubscribeReject::UnknownEvent)?;
    let package = registry.find(&event).ok_or(SubscribeReject::UnknownEvent)?;
    let id = event.id.unwrap_or_default();
    request::require_storable(&[&id])
        .and(bound::EVENT_ID.check(&id))
        .and(bound::EVENT.check(&package.name))
        .map_err(SubscribeReject::BadRequest)?;
    Ok((package, id))
}

/// RFC 3857 section 4.6: by default only the presentity itself is told who watches. Within a dialog it has been asked already.
fn require_allowed(
    package: &EventPackage,
    watcher: &Aor,
    presentity: &Aor,
    requester: &Requester,
    policy: &Policy,
) -> Result<(), SubscribeReject> {
    let is_allowed = match package.authorization {
        // By rules it is decided later, where they can be read: RFC 6665 section 4.2.1.3 allows to answer 200 first.
        Authorization::Rules | Authorization::Open => true,
        Authorization::Line => requester.acts != Acts::ForOthers,
        Authorization::Presentity => {
            requester.may_as_presentity(watcher == presentity)
                || policy.winfo_watchers.contains(watcher)
        }
    };
    match is_allowed {
        true => Ok(()),
        false => Err(SubscribeReject::Forbidden),
    }
}

/// Who decides about a watcher that the package itself has not refused.
fn decided_by(package: &EventPackage, policy: &Policy) -> DecidedBy {
    match package.authorization {
        Authorization::Rules => policy.under_rules,
        Authorization::Presentity | Authorization::Line | Authorization::Open => DecidedBy::Nobody,
    }
}

/// RFC 3261 section 8.2.2.3: what the watcher requires must be understood.
fn require_no_extension(request: &Request) -> Result<(), SubscribeReject> {
    let unsupported = request::unsupported_extensions(request);
    if unsupported.is_empty() {
        Ok(())
    } else {
        Err(SubscribeReject::BadExtension { unsupported })
    }
}

/// RFC 6665 section 4.2.1.1: 423 only if the interval is "greater than zero and smaller than one hour and less than a
/// notifier-configured minimum"; a longer one is granted as it was asked, even if the minimum is longer still.
fn granted_s(
    request: &Request,
    package: &EventPackage,
    policy: &Policy,
) -> Result<u32, SubscribeReject> {
    const HOUR_S: u32 = 3600;
    let requested_s = request::requested_expires_s(request).map_err(SubscribeReject::BadRequest)?;
    match (
        policy.grant(requested_s, package.default_expires_s),
        requested_s,
    ) {
        (Ok(granted_s), _) => Ok(granted_s),
        (Err(_), Some(requested_s)) if requested_s >= HOUR_S => Ok(requested_s),
        (Err(brief), _) => Err(SubscribeReject::IntervalTooBrief { min_s: brief.min_s }),
    }
}

/// The media type of the NOTIFYs: the package's, if Accept allows it. Without Accept, the package's own type is
/// understood (RFC 3856 section 6.7); an Accept without values allows nothing (RFC 3261 section 20.1).
fn acceptable(request: &Request, package: &EventPackage) -> Result<String, SubscribeReject> {
    let ours = &*package.notify_content_type;
    let Some(ranges) = request.accept() else {
        return Ok(ours.to_owned());
    };
    // Only who names it knows it.
    let knows_former = ours == "application/pidf+xml"
        && ranges.iter().any(|range| range.kind == FORMER_PIDF)
        && accepts(&ranges, FORMER_PIDF);
    match (accepts(&ranges, ours), knows_former) {
        (true, _) => Ok(ours.to_owned()),
        (false, true) => Ok(FORMER_PIDF.to_owned()),
        (false, false) => Err(SubscribeReject::NotAcceptable),
    }
}

/// PIDF as the drafts before RFC 3863 called it; some phones (Cisco 79xx) accept nothing else.
pub const FORMER_PIDF: &str = "application/cpim-pidf+xml";

/// Whether these ranges of an Accept allow a media type (in lower case, without parameters).
///
/// The most specific range that covers the type decides (RFC 9110 section 12.5.1), so that
/// `*/*, application/pidf+xml;q=0` refuses it.
pub fn accepts(ranges: &[sip::MediaType], kind: &str) -> bool {
    let best = ranges
        .iter()
        .filter_map(|range| Some((precision(&range.kind, kind)?, range)))
        .max_by_key(|(p, _)| *p);
    best.is_some_and(|(_, range)| !is_refused(range))
}

/// What the body asks to be set, in a package that reads it. Only the line itself may ask, or its delegate. Who says falsely within a dialog
/// that he is the line, or that the dialog is his, is found out by the database, which knows with whom the dialog was made.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another thing that the request was asked"
)]
fn feature(
    request: &Request,
    requester: &Requester,
    policy: &Policy,
    package: &EventPackage,
    line: &Aor,
    our_tag: Option<&str>,
    identity: &Identity,
    secret: &Secret,
) -> Result<Option<FeatureChange>, SubscribeReject> {
    if !package.reads_requests() || request.body().trim_ascii().is_empty() {
        return Ok(None);
    }
    let Received { media, octets } = received(
        request.content_type(),
        coding::of(request).as_deref(),
        request.body(),
        |kind| package.takes(kind),
    )
    .map_err(|fault| match fault {
        Unreadable::Bad(reason) => SubscribeReject::BadRequest(reason),
        Unreadable::Type => SubscribeReject::UnsupportedBody {
            accept: package.publish_content_types.join(", "),
        },
        Unreadable::Encoding => SubscribeReject::UnsupportedEncoding,
        Unreadable::Body(fault) => SubscribeReject::BodyRefused(fault),
    })?;
    let body = encoding::to_utf8(&octets, media.params.value("charset"))
        .map_err(SubscribeReject::BodyRefused)?;
    let asked = package
        .request(&body)
        .map_err(SubscribeReject::BodyRefused)?;
    let Some(asked) = asked else {
        return Ok(None);
    };
    let watcher = watcher_of(request, requester, policy)?;
    if !requester.may_as_presentity(watcher == *line) {
        return Err(SubscribeReject::Forbidden);
    }
    let feature = asked.feature();
    let owner = match our_tag {
        None => FeatureOwner::Line(line.clone()),
        Some(to_tag) => FeatureOwner::Dialog {
            dialog: DialogId {
                call_id: identity.call_id.clone(),
                to_tag: to_tag.to_owned(),
                from_tag: identity.from_tag.clone(),
            },
            remote_cseq: identity.cseq,
            acting: requester.owner().map(|owner| (owner.clone(), line.clone())),
        },
    };
    Ok(Some(FeatureChange {
        owner,
        event: package.name.clone().into_owned(),
        entity_tag: identity.derive(secret, "feature", line, &[&feature]),
        feature,
        content_type: media.kind,
        body: asked.event().into(),
        lifetime_s: package.request_lifetime_s(),
    }))
}

/// How precisely a media range covers a type, or nothing if it does not.
fn precision(range: &str, kind: &str) -> Option<u8> {
    if range == kind {
        Some(2)
    } else if let Some(family) = range.strip_suffix("/*").filter(|family| *family != "*") {
        (kind.split('/').next() == Some(family)).then_some(1)
    } else {
        (range == "*/*" || range == "*").then_some(0)
    }
}

/// Whether a media range has `q=0`.
fn is_refused(range: &sip::MediaType) -> bool {
    range
        .params
        .value("q")
        .and_then(|q| q.trim().parse::<f32>().ok())
        == Some(0.0)
}

/// What a later subscription must share with this one to take its place. A fetch takes nobody's place, and nobody takes its.
///
/// RFC 5626 section 4.1: a phone keeps its instance id over reboots. The scheme says which of the three it is, so that none is taken for
/// another. Without an instance id the phone is where its Contact leads, its parameters aside: some phones draw a new one at each start.
fn subscriber_key(
    policy: &Policy,
    granted_s: u32,
    call_id: &str,
    contact: &NameAddr,
) -> Result<Option<String>, SubscribeReject> {
    if granted_s == 0 {
        return Ok(None);
    }
    Ok(match policy.same_subscriber {
        SameSubscriber::Nobody => None,
        SameSubscriber::SameCall => Some(format!("call-id:{call_id}")),
        SameSubscriber::SamePhone => {
            let instance = contact.param("+sip.instance").unwrap_or_default().trim();
            bound::INSTANCE
                .check(instance)
                .map_err(SubscribeReject::BadRequest)?;
            // RFC 8141 section 3.1: scheme and namespace, and the digits of a UUID (RFC 4122), in any case.
            let instance = instance.trim_matches(['<', '>']).to_ascii_lowercase();
            if !instance.is_empty() {
                return Ok(Some(format!("instance:{instance}")));
            }
            let Ok(aor) = Aor::from_uri(&contact.uri, false) else {
                return Ok(None);
            };
            let port = contact
                .uri
                .port
                .map_or(String::new(), |port| format!(":{port}"));
            let transport = contact.uri.param("transport").unwrap_or_default();
            Some(format!(
                "contact:{aor}{port};{}",
                transport.to_ascii_lowercase()
            ))
        }
    })
}

/// The Contact, if there is one. It must be one that a NOTIFY can be sent to.
fn contact(request: &Request) -> Result<Option<NameAddr>, SubscribeReject> {
    let mut contacts = request
        .contacts()
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?
        .into_iter();
    let Some(contact) = contacts.next() else {
        return Ok(None);
    };
    if contacts.next().is_some() {
        return Err(SubscribeReject::BadRequest("Multiple Contacts"));
    }
    if !matches!(contact.uri.scheme, sip::Scheme::Sip | sip::Scheme::Sips) {
        return Err(SubscribeReject::BadRequest("Bad Contact"));
    }
    let uri = contact.uri.to_string();
    request::require_storable(&[&uri])
        .and(bound::CONTACT.check(&uri))
        .map_err(SubscribeReject::BadRequest)?;
    Ok(Some(contact))
}

/// As written.
fn user_and_host(
    bound: &AddressBound,
    address: &NameAddr,
) -> Result<(String, String), SubscribeReject> {
    let user = address.uri.user.clone().unwrap_or_default();
    let host = address.uri.host_str().to_string();
    bound
        .check(&user, &host)
        .map_err(|error| SubscribeReject::BadRequest(error.reason))?;
    Ok((user, host))
}

/// A text for people's eyes, without control characters.
fn for_eyes(text: Option<&str>) -> String {
    text.unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .collect()
}

#[cfg(test)]
mod tests;
