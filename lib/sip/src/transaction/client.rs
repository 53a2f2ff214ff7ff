//! The client transactions of one process (RFC 3261 section 17.1.2.2, figure 6), and their deadlines in one ordered set.
//! Each transaction stands in the set once, so that 20,000 open ones cost a logarithm per event and nothing while idle.
//!
//! There is no state "Completed" and no timer K: all that they are for is to absorb retransmitted answers, and an answer that
//! belongs to no transaction is ignored as well. Kept for T4, the 43,000 NOTIFYs a second that a notifier sends at most were
//! 200,000 entries and 60 MB.

use super::Timers;
use crate::{Method, Response, StatusCode};
use bytes::Bytes;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What a response meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent<K> {
    /// The transaction has its answer.
    Final {
        /// The caller's key.
        key: K,
        /// The answer's status; the response itself is the caller's.
        status: StatusCode,
    },
}

/// What time demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientAction<K> {
    /// Send the request again.
    Retransmit {
        /// The caller's key.
        key: K,
        /// The request.
        bytes: Bytes,
    },
    /// Timer F: no final answer came. The transaction is over.
    TimedOut {
        /// The caller's key.
        key: K,
    },
}

/// Open non-INVITE client transactions, keyed by branch and method (RFC 3261 section 17.1.3).
#[derive(Debug)]
pub struct ClientTransactions<K> {
    timers: Timers,
    transactions: HashMap<Arc<str>, Transaction<K>>,
    /// When to look at which transaction next; one entry each.
    deadlines: BTreeSet<(u64, Arc<str>)>,
}

#[derive(Debug)]
struct Transaction<K> {
    method: Method,
    key: K,
    bytes: Bytes,
    /// Timer F.
    times_out_ms: u64,
    /// Timer E; `None` on reliable transports.
    retransmits_ms: Option<u64>,
    /// The interval that timer E was last set to.
    interval_ms: u64,
    proceeding: bool,
    /// Its entry in `deadlines`.
    deadline_ms: u64,
}

impl<K> Transaction<K> {
    fn next_ms(&self) -> u64 {
        self.retransmits_ms
            .map_or(self.times_out_ms, |retransmits| {
                retransmits.min(self.times_out_ms)
            })
    }
}

impl<K> ClientTransactions<K> {
    /// No transactions yet.
    pub fn new(timers: Timers) -> ClientTransactions<K> {
        ClientTransactions {
            timers,
            transactions: HashMap::new(),
            deadlines: BTreeSet::new(),
        }
    }

    /// Opens a transaction; the caller sends `bytes` for the first time. Branches are unique: a second start with the
    /// same one replaces the first.
    pub fn start(
        &mut self,
        now_ms: u64,
        branch: String,
        method: Method,
        key: K,
        bytes: Bytes,
        reliable: bool,
    ) {
        self.remove(&branch);
        let branch: Arc<str> = branch.into();
        let mut transaction = Transaction {
            method,
            key,
            bytes,
            times_out_ms: now_ms + 64 * self.timers.t1_ms,
            retransmits_ms: (!reliable).then_some(now_ms + self.timers.t1_ms),
            interval_ms: self.timers.t1_ms,
            proceeding: false,
            deadline_ms: 0,
        };
        transaction.deadline_ms = transaction.next_ms();
        self.deadlines
            .insert((transaction.deadline_ms, Arc::clone(&branch)));
        self.transactions.insert(branch, transaction);
    }

    /// Takes in a response. `None`: provisional, a retransmission, or none of ours.
    pub fn on_response(&mut self, response: &Response) -> Option<ClientEvent<K>> {
        let branch = response.top_via().ok()?.branch?;
        let method = response.cseq().ok()?.method;
        let transaction = self
            .transactions
            .get_mut(branch.as_str())
            .filter(|transaction| transaction.method == method)?;
        if response.status().is_provisional() {
            // Timer E runs on; when it fires in "Proceeding" it is set to T2.
            transaction.proceeding = true;
            return None;
        }
        Some(ClientEvent::Final {
            key: self.remove(&branch)?.key,
            status: response.status(),
        })
    }

    /// The key of an open transaction.
    pub fn key(&self, branch: &str) -> Option<&K> {
        self.transactions
            .get(branch)
            .map(|transaction| &transaction.key)
    }

    /// Ends a transaction whose request could not be sent.
    pub fn fail(&mut self, branch: &str) -> Option<K> {
        self.remove(branch).map(|transaction| transaction.key)
    }

    /// Abandons a transaction: no retransmission, no event any more. False if there was none open.
    pub fn cancel(&mut self, branch: &str) -> bool {
        self.remove(branch).is_some()
    }

    /// When [`ClientTransactions::on_time`] has to be called next.
    pub fn next_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline, _)| *deadline)
    }

    /// Transactions that wait for their answer.
    pub fn len(&self) -> usize {
        self.transactions.len()
    }

    /// Whether none waits for its answer.
    pub fn is_empty(&self) -> bool {
        self.transactions.is_empty()
    }

    fn remove(&mut self, branch: &str) -> Option<Transaction<K>> {
        let (branch, transaction) = self.transactions.remove_entry(branch)?;
        self.deadlines.remove(&(transaction.deadline_ms, branch));
        Some(transaction)
    }
}

impl<K: Clone> ClientTransactions<K> {
    /// Does what is due at `now_ms`, in the order of its deadlines. Called late, it sends each request once, not as often
    /// as it would have been sent in time.
    pub fn on_time(&mut self, now_ms: u64, out: &mut Vec<ClientAction<K>>) {
        while let Some(branch) = self
            .deadlines
            .first()
            .filter(|(deadline, _)| *deadline <= now_ms)
            .map(|(_, branch)| Arc::clone(branch))
        {
            if let Some(action) = self.fire(now_ms, &branch) {
                out.push(action);
            }
        }
    }

    fn fire(&mut self, now_ms: u64, branch: &Arc<str>) -> Option<ClientAction<K>> {
        let t2_ms = self.timers.t2_ms;
        if let Some(transaction) = self.transactions.get_mut(branch)
            && now_ms < transaction.times_out_ms
        {
            // Timer E: MIN(2*T1, T2), MIN(4*T1, T2) ... in "Trying", T2 in "Proceeding".
            transaction.interval_ms = if transaction.proceeding {
                t2_ms
            } else {
                (2 * transaction.interval_ms).min(t2_ms)
            };
            transaction.retransmits_ms = Some(now_ms + transaction.interval_ms.max(1));
            let action = ClientAction::Retransmit {
                key: transaction.key.clone(),
                bytes: transaction.bytes.clone(),
            };
            let next_ms = transaction.next_ms();
            self.deadlines
                .remove(&(transaction.deadline_ms, Arc::clone(branch)));
            transaction.deadline_ms = next_ms;
            self.deadlines.insert((next_ms, Arc::clone(branch)));
            return Some(action);
        }
        // Timer F.
        self.remove(branch)
            .map(|transaction| ClientAction::TimedOut {
                key: transaction.key,
            })
    }
}
