//! What a database tells of itself, for people who run it.

use crate::db::{Database, query};
use crate::{Store, StoreError};

/// A database, looked at. Nothing of it is secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseLook {
    /// `SQLite` or `PostgreSQL`.
    pub kind: &'static str,
    /// Its version, as it says it.
    pub version: String,
    /// Whether the store is made for that version.
    pub is_supported: bool,
    /// What its clock said, ms since 1970; none of a file, which has none.
    pub clock_ms: Option<i64>,
    /// Whether it is a copy that only reads.
    pub is_read_only: bool,
    /// Whether it keeps texts as UTF-8.
    pub is_utf8: bool,
    /// Migrations that this program knows and the database lacks; all of them in a database that nobody has prepared.
    pub missing_migrations: usize,
}

/// The oldest PostgreSQL that the store is made for, in the server's own numbers.
const POSTGRES_MIN: i64 = 140_000;

impl Store {
    /// Looks at the database, and changes nothing there.
    pub async fn look(&self) -> Result<DatabaseLook, StoreError> {
        let missing_migrations = self.readers().missing_migrations().await?;
        let look = match self.readers() {
            Database::Sqlite(_) => {
                let row = query("SELECT sqlite_version()").fetch_one(self.readers()).await?;
                DatabaseLook {
                    kind: "SQLite",
                    version: row.first()?,
                    // It was built with this program.
                    is_supported: true,
                    clock_ms: None,
                    is_read_only: false,
                    is_utf8: true,
                    missing_migrations,
                }
            }
            Database::Postgres(_) => {
                let row = query(
                    "SELECT current_setting('server_version') AS version, \
                         current_setting('server_version_num')::bigint AS number, \
                         (extract(epoch FROM clock_timestamp()) * 1000)::bigint AS clock, \
                         pg_is_in_recovery() OR current_setting('default_transaction_read_only')::boolean AS read_only, \
                         current_setting('server_encoding') AS encoding",
                )
                .fetch_one(self.readers())
                .await?;
                DatabaseLook {
                    kind: "PostgreSQL",
                    version: row.try_get("version")?,
                    is_supported: row.try_get::<i64>("number")? >= POSTGRES_MIN,
                    clock_ms: row.try_get("clock")?,
                    is_read_only: row.try_get("read_only")?,
                    is_utf8: row.try_get::<&str>("encoding")? == "UTF8",
                    missing_migrations,
                }
            }
        };
        Ok(look)
    }
}
