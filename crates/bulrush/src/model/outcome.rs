//! How an attempt ended, as the worker tells the backend.

use std::sync::Arc;

use bytes::Bytes;

use super::{Attempt, ErrorKind, JobError, JobId, Millis, NewJob, QueueName, Spec, Token};

/// A job in a worker's hands.
#[derive(Debug, Clone, PartialEq)]
pub struct Taken {
    /// What was asked for.
    pub spec: Arc<Spec>,
    /// The right to write.
    pub token: Token,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Times it lost its worker before.
    pub stalls: u32,
    /// When it was added.
    pub created_at: Millis,
    /// When it was due.
    pub run_at: Millis,
    /// When it was taken.
    pub started: Millis,
    /// Failed attempts before this one, oldest first.
    pub errors: Vec<Attempt>,
    /// It is the parent of a flow: it has waited for its children.
    pub is_parent: bool,
}

/// An attempt that ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The job as it was taken: a backend that keeps packed records writes them anew from it.
    pub job: Arc<Taken>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Finished {
    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.job.spec.id
    }

    /// Makes a failure of an end that the queue does not take: no retry would make it smaller.
    pub(crate) fn refuse(&mut self, error: &impl std::fmt::Display) {
        let message = format!("what the handler returned was refused: {error}");
        self.outcome = Outcome::Fail { error: JobError { kind: ErrorKind::Unrecoverable, message } };
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// Well.
    Complete {
        /// What the handler returned.
        result: Option<Bytes>,
        /// Jobs to add with the completion; their ids must be derived, so that a repeat adds nothing twice.
        follow_ups: Vec<(QueueName, NewJob)>,
    },
    /// Badly, and worth another try. The last attempt's failure is final whatever the worker says.
    Retry {
        /// Pause before the next try, ms.
        after_ms: u64,
        /// What it died of.
        error: JobError,
    },
    /// Badly, for good.
    Fail {
        /// What it died of.
        error: JobError,
    },
    /// Not now: again later, and the attempt does not count.
    Snooze {
        /// Pause, ms.
        after_ms: u64,
    },
    /// The upstream asks for patience: the job goes back to the head, its group pauses (the queue where it has none), and the
    /// attempt does not count.
    RateLimited {
        /// Pause, ms.
        retry_after_ms: u64,
    },
    /// Given back untouched (a shutdown): to the head, and the attempt does not count.
    Release,
    /// The handler stopped because somebody asked for it.
    Cancelled,
}

impl Outcome {
    /// What it adds to a call: items (at least itself) and bytes of payload.
    pub(crate) fn load(&self) -> (usize, usize) {
        match self {
            Self::Complete { result, follow_ups } => {
                let items: usize = follow_ups.iter().map(|(_, job)| job.tree_len()).sum();
                let bytes: usize = follow_ups.iter().map(|(_, job)| job.tree_bytes()).sum();
                (items.max(1), bytes + result.as_ref().map_or(0, Bytes::len))
            }
            // An error's message is cut to its bound.
            Self::Retry { .. }
            | Self::Fail { .. }
            | Self::Snooze { .. }
            | Self::RateLimited { .. }
            | Self::Release
            | Self::Cancelled => (1, 0),
        }
    }
}
