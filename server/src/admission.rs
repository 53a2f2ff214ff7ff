//! Admission: a bounded number of requests may wait for the database; the next one is refused at once.
//!
//! Memory and waiting time stay bounded whatever arrives, and a client is sent elsewhere (503, Retry-After) while its
//! own transaction is still young. RFC 3261 section 21.5.4.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts the requests that wait for the database.
#[derive(Clone, Debug)]
pub struct Admission {
    places: Arc<Semaphore>,
    backlog: u32,
}

/// One admitted request; the place is free again when this is dropped.
#[derive(Debug)]
pub struct Admitted(#[expect(dead_code, reason = "held for its Drop")] OwnedSemaphorePermit);

impl Admission {
    /// Lets `backlog` requests wait at a time.
    pub fn new(backlog: u32) -> Self {
        let backlog = backlog.max(1);
        Self {
            places: Arc::new(Semaphore::new(backlog as usize)),
            backlog,
        }
    }

    /// Takes a place, or says that there is none.
    pub fn admit(&self) -> Option<Admitted> {
        Arc::clone(&self.places)
            .try_acquire_owned()
            .ok()
            .map(Admitted)
    }

    /// Returns when all places are free.
    pub async fn drained(&self) {
        drop(self.places.acquire_many(self.backlog).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_free_again_after_its_request() {
        let admission = Admission::new(2);
        let (first, second) = (admission.admit(), admission.admit());
        assert!(first.is_some() && second.is_some());
        assert!(admission.admit().is_none());
        drop(first);
        assert!(admission.admit().is_some());
    }
}
