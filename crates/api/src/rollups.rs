//! GET `/publishers/{id}/rollups`: a publisher's sums by hour, day, week or month.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulrush_catalog::jobs::Granularity;
use bulrush_catalog::{PayloadProblems, nearest, start_of_day};
use bulrush_store::{EntityKind, Rollup, RollupPlace, RollupsWanted};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::state::State;
use crate::things;

/// Most rows of a page.
const LIMIT_MAX: usize = 1_000;
const LIMIT_DEFAULT: usize = 100;
/// Longest name of a metric, and longest cursor, bytes.
const METRIC_MAX: usize = 256;
const CURSOR_MAX: usize = 512;

pub fn routes() -> Vec<Route> {
    let day = || json!({"type": "string", "format": "date"});
    vec![
        Route::new(
            Method::GET,
            "/publishers/{id}/rollups",
            Who::Reader,
            ("publishers", "listRollups"),
            || web::get().to(get),
        )
        .says("A publisher's sums by hour, day, week or month, as the job aggregate has made them.")
        .param(
            "granularity",
            json!({"type": "string", "enum": Granularity::ALL.map(|(_, name)| name), "default": "day"}),
            "How long the buckets are.",
        )
        .param("from", day(), "The first day on which a bucket begins, in the publisher's time zone.")
        .param("to", day(), "The last day on which one begins.")
        .param(
            "metric",
            json!({"type": "string", "minLength": 1, "maxLength": METRIC_MAX}),
            "One metric alone.",
        )
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most rows of a page.",
        )
        .param("cursor", json!({"type": "string"}), "Where the last page ended (next).")
        .answers_nothing(304, "It is as the client knows it (If-None-Match).")
        .answers::<RollupsAnswer>(200, "A page of sums, by bucket and metric, the oldest first.")
        .fails(400, "invalid_query")
        .fails(400, "invalid_cursor")
        .fails(404, "unknown_publisher")
        .fails(422, "invalid_fields"),
    ]
}

/// A page of sums.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RollupsAnswer {
    success: bool,
    publisher_id: String,
    name: String,
    /// On whose clock the buckets are, an IANA name.
    time_zone: String,
    granularity: &'static str,
    rollups: Vec<RollupView>,
    /// The cursor of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// The values of one metric in one bucket.
#[derive(Serialize, JsonSchema)]
struct RollupView {
    metric: String,
    /// Its first moment, by the publisher's clock. Two hours of one name differ in what they are off UTC.
    #[schemars(extend("format" = "date-time"))]
    start: String,
    /// The moment after its last.
    #[schemars(extend("format" = "date-time"))]
    end: String,
    /// How many values there were.
    count: u64,
    sum: f64,
    min: f64,
    max: f64,
    /// The median.
    p50: f64,
    /// What nine of ten values do not exceed.
    p90: f64,
    /// What the sum makes with that of another metric: `ctr` of clicks, `fillRate` of impressions, `ecpm` of revenue. Each is there where it
    /// can be divided.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    derived: BTreeMap<String, f64>,
}

/// What is asked for.
struct Asked {
    granularity: Granularity,
    /// The days on which buckets begin.
    from: Option<jiff::civil::Date>,
    to: Option<jiff::civil::Date>,
    metric: Option<String>,
    after: Option<RollupPlace>,
    limit: usize,
}

pub async fn get(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let granularity = granularity(&query, &mut problems);
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let (from, to) = (query.day("from", &mut problems), query.day("to", &mut problems));
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        problems.push("to", "is before from");
    }
    let metric = query.one("metric", &mut problems).map(ToOwned::to_owned);
    if metric.as_ref().is_some_and(|name| !is_metric(name)) {
        problems.push("metric", "must be the name of a metric, such as impressions");
    }
    let cursor = query.one("cursor", &mut problems);
    problems.into_result()?;
    let after = cursor.map(open_cursor).transpose()?;
    let what =
        format!("rollups {} {granularity:?} {from:?} {to:?} {metric:?} {after:?} {limit}", path.as_str());
    let asked = Asked { granularity, from, to, metric, after, limit };
    // On the heap: it is the state of many reads, and most answers come from the cache.
    let compute = Box::pin(read(&state, &principal, &path, asked));
    state.reads.answer(&request, &principal, &what, compute).await
}

fn granularity(query: &Query, problems: &mut PayloadProblems) -> Granularity {
    let Some(name) = query.one("granularity", problems) else { return Granularity::Day };
    let known = || Granularity::ALL.map(|(_, name)| name);
    let found = Granularity::ALL.into_iter().find(|(_, known)| *known == name);
    if found.is_none() {
        let hint = nearest(name, known()).map_or_else(String::new, |near| format!("; did you mean {near}?"));
        problems.push("granularity", format!("must be one of {}{hint}", known().join(", ")));
    }
    found.map_or(Granularity::Day, |(granularity, _)| granularity)
}

async fn read(state: &State, principal: &Principal, called: &str, asked: Asked) -> Result<Value, Problem> {
    let deps = state.deps()?;
    let found = things::find_of_kind(deps, principal, EntityKind::Publisher, called).await?;
    let entity =
        found.ok_or_else(|| Problem::not_found("unknown_publisher", "There is no such publisher."))?.entity;
    let zone = entity.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let zone = zone.unwrap_or(TimeZone::UTC);
    let begin_ms = |day: Option<jiff::civil::Date>, otherwise: i64| {
        day.and_then(|day| start_of_day(&zone, day)).map_or(otherwise, Timestamp::as_millisecond)
    };
    let after_last = asked.to.and_then(|day| day.tomorrow().ok());
    let wanted = RollupsWanted {
        granularity: asked.granularity.as_str(),
        // A day that the calendar cannot place is after all others.
        starts_ms: (
            if asked.from.is_some() { begin_ms(asked.from, i64::MAX) } else { i64::MIN },
            begin_ms(after_last, i64::MAX),
        ),
        metric: asked.metric,
    };
    let one_more = asked.limit as u32 + 1;
    let rollups = deps.store.rollups();
    let mut rows =
        rollups.list(&principal.rows(), &entity.id, &wanted, asked.after.as_ref(), one_more).await?;
    let has_more = rows.len() > asked.limit;
    rows.truncate(asked.limit);
    let next = rows.last().filter(|_| has_more).map(|row| seal_cursor(&row.place()));
    let answer = RollupsAnswer {
        success: true,
        publisher_id: entity.id,
        name: entity.name,
        time_zone: zone.iana_name().unwrap_or("UTC").to_owned(),
        granularity: wanted.granularity,
        rollups: rows.into_iter().map(|row| view(row, &zone)).collect(),
        next,
    };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}

fn view(row: Rollup, zone: &TimeZone) -> RollupView {
    let moment = |ms: i64| match Timestamp::from_millisecond(ms) {
        Ok(at) => at.to_zoned(zone.clone()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        Err(_) => ms.to_string(),
    };
    RollupView {
        metric: row.metric.to_string(),
        start: moment(row.start_ms),
        end: moment(row.end_ms),
        count: row.count,
        sum: row.sum,
        min: row.min,
        max: row.max,
        p50: row.p50,
        p90: row.p90,
        derived: row.derived,
    }
}

fn is_metric(text: &str) -> bool {
    (1..=METRIC_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A place as text. It holds nothing that its reader has not seen, and what is made of it is looked for among their own rows alone.
fn seal_cursor(place: &RollupPlace) -> String {
    URL_SAFE_NO_PAD.encode(format!("{} {}", place.start_ms, place.metric))
}

fn open_cursor(cursor: &str) -> Result<RollupPlace, Problem> {
    let read = || {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let (start_ms, metric) = text.split_once(' ')?;
        let metric = Some(metric).filter(|metric| is_metric(metric))?.to_owned();
        Some(RollupPlace { start_ms: start_ms.parse().ok()?, metric })
    };
    Some(cursor).filter(|cursor| cursor.len() <= CURSOR_MAX).and_then(|_| read()).ok_or_else(|| {
        Problem::bad_request(
            "invalid_cursor",
            "The cursor was not issued for this list; start again without one.",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is_one() {
        let place = RollupPlace { start_ms: -1_700_000_000_000, metric: "a b é".to_owned() };
        assert_eq!(open_cursor(&seal_cursor(&place)).unwrap(), place);
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for bad in ["", "%", "x", &encode("17"), &encode("17 "), &encode("soon clicks"), &"a".repeat(600)] {
            assert!(open_cursor(bad).is_err(), "{bad}");
        }
    }
}
