//! What a PUBLISH does: a new publication, a refresh, another document, an end. RFC 3903 section 6. And what a phone sets by the body of a
//! SUBSCRIBE.

use events::{
    BodyNote, ChangeKind, FeatureChange, FeatureOwner, NewPublication, Priority, PublicationChange,
    PublishOutcome, TagChange,
};

use sip::Aor;

use super::Publications;
use crate::registry::publication;
use crate::statement::{Call, batch};
use crate::{StoreError, ordinal, rounds};

/// How often initial publications are tried whose rows are found, and gone when they are looked at.
const ATTEMPTS: usize = 5;

impl Publications<'_> {
    /// Stores initial publications, and says for each what to answer, in input order.
    ///
    /// A copy of a request finds its own row (`ruid`) and is answered as the first time. The same request later than 64*T1 is another
    /// one: what the row says is replaced, under a new entity-tag. A batch stands or falls as a whole:
    /// after [`StoreError::Conflict`] the caller tries the rows one by one.
    ///
    /// # Locks
    /// New keys of `presentity` by (presentity_uri, event, ruid), then `notify_queue` by key through the trigger. If some were found,
    /// then rows of `presentity` by (presentity_uri, event, id) and `notify_queue` once more, in a transaction of its own.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn create_batch(
        &self,
        rows: &[NewPublication],
    ) -> Result<Vec<PublishOutcome>, StoreError> {
        let (priority, by_age) = priorities(rows.iter().map(|row| row.priority));
        let new = batch!(
            rows,
            |row| publication::CreateBatch {
                username: &row.aor.username,
                domain: &row.aor.domain,
                event: &row.event,
                entity_tag: &row.entity_tag,
                granted_s: i64::from(row.granted_s),
                content_type: &row.content_type,
                body: &row.body[..],
                sender: &row.sender,
                has_dialog: row.note.has_dialog,
                ended: ended_literal(&row.note),
            },
            Once {
                now: self.0.now(),
                priority: priority,
                by_age: by_age,
            }
        );
        let found = publication::RenewBatch {
            username: new.username,
            domain: new.domain,
            event: new.event,
            entity_tag: new.entity_tag,
            granted_s: new.granted_s,
            content_type: new.content_type,
            body: new.body,
            sender: new.sender,
            has_dialog: new.has_dialog,
            ended: new.ended,
            now: new.now,
            priority: new.priority,
            by_age: new.by_age,
        };
        for _ in 0..ATTEMPTS {
            let created = self.0.execute(&new).await?;
            if created == rows.len() as u64 {
                let first = |row: &NewPublication| stored(&row.entity_tag, row.granted_s);
                return Ok(rows.iter().map(first).collect());
            }
            let answers = self.0.query(&found).await?;
            // One that was found may have been swept away meanwhile: then there is place for it now.
            if answers.len() == rows.len() {
                let mut outcomes = vec![PublishOutcome::ConditionFailed; rows.len()];
                for answer in &answers {
                    let index = ordinal(answer, "ord");
                    if let (Some(row), Some(outcome)) = (rows.get(index), outcomes.get_mut(index)) {
                        *outcome = stored(answer.get("entity_tag"), row.granted_s);
                    }
                }
                return Ok(outcomes);
            }
        }
        Err(StoreError::Unavailable {
            statement: publication::CreateBatch::STATEMENT.name,
            reason: "rows come and go too fast".to_owned(),
        })
    }

    /// Refreshes, modifies and removes publications by compare-and-swap on the entity-tag; outcomes in input order.
    ///
    /// A retransmission finds its own new tag, current or among the last four, and is answered 200 without a change.
    /// Two changes of one publication in one slice are carried out one after the other.
    ///
    /// # Locks
    /// Rows of `presentity` by (presentity_uri, event, id), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn change_batch(
        &self,
        rows: &[PublicationChange],
    ) -> Result<Vec<PublishOutcome>, StoreError> {
        let mut outcomes = vec![PublishOutcome::ConditionFailed; rows.len()];
        for round in rounds::split(rows.iter().map(|row| (&row.aor, &row.event, &row.if_match))) {
            let rows: Vec<&PublicationChange> = round.iter().map(|&index| &rows[index]).collect();
            for (index, outcome) in round.into_iter().zip(self.change_distinct(&rows).await?) {
                outcomes[index] = outcome;
            }
        }
        Ok(outcomes)
    }

    /// Changes of which no two name the same publication.
    async fn change_distinct(
        &self,
        rows: &[&PublicationChange],
    ) -> Result<Vec<PublishOutcome>, StoreError> {
        let (priority, by_age) = priorities(rows.iter().map(|row| row.priority));
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| publication::ChangeBatch {
                    presentity_uri: row.aor.uri(),
                    event: &row.event,
                    if_match: &row.if_match,
                    entity_tag: &row.entity_tag,
                    kind: verb(&row.kind),
                    granted_s: i64::from(row.granted_s),
                    content_type: state(&row.kind).map(|(content_type, ..)| content_type),
                    body: state(&row.kind).map(|(_, body, _)| body),
                    sender: row.sender.as_deref(),
                    keeps_tag: row.tag_change == TagChange::Kept,
                    has_dialog: state(&row.kind).is_some_and(|(.., note)| note.has_dialog),
                    ended: state(&row.kind).and_then(|(.., note)| ended_literal(note)),
                },
                Once {
                    now: self.0.now(),
                    priority: priority,
                    by_age: by_age,
                }
            ))
            .await?;
        let mut outcomes = vec![PublishOutcome::ConditionFailed; rows.len()];
        for answer in &answers {
            let index = ordinal(answer, "ord");
            if let (Some(row), Some(outcome)) = (rows.get(index), outcomes.get_mut(index)) {
                let entity_tag = match row.tag_change {
                    TagChange::Renewed => &row.entity_tag,
                    TagChange::Kept => &row.if_match,
                };
                *outcome = match row.kind {
                    ChangeKind::Remove => stored(entity_tag, 0),
                    _ => stored(entity_tag, row.granted_s),
                };
            }
        }
        Ok(outcomes)
    }

    /// Stores what a phone sets, and says whether it was stored: not for a copy, nor if the line has no such dialog, or one whose CSeq is
    /// ahead by more than `cseq_offset`.
    ///
    /// # Locks
    /// One row of `presentity`, then one of `notify_queue` through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn put_feature(
        &self,
        change: &FeatureChange,
        cseq_offset: u32,
    ) -> Result<bool, StoreError> {
        let (line, requester, dialog) = match &change.owner {
            FeatureOwner::Line(line) => (Some(line), None, None),
            FeatureOwner::Dialog {
                dialog,
                remote_cseq,
                acting,
            } => {
                let remote_cseq = i64::from(remote_cseq.saturating_add(cseq_offset));
                let (requester, line) = acting.as_ref().map(|(who, line)| (who, line)).unzip();
                (line, requester, Some((dialog, remote_cseq)))
            }
        };
        let (username, domain) = line.map(account).unzip();
        let (requester_username, requester_domain) = requester.map(account).unzip();
        let (dialog, remote_cseq) = dialog.unzip();
        let call_id = dialog.map(|dialog| &dialog.call_id);
        let to_tag = dialog.map(|dialog| &dialog.to_tag);
        let from_tag = dialog.map(|dialog| &dialog.from_tag);
        // Names the publication that this feature of a line is, for good.
        let ruid = format!("feature:{}", change.feature);
        let lifetime_s = change.lifetime_s.map(i64::from);
        let stored = self
            .0
            .execute(&publication::PutFeature {
                username: &username,
                domain: &domain,
                event: &change.event,
                callid: &call_id,
                to_tag: &to_tag,
                from_tag: &from_tag,
                remote_cseq: &remote_cseq,
                requester_username: &requester_username,
                requester_domain: &requester_domain,
                ruid: &ruid,
                entity_tag: &change.entity_tag,
                content_type: &change.content_type,
                body: &change.body.as_ref(),
                lifetime_s: &lifetime_s,
                now: &self.0.now(),
            })
            .await?;
        Ok(stored > 0)
    }
}

/// The columns of an address.
fn account(aor: &Aor) -> (&str, &str) {
    (&aor.username, &aor.domain)
}

/// The priorities that are given, if any is, and whether those that are not come from the clock: a server has it one way or the other.
fn priorities(rows: impl Iterator<Item = Priority> + Clone) -> (Option<Vec<Option<i64>>>, bool) {
    let given = |priority| match priority {
        Priority::Given(number) => Some(number),
        Priority::Kept | Priority::ByAge => None,
    };
    let by_age = rows.clone().any(|priority| priority == Priority::ByAge);
    let is_given = rows.clone().any(|priority| given(priority).is_some());
    (is_given.then(|| rows.map(given).collect()), by_age)
}

/// The keys of ended dialogs as PostgreSQL writes an array: one parameter holds those of a whole batch, and its arrays of arrays are
/// rectangles.
fn ended_literal(note: &BodyNote) -> Option<String> {
    if note.ended.is_empty() {
        return None;
    }
    let keys: Vec<String> = note.ended.iter().map(i64::to_string).collect();
    Some(format!("{{{}}}", keys.join(",")))
}

/// What the statement calls a change.
fn verb(kind: &ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Refresh => "refresh",
        ChangeKind::Modify { .. } => "modify",
        ChangeKind::Remove => "remove",
    }
}

/// The new state, if there is one: its media type, its octets, and what is stored beside them.
fn state(kind: &ChangeKind) -> Option<(&str, &[u8], &BodyNote)> {
    match kind {
        ChangeKind::Modify {
            content_type,
            body,
            note,
        } => Some((content_type, body, note)),
        ChangeKind::Refresh | ChangeKind::Remove => None,
    }
}

fn stored(entity_tag: &str, expires_s: u32) -> PublishOutcome {
    PublishOutcome::Stored {
        entity_tag: entity_tag.to_owned(),
        expires_s,
    }
}
