//! A bounded memory of what the database has told, for seconds.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Most entries that are kept of each of the two generations.
const MAX_ENTRIES: usize = 16_384;

/// Entries of at most an age. Two generations: when the younger one is full, or as old as an entry may get, the older one goes as a whole, so
/// that nothing is ever searched for what is over.
pub(crate) struct Recent<K, V> {
    life: Duration,
    generations: Mutex<Generations<K, V>>,
}

struct Generations<K, V> {
    young: HashMap<K, (Instant, V)>,
    old: HashMap<K, (Instant, V)>,
    since: Instant,
}

impl<K: Eq + Hash, V: Clone> Recent<K, V> {
    /// Keeps entries for so long; zero keeps nothing.
    pub(crate) fn new(life: Duration) -> Recent<K, V> {
        Recent {
            life,
            generations: Mutex::new(Generations {
                young: HashMap::new(),
                old: HashMap::new(),
                since: Instant::now(),
            }),
        }
    }

    /// What is known of a key, if it is not too old.
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let generations = self.locked();
        let found = generations
            .young
            .get(key)
            .or_else(|| generations.old.get(key));
        found
            .filter(|(at, _)| at.elapsed() < self.life)
            .map(|(_, value)| value.clone())
    }

    /// Remembers.
    pub(crate) fn put(&self, key: K, value: V) {
        if self.life.is_zero() {
            return;
        }
        let mut generations = self.locked();
        if generations.young.len() >= MAX_ENTRIES || generations.since.elapsed() >= self.life {
            generations.old = std::mem::take(&mut generations.young);
            generations.since = Instant::now();
        }
        generations.young.insert(key, (Instant::now(), value));
    }

    fn locked(&self) -> MutexGuard<'_, Generations<K, V>> {
        self.generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_for_longer_than_it_may() {
        let recent = Recent::new(Duration::from_secs(5));
        recent.put("a", 1);
        tokio::time::advance(Duration::from_secs(4)).await;
        assert_eq!(recent.get(&"a"), Some(1));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(recent.get(&"a"), None);
        let off = Recent::new(Duration::ZERO);
        off.put("a", 1);
        assert_eq!(off.get(&"a"), None);
    }

    #[tokio::test]
    async fn it_is_bounded() {
        let recent = Recent::new(Duration::from_secs(3600));
        for key in 0..5 * MAX_ENTRIES {
            recent.put(key, ());
        }
        let generations = recent.locked();
        assert!(generations.young.len() + generations.old.len() <= 2 * MAX_ENTRIES);
        drop(generations);
        assert!(recent.get(&(5 * MAX_ENTRIES - 1)).is_some());
    }
}
