//! Client transactions for requests other than INVITE (RFC 3261 section 17.1.2), without a clock.
mod client;

pub use client::{ClientAction, ClientEvent, ClientTransactions};

/// The base timers of RFC 3261 section 17.1.1.1, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timers {
    /// Round-trip estimate; the first retransmission, and 64 of it until the time-out.
    pub t1_ms: u64,
    /// Longest interval between retransmissions.
    pub t2_ms: u64,
}

impl Default for Timers {
    fn default() -> Timers {
        Timers {
            t1_ms: 500,
            t2_ms: 4_000,
        }
    }
}
