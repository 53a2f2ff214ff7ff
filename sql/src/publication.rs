//! Publications: rows of `presentity`.
//!
//! A PUBLISH writes them (`request`), a program by HTTP or SQL as well (`source`). Notifiers read what documents are made of (`listing`), and
//! give it to `events` in its own words (`input`). Streams look first whether anything has changed (`mark`). In time publications end
//! and are forgotten (`sweep`).

mod input;
mod listing;
mod mark;
mod request;
mod source;
mod sweep;

use crate::Store;

pub use input::DocumentSource;
pub use listing::{ClaimedViews, DialogEnd, Listed, Publication};
pub use mark::{Mark, MarkOf};
pub use source::{
    EntityTags, OwnPublication, Precondition, SourceChange, SourceOutcome, SourceVerb,
};

/// The statements of this area; see [`Store::publication`].
#[derive(Clone, Copy, Debug)]
pub struct Publications<'a>(pub(crate) &'a Store);
