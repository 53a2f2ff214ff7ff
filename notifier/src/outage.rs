//! The pause after failed statements: a database that comes back isn't met by a storm.

use sql::StoreError;
use std::time::{Duration, Instant};
use tokio::task::JoinError;

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

    pub(crate) fn note(
        &mut self,
        now: Instant,
        what: &'static str,
        error: Result<Option<StoreError>, JoinError>,
    ) {
        let pause = Duration::from_millis(50 << self.failures.min(4))
            .mul_f64(0.75 + 0.5 * rand::random::<f64>());
        self.until = Some(now + pause);
        self.failures += 1;
        match error {
            Ok(Some(error)) if error.is_outage() && self.failures > 1 => {
                tracing::debug!(what, %error, "statement failed again")
            }
            Ok(Some(error)) if error.is_outage() => {
                tracing::warn!(what, %error, "statement failed")
            }
            Ok(Some(error)) => tracing::error!(what, %error, "statement failed"),
            Ok(None) => tracing::error!(what, "statement gave the wrong result"),
            Err(error) => tracing::error!(what, %error, "statement panicked"),
        }
    }
}
