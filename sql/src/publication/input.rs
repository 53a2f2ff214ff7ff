//! Rows in the words of `events`, which makes documents of them.

use std::borrow::Cow;

use bytes::Bytes;
use events::MergeInput;
use events::document::dialog_info::Ended;
use events::document::encoding::to_utf8;
use tokio_postgres::Row;

use super::{DialogEnd, Listed, Publication};
use crate::ordinal;

/// All that the document of one resource is made of.
#[derive(Clone, Debug, Default)]
pub struct DocumentSource<'a> {
    /// Its live publications, newest first, then hard state.
    pub publications: Vec<events::Publication<'a>>,
    /// Its dialogs that have ended.
    pub ended: Vec<Ended>,
    /// Epoch second of the database's clock; 0 without a publication: then nothing depends on the time.
    pub now: i64,
}

// === impl Listed ===

impl Listed {
    /// What was found, for each of the `count` resources that were asked for, in that order.
    pub fn by_resource(&self, count: usize) -> Vec<DocumentSource<'_>> {
        let mut sources = vec![DocumentSource::default(); count];
        for row in &self.publications {
            if let Some(own) = sources.get_mut(row.resource_index) {
                own.publications.push(row.merge_row());
                own.now = row.now;
            }
        }
        for end in &self.ends {
            if let Some(own) = sources.get_mut(end.resource_index) {
                own.ended.push(Ended {
                    key: end.key,
                    at_us: end.at_us,
                });
            }
        }
        sources
    }

    /// Adds a row of what was found.
    pub(super) fn add(&mut self, row: &Row) {
        let resource_index = ordinal(row, "resource");
        let ended: Vec<i64> = row.get("ended");
        let ended_at: Vec<i64> = row.get("ended_at");
        let ends = ended.into_iter().zip(ended_at);
        self.ends.extend(ends.map(|(key, at_us)| DialogEnd {
            resource_index,
            key,
            at_us,
        }));
        if !row.get::<_, bool>("live") {
            return;
        }
        let body: Vec<u8> = row.get("body");
        // A row by hand may be in another encoding; what a PUBLISH brought is in UTF-8 already. The package leaves out what cannot be read.
        let body = match to_utf8(&body, None) {
            Ok(Cow::Owned(text)) => text,
            Ok(Cow::Borrowed(_)) | Err(_) => body,
        };
        self.publications.push(Publication {
            resource_index,
            id: row.get("id"),
            content_type: row.get("content_type"),
            body: Bytes::from(body),
            entity_tag: row.get("etag"),
            sender: row.get("sender"),
            received_time: row.get("received_time"),
            modified_us: row.get("modified_us"),
            expires: row.get("expires"),
            priority: row.get("priority"),
            now: row.get("now"),
        });
    }
}

// === impl DocumentSource ===

impl DocumentSource<'_> {
    /// What a package merges for those who are shown everything.
    pub fn input<'s>(&'s self, presentity_uri: &'s str) -> MergeInput<'s> {
        MergeInput {
            presentity: presentity_uri,
            publications: &self.publications,
            ended: &self.ended,
            now: self.now,
            ..MergeInput::default()
        }
    }
}

// === impl Publication ===

impl Publication {
    /// The row as the merge of a package reads it.
    pub fn merge_row(&self) -> events::Publication<'_> {
        events::Publication {
            id: self.id,
            content_type: &self.content_type,
            body: &self.body,
            entity_tag: &self.entity_tag,
            sender: &self.sender,
            received_time: self.received_time,
            modified_us: self.modified_us,
            expires: self.expires,
            priority: self.priority,
        }
    }
}
