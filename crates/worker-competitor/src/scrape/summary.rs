//! What a property learns from the prices of its competitors.

use bulrush_catalog::competitor::Comparison;
use bulrush_catalog::jobs::{CompetitorStatus, ScrapePrices, ScrapePricesResult};
use jiff::civil::Date;

use super::property::Property;
use super::{Read, rounded};

/// The result of a job.
pub(super) fn of(
    property: &Property,
    payload: &ScrapePrices,
    read: &[Read],
    mut notes: Vec<String>,
    rates_day: Date,
) -> ScrapePricesResult {
    let priced = || read.iter().filter_map(|read| read.price.as_ref()?.price.as_ref());
    let prices = priced().map(|price| price.price_micros).collect();
    let compared = Comparison::of(prices, property.price_micros);
    let was_changed = priced().any(|price| price.rate.is_some());
    if was_changed {
        notes.push(format!("Prices in other currencies were changed by the rates of {rates_day}."));
    }
    let missing = read
        .iter()
        .filter(|read| !matches!(read.outcome.status, CompetitorStatus::Priced | CompetitorStatus::SoldOut))
        .count();
    if missing > 0 {
        notes.push(format!("Nothing is known of {missing} of {} competitors; each says why.", read.len()));
    }
    ScrapePricesResult {
        success: true,
        property_id: property.id.clone(),
        check_in: payload.check_in,
        check_out: payload.check_out,
        adults: payload.adults,
        currency: property.currency.as_str().to_owned(),
        rates_day: was_changed.then_some(rates_day),
        priced: compared.count as u64,
        min: compared.min.map(rounded),
        median: compared.median.map(rounded),
        max: compared.max.map(rounded),
        our_price: property.price_micros.map(rounded),
        our_rank: compared.rank,
        competitors: read.iter().map(|read| read.outcome.clone()).collect(),
        notes,
    }
}
