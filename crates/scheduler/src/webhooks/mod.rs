//! Webhooks: what happens to jobs becomes deliveries, and deliveries get jobs that send them.
//!
//! One instance at a time reads the event stream of each queue (`reader`) and keeps, in one transaction, a delivery for each webhook that an
//! event concerns and how far it has read. A job for each delivery is added then. If it dies in between, `sweeper` finds deliveries without
//! a job. If nobody has read for so long that events have fallen out of the stream, `catching_up` looks for the jobs that ended meanwhile.
//!
//! The queue of the deliveries is not read: nobody is told that something was told.

mod catching_up;
mod error;
mod payload;
mod reader;
mod relay;
mod sweeper;
mod watchers;

pub(crate) use relay::run as relay;
pub(crate) use sweeper::run as sweep;

use bulrush_catalog::jobs::deliver_webhook;
use bulrush_catalog::{Catalog, Queue};

use error::RelayError;

/// The queue of the jobs that send.
fn deliveries(catalog: &Catalog) -> Result<&Queue, RelayError> {
    catalog.find(deliver_webhook::QUEUE).map_err(|_| RelayError::NoQueue)
}
