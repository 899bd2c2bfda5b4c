//! What a property learns from the prices of its competitors.

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
    let mut prices: Vec<i64> = priced().map(|price| price.price_micros).collect();
    prices.sort_unstable();
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
        priced: prices.len() as u64,
        min: prices.first().copied().map(rounded),
        median: median(&prices).map(rounded),
        max: prices.last().copied().map(rounded),
        our_price: property.price_micros.map(rounded),
        our_rank: property.price_micros.and_then(|ours| rank(ours, &prices)),
        competitors: read.iter().map(|read| read.outcome.clone()).collect(),
        notes,
    }
}

/// The price in the middle of sorted prices; between two, their mean.
fn median(sorted: &[i64]) -> Option<i64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some(lower.midpoint(upper))
}

/// The place of a price among others, the cheapest being the first; none without others.
fn rank(ours: i64, others: &[i64]) -> Option<u64> {
    let cheaper = others.iter().filter(|other| **other < ours).count();
    (!others.is_empty()).then_some(cheaper as u64 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_of_prices_is_one_of_them_or_between_two() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[5]), Some(5));
        assert_eq!(median(&[1, 3]), Some(2));
        assert_eq!(median(&[1, 2, 9]), Some(2));
        assert_eq!(median(&[1, 2, 4, 9]), Some(3));
    }

    #[test]
    fn equal_prices_share_a_place() {
        assert_eq!(rank(5, &[]), None);
        assert_eq!(rank(5, &[6, 7]), Some(1));
        assert_eq!(rank(6, &[5, 6, 7]), Some(2));
        assert_eq!(rank(9, &[5, 6, 7]), Some(4));
    }
}
