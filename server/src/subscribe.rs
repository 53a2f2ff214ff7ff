//! SUBSCRIBE: decide, enqueue, await the outcome, answer (RFC 6665 section 4.2.1).
//!
//! The NOTIFY that answers each accepted SUBSCRIBE is never sent from here: the row is flagged, a notifier sends it. Nor is it decided
//! here whether the watcher is let in: the answer is 200 all the same, and the NOTIFY tells (RFC 6665 section 4.2.1.2).
//!
//! In a package that reads bodies (`as-feature-event`) a SUBSCRIBE may set something. That is stored first, so that the NOTIFY
//! that answers it shows it.

use std::sync::Arc;

use events::subscription::decide;
use events::{
    FeatureChange, NewSubscription, Reach, Requester, SubscribeIntent, SubscribeOutcome,
    SubscriptionRefresh,
};
use sip::token::Secret;
use sql::{Store, StoreError};

use crate::answer;
use crate::front::{Arrival, Front};
use crate::write_batch::{DynHash, Lane, Ticket};

/// Handles a SUBSCRIBE. The row is in the queue when this returns, in the order of arrival; the answer follows the commit.
pub(crate) fn subscribe(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    // Kamailio's handle_subscribe(watcher_uri): the script has decided who watches.
    let named = arrival.call.as_ref().filter(|call| call.decides);
    let named = named.map(|call| {
        let identity = arrival.requester.identity.as_ref();
        Requester::named_by_script(call.watcher.as_ref().or(identity).cloned())
    });
    let mut intent = match decide(
        &arrival.request,
        named.as_ref().unwrap_or(&arrival.requester),
        front.registry(),
        &front.policy,
        secret,
    ) {
        Ok(intent) => intent,
        Err(reject) => {
            return front.answers.reply(
                &arrival,
                &answer::subscribe_reject(&reject, front.registry()),
            );
        }
    };
    if let SubscribeIntent::Create(new) = &mut intent {
        if !front.identities.domains.serve(&new.aor.domain) {
            return front.answers.reply(&arrival, &answer::no_such_domain());
        }
        // A stranger would have NOTIFYs sent to whom he names; the flow that he came by leads to himself.
        if !front.identities.believes(&arrival.flow) {
            new.record_route.clear();
        }
    }
    fill_reach(&mut intent, front, &arrival, secret);
    let front = Arc::clone(front);
    match intent.take_feature() {
        None => {
            if let Some(ticket) = submit(&front, &arrival, intent) {
                tokio::spawn(answer_after_commit(front, arrival, ticket));
            }
        }
        Some(feature) => {
            if let Some(ticket) = front.submit(&front.writes.sets_features, feature, &arrival) {
                tokio::spawn(set_and_subscribe(front, arrival, ticket, intent));
            }
        }
    }
}

/// Writes down how phone and server reach one another from now on.
fn fill_reach(intent: &mut SubscribeIntent, front: &Front, arrival: &Arrival, secret: &Secret) {
    let Arrival { request, flow, .. } = arrival;
    let believed = front.identities.believes(flow);
    let (addresses, endpoint) = (&front.answers.addresses, &front.answers.endpoint);
    let reach = Reach {
        flow: addresses.route(endpoint, request, flow, believed, secret),
        local_contact: addresses.local_contact(endpoint, flow),
        socket_info: String::new(),
    };
    match intent {
        SubscribeIntent::Create(new) => {
            new.reach = Reach {
                socket_info: format!("{}:{}", flow.transport.as_str(), flow.local),
                ..reach
            };
        }
        SubscribeIntent::Refresh(refresh) => refresh.reach = reach,
    }
}

/// Puts the SUBSCRIBE in line, or answers that there is no place for it.
fn submit(
    front: &Front,
    arrival: &Arrival,
    intent: SubscribeIntent,
) -> Option<Ticket<SubscribeOutcome>> {
    match intent {
        SubscribeIntent::Create(new) => {
            if let Some(call) = &arrival.call {
                call.creates(&new);
            }
            front.submit(&front.writes.creates_subscriptions, new, arrival)
        }
        SubscribeIntent::Refresh(refresh) => {
            if let Some(call) = &arrival.call {
                call.refreshes(&refresh);
            }
            front.submit(&front.writes.refreshes_subscriptions, refresh, arrival)
        }
    }
}

/// Whether the feature was stored does not matter here: a copy was answered before, and whoever has no dialog, or an older CSeq, is
/// told so by the SUBSCRIBE itself.
async fn set_and_subscribe(
    front: Arc<Front>,
    arrival: Arrival,
    mut ticket: Ticket<bool>,
    intent: SubscribeIntent,
) {
    match ticket.outcome(arrival.deadline).await {
        Ok(true) => front.writes.doorbell.press(),
        Ok(false) => {}
        Err(error) => return front.answers.reply(&arrival, &answer::write_error(&error)),
    }
    drop(ticket);
    if let Some(ticket) = submit(&front, &arrival, intent) {
        answer_after_commit(front, arrival, ticket).await;
    }
}

async fn answer_after_commit(
    front: Arc<Front>,
    arrival: Arrival,
    mut ticket: Ticket<SubscribeOutcome>,
) {
    match ticket.outcome(arrival.deadline).await {
        Ok(outcome) => {
            front.answers.reply(&arrival, &answer::subscribed(&outcome));
            if matches!(outcome, SubscribeOutcome::Accepted { .. }) {
                front.writes.doorbell.press();
            }
        }
        Err(error) => front.answers.reply(&arrival, &answer::write_error(&error)),
    }
}

/// The lane of what SUBSCRIBEs set. Says of each whether it was stored.
pub struct SetFeature {
    /// Where to write.
    pub store: Store,
    /// One that is taken although its CSeq is so far behind sets something too.
    pub cseq_offset: u32,
}

impl Lane for SetFeature {
    type Row = FeatureChange;
    type Outcome = bool;

    fn keys(row: &FeatureChange, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.owner, &row.feature));
    }

    fn is_same_request(earlier: &FeatureChange, later: &FeatureChange) -> bool {
        earlier == later
    }

    async fn write(&self, rows: &[FeatureChange]) -> Result<Vec<bool>, StoreError> {
        let mut stored = Vec::with_capacity(rows.len());
        let publications = self.store.publication();
        for row in rows {
            stored.push(publications.put_feature(row, self.cseq_offset).await?);
        }
        Ok(stored)
    }
}

/// The lane of initial SUBSCRIBEs.
pub struct Create(pub Store);

impl Lane for Create {
    type Row = NewSubscription;
    type Outcome = SubscribeOutcome;

    fn keys(row: &NewSubscription, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.call_id, &row.to_tag, &row.from_tag));
    }

    /// The To-tag is a keyed hash of all that makes a request this request.
    fn is_same_request(earlier: &NewSubscription, later: &NewSubscription) -> bool {
        earlier.to_tag == later.to_tag
            && earlier.from_tag == later.from_tag
            && earlier.call_id == later.call_id
    }

    async fn write(&self, rows: &[NewSubscription]) -> Result<Vec<SubscribeOutcome>, StoreError> {
        let outcomes = self.0.subscription().create_batch(rows).await?;
        // With delete_same_subs only. Committed before the answer: a phone that was answered has one subscription.
        let superseded = self.0.subscription().supersede_batch(rows).await?;
        if superseded > 0 {
            tracing::debug!(
                superseded,
                "subscriptions were superseded by newer ones of the same phones"
            );
        }
        Ok(outcomes)
    }
}

/// The lane of SUBSCRIBEs inside a dialog: refresh and remove.
pub struct Refresh {
    /// Where to write.
    pub store: Store,
    /// `cseq_offset`.
    pub cseq_offset: u32,
}

impl Lane for Refresh {
    type Row = SubscriptionRefresh;
    type Outcome = SubscribeOutcome;

    fn keys(row: &SubscriptionRefresh, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.call_id, &row.to_tag, &row.from_tag));
    }

    fn is_same_request(earlier: &SubscriptionRefresh, later: &SubscriptionRefresh) -> bool {
        earlier == later
    }

    async fn write(
        &self,
        rows: &[SubscriptionRefresh],
    ) -> Result<Vec<SubscribeOutcome>, StoreError> {
        self.store
            .subscription()
            .refresh_batch(rows, self.cseq_offset)
            .await
    }
}
