//! What decisions are made from: rules, lists, dialogs and what is stored of watchers. Nothing is written here.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{StoredDecision, Watchers};
use crate::registry::{watcher, xcap};
use crate::statement::batch;
use crate::{StoreError, ordinal};

/// Most documents of lists that are read of one owner. XCAP has one a user (RFC 4826 section 3.4.8), some clients a few.
const MAX_LISTS: i64 = 16;

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
