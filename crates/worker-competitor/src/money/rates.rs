//! Exchange rates of one day.
//!
//! Without a file of its own the worker has the euro's reference rates of 31 December 2024 built in (as the European Central
//! Bank published them), so that it works with nothing around it. They are dated, and so is each price that was changed by
//! them: a file with newer ones (`BULRUSH_RATES_FILE`) is what a real comparison needs.

use std::collections::HashMap;

use jiff::civil::Date;
use serde::Deserialize;

use super::{Currency, UNITS_MAX, micros, units};

/// What one unit of a base currency is worth in others, on one day.
#[derive(Debug, Clone, PartialEq)]
pub struct Rates {
    day: Date,
    /// Units for one of the base's, the base itself included.
    per_base: HashMap<Currency, f64>,
}

/// A file of rates cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RatesError {
    /// Not the JSON that is expected.
    #[error(
        "the rates cannot be read ({0}); give {{\"base\": \"EUR\", \"date\": \"2026-11-27\", \"rates\": {{\"USD\": 1.04}}}}"
    )]
    Unreadable(serde_json::Error),
    /// Zero, negative or beyond all reason.
    #[error("the rate of {currency} is {rate}, which is no rate")]
    Rate {
        /// The currency.
        currency: Currency,
        /// What stands there.
        rate: f64,
    },
}

/// As the common services of reference rates write them.
#[derive(Deserialize)]
struct Document {
    base: Currency,
    date: Date,
    rates: HashMap<Currency, f64>,
}

impl Rates {
    /// Reads the JSON of a file.
    ///
    /// # Errors
    /// [`RatesError`] with what is wrong.
    pub fn from_json(text: &str) -> Result<Self, RatesError> {
        let Document { base, date, rates: mut per_base } =
            serde_json::from_str(text).map_err(RatesError::Unreadable)?;
        per_base.insert(base, 1.0);
        match per_base.iter().find(|(_, rate)| !(1e-9..=1e9).contains(*rate)) {
            Some((currency, rate)) => Err(RatesError::Rate { currency: *currency, rate: *rate }),
            None => Ok(Self { day: date, per_base }),
        }
    }

    /// The rates that are built in.
    pub fn built_in() -> Self {
        Self::from_json(include_str!("rates.json"))
            .unwrap_or_else(|error| unreachable!("a test reads the built-in rates: {error}"))
    }

    /// The day they are of.
    pub fn day(&self) -> Date {
        self.day
    }

    /// An amount of `from` in `to`, and units of `to` for one of `from`; `None` if one of them has no rate here.
    pub(crate) fn change(&self, amount: i64, from: Currency, to: Currency) -> Option<(i64, f64)> {
        let rate = self.per_base.get(&to)? / self.per_base.get(&from)?;
        let changed = (units(amount) * rate).min(UNITS_MAX as f64);
        Some((micros(changed)?, rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn currency(code: &str) -> Currency {
        code.parse().unwrap()
    }

    #[test]
    fn amounts_are_changed_through_the_base() {
        let rates = Rates::built_in();
        assert_eq!(rates.day().to_string(), "2024-12-31");
        let (euros, rate) = rates.change(103_890_000, currency("USD"), Currency::EUR).unwrap();
        assert_eq!(euros, 100_000_000);
        assert!((rate - 1.0 / 1.0389).abs() < 1e-12);
        let (francs, _) = rates.change(100_000_000, currency("GBP"), currency("CHF")).unwrap();
        assert_eq!(francs, 113_509_733);
        assert!(rates.change(1, currency("AED"), Currency::EUR).is_none());
    }

    #[test]
    fn rates_that_are_none_are_refused() {
        let read = |rate: &str| {
            Rates::from_json(&format!(
                "{{\"base\":\"EUR\",\"date\":\"2026-11-27\",\"rates\":{{\"USD\":{rate}}}}}"
            ))
        };
        assert!(read("1.04").is_ok());
        for bad in ["0", "-1", "1e300", "null", "\"1\""] {
            assert!(read(bad).is_err(), "{bad}");
        }
        assert!(Rates::from_json("{}").is_err());
        assert!(Rates::from_json("{\"base\":\"EURO\",\"date\":\"2026-11-27\",\"rates\":{}}").is_err());
    }
}
