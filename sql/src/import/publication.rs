//! Publications of Kamailio: its `presentity`.

use bytes::Bytes;

use super::{Import, ImportOutcome, created, outcomes};
use crate::StoreError;
use crate::registry::publication;
use crate::statement::batch;

/// A publication to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedPublication {
    /// Row id at Kamailio's.
    pub source_id: i64,
    /// Canonical URI, which must be what `username` and `domain` make.
    pub presentity_uri: String,
    /// User of the presentity.
    pub username: String,
    /// Domain of the presentity.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Entity-tag: the phone's next SIP-If-Match.
    pub etag: String,
    /// Epoch second; -1 = never.
    pub expires: i64,
    /// Epoch second.
    pub received_time: i64,
    /// The published document.
    pub body: Bytes,
    /// Who published, or `""`.
    pub sender: String,
    /// Kept, not used.
    pub priority: i64,
}

impl Import<'_> {
    /// Stores publications, notifying no watcher; outcomes in input order.
    ///
    /// # Locks
    /// Rows of `presentity` by key; none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn publications(
        &self,
        rows: &[ImportedPublication],
        dry: bool,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let answers = self
            .0
            .query(&batch!(
                rows,
                |row| publication::ChangeImported {
                    presentity_uri: &row.presentity_uri,
                    event: &row.event,
                    ruid: format!("kamailio:{}", row.source_id),
                    etag: &row.etag,
                    expires: row.expires,
                    received_time: row.received_time,
                    body: &row.body[..],
                    sender: &row.sender,
                    priority: row.priority,
                },
                Once { dry: dry }
            ))
            .await?;
        let outcomes = outcomes(rows.len(), &answers);
        let new: Vec<&ImportedPublication> = created(rows, &outcomes);
        if !dry && !new.is_empty() {
            self.create_publications(&new).await?;
        }
        Ok(outcomes)
    }

    async fn create_publications(&self, rows: &[&ImportedPublication]) -> Result<u64, StoreError> {
        self.0
            .execute(&batch!(
                rows,
                |row| publication::CreateImported {
                    username: &row.username,
                    domain: &row.domain,
                    event: &row.event,
                    ruid: format!("kamailio:{}", row.source_id),
                    etag: &row.etag,
                    expires: row.expires,
                    received_time: row.received_time,
                    body: &row.body[..],
                    sender: &row.sender,
                    priority: row.priority,
                },
                Once {}
            ))
            .await
    }

    /// Imported publications that no PUBLISH has touched here: our id and Kamailio's, up to `limit` above `after_id`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn untouched_publications(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<(i64, i64)>, StoreError> {
        let rows = self
            .0
            .query(&publication::ListImported {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows
            .iter()
            .map(|row| (row.get("id"), row.get("source_id")))
            .collect())
    }

    /// Forgets publications, notifying no watcher; those touched meanwhile stay. Returns how many went.
    ///
    /// # Locks
    /// Rows of `presentity` by key; none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_publications(&self, ids: &[i64]) -> Result<u64, StoreError> {
        self.0
            .execute(&publication::DeleteImported { id: &ids })
            .await
    }
}
