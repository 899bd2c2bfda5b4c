//! Queues that bring data in.

use bulrush::model::{Keep, RateLimit, Retention};

use super::{DAY_MS, DEFAULT, MINUTE_MS, SECOND_MS};
use crate::entry::{Access, Alias, Binary, Growth, JobKind, Limits, QueueEntry, SeedVariables};
use crate::jobs::enrich_property;

pub(super) static ENRICHMENT: QueueEntry = QueueEntry {
    name: "enrichment",
    prefix: "enr",
    aliases: &[],
    binary: Binary::Enrichment,
    purpose: "Adds weather, holidays and calendar features to every day of a property's price history.",
    jobs: &[enrich_property::KIND],
    limits: Limits {
        concurrency: 3,
        attempts: 5,
        backoff: Growth::OUTSIDE,
        rate: Some(RateLimit { max: 10, per_ms: MINUTE_MS }),
        timeout_ms: 5 * MINUTE_MS,
        ..DEFAULT
    },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &["ENRICHMENT_WORKER_CONCURRENCY"], timeout: &[] },
};

pub(super) static SYNC: QueueEntry = QueueEntry {
    name: "sync",
    prefix: "syn",
    aliases: &[Alias::of_queue("data-sync"), Alias::of_queue("manual-sync"), Alias::of_queue("sync-queue")],
    binary: Binary::Enrichment,
    purpose: "Brings orders, fees, advertising, inventory, listings and refunds of a seller account up to date.",
    jobs: &[JobKind::untyped("sync-account")],
    limits: Limits { concurrency: 5, rate: Some(RateLimit { max: 10, per_ms: SECOND_MS }), ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_SYNC"],
        timeout: &["JOB_TIMEOUT_SYNC"],
    },
};

pub(super) static FEEDS: QueueEntry = QueueEntry {
    name: "feeds",
    prefix: "fee",
    aliases: &[
        Alias::of_job("wait-times", "sync-wait-times"),
        Alias::of_job("weather", "sync-weather"),
        Alias::of_job("holidays", "sync-holidays"),
        Alias::of_job("park-metadata", "sync-park-metadata"),
        Alias::of_job("entity-mappings", "map-entities"),
    ],
    binary: Binary::Enrichment,
    purpose: "Reads live feeds: waits and status of parks, weather, holidays, and what things are called elsewhere.",
    jobs: &[
        JobKind::untyped("sync-wait-times"),
        JobKind::untyped("sync-weather"),
        JobKind::untyped("sync-holidays"),
        JobKind::untyped("sync-park-metadata"),
        JobKind::untyped("map-entities"),
    ],
    limits: Limits { concurrency: 4, timeout_ms: 5 * MINUTE_MS, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static IMPORT: QueueEntry = QueueEntry {
    name: "import",
    prefix: "imp",
    aliases: &[Alias::of_queue("import-queue")],
    binary: Binary::Enrichment,
    purpose: "Imports an uploaded CSV or Excel file.",
    jobs: &[JobKind::untyped("import-file")],
    limits: Limits {
        concurrency: 1,
        timeout_ms: 15 * MINUTE_MS,
        retention: Retention {
            completed: Keep { age_ms: Some(7 * DAY_MS), count: Some(1_000) },
            failed: Keep { age_ms: Some(30 * DAY_MS), count: None },
            cancelled: DEFAULT.retention.cancelled,
        },
        ..DEFAULT
    },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_IMPORT"],
        timeout: &["JOB_TIMEOUT_IMPORT"],
    },
};
