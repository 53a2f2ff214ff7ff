//! Who watches a resource: dialogs, and watchers that wait, as watcher information shows them. RFC 3857.

use std::time::SystemTime;

use events::notification::SubscriptionStatus;
use events::{WatcherEvent, WatcherRecord};
use sip::Aor;
use tokio_postgres::Row;

use super::Subscriptions;
use crate::registry::subscription;
use crate::statement::batch;
use crate::{Resource, StoreError, ordinal};

/// A resource whose watchers are asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchedResource {
    /// What is watched: its event package is `presence`, not `presence.winfo`.
    pub resource: Resource,
    /// All that live, for full state.
    pub all_live: bool,
    /// Those whose status changed at this time or later, ended ones among them, for partial state.
    pub since: Option<SystemTime>,
    /// All that live with a higher [`Watcher::id`], for a piece of full state.
    pub after: Option<i64>,
}

/// One subscription to a watched resource, as it stands now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watcher {
    /// Position of its resource in the slice given to [`Subscriptions::list_watchers`].
    pub resource_index: usize,
    /// Row id: it names the subscription as long as that lives.
    pub id: i64,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// The watcher's display name, or `""`.
    pub display_name: String,
    /// Kamailio's number: 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i16,
    /// What led to the status (RFC 3857 section 4.7.1), or `""`: a SUBSCRIBE did.
    pub event: String,
    /// Seconds left; `None`: it never ends, or is over.
    pub expires_s: Option<u32>,
    /// Seconds since its first SUBSCRIBE, if they are known.
    pub subscribed_s: Option<u32>,
    /// Its status changed at [`WatchedResource::since`] or later.
    pub changed: bool,
}

// === impl Subscriptions ===

impl Subscriptions<'_> {
    /// The watchers of resources, by resource and then by id: of each resource the first, no more than `limit`. Read them *after* the take
    /// of those who are shown them.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_watchers(
        &self,
        resources: &[WatchedResource],
        limit: Option<usize>,
    ) -> Result<Vec<Watcher>, StoreError> {
        if resources.is_empty() {
            return Ok(Vec::new());
        }
        let limit = limit.map(|limit| i64::try_from(limit).unwrap_or(i64::MAX));
        let found = self
            .0
            .query(&batch!(
                resources,
                |watched| subscription::ListWatchers {
                    presentity_uri: &watched.resource.presentity_uri,
                    event: &watched.resource.event,
                    all_live: watched.all_live,
                    since: watched.since,
                    after: watched.after,
                },
                Once {
                    limit: limit,
                    now: self.0.now(),
                }
            ))
            .await?;
        Ok(found.iter().map(Watcher::from_row).collect())
    }
}

// === impl Watcher ===

impl Watcher {
    /// The URI of the watcher.
    pub fn uri(&self) -> String {
        let aor = Aor {
            username: self.watcher_username.clone(),
            domain: self.watcher_domain.clone(),
        };
        aor.uri()
    }

    /// The row as a document of watcher information shows it; `uri` is the watcher's own.
    pub fn record<'a>(&'a self, uri: &'a str) -> WatcherRecord<'a> {
        // A number without meaning can only have been written by hand; the subscription is then as good as over.
        let status = SubscriptionStatus::from_code(i32::from(self.status))
            .unwrap_or(SubscriptionStatus::Terminated);
        WatcherRecord {
            id: self.id,
            uri,
            display_name: &self.display_name,
            status,
            event: WatcherEvent::of(status, &self.event),
            expiration_s: self.expires_s,
            subscribed_s: self.subscribed_s,
        }
    }

    fn from_row(row: &Row) -> Watcher {
        // Seconds beyond 136 years are as good as never, and unknown.
        let seconds = |column| {
            let seconds: Option<i64> = row.get(column);
            seconds.and_then(|seconds| u32::try_from(seconds).ok())
        };
        Watcher {
            resource_index: ordinal(row, "resource"),
            id: row.get("id"),
            watcher_username: row.get("watcher_username"),
            watcher_domain: row.get("watcher_domain"),
            display_name: row.get("display_name"),
            status: row.get("status"),
            event: row.get("event"),
            expires_s: seconds("expires_s").filter(|seconds| *seconds > 0),
            subscribed_s: seconds("subscribed_s"),
            changed: row.get("changed"),
        }
    }
}
