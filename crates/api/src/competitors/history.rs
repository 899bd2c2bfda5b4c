//! GET `/competitors/{propertyId}/prices`: what competitors have asked, day by day.

use actix_web::{HttpRequest, HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bulrush_catalog::PayloadProblems;
use bulrush_store::{DayRange, PricePlace, PricesWanted, Stay};
use jiff::civil::{Date, date};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::latest::stay;
use super::view::{PriceView, StayView};
use super::{LIMIT_DEFAULT, LIMIT_MAX};
use crate::files::property;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::state::State;

/// Longest id of a competitor, and longest cursor, bytes.
const ID_MAX: usize = 256;
const CURSOR_MAX: usize = 512;

/// A page of a history.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryAnswer {
    success: bool,
    property_id: String,
    name: String,
    prices: Vec<PastPrice>,
    /// The cursor of the next page; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A price and the stay that it was for.
#[derive(Serialize, JsonSchema)]
struct PastPrice {
    #[serde(flatten)]
    stay: StayView,
    #[serde(flatten)]
    price: PriceView,
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
    if from.zip(to).is_some_and(|(from, to)| to < from) {
        problems.push("to", "is before from");
    }
    let stay = stay(&query, &mut problems);
    let competitor = query.one("competitor", &mut problems).map(ToOwned::to_owned);
    if competitor.as_ref().is_some_and(|id| !is_id(id)) {
        problems.push("competitor", "must be the id of a competitor");
    }
    let cursor = query.one("cursor", &mut problems);
    problems.into_result()?;
    let after = cursor.map(open_cursor).transpose()?;
    // The first and the last day that are written with four digits, so that texts compare as days do.
    let seen = DayRange::new(from.unwrap_or(date(0, 1, 1)), to.unwrap_or(Date::MAX));
    let wanted = PricesWanted { seen, stay, competitor };
    let what = format!("competitor prices {} {wanted:?} {after:?} {limit}", path.as_str());
    let compute = Box::pin(read(&state, &principal, &path, &wanted, after, limit));
    state.reads.answer(&request, &principal, &what, compute).await
}

async fn read(
    state: &State,
    principal: &Principal,
    asked: &str,
    wanted: &PricesWanted,
    after: Option<PricePlace>,
    limit: usize,
) -> Result<Value, Problem> {
    let deps = state.deps()?;
    let entity = property::find_in_path(deps, principal, asked).await?.entity;
    let prices = deps.store.competitor_prices();
    let one_more = limit as u32 + 1;
    let mut rows = prices.history(&principal.rows(), &entity.id, wanted, after.as_ref(), one_more).await?;
    let has_more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| has_more).map(|row| seal_cursor(&row.place()));
    let prices = rows.into_iter().map(|row| PastPrice { stay: row.stay.into(), price: row.into() }).collect();
    let answer = HistoryAnswer { success: true, property_id: entity.id, name: entity.name, prices, next };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}

fn is_id(text: &str) -> bool {
    (1..=ID_MAX).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A place as text. It holds nothing that its reader has not seen, and what is made of it is looked for among their own rows alone.
fn seal_cursor(place: &PricePlace) -> String {
    let PricePlace { seen_on, stay: Stay { check_in, check_out, adults }, competitor } = place;
    URL_SAFE_NO_PAD.encode(format!("{seen_on} {check_in} {check_out} {adults} {competitor}"))
}

fn open_cursor(cursor: &str) -> Result<PricePlace, Problem> {
    let read = || {
        let text = URL_SAFE_NO_PAD.decode(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok())?;
        let mut parts = text.splitn(5, ' ');
        let mut day = || parts.next()?.parse::<Date>().ok().filter(|day| day.year() >= 0);
        let (seen_on, check_in, check_out) = (day()?, day()?, day()?);
        let adults = parts.next()?.parse().ok()?;
        let competitor = parts.next().filter(|id| is_id(id))?.to_owned();
        Some(PricePlace { seen_on, stay: Stay { check_in, check_out, adults }, competitor })
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
        let stay = Stay { check_in: date(2026, 12, 1), check_out: date(2026, 12, 3), adults: 2 };
        let place = PricePlace { seen_on: date(2026, 11, 1), stay, competitor: "a b é".to_owned() };
        assert_eq!(open_cursor(&seal_cursor(&place)).unwrap(), place);
        let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
        for bad in [
            "",
            "%",
            "x",
            &encode("2026-11-01"),
            &encode("2026-11-01 2026-12-01 2026-12-03 two a"),
            &"a".repeat(600),
        ] {
            assert!(open_cursor(bad).is_err(), "{bad}");
        }
    }
}
