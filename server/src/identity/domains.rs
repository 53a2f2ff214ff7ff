//! The domains whose presentities are served: `identity.domains`, and the table `domain`.

use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use sql::{Store, StoreError};
use tokio::time::sleep;

/// The table is read so often at most.
const MIN_INTERVAL: Duration = Duration::from_secs(1);

/// The domains whose presentities are served.
pub(crate) struct Domains {
    configured: HashSet<String>,
    /// Those of the table.
    stored: RwLock<HashSet<String>>,
    store: Store,
    interval: Duration,
}

impl Domains {
    pub(super) fn new(store: Store, config: &node::IdentityConfig) -> Domains {
        let configured = config.domains.iter();
        Domains {
            configured: configured
                .map(|domain| domain.as_str().to_owned())
                .collect(),
            stored: RwLock::default(),
            store,
            interval: config.cache_s.seconds().max(MIN_INTERVAL),
        }
    }

    /// Whether presentities of a domain (in lower case; empty for a telephone number) are served. With no domain named anywhere, all are;
    /// numbers always.
    pub(crate) fn serve(&self, domain: &str) -> bool {
        let stored = self.stored.read().unwrap_or_else(PoisonError::into_inner);
        domain.is_empty()
            || (self.configured.is_empty() && stored.is_empty())
            || self.configured.contains(domain)
            || stored.contains(domain)
    }

    /// Reads the table.
    ///
    /// # Errors
    /// The database does not tell; what was known stays.
    pub(crate) async fn read(&self) -> Result<(), StoreError> {
        let domains = self.store.identity().domains().await?;
        *self.stored.write().unwrap_or_else(PoisonError::into_inner) =
            domains.into_iter().collect();
        Ok(())
    }

    /// Reads the table again and again.
    pub(crate) async fn keep(&self) {
        loop {
            sleep(self.interval).await;
            if let Err(error) = self.read().await {
                tracing::debug!(%error, "the table domain cannot be read; what was known of it stays");
            }
        }
    }
}
