//! A request's place at the script, from before it waits for its worker until its call has ended; and which requests have one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::admission::{Admission, Admitted};

/// The places of one worker. All copies of a request come to the same one.
#[derive(Debug)]
pub(super) struct Places {
    admission: Admission,
    transactions: Arc<Mutex<HashSet<u64>>>,
}

/// One place. Free again when this is dropped, and then a copy of the request is a request.
#[derive(Debug)]
pub(super) struct Place {
    transaction: u64,
    transactions: Arc<Mutex<HashSet<u64>>>,
    _admitted: Admitted,
}

/// What became of a request that wants a place.
#[derive(Debug)]
pub(super) enum Taken {
    Place(Place),
    /// It has one already.
    Copy,
    /// All are taken.
    Nothing,
}

// === impl Places ===

impl Places {
    /// Places out of those that all workers have together.
    pub(super) fn new(admission: Admission) -> Places {
        Places {
            admission,
            transactions: Arc::default(),
        }
    }

    pub(super) fn take(&self, transaction: u64) -> Taken {
        let mut transactions = lock(&self.transactions);
        if transactions.contains(&transaction) {
            return Taken::Copy;
        }
        let Some(admitted) = self.admission.admit() else {
            return Taken::Nothing;
        };
        transactions.insert(transaction);
        Taken::Place(Place {
            transaction,
            transactions: Arc::clone(&self.transactions),
            _admitted: admitted,
        })
    }
}

// === impl Place ===

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.transactions).remove(&self.transaction);
    }
}

fn lock(transactions: &Mutex<HashSet<u64>>) -> MutexGuard<'_, HashSet<u64>> {
    transactions.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_has_one_place_and_all_workers_have_so_many() {
        let admission = Admission::new(2);
        let (one, other) = (Places::new(admission.clone()), Places::new(admission));
        let first = one.take(1);
        assert!(matches!(first, Taken::Place(_)));
        assert!(matches!(one.take(1), Taken::Copy));
        let _second = other.take(2);
        assert!(matches!(one.take(3), Taken::Nothing));
        assert!(
            matches!(one.take(1), Taken::Copy),
            "also when all are taken"
        );
        drop(first);
        assert!(matches!(one.take(1), Taken::Place(_)));
    }
}
