//! What a competitor is, for whoever declares one and for whoever reads its page: how the page is found and read, and how prices compare.

mod comparison;
mod currency;
mod rules;

pub use comparison::Comparison;
pub use currency::{Currency, CurrencyError};
pub use rules::{PageRules, PriceFor, Rule, Selectors};

/// Most competitors of one property. A job reads no more.
pub const COMPETITORS_MAX: usize = 50;
/// Longest name of a competitor, bytes.
pub const NAME_MAX: usize = 200;
