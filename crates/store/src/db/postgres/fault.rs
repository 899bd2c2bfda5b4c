//! What PostgreSQL's errors mean.

use sqlx::postgres::PgDatabaseError;

use crate::StoreError;

/// Whether the server says with this error that the connection is over.
pub(super) fn ends_connection(error: &sqlx::Error) -> bool {
    match error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>()) {
        // Admin shutdown, crash shutdown, starting up, database dropped; sessions that idled too long.
        Some(said) => {
            matches!(said.code(), "25P03") || said.code().starts_with("57P") || said.code().starts_with("08")
        }
        // Whatever came, it was no answer of the server's.
        None => !matches!(
            error,
            sqlx::Error::RowNotFound
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
                | sqlx::Error::ColumnIndexOutOfBounds { .. }
                | sqlx::Error::Decode(_)
                | sqlx::Error::Encode(_)
        ),
    }
}

/// The store's word for what happened on the way to the server.
pub(super) fn on_the_way(error: sqlx::Error) -> StoreError {
    match error {
        // A certificate that is not trusted does not become so; a file of the URL's that is not there does not appear.
        sqlx::Error::Tls(_) | sqlx::Error::Configuration(_) => StoreError::NoEntry(error),
        error => super::super::classify(error),
    }
}

/// The store's word for what the server said.
pub(in crate::db) fn classify(error: sqlx::Error) -> StoreError {
    let said = error.as_database_error().and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    let Some(said) = said else { return StoreError::Database(error) };
    let rule = || said.constraint().unwrap_or(said.message()).to_owned();
    match said.code() {
        "23503" => StoreError::MissingReference(error),
        // Integrity; values that the column cannot hold (too long, out of range, a NUL in a text).
        code if code.starts_with("23") || code.starts_with("22") => {
            StoreError::Refused { rule: rule(), source: error }
        }
        // Serialization failure, deadlock, lock timeout, statement timeout.
        "40001" | "40P01" | "55P03" | "57014" => StoreError::Busy(error),
        "25006" | "42501" => StoreError::ReadOnly(error),
        "53100" => StoreError::DiskFull(error),
        "XX001" | "XX002" => StoreError::Corrupt(error),
        // Too many connections, out of memory; shutdowns; connections that are over.
        code if code.starts_with("53")
            || code.starts_with("57P")
            || code.starts_with("08")
            || code == "25P03" =>
        {
            StoreError::Unavailable(error)
        }
        // Password, host rules, encryption; no such database.
        code if code.starts_with("28") || code == "3D000" => StoreError::NoEntry(error),
        _ => StoreError::Database(error),
    }
}
