//! A histogram of durations: log-linear, exact to 1 %, without allocation once made.

use crate::report::Percentiles;

/// Significant digits: two keep the error below 1 %.
const DIGITS: u8 = 2;
/// Largest duration told apart: more than an hour.
const LARGEST_NS: u64 = (1 << 42) - 1;

/// Counts of durations in nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: hdrhistogram::Histogram<u64>,
    /// Exactly; the histogram has the end of its bucket.
    largest_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        // Unwrap safety: bounds that are refused are refused in each test.
        #[expect(clippy::expect_used, reason = "see above")]
        let counts = hdrhistogram::Histogram::new_with_max(LARGEST_NS, DIGITS)
            .expect("bounds that a histogram can have");
        Histogram {
            counts,
            largest_ns: 0,
        }
    }

    pub(crate) fn record(&mut self, duration_ns: u64) {
        self.counts.saturating_record(duration_ns);
        self.largest_ns = self.largest_ns.max(duration_ns);
    }

    pub(crate) fn add(&mut self, other: &Histogram) {
        // Refused is only what has other bounds.
        let _ = self.counts.add(&other.counts);
        self.largest_ns = self.largest_ns.max(other.largest_ns);
    }

    /// The smallest duration that at least `share` of all do not exceed, in nanoseconds; 0 when there are none.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        self.counts.value_at_quantile(share).min(self.largest_ns)
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let ms = |ns: u64| ns as f64 / 1e6;
        Percentiles {
            p50: ms(self.percentile(0.5)),
            p90: ms(self.percentile(0.9)),
            p99: ms(self.percentile(0.99)),
            p999: ms(self.percentile(0.999)),
            max: ms(self.largest_ns),
            count: self.counts.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_is_told_to_one_percent() {
        let scattered = [999_999, 123_456_789, 5_000_000_000, LARGEST_NS];
        for value in (0..5_000).chain(scattered) {
            let mut histogram = Histogram::new();
            histogram.record(value);
            histogram.record(u64::MAX);
            let told = histogram.percentile(0.5);
            assert!(told >= value, "{value} is told as {told}");
            assert!(
                told as f64 <= value as f64 * 1.01 + 1.0,
                "{value} is told as {told}"
            );
        }
    }

    #[test]
    fn percentiles_of_known_distributions() {
        let mut even = Histogram::new();
        assert_eq!(even.percentiles(), Percentiles::default());
        for ms in 1..=1_000_u64 {
            even.record(ms * 1_000_000);
        }
        let found = even.percentiles();
        for (name, value, expected) in [
            ("p50", found.p50, 500.0),
            ("p90", found.p90, 900.0),
            ("p99", found.p99, 990.0),
            ("p999", found.p999, 999.0),
            ("max", found.max, 1_000.0),
        ] {
            assert!(
                value >= expected && value <= expected * 1.01,
                "{name}: {value}"
            );
        }
        assert_eq!(found.count, 1_000);

        // One slow value among a hundred is the 99.9th percentile, not the median; and histograms add up.
        let mut fast = Histogram::new();
        (0..99).for_each(|_| fast.record(1_000));
        let mut slow = Histogram::new();
        slow.record(1_000_000_000);
        fast.add(&slow);
        let found = fast.percentiles();
        assert!(found.p50 < 0.002 && found.p99 < 0.002 && found.p999 >= 1_000.0);
        assert_eq!((found.max, found.count), (1_000.0, 100));
    }
}
