//! What the answer to a NOTIFY, or its absence, means for a dialog, written down.

use super::Subscriptions;
use crate::registry::subscription;
use crate::statement::batch;
use crate::{StoreError, ordinal};

/// What a final answer, or its absence, means for a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogVerdict {
    /// Row id.
    pub id: i64,
    /// As taken: a SUBSCRIBE that has come since then proves the subscriber alive and voids the verdict.
    pub remote_cseq: u32,
    /// As taken: the answer of an old address says nothing about the new one.
    pub target_version: i32,
    /// What to do.
    pub verdict: AfterNotify,
    /// Why the NOTIFY failed, in words, if it is to be tried again.
    pub failure: String,
}

/// What to do with a dialog after its NOTIFY.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterNotify {
    /// Delivered. Needed only if [`TakenDialog::failures`](crate::TakenDialog::failures) is not 0; else a 2xx writes nothing.
    Delivered,
    /// The dialog is over: its terminating NOTIFY was sent, or the subscriber is gone.
    Ended,
    /// Delivered, and it did not show all: the next one is due.
    More(Rest),
    /// The NOTIFY is still due; try again no earlier than in this many seconds.
    Retry {
        /// Seconds.
        after_s: u32,
    },
}

/// What further NOTIFYs have still to show, of a document that is sent in pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// It goes on after this [`crate::Watcher::id`]; `None`: it begins anew.
    pub told_to: Option<i64>,
    /// No earlier than in so many seconds.
    pub after_s: u32,
}

/// What became of verdicts, by their positions. Those that are in neither did not apply any more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// They are written down.
    pub written: Vec<usize>,
    /// Somebody holds a row that they need.
    pub left_behind: Vec<usize>,
}

impl Subscriptions<'_> {
    /// Writes verdicts down. Must be committed before the resource is settled ([`crate::Queue::settle`]), or a crash in between would
    /// lose a retry.
    ///
    /// # Locks
    /// Free rows of `active_watchers` (SKIP LOCKED) by (presentity_uri, event, id), then of `notify_queue` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn settle_batch(&self, verdicts: &[DialogVerdict]) -> Result<Written, StoreError> {
        let mut outcome = Written::default();
        if verdicts.is_empty() {
            return Ok(outcome);
        }
        let rows = self
            .0
            .query(&batch!(
                verdicts,
                |verdict| subscription::SettleBatch {
                    id: verdict.id,
                    remote_cseq: i64::from(verdict.remote_cseq),
                    target_version: verdict.target_version,
                    verdict: verdict.verdict.name(),
                    after_s: verdict.verdict.after_s(),
                    failure: &verdict.failure,
                    told_to: verdict.verdict.told_to(),
                },
                Once { now: self.0.now() }
            ))
            .await?;
        for row in &rows {
            let places = match row.get("written") {
                true => &mut outcome.written,
                false => &mut outcome.left_behind,
            };
            places.push(ordinal(row, "verdict"));
        }
        Ok(outcome)
    }
}

// === impl AfterNotify ===

impl AfterNotify {
    /// As the statement calls it.
    fn name(self) -> &'static str {
        match self {
            AfterNotify::Delivered => "delivered",
            AfterNotify::Ended => "ended",
            AfterNotify::More(_) => "more",
            AfterNotify::Retry { .. } => "retry",
        }
    }

    fn after_s(self) -> i64 {
        match self {
            AfterNotify::Delivered | AfterNotify::Ended => 0,
            AfterNotify::More(Rest { after_s, .. }) | AfterNotify::Retry { after_s } => {
                after_s.into()
            }
        }
    }

    fn told_to(self) -> Option<i64> {
        match self {
            AfterNotify::More(rest) => rest.told_to,
            AfterNotify::Delivered | AfterNotify::Ended | AfterNotify::Retry { .. } => None,
        }
    }
}
