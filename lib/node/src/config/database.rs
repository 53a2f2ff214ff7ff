//! `[database]`.

use serde::{Deserialize, Serialize};

use super::value::Within;

/// `[database]`: how PostgreSQL is used. `presence.db_url` says which one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DatabaseConfig {
    /// The largest number of connections of each process.
    ///
    /// Unit: connections. Default: `8`. Range: 2 to 1000.
    pub pool_size: Within<2, 1000>,
    /// How long connecting may take.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub connect_timeout_ms: Within<100, 600_000>,
    /// How long a statement may take. PostgreSQL cancels longer ones.
    ///
    /// Unit: milliseconds. Default: `5000`. Range: 100 to 600000.
    pub statement_timeout_ms: Within<100, 600_000>,
}

impl Default for DatabaseConfig {
    fn default() -> DatabaseConfig {
        DatabaseConfig {
            pool_size: const { Within::of(8) },
            connect_timeout_ms: const { Within::of(5000) },
            statement_timeout_ms: const { Within::of(5000) },
        }
    }
}
