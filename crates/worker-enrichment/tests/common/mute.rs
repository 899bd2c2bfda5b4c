//! An engine that lets a worker take jobs and then does not hear how they ended: what a worker looks like that dies between
//! its last write and its word to the engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bulrush::model::{
    Child, EventPage, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName, Rollup,
    ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, DuePlace, DueSchedules, Enqueue, Explanation,
    Fire, FireReply, Inspect, Maintain, Maintained, OutboxEntry, Put, PutReply, QueueInfo, Renew, RenewReply,
    Result, Resume, ResumeReply, ScheduleChange, ScheduleResult, Schedules, Settled, Step, StepReply, Update,
    VerifyPage, Work, WorkerState,
};

/// Passes everything on but the ends of jobs.
pub struct Mute {
    inner: Arc<dyn Backend>,
    swallowed: AtomicUsize,
}

impl Mute {
    pub fn new(inner: Arc<dyn Backend>) -> Arc<Self> {
        Arc::new(Self { inner, swallowed: AtomicUsize::new(0) })
    }

    /// Jobs whose end was not heard.
    pub fn swallowed(&self) -> usize {
        self.swallowed.load(Ordering::SeqCst)
    }
}

impl Work for Mute {
    fn step<'a>(&'a self, queue: &'a QueueName, step: Step) -> BoxFuture<'a, Result<StepReply>> {
        if step.finished.is_empty() {
            return self.inner.step(queue, step);
        }
        self.swallowed.fetch_add(step.finished.len(), Ordering::SeqCst);
        Box::pin(std::future::pending())
    }
    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        self.inner.wait(queue, until)
    }
    fn resume<'a>(&'a self, queue: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        self.inner.resume(queue, resume)
    }
    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>> {
        self.inner.update(queue, updates)
    }
    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        self.inner.renew(queue, renew)
    }
}

impl Enqueue for Mute {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        self.inner.add(queue, jobs)
    }
}

impl Inspect for Mute {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        self.inner.now()
    }
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        self.inner.queues()
    }
    fn get<'a>(
        &'a self,
        queue: &'a QueueName,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        self.inner.get(queue, ids)
    }
    fn page<'a>(&'a self, queue: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>> {
        self.inner.page(queue, request)
    }
    fn info<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        self.inner.info(queue)
    }
    fn children<'a>(
        &'a self,
        queue: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>> {
        self.inner.children(queue, parent, offset, limit)
    }
    fn logs<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>> {
        self.inner.logs(queue, job, offset, limit)
    }
    fn events<'a>(
        &'a self,
        queue: &'a QueueName,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>> {
        self.inner.events(queue, after, limit, wait)
    }
    fn history<'a>(
        &'a self,
        queue: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>> {
        self.inner.history(queue, since, hourly)
    }
    fn workers<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>> {
        self.inner.workers(queue)
    }
    fn explain<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
    ) -> BoxFuture<'a, Result<Option<Explanation>>> {
        self.inner.explain(queue, job)
    }
    fn verify<'a>(
        &'a self,
        queue: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>> {
        self.inner.verify(queue, cursor, repair)
    }
}

impl Maintain for Mute {
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        self.inner.maintain(queue)
    }
    fn configure<'a>(&'a self, queue: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        self.inner.configure(queue, config)
    }
    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        self.inner.admin_within(queue, scope, command)
    }
    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        self.inner.deliver(queue, source, entries)
    }
    fn acknowledge<'a>(&'a self, queue: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        self.inner.acknowledge(queue, entries)
    }
}

impl Schedules for Mute {
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        self.inner.put_schedules(queue, scope, specs, put)
    }
    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        self.inner.change_schedules(queue, scope, ids, change)
    }
    fn get_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        self.inner.get_schedules(queue, scope, ids)
    }
    fn list_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        self.inner.list_schedules(queue, scope, after, limit)
    }
    fn due_schedules_after<'a>(
        &'a self,
        queue: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        self.inner.due_schedules_after(queue, after, limit)
    }
    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        self.inner.fire(queue, fires)
    }
    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        self.inner.wait_due_after(queue, from, until)
    }
}

impl Backend for Mute {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
    }
}
