//! Files over HTTP: uploads of price histories, their enrichment, and what came of it.

pub mod enrich;
pub mod features;
pub mod price_history;
pub mod property;
pub mod read;
pub mod upload;
