//! PUBLISH: decide, enqueue, await the outcome, answer (RFC 3903 section 6).
//!
//! What a request means is decided in `events`, which also says in what words the database is asked and answers; what it becomes
//! there is up to `sql`, what it is answered to `answer`.

use std::sync::Arc;

use events::publication::decide;
use events::{
    ChangeKind, NewPublication, Priority, PublicationChange, PublishIntent, PublishOutcome,
};
use sip::token::Secret;
use sql::{Store, StoreError};

use crate::answer;
use crate::front::{Arrival, Front};
use crate::write_batch::{DynHash, Lane, Ticket};

/// Handles a PUBLISH. The row is in the queue when this returns, in the order of arrival; the answer follows the commit.
pub(crate) fn publish(front: &Arc<Front>, arrival: Arrival, secret: &Secret) {
    let intent = match decide(&arrival.request, front.registry(), &front.policy, secret) {
        Ok(intent) => intent,
        Err(reject) => {
            return front
                .answers
                .reply(&arrival, &answer::publish_reject(&reject, front.registry()));
        }
    };
    let presentity = match &intent {
        PublishIntent::Create(new) => &new.aor,
        PublishIntent::Change(change) => &change.aor,
    };
    if !front.identities.domains.serve(&presentity.domain) {
        return front.answers.reply(&arrival, &answer::no_such_domain());
    }
    let (ticket, visible) = match intent {
        PublishIntent::Create(mut new) => {
            if let Some(sender) = sender_of_script(&arrival) {
                new.sender = sender;
            }
            if let Some(priority) = priority_of_script(&arrival) {
                new.priority = priority;
            }
            (
                front.submit(&front.writes.creates_publications, new, &arrival),
                true,
            )
        }
        PublishIntent::Change(mut change) => {
            if let Some(sender) = sender_of_script(&arrival) {
                change.sender = Some(sender);
            }
            if let Some(priority) = priority_of_script(&arrival) {
                change.priority = priority;
            }
            // A refresh changes nothing that a watcher could see.
            let visible = !matches!(change.kind, ChangeKind::Refresh);
            (
                front.submit(&front.writes.changes_publications, change, &arrival),
                visible,
            )
        }
    };
    let Some(ticket) = ticket else {
        return;
    };
    tokio::spawn(answer_after_commit(
        Arc::clone(front),
        arrival,
        ticket,
        visible,
    ));
}

async fn answer_after_commit(
    front: Arc<Front>,
    arrival: Arrival,
    mut ticket: Ticket<PublishOutcome>,
    visible: bool,
) {
    match ticket.outcome(arrival.deadline).await {
        Ok(outcome) => {
            let contact = front
                .answers
                .addresses
                .configured_contact(&front.answers.endpoint, &arrival.flow);
            front.answers.reply(
                &arrival,
                &answer::published(&outcome, &front.policy, contact),
            );
            if visible && matches!(outcome, PublishOutcome::Stored { .. }) {
                front.writes.doorbell.press();
            }
        }
        Err(error) => front.answers.reply(&arrival, &answer::write_error(&error)),
    }
}

/// Kamailio's `handle_publish(sender_uri)`: replaces what the request itself says.
fn sender_of_script(arrival: &Arrival) -> Option<String> {
    arrival.call.as_ref()?.sender_uri.clone()
}

/// Which of several publications comes first, if the script says so (`xavp.<xavp_cfg>.priority`).
fn priority_of_script(arrival: &Arrival) -> Option<Priority> {
    Some(Priority::Given(arrival.call.as_ref()?.priority?))
}

/// The lane of initial PUBLISHes.
pub struct Create(pub Store);

impl Lane for Create {
    type Row = NewPublication;
    type Outcome = PublishOutcome;

    fn keys(row: &NewPublication, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.aor, &row.event, &row.entity_tag));
    }

    /// The entity-tag is a keyed hash of all that makes a request this request.
    fn is_same_request(earlier: &NewPublication, later: &NewPublication) -> bool {
        earlier.entity_tag == later.entity_tag
    }

    async fn write(&self, rows: &[NewPublication]) -> Result<Vec<PublishOutcome>, StoreError> {
        self.0.publication().create_batch(rows).await
    }
}

/// The lane of refresh, modify and remove.
pub struct Change(pub Store);

impl Lane for Change {
    type Row = PublicationChange;
    type Outcome = PublishOutcome;

    /// A publication goes by the tag that it has and by the one that it gets: the change that follows this one names the latter.
    /// Where the tag is kept, several phones name it at once, and go one after the other.
    fn keys(row: &PublicationChange, key: &mut dyn FnMut(&dyn DynHash)) {
        for entity_tag in [&row.if_match, &row.entity_tag] {
            key(&(&row.aor, &row.event, entity_tag));
        }
    }

    fn is_same_request(earlier: &PublicationChange, later: &PublicationChange) -> bool {
        earlier.entity_tag == later.entity_tag && earlier.if_match == later.if_match
    }

    async fn write(&self, rows: &[PublicationChange]) -> Result<Vec<PublishOutcome>, StoreError> {
        self.0.publication().change_batch(rows).await
    }
}
