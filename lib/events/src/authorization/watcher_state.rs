//! What becomes of a subscription: RFC 3857 section 4.7.1 and RFC 6665 section 4.2.2, as a table without state of its own.
//!
//! Two rows tell of a subscription. Its dialog (`active_watchers`) is active, pending or terminated. The watcher (`watchers`), a
//! person and not a dialog, has the decision; and waits when a pending subscription ended undecided, so that the presentity still
//! learns of it. RFC 3857 has no way back from active to pending: an active watcher who is to be confirmed is `deactivated`, which
//! asks for a new subscription at once (RFC 6665 section 4.1.3), and that one is pending.

use super::auth_status::POLITE_BLOCK;
use super::evaluate::{Basis, Decision};
use super::ruleset::SubHandling;
use super::view::View;
use crate::notification::SubscriptionStatus;

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
    /// The row of a decision. `removed_reason` is what a watcher is told to whom no rule applies (`xcapauth_userdel_reason`):
    /// `probation` by default, may carry `;retry-after=30`.
    pub fn of(decision: &Decision, removed_reason: &str) -> Self {
        let (status, reason) = match (decision.handling, decision.basis) {
            (SubHandling::Allow, _) => (SubscriptionStatus::Active, ""),
            (SubHandling::PoliteBlock, _) => (SubscriptionStatus::Active, POLITE_BLOCK),
            (SubHandling::Confirm, _) => (SubscriptionStatus::Pending, ""),
            (SubHandling::Block, Basis::NoRule) => (SubscriptionStatus::Terminated, removed_reason),
            (SubHandling::Block, _) => (SubscriptionStatus::Terminated, Reason::Rejected.name()),
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

/// Why a subscription ended (RFC 6665 section 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Ended by us; the watcher should subscribe anew at once.
    Deactivated,
    /// Ended by us; the watcher may subscribe anew later.
    Probation,
    /// Not permitted, or no longer; the watcher should not come back.
    Rejected,
    /// Not refreshed in time, or unsubscribed.
    Timeout,
    /// Nobody decided in time; the watcher may try again.
    GiveUp,
    /// There is no such presentity any more.
    NoResource,
}

impl Reason {
    /// The name on the wire, in columns `reason`, and as an event of watcher information.
    pub fn name(self) -> &'static str {
        match self {
            Self::Deactivated => "deactivated",
            Self::Probation => "probation",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::GiveUp => "giveup",
            Self::NoResource => "noresource",
        }
    }

    /// The reason that a column says, parameters aside.
    pub fn of(text: &str) -> Option<Self> {
        let name = text.split(';').next().unwrap_or(text).trim();
        [
            Self::Deactivated,
            Self::Probation,
            Self::Rejected,
            Self::Timeout,
            Self::GiveUp,
            Self::NoResource,
        ]
        .into_iter()
        .find(|reason| reason.name().eq_ignore_ascii_case(name))
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
    /// Its time is over, or the watcher unsubscribed: for RFC 3857 both are `timeout`.
    Expire,
    /// We end it: waited long enough (giveup), presentity gone (noresource), moved elsewhere (deactivated), overloaded (probation).
    End(Reason),
}

/// What watcher information says happened (RFC 3858 section 4.3.2, attribute `event`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WatcherEvent {
    /// A subscription was made.
    Subscribe,
    /// It was permitted.
    Approved,
    /// It ended.
    Ended(Reason),
}

impl WatcherEvent {
    /// The name in watcher information.
    pub fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Approved => "approved",
            Self::Ended(reason) => reason.name(),
        }
    }
}

/// Whether the watcher must be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Notify {
    /// A NOTIFY is owed to the dialog.
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
    /// What watcher information tells of it, if it changed: the watcher's status and the event.
    pub watcherinfo: Option<(SubscriptionStatus, WatcherEvent)>,
}

/// What an occasion does to a subscription of this status; none: there was no subscription, or the watcher is not known.
pub fn step(status: Option<SubscriptionStatus>, occasion: Occasion<'_>) -> Transition {
    use SubscriptionStatus::{Active, Pending, Terminated, Waiting};
    match (status, occasion) {
        (Some(Terminated), _) => unchanged(Terminated),
        (None | Some(Waiting), Occasion::Subscribe(decision)) => begin(decision),
        (None | Some(Waiting), Occasion::Fetch(decision)) => match decision.status {
            Pending => expire_undecided(),
            Active => end(Reason::Timeout, Reason::Timeout.name()),
            Terminated | Waiting => end(reason_of(decision), &decision.reason),
        },
        (Some(status @ (Active | Pending)), Occasion::Fetch(_)) => unchanged(status),
        (Some(status), Occasion::Subscribe(decision)) => Transition {
            // RFC 6665 section 4.2.1.2: every SUBSCRIBE is answered with a NOTIFY.
            notify: Notify::Owed,
            ..decide(status, decision)
        },
        (Some(Waiting), Occasion::Decide { after, .. }) => match after.status {
            Pending | Waiting => unchanged(Waiting),
            // Nobody is there any more to be told; the presentity is told that it need not decide again.
            Active => forget(WatcherEvent::Approved),
            Terminated => forget(WatcherEvent::Ended(reason_of(after))),
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
        (Some(Pending), Occasion::Expire) => expire_undecided(),
        (Some(Active), Occasion::Expire) => end(Reason::Timeout, Reason::Timeout.name()),
        (
            Some(Waiting),
            Occasion::End(reason @ (Reason::GiveUp | Reason::NoResource | Reason::Rejected)),
        ) => forget(WatcherEvent::Ended(reason)),
        // One who has been let in is not given up on.
        (Some(Active), Occasion::End(Reason::GiveUp)) => unchanged(Active),
        (Some(Active | Pending), Occasion::End(reason)) => end(reason, reason.name()),
        (Some(Waiting), _) => unchanged(Waiting),
        (None, _) => unchanged(Terminated),
    }
}

/// Whether a watcher has waited as long as is configured, and is given up on.
pub fn is_waiting_over(since_s: i64, now_s: i64, limit_s: u32) -> bool {
    now_s.saturating_sub(since_s) >= i64::from(limit_s)
}

/// A new subscription.
fn begin(decision: &DecisionRow) -> Transition {
    match decision.status {
        SubscriptionStatus::Active | SubscriptionStatus::Pending => Transition {
            status: decision.status,
            reason: String::new(),
            notify: Notify::Owed,
            watcherinfo: Some((decision.status, WatcherEvent::Subscribe)),
        },
        SubscriptionStatus::Terminated | SubscriptionStatus::Waiting => {
            end(reason_of(decision), &decision.reason)
        }
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
            watcherinfo: Some((Active, WatcherEvent::Approved)),
        },
        (Active, Pending) => end(Reason::Deactivated, Reason::Deactivated.name()),
        (Active | Pending, Terminated) => end(reason_of(decision), &decision.reason),
        (Active, _) | (Pending, _) | (Terminated, _) | (Waiting, _) => unchanged(status),
    }
}

/// RFC 3857 section 4.7.1: who goes before it was decided waits for the presentity to decide, also if it only was a fetch.
fn expire_undecided() -> Transition {
    Transition {
        watcherinfo: Some((
            SubscriptionStatus::Waiting,
            WatcherEvent::Ended(Reason::Timeout),
        )),
        ..end(Reason::Timeout, Reason::Timeout.name())
    }
}

fn end(reason: Reason, text: &str) -> Transition {
    Transition {
        status: SubscriptionStatus::Terminated,
        reason: text.to_owned(),
        notify: Notify::Owed,
        watcherinfo: Some((SubscriptionStatus::Terminated, WatcherEvent::Ended(reason))),
    }
}

/// A watcher who waited need not be remembered any longer.
fn forget(event: WatcherEvent) -> Transition {
    Transition {
        watcherinfo: Some((SubscriptionStatus::Terminated, event)),
        ..unchanged(SubscriptionStatus::Terminated)
    }
}

fn unchanged(status: SubscriptionStatus) -> Transition {
    Transition {
        status,
        reason: String::new(),
        notify: Notify::Nothing,
        watcherinfo: None,
    }
}

/// What a terminating decision says; refused, if it says nothing that RFC 6665 knows.
fn reason_of(decision: &DecisionRow) -> Reason {
    Reason::of(&decision.reason).unwrap_or(Reason::Rejected)
}

#[cfg(test)]
mod tests;
