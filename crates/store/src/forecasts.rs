//! Forecasts: what is expected of a thing's series, with intervals, and how well the same way of forecasting did on the past.

use std::str::FromStr;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::bulk::{Bulk, Kind};
use crate::db::{DbRow, query};
use crate::ids::{derived_id, now_ms};
use crate::{FencedTx, Scope, Store, StoreError, day};

/// The distance of two points of a forecast.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForecastStep {
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
}

impl ForecastStep {
    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }
}

/// A name that is no step.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no step; steps are day, week and month")]
pub struct UnknownStep(pub String);

impl FromStr for ForecastStep {
    type Err = UnknownStep;

    fn from_str(name: &str) -> Result<Self, UnknownStep> {
        [Self::Day, Self::Week, Self::Month]
            .into_iter()
            .find(|step| step.as_str() == name)
            .ok_or_else(|| UnknownStep(name.chars().take(100).collect()))
    }
}

/// The forecast of one step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastPoint {
    /// Its day; of a week or a month the day on which the history's stand.
    pub day: Date,
    /// What is expected.
    pub mean: f64,
    /// Lower end of the interval that holds the value in 80 of 100 cases.
    pub low80: f64,
    /// Its upper end.
    pub high80: f64,
    /// Lower end of the interval that holds the value in 95 of 100 cases.
    pub low95: f64,
    /// Its upper end.
    pub high95: f64,
}

/// Errors of the same way of forecasting on the past.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForecastAccuracy {
    /// Mean absolute percentage error, percent; none where every actual value was zero.
    pub mape: Option<f64>,
    /// Mean absolute scaled error.
    pub mase: f64,
    /// Symmetric mean absolute percentage error, percent.
    pub smape: f64,
    /// Points within the interval of 80 %, percent.
    pub coverage80: f64,
    /// Points within the interval of 95 %, percent.
    pub coverage95: f64,
}

/// What a job forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct NewForecast {
    /// Of what.
    pub entity: String,
    /// Of which series.
    pub metric: String,
    /// The distance of two points.
    pub step: ForecastStep,
    /// The season's length, steps.
    pub season: Option<i64>,
    /// The first day of the history.
    pub first_day: Date,
    /// The last day of the history.
    pub last_day: Date,
    /// How many of its steps had a value.
    pub observed: i64,
    /// How well it did on the past.
    pub accuracy: ForecastAccuracy,
    /// Models, cleaning and notes.
    pub details: serde_json::Value,
    /// One for each step of the horizon, in order.
    pub points: Vec<ForecastPoint>,
}

/// A stored forecast.
#[derive(Debug, Clone, PartialEq)]
pub struct Forecast {
    /// Its id.
    pub id: String,
    /// The job that made it.
    pub job: String,
    /// The run of that job.
    pub run: i64,
    /// What it says; its points are read by [`Forecasts::points`].
    pub forecast: NewForecast,
    /// When it was made, ms since 1970.
    pub created_at_ms: i64,
}

/// The tables of forecasts.
#[derive(Debug, Clone, Copy)]
pub struct Forecasts<'s> {
    store: &'s Store,
}

const COLUMNS: &str = "f.id, f.entity, f.job, f.run, f.metric, f.step, f.season, f.first_day, f.last_day, f.observed, f.mape, f.mase, \
    f.smape, f.coverage80, f.coverage95, f.details, f.created_at";

impl<'s> Forecasts<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// The id of the forecast of a job: always the same, so that a job that runs again makes the same forecast again.
    pub fn id_of(job: &str) -> String {
        derived_id(&["forecast", job])
    }

    /// Keeps the forecast of the job of `tx`, in place of what an earlier run of it left, and returns its id.
    ///
    /// # Errors
    /// [`StoreError::NotANumber`] for the first number that is none; [`StoreError::MissingReference`] if the entity is gone.
    pub async fn put(&self, tx: &mut FencedTx, new: &NewForecast) -> Result<String, StoreError> {
        check(new)?;
        let (job, run) = (tx.job().to_owned(), tx.run());
        let id = Self::id_of(&job);
        query("DELETE FROM forecasts WHERE job = $1").bind(&job).execute(tx.connection()).await?;
        query(
            "INSERT INTO forecasts (id, entity, job, run, metric, step, horizon, season, first_day, last_day, observed, mape, mase, \
                 smape, coverage80, coverage95, details, created_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
        )
        .bind(&id)
        .bind(&new.entity)
        .bind(&job)
        .bind(run)
        .bind(&new.metric)
        .bind(new.step.as_str())
        .bind(new.points.len() as i64)
        .bind(new.season)
        .bind(day::text(new.first_day))
        .bind(day::text(new.last_day))
        .bind(new.observed)
        .bind(new.accuracy.mape)
        .bind(new.accuracy.mase)
        .bind(new.accuracy.smape)
        .bind(new.accuracy.coverage80)
        .bind(new.accuracy.coverage95)
        .bind(new.details.to_string())
        .bind(now_ms())
        .execute(tx.connection())
        .await?;
        let own = vec![
            ("day", Kind::Text),
            ("mean", Kind::Real),
            ("low80", Kind::Real),
            ("high80", Kind::Real),
            ("low95", Kind::Real),
            ("high95", Kind::Real),
        ];
        let mut bulk = Bulk::new("forecast_points", vec![("forecast", (&id).into())], own, "");
        for point in &new.points {
            bulk.push(day::text(point.day));
            bulk.push(point.mean);
            bulk.push(point.low80);
            bulk.push(point.high80);
            bulk.push(point.low95);
            bulk.push(point.high95);
        }
        bulk.run(tx.connection()).await?;
        Ok(id)
    }

    /// A forecast by its id or its job's, if `scope` may see what it is of. Without its points.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<Forecast>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM forecasts f JOIN entities e ON e.id = f.entity WHERE {} AND (f.id = $3 OR f.job = $3)",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .fetch_optional(self.store.readers())
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// The latest forecasts of a thing that `scope` may see, the newest first: of one series, or of all. Without their points.
    pub async fn latest(
        &self,
        scope: &Scope,
        entity: &str,
        metric: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Forecast>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM forecasts f JOIN entities e ON e.id = f.entity \
             WHERE {} AND f.entity = $3 AND f.metric = COALESCE($4, f.metric) ORDER BY f.created_at DESC, f.id DESC LIMIT $5",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(entity)
            .bind(metric)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The points of a forecast that [`get`](Self::get) or [`latest`](Self::latest) found, in order.
    pub async fn points(&self, forecast: &Forecast) -> Result<Vec<ForecastPoint>, StoreError> {
        query(
            "SELECT day, mean, low80, high80, low95, high95 FROM forecast_points WHERE forecast = $1 ORDER BY day",
        )
        .bind(&forecast.id)
        .fetch_all(self.store.readers())
        .await?
        .iter()
        .map(|row| {
            Ok(ForecastPoint {
                day: day::parse("forecast_points", row.try_get("day")?)?,
                mean: row.try_get("mean")?,
                low80: row.try_get("low80")?,
                high80: row.try_get("high80")?,
                low95: row.try_get("low95")?,
                high95: row.try_get("high95")?,
            })
        })
        .collect()
    }
}

/// PostgreSQL would keep what is not a number, and SQLite a null in its place.
fn check(new: &NewForecast) -> Result<(), StoreError> {
    let accuracy = &new.accuracy;
    let figures = [
        ("mape", accuracy.mape.unwrap_or(0.0)),
        ("mase", accuracy.mase),
        ("smape", accuracy.smape),
        ("coverage80", accuracy.coverage80),
        ("coverage95", accuracy.coverage95),
    ];
    if let Some(&(field, value)) = figures.iter().find(|(_, value)| !value.is_finite()) {
        return Err(StoreError::NotANumber { index: 0, field, value });
    }
    for (index, point) in new.points.iter().enumerate() {
        let numbers = [
            ("mean", point.mean),
            ("low80", point.low80),
            ("high80", point.high80),
            ("low95", point.low95),
            ("high95", point.high95),
        ];
        if let Some((field, value)) = numbers.into_iter().find(|(_, value)| !value.is_finite()) {
            return Err(StoreError::NotANumber { index, field, value });
        }
    }
    Ok(())
}

fn read(row: &DbRow) -> Result<Forecast, StoreError> {
    let step: &str = row.try_get("step")?;
    let details: &str = row.try_get("details")?;
    Ok(Forecast {
        id: row.try_get("id")?,
        job: row.try_get("job")?,
        run: row.try_get("run")?,
        forecast: NewForecast {
            entity: row.try_get("entity")?,
            metric: row.try_get("metric")?,
            step: step.parse().map_err(|_| StoreError::unreadable("forecasts", "step", step))?,
            season: row.try_get("season")?,
            first_day: day::parse("forecasts", row.try_get("first_day")?)?,
            last_day: day::parse("forecasts", row.try_get("last_day")?)?,
            observed: row.try_get("observed")?,
            accuracy: ForecastAccuracy {
                mape: row.try_get("mape")?,
                mase: row.try_get("mase")?,
                smape: row.try_get("smape")?,
                coverage80: row.try_get("coverage80")?,
                coverage95: row.try_get("coverage95")?,
            },
            details: serde_json::from_str(details)
                .map_err(|_| StoreError::unreadable("forecasts", "details", details))?,
            points: Vec::new(),
        },
        created_at_ms: row.try_get("created_at")?,
    })
}
