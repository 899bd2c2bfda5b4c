//! For tests of your own code: queues in memory on a clock that you move, and handlers that run inline.
//!
//! Nothing runs in the background: [`TestClient::work_off`] takes what is due, one job after the other, and returns when nothing is
//! left, so a test is the same each time. Retries and delays wait until [`TestClient::advance`] has moved the clock to them. Limits,
//! priorities, groups, deduplication, flows and follow-ups are those of a real queue.
//!
//! ```
//! use std::time::Duration;
//!
//! use bulrush::testing::TestClient;
//! use bulrush::{Failure, Handlers, Job, Queue};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Debug, PartialEq, Serialize, Deserialize)]
//! struct Greet { name: String }
//!
//! impl Job for Greet {
//!     const NAME: &'static str = "greet";
//!     type Output = String;
//! }
//!
//! /// The code under test.
//! async fn sign_up(mails: &Queue, name: &str) -> Result<(), bulrush::port::Error> {
//!     mails.push(&Greet { name: name.to_owned() }).await?;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let test = TestClient::new();
//! let mails = test.queue("mails")?;
//! sign_up(&mails, "Ann").await?;
//! test.assert_enqueued(&mails, &Greet { name: "Ann".into() }).await;
//!
//! // The first try fails; the second is due after the back-off of two seconds.
//! let handlers = Handlers::new().on(|greet: Greet, ctx| async move {
//!     if ctx.attempt() == 1 { return Err(Failure::retry("the mail server is away")) }
//!     Ok(format!("Hello, {}!", greet.name))
//! });
//! let ran = test.work_off(&mails, &handlers).await;
//! assert_eq!(ran[0].result, Err(Failure::retry("the mail server is away")));
//! assert!(test.work_off(&mails, &handlers).await.is_empty());
//!
//! test.advance(Duration::from_secs(2)).await;
//! let ran = test.work_off(&mails, &handlers).await;
//! assert_eq!(ran[0].output::<Greet>(), "Hello, Ann!");
//! # Ok(())
//! # }
//! ```

use std::fmt::Debug;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use crate::backend::Embedded;
use crate::clock::{Clock, ManualClock};
use crate::flow;
use crate::job::{Job, JobResult};
use crate::model::{
    Backoff, Finished, JobFilter, JobId, JobState, JobView, Millis, PageRequest, Taken, WorkerId,
};
use crate::port::{OutboxEntry, Resume, Step, WorkerInfo};
use crate::queue::{Client, Queue};
use crate::worker::{Handlers, run_inline};

/// When the clock of a [`TestClient`] begins: 2024-01-01 00:00 UTC, ms.
pub const START: Millis = 1_704_067_200_000;

/// More runs than this in one [`TestClient::work_off`] are taken for a loop.
const RUNS_MAX: usize = 100_000;

/// A [`Client`] of queues in memory, on a clock that stands still. Derefs to the client.
pub struct TestClient {
    client: Client,
    clock: ManualClock,
    calls: AtomicU64,
}

/// A run of a handler.
#[derive(Debug, Clone, PartialEq)]
pub struct Ran {
    /// The job's id.
    pub id: JobId,
    /// The job's name.
    pub name: Arc<str>,
    /// Which try it was, from 1.
    pub attempt: u32,
    /// What the handler returned, as JSON; a panic is a [`Failure::Retry`](crate::Failure::Retry) that says so.
    pub result: JobResult<Option<Bytes>>,
}

impl Ran {
    /// What the handler returned, as a value.
    ///
    /// # Panics
    /// If it returned a failure or something else than `J::Output`.
    #[track_caller]
    pub fn output<J: Job>(&self) -> J::Output {
        match &self.result {
            Ok(json) => output::<J>(json.as_ref()),
            Err(failure) => panic!("{} ({}) did not complete but returned {failure:?}", self.name, self.id),
        }
    }
}

impl Default for TestClient {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for TestClient {
    type Target = Client;
    fn deref(&self) -> &Client {
        &self.client
    }
}

impl TestClient {
    /// A client of no queues yet, at [`START`].
    pub fn new() -> Self {
        let clock = ManualClock::at(START);
        let client = Client::new(Arc::new(Embedded::memory(Arc::new(clock.clone()))));
        Self { client, clock, calls: AtomicU64::new(0) }
    }

    /// What the clock shows, ms since the epoch.
    pub fn now(&self) -> Millis {
        self.clock.now()
    }

    /// Moves the clock on, makes what has become due wait, and lets go of what retention no longer keeps.
    pub async fn advance(&self, by: Duration) {
        self.clock.advance(by);
        let backend = self.client.backend();
        for name in well(backend.queues().await) {
            loop {
                let maintained = well(backend.maintain(&name).await);
                well(flow::deliver(&**backend, &name, maintained.outbox).await);
                if !maintained.more {
                    break;
                }
            }
        }
    }

    /// Runs everything that is due in a queue, and what becomes due by it, one job after the other in the order in which a worker
    /// with one slot takes them. Returns the runs in that order.
    ///
    /// Time-outs are not enforced, because the clock stands still; a panic is a failed attempt, as in a worker.
    ///
    /// # Panics
    /// If a job is due again and again without end.
    pub async fn work_off(&self, queue: &Queue, handlers: &Handlers) -> Vec<Ran> {
        self.say_hello(queue).await;
        let mut runs = Vec::new();
        let mut finished = Vec::new();
        loop {
            let settles = std::mem::take(&mut finished);
            let (taken, outbox) = self.step(queue, settles, 1).await;
            self.deliver(queue, outbox).await;
            let Some(job) = taken.into_iter().next() else { return runs };
            assert!(
                runs.len() < RUNS_MAX,
                "{} ({}) is due again and again; look for a snooze or a back-off of no time in its handler",
                job.spec.name,
                job.spec.id
            );
            let (result, outcome) = run_inline(queue, handlers, job.clone(), &Backoff::default()).await;
            runs.push(Ran {
                id: job.spec.id.clone(),
                name: job.spec.name.clone(),
                attempt: job.attempt,
                result,
            });
            finished.push(Finished { job, outcome });
        }
    }

    /// The jobs of a type that have not started, as values: first those that are ready, in the order in which they would be taken,
    /// then those that are not due, by time, then parents that wait for children.
    ///
    /// # Panics
    /// If a job of this name has data that does not fit.
    pub async fn enqueued<J: Job>(&self, queue: &Queue) -> Vec<J> {
        let value = |job: JobView| {
            serde_json::from_slice(&job.spec.data).unwrap_or_else(|error| {
                let data = String::from_utf8_lossy(&job.spec.data);
                panic!("the data of {} ({}) does not fit: {error}; it is {data}", J::NAME, job.id())
            })
        };
        self.unstarted(queue, Some(J::NAME)).await.into_iter().map(value).collect()
    }

    /// Asserts that a job with this payload has been added and has not started.
    ///
    /// # Panics
    /// If there is none; the message lists what there is instead.
    pub async fn assert_enqueued<J: Job + Debug + PartialEq>(&self, queue: &Queue, payload: &J) {
        let there = self.enqueued::<J>(queue).await;
        if !there.contains(payload) {
            let others = self.unstarted(queue, None).await;
            let others: Vec<&str> =
                others.iter().map(|job| &*job.spec.name).filter(|name| *name != J::NAME).collect();
            panic!(
                "queue {} holds no {} with {payload:?}; it holds {there:?} of that name, and of others {others:?}",
                queue.name(),
                J::NAME
            );
        }
    }

    /// Asserts that nothing waits in a queue.
    ///
    /// # Panics
    /// If something does; the message lists it.
    pub async fn assert_empty(&self, queue: &Queue) {
        let jobs = self.unstarted(queue, None).await;
        let jobs: Vec<String> = jobs.iter().map(|job| format!("{} ({})", job.spec.name, job.id())).collect();
        assert!(jobs.is_empty(), "queue {} should hold nothing and holds {}", queue.name(), jobs.join(", "));
    }

    async fn unstarted(&self, queue: &Queue, name: Option<&str>) -> Vec<JobView> {
        let mut jobs = Vec::new();
        for state in [JobState::Waiting, JobState::Delayed, JobState::WaitingChildren] {
            let filter = JobFilter { name: name.map(Into::into), ..JobFilter::default() };
            let mut request =
                PageRequest { state: Some(state), filter, limit: 1_000, ..PageRequest::default() };
            let mut of_state = Vec::new();
            loop {
                let page = well(queue.backend().page(queue.name(), request.clone()).await);
                of_state.extend(page.jobs);
                request.cursor = page.next;
                if request.cursor.is_none() {
                    break;
                }
            }
            // Pages begin with what comes last.
            jobs.extend(of_state.into_iter().rev());
        }
        jobs
    }

    async fn say_hello(&self, queue: &Queue) {
        let call = self.next_call();
        let info = WorkerInfo {
            id: WorkerId(1),
            name: "test".into(),
            slots: 1,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: self.now(),
        };
        well(queue.backend().resume(queue.name(), Resume { info, call, running: Vec::new() }).await);
    }

    /// Settles and takes. A result that the queue refuses fails its job, as in a worker.
    async fn step(
        &self,
        queue: &Queue,
        mut finished: Vec<Finished>,
        want: usize,
    ) -> (Vec<Arc<Taken>>, Vec<OutboxEntry>) {
        let step = |finished| Step { worker: WorkerId(1), call: self.next_call(), finished, want };
        let backend = queue.backend();
        let reply = match backend.step(queue.name(), step(finished.clone())).await {
            Err(error) if !finished.is_empty() => {
                for finished in &mut finished {
                    finished.refuse(&error);
                }
                well(backend.step(queue.name(), step(finished)).await)
            }
            answer => well(answer),
        };
        (reply.taken, reply.outbox)
    }

    async fn deliver(&self, queue: &Queue, outbox: Vec<OutboxEntry>) {
        well(flow::deliver(&**queue.backend(), queue.name(), outbox).await);
    }

    fn next_call(&self) -> u64 {
        self.calls.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Runs the handler of a job once, on a queue of its own, and returns what it returned.
///
/// ```
/// # use bulrush::{Handlers, Job, testing};
/// # #[derive(serde::Serialize, serde::Deserialize)]
/// # struct Double(u64);
/// # impl Job for Double { const NAME: &'static str = "double"; type Output = u64; }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let handlers = Handlers::new().on(|Double(n), ctx| async move {
///     ctx.progress(50, "half way");
///     Ok(2 * n)
/// });
/// assert_eq!(testing::run(&handlers, &Double(21)).await, Ok(42));
/// # }
/// ```
///
/// # Errors
/// What the handler failed with; a panic is a [`Failure::Retry`](crate::Failure::Retry) that says so.
///
/// # Panics
/// If the payload cannot be written as JSON, or the handler returned something else than `J::Output`.
pub async fn run<J: Job>(handlers: &Handlers, payload: &J) -> JobResult<J::Output> {
    let test = TestClient::new();
    let queue = well(test.queue("inline"));
    well(queue.push(payload).await);
    test.say_hello(&queue).await;
    let (taken, _) = test.step(&queue, Vec::new(), 1).await;
    let Some(job) = taken.into_iter().next() else { panic!("the queue of the test gave nothing out") };
    let (result, _) = run_inline(&queue, handlers, job, &Backoff::default()).await;
    result.map(|json| output::<J>(json.as_ref()))
}

#[track_caller]
fn output<J: Job>(json: Option<&Bytes>) -> J::Output {
    let json = json.map_or(&b"null"[..], |json| json);
    serde_json::from_slice(json).unwrap_or_else(|error| {
        let text = String::from_utf8_lossy(json);
        panic!("the result of {} does not fit its output type: {error}; it is {text}", J::NAME)
    })
}

/// In memory nothing fails but what the test itself asked for.
#[track_caller]
fn well<T, E: std::fmt::Display>(answer: Result<T, E>) -> T {
    answer.unwrap_or_else(|error| panic!("the queue of the test refused a call: {error}"))
}
