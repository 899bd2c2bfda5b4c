//! Jobs over HTTP: added, read, waited for, listed, managed.

pub mod add;
pub mod ask;
pub mod dead;
pub mod enqueue;
pub mod flows;
pub mod keys;
pub mod list;
pub mod lookup;
pub mod manage;
pub mod options;
pub mod outbox;
pub mod read;
pub mod schema;
pub mod templates;
pub mod trail;
pub mod view;
