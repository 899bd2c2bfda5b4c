//! What the worker's tests share: a client on an empty backend, waiting, and a probe around the port.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bulrush::backend::{connect, connect_with};
use bulrush::clock::{Clock, ManualClock};
use bulrush::model::{
    Child, EventPage, JobId, JobPage, JobState, JobView, Millis, NewJob, PageRequest, QueueConfig, QueueName,
    Rollup, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, Backend, BoxFuture, DuePlace, DueSchedules, Enqueue, Error,
    Explanation, Fire, FireReply, Inspect, Maintain, Maintained, OutboxEntry, Put, PutReply, QueueInfo,
    Renew, RenewReply, Result, Resume, ResumeReply, ScheduleChange, ScheduleResult, Schedules, Settled, Step,
    StepReply, Update, VerifyPage, Work, WorkerState,
};
use bulrush::{Client, Job, Queue, WorkerOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

/// The moment at which a clock that stands still begins.
pub const START: Millis = 1_700_000_000_000;
/// How long a test waits for what must happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// Doubles a number.
#[derive(Serialize, Deserialize)]
pub struct Double(pub u64);

impl Job for Double {
    const NAME: &'static str = "double";
    type Output = u64;
}

/// Does what the test's handler says; says nothing itself.
#[derive(Serialize, Deserialize)]
pub struct Plain;

impl Job for Plain {
    const NAME: &'static str = "plain";
    type Output = ();
}

/// A client of an empty backend of the kind under test, with the probe before it.
pub struct Rig {
    pub client: Client,
    pub probe: Arc<Probe>,
    pub clock: ManualClock,
    /// Where the store's files are, if it has any; removed with the rig.
    _files: Option<tempfile::TempDir>,
}

impl Rig {
    /// On the machine's clock.
    pub async fn new() -> Self {
        Self::on(crate::STORE, None, ManualClock::at(START)).await
    }

    /// On a clock that stands still.
    pub async fn manual() -> Self {
        let clock = ManualClock::at(START);
        Self::on(crate::STORE, Some(Arc::new(clock.clone())), clock).await
    }

    /// On a clock that stands still, in memory whatever is under test: for a runtime whose time jumps while others work.
    pub async fn in_memory() -> Self {
        let clock = ManualClock::at(START);
        Self::on("memory:", Some(Arc::new(clock.clone())), clock).await
    }

    /// A clock of the machine where none is given.
    async fn on(store: &str, clock: Option<Arc<dyn Clock>>, manual: ManualClock) -> Self {
        let files = (store == "file:").then(|| tempfile::tempdir().expect("a directory can be made"));
        let path =
            files.as_ref().map_or(String::new(), |files| files.path().join("store").display().to_string());
        let inner = match (store, clock) {
            #[cfg(feature = "redis")]
            ("redis", clock) => redis(clock).await,
            (_, None) => connect(&format!("{store}{path}")).await.expect("an empty store opens"),
            (_, Some(clock)) => {
                connect_with(&format!("{store}{path}"), clock).await.expect("an empty store opens")
            }
        };
        let probe = Arc::new(Probe::new(inner));
        Self { client: Client::new(probe.clone()), probe, clock: manual, _files: files }
    }

    pub fn queue(&self, name: &str) -> Queue {
        self.client.queue(name).expect("the test uses good names")
    }

    /// A queue with other settings than the default.
    pub async fn configured(&self, name: &str, change: impl FnOnce(&mut QueueConfig)) -> Queue {
        let queue = self.queue(name);
        let mut config = QueueConfig::default();
        change(&mut config);
        queue.configure(config).await.expect("the test uses good settings");
        queue
    }

    pub fn advance(&self, ms: u64) {
        self.clock.advance(Duration::from_millis(ms));
    }
}

/// Options whose pauses are short, so that tests of stopping are.
pub fn quick(concurrency: usize) -> WorkerOptions {
    WorkerOptions {
        concurrency,
        stop_grace: Duration::from_millis(30),
        stuck_after: Duration::from_millis(30),
        ..WorkerOptions::default()
    }
}

/// Polls until `probe` gives a value; when that takes too long, fails with the last state seen.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        match probe().await {
            Ok(value) => return value,
            Err(seen) if tokio::time::Instant::now() >= deadline => {
                panic!("{what} did not happen; last seen: {seen}")
            }
            // The only sleep of these tests.
            Err(_) => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    }
}

/// Waits for something with a bound, so that a hang is a failure.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.unwrap_or_else(|_| panic!("{what} did not happen"))
}

/// Waits until a job is in a state.
pub async fn until(queue: &Queue, id: &JobId, state: JobState) -> JobView {
    eventually(&format!("{id} becoming {state}"), async || {
        let job = queue.get(id).await.map_err(|error| error.to_string())?.ok_or("gone")?;
        if job.state() == state { Ok(job) } else { Err(format!("{:?}", job.status)) }
    })
    .await
}

/// Waits until a condition holds.
pub async fn holds(what: &str, condition: impl Fn() -> bool) {
    eventually(what, async || if condition() { Ok(()) } else { Err("not yet".into()) }).await;
}

/// No invariant of the queue is broken, and nothing runs.
pub async fn assert_sound(queue: &Queue) {
    let page = queue.backend().verify(queue.name(), 0, false).await.expect("a queue can be checked");
    assert_eq!(page.findings, [], "broken invariants of {}", queue.name());
    assert_eq!(queue.info().await.expect("a queue can be read").counts.active, 0, "{}", queue.name());
}

/// A backend that counts its calls, and can be held, made to fail, or to lose answers.
pub struct Probe {
    inner: Arc<dyn Backend>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: BTreeMap<&'static str, usize>,
    fails: BTreeMap<&'static str, Vec<Error>>,
    lost: BTreeMap<&'static str, usize>,
    gates: BTreeMap<&'static str, Arc<Semaphore>>,
    answers: BTreeMap<&'static str, Arc<Semaphore>>,
}

impl Probe {
    fn new(inner: Arc<dyn Backend>) -> Self {
        Self { inner, state: Mutex::default() }
    }

    /// Calls of an operation so far.
    pub fn calls(&self, op: &'static str) -> usize {
        self.state().calls.get(op).copied().unwrap_or(0)
    }

    /// Calls of all operations but some so far.
    pub fn calls_but(&self, ops: &[&'static str]) -> usize {
        self.state().calls.iter().filter(|(op, _)| !ops.contains(op)).map(|(_, n)| n).sum()
    }

    /// The next call of an operation is not carried out and fails.
    pub fn fail(&self, op: &'static str, error: Error) {
        self.state().fails.entry(op).or_default().push(error);
    }

    /// The next call of an operation is carried out, and its answer is lost.
    pub fn lose(&self, op: &'static str) {
        *self.state().lost.entry(op).or_default() += 1;
    }

    /// Calls of an operation wait until as many permits are given.
    pub fn hold(&self, op: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().gates.insert(op, gate.clone());
        gate
    }

    /// Calls of an operation are carried out, and their answers wait until as many permits are given.
    pub fn hold_answers(&self, op: &'static str) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        self.state().answers.insert(op, gate.clone());
        gate
    }

    fn answers(&self, op: &'static str) -> Option<Arc<Semaphore>> {
        self.state().answers.get(op).cloned()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, op: &'static str) -> Result<Option<Arc<Semaphore>>> {
        let mut state = self.state();
        *state.calls.entry(op).or_default() += 1;
        match state.fails.get_mut(op).and_then(Vec::pop) {
            Some(error) => Err(error),
            None => Ok(state.gates.get(op).cloned()),
        }
    }

    fn leave<T>(&self, op: &'static str, answer: Result<T>) -> Result<T> {
        match self.state().lost.get_mut(op) {
            Some(n) if *n > 0 => {
                *n -= 1;
                Err(unreachable())
            }
            _ => answer,
        }
    }
}

/// A namespace of its own on the server that the tests may use.
#[cfg(feature = "redis")]
async fn redis(clock: Option<Arc<dyn Clock>>) -> Arc<dyn Backend> {
    use std::hash::{BuildHasher, Hasher};
    let address = std::env::var("BULRUSH_TEST_REDIS")
        .expect("BULRUSH_TEST_REDIS names no server: run scripts/test, which starts one of its own");
    let address = if address.starts_with('/') { format!("unix://{address}") } else { address };
    let namespace = format!("w{:016x}", std::hash::RandomState::new().build_hasher().finish());
    let options = bulrush::backend::RedisOptions { namespace, clock, ..Default::default() };
    bulrush::backend::connect_redis_with(&address, options).await.expect("the server can be reached")
}

/// What a caller sees of a backend that does not answer.
pub fn unreachable() -> Error {
    Error::Unreachable { reason: "the test cut the line".into() }
}

macro_rules! passed_on {
    ($($op:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)+) => { $(
        fn $op<'a>(&'a self, queue: &'a QueueName, $($arg: $ty),*) -> BoxFuture<'a, Result<$answer>> {
            Box::pin(async move {
                if let Some(gate) = self.enter(stringify!($op))? {
                    gate.acquire().await.expect("gates stay open").forget();
                }
                let answer = self.inner.$op(queue, $($arg),*).await;
                if let Some(gate) = self.answers(stringify!($op)) {
                    gate.acquire().await.expect("gates stay open").forget();
                }
                self.leave(stringify!($op), answer)
            })
        }
    )+ };
}

impl Enqueue for Probe {
    passed_on! { add(jobs: Vec<NewJob>) -> AddReply; }
}

impl Inspect for Probe {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        self.inner.now()
    }
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        self.inner.queues()
    }
    passed_on! {
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

impl Work for Probe {
    passed_on! {
        step(step: Step) -> StepReply;
        wait(until: Millis) -> ();
        resume(resume: Resume) -> ResumeReply;
        update(updates: Vec<Update>) -> Vec<Settled>;
    }
    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        self.enter("renew")?;
        let answer = self.inner.renew(queue, renew);
        self.leave("renew", answer)
    }
}

impl Maintain for Probe {
    passed_on! {
        maintain() -> Maintained;
        configure(config: QueueConfig) -> ();
        admin_within(scope: &'a bulrush::model::Scope, command: AdminCommand) -> AdminReply;
        deliver(source: &'a QueueName, entries: Vec<OutboxEntry>) -> Vec<OutboxEntry>;
        acknowledge(entries: Vec<u64>) -> ();
    }
}

impl Schedules for Probe {
    passed_on! {
        put_schedules(scope: &'a Scope, specs: Vec<ScheduleSpec>, put: Put) -> Vec<PutReply>;
        change_schedules(scope: &'a Scope, ids: Vec<ScheduleId>, change: ScheduleChange) -> Vec<ScheduleResult>;
        get_schedules(scope: &'a Scope, ids: Vec<ScheduleId>) -> Vec<Option<ScheduleView>>;
        list_schedules(scope: &'a Scope, after: Option<ScheduleId>, limit: usize) -> SchedulePage;
        due_schedules_after(after: Option<DuePlace>, limit: usize) -> DueSchedules;
        fire(fires: Vec<Fire>) -> FireReply;
        wait_due_after(from: Millis, until: Millis) -> ();
    }
}

impl Backend for Probe {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
    }
}
