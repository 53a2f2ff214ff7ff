//! The transactions of one process, and their timers in one ordered set.
use super::Timers;
use crate::{Method, Response, StatusCode};
use bytes::Bytes;

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
    keys: Vec<K>,
}

#[expect(clippy::todo, reason = "filled next")]
impl<K> ClientTransactions<K> {
    /// No transactions yet.
    pub fn new(timers: Timers) -> ClientTransactions<K> {
        ClientTransactions { timers, keys: Vec::new() }
    }

    /// Opens a transaction; the caller sends `bytes` for the first time.
    #[expect(clippy::too_many_arguments, reason = "each is one fact about the request")]
    pub fn start(&mut self, _now_ms: u64, _branch: String, _method: Method, _key: K, _bytes: Bytes, _reliable: bool) {
        let _ = self.timers;
        todo!()
    }

    /// Takes in a response. `None`: provisional, a retransmission, or none of ours.
    pub fn on_response(&mut self, _now_ms: u64, _response: &Response) -> Option<ClientEvent<K>> {
        todo!()
    }

    /// Ends a transaction whose request could not be sent.
    pub fn fail(&mut self, _branch: &str) -> Option<K> {
        todo!()
    }

    /// Abandons a transaction: no retransmission, no event any more.
    pub fn cancel(&mut self, _branch: &str) -> bool {
        todo!()
    }

    /// When [`ClientTransactions::on_time`] has to be called next.
    pub fn next_deadline(&self) -> Option<u64> {
        todo!()
    }

    /// Transactions that wait for their answer.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none waits for its answer.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

#[expect(clippy::todo, reason = "filled next")]
impl<K: Clone> ClientTransactions<K> {
    /// Does what is due at `now_ms`, in the order of its deadlines.
    pub fn on_time(&mut self, _now_ms: u64, _out: &mut Vec<ClientAction<K>>) {
        todo!()
    }
}
