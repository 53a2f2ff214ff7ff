//! Decisions about watchers: what they are made from (`ground`), and rows of `watchers` and `active_watchers` that they change
//! (`decision`). Who is never decided about waits, and is given up on (`waiting`). RFC 5025.
//!
//! What is decided, `events` says; the notifier decides that holds the row of `notify_queue` of the presentity's presence.

mod decision;
mod ground;
mod waiting;

use crate::Store;

pub use decision::{DecidedDialog, DecidedWatcher};
pub use ground::{Person, Presentity, Subject};
pub(crate) use waiting::whole_seconds;

/// The statements of this area; see [`Store::watcher`].
#[derive(Clone, Copy, Debug)]
pub struct Watchers<'a>(pub(crate) &'a Store);

/// A row of `watchers`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDecision {
    /// 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i16,
    /// `polite-block`, why it is terminated, or `""`.
    pub reason: String,
    /// As in [`crate::TakenDialog::view`]; `None` if it is not known.
    pub view: Option<String>,
    /// Epoch second at which the decision must be made again.
    pub recheck_at: Option<i64>,
}
