//! The only crate that talks to PostgreSQL at run time: one [`Store`], one method per statement.
//!
//! Every statement lives in `sql/statements/<area>/<verb>_<object>.sql` with a header that the contract test holds it to.
//! This crate owns the pool, the deadlines, the bounded retry of serialisation failures and the meaning of an SQLSTATE
//! ([`StoreError`]). What is asked of the database, and what it answers, is said in the words of `events` where a request or a script
//! asks it, which is decided there and not here; else in the structs named here. Other rows do not leave this crate.

mod doorbell;
mod error;
mod identity;
mod import;
mod judge;
mod kamailio;
mod maintenance;
mod node;
mod operator;
mod publication;
mod quarantine;
mod queue;
mod registry;
mod ringer;
mod rounds;
mod route_set;
mod script;
mod statement;
mod store;
mod subscription;
mod watcher;

pub use crate::node::{NewNode, Node, NodeRow, Nodes};
pub use crate::script::Script;
pub use doorbell::Doorbell;
pub use error::StoreError;
pub use identity::{Delegation, Identity, NewPassword, PasswordHashes, Subscriber};
pub use import::dialog::ImportedDialog;
pub use import::publication::ImportedPublication;
pub use import::rules::{ImportedDecision, ImportedDocument};
pub use import::{Import, ImportOutcome};
pub use judge::{Grounds, Judge, LargeDocuments, Ruled};
pub use kamailio::{
    Kamailio, KamailioDecision, KamailioDialog, KamailioDocument, KamailioPublication,
};
pub use maintenance::Maintenance;
pub use operator::{
    Backlog, Cleaning, Failing, ListedPresentity, ListedSubscription, ListedWatcher, Operator,
    OwedResource, Page, Process, SetAside, WatchedBy,
};
pub use publication::{
    ClaimedViews, DialogEnd, DocumentSource, EntityTags, Listed, Mark, MarkOf, OwnPublication,
    Precondition, Publication, Publications, SourceChange, SourceOutcome, SourceVerb,
};
pub use quarantine::{Part, Quarantine, Refused};
pub use queue::{
    Claimed, Claiming, Decided, LastChange, NextChange, Queue, Renewed, SettledResource, TakenState,
};
pub use registry::STATEMENTS;
pub use ringer::Ringer;
pub use statement::Statement;
pub use store::{SESSION_SETTINGS, Store, StoreOptions};
pub use subscription::Subscriptions;
pub use subscription::notice::{Offer, Seen, Taken, TakenDialog, WatchingDialog};
pub use subscription::verdict::{AfterNotify, DialogVerdict, Rest, Written};
pub use subscription::watched::{WatchedResource, Watcher};
pub use tables::Tables;
pub use watcher::{
    DecidedDialog, DecidedWatcher, Person, Presentity, StoredDecision, Subject, Watchers,
};

/// A presentity and one event package: the unit of work and of ownership, a row of `notify_queue`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// Canonical `sip:user@domain` (or `tel:…`).
    pub presentity_uri: String,
    /// Name of the event package as Kamailio's `event` column has it: `presence`, `dialog;sla`.
    pub event: String,
}

/// The index that a column with an ordinal from 1 stands for.
fn ordinal(row: &tokio_postgres::Row, column: &str) -> usize {
    usize::try_from(row.get::<_, i64>(column))
        .unwrap_or(0)
        .saturating_sub(1)
}
