//! The core behind a lock: `memory:`, and with a journal under it `file:`.
//!
//! Each queue is a [`Core`] in a mutex that is never held across an await. A command is applied, its facts go to the journal in the
//! same order, the lock is let go, and the answer waits until the journal has made the facts durable: commands that arrive meanwhile
//! share the next commit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::Notify;

use crate::clock::Clock;
use crate::core::Core;
use crate::model::{
    Child, EventPage, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName, Rollup,
};
use crate::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, Enqueue, Error, Explanation, Inspect, Maintain,
    Maintained, OutboxEntry, QueueInfo, Renew, RenewReply, Result, Resume, ResumeReply, Settled, Step,
    StepReply, Update, VerifyPage, Work, WorkerState,
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
    work: Notify,
    idle: AtomicUsize,
    events: Notify,
}

impl Cell {
    pub(super) fn new(core: Core) -> Self {
        Self { core: Mutex::new(core), work: Notify::new(), idle: AtomicUsize::new(0), events: Notify::new() }
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

/// All queues, shared with whoever writes checkpoints of them.
pub(super) type Queues = Arc<RwLock<BTreeMap<QueueName, Arc<Cell>>>>;

/// Queues in this process.
pub struct Embedded {
    kind: &'static str,
    queues: Queues,
    clock: Arc<dyn Clock>,
    journal: Option<Arc<dyn Journal>>,
    closed: AtomicBool,
}

impl Embedded {
    /// Queues in memory alone, on the given clock. They end with the process.
    pub fn memory(clock: Arc<dyn Clock>) -> Self {
        Self {
            kind: "memory",
            queues: Queues::default(),
            clock,
            journal: None,
            closed: AtomicBool::new(false),
        }
    }

    /// Queues that a journal keeps.
    pub(super) fn journaled(
        kind: &'static str,
        clock: Arc<dyn Clock>,
        queues: Queues,
        journal: Arc<dyn Journal>,
    ) -> Self {
        Self { kind, queues, clock, journal: Some(journal), closed: AtomicBool::new(false) }
    }

    /// The queues themselves.
    #[cfg(test)]
    pub(super) fn queues_here(&self) -> Queues {
        self.queues.clone()
    }

    fn cell(&self, queue: &QueueName) -> Arc<Cell> {
        let find = |queues: &BTreeMap<QueueName, Arc<Cell>>| queues.get(queue).cloned();
        if let Some(cell) = find(&self.queues.read().unwrap_or_else(PoisonError::into_inner)) {
            return cell;
        }
        let mut queues = self.queues.write().unwrap_or_else(PoisonError::into_inner);
        let cell = queues.entry(queue.clone()).or_insert_with(|| {
            let mut core = Core::new(queue.clone(), QueueConfig::default(), self.clock.now());
            if self.journal.is_some() {
                core.note_changes();
            }
            Arc::new(Cell::new(core))
        });
        cell.clone()
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
        let cell = self.cell(queue);
        let mut core = cell.lock();
        let last_event = core.last_event();
        let answer = command(&mut core, self.clock.now())?;
        let commit = match &self.journal {
            Some(journal) => journal.append(&mut core)?,
            None => None,
        };
        let wakes = core.take_wakes();
        let spoke = core.last_event() != last_event;
        drop(core);
        // One stored permit is enough: who takes it and finds more than it can do passes the word on.
        for _ in 0..wakes.min(cell.idle.load(Ordering::Acquire).max(1)) {
            cell.work.notify_one();
        }
        if spoke {
            cell.events.notify_waiters();
        }
        Ok((answer, commit))
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
            let cell = self.queues.read().unwrap_or_else(PoisonError::into_inner).get(queue).cloned();
            match cell {
                Some(cell) => query(&cell.lock(), now),
                None => query(&Core::new(queue.clone(), QueueConfig::default(), now), now),
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
        Box::pin(async { Ok(self.clock.now()) })
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        Box::pin(async {
            self.check_open()?;
            Ok(self.queues.read().unwrap_or_else(PoisonError::into_inner).keys().cloned().collect())
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
            let cell = self.cell(queue);
            let deadline = tokio::time::Instant::now() + wait;
            loop {
                self.check_open()?;
                let mut spoken = std::pin::pin!(cell.events.notified());
                // Registered before the look, so nothing said in between is missed.
                spoken.as_mut().enable();
                let page = cell.lock().events_after(after, limit);
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
            self.check_open()?;
            let cell = self.cell(queue);
            let idle = Idle::enter(&cell);
            tokio::select! {
                // In a fixed order, so that a simulation can be played again.
                biased;
                () = cell.work.notified() => {}
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

    fn admin<'a>(&'a self, queue: &'a QueueName, command: AdminCommand) -> BoxFuture<'a, Result<AdminReply>> {
        self.run(queue, move |core, now| core.admin(command, now))
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
            let cells: Vec<Arc<Cell>> =
                self.queues.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
            for cell in cells {
                cell.work.notify_waiters();
                cell.events.notify_waiters();
            }
            match &self.journal {
                Some(journal) => journal.close().await,
                None => Ok(()),
            }
        })
    }
}

/// Counts a worker that waits, for as long as it does.
struct Idle<'a>(&'a Cell);

impl<'a> Idle<'a> {
    fn enter(cell: &'a Cell) -> Self {
        cell.idle.fetch_add(1, Ordering::AcqRel);
        Self(cell)
    }
}

impl Drop for Idle<'_> {
    fn drop(&mut self) {
        self.0.idle.fetch_sub(1, Ordering::AcqRel);
    }
}
