//! An answer to a challenge is good once: which counts of which nonces were used at this server.
//!
//! A copy of a request (RFC 3261 section 17.2.2) has the same count, and is let through: it is the same request. Any other request with a count
//! that was used is a replay. Phones that send several requests at once may be overtaken on the way, so counts may come in any
//! order within a window.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use sip::digest::Nonce;

/// Nonces that are remembered in each of the two generations: 100 bytes each.
const MAX_NONCES: usize = 65_536;
/// How far behind the highest count of its nonce one may come.
const WINDOW: u32 = 64;
/// Of how many counts it is remembered which request used them.
const REQUESTS: usize = 4;

/// What was used.
pub(super) struct Replays(Mutex<Generations>);

struct Generations {
    young: HashMap<Nonce, Used>,
    old: HashMap<Nonce, Used>,
    since_s: u32,
    /// Of nonces that were given until then, and are not here, it is not known any more what was used.
    forgotten_s: u32,
}

/// What was used of one nonce.
#[derive(Clone, Copy)]
struct Used {
    highest: u32,
    /// Bit n: the count n below the highest one.
    window: u64,
    /// Counts, and digests of the requests that used them, the last one first.
    requests: [(u32, i64); REQUESTS],
}

/// What an answer is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// It was not used before, or by the same request.
    Good,
    /// Another request has used it, or it is too old to tell.
    Used,
}

impl Replays {
    /// Nothing was used yet: nonces that were given before this server started, it does not judge.
    pub(super) fn new() -> Replays {
        Replays(Mutex::new(Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            since_s: 0,
            forgotten_s: 0,
        }))
    }

    /// Uses a count of a nonce that is good for `life_s` seconds, for a request of this digest. Call it only for who has proven a password:
    /// others must not use up what is not theirs.
    pub(super) fn use_up(
        &self,
        nonce: Nonce,
        count: u32,
        request: i64,
        now_s: u32,
        life_s: u32,
    ) -> Use {
        let mut generations = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        generations.turn(now_s, life_s);
        if let Some(used) = generations.old.remove(&nonce) {
            generations.young.insert(nonce, used);
        }
        if let Some(used) = generations.young.get_mut(&nonce) {
            return used.take(count, request);
        }
        if nonce.given_s <= generations.forgotten_s || count == 0 {
            return Use::Used;
        }
        generations.young.insert(
            nonce,
            Used {
                highest: count,
                window: 1,
                requests: [(count, request), (0, 0), (0, 0), (0, 0)],
            },
        );
        Use::Good
    }
}

impl Generations {
    fn turn(&mut self, now_s: u32, life_s: u32) {
        let is_full = self.young.len() >= MAX_NONCES;
        if !is_full && now_s.saturating_sub(self.since_s) < life_s {
            return;
        }
        let dropped = std::mem::replace(&mut self.old, std::mem::take(&mut self.young));
        // Those that have ended anyway leave nothing to be forgotten.
        let is_alive = |nonce: &&Nonce| now_s.saturating_sub(nonce.given_s) <= life_s;
        if let Some(last_s) = dropped
            .keys()
            .filter(is_alive)
            .map(|nonce| nonce.given_s)
            .max()
        {
            self.forgotten_s = self.forgotten_s.max(last_s);
        }
        self.since_s = now_s;
    }
}

impl Used {
    fn take(&mut self, count: u32, request: i64) -> Use {
        if self.requests.contains(&(count, request)) && count != 0 {
            return Use::Good;
        }
        if count > self.highest {
            let ahead = count - self.highest;
            self.window = self.window.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
        } else {
            let behind = self.highest - count;
            if count == 0 || behind >= WINDOW || self.window & (1 << behind) != 0 {
                return Use::Used;
            }
            self.window |= 1 << behind;
        }
        self.requests.rotate_right(1);
        self.requests[0] = (count, request);
        Use::Good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nonce(salt: u32, given_s: u32) -> Nonce {
        Nonce {
            given_s,
            server: 1,
            salt,
            source: 2,
        }
    }

    #[test]
    fn an_answer_is_good_once() {
        let replays = Replays::new();
        let take = |count, request| replays.use_up(nonce(1, 1000), count, request, 1000, 300);
        assert_eq!(take(1, 11), Use::Good);
        assert_eq!(take(1, 11), Use::Good, "a copy of the request");
        assert_eq!(take(1, 12), Use::Used, "another request");
        assert_eq!(take(3, 13), Use::Good);
        assert_eq!(take(2, 14), Use::Good, "overtaken on the way");
        assert_eq!(take(2, 15), Use::Used);
        assert_eq!(take(0, 16), Use::Used, "counts begin at 1");
        assert_eq!(take(1000, 17), Use::Good);
        assert_eq!(take(937, 18), Use::Good, "the far end of the window");
        assert_eq!(take(936, 19), Use::Used, "beyond it");
        assert_eq!(take(u32::MAX, 20), Use::Good);
        assert_eq!(take(u32::MAX, 21), Use::Used);
        assert_eq!(
            replays.use_up(nonce(2, 1000), 1, 12, 1000, 300),
            Use::Good,
            "another nonce"
        );
    }

    #[test]
    fn what_was_forgotten_is_not_good_again() {
        let replays = Replays::new();
        let first = nonce(0, 1000);
        assert_eq!(replays.use_up(first, 1, 1, 1000, 300), Use::Good);
        let mut now_s = 1000;
        for salt in 1..=2 * MAX_NONCES as u32 {
            now_s = 1000 + salt / 1000;
            let nonce = nonce(salt, now_s);
            assert_eq!(replays.use_up(nonce, 1, 1, now_s, 300), Use::Good, "{salt}");
        }
        assert_eq!(replays.use_up(first, 1, 2, now_s, 300), Use::Used);
        assert_eq!(
            replays.use_up(nonce(0, now_s), 1, 2, now_s, 300),
            Use::Good,
            "a nonce that was given later"
        );
        let generations = replays.0.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * MAX_NONCES);
    }

    #[test]
    fn it_ends_with_the_nonces() {
        let replays = Replays::new();
        for now_s in [1000, 1300, 1600, 1900] {
            assert_eq!(
                replays.use_up(nonce(now_s, now_s), 1, 1, now_s, 300),
                Use::Good
            );
        }
        let generations = replays.0.lock().unwrap();
        assert_eq!(generations.young.len() + generations.old.len(), 2);
        assert_eq!(generations.forgotten_s, 0);
    }
}
