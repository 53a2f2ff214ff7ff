//! A histogram of durations: log-linear, exact to 1 %, without allocation once made.

use crate::report::Percentiles;

/// Buckets per power of two, as a power of two: 2^7 keep the error below 0.8 %.
const PRECISION_BITS: u32 = 7;
const PRECISION: u64 = 1 << PRECISION_BITS;
/// Largest power of two told apart, in nanoseconds: 2^42 ns are more than an hour.
const LARGEST_BITS: u32 = 42;
const BUCKETS: usize = ((LARGEST_BITS - PRECISION_BITS + 1) as usize) << PRECISION_BITS;

/// Counts of durations in nanoseconds.
#[derive(Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    largest_ns: u64,
}

impl Histogram {
    pub(crate) fn new() -> Histogram {
        Histogram {
            counts: vec![0; BUCKETS],
            count: 0,
            largest_ns: 0,
        }
    }

    pub(crate) fn record(&mut self, duration_ns: u64) {
        self.counts[bucket(duration_ns)] += 1;
        self.count += 1;
        self.largest_ns = self.largest_ns.max(duration_ns);
    }

    pub(crate) fn add(&mut self, other: &Histogram) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.largest_ns = self.largest_ns.max(other.largest_ns);
    }

    /// The smallest duration that at least `share` of all do not exceed, in nanoseconds; 0 when there are none.
    pub(crate) fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.count as f64 * share).ceil() as u64).max(1);
        let mut below = 0;
        for (index, count) in self.counts.iter().enumerate() {
            below += count;
            if below >= rank {
                return upper_end(index).min(self.largest_ns);
            }
        }
        self.largest_ns
    }

    pub(crate) fn percentiles(&self) -> Percentiles {
        let ms = |ns: u64| ns as f64 / 1e6;
        Percentiles {
            p50: ms(self.percentile(0.5)),
            p90: ms(self.percentile(0.9)),
            p99: ms(self.percentile(0.99)),
            p999: ms(self.percentile(0.999)),
            max: ms(self.largest_ns),
            count: self.count,
        }
    }
}

fn bucket(value: u64) -> usize {
    let value = value.min((1 << LARGEST_BITS) - 1);
    if value < PRECISION {
        return value as usize;
    }
    let shift = value.ilog2() - PRECISION_BITS;
    // The leading bit of `value >> shift` is PRECISION itself: it makes the first bucket of the next power of two.
    ((u64::from(shift) << PRECISION_BITS) + (value >> shift)) as usize
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PRECISION {
        return bucket;
    }
    let shift = (bucket >> PRECISION_BITS) - 1;
    let first = (PRECISION + (bucket & (PRECISION - 1))) << shift;
    first + (1 << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_seamless_and_narrow() {
        assert_eq!(
            bucket(u64::MAX),
            BUCKETS - 1,
            "the largest has the last bucket"
        );
        for value in (0..5_000).chain([999_999, 123_456_789, 5_000_000_000, (1 << 42) - 1]) {
            let (index, end) = (bucket(value), upper_end(bucket(value)));
            assert!(end >= value, "{value} in {index}, which ends at {end}");
            assert!(
                end as f64 <= value as f64 * 1.01 + 1.0,
                "{value} in {index}, which ends at {end}"
            );
            assert_eq!(
                bucket(end + 1).min(BUCKETS - 1),
                (index + 1).min(BUCKETS - 1)
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
