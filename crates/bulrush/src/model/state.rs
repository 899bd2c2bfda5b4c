//! The states of a job and the one table of legal moves between them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Where a job is in its life. Every job is in exactly one state at every moment anybody can observe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobState {
    /// Ready to run, in order.
    Waiting,
    /// Not due yet, or backing off.
    Delayed,
    /// A flow's parent whose children have not all settled.
    WaitingChildren,
    /// Taken by a worker that holds its token.
    Active,
    /// Ended well; the result is kept as retention says.
    Completed,
    /// Ended badly: attempts used up, or an error that no retry can help. The dead letter queue.
    Failed,
    /// Ended on request.
    Cancelled,
}

/// What moves a job from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// A worker took it.
    Take,
    /// Its time came, or somebody promoted it.
    Due,
    /// The last child settled, or a child's policy let it start.
    ChildrenSettled,
    /// A child failed and its policy fails the parent.
    ChildFailed,
    /// The worker completed it.
    Complete,
    /// The worker gave up on it for good, or it crashed its workers too often.
    Fail,
    /// The worker asks for another time (retry or snooze).
    Again,
    /// Given back: released at a shutdown, rescued, or limited by its upstream.
    Return,
    /// A request to cancel took effect.
    Cancel,
    /// Somebody retried it by hand.
    Retry,
    /// Somebody moved its time.
    Reschedule,
}

impl JobState {
    /// All states, in the order in which reports list them.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Delayed,
        Self::WaitingChildren,
        Self::Active,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
    ];

    /// The legal moves. Whatever is not in this table cannot happen.
    pub fn can_become(self, next: Self, cause: Cause) -> bool {
        use Cause as C;
        use JobState as S;
        matches!(
            (self, cause, next),
            (S::Waiting, C::Take, S::Active)
                | (S::Delayed, C::Due, S::Waiting)
                | (S::Waiting | S::Delayed, C::Reschedule, S::Waiting | S::Delayed)
                | (S::WaitingChildren, C::ChildrenSettled, S::Waiting | S::Delayed)
                | (S::WaitingChildren, C::ChildFailed, S::Failed)
                | (S::Active, C::Complete, S::Completed)
                | (S::Active, C::Fail, S::Failed)
                | (S::Active, C::Again, S::Delayed | S::Waiting)
                | (S::Active, C::Return, S::Waiting)
                | (S::Waiting | S::Delayed | S::WaitingChildren | S::Active, C::Cancel, S::Cancelled)
                | (S::Failed | S::Cancelled, C::Retry, S::Waiting)
        )
    }

    /// Whether the job's life is over unless somebody retries it.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }

    /// The state's name in APIs, logs and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Waiting => b'w',
            Self::Delayed => b'd',
            Self::WaitingChildren => b'p',
            Self::Active => b'a',
            Self::Completed => b'c',
            Self::Failed => b'f',
            Self::Cancelled => b'x',
        }
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.code() == code)
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that is no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not a job state: use waiting, delayed, waiting-children, active, completed, failed or cancelled"
)]
pub struct UnknownState(String);

impl FromStr for JobState {
    type Err = UnknownState;
    fn from_str(s: &str) -> Result<Self, UnknownState> {
        Self::ALL
            .into_iter()
            .find(|state| state.as_str() == s)
            .ok_or_else(|| UnknownState(s.chars().take(40).collect()))
    }
}
