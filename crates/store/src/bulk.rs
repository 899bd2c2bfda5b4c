//! Many rows in few statements.
//!
//! SQLite gets rows of places, a few hundred values in a statement: it looks a place's name up by walking all of them, at each binding,
//! so that a statement's cost grows with the square of its values. PostgreSQL gets one array for each column and a statement that never
//! changes (`UNNEST`), so that it is prepared once. Both are measured with the example `bulk`.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::hash::Hash;

use sqlx::postgres::PgArguments;
use sqlx::{Arguments as _, AssertSqlSafe};

use crate::StoreError;
use crate::db::{Connection, Value, query};

/// Values in one statement for SQLite.
const SQLITE_VALUES: usize = 300;
/// Rows in one statement for PostgreSQL: a bound for its memory and ours, and for how long one statement takes.
const POSTGRES_ROWS: usize = 10_000;

/// What is in a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Int,
    Real,
    Text,
    Bool,
}

/// Rows of one table on their way in.
pub(crate) struct Bulk<'q> {
    table: &'static str,
    /// Columns whose value is the same in all rows.
    shared: Vec<(&'static str, Value<'q>)>,
    own: Vec<(&'static str, Kind)>,
    /// The own values of all rows, one row after the other.
    values: Vec<Value<'q>>,
    /// What follows the rows: `ON CONFLICT …`.
    conflict: &'q str,
}

impl<'q> Bulk<'q> {
    pub fn new(
        table: &'static str,
        shared: Vec<(&'static str, Value<'q>)>,
        own: Vec<(&'static str, Kind)>,
        conflict: &'q str,
    ) -> Self {
        Self { table, shared, own, values: Vec::new(), conflict }
    }

    /// The next own value of the row that is being written.
    pub fn push(&mut self, value: impl Into<Value<'q>>) {
        self.values.push(value.into());
    }

    /// Writes all rows.
    pub async fn run(self, connection: &mut Connection) -> Result<(), StoreError> {
        match connection {
            Connection::Sqlite(_) => self.run_in_rows(connection).await,
            Connection::Postgres(lease) => {
                let sql = self.sql_of_arrays();
                for rows in self.values.chunks(POSTGRES_ROWS * self.own.len()) {
                    lease.execute_arrays(&sql, self.arrays(rows)?).await?;
                }
                Ok(())
            }
        }
    }

    async fn run_in_rows(self, connection: &mut Connection) -> Result<(), StoreError> {
        let width = self.shared.len() + self.own.len();
        let rows = (SQLITE_VALUES / width).max(1);
        for chunk in self.values.chunks(rows * self.own.len()) {
            let count = chunk.len() / self.own.len();
            let places = places(count, self.shared.len(), self.own.len());
            let sql =
                format!("INSERT INTO {} ({}) VALUES {places} {}", self.table, self.columns(), self.conflict);
            // A full statement is prepared once a connection; the odd last one is not worth a place in the cache.
            let mut query = query(AssertSqlSafe(sql)).kept(count == rows);
            for value in self.shared.iter().map(|(_, value)| value).chain(chunk) {
                query = query.bind(value.clone());
            }
            query.execute(&mut *connection).await?;
        }
        Ok(())
    }

    fn columns(&self) -> String {
        let names: Vec<&str> =
            self.shared.iter().map(|(name, _)| *name).chain(self.own.iter().map(|(name, _)| *name)).collect();
        names.join(", ")
    }

    fn sql_of_arrays(&self) -> String {
        let mut shared = String::new();
        let mut arrays = String::new();
        for (index, (_, value)) in self.shared.iter().enumerate() {
            // Writing to a string cannot fail.
            let _ = write!(shared, "${}::{}, ", index + 1, type_of(kind_of(value)));
        }
        for (index, (_, kind)) in self.own.iter().enumerate() {
            let number = self.shared.len() + index + 1;
            let _ = write!(arrays, "{}${number}::{}[]", if index == 0 { "" } else { ", " }, type_of(*kind));
        }
        format!(
            "INSERT INTO {} ({}) SELECT {shared}u.* FROM UNNEST({arrays}) AS u {}",
            self.table,
            self.columns(),
            self.conflict
        )
    }

    /// One array for each own column of `rows`.
    fn arrays(&self, rows: &[Value<'q>]) -> Result<PgArguments, StoreError> {
        let width = self.own.len();
        let column = |index: usize| rows.iter().skip(index).step_by(width);
        let mut arguments = PgArguments::default();
        for (_, value) in &self.shared {
            match value {
                Value::Int(value) => arguments.add(value),
                Value::Real(value) => arguments.add(value),
                Value::Text(value) => arguments.add(value.as_deref()),
                Value::Bool(value) => arguments.add(value),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        for (index, (_, kind)) in self.own.iter().enumerate() {
            match kind {
                Kind::Int => arguments.add(column(index).map(int).collect::<Vec<_>>()),
                Kind::Real => arguments.add(column(index).map(real).collect::<Vec<_>>()),
                Kind::Text => arguments.add(column(index).map(text).collect::<Vec<_>>()),
                Kind::Bool => arguments.add(column(index).map(boolean).collect::<Vec<_>>()),
            }
            .map_err(sqlx::Error::Encode)?;
        }
        Ok(arguments)
    }
}

fn kind_of(value: &Value<'_>) -> Kind {
    match value {
        Value::Int(_) => Kind::Int,
        Value::Real(_) => Kind::Real,
        Value::Text(_) => Kind::Text,
        Value::Bool(_) => Kind::Bool,
    }
}

fn type_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Int => "bigint",
        Kind::Real => "double precision",
        Kind::Text => "text",
        Kind::Bool => "boolean",
    }
}

// A value of another kind than its column says would be a mistake of the caller's; it becomes NULL, which the column's rules refuse, and
// the tests of each table see it.
fn int(value: &Value<'_>) -> Option<i64> {
    if let Value::Int(value) = value { *value } else { None }
}

fn real(value: &Value<'_>) -> Option<f64> {
    if let Value::Real(value) = value { *value } else { None }
}

fn text<'v>(value: &'v Value<'_>) -> Option<&'v str> {
    if let Value::Text(value) = value { value.as_deref() } else { None }
}

fn boolean(value: &Value<'_>) -> Option<bool> {
    if let Value::Bool(value) = value { *value } else { None }
}

/// `($1, $5, $6), ($1, $7, $8)`: `rows` rows that begin with the `shared` values `$1` to `$shared`, bound once, followed by
/// `own` values each.
fn places(rows: usize, shared: usize, own: usize) -> String {
    let mut text = String::with_capacity(rows * (shared + own) * 6);
    let mut next = shared;
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..shared + own {
            let number = if column < shared {
                column + 1
            } else {
                next += 1;
                next
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "{}${number}", if column == 0 { "" } else { ", " });
        }
        text.push(')');
    }
    text
}

/// The last row of each key, by key. PostgreSQL refuses a statement that upserts one key twice; the later row is the one that separate
/// statements would have left; and two writers that lock the same rows in the same order wait for each other but never in a circle.
pub(crate) fn last_of_each<'r, T, K: Eq + Hash + Ord + Copy>(
    rows: &'r [T],
    key: impl Fn(&'r T) -> K,
) -> Vec<&'r T> {
    let mut newest: HashMap<K, &'r T> = HashMap::with_capacity(rows.len());
    for row in rows {
        newest.insert(key(row), row);
    }
    let mut kept: Vec<(K, &'r T)> = newest.into_iter().collect();
    kept.sort_unstable_by_key(|(key, _)| *key);
    kept.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_values_keep_their_numbers_and_own_values_count_on() {
        assert_eq!(places(2, 1, 2), "($1, $2, $3), ($1, $4, $5)");
        assert_eq!(places(1, 0, 2), "($1, $2)");
    }

    #[test]
    fn arrays_follow_the_shared_values() {
        let bulk = Bulk::new(
            "t",
            vec![("a", Value::from("x"))],
            vec![("b", Kind::Text), ("c", Kind::Int)],
            "ON CONFLICT DO NOTHING",
        );
        assert_eq!(
            bulk.sql_of_arrays(),
            "INSERT INTO t (a, b, c) SELECT $1::text, u.* FROM UNNEST($2::text[], $3::bigint[]) AS u ON CONFLICT DO NOTHING"
        );
    }

    #[test]
    fn the_last_row_of_a_key_is_kept_and_rows_are_in_order() {
        let rows = [("b", 1), ("a", 2), ("b", 3)];
        assert_eq!(last_of_each(&rows, |row| row.0), [&("a", 2), &("b", 3)]);
    }
}
