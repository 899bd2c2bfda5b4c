//! What can go wrong with a call, and what to do about it.

use std::path::PathBuf;
use std::sync::Arc;

use crate::model::{BoundError, CheckError, InvalidId, InvalidName, JobState};

/// Result of a call to a backend.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a call. Nothing was changed unless a variant says otherwise.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A job of the call cannot be added as it is.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// Something is too large.
    #[error(transparent)]
    Bound(#[from] BoundError),
    /// A queue name is not allowed.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A job id is not allowed.
    #[error(transparent)]
    Id(#[from] InvalidId),
    /// Queue settings that cannot be used.
    #[error("the queue cannot be set like this: {}", problems.join("; "))]
    Config {
        /// All that is wrong.
        problems: Vec<String>,
    },
    /// A payload that JSON cannot say.
    #[error("the payload cannot be written as JSON: {reason}")]
    Payload {
        /// Why.
        reason: String,
    },
    /// A cursor that this queue did not issue.
    #[error("cursor {cursor:?} was not issued by this queue; start again without one")]
    Cursor {
        /// What was given.
        cursor: String,
    },
    /// A call that arrived after a later one of the same worker.
    #[error("call {call} of the worker arrived after call {last}; it was not carried out")]
    StaleCall {
        /// The late call.
        call: u64,
        /// The last one carried out.
        last: u64,
    },
    /// The command does not apply to jobs in this state.
    #[error("{command} does not apply to {state} jobs")]
    WrongState {
        /// What was asked.
        command: &'static str,
        /// The state.
        state: JobState,
    },
    /// Live workers run jobs of the queue.
    #[error("{active} jobs are running under live workers; stop them first, or force it")]
    Busy {
        /// How many.
        active: u64,
    },
    /// A backend address that is not understood.
    #[error("backend address {url:?} is not understood: use memory: or file:PATH")]
    Url {
        /// What was given, without a password.
        url: String,
    },
    /// The store's directory is in use.
    #[error("the store {} is in use by another process; stop that one first, or give another directory", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// The store's files are not what was written.
    #[error(
        "the store is damaged: {} at byte {offset}: {reason}; nothing was changed. Restore the directory from a backup, or move it \
         away to start empty", path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A newer version wrote the store.
    #[error(
        "{} has format {found}, this version reads formats up to {known}; upgrade before you open this store. Nothing was changed",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this version reads.
        known: u32,
    },
    /// The disk is full. The call may or may not be found carried out after a restart; what was acknowledged will be.
    #[error(
        "no space is left for the store's file {}: free some and restart; nothing that was acknowledged is lost", path.display()
    )]
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The store could not be read or written. A failed write may or may not be found after a restart; until then every call fails
    /// like this one.
    #[error("the store could not {action} {}", path.display())]
    Storage {
        /// What was attempted.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The backend was closed.
    #[error("the backend is closed")]
    Closed,
    /// The backend did not answer; the call may or may not have been carried out. Repeat it: every call may be repeated.
    #[error("the backend is unreachable: {reason}")]
    Unreachable {
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Whether the same call may succeed later without anybody's help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}
