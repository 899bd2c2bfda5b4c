//! GET `/schedules/{id}/next`: when a schedule fires next, in UTC and on the clock of its place.

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{Millis, Recurrence, ScheduleView};
use bulrush_catalog::PayloadProblems;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;

use super::view::{moment, stamp};
use super::{find, unknown};
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::state::State;

const COUNT_DEFAULT: usize = 5;
const COUNT_MAX: usize = 100;

pub fn route() -> Route {
    Route::new(Method::GET, "/schedules/{id}/next", Who::Reader, ("schedules", "nextOfSchedule"), || {
        web::get().to(next)
    })
    .says("When a schedule fires next: nothing while it is disabled, or once it is over.")
    .param(
        "count",
        json!({"type": "integer", "minimum": 1, "maximum": COUNT_MAX, "default": COUNT_DEFAULT}),
        "How many of its next slots.",
    )
    .answers::<NextAnswer>(200, "Its next slots.")
    .fails(400, "invalid_query")
    .fails(404, "unknown_schedule")
    .fails(422, "invalid_fields")
}

#[derive(Serialize, JsonSchema)]
struct NextAnswer {
    success: bool,
    /// The time zone of `local`, by its IANA name.
    zone: String,
    runs: Vec<Run>,
}

/// A slot that is to come.
#[derive(Serialize, JsonSchema)]
struct Run {
    /// In UTC, RFC 3339.
    at: Option<String>,
    /// On the clock of the zone, with its offset from UTC then.
    local: Option<String>,
}

async fn next(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let count = query.number("count", (1, COUNT_MAX), COUNT_DEFAULT, &mut problems);
    problems.into_result()?;
    let (_, view) = find(&state, state.deps()?, &principal, &path).await?;
    let zone = zone_of(&view).to_owned();
    // Rare expressions are looked for far ahead.
    let slots = web::block(move || view.upcoming(count)).await.map_err(|_| unknown())?;
    let slots = slots.map_err(|error| Problem::internal(&error))?;
    let clock = TimeZone::get(&zone).unwrap_or(TimeZone::UTC);
    let run = |slot: Millis| Run {
        at: moment(slot),
        local: stamp(slot).map(|at| at.to_zoned(clock.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()),
    };
    let runs = slots.into_iter().map(run).collect();
    Ok(HttpResponse::Ok().json(NextAnswer { success: true, zone, runs }))
}

fn zone_of(view: &ScheduleView) -> &str {
    match &view.spec.recurrence {
        Recurrence::Cron { zone, .. } => zone,
        Recurrence::Every { .. } => "UTC",
    }
}
