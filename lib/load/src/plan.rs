//! What all workers of a run go by, and what they share.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sip::Transport;

use crate::workload::Workload;

/// What all workers go by.
pub(crate) struct Plan {
    pub(crate) workload: Workload,
    pub(crate) transport: Transport,
    pub(crate) servers: Vec<SocketAddr>,
    pub(crate) workers: usize,
    pub(crate) domain: String,
    pub(crate) password: Option<String>,
    pub(crate) seed: u64,
    /// A number that no other run has.
    pub(crate) run: u32,
}

/// What the workers share.
pub(crate) struct Shared {
    pub(crate) beginning: Instant,
    /// How many workers are done with each stage.
    pub(crate) finished: Vec<AtomicUsize>,
    pub(crate) is_aborted: AtomicBool,
    totals: Vec<Mutex<Totals>>,
}

impl Shared {
    pub(crate) fn new(stages: usize, workers: usize) -> Shared {
        Shared {
            beginning: Instant::now(),
            finished: (0..stages).map(|_| AtomicUsize::new(0)).collect(),
            is_aborted: AtomicBool::new(false),
            totals: (0..workers).map(|_| Mutex::default()).collect(),
        }
    }

    pub(crate) fn show(&self, worker: usize, totals: Totals) {
        *self.totals[worker]
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = totals;
    }

    pub(crate) fn totals(&self) -> Totals {
        let mut sum = Totals::default();
        for totals in &self.totals {
            let totals = *totals.lock().unwrap_or_else(PoisonError::into_inner);
            sum.publish += totals.publish;
            sum.subscribe += totals.subscribe;
            sum.notify += totals.notify;
            sum.messages += totals.messages;
            sum.in_flight += totals.in_flight;
            sum.faults += totals.faults;
            sum.stage = sum.stage.max(totals.stage);
        }
        sum
    }
}

/// Counts of the whole run so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Totals {
    pub(crate) publish: u64,
    pub(crate) subscribe: u64,
    pub(crate) notify: u64,
    pub(crate) messages: u64,
    pub(crate) in_flight: u64,
    pub(crate) faults: u64,
    pub(crate) stage: usize,
}
