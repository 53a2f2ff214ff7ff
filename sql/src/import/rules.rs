//! Who may watch: decisions and documents of Kamailio, its `watchers` and `xcap`.

use bytes::Bytes;

use super::{Import, ImportOutcome, column, outcomes};
use crate::{StoreError, registry};

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
        let presentity_uri = column(rows, |row| row.presentity_uri.as_str());
        let watcher_username = column(rows, |row| row.watcher_username.as_str());
        let watcher_domain = column(rows, |row| row.watcher_domain.as_str());
        let event = column(rows, |row| row.event.as_str());
        let status = column(rows, |row| row.status);
        let reason = column(rows, |row| row.reason.as_str());
        let inserted_time = column(rows, |row| row.inserted_time);
        let answers = self
            .0
            .query(
                &registry::WATCHER_CHANGE_IMPORTED,
                &[
                    &presentity_uri,
                    &watcher_username,
                    &watcher_domain,
                    &event,
                    &status,
                    &reason,
                    &inserted_time,
                    &dry,
                ],
            )
            .await?;
        let outcomes = outcomes(rows.len(), &answers);
        if !dry && outcomes.contains(&ImportOutcome::Created) {
            self.0
                .execute(
                    &registry::WATCHER_CREATE_IMPORTED,
                    &[
                        &presentity_uri,
                        &watcher_username,
                        &watcher_domain,
                        &event,
                        &status,
                        &reason,
                        &inserted_time,
                    ],
                )
                .await?;
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
        let username = column(rows, |row| row.username.as_str());
        let domain = column(rows, |row| row.domain.as_str());
        let doc = column(rows, |row| row.doc.as_ref());
        let doc_type = column(rows, |row| row.doc_type);
        let etag = column(rows, |row| row.etag.as_str());
        let source = column(rows, |row| row.source);
        let doc_uri = column(rows, |row| row.doc_uri.as_str());
        let port = column(rows, |row| row.port);
        let statement = &registry::XCAP_CHANGE_IMPORTED;
        let answers = self
            .0
            .query(
                statement,
                &[
                    &username, &domain, &doc, &doc_type, &etag, &source, &doc_uri, &port, &dry,
                ],
            )
            .await?;
        let outcomes = outcomes(rows.len(), &answers);
        if !dry && outcomes.contains(&ImportOutcome::Created) {
            self.0
                .execute(
                    &registry::XCAP_CREATE_IMPORTED,
                    &[
                        &username, &domain, &doc, &doc_type, &etag, &source, &doc_uri, &port,
                    ],
                )
                .await?;
        }
        Ok(outcomes)
    }
}
