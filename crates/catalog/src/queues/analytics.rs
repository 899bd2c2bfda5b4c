//! Queues of what is computed from the data, and of what goes out to people.

use bulrush::model::{Keep, RateLimit, Retention};

use super::{DAY_MS, DEFAULT, MINUTE_MS, SECOND_MS};
use crate::entry::{Access, Alias, Binary, Growth, JobKind, Limits, QueueEntry, SeedVariables};

pub(super) static ANALYTICS_HEAVY: QueueEntry = QueueEntry {
    name: "analytics-heavy",
    prefix: "anh",
    aliases: &[],
    binary: Binary::Analytics,
    purpose: "Computes summaries, weather impact, demand forecasts and feature importance on a property's data.",
    jobs: &[crate::jobs::analyze::KIND],
    limits: Limits { concurrency: 2, attempts: 2, backoff: Growth::OUTSIDE, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &["ANALYTICS_WORKER_CONCURRENCY"], timeout: &[] },
};

pub(super) static ANALYTICS: QueueEntry = QueueEntry {
    name: "analytics",
    prefix: "ana",
    aliases: &[Alias::of_queue("analytics-queue")],
    binary: Binary::Analytics,
    purpose: "Computes inventory turnover, ABC classes, sell-through, stock cover and margin.",
    jobs: &[JobKind::untyped("analyze")],
    limits: Limits { concurrency: 2, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_ANALYTICS"],
        timeout: &["JOB_TIMEOUT_ANALYTICS"],
    },
};

pub(super) static AGGREGATION: QueueEntry = QueueEntry {
    name: "aggregation",
    prefix: "agg",
    aliases: &[Alias::of_queue("analytics-aggregation"), Alias::of_queue("analytics:aggregation")],
    binary: Binary::Analytics,
    purpose: "Sums impressions, clicks and revenue into hours, days, weeks and months.",
    jobs: &[crate::jobs::aggregate::KIND],
    limits: Limits { concurrency: 3, rate: Some(RateLimit { max: 10, per_ms: MINUTE_MS }), ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static METRICS: QueueEntry = QueueEntry {
    name: "metrics",
    prefix: "met",
    aliases: &[Alias::of_queue("metrics-calculation"), Alias::of_queue("metrics:calculation")],
    binary: Binary::Analytics,
    purpose: "Computes a publisher's performance, revenue and quality figures.",
    jobs: &[JobKind::untyped("calculate")],
    limits: Limits { concurrency: 5, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static OCCUPANCY: QueueEntry = QueueEntry {
    name: "occupancy",
    prefix: "occ",
    aliases: &[
        Alias::of_job("occupancy-calculation", "calculate"),
        Alias::of_job("p50-baseline", "p50-baseline"),
        Alias::of_job("queue-percentile", "percentiles"),
    ],
    binary: Binary::Analytics,
    purpose: "Compares crowds now with their baseline, and computes the baseline and the percentiles.",
    jobs: &[JobKind::untyped("calculate"), JobKind::untyped("p50-baseline"), JobKind::untyped("percentiles")],
    limits: Limits { concurrency: 4, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static REPORTS: QueueEntry = QueueEntry {
    name: "reports",
    prefix: "rep",
    aliases: &[Alias::of_queue("report-generation"), Alias::of_queue("report:generation")],
    binary: Binary::Analytics,
    purpose: "Makes daily, weekly and monthly reports and mails them.",
    jobs: &[JobKind::untyped("generate")],
    limits: Limits { concurrency: 2, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static EXPORT: QueueEntry = QueueEntry {
    name: "export",
    prefix: "exp",
    aliases: &[
        Alias::of_queue("data-export"),
        Alias::of_queue("data:export"),
        Alias::of_queue("export-queue"),
    ],
    binary: Binary::Analytics,
    purpose: "Writes data to a file for its owner to download.",
    jobs: &[crate::jobs::export::KIND],
    limits: Limits {
        concurrency: 2,
        rate: Some(RateLimit { max: 20, per_ms: MINUTE_MS }),
        retention: Retention {
            completed: Keep { age_ms: Some(3 * DAY_MS), count: Some(1_000) },
            ..DEFAULT.retention
        },
        ..DEFAULT
    },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_EXPORT"],
        timeout: &["JOB_TIMEOUT_EXPORT"],
    },
};

pub(super) static ALERTS: QueueEntry = QueueEntry {
    name: "alerts",
    prefix: "ale",
    aliases: &[],
    binary: Binary::Analytics,
    purpose: "Checks thresholds: stock, advertising cost, price gaps, deviations, and the platform's own health.",
    jobs: &[JobKind::untyped("check")],
    limits: Limits { concurrency: 5, timeout_ms: 5 * MINUTE_MS, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static NOTIFICATION: QueueEntry = QueueEntry {
    name: "notification",
    prefix: "not",
    aliases: &[Alias::of_queue("notification-queue")],
    binary: Binary::Analytics,
    purpose: "Sends mail, SMS, push messages and webhooks.",
    jobs: &[JobKind::untyped("send")],
    limits: Limits { concurrency: 5, attempts: 5, timeout_ms: 30 * SECOND_MS, ..DEFAULT },
    access: Access::Internal,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_NOTIFICATION"],
        timeout: &["JOB_TIMEOUT_NOTIFICATION"],
    },
};

pub(super) static WEBHOOKS: QueueEntry = QueueEntry {
    name: crate::jobs::deliver_webhook::QUEUE,
    prefix: "whk",
    aliases: &[],
    binary: Binary::Analytics,
    purpose: "Tells webhooks what happened to their owners' jobs.",
    jobs: &[crate::jobs::deliver_webhook::KIND],
    limits: Limits {
        concurrency: 10,
        // A group is a webhook: a receiver that does not answer keeps two slots busy and no more.
        concurrency_group: Some(2),
        attempts: 10,
        timeout_ms: 30 * SECOND_MS,
        ..DEFAULT
    },
    access: Access::Internal,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static CACHE_WARMING: QueueEntry = QueueEntry {
    name: "cache-warming",
    prefix: "cac",
    aliases: &[Alias::of_queue("cache:warming"), Alias::of_queue("cache-warmup")],
    binary: Binary::Analytics,
    purpose: "Fills the read cache before somebody asks.",
    jobs: &[JobKind::untyped("warm")],
    limits: Limits { concurrency: 3, timeout_ms: 5 * MINUTE_MS, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static CLEANUP: QueueEntry = QueueEntry {
    name: "cleanup",
    prefix: "cle",
    aliases: &[],
    binary: Binary::Analytics,
    purpose: "Removes old logs, expired tokens and temporary files.",
    jobs: &[JobKind::untyped("clean")],
    limits: Limits { concurrency: 1, concurrency_global: Some(1), ..DEFAULT },
    access: Access::Internal,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};
