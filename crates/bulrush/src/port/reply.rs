//! What a backend answers.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{OutboxEntry, WorkerInfo};
use crate::model::{Counts, JobId, JobState, Millis, QueueConfig, Taken, Token};

/// What became of each job of an add, in the order given.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AddReply {
    /// One per job.
    pub added: Vec<Added>,
    /// What must reach other queues: a flow's children.
    pub outbox: Vec<OutboxEntry>,
}

/// What became of an add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Added {
    /// The job that now stands for the request: the new one, or the one that was there.
    pub id: JobId,
    /// Whether it is new.
    pub outcome: AddOutcome,
}

/// Whether an added job is new.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddOutcome {
    /// It was added.
    New,
    /// A job with this id exists; nothing was changed.
    SameId {
        /// Its state.
        state: JobState,
    },
    /// The job's dedup key is held by the job named; nothing was changed.
    SameKey,
    /// The job's dedup key is held by the job named, with another fingerprint; nothing was changed.
    KeyConflict,
    /// The queue is at its depth limit; the job was not added.
    Full {
        /// The limit.
        depth_max: u64,
    },
}

impl Added {
    /// Whether this call added the job.
    pub fn is_new(&self) -> bool {
        self.outcome == AddOutcome::New
    }
}

/// What became of a write that carries a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Settled {
    /// Written (now, or by an earlier send of the same call).
    Ok,
    /// The token is not the job's current one: somebody else may run it. Drop the result.
    Stale,
    /// No such job.
    Unknown,
}

/// The answer to a step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StepReply {
    /// What became of each finished job, in the order given.
    pub settled: Vec<Settled>,
    /// Jobs to run.
    pub taken: Vec<Arc<Taken>>,
    /// When the next delayed job is due.
    pub next_due: Option<Millis>,
    /// Until when a rate limit lets nothing start.
    pub limited_until: Option<Millis>,
    /// The queue is paused.
    pub paused: bool,
    /// False: the store did not know this worker; whatever it ran before was given to others, and it took nothing: it must say
    /// hello first.
    pub known: bool,
    /// Jobs of this worker that somebody asked to stop.
    pub cancel: Vec<JobId>,
    /// What must reach other queues.
    pub outbox: Vec<OutboxEntry>,
    /// The backend's clock.
    pub now: Millis,
}

/// The answer to a hello.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResumeReply {
    /// Jobs that went back to the head.
    pub returned: Vec<JobId>,
    /// Jobs that the worker runs but no longer holds.
    pub lost: Vec<JobId>,
}

/// The answer to a sign of life.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RenewReply {
    /// False: the store did not know this worker any more; whatever it ran was given to others.
    pub known: bool,
    /// Running jobs that somebody asked to stop.
    pub cancel: Vec<(JobId, Token)>,
    /// What the pass of maintenance did.
    pub maintained: Maintained,
    /// How long the lease is now, ms: who renews keeps pace when it is changed.
    pub lease_ms: u64,
}

/// What a pass of maintenance did.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Maintained {
    /// Due jobs made waiting.
    pub promoted: usize,
    /// Jobs taken back from dead workers or past their deadline.
    pub rescued: usize,
    /// Finished jobs that retention let go.
    pub trimmed: usize,
    /// Another pass would find more.
    pub more: bool,
    /// Outbox entries that nobody has delivered for a while.
    pub outbox: Vec<OutboxEntry>,
}

/// What became of an administrator's command.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AdminReply {
    /// One per job named, in the order given; empty for commands that name none.
    pub results: Vec<AdminResult>,
    /// Jobs changed.
    pub changed: usize,
    /// More may be left: repeat the command. A call that has changed nothing may still have come closer to what is left.
    pub more: bool,
    /// What must reach other queues.
    pub outbox: Vec<OutboxEntry>,
}

/// What became of one job of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminResult {
    /// Done.
    Done,
    /// An active job was asked to stop; it ends within one renewal.
    Requested,
    /// The job's state does not allow it; nothing was changed.
    WrongState(JobState),
    /// No such job.
    Unknown,
}

/// What a backend's server has used since it started, as it tells itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerUsage {
    /// Processor time of the thread that carries out commands, µs.
    pub cpu_us: u64,
    /// Memory in use, bytes.
    pub memory_bytes: u64,
}

/// A queue at a glance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct QueueInfo {
    /// Jobs by state.
    pub counts: Counts,
    /// Sums since the queue was made.
    pub totals: Totals,
    /// Starts nothing until resumed.
    pub paused: bool,
    /// Until when a limit lets nothing start.
    pub limited_until: Option<Millis>,
    /// When the longest waiting job became ready or was added.
    pub oldest_waiting: Option<Millis>,
    /// When the next delayed job is due.
    pub next_due: Option<Millis>,
    /// Outbox entries not yet acknowledged.
    pub outbox: usize,
    /// Position of the last event.
    pub last_event: u64,
    /// When maintenance last ran.
    pub maintained_at: Option<Millis>,
    /// Groups that have jobs waiting: name and how many.
    pub groups_waiting: Vec<(String, u64)>,
    /// Settings.
    pub config: QueueConfig,
}

/// Sums since a queue was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the fields say what they count")]
pub struct Totals {
    pub added: u64,
    pub completed: u64,
    pub failed: u64,
    pub retried: u64,
    pub cancelled: u64,
    pub stalled: u64,
}

/// A live worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerState {
    /// Who it is.
    pub info: WorkerInfo,
    /// Until when it counts as alive.
    pub lease_until: Millis,
    /// What it runs.
    pub running: Vec<JobId>,
}

/// Why a job is where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Its state.
    pub state: JobState,
    /// The rules that keep it from running, most telling first; empty when nothing does.
    pub reasons: Vec<Reason>,
}

/// A rule that keeps a job from running.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// The job has ended.
    #[error("it has ended: {0}")]
    Ended(JobState),
    /// It runs.
    #[error("it is running on worker {worker} since {since}")]
    Running {
        /// Where.
        worker: crate::model::WorkerId,
        /// Since when.
        since: Millis,
    },
    /// The queue is paused.
    #[error("the queue is paused; resume it")]
    Paused,
    /// Not due yet.
    #[error("it is due at {0}")]
    DueAt(Millis),
    /// Waiting for children.
    #[error("it waits for {0} children")]
    Children(u32),
    /// A rate limit holds the queue.
    #[error("the queue's rate limit lets nothing start until {0}")]
    Limited(Millis),
    /// The queue runs as many as it may.
    #[error("the queue runs {0} jobs at once, as many as it may")]
    Concurrency(u32),
    /// The group runs as many as it may.
    #[error("its group runs {0} jobs at once, as many as it may")]
    GroupConcurrency(u32),
    /// The group was asked for patience.
    #[error("its group is held back until {0}, as its upstream asked")]
    GroupLimited(Millis),
    /// Nobody works on the queue.
    #[error("no worker of this queue is alive; start one")]
    NoWorker,
    /// Others come first.
    #[error("{0} jobs are before it")]
    Behind(u64),
}

/// What a slice of a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifyPage {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Records looked at.
    pub checked: usize,
    /// Go on from here; none at the end.
    pub next: Option<u64>,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Number of the invariant, 1 to 8, as ARCHITECTURE.md lists them.
    pub invariant: u8,
    /// Which job, if one.
    pub job: Option<JobId>,
    /// What was found.
    pub text: String,
    /// Whether it was put right.
    pub repaired: bool,
}
