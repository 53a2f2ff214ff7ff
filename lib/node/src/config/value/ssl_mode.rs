//! A word of libpq's `sslmode`.

use std::fmt;
use std::str::FromStr;

use super::ValueError;

/// The words of libpq's `sslmode`.
const MODES: [&str; 6] = [
    "disable",
    "allow",
    "prefer",
    "require",
    "verify-ca",
    "verify-full",
];

/// How much a connection to PostgreSQL must be worth: a word of libpq's `sslmode`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SslMode(String);

impl FromStr for SslMode {
    type Err = ValueError;

    fn from_str(text: &str) -> Result<SslMode, ValueError> {
        match MODES.contains(&text) {
            true => Ok(SslMode(text.to_owned())),
            false => Err(ValueError::SslMode),
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
