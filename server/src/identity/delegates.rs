//! Who may act for whom, from the table `presence_delegate`: many questions with one statement, each answer remembered for seconds.

use std::sync::Arc;

use sip::Aor;
use sql::{Delegation, Store, StoreError};
use tokio::time::Instant;

use super::recent::Recent;
use crate::admission::Admitted;
use crate::write_batch::{DynHash, Lane, WriteError, WriteQueue};

/// Who may act for whom.
pub(super) struct Delegates {
    recent: Recent<Delegation, bool>,
    queue: Arc<WriteQueue<Lookup>>,
}

impl Delegates {
    pub(super) fn new(recent: Recent<Delegation, bool>, queue: Arc<WriteQueue<Lookup>>) -> Self {
        Delegates { recent, queue }
    }

    /// Whether `identity` may act for `presentity` in an event package.
    ///
    /// # Errors
    /// The database does not tell.
    pub(super) async fn may_act(
        &self,
        identity: &Aor,
        presentity: &Aor,
        event: &str,
        admitted: Admitted,
        deadline: Instant,
    ) -> Result<bool, WriteError> {
        let asked = Delegation {
            identity: identity.uri(),
            presentity_uri: presentity.uri(),
            event: event.to_owned(),
        };
        if let Some(known) = self.recent.get(&asked) {
            return Ok(known);
        }
        let mut ticket = self.queue.submit(asked.clone(), admitted);
        let may = ticket.outcome(deadline).await?;
        self.recent.put(asked, may);
        Ok(may)
    }
}

/// Looks delegations up.
pub(super) struct Lookup(pub(super) Store);

impl Lane for Lookup {
    type Row = Delegation;
    type Outcome = bool;

    fn keys(row: &Delegation, key: &mut dyn FnMut(&dyn DynHash)) {
        key(row);
    }

    fn is_same_request(earlier: &Delegation, later: &Delegation) -> bool {
        earlier == later
    }

    async fn write(&self, rows: &[Delegation]) -> Result<Vec<bool>, StoreError> {
        self.0.identity().delegated(rows).await
    }
}
