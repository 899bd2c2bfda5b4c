//! The port: what a backend does for a queue, split by role, in batches.
//!
//! Its operations are the core's commands ([`crate::core`] is their executable meaning); an adapter gives them a place to live.
//! Every operation may be repeated after a lost reply without harm. Expected outcomes are values; [`Error`] is for what the caller
//! could not foresee or must mend. The API holds [`Enqueue`] and [`Inspect`] only, so it cannot take work even by accident.
//!
//! Every call is bounded by the queue's [`Bounds`](crate::model::Bounds): at most `call_items` items and `call_bytes` bytes of
//! payload, or nothing is changed and a [`BoundError`](crate::model::BoundError) names the bound. Who has more splits it.

mod command;
mod condition;
mod error;
mod reply;
mod schedule;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

pub use command::{
    AdminCommand, Delivery, OutboxEntry, Renew, Resume, Step, Update, UpdateChange, WorkerInfo,
};
pub use condition::{Check, Condition, Durability, Verdict, size};
pub use error::{Error, Result, ServerFault};
pub use reply::{
    AddOutcome, AddReply, Added, AdminReply, AdminResult, Explanation, Finding, Maintained, QueueInfo,
    Reason, RenewReply, ResumeReply, ServerUsage, Settled, StepReply, Totals, VerifyPage, WorkerState,
};

pub use schedule::{
    DuePlace, DueSchedules, Fire, FireReply, Fired, Put, PutOutcome, PutReply, ScheduleChange, ScheduleResult,
};

use crate::model::{
    Child, EventPage, Finished, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName,
    Rollup, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};

/// A boxed future, so that backends can be chosen at run time. One is made per batch, not per job.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Puts jobs in.
pub trait Enqueue: Send + Sync {
    /// Adds jobs, each with the jobs it waits for. Returns when the backend has acknowledged them.
    ///
    /// An id that exists changes nothing and is reported as such. The reply carries what must reach other queues; whoever asked
    /// delivers it (see [`crate::flow`]), and maintenance delivers what was left.
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>>;
}

/// Reads a queue.
pub trait Inspect: Send + Sync {
    /// The backend's clock.
    fn now(&self) -> BoxFuture<'_, Result<Millis>>;
    /// How the place where the queues live was when it was last looked at; asks nobody. A server is looked at when it is opened, and once
    /// a minute from then on.
    fn condition(&self) -> Arc<Condition> {
        Arc::default()
    }
    /// Names of the queues that somebody made, sorted: by leaving anything in them (a job, a pause, a worker's hello) or by giving
    /// them settings. Reading and waiting make no queue, nor does a call that fails or changes nothing.
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>>;
    /// Jobs by id, in the order asked; none for unknown ones.
    fn get<'a>(
        &'a self,
        queue: &'a QueueName,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>>;
    /// The same, with jobs outside `scope` as absent as unknown ones.
    fn get_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        Box::pin(async move {
            let found = self.get(queue, ids).await?;
            Ok(found
                .into_iter()
                .map(|job| job.filter(|job| scope.admits(job.spec.owner.as_deref())))
                .collect())
        })
    }
    /// A page of jobs.
    fn page<'a>(&'a self, queue: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>>;
    /// Counts, limits in force, settings.
    fn info<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>>;
    /// A parent's children from the `offset`th on.
    fn children<'a>(
        &'a self,
        queue: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>>;
    /// Log lines of a job: the kept ones from line `offset` (counted from 0 since the job was added), with their numbers.
    fn logs<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>>;
    /// Events after a position; waits up to `wait` for the first one.
    fn events<'a>(
        &'a self,
        queue: &'a QueueName,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>>;
    /// Roll-ups since a moment, oldest first: by the minute (kept 24 h) or by the hour (kept 30 days).
    fn history<'a>(
        &'a self,
        queue: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>>;
    /// Live workers and what each runs.
    fn workers<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>>;
    /// Which rules keep a job from running; none for an unknown job.
    fn explain<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
    ) -> BoxFuture<'a, Result<Option<Explanation>>>;
    /// Checks the invariants over a slice of the queue, from `cursor` (0 first) on.
    fn verify<'a>(
        &'a self,
        queue: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>>;
}

/// Does the work.
pub trait Work: Send + Sync {
    /// Settles what has ended and takes what fits: the hot path.
    fn step<'a>(&'a self, queue: &'a QueueName, step: Step) -> BoxFuture<'a, Result<StepReply>>;
    /// Waits until there may be something to take: an add, an earlier due time, a freed cap, a resume; or until `until`.
    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>>;
    /// Says hello, at start and after any unanswered call: every job of this worker that it does not name goes back to the head.
    fn resume<'a>(&'a self, queue: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>>;
    /// Progress, log lines and data of running jobs.
    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>>;
    /// Renews a worker's lease and does a slice of maintenance. Called from a thread of its own, so it blocks.
    ///
    /// # Errors
    /// As the other operations.
    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply>;
}

/// Keeps a queue in order, and does what an administrator asks.
pub trait Maintain: Send + Sync {
    /// One bounded pass: promotes due jobs, rescues jobs of dead workers, trims what retention lets go. Says whether more is left.
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>>;
    /// Replaces the queue's settings.
    fn configure<'a>(&'a self, queue: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>>;
    /// Does what an administrator asks.
    fn admin<'a>(&'a self, queue: &'a QueueName, command: AdminCommand) -> BoxFuture<'a, Result<AdminReply>> {
        self.admin_within(queue, &Scope::All, command)
    }
    /// Does what somebody asks to the jobs within `scope`; others are as unknown. Whose job it is is found out in the same step that
    /// changes it.
    ///
    /// # Errors
    /// [`Error::Unscoped`] for a command that names no job, unless the scope is everything.
    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>>;
    /// Takes in entries of `source`'s outbox that are for this queue; the reply is what this one's outbox holds because of it.
    ///
    /// An entry is known by its source, number and time: taken in again, it changes nothing. One entry alone is never too large,
    /// because it was admitted where it was made.
    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>>;
    /// Forgets outbox entries that were delivered.
    fn acknowledge<'a>(&'a self, queue: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>>;
}

/// Keeps schedules, and fires them.
pub trait Schedules: Send + Sync {
    /// Makes schedules be as they are asked for, or makes them if they were never there: all of them, or none. One answer each, in the order
    /// given.
    ///
    /// What is there already as it is asked for stays as it is, down to its revision and next slot. As long as its timing (recurrence, start,
    /// end, limit, enabled) stays, so does its next slot; a new timing counts from now on. One that cannot be read is replaced by whoever may
    /// touch all.
    ///
    /// # Errors
    /// [`Error::SchedulePut`] for the first that cannot be as it is asked for, one that would never fire among them, [`Error::Bound`] for more
    /// than a call may carry; nothing was changed.
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>>;
    /// As [`put_schedules`](Self::put_schedules), of one.
    ///
    /// # Errors
    /// [`Error::Schedule`] for one that cannot be as it is asked for, one that would never fire among them; nothing was changed.
    fn put_schedule<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        spec: ScheduleSpec,
        put: Put,
    ) -> BoxFuture<'a, Result<PutReply>> {
        Box::pin(async move {
            let replies = self.put_schedules(queue, scope, vec![spec], put).await;
            let one = replies.map_err(Error::of_one_schedule)?.pop();
            one.ok_or_else(|| Error::Unreadable {
                what: "the answer to a put".to_owned(),
                reason: "it tells of no schedule".to_owned(),
            })
        })
    }
    /// Removes, enables or disables schedules; one answer each, in the order given. One that is enabled goes on with its first slot from now
    /// on: those that passed meanwhile are no missed ones. The jobs that schedules have added stay.
    ///
    /// # Errors
    /// [`Error::Schedule`] where one that is to be enabled has an expression or a zone that this version does not understand,
    /// [`Error::Unreadable`] where one that is to be enabled or disabled cannot be read; nothing was changed. It can be removed by whoever may
    /// touch all.
    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>>;
    /// Schedules by id, in the order asked; none for unknown ones and for those outside `scope`.
    ///
    /// # Errors
    /// [`Error::Unreadable`] where one of them is there and cannot be read; whoever wants the others all the same lists them.
    fn get_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>>;
    /// Schedules within `scope` by id, from the one after `after` on: at most `limit` (up to 1,000), and as many as a call may carry. Those that
    /// cannot be read are told apart.
    fn list_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>>;
    /// Schedules whose next slot has come, by slot, from the ones behind a place on: at most `limit` (up to 1,000), and as many as a call may
    /// carry. Those that cannot be read are told apart, and hold up none.
    fn due_schedules_after<'a>(
        &'a self,
        queue: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>>;
    /// The first schedules whose next slot has come; see [`due_schedules_after`](Self::due_schedules_after).
    fn due_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        self.due_schedules_after(queue, None, limit)
    }
    /// Fires slots: adds each one's job and moves its schedule on, in one step, and only where the schedule still stands at the slot and
    /// revision told. So whoever asks, and however often, each slot fires once. A depth limit does not hold these jobs back.
    ///
    /// The items of a call are carried out in order; one may go on where one before it has moved its schedule.
    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>>;
    /// Waits until a slot after `from` has come, be it one of a schedule that is put meanwhile; or until `until`. Slots that have come before
    /// are no reason to end: whoever waits has looked at them. May end early.
    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>>;
    /// Waits until a schedule is due, be it one that is put meanwhile; or until `until`. May end early.
    fn wait_due<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        self.wait_due_after(queue, 0, until)
    }
}

/// All roles together, and the end.
pub trait Backend: Enqueue + Inspect + Work + Maintain + Schedules {
    /// What kind of backend, for reports: `memory`, `file`, `redis`.
    fn kind(&self) -> &'static str;
    /// Whether a call can be carried out and its answer be lost, so that callers must be ready to repeat it.
    fn may_lose_replies(&self) -> bool {
        true
    }
    /// What the server has used, if there is one beside this process.
    fn server_usage(&self) -> BoxFuture<'_, Result<Option<ServerUsage>>> {
        Box::pin(std::future::ready(Ok(None)))
    }
    /// Makes everything acknowledged durable and lets go of what is held (files, locks, connections). Later calls fail.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

impl Step {
    /// A step that settles nothing.
    pub fn take(worker: crate::model::WorkerId, call: u64, want: usize) -> Self {
        Self { worker, call, finished: Vec::new(), want }
    }
    /// A step that takes nothing.
    pub fn settle(worker: crate::model::WorkerId, call: u64, finished: Vec<Finished>) -> Self {
        Self { worker, call, finished, want: 0 }
    }
}
