//! What the catalogue says of one queue, as constants.

use bulrush::model::{Backoff, RateLimit, Retention};

use crate::follow_ups::{FollowUp, FollowUps};
use crate::payload::{Caller, PayloadProblems, Prepared, Sealer};

/// One queue as the platform ships it. [`crate::Queue`] is the same with what the configuration changed.
#[derive(Debug)]
pub struct QueueEntry {
    /// Its name: in URLs, metrics and the engine.
    pub name: &'static str,
    /// First part of the ids of its jobs, up to three letters, unique over all queues.
    pub prefix: &'static str,
    /// Other names it answers to.
    pub aliases: &'static [Alias],
    /// The worker binary that runs its jobs.
    pub binary: Binary,
    /// What it is for, in one sentence for people.
    pub purpose: &'static str,
    /// The jobs it runs. A queue with one kind runs it under any valid job name.
    pub jobs: &'static [JobKind],
    /// Its limits.
    pub limits: Limits,
    /// Who may add to it from outside.
    pub access: Access,
    /// The seed documents' own names for settings of this queue.
    pub seed_variables: SeedVariables,
}

/// Another name of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    /// The name; it may hold a colon, which a queue's own name may not.
    pub name: &'static str,
    /// The job that this name stands for, where a queue runs several: what is added under it and names no job is this one.
    pub job: Option<&'static str>,
}

impl Alias {
    /// A name for the queue as a whole.
    pub const fn of_queue(name: &'static str) -> Self {
        Self { name, job: None }
    }

    /// A name for one job of the queue.
    pub const fn of_job(name: &'static str, job: &'static str) -> Self {
        Self { name, job: Some(job) }
    }
}

/// The worker binaries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Binary {
    /// `bulrush-worker-enrichment`: everything that brings data in.
    Enrichment,
    /// `bulrush-worker-competitor`: reading other people's pages.
    Competitor,
    /// `bulrush-worker-analytics`: everything that is computed from the data, and what goes out to people.
    Analytics,
    /// `bulrush-worker-forecast`: models.
    Forecast,
    /// `bulrush-scheduler`: what becomes jobs of other queues.
    Scheduler,
}

impl Binary {
    /// The file name of the binary.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enrichment => "bulrush-worker-enrichment",
            Self::Competitor => "bulrush-worker-competitor",
            Self::Analytics => "bulrush-worker-analytics",
            Self::Forecast => "bulrush-worker-forecast",
            Self::Scheduler => "bulrush-scheduler",
        }
    }
}

/// Who may add jobs from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Every user, for what is theirs.
    Users,
    /// Administrators and the platform's own code: a job of this queue acts on everybody's data or speaks in the platform's name.
    Internal,
}

/// Checks the data of a job and makes of it what is stored.
pub type Prepare = fn(
    &serde_json::Map<String, serde_json::Value>,
    &Caller<'_>,
    Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems>;

/// One kind of job.
#[derive(Debug, Clone, Copy)]
pub struct JobKind {
    /// Its name.
    pub name: &'static str,
    /// Checks its data; a kind whose processor does not exist yet takes any JSON object.
    pub prepare: Option<Prepare>,
    /// Fields of the data that are never shown, not even sealed.
    pub hidden: &'static [&'static str],
    /// What follows when one of these jobs has completed.
    pub follow_ups: &'static [FollowUp],
}

impl JobKind {
    /// A kind whose payload type comes with its processor.
    pub const fn untyped(name: &'static str) -> Self {
        Self { name, prepare: None, hidden: &[], follow_ups: &[] }
    }

    /// A kind with a payload type.
    pub const fn typed(name: &'static str, prepare: Prepare) -> Self {
        Self { name, prepare: Some(prepare), hidden: &[], follow_ups: &[] }
    }

    /// Never shows these fields.
    pub const fn hiding(self, hidden: &'static [&'static str]) -> Self {
        Self { hidden, ..self }
    }

    /// Has these jobs follow.
    pub const fn followed_by(self, follow_ups: &'static [FollowUp]) -> Self {
        Self { follow_ups, ..self }
    }

    /// Whether its processor exists.
    pub const fn is_implemented(&self) -> bool {
        self.prepare.is_some()
    }
}

/// How much of a queue runs, how often it is tried and how long it is kept.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Slots of one worker process.
    pub concurrency: u32,
    /// Jobs active at once over all workers; none where only the slots bound it.
    pub concurrency_global: Option<u32>,
    /// Jobs of one group active at once over all workers.
    pub concurrency_group: Option<u32>,
    /// Total tries.
    pub attempts: u32,
    /// Pauses between tries.
    pub backoff: Growth,
    /// Starts over all workers.
    pub rate: Option<RateLimit>,
    /// Longest run of one attempt, ms.
    pub timeout_ms: u64,
    /// How long finished jobs are kept.
    pub retention: Retention,
    /// Jobs not yet started above which adds from outside are refused.
    pub depth_max: Option<u64>,
    /// What follows its jobs, of what is declared.
    pub follow_ups: FollowUps,
}

/// Pauses that grow: `base × factor^(attempt − 1)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Growth {
    /// The first pause, ms.
    pub base_ms: u64,
    /// What each further failure multiplies it by.
    pub factor: f64,
}

impl Growth {
    /// 2 s, 4 s, 8 s …
    pub const DEFAULT: Self = Self { base_ms: 2_000, factor: 2.0 };
    /// 5 s, 25 s, 125 s …: for the outside world, which takes longer to recover.
    pub const OUTSIDE: Self = Self { base_ms: 5_000, factor: 5.0 };

    /// The engine's form of it.
    pub fn backoff(self) -> Backoff {
        Backoff::exponential(self.base_ms, self.factor)
    }
}

/// How the seed documents call the settings of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SeedVariables {
    /// Slots per process.
    pub concurrency: &'static [&'static str],
    /// Longest run, ms.
    pub timeout: &'static [&'static str],
}
