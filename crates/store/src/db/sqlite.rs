//! SQLite: a file with one writer at a time.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::error::ErrorKind;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::StoreError;

type Pool = sqlx::Pool<sqlx::Sqlite>;

/// Opens a write transaction. `IMMEDIATE` takes the write lock at once, where SQLite waits for it; a deferred transaction
/// would ask for it at its first write, after it has read, and there SQLite answers "busy" without waiting.
pub(super) const BEGIN_WRITE: &str = "BEGIN IMMEDIATE";

/// "bulr" in the file's header: says whose database it is.
const APPLICATION_ID: i64 = 0x6275_6c72;

/// How long a writer waits for another process's write to end.
const LOCK_WAIT: Duration = Duration::from_secs(10);
/// How soon opening is tried again where SQLite does not wait by itself.
const LOCK_RETRY: Duration = Duration::from_millis(20);
/// How long a call waits for a connection. Longer than the wait for the lock, so that a queue of writers behind a slow one is
/// not given up at once.
const CONNECTION_WAIT: Duration = Duration::from_secs(30);
/// Connections that read. Each is a thread, and reads of a local file are short.
const READERS: u32 = 4;
/// The write-ahead log is cut back to this after a large import instead of staying at its highest mark.
const LOG_SIZE_LIMIT: &str = "67108864";

/// The connections to one database.
#[derive(Debug)]
pub(crate) struct Pools {
    /// Reads, several at once, each seeing the newest committed state.
    pub(crate) readers: Pool,
    /// Writes. SQLite has one writer at a time anyway; a pool of one makes the others wait in order, without its busy
    /// polling, in which an unlucky writer can starve.
    pub(crate) writer: Pool,
}

/// Opens the SQLite file at `path`, making it if it is not there. `durable` keeps each commit through a loss of power.
pub(super) async fn open(path: &Path, durable: bool) -> Result<Pools, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .foreign_keys(true)
        .busy_timeout(LOCK_WAIT)
        .pragma("journal_size_limit", LOG_SIZE_LIMIT)
        // A job's result is committed here before the job is settled in the engine, whose log is flushed: with NORMAL a loss
        // of power could take the result and leave the settled job. FULL costs one flush a commit, and bulk writes share one.
        .synchronous(if durable { SqliteSynchronous::Full } else { SqliteSynchronous::Off });
    let pool = |size| {
        SqlitePoolOptions::new()
            .max_connections(size)
            .acquire_timeout(CONNECTION_WAIT)
            // A local file does not go away, and a connection is a thread with a cache worth keeping.
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let at_open = |error| opening(path, error);
    let ours = options.clone().create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
    let deadline = Instant::now() + LOCK_WAIT;
    let writer = loop {
        match pool(1).connect_with(ours.clone()).await.map_err(at_open) {
            // Two that open a new file at once both turn its log on; SQLite refuses one of them without waiting, as both hold what
            // the other waits for.
            Err(StoreError::Busy(_)) if Instant::now() < deadline => tokio::time::sleep(LOCK_RETRY).await,
            opened => break opened?,
        }
    };
    claim(&writer, path).await?;
    // Nothing may slip past the one writer by mistake.
    let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await.map_err(at_open)?;
    Ok(Pools { readers, writer })
}

/// Brings the tables up to date.
pub(super) async fn migrate(pools: &Pools, migrations: &sqlx::migrate::Migrator) -> Result<(), StoreError> {
    let mut tx = pools.writer.begin_with(BEGIN_WRITE).await?;
    // Within the write transaction, so that a second process waits and then finds nothing left to do.
    migrations.run_direct(None, &mut *tx, false).await?;
    Ok(tx.commit().await?)
}

/// Makes sure that the file is ours, or empty and from now on ours.
async fn claim(writer: &Pool, path: &Path) -> Result<(), StoreError> {
    let at_open = |error| opening(path, error);
    // In one write transaction, or a second process could see the tables of the first but not yet its mark.
    let mut tx = writer.begin_with(BEGIN_WRITE).await.map_err(at_open)?;
    let id: i64 = sqlx::query_scalar("PRAGMA application_id").fetch_one(&mut *tx).await.map_err(at_open)?;
    if id == APPLICATION_ID {
        return Ok(());
    }
    let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_master")
        .fetch_one(&mut *tx)
        .await
        .map_err(at_open)?;
    if id != 0 || tables != 0 {
        return Err(StoreError::ForeignDatabase { path: path.into() });
    }
    sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}")))
        .execute(&mut *tx)
        .await
        .map_err(at_open)?;
    tx.commit().await.map_err(at_open)
}

/// SQLite's primary result codes that are told apart.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const NOTADB: i32 = 26;
}

/// The primary code of an error, without the detail in its upper bits.
fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

/// An error met while opening `path`.
fn opening(path: &Path, error: sqlx::Error) -> StoreError {
    match primary_code(&error) {
        Some(code::NOTADB) => StoreError::NotADatabase { path: path.into() },
        Some(code::CANTOPEN | code::READONLY) => StoreError::CannotOpen { path: path.into(), source: error },
        _ => super::classify(error),
    }
}

/// The store's word for what SQLite said.
pub(super) fn classify(error: sqlx::Error) -> StoreError {
    let Some(said) = error.as_database_error() else { return StoreError::Database(error) };
    match said.kind() {
        ErrorKind::ForeignKeyViolation => return StoreError::MissingReference(error),
        ErrorKind::CheckViolation | ErrorKind::NotNullViolation | ErrorKind::UniqueViolation => {
            // "CHECK constraint failed: features_day_is_a_date"
            let rule = said.message().rsplit(": ").next().unwrap_or_default().to_owned();
            return StoreError::Refused { rule, source: error };
        }
        _ => {}
    }
    match primary_code(&error) {
        Some(code::BUSY | code::LOCKED) => StoreError::Busy(error),
        Some(code::CORRUPT | code::NOTADB) => StoreError::Corrupt(error),
        Some(code::FULL) => StoreError::DiskFull(error),
        Some(code::READONLY) => StoreError::ReadOnly(error),
        _ => StoreError::Database(error),
    }
}
