//! What a database says of the migrations that made it. From the first release on they are only added to, so whatever it says that differs
//! from ours comes from somewhere else: from before that release, or from a newer program.

use refinery::error::Kind;

use crate::{SchemaError, Session, embedded, version};

const FIND_HISTORY: &str = include_str!("../statements/find_history.sql");
const FIND_VERSION: &str = include_str!("../statements/find_version.sql");
const LIST_APPLIED: &str = include_str!("../statements/list_applied.sql");

impl Session {
    /// Version of the database; 0 = empty.
    pub(crate) async fn version(&self) -> Result<i32, SchemaError> {
        let history = self
            .client
            .query_one(FIND_HISTORY, &[])
            .await
            .map_err(SchemaError::Query)?;
        if !history.get::<_, bool>(0) {
            return Ok(0);
        }
        let newest = self
            .client
            .query_one(FIND_VERSION, &[])
            .await
            .map_err(SchemaError::Query)?;
        Ok(newest.get(0))
    }

    /// Refuses a database that other migrations have made. Those that are newer than ours are none of our business.
    pub(crate) async fn check_history(&self) -> Result<(), SchemaError> {
        let rows = self
            .client
            .query(LIST_APPLIED, &[])
            .await
            .map_err(SchemaError::Query)?;
        let ours = embedded::migrations::runner();
        for row in rows {
            let (number, name): (i32, String) = (row.get(0), row.get(1));
            let same = |known: &&refinery::Migration| known.version() == number;
            if let Some(known) = ours.get_migrations().iter().find(same)
                && known.name() != name
            {
                return Err(SchemaError::OtherHistory {
                    found: format!("V{number}__{name}"),
                    known: known.to_string(),
                });
            }
        }
        Ok(())
    }

    /// Refuses to migrate a database that is ahead of this program.
    pub(crate) async fn check_not_ahead(&self) -> Result<(), SchemaError> {
        let (found, known) = (self.version().await?, version());
        match found > known {
            true => Err(SchemaError::TooNew { found, known }),
            false => Ok(()),
        }
    }
}

/// What refinery says, in our words where somebody can do something about it.
pub(crate) fn migration_error(error: refinery::Error) -> SchemaError {
    match error.kind() {
        Kind::DivergentVersion(found, known) => SchemaError::OtherHistory {
            found: format!("another {found}"),
            known: known.to_string(),
        },
        _ => SchemaError::Migration(Box::new(error)),
    }
}
