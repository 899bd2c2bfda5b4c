//! All that is particular to the database in use. Everything outside this module is SQL that SQLite and PostgreSQL both run.

mod postgres;
mod query;
mod sqlite;

use std::collections::HashMap;
use std::path::Path;

use sqlx::migrate::Migrator;

use crate::StoreError;

pub(crate) use postgres::PostgresUrl;
pub(crate) use query::{DbRow, Value, query};

/// The connections to one database.
#[derive(Debug)]
pub(crate) enum Database {
    Sqlite(sqlite::Pools),
    Postgres(Box<postgres::Sides>),
}

/// One connection, in a transaction.
#[derive(Debug)]
pub(crate) enum Connection {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
    Postgres(postgres::Lease),
}

/// How busy connections are: `(busy, at most)`.
pub(crate) type Busy = (u32, u32);

impl Database {
    /// Opens the SQLite file at `path`, making it if it is not there. `durable` keeps each commit through a loss of power.
    pub async fn open_sqlite(path: &Path, durable: bool) -> Result<Self, StoreError> {
        Ok(Self::Sqlite(sqlite::open(path, durable).await?))
    }

    /// Opens a PostgreSQL database, and asks it for an answer.
    pub async fn open_postgres(url: PostgresUrl) -> Result<Self, StoreError> {
        Ok(Self::Postgres(Box::new(postgres::open(url).await?)))
    }

    /// Opens a write transaction.
    pub async fn begin(&self) -> Result<Connection, StoreError> {
        Ok(match self {
            Self::Sqlite(pools) => {
                Connection::Sqlite(Box::pin(pools.writer.begin_with(sqlite::BEGIN_WRITE)).await?)
            }
            Self::Postgres(sides) => Connection::Postgres(Box::pin(sides.writers.begin()).await?),
        })
    }

    /// Brings the tables up to date: all of the missing migrations or none.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let migrations = migrations();
        match self {
            Self::Sqlite(pools) => sqlite::migrate(pools, &migrations).await,
            // Looked at first: a program whose user may not change tables starts where somebody else has brought them up to date.
            Self::Postgres(_) if self.missing_migrations().await? == 0 => Ok(()),
            Self::Postgres(sides) => postgres::migrate(sides, migrations).await,
        }
    }

    /// How many of the migrations that this program knows are not there.
    pub async fn missing_migrations(&self) -> Result<usize, StoreError> {
        let table = match self {
            Self::Sqlite(_) => "SELECT count(*) FROM sqlite_master WHERE name = '_sqlx_migrations'",
            Self::Postgres(_) => "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
        };
        let known = migrations();
        if query(table).fetch_one(self).await?.first::<i64>()? == 0 {
            return Ok(known.iter().count());
        }
        let rows =
            query("SELECT version, checksum FROM _sqlx_migrations WHERE success").fetch_all(self).await?;
        let mut there = HashMap::new();
        for row in &rows {
            there.insert(row.try_get::<i64>("version")?, row.try_get::<Vec<u8>>("checksum")?);
        }
        // One with another text is missing as well: that migration was never made here.
        let is_there = |version, checksum: &[u8]| there.get(&version).is_some_and(|known| *known == checksum);
        Ok(known.iter().filter(|migration| !is_there(migration.version, &migration.checksum)).count())
    }

    /// How busy the connections that read and those that write are.
    pub fn busy(&self) -> (Busy, Busy) {
        match self {
            Self::Sqlite(pools) => (busy(&pools.readers), busy(&pools.writer)),
            Self::Postgres(sides) => (busy(sides.readers.pool()), busy(sides.writers.pool())),
        }
    }

    /// Closes the connections, waiting for those in use.
    pub async fn close(&self) {
        match self {
            Self::Sqlite(pools) => {
                pools.readers.close().await;
                // Last, because the last connection to close moves the write-ahead log into the file.
                pools.writer.close().await;
            }
            Self::Postgres(sides) => {
                sides.readers.pool().close().await;
                sides.writers.pool().close().await;
            }
        }
    }

    /// What follows a `SELECT` of rows that several processes take from: others leave out what one has taken. SQLite has one writer, so
    /// that nobody else takes.
    pub fn skip_locked(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "",
            Self::Postgres(_) => "FOR UPDATE SKIP LOCKED",
        }
    }
}

fn migrations() -> Migrator {
    let mut migrations = sqlx::migrate!("../../migrations");
    // During a deploy the old program runs on the tables of the new one, and so it does after a roll-back: migrations only
    // expand what is there, so one that this program does not know is no reason to refuse the database.
    migrations.set_ignore_missing(true);
    migrations
}

impl Connection {
    /// Makes the writes permanent and visible, all at once.
    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => Ok(tx.commit().await?),
            Self::Postgres(lease) => lease.commit().await,
        }
    }

    /// Lets no other transaction pass the same `what` until this one ends, so that what it reads is still so when it writes. SQLite has one
    /// writer at a time anyway.
    pub async fn exclude(&mut self, what: &'static str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(lease) => lease.exclude(what).await,
        }
    }
}

fn busy<D: sqlx::Database>(pool: &sqlx::Pool<D>) -> Busy {
    let idle = u32::try_from(pool.num_idle()).unwrap_or(u32::MAX);
    (pool.size().saturating_sub(idle), pool.options().get_max_connections())
}

/// The store's word for what a database said.
pub(crate) fn classify(error: sqlx::Error) -> StoreError {
    match &error {
        // The last two are a server's: it went away in the middle.
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Protocol(_) => {
            return StoreError::Unavailable(error);
        }
        _ => {}
    }
    let is_postgres = error
        .as_database_error()
        .is_some_and(|said| said.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some());
    if is_postgres { postgres::classify(error) } else { sqlite::classify(error) }
}
