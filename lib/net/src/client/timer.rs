//! The one task that drives the timers of all transactions of a client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sip::transaction::ClientAction;
use tokio::sync::Notify;

use super::{Outcome, Shared};

/// Deadlines this close together are served by one wake-up: thousands of transactions start in the same few milliseconds.
const GRAIN: Duration = Duration::from_millis(5);

/// When the task will wake up by itself, and the bell that wakes it earlier.
pub(super) struct Alarm {
    set_to_ms: AtomicU64,
    bell: Arc<Notify>,
}

impl Alarm {
    pub(super) fn new() -> Alarm {
        Alarm {
            set_to_ms: AtomicU64::new(u64::MAX),
            bell: Arc::new(Notify::new()),
        }
    }

    /// Tells the task of a new earliest deadline.
    pub(super) fn advance(&self, deadline_ms: Option<u64>) {
        if deadline_ms
            .is_some_and(|deadline_ms| deadline_ms < self.set_to_ms.load(Ordering::SeqCst))
        {
            self.bell.notify_one();
        }
    }
}

/// Starts the task; it ends with the client.
pub(super) fn start<K: Send + 'static>(shared: &Arc<Shared<K>>) {
    let weak = Arc::downgrade(shared);
    let bell = Arc::clone(&shared.timer.bell);
    let closing = shared.closing.clone();
    tokio::spawn(closing.run_until_cancelled_owned(async move {
        let mut actions = Vec::new();
        while let Some(shared) = weak.upgrade() {
            let wake = {
                let mut table = shared.table();
                table.on_time(&mut actions);
                let deadline_ms = table.next_deadline();
                // Inside the lock, so that whoever starts a transaction compares with what is true.
                shared
                    .timer
                    .set_to_ms
                    .store(deadline_ms.unwrap_or(u64::MAX), Ordering::SeqCst);
                deadline_ms.map(|deadline_ms| table.instant(deadline_ms))
            };
            for action in actions.drain(..) {
                match action {
                    ClientAction::Retransmit { key, bytes } => shared.retransmit(&key, bytes),
                    ClientAction::TimedOut { key } => shared.fail(&key, Outcome::TimedOut),
                }
            }
            drop(shared);
            match wake {
                Some(wake) => tokio::select! {
                    () = tokio::time::sleep_until((wake + GRAIN).into()) => {}
                    () = bell.notified() => {}
                },
                None => bell.notified().await,
            }
        }
    }));
}
