//! The hashes of passwords, from the view `presence_credentials`: many users with one statement, each remembered for seconds.

use std::sync::Arc;

use sip::digest::{Algorithm, Credentials};
use sql::{PasswordHashes, Store, StoreError};

use super::recent::Recent;
use crate::admission::Admitted;
use crate::write_batch::{DynHash, Lane, WriteError, WriteQueue};

/// A user and its realm, as the phone names both.
pub(super) type Account = (String, String);

/// What nobody's password hashes to: who is not known is compared with it, so that it takes as long as for who is.
const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Whose passwords are known.
pub(super) struct Accounts {
    recent: Recent<Account, Option<PasswordHashes>>,
    queue: Arc<WriteQueue<Lookup>>,
}

impl Accounts {
    pub(super) fn new(
        recent: Recent<Account, Option<PasswordHashes>>,
        queue: Arc<WriteQueue<Lookup>>,
    ) -> Self {
        Accounts { recent, queue }
    }

    /// Whether an answer proves the password of its user.
    ///
    /// # Errors
    /// The database does not tell.
    pub(super) async fn prove(
        &self,
        credentials: &Credentials,
        method: &str,
        admitted: Admitted,
        deadline: tokio::time::Instant,
    ) -> Result<bool, WriteError> {
        let account = (
            credentials.username.clone(),
            credentials.realm.to_ascii_lowercase(),
        );
        let hashes = match self.recent.get(&account) {
            Some(hashes) => hashes,
            None => {
                let mut ticket = self.queue.submit(account.clone(), admitted);
                let hashes = ticket.outcome(deadline).await?;
                self.recent.put(account, hashes.clone());
                hashes
            }
        };
        let ha1 = hashes.as_ref().map(|hashes| match credentials.algorithm {
            Algorithm::Sha256 => hashes.sha256.as_str(),
            Algorithm::Md5 => hashes.md5.as_str(),
        });
        let ha1 = ha1.filter(|ha1| !ha1.is_empty());
        Ok(credentials.prove(method, ha1.unwrap_or(NOBODY)) && ha1.is_some())
    }
}

/// Looks accounts up.
pub(super) struct Lookup(pub(super) Store);

impl Lane for Lookup {
    type Row = Account;
    type Outcome = Option<PasswordHashes>;

    fn keys(row: &Account, key: &mut dyn FnMut(&dyn DynHash)) {
        key(row);
    }

    fn is_same_request(earlier: &Account, later: &Account) -> bool {
        earlier == later
    }

    async fn write(&self, rows: &[Account]) -> Result<Vec<Option<PasswordHashes>>, StoreError> {
        self.0.identity().credentials(rows).await
    }
}
