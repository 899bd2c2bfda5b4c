//! All queues, by the worker that runs them.

mod analytics;
mod competitor;
mod enrichment;
mod forecast;
mod scheduler;

use bulrush::model::{Keep, Retention};

use crate::FollowUps;
use crate::entry::{Growth, Limits, QueueEntry};

const SECOND_MS: u64 = 1_000;
const MINUTE_MS: u64 = 60 * SECOND_MS;
const DAY_MS: u64 = 24 * 60 * MINUTE_MS;

/// What a queue has where nothing else is said.
const DEFAULT: Limits = Limits {
    concurrency: 2,
    concurrency_global: None,
    concurrency_group: None,
    attempts: 3,
    backoff: Growth::DEFAULT,
    rate: None,
    timeout_ms: 10 * MINUTE_MS,
    retention: Retention {
        completed: Keep { age_ms: Some(DAY_MS), count: Some(1_000) },
        failed: Keep { age_ms: Some(7 * DAY_MS), count: None },
        cancelled: Keep { age_ms: Some(DAY_MS), count: Some(1_000) },
    },
    depth_max: None,
    follow_ups: FollowUps::Processed,
};

/// Tries of a queue that says nothing else.
pub(crate) const DEFAULT_ATTEMPTS: u32 = DEFAULT.attempts;

/// Every queue of the platform.
pub const ALL: [&QueueEntry; 22] = [
    &enrichment::ENRICHMENT,
    &enrichment::SYNC,
    &enrichment::FEEDS,
    &enrichment::IMPORT,
    &competitor::COMPETITOR,
    &analytics::ANALYTICS_HEAVY,
    &analytics::ANALYTICS,
    &analytics::AGGREGATION,
    &analytics::METRICS,
    &analytics::OCCUPANCY,
    &analytics::REPORTS,
    &analytics::EXPORT,
    &analytics::ALERTS,
    &analytics::NOTIFICATION,
    &analytics::WEBHOOKS,
    &analytics::CACHE_WARMING,
    &analytics::CLEANUP,
    &forecast::FORECAST,
    &forecast::OPTIMIZATION,
    &forecast::PREDICTION,
    &forecast::TRAINING,
    &scheduler::FAN_OUT,
];
