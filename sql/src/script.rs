//! What an operator's script asks that only the database knows. Its orders go the way of the operator's ([`crate::Operator`]).
//!
//! Servers and notifiers run the same script, and must tell it the same: hence this is here, and not twice.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ::script::{Ask, Attribute, Subscription, Told};
use tokio_postgres::Row;

use crate::{Judge, Store, StoreError, registry};

/// Warnings of orders that were refused are at least so far apart: a script may pass on what phones send.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// The statements of this area; see [`Store::script`].
#[derive(Clone, Copy, Debug)]
pub struct Script<'a>(pub(crate) &'a Store);

impl Script<'_> {
    /// Answers what needs nothing but the database, with Kamailio's return codes: -1 also if the database does not answer. What needs a
    /// request is wrong here. `judge` says who may watch whom.
    ///
    /// # Locks
    /// For orders those of [`crate::Operator::refresh_watchers`] and [`crate::Operator::update_watchers`].
    pub async fn tell(&self, ask: Ask, judge: &Judge) -> Told {
        match ask {
            Ask::AuthStatus {
                watcher_uri,
                presentity_uri,
            } => {
                let status = judge.auth_status(self.0, &watcher_uri, &presentity_uri);
                code(status.await.map(i64::from))
            }
            Ask::HasSubscribers {
                presentity_uri,
                event,
            } => code(self.has_subscribers(&presentity_uri, &event).await),
            Ask::RefreshWatchers {
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
            Ask::UpdateWatchers { uri, event } => {
                let done = self.0.operator().update_watchers(&uri, &event).await;
                warn_of_refused("pres_update_watchers", &done);
                code(done.map(|_| 1))
            }
            Ask::ReadSubscription(known) => {
                let stored = self.subscription(&known).await.unwrap_or_else(|error| {
                    tracing::debug!(%error, "a subscription cannot be read for the script");
                    None
                });
                Told::Subscription(Box::new(known.completed(stored)))
            }
            Ask::HandlePublish { .. }
            | Ask::HandleSubscribe { .. }
            | Ask::DefaultRoute { .. }
            | Ask::Reply { .. } => Told::Wrong("there is no request to handle here".to_owned()),
        }
    }

    async fn has_subscribers(&self, presentity_uri: &str, event: &str) -> Result<i64, StoreError> {
        let statement = &registry::SCRIPT_FIND_SUBSCRIBERS;
        let rows = self.0.query(statement, &[&presentity_uri, &event]).await?;
        let found = rows.first().is_some_and(|row| row.get("found"));
        Ok(if found { 1 } else { -1 })
    }

    async fn subscription(&self, known: &Subscription) -> Result<Option<Subscription>, StoreError> {
        let key = known.key();
        let rows = self
            .0
            .query(
                &registry::SCRIPT_FIND_SUBSCRIPTION,
                &[&key.call_id, &key.to_tag, &key.from_tag, &self.0.now()],
            )
            .await?;
        Ok(rows.first().map(subscription))
    }
}

/// An order that makes no sense is -1 for the script; its author reads why.
fn warn_of_refused<T>(function: &str, done: &Result<T, StoreError>) {
    static WARNED: Mutex<Option<Instant>> = Mutex::new(None);
    let reason = match done {
        Err(StoreError::Conflict { reason, .. }) => reason.as_str(),
        Err(StoreError::TooLong { reason }) => reason,
        _ => return,
    };
    let mut warned = WARNED.lock().unwrap_or_else(PoisonError::into_inner);
    if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
        *warned = Some(Instant::now());
        tracing::warn!(function, reason, "an order of the script was refused");
    }
}

fn code(result: Result<i64, StoreError>) -> Told {
    Told::Code(result.unwrap_or_else(|error| {
        tracing::debug!(%error, "the database does not answer the script");
        -1
    }))
}

fn subscription(row: &Row) -> Subscription {
    let mut known = Subscription::default();
    for (attribute, column) in [
        (Attribute::Uri, "presentity_uri"),
        (Attribute::PresUri, "presentity_uri"),
        (Attribute::ToUser, "to_user"),
        (Attribute::ToDomain, "to_domain"),
        (Attribute::FromUser, "from_user"),
        (Attribute::FromDomain, "from_domain"),
        (Attribute::WatcherUsername, "watcher_username"),
        (Attribute::WatcherDomain, "watcher_domain"),
        (Attribute::Event, "event"),
        (Attribute::EventId, "event_id"),
        (Attribute::Contact, "contact"),
        (Attribute::LocalContact, "local_contact"),
        (Attribute::RecordRoute, "record_route"),
        (Attribute::Reason, "reason"),
        (Attribute::UserAgent, "user_agent"),
    ] {
        known.set_text(attribute, row.get::<_, String>(column));
    }
    for (attribute, column) in [
        (Attribute::RemoteCSeq, "remote_cseq"),
        (Attribute::LocalCSeq, "local_cseq"),
        (Attribute::Expires, "expires_s"),
        (Attribute::Version, "version"),
        (Attribute::Flags, "flags"),
    ] {
        known.set_number(attribute, row.get::<_, i64>(column));
    }
    known.set_number(Attribute::Status, row.get::<_, i16>("status"));
    known
}
