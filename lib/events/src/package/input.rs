//! What a document is made of: the rows of one resource, and the time. What is stored of a body so that it can be.

use crate::document::watcherinfo::WatcherRecord;
use crate::document::{DocumentState, PublishedBody};

/// All that the document of one resource depends on.
#[derive(Debug, Clone, Copy, Default)]
pub struct MergeInput<'a> {
    /// The presentity's URI.
    pub presentity: &'a str,
    /// Its live publications, in any order.
    pub publications: &'a [Publication<'a>],
    /// For watcher information, instead of publications: who watches. All of them for full state; for partial state those
    /// whose state changed since the NOTIFY before.
    pub watchers: &'a [WatcherRecord<'a>],
    /// Dialogs known to have terminated whose publication has changed or ended since. Such a dialog must not come back to life
    /// when an older publication, written by a slower server, still says `early` (RFC 4235 section 3.7.1). Only the dialog
    /// packages look here.
    pub ended: &'a [Ended],
    /// Full or partial. Packages that only know full state give it for either.
    pub state: DocumentState,
    /// Epoch second.
    pub now: i64,
}

/// A live row of table `presentity`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Publication<'a> {
    /// The row's number: grows with each new publication, stays through refreshes and modifications.
    pub id: i64,
    /// Content-Type of the PUBLISH; empty for the package's own type.
    pub content_type: &'a str,
    /// The body as it was published, or as somebody wrote it into the table.
    pub body: &'a [u8],
    /// Current entity-tag. It tells who published ([`super::Publisher`]).
    pub entity_tag: &'a str,
    /// Who published, a URI; empty if unknown.
    pub sender: &'a str,
    /// Epoch second at which the present body came. A refresh leaves it alone.
    pub received_time: i64,
    /// The same, finer: epoch microsecond, from column `modified`; 0 if unknown.
    pub modified_us: i64,
    /// Epoch second at which it ends, -1 for never.
    pub expires: i64,
    /// Column `priority`.
    pub priority: i64,
}

/// The end of a dialog that is remembered although no body says it any more ([`MergeInput::ended`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// One of the keys that [`note`](crate::document::dialog_info::note) gave for the body that said so.
    pub key: i64,
    /// When that body came, epoch microsecond.
    pub at_us: i64,
}

/// What the database must know of a published body beyond its octets. Nothing, for most packages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BodyNote {
    /// Keys of the dialogs that it calls terminated ([`MergeInput::ended`]).
    pub ended: Vec<i64>,
    /// `dialog;sla`: it has a dialog, so another phone's body without one does not replace it.
    pub has_dialog: bool,
}

impl<'a> Publication<'a> {
    /// The part that a merge of presence documents needs.
    pub fn published_body(&self) -> PublishedBody<'a> {
        PublishedBody {
            id: self.id,
            content_type: self.content_type,
            body: self.body,
        }
    }
}
