//! What each connection is set to, and what a store in a hurry, or at another time, sets for one statement.

use std::time::{Duration, SystemTime};

use deadpool_postgres::{
    BuildError, Connect, Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod,
    Runtime, Timeouts,
};
use postgres_tls::Target;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, Config};

use super::{Store, StoreOptions};
use crate::registry::maintenance;
use crate::statement::Call;

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

/// How long a session keeps its plans.
const REPLAN_AFTER_S: u64 = 10;

/// How long a store waits for a lock that must not wait for one.
pub(super) const SHORT_LOCK_TIMEOUT: Duration = Duration::from_millis(5);

/// The URL plus everything that must not be left to the operating system's patience.
pub(super) fn session_target(
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

/// Connections, each of which plans its statements anew from time to time.
pub(super) fn pool(target: &Target, options: &StoreOptions) -> Result<Pool, BuildError> {
    let manager = Manager::from_connect(
        target.config().clone(),
        Connector(target.clone()),
        ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        },
    );
    Pool::builder(manager)
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
                        .batch_execute(maintenance::DiscardPlans::STATEMENT.text)
                        .await
                        .map_err(HookError::Backend)?;
                }
                Ok(())
            })
        }))
        .build()
}

impl Store {
    /// Says how long the session waits for a lock, for a store in a hurry; and back.
    pub(super) async fn put_patience(
        &self,
        object: &Object,
        wait: Option<Duration>,
    ) -> Result<(), tokio_postgres::Error> {
        if self.has_short_lock_timeout {
            let wait_ms = &milliseconds(wait.unwrap_or_default());
            put(object, &maintenance::PutPatience { wait_ms }).await?;
        }
        Ok(())
    }

    /// Puts the triggers of the session at this store's time, and back. Does nothing in production.
    pub(super) async fn put_clock(
        &self,
        object: &Object,
        now: Option<SystemTime>,
    ) -> Result<(), tokio_postgres::Error> {
        if self.now.is_some() {
            put(object, &maintenance::PutClock { now: &now }).await?;
        }
        Ok(())
    }
}

/// Runs a statement about the session itself.
async fn put<C: Call>(object: &Object, call: &C) -> Result<(), tokio_postgres::Error> {
    let prepared = object.prepare_cached(C::STATEMENT.text).await?;
    object
        .execute(&prepared, call.values().as_ref())
        .await
        .map(|_| ())
}

fn milliseconds(wait: Duration) -> i64 {
    i64::try_from(wait.as_millis()).unwrap_or(i64::MAX)
}
