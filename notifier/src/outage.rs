//! The pause after failed statements: a database that comes back isn't met by a storm.

use crate::step::Fault;
use std::time::{Duration, Instant};

/// A pause after failed statements, growing while they fail: a database that comes back isn't met by a storm.
#[derive(Debug, Default)]
pub(crate) struct Outage {
    pub(crate) until: Option<Instant>,
    failures: u32,
}

// === impl Outage ===

impl Outage {
    pub(crate) fn lasts(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| until > now)
    }

    pub(crate) fn over(&mut self) {
        if self.failures > 0 {
            tracing::info!("the database answers again");
        }
        *self = Outage::default();
    }

    pub(crate) fn note(&mut self, now: Instant, step: &'static str, fault: &Fault) {
        let pause = Duration::from_millis(50 << self.failures.min(4))
            .mul_f64(0.75 + 0.5 * rand::random::<f64>());
        self.until = Some(now + pause);
        self.failures += 1;
        match fault {
            Fault::Store(error) if error.is_outage() && self.failures > 1 => {
                tracing::debug!(step, %error, "statement failed again")
            }
            Fault::Store(error) if error.is_outage() => {
                tracing::warn!(step, %error, "statement failed")
            }
            Fault::Store(error) => tracing::error!(step, %error, "statement failed"),
            Fault::Panicked => tracing::error!(step, "a step panicked"),
        }
    }
}
