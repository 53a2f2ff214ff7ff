//! Dialogs of Kamailio: its `active_watchers`. Each goes on with the CSeq after its last NOTIFY.

use tokio_postgres::Row;

use super::{Import, ImportOutcome, column, created, outcomes};
use crate::{StoreError, registry, route_set};

/// A dialog to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedDialog {
    /// Canonical URI of the presentity.
    pub presentity_uri: String,
    /// Event package.
    pub event: String,
    /// `id` parameter of Event, or `""`.
    pub event_id: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// User of the To header.
    pub to_user: String,
    /// Domain of the To header.
    pub to_domain: String,
    /// User of the From header.
    pub from_user: String,
    /// Domain of the From header.
    pub from_domain: String,
    /// From of our NOTIFY, without tag.
    pub local_uri: String,
    /// To of our NOTIFY, without tag.
    pub remote_uri: String,
    /// Our tag.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// CSeq of the last NOTIFY: the next has one more.
    pub local_cseq: i64,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: i64,
    /// Version of the last document.
    pub version: i64,
    /// Remote target.
    pub contact: String,
    /// Route set, in the order to be used.
    pub record_route: Vec<String>,
    /// Epoch second; -1 = never.
    pub expires: i64,
    /// Seconds, for the answer to a repeated SUBSCRIBE.
    pub granted_s: i64,
    /// 1 active, 2 pending, 4 waiting.
    pub status: i16,
    /// Why not active, or `""`.
    pub reason: String,
    /// Our Contact.
    pub local_contact: String,
    /// Socket at Kamailio's, for operators.
    pub socket_info: String,
    /// Kept, not used.
    pub flags: i64,
    /// User-Agent, or `""`.
    pub user_agent: String,
    /// A NOTIFY is to be sent, whatever happens.
    pub owed: bool,
}

impl Import<'_> {
    /// Stores dialogs; outcomes in input order. Those with a NOTIFY due are queued.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn dialogs(
        &self,
        rows: &[ImportedDialog],
        dry: bool,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let call_id = column(rows, |row| row.call_id.as_str());
        let to_tag = column(rows, |row| row.to_tag.as_str());
        let from_tag = column(rows, |row| row.from_tag.as_str());
        let local_cseq = column(rows, |row| row.local_cseq);
        let remote_cseq = column(rows, |row| row.remote_cseq);
        let version = column(rows, |row| row.version);
        let contact = column(rows, |row| row.contact.as_str());
        let record_route = column(rows, |row| route_set::join(&row.record_route));
        let expires = column(rows, |row| row.expires);
        let status = column(rows, |row| row.status);
        let reason = column(rows, |row| row.reason.as_str());
        let local_contact = column(rows, |row| row.local_contact.as_str());
        let socket_info = column(rows, ImportedDialog::mark);
        let owed = column(rows, |row| row.owed);
        let statement = &registry::SUBSCRIPTION_CHANGE_IMPORTED;
        let answers = self
            .0
            .query(
                statement,
                &[
                    &call_id,
                    &to_tag,
                    &from_tag,
                    &local_cseq,
                    &remote_cseq,
                    &version,
                    &contact,
                    &record_route,
                    &expires,
                    &status,
                    &reason,
                    &local_contact,
                    &socket_info,
                    &owed,
                    &dry,
                ],
            )
            .await?;
        let outcomes = outcomes(rows.len(), &answers);
        let new: Vec<&ImportedDialog> = created(rows, &outcomes);
        if !dry && !new.is_empty() {
            self.create_dialogs(&new).await?;
        }
        Ok(outcomes)
    }

    async fn create_dialogs(&self, rows: &[&ImportedDialog]) -> Result<u64, StoreError> {
        let presentity_uri = column(rows, |row| row.presentity_uri.as_str());
        let event = column(rows, |row| row.event.as_str());
        let event_id = column(rows, |row| row.event_id.as_str());
        let watcher_username = column(rows, |row| row.watcher_username.as_str());
        let watcher_domain = column(rows, |row| row.watcher_domain.as_str());
        let to_user = column(rows, |row| row.to_user.as_str());
        let to_domain = column(rows, |row| row.to_domain.as_str());
        let from_user = column(rows, |row| row.from_user.as_str());
        let from_domain = column(rows, |row| row.from_domain.as_str());
        let local_uri = column(rows, |row| row.local_uri.as_str());
        let remote_uri = column(rows, |row| row.remote_uri.as_str());
        let to_tag = column(rows, |row| row.to_tag.as_str());
        let from_tag = column(rows, |row| row.from_tag.as_str());
        let call_id = column(rows, |row| row.call_id.as_str());
        let local_cseq = column(rows, |row| row.local_cseq);
        let remote_cseq = column(rows, |row| row.remote_cseq);
        let version = column(rows, |row| row.version);
        let contact = column(rows, |row| row.contact.as_str());
        let record_route = column(rows, |row| route_set::join(&row.record_route));
        let expires = column(rows, |row| row.expires);
        let granted_s = column(rows, |row| row.granted_s);
        let status = column(rows, |row| row.status);
        let reason = column(rows, |row| row.reason.as_str());
        let local_contact = column(rows, |row| row.local_contact.as_str());
        let socket_info = column(rows, |row| row.mark());
        let flags = column(rows, |row| row.flags);
        let user_agent = column(rows, |row| row.user_agent.as_str());
        let owed = column(rows, |row| row.owed);
        self.0
            .execute(
                &registry::SUBSCRIPTION_CREATE_IMPORTED,
                &[
                    &presentity_uri,
                    &event,
                    &event_id,
                    &watcher_username,
                    &watcher_domain,
                    &to_user,
                    &to_domain,
                    &from_user,
                    &from_domain,
                    &local_uri,
                    &remote_uri,
                    &to_tag,
                    &from_tag,
                    &call_id,
                    &local_cseq,
                    &remote_cseq,
                    &version,
                    &contact,
                    &record_route,
                    &expires,
                    &granted_s,
                    &status,
                    &reason,
                    &local_contact,
                    &socket_info,
                    &flags,
                    &user_agent,
                    &owed,
                ],
            )
            .await
    }

    /// Imported dialogs that no SUBSCRIBE has touched here: our id, and Call-ID, our tag and the subscriber's.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn untouched_dialogs(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<(i64, (String, String, String))>, StoreError> {
        let statement = &registry::SUBSCRIPTION_LIST_IMPORTED;
        let rows = self
            .0
            .query(statement, &[&after_id, &i64::from(limit)])
            .await?;
        let key = |row: &Row| (row.get("callid"), row.get("to_tag"), row.get("from_tag"));
        Ok(rows.iter().map(|row| (row.get("id"), key(row))).collect())
    }

    /// Forgets dialogs, telling no subscriber; those touched meanwhile stay. Returns how many went.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_dialogs(&self, ids: &[i64]) -> Result<u64, StoreError> {
        self.0
            .execute(&registry::SUBSCRIPTION_DELETE_IMPORTED, &[&ids])
            .await
    }
}

impl ImportedDialog {
    /// What `socket_info` holds: by it `subscription.list_imported` knows where a dialog came from, and whether a SUBSCRIBE has
    /// come here since.
    fn mark(&self) -> String {
        format!("kamailio {} cseq={}", self.socket_info, self.remote_cseq)
    }
}
