//! The queue that the scheduler works off itself.

use bulrush::model::{Keep, Retention};

use super::{DAY_MS, DEFAULT, MINUTE_MS};
use crate::entry::{Access, Binary, Limits, QueueEntry, SeedVariables};
use crate::jobs::{fan_out_aggregates, fan_out_prices};

/// Schedules whose jobs are about every property, account, publisher or user add a job here, which adds one for each. A queue of its own,
/// and not one more kind in the queues that it adds to: those with one kind take it under any name, their slots may be busy for hours, and
/// what is needed to look through everybody's things is at the scheduler.
pub(super) static FAN_OUT: QueueEntry = QueueEntry {
    name: "fan-out",
    prefix: "fan",
    aliases: &[],
    binary: Binary::Scheduler,
    purpose: "Adds a job for each of many things, as schedules that are about all of them ask.",
    jobs: &[fan_out_prices::KIND, fan_out_aggregates::KIND],
    limits: Limits {
        concurrency: 2,
        // It goes on from where it was, so tries are cheap.
        attempts: 10,
        timeout_ms: 60 * MINUTE_MS,
        retention: Retention {
            completed: Keep { age_ms: Some(7 * DAY_MS), count: Some(1_000) },
            ..DEFAULT.retention
        },
        ..DEFAULT
    },
    access: Access::Internal,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};
