//! Amounts of money: which currency, how much, how pages spell it, and what it is in another currency.

mod rates;
mod text;

pub use bulrush_catalog::competitor::{Currency, CurrencyError};
pub use rates::{Rates, RatesError};
pub(crate) use text::{PriceTextError, parse_price};

/// Parts of a currency's unit that amounts are counted in: sums are exact in every currency there is.
pub(crate) const MICROS: i64 = 1_000_000;
/// The most that a night can cost, in units; more is a misread page.
pub(crate) const UNITS_MAX: i64 = 1_000_000_000;

/// Millionths of a unit, from a number of units; `None` for what cannot be a price.
pub(crate) fn micros(units: f64) -> Option<i64> {
    let micros = (units * MICROS as f64).round();
    (micros >= 1.0 && units <= UNITS_MAX as f64).then_some(micros as i64)
}

/// Units, from millionths.
pub(crate) fn units(micros: i64) -> f64 {
    micros as f64 / MICROS as f64
}

/// An amount for people: `1234.50 CHF`.
pub(crate) fn shown(micros: i64, currency: Currency) -> String {
    format!("{:.2} {currency}", units(micros))
}
