//! Dialogs of Kamailio: its `active_watchers`. Each goes on with the CSeq after its last NOTIFY.

use tokio_postgres::Row;

use super::{Import, ImportOutcome, created, outcomes};
use crate::registry::subscription;
use crate::statement::batch;
use crate::{StoreError, route_set};

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
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| subscription::ChangeImported {
                    callid: &row.call_id,
                    to_tag: &row.to_tag,
                    from_tag: &row.from_tag,
                    local_cseq: row.local_cseq,
                    remote_cseq: row.remote_cseq,
                    version: row.version,
                    contact: &row.contact,
                    record_route: route_set::join(&row.record_route),
                    expires: row.expires,
                    status: row.status,
                    reason: &row.reason,
                    local_contact: &row.local_contact,
                    socket_info: row.mark(),
                    due: row.owed,
                },
                Once { dry: dry }
            ))
            .await?;
        let outcomes = outcomes(rows.len(), &answers);
        let new: Vec<&ImportedDialog> = created(rows, &outcomes);
        if !dry && !new.is_empty() {
            self.create_dialogs(&new).await?;
        }
        Ok(outcomes)
    }

    async fn create_dialogs(&self, rows: &[&ImportedDialog]) -> Result<u64, StoreError> {
        self.0
            .execute(&batch!(
                rows,
                |row| subscription::CreateImported {
                    presentity_uri: &row.presentity_uri,
                    event: &row.event,
                    event_id: &row.event_id,
                    watcher_username: &row.watcher_username,
                    watcher_domain: &row.watcher_domain,
                    to_user: &row.to_user,
                    to_domain: &row.to_domain,
                    from_user: &row.from_user,
                    from_domain: &row.from_domain,
                    local_uri: &row.local_uri,
                    remote_uri: &row.remote_uri,
                    to_tag: &row.to_tag,
                    from_tag: &row.from_tag,
                    callid: &row.call_id,
                    local_cseq: row.local_cseq,
                    remote_cseq: row.remote_cseq,
                    version: row.version,
                    contact: &row.contact,
                    record_route: route_set::join(&row.record_route),
                    expires: row.expires,
                    granted_s: row.granted_s,
                    status: row.status,
                    reason: &row.reason,
                    local_contact: &row.local_contact,
                    socket_info: row.mark(),
                    flags: row.flags,
                    user_agent: &row.user_agent,
                    due: row.owed,
                },
                Once {}
            ))
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
        let rows = self
            .0
            .query(&subscription::ListImported {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        let key = |row: &Row| (row.get("callid"), row.get("to_tag"), row.get("from_tag"));
        Ok(rows.iter().map(|row| (row.get("id"), key(row))).collect())
    }

    /// Forgets dialogs, notifying no subscriber; those touched meanwhile stay. Returns how many went.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_dialogs(&self, ids: &[i64]) -> Result<u64, StoreError> {
        self.0
            .execute(&subscription::DeleteImported { id: &ids })
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
