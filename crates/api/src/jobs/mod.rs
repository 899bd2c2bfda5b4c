//! Jobs over HTTP: adding, reading, waiting, listing.

pub mod add;
pub mod enqueue;
pub mod keys;
pub mod list;
pub mod lookup;
pub mod options;
pub mod read;
pub mod view;
