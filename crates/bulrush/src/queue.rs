//! The producer's side: a handle to a queue that adds, reads and waits.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::oneshot;

use crate::clock::{Clock, SystemClock};
use crate::flow;
use crate::job::Job;
use crate::model::{Backoff, EventKind, JobId, JobState, JobView, NewJob, QueueConfig, QueueName};
use crate::port::{
    AddReply, Added, AdminCommand, AdminReply, AdminResult, Backend, Error, QueueInfo, Result,
};
use crate::random;

/// Jobs of one call of a producer.
const CALL_ITEMS: usize = 1_000;
/// Payload bytes of one call of a producer.
const CALL_BYTES: usize = 4 << 20;
/// Pauses between the tries of a call whose answer was lost, ms.
const RETRY_PAUSES_MS: [u64; 6] = [20, 50, 100, 250, 500, 1_000];

/// A connection to a backend and the queues on it. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    backend: Arc<dyn Backend>,
    queues: Arc<Mutex<HashMap<QueueName, Queue>>>,
}

impl Client {
    /// Opens a backend by its address: `memory:` or `file:PATH`.
    ///
    /// # Errors
    /// As [`crate::backend::connect`].
    pub async fn connect(url: &str) -> Result<Self> {
        Ok(Self::new(crate::backend::connect(url).await?))
    }

    /// A client of a backend that is open already.
    pub fn new(backend: Arc<dyn Backend>) -> Self {
        Self { backend, queues: Arc::default() }
    }

    /// The backend itself.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.backend
    }

    /// A queue by name, with the id prefix that its name suggests.
    ///
    /// # Errors
    /// A name that is not allowed.
    pub fn queue(&self, name: &str) -> Result<Queue> {
        let name = QueueName::new(name)?;
        let prefix = name.default_prefix();
        Ok(self.queue_with(name, QueueOptions { prefix, ..QueueOptions::default() }))
    }

    /// A queue by name, with what its jobs get unless they say otherwise. The first call for a name decides.
    pub fn queue_with(&self, name: QueueName, options: QueueOptions) -> Queue {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = queues.entry(name.clone()).or_insert_with(|| {
            let coalescer = Mutex::default();
            Queue(Arc::new(Shared { backend: self.backend.clone(), name, options, coalescer }))
        });
        queue.clone()
    }
}

/// What the jobs of a queue get unless they say otherwise.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// First part of generated ids, up to three letters or digits, one per queue.
    pub prefix: String,
    /// Total tries.
    pub attempts: u32,
    /// When a failed attempt is tried again; the worker's default where none is given.
    pub backoff: Option<Arc<Backoff>>,
    /// Longest run of one attempt, ms.
    pub timeout_ms: Option<u64>,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self { prefix: String::new(), attempts: 3, backoff: None, timeout_ms: None }
    }
}

/// A producer's handle to a queue. Cheap to clone.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    backend: Arc<dyn Backend>,
    name: QueueName,
    options: QueueOptions,
    coalescer: Mutex<Coalescer>,
}

/// Adds that came while a call was under way: they go with the next one.
#[derive(Default)]
struct Coalescer {
    waiting: Vec<(NewJob, oneshot::Sender<Result<Added>>)>,
    under_way: bool,
}

impl Queue {
    /// The queue's name.
    pub fn name(&self) -> &QueueName {
        &self.0.name
    }

    /// The backend that keeps it.
    pub fn backend(&self) -> &Arc<dyn Backend> {
        &self.0.backend
    }

    /// A new id with the queue's prefix.
    pub fn new_id(&self) -> JobId {
        JobId::generate(&self.0.options.prefix, SystemClock.now(), random::bits128())
    }

    /// The id of something that follows from a job: the same parent and name always give the same id.
    pub fn derived_id(&self, parent: &JobId, name: &str) -> JobId {
        JobId::derive(&self.0.options.prefix, parent, name)
    }

    /// A job with a new id and the queue's defaults, to be refined and then [added](Self::add).
    pub fn job(&self, name: impl Into<Arc<str>>, data: impl Into<Bytes>) -> NewJob {
        self.job_with_id(self.new_id(), name, data)
    }

    /// A job with an id of the caller's.
    pub fn job_with_id(&self, id: JobId, name: impl Into<Arc<str>>, data: impl Into<Bytes>) -> NewJob {
        let options = &self.0.options;
        let mut job = NewJob::new(id, name, data);
        job.spec.attempts = options.attempts;
        job.spec.backoff.clone_from(&options.backoff);
        job.spec.timeout_ms = options.timeout_ms;
        job
    }

    /// A typed job with a new id and the queue's defaults.
    ///
    /// # Errors
    /// A payload that JSON cannot say (a map with keys that are not text, say).
    pub fn typed<J: Job>(&self, payload: &J) -> Result<NewJob, serde_json::Error> {
        Ok(self.job(J::NAME, to_json(payload)?))
    }

    /// Adds one job. Returns when the backend has acknowledged it; adds that come meanwhile share the next call.
    ///
    /// # Errors
    /// A job that cannot be added as it is, or a backend that did not answer: then the job may or may not be there, and adding it
    /// again under the same id settles the question.
    pub async fn add(&self, job: NewJob) -> Result<Added> {
        let (tell, told) = oneshot::channel();
        let lead = {
            let mut coalescer = self.0.coalescer.lock().unwrap_or_else(PoisonError::into_inner);
            coalescer.waiting.push((job, tell));
            !std::mem::replace(&mut coalescer.under_way, true)
        };
        let mut told = told;
        if lead {
            let mut leading =
                Leading(Some(Box::pin(lead_adds(Lead { shared: self.0.clone(), done: false }))));
            tokio::select! {
                biased;
                () = &mut leading => {}
                // Answered: whoever came meanwhile is served without us.
                answer = &mut told => return answer.unwrap_or_else(|_| Err(cut_short())),
            }
        }
        told.await.unwrap_or_else(|_| Err(cut_short()))
    }

    /// Adds a typed job with the queue's defaults.
    ///
    /// # Errors
    /// As [`add`](Self::add). A payload that JSON cannot say is reported as such.
    pub async fn push<J: Job>(&self, payload: &J) -> Result<Added> {
        let job = self.typed(payload).map_err(|error| Error::Payload { reason: error.to_string() })?;
        self.add(job).await
    }

    /// Adds many jobs, split into calls that the backend accepts. One answer per job, in the order given.
    ///
    /// # Errors
    /// As [`add`](Self::add); jobs of earlier calls have been added then.
    pub async fn add_bulk(&self, jobs: Vec<NewJob>) -> Result<Vec<Added>> {
        let mut added = Vec::with_capacity(jobs.len());
        for call in split_calls(jobs) {
            added.extend(add_call(&self.0, call).await?.added);
        }
        Ok(added)
    }

    /// A job by id.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn get(&self, id: &JobId) -> Result<Option<JobView>> {
        let mut jobs = self.0.backend.get(&self.0.name, std::slice::from_ref(id)).await?;
        Ok(jobs.pop().flatten())
    }

    /// Counts, limits in force, settings.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn info(&self) -> Result<QueueInfo> {
        self.0.backend.info(&self.0.name).await
    }

    /// Replaces the queue's settings.
    ///
    /// # Errors
    /// Settings that cannot be used, or a backend that did not answer.
    pub async fn configure(&self, config: QueueConfig) -> Result<()> {
        self.0.backend.configure(&self.0.name, config).await
    }

    /// Does what an administrator asks, and delivers what it causes in other queues.
    ///
    /// # Errors
    /// A command that cannot be carried out, or a backend that did not answer.
    pub async fn admin(&self, command: AdminCommand) -> Result<AdminReply> {
        let mut reply = self.0.backend.admin(&self.0.name, command).await?;
        let outbox = std::mem::take(&mut reply.outbox);
        deliver_or_leave(&self.0, outbox).await;
        Ok(reply)
    }

    /// Stops a job: at once if it has not started, else within one renewal of its worker.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn cancel(&self, id: &JobId) -> Result<AdminResult> {
        let reply = self.admin(AdminCommand::Cancel(vec![id.clone()])).await?;
        Ok(reply.results.first().copied().unwrap_or(AdminResult::Unknown))
    }

    /// Waits until a job has ended, at most so long. Returns it as it stands then; none for an unknown job.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn wait_finished(&self, id: &JobId, timeout: Duration) -> Result<Option<JobView>> {
        let deadline = tokio::time::Instant::now() + timeout;
        // The position is read before the job, so an end in between is among the events that follow.
        let info = self.info().await?;
        let (mut after, keeps_events) = (info.last_event, info.config.events_max > 0);
        loop {
            let job = self.get(id).await?;
            let ended = job.as_ref().is_none_or(|job| job.state().is_terminal());
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if ended || left.is_zero() {
                return Ok(job);
            }
            if !keeps_events {
                tokio::time::sleep(left.min(Duration::from_millis(100))).await;
                continue;
            }
            loop {
                let left = deadline.saturating_duration_since(tokio::time::Instant::now());
                let page = self.0.backend.events(&self.0.name, after, CALL_ITEMS, left).await?;
                after = page.next;
                let concerns = |kind: EventKind| {
                    matches!(
                        kind,
                        EventKind::Completed | EventKind::Failed | EventKind::Cancelled | EventKind::Removed
                    )
                };
                let told = left.is_zero()
                    || page.events.iter().any(|event| event.job.as_ref() == Some(id) && concerns(event.kind));
                if told || page.gap || page.events.is_empty() {
                    break;
                }
            }
        }
    }
}

/// The carrying out of coalesced adds, by whoever came first. If that caller stops waiting (or has its answer while others still
/// wait), the rest goes on as a task of its own: their jobs must still go out.
struct Leading(Option<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Future for Leading {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        let Some(adds) = self.0.as_mut() else { return std::task::Poll::Ready(()) };
        std::task::ready!(adds.as_mut().poll(cx));
        self.0 = None;
        std::task::Poll::Ready(())
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        if let Some(adds) = self.0.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            drop(runtime.spawn(adds));
        }
    }
}

/// What a caller learns whose add went down with the runtime that carried it.
fn cut_short() -> Error {
    Error::Unreachable { reason: "the runtime that carried the call has shut down".to_owned() }
}

/// The duty to carry out coalesced adds. If it goes down with its runtime, whoever waits is told, and the next add leads anew.
struct Lead {
    shared: Arc<Shared>,
    done: bool,
}

impl Drop for Lead {
    fn drop(&mut self) {
        if !self.done {
            let mut coalescer = self.shared.coalescer.lock().unwrap_or_else(PoisonError::into_inner);
            coalescer.under_way = false;
            // Dropping the senders tells their callers.
            coalescer.waiting.clear();
        }
    }
}

/// Carries out coalesced adds until none is left.
async fn lead_adds(mut lead: Lead) {
    let shared = lead.shared.clone();
    loop {
        let waiting = {
            let mut coalescer = shared.coalescer.lock().unwrap_or_else(PoisonError::into_inner);
            if coalescer.waiting.is_empty() {
                coalescer.under_way = false;
                lead.done = true;
                return;
            }
            take_call(&mut coalescer.waiting)
        };
        let (jobs, tells): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        let single = jobs.len() == 1;
        // A job that is refused as it is would take the others of its call with it, so then each goes alone.
        let again = if single { None } else { Some(jobs.clone()) };
        match add_call(&shared, jobs).await {
            Ok(reply) => {
                for (tell, added) in tells.into_iter().zip(reply.added) {
                    // Whoever no longer listens has lost interest, not the job.
                    let _ = tell.send(Ok(added));
                }
            }
            Err(error) => match again {
                Some(jobs) if !error.is_transient() => {
                    for (job, tell) in jobs.into_iter().zip(tells) {
                        let reply = add_call(&shared, vec![job]).await;
                        let _ = tell.send(reply.map(|mut reply| reply.added.remove(0)));
                    }
                }
                _ => {
                    for tell in tells {
                        let _ = tell.send(Err(error.clone()));
                    }
                }
            },
        }
    }
}

/// As many of the waiting adds as one call takes.
fn take_call<T>(waiting: &mut Vec<(NewJob, T)>) -> Vec<(NewJob, T)> {
    let (mut items, mut bytes) = (0, 0);
    let fits = waiting.iter().take_while(|(job, _)| {
        items += job.tree_len();
        bytes += job.tree_bytes();
        items <= CALL_ITEMS && bytes <= CALL_BYTES
    });
    let n = fits.count().max(1);
    let rest = waiting.split_off(n.min(waiting.len()));
    std::mem::replace(waiting, rest)
}

fn split_calls(jobs: Vec<NewJob>) -> Vec<Vec<NewJob>> {
    let mut waiting: Vec<(NewJob, ())> = jobs.into_iter().map(|job| (job, ())).collect();
    let mut calls = Vec::new();
    while !waiting.is_empty() {
        calls.push(take_call(&mut waiting).into_iter().map(|(job, ())| job).collect());
    }
    calls
}

/// One call, repeated while its answer gets lost: ids make the repeat harmless.
async fn add_call(shared: &Arc<Shared>, jobs: Vec<NewJob>) -> Result<AddReply> {
    if !shared.backend.may_lose_replies() {
        let reply = shared.backend.add(&shared.name, jobs).await?;
        return Ok(deliver_flow(shared, reply).await);
    }
    let mut pauses = RETRY_PAUSES_MS.into_iter();
    loop {
        match shared.backend.add(&shared.name, jobs.clone()).await {
            Ok(reply) => return Ok(deliver_flow(shared, reply).await),
            Err(error) if error.is_transient() => match pauses.next() {
                Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                None => return Err(error),
            },
            Err(error) => return Err(error),
        }
    }
}

async fn deliver_flow(shared: &Arc<Shared>, mut reply: AddReply) -> AddReply {
    let outbox = std::mem::take(&mut reply.outbox);
    deliver_or_leave(shared, outbox).await;
    reply
}

/// Delivers now what can be delivered now; maintenance does the rest.
async fn deliver_or_leave(shared: &Shared, outbox: Vec<crate::port::OutboxEntry>) {
    if outbox.is_empty() {
        return;
    }
    if let Err(error) = flow::deliver(&*shared.backend, &shared.name, outbox).await {
        tracing::warn!(queue = %shared.name, %error, "an outbox could not be delivered at once; maintenance will do it");
    }
}

/// A payload as JSON.
pub(crate) fn to_json<T: Serialize>(value: &T) -> Result<Bytes, serde_json::Error> {
    serde_json::to_vec(value).map(Bytes::from)
}

/// Whether a job has ended: what [`Queue::wait_finished`] waits for.
impl JobView {
    /// Whether its life is over unless somebody retries it.
    pub fn has_ended(&self) -> bool {
        self.state().is_terminal()
    }

    /// Its result as a value.
    ///
    /// # Errors
    /// A result that is not of this type.
    pub fn output<T: serde::de::DeserializeOwned>(&self) -> Result<Option<T>, serde_json::Error> {
        let completed = self.state() == JobState::Completed;
        let result = self.status.result.as_deref().filter(|_| completed);
        result.map(serde_json::from_slice).transpose()
    }
}
