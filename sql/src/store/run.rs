//! The one place where a statement is run, judged and run again.

use std::sync::atomic::Ordering;
use std::time::Duration;

use deadpool_postgres::{Object, PoolError};
use tokio_postgres::Row;

use super::Store;
use super::session::SHORT_LOCK_TIMEOUT;
use crate::StoreError;
use crate::error::{Remedy, remedy, translate, with_source};
use crate::statement::{Call, Parameter, Statement};

/// How often a statement that lost a race (40001, 40P01) is run in all.
const ATTEMPTS: u32 = 5;

/// How much longer than the server's `statement_timeout` we wait: the server's own answer is better than silence.
const CLIENT_MARGIN: Duration = Duration::from_millis(500);

impl Store {
    /// Runs a statement for its rows.
    pub(crate) async fn query<C: Call>(&self, call: &C) -> Result<Vec<Row>, StoreError> {
        self.run(C::STATEMENT, call.values().as_ref(), Wanted::Rows)
            .await
            .map(|answer| answer.rows)
    }

    /// Runs a statement for its row count.
    pub(crate) async fn execute<C: Call>(&self, call: &C) -> Result<u64, StoreError> {
        self.run(C::STATEMENT, call.values().as_ref(), Wanted::Count)
            .await
            .map(|answer| answer.count)
    }

    /// Runs a step of cleaning: a call of a function that returns how many rows it touched.
    pub(crate) async fn clean<C: Call>(&self, call: &C) -> Result<u64, StoreError> {
        let rows = self.query(call).await?;
        let touched: i64 = rows.first().map_or(0, |row| row.get("rows"));
        Ok(touched.unsigned_abs())
    }

    /// The only loop around the database. Runs again what PostgreSQL rolled back because of a race, a few times with jitter,
    /// and once more after clearing outdated plans. Nothing else: after a broken connection nobody knows whether the
    /// statement took place, and only the caller knows whether it may be repeated.
    async fn run(
        &self,
        statement: &'static Statement,
        parameters: &[Parameter<'_>],
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

fn unavailable(statement: &'static str, error: &PoolError) -> StoreError {
    StoreError::Unavailable {
        statement,
        reason: with_source(error),
    }
}
