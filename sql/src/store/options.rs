//! How a store uses the database.

use std::time::Duration;

use crate::Tables;

/// How a [`Store`](crate::Store) uses the database.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Most connections at a time.
    pub pool_size: usize,
    /// Longest wait for a free or a new connection.
    pub connect_timeout: Duration,
    /// Longest time that a statement may take, at the server (`statement_timeout`) and, a little longer, here.
    pub statement_timeout: Duration,
    /// What the tables are called.
    pub tables: Tables,
    /// Whether documents of type 16 in `xcap` are state of their owners.
    pub hard_state: bool,
    /// Longest time that a statement may wait for a lock; `None`: as long as it may take.
    pub lock_timeout: Option<Duration>,
    /// `sip_uri_match` of this process: a process whose database has another one is not registered.
    pub uri_match: i16,
}

// === impl StoreOptions ===

impl StoreOptions {
    /// What the configuration says, with so many connections; lock waits are not bounded further.
    pub fn of(config: &node::Config, pool_size: usize) -> StoreOptions {
        let (database, presence) = (&config.database, &config.presence);
        StoreOptions {
            pool_size,
            connect_timeout: database.connect_timeout_ms.milliseconds(),
            statement_timeout: database.statement_timeout_ms.milliseconds(),
            tables: StoreOptions::tables(presence),
            hard_state: presence.pidf_manipulation,
            lock_timeout: None,
            uri_match: presence.sip_uri_match.into(),
        }
    }

    /// What the configuration calls the tables.
    pub fn tables(presence: &node::PresenceConfig) -> Tables {
        Tables::new(
            presence.presentity_table.as_str(),
            presence.active_watchers_table.as_str(),
            presence.watchers_table.as_str(),
        )
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            pool_size: 8,
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(5),
            tables: Tables::default(),
            hard_state: true,
            lock_timeout: None,
            uri_match: 0,
        }
    }
}
