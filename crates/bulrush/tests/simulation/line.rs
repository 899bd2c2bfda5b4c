//! The line between a process and the store, on which everything goes wrong that can: requests and answers get lost or late, calls
//! arrive twice, the store is away. It stands in for the port, so the worker and the queue run on it unchanged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bulrush::model::{
    Child, EventPage, Finished, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName,
    Rollup, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, DuePlace, DueSchedules, Enqueue, Error,
    Explanation, Fire, FireReply, Inspect, Maintain, Maintained, OutboxEntry, Put, PutReply, QueueInfo,
    Renew, RenewReply, Result, Resume, ResumeReply, ScheduleChange, ScheduleResult, Schedules, Settled, Step,
    StepReply, Update, VerifyPage, Work, WorkerState,
};
use tokio::time::sleep;

use super::process::Process;
use super::random::Random;
use super::store::{LEASE_MS, Store};

/// What a caller waits for an answer at most, ms.
const PATIENCE_MS: u64 = 300;

/// What may go wrong on a line, in percent of calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct Odds {
    pub lose_request: u64,
    pub lose_answer: u64,
    /// The request arrives when its caller has long given up, maybe more than a lease later.
    pub late_request: u64,
    /// The answer takes longer than a lease.
    pub late_answer: u64,
    /// The call arrives once more, later.
    pub twice: u64,
}

/// A process's line to the store.
pub struct Line {
    store: Arc<Store>,
    process: Arc<Process>,
    random: Random,
    odds: Odds,
    renewal_lost: AtomicBool,
}

fn cut() -> Error {
    Error::Unreachable { reason: "the simulated line was cut".into() }
}

impl Line {
    pub fn new(store: Arc<Store>, process: Arc<Process>, random: Random, odds: Odds) -> Arc<Self> {
        Arc::new(Self { store, process, random, odds, renewal_lost: AtomicBool::new(false) })
    }

    fn tell(&self, what: impl FnOnce() -> String) {
        self.store.tell(|| format!("{} {}", self.process.id, what()));
    }

    async fn pause(&self, ms: u64) {
        sleep(Duration::from_millis(ms)).await;
        self.process.runs().await;
    }

    /// A call that changes nothing.
    async fn read<T>(&self, call: BoxFuture<'_, Result<T>>) -> Result<T> {
        self.process.runs().await;
        self.pause(self.random.below(3)).await;
        let lost = self.random.percent(self.odds.lose_request) && !self.store.is_calm();
        if lost || self.store.is_away() {
            self.pause(self.random.below(PATIENCE_MS)).await;
            return Err(cut());
        }
        call.await
    }

    /// A call that may be carried out once, twice, late or not at all, whatever its caller learns.
    async fn write<T: Send + 'static>(
        &self,
        call: impl Fn(Arc<dyn Backend>) -> BoxFuture<'static, Result<T>> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        self.process.runs().await;
        let restarts = self.store.restarts();
        self.pause(self.random.below(3)).await;
        // Drawn whether or not it is used, so that a fault does not change all that follows.
        let (die, span) = (self.random.below(100), self.random.below(3 * LEASE_MS));
        let die = if self.store.is_calm() { 100 } else { die };
        if self.store.is_away() {
            self.pause(self.random.below(PATIENCE_MS)).await;
            return Err(cut());
        }
        let Odds { lose_request, lose_answer, late_request, late_answer, twice } = self.odds;
        let mut bound = lose_request;
        if die < bound {
            self.store.note("request lost");
            self.tell(|| "request lost".into());
            self.pause(span % PATIENCE_MS).await;
            return Err(cut());
        }
        bound += late_request;
        if die < bound {
            self.store.note("request late");
            self.tell(|| "request late".into());
            self.later(span, call);
            self.pause(span % PATIENCE_MS).await;
            return Err(cut());
        }
        let answer = call(self.store.backend.clone()).await;
        bound += lose_answer;
        if die < bound {
            self.store.note("answer lost");
            self.tell(|| "answer lost".into());
            self.pause(span % PATIENCE_MS).await;
            return Err(cut());
        }
        bound += late_answer;
        if die < bound {
            self.store.note("answer late");
            self.tell(|| "answer late".into());
            self.pause(span).await;
            return answer;
        }
        bound += twice;
        if die < bound {
            self.store.note("call twice");
            self.tell(|| "call twice".into());
            self.later(span, call);
        }
        self.pause(self.random.below(3)).await;
        if self.store.restarts() != restarts {
            return Err(cut());
        }
        answer
    }

    /// Delivers a call when nobody waits for it any more.
    fn later<T: Send + 'static>(
        &self,
        ms: u64,
        call: impl Fn(Arc<dyn Backend>) -> BoxFuture<'static, Result<T>> + Send + Sync + 'static,
    ) {
        let store = self.store.clone();
        let life = store.life();
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            // What was on its way to a store does not reach the one that has begun anew: the connection is gone.
            if !store.is_away() && store.life() == life {
                drop(call(store.backend.clone()).await);
            }
        });
    }
}

macro_rules! reads {
    ($($op:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)+) => { $(
        fn $op<'a>(&'a self, queue: &'a QueueName, $($arg: $ty),*) -> BoxFuture<'a, Result<$answer>> {
            Box::pin(self.read(self.store.backend.$op(queue, $($arg),*)))
        }
    )+ };
}

macro_rules! writes {
    ($($op:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)+) => { $(
        fn $op<'a>(&'a self, queue: &'a QueueName, $($arg: $ty),*) -> BoxFuture<'a, Result<$answer>> {
            let queue = queue.clone();
            Box::pin(self.write(move |backend| {
                let (queue, $($arg),*) = (queue.clone(), $($arg.clone()),*);
                Box::pin(async move { backend.$op(&queue, $($arg),*).await })
            }))
        }
    )+ };
}

impl Inspect for Line {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        Box::pin(self.read(self.store.backend.now()))
    }
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        Box::pin(self.read(self.store.backend.queues()))
    }
    reads! {
        get(ids: &'a [JobId]) -> Vec<Option<JobView>>;
        page(request: PageRequest) -> JobPage;
        info() -> QueueInfo;
        children(parent: &'a JobId, offset: usize, limit: usize) -> Vec<Child>;
        logs(job: &'a JobId, offset: u32, limit: usize) -> Vec<(u32, String)>;
        events(after: u64, limit: usize, wait: Duration) -> EventPage;
        history(since: Millis, hourly: bool) -> Vec<Rollup>;
        workers() -> Vec<WorkerState>;
        explain(job: &'a JobId) -> Option<Explanation>;
        verify(cursor: u64, repair: bool) -> VerifyPage;
    }
}

impl Enqueue for Line {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        let queue = queue.clone();
        Box::pin(self.write(move |backend| {
            let (queue, jobs) = (queue.clone(), jobs.clone());
            Box::pin(async move { backend.add(&queue, jobs).await })
        }))
    }
}

impl Work for Line {
    fn step<'a>(&'a self, queue: &'a QueueName, mut step: Step) -> BoxFuture<'a, Result<StepReply>> {
        step.worker = self.process.id;
        self.tell(|| {
            let end = |finished: &Finished| {
                format!("{}@{} {:?}", finished.id(), finished.job.token, finished.outcome)
            };
            let finished: Vec<String> = step.finished.iter().map(end).collect();
            format!("{queue} step {:x} settles {finished:?} wants {}", step.call, step.want)
        });
        let queue = queue.clone();
        Box::pin(self.write(move |backend| {
            let (queue, step) = (queue.clone(), step.clone());
            Box::pin(async move { backend.step(&queue, step).await })
        }))
    }

    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.read(Box::pin(async { Ok(()) })).await?;
            let answer = self.store.backend.wait(queue, until).await;
            self.tell(|| format!("{queue} waited"));
            self.process.runs().await;
            if self.store.is_away() { Err(cut()) } else { answer }
        })
    }

    fn resume<'a>(&'a self, queue: &'a QueueName, mut resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        resume.info.id = self.process.id;
        self.tell(|| format!("{queue} hello {:x} runs {:?}", resume.call, resume.running));
        let queue = queue.clone();
        Box::pin(self.write(move |backend| {
            let (queue, resume) = (queue.clone(), resume.clone());
            Box::pin(async move { backend.resume(&queue, resume).await })
        }))
    }

    writes! { update(updates: Vec<Update>) -> Vec<Settled>; }

    /// Renewals are lost too, but never two in a row: what costs a lease is a process that stalls or a store that is away.
    fn renew(&self, queue: &QueueName, mut renew: Renew) -> Result<RenewReply> {
        renew.info.id = self.process.id;
        if !self.process.is_running() || self.store.is_away() {
            return Err(cut());
        }
        let die = self.random.below(100);
        let may_lose = !self.store.is_calm() && !self.renewal_lost.load(Ordering::Relaxed);
        let Odds { lose_request, lose_answer, .. } = self.odds;
        let lost = may_lose && die < lose_request + lose_answer;
        self.renewal_lost.store(lost, Ordering::Relaxed);
        if lost && die < lose_request {
            return Err(cut());
        }
        let answer = self.store.backend.renew(queue, renew);
        self.tell(|| format!("{queue} renews: {answer:?}"));
        if lost { Err(cut()) } else { answer }
    }
}

impl Maintain for Line {
    writes! {
        maintain() -> Maintained;
        configure(config: QueueConfig) -> ();
        acknowledge(entries: Vec<u64>) -> ();
    }
    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        let (queue, scope) = (queue.clone(), scope.clone());
        Box::pin(self.write(move |backend| {
            let (queue, scope, command) = (queue.clone(), scope.clone(), command.clone());
            Box::pin(async move { backend.admin_within(&queue, &scope, command).await })
        }))
    }
    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        let (queue, source) = (queue.clone(), source.clone());
        Box::pin(self.write(move |backend| {
            let (queue, source, entries) = (queue.clone(), source.clone(), entries.clone());
            Box::pin(async move { backend.deliver(&queue, &source, entries).await })
        }))
    }
}

impl Schedules for Line {
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        let (queue, scope) = (queue.clone(), scope.clone());
        Box::pin(self.write(move |backend| {
            let (queue, scope, specs) = (queue.clone(), scope.clone(), specs.clone());
            Box::pin(async move { backend.put_schedules(&queue, &scope, specs, put).await })
        }))
    }
    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        let (queue, scope) = (queue.clone(), scope.clone());
        Box::pin(self.write(move |backend| {
            let (queue, scope, ids) = (queue.clone(), scope.clone(), ids.clone());
            Box::pin(async move { backend.change_schedules(&queue, &scope, ids, change).await })
        }))
    }
    reads! {
        get_schedules(scope: &'a Scope, ids: Vec<ScheduleId>) -> Vec<Option<ScheduleView>>;
        list_schedules(scope: &'a Scope, after: Option<ScheduleId>, limit: usize) -> SchedulePage;
        due_schedules_after(after: Option<DuePlace>, limit: usize) -> DueSchedules;
    }
    writes! { fire(fires: Vec<Fire>) -> FireReply; }

    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.read(Box::pin(async { Ok(()) })).await?;
            let answer = self.store.backend.wait_due_after(queue, from, until).await;
            self.process.runs().await;
            if self.store.is_away() { Err(cut()) } else { answer }
        })
    }
}

impl Backend for Line {
    fn kind(&self) -> &'static str {
        "simulated"
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.store.backend.close()
    }
}
