//! What a backend is asked to do.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::model::{
    ChildState, Finished, JobId, JobState, Millis, NewJob, Progress, QueueName, Rollup, Token, When, WorkerId,
};

/// Settle and take in one call. A worker says hello ([`Resume`]) before its first step; a worker that the store does not know (any
/// more) may settle, but takes nothing until it has.
#[derive(Debug, Clone)]
pub struct Step {
    /// Who asks.
    pub worker: WorkerId,
    /// The worker's own number of this call, growing. A repeat of the last number gets the stored answer; a smaller one is refused.
    pub call: u64,
    /// What has ended.
    pub finished: Vec<Finished>,
    /// Free slots.
    pub want: usize,
}

/// A worker's hello.
#[derive(Debug, Clone)]
pub struct Resume {
    /// Who it is.
    pub info: WorkerInfo,
    /// Call number, from the same sequence as steps: a step that was sent before and arrives later is refused.
    pub call: u64,
    /// What it runs, each with the token of its take: a take of the same job whose answer got lost is not it.
    pub running: Vec<(JobId, Token)>,
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Renew {
    /// Who it is: a backend that lost its worker table learns it anew.
    pub info: WorkerInfo,
    /// Number of this set of roll-ups, growing; a repeat adds nothing twice.
    pub rollup_seq: u64,
    /// What the worker did since the last ones, by minute.
    pub rollups: Vec<Rollup>,
}

/// A worker as others see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WorkerInfo {
    /// Random for each start.
    pub id: WorkerId,
    /// For people: host, process, binary.
    pub name: String,
    /// Jobs it runs at once.
    pub slots: usize,
    /// Version of the program.
    pub version: String,
    /// When it started, by its own clock.
    pub started: Millis,
}

/// A running job's write.
#[derive(Debug, Clone)]
pub struct Update {
    /// Which job.
    pub id: JobId,
    /// The right to write.
    pub token: Token,
    /// What to write.
    pub change: UpdateChange,
}

/// What a running job may write.
#[derive(Debug, Clone)]
pub enum UpdateChange {
    /// How far it is.
    Progress(Progress),
    /// Log lines, added to those that are there.
    Log {
        /// How many lines this run has written before these: what a repeat brings again is left out.
        from: u32,
        /// The lines.
        lines: Vec<String>,
    },
    /// New data, for the next attempt to go on from.
    Data(Bytes),
}

impl UpdateChange {
    /// What it adds to a call: items and bytes of payload.
    pub(crate) fn load(&self) -> (usize, usize) {
        match self {
            Self::Progress(progress) => (1, progress.data.as_ref().map_or(0, Bytes::len)),
            Self::Log { lines, .. } => (lines.len(), lines.iter().map(String::len).sum()),
            Self::Data(data) => (1, data.len()),
        }
    }
}

/// What one queue has to tell another, held until it is acknowledged.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxEntry {
    /// Its number in the queue that holds it.
    pub seq: u64,
    /// When it was written.
    pub at: Millis,
    /// For whom.
    pub target: QueueName,
    /// What.
    pub delivery: Delivery,
}

impl OutboxEntry {
    /// What it adds to a call: items and bytes of payload.
    pub(crate) fn load(&self) -> (usize, usize) {
        match &self.delivery {
            Delivery::Add(job) => (job.tree_len(), job.tree_bytes()),
            Delivery::ChildSettled { state: ChildState::Completed { result }, .. } => {
                (1, result.as_ref().map_or(0, Bytes::len))
            }
            Delivery::ChildSettled { .. } | Delivery::CancelChild { .. } => (1, 0),
        }
    }
}

/// What one queue tells another.
#[derive(Debug, Clone, PartialEq)]
pub enum Delivery {
    /// A follow-up or a flow's child.
    Add(Box<NewJob>),
    /// A child settled.
    ChildSettled {
        /// The parent, in the target queue.
        parent: JobId,
        /// The child.
        child: JobId,
        /// How it ended.
        state: ChildState,
    },
    /// The parent is cancelled: a child that has not started need not.
    CancelChild {
        /// The child, in the target queue.
        child: JobId,
        /// Its parent, in the queue that tells: somebody else's job of the same id is left alone.
        parent: JobId,
    },
}

/// What an administrator asks for. Commands on many jobs are bounded: the reply says whether more is left.
#[derive(Debug, Clone)]
pub enum AdminCommand {
    /// Start nothing until resumed.
    Pause,
    /// Start jobs again.
    Unpause,
    /// Stop jobs: a job that has not started is cancelled at once, an active one is asked to stop.
    Cancel(Vec<JobId>),
    /// Remove jobs that are not active.
    Remove(Vec<JobId>),
    /// Remove dead letters: jobs that have failed. Others are left alone.
    Discard(Vec<JobId>),
    /// Run finished jobs again, with all attempts, and with other data if given.
    Retry {
        /// Which.
        ids: Vec<JobId>,
        /// New data for all of them.
        data: Option<Bytes>,
    },
    /// Run dead letters again, oldest first, at most `limit`.
    RetryFailed {
        /// At most so many, up to 1,000.
        limit: usize,
    },
    /// Run delayed jobs now.
    Promote(Vec<JobId>),
    /// Move a waiting or delayed job in time.
    Reschedule {
        /// Which.
        id: JobId,
        /// To when.
        when: When,
    },
    /// Change the priority of a job that has not started.
    SetPriority {
        /// Which.
        id: JobId,
        /// 0 to 2^21.
        priority: u32,
    },
    /// Change the data of a job that is not active.
    SetData {
        /// Which.
        id: JobId,
        /// New payload.
        data: Bytes,
    },
    /// Remove jobs of a state that are older than so many ms (finished jobs: since they finished; others: since they were added).
    Clean {
        /// Any state but active.
        state: JobState,
        /// Older than this, ms.
        older_ms: u64,
        /// At most so many, up to 1,000.
        limit: usize,
    },
    /// Remove all waiting jobs, and the delayed ones too if asked.
    Drain {
        /// Delayed ones too.
        delayed: bool,
        /// At most so many, up to 1,000.
        limit: usize,
    },
    /// Remove everything, schedules too, but the settings and what other queues must still be told; refused while live workers run jobs of
    /// it, unless forced. Default schedules that are asked for afterwards are made again.
    Obliterate {
        /// Even under live workers: what they run is lost to them.
        force: bool,
        /// At most so many, up to 1,000.
        limit: usize,
    },
}

impl AdminCommand {
    /// What a command that names no job is called; none for one that names its jobs.
    pub(crate) fn of_whole_queue(&self) -> Option<&'static str> {
        match self {
            Self::Pause => Some("pause"),
            Self::Unpause => Some("unpause"),
            Self::RetryFailed { .. } => Some("retrying all dead letters"),
            Self::Clean { .. } => Some("clean"),
            Self::Drain { .. } => Some("drain"),
            Self::Obliterate { .. } => Some("obliterate"),
            Self::Cancel(_)
            | Self::Remove(_)
            | Self::Discard(_)
            | Self::Retry { .. }
            | Self::Promote(_)
            | Self::Reschedule { .. }
            | Self::SetPriority { .. }
            | Self::SetData { .. } => None,
        }
    }
}
