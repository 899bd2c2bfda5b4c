//! Sites of others: what they allow, whose turn it is, and reading a page of theirs.

mod gates;
mod robots;
mod visit;

pub use visit::Manners;
pub(crate) use visit::{How, Seen, Sites, VisitError};
