//! Who can prove a password, who may act for whom, and which domains are served.

use crate::{Store, StoreError, registry};

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
        let statement = &registry::IDENTITY_LIST_CREDENTIALS;
        let rows = self.0.query(statement, &[&usernames, &realms]).await?;
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
        let statement = &registry::IDENTITY_LIST_DELEGATED;
        let rows = self
            .0
            .query(statement, &[&identities, &presentities, &events])
            .await?;
        let mut may = vec![false; asked.len()];
        for row in rows {
            if let Some(place) = place(row.get("place"), &mut may) {
                *place = true;
            }
        }
        Ok(may)
    }

    /// The domains of the table `domain`, in lower case.
    pub async fn domains(&self) -> Result<Vec<String>, StoreError> {
        let rows = self.0.query(&registry::IDENTITY_LIST_DOMAINS, &[]).await?;
        Ok(rows.iter().map(|row| row.get("domain")).collect())
    }
}

/// The place of a number that SQL counts from 1.
fn place<T>(number: i64, all: &mut [T]) -> Option<&mut T> {
    all.get_mut(usize::try_from(number).ok()?.checked_sub(1)?)
}
