//! How the whole is: for `pgpresence status` and for whoever asks whether a process is healthy.

use std::time::Duration;

use tokio_postgres::Row;

use super::Operator;
use crate::StoreError;
use crate::registry::operator;

/// A process and how it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// `server` or `notifier`.
    pub kind: String,
    /// Name of the machine.
    pub host: String,
    /// Process id there.
    pub pid: i32,
    /// Where others reach it; may be empty.
    pub address: String,
    /// Version of the program.
    pub version: String,
    /// Seconds since it started.
    pub started_s: f64,
    /// Seconds since it last said that it lives.
    pub heartbeat_s: f64,
    /// From whom it accepts requests without a password: `open` = everybody; empty: it takes none.
    pub believes: String,
    /// Whether that is not long ago.
    pub is_alive: bool,
}

/// All NOTIFYs that are due.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// Resources with something due.
    pub resources: i64,
    /// Those of them whose time has come.
    pub due: i64,
    /// Seconds since the oldest of them became due.
    pub oldest_s: Option<f64>,
    /// Seconds since the earliest that is due became so.
    pub late_s: Option<f64>,
    /// Resources of which a NOTIFY has been due for long and was not sent, even if a notifier holds them.
    pub untold: i64,
    /// Seconds since the oldest of these became due.
    pub untold_s: Option<f64>,
}

/// Subscriptions whose last NOTIFY failed and is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failing {
    /// How many.
    pub dialogs: i64,
    /// Failures in a row of the worst.
    pub worst: i32,
    /// How many have failed many times in a row.
    pub lasting: i64,
}

impl Operator<'_> {
    /// Asks the database for nothing but an answer.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.0.query(&operator::Ping).await.map(|_| ())
    }

    /// All processes.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn list_processes(&self) -> Result<Vec<Process>, StoreError> {
        let rows = self.0.query(&operator::ListProcesses).await?;
        let process = |row: &Row| Process {
            kind: row.get("kind"),
            host: row.get("host"),
            pid: row.get("pid"),
            address: row.get("address"),
            version: row.get("version"),
            started_s: row.get("started_s"),
            heartbeat_s: row.get("heartbeat_s"),
            believes: row.get("believes"),
            is_alive: row.get::<_, &str>("state") == "alive",
        };
        Ok(rows.iter().map(process).collect())
    }

    /// How much is due, and how late the notifiers are. What is due for longer than `patience` for a watcher who got no NOTIFY meanwhile is
    /// untold.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn find_backlog(&self, patience: Duration) -> Result<Backlog, StoreError> {
        let rows = self
            .0
            .query(&operator::FindBacklog {
                patience_s: &patience.as_secs_f64(),
            })
            .await?;
        let backlog = |row: &Row| Backlog {
            resources: row.get("resources"),
            due: row.get("due"),
            oldest_s: row.get("oldest_s"),
            late_s: row.get("late_s"),
            untold: row.get("untold"),
            untold_s: row.get("untold_s"),
        };
        rows.first()
            .map(backlog)
            .ok_or_else(|| no_row("operator.find_backlog"))
    }

    /// How many phones do not answer, and how many of them failed `many` times in a row or more.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn count_failing(&self, many: i32) -> Result<Failing, StoreError> {
        let rows = self
            .0
            .query(&operator::CountFailing { many: &many })
            .await?;
        let failing = |row: &Row| Failing {
            dialogs: row.get("dialogs"),
            worst: row.get("worst"),
            lasting: row.get("lasting"),
        };
        rows.first()
            .map(failing)
            .ok_or_else(|| no_row("operator.count_failing"))
    }
}

fn no_row(statement: &'static str) -> StoreError {
    StoreError::Bug {
        statement,
        sqlstate: String::new(),
        reason: "returned no row".to_owned(),
    }
}
