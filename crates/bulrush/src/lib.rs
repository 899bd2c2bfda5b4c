//! Background jobs.
pub mod backend;
pub mod clock;
pub mod core;
pub mod model;
pub mod port;
