//! The forms that were made, by the dialogs that are shown them.

use std::collections::HashMap;
use std::sync::Arc;

use events::Document;
use sql::{Rest, TakenDialog};

use crate::dialog_status::is_terminated;

/// The forms of watcher information that dialogs are shown.
#[derive(Debug, Default)]
pub(crate) struct WatcherForms {
    pub(super) full: Option<Told>,
    pub(super) partial: Option<Told>,
    pub(super) pieces: HashMap<i64, Told>,
}

/// A document, and what is to be sent after it.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) document: Arc<Document>,
    pub(super) rest: Option<Rest>,
}

// === impl WatcherForms ===

impl WatcherForms {
    /// What a dialog is shown. The last NOTIFY of one cannot be followed by others: it shows nothing if it cannot show all.
    pub(crate) fn document(&self, dialog: &TakenDialog) -> Option<Arc<Document>> {
        let told = self.told(dialog)?;
        let is_whole = told.rest.is_none() || !is_terminated(dialog);
        is_whole.then(|| told.document.clone())
    }

    /// What is to be sent to a dialog after that.
    pub(crate) fn rest(&self, dialog: &TakenDialog) -> Option<Rest> {
        self.told(dialog)?.rest.filter(|_| !is_terminated(dialog))
    }

    fn told(&self, dialog: &TakenDialog) -> Option<&Told> {
        match (dialog.told_to, dialog.partial_since) {
            (Some(told_to), _) => self.pieces.get(&told_to),
            (None, Some(_)) => self.partial.as_ref(),
            (None, None) => self.full.as_ref(),
        }
    }
}
