//! SUBSCRIBE: decide, enqueue, await the outcome, answer (RFC 6665 section 4.2.1).
//!
//! The NOTIFY that each accepted SUBSCRIBE is owed is never sent from here: the row owes it, a notifier sends it.

use std::sync::Arc;

use events::subscription::{SubscribeIntent, decide};
use sip::token::Secret;
use sql::{NewSubscription, Store, StoreError, SubscribeOutcome, SubscriptionRefresh};

use crate::answer;
use crate::front::{Arrival, Front};
use crate::write_batch::{DynHash, Lane, Ticket};

/// Handles a SUBSCRIBE. The row is in the queue when this returns, in the order of arrival; the answer follows the commit.
pub(crate) fn subscribe(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    let intent = match decide(&arrival.request, &front.registry, &front.policy, secret) {
        Ok(intent) => intent,
        Err(reject) => return front.reply(&arrival, &answer::subscribe_reject(&reject, &front.registry)),
    };
    let Some(admitted) = front.admit(&arrival) else { return };
    let flow = front.addresses.route(&front.endpoint, &arrival.request, &arrival.flow, secret);
    let local_contact = front.addresses.local_contact(&front.endpoint, &arrival.flow);
    let ticket = match intent {
        SubscribeIntent::Create(subscription) => {
            let row = NewSubscription { subscription, flow, local_contact, socket_info: String::new() };
            front.creates_subscriptions.submit(row, admitted)
        }
        SubscribeIntent::Refresh(refresh) => {
            let row = SubscriptionRefresh { refresh, flow, local_contact };
            front.refreshes_subscriptions.submit(row, admitted)
        }
    };
    tokio::spawn(answer_after_commit(Arc::clone(front), arrival, ticket));
}

async fn answer_after_commit(front: Arc<Front>, arrival: Arrival, ticket: Ticket<SubscribeOutcome>) {
    match ticket.outcome(arrival.deadline).await {
        Ok(outcome) => {
            front.reply(&arrival, &answer::subscribed(&outcome));
            if front.fast_notify && matches!(outcome, SubscribeOutcome::Accepted { .. }) {
                front.doorbell.press();
            }
        }
        Err(error) => front.reply(&arrival, &answer::write_error(&error)),
    }
}

/// The lane of initial SUBSCRIBEs.
pub struct Create(pub Store);

/// The lane of SUBSCRIBEs inside a dialog: refresh and remove.
pub struct Refresh {
    /// Where to write.
    pub store: Store,
    /// `cseq_offset`.
    pub cseq_offset: u32,
}
