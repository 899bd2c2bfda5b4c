//! The line between a process and the store, on which everything goes wrong that can: requests and answers get lost or late, calls
//! arrive twice, the store is away. It stands in for the port, so the worker and the queue run on it unchanged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulrush::backend::Embedded;
use bulrush::clock::{Clock, TokioClock};
use bulrush::model::{
    Child, EventPage, Finished, JobId, JobPage, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName,
    Rollup, Taken, WorkerId,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, Delivery, Enqueue, Error, Explanation, Inspect,
    Maintain, Maintained, OutboxEntry, QueueInfo, Renew, RenewReply, Result, Resume, ResumeReply, Settled,
    Step, StepReply, Update, VerifyPage, Work, WorkerState,
};
use futures_util::FutureExt;
use tokio::time::{Instant, sleep};

use super::process::Process;
use super::random::Random;

/// How long a worker counts as alive, ms.
pub const LEASE_MS: u64 = 1_000;
/// When the store's clock begins.
const EPOCH: Millis = 1_700_000_000_000;
/// What a caller waits for an answer at most, ms.
const PATIENCE_MS: u64 = 300;

/// A guard of the engine, switched off to see whether the ledger notices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A settle with an old token is let through as if it had the current one.
    NoTokenCheck,
    /// A hello names everything that the store believes the worker runs, so nothing goes back.
    NoResume,
    /// Maintenance never sees that the store was away, so no grace opens.
    NoGrace,
    /// Outbox entries are acknowledged before they are delivered.
    OutboxAcknowledgedFirst,
    /// An add that arrives a second time is taken for another one.
    NoDuplicateCheck,
}

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

/// The store, and what is wrong with it.
pub struct Store {
    pub backend: Arc<Embedded>,
    clock: Arc<SimClock>,
    away_until: Mutex<Option<Instant>>,
    restarts: AtomicU64,
    calm: AtomicBool,
    /// How often what happened.
    pub faults: Mutex<BTreeMap<&'static str, u64>>,
    added: Mutex<BTreeSet<JobId>>,
    traced: bool,
}

/// The runtime's virtual time, or for a moment another one.
pub struct SimClock {
    time: TokioClock,
    instead: AtomicU64,
}

impl Clock for SimClock {
    fn now(&self) -> Millis {
        match self.instead.load(Ordering::Relaxed) {
            0 => self.time.now(),
            instead => instead,
        }
    }
    fn sleep_until(&self, at: Millis) -> BoxFuture<'static, ()> {
        self.time.sleep_until(at)
    }
}

impl Store {
    pub fn new() -> Arc<Self> {
        let time = TokioClock::starting_at(EPOCH);
        let clock = Arc::new(SimClock { time, instead: AtomicU64::new(0) });
        Arc::new(Self {
            backend: Arc::new(Embedded::memory(clock.clone())),
            clock,
            away_until: Mutex::default(),
            restarts: AtomicU64::new(0),
            calm: AtomicBool::new(false),
            faults: Mutex::default(),
            added: Mutex::default(),
            traced: std::env::var_os("BULRUSH_SIM_TRACE").is_some(),
        })
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        self.clock.clone()
    }

    /// It answers nobody for so long. What was under way is cut: it may or may not have been carried out.
    pub fn go_away(&self, span: Duration) {
        *lock(&self.away_until) = Some(Instant::now() + span);
        self.restarts.fetch_add(1, Ordering::Relaxed);
    }

    /// From now on nothing goes wrong any more.
    pub fn calm_down(&self) {
        self.calm.store(true, Ordering::Relaxed);
    }

    pub fn note(&self, fault: &'static str) {
        *lock(&self.faults).entry(fault).or_default() += 1;
    }

    fn is_away(&self) -> bool {
        lock(&self.away_until).is_some_and(|until| until > Instant::now())
    }

    fn is_calm(&self) -> bool {
        self.calm.load(Ordering::Relaxed)
    }

    /// Lets maintenance run as if it had never paused, so that no gap is seen.
    fn hide_the_gap(&self, queue: &QueueName) {
        let now = self.clock.now();
        let info = self.backend.info(queue).now_or_never().and_then(Result::ok);
        let Some(mut at) = info.and_then(|info| info.maintained_at) else { return };
        while at + LEASE_MS / 4 < now {
            at += LEASE_MS / 4;
            self.clock.instead.store(at, Ordering::Relaxed);
            drop(self.backend.maintain(queue).now_or_never());
        }
        self.clock.instead.store(0, Ordering::Relaxed);
    }
}

/// A process's line to the store.
pub struct Line {
    pub store: Arc<Store>,
    pub process: Arc<Process>,
    random: Random,
    odds: Odds,
    bug: Option<Bug>,
    /// Instead of the random id of the worker at its end, so that a run can be played again.
    worker: WorkerId,
    renewal_lost: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cut() -> Error {
    Error::Unreachable { reason: "the simulated line was cut".into() }
}

impl Line {
    pub fn new(
        store: Arc<Store>,
        process: Arc<Process>,
        random: Random,
        odds: Odds,
        bug: Option<Bug>,
    ) -> Arc<Self> {
        let worker = WorkerId(random.next());
        Arc::new(Self { store, process, random, odds, bug, worker, renewal_lost: AtomicBool::new(false) })
    }

    /// What happens on the line, for whoever looks into a seed: `BULRUSH_SIM_TRACE=1`.
    fn tell(&self, what: impl FnOnce() -> String) {
        if self.store.traced {
            eprintln!("{} {} {}", self.store.clock.now() - EPOCH, self.worker, what());
        }
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
        call: impl Fn(Arc<Embedded>) -> BoxFuture<'static, Result<T>> + Clone + Send + Sync + 'static,
    ) -> Result<T> {
        self.process.runs().await;
        let restarts = self.store.restarts.load(Ordering::Relaxed);
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
        if self.store.restarts.load(Ordering::Relaxed) != restarts {
            return Err(cut());
        }
        answer
    }

    /// Delivers a call when nobody waits for it any more.
    fn later<T: Send + 'static>(
        &self,
        ms: u64,
        call: impl Fn(Arc<Embedded>) -> BoxFuture<'static, Result<T>> + Send + Sync + 'static,
    ) {
        let store = self.store.clone();
        tokio::spawn(async move {
            sleep(Duration::from_millis(ms)).await;
            if !store.is_away() {
                drop(call(store.backend.clone()).await);
            }
        });
    }
}

/// Gives old settles the current token.
async fn forge(backend: &Embedded, queue: &QueueName, finished: &mut [Finished]) {
    for finished in finished {
        let jobs = backend.get(queue, std::slice::from_ref(finished.id())).await.unwrap_or_default();
        if let Some(active) = jobs.into_iter().flatten().next().and_then(|job| job.active) {
            finished.job = Arc::new(Taken { token: active.token, ..(*finished.job).clone() });
        }
    }
}

async fn forget_outbox(backend: &Embedded, queue: &QueueName, outbox: &[OutboxEntry]) {
    let entries = outbox.iter().map(|entry| entry.seq).collect();
    drop(backend.acknowledge(queue, entries).await);
}

impl Enqueue for Line {
    fn add<'a>(&'a self, queue: &'a QueueName, jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        let (queue, bug, store) = (queue.clone(), self.bug, self.store.clone());
        Box::pin(self.write(move |backend| {
            let (queue, mut jobs, store) = (queue.clone(), jobs.clone(), store.clone());
            Box::pin(async move {
                if bug == Some(Bug::NoDuplicateCheck) {
                    for job in &mut jobs {
                        let mut added = lock(&store.added);
                        while !added.insert(job.spec.id.clone()) {
                            job.spec.id = JobId::new(&format!("{}-again", job.spec.id)).expect("a good id");
                        }
                    }
                }
                let reply = backend.add(&queue, jobs).await?;
                if bug == Some(Bug::OutboxAcknowledgedFirst) {
                    forget_outbox(&backend, &queue, &reply.outbox).await;
                }
                Ok(reply)
            })
        }))
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

impl Work for Line {
    fn step<'a>(&'a self, queue: &'a QueueName, mut step: Step) -> BoxFuture<'a, Result<StepReply>> {
        let (queue, bug) = (queue.clone(), self.bug);
        step.worker = self.worker;
        self.tell(|| {
            let end = |finished: &Finished| {
                format!("{}@{} {:?}", finished.id(), finished.job.token, finished.outcome)
            };
            let finished: Vec<String> = step.finished.iter().map(end).collect();
            format!("{queue} step {:x} settles {finished:?} wants {}", step.call, step.want)
        });
        Box::pin(self.write(move |backend| {
            let (queue, mut step) = (queue.clone(), step.clone());
            Box::pin(async move {
                if bug == Some(Bug::NoTokenCheck) {
                    forge(&backend, &queue, &mut step.finished).await;
                }
                let reply = backend.step(&queue, step).await?;
                if bug == Some(Bug::OutboxAcknowledgedFirst) {
                    forget_outbox(&backend, &queue, &reply.outbox).await;
                }
                Ok(reply)
            })
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
        let (queue, bug) = (queue.clone(), self.bug);
        resume.info.id = self.worker;
        self.tell(|| format!("{queue} hello {:x} runs {:?}", resume.call, resume.running));
        Box::pin(self.write(move |backend| {
            let (queue, mut resume) = (queue.clone(), resume.clone());
            Box::pin(async move {
                if bug == Some(Bug::NoResume) {
                    let workers = backend.workers(&queue).await?;
                    let own = workers.into_iter().find(|worker| worker.info.id == resume.info.id);
                    let running = own.map(|worker| worker.running).unwrap_or_default();
                    let jobs = backend.get(&queue, &running).await?;
                    let named = jobs.into_iter().flatten();
                    let named = named.filter_map(|job| Some((job.id().clone(), job.active?.token)));
                    resume.running.extend(named);
                }
                backend.resume(&queue, resume).await
            })
        }))
    }

    writes! { update(updates: Vec<Update>) -> Vec<Settled>; }

    /// Renewals are lost too, but never two in a row: what costs a lease is a process that stalls or a store that is away.
    fn renew(&self, queue: &QueueName, mut renew: Renew) -> Result<RenewReply> {
        renew.info.id = self.worker;
        if !self.process.is_running() || self.store.is_away() {
            return Err(cut());
        }
        if self.bug == Some(Bug::NoGrace) {
            self.store.hide_the_gap(queue);
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
        admin(command: AdminCommand) -> AdminReply;
        deliver(deliveries: Vec<Delivery>) -> Vec<OutboxEntry>;
        acknowledge(entries: Vec<u64>) -> ();
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
