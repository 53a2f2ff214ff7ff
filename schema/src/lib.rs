//! The schema: refinery migrations, and the right to start on what they made.
//!
//! Migrations run under a session advisory lock, on a client of their own: refinery takes no lock itself, and four runners on
//! an empty database fail three times. Not through a pooler in transaction mode: the lock belongs to the session.

mod history;
mod uri_match;

use std::time::Duration;

use postgres_tls::Target;
use refinery::{Migration, Runner};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config};

use history::migration_error;

pub use tables::Tables;
pub use uri_match::{UriMatch, change_uri_match};

mod embedded {
    refinery::embed_migrations!("migrations");
}

const SET_LOCK_TIMEOUT: &str = include_str!("../statements/set_lock_timeout.sql");
const LOCK_MIGRATION: &str = include_str!("../statements/lock_migration.sql");
const UNLOCK_MIGRATION: &str = include_str!("../statements/unlock_migration.sql");
const FIND_TABLES: &str = include_str!("../statements/find_tables.sql");
const LIST_MISSING_SCHEMAS: &str = include_str!("../statements/list_missing_schemas.sql");
const FIX_SEARCH_PATH: &str = include_str!("../statements/fix_search_path.sql");

/// The keys that name the tables, in the order of [`tables::DEFAULT_NAMES`].
const TABLE_KEYS: [&str; 3] = [
    "presence.presentity_table",
    "presence.active_watchers_table",
    "presence.watchers_table",
];

/// Key of the advisory lock: "pgpr" in ASCII, so that it does not meet another program's by accident.
const LOCK_KEY: i64 = 0x7067_7072;
/// Longest wait for another migrator.
const LOCK_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What of the configuration a database is made with, and must be used with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the tables are called.
    pub tables: Tables,
    /// Whether users are compared by case.
    pub uri_match: UriMatch,
}

/// Why the schema cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The URL cannot be read, or a file of certificates that it names. It says which.
    #[error(transparent)]
    Url(#[from] postgres_tls::Error),
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
    #[error("the database failed while the schema was checked")]
    Query(#[source] tokio_postgres::Error),
    /// A migration failed. Nothing of it was kept.
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
    /// The database is newer than this program, which can run on it, but not change it. Migrate with the newer program.
    #[error(
        "the schema is at version {found}, this program knows {known}: run `pgpresence migrate` of the newer program"
    )]
    TooNew {
        /// Version of the database.
        found: i32,
        /// [`version`].
        known: i32,
    },
    /// Other migrations than those of this program have made the database: it is from before the first release. Make it anew.
    #[error(
        "this database was made by other migrations: it has {found}, this program has {known}. A database from before the first release \
         cannot be upgraded: create an empty one and run `pgpresence migrate` on it"
    )]
    OtherHistory {
        /// The first migration that differs, as the database calls it.
        found: String,
        /// The one of this program that has its number.
        known: String,
    },
    /// The tables were made under another name. Set the key as it was, or use another database.
    #[error(
        "{key} is {configured}, but the migrations of this database were made with {found}: set it to that, or use another database"
    )]
    OtherName {
        /// Key of the configuration.
        key: &'static str,
        /// Its value, as it stands in SQL.
        configured: String,
        /// What the table is called.
        found: String,
    },
    /// The database matches URIs otherwise than the configuration says. Set the key as it was, or order the change.
    #[error(
        "presence.sip_uri_match is {configured}, but this database was made with {found}: set it to that, or stop all processes and run `pgpresence migrate --uri-match {configured}`"
    )]
    OtherUriMatch {
        /// What the configuration says.
        configured: UriMatch,
        /// What the database says.
        found: UriMatch,
    },
    /// The database is older than the setting, and has rows that were written as if it were another one. Order the change.
    #[error(
        "presence.sip_uri_match is {configured}, but {rows} rows of this database are written as for {found}: stop all processes and run `pgpresence migrate --uri-match {configured}`, which names the rows that would collide, or set it to {found}"
    )]
    WrittenOtherwise {
        /// What the configuration says.
        configured: UriMatch,
        /// What the database says from now on.
        found: UriMatch,
        /// How many rows there are.
        rows: i64,
    },
    /// The order to match URIs otherwise was refused; nothing was changed. What it says tells what to do first.
    #[error("{reason}{}{hint}", if hint.is_empty() { "" } else { "\n" })]
    UriMatchRefused {
        /// Which processes run, or what collides, a line for each.
        reason: String,
        /// What to do about it.
        hint: String,
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

/// [`migrate_with`] the usual names of tables.
///
/// # Errors
/// Any [`SchemaError`] but `TooOld`.
pub async fn migrate(url: &str) -> Result<usize, SchemaError> {
    migrate_with(url, &Settings::default()).await
}

/// Brings the schema to [`version`]; returns how many migrations were applied. Any number may run at once. Tables are made under the names
/// of `settings`, and the schemas of these, if they are not there. How URIs are matched is written down the first time.
///
/// # Errors
/// Any [`SchemaError`] but `TooOld`. After [`SchemaError::OtherUriMatch`] and [`SchemaError::WrittenOtherwise`] the schema is up to date.
pub async fn migrate_with(url: &str, settings: &Settings) -> Result<usize, SchemaError> {
    let mut session = Session::open_locked(url).await?;
    let applied = match session.migrate(&settings.tables).await {
        Ok(applied) => session
            .settle_uri_match(settings.uri_match)
            .await
            .map(|()| applied),
        Err(error) => Err(error),
    };
    session.close_unlocked(applied).await
}

/// [`require`] with the usual names of tables.
///
/// # Errors
/// As there.
pub async fn require_version(url: &str) -> Result<(), SchemaError> {
    require(url, &Settings::default()).await
}

/// Checks that the schema is at [`version`] or newer. Newer is fine: migrations only add, so that the previous release runs on
/// the next one's schema while an upgrade rolls. And that its tables have these names, and that it matches URIs so.
///
/// # Errors
/// [`SchemaError::TooOld`], [`SchemaError::OtherHistory`], [`SchemaError::OtherName`], [`SchemaError::OtherUriMatch`], or why the database cannot be asked.
pub async fn require(url: &str, settings: &Settings) -> Result<(), SchemaError> {
    let session = Session::open(url).await?;
    let checked = session.check(settings).await;
    session.close().await;
    checked
}

/// The migrations, with these names of tables. refinery remembers what each one said: with other names it is another migration.
fn runner(tables: &Tables) -> Result<Runner, refinery::Error> {
    let usual = embedded::migrations::runner();
    if tables.are_usual() {
        return Ok(usual);
    }
    let renamed: Result<Vec<Migration>, refinery::Error> = usual
        .get_migrations()
        .iter()
        .map(|migration| {
            let sql = tables.in_sql(migration.sql().unwrap_or_default());
            Migration::unapplied(&migration.to_string(), &sql)
        })
        .collect();
    Ok(Runner::new(&renamed?))
}

/// A client with the task that drives it.
struct Session {
    client: Client,
    driver: tokio::task::JoinHandle<()>,
}

impl Session {
    async fn open(url: &str) -> Result<Session, SchemaError> {
        let mut target = Target::parse(url)?;
        target
            .config_mut()
            .connect_timeout(CONNECT_TIMEOUT)
            .application_name("pgpresence migrate");
        let (client, connection) =
            target
                .connect()
                .await
                .map_err(|source| SchemaError::Connect {
                    place: place(target.config()),
                    source,
                })?;
        let driver = tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the migration's connection ended");
            }
        });
        Ok(Session { client, driver })
    }

    /// A session that no other migrator works beside.
    async fn open_locked(url: &str) -> Result<Session, SchemaError> {
        let session = Session::open(url).await?;
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
        Ok(session)
    }

    /// Ends such a session with its result.
    async fn close_unlocked<T>(self, result: Result<T, SchemaError>) -> Result<T, SchemaError> {
        // The session ends here, and the lock with it; unlocking by hand spares the next migrator the time until it does.
        let unlocked = self.client.execute(UNLOCK_MIGRATION, &[&LOCK_KEY]).await;
        self.close().await;
        let value = result?;
        unlocked.map_err(SchemaError::Query)?;
        Ok(value)
    }

    async fn migrate(&mut self, tables: &Tables) -> Result<usize, SchemaError> {
        if self.version().await? > 0 {
            self.check_history().await?;
            self.check_not_ahead().await?;
            self.check_names(tables).await?;
        }
        let schemas: Vec<String> = tables.schemas().into_iter().collect();
        if !schemas.is_empty() {
            let missing = self.client.query(LIST_MISSING_SCHEMAS, &[&schemas]).await;
            for command in missing.map_err(SchemaError::Query)? {
                let created = self.client.batch_execute(command.get(0)).await;
                created.map_err(SchemaError::Query)?;
            }
        }
        self.client
            .execute(FIX_SEARCH_PATH, &[])
            .await
            .map_err(SchemaError::Query)?;
        let report = runner(tables)
            .map_err(migration_error)?
            .run_async(&mut self.client)
            .await
            .map_err(migration_error)?;
        Ok(report.applied_migrations().len())
    }

    async fn check(&self, settings: &Settings) -> Result<(), SchemaError> {
        let (found, needed) = (self.version().await?, version());
        if found > 0 {
            self.check_history().await?;
        }
        if found < needed {
            return Err(SchemaError::TooOld { found, needed });
        }
        self.check_names(&settings.tables).await?;
        self.check_uri_match(settings.uri_match).await
    }

    /// Refuses tables that were made under other names.
    async fn check_names(&self, tables: &Tables) -> Result<(), SchemaError> {
        let names = tables.names();
        let rows = self
            .client
            .query(FIND_TABLES, &[&names[0], &names[1], &names[2]])
            .await
            .map_err(SchemaError::Query)?;
        for (index, row) in rows.iter().enumerate() {
            // Without its triggers it is from a time at which there were only the usual names.
            let found: Option<String> = row.get(0);
            let found = found.unwrap_or_else(|| tables::DEFAULT_NAMES[index].to_owned());
            let same: Option<bool> = row.get(1);
            if !same.unwrap_or(found == names[index]) {
                return Err(SchemaError::OtherName {
                    key: TABLE_KEYS[index],
                    configured: names[index].replace('"', ""),
                    found,
                });
            }
        }
        Ok(())
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
