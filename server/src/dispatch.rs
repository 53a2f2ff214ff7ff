//! From a packet to its handler: parse, then method and Event.
//!
//! RFC 3261 section 8.2 in its order: method, then what the request requires. Packets are handled in order of arrival, on one task,
//! without waiting; whatever has to wait is queued, and answered by a task of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt;
use net::{FlowKey, Packet};
use sip::token::Secret;
use sip::{HeaderName, Message, Method, ParseError, Request, Response};
use tokio::time::timeout_at;

use crate::answer;
use crate::front::{Arrival, Front, Verdict};
use crate::identity::Sent;
use crate::relay::Outbox;
use crate::{publish, relay, subscribe};

/// Handles packets that came together. A panic costs its packet the answer, and nobody else anything.
pub(crate) fn receive(front: &Arc<Front>, packets: Vec<Packet>) {
    let mut outbox = Outbox::default();
    for packet in packets {
        let remote = packet.flow.remote;
        if catch_unwind(AssertUnwindSafe(|| parse(front, packet, &mut outbox))).is_err() {
            tracing::error!(%remote, "a message made its handler panic: a bug");
        }
    }
    outbox.flush(&front.answers.endpoint);
}

fn parse(front: &Arc<Front>, packet: Packet, outbox: &mut Outbox) {
    let Packet { bytes, flow, fault } = packet;
    if let Some(error) = fault {
        return refuse(front, flow, error.of_message(bytes, &front.intake.limits));
    }
    if sip::is_keepalive(&bytes) || sip::is_stun(&bytes) {
        return;
    }
    match sip::parse_datagram(bytes, &front.intake.limits) {
        Ok(Message::Request(request)) => with_secret(
            front,
            Work::Request(front.intake.arrival(request, flow)),
            outbox,
        ),
        Ok(Message::Response(response)) => {
            with_secret(front, Work::Response(response, flow), outbox)
        }
        Err(error) => refuse(front, flow, error),
    }
}

/// What needs the cluster's secret before it can be handled.
enum Work {
    Request(Arrival),
    Response(Response, FlowKey),
}

/// Goes on at once where the secret is known, which is always but at the start; else when the database has told it.
fn with_secret(front: &Arc<Front>, work: Work, outbox: &mut Outbox) {
    if let Some(secret) = front.secret.known() {
        return handle(front, work, secret, outbox);
    }
    let Work::Request(arrival) = work else {
        // Without the secret nothing was ever forwarded.
        return;
    };
    // A Route may hold a token of ours: only the secret can tell. What a script says, it says when there is one.
    let may_be_relayed = arrival.request.header(HeaderName::Route).is_some();
    if !may_be_relayed && !is_within(front, &arrival, front.quotas.of_source(&arrival)) {
        return;
    }
    if !may_be_relayed && !is_for_script(front, &arrival) && needs_no_database(front, &arrival) {
        return;
    }
    let Some(admitted) = front.admit(&arrival) else {
        return;
    };
    let front = Arc::clone(front);
    tokio::spawn(async move {
        let secret = timeout_at(arrival.deadline, front.find_secret()).await;
        drop(admitted);
        match secret {
            Ok(Ok(secret)) => {
                if !may_be_relayed {
                    return serve(&front, arrival, secret);
                }
                let mut outbox = Outbox::default();
                handle(&front, Work::Request(arrival), secret, &mut outbox);
                outbox.flush(&front.answers.endpoint);
            }
            Ok(Err(error)) => front.answers.reply(&arrival, &answer::store_error(&error)),
            Err(_) => front.answers.reply(&arrival, &answer::unavailable()),
        }
    });
}

fn handle(front: &Arc<Front>, work: Work, secret: &Secret, outbox: &mut Outbox) {
    let mut arrival = match work {
        Work::Request(arrival) => arrival,
        Work::Response(response, flow) => {
            return relay::back(front, &response, &flow, secret, outbox);
        }
    };
    if let Some(token) = relay::token(&arrival.request, secret) {
        return relay::forward(front, &arrival, &token, secret, outbox);
    }
    if !arrival.has_shown_address && !front.identities.believes(&arrival.flow) {
        let Arrival { request, flow, .. } = &arrival;
        arrival.has_shown_address = front.identities.shows_address(request, flow, secret);
    }
    if is_within(front, &arrival, front.quotas.of_source(&arrival)) {
        serve(front, arrival, secret);
    }
}

/// Whether a request is within what its sender may send. If not, it is answered so, or ignored.
fn is_within(front: &Front, arrival: &Arrival, verdict: Verdict) -> bool {
    if verdict == Verdict::Refused {
        let answer = answer::too_many(&arrival.request);
        front.answers.reply(arrival, &answer);
    }
    verdict == Verdict::Admitted
}

/// What becomes of a request that is for us, and is not too much.
fn serve(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    match front.identities.at_once(&arrival.request, &arrival.flow) {
        Some(requester) => route(
            front,
            Arrival {
                requester,
                ..arrival
            },
            secret,
        ),
        None if matches!(check(&arrival.request), Ok(Checked::Sound)) => {
            identify(front, arrival, secret);
        }
        // It is answered that it makes no sense, whoever sends it.
        None => built_in(front, arrival, secret),
    }
}

/// Finds out who sends a request, then routes it, at once where nothing must be looked up: requests of one phone stay in their order.
fn identify(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    let mut identifying = Box::pin(identified(Arc::clone(front), arrival));
    match identifying.as_mut().now_or_never() {
        Some(Some(arrival)) => route(front, arrival, secret),
        Some(None) => {}
        None => {
            let front = Arc::clone(front);
            tokio::spawn(async move {
                if let (Some(arrival), Some(secret)) = (identifying.await, front.secret.known()) {
                    route(&front, arrival, secret);
                }
            });
        }
    }
}

/// The request with who sent it; nothing if it was answered instead.
async fn identified(front: Arc<Front>, arrival: Arrival) -> Option<Arrival> {
    let secret = front.secret.known()?;
    let sent = Sent {
        request: &arrival.request,
        source: arrival.flow.remote.ip(),
        deadline: arrival.deadline,
    };
    match front.identities.find(&sent, secret).await {
        Ok(requester) => {
            let arrival = Arrival {
                requester,
                ..arrival
            };
            is_within(&front, &arrival, front.quotas.of_identity(&arrival)).then_some(arrival)
        }
        Err(answer) => {
            front.answers.reply(&arrival, &answer);
            None
        }
    }
}

/// Hands a request to the operator's script, or does what is built in.
fn route(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    match &front.scripts {
        Some(scripts) if is_for_script(front, &arrival) => scripts.route(front, arrival),
        _ => built_in(front, arrival, secret),
    }
}

/// Whether the operator's script decides about it. What makes no sense is answered without one.
fn is_for_script(front: &Front, arrival: &Arrival) -> bool {
    front.scripts.as_ref().is_some_and(|scripts| {
        scripts.decides(&arrival.request) && matches!(check(&arrival.request), Ok(Checked::Sound))
    })
}

/// What becomes of a request without a script, or by its `default_route()`.
pub(crate) fn built_in(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    if needs_no_database(front, &arrival) {
        return;
    }
    match arrival.request.method() {
        // A script that hands a PUBLISH over itself (handle_publish) has decided; what is built in has not.
        Method::Publish if !arrival.requester.may_publish() => {
            front.answers.reply(&arrival, &answer::forbidden());
        }
        Method::Publish => publish::publish(front, arrival, secret),
        _ => subscribe::subscribe(front, arrival, secret),
    }
}

/// Handles what is neither a good PUBLISH nor a good SUBSCRIBE; says whether that was it.
fn needs_no_database(front: &Front, arrival: &Arrival) -> bool {
    let request = &arrival.request;
    if *request.method() == Method::Ack {
        // RFC 3261 section 17: there is no response to an ACK.
        return true;
    }
    let answer = match check(request) {
        Err(error) => answer::malformed(&error),
        Ok(Checked::TooManyHops) if *request.method() != Method::Options => answer::too_many_hops(),
        Ok(_) => match request.method() {
            Method::Cancel => answer::no_transaction(),
            Method::Extension(_) => answer::not_implemented(),
            Method::Options | Method::Publish | Method::Subscribe
                if !request.require().is_empty() =>
            {
                answer::bad_extension(&request.require())
            }
            Method::Options => answer::capabilities(front.registry()),
            Method::Publish | Method::Subscribe => return false,
            _ => answer::method_not_allowed(),
        },
    };
    front.answers.reply(arrival, &answer);
    true
}

enum Checked {
    Sound,
    /// A proxy must not pass it on, and neither do we take it (an OPTIONS is answered, RFC 3261 section 16.3).
    TooManyHops,
}

/// What no handler and no script should see: RFC 3261 sections 8.1.1 and 8.2.2.1. A scheme that is none of ours is 416 whatever the
/// method: the resource of the request is not known.
fn check(request: &Request) -> Result<Checked, ParseError> {
    request.check_mandatory()?;
    request.check_uri()?;
    Ok(match request.max_forwards()? {
        Some(0) => Checked::TooManyHops,
        _ => Checked::Sound,
    })
}

/// Answers a message that cannot be understood, if enough of it was; else drops it.
fn refuse(front: &Front, flow: FlowKey, error: ParseError) {
    tracing::debug!(remote = %flow.remote, %error, "a message that is not SIP");
    let Some(request) = error.answerable.as_deref().cloned() else {
        return;
    };
    let arrival = front.intake.arrival(request, flow);
    if *arrival.request.method() != Method::Ack
        && is_within(front, &arrival, front.quotas.of_source(&arrival))
    {
        front.answers.reply(&arrival, &answer::malformed(&error));
    }
}
