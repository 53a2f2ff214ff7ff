//! What documents are made of: live publications, and dialogs that have ended.

use bytes::Bytes;

use super::Publications;
use crate::registry::publication;
use crate::statement::batch;
use crate::{Resource, StoreError, ordinal};

/// What the documents of resources are made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// Live publications, each resource's together, newest first.
    pub publications: Vec<Publication>,
    /// Dialogs that have ended, also by publications that are over.
    pub ends: Vec<DialogEnd>,
}

/// One live publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Position in the slice given to [`Publications::list`].
    pub resource_index: usize,
    /// Row id.
    pub id: i64,
    /// Media type, `""` = the package's own.
    pub content_type: String,
    /// The published document.
    pub body: Bytes,
    /// Current entity-tag, which says by which device it is.
    pub entity_tag: String,
    /// Who published.
    pub sender: String,
    /// Epoch second at which the present body came; 0 for hard state.
    pub received_time: i64,
    /// The same, finer: epoch microsecond; 0 if unknown.
    pub modified_us: i64,
    /// Epoch second at which it ends, -1 for never.
    pub expires: i64,
    /// Column `priority`.
    pub priority: i64,
    /// Epoch second of the database's clock when this was read; the same for all rows of one call.
    pub now: i64,
}

/// A dialog that a publication has called terminated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DialogEnd {
    /// Position in the slice given to [`Publications::list`].
    pub resource_index: usize,
    /// Its key, as in [`events::BodyNote::ended`].
    pub key: i64,
    /// When, epoch microsecond.
    pub at_us: i64,
}

/// A claimed resource as it was when its publications were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedViews {
    /// Position in the slice given to [`Publications::list_claimed`].
    pub resource_index: usize,
    /// What dialogs of it are shown, beside `all` and `none`.
    pub views: Vec<String>,
}

impl Publications<'_> {
    /// The live publications of the resources, and which dialogs have ended.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list(&self, resources: &[Resource]) -> Result<Listed, StoreError> {
        if resources.is_empty() {
            return Ok(Listed::default());
        }
        let found = self
            .0
            .query(&batch!(
                resources,
                |resource| publication::ListLive {
                    presentity_uri: &resource.presentity_uri,
                    event: &resource.event,
                },
                Once {
                    now: self.0.now(),
                    documents: self.0.hard_state(),
                }
            ))
            .await?;
        let mut listed = Listed::default();
        for row in &found {
            listed.add(row);
        }
        Ok(listed)
    }

    /// What the watchers of claimed resources are to be shown, as [`Publications::list`], and what else must be known before
    /// [`crate::Subscriptions::take_free`]. A resource without any dialog is left out: nobody is shown it.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_claimed(
        &self,
        resources: &[Resource],
    ) -> Result<(Vec<ClaimedViews>, Listed), StoreError> {
        if resources.is_empty() {
            return Ok((Vec::new(), Listed::default()));
        }
        let found = self
            .0
            .query(&batch!(
                resources,
                |resource| publication::ListClaimed {
                    presentity_uri: &resource.presentity_uri,
                    event: &resource.event,
                },
                Once {
                    now: self.0.now(),
                    documents: self.0.hard_state(),
                }
            ))
            .await?;
        let (mut claimed, mut listed) = (Vec::<ClaimedViews>::new(), Listed::default());
        for row in &found {
            let resource_index = ordinal(row, "resource");
            if claimed.last().map(|views| views.resource_index) != Some(resource_index) {
                claimed.push(ClaimedViews {
                    resource_index,
                    views: row.get("views"),
                });
            }
            if row.get::<_, Option<i64>>("id").is_some() {
                listed.add(row);
            }
        }
        Ok((claimed, listed))
    }
}
