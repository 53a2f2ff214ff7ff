//! How many connections there are, and which one has to go when there are too many. Pure bookkeeping.
//!
//! A connection is cheap for whoever opens it, so the newcomer is let in and another one goes: first one that has not brought a whole request and
//! had its time for it, then the one that was used longest ago. What is in use stays. So whoever fills all places with silent connections
//! pushes out his own, however fast he is.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};

/// Whom connections are counted for: an IPv4 address, or what one subscriber of IPv6 is given, a /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Source {
        Source(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) >> 64 << 64).into(),
        })
    }
}

/// What there may be of one kind of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Most {
    pub(super) in_all: usize,
    pub(super) of_source: usize,
}

/// How a connection was used so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Usage {
    /// When last, in milliseconds of the caller's clock; the time when it was opened, if never.
    pub(super) last_ms: u64,
    /// It has brought a whole request, or was opened by us.
    pub(super) has_asked: bool,
    /// Somebody waits for an answer on it.
    pub(super) is_busy: bool,
    /// It turned out to be that of a process of ours.
    pub(super) is_ours: bool,
}

/// What became of a newcomer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entered {
    /// There was room.
    Free,
    /// There is, when this one goes. It is not counted any more.
    InPlaceOf(u64),
    /// All the others are in use.
    Refused,
}

/// The connections of one kind.
#[derive(Debug)]
pub(super) struct Room {
    most: Most,
    places: HashMap<u64, Place>,
    all: Line,
    sources: HashMap<Source, Line>,
}

/// Connections in the order in which they go.
#[derive(Debug, Default)]
struct Line {
    order: BTreeSet<Rank>,
    /// Those of them that had not asked when they got their rank.
    silent_count: usize,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    source: Source,
    rank: Rank,
}

/// The order in which connections go. What it says of their use may be out of date, but never too late: it is looked at again before one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    has_asked: bool,
    used_ms: u64,
    connection: u64,
}

/// How long a new connection has for its first request while others wait for its place: a few round trips. Less, while newcomers have taken
/// more than [`CROWD`] of all places: those who have asked are not to go for a flood.
const GRACE_MS: u64 = 1_000;
/// One in so many.
const CROWD: usize = 8;

impl Line {
    fn len(&self) -> usize {
        self.order.len()
    }

    fn insert(&mut self, rank: Rank) {
        if self.order.insert(rank) && !rank.has_asked {
            self.silent_count += 1;
        }
    }

    fn remove(&mut self, rank: &Rank) {
        if self.order.remove(rank) && !rank.has_asked {
            self.silent_count -= 1;
        }
    }

    fn is_crowd(&self) -> bool {
        self.silent_count > (self.len() / CROWD).max(1)
    }
}

impl Room {
    pub(super) fn new(most: Most) -> Room {
        Room {
            most,
            places: HashMap::new(),
            all: Line::default(),
            sources: HashMap::new(),
        }
    }

    pub(super) fn most(&self) -> Most {
        self.most
    }

    /// Lets a connection in, if that can be. `usage` is asked about those that are there; `None`: that one is gone already.
    pub(super) fn enter(
        &mut self,
        connection: u64,
        source: Source,
        now_ms: u64,
        usage: impl Fn(u64) -> Option<Usage>,
    ) -> Entered {
        let of_source = self.sources.get(&source).map_or(0, Line::len);
        let victim = if of_source >= self.most.of_source {
            self.victim(Some(source), now_ms, usage)
        } else if self.all.len() >= self.most.in_all {
            self.victim(None, now_ms, usage)
        } else {
            self.put(connection, source, false, now_ms);
            return Entered::Free;
        };
        let Some(victim) = victim else {
            return Entered::Refused;
        };
        self.leave(victim);
        self.put(connection, source, false, now_ms);
        Entered::InPlaceOf(victim)
    }

    /// Takes out the one that goes first, wherever it is from.
    pub(super) fn expel(
        &mut self,
        now_ms: u64,
        usage: impl Fn(u64) -> Option<Usage>,
    ) -> Option<u64> {
        let victim = self.victim(None, now_ms, usage)?;
        self.leave(victim);
        Some(victim)
    }

    /// It is closed, or counts no more.
    pub(super) fn leave(&mut self, connection: u64) {
        let Some(Place { source, rank }) = self.places.remove(&connection) else {
            return;
        };
        self.all.remove(&rank);
        if let Some(of_source) = self.sources.get_mut(&source) {
            of_source.remove(&rank);
            if of_source.len() == 0 {
                self.sources.remove(&source);
            }
        }
    }

    fn put(&mut self, connection: u64, source: Source, has_asked: bool, used_ms: u64) {
        let rank = Rank {
            has_asked,
            used_ms,
            connection,
        };
        self.places.insert(connection, Place { source, rank });
        self.all.insert(rank);
        self.sources.entry(source).or_default().insert(rank);
    }

    fn rank_anew(&mut self, connection: u64, used_ms: u64) {
        if let Some(Place { source, .. }) = self.places.get(&connection).copied() {
            self.leave(connection);
            self.put(connection, source, true, used_ms);
        }
    }

    fn line(&self, source: Option<Source>) -> Option<&Line> {
        match source {
            Some(source) => self.sources.get(&source),
            None => Some(&self.all),
        }
    }

    /// Who goes, of a source or of all.
    fn victim(
        &mut self,
        source: Option<Source>,
        now_ms: u64,
        usage: impl Fn(u64) -> Option<Usage>,
    ) -> Option<u64> {
        let silent = self.first_silent(source, &usage);
        let is_crowd = self.line(source).is_some_and(Line::is_crowd);
        match silent {
            Some(rank) if is_crowd || rank.used_ms + GRACE_MS <= now_ms => Some(rank.connection),
            _ => {
                let used = self.least_recently_used(source, now_ms, &usage);
                used.or(silent.map(|rank| rank.connection))
            }
        }
    }

    /// The oldest one without a whole request.
    fn first_silent(
        &mut self,
        source: Option<Source>,
        usage: &impl Fn(u64) -> Option<Usage>,
    ) -> Option<Rank> {
        loop {
            let first = self.line(source)?.order.first();
            let rank = *first.filter(|rank| !rank.has_asked)?;
            match usage(rank.connection).filter(|found| !found.is_ours) {
                None => self.leave(rank.connection),
                Some(found) if found.has_asked => self.rank_anew(rank.connection, found.last_ms),
                Some(_) => return Some(rank),
            }
        }
    }

    /// Of the others. Each step but the last is paid for by a use: it gives the connection another rank.
    fn least_recently_used(
        &mut self,
        source: Option<Source>,
        now_ms: u64,
        usage: &impl Fn(u64) -> Option<Usage>,
    ) -> Option<u64> {
        let first = Rank {
            has_asked: true,
            used_ms: 0,
            connection: 0,
        };
        loop {
            let rank = *self.line(source)?.order.range(first..).next()?;
            if rank.used_ms > now_ms {
                return None;
            }
            match usage(rank.connection).filter(|found| !found.is_ours) {
                None => self.leave(rank.connection),
                // Not again in this search.
                Some(found) if found.is_busy => self.rank_anew(rank.connection, now_ms + 1),
                Some(found) if found.last_ms > rank.used_ms => {
                    self.rank_anew(rank.connection, found.last_ms);
                }
                Some(_) => return Some(rank.connection),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        text.parse::<IpAddr>().unwrap().into()
    }

    const SILENT: Usage = Usage {
        last_ms: 0,
        has_asked: false,
        is_busy: false,
        is_ours: false,
    };

    fn used(last_ms: u64) -> Usage {
        Usage {
            last_ms,
            has_asked: true,
            ..SILENT
        }
    }

    /// A room with the connections 1, 2, 3 ... of one source, opened at these times.
    fn room(most: Most, opened_ms: &[u64]) -> Room {
        let mut room = Room::new(most);
        for (connection, opened_ms) in (1..).zip(opened_ms) {
            let entered = room.enter(connection, source("192.0.2.1"), *opened_ms, |_| None);
            assert_eq!(entered, Entered::Free);
        }
        room
    }

    const THREE: Most = Most {
        in_all: 3,
        of_source: 3,
    };

    #[test]
    fn who_goes() {
        let busy = Usage {
            is_busy: true,
            ..used(1)
        };
        let ours = Usage {
            is_ours: true,
            ..used(1)
        };
        let goes = Entered::InPlaceOf;
        for (case, usages, expected) in [
            ("the oldest", [SILENT, SILENT, SILENT], goes(1)),
            (
                "a silent one first",
                [used(30), SILENT, used(5_000)],
                goes(2),
            ),
            (
                "the least recently used",
                [used(4_000), used(3_000), used(5_000)],
                goes(2),
            ),
            (
                "none that is in use",
                [busy, used(4_000), used(5_000)],
                goes(2),
            ),
            ("none of ours", [ours, used(4_000), used(3_000)], goes(3)),
            ("all in use", [busy, busy, busy], Entered::Refused),
        ] {
            let mut room = room(THREE, &[10, 20, 30]);
            let usage = |connection: u64| Some(usages[connection as usize - 1]);
            let entered = room.enter(4, source("192.0.2.9"), 9_000, usage);
            assert_eq!(entered, expected, "{case}");
        }
    }

    #[test]
    fn a_newcomer_has_its_time() {
        let usages = [SILENT, used(30), used(40)];
        let usage = |connection: u64| Some(*usages.get(connection as usize - 1).unwrap_or(&SILENT));
        let mut young = room(THREE, &[9_000, 20, 30]);
        assert_eq!(
            young.enter(4, source("192.0.2.9"), 9_500, usage),
            Entered::InPlaceOf(2)
        );
        // None but new ones: the oldest of them.
        let mut all_young = room(THREE, &[9_000, 9_001, 9_002]);
        let entered = all_young.enter(4, source("192.0.2.9"), 9_500, |_| Some(SILENT));
        assert_eq!(entered, Entered::InPlaceOf(1));
    }

    /// However fast silent ones come, they cost those who have asked no more than their share of the places.
    #[test]
    fn a_flood_pushes_out_itself() {
        let most = Most {
            in_all: 100,
            of_source: 100,
        };
        let mut room = room(most, &[10; 100]);
        let usage = |connection: u64| {
            Some(match connection {
                1..=100 => used(20),
                _ => SILENT,
            })
        };
        let mut gone = 0;
        for connection in 101..1_000 {
            let entered = room.enter(connection, source("192.0.2.9"), 9_000, usage);
            gone += usize::from(matches!(entered, Entered::InPlaceOf(1..=100)));
        }
        assert_eq!(gone, 13);
    }

    #[test]
    fn a_source_pushes_out_its_own() {
        let most = Most {
            in_all: 10,
            of_source: 2,
        };
        let mut room = room(most, &[10, 20]);
        let silent = |_| Some(SILENT);
        let other = source("192.0.2.2");
        assert_eq!(room.enter(3, other, 5, silent), Entered::Free);
        let entered = room.enter(4, source("::ffff:192.0.2.1"), 5_000, silent);
        assert_eq!(entered, Entered::InPlaceOf(1));
        room.leave(2);
        let entered = room.enter(5, source("192.0.2.1"), 5_000, silent);
        assert_eq!(entered, Entered::Free);
        assert_eq!(room.expel(9_000, silent), Some(3));
    }

    #[test]
    fn a_subscriber_of_ipv6_is_one_source() {
        assert_eq!(source("2001:db8::1"), source("2001:db8:0:0:ffff::9"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }
}
