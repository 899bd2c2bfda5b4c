//! What was seen of entities over time: prices, occupancy, bookings, waits, sales.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::bulk::{Bulk, Kind, last_of_each};
use crate::db::query;
use crate::{Scope, Store, StoreError, WriteTx};

/// Most points that a mean of days is made of: several a night.
const MEAN_POINTS_MAX: u32 = 10_000;

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

/// Instants read at once of a series that may have millions.
const PAGE: i64 = 10_000;

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
        let own = vec![("metric", Kind::Text), ("ts", Kind::Int), ("value", Kind::Real)];
        let conflict = "ON CONFLICT (entity, metric, ts) DO UPDATE SET value = excluded.value";
        let mut bulk = Bulk::new("observations", vec![("entity", entity.into())], own, conflict);
        for row in last_of_each(rows, |row| (row.metric.as_str(), row.ts_ms)) {
            bulk.push(&row.metric);
            bulk.push(row.ts_ms);
            bulk.push(row.value);
        }
        bulk.run(tx.connection()).await
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
        query(sqlx::AssertSqlSafe(sql))
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
        query(sqlx::AssertSqlSafe(sql))
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

    /// The names of up to `limit` metrics of `entity` that hold anything, in order. Costs a look for each, however many values they hold.
    pub async fn metric_names(
        &self,
        scope: &Scope,
        entity: &str,
        limit: usize,
    ) -> Result<Vec<String>, StoreError> {
        let sql = format!(
            "SELECT o.metric FROM observations o JOIN entities e ON e.id = o.entity \
             WHERE {} AND o.entity = $3 AND o.metric > $4 ORDER BY o.metric LIMIT 1",
            scope.condition()
        );
        let mut names: Vec<String> = Vec::new();
        while names.len() < limit {
            let next = query(sqlx::AssertSqlSafe(sql.as_str()))
                .bind(scope.tenant())
                .bind(scope.user())
                .bind(entity)
                .bind(names.last().map(String::as_str).unwrap_or_default())
                .fetch_optional(self.store.readers())
                .await?;
            let Some(row) = next else { break };
            names.push(row.first()?);
        }
        Ok(names)
    }

    /// The mean of `metric` over the days from the first of `days` to the one before the second, as `time_zone` has them: of each day its
    /// latest value. None where a day has none.
    pub async fn mean_of_days(
        &self,
        scope: &Scope,
        entity: &str,
        metric: &str,
        (first, end): (Date, Date),
        time_zone: &TimeZone,
    ) -> Result<Option<f64>, StoreError> {
        let begin = |day: Date| {
            day.to_zoned(time_zone.clone()).map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
        };
        let points = self.range(scope, entity, metric, (begin(first), begin(end)), MEAN_POINTS_MAX).await?;
        let mut days = BTreeMap::new();
        for point in points {
            if let Ok(instant) = Timestamp::from_millisecond(point.ts_ms) {
                days.insert(time_zone.to_datetime(instant).date(), point.value);
            }
        }
        let wanted = first.until(end).map_or(0, |span| span.get_days());
        let is_whole = usize::try_from(wanted).is_ok_and(|wanted| wanted > 0 && wanted == days.len());
        Ok(is_whole.then(|| days.values().sum::<f64>() / days.len() as f64))
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
             WHERE {} AND o.entity = $3 AND o.ts > $4 ORDER BY o.ts LIMIT $5",
            scope.condition()
        );
        let mut days: Vec<Date> = Vec::new();
        let mut last_ms = i64::MIN;
        loop {
            let page = query(sqlx::AssertSqlSafe(sql.as_str()))
                .bind(scope.tenant())
                .bind(scope.user())
                .bind(entity)
                .bind(last_ms)
                .bind(PAGE)
                .fetch_all(self.store.readers())
                .await?;
            for row in &page {
                last_ms = row.first()?;
                let instant = Timestamp::from_millisecond(last_ms)
                    .map_err(|_| StoreError::unreadable("observations", "ts", &last_ms.to_string()))?;
                let day = time_zone.to_datetime(instant).date();
                // A clock that is set back over midnight can bring an earlier day again.
                if days.last().is_none_or(|last| *last < day) {
                    days.push(day);
                }
            }
            if (page.len() as i64) < PAGE {
                break;
            }
        }
        Ok(days)
    }
}
