//! Queues of models.

use super::{DEFAULT, MINUTE_MS};
use crate::entry::{Access, Alias, Binary, JobKind, Limits, QueueEntry, SeedVariables};

pub(super) static FORECAST: QueueEntry = QueueEntry {
    name: "forecast",
    prefix: "for",
    aliases: &[Alias::of_queue("forecast-queue")],
    binary: Binary::Forecast,
    purpose: "Forecasts a product's demand with an ensemble of models.",
    jobs: &[crate::jobs::run_forecast::KIND],
    limits: Limits { concurrency: 3, timeout_ms: 5 * MINUTE_MS, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_FORECAST"],
        timeout: &["JOB_TIMEOUT_FORECAST"],
    },
};

pub(super) static OPTIMIZATION: QueueEntry = QueueEntry {
    name: "optimization",
    prefix: "opt",
    aliases: &[Alias::of_queue("optimization-queue")],
    binary: Binary::Forecast,
    purpose: "Computes order quantities, safety stock and reorder points.",
    jobs: &[crate::jobs::optimize::KIND],
    limits: Limits { concurrency: 2, timeout_ms: 5 * MINUTE_MS, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables {
        concurrency: &["QUEUE_CONCURRENCY_OPTIMIZATION"],
        timeout: &["JOB_TIMEOUT_OPTIMIZATION"],
    },
};

pub(super) static PREDICTION: QueueEntry = QueueEntry {
    name: "prediction",
    prefix: "pre",
    aliases: &[
        Alias::of_job("prediction-generator", "generate"),
        Alias::of_job("prediction-accuracy", "score-accuracy"),
    ],
    binary: Binary::Forecast,
    purpose: "Predicts waits for the next hours, and scores past predictions.",
    jobs: &[JobKind::untyped("generate"), JobKind::untyped("score-accuracy")],
    limits: Limits { concurrency: 2, ..DEFAULT },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};

pub(super) static TRAINING: QueueEntry = QueueEntry {
    name: "training",
    prefix: "tra",
    aliases: &[Alias::of_queue("model-training")],
    binary: Binary::Forecast,
    purpose: "Trains the model, and promotes it when it beats the one in use.",
    jobs: &[JobKind::untyped("train")],
    limits: Limits {
        concurrency: 1,
        concurrency_global: Some(1),
        attempts: 2,
        timeout_ms: 60 * MINUTE_MS,
        ..DEFAULT
    },
    access: Access::Users,
    seed_variables: SeedVariables { concurrency: &[], timeout: &[] },
};
