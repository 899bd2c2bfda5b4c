//! The door to the store: what goes through is forwarded as it is, and the answers to settles are written to the journal. With a seeded
//! bug ([`crate::wrong`]) it is forwarded wrongly.

use std::sync::Arc;
use std::time::Duration;

use bulrush::model::{
    Child, EventPage, JobId, JobPage, JobView, Millis, NewJob, Outcome, PageRequest, QueueConfig, QueueName,
    Rollup, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, Condition, DuePlace, DueSchedules, Enqueue,
    Explanation, Fire, FireReply, Inspect, Maintain, Maintained, OutboxEntry, Put, PutReply, QueueInfo,
    Renew, RenewReply, Result, Resume, ResumeReply, ScheduleChange, ScheduleResult, Schedules, ServerUsage,
    Settled, Step, StepReply, Update, VerifyPage, Work, WorkerState,
};

use crate::journal::{Journal, What};
use crate::wrong::{Bug, Wrong};

/// A store behind a door.
pub struct Door {
    store: Arc<dyn Backend>,
    journal: Journal,
    wrong: Option<Wrong>,
}

impl Door {
    /// A door to a store.
    pub fn new(store: Arc<dyn Backend>, journal: Journal, bug: Option<Bug>) -> Self {
        Self { store, journal, wrong: bug.map(Wrong::new) }
    }
}

impl Enqueue for Door {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        match &self.wrong {
            Some(wrong) => Box::pin(wrong.add(&*self.store, queue, jobs)),
            None => self.store.add(queue, jobs),
        }
    }
}

impl Work for Door {
    fn step<'a>(&'a self, queue: &'a QueueName, step: Step) -> BoxFuture<'a, Result<StepReply>> {
        Box::pin(async move {
            let asked: Vec<(JobId, String, bool)> = step
                .finished
                .iter()
                .map(|finished| {
                    let completes = matches!(finished.outcome, Outcome::Complete { .. });
                    (finished.id().clone(), finished.job.token.to_string(), completes)
                })
                .collect();
            let reply = match &self.wrong {
                Some(wrong) => wrong.step(&*self.store, queue, step).await?,
                None => self.store.step(queue, step).await?,
            };
            let lines = asked.into_iter().zip(&reply.settled).map(|((job, token, completed), answer)| {
                What::Settle { job: job.to_string(), token, completed, accepted: *answer == Settled::Ok }
            });
            self.journal.write_all(lines);
            Ok(reply)
        })
    }

    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        self.store.wait(queue, until)
    }

    fn resume<'a>(&'a self, queue: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        match &self.wrong {
            Some(wrong) => Box::pin(wrong.resume(&*self.store, queue, resume)),
            None => self.store.resume(queue, resume),
        }
    }

    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>> {
        self.store.update(queue, updates)
    }

    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        self.store.renew(queue, renew)
    }
}

impl Inspect for Door {
    fn condition(&self) -> Arc<Condition> {
        self.store.condition()
    }

    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        self.store.now()
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        self.store.queues()
    }

    fn get<'a>(
        &'a self,
        queue: &'a QueueName,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        self.store.get(queue, ids)
    }

    fn page<'a>(&'a self, queue: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>> {
        self.store.page(queue, request)
    }

    fn info<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        self.store.info(queue)
    }

    fn children<'a>(
        &'a self,
        queue: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>> {
        self.store.children(queue, parent, offset, limit)
    }

    fn logs<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>> {
        self.store.logs(queue, job, offset, limit)
    }

    fn events<'a>(
        &'a self,
        queue: &'a QueueName,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>> {
        self.store.events(queue, after, limit, wait)
    }

    fn history<'a>(
        &'a self,
        queue: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>> {
        self.store.history(queue, since, hourly)
    }

    fn workers<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>> {
        self.store.workers(queue)
    }

    fn explain<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
    ) -> BoxFuture<'a, Result<Option<Explanation>>> {
        self.store.explain(queue, job)
    }

    fn verify<'a>(
        &'a self,
        queue: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>> {
        self.store.verify(queue, cursor, repair)
    }
}

impl Maintain for Door {
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        self.store.maintain(queue)
    }

    fn configure<'a>(&'a self, queue: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        self.store.configure(queue, config)
    }

    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        self.store.admin_within(queue, scope, command)
    }

    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        self.store.deliver(queue, source, entries)
    }

    fn acknowledge<'a>(&'a self, queue: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        self.store.acknowledge(queue, entries)
    }
}

impl Schedules for Door {
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        self.store.put_schedules(queue, scope, specs, put)
    }
    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        self.store.change_schedules(queue, scope, ids, change)
    }
    fn get_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        self.store.get_schedules(queue, scope, ids)
    }
    fn list_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        self.store.list_schedules(queue, scope, after, limit)
    }
    fn due_schedules_after<'a>(
        &'a self,
        queue: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        self.store.due_schedules_after(queue, after, limit)
    }
    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        match &self.wrong {
            Some(wrong) => Box::pin(wrong.fire(&*self.store, queue, fires)),
            None => self.store.fire(queue, fires),
        }
    }
    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        self.store.wait_due_after(queue, from, until)
    }
}

impl Backend for Door {
    fn kind(&self) -> &'static str {
        self.store.kind()
    }

    fn may_lose_replies(&self) -> bool {
        self.store.may_lose_replies()
    }

    fn server_usage(&self) -> BoxFuture<'_, Result<Option<ServerUsage>>> {
        self.store.server_usage()
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.store.close()
    }
}
