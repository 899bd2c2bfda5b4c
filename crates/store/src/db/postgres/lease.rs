//! A connection, lent by its pool.
//!
//! A call may be dropped at any await: its client has gone away. A statement that was under way then leaves an answer on the connection
//! that belongs to nobody, and a `BEGIN` a transaction that nobody knows of. (sqlx reads over the answer, but does not see the
//! transaction.) So a lease knows whether something is under way, and one that is dropped in the middle closes its connection; one that is
//! dropped between two statements of a transaction rolls it back. What goes back to the pool is always idle and outside of transactions.
//!
//! Every wait ends: a statement's by the server's own limits, and where those do not arrive, by ours.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgPool, PgRow};
use sqlx::{AssertSqlSafe, Executor as _, PgConnection, Postgres};
use tokio::runtime::Handle;
use tokio::time::timeout;

use super::fault;
use super::url::Limits;
use crate::StoreError;
use crate::db::query::Query;

/// How long a connection that goes back may take to roll back and to answer; then it is closed.
const TIDY: Duration = Duration::from_secs(5);
/// READ COMMITTED, whatever the database's default: fences and upserts lock the rows that they decide on, and nothing is ever to be
/// repeated because of what others did.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

/// Connections that have one kind of work.
#[derive(Debug, Clone)]
pub(crate) struct Side {
    pool: PgPool,
    limits: Limits,
    suspicion: Suspicion,
}

/// Since when no connection is trusted: a call had no answer in time, so that others made before may hang as well.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion(Arc<Mutex<Option<Instant>>>);

impl Suspicion {
    pub fn arise(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// Whether it falls on a connection of this age.
    pub fn falls_on(&self, age: Duration) -> bool {
        let since = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        since.is_some_and(|since| age >= since.elapsed())
    }
}

impl Side {
    pub(super) fn new(pool: PgPool, limits: Limits, suspicion: Suspicion) -> Self {
        Self { pool, limits, suspicion }
    }

    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Borrows a connection, waiting for one.
    pub async fn lease(&self) -> Result<Lease, StoreError> {
        let connection = self.pool.acquire().await.map_err(fault::on_the_way)?;
        Ok(Lease {
            connection: Some(connection),
            call: self.limits.call(),
            suspicion: self.suspicion.clone(),
            is_under_way: false,
            is_in_transaction: false,
            has_failed: false,
        })
    }

    /// Borrows a connection and opens a transaction on it.
    pub async fn begin(&self) -> Result<Lease, StoreError> {
        let mut lease = self.lease().await?;
        lease.is_in_transaction = true;
        lease.run_words(BEGIN).await?;
        Ok(lease)
    }
}

/// A borrowed connection.
#[derive(Debug)]
pub(crate) struct Lease {
    connection: Option<PoolConnection<Postgres>>,
    call: Duration,
    suspicion: Suspicion,
    /// A statement was sent whose answer has not been read to its end.
    is_under_way: bool,
    is_in_transaction: bool,
    /// A statement of the transaction failed. The server would then answer a COMMIT with success and roll back.
    has_failed: bool,
}

impl Lease {
    /// Runs a statement; how many rows it changed.
    pub async fn execute(&mut self, query: Query<'_>) -> Result<u64, StoreError> {
        let query = query.into_postgres()?;
        let (connection, call) = self.set_out()?;
        let answer = timeout(call, query.execute(connection)).await;
        self.arrive(answer).map(|done| done.rows_affected())
    }

    /// Runs a statement; all rows of its answer.
    pub async fn fetch_all(&mut self, query: Query<'_>) -> Result<Vec<PgRow>, StoreError> {
        let query = query.into_postgres()?;
        let (connection, call) = self.set_out()?;
        let answer = timeout(call, query.fetch_all(connection)).await;
        self.arrive(answer)
    }

    /// Runs a statement whose values are arrays.
    pub async fn execute_arrays(&mut self, sql: &str, arrays: PgArguments) -> Result<u64, StoreError> {
        let query = sqlx::query_with(AssertSqlSafe(sql), arrays);
        let (connection, call) = self.set_out()?;
        let answer = timeout(call, query.execute(connection)).await;
        self.arrive(answer).map(|done| done.rows_affected())
    }

    /// Commits.
    pub async fn commit(mut self) -> Result<(), StoreError> {
        if self.has_failed {
            let why = "a statement of the transaction failed before, so that nothing of it is kept";
            return Err(StoreError::Database(sqlx::Error::InvalidArgument(why.to_owned())));
        }
        self.run_words("COMMIT").await?;
        self.is_in_transaction = false;
        Ok(())
    }

    /// Waits for its turn with `what` until the transaction ends.
    pub async fn exclude(&mut self, what: &str) -> Result<(), StoreError> {
        let digest = Sha256::digest(format!("bulrush:{what}"));
        let key = digest.first_chunk::<8>().copied().map_or(0, i64::from_be_bytes);
        let query = crate::db::query("SELECT pg_advisory_xact_lock($1)").bind(key);
        self.execute(query).await.map(|_| ())
    }

    async fn run_words(&mut self, words: &'static str) -> Result<(), StoreError> {
        let (connection, call) = self.set_out()?;
        let answer = timeout(call, connection.execute(words)).await;
        self.arrive(answer).map(|_| ())
    }

    /// From here on the answer belongs to this call.
    fn set_out(&mut self) -> Result<(&mut PgConnection, Duration), StoreError> {
        if self.is_under_way {
            // A call of this lease was dropped, and this one would read its answer.
            return Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed));
        }
        let connection = self.connection.as_mut().ok_or(StoreError::Unavailable(sqlx::Error::PoolClosed))?;
        self.is_under_way = true;
        Ok((connection, self.call))
    }

    /// The answer is here, or will never be.
    fn arrive<T>(
        &mut self,
        answer: Result<Result<T, sqlx::Error>, tokio::time::error::Elapsed>,
    ) -> Result<T, StoreError> {
        match answer {
            Ok(Ok(value)) => {
                self.is_under_way = false;
                Ok(value)
            }
            Ok(Err(error)) => {
                self.is_under_way = fault::ends_connection(&error);
                self.has_failed = self.is_in_transaction;
                Err(fault::on_the_way(error))
            }
            Err(_) => {
                self.suspicion.arise();
                let text = format!("the database did not answer within {} ms", self.call.as_millis());
                Err(StoreError::Unavailable(sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, text))))
            }
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.is_under_way => {
                runtime.spawn(give_back(connection, self.is_in_transaction));
            }
            // The socket closes; the server ends what ran there.
            _ => drop(connection.detach()),
        }
    }
}

/// Brings a connection back in order, or closes it.
async fn give_back(mut connection: PoolConnection<Postgres>, is_in_transaction: bool) {
    if is_in_transaction {
        let rolled_back = timeout(TIDY, (&mut *connection).execute("ROLLBACK")).await;
        if !matches!(rolled_back, Ok(Ok(_))) {
            drop(connection.detach());
            return;
        }
    }
    // The pool asks the connection for a sign of life, and would wait for it for ever.
    let _ = timeout(TIDY, connection.return_to_pool()).await;
}
