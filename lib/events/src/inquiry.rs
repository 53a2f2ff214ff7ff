//! What the operator's script asks that only the database knows, and what it orders there.
//!
//! The words are the guide's functions (`pres_auth_status` and so on): the script's side and the database's side both speak them, and
//! know nothing else of each other.

use crate::subscription::DialogId;

/// A question or an order of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Inquiry {
    /// `pres_auth_status(watcher_uri, presentity_uri)`
    AuthStatus {
        /// Who would watch.
        watcher_uri: String,
        /// Whom.
        presentity_uri: String,
    },
    /// `pres_has_subscribers(presentity_uri, event)`
    HasSubscribers {
        /// Whose watchers.
        presentity_uri: String,
        /// Of which package.
        event: String,
    },
    /// `pres_refresh_watchers(uri, event, type[, file_uri, filename])`
    RefreshWatchers {
        /// Whose watchers.
        uri: String,
        /// Of which package.
        event: String,
        /// 0 rules, 1 state, 2 a pidf-manipulation document.
        kind: i32,
        /// That document's URI and name.
        file: Option<(String, String)>,
    },
    /// `pres_update_watchers(uri, event)`
    UpdateWatchers {
        /// Whose watchers.
        uri: String,
        /// Of which package.
        event: String,
    },
    /// An attribute of `subs` that is not known without the database: what is stored of the subscription with this dialog.
    Subscription(DialogId),
}

/// The answer to an [`Inquiry`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The guide's return code: 1, or what was asked for; -1 if it is not so, makes no sense, or nobody can tell.
    Code(i64),
    /// What is stored of a subscription, if there is one.
    Subscription(Option<Box<StoredSubscription>>),
}

/// A subscription as it is stored: the columns of `active_watchers` that the guide's `$subs(attr)` shows, beside the dialog itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the columns")]
pub struct StoredSubscription {
    pub presentity_uri: String,
    pub to_user: String,
    pub to_domain: String,
    pub from_user: String,
    pub from_domain: String,
    pub watcher_username: String,
    pub watcher_domain: String,
    pub event: String,
    pub event_id: String,
    pub contact: String,
    pub local_contact: String,
    pub record_route: String,
    pub reason: String,
    pub user_agent: String,
    pub remote_cseq: i64,
    pub local_cseq: i64,
    /// Seconds that are left.
    pub expires_s: i64,
    pub version: i64,
    pub flags: i64,
    pub status: i64,
}

impl Inquiry {
    /// Whether it is an order after which watchers are owed something.
    pub fn is_order(&self) -> bool {
        matches!(
            self,
            Inquiry::RefreshWatchers { .. } | Inquiry::UpdateWatchers { .. }
        )
    }
}
