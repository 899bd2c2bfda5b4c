//! Reads that every table with owners has: a row by its id, and rows in the order of their ids, each within a scope.

use crate::db::{DbRow, query};
use crate::{Scope, Store, StoreError};

/// A table with columns `id`, `tenant` and `owner`, and how its rows are read.
pub(crate) struct Scoped<T> {
    pub table: &'static str,
    pub columns: &'static str,
    pub read: fn(&DbRow) -> Result<T, StoreError>,
}

impl<T> Scoped<T> {
    /// The row `id`, if `scope` may see it.
    pub async fn get(&self, store: &Store, scope: &Scope, id: &str) -> Result<Option<T>, StoreError> {
        let Self { table, columns, .. } = self;
        let sql = format!("SELECT {columns} FROM {table} WHERE {} AND id = $3", scope.condition());
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .fetch_optional(store.readers())
            .await?
            .map(|row| (self.read)(&row))
            .transpose()
    }

    /// Up to `limit` rows that `scope` may see, in the order of their ids, after `after`.
    pub async fn list(
        &self,
        store: &Store,
        scope: &Scope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<T>, StoreError> {
        let Self { table, columns, .. } = self;
        let sql = format!(
            "SELECT {columns} FROM {table} WHERE {} AND id > $3 ORDER BY id LIMIT $4",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(store.readers())
            .await?
            .iter()
            .map(self.read)
            .collect()
    }
}
