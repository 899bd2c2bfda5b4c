//! Schedules: their slots are fired, and those that the platform has from its first start are put.
//!
//! A ticker for each queue ([`bulrush::Ticker`]): any number of schedulers may run them, none leads, and one that dies or stands still keeps
//! nobody from firing. What is missed, and what becomes of it, is found out by whoever comes first to a slot.

mod defaults;
mod gauge;
mod metrics;

pub(crate) use defaults::put_defaults;
pub(crate) use gauge::Tickers;
pub use metrics::ScheduleMetrics;
