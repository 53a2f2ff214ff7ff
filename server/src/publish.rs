//! PUBLISH: decide, enqueue, await the outcome, answer (RFC 3903 section 6).
//!
//! What a request means is decided in `events`, what it becomes in the database in `sql`, what it is answered in `answer`.

use std::sync::Arc;

use events::package::EntityTags;
use events::publication::{self, PublishIntent, decide};
use sip::token::Secret;
use sql::{
    BodyNote, ChangeKind, NewPublication, Priority, PublicationChange, PublishOutcome, Resource,
    Store, StoreError, TagChange,
};

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
    let (ticket, visible) = match intent {
        PublishIntent::Create(new) => {
            let mut row = new_row(new, front.writes.priority(&arrival));
            if let Some(sender) = sender_of_script(&arrival) {
                row.sender = sender;
            }
            (
                front.submit(&front.writes.creates_publications, row, &arrival),
                true,
            )
        }
        PublishIntent::Change(change) => {
            let mut row = change_row(change, front.writes.priority(&arrival));
            if let Some(sender) = sender_of_script(&arrival) {
                row.sender = Some(sender);
            }
            // A refresh changes nothing that a watcher could see.
            let visible = !matches!(row.kind, ChangeKind::Refresh);
            (
                front.submit(&front.writes.changes_publications, row, &arrival),
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

/// The guide's `handle_publish(sender_uri)`: takes the place of what the request itself says.
fn sender_of_script(arrival: &Arrival) -> Option<String> {
    arrival.call.as_ref()?.sender_uri.clone()
}

fn new_row(new: publication::NewPublication, priority: Priority) -> NewPublication {
    NewPublication {
        username: new.aor.username,
        domain: new.aor.domain,
        event: new.event,
        entity_tag: new.entity_tag,
        granted_s: new.granted_s,
        content_type: new.content_type,
        body: new.body,
        sender: new.sender,
        priority,
        note: note(new.note),
    }
}

fn change_row(change: publication::PublicationChange, priority: Priority) -> PublicationChange {
    PublicationChange {
        resource: Resource {
            presentity_uri: change.aor.uri(),
            event: change.event,
        },
        if_match: change.if_match,
        entity_tag: change.entity_tag,
        tag_change: match change.entity_tags {
            EntityTags::Renewed => TagChange::Renewed,
            EntityTags::Kept => TagChange::Kept,
        },
        kind: match change.kind {
            publication::ChangeKind::Refresh => ChangeKind::Refresh,
            publication::ChangeKind::Modify {
                content_type,
                body,
                note: of_body,
            } => ChangeKind::Modify {
                content_type,
                body,
                note: note(of_body),
            },
            publication::ChangeKind::Remove => ChangeKind::Remove,
        },
        granted_s: change.granted_s,
        sender: change.sender,
        priority,
    }
}

fn note(of_body: events::package::BodyNote) -> BodyNote {
    BodyNote {
        ended: of_body.ended,
        has_dialog: of_body.has_dialog,
    }
}

/// The lane of initial PUBLISHes.
pub struct Create(pub Store);

impl Lane for Create {
    type Row = NewPublication;
    type Outcome = PublishOutcome;

    fn keys(row: &NewPublication, key: &mut dyn FnMut(&dyn DynHash)) {
        key(&(&row.username, &row.domain, &row.event, &row.entity_tag));
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
            key(&(&row.resource, entity_tag));
        }
    }

    fn is_same_request(earlier: &PublicationChange, later: &PublicationChange) -> bool {
        earlier.entity_tag == later.entity_tag && earlier.if_match == later.if_match
    }

    async fn write(&self, rows: &[PublicationChange]) -> Result<Vec<PublishOutcome>, StoreError> {
        self.0.publication().change_batch(rows).await
    }
}
