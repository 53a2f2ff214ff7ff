//! Which requests were let in a while ago: a copy of one of these is not told that there were too many.
//!
//! RFC 3261 section 17.2.2: a copy of a request is answered as that one, or discarded. Were it answered 503, the client would take that for the
//! answer, while the first one makes its dialog.

use std::collections::HashSet;
use std::mem;

/// How long a client repeats itself: 64*T1 (RFC 3261 section 17.1.2.2).
const LIFE_US: u64 = 32_000_000;
/// Requests that are remembered in each of the two generations: 1 MB.
const MAX_REQUESTS: usize = 65_536;

/// What was let in, as hashes: for 32 to 64 s, or until as many as fit have come since.
#[derive(Default)]
pub(crate) struct Copies {
    young: HashSet<u64>,
    old: HashSet<u64>,
    since_us: u64,
}

impl Copies {
    /// Remembers a request.
    pub(crate) fn note(&mut self, request: u64, now_us: u64) {
        if self.young.len() >= MAX_REQUESTS || now_us.saturating_sub(self.since_us) >= LIFE_US {
            self.old = mem::take(&mut self.young);
            self.since_us = now_us;
        }
        self.young.insert(request);
    }

    /// Whether it was let in before.
    pub(crate) fn has(&self, request: u64) -> bool {
        self.young.contains(&request) || self.old.contains(&request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_let_in_is_known_for_as_long_as_it_is_repeated() {
        let mut copies = Copies::default();
        copies.note(1, LIFE_US / 2);
        copies.note(2, LIFE_US + 1);
        copies.note(3, LIFE_US * 3 / 2 - 1);
        assert!(copies.has(1) && copies.has(2) && !copies.has(4));
        copies.note(5, 3 * LIFE_US);
        copies.note(6, 4 * LIFE_US);
        assert!(!copies.has(1) && !copies.has(2) && copies.has(5));
    }

    #[test]
    fn it_is_bounded() {
        let mut copies = Copies::default();
        for request in 0..5 * MAX_REQUESTS as u64 {
            copies.note(request, 0);
        }
        assert!(copies.young.len() + copies.old.len() <= 2 * MAX_REQUESTS);
        assert!(copies.has(5 * MAX_REQUESTS as u64 - 1));
    }
}
