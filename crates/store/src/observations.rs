//! What was seen of entities over time: prices, occupancy, bookings, waits, sales.

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use sqlx::Row as _;

use crate::bulk::{last_of_each, placeholders, rows_per_statement};
use crate::{Scope, Store, StoreError, WriteTx};

/// One value of one metric at one instant. Entity, metric and instant are its key.
#[derive(Debug, Clone, PartialEq)]
pub struct Observation {
    /// What was measured: `price`, `occupancy`, `bookings`.
    pub metric: String,
    /// When, ms since 1970.
    pub ts_ms: i64,
    /// How much, in the metric's own unit; a number.
    pub value: f64,
}

/// A point of one series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// When, ms since 1970.
    pub ts_ms: i64,
    /// How much.
    pub value: f64,
}

/// The table of observations.
#[derive(Debug, Clone, Copy)]
pub struct Observations<'s> {
    store: &'s Store,
}

/// Rows in one statement; each binds metric, instant and value, and shares the entity.
const ROWS: usize = rows_per_statement(3);

impl<'s> Observations<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Stores `rows` of `entity`; a row whose key is there already replaces its value, and so does a later row of the batch an
    /// earlier one. An import of any size comes in batches of some ten thousand rows, each in its own transaction, so that
    /// neither memory nor the waiting of other writers grows with it.
    ///
    /// The caller has checked that the entity belongs to whom it works for.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] for the first value that is none; [`StoreError::MissingReference`] if the entity is gone.
    pub async fn upsert(
        &self,
        tx: &mut WriteTx,
        entity: &str,
        rows: &[Observation],
    ) -> Result<(), StoreError> {
        if let Some((index, row)) = rows.iter().enumerate().find(|(_, row)| !row.value.is_finite()) {
            return Err(StoreError::NotANumber { index, field: "value", value: row.value });
        }
        for chunk in rows.chunks(ROWS) {
            let chunk = last_of_each(chunk, |row| (row.metric.as_str(), row.ts_ms));
            let sql = format!(
                "INSERT INTO observations (entity, metric, ts, value) VALUES {} \
                 ON CONFLICT (entity, metric, ts) DO UPDATE SET value = excluded.value",
                placeholders(chunk.len(), 1, 3)
            );
            // A full statement is prepared once a connection; the odd last one is not worth a place in the cache.
            let mut query =
                sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(chunk.len() == ROWS).bind(entity);
            for row in chunk {
                query = query.bind(&row.metric).bind(row.ts_ms).bind(row.value);
            }
            query.execute(tx.connection()).await?;
        }
        Ok(())
    }

    /// The series `metric` of `entity` from `from_ms` up to, not including, `to_ms`, oldest first, at most `limit` points.
    /// Empty where `scope` may not see the entity.
    pub async fn range(
        &self,
        scope: &Scope,
        entity: &str,
        metric: &str,
        (from_ms, to_ms): (i64, i64),
        limit: u32,
    ) -> Result<Vec<Point>, StoreError> {
        let sql = format!(
            "SELECT o.ts, o.value FROM observations o JOIN entities e ON e.id = o.entity \
             WHERE {} AND o.entity = $3 AND o.metric = $4 AND o.ts >= $5 AND o.ts < $6 ORDER BY o.ts LIMIT $7",
            scope.condition()
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .bind(metric)
            .bind(from_ms)
            .bind(to_ms)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(|row| Ok(Point { ts_ms: row.try_get("ts")?, value: row.try_get("value")? }))
            .collect()
    }

    /// The metrics of `entity` that hold anything, by name, with how many values each holds.
    pub async fn metrics(&self, scope: &Scope, entity: &str) -> Result<Vec<(String, u64)>, StoreError> {
        let sql = format!(
            "SELECT o.metric, count(*) AS points FROM observations o JOIN entities e ON e.id = o.entity \
             WHERE {} AND o.entity = $3 GROUP BY o.metric ORDER BY o.metric",
            scope.condition()
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(|row| {
                let points: i64 = row.try_get("points")?;
                Ok((row.try_get("metric")?, points.unsigned_abs()))
            })
            .collect()
    }

    /// The days on which anything was seen of `entity`, in order, each once: its first and last are the range to enrich. A
    /// day is one of `time_zone` (the entity's).
    pub async fn days(
        &self,
        scope: &Scope,
        entity: &str,
        time_zone: &TimeZone,
    ) -> Result<Vec<Date>, StoreError> {
        let sql = format!(
            "SELECT DISTINCT o.ts FROM observations o JOIN entities e ON e.id = o.entity \
             WHERE {} AND o.entity = $3 ORDER BY o.ts",
            scope.condition()
        );
        let mut rows = sqlx::query_scalar::<_, i64>(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .fetch(self.store.readers());
        let mut days: Vec<Date> = Vec::new();
        while let Some(ts_ms) = rows.try_next().await? {
            let instant = Timestamp::from_millisecond(ts_ms)
                .map_err(|_| StoreError::unreadable("observations", "ts", &ts_ms.to_string()))?;
            let day = time_zone.to_datetime(instant).date();
            // A clock that is set back over midnight can bring an earlier day again.
            if days.last().is_none_or(|last| *last < day) {
                days.push(day);
            }
        }
        Ok(days)
    }
}
