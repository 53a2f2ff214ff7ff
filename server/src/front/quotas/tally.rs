//! What was refused, for the operator: counted since the start, and of whom since the last line of the log.

use std::collections::HashMap;
use std::fmt;

use sip::Aor;

use crate::throttle::Source;

/// Senders that are told apart between two lines. More are not counted one by one, so a flood from many addresses costs no memory.
const MAX_SENDERS: usize = 1024;

/// Whose requests were too many.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Sender {
    /// A stranger.
    Source(Source),
    /// Somebody who is known.
    Identity(Aor),
}

/// How many requests were refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    /// All of them.
    pub(super) refused: u64,
    /// Those of them that got no answer.
    pub(super) ignored: u64,
}

/// What was refused.
#[derive(Default)]
pub(super) struct Tally {
    /// Since the start.
    counts: Counts,
    /// Those of the lines so far.
    told: Counts,
    senders: HashMap<Sender, u64>,
    has_more_senders: bool,
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Since the line before.
    pub(super) counts: Counts,
    pub(super) senders: usize,
    has_more_senders: bool,
    /// Who sent most of it.
    pub(super) busiest: Sender,
    most: u64,
}

impl Tally {
    /// Counts a request that was refused.
    pub(super) fn note(&mut self, sender: Sender, is_ignored: bool) {
        self.counts.refused += 1;
        self.counts.ignored += u64::from(is_ignored);
        if self.senders.len() < MAX_SENDERS || self.senders.contains_key(&sender) {
            *self.senders.entry(sender).or_default() += 1;
        } else {
            self.has_more_senders = true;
        }
    }

    /// What happened since the last time that this was asked, if anything.
    pub(super) fn summary(&mut self) -> Option<Summary> {
        let senders = std::mem::take(&mut self.senders);
        let has_more_senders = std::mem::take(&mut self.has_more_senders);
        let counts = Counts {
            refused: self.counts.refused - self.told.refused,
            ignored: self.counts.ignored - self.told.ignored,
        };
        self.told = self.counts;
        let count = senders.len();
        let (busiest, most) = senders.into_iter().max_by_key(|(_, requests)| *requests)?;
        Some(Summary {
            counts,
            senders: count,
            has_more_senders,
            busiest,
            most,
        })
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sender::Source(source) => source.fmt(f),
            // A name may hold anything, and the log has one line for each message.
            Sender::Identity(identity) => identity.uri().escape_debug().fmt(f),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.has_more_senders {
            "more than "
        } else {
            ""
        };
        write!(
            f,
            "{} requests of {more}{} senders were more than [limits] allows and were refused, {} of them of {}; {} got no answer",
            self.counts.refused, self.senders, self.most, self.busiest, self.counts.ignored
        )
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use super::*;

    fn sender(number: u32) -> Sender {
        Sender::Source(IpAddr::from(Ipv4Addr::from(number)).into())
    }

    #[test]
    fn a_line_says_what_was_throttled_since_the_one_before() {
        let mut tally = Tally::default();
        assert_eq!(tally.summary(), None);
        tally.note(sender(0x7F00_0009), false);
        tally.note(sender(0x7F00_0009), true);
        let identity = Aor {
            username: "a\nb".to_owned(),
            domain: "example.org".to_owned(),
        };
        tally.note(Sender::Identity(identity.clone()), false);
        assert_eq!(
            tally.summary().unwrap().to_string(),
            "3 requests of 2 senders were more than [limits] allows and were refused, 2 of them of 127.0.0.9; 1 got no answer"
        );
        tally.note(Sender::Identity(identity), false);
        let summary = tally.summary().unwrap();
        assert_eq!((summary.counts.refused, summary.counts.ignored), (1, 0));
        assert_eq!(summary.busiest.to_string(), "sip:a\\nb@example.org");
        assert_eq!(tally.summary(), None);
        assert_eq!((tally.counts.refused, tally.counts.ignored), (4, 1));
    }

    #[test]
    fn throttled_senders_cost_no_memory() {
        let mut tally = Tally::default();
        for number in 0..3 * MAX_SENDERS as u32 {
            tally.note(sender(number), true);
        }
        assert_eq!(tally.senders.len(), MAX_SENDERS);
        let summary = tally.summary().unwrap().to_string();
        assert!(
            summary.starts_with("3072 requests of more than 1024 senders"),
            "{summary}"
        );
    }
}
