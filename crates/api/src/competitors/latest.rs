//! GET `/competitors/{propertyId}`: what competitors ask for a stay, and where the property's own price stands.

use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_catalog::competitor::{COMPETITORS_MAX, Comparison};
use bulrush_catalog::jobs::scrape_prices::{ADULTS_MAX, NIGHTS_MAX};
use bulrush_store::{NewEntity, Stay};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::view::{PriceView, StayView, units};
use crate::files::property;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::state::{Deps, State};

/// Most stays that are named.
const STAYS_MAX: u32 = 50;
/// The series of a property's own prices.
const PRICE: &str = "price";

/// What is asked for a stay.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LatestAnswer {
    success: bool,
    property_id: String,
    name: String,
    /// The stay that all of this is about; none where no price was ever read.
    #[serde(skip_serializing_if = "Option::is_none")]
    stay: Option<StayView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nights: Option<i32>,
    /// The day that the figures are of: the last one on which any price of this stay was read.
    #[serde(skip_serializing_if = "Option::is_none")]
    seen_on: Option<String>,
    /// The currency of all figures, ISO 4217.
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<String>,
    /// How many competitors have a price of that day, in that currency: the figures are made of them.
    priced: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    min: Option<f64>,
    /// The price in the middle; between two, their mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    median: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<f64>,
    /// The property's own price as it stands now, the mean of the nights; none where a night has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    our_price: Option<f64>,
    /// Its place among the prices, 1 being the cheapest.
    #[serde(skip_serializing_if = "Option::is_none")]
    our_rank: Option<u64>,
    /// The latest price of each competitor, which may be older than the figures.
    competitors: Vec<PriceView>,
    /// The stays that were asked about on the last day on which any was, the latest first.
    stays: Vec<StayView>,
}

/// The stay of a query: all of it or nothing.
pub fn stay(query: &Query, problems: &mut PayloadProblems) -> Option<Stay> {
    let (check_in, check_out) = (query.day("checkIn", problems), query.day("checkOut", problems));
    let named = ["checkIn", "checkOut", "adults"];
    let missing: Vec<&str> =
        named.into_iter().filter(|name| query.one(name, &mut PayloadProblems::default()).is_none()).collect();
    let adults = query.number("adults", (1, ADULTS_MAX as usize), 1, problems);
    if missing.len() == named.len() {
        return None;
    }
    for name in &missing {
        problems.push(*name, "is required with the others of a stay: checkIn, checkOut and adults");
    }
    let (check_in, check_out) = (check_in?, check_out?);
    let nights = check_in.until(check_out).map_or(0, |span| span.get_days());
    if !(1..=NIGHTS_MAX).contains(&nights) {
        problems.push("checkOut", format!("must be 1 to {NIGHTS_MAX} nights after checkIn"));
    }
    Some(Stay { check_in, check_out, adults: u32::try_from(adults).unwrap_or(1) })
}

pub async fn get(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let stay = stay(&query, &mut problems);
    problems.into_result()?;
    let what = format!("competitors {} {stay:?}", path.as_str());
    // On the heap: it is the state of many reads, and most answers come from the cache.
    let compute = Box::pin(read(&state, &principal, &path, stay));
    state.reads.answer(&request, &principal, &what, compute).await
}

async fn read(
    state: &State,
    principal: &Principal,
    asked: &str,
    stay: Option<Stay>,
) -> Result<Value, Problem> {
    let deps = state.deps()?;
    let entity = property::find_in_path(deps, principal, asked).await?.entity;
    let scope = principal.rows();
    let prices = deps.store.competitor_prices();
    let stays = prices.last_stays(&scope, &entity.id, STAYS_MAX).await?;
    let stay = stay.or_else(|| stays.first().copied());
    let rows = match stay {
        // Competitors of the past are among them.
        Some(stay) => prices.latest(&scope, &entity.id, stay, COMPETITORS_MAX as u32 * 2).await?,
        None => Vec::new(),
    };
    let newest = rows.iter().max_by_key(|row| (row.seen_on, row.seen_at_ms));
    let (seen_on, currency) = (newest.map(|row| row.seen_on), newest.map(|row| row.currency.clone()));
    let compared = rows
        .iter()
        .filter(|row| Some(row.seen_on) == seen_on && Some(&row.currency) == currency.as_ref())
        .filter_map(|row| Some(row.price.as_ref()?.price_micros))
        .collect();
    let ours = match stay {
        Some(stay) => own_price(deps, principal, &entity, stay).await?,
        None => None,
    };
    let figures = Comparison::of(compared, ours);
    let answer = LatestAnswer {
        success: true,
        property_id: entity.id,
        name: entity.name,
        nights: stay.and_then(|stay| stay.check_in.until(stay.check_out).ok()).map(|span| span.get_days()),
        stay: stay.map(Into::into),
        seen_on: seen_on.map(|day| day.to_string()),
        currency,
        priced: figures.count,
        min: figures.min.map(units),
        median: figures.median.map(units),
        max: figures.max.map(units),
        our_price: ours.map(units),
        our_rank: figures.rank,
        competitors: rows.into_iter().map(Into::into).collect(),
        stays: stays.into_iter().map(Into::into).collect(),
    };
    serde_json::to_value(answer).map_err(|error| Problem::internal(&error))
}

/// The property's own price for a stay, millionths.
async fn own_price(
    deps: &Deps,
    principal: &Principal,
    entity: &NewEntity,
    stay: Stay,
) -> Result<Option<i64>, Problem> {
    let zone = entity.time_zone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get);
    let zone = zone.map_err(|error| Problem::internal(&error))?;
    let nights = (stay.check_in, stay.check_out);
    let observations = deps.store.observations();
    let price = observations.mean_of_days(&principal.rows(), &entity.id, PRICE, nights, &zone).await?;
    Ok(price.map(|price| (price * 1_000_000.0).round() as i64))
}
