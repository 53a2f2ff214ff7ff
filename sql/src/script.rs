//! Answers what an operator's script asks that only the database knows. Its orders go the way of the operator's ([`crate::Operator`]).
//!
//! Servers and notifiers run the same script, and must answer it the same: hence this is here, and not twice.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use events::{DialogId, Finding, Inquiry, StoredSubscription};
use tokio_postgres::Row;

use crate::registry::script;
use crate::{Judge, Store, StoreError};

/// Warnings of orders that were refused are at least so far apart: a script may pass on what phones send.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// The statements of this area; see [`Store::script`].
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(pub(crate) &'a Store);

impl Script<'_> {
    /// Answers with Kamailio's return codes: -1 also if the database does not answer. `judge` says who may watch whom.
    ///
    /// # Locks
    /// For orders those of [`crate::Operator::refresh_watchers`] and [`crate::Operator::update_watchers`].
    pub async fn answer(&self, inquiry: Inquiry, judge: &Judge) -> Finding {
        match inquiry {
            Inquiry::AuthStatus {
                watcher_uri,
                presentity_uri,
            } => {
                let status = judge.auth_status(self.0, &watcher_uri, &presentity_uri);
                code(status.await.map(i64::from))
            }
            Inquiry::HasSubscribers {
                presentity_uri,
                event,
            } => code(self.has_subscribers(&presentity_uri, &event).await),
            Inquiry::RefreshWatchers {
                uri,
                event,
                kind,
                file,
            } => {
                let file = file
                    .as_ref()
                    .map(|(uri, name)| (uri.as_str(), name.as_str()));
                let operator = self.0.operator();
                let done = operator.refresh_watchers(&uri, &event, kind, file).await;
                warn_of_refused("pres_refresh_watchers", &done);
                code(done.map(|_| 1))
            }
            Inquiry::UpdateWatchers { uri, event } => {
                let done = self.0.operator().update_watchers(&uri, &event).await;
                warn_of_refused("pres_update_watchers", &done);
                code(done.map(|_| 1))
            }
            Inquiry::Subscription(dialog) => {
                let stored = self.subscription(&dialog).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "a subscription cannot be read for the script");
                    None
                });
                Finding::Subscription(stored.map(Box::new))
            }
        }
    }

    async fn has_subscribers(&self, presentity_uri: &str, event: &str) -> Result<i64, StoreError> {
        let rows = self
            .0
            .query(&script::FindSubscribers {
                presentity_uri: &presentity_uri,
                event: &event,
            })
            .await?;
        let found = rows.first().is_some_and(|row| row.get("found"));
        Ok(if found { 1 } else { -1 })
    }

    async fn subscription(
        &self,
        dialog: &DialogId,
    ) -> Result<Option<StoredSubscription>, StoreError> {
        let rows = self
            .0
            .query(&script::FindSubscription {
                callid: &dialog.call_id,
                to_tag: &dialog.to_tag,
                from_tag: &dialog.from_tag,
                now: &self.0.now(),
            })
            .await?;
        Ok(rows.first().map(subscription))
    }
}

/// An order that makes no sense is -1 for the script; its author reads why.
fn warn_of_refused<T>(function: &str, done: &Result<T, StoreError>) {
    static LAST_WARNING: Mutex<Option<Instant>> = Mutex::new(None);
    let reason = match done {
        Err(StoreError::Conflict { reason, .. }) => reason.as_str(),
        Err(StoreError::TooLong { reason }) => reason,
        _ => return,
    };
    let mut warned = LAST_WARNING.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
        *warned = Some(Instant::now());
        tracing::warn!(function, reason, "an order of the script was refused");
    }
}

fn code(result: Result<i64, StoreError>) -> Finding {
    Finding::Code(result.unwrap_or_else(|error| {
        tracing::debug!(%error, "the database does not answer the script");
        -1
    }))
}

fn subscription(row: &Row) -> StoredSubscription {
    StoredSubscription {
        presentity_uri: row.get("presentity_uri"),
        to_user: row.get("to_user"),
        to_domain: row.get("to_domain"),
        from_user: row.get("from_user"),
        from_domain: row.get("from_domain"),
        watcher_username: row.get("watcher_username"),
        watcher_domain: row.get("watcher_domain"),
        event: row.get("event"),
        event_id: row.get("event_id"),
        contact: row.get("contact"),
        local_contact: row.get("local_contact"),
        record_route: row.get("record_route"),
        reason: row.get("reason"),
        user_agent: row.get("user_agent"),
        remote_cseq: row.get("remote_cseq"),
        local_cseq: row.get("local_cseq"),
        expires_s: row.get("expires_s"),
        version: row.get("version"),
        flags: row.get("flags"),
        status: row.get::<_, i16>("status").into(),
    }
}
