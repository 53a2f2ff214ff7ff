//! Publications: rows of `presentity`. RFC 3903 section 6.

use std::time::Duration;

use bytes::Bytes;

use crate::registry::{self, Statement};
use crate::{Resource, Store, StoreError, rounds};

/// An initial PUBLISH: no SIP-If-Match. RFC 3903 section 4.1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPublication {
    /// User part of the presentity; `""` if it has none.
    pub username: String,
    /// Host of the presentity in lower case; `""` for `tel:`.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Derived from the request, so that a retransmission carries the same one; also names the publication for good (`ruid`).
    pub entity_tag: String,
    /// Lifetime in seconds.
    pub granted_s: u32,
    /// Media type of the body.
    pub content_type: String,
    /// The published document.
    pub body: Bytes,
    /// Who published, as Kamailio's `sender`; `""` if unknown.
    pub sender: String,
}

/// A PUBLISH with SIP-If-Match. RFC 3903 sections 4.2 to 4.5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationChange {
    /// Whose publication.
    pub resource: Resource,
    /// SIP-If-Match: the entity-tag that must be the current one.
    pub if_match: String,
    /// The derived new entity-tag.
    pub entity_tag: String,
    /// What to do.
    pub kind: ChangeKind,
    /// Lifetime in seconds; ignored by [`ChangeKind::Remove`].
    pub granted_s: u32,
}

/// What a PUBLISH with SIP-If-Match asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// Live longer, same body. Notifies nobody.
    Refresh,
    /// New body.
    Modify {
        /// Media type of the body.
        content_type: String,
        /// The published document.
        body: Bytes,
    },
    /// The publication ends.
    Remove,
}

/// What became of a PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Stored, now or by an earlier copy of the same request. Answer 200.
    Stored {
        /// SIP-ETag of the answer.
        entity_tag: String,
        /// Expires of the answer.
        expires_s: u32,
    },
    /// SIP-If-Match names no live publication of this resource. Answer 412.
    ConditionFailed,
}

/// One live publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Position in the slice given to [`Publications::list`].
    pub resource_index: usize,
    /// Row id.
    pub id: i64,
    /// Media type, `""` = the package's own.
    pub content_type: String,
    /// The published document.
    pub body: Bytes,
    /// Current entity-tag.
    pub entity_tag: String,
    /// Who published.
    pub sender: String,
}

/// The statements of this area; see [`Store::publication`].
#[derive(Clone, Copy, Debug)]
pub struct Publications<'a>(pub(crate) &'a Store);

impl Publications<'_> {
    /// Stores initial publications, and says for each what to answer, in input order.
    ///
    /// A repeated request finds its own row (`ruid`) and is answered as the first time. A batch stands or falls as a whole:
    /// after [`StoreError::Conflict`] the caller tries the rows one by one.
    ///
    /// # Locks
    /// New keys of `presentity` by (presentity_uri, event, ruid), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn create_batch(&self, rows: &[NewPublication]) -> Result<Vec<PublishOutcome>, StoreError> {
        todo!()
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
    pub async fn change_batch(&self, rows: &[PublicationChange]) -> Result<Vec<PublishOutcome>, StoreError> {
        todo!()
    }

    /// The live publications of the resources, each resource's together, newest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list(&self, resources: &[Resource]) -> Result<Vec<Publication>, StoreError> {
        todo!()
    }

    /// Ends up to `limit` publications whose time is up, and forgets ended ones after 64*T1. Returns how many rows it
    /// touched: call again at once when that is `limit` or more. `quiet` (`force_delete`) tells no watcher.
    ///
    /// # Locks
    /// Free rows of `presentity` only (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn expire_batch(&self, limit: u32, quiet: bool) -> Result<u64, StoreError> {
        todo!()
    }
}
