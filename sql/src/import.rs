//! Storing what Kamailio has. A second run finds the rows of the first, and leaves alone what has become ours since.

use bytes::Bytes;
use tokio_postgres::Row;

use crate::kamailio::place;
use crate::{Store, StoreError, registry, route_set};

/// How an imported row stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImportVerdict {
    /// It was not here.
    Created,
    /// It was here, and Kamailio's has changed since.
    Changed,
    /// It was here, just so.
    Same,
    /// It was here, and has been changed here since: ours stays.
    Newer,
}

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

/// The statements of this area; see [`Store::import`]. With `dry` nothing is stored, and the verdicts are what would be.
#[derive(Clone, Copy, Debug)]
pub struct Import<'a>(pub(crate) &'a Store);

impl Import<'_> {
    /// Stores publications, telling no watcher; verdicts in input order.
    ///
    /// # Locks
    /// Rows of `presentity` by key; none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn publications(
        &self,
        rows: &[ImportedPublication],
        dry: bool,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
        let presentity_uri = column(rows, |row| row.presentity_uri.as_str());
        let event = column(rows, |row| row.event.as_str());
        let ruid = column(rows, |row| format!("kamailio:{}", row.source_id));
        let etag = column(rows, |row| row.etag.as_str());
        let expires = column(rows, |row| row.expires);
        let received_time = column(rows, |row| row.received_time);
        let body = column(rows, |row| row.body.as_ref());
        let sender = column(rows, |row| row.sender.as_str());
        let priority = column(rows, |row| row.priority);
        let statement = &registry::PUBLICATION_CHANGE_IMPORTED;
        let answers = self
            .0
            .query(
                statement,
                &[
                    &presentity_uri,
                    &event,
                    &ruid,
                    &etag,
                    &expires,
                    &received_time,
                    &body,
                    &sender,
                    &priority,
                    &dry,
                ],
            )
            .await?;
        let verdicts = verdicts(rows.len(), &answers);
        let new: Vec<&ImportedPublication> = created(rows, &verdicts);
        if !dry && !new.is_empty() {
            self.create_publications(&new).await?;
        }
        Ok(verdicts)
    }

    async fn create_publications(&self, rows: &[&ImportedPublication]) -> Result<u64, StoreError> {
        let username = column(rows, |row| row.username.as_str());
        let domain = column(rows, |row| row.domain.as_str());
        let event = column(rows, |row| row.event.as_str());
        let ruid = column(rows, |row| format!("kamailio:{}", row.source_id));
        let etag = column(rows, |row| row.etag.as_str());
        let expires = column(rows, |row| row.expires);
        let received_time = column(rows, |row| row.received_time);
        let body = column(rows, |row| row.body.as_ref());
        let sender = column(rows, |row| row.sender.as_str());
        let priority = column(rows, |row| row.priority);
        self.0
            .execute(
                &registry::PUBLICATION_CREATE_IMPORTED,
                &[
                    &username,
                    &domain,
                    &event,
                    &ruid,
                    &etag,
                    &expires,
                    &received_time,
                    &body,
                    &sender,
                    &priority,
                ],
            )
            .await
    }

    /// Stores dialogs; verdicts in input order. Those that are owed a NOTIFY are queued.
    ///
    /// # Locks
    /// Rows of `active_watchers` by key, then `notify_queue` by key through the trigger.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn dialogs(
        &self,
        rows: &[ImportedDialog],
        dry: bool,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
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
        let verdicts = verdicts(rows.len(), &answers);
        let new: Vec<&ImportedDialog> = created(rows, &verdicts);
        if !dry && !new.is_empty() {
            self.create_dialogs(&new).await?;
        }
        Ok(verdicts)
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

    /// Stores decisions; verdicts in input order. No two may be about the same watcher, presentity and event package.
    ///
    /// # Locks
    /// Rows of `watchers` by key, then `notify_queue` by key through the trigger; once for changed and once for new ones.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn decisions(
        &self,
        rows: &[ImportedDecision],
        dry: bool,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
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
        let verdicts = verdicts(rows.len(), &answers);
        if !dry && verdicts.contains(&ImportVerdict::Created) {
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
        Ok(verdicts)
    }

    /// Stores documents; verdicts in input order. No two may have one address.
    ///
    /// # Locks
    /// Rows of `xcap` by address, then `notify_queue` by key through the trigger; once for changed and once for new ones.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn documents(
        &self,
        rows: &[ImportedDocument],
        dry: bool,
    ) -> Result<Vec<ImportVerdict>, StoreError> {
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
        let verdicts = verdicts(rows.len(), &answers);
        if !dry && verdicts.contains(&ImportVerdict::Created) {
            self.0
                .execute(
                    &registry::XCAP_CREATE_IMPORTED,
                    &[
                        &username, &domain, &doc, &doc_type, &etag, &source, &doc_uri, &port,
                    ],
                )
                .await?;
        }
        Ok(verdicts)
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
        let statement = &registry::PUBLICATION_LIST_IMPORTED;
        let rows = self
            .0
            .query(statement, &[&after_id, &i64::from(limit)])
            .await?;
        Ok(rows
            .iter()
            .map(|row| (row.get("id"), row.get("source_id")))
            .collect())
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

    /// Forgets publications, telling no watcher; those touched meanwhile stay. Returns how many went.
    ///
    /// # Locks
    /// Rows of `presentity` by key; none of `notify_queue`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn forget_publications(&self, ids: &[i64]) -> Result<u64, StoreError> {
        self.0
            .execute(&registry::PUBLICATION_DELETE_IMPORTED, &[&ids])
            .await
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

/// One value of each row.
fn column<'a, T, V>(rows: &'a [T], value: impl Fn(&'a T) -> V) -> Vec<V> {
    rows.iter().map(value).collect()
}

/// The verdict on each input; an input without an answer was not here.
fn verdicts(inputs: usize, answers: &[Row]) -> Vec<ImportVerdict> {
    let mut verdicts = vec![ImportVerdict::Created; inputs];
    for answer in answers {
        if let Some(verdict) = verdicts.get_mut(place(answer)) {
            *verdict = match answer.get("verdict") {
                "created" => ImportVerdict::Created,
                "same" => ImportVerdict::Same,
                "newer" => ImportVerdict::Newer,
                _ => ImportVerdict::Changed,
            };
        }
    }
    verdicts
}

/// The inputs that are new.
fn created<'a, T>(rows: &'a [T], verdicts: &[ImportVerdict]) -> Vec<&'a T> {
    let pairs = rows.iter().zip(verdicts);
    pairs
        .filter(|(_, verdict)| **verdict == ImportVerdict::Created)
        .map(|(row, _)| row)
        .collect()
}
