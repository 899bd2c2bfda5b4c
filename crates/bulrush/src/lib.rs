//! Background jobs.
pub mod model;
pub mod port;
