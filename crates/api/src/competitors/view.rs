//! Competitors and their prices as answers have them.

use bulrush_store::{Competitor, CompetitorPrice, Stay};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

#[derive(Serialize, JsonSchema)]
pub struct CompetitorAnswer {
    pub success: bool,
    pub competitor: CompetitorView,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompetitorList {
    pub success: bool,
    pub property_id: String,
    pub competitors: Vec<CompetitorView>,
}

/// A competitor, as it was declared.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CompetitorView {
    id: String,
    name: String,
    /// How its page is found and read.
    page: Value,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl From<Competitor> for CompetitorView {
    fn from(competitor: Competitor) -> Self {
        Self {
            id: competitor.id,
            name: competitor.name,
            page: competitor.page,
            created_at: moment(competitor.created_at_ms),
            updated_at: moment(competitor.updated_at_ms),
        }
    }
}

pub fn moment(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|at| at.to_string())
}

/// Units of a currency with two digits after the point.
pub fn units(micros: i64) -> f64 {
    (micros as f64 / 10_000.0).round() / 100.0
}

/// A stay.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StayView {
    check_in: String,
    check_out: String,
    adults: u32,
}

impl From<Stay> for StayView {
    fn from(stay: Stay) -> Self {
        Self {
            check_in: stay.check_in.to_string(),
            check_out: stay.check_out.to_string(),
            adults: stay.adults,
        }
    }
}

/// What one competitor asked, on one day.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PriceView {
    competitor_id: String,
    name: String,
    /// priced, or sold-out where nothing was free.
    status: &'static str,
    /// Per night, in `currency`.
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<f64>,
    /// The property's currency then, ISO 4217.
    currency: String,
    /// The price as the page had it.
    #[serde(skip_serializing_if = "Option::is_none")]
    shown: Option<ShownView>,
    /// What it was for, if the page said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    room: Option<String>,
    /// The page that was read.
    url: String,
    /// The day it was seen on (UTC).
    seen_on: String,
    seen_at: Option<String>,
}

/// A price as a page had it, before it was changed into the property's currency and parted by nights.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ShownView {
    amount: f64,
    currency: String,
    /// Units of the property's currency for one of the page's; left out where they are the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    /// The day of that rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    rates_day: Option<String>,
}

impl From<CompetitorPrice> for PriceView {
    fn from(row: CompetitorPrice) -> Self {
        Self {
            competitor_id: row.competitor,
            name: row.name,
            status: if row.price.is_some() { "priced" } else { "sold-out" },
            price: row.price.as_ref().map(|price| units(price.price_micros)),
            currency: row.currency,
            shown: row.price.map(|price| ShownView {
                amount: units(price.shown_micros),
                currency: price.currency,
                rate: price.rate,
                rates_day: price.rates_day.map(|day| day.to_string()),
            }),
            room: row.room,
            url: row.url,
            seen_on: row.seen_on.to_string(),
            seen_at: moment(row.seen_at_ms),
        }
    }
}
