//! How much to take at once: small portions, so that the first NOTIFYs leave while the next dialogs are being taken; larger
//! ones the longer a fan-out lasts, because each take looks at all that is still due of its resources to choose fairly.
//!
//! Taking a dialog costs PostgreSQL some 30 us, sending its NOTIFY costs us about as much: with both at work side by side a
//! fan-out takes half the time. Measured with 2,000 watchers: all notified after 233 ms when they were taken together.

use crate::ledger::Work;

/// Dialogs of the first takes of a fan-out: 15 ms of PostgreSQL's time.
const FIRST_DIALOGS: usize = 512;
/// Most dialogs of one take.
const MAX_DIALOGS: usize = 4096;
/// After so many takes of one size the next ones are twice as large: 50,000 dialogs are taken in 25 takes.
const TAKES_OF_A_SIZE: u32 = 4;
/// Fewest resources of one take.
const MIN_RESOURCES: usize = 8;

/// The size of the next take.
#[derive(Debug)]
pub(crate) struct Portion {
    /// Due dialogs of a resource, as last seen.
    fan_out: f64,
}

// === impl Portion ===

impl Portion {
    pub(crate) fn new() -> Portion {
        Portion { fan_out: 1.0 }
    }

    /// How many resources to take of together. More than fill a portion would be looked through in vain.
    pub(crate) fn resources(&self) -> usize {
        ((FIRST_DIALOGS as f64 / self.fan_out) as usize).clamp(MIN_RESOURCES, FIRST_DIALOGS)
    }

    /// How many dialogs to take of these.
    pub(crate) fn dialogs<R>(&self, works: &[Work<R>]) -> usize {
        let cuts = works.iter().map(|work| work.cuts).max().unwrap_or(0);
        FIRST_DIALOGS
            .saturating_mul(1 << (cuts / TAKES_OF_A_SIZE).min(16))
            .min(MAX_DIALOGS)
    }

    /// Learns from a take. One that was cut short has seen half of the fan-out at most.
    pub(crate) fn taken(&mut self, resources: usize, dialogs: usize, complete: bool) {
        if resources == 0 {
            return;
        }
        let seen = dialogs as f64 / resources as f64;
        let seen = if complete { seen } else { 2.0 * seen };
        self.fan_out = (0.75 * self.fan_out + 0.25 * seen).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn work(cuts: u32) -> Work<()> {
        let mut ledger = crate::ledger::Ledger::new();
        let now = std::time::Instant::now();
        ledger.claimed((), 1, 1, true, now);
        let mut work = ledger.begin_take(1).remove(0);
        work.cuts = cuts;
        work
    }

    #[test]
    fn portions_grow_while_a_fan_out_lasts() {
        let portion = Portion::new();
        for (cuts, dialogs) in [
            (0, 512),
            (3, 512),
            (4, 1024),
            (8, 2048),
            (12, 4096),
            (400, 4096),
        ] {
            assert_eq!(portion.dialogs(&[work(0), work(cuts)]), dialogs, "{cuts}");
        }
    }

    #[test]
    fn the_more_dialogs_a_resource_has_the_fewer_are_taken_together() {
        let mut portion = Portion::new();
        assert_eq!(portion.resources(), 512);
        for _ in 0..40 {
            portion.taken(5, 50, true);
        }
        assert_eq!(portion.resources(), 51);
        for _ in 0..40 {
            portion.taken(8, 512, false);
        }
        assert_eq!(portion.resources(), 8);
        for _ in 0..40 {
            portion.taken(8, 0, true);
        }
        assert_eq!(portion.resources(), 512);
    }
}
