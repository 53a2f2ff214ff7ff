//! The schema: refinery migrations, and the right to start on what they made.
//!
//! Migrations run under a session advisory lock, on a client of their own: refinery takes no lock itself, and four runners on
//! an empty database fail three times. Not through a pooler in transaction mode: the lock belongs to the session.

use std::time::Duration;

use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

mod embedded {
    refinery::embed_migrations!("migrations");
}

const SET_LOCK_TIMEOUT: &str = include_str!("../statements/set_lock_timeout.sql");
const LOCK_MIGRATION: &str = include_str!("../statements/lock_migration.sql");
const UNLOCK_MIGRATION: &str = include_str!("../statements/unlock_migration.sql");
const FIND_HISTORY: &str = include_str!("../statements/find_history.sql");
const FIND_VERSION: &str = include_str!("../statements/find_version.sql");

/// Key of the advisory lock: "pgpr" in ASCII, so that it does not meet another program's by accident.
const LOCK_KEY: i64 = 0x7067_7072;
/// Longest wait for another migrator.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the schema cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The URL cannot be read. Compare it with `postgresql://user@host:5432/database`.
    #[error("not a PostgreSQL URL")]
    Url(#[source] tokio_postgres::Error),
    /// The database cannot be reached. Is it started, and does the URL lead to it?
    #[error("cannot reach the database at {place}")]
    Connect {
        /// Its hosts and ports, without user and password.
        place: String,
        /// Why not.
        source: tokio_postgres::Error,
    },
    /// Another migrator has held the lock for a minute. Look for it in `pg_stat_activity`.
    #[error("another process has been migrating this database for {} s", LOCK_TIMEOUT.as_secs())]
    Locked,
    /// PostgreSQL refused a query of ours, or the connection broke.
    #[error("the database failed while the schema was looked at")]
    Query(#[source] tokio_postgres::Error),
    /// A migration failed, or differs from the one that was applied. Nothing of the failing one was kept.
    #[error("migration failed")]
    Migration(#[source] Box<refinery::Error>),
    /// The database is older than this program. Run `pgpresence migrate`.
    #[error(
        "the schema is at version {found}, this program needs {needed}: run `pgpresence migrate`"
    )]
    TooOld {
        /// Version of the database; 0 = empty.
        found: i32,
        /// [`version`].
        needed: i32,
    },
}

impl SchemaError {
    /// The database may come back: try again. Everything else needs a person.
    pub fn is_outage(&self) -> bool {
        matches!(self, SchemaError::Connect { .. } | SchemaError::Query(_))
    }
}

/// The newest version that this program knows, and needs.
pub fn version() -> i32 {
    embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| migration.version())
        .max()
        .unwrap_or(0)
}

/// Brings the schema to [`version`]; returns how many migrations were applied. Any number may run at once.
///
/// # Errors
/// Any [`SchemaError`] but `TooOld`.
pub async fn migrate(url: &str) -> Result<usize, SchemaError> {
    let mut session = Session::open(url).await?;
    let lock_timeout = format!("{}ms", LOCK_TIMEOUT.as_millis());
    session
        .client
        .execute(SET_LOCK_TIMEOUT, &[&lock_timeout])
        .await
        .map_err(SchemaError::Query)?;
    session
        .client
        .execute(LOCK_MIGRATION, &[&LOCK_KEY])
        .await
        .map_err(lock_error)?;
    let report = embedded::migrations::runner()
        .run_async(&mut session.client)
        .await;
    // The session ends here, and the lock with it; unlocking by hand spares the next migrator the time until it does.
    let unlocked = session.client.execute(UNLOCK_MIGRATION, &[&LOCK_KEY]).await;
    session.close().await;
    let report = report.map_err(|error| SchemaError::Migration(Box::new(error)))?;
    unlocked.map_err(SchemaError::Query)?;
    Ok(report.applied_migrations().len())
}

/// Checks that the schema is at [`version`] or newer. Newer is fine: migrations only add, so that the previous release runs on
/// the next one's schema while an upgrade rolls.
///
/// # Errors
/// [`SchemaError::TooOld`], or why the database cannot be asked.
pub async fn require_version(url: &str) -> Result<(), SchemaError> {
    let session = Session::open(url).await?;
    let needed = version();
    let found = session.version().await;
    session.close().await;
    let found = found?;
    if found < needed {
        Err(SchemaError::TooOld { found, needed })
    } else {
        Ok(())
    }
}

/// A client with the task that drives it.
struct Session {
    client: Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    async fn open(url: &str) -> Result<Session, SchemaError> {
        let mut config: Config = url.parse().map_err(SchemaError::Url)?;
        config
            .connect_timeout(CONNECT_TIMEOUT)
            .application_name("pgpresence migrate");
        let (client, connection) =
            config
                .connect(NoTls)
                .await
                .map_err(|source| SchemaError::Connect {
                    place: place(&config),
                    source,
                })?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the migration's connection ended");
            }
        });
        Ok(Session { client, driver })
    }

    async fn version(&self) -> Result<i32, SchemaError> {
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

    /// Says goodbye: a process that just ends leaves a "connection to client lost" in PostgreSQL's log.
    async fn close(self) {
        drop(self.client);
        // It ends by itself once there is no client; how, is of no interest any more.
        let _ = self.driver.await;
    }
}

/// Where `config` leads, as an operator wants to read it when it leads nowhere.
fn place(config: &Config) -> String {
    let hosts = config.get_hosts().iter().map(|host| match host {
        Host::Tcp(name) => name.clone(),
        Host::Unix(folder) => folder.display().to_string(),
    });
    let ports = config.get_ports();
    let port = |index: usize| ports.get(index).or(ports.first()).copied().unwrap_or(5432);
    hosts
        .enumerate()
        .map(|(index, host)| format!("{host}:{}", port(index)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn lock_error(error: tokio_postgres::Error) -> SchemaError {
    if error.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) {
        SchemaError::Locked
    } else {
        SchemaError::Query(error)
    }
}
