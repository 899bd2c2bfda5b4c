//! From a series to its sums by hour, day, week and month of a time zone: plain computation, which reads and writes nothing.
//!
//! The buckets of a range of days are laid out first ([`spans`]), each with its first moment and the one after its last. A series then
//! runs through them in the order of time ([`Folding`]): a value is compared with the end of the bucket that is open, so that no value costs
//! a look into the rules of a time zone.

mod fold;
mod ratios;
#[cfg(test)]
mod reference;
mod spans;

pub use fold::{Bucket, Figures, Folding, TooManyValues, fold};
pub use ratios::{RATIOS, Ratio};
pub use spans::{NoSuchTime, Span, spans};
