//! Why a watcher sees what he sees: for `pgpresence explain`.

use tokio_postgres::Row;

use super::{Operator, first};
use crate::registry::operator;
use crate::{Part, Resource, StoreError};

/// What is due of one resource: a row of the view `presence_backlog`.
#[derive(Clone, Debug, PartialEq)]
pub struct OwedResource {
    /// Event package.
    pub event: String,
    /// `state`, `answers`, both, or `decisions`.
    pub owed: String,
    /// What it is waiting for.
    pub state: String,
    /// Seconds since something has been due.
    pub since_s: f64,
    /// Seconds until a notifier looks at it.
    pub due_s: f64,
    /// The process that has it.
    pub holder: Option<String>,
    /// How many dialogs are concerned.
    pub dialogs: i64,
}

/// A subscription in words: a row of the view `presence_subscriptions`.
#[derive(Clone, Debug, PartialEq)]
pub struct WatchedBy {
    /// Event package.
    pub event: String,
    /// URI of the watcher.
    pub watcher: String,
    /// `active`, `pending`, `waiting`, `terminated`, `expired` or `ended`.
    pub state: String,
    /// Why it is not active; may be empty.
    pub reason: String,
    /// `nothing`, `decision`, `answer`, `state` or `again`.
    pub owed: String,
    /// Seconds until it ends; infinite for never.
    pub expires_s: f64,
    /// NOTIFYs so far.
    pub notified: i64,
    /// Failures in a row.
    pub failures: i32,
    /// Seconds until the NOTIFY that failed is sent again.
    pub retry_s: Option<f64>,
    /// Its phone.
    pub user_agent: String,
    /// Where the phone is.
    pub contact: String,
    /// Whether it is reached only through the server that it came by.
    pub by_flow: bool,
    /// What its NOTIFYs show: `all`, the words of a view, `polite-block`, `none`.
    pub shows: String,
    /// Seconds since the last NOTIFY was taken from the queue.
    pub notified_s: Option<f64>,
    /// Why the last NOTIFY failed, if it did.
    pub last_failure: Option<String>,
}

/// What a notifier could not work on: a row of `quarantine`.
#[derive(Clone, Debug, PartialEq)]
pub struct SetAside {
    /// Of whom.
    pub resource: Resource,
    /// Which part of it.
    pub part: Part,
    /// What could not be done: `claim`, `take`, `decide`, `verdicts`, `settle`.
    pub step: String,
    /// The error of PostgreSQL.
    pub sqlstate: String,
    /// What it said.
    pub message: String,
    /// Seconds since it was set aside first.
    pub since_s: f64,
    /// Seconds until it is tried again.
    pub retry_s: f64,
    /// How often it was tried in vain.
    pub tries: i32,
}

impl Operator<'_> {
    /// What is due for the watchers of a presentity, by event package.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_backlog(
        &self,
        presentity_uri: &str,
    ) -> Result<Vec<OwedResource>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListBacklog {
                presentity_uri: &presentity_uri,
            })
            .await?;
        let owed = |row: &Row| OwedResource {
            event: row.get("event"),
            owed: row.get("owed"),
            state: row.get("state"),
            since_s: row.get("since_s"),
            due_s: row.get("due_s"),
            holder: row.get("holder"),
            dialogs: row.get("dialogs"),
        };
        Ok(rows.iter().map(owed).collect())
    }

    /// Up to `limit` subscriptions to a resource, the oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_subscriptions(
        &self,
        resource: &Resource,
        limit: u32,
    ) -> Result<Vec<WatchedBy>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListSubscriptions {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
                limit: &i64::from(limit),
            })
            .await?;
        let watched = |row: &Row| WatchedBy {
            event: row.get("event"),
            watcher: row.get("watcher"),
            state: row.get("state"),
            reason: row.get("reason"),
            owed: row.get("owed"),
            expires_s: row.get("expires_s"),
            notified: row.get("notified"),
            failures: row.get("failures"),
            retry_s: row.get("retry_s"),
            user_agent: row.get("user_agent"),
            contact: row.get("contact"),
            by_flow: row.get("by_flow"),
            shows: row.get("shows"),
            notified_s: row.get("notified_s"),
            last_failure: row.get("last_failure"),
        };
        Ok(rows.iter().map(watched).collect())
    }

    /// Up to `limit` of what notifiers have set aside, the oldest first, of one presentity or of all; and how much there is in all.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_set_aside(
        &self,
        presentity_uri: Option<&str>,
        limit: u32,
    ) -> Result<(Vec<SetAside>, i64), StoreError> {
        let rows = self
            .0
            .query(&operator::ListSetAside {
                presentity_uri: &presentity_uri,
                limit: &i64::from(limit),
            })
            .await?;
        let set_aside = |row: &Row| SetAside {
            resource: Resource {
                presentity_uri: row.get("presentity_uri"),
                event: row.get("event"),
            },
            part: Part::from_number(row.get("dialog")),
            step: row.get("step"),
            sqlstate: row.get("sqlstate"),
            message: row.get("message"),
            since_s: row.get("since_s"),
            retry_s: row.get("retry_s"),
            tries: row.get("tries"),
        };
        Ok((rows.iter().map(set_aside).collect(), first(&rows, "total")))
    }
}
