//! Decisions about watchers: what they are made from, and rows of `watchers` and `active_watchers` that they change. RFC 5025.
//!
//! What is decided, `events` says; who decides is the notifier that holds the row of `notify_queue` of the presentity's presence.

use std::collections::HashMap;
use std::time::Duration;

use tokio_postgres::Row;

use crate::registry::{watcher, xcap};
use crate::statement::batch;
use crate::{Store, StoreError, ordinal};

/// The rules of a presentity, and the watchers that must be decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presentity {
    /// Number of the last change of its rules; 0 = it never had any.
    pub rules_version: i64,
    /// The number by which it was decided about all its watchers.
    pub decided_rules: i64,
    /// Time has changed a decision.
    pub recheck_due: bool,
    /// The time by the database's clock: microseconds since the epoch.
    pub now_us: i64,
    /// The documents, `xcap.doc_type` 2.
    pub documents: Vec<Vec<u8>>,
}

/// A dialog that must be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// Row id.
    pub id: i64,
    /// Position of its presentity or resource in the slice given to [`Watchers::undecided`] or [`Watchers::dialogs`].
    pub presentity_index: usize,
    /// Event package.
    pub event: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// 1 active, 2 pending, 3 terminated.
    pub status: i16,
    /// What it is shown, as in [`crate::TakenDialog::view`].
    pub view: String,
    /// Nothing was decided about it yet.
    pub undecided: bool,
    /// What is stored of its watcher.
    pub stored: Option<StoredDecision>,
}

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

/// A watcher of a presentity, with or without a dialog.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Person {
    /// Position of the presentity in the slice given to [`Watchers::persons`].
    pub presentity_index: usize,
    /// User of the watcher.
    pub username: String,
    /// Domain of the watcher.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// What is stored.
    pub stored: StoredDecision,
}

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
    /// [`Presentity::rules_version`] that it was decided by.
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
    /// [`Presentity::rules_version`] that it was decided by.
    pub rules_version: i64,
}

/// Most documents of lists that are read of one owner. XCAP has one a user (RFC 4826 section 3.4.8), some clients a few.
const MAX_LISTS: i64 = 16;

/// The statements of this area; see [`Store::watcher`].
#[derive(Clone, Copy, Debug)]
pub struct Watchers<'a>(pub(crate) &'a Store);

impl Watchers<'_> {
    /// The rules of presentities, in input order.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn rules(&self, presentity_uris: &[&str]) -> Result<Vec<Presentity>, StoreError> {
        let mut found = vec![Presentity::default(); presentity_uris.len()];
        let rows = self
            .0
            .query(&watcher::ListRules {
                presentity_uri: &presentity_uris,
                now: &self.0.now(),
            })
            .await?;
        for row in &rows {
            if let Some(presentity) = found.get_mut(ordinal(row, "resource")) {
                presentity.rules_version = row.get("rules_version");
                presentity.decided_rules = row.get("decided_rules");
                presentity.recheck_due = row.get("recheck_due");
                presentity.now_us = row.get("now_us");
                presentity
                    .documents
                    .extend(row.get::<_, Option<Vec<u8>>>("doc"));
            }
        }
        Ok(found)
    }

    /// The documents of resource lists (`xcap.doc_type` 4) of these users, by their address.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn lists(&self, owners: &[String]) -> Result<HashMap<String, Vec<u8>>, StoreError> {
        let rows = self
            .0
            .query(&xcap::ListLists {
                presentity_uri: &owners,
                limit: &MAX_LISTS,
            })
            .await?;
        Ok(rows
            .iter()
            .map(|row| (row.get("doc_uri"), row.get("doc")))
            .collect())
    }

    /// Up to `limit` dialogs of presentities about which nothing was decided yet.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn undecided(
        &self,
        presentity_uris: &[&str],
        limit: u32,
    ) -> Result<Vec<Subject>, StoreError> {
        let rows = self
            .0
            .query(&watcher::ListUndecided {
                presentity_uri: &presentity_uris,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows
            .iter()
            .map(|row| Subject::from_row(row, ordinal(row, "resource"), row.get("event")))
            .collect())
    }

    /// Up to `limit` dialogs of resources that are subject to rules, by resource and id; of the first resource those after
    /// `after_id`. [`Subject::presentity_index`] is the position of the resource.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn dialogs(
        &self,
        resources: &[(&str, &str)],
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<Subject>, StoreError> {
        let rows = self
            .0
            .query(&batch!(
                resources,
                |resource| watcher::ListDialogs {
                    presentity_uri: resource.0,
                    event: resource.1,
                },
                Once {
                    after_id: after_id,
                    limit: i64::from(limit),
                }
            ))
            .await?;
        Ok(rows
            .iter()
            .filter_map(|row| {
                let place = ordinal(row, "resource");
                let (_, event) = resources.get(place)?;
                Some(Subject::from_row(row, place, (*event).to_owned()))
            })
            .collect())
    }

    /// Up to `limit` watchers of presentities of whom something is stored, by presentity and in key order; of the first presentity those
    /// after the one that is given.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn persons(
        &self,
        presentity_uris: &[&str],
        after: Option<&Person>,
        limit: u32,
    ) -> Result<Vec<Person>, StoreError> {
        let (username, domain, event) = after.map_or(("", "", ""), |after| {
            (
                after.username.as_str(),
                after.domain.as_str(),
                after.event.as_str(),
            )
        });
        let rows = self
            .0
            .query(&watcher::ListPersons {
                presentity_uri: &presentity_uris,
                after_username: &username,
                after_domain: &domain,
                after_event: &event,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows
            .iter()
            .map(|row| Person {
                presentity_index: ordinal(row, "resource"),
                username: row.get("watcher_username"),
                domain: row.get("watcher_domain"),
                event: row.get("event"),
                stored: StoredDecision {
                    status: row.get("status"),
                    reason: row.get("reason"),
                    view: row.get("view"),
                    recheck_at: row.get("recheck_at"),
                },
            })
            .collect())
    }

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

    /// Makes those wait whose last pending dialog is over (RFC 3857 section 4.7.1); returns how many.
    ///
    /// # Locks
    /// Rows of `watchers` by key, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn put_waiting(
        &self,
        owner: i64,
        presentity_uris: &[&str],
    ) -> Result<u64, StoreError> {
        self.0
            .execute(&watcher::PutWaiting {
                owner: &owner,
                presentity_uri: &presentity_uris,
                now: &self.0.now(),
            })
            .await
    }

    /// Gives up on up to `limit` watchers who have waited for `waiting` (`watcher_waiting_s`), so that their presentities are told;
    /// returns how many.
    ///
    /// # Locks
    /// Free rows of `watchers` (SKIP LOCKED), then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn give_up(&self, limit: u32, waiting: Duration) -> Result<u64, StoreError> {
        let (limit, waiting_s) = (i64::from(limit), whole_seconds(waiting));
        self.0
            .clean(&watcher::GiveUp {
                limit: &limit,
                waiting_s: &waiting_s,
            })
            .await
    }

    /// Forgets up to `limit` watchers who were given up on a minute ago; returns how many.
    ///
    /// # Locks
    /// Free rows of `watchers` only (SKIP LOCKED).
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_waiting(&self, limit: u32) -> Result<u64, StoreError> {
        let limit = i64::from(limit);
        self.0
            .clean(&watcher::DeleteWaiting { limit: &limit })
            .await
    }
}

/// For ever, if there are too many.
pub(crate) fn whole_seconds(waiting: Duration) -> i64 {
    i64::try_from(waiting.as_secs()).unwrap_or(i64::MAX / 2)
}

// === impl Subject ===

impl Subject {
    fn from_row(row: &Row, presentity_index: usize, event: String) -> Subject {
        let decided_version: i64 = row.get("decided_version");
        let stored = row
            .get::<_, Option<i16>>("stored_status")
            .map(|status| StoredDecision {
                status,
                reason: row
                    .get::<_, Option<String>>("stored_reason")
                    .unwrap_or_default(),
                view: row.get("stored_view"),
                recheck_at: row.get("stored_recheck_at"),
            });
        Subject {
            id: row.get("id"),
            presentity_index,
            event,
            watcher_username: row.get("watcher_username"),
            watcher_domain: row.get("watcher_domain"),
            status: row.get("status"),
            view: row.get("view"),
            undecided: decided_version < 0,
            stored,
        }
    }
}
