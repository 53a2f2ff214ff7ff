//! What the database refuses to work on: set aside with the reason, and tried again later. DESIGN of it: table `quarantine`.

use std::time::SystemTime;

use crate::registry::quarantine;
use crate::statement::batch;
use crate::{Resource, Store, StoreError};

/// A part of a resource that cannot be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All of it.
    Whole,
    /// One dialog, by row id.
    Dialog(i64),
    /// What is decided about a watcher who has no dialog.
    Decision,
}

/// What is to be set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Of whom.
    pub resource: Resource,
    /// Which part of it.
    pub part: Part,
    /// The error of PostgreSQL ([`StoreError::sqlstate`]).
    pub sqlstate: String,
    /// What it said.
    pub message: String,
}

/// The statements of this area; see [`Store::quarantine`].
#[derive(Clone, Copy, Debug)]
pub struct Quarantine<'a>(pub(crate) &'a Store);

impl Quarantine<'_> {
    /// Sets aside what could not be done in this step: for 5 s, then each time for twice as long, up to 5 minutes.
    ///
    /// A whole resource is not claimed by anybody as long; a dialog is not taken, nor decided about.
    ///
    /// # Locks
    /// Rows of `quarantine` by key.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn put(&self, step: &str, refused: &[Refused]) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.0
            .execute(&batch!(
                refused,
                |refused| quarantine::PutRefused {
                    presentity_uri: &refused.resource.presentity_uri,
                    event: &refused.resource.event,
                    dialog: refused.part.number(),
                    sqlstate: &refused.sqlstate,
                    message: &refused.message,
                },
                Once {
                    step: step,
                    now: self.0.now(),
                }
            ))
            .await
            .map(|_| ())
    }

    /// Forgets what was set aside of resources before they were claimed ([`crate::Claimed::suspect`]), and worked on; what was set aside again
    /// stays.
    ///
    /// # Locks
    /// Rows of `quarantine`.
    /// # Errors
    /// Any [`StoreError`].
    pub async fn delete_done(
        &self,
        resources: &[(Resource, SystemTime)],
    ) -> Result<(), StoreError> {
        if resources.is_empty() {
            return Ok(());
        }
        self.0
            .execute(&batch!(
                resources,
                |done| quarantine::DeleteDone {
                    presentity_uri: &done.0.presentity_uri,
                    event: &done.0.event,
                    suspect: done.1,
                },
                Once {}
            ))
            .await
            .map(|_| ())
    }
}

// === impl Part ===

impl Part {
    fn number(self) -> i64 {
        match self {
            Part::Whole => 0,
            Part::Dialog(id) => id,
            Part::Decision => -1,
        }
    }

    pub(crate) fn from_number(number: i64) -> Part {
        match number {
            0 => Part::Whole,
            -1 => Part::Decision,
            id => Part::Dialog(id),
        }
    }
}

// === impl Refused ===

impl Refused {
    /// This part of a resource is to blame for an error.
    pub fn new(resource: &Resource, part: Part, error: &StoreError) -> Refused {
        let message = match error {
            StoreError::Conflict { reason, .. } | StoreError::Bug { reason, .. } => reason.clone(),
            error => error.to_string(),
        };
        Refused {
            resource: resource.clone(),
            part,
            sqlstate: error.sqlstate().to_owned(),
            message,
        }
    }
}
