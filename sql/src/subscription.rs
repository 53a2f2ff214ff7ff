//! Subscription dialogs: rows of `active_watchers`.
//!
//! A SUBSCRIBE writes them (`request`). A NOTIFY takes them (`notice`), and its answer is settled (`verdict`). In time they end and are
//! forgotten (`sweep`). Who watches the watchers is shown them (`watched`).

use crate::Store;

pub(crate) mod notice;
pub(crate) mod request;
mod sweep;
pub(crate) mod verdict;
pub(crate) mod watched;

/// The statements of this area; see [`Store::subscription`].
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions<'a>(pub(crate) &'a Store);
