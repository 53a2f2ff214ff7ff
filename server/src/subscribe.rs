//! SUBSCRIBE: decide, enqueue, await the outcome, answer (RFC 6665 section 4.2.1).
//!
//! The NOTIFY that each accepted SUBSCRIBE is owed is never sent from here: the row owes it, a notifier sends it. Nor is it decided
//! here whether the watcher is let in: the answer is 200 all the same, and the NOTIFY tells (RFC 6665 section 4.2.1.2).
//!
//! In a package that reads bodies (`as-feature-event`) a SUBSCRIBE may set something. That is stored first, so that the NOTIFY
//! that answers it shows it.

use std::sync::Arc;

use events::subscription::{self, SubscribeIntent, decide_as};
use net::FlowKey;
use sip::token::Secret;
use sql::{
    FeatureChange, FeatureOwner, NewSubscription, Store, StoreError, SubscribeOutcome,
    SubscriptionRefresh,
};

use crate::answer;
use crate::front::{Arrival, Front};
use crate::write_batch::{DynHash, Lane, Ticket};

/// Handles a SUBSCRIBE. The row is in the queue when this returns, in the order of arrival; the answer follows the commit.
pub(crate) fn subscribe(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    let watcher = arrival.call.as_ref().and_then(|call| call.watcher.as_ref());
    let intent = match decide_as(
        &arrival.request,
        watcher,
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
    let reach = Reach {
        flow: front.answers.addresses.route(
            &front.answers.endpoint,
            &arrival.request,
            &arrival.flow,
            secret,
        ),
        local_contact: front
            .answers
            .addresses
            .local_contact(&front.answers.endpoint, &arrival.flow),
    };
    let front = Arc::clone(front);
    match feature_row(&intent, front.writes.cseq_offset) {
        None => {
            if let Some(ticket) = submit(&front, &arrival, intent, reach) {
                tokio::spawn(answer_after_commit(front, arrival, ticket));
            }
        }
        Some(feature) => {
            if let Some(ticket) = front.submit(&front.writes.sets_features, feature, &arrival) {
                tokio::spawn(set_and_subscribe(front, arrival, ticket, intent, reach));
            }
        }
    }
}

/// Puts the SUBSCRIBE in line, or answers that there is no place for it.
fn submit(
    front: &Front,
    arrival: &Arrival,
    intent: SubscribeIntent,
    reach: Reach,
) -> Option<Ticket<SubscribeOutcome>> {
    match intent {
        SubscribeIntent::Create(new) => {
            let row = NewSubscription {
                authorization: front.writes.authorization(front.registry(), &new.event),
                ..new_row(new, reach, &arrival.flow)
            };
            if let Some(call) = &arrival.call {
                call.creates(&row);
            }
            front.submit(&front.writes.creates_subscriptions, row, arrival)
        }
        SubscribeIntent::Refresh(refresh) => {
            let row = SubscriptionRefresh {
                authorization: front.writes.authorization(front.registry(), &refresh.event),
                ..refresh_row(refresh, reach)
            };
            if let Some(call) = &arrival.call {
                call.refreshes(&row);
            }
            front.submit(&front.writes.refreshes_subscriptions, row, arrival)
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
    reach: Reach,
) {
    match ticket.outcome(arrival.deadline).await {
        Ok(true) => front.writes.doorbell.press(),
        Ok(false) => {}
        Err(error) => return front.answers.reply(&arrival, &answer::write_error(&error)),
    }
    drop(ticket);
    if let Some(ticket) = submit(&front, &arrival, intent, reach) {
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

/// How phone and server reach one another from now on.
struct Reach {
    flow: String,
    local_contact: String,
}

fn new_row(new: subscription::NewSubscription, reach: Reach, came_by: &FlowKey) -> NewSubscription {
    NewSubscription {
        presentity_uri: new.aor.uri(),
        event: new.event,
        event_id: new.event_id,
        watcher_username: new.watcher.username,
        watcher_domain: new.watcher.domain,
        to_user: new.to_user,
        to_domain: new.to_domain,
        from_user: new.from_user,
        from_domain: new.from_domain,
        from_display: new.from_display,
        local_uri: new.local_uri,
        remote_uri: new.remote_uri,
        to_tag: new.to_tag,
        from_tag: new.from_tag,
        call_id: new.call_id,
        remote_cseq: new.remote_cseq,
        contact: new.contact,
        record_route: new.record_route,
        granted_s: new.granted_s,
        accept: new.accept,
        user_agent: new.user_agent,
        flow: reach.flow,
        local_contact: reach.local_contact,
        socket_info: format!("{}:{}", came_by.transport.as_str(), came_by.local),
        subscriber_key: new.subscriber_key,
        ..NewSubscription::default()
    }
}

fn refresh_row(refresh: subscription::SubscriptionRefresh, reach: Reach) -> SubscriptionRefresh {
    SubscriptionRefresh {
        call_id: refresh.call_id,
        to_tag: refresh.to_tag,
        from_tag: refresh.from_tag,
        event: refresh.event,
        event_id: refresh.event_id,
        remote_cseq: refresh.remote_cseq,
        request: refresh.request,
        contact: refresh.contact,
        granted_s: refresh.granted_s,
        flow: reach.flow,
        local_contact: reach.local_contact,
        ..SubscriptionRefresh::default()
    }
}

/// What a SUBSCRIBE sets, if it does. One that is taken although its CSeq is behind (`cseq_offset`) sets something too.
fn feature_row(intent: &SubscribeIntent, cseq_offset: u32) -> Option<FeatureChange> {
    let (feature, event, owner) = match intent {
        SubscribeIntent::Create(new) => (
            new.feature.clone()?,
            &new.event,
            FeatureOwner::Line {
                username: new.aor.username.clone(),
                domain: new.aor.domain.clone(),
            },
        ),
        SubscribeIntent::Refresh(refresh) => (
            refresh.feature.clone()?,
            &refresh.event,
            FeatureOwner::Dialog {
                call_id: refresh.call_id.clone(),
                to_tag: refresh.to_tag.clone(),
                from_tag: refresh.from_tag.clone(),
                remote_cseq: refresh.remote_cseq.saturating_add(cseq_offset),
            },
        ),
    };
    Some(FeatureChange {
        owner,
        event: event.clone(),
        ruid: format!("feature:{}", feature.feature),
        entity_tag: feature.entity_tag,
        content_type: feature.content_type,
        body: feature.body,
        lifetime_s: feature.lifetime_s,
    })
}

/// The lane of what SUBSCRIBEs set. Says of each whether it was stored.
pub struct SetFeature(pub Store);

impl Lane for SetFeature {
    type Row = FeatureChange;
    type Outcome = bool;

    fn keys(row: &FeatureChange, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.owner, &row.ruid));
    }

    fn is_same_request(earlier: &FeatureChange, later: &FeatureChange) -> bool {
        earlier == later
    }

    async fn write(&self, rows: &[FeatureChange]) -> Result<Vec<bool>, StoreError> {
        let mut stored = Vec::with_capacity(rows.len());
        for row in rows {
            stored.push(self.0.publication().put_feature(row).await?);
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
