//! The producer's side: a handle to a queue that adds, reads and waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;

use crate::clock::{Clock, SystemClock};
use crate::coalesce::CALL_ITEMS;
use crate::job::Job;
use crate::model::{Backoff, EventKind, JobId, JobState, JobView, NewJob, QueueConfig, QueueName, Scope};
use crate::port::{Added, AdminCommand, AdminReply, AdminResult, Backend, Error, QueueInfo, Result};
use crate::producer::Producer;
use crate::random;

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
            let producer = Producer::new(&self.backend, name.clone());
            Queue(Arc::new(Shared { backend: self.backend.clone(), name, options, producer }))
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
    producer: Producer,
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
        self.0.producer.add(job).await
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
        self.0.producer.add_bulk(jobs).await
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
        self.0.producer.admin(&Scope::All, command).await
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
