//! What a queue is set to: limits, retention, fairness. Kept by the backend, the same for every worker.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Bounds;

/// Settings of one queue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueConfig {
    /// Priority of a job that names none: 0 is first, 2^21 last.
    pub default_priority: u32,
    /// At most so many starts in any window.
    pub rate: Option<RateLimit>,
    /// At most so many jobs active at once over all workers.
    pub concurrency: Option<u32>,
    /// Jobs not yet started (waiting, delayed, waiting-children) above which adds from outside are refused.
    pub depth_max: Option<u64>,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// Times a job may lose its worker before it fails as `crashed`.
    pub stalls_max: u32,
    /// How long a worker counts as alive without a sign of life, ms.
    pub lease_ms: u64,
    /// Changes kept for readers of the event stream, at least (a backend that keeps them in batches lets whole batches go); 0 keeps
    /// none and costs nothing.
    pub events_max: usize,
    /// Weight and cap of a group that [`groups`](Self::groups) does not list, and of the jobs without a group.
    pub group_default: GroupConfig,
    /// Groups that differ from the default.
    pub groups: BTreeMap<String, GroupConfig>,
    /// Sizes and counts.
    pub bounds: Bounds,
}

impl Default for QueueConfig {
    fn default() -> Self {
        Self {
            default_priority: 5,
            rate: None,
            concurrency: None,
            depth_max: None,
            retention: Retention::default(),
            stalls_max: 3,
            lease_ms: 10_000,
            events_max: 10_000,
            group_default: GroupConfig::default(),
            groups: BTreeMap::new(),
            bounds: Bounds::default(),
        }
    }
}

impl QueueConfig {
    /// Weight and cap of a group.
    pub fn group(&self, name: &str) -> GroupConfig {
        self.groups.get(name).copied().unwrap_or(self.group_default)
    }

    /// What is wrong with these settings, one sentence each; empty when they can be used.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |ok: bool, text: String| {
            if !ok {
                problems.push(text);
            }
        };
        check(
            self.default_priority <= super::NewJob::PRIORITY_MAX,
            format!("default priority {} is above {}", self.default_priority, super::NewJob::PRIORITY_MAX),
        );
        if let Some(rate) = self.rate {
            check(
                rate.max > 0,
                "rate limit: max is 0, so nothing would ever start; pause the queue instead".into(),
            );
            check(
                (1..=RateLimit::PER_MAX_MS).contains(&rate.per_ms),
                format!("rate limit: per is {} ms, allowed are 1 ms to 24 h", rate.per_ms),
            );
        }
        check(self.concurrency != Some(0), "concurrency 0 would stop the queue; pause it instead".into());
        check(
            (100..=3_600_000).contains(&self.lease_ms),
            format!("lease is {} ms, allowed are 100 ms to 1 h", self.lease_ms),
        );
        for (name, group) in
            self.groups.iter().map(|(n, g)| (n.as_str(), g)).chain([("default", &self.group_default)])
        {
            check(
                (1..=1_000).contains(&group.weight),
                format!("group {name}: weight {} is not in 1..=1000", group.weight),
            );
            check(
                group.concurrency != Some(0),
                format!("group {name}: concurrency 0 would stop it for ever"),
            );
        }
        problems
    }
}

/// At most `max` starts in any window of `per_ms`, over all workers, exact to the millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// Starts.
    pub max: u32,
    /// Window, ms.
    pub per_ms: u64,
}

impl RateLimit {
    /// Longest window, 24 h in ms.
    pub const PER_MAX_MS: u64 = 24 * 3_600 * 1_000;
}

/// Weight and cap of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupConfig {
    /// Jobs taken from the group at its turn.
    pub weight: u32,
    /// Jobs of the group active at once.
    #[serde(default)]
    pub concurrency: Option<u32>,
}

impl Default for GroupConfig {
    fn default() -> Self {
        Self { weight: 1, concurrency: None }
    }
}

/// How long finished jobs are kept, by outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Retention {
    /// Completed jobs.
    pub completed: Keep,
    /// Failed jobs: the dead letters.
    pub failed: Keep,
    /// Cancelled jobs.
    pub cancelled: Keep,
}

impl Default for Retention {
    fn default() -> Self {
        const DAY_MS: u64 = 24 * 3_600 * 1_000;
        Self {
            completed: Keep { age_ms: Some(DAY_MS), count: Some(1_000) },
            failed: Keep { age_ms: Some(7 * DAY_MS), count: None },
            cancelled: Keep { age_ms: Some(DAY_MS), count: Some(1_000) },
        }
    }
}

/// A bound by age and one by count; the stricter one holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Keep {
    /// Longest age since the job finished, ms; none keeps for ever.
    pub age_ms: Option<u64>,
    /// Most jobs kept; none keeps all, 0 keeps nothing.
    pub count: Option<u64>,
}

impl Keep {
    /// Keeps everything until somebody removes it.
    pub const ALL: Self = Self { age_ms: None, count: None };
    /// Keeps nothing: the job is gone when it has ended.
    pub const NOTHING: Self = Self { age_ms: None, count: Some(0) };
}
