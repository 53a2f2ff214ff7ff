//! schema

/// Why the schema cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The database cannot be reached.
    #[error("cannot reach the database: {0}")]
    Connect(String),
}

/// The newest version that this program knows, and needs.
pub const VERSION: i32 = 5;

/// Brings the schema to [`VERSION`]; returns how many migrations were applied.
pub async fn migrate(url: &str) -> Result<usize, SchemaError> {
    todo!()
}

/// Checks that the schema is at [`VERSION`] or newer.
pub async fn require_version(url: &str) -> Result<(), SchemaError> {
    todo!()
}
