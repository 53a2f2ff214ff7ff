//! Marks: whether what a document is made of has changed, without reading it.

use super::Publications;
use crate::registry::publication;
use crate::statement::batch;
use crate::{Resource, StoreError, ordinal};

/// A resource that somebody looks at, and what its documents are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MarkOf {
    /// Its publications.
    Publications(Resource),
    /// The subscriptions to this one.
    Watchers(Resource),
}

/// What was found of one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// Another text as soon as a row of it is another one. It says nothing else, and may change without a change that anybody sees.
    pub text: String,
    /// Epoch second of the database's clock.
    pub now: i64,
}

impl Publications<'_> {
    /// The marks of these resources, in their order.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_marks(&self, wanted: &[MarkOf]) -> Result<Vec<Mark>, StoreError> {
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let rows = self
            .0
            .query(&batch!(
                wanted,
                |of| publication::ListMarks {
                    presentity_uri: &of.resource().presentity_uri,
                    event: &of.resource().event,
                    of_watchers: matches!(of, MarkOf::Watchers(_)),
                },
                Once { now: self.0.now() }
            ))
            .await?;
        let mut marks = vec![Mark::default(); wanted.len()];
        for row in &rows {
            if let Some(mark) = marks.get_mut(ordinal(row, "resource")) {
                mark.text = row.get("mark");
                mark.now = row.get("now");
            }
        }
        Ok(marks)
    }
}

// === impl MarkOf ===

impl MarkOf {
    fn resource(&self) -> &Resource {
        match self {
            MarkOf::Publications(resource) | MarkOf::Watchers(resource) => resource,
        }
    }
}
