//! The handle on the database: pool, deadlines, and the one place where a statement is run, judged and run again.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use deadpool_postgres::{
    Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod,
    Runtime, Timeouts,
};
use postgres_tls::Target;
use tokio::task::JoinHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, Row};

use crate::error::{Remedy, remedy, translate, with_source};
use crate::import::Import;
use crate::kamailio::Kamailio;
use crate::maintenance::Maintenance;
use crate::node::Nodes;
use crate::operator::Operator;
use crate::publication::Publications;
use crate::quarantine::Quarantine;
use crate::queue::Queue;
use crate::registry::{self, Statement};
use crate::script::Script;
use crate::subscription::Subscriptions;
use crate::watcher::Watchers;
use crate::{Doorbell, StoreError, Tables};

/// How often a statement that lost a race (40001, 40P01) is run in all.
const ATTEMPTS: u32 = 5;
/// How much longer than the server's `statement_timeout` we wait: the server's own answer is better than silence.
const CLIENT_MARGIN: Duration = Duration::from_millis(500);

/// How long a store waits for a lock that must not wait for one.
const SHORT_LOCK_TIMEOUT: Duration = Duration::from_millis(5);

/// How long a session keeps its plans.
const REPLAN_AFTER_S: u64 = 10;

/// Settings of each session, besides the time limits.
///
/// One generic plan per statement: every statement is written for nested loops into an index, from an input of a few dozen
/// rows. Planned again every ten seconds, because a plan that was made while the tables were empty reads them as a whole.
/// The plan test runs with the same settings.
pub const SESSION_SETTINGS: &[(&str, &str)] = &[
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
    // What we insert is in canonical form: the triggers that make it need not look.
    ("pgpresence.canonical", "on"),
    ("timezone", "UTC"),
];

/// How a [`Store`] uses the database.
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

/// The database. Cheap to clone; all clones share one pool.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    now: Option<SystemTime>,
    has_short_lock_timeout: bool,
}

#[derive(Debug)]
struct Shared {
    pool: Pool,
    target: Target,
    statement_timeout: Duration,
    lock_timeout: Option<Duration>,
    /// By name, the texts of those statements that are about tables with other names than the usual ones.
    renamed: HashMap<&'static str, String>,
    hard_state: bool,
    uri_match: i16,
    races_lost: AtomicU64,
}

impl Store {
    /// A store that connects when it is first used: the database may be away now.
    ///
    /// # Errors
    /// [`StoreError::Bug`] if `url` is not a PostgreSQL URL; [`StoreError::Unavailable`] if what it says of TLS cannot be done.
    pub fn connect(url: &str, options: &StoreOptions) -> Result<Store, StoreError> {
        Store::open(url, options, &[])
    }

    /// A store for another program's database: whatever is asked of it, it writes nothing there.
    ///
    /// # Errors
    /// As [`Store::connect`].
    pub fn connect_read_only(url: &str, options: &StoreOptions) -> Result<Store, StoreError> {
        Store::open(url, options, &[("default_transaction_read_only", "on")])
    }

    fn open(url: &str, options: &StoreOptions, more: &[(&str, &str)]) -> Result<Store, StoreError> {
        let bug = |reason| StoreError::Bug {
            sqlstate: String::new(),
            statement: "connect",
            reason,
        };
        let target = session_target(url, options, more).map_err(|error| match error {
            postgres_tls::Error::Url(_) => bug(with_source(&error)),
            // A file that is missing, or words that do not fit together.
            other => StoreError::Unavailable {
                statement: "connect",
                reason: with_source(&other),
            },
        })?;
        let manager = Manager::from_connect(
            target.config().clone(),
            Connector(target.clone()),
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let pool = Pool::builder(manager)
            .max_size(options.pool_size.max(1))
            .timeouts(Timeouts {
                wait: Some(options.connect_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            .runtime(Runtime::Tokio1)
            .post_create(Hook::sync_fn(|_, _| {
                tracing::debug!("connected to the database");
                Ok(())
            }))
            .pre_recycle(Hook::async_fn(|client, metrics| {
                Box::pin(async move {
                    let (now, then) = (
                        metrics.age(),
                        metrics.age().saturating_sub(metrics.last_used()),
                    );
                    if now.as_secs() / REPLAN_AFTER_S > then.as_secs() / REPLAN_AFTER_S {
                        client
                            .batch_execute(registry::MAINTENANCE_DISCARD_PLANS.text)
                            .await
                            .map_err(HookError::Backend)?;
                    }
                    Ok(())
                })
            }))
            .build()
            .map_err(|error| bug(with_source(&error)))?;
        let statement_timeout = options.statement_timeout;
        let shared = Shared {
            pool,
            target,
            statement_timeout,
            lock_timeout: options.lock_timeout,
            renamed: renamed(&options.tables),
            hard_state: options.hard_state,
            uri_match: options.uri_match,
            races_lost: AtomicU64::new(0),
        };
        Ok(Store {
            shared: Arc::new(shared),
            now: None,
            has_short_lock_timeout: false,
        })
    }

    /// The same store at another time: for tests only, which need "an hour later" without waiting.
    pub fn at(&self, now: SystemTime) -> Store {
        Store {
            shared: Arc::clone(&self.shared),
            now: Some(now),
            has_short_lock_timeout: self.has_short_lock_timeout,
        }
    }

    /// The same store for whoever knows that a row is held and must not wait for it: a statement that finds a lock taken gives up
    /// after moments ([`StoreError::Held`]). Costs two round trips more for each.
    pub fn with_short_lock_timeout(&self) -> Store {
        Store {
            has_short_lock_timeout: true,
            ..self.clone()
        }
    }

    /// Publications.
    pub fn publication(&self) -> Publications<'_> {
        Publications(self)
    }

    /// Subscription dialogs.
    pub fn subscription(&self) -> Subscriptions<'_> {
        Subscriptions(self)
    }

    /// Resources with a NOTIFY due.
    pub fn queue(&self) -> Queue<'_> {
        Queue(self)
    }

    /// What the database refuses to work on.
    pub fn quarantine(&self) -> Quarantine<'_> {
        Quarantine(self)
    }

    /// Decisions about watchers, and what they are made from.
    pub fn watcher(&self) -> Watchers<'_> {
        Watchers(self)
    }

    /// Processes.
    pub fn node(&self) -> Nodes<'_> {
        Nodes(self)
    }

    /// Kamailio's tables, on a database of Kamailio's.
    pub fn kamailio(&self) -> Kamailio<'_> {
        Kamailio(self)
    }

    /// Taking over what Kamailio has.
    pub fn import(&self) -> Import<'_> {
        Import(self)
    }

    /// What operators ask and order.
    pub fn operator(&self) -> Operator<'_> {
        Operator(self)
    }

    /// What an operator's script asks.
    pub fn script(&self) -> Script<'_> {
        Script(self)
    }

    /// Cleaning up.
    pub fn maintenance(&self) -> Maintenance<'_> {
        Maintenance(self)
    }

    /// Rings the doorbell of all notifiers. Ring rarely (some ms apart per process): commits that notify queue up behind one
    /// lock of the whole database.
    ///
    /// # Errors
    /// Any [`StoreError`].
    pub async fn ring(&self) -> Result<(), StoreError> {
        self.execute(&registry::QUEUE_RING, &[]).await.map(|_| ())
    }

    /// Listens to the doorbell. Must be called within a Tokio runtime.
    pub fn listen(&self) -> Doorbell {
        Doorbell::listen(self.shared.target.clone())
    }

    /// How many statements were run again because they lost a race (40001, 40P01). By construction this stays 0; anything
    /// else is a lock order broken, or another program on the tables.
    pub fn races_lost(&self) -> u64 {
        self.shared.races_lost.load(Ordering::Relaxed)
    }

    /// `null` in production: the database's own clock decides.
    pub(crate) fn now(&self) -> Option<SystemTime> {
        self.now
    }

    /// Whether hard state counts.
    pub(crate) fn hard_state(&self) -> bool {
        self.shared.hard_state
    }

    /// `sip_uri_match` of this process.
    pub(crate) fn uri_match(&self) -> i16 {
        self.shared.uri_match
    }

    /// Runs a statement for its rows.
    pub(crate) async fn query(
        &self,
        statement: &'static Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.run(statement, parameters, Wanted::Rows)
            .await
            .map(|answer| answer.rows)
    }

    /// Runs a statement for its row count.
    pub(crate) async fn execute(
        &self,
        statement: &'static Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        self.run(statement, parameters, Wanted::Count)
            .await
            .map(|answer| answer.count)
    }

    /// Runs a step of cleaning: a call of a function that returns how many rows it touched.
    pub(crate) async fn clean(
        &self,
        statement: &'static Statement,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let rows = self.query(statement, parameters).await?;
        let touched: i64 = rows.first().map_or(0, |row| row.get("rows"));
        Ok(touched.unsigned_abs())
    }

    /// The only loop around the database. Runs again what PostgreSQL rolled back because of a race, a few times with jitter,
    /// and once more after clearing outdated plans. Nothing else: after a broken connection nobody knows whether the
    /// statement took place, and only the caller knows whether it may be repeated.
    async fn run(
        &self,
        statement: &'static Statement,
        parameters: &[&(dyn ToSql + Sync)],
        wanted: Wanted,
    ) -> Result<Answer, StoreError> {
        let name = statement.name;
        let text = match self.shared.renamed.is_empty() {
            true => statement.text,
            false => self
                .shared
                .renamed
                .get(name)
                .map_or(statement.text, String::as_str),
        };
        let mut attempt = 1;
        loop {
            let object = self
                .shared
                .pool
                .get()
                .await
                .map_err(|error| unavailable(name, &error))?;
            let result =
                tokio::time::timeout(self.shared.statement_timeout + CLIENT_MARGIN, async {
                    let prepared = object.prepare_cached(text).await?;
                    self.put_clock(&object, self.now).await?;
                    self.put_patience(&object, Some(SHORT_LOCK_TIMEOUT)).await?;
                    let result = match wanted {
                        Wanted::Rows => object
                            .query(&prepared, parameters)
                            .await
                            .map(|rows| Answer { rows, count: 0 }),
                        Wanted::Count => {
                            object
                                .execute(&prepared, parameters)
                                .await
                                .map(|count| Answer {
                                    rows: Vec::new(),
                                    count,
                                })
                        }
                    };
                    self.put_patience(&object, self.shared.lock_timeout).await?;
                    self.put_clock(&object, self.now.and(None)).await?;
                    result
                })
                .await;
            let error = match result {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => error,
                Err(_elapsed) => {
                    // The statement may still be running there: the connection is of no use to the next caller.
                    drop(Object::take(object));
                    return Err(StoreError::Deadline { statement: name });
                }
            };
            match remedy(&error) {
                Remedy::Retry if attempt < ATTEMPTS => {
                    self.shared.races_lost.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(statement = name, attempt, %error, "a transaction collided with another one, trying again");
                    drop(object);
                    tokio::time::sleep(Duration::from_millis(rand::random_range(
                        1..=10 << attempt,
                    )))
                    .await;
                }
                Remedy::ClearCaches if attempt == 1 => {
                    tracing::info!(
                        statement = name,
                        "the schema changed, preparing statements again"
                    );
                    self.shared.pool.manager().statement_caches.clear();
                    drop(Object::take(object));
                }
                Remedy::Discard => {
                    drop(Object::take(object));
                    return Err(translate(name, &error));
                }
                _ => return Err(translate(name, &error)),
            }
            attempt += 1;
        }
    }

    /// Says how long the session waits for a lock, for a store in a hurry; and back.
    async fn put_patience(
        &self,
        object: &Object,
        wait: Option<Duration>,
    ) -> Result<(), tokio_postgres::Error> {
        if self.has_short_lock_timeout {
            let text = registry::MAINTENANCE_PUT_PATIENCE.text;
            let prepared = object.prepare_cached(text).await?;
            object
                .execute(&prepared, &[&milliseconds(wait.unwrap_or_default())])
                .await?;
        }
        Ok(())
    }

    /// Puts the triggers of the session at this store's time, and back. Does nothing in production.
    async fn put_clock(
        &self,
        object: &Object,
        now: Option<SystemTime>,
    ) -> Result<(), tokio_postgres::Error> {
        if self.now.is_some() {
            let prepared = object
                .prepare_cached(registry::MAINTENANCE_PUT_CLOCK.text)
                .await?;
            object.execute(&prepared, &[&now]).await?;
        }
        Ok(())
    }
}

/// What the caller of a statement asks for.
#[derive(Clone, Copy)]
enum Wanted {
    Rows,
    Count,
}

/// What a statement gave: its rows, or how many it wrote.
struct Answer {
    rows: Vec<Row>,
    count: u64,
}

/// The statements that name one of the three tables, with these names; none, if these are the usual ones.
fn renamed(tables: &Tables) -> HashMap<&'static str, String> {
    registry::STATEMENTS
        .iter()
        .filter_map(|statement| match tables.in_sql(statement.text) {
            Cow::Owned(text) if text != statement.text => Some((statement.name, text)),
            _ => None,
        })
        .collect()
}

/// The URL plus everything that must not be left to the operating system's patience.
fn session_target(
    url: &str,
    options: &StoreOptions,
    more: &[(&str, &str)],
) -> Result<Target, postgres_tls::Error> {
    let mut target = Target::parse(url)?;
    let config = target.config_mut();
    let mut settings = config.get_options().unwrap_or_default().to_owned();
    for (name, value) in SESSION_SETTINGS.iter().chain(more) {
        settings.push_str(&format!(" -c {name}={value}"));
    }
    let limit_ms = options.statement_timeout.as_millis().max(1);
    settings.push_str(&format!(
        " -c statement_timeout={limit_ms} -c idle_in_transaction_session_timeout={limit_ms}"
    ));
    if let Some(wait) = options.lock_timeout {
        settings.push_str(&format!(" -c lock_timeout={}", milliseconds(wait).max(1)));
    }
    config.options(settings.trim());
    if config.get_application_name().is_none() {
        config.application_name("pgpresence");
    }
    config
        .connect_timeout(options.connect_timeout)
        // A peer that dies silently must be noticed within seconds, not after TCP's quarter of an hour.
        .tcp_user_timeout(options.connect_timeout + options.statement_timeout)
        .keepalives_idle(Duration::from_secs(10))
        .keepalives_interval(Duration::from_secs(3))
        .keepalives_retries(3);
    Ok(target)
}

/// Gives the pool its connections.
struct Connector(Target);

impl Connect for Connector {
    fn connect(&self, _: &Config) -> Connecting<'_> {
        Box::pin(async {
            let (client, connection) = self.0.connect().await?;
            let driver = tokio::spawn(async move {
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "a connection to the database ended");
                }
            });
            Ok((client, driver))
        })
    }
}

type Connecting<'a> = std::pin::Pin<
    Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>,
>;

fn milliseconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}

fn unavailable(statement: &'static str, error: &PoolError) -> StoreError {
    StoreError::Unavailable {
        statement,
        reason: with_source(error),
    }
}
