//! Isolation: an error that data caused harms only the part of a batch that is to blame.
//!
//! A batch that fails so is done again in halves, until single ones fail: they are set aside, and the others are done. What tells such an
//! error from an outage is the SQLSTATE ([`StoreError::is_outage`]). A row that somebody holds is found in the same way, without
//! waiting for it each time.

use sql::{Refused, Store, StoreError};
use std::ops::Range;

/// What came of a batch.
pub(crate) struct Parts<T> {
    /// What was done, by the places in the batch.
    pub(crate) done: Vec<(Range<usize>, T)>,
    /// Single ones that the database refuses.
    pub(crate) refused: Vec<(usize, StoreError)>,
    /// Single ones of which somebody holds a row.
    pub(crate) held: Vec<usize>,
    /// The database went away before these were done.
    pub(crate) undone: Vec<Range<usize>>,
    /// Why.
    pub(crate) outage: Option<StoreError>,
}

/// So many single ones that are refused for a fault of the statement, and none that is done, mean that the statement is to blame.
const MAX_REFUSED_SINGLY: usize = 8;

/// Does a batch of `count` with one statement, or, if data is to blame, in parts. `run` does the part at these places.
pub(crate) async fn in_parts<T, Done>(
    store: &Store,
    count: usize,
    run: impl Fn(Store, Range<usize>) -> Done,
) -> Parts<T>
where
    Done: Future<Output = Result<T, StoreError>>,
{
    let mut parts = Parts {
        done: Vec::new(),
        refused: Vec::new(),
        held: Vec::new(),
        undone: Vec::new(),
        outage: None,
    };
    let mut left: Vec<Range<usize>> = std::iter::once(0..count).collect();
    let mut store = store.clone();
    while let Some(part) = left.pop() {
        match run(store.clone(), part.clone()).await {
            Ok(done) => parts.done.push((part, done)),
            Err(error) if error.is_outage() || parts.blames_statement(&error) => {
                parts.outage = Some(error);
                parts.undone.push(part);
                parts.undone.append(&mut left);
            }
            Err(StoreError::Held { .. }) if part.len() <= 1 => parts.held.push(part.start),
            Err(error) if part.len() <= 1 => parts.refused.push((part.start, error)),
            Err(_) => {
                // Whoever waited once does not wait for each half again.
                store = store.with_short_lock_timeout();
                let middle = part.start + part.len() / 2;
                left.push(middle..part.end);
                left.push(part.start..middle);
            }
        }
    }
    parts
}

/// Sets aside what is to blame, so that nobody works on it for a while, and says so in the log.
pub(crate) async fn set_aside(
    store: &Store,
    step: &'static str,
    refused: &[Refused],
) -> Result<(), StoreError> {
    for refused in refused {
        tracing::error!(
            presentity.aor = refused.resource.presentity_uri,
            event = refused.resource.event,
            part = ?refused.part,
            step,
            sqlstate = refused.sqlstate,
            reason = refused.message,
            "set aside, because the database refuses its data; it is tried again later"
        );
    }
    store.quarantine().put(step, refused).await
}

// === impl Parts ===

impl<T> Parts<T> {
    fn blames_statement(&self, error: &StoreError) -> bool {
        matches!(error, StoreError::Bug { .. })
            && self.done.is_empty()
            && self.refused.len() >= MAX_REFUSED_SINGLY
    }

    /// The places that were not done because of an outage.
    pub(crate) fn undone(&self) -> impl Iterator<Item = usize> + use<'_, T> {
        self.undone.iter().cloned().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sql::StoreOptions;
    use std::sync::Mutex;

    fn store() -> Store {
        Store::connect("postgres://nowhere", &StoreOptions::default()).unwrap()
    }

    fn refused() -> StoreError {
        StoreError::Conflict {
            statement: "s",
            sqlstate: "23514".to_owned(),
            reason: "no".to_owned(),
            constraint: String::new(),
        }
    }

    fn bug() -> StoreError {
        StoreError::Bug {
            statement: "s",
            sqlstate: "42703".to_owned(),
            reason: "no".to_owned(),
        }
    }

    /// Does a batch in which these are to blame; returns also the parts that were tried.
    async fn tried(
        count: usize,
        fault: impl Fn(usize) -> Option<StoreError>,
    ) -> (Parts<()>, Vec<Range<usize>>) {
        let tried = Mutex::new(Vec::new());
        let parts = in_parts(&store(), count, |_, part: Range<usize>| {
            tried.lock().unwrap().push(part.clone());
            let fault = part.into_iter().find_map(&fault);
            async { fault.map_or(Ok(()), Err) }
        })
        .await;
        (parts, tried.into_inner().unwrap())
    }

    fn places<T>(parts: &[(usize, T)]) -> Vec<usize> {
        parts.iter().map(|(place, _)| *place).collect()
    }

    #[tokio::test]
    async fn a_batch_without_fault_is_one_statement() {
        let (parts, tried) = tried(512, |_| None).await;
        assert_eq!((tried.len(), parts.done.len()), (1, 1));
        assert_eq!(parts.done[0].0, 0..512);
    }

    #[tokio::test]
    async fn who_is_to_blame_is_found_in_halves_and_the_others_are_done() {
        let blamed = [0, 77, 511];
        let (parts, tried) = tried(512, |place| blamed.contains(&place).then(refused)).await;
        assert_eq!(places(&parts.refused), blamed);
        let done: usize = parts.done.iter().map(|(part, ())| part.len()).sum();
        assert_eq!(done, 509);
        assert!(tried.len() < 60, "{}", tried.len());
    }

    #[tokio::test]
    async fn what_is_held_is_told_from_what_is_refused() {
        let held = || StoreError::Held { statement: "s" };
        let (parts, _) = tried(9, |place| match place {
            2 => Some(held()),
            7 => Some(refused()),
            _ => None,
        })
        .await;
        assert_eq!(
            (parts.held.as_slice(), places(&parts.refused)),
            (&[2][..], vec![7])
        );
    }

    #[tokio::test]
    async fn an_outage_ends_it_and_names_what_is_left() {
        let (parts, tried) = tried(8, |place| match place {
            1 => Some(refused()),
            6 => Some(StoreError::Deadline { statement: "s" }),
            _ => None,
        })
        .await;
        // All of them, then the first half, 0 and 1, then the second half, where the outage is found at once.
        assert_eq!(tried, [0..8, 0..4, 0..2, 0..1, 1..2, 2..4, 4..8]);
        assert_eq!(parts.undone().collect::<Vec<_>>(), [4, 5, 6, 7]);
        assert!(parts.outage.is_some());
    }

    #[tokio::test]
    async fn a_statement_that_does_not_fit_sets_nobody_aside_for_long() {
        let (parts, _) = tried(512, |_| Some(bug())).await;
        assert!(parts.outage.is_some());
        assert_eq!(parts.refused.len(), MAX_REFUSED_SINGLY);
        let (parts, _) = tried(3, |place| (place == 1).then(bug)).await;
        assert_eq!(
            (places(&parts.refused), parts.outage.is_none()),
            (vec![1], true)
        );
    }
}
