//! The one publication that a source has of a resource: what `presence_publish` writes in SQL, and PUT by HTTP.
//!
//! A source is a name that a program gives itself. Conditions are those of HTTP (RFC 9110 section 13.1), looked at under the
//! row's lock by the statement that writes.

use bytes::Bytes;
use events::publication::PutIntent;
use sip::Aor;

use super::Publications;
use crate::registry::publication;
use crate::statement::Call;
use crate::{Resource, StoreError};

/// How often a publication may come and go between two statements of one request.
const ROUNDS: u32 = 8;

/// What a source wants to have done to its publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceChange {
    /// The presentity.
    pub aor: Aor,
    /// Event package.
    pub event: String,
    /// Who publishes.
    pub source: String,
    /// The next entity-tag: of this request alone, so that a repetition is known.
    pub entity_tag: String,
    /// What to do.
    pub verb: SourceVerb,
    /// Under which conditions.
    pub precondition: Precondition,
}

/// See [`SourceChange::verb`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceVerb {
    /// Publish this, in place of what there is.
    Put(PutIntent),
    /// End it.
    Remove,
}

/// Conditions on the publication as it is now. Both must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Precondition {
    /// It is there, with one of these tags.
    pub if_match: Option<EntityTags>,
    /// It is not there, or with none of these tags.
    pub if_none_match: Option<EntityTags>,
}

/// The value of If-Match or If-None-Match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntityTags {
    /// `*`
    Any,
    /// One of these; of none, nothing matches.
    OneOf(Vec<String>),
}

/// What became of a [`SourceChange`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceOutcome {
    /// There was no live publication of this source, and now there is.
    Created,
    /// There was one, and it is another now.
    Changed,
    /// It has ended.
    Removed,
    /// A condition does not hold; nothing was changed.
    ConditionFailed,
    /// There is nothing to end.
    Absent,
}

/// The live publication of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnPublication {
    /// Media type, `""` = the package's own.
    pub content_type: String,
    /// The document, as it was published.
    pub body: Bytes,
    /// Current entity-tag.
    pub entity_tag: String,
    /// Seconds that are left; `None`: it stays.
    pub expires_s: Option<i64>,
}

impl Publications<'_> {
    /// The live publication of a source, if it has one.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_source(
        &self,
        resource: &Resource,
        source: &str,
    ) -> Result<Option<OwnPublication>, StoreError> {
        let now = self.0.now();
        let rows = self
            .0
            .query(&publication::FindSource {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
                source: &source,
                now: &now,
            })
            .await?;
        Ok(rows.first().map(|row| OwnPublication {
            content_type: row.get("content_type"),
            body: Bytes::from(row.get::<_, Vec<u8>>("body")),
            entity_tag: row.get("etag"),
            expires_s: row.get("expires_s"),
        }))
    }

    /// Publishes or ends what a source says of a resource, by compare-and-swap. May be repeated: a repetition finds its own tag.
    ///
    /// # Locks
    /// One row of `presentity`, then one of `notify_queue` through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn change_source(&self, change: &SourceChange) -> Result<SourceOutcome, StoreError> {
        for _ in 0..ROUNDS {
            if let Some(outcome) = self.change_stored(change).await? {
                return Ok(outcome);
            }
            // There is no row, so no tag matches, and every tag is none of its own.
            if change.precondition.if_match.is_some() {
                return Ok(SourceOutcome::ConditionFailed);
            }
            if change.verb == SourceVerb::Remove {
                return Ok(SourceOutcome::Absent);
            }
            if self.create_source(change).await? {
                return Ok(SourceOutcome::Created);
            }
        }
        Err(StoreError::Unavailable {
            statement: publication::CreateSource::STATEMENT.name,
            reason: "the publication comes and goes too quickly".to_owned(),
        })
    }

    /// Nothing, if there is no row: neither a live one nor one that remembers an end.
    async fn change_stored(
        &self,
        change: &SourceChange,
    ) -> Result<Option<SourceOutcome>, StoreError> {
        let put = Columns::of(&change.verb);
        let Precondition {
            if_match,
            if_none_match,
        } = &change.precondition;
        let if_match = if_match.as_ref().map(EntityTags::column);
        let if_none_match = if_none_match.as_ref().map(EntityTags::column);
        let rows = self
            .0
            .query(&publication::ChangeSource {
                presentity_uri: &change.aor.uri(),
                event: &change.event,
                source: &change.source,
                entity_tag: &change.entity_tag,
                if_match: &if_match,
                if_none_match: &if_none_match,
                granted_s: &put.granted_s,
                content_type: &put.content_type,
                body: &put.body,
                has_dialog: &put.has_dialog,
                ended: &put.ended,
                now: &self.0.now(),
            })
            .await?;
        let removes = change.verb == SourceVerb::Remove;
        Ok(rows.first().map(|row| match row.get::<_, &str>("outcome") {
            "refused" => SourceOutcome::ConditionFailed,
            "absent" => SourceOutcome::Absent,
            _ if removes => SourceOutcome::Removed,
            "created" => SourceOutcome::Created,
            _ => SourceOutcome::Changed,
        }))
    }

    /// Whether there was still no row.
    async fn create_source(&self, change: &SourceChange) -> Result<bool, StoreError> {
        let put = Columns::of(&change.verb);
        let created = self
            .0
            .execute(&publication::CreateSource {
                username: &change.aor.username,
                domain: &change.aor.domain,
                event: &change.event,
                source: &change.source,
                entity_tag: &change.entity_tag,
                granted_s: &put.granted_s,
                content_type: &put.content_type,
                body: &put.body,
                has_dialog: &put.has_dialog,
                ended: &put.ended,
                now: &self.0.now(),
            })
            .await?;
        Ok(created > 0)
    }
}

/// What is stored, as columns; all null to end a publication.
#[derive(Default)]
struct Columns<'a> {
    granted_s: Option<i64>,
    content_type: Option<&'a str>,
    body: Option<&'a [u8]>,
    has_dialog: Option<bool>,
    ended: Option<&'a [i64]>,
}

// === impl Columns ===

impl Columns<'_> {
    fn of(verb: &SourceVerb) -> Columns<'_> {
        match verb {
            SourceVerb::Put(put) => Columns {
                granted_s: Some(i64::from(put.granted_s)),
                content_type: Some(&put.content_type),
                body: Some(&put.body),
                has_dialog: Some(put.note.has_dialog),
                ended: Some(&put.note.ended),
            },
            SourceVerb::Remove => Columns::default(),
        }
    }
}

// === impl EntityTags ===

impl EntityTags {
    /// Whether what has this tag is meant; what is not there has none.
    pub fn matches(&self, current: Option<&str>) -> bool {
        match (self, current) {
            (_, None) => false,
            (EntityTags::Any, Some(_)) => true,
            (EntityTags::OneOf(tags), Some(current)) => tags.iter().any(|tag| tag == current),
        }
    }

    /// Empty for any; a tag that nothing has (column `etag` is never empty) for none.
    fn column(&self) -> Vec<&str> {
        match self {
            EntityTags::Any => Vec::new(),
            EntityTags::OneOf(tags) if tags.is_empty() => vec![""],
            EntityTags::OneOf(tags) => tags.iter().map(String::as_str).collect(),
        }
    }
}
