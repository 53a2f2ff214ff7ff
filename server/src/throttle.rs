//! How often something may happen for each of very many senders, in bounded memory. Pure: the caller has the clock.
//!
//! A bucket is one number, the time at which it is empty of debt again (the generic cell rate algorithm, ITU-T I.371): each request adds its share
//! to it, and one is let through as long as the debt is below the burst. Whoever owes nothing needs no entry.
//!
//! The table has a fixed number of places, in sets of [`WAYS`]; a keyed hash chooses the set, so nobody can aim at one. When a set is full, a
//! newcomer takes the place of whoever owes least, **and what that one owes**. So the earliest time in a set never goes back, and whoever comes back
//! after he was pushed out owes at least what he owed. Two promises follow:
//!
//! - Nobody gets more than his burst and his rate, however many others come: being pushed out forgives nothing.
//! - A newcomer pays for others only by what the least of [`WAYS`] strangers in his set owes: he is refused only where all of them are at
//!   their limit. With 65,536 places that needs tens of thousands of addresses that all send without pause.

mod copies;
mod source;

use std::hash::{BuildHasher, Hash, RandomState};

pub(crate) use copies::Copies;
pub(crate) use source::Source;

/// Places of a table: 1 MB, which the system gives when it is used.
const PLACES: usize = 65_536;
/// Places among which a newcomer looks for his own.
const WAYS: usize = 16;
const SECOND_US: u64 = 1_000_000;

/// How often something may happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limit {
    /// From one to the next, in microseconds.
    interval_us: u64,
    /// The debt with which one more is let through.
    tolerance_us: u64,
}

/// The buckets of one kind, one for each key.
pub(crate) struct Throttle {
    limit: Limit,
    hasher: RandomState,
    /// Who it is (a hash; 0: nobody), and the time from which he owes nothing. Numbers alone, so that untouched memory costs nothing.
    places: Vec<[u64; 2]>,
    ways: usize,
}

impl Limit {
    /// So many a second, and so many at once after a pause. `None` if one of them is 0: there is no limit.
    pub(crate) fn new(rate_s: u32, burst: u32) -> Option<Limit> {
        if rate_s == 0 || burst == 0 {
            return None;
        }
        // Rounded up: rather a little fewer than more.
        let interval_us = SECOND_US.div_ceil(u64::from(rate_s));
        Some(Limit {
            interval_us,
            tolerance_us: interval_us * u64::from(burst - 1),
        })
    }
}

impl Throttle {
    /// Everybody has a full burst.
    pub(crate) fn new(limit: Limit) -> Throttle {
        Throttle::with_places(limit, PLACES, WAYS)
    }

    fn with_places(limit: Limit, places: usize, ways: usize) -> Throttle {
        Throttle {
            limit,
            hasher: RandomState::new(),
            places: vec![[0; 2]; places],
            ways,
        }
    }

    /// Counts one for this key if there is room for it, and says whether there was. `now_us` never goes back.
    pub(crate) fn take(&mut self, key: &impl Hash, now_us: u64) -> bool {
        let (id, limit) = (self.id(key), self.limit);
        let place = self.place(id);
        let owed_us = place[1].saturating_sub(now_us);
        if owed_us > limit.tolerance_us {
            return false;
        }
        *place = [id, now_us + owed_us + limit.interval_us];
        true
    }

    /// Whether there is room for one more. Counts nothing.
    pub(crate) fn has_room(&mut self, key: &impl Hash, now_us: u64) -> bool {
        let id = self.id(key);
        let owed_us = self.place(id)[1].saturating_sub(now_us);
        owed_us <= self.limit.tolerance_us
    }

    /// Counts one, whether there is room or not: it has happened. All of the debt must pass before there is room again, so what came at once,
    /// before anybody could know, is paid for too.
    pub(crate) fn charge(&mut self, key: &impl Hash, now_us: u64) {
        let (id, interval_us) = (self.id(key), self.limit.interval_us);
        let place = self.place(id);
        *place = [id, place[1].max(now_us) + interval_us];
    }

    fn id(&self, key: &impl Hash) -> u64 {
        // 0 is nobody.
        self.hasher.hash_one(key).max(1)
    }

    /// The place of a key, or the one that it takes when something is counted: that of whoever owes least.
    fn place(&mut self, id: u64) -> &mut [u64; 2] {
        let sets = self.places.len() / self.ways;
        let first = (id % sets as u64) as usize * self.ways;
        let set = &mut self.places[first..first + self.ways];
        let own = set.iter().position(|place| place[0] == id);
        let least = || {
            let places = set.iter().enumerate();
            places.min_by_key(|(_, place)| place[1]).map(|(at, _)| at)
        };
        let at = own.or_else(least).unwrap_or(0);
        &mut set[at]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look like chance and are the same in each run (splitmix64).
    struct Numbers(u64);

    impl Numbers {
        fn next(&mut self, below: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            (z ^ (z >> 31)) % below
        }
    }

    fn limit(rate_s: u32, burst: u32) -> Limit {
        Limit::new(rate_s, burst).unwrap()
    }

    #[test]
    fn zero_is_no_limit() {
        for (rate_s, burst) in [(0, 10), (10, 0), (0, 0)] {
            assert_eq!(Limit::new(rate_s, burst), None);
        }
    }

    #[test]
    fn a_burst_and_then_a_rate() {
        let mut throttle = Throttle::new(limit(10, 3));
        let mut at_ms = |ms: u64| throttle.take(&"a", ms * 1000);
        assert_eq!(
            [at_ms(0), at_ms(0), at_ms(0), at_ms(0)],
            [true, true, true, false]
        );
        assert!(!at_ms(99), "a tenth of a second for each");
        assert!(at_ms(100));
        assert!(!at_ms(100));
        assert!(at_ms(250));
        assert!(!at_ms(299));
        assert!(at_ms(300));
        // After a pause, however long, the burst is the same.
        let passed = (0..10).filter(|_| at_ms(3_600_000)).count();
        assert_eq!(passed, 3);
        assert!(throttle.take(&"b", 0), "somebody else");
    }

    #[test]
    fn what_has_happened_is_counted_beyond_the_limit_too() {
        let mut throttle = Throttle::new(limit(10, 3));
        for _ in 0..8 {
            throttle.charge(&"a", 0);
        }
        // 8 of which 3 are the burst: room again when the debt is that of 2.
        assert!(!throttle.has_room(&"a", 599_999));
        assert!(throttle.has_room(&"a", 600_000));
        assert!(throttle.has_room(&"a", 600_000), "asking counts nothing");
        assert!(throttle.take(&"a", 600_000));
        assert!(!throttle.has_room(&"a", 600_000));
    }

    /// In every window of time, not only from the beginning; for odd rates, at odd times.
    #[test]
    fn never_more_than_the_burst_and_the_rate_pass() {
        let mut numbers = Numbers(1);
        for _ in 0..200 {
            let (rate_s, burst) = (1 + numbers.next(3000), 1 + numbers.next(40));
            let mut throttle = Throttle::new(limit(rate_s as u32, burst as u32));
            let (mut now_us, mut passed) = (numbers.next(1 << 40), Vec::new());
            for _ in 0..1000 {
                now_us += match numbers.next(10) {
                    0 => numbers.next(2_000_000),
                    _ => numbers.next(2_000_000 / rate_s),
                };
                if throttle.take(&7, now_us) {
                    passed.push(now_us);
                }
            }
            assert!(passed.len() >= burst as usize);
            for first in (0..passed.len()).step_by(7) {
                for last in first..passed.len() {
                    let (count, time_us) =
                        ((last - first + 1) as u64, passed[last] - passed[first]);
                    assert!(
                        count * SECOND_US <= burst * SECOND_US + rate_s * time_us,
                        "{count} in {time_us} us, of {rate_s}/s and {burst}"
                    );
                }
            }
        }
    }

    /// Whoever is pushed out by a flood of newcomers and comes back gets no more than if he had stayed; and memory stays what it is.
    #[test]
    fn a_flood_of_newcomers_forgives_nobody() {
        let (rate_s, burst) = (5, 10);
        for (places, ways) in [(8, 8), (64, 8), (1, 1)] {
            let mut throttle = Throttle::with_places(limit(rate_s, burst), places, ways);
            let (mut numbers, mut passed) = (Numbers(2), 0);
            let (start_us, mut now_us) = (SECOND_US, SECOND_US);
            for newcomer in 0..20_000_u64 {
                now_us += numbers.next(4000);
                passed += u64::from(throttle.take(&u64::MAX, now_us));
                throttle.take(&newcomer, now_us);
            }
            let most = u64::from(burst) * SECOND_US + u64::from(rate_s) * (now_us - start_us);
            assert!(passed * SECOND_US <= most, "{passed} with {places} places");
            assert_eq!(throttle.places.len(), places);
            assert_eq!(throttle.places.capacity(), places);
        }
    }

    /// A flood from very many addresses, each within its limit or far beyond it, keeps no newcomer out.
    #[test]
    fn an_honest_newcomer_is_served_during_a_flood() {
        let mut throttle = Throttle::new(limit(5, 100));
        let mut now_us = SECOND_US;
        // 20,000 addresses, all of them at their limit and beyond.
        for address in 0..20_000_u64 {
            for _ in 0..150 {
                throttle.charge(&address, now_us);
            }
        }
        // 100,000 a second, each from an address of its own.
        for address in 0..200_000_u64 {
            now_us += 10;
            throttle.take(&((1 << 32) + address), now_us);
        }
        let served = (0..10_000_u64).filter(|phone| throttle.take(&((1 << 40) + phone), now_us));
        assert!(served.count() >= 9_990);
        let slowed = (0..20_000_u64).filter(|address| !throttle.has_room(address, now_us));
        assert_eq!(slowed.count(), 20_000);
    }
}
