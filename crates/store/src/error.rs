//! What can go wrong in the store, and what to do about it.

use std::path::PathBuf;

/// An operation on the store did not happen. Nothing of it was kept: every write is one transaction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database's URL is not one that this build can open. The text never holds more of the URL than its scheme.
    #[error("the database URL cannot be used: {reason}")]
    Url {
        /// What is wrong and what is accepted.
        reason: String,
    },
    /// The folder of the database file cannot be made or used.
    #[error("the database's folder {} cannot be used; choose one that this user may write to", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The database file cannot be opened for writing.
    #[error("{} cannot be opened as a database; check that it is a file, and that this user may write to it and to its folder", path.display())]
    CannotOpen {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        #[source]
        source: sqlx::Error,
    },
    /// The file is there, and it is not a database.
    #[error("{} is not a SQLite database, or its beginning is damaged; it was left as it is: give another path, or restore a backup there", path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// The file is a database of another program.
    #[error("{} is the database of another program; it was left as it is: give another path", path.display())]
    ForeignDatabase {
        /// The file.
        path: PathBuf,
    },
    /// The database is damaged.
    #[error(
        "the database is damaged; stop, keep a copy of the file and of the -wal file beside it, and restore a backup"
    )]
    Corrupt(#[source] sqlx::Error),
    /// The tables could not be brought up to date.
    #[error("the database's tables could not be brought up to date; nothing was changed")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Another writer holds a lock for too long, or two of them waited for each other.
    #[error("another writer holds a part of the database for longer than the store waits; try again")]
    Busy(#[source] sqlx::Error),
    /// No connection came free in time, the server is away or going away, or the store was closed. Of a commit whose answer was lost on
    /// the way from a server nobody knows whether it happened; repeating it is harmless, as everything is an upsert.
    #[error(
        "the database did not answer, no connection to it came free in time, or the store was closed; try again later"
    )]
    Unavailable(#[source] sqlx::Error),
    /// The server does not let this program in.
    #[error(
        "the database server does not let this program in; check user, password, database name and sslmode of its URL"
    )]
    NoEntry(#[source] sqlx::Error),
    /// The disk is full or the file may not grow.
    #[error("the disk of the database is full; make room, then try again")]
    DiskFull(#[source] sqlx::Error),
    /// The database may not be written to: a file by its permissions, a server because it is a copy or grants nothing.
    #[error(
        "the database may not be written to; check its permissions, the file system of a file, and that a server is no read-only copy"
    )]
    ReadOnly(#[source] sqlx::Error),
    /// A value breaks a rule of the tables.
    #[error("the row breaks the rule {rule}")]
    Refused {
        /// The rule's name as the migrations give it, or the database's words for it.
        rule: String,
        /// The database's error.
        #[source]
        source: sqlx::Error,
    },
    /// A row refers to another one (an observation to its entity) that is not there, or no longer.
    #[error("the row refers to one that does not exist; was its entity deleted?")]
    MissingReference(#[source] sqlx::Error),
    /// A value cannot be stored.
    #[error("row {index} cannot be stored: its {field} is {value}, which is not a number")]
    NotANumber {
        /// The row's place in the given batch, from 0.
        index: usize,
        /// Which value.
        field: &'static str,
        /// The value.
        value: f64,
    },
    /// Coordinates that are not on the globe.
    #[error(
        "latitude {latitude}, longitude {longitude} is not a place; latitude goes from -90 to 90, longitude from -180 to 180"
    )]
    NotAPlace {
        /// Degrees north.
        latitude: f64,
        /// Degrees east.
        longitude: f64,
    },
    /// A stored value is not what this version writes.
    #[error(
        "{table}.{column} holds {value:?}, which this version cannot read; was it written by a newer one?"
    )]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// The value, cut to 100 characters.
        value: String,
    },
    /// The operating system gave no random bytes for a new identifier.
    #[error("the operating system gave no random bytes")]
    Randomness(#[source] getrandom::Error),
    /// Anything else that the database said.
    #[error("the database did not do what it was asked to")]
    Database(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_) | Self::Unavailable(_) | Self::DiskFull(_) | Self::Randomness(_))
    }

    /// A stored value that does not parse.
    pub(crate) fn unreadable(table: &'static str, column: &'static str, value: &str) -> Self {
        Self::Unreadable { table, column, value: value.chars().take(100).collect() }
    }
}

impl From<sqlx::migrate::MigrateError> for StoreError {
    fn from(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => error.into(),
            error => Self::Migration(error),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        crate::db::classify(error)
    }
}

/// A job's write was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FenceError {
    /// Another run of the job has written since: this one lost its lease. Drop the work; the other run does it.
    #[error("run {run} of job {job} may not write any more: run {current} has taken over; drop the result")]
    Stale {
        /// The job.
        job: String,
        /// The run that wanted to write.
        run: i64,
        /// The run that holds the fence. The same number means another holder of the same run.
        current: i64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FenceError {
    /// Whether the same call may succeed later. A stale run never writes again.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Stale { .. } => false,
            Self::Store(error) => error.is_transient(),
        }
    }
}
