//! Reading Kamailio's presence tables (5.4 to 5.8 have the same), page after page by row id. Nothing is written there.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio_postgres::Row;

use crate::registry::kamailio;
use crate::statement::batch;
use crate::{Store, StoreError, Tables, route_set};

/// A row of Kamailio's `presentity`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KamailioPublication {
    /// Row id: stays while the entity-tag moves.
    pub id: i64,
    /// User of the presentity, as received.
    pub username: String,
    /// Domain of the presentity, as received.
    pub domain: String,
    /// Event package.
    pub event: String,
    /// Entity-tag.
    pub etag: String,
    /// Epoch second; -1 = never.
    pub expires: i64,
    /// Epoch second.
    pub received_time: i64,
    /// The published document.
    pub body: Bytes,
    /// Who published, or `""`.
    pub sender: String,
    /// For `retrieve_order`.
    pub priority: i64,
    /// Epoch second of that database's clock.
    pub now: i64,
}

/// A row of Kamailio's `active_watchers`. "Local" is Kamailio's side.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KamailioDialog {
    /// Row id.
    pub id: i64,
    /// `sip:user@host`.
    pub presentity_uri: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// User of the To of the first SUBSCRIBE.
    pub to_user: String,
    /// Domain of the To of the first SUBSCRIBE.
    pub to_domain: String,
    /// Event package.
    pub event: String,
    /// `id` parameter of Event, or `""`.
    pub event_id: String,
    /// Kamailio's tag.
    pub to_tag: String,
    /// The subscriber's tag.
    pub from_tag: String,
    /// Call-ID.
    pub call_id: String,
    /// One less than the CSeq of the last NOTIFY; 0 also before the first one.
    pub local_cseq: i64,
    /// CSeq of the last SUBSCRIBE.
    pub remote_cseq: i64,
    /// Remote target.
    pub contact: String,
    /// Route set in the order to be used.
    pub record_route: Vec<String>,
    /// Epoch second.
    pub expires: i64,
    /// 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i64,
    /// Why not active, or `""`.
    pub reason: String,
    /// Version of the last document.
    pub version: i64,
    /// `udp:1.2.3.4:5060`.
    pub socket_info: String,
    /// Kamailio's Contact.
    pub local_contact: String,
    /// User of the From of the first SUBSCRIBE.
    pub from_user: String,
    /// Domain of the From of the first SUBSCRIBE.
    pub from_domain: String,
    /// -1 = nothing to send; otherwise Kamailio's notifier still has to send a NOTIFY.
    pub updated: i64,
    /// Branch flags.
    pub flags: i64,
    /// User-Agent, or `""`.
    pub user_agent: String,
    /// A notifier process was at this dialog and did not come to its end: it may have sent a NOTIFY with one CSeq more.
    pub interrupted: bool,
    /// Epoch second of that database's clock.
    pub now: i64,
}

/// A row of Kamailio's `watchers`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KamailioDecision {
    /// Row id.
    pub id: i64,
    /// `sip:user@host`.
    pub presentity_uri: String,
    /// User of the watcher.
    pub watcher_username: String,
    /// Domain of the watcher.
    pub watcher_domain: String,
    /// Event package.
    pub event: String,
    /// 1 active, 2 pending, 3 terminated, 4 waiting.
    pub status: i64,
    /// Why not active, or `""`.
    pub reason: String,
    /// Epoch second of the decision.
    pub inserted_time: i64,
}

/// A row of Kamailio's `xcap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KamailioDocument {
    /// Row id.
    pub id: i64,
    /// User whose document it is.
    pub username: String,
    /// Domain of that user.
    pub domain: String,
    /// The document.
    pub doc: Bytes,
    /// Kind: 2 pres-rules, 4 resource-lists, ...
    pub doc_type: i64,
    /// Entity-tag.
    pub etag: String,
    /// Who stored it; 0 = an XCAP server.
    pub source: i64,
    /// Address within the XCAP root.
    pub doc_uri: String,
    /// Port of the XCAP server.
    pub port: i64,
}

/// The statements of this area; see [`Store::kamailio`].
#[derive(Clone, Copy, Debug)]
pub struct Kamailio<'a>(pub(crate) &'a Store);

impl Kamailio<'_> {
    /// The presence tables that are there under these names, each by its usual name, with its columns.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn columns(
        &self,
        names: &Tables,
    ) -> Result<BTreeMap<String, BTreeSet<String>>, StoreError> {
        let [presentity, active_watchers, watchers] = names.names();
        let rows = self
            .0
            .query(&kamailio::ListColumns {
                presentity: &presentity,
                active_watchers: &active_watchers,
                watchers: &watchers,
            })
            .await?;
        let mut tables: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let columns = tables.entry(row.get("table_name")).or_default();
            columns.insert(row.get("column_name"));
        }
        Ok(tables)
    }

    /// Up to `limit` publications with ids above `after_id`, ascending.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn publications(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<KamailioPublication>, StoreError> {
        let rows = self
            .0
            .query(&kamailio::ListPublications {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows.iter().map(publication).collect())
    }

    /// Up to `limit` dialogs with ids above `after_id`, ascending.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn dialogs(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<KamailioDialog>, StoreError> {
        let rows = self
            .0
            .query(&kamailio::ListDialogs {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows.iter().map(dialog).collect())
    }

    /// Up to `limit` decisions with ids above `after_id`, ascending.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn decisions(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<KamailioDecision>, StoreError> {
        let rows = self
            .0
            .query(&kamailio::ListDecisions {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows.iter().map(decision).collect())
    }

    /// Up to `limit` documents with ids above `after_id`, ascending.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn documents(
        &self,
        after_id: i64,
        limit: u32,
    ) -> Result<Vec<KamailioDocument>, StoreError> {
        let rows = self
            .0
            .query(&kamailio::ListDocuments {
                after_id: &after_id,
                limit: &i64::from(limit),
            })
            .await?;
        Ok(rows.iter().map(document).collect())
    }

    /// Those of these publications that are still there.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn existing_publications(&self, ids: &[i64]) -> Result<BTreeSet<i64>, StoreError> {
        let rows = self
            .0
            .query(&kamailio::FindPublications { id: &ids })
            .await?;
        Ok(rows.iter().map(|row| row.get("id")).collect())
    }

    /// Those of these dialogs (Call-ID, our tag, the subscriber's tag) that are still there, by their place in `keys`.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn existing_dialogs(
        &self,
        keys: &[(String, String, String)],
    ) -> Result<BTreeSet<usize>, StoreError> {
        let rows = self
            .0
            .query(&batch!(
                keys,
                |key| kamailio::FindDialogs {
                    callid: &key.0,
                    to_tag: &key.1,
                    from_tag: &key.2,
                },
                Once {}
            ))
            .await?;
        Ok(rows.iter().map(place).collect())
    }
}

/// The place, from 0, of the input that a row's `ord` stands for.
pub(crate) fn place(row: &Row) -> usize {
    usize::try_from(row.get::<_, i64>("ord"))
        .unwrap_or(0)
        .saturating_sub(1)
}

fn publication(row: &Row) -> KamailioPublication {
    KamailioPublication {
        id: row.get("id"),
        username: row.get("username"),
        domain: row.get("domain"),
        event: row.get("event"),
        etag: row.get("etag"),
        expires: row.get("expires"),
        received_time: row.get("received_time"),
        body: Bytes::from(row.get::<_, Vec<u8>>("body")),
        sender: row.get("sender"),
        priority: row.get("priority"),
        now: row.get("now"),
    }
}

fn dialog(row: &Row) -> KamailioDialog {
    KamailioDialog {
        id: row.get("id"),
        presentity_uri: row.get("presentity_uri"),
        watcher_username: row.get("watcher_username"),
        watcher_domain: row.get("watcher_domain"),
        to_user: row.get("to_user"),
        to_domain: row.get("to_domain"),
        event: row.get("event"),
        event_id: row.get("event_id"),
        to_tag: row.get("to_tag"),
        from_tag: row.get("from_tag"),
        call_id: row.get("callid"),
        local_cseq: row.get("local_cseq"),
        remote_cseq: row.get("remote_cseq"),
        contact: row.get("contact"),
        record_route: route_set::split(row.get("record_route")),
        expires: row.get("expires"),
        status: row.get("status"),
        reason: row.get("reason"),
        version: row.get("version"),
        socket_info: row.get("socket_info"),
        local_contact: row.get("local_contact"),
        from_user: row.get("from_user"),
        from_domain: row.get("from_domain"),
        updated: row.get("updated"),
        flags: row.get("flags"),
        user_agent: row.get("user_agent"),
        interrupted: row.get("interrupted"),
        now: row.get("now"),
    }
}

fn decision(row: &Row) -> KamailioDecision {
    KamailioDecision {
        id: row.get("id"),
        presentity_uri: row.get("presentity_uri"),
        watcher_username: row.get("watcher_username"),
        watcher_domain: row.get("watcher_domain"),
        event: row.get("event"),
        status: row.get("status"),
        reason: row.get("reason"),
        inserted_time: row.get("inserted_time"),
    }
}

fn document(row: &Row) -> KamailioDocument {
    KamailioDocument {
        id: row.get("id"),
        username: row.get("username"),
        domain: row.get("domain"),
        doc: Bytes::from(row.get::<_, Vec<u8>>("doc")),
        doc_type: row.get("doc_type"),
        etag: row.get("etag"),
        source: row.get("source"),
        doc_uri: row.get("doc_uri"),
        port: row.get("port"),
    }
}
