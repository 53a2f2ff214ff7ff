//! The handle on the database, which all statements go through.
//!
//! It is opened with `options`, each of its connections is a `session`, and `run` is where a statement is run.

mod options;
mod run;
mod session;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use deadpool_postgres::Pool;
use postgres_tls::Target;

use crate::error::with_source;
use crate::identity::Identity;
use crate::import::Import;
use crate::kamailio::Kamailio;
use crate::maintenance::Maintenance;
use crate::node::Nodes;
use crate::operator::Operator;
use crate::publication::Publications;
use crate::quarantine::Quarantine;
use crate::queue::Queue;
use crate::registry::{STATEMENTS, queue};
use crate::script::Script;
use crate::subscription::Subscriptions;
use crate::watcher::Watchers;
use crate::{Doorbell, StoreError, Tables};

pub use options::StoreOptions;
pub use session::SESSION_SETTINGS;
use session::{pool, session_target};

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
        let pool = pool(&target, options).map_err(|error| bug(with_source(&error)))?;
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

    /// Who can prove a password, and who may act for whom.
    pub fn identity(&self) -> Identity<'_> {
        Identity(self)
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
        self.execute(&queue::Ring).await.map(|_| ())
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
}

/// The statements that name one of the three tables, with these names; none, if these are the usual ones.
fn renamed(tables: &Tables) -> HashMap<&'static str, String> {
    STATEMENTS
        .iter()
        .filter_map(|statement| match tables.in_sql(statement.text) {
            Cow::Owned(text) if text != statement.text => Some((statement.name, text)),
            _ => None,
        })
        .collect()
}
