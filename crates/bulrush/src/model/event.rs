//! What happened in a queue, in order.

use serde::{Deserialize, Serialize};

use super::{JobId, Millis};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Place in the queue's stream; strictly growing, never issued twice, with gaps across restarts.
    pub position: u64,
    /// When.
    pub at: Millis,
    /// What.
    #[serde(flatten)]
    pub kind: EventKind,
    /// Which job; none for changes of the queue itself.
    pub job: Option<JobId>,
    /// [`Owner::hash64`](super::Owner::hash64) of the job's owner, 0 without one: lets a reader drop other people's events unread.
    pub owner_hash: u64,
}

/// Kinds of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum EventKind {
    /// A job came in; it is in the state that the next event of it tells, or waiting.
    Added,
    /// Ready to run (again).
    Waiting,
    /// Taken by a worker.
    Active,
    /// The handler reported progress.
    Progress {
        /// 0 to 100.
        percent: u8,
    },
    /// Ended well.
    Completed,
    /// Ended badly; a dead letter now.
    Failed,
    /// Failed, and will be tried again.
    Retrying,
    /// Not due yet.
    Delayed,
    /// Lost its worker and was put back.
    Stalled,
    /// Ended on request.
    Cancelled,
    /// Removed by somebody (not by retention).
    Removed,
    /// The queue starts nothing until it is resumed.
    Paused,
    /// The queue starts jobs again.
    Resumed,
    /// Finished jobs were cleaned away.
    Cleaned {
        /// How many.
        count: u32,
    },
    /// The last waiting job was taken.
    Drained,
}

/// Events after a position.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// Read on from here.
    pub next: u64,
    /// The position asked for has fallen out of the window (or was never in it): events are missing before this page.
    pub gap: bool,
}
