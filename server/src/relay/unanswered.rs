//! Requests that were written on a connection and wait for their answer, and what is to be sent should the connection close first.
//!
//! Whoever sent them does not repeat what went by TCP (RFC 3261 section 17.1.2.2), and would take the phone for silent. What is lost with this process
//! costs no more than that: the notifier's connection breaks with it, and that says the same.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use net::FlowKey;

use crate::answer;
use crate::front::Arrival;

/// 64*T1: nobody waits longer (RFC 3261 section 17.1.2.2).
const RETENTION: Duration = Duration::from_secs(32);
/// Kept for one connection; of more the oldest are forgotten, and time out if it closes.
const MAX_PER_CONNECTION: usize = 256;

/// The book of it, by the number of the connection.
#[derive(Default)]
pub(crate) struct Unanswered {
    connections: Mutex<HashMap<u64, Vec<Entry>>>,
}

struct Entry {
    /// Of the Via that we added.
    branch: String,
    since: Instant,
    instead: Instead,
}

/// What is sent in place of an answer that can come no more.
pub(super) enum Instead {
    /// An answer to the notifier.
    Answer(SocketAddr, Bytes),
    /// The request itself, by the flow that the connection stood in for.
    Datagram(FlowKey, Bytes),
}

impl Instead {
    /// 430, as for what comes after the connection has closed (RFC 5626 section 5.3).
    pub(super) fn refuse(arrival: &Arrival) -> Instead {
        let notifier = arrival.flow.remote;
        let answer = answer::flow_failed().encode(&arrival.request, notifier);
        Instead::Answer(notifier, Bytes::from(answer))
    }
}

impl Unanswered {
    /// Notes a request. Whether this is the first one of its connection, whose end somebody must wait for then.
    #[must_use]
    pub(super) fn note(&self, connection: u64, branch: &str, instead: Instead) -> bool {
        let mut connections = self.connections();
        let is_first = !connections.contains_key(&connection);
        let entries = connections.entry(connection).or_default();
        entries.retain(Entry::still_matters);
        if entries.len() >= MAX_PER_CONNECTION {
            entries.remove(0);
        }
        entries.push(Entry {
            branch: branch.to_owned(),
            since: Instant::now(),
            instead,
        });
        is_first
    }

    /// Whether this request waits.
    pub(super) fn has(&self, connection: u64, branch: &str) -> bool {
        let connections = self.connections();
        let mut entries = connections.get(&connection).into_iter().flatten();
        entries.any(|entry| entry.branch == branch)
    }

    /// Forgets a request, its copies too, and gives what was to be sent instead.
    pub(super) fn forget(&self, connection: u64, branch: &str) -> Vec<Instead> {
        let mut connections = self.connections();
        let Some(entries) = connections.get_mut(&connection) else {
            return Vec::new();
        };
        let forgotten = entries.extract_if(.., |entry| entry.branch == branch);
        forgotten.map(|entry| entry.instead).collect()
    }

    /// Forgets a connection, and gives what is to be sent instead of all that still waits.
    pub(super) fn take(&self, connection: u64) -> Vec<Instead> {
        let entries = self.connections().remove(&connection).unwrap_or_default();
        let waiting = entries.into_iter().filter(Entry::still_matters);
        waiting.map(|entry| entry.instead).collect()
    }

    fn connections(&self) -> MutexGuard<'_, HashMap<u64, Vec<Entry>>> {
        self.connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn still_matters(&self) -> bool {
        self.since.elapsed() < RETENTION
    }
}
