//! A statement with its values, and the rows of its answer, for either database.
//!
//! Values are those that the tables have: BIGINT, DOUBLE PRECISION, TEXT and BOOLEAN, each of which may be NULL. Statements number their
//! places `$1`, `$2`, …, which both databases read.

use std::borrow::Cow;

use sqlx::postgres::{PgArguments, PgRow};
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Arguments as _, Postgres, Row as _, SqlSafeStr, SqlStr, Sqlite};

use crate::StoreError;
use crate::db::{Connection, Database};

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'q> {
    Int(Option<i64>),
    Real(Option<f64>),
    Text(Option<Cow<'q, str>>),
    Bool(Option<bool>),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Value<'_> {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Real(Some(value))
    }
}

impl From<Option<f64>> for Value<'_> {
    fn from(value: Option<f64>) -> Self {
        Self::Real(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(Some(value))
    }
}

impl From<Option<bool>> for Value<'_> {
    fn from(value: Option<bool>) -> Self {
        Self::Bool(value)
    }
}

impl<'q> From<&'q str> for Value<'q> {
    fn from(value: &'q str) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'q> From<Option<&'q str>> for Value<'q> {
    fn from(value: Option<&'q str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl<'q> From<&'q String> for Value<'q> {
    fn from(value: &'q String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl<'q> From<&'q Option<String>> for Value<'q> {
    fn from(value: &'q Option<String>) -> Self {
        value.as_deref().into()
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(value.into()))
    }
}

impl From<Option<String>> for Value<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

/// Where a statement runs: on a connection that reads, or in a transaction.
pub(crate) enum On<'c> {
    Readers(&'c Database),
    Transaction(&'c mut Connection),
}

impl<'c> From<&'c Database> for On<'c> {
    fn from(database: &'c Database) -> Self {
        Self::Readers(database)
    }
}

impl<'c> From<&'c mut Connection> for On<'c> {
    fn from(connection: &'c mut Connection) -> Self {
        Self::Transaction(connection)
    }
}

/// A statement and its values.
pub(crate) struct Query<'q> {
    sql: SqlStr,
    values: Vec<Value<'q>>,
    is_kept: bool,
}

/// A statement without values yet.
pub(crate) fn query<'q>(sql: impl SqlSafeStr) -> Query<'q> {
    Query { sql: sql.into_sql_str(), values: Vec::new(), is_kept: true }
}

impl<'q> Query<'q> {
    /// The value of the next place.
    pub fn bind(mut self, value: impl Into<Value<'q>>) -> Self {
        self.values.push(value.into());
        self
    }

    /// Whether the statement is prepared once for a connection, as all are that do not say otherwise.
    pub fn kept(mut self, is_kept: bool) -> Self {
        self.is_kept = is_kept;
        self
    }

    /// Runs it; how many rows it changed.
    pub async fn execute(self, on: impl Into<On<'_>>) -> Result<u64, StoreError> {
        // The drivers' futures are large, and there are two of them in this one: kept out of those of all callers.
        Box::pin(self.execute_on(on.into())).await
    }

    async fn execute_on(self, on: On<'_>) -> Result<u64, StoreError> {
        match on {
            On::Readers(Database::Sqlite(pools)) => {
                Ok(self.into_sqlite()?.execute(&pools.readers).await?.rows_affected())
            }
            On::Readers(Database::Postgres(sides)) => sides.readers.lease().await?.execute(self).await,
            On::Transaction(Connection::Sqlite(tx)) => {
                Ok(self.into_sqlite()?.execute(&mut **tx).await?.rows_affected())
            }
            On::Transaction(Connection::Postgres(lease)) => lease.execute(self).await,
        }
    }

    /// Runs it; all rows of its answer.
    pub async fn fetch_all(self, on: impl Into<On<'_>>) -> Result<Vec<DbRow>, StoreError> {
        Box::pin(self.fetch_all_on(on.into())).await
    }

    async fn fetch_all_on(self, on: On<'_>) -> Result<Vec<DbRow>, StoreError> {
        let sqlite = |rows: Vec<SqliteRow>| rows.into_iter().map(DbRow::Sqlite).collect();
        let postgres = |rows: Vec<PgRow>| rows.into_iter().map(DbRow::Postgres).collect();
        Ok(match on {
            On::Readers(Database::Sqlite(pools)) => {
                sqlite(self.into_sqlite()?.fetch_all(&pools.readers).await?)
            }
            On::Readers(Database::Postgres(sides)) => {
                postgres(sides.readers.lease().await?.fetch_all(self).await?)
            }
            On::Transaction(Connection::Sqlite(tx)) => {
                sqlite(self.into_sqlite()?.fetch_all(&mut **tx).await?)
            }
            On::Transaction(Connection::Postgres(lease)) => postgres(lease.fetch_all(self).await?),
        })
    }

    /// The first row of its answer, if it has any. For statements that are asked for few.
    pub async fn fetch_optional(self, on: impl Into<On<'_>>) -> Result<Option<DbRow>, StoreError> {
        Ok(self.fetch_all(on).await?.into_iter().next())
    }

    /// The first row of an answer that always has one.
    pub async fn fetch_one(self, on: impl Into<On<'_>>) -> Result<DbRow, StoreError> {
        self.fetch_optional(on).await?.ok_or(StoreError::Database(sqlx::Error::RowNotFound))
    }

    fn into_sqlite(self) -> Result<sqlx::query::Query<'static, Sqlite, SqliteArguments>, StoreError> {
        let mut arguments = SqliteArguments::default();
        for value in self.values {
            match value {
                Value::Int(value) => arguments.add(value),
                Value::Real(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value.map(Cow::into_owned)),
                Value::Bool(value) => arguments.add(value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(self.sql, arguments).persistent(self.is_kept))
    }

    pub(super) fn into_postgres(
        self,
    ) -> Result<sqlx::query::Query<'static, Postgres, PgArguments>, StoreError> {
        let mut arguments = PgArguments::default();
        for value in self.values {
            match value {
                Value::Int(value) => arguments.add(value),
                Value::Real(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value.as_deref()),
                Value::Bool(value) => arguments.add(value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(sqlx::query_with(self.sql, arguments).persistent(self.is_kept))
    }
}

/// One row of an answer.
pub(crate) enum DbRow {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What both databases can read out of a column.
pub(crate) trait FromColumn<'r>:
    sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>
{
}

impl<'r, T> FromColumn<'r> for T where
    T: sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>
{
}

impl DbRow {
    /// The value of the column `column`.
    pub fn try_get<'r, T: FromColumn<'r>>(&'r self, column: &str) -> Result<T, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// The value of the first column.
    pub fn first<'r, T: FromColumn<'r>>(&'r self) -> Result<T, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(0)?,
            Self::Postgres(row) => row.try_get(0)?,
        })
    }
}
