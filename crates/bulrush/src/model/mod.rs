//! The words everybody uses: ids, states, jobs, outcomes, limits. Plain data, no behaviour that needs a clock or IO.

mod backoff;
mod bounds;
pub(crate) mod codec;
mod config;
mod event;
mod id;
mod job;
mod new_job;
mod outcome;
mod page;
mod rollup;
mod schedule;
mod scope;
mod state;
mod token;

pub use backoff::{Backoff, Curve, Jitter};
pub(crate) use bounds::Load;
pub use bounds::{Bound, BoundError, Bounds};
pub use config::{GroupConfig, Keep, QueueConfig, RateLimit, Retention};
pub use event::{Event, EventKind, EventPage};
pub use id::{InvalidId, InvalidName, JobId, QueueName};
pub use job::{
    ActiveRun, Attempt, Child, ChildState, ErrorKind, JobError, JobView, Owner, Parent, Progress, Spec,
    Status,
};
pub(crate) use new_job::no_tags;
pub use new_job::{CheckError, ChildFailure, Dedup, NewChild, NewJob, When};
pub use outcome::{Finished, Outcome, Taken};
pub use page::{Counts, JobFilter, JobPage, PageRequest};
pub use rollup::{HISTOGRAM_BOUNDS_MS, Histogram, Rollup};
pub use schedule::{
    InvalidScheduleId, JobTemplate, Missed, Overlap, Recurrence, ScheduleError, ScheduleId, SchedulePage,
    ScheduleSlot, ScheduleSpec, ScheduleState, ScheduleView, UnreadableSchedule,
};
pub use scope::Scope;
pub use state::{Cause, JobState};
pub use token::{Token, WorkerId};

/// Milliseconds since the Unix epoch, by the backend's clock.
pub type Millis = u64;
