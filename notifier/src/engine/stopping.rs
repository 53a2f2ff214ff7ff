//! Stopping: nothing new is taken, what is in flight may finish, and the rest is handed to the other notifiers.

use super::Engine;
use crate::failure::{Ending, Standing};
use crate::send::Notify;
use std::time::{Duration, Instant};

/// How long in-flight NOTIFYs may finish when stopping, and how long handing the rest back may take after that.
const STOP_GRACE: Duration = Duration::from_secs(2);
const STOP_LIMIT: Duration = Duration::from_secs(5);

impl Engine {
    pub(super) fn stop(&mut self) {
        self.stopping = Some(Instant::now());
        self.ledger.stop_taking();
    }

    /// When the grace is over, what is still in flight is due again, and another notifier goes on with it at once.
    pub(super) fn interrupt_late_notifies(&mut self) {
        let Some(since) = self.stopping else { return };
        if self.interrupted || since.elapsed() < STOP_GRACE {
            return;
        }
        self.interrupted = true;
        for (key, branch) in self.ledger.open_notifies() {
            self.cancel(branch.into_iter().collect());
            let notify = Notify {
                key,
                standing: Standing::default(),
                flow: None,
            };
            self.ended(notify, Ending::Interrupted);
        }
    }

    pub(super) fn is_done(&self) -> bool {
        let Some(since) = self.stopping else {
            return false;
        };
        since.elapsed() >= STOP_LIMIT
            || (self.ledger.is_empty() && self.in_turn.is_none() && self.overdue.is_none())
    }
}
