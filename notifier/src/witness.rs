//! Who looks on while NOTIFYs are sent and answered, and changes nothing about it: lines in a log, the operator's script. Without either
//! nothing is noted.

use net::Outcome;
use sql::{Resource, TakenDialog};

use crate::failure::Ending;
use crate::ledger::{Guard, NotifyKey};
use crate::notify_log::NotifyLog;
use crate::script::NotifyEvents;

/// The witnesses that the configuration asks for.
pub(crate) struct Witnesses {
    /// `local_log_level`, `local_log_facility`
    pub(crate) notify_log: Option<NotifyLog>,
    /// `script.file`
    pub(crate) script: Option<NotifyEvents>,
}

impl Witnesses {
    /// A NOTIFY of this dialog is to be sent. `is_open` says of others whether theirs still are.
    pub(crate) fn taken(
        &mut self,
        key: NotifyKey,
        guard: Guard,
        resource: &Resource,
        dialog: &TakenDialog,
        is_open: impl Fn(NotifyKey) -> bool,
    ) {
        if let Some(log) = &mut self.notify_log {
            log.taken(key, dialog, resource, &is_open);
        }
        if let Some(script) = &mut self.script {
            script.note(key, guard, resource, dialog, &is_open);
        }
    }

    /// It goes out now.
    pub(crate) fn sent(&self, key: NotifyKey) {
        if let Some(log) = &self.notify_log {
            log.sent(key);
        }
        if let Some(script) = &self.script {
            script.sent(key);
        }
    }

    /// The network has an answer to it, or none.
    pub(crate) fn answered(&mut self, key: NotifyKey, outcome: &Outcome) {
        if let Some(script) = &mut self.script {
            script.ended(key, outcome);
        }
    }

    /// It is over, one way or another.
    pub(crate) fn ended(&mut self, key: NotifyKey, ending: Ending) {
        if let Some(log) = &mut self.notify_log {
            log.ended(key, ending);
        }
    }
}
