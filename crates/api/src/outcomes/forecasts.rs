//! Forecasts: one with its points, and the latest of a product.

use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_store::{EntityKind, Forecast, ForecastPoint};
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::{LIMIT_DEFAULT, LIMIT_MAX, can_be_id};
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::state::State;
use crate::things;

/// Longest name of a metric, bytes.
const METRIC_MAX: usize = 64;

/// A forecast.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForecastView {
    forecast_id: String,
    /// The job that made it.
    job_id: String,
    /// What it is of: a product or a property.
    product_id: String,
    metric: String,
    /// The distance of two points.
    #[schemars(extend("enum" = ["day", "week", "month"]))]
    step: &'static str,
    /// The season's length, steps; none where none was found.
    season: Option<i64>,
    /// The history that it was made from.
    history: HistoryView,
    accuracy: AccuracyView,
    /// Models, cleaning and notes.
    #[schemars(with = "serde_json::Map<String, Value>")]
    details: Value,
    /// When it was made, ms since 1970.
    created_at: i64,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct HistoryView {
    first_day: String,
    last_day: String,
    /// How many of its steps had a value.
    observed: i64,
}

/// Errors of the same way of forecasting on the past.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct AccuracyView {
    /// Mean absolute percentage error, percent; none where every actual value was zero.
    mape: Option<f64>,
    /// Mean absolute scaled error.
    mase: f64,
    /// Symmetric mean absolute percentage error, percent.
    smape: f64,
    /// Points within the interval of 80 %, percent.
    coverage80: f64,
    /// Points within the interval of 95 %, percent.
    coverage95: f64,
}

/// The forecast of one step.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PointView {
    #[schemars(with = "String")]
    day: Date,
    mean: f64,
    low80: f64,
    high80: f64,
    low95: f64,
    high95: f64,
}

/// A forecast with its points.
#[derive(Serialize, JsonSchema)]
pub struct ForecastAnswer {
    success: bool,
    forecast: ForecastView,
    /// One for each step, in order.
    points: Vec<PointView>,
}

/// The latest forecasts of a thing.
#[derive(Serialize, JsonSchema)]
pub struct ListAnswer {
    success: bool,
    forecasts: Vec<ForecastView>,
}

impl From<ForecastPoint> for PointView {
    fn from(point: ForecastPoint) -> Self {
        let ForecastPoint { day, mean, low80, high80, low95, high95 } = point;
        Self { day, mean, low80, high80, low95, high95 }
    }
}

impl From<Forecast> for ForecastView {
    fn from(stored: Forecast) -> Self {
        let forecast = stored.forecast;
        let accuracy = forecast.accuracy;
        Self {
            forecast_id: stored.id,
            job_id: stored.job,
            product_id: forecast.entity,
            metric: forecast.metric,
            step: forecast.step.as_str(),
            season: forecast.season,
            history: HistoryView {
                first_day: forecast.first_day.to_string(),
                last_day: forecast.last_day.to_string(),
                observed: forecast.observed,
            },
            accuracy: AccuracyView {
                mape: accuracy.mape,
                mase: accuracy.mase,
                smape: accuracy.smape,
                coverage80: accuracy.coverage80,
                coverage95: accuracy.coverage95,
            },
            details: forecast.details,
            created_at: stored.created_at_ms,
        }
    }
}

pub async fn get(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let what = format!("forecast {}", path.as_str());
    // On the heap: most answers come from the cache.
    let compute = Box::pin(read(&state, &principal, &path));
    state.reads.answer(&request, &principal, &what, compute).await
}

async fn read(state: &State, principal: &Principal, asked: &str) -> Result<Value, Problem> {
    let store = &state.deps()?.store;
    let found = if can_be_id(asked) { store.forecasts().get(&principal.rows(), asked).await? } else { None };
    let found = found.ok_or_else(|| Problem::not_found("unknown_forecast", "There is no such forecast."))?;
    let points = store.forecasts().points(&found).await?;
    let points = points.into_iter().map(Into::into).collect();
    let answer = ForecastAnswer { success: true, forecast: found.into(), points };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}

pub async fn list(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let product = query.one("productId", &mut problems).map(ToOwned::to_owned);
    if product.is_none() {
        problems.push("productId", "is required: the product or property whose forecasts are listed");
    }
    let metric = query.one("metric", &mut problems).map(ToOwned::to_owned);
    let is_name =
        |name: &String| (1..=METRIC_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    if metric.as_ref().is_some_and(|name| !is_name(name)) {
        problems.push("metric", format!("must have 1 to {METRIC_MAX} bytes and no control characters"));
    }
    problems.into_result()?;
    let product = product.unwrap_or_default();
    let what = format!("forecasts {product:?} {metric:?} {limit}");
    let compute = Box::pin(read_latest(&state, &principal, &product, metric.as_deref(), limit));
    state.reads.answer(&request, &principal, &what, compute).await
}

async fn read_latest(
    state: &State,
    principal: &Principal,
    product: &str,
    metric: Option<&str>,
    limit: usize,
) -> Result<Value, Problem> {
    let deps = state.deps()?;
    let kinds = [EntityKind::Product, EntityKind::Property];
    let found = things::find_of_kinds(deps, principal, &kinds, product)
        .await?
        .ok_or_else(|| Problem::not_found("unknown_product", "There is no such product or property."))?;
    let limit = u32::try_from(limit).unwrap_or(u32::MAX);
    let latest = deps.store.forecasts().latest(&principal.rows(), &found.entity.id, metric, limit).await?;
    let answer = ListAnswer { success: true, forecasts: latest.into_iter().map(Into::into).collect() };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}
