//! What a decision makes of a subscription: RFC 3857 section 4.7.1 and RFC 6665 section 4.2.2, as a table without state of its own.
//!
//! Two rows tell of a subscription. Its dialog (`active_watchers`) is active, pending or terminated. The watcher (`watchers`), a
//! person and not a dialog, has the decision; and waits when a pending subscription ended undecided, so that the presentity still
//! learns of it. RFC 3857 has no way back from active to pending: an active watcher who is to be confirmed is `deactivated`, which
//! asks for a new subscription at once (RFC 6665 section 4.1.3), and that one is pending.
//!
//! What watcher information says led to a status is not said here: a trigger writes it down with each change of status, whoever makes
//! it (`active_watchers.status_event`).

use super::evaluate::{Basis, Decision};
use super::ruleset::SubHandling;
use super::view::View;
use crate::document::watcherinfo::WatcherEvent;
use crate::notification::SubscriptionStatus;

/// The reason by which a politely blocked watcher is told from an active one in column `watchers.reason`.
pub const POLITE_BLOCK: &str = "polite-block";

/// A decision as a row of `watchers` keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DecisionRow {
    /// Active, pending or terminated.
    pub status: SubscriptionStatus,
    /// Empty; `polite-block` for an active watcher who is shown nothing true; the reason of a termination.
    pub reason: String,
    /// [`View::encode`] of what is shown.
    pub view: String,
}

impl DecisionRow {
    /// The row of a decision. `removed_reason` is the reason if no rule applies to the watcher (`xcapauth_userdel_reason`):
    /// `probation` by default, may carry `;retry-after=30`.
    pub fn of(decision: &Decision, removed_reason: &str) -> Self {
        let (status, reason) = match (decision.handling, decision.basis) {
            (SubHandling::Allow, _) => (SubscriptionStatus::Active, ""),
            (SubHandling::PoliteBlock, _) => (SubscriptionStatus::Active, POLITE_BLOCK),
            (SubHandling::Confirm, _) => (SubscriptionStatus::Pending, ""),
            (SubHandling::Block, Basis::NoRule) => (SubscriptionStatus::Terminated, removed_reason),
            (SubHandling::Block, _) => (
                SubscriptionStatus::Terminated,
                WatcherEvent::Rejected.word(),
            ),
        };
        Self {
            status,
            reason: reason.to_owned(),
            view: decision.view.encode(),
        }
    }

    /// What a NOTIFY shows under this decision, be it the first, the last or any other. Of a view that cannot be read, nothing.
    pub fn shown(&self) -> Shown {
        match self.status {
            SubscriptionStatus::Active if self.reason == POLITE_BLOCK => Shown::Unavailable,
            SubscriptionStatus::Active => {
                Shown::Part(View::decode(&self.view).unwrap_or_else(View::nothing))
            }
            _ => Shown::NoBody,
        }
    }
}

/// What a NOTIFY shows.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Shown {
    /// What the view shows of the document, of an empty view an empty document.
    Part(View),
    /// [`polite_block`](super::view::polite_block).
    Unavailable,
    /// Nothing at all: who is not let in is not told whether there is anything to see.
    NoBody,
}

/// Column `active_watchers.view` of a dialog that is shown nothing at all.
pub const NO_BODY: &str = "none";

impl Shown {
    /// The text of column `active_watchers.view`; equal for what shows the same.
    pub fn encode(&self) -> String {
        match self {
            Self::Part(view) => view.encode(),
            Self::Unavailable => POLITE_BLOCK.to_owned(),
            Self::NoBody => NO_BODY.to_owned(),
        }
    }

    /// Reads that text. What cannot be read shows nothing of the document.
    pub fn decode(text: &str) -> Self {
        match text {
            POLITE_BLOCK => Self::Unavailable,
            NO_BODY => Self::NoBody,
            view => Self::Part(View::decode(view).unwrap_or_else(View::nothing)),
        }
    }
}

/// What happened to a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occasion<'a> {
    /// A SUBSCRIBE, the first or a refresh, about which was decided this.
    Subscribe(&'a DecisionRow),
    /// A SUBSCRIBE with Expires 0 outside of a dialog, about which was decided this (RFC 6665 section 4.4.3). Its one NOTIFY
    /// says terminated, and shows what the decision lets it see.
    Fetch(&'a DecisionRow),
    /// It was decided anew: another document, another sphere, another time.
    Decide {
        /// What was stored.
        before: &'a DecisionRow,
        /// What is to be stored.
        after: &'a DecisionRow,
    },
}

/// Whether the watcher must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notify {
    /// A NOTIFY is due for the dialog.
    Owed,
    /// Nothing changed for the watcher, or there is no dialog.
    Nothing,
}

/// What an occasion does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The dialog's status from now on. A watcher who waits has none; it says terminated.
    pub status: SubscriptionStatus,
    /// The dialog's reason: why it is terminated, or empty.
    pub reason: String,
    /// Whether its watcher is to be told.
    pub notify: Notify,
}

/// What an occasion does to a subscription of this status; none: there was no subscription, or the watcher is not known.
pub fn step(status: Option<SubscriptionStatus>, occasion: Occasion<'_>) -> Transition {
    use SubscriptionStatus::{Active, Pending, Terminated, Waiting};
    match (status, occasion) {
        (Some(Terminated), _) | (None, Occasion::Decide { .. }) => unchanged(Terminated),
        (None | Some(Waiting), Occasion::Subscribe(decision)) => begin(decision),
        (None | Some(Waiting), Occasion::Fetch(decision)) => match decision.status {
            // RFC 3857 section 4.7.1: who goes before it was decided waits for the presentity to decide, also if it only was a fetch.
            Active | Pending => end(WatcherEvent::Timeout.word()),
            Terminated | Waiting => end(&decision.reason),
        },
        (Some(status @ (Active | Pending)), Occasion::Fetch(_)) => unchanged(status),
        (Some(status), Occasion::Subscribe(decision)) => Transition {
            // RFC 6665 section 4.2.1.2: every SUBSCRIBE is answered with a NOTIFY.
            notify: Notify::Owed,
            ..decide(status, decision)
        },
        (Some(Waiting), Occasion::Decide { after, .. }) => match after.status {
            Pending | Waiting => unchanged(Waiting),
            // Nobody is there any more to be told.
            Active | Terminated => unchanged(Terminated),
        },
        (Some(status), Occasion::Decide { before, after }) => {
            let transition = decide(status, after);
            if status == Active && transition.status == Active && before != after {
                return Transition {
                    notify: Notify::Owed,
                    ..transition
                };
            }
            transition
        }
    }
}

/// A new subscription.
fn begin(decision: &DecisionRow) -> Transition {
    match decision.status {
        SubscriptionStatus::Active | SubscriptionStatus::Pending => Transition {
            status: decision.status,
            reason: String::new(),
            notify: Notify::Owed,
        },
        SubscriptionStatus::Terminated | SubscriptionStatus::Waiting => end(&decision.reason),
    }
}

/// A subscription of this status, active or pending, under a decision.
fn decide(status: SubscriptionStatus, decision: &DecisionRow) -> Transition {
    use SubscriptionStatus::{Active, Pending, Terminated, Waiting};
    match (status, decision.status) {
        (Pending, Active) => Transition {
            status: Active,
            reason: String::new(),
            notify: Notify::Owed,
        },
        (Active, Pending) => end(WatcherEvent::Deactivated.word()),
        (Active | Pending, Terminated) => end(&decision.reason),
        (Active, _) | (Pending, _) | (Terminated, _) | (Waiting, _) => unchanged(status),
    }
}

fn end(reason: &str) -> Transition {
    Transition {
        status: SubscriptionStatus::Terminated,
        reason: reason.to_owned(),
        notify: Notify::Owed,
    }
}

fn unchanged(status: SubscriptionStatus) -> Transition {
    Transition {
        status,
        reason: String::new(),
        notify: Notify::Nothing,
    }
}

#[cfg(test)]
mod tests;
