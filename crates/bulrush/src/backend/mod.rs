//! Where queues live. Each backend implements [`crate::port::Backend`]; the conformance suite holds all of them to the core's meaning.

mod embedded;
mod file;
mod open;

pub use embedded::Embedded;
pub use open::{connect, connect_with};
