//! What is there, by page: for JSON-RPC and for presentities by HTTP.

use tokio_postgres::Row;

use super::Operator;
use crate::registry::operator;
use crate::{Resource, StoreError};

/// A part of a long list, in the order of row ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// The last id of the page before; 0 for the first page.
    pub after: i64,
    /// Most rows.
    pub limit: u32,
}

/// A live publication, with the columns of Kamailio's `presence.presentity_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPresentity {
    /// Row id.
    pub id: i64,
    /// User part of the presentity.
    pub username: String,
    /// Its host.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Current entity-tag.
    pub etag: String,
    /// Who published; empty if unknown.
    pub sender: String,
    /// Epoch second at which it ends, -1 for never.
    pub expires: i64,
    /// Epoch second at which the body came.
    pub received_time: i64,
    /// Column `priority`.
    pub priority: i64,
    /// Names the publication for good.
    pub ruid: String,
    /// The document.
    pub body: Vec<u8>,
}

/// A subscription, with the columns of Kamailio's `presence.watcher_list`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "the columns of active_watchers, which the schema comments"
)]
pub struct ListedWatcher {
    pub id: i64,
    pub presentity_uri: String,
    pub event: String,
    pub to_user: String,
    pub to_domain: String,
    pub from_user: String,
    pub from_domain: String,
    pub watcher_username: String,
    pub watcher_domain: String,
    pub contact: String,
    pub event_id: String,
    pub callid: String,
    pub user_agent: String,
    pub expires: i64,
    pub status: i16,
    pub version: i64,
    pub flags: i64,
    pub reason: String,
    pub to_tag: String,
    pub from_tag: String,
    pub socket_info: String,
    pub local_contact: String,
    pub record_route: String,
    pub remote_cseq: i64,
    pub local_cseq: i64,
    pub updated: i64,
    pub updated_winfo: i64,
}

/// A subscription, in the words of the view `presence_subscriptions`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedSubscription {
    /// Row id.
    pub id: i64,
    /// URI of the watcher.
    pub watcher: String,
    /// `active`, `pending`, `waiting`, `terminated` or `expired`.
    pub state: String,
    /// Why it is so, or `""`.
    pub reason: String,
    /// When it ends (RFC 3339); `None`: never.
    pub expires: Option<String>,
    /// The phone, or `""`.
    pub user_agent: String,
}

impl Operator<'_> {
    /// A page of the live publications, of all presentities or of those with this user and this domain (case does not matter).
    /// `with_body` is false where nobody reads the documents, which are most of it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_presentities(
        &self,
        page: Page,
        user: Option<&str>,
        domain: Option<&str>,
        with_body: bool,
    ) -> Result<Vec<ListedPresentity>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListPresentities {
                after: &page.after,
                limit: &i64::from(page.limit),
                username: &user,
                domain: &domain,
                with_body: &with_body,
                now: &self.0.now(),
            })
            .await?;
        Ok(rows.iter().map(listed_presentity).collect())
    }

    /// A page of the subscriptions to a presentity in all event packages.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] if `presentity_uri` is not a URI, or any other.
    pub async fn list_watchers(
        &self,
        page: Page,
        presentity_uri: &str,
    ) -> Result<Vec<ListedWatcher>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListWatchers {
                presentity_uri: &presentity_uri,
                after: &page.after,
                limit: &i64::from(page.limit),
            })
            .await?;
        Ok(rows.iter().map(listed_watcher).collect())
    }

    /// A page of the subscriptions to a resource.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_resource_subscriptions(
        &self,
        page: Page,
        resource: &Resource,
    ) -> Result<Vec<ListedSubscription>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListResourceSubscriptions {
                presentity_uri: &resource.presentity_uri,
                event: &resource.event,
                after: &page.after,
                limit: &i64::from(page.limit),
            })
            .await?;
        let listed = |row: &Row| ListedSubscription {
            id: row.get("id"),
            watcher: row.get("watcher"),
            state: row.get("state"),
            reason: row.get("reason"),
            expires: row.get("expires"),
            user_agent: row.get("user_agent"),
        };
        Ok(rows.iter().map(listed).collect())
    }

    /// The event packages in which a presentity has publications or subscriptions.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_events(&self, presentity_uri: &str) -> Result<Vec<String>, StoreError> {
        let rows = self
            .0
            .query(&operator::ListEvents {
                presentity_uri: &presentity_uri,
            })
            .await?;
        Ok(rows.iter().map(|row| row.get("event")).collect())
    }
}

fn listed_presentity(row: &Row) -> ListedPresentity {
    ListedPresentity {
        id: row.get("id"),
        username: row.get("username"),
        domain: row.get("domain"),
        event: row.get("event"),
        etag: row.get("etag"),
        sender: row.get("sender"),
        expires: row.get("expires"),
        received_time: row.get("received_time"),
        priority: row.get("priority"),
        ruid: row.get("ruid"),
        body: row.get("body"),
    }
}

fn listed_watcher(row: &Row) -> ListedWatcher {
    ListedWatcher {
        id: row.get("id"),
        presentity_uri: row.get("presentity_uri"),
        event: row.get("event"),
        to_user: row.get("to_user"),
        to_domain: row.get("to_domain"),
        from_user: row.get("from_user"),
        from_domain: row.get("from_domain"),
        watcher_username: row.get("watcher_username"),
        watcher_domain: row.get("watcher_domain"),
        contact: row.get("contact"),
        event_id: row.get("event_id"),
        callid: row.get("callid"),
        user_agent: row.get("user_agent"),
        expires: row.get("expires"),
        status: row.get("status"),
        version: row.get("version"),
        flags: row.get("flags"),
        reason: row.get("reason"),
        to_tag: row.get("to_tag"),
        from_tag: row.get("from_tag"),
        socket_info: row.get("socket_info"),
        local_contact: row.get("local_contact"),
        record_route: row.get("record_route"),
        remote_cseq: row.get("remote_cseq"),
        local_cseq: row.get("local_cseq"),
        updated: row.get("updated"),
        updated_winfo: row.get("updated_winfo"),
    }
}
