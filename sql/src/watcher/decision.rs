//! Decisions, written down: rows of `watchers` first, then the dialogs of these watchers in `active_watchers`.

use super::{StoredDecision, Watchers};
use crate::StoreError;
use crate::registry::watcher;
use crate::statement::batch;

/// A dialog that changes by a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedDialog {
    /// Row id.
    pub id: i64,
    /// As read: a dialog that is in another status by now stays as it is.
    pub status_before: i16,
    /// 1 active, 2 pending, 3 terminated.
    pub status: i16,
    /// Why it is terminated, or `""`; `None` keeps what there is.
    pub reason: Option<String>,
    /// As in [`crate::TakenDialog::view`].
    pub view: String,
    /// Its watcher is to be notified: a NOTIFY is due.
    pub tell: bool,
    /// [`Presentity::rules_version`](super::Presentity::rules_version) that it was decided by.
    pub rules_version: i64,
}

/// A decision about a watcher, to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedWatcher {
    /// Canonical URI of the presentity.
    pub presentity_uri: String,
    /// User of the watcher.
    pub username: String,
    /// Domain of the watcher.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Row id of a dialog of the watcher, if nothing is stored of the watcher yet.
    pub dialog: Option<i64>,
    /// The decision.
    pub decision: StoredDecision,
    /// [`Presentity::rules_version`](super::Presentity::rules_version) that it was decided by.
    pub rules_version: i64,
}

impl Watchers<'_> {
    /// Writes decisions down; returns how many dialogs changed. Nothing is written for presentities whose row `owner` no longer
    /// holds, nor to dialogs that have changed their status since they were read. No two decisions may be about one watcher.
    ///
    /// Watchers come first, each kind of write in a transaction of its own: whoever goes on after a crash in between finds the
    /// dialogs undecided, or other than the rules say, and decides the same again.
    ///
    /// # Locks
    /// Of `active_watchers` by (presentity_uri, event, id) or `watchers` by key, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn decide_batch(
        &self,
        owner: i64,
        held: &[&str],
        dialogs: &[DecidedDialog],
        watchers: &[DecidedWatcher],
    ) -> Result<u64, StoreError> {
        self.create_decided(owner, held, watchers).await?;
        self.change_decided(owner, held, watchers).await?;
        if dialogs.is_empty() {
            return Ok(0);
        }
        self.0
            .execute(&batch!(
                dialogs,
                |dialog| watcher::DecideBatch {
                    id: dialog.id,
                    status_before: dialog.status_before,
                    status: dialog.status,
                    reason: dialog.reason.as_deref(),
                    view: &dialog.view,
                    tell: dialog.tell,
                    rules_version: dialog.rules_version,
                },
                Once {
                    owner: owner,
                    held: held,
                    now: self.0.now(),
                }
            ))
            .await
    }

    async fn create_decided(
        &self,
        owner: i64,
        held: &[&str],
        watchers: &[DecidedWatcher],
    ) -> Result<u64, StoreError> {
        let new: Vec<&DecidedWatcher> = watchers
            .iter()
            .filter(|watcher| watcher.dialog.is_some())
            .collect();
        if new.is_empty() {
            return Ok(0);
        }
        self.0
            .execute(&batch!(
                new,
                |decided| watcher::CreateDecided {
                    dialog: decided.dialog,
                    presentity_uri: &decided.presentity_uri,
                    watcher_username: &decided.username,
                    watcher_domain: &decided.domain,
                    event: &decided.event,
                    status: decided.decision.status,
                    reason: &decided.decision.reason,
                    view: decided.decision.view.as_deref(),
                    rules_version: decided.rules_version,
                    recheck_at: decided.decision.recheck_at,
                },
                Once {
                    owner: owner,
                    held: held,
                    now: self.0.now(),
                }
            ))
            .await
    }

    /// All of them, also those that were new when they were read: somebody else may have stored them since.
    async fn change_decided(
        &self,
        owner: i64,
        held: &[&str],
        watchers: &[DecidedWatcher],
    ) -> Result<u64, StoreError> {
        if watchers.is_empty() {
            return Ok(0);
        }
        self.0
            .execute(&batch!(
                watchers,
                |decided| watcher::ChangeDecided {
                    presentity_uri: &decided.presentity_uri,
                    watcher_username: &decided.username,
                    watcher_domain: &decided.domain,
                    event: &decided.event,
                    status: decided.decision.status,
                    reason: &decided.decision.reason,
                    view: decided.decision.view.as_deref(),
                    rules_version: decided.rules_version,
                    recheck_at: decided.decision.recheck_at,
                },
                Once {
                    owner: owner,
                    held: held,
                    now: self.0.now(),
                }
            ))
            .await
    }

    /// Waits until an earlier holder of these presentities has written what it is writing about their dialogs and watchers. To be called after
    /// a recovery, before anything is read that a decision is made from.
    ///
    /// # Locks
    /// Rows of `active_watchers` by (presentity_uri, event, id), then of `watchers` by key, shared.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn await_decider(&self, presentity_uris: &[&str]) -> Result<(), StoreError> {
        self.0
            .query(&watcher::AwaitDecider {
                presentity_uri: &presentity_uris,
            })
            .await
            .map(|_| ())
    }
}
