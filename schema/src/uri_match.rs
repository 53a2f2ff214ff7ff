//! How URIs are matched (`sip_uri_match`): the database keeps the setting, because rows by hand and functions must mean the same
//! people as requests do. The first migration writes it down; later it is changed by an order of its own.

use std::fmt;

use tokio_postgres::error::SqlState;

use crate::{SchemaError, Session, Settings};

const FIND_URI_MATCH: &str = include_str!("../statements/find_uri_match.sql");
const FIND_WRITTEN_URI_MATCH: &str = include_str!("../statements/find_written_uri_match.sql");
const COUNT_OTHERWISE: &str = include_str!("../statements/count_otherwise.sql");
const CHANGE_URI_MATCH: &str = include_str!("../statements/change_uri_match.sql");

/// How the users of URIs are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UriMatch {
    /// `sip:Bob@` and `sip:bob@` are two.
    #[default]
    CaseSensitive = 0,
    /// `sip:Bob@` and `sip:bob@` are one.
    CaseInsensitive = 1,
}

impl UriMatch {
    fn from_database(value: i16) -> UriMatch {
        match value {
            1 => UriMatch::CaseInsensitive,
            _ => UriMatch::CaseSensitive,
        }
    }
}

/// As in the configuration.
impl fmt::Display for UriMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", *self as i16)
    }
}

/// Brings the schema to its newest version and has the database match URIs so, whatever it did before; returns how many rows that
/// changed. All or nothing: while processes run, or where rows would become one that cannot, nothing is changed.
///
/// # Errors
/// [`SchemaError::UriMatchRefused`] says what is in the way, and any other [`SchemaError`] but `TooOld`.
pub async fn change_uri_match(url: &str, settings: &Settings) -> Result<i64, SchemaError> {
    let mut session = Session::open_locked(url).await?;
    let changed = match session.migrate(&settings.tables).await {
        Ok(_) => session.change_uri_match(settings.uri_match).await,
        Err(error) => Err(error),
    };
    session.close_unlocked(changed).await
}

impl Session {
    /// Refuses a database that matches URIs otherwise.
    pub(crate) async fn check_uri_match(&self, configured: UriMatch) -> Result<(), SchemaError> {
        let row = self.client.query_one(FIND_URI_MATCH, &[]).await;
        let found = UriMatch::from_database(row.map_err(SchemaError::Query)?.get(0));
        match found == configured {
            true => Ok(()),
            false => Err(SchemaError::OtherUriMatch { configured, found }),
        }
    }

    /// Writes the setting down where it never was, unless rows are written otherwise; else compares it.
    pub(crate) async fn settle_uri_match(&self, configured: UriMatch) -> Result<(), SchemaError> {
        let row = self.client.query_one(FIND_WRITTEN_URI_MATCH, &[]).await;
        let written: Option<i16> = row.map_err(SchemaError::Query)?.get(0);
        if written.is_some() {
            return self.check_uri_match(configured).await;
        }
        let row = self
            .client
            .query_one(COUNT_OTHERWISE, &[&(configured as i16)])
            .await;
        let rows: i64 = row.map_err(SchemaError::Query)?.get(0);
        if rows == 0 {
            return self.change_uri_match(configured).await.map(|_| ());
        }
        // Rows are written by the setting that the migrations begin with.
        let found = UriMatch::default();
        self.change_uri_match(found).await?;
        match found == configured {
            true => Ok(()),
            false => Err(SchemaError::WrittenOtherwise {
                configured,
                found,
                rows,
            }),
        }
    }

    async fn change_uri_match(&self, wanted: UriMatch) -> Result<i64, SchemaError> {
        let changed = self
            .client
            .query_one(CHANGE_URI_MATCH, &[&(wanted as i16)])
            .await;
        match changed {
            Ok(row) => Ok(row.get(0)),
            Err(error) => Err(match error.as_db_error() {
                Some(refused)
                    if [SqlState::OBJECT_IN_USE, SqlState::UNIQUE_VIOLATION]
                        .contains(refused.code()) =>
                {
                    SchemaError::UriMatchRefused {
                        reason: refused.message().to_owned(),
                        hint: refused.hint().unwrap_or_default().to_owned(),
                    }
                }
                _ => SchemaError::Query(error),
            }),
        }
    }
}
