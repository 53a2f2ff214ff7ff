//! What can go wrong between us and PostgreSQL, sorted by what the caller can do about it.

use std::error::Error;
use std::io;

use tokio_postgres::error::{DbError, SqlState};

/// Why a statement has no result.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached, is starting, stopping, read-only, or the pool is empty for too long. Nothing can be
    /// said about whether a write that was under way took place: all our writes may be repeated. Answer 503.
    #[error("database unavailable during {statement}: {reason}")]
    Unavailable {
        /// Name of the statement, or `connect`.
        statement: &'static str,
        /// What the driver or the pool said.
        reason: String,
    },
    /// The statement took longer than `statement_timeout` and was cancelled. Answer 503.
    #[error("deadline exceeded during {statement}")]
    Deadline {
        /// Name of the statement.
        statement: &'static str,
    },
    /// Somebody holds a row that the statement would lock, for longer than this session waits. It did nothing.
    #[error("another transaction holds a row that {statement} needs")]
    Held {
        /// Name of the statement.
        statement: &'static str,
    },
    /// The database refused the data (SQLSTATE classes 22, 23, 54 and the like: a NUL byte in a text, a broken constraint, a value too
    /// long for an index, an error that a trigger raised). It will refuse them again; in a batch, one row is to blame and the others
    /// will pass when they come alone.
    #[error("data refused by {statement}: {sqlstate} {reason}")]
    Conflict {
        /// Name of the statement.
        statement: &'static str,
        /// Five characters, for the log.
        sqlstate: String,
        /// What PostgreSQL said.
        reason: String,
        /// The constraint that was broken, or empty. Each is named with the sentence it enforces.
        constraint: String,
    },
    /// A name is longer than the tables take: [`sip::bound`]. The database was not asked. Answer 400.
    #[error("{reason}")]
    TooLong {
        /// Which, and how long it may be.
        reason: &'static str,
    },
    /// A stored row cannot be what it claims to be. Log it with its place, answer 500.
    #[error("inconsistent row {row} in {table}.{column}")]
    Inconsistent {
        /// Table of the row.
        table: &'static str,
        /// Column whose value makes no sense.
        column: &'static str,
        /// `id` of the row.
        row: i64,
    },
    /// Our fault: a statement that does not fit the schema, a deadlock that survived every retry. Log it, answer 500.
    #[error("bug in {statement}: {sqlstate} {reason}")]
    Bug {
        /// Name of the statement.
        statement: &'static str,
        /// Five characters from PostgreSQL, or `""`: the driver found it.
        sqlstate: String,
        /// What PostgreSQL said.
        reason: String,
    },
}

impl StoreError {
    /// The database is away or too slow: no row of the batch is to blame, and trying them one by one would only add load.
    pub fn is_outage(&self) -> bool {
        matches!(
            self,
            StoreError::Unavailable { .. } | StoreError::Deadline { .. }
        )
    }

    /// The five characters that PostgreSQL has for what went wrong with the data or the statement; `""` if it did not say.
    pub fn sqlstate(&self) -> &str {
        match self {
            StoreError::Conflict { sqlstate, .. } | StoreError::Bug { sqlstate, .. } => sqlstate,
            StoreError::Inconsistent { .. } => SqlState::DATA_CORRUPTED.code(),
            StoreError::Unavailable { .. }
            | StoreError::Deadline { .. }
            | StoreError::Held { .. }
            | StoreError::TooLong { .. } => "",
        }
    }
}

/// What to do with the connection and the request after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// 40001, 40P01: the transaction lost a race and may run again.
    Retry,
    /// 0A000, 26000: a cached plan is out of date after a migration; forget all and run again.
    ClearCaches,
    /// The connection is broken, or leads to a server that does not take writes.
    Discard,
    /// The connection is fine; only this statement failed.
    Keep,
}

/// Sorts a driver error. `closed` says whether the connection is gone.
pub(crate) fn remedy(error: &tokio_postgres::Error) -> Remedy {
    let Some(code) = error.code() else {
        return if is_value_error(error) {
            Remedy::Keep
        } else {
            Remedy::Discard
        };
    };
    match code.code() {
        "40001" | "40P01" => Remedy::Retry,
        "0A000" | "26000" => Remedy::ClearCaches,
        "25006" | "57P01" | "57P02" | "57P03" | "57P04" | "57P05" => Remedy::Discard,
        code if code.starts_with("08") => Remedy::Discard,
        _ => Remedy::Keep,
    }
}

/// Translates a driver error for the caller.
pub(crate) fn translate(statement: &'static str, error: &tokio_postgres::Error) -> StoreError {
    let Some(db) = error.as_db_error() else {
        let reason = with_source(error);
        return if is_value_error(error) {
            StoreError::Bug {
                statement,
                sqlstate: String::new(),
                reason,
            }
        } else {
            StoreError::Unavailable { statement, reason }
        };
    };
    let code = db.code();
    let reason = db.message().to_owned();
    if *code == SqlState::QUERY_CANCELED {
        return StoreError::Deadline { statement };
    }
    if *code == SqlState::LOCK_NOT_AVAILABLE {
        return StoreError::Held { statement };
    }
    match &code.code()[..2] {
        // Cardinality, data, constraint, WITH CHECK OPTION, limits of the program; what functions and triggers raise.
        "21" | "22" | "23" | "44" | "54" | "P0" | "2F" | "38" | "39" => {
            refused(statement, code, reason, db)
        }
        _ if *code == SqlState::DATA_CORRUPTED => refused(statement, code, reason, db),
        // Nobody granted it yet.
        _ if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            StoreError::Unavailable { statement, reason }
        }
        // Connection, authorisation, resources, operator intervention, system error; read-only after a failover; no such
        // database. An operator can cure all of them without touching us.
        "08" | "28" | "53" | "57" | "58" | "3D" => StoreError::Unavailable { statement, reason },
        _ if *code == SqlState::READ_ONLY_SQL_TRANSACTION => {
            StoreError::Unavailable { statement, reason }
        }
        // Not migrated yet: a server may start before its schema.
        _ if *code == SqlState::UNDEFINED_TABLE => StoreError::Unavailable { statement, reason },
        _ => StoreError::Bug {
            statement,
            sqlstate: code.code().to_owned(),
            reason,
        },
    }
}

fn refused(
    statement: &'static str,
    code: &SqlState,
    reason: String,
    error: &DbError,
) -> StoreError {
    StoreError::Conflict {
        statement,
        sqlstate: code.code().to_owned(),
        reason,
        constraint: error.constraint().unwrap_or_default().to_owned(),
    }
}

/// An error that the driver made itself while converting a value: neither the network's fault nor the database's.
///
/// The driver does not say of which kind its errors are, but each kind has a cause of its own. A value that cannot be converted brings the
/// error of its conversion; the network, and a message that makes no sense, an `io::Error`; the database its words. What has no cause says that the
/// connection is closed, or speaks out of turn. (Connecting has more kinds, and does not come here.)
fn is_value_error(error: &tokio_postgres::Error) -> bool {
    error
        .source()
        .is_some_and(|cause| !cause.is::<io::Error>() && !cause.is::<DbError>())
}

/// The driver's `Display` leaves out the cause; an operator needs it.
pub(crate) fn with_source(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    use postgres_dev::Cluster;
    use tokio_postgres::NoTls;

    /// What the driver says in earnest, of each kind that a statement can end with.
    #[tokio::test]
    async fn each_kind_of_error_is_known() {
        let cluster =
            tokio::task::spawn_blocking(|| Cluster::start_throwaway().expect("a cluster"));
        let cluster = cluster.await.expect("a cluster");
        let (client, connection) = tokio_postgres::connect(&cluster.url("postgres"), NoTls)
            .await
            .expect("a connection");
        let connection = tokio::spawn(connection);
        let fails = async |text: &str, parameter: &(dyn tokio_postgres::types::ToSql + Sync)| {
            client
                .query(text, &[parameter])
                .await
                .expect_err("this fails")
        };

        let unfit = fails("VALUES ($1::int4)", &"no number").await;
        assert_eq!(remedy(&unfit), Remedy::Keep);
        let told = translate("s", &unfit);
        assert!(
            matches!(&told, StoreError::Bug { sqlstate, .. } if sqlstate.is_empty()),
            "{told:?}"
        );
        let refused = fails("VALUES (1 / $1::int4)", &0).await;
        assert_eq!(remedy(&refused), Remedy::Keep);
        let told = translate("s", &refused);
        assert!(
            matches!(&told, StoreError::Conflict { sqlstate, .. } if sqlstate == "22012"),
            "{told:?}"
        );
        // The session ends; then there is none. Whether the network or the database says so first is a race.
        for _ in 0..2 {
            let gone = fails(
                "VALUES (pg_terminate_backend(pg_backend_pid(), $1))",
                &0_i64,
            )
            .await;
            assert_eq!(remedy(&gone), Remedy::Discard, "{gone:?}");
            let told = translate("s", &gone);
            assert!(matches!(told, StoreError::Unavailable { .. }), "{told:?}");
        }
        let _ = connection.await;
    }
}
