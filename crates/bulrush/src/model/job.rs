//! A job: what was asked for (fixed), how it stands (changing), and the two together as anybody may read them.

use std::hash::Hasher;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::new_job::ChildFailure;
use super::{Backoff, Dedup, JobId, JobState, Millis, QueueName, ScheduleSlot, Token, WorkerId};

/// What was asked for. Shared by reference from the producer to the handler; only an administrator changes it.
#[derive(Debug, Clone, PartialEq)]
pub struct Spec {
    /// The job's id.
    pub id: JobId,
    /// What kind of job: a worker finds the handler by it.
    pub name: Arc<str>,
    /// Payload, JSON by convention; the engine never looks into it.
    pub data: Bytes,
    /// 0 is first, 2^21 last.
    pub priority: u32,
    /// Total tries.
    pub attempts: u32,
    /// Runs before the others of its priority instead of after them.
    pub lifo: bool,
    /// Longest run of one attempt, ms.
    pub timeout_ms: Option<u64>,
    /// When a failed attempt is tried again; the worker's default where none is given.
    pub backoff: Option<Arc<Backoff>>,
    /// Fairness group, say a tenant.
    pub group: Option<Arc<str>>,
    /// To whom the job belongs.
    pub owner: Option<Arc<Owner>>,
    /// Words to find it by.
    pub tags: Arc<[Arc<str>]>,
    /// Holds this key until it ends or is removed, or for the key's own time.
    pub dedup: Option<Arc<Dedup>>,
    /// The flow's parent that waits for this job.
    pub parent: Option<Arc<Parent>>,
    /// W3C trace context of whoever added it.
    pub traceparent: Option<Arc<str>>,
    /// Which slot of which schedule it is of.
    pub schedule: Option<Arc<ScheduleSlot>>,
}

/// To whom a job belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Owner {
    /// The tenant (organization); empty where there is only one.
    pub tenant: String,
    /// The user.
    pub user: String,
}

impl Owner {
    /// 64 bits that stand for the owner in events: equal owners have equal hashes, on every backend and version (FNV-1a).
    pub fn hash64(&self) -> u64 {
        struct Fnv(u64);
        impl Hasher for Fnv {
            fn finish(&self) -> u64 {
                self.0
            }
            fn write(&mut self, bytes: &[u8]) {
                for b in bytes {
                    self.0 = (self.0 ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
        let mut fnv = Fnv(0xcbf2_9ce4_8422_2325);
        fnv.write(self.tenant.as_bytes());
        fnv.write(&[0]);
        fnv.write(self.user.as_bytes());
        fnv.finish()
    }
}

/// The parent that a child reports to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// Its queue.
    pub queue: QueueName,
    /// Its id.
    pub id: JobId,
    /// What the child's failure means to it.
    pub on_failure: ChildFailure,
}

/// How a job stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Status {
    /// Where it is.
    pub state: JobState,
    /// When it was added.
    pub created_at: Millis,
    /// When it may run, or might have run first.
    pub run_at: Millis,
    /// Tries so far, the running one included.
    pub attempts_made: u32,
    /// Times it lost its worker.
    pub stalls: u32,
    /// Times it was taken.
    pub run: u32,
    /// When the last attempt started.
    pub processed_on: Option<Millis>,
    /// When it ended.
    pub finished_on: Option<Millis>,
    /// What the handler last reported.
    pub progress: Option<Arc<Progress>>,
    /// What the handler returned.
    pub result: Option<Bytes>,
    /// The last failed attempts, oldest first.
    pub errors: Vec<Attempt>,
    /// Log lines written so far, trimmed ones included.
    pub log_lines: u32,
    /// The token that settled it last: a repeat of that settle is answered ok.
    pub settled_by: Option<Token>,
}

/// What a handler reports while it works.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// In words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// As JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<Bytes>,
}

/// Why an attempt ended without success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// Worth another try.
    Retryable,
    /// No retry can help.
    Unrecoverable,
    /// It ran longer than allowed.
    Timeout,
    /// The handler panicked.
    Panic,
    /// Its worker died or stalled while it ran, more often than allowed.
    Crashed,
    /// A child failed whose failure fails the parent.
    ChildFailed,
}

/// What an attempt died of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobError {
    /// What sort of failure.
    pub kind: ErrorKind,
    /// In words, cut to the queue's bound.
    pub message: String,
}

/// A failed attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attempt {
    /// Which try, from 1; 0 for a failure without one (a failed child).
    pub attempt: u32,
    /// Who ran it.
    pub worker: WorkerId,
    /// When it started.
    pub started: Millis,
    /// When it ended.
    pub ended: Millis,
    /// What it died of.
    #[serde(flatten)]
    pub error: JobError,
}

/// A job as anybody may read it.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// Its queue.
    pub queue: QueueName,
    /// What was asked for.
    pub spec: Arc<Spec>,
    /// How it stands.
    pub status: Status,
    /// While it is active: who runs it.
    pub active: Option<ActiveRun>,
    /// Children that a parent still waits for.
    pub children_pending: u32,
}

impl JobView {
    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.spec.id
    }
    /// Where it is.
    pub fn state(&self) -> JobState {
        self.status.state
    }
    /// The last error's message: why it failed.
    pub fn failed_reason(&self) -> Option<&str> {
        self.status.errors.last().map(|attempt| attempt.error.message.as_str())
    }
}

/// Who runs a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveRun {
    /// The token of the take.
    pub token: Token,
    /// When it was taken.
    pub started: Millis,
    /// When it is rescued even from a live worker.
    pub deadline: Option<Millis>,
    /// Somebody asked for it to stop.
    pub cancel_requested: bool,
}

/// A parent's view of a child.
#[derive(Debug, Clone, PartialEq)]
pub struct Child {
    /// The child's queue.
    pub queue: QueueName,
    /// The child's id.
    pub id: JobId,
    /// How it stands.
    pub state: ChildState,
}

/// How a child stands, as its parent was told.
#[derive(Debug, Clone, PartialEq)]
pub enum ChildState {
    /// Not settled yet.
    Pending,
    /// Ended well.
    Completed {
        /// What it returned.
        result: Option<Bytes>,
    },
    /// Failed, was cancelled or was removed.
    Failed {
        /// Why.
        reason: String,
    },
}
