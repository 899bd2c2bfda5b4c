//! The core behind a lock: `memory:`, and with a journal under it `file:`.
//!
//! Each queue is a [`Core`] in a mutex that is never held across an await. A command is applied, its facts go to the journal in the
//! same order, the lock is let go, and the answer waits until the journal has made the facts durable: commands that arrive meanwhile
//! share the next commit.
//!
//! A queue is made by the first command that leaves something in it: a job, settings, a pause, a worker that said hello. Until then
//! it is read as empty, and who waits for it waits at bells that it gets when it is made.

mod bells;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use self::bells::{Awaited, Bells, Idle, Seat};
use crate::clock::Clock;
use crate::core::Core;
use crate::model::{
    Child, EventPage, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName, Rollup,
    ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};
use crate::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, Check, Condition, DuePlace, DueSchedules,
    Durability, Enqueue, Error, Explanation, Fire, FireReply, Inspect, Maintain, Maintained, OutboxEntry,
    Put, PutReply, QueueInfo, Renew, RenewReply, Result, Resume, ResumeReply, ScheduleChange, ScheduleResult,
    Schedules, Settled, Step, StepReply, Update, VerifyPage, Work, WorkerState,
};

/// Makes facts durable. The memory backend has none.
pub(super) trait Journal: Send + Sync {
    /// Fails once a commit has failed: what the queues show then may be more than is kept.
    fn check(&self) -> Result<()>;
    /// Takes what a command changed, in the order of commands; called under the queue's lock. Returns the commit that the answer has
    /// to wait for: of the change or, where nothing changed, of what the answer may rest on; none if all of that is durable.
    fn append(&self, core: &mut Core) -> Result<Option<u64>>;
    /// Resolves when a commit is durable.
    fn durable(&self, commit: u64) -> BoxFuture<'_, Result<()>>;
    /// Commits what is left and lets go of the files.
    fn close(&self) -> BoxFuture<'_, Result<()>>;
}

/// A queue and who waits for it.
pub(super) struct Cell {
    core: Mutex<Core>,
    bells: Arc<Bells>,
}

impl Cell {
    pub(super) fn new(core: Core) -> Self {
        Self { core: Mutex::new(core), bells: Arc::default() }
    }

    /// The queue on its own again.
    #[cfg(test)]
    pub(super) fn into_core(self) -> Core {
        self.core.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// The queue, locked. A panic under the lock cannot come from input, and the core checks before it changes, so what a poisoned
    /// lock guards is whole.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All queues that were made, shared with whoever writes checkpoints of them.
pub(super) type Queues = Arc<RwLock<BTreeMap<QueueName, Arc<Cell>>>>;

/// What a command led to.
struct Done<T> {
    answer: T,
    /// The commit that the answer has to wait for.
    commit: Option<u64>,
    /// Workers to wake.
    wakes: usize,
    /// There are new events.
    spoke: bool,
    /// A schedule is due sooner than the ones before.
    sooner: bool,
}

/// Queues in this process.
pub struct Embedded {
    kind: &'static str,
    queues: Queues,
    awaited: Awaited,
    clock: Arc<dyn Clock>,
    journal: Option<Arc<dyn Journal>>,
    closed: AtomicBool,
}

impl Embedded {
    /// Queues in memory alone, on the given clock. They end with the process.
    pub fn memory(clock: Arc<dyn Clock>) -> Self {
        Self::over("memory", clock, Queues::default(), None)
    }

    /// Queues that a journal keeps.
    pub(super) fn journaled(
        kind: &'static str,
        clock: Arc<dyn Clock>,
        queues: Queues,
        journal: Arc<dyn Journal>,
    ) -> Self {
        Self::over(kind, clock, queues, Some(journal))
    }

    fn over(
        kind: &'static str,
        clock: Arc<dyn Clock>,
        queues: Queues,
        journal: Option<Arc<dyn Journal>>,
    ) -> Self {
        Self { kind, queues, awaited: Awaited::default(), clock, journal, closed: AtomicBool::new(false) }
    }

    /// The queues themselves.
    #[cfg(test)]
    pub(super) fn queues_here(&self) -> Queues {
        self.queues.clone()
    }

    fn made(&self) -> RwLockReadGuard<'_, BTreeMap<QueueName, Arc<Cell>>> {
        self.queues.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, queue: &QueueName) -> Option<Arc<Cell>> {
        self.made().get(queue).cloned()
    }

    /// A place to wait for what happens in a queue, whether it was made or not.
    fn seat(&self, queue: &QueueName) -> Seat<'_> {
        // Held to the end, so that nobody makes the queue in between.
        let made = self.made();
        if let Some(cell) = made.get(queue) {
            return Seat::at(cell.bells.clone());
        }
        self.awaited.seat(queue)
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        self.journal.as_ref().map_or(Ok(()), |journal| journal.check())
    }

    /// Applies a command; returns its answer and the commit to wait for.
    fn apply<T>(
        &self,
        queue: &QueueName,
        command: impl FnOnce(&mut Core, Millis) -> Result<T>,
    ) -> Result<(T, Option<u64>)> {
        self.check_open()?;
        let (bells, done) = match self.find(queue) {
            Some(cell) => self.apply_to(&cell, command)?,
            None => self.apply_first(queue, command)?,
        };
        if let Some(bells) = bells {
            bells.ring(done.wakes, done.spoke, done.sooner);
        }
        Ok((done.answer, done.commit))
    }

    fn apply_to<T>(
        &self,
        cell: &Cell,
        command: impl FnOnce(&mut Core, Millis) -> Result<T>,
    ) -> Result<(Option<Arc<Bells>>, Done<T>)> {
        let done = self.carry_out(&mut cell.lock(), command)?;
        Ok((Some(cell.bells.clone()), done))
    }

    /// Applies a command to a queue that nobody seems to have made, and makes it if the command leaves something in it.
    fn apply_first<T>(
        &self,
        queue: &QueueName,
        command: impl FnOnce(&mut Core, Millis) -> Result<T>,
    ) -> Result<(Option<Arc<Bells>>, Done<T>)> {
        // Held to the end: nobody else may make the queue meanwhile, nor may a checkpoint begin that would not know of it.
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(cell) = queues.get(queue).cloned() {
            drop(queues);
            return self.apply_to(&cell, command);
        }
        let mut core = Core::new(queue.clone(), QueueConfig::default(), self.clock.now());
        if self.journal.is_some() {
            core.note_changes();
        }
        let done = self.carry_out(&mut core, command)?;
        if core.is_blank() {
            return Ok((None, done));
        }
        let bells = self.awaited.take(queue);
        let cell = Cell { core: Mutex::new(core), bells: bells.clone() };
        queues.insert(queue.clone(), Arc::new(cell));
        Ok((Some(bells), done))
    }

    fn carry_out<T>(
        &self,
        core: &mut Core,
        command: impl FnOnce(&mut Core, Millis) -> Result<T>,
    ) -> Result<Done<T>> {
        let last_event = core.last_event();
        let answer = command(core, self.clock.now())?;
        let commit = match &self.journal {
            Some(journal) => journal.append(core)?,
            None => None,
        };
        Ok(Done {
            answer,
            commit,
            wakes: core.take_wakes(),
            spoke: core.last_event() != last_event,
            sooner: core.take_sooner(),
        })
    }

    /// Applies a command and answers when it is durable.
    fn run<'a, T: Send + 'a>(
        &'a self,
        queue: &'a QueueName,
        command: impl FnOnce(&mut Core, Millis) -> Result<T> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            let (answer, commit) = self.apply(queue, command)?;
            if let (Some(commit), Some(journal)) = (commit, &self.journal) {
                journal.durable(commit).await?;
            }
            Ok(answer)
        })
    }

    /// Reads a queue. A queue that nobody has made is read as empty, and not made.
    fn read<'a, T: Send + 'a>(
        &'a self,
        queue: &'a QueueName,
        query: impl FnOnce(&Core, Millis) -> Result<T> + Send + 'a,
    ) -> BoxFuture<'a, Result<T>> {
        Box::pin(async move {
            self.check_open()?;
            let now = self.clock.now();
            match self.find(queue) {
                Some(cell) => query(&cell.lock(), now),
                None => query(&unmade(queue), now),
            }
        })
    }
}

impl Enqueue for Embedded {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        self.run(queue, move |core, now| core.add(jobs, now))
    }
}

impl Inspect for Embedded {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        Box::pin(async {
            self.check_open()?;
            Ok(self.clock.now())
        })
    }

    fn condition(&self) -> Arc<Condition> {
        let durability = if self.journal.is_some() { Durability::Durable } else { Durability::Volatile };
        let mut checks = vec![match durability {
            Durability::Durable => Check::ok("durability", "durable: what is acknowledged is on the disk"),
            _ => Check::warning(
                "durability",
                "none: all jobs are gone when the process ends",
                "use file:PATH or a Redis for jobs that matter",
            ),
        }];
        if let Err(error) = self.check_open() {
            checks.push(Check::hindrance(
                "store",
                match error {
                    Error::Closed => "it was closed",
                    Error::Full { .. } => "no space is left on the disk; what was acknowledged is kept",
                    _ => "its files could not be written; what was acknowledged is kept",
                },
                "see the log for the cause, mend it, and restart",
            ));
        }
        Arc::new(Condition { durability, checks })
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        Box::pin(async {
            self.check_open()?;
            Ok(self.made().keys().cloned().collect())
        })
    }

    fn get<'a>(
        &'a self,
        queue: &'a QueueName,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        self.read(queue, move |core, _| Ok(core.get(ids)))
    }

    fn page<'a>(&'a self, queue: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>> {
        self.read(queue, move |core, _| core.page(&request))
    }

    fn info<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        self.read(queue, |core, now| Ok(core.info(now)))
    }

    fn children<'a>(
        &'a self,
        queue: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>> {
        self.read(queue, move |core, _| Ok(core.children(parent, offset, limit)))
    }

    fn logs<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>> {
        self.read(queue, move |core, _| Ok(core.logs(job, offset, limit)))
    }

    fn events<'a>(
        &'a self,
        queue: &'a QueueName,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>> {
        Box::pin(async move {
            let seat = self.seat(queue);
            let deadline = tokio::time::Instant::now() + wait;
            loop {
                let mut spoken = std::pin::pin!(seat.bells.events.notified());
                // Registered before the look, so that nothing said in between is missed, nor a close.
                spoken.as_mut().enable();
                self.check_open()?;
                let page = match self.find(queue) {
                    Some(cell) => cell.lock().events_after(after, limit),
                    None => unmade(queue).events_after(after, limit),
                };
                if !page.events.is_empty() || page.gap {
                    return Ok(page);
                }
                if tokio::time::timeout_at(deadline, spoken).await.is_err() {
                    return Ok(page);
                }
            }
        })
    }

    fn history<'a>(
        &'a self,
        queue: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>> {
        self.read(queue, move |core, _| Ok(core.history(since, hourly)))
    }

    fn workers<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>> {
        self.read(queue, |core, now| Ok(core.workers(now)))
    }

    fn explain<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
    ) -> BoxFuture<'a, Result<Option<Explanation>>> {
        self.read(queue, move |core, now| Ok(core.explain(job, now)))
    }

    fn verify<'a>(
        &'a self,
        queue: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>> {
        self.run(queue, move |core, _| Ok(core.verify(cursor, repair)))
    }
}

impl Work for Embedded {
    fn step<'a>(&'a self, queue: &'a QueueName, step: Step) -> BoxFuture<'a, Result<StepReply>> {
        self.run(queue, move |core, now| core.step(step, now))
    }

    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let seat = self.seat(queue);
            let idle = Idle::enter(&seat.bells);
            let mut work = std::pin::pin!(seat.bells.work.notified());
            // Registered before the look, so that a close in between is not missed.
            work.as_mut().enable();
            self.check_open()?;
            tokio::select! {
                // In a fixed order, so that a simulation can be played again.
                biased;
                () = work => {}
                () = self.clock.sleep_until(until) => {}
            }
            drop(idle);
            self.check_open()
        })
    }

    fn resume<'a>(&'a self, queue: &'a QueueName, resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        self.run(queue, move |core, now| core.resume(&resume, now))
    }

    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>> {
        self.run(queue, move |core, now| core.update(updates, now))
    }

    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        // A lease need not be durable: after a restart every worker of this process is gone anyway. What maintenance changed goes
        // with the next commit.
        self.apply(queue, |core, now| Ok(core.renew(&renew, now))).map(|(reply, _)| reply)
    }
}

impl Maintain for Embedded {
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        self.run(queue, |core, now| Ok(core.maintain(now)))
    }

    fn configure<'a>(&'a self, queue: &'a QueueName, config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        self.run(queue, move |core, now| core.configure(config, now))
    }

    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        self.run(queue, move |core, now| core.admin_within(scope, command, now))
    }

    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        self.run(queue, move |core, now| core.deliver(source, entries, now))
    }

    fn acknowledge<'a>(&'a self, queue: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        self.run(queue, move |core, now| core.acknowledge(&entries, now))
    }
}

impl Schedules for Embedded {
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        self.run(queue, move |core, now| {
            let mut firsts = Vec::with_capacity(specs.len());
            for spec in &specs {
                // What is not understood is told of with the rest that cannot be.
                firsts.push(spec.first_slot(core.latest(now)).ok().flatten());
            }
            core.put_schedules(scope, specs, &firsts, put, now)
        })
    }

    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        self.run(queue, move |core, now| {
            core.change_schedules(scope, &ids, change, ScheduleView::slot_after, now)
        })
    }

    fn get_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        self.read(queue, move |core, _| Ok(ids.iter().map(|id| core.schedule(scope, id)).collect()))
    }

    fn list_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        self.read(queue, move |core, _| Ok(core.list_schedules(scope, after.as_ref(), limit)))
    }

    fn due_schedules_after<'a>(
        &'a self,
        queue: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        self.read(queue, move |core, now| Ok(core.due_schedules(after.as_ref(), limit, now)))
    }

    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        self.run(queue, move |core, now| core.fire(&fires, now))
    }

    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            let seat = self.seat(queue);
            let mut sooner = std::pin::pin!(seat.bells.schedules.notified());
            // Registered before the look, so that no schedule that is put in between is missed, nor a close.
            sooner.as_mut().enable();
            self.check_open()?;
            let next = self.find(queue).and_then(|cell| cell.lock().next_slot(from));
            let until = next.map_or(until, |next| next.min(until));
            tokio::select! {
                // In a fixed order, so that a simulation can be played again.
                biased;
                () = self.clock.sleep_until(until) => {}
                () = sooner => {}
            }
            self.check_open()
        })
    }
}

impl Backend for Embedded {
    fn kind(&self) -> &'static str {
        self.kind
    }

    fn may_lose_replies(&self) -> bool {
        false
    }

    fn close(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async {
            if self.closed.swap(true, Ordering::AcqRel) {
                return Ok(());
            }
            {
                // No queue is made meanwhile, so that no bell moves from the awaited ones to these unheard.
                let made = self.made();
                made.values().for_each(|cell| cell.bells.ring_all());
                self.awaited.ring_all();
            }
            match &self.journal {
                Some(journal) => journal.close().await,
                None => Ok(()),
            }
        })
    }
}

/// A queue that nobody has made, to be read. Its stream of events stands at 0, before whatever will happen first.
fn unmade(queue: &QueueName) -> Core {
    Core::new(queue.clone(), QueueConfig::default(), 0)
}

#[cfg(test)]
mod tests;
