//! A store that keeps facts and begins anew from them: the jobs are kept, who works on them and until when is forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bulrush::clock::Clock;
use bulrush::core::{Core, Fact, FactSink};
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
use tokio::sync::Notify;

use super::bug::Bug;
use crate::facts::Store as Facts;

/// Queues that live as long as nobody makes the store begin anew.
pub struct Kept {
    clock: Arc<dyn Clock>,
    bug: Option<Bug>,
    queues: Mutex<BTreeMap<QueueName, Arc<Cell>>>,
}

struct Cell {
    state: Mutex<(Core, Facts)>,
    work: Notify,
}

impl Cell {
    fn state(&self) -> MutexGuard<'_, (Core, Facts)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps facts but for those that a bug makes it forget.
struct Keeping<'a>(&'a mut Facts, Option<Bug>);

impl FactSink for Keeping<'_> {
    fn keep(&mut self, fact: Fact<'_>) {
        if !(self.1 == Some(Bug::StartsForgotten) && matches!(fact, Fact::Rate { .. })) {
            self.0.keep(fact);
        }
    }
}

impl Kept {
    pub fn new(clock: Arc<dyn Clock>, bug: Option<Bug>) -> Self {
        Self { clock, bug, queues: Mutex::default() }
    }

    /// Builds every queue from its facts alone. The workers are not told.
    pub fn begin_anew(&self) {
        let cells = self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (queue, cell) in cells {
            let mut state = cell.state();
            let now = self.clock.now();
            state.0 = state.1.rebuild(&queue, now);
            if self.bug == Some(Bug::LeasesTakenForOver) {
                state.0.rescue_all(now);
            }
            drop(state);
            cell.work.notify_waiters();
        }
    }

    fn cell(&self, queue: &QueueName) -> Arc<Cell> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let cell = queues.entry(queue.clone()).or_insert_with(|| {
            let mut core = Core::new(queue.clone(), QueueConfig::default(), self.clock.now());
            core.note_changes();
            Arc::new(Cell { state: Mutex::new((core, Facts::default())), work: Notify::new() })
        });
        cell.clone()
    }

    fn apply<T>(&self, queue: &QueueName, command: impl FnOnce(&mut Core, Millis) -> Result<T>) -> Result<T> {
        let cell = self.cell(queue);
        let mut state = cell.state();
        let (core, facts) = &mut *state;
        let answer = command(core, self.clock.now());
        core.drain_changes(&mut Keeping(facts, self.bug));
        for _ in 0..core.take_wakes() {
            cell.work.notify_one();
        }
        answer
    }

    fn run<'a, T: Send + 'a>(
        &'a self,
        queue: &'a QueueName,
        command: impl FnOnce(&mut Core, Millis) -> Result<T> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move { self.apply(queue, command) })
    }
}

impl Enqueue for Kept {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        self.run(queue, |core, now| core.add(jobs, now))
    }
}

impl Inspect for Kept {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        Box::pin(async { Ok(self.clock.now()) })
    }
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        let queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect();
        Box::pin(async { Ok(queues) })
    }
    fn get<'a>(&'a self, q: &'a QueueName, ids: &'a [JobId]) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        self.run(q, |core, _| Ok(core.get(ids)))
    }
    fn page<'a>(&'a self, q: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>> {
        self.run(q, move |core, _| core.page(&request))
    }
    fn info<'a>(&'a self, q: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        self.run(q, |core, now| Ok(core.info(now)))
    }
    fn children<'a>(
        &'a self,
        q: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>> {
        self.run(q, move |core, _| Ok(core.children(parent, offset, limit)))
    }
    fn logs<'a>(
        &'a self,
        q: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>> {
        self.run(q, move |core, _| Ok(core.logs(job, offset, limit)))
    }
    fn events<'a>(
        &'a self,
        q: &'a QueueName,
        after: u64,
        limit: usize,
        _wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>> {
        self.run(q, move |core, _| Ok(core.events_after(after, limit)))
    }
    fn history<'a>(
        &'a self,
        q: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>> {
        self.run(q, move |core, _| Ok(core.history(since, hourly)))
    }
    fn workers<'a>(&'a self, q: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>> {
        self.run(q, |core, now| Ok(core.workers(now)))
    }
    fn explain<'a>(&'a self, q: &'a QueueName, job: &'a JobId) -> BoxFuture<'a, Result<Option<Explanation>>> {
        self.run(q, |core, now| Ok(core.explain(job, now)))
    }
    fn verify<'a>(
        &'a self,
        q: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>> {
        self.run(q, move |core, _| Ok(core.verify(cursor, repair)))
    }
}

impl Work for Kept {
    fn step<'a>(&'a self, q: &'a QueueName, step: Step) -> BoxFuture<'a, Result<StepReply>> {
        self.run(q, |core, now| core.step(step, now))
    }
    fn wait<'a>(&'a self, q: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let cell = self.cell(q);
            tokio::select! {
                // In a fixed order, so that a run can be played again.
                biased;
                () = cell.work.notified() => {}
                () = self.clock.sleep_until(until) => {}
            }
            Ok(())
        })
    }
    fn resume<'a>(&'a self, q: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        self.run(q, move |core, now| core.resume(&resume, now))
    }
    fn update<'a>(&'a self, q: &'a QueueName, updates: Vec<Update>) -> BoxFuture<'a, Result<Vec<Settled>>> {
        self.run(q, |core, now| core.update(updates, now))
    }
    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        self.apply(queue, |core, now| Ok(core.renew(&renew, now)))
    }
}

impl Maintain for Kept {
    fn maintain<'a>(&'a self, q: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        self.run(q, |core, now| Ok(core.maintain(now)))
    }
    fn configure<'a>(&'a self, q: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        self.run(q, |core, now| core.configure(config, now))
    }
    fn admin_within<'a>(
        &'a self,
        q: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        self.run(q, |core, now| core.admin_within(scope, command, now))
    }
    fn deliver<'a>(
        &'a self,
        q: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        self.run(q, |core, now| core.deliver(source, entries, now))
    }
    fn acknowledge<'a>(&'a self, q: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        self.run(q, move |core, now| core.acknowledge(&entries, now))
    }
}

impl Schedules for Kept {
    fn put_schedules<'a>(
        &'a self,
        q: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        self.run(q, move |core, now| {
            let now_there = core.latest(now);
            let firsts: Vec<_> = specs.iter().map(|spec| spec.first_slot(now_there).ok().flatten()).collect();
            core.put_schedules(scope, specs, &firsts, put, now)
        })
    }
    fn change_schedules<'a>(
        &'a self,
        q: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        self.run(q, move |core, now| {
            core.change_schedules(scope, &ids, change, ScheduleView::slot_after, now)
        })
    }
    fn get_schedules<'a>(
        &'a self,
        q: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        self.run(q, move |core, _| Ok(ids.iter().map(|id| core.schedule(scope, id)).collect()))
    }
    fn list_schedules<'a>(
        &'a self,
        q: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        self.run(q, move |core, _| Ok(core.list_schedules(scope, after.as_ref(), limit)))
    }
    fn due_schedules_after<'a>(
        &'a self,
        q: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        self.run(q, move |core, now| Ok(core.due_schedules(after.as_ref(), limit, now)))
    }
    fn fire<'a>(&'a self, q: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        self.run(q, move |core, now| core.fire(&fires, now))
    }
    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            // Nobody rings here: whoever waits looks again soon.
            let next = self.cell(queue).state().0.next_slot(from).unwrap_or(until);
            let soon = self.clock.now() + 1_000;
            self.clock.sleep_until(next.min(until).min(soon)).await;
            Ok(())
        })
    }
}

impl Backend for Kept {
    fn kind(&self) -> &'static str {
        "kept"
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async { Ok(()) })
    }
}
