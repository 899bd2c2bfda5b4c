//! The contract of the platform: every queue with its limits, every job with its payload and result.
//!
//! What a queue is stands in one place ([`QueueEntry`], one per queue, in [`queues`]); an operator may change its numbers by
//! configuration ([`Overrides`]); what is in force is a [`Catalog`]. The API checks what it adds against it, the workers run what it
//! says, and both mean the same because there is nothing else to ask.
//!
//! ```
//! use bulrush_catalog::Catalog;
//!
//! let settings = [("BULRUSH_QUEUE_ENRICHMENT_RATE_MAX", "off"), ("QUEUE_CONCURRENCY_FORECAST", "6")];
//! let catalog = Catalog::with_settings(settings.map(|(name, value)| (name.to_owned(), value.to_owned())))?;
//!
//! assert_eq!(catalog.find("analytics:aggregation").expect("an alias").name().as_str(), "aggregation");
//! assert_eq!(catalog.find("forecast-queue").expect("an alias").limits().concurrency, 6);
//! assert!(catalog.find("enrichment").expect("a queue").config().rate.is_none());
//! # Ok::<(), bulrush_catalog::OverrideProblems>(())
//! ```
//!
//! # Invariants
//! - Names, aliases and id prefixes are unique over all queues, so each of them finds one queue.
//! - A secret in a payload is sealed before the payload is made ([`SealedText`]): no type of this crate can hold a plain one.
//! - Nothing here reads the process's environment: settings come in as a map.

mod catalog;
pub mod competitor;
mod days;
mod entry;
pub mod follow_ups;
pub mod jobs;
mod outbox_job;
mod overrides;
mod payload;
pub mod queues;
pub mod schedules;
mod span;
mod suggest;
pub mod templates;
mod zones;

pub use catalog::{Catalog, Queue, UnknownJob, UnknownQueue};
pub use days::start_of_day;
pub use entry::{Access, Alias, Binary, Growth, JobKind, Limits, QueueEntry, SeedVariables};
pub use follow_ups::{FollowUp, FollowUps};
pub use outbox_job::OutboxJob;
pub use overrides::{OverrideProblem, OverrideProblems, Overrides, SETTING_PREFIX};
pub use payload::{
    Caller, EntityRef, FieldProblem, Fields, PayloadProblems, Prepared, SealError, SealedText, Sealer,
};
pub use span::{InvalidSpan, parse_span_ms};
pub use suggest::nearest;
pub use templates::{JobTemplate, Placeholder};
pub use zones::nearest_zone;
