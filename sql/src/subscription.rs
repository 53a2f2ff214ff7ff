//! Subscription dialogs: rows of `active_watchers`. What a SUBSCRIBE does to them is in `request`, what a NOTIFY does in `notice`, who is
//! shown to whoever watches the watchers in `watched`.

use crate::Store;

pub(crate) mod notice;
pub(crate) mod request;
pub(crate) mod watched;

/// The statements of this area; see [`Store::subscription`].
#[derive(Clone, Copy, Debug)]
pub struct Subscriptions<'a>(pub(crate) &'a Store);
