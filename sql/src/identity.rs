//! Who can prove a password, who may act for whom, and which domains are served.

use tokio_postgres::Row;

use crate::registry::identity;
use crate::{Store, StoreError};

/// The statements of this area; see [`Store::identity`].
#[derive(Clone, Copy, Debug)]
pub struct Identity<'a>(pub(crate) &'a Store);

/// What a password hashes to, in hexadecimal digits; each may be empty.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHashes {
    /// MD5 of user, realm and password.
    pub md5: String,
    /// SHA-256 of the same.
    pub sha256: String,
}

impl std::fmt::Debug for PasswordHashes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHashes(..)")
    }
}

/// What is stored of a new password: hashes in hexadecimal digits.
pub struct NewPassword {
    /// MD5 of user, domain and password.
    pub ha1: String,
    /// MD5 of user@domain, domain and password.
    pub ha1b: String,
    /// SHA-256 of user, domain and password.
    pub sha256: String,
}

/// A user of digest authentication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// The user's name.
    pub username: String,
    /// The user's domain, in lower case.
    pub domain: String,
    /// A password can be proven by MD5.
    pub has_md5: bool,
    /// A password can be proven by SHA-256.
    pub has_sha256: bool,
}

/// The question whether somebody may act for somebody.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delegation {
    /// Canonical URI of who would act.
    pub identity: String,
    /// Canonical URI of whom for.
    pub presentity_uri: String,
    /// Name of the event package.
    pub event: String,
}

impl Identity<'_> {
    /// The hashes of these users (name, and realm in lower case), in this order; `None` for who is not known.
    pub async fn credentials(
        &self,
        accounts: &[(String, String)],
    ) -> Result<Vec<Option<PasswordHashes>>, StoreError> {
        let usernames: Vec<&str> = accounts.iter().map(|(name, _)| name.as_str()).collect();
        let realms: Vec<&str> = accounts.iter().map(|(_, realm)| realm.as_str()).collect();
        let rows = self
            .0
            .query(&identity::ListCredentials {
                username: &usernames,
                realm: &realms,
            })
            .await?;
        let mut found = vec![None; accounts.len()];
        for row in rows {
            if let Some(place) = place(row.get("place"), &mut found) {
                *place = Some(PasswordHashes {
                    md5: row.get("ha1_md5"),
                    sha256: row.get("ha1_sha256"),
                });
            }
        }
        Ok(found)
    }

    /// Which of these may act, in this order.
    pub async fn delegated(&self, asked: &[Delegation]) -> Result<Vec<bool>, StoreError> {
        let column = |of: fn(&Delegation) -> &str| asked.iter().map(of).collect::<Vec<&str>>();
        let identities = column(|asked| &asked.identity);
        let presentities = column(|asked| &asked.presentity_uri);
        let events = column(|asked| &asked.event);
        let rows = self
            .0
            .query(&identity::ListDelegated {
                identity: &identities,
                presentity_uri: &presentities,
                event: &events,
            })
            .await?;
        let mut may = vec![false; asked.len()];
        for row in rows {
            if let Some(place) = place(row.get("place"), &mut may) {
                *place = true;
            }
        }
        Ok(may)
    }

    /// Gives a user of a domain a password; says whether the user is new.
    ///
    /// # Locks
    /// The user's row.
    pub async fn put_subscriber(
        &self,
        username: &str,
        domain: &str,
        hashes: &NewPassword,
    ) -> Result<bool, StoreError> {
        let rows = self
            .0
            .query(&identity::PutSubscriber {
                username: &username,
                domain: &domain,
                ha1: &hashes.ha1,
                ha1b: &hashes.ha1b,
                ha1_sha256: &hashes.sha256,
            })
            .await?;
        Ok(rows.first().is_some_and(|row| row.get("is_new")))
    }

    /// Removes a user of a domain; says whether there was one.
    ///
    /// # Locks
    /// The user's row.
    pub async fn delete_subscriber(
        &self,
        username: &str,
        domain: &str,
    ) -> Result<bool, StoreError> {
        let rows = self
            .0
            .query(&identity::DeleteSubscriber {
                username: &username,
                domain: &domain,
            })
            .await?;
        Ok(!rows.is_empty())
    }

    /// Up to `limit` users behind `after` (name and domain), in this order.
    pub async fn subscribers(
        &self,
        after: (&str, &str),
        limit: i64,
    ) -> Result<Vec<Subscriber>, StoreError> {
        let rows = self
            .0
            .query(&identity::ListSubscribers {
                after_username: &after.0,
                after_domain: &after.1,
                limit: &limit,
            })
            .await?;
        let read = |row: &Row| Subscriber {
            username: row.get("username"),
            domain: row.get("domain"),
            has_md5: row.get("has_md5"),
            has_sha256: row.get("has_sha256"),
        };
        Ok(rows.iter().map(read).collect())
    }

    /// The domains of the table `domain`, in lower case.
    pub async fn domains(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.0.query(&identity::ListDomains).await?;
        Ok(rows.iter().map(|row| row.get("domain")).collect())
    }
}

/// The place of a number that SQL counts from 1.
fn place<T>(number: i64, all: &mut [T]) -> Option<&mut T> {
    all.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)
}
