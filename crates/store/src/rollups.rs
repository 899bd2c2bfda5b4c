//! Sums of observations by hour, day, week and month.
//!
//! They are made from observations by jobs and replaced as a whole, range by range. Two jobs may work on one entity at once; each says
//! which version of the sums it has seen before it read, and whoever comes second reads again: what is written last was read last.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::bulk::{Bulk, Kind};
use crate::db::{DbRow, query};
use crate::{FencedTx, Scope, Store, StoreError};

/// Rows that become one statement's values at a time: a bound for memory.
const CHUNK: usize = 10_000;
/// Longer than any bucket, ms: a month of 31 days, and a day for clocks that are set.
const BUCKET_MS_MAX: i64 = 32 * 86_400_000;

/// The values of one metric in one bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Rollup {
    /// What was measured.
    pub metric: Arc<str>,
    /// The first moment of the bucket, ms since 1970.
    pub start_ms: i64,
    /// The moment after its last, ms since 1970.
    pub end_ms: i64,
    /// How many values; at least one.
    pub count: u64,
    /// Their sum, in the metric's unit, as all that follows.
    pub sum: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
    /// The median.
    pub p50: f64,
    /// What nine of ten do not exceed.
    pub p90: f64,
    /// What comes of dividing the sum by that of another metric, by name.
    pub derived: BTreeMap<String, f64>,
}

impl Rollup {
    /// Where it stands among the rollups of its entity.
    pub fn place(&self) -> RollupPlace {
        RollupPlace { start_ms: self.start_ms, metric: self.metric.to_string() }
    }

    /// The first of its values that is no number.
    fn not_a_number(&self) -> Option<(&'static str, f64)> {
        let own =
            [("sum", self.sum), ("min", self.min), ("max", self.max), ("p50", self.p50), ("p90", self.p90)];
        let derived = self.derived.values().map(|value| ("derived", *value));
        own.into_iter().chain(derived).find(|(_, value)| !value.is_finite())
    }
}

/// The place of a rollup in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupPlace {
    /// The first moment of its bucket, ms since 1970.
    pub start_ms: i64,
    /// Its metric.
    pub metric: String,
}

/// Which rollups are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollupsWanted {
    /// `hour`, `day`, `week` or `month`.
    pub granularity: &'static str,
    /// Buckets that begin at the first moment or later, and before the second, ms since 1970.
    pub starts_ms: (i64, i64),
    /// The one metric; none: any.
    pub metric: Option<String>,
}

/// What became of a replacement.
#[must_use = "what was read before somebody else has written is not kept"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// The rows are there.
    Yes,
    /// Others have replaced rows of this entity since the version was read. Nothing was changed; read again.
    Outdated,
}

/// The table of rollups.
#[derive(Debug, Clone, Copy)]
pub struct Rollups<'s> {
    store: &'s Store,
}

const OWN: [(&str, Kind); 10] = [
    ("metric", Kind::Text),
    ("bucket", Kind::Int),
    ("bucket_end", Kind::Int),
    ("count", Kind::Int),
    ("sum", Kind::Real),
    ("min", Kind::Real),
    ("max", Kind::Real),
    ("p50", Kind::Real),
    ("p90", Kind::Real),
    ("derived", Kind::Text),
];

impl<'s> Rollups<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// How often the rollups of `entity` at this granularity were replaced. To be asked before the observations are read.
    pub async fn version(&self, entity: &str, granularity: &str) -> Result<i64, StoreError> {
        let row = query("SELECT version FROM rollup_versions WHERE entity = $1 AND granularity = $2")
            .bind(entity)
            .bind(granularity)
            .fetch_optional(self.store.readers())
            .await?;
        row.map_or(Ok(0), |row| row.first())
    }

    /// Puts `rows` in the place of all rollups of `entity` at this granularity that reach into the time from the first moment of `span_ms`
    /// up to, not including, the second. Each bucket and metric stands once in `rows`.
    ///
    /// The caller has checked that the entity belongs to whom it works for.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] for the first value that is none; [`StoreError::MissingReference`] if the entity is gone;
    /// [`StoreError::Refused`] for an unknown granularity, a bucket without length and a row of no values.
    pub async fn replace(
        &self,
        tx: &mut FencedTx,
        (entity, granularity): (&str, &str),
        (from_ms, to_ms): (i64, i64),
        version: i64,
        rows: &[Rollup],
    ) -> Result<Replaced, StoreError> {
        for (index, row) in rows.iter().enumerate() {
            if let Some((field, value)) = row.not_a_number() {
                return Err(StoreError::NotANumber { index, field, value });
            }
        }
        // Whoever else replaces rows of this entity waits here until this transaction ends.
        let counted = query(
            "INSERT INTO rollup_versions (entity, granularity, version) VALUES ($1, $2, $3) \
             ON CONFLICT (entity, granularity) DO UPDATE SET version = excluded.version \
             WHERE rollup_versions.version = excluded.version - 1",
        )
        .bind(entity)
        .bind(granularity)
        .bind(version.saturating_add(1))
        .execute(tx.connection())
        .await?;
        if counted != 1 {
            return Ok(Replaced::Outdated);
        }
        // Looked for by their first moment, which the key is in the order of; a bucket may have begun before the range does.
        query(
            "DELETE FROM rollups WHERE entity = $1 AND granularity = $2 AND bucket > $3 AND bucket < $4 AND bucket_end > $5",
        )
        .bind(entity)
        .bind(granularity)
        .bind(from_ms.saturating_sub(BUCKET_MS_MAX))
        .bind(to_ms)
        .bind(from_ms)
        .execute(tx.connection())
        .await?;
        for chunk in rows.chunks(CHUNK) {
            let shared = vec![("entity", entity.into()), ("granularity", granularity.into())];
            let mut bulk = Bulk::new("rollups", shared, OWN.to_vec(), "");
            for row in chunk {
                bulk.push(&*row.metric);
                bulk.push(row.start_ms);
                bulk.push(row.end_ms);
                bulk.push(i64::try_from(row.count).unwrap_or(i64::MAX));
                bulk.push(row.sum);
                bulk.push(row.min);
                bulk.push(row.max);
                bulk.push(row.p50);
                bulk.push(row.p90);
                bulk.push(serde_json::json!(row.derived).to_string());
            }
            bulk.run(tx.connection()).await?;
        }
        Ok(Replaced::Yes)
    }

    /// Up to `limit` rollups of an entity that `scope` may see and that `wanted` describes, by bucket and metric, after `after`.
    pub async fn list(
        &self,
        scope: &Scope,
        entity: &str,
        wanted: &RollupsWanted,
        after: Option<&RollupPlace>,
        limit: u32,
    ) -> Result<Vec<Rollup>, StoreError> {
        // One statement for every question: what is not asked for is an empty text, which is no metric.
        let sql = format!(
            "SELECT r.metric, r.bucket, r.bucket_end, r.count, r.sum, r.min, r.max, r.p50, r.p90, r.derived \
             FROM rollups r JOIN entities e ON e.id = r.entity \
             WHERE {} AND r.entity = $3 AND r.granularity = $4 AND (r.bucket, r.metric) > ($5, $6) AND r.bucket < $7 \
             AND ($8 = '' OR r.metric = $8) ORDER BY r.bucket, r.metric LIMIT $9",
            scope.condition()
        );
        let (from_ms, to_ms) = wanted.starts_ms;
        let (start_ms, metric) = match after.filter(|place| place.start_ms >= from_ms) {
            Some(place) => (place.start_ms, place.metric.as_str()),
            None => (from_ms, ""),
        };
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .bind(wanted.granularity)
            .bind(start_ms)
            .bind(metric)
            .bind(to_ms)
            .bind(wanted.metric.as_deref().unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

fn read(row: &DbRow) -> Result<Rollup, StoreError> {
    let (metric, derived): (String, String) = (row.try_get("metric")?, row.try_get("derived")?);
    let count: i64 = row.try_get("count")?;
    Ok(Rollup {
        metric: metric.into(),
        start_ms: row.try_get("bucket")?,
        end_ms: row.try_get("bucket_end")?,
        count: count.unsigned_abs(),
        sum: row.try_get("sum")?,
        min: row.try_get("min")?,
        max: row.try_get("max")?,
        p50: row.try_get("p50")?,
        p90: row.try_get("p90")?,
        derived: serde_json::from_str(&derived)
            .map_err(|_| StoreError::unreadable("rollups", "derived", &derived))?,
    })
}
