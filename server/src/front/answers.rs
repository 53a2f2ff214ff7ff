//! The way out: how answers leave, and what the relay sends.

use std::sync::Arc;

use bytes::Bytes;
use events::Proof;
use net::Endpoint;

use super::Arrival;
use super::quotas::Quotas;
use crate::answer::Answer;
use crate::flow::Addresses;
use crate::relay::Unanswered;

/// What answers.
pub(crate) struct Answers {
    pub(crate) endpoint: Endpoint,
    pub(crate) addresses: Addresses,
    /// What was relayed and waits for the answer of a phone.
    pub(crate) unanswered: Unanswered,
    /// Counts what is refused to strangers.
    quotas: Arc<Quotas>,
}

impl Answers {
    pub(super) fn new(endpoint: Endpoint, addresses: Addresses, quotas: Arc<Quotas>) -> Answers {
        Answers {
            endpoint,
            addresses,
            unanswered: Unanswered::default(),
            quotas,
        }
    }

    /// Sends `answer` the way the request came: to the Via's address from the socket that received it, or down its connection
    /// (RFC 3261 section 18.2.2, RFC 3581 section 4). An answer that nobody can take is dropped; the client will repeat itself.
    pub(crate) fn reply(&self, arrival: &Arrival, answer: &Answer) {
        let Arrival {
            request,
            flow,
            call,
            requester,
            ..
        } = arrival;
        // Who has proven a password is no stranger: he has a limit of his own.
        if answer.is_refusal() && requester.proof != Proof::Digest {
            self.quotas.refused(arrival);
        }
        if let Some(call) = call {
            call.answered(answer.status());
        }
        let bytes = Bytes::from(answer.encode(request, flow.remote));
        if flow.transport.is_reliable() {
            if self.endpoint.send_flow(flow, bytes).is_err() {
                tracing::debug!(remote = %flow.remote, "the connection closed before its answer");
            }
            return;
        }
        match sip::reply_target(request, flow.remote) {
            Ok(target) => self.endpoint.send_udp(Some(flow.local), target, bytes),
            Err(error) => tracing::debug!(%error, "no address to answer to"),
        }
    }
}
