//! Who may watch: decisions and documents of Kamailio, its `watchers` and `xcap`.

use bytes::Bytes;

use super::{Import, ImportOutcome, outcomes};
use crate::StoreError;
use crate::registry::{watcher, xcap};
use crate::statement::batch;

/// An authorization decision to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedDecision {
    /// Canonical URI of the presentity.
    pub presentity_uri: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// Event package.
    pub event: String,
    /// 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i16,
    /// Why not active, or `""`.
    pub reason: String,
    /// Epoch second of the decision.
    pub inserted_time: i64,
}

/// An XCAP document to be stored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImportedDocument {
    /// User whose document it is.
    pub username: String,
    /// Domain of that user.
    pub domain: String,
    /// The document.
    pub doc: Bytes,
    /// Kind, as at Kamailio's.
    pub doc_type: i64,
    /// Entity-tag.
    pub etag: String,
    /// Kept, not used.
    pub source: i64,
    /// Address within the XCAP root.
    pub doc_uri: String,
    /// Kept, not used.
    pub port: i64,
}

impl Import<'_> {
    /// Stores decisions; outcomes in input order. No two may be about the same watcher, presentity and event package.
    ///
    /// # Locks
    /// Rows of `watchers` by key, then `notify_queue` by key through the trigger; once for changed and once for new ones.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn decisions(
        &self,
        rows: &[ImportedDecision],
        dry: bool,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let change = batch!(
            rows,
            |row| watcher::ChangeImported {
                presentity_uri: &row.presentity_uri,
                watcher_username: &row.watcher_username,
                watcher_domain: &row.watcher_domain,
                event: &row.event,
                status: row.status,
                reason: &row.reason,
                inserted_time: row.inserted_time,
            },
            Once { dry: dry }
        );
        let answers = self.0.query(&change).await?;
        let outcomes = outcomes(rows.len(), &answers);
        if !dry && outcomes.contains(&ImportOutcome::Created) {
            let create = watcher::CreateImported {
                presentity_uri: change.presentity_uri,
                watcher_username: change.watcher_username,
                watcher_domain: change.watcher_domain,
                event: change.event,
                status: change.status,
                reason: change.reason,
                inserted_time: change.inserted_time,
            };
            self.0.execute(&create).await?;
        }
        Ok(outcomes)
    }

    /// Stores documents; outcomes in input order. No two may have one address.
    ///
    /// # Locks
    /// Rows of `xcap` by address, then `notify_queue` by key through the trigger; once for changed and once for new ones.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn documents(
        &self,
        rows: &[ImportedDocument],
        dry: bool,
    ) -> Result<Vec<ImportOutcome>, StoreError> {
        let change = batch!(
            rows,
            |row| xcap::ChangeImported {
                username: &row.username,
                domain: &row.domain,
                doc: &row.doc[..],
                doc_type: row.doc_type,
                etag: &row.etag,
                source: row.source,
                doc_uri: &row.doc_uri,
                port: row.port,
            },
            Once { dry: dry }
        );
        let answers = self.0.query(&change).await?;
        let outcomes = outcomes(rows.len(), &answers);
        if !dry && outcomes.contains(&ImportOutcome::Created) {
            let create = xcap::CreateImported {
                username: change.username,
                domain: change.domain,
                doc: change.doc,
                doc_type: change.doc_type,
                etag: change.etag,
                source: change.source,
                doc_uri: change.doc_uri,
                port: change.port,
            };
            self.0.execute(&create).await?;
        }
        Ok(outcomes)
    }
}
