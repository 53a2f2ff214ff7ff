//! When to claim: the doorbell, the poll, and what is known to be due soon.
//!
//! An idle notifier asks once a poll interval. After a full claim it asks again at once (there is more), after a ring too.
//! Pure: the engine gives the time and the random number.

use std::time::{Duration, Instant};

/// The rhythm of claiming.
#[derive(Debug)]
pub(crate) struct Pace {
    interval: Duration,
    next: Instant,
}

// === impl Pace ===

impl Pace {
    /// The first claim is due at once.
    pub(crate) fn new(polls_per_second: u32, now: Instant) -> Pace {
        Pace {
            interval: Duration::from_secs(1) / polls_per_second.max(1),
            next: now,
        }
    }

    /// The time from poll to poll.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// Whether a claim is due.
    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next <= now
    }

    /// When the next claim is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// A ring was heard: there may be work. Heard while a claim is under way, it brings another claim after it, since that
    /// statement may have looked too early.
    pub(crate) fn ring(&mut self, now: Instant) {
        self.next = now;
    }

    /// A claim is being issued. Set before it, so that a ring during the claim isn't forgotten. `jitter` is from 0 to 1 and
    /// keeps the polls of several notifiers from marching in step.
    pub(crate) fn issued(&mut self, now: Instant, jitter: f64) {
        self.next = now + self.interval.mul_f64(0.75 + 0.5 * jitter.clamp(0.0, 1.0));
    }

    /// A claim was answered with as much as was asked for: work-conserving, the next one follows at once.
    pub(crate) fn full(&mut self, now: Instant) {
        self.next = now;
    }

    /// Something will be due at `at`, when its pacing allows: it doesn't wait for the poll after that.
    pub(crate) fn due(&mut self, at: Instant) {
        self.next = self.next.min(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn polls_rings_and_goes_on_while_there_is_more() {
        let start = Instant::now();
        let mut pace = Pace::new(10, start);
        assert!(pace.is_due(start));
        pace.issued(start, 0.5);
        assert_eq!(pace.next(), start + Duration::from_millis(100));
        let during = start + Duration::from_millis(1);
        assert!(!pace.is_due(during));
        pace.ring(during);
        assert!(
            pace.is_due(during),
            "a ring during the claim brings another"
        );
        pace.issued(during, 0.0);
        pace.full(during);
        assert!(pace.is_due(during));
        pace.issued(during, 1.0);
        assert_eq!(pace.next(), during + Duration::from_millis(125));
        let soon = during + Duration::from_millis(7);
        pace.due(soon);
        pace.due(during + Duration::from_millis(500));
        assert_eq!(pace.next(), soon, "the earlier of both");
    }
}
