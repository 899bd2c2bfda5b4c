//! GET `/properties/{id}/features`: what enrichment made of a property's days.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_store::{DayFeatures, DayRange, NewEntity};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::files::property;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::state::State;

const LIMIT_DEFAULT: usize = 366;
const LIMIT_MAX: usize = 1_000;

/// A day with what was observed on it.
#[derive(Serialize)]
struct Day {
    #[serde(flatten)]
    features: DayFeatures,
    /// By metric: price, occupancy, bookings.
    observed: BTreeMap<String, f64>,
}

pub async fn get(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let (from, to) = (query.day("from", &mut problems), query.day("to", &mut problems));
    problems.into_result()?;
    let what = format!("features {} {from:?} {to:?} {limit}", path.as_str());
    // On the heap: it is the state of many reads, and most answers come from the cache.
    let compute = Box::pin(read(&state, &principal, &path, (from, to), limit));
    state.reads.answer(&request, &principal, &what, compute).await
}

async fn read(
    state: &State,
    principal: &Principal,
    asked: &str,
    (from, to): (Option<Date>, Option<Date>),
    limit: usize,
) -> Result<Value, Problem> {
    let deps = state.deps()?;
    let entity = property::find_in_path(deps, principal, asked).await?.entity;
    let scope = principal.rows();
    let extent = deps.store.features().extent(&scope, &entity.id).await?;
    let Some((all, total)) = extent else {
        return to_json(&FeaturesAnswer::of(&entity, 0));
    };
    let first = from.unwrap_or(all.first).max(all.first);
    let last = to.unwrap_or(all.last).min(all.last);
    // A day has one row, so a window of as many days has no more rows than that.
    let window_end = first.checked_add((limit as i64 - 1).days()).unwrap_or(Date::MAX).min(last);
    let range = DayRange::new(first, window_end);
    let features = deps.store.features().range(&scope, &entity.id, range).await?;
    let zone = entity.time_zone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get);
    let zone = zone.map_err(|error| Problem::internal(&error))?;
    let mut observed = observed(state, principal, &entity.id, range, &zone).await?;
    let days: Vec<Day> = features
        .into_iter()
        .map(|features| Day { observed: observed.remove(&features.day).unwrap_or_default(), features })
        .collect();
    let next = (window_end < last).then(|| window_end.tomorrow().ok()).flatten();
    to_json(&FeaturesAnswer {
        first_day: Some(all.first.to_string()),
        last_day: Some(all.last.to_string()),
        features: days,
        next: next.map(|day| day.to_string()),
        ..FeaturesAnswer::of(&entity, total)
    })
}

fn to_json(answer: &FeaturesAnswer) -> Result<Value, Problem> {
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}

/// Days of a property.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FeaturesAnswer {
    success: bool,
    property_id: String,
    name: String,
    /// Days that there are.
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_day: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_day: Option<String>,
    #[schemars(with = "Vec<serde_json::Map<String, Value>>")]
    features: Vec<Day>,
    /// The first day of the next answer; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl FeaturesAnswer {
    fn of(entity: &NewEntity, total: u64) -> Self {
        let (property_id, name) = (entity.id.clone(), entity.name.clone());
        Self {
            success: true,
            property_id,
            name,
            total,
            first_day: None,
            last_day: None,
            features: Vec::new(),
            next: None,
        }
    }
}

/// What was observed on the days of `range`, by day and metric.
async fn observed(
    state: &State,
    principal: &Principal,
    entity: &str,
    range: DayRange,
    zone: &TimeZone,
) -> Result<BTreeMap<Date, BTreeMap<String, f64>>, Problem> {
    let store = &state.deps()?.store;
    let scope = principal.rows();
    let begin_ms = |day: Date| {
        day.to_zoned(zone.clone())
            .map(|at| at.timestamp().as_millisecond())
            .map_err(|error| Problem::internal(&error))
    };
    let span = (begin_ms(range.first)?, begin_ms(range.last.tomorrow().unwrap_or(Date::MAX))?);
    let mut days: BTreeMap<Date, BTreeMap<String, f64>> = BTreeMap::new();
    for (metric, _) in store.observations().metrics(&scope, entity).await? {
        // Histories have one value a day; of a finer series the last of each day is shown.
        for point in store.observations().range(&scope, entity, &metric, span, 100_000).await? {
            if let Ok(at) = Timestamp::from_millisecond(point.ts_ms) {
                let day = zone.to_datetime(at).date();
                days.entry(day).or_default().insert(metric.clone(), point.value);
            }
        }
    }
    Ok(days)
}
