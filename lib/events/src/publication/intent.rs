//! What a PUBLISH asks the database to do, and what can become of it: said here once, for who decides, stores and answers.

use bytes::Bytes;
use sip::Aor;

use crate::package::{BodyNote, TagChange};

/// What a PUBLISH asks the database to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishIntent {
    /// Initial: there was no SIP-If-Match.
    Create(NewPublication),
    /// Refresh, modify or remove what SIP-If-Match names.
    Change(PublicationChange),
}

/// A publication to be created (RFC 3903 section 4.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPublication {
    /// The presentity.
    pub aor: Aor,
    /// Name of the event package.
    pub event: String,
    /// Its first entity-tag, derived from the request, so that a retransmission carries the same one; also names the publication
    /// for good.
    pub entity_tag: String,
    /// Seconds that it lives.
    pub granted_s: u32,
    /// Media type of the body, in lower case, without parameters.
    pub content_type: String,
    /// The body; checked by the package.
    pub body: Bytes,
    /// Who publishes where the package needs it, else empty.
    pub sender: String,
    /// Which of several publications comes first.
    pub priority: Priority,
    /// What has to be stored beside the body.
    pub note: BodyNote,
}

/// A change of a publication that exists, if its entity-tag is still `if_match` (RFC 3903 sections 4.2 to 4.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicationChange {
    /// The presentity.
    pub aor: Aor,
    /// Name of the event package.
    pub event: String,
    /// The entity-tag that the publisher believes current.
    pub if_match: String,
    /// What names this request, derived from it: the next entity-tag, if the package renews them.
    pub entity_tag: String,
    /// Whether it becomes the entity-tag, or is only remembered, so that a copy of the request is known.
    pub tag_change: TagChange,
    /// What is to change.
    pub kind: ChangeKind,
    /// Seconds that it lives from now; 0 for a removal.
    pub granted_s: u32,
    /// Who publishes (empty if unknown), where the package needs it. A refresh leaves it as it is.
    pub sender: Option<String>,
    /// Which of several publications comes first.
    pub priority: Priority,
}

/// What changes about a publication (RFC 3903 section 4, table 1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its end moves; the state stays, and nobody is notified.
    Refresh,
    /// It gets another state.
    Modify {
        /// Media type of the body, in lower case, without parameters.
        content_type: String,
        /// The body; checked by the package.
        body: Bytes,
        /// What has to be stored beside it.
        note: BodyNote,
    },
    /// It ends now.
    Remove,
}

/// What becomes of the number that puts publications in order (Kamailio's `xavp_cfg`, column `priority`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Priority {
    /// It stays as it is; 0 at first.
    #[default]
    Kept,
    /// A new body has the time at which it came: the seconds since 2015, by the database's clock.
    ByAge,
    /// This.
    Given(i64),
}

/// What became of a PUBLISH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Stored, now or by an earlier copy of the same request. Answer 200.
    Stored {
        /// SIP-ETag of the answer.
        entity_tag: String,
        /// How long the publication lives, in seconds.
        expires_s: u32,
    },
    /// SIP-If-Match names no live publication of this resource. Answer 412.
    ConditionFailed,
}
