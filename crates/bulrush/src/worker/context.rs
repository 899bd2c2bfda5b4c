//! What a handler knows and may do while it runs.

use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::updates::Updates;
use crate::job::{Failure, Job};
use crate::model::{Child, Dedup, JobId, NewJob, Progress, QueueName, Spec, Taken, Token};
use crate::port::{Error, Result, Settled, UpdateChange};
use crate::queue::{Queue, to_json};

/// How long a follow-up's key is held, so that a repeat of the completion adds nothing twice, ms.
const FOLLOW_UP_KEY_MS: u64 = 24 * 3_600 * 1_000;

/// Why a handler is asked to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stop {
    /// Somebody cancelled the job.
    Cancelled = 1,
    /// It ran longer than allowed.
    TimedOut = 2,
    /// The worker shuts down.
    Shutdown = 3,
    /// The worker no longer holds the job: another one may run it.
    Lost = 4,
}

/// What a run and its worker share.
pub(super) struct Run {
    pub job: Arc<Taken>,
    /// The worker's own number of this run.
    slot: AtomicU64,
    stop: AtomicU8,
    stopped: Notify,
    token: OnceLock<CancellationToken>,
    follow_ups: Mutex<Vec<(QueueName, NewJob)>>,
    /// Log lines handed in so far.
    pub lines: AtomicU32,
}

impl Run {
    pub fn new(job: Arc<Taken>) -> Self {
        Self {
            job,
            slot: AtomicU64::new(0),
            stop: AtomicU8::new(0),
            stopped: Notify::new(),
            token: OnceLock::new(),
            follow_ups: Mutex::default(),
            lines: AtomicU32::new(0),
        }
    }

    /// Gives the run its number.
    pub fn place_in(&self, slot: u64) {
        self.slot.store(slot, Ordering::Relaxed);
    }

    pub fn slot(&self) -> u64 {
        self.slot.load(Ordering::Relaxed)
    }

    /// Asks the handler to stop; the first reason stands.
    pub fn request_stop(&self, reason: Stop) {
        if self.stop.compare_exchange(0, reason as u8, Ordering::AcqRel, Ordering::Acquire).is_ok() {
            self.stopped.notify_waiters();
            if let Some(token) = self.token.get() {
                token.cancel();
            }
        }
    }

    pub fn stop_reason(&self) -> Option<Stop> {
        match self.stop.load(Ordering::Acquire) {
            1 => Some(Stop::Cancelled),
            2 => Some(Stop::TimedOut),
            3 => Some(Stop::Shutdown),
            4 => Some(Stop::Lost),
            _ => None,
        }
    }

    pub fn take_follow_ups(&self) -> Vec<(QueueName, NewJob)> {
        std::mem::take(&mut *self.follow_ups.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A running job, in its handler's hands. Cheap to clone.
#[derive(Clone)]
pub struct Context {
    pub(super) run: Arc<Run>,
    pub(super) updates: Arc<Updates>,
    pub(super) queue: Queue,
}

impl Context {
    /// What was asked for: id, name, payload, owner, tags.
    pub fn spec(&self) -> &Arc<Spec> {
        &self.run.job.spec
    }

    /// The job's id.
    pub fn id(&self) -> &JobId {
        &self.run.job.spec.id
    }

    /// Which try this is, from 1.
    pub fn attempt(&self) -> u32 {
        self.run.job.attempt
    }

    /// The fencing token. Pass it to whatever the job writes to elsewhere, so that a late write of a lost run can be refused.
    pub fn token(&self) -> Token {
        self.run.job.token
    }

    /// The queue that the job came from.
    pub fn queue(&self) -> &Queue {
        &self.queue
    }

    // ------------------------------------------------------------------ stopping

    /// Whether the handler is asked to stop, and why. Work on blocking threads checks this between steps.
    pub fn stop_requested(&self) -> Option<Stop> {
        self.run.stop_reason()
    }

    /// An error to leave by when the handler is asked to stop: `ctx.check()?` between steps of a long computation.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] once somebody asked.
    pub fn check(&self) -> Result<(), Failure> {
        if self.stop_requested().is_some() { Err(Failure::Cancelled) } else { Ok(()) }
    }

    /// Resolves when the handler is asked to stop. A moment later its future is dropped at its next await.
    pub async fn stopped(&self) -> Stop {
        loop {
            let mut stopped = std::pin::pin!(self.run.stopped.notified());
            // Registered before the look, so a request in between is not missed.
            stopped.as_mut().enable();
            if let Some(reason) = self.run.stop_reason() {
                return reason;
            }
            stopped.await;
        }
    }

    /// The same as a token, for libraries that take one.
    pub fn cancellation_token(&self) -> CancellationToken {
        let token = self.run.token.get_or_init(CancellationToken::new).clone();
        if self.run.stop_reason().is_some() {
            token.cancel();
        }
        token
    }

    // ------------------------------------------------------------------ writing

    /// Reports how far the job is. Returns at once; only the latest report is sent while a call is under way.
    pub fn progress(&self, percent: u8, message: impl Into<String>) {
        let message = Some(message.into()).filter(|text| !text.is_empty());
        self.progress_with(Progress { percent, message, data: None });
    }

    /// Reports how far the job is, with JSON of the handler's own.
    pub fn progress_with(&self, progress: Progress) {
        self.updates.post(&self.run, UpdateChange::Progress(progress));
    }

    /// Adds a line to the job's log. Returns at once.
    pub fn log(&self, line: impl Into<String>) {
        self.updates.post(&self.run, UpdateChange::Log { from: 0, lines: vec![line.into()] });
    }

    /// Replaces the job's data, for the next attempt to go on from. Returns when it is written.
    ///
    /// # Errors
    /// [`Failure::Cancelled`] when the job was lost meanwhile, [`Failure::Unrecoverable`] for data beyond the queue's bound, and
    /// [`Failure::Retry`] when the backend did not answer.
    pub async fn set_data(&self, data: Bytes) -> Result<(), Failure> {
        match self.updates.write(&self.run, UpdateChange::Data(data)).await {
            Ok(Settled::Ok) => Ok(()),
            Ok(_) => {
                self.run.request_stop(Stop::Lost);
                Err(Failure::Cancelled)
            }
            Err(error @ Error::Bound(_)) => Err(Failure::unrecoverable(error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a job together with this one's completion: if the handler fails, nothing is added; if its completion is repeated,
    /// nothing is added twice. `name` tells this job's follow-ups apart.
    pub fn follow_up(&self, queue: &Queue, name: &str, mut job: NewJob) {
        let id = queue.derived_id(self.id(), name);
        let key = format!("follow-up:{id}");
        job.spec.id = id;
        job.spec.dedup =
            Some(Arc::new(Dedup { key: key.into(), ttl_ms: Some(FOLLOW_UP_KEY_MS), fingerprint: None }));
        if job.spec.owner.is_none() {
            job.spec.owner.clone_from(&self.spec().owner);
        }
        if job.spec.traceparent.is_none() {
            job.spec.traceparent.clone_from(&self.spec().traceparent);
        }
        let mut follow_ups = self.run.follow_ups.lock().unwrap_or_else(PoisonError::into_inner);
        follow_ups.push((queue.name().clone(), job));
    }

    /// As [`follow_up`](Self::follow_up), typed.
    ///
    /// # Errors
    /// A payload that JSON cannot say.
    pub fn follow_up_typed<J: Job>(
        &self,
        queue: &Queue,
        name: &str,
        payload: &J,
    ) -> Result<(), serde_json::Error> {
        let job = queue.typed(payload)?;
        self.follow_up(queue, name, job);
        Ok(())
    }

    /// What the job's children returned, all of them.
    ///
    /// # Errors
    /// A backend that did not answer.
    pub async fn children(&self) -> Result<Vec<Child>> {
        const PAGE: usize = 500;
        let mut children = Vec::new();
        loop {
            let page =
                self.queue.backend().children(self.queue.name(), self.id(), children.len(), PAGE).await?;
            let last = page.len() < PAGE;
            children.extend(page);
            if last {
                return Ok(children);
            }
        }
    }

    /// The payload as a value. A payload that does not fit fails the job for good: no retry can help.
    ///
    /// # Errors
    /// [`Failure::Unrecoverable`] that says what does not fit.
    pub fn payload<T: serde::de::DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.spec().data).map_err(|error| {
            Failure::unrecoverable(format_args!("the job's data does not fit {}: {error}", self.spec().name))
        })
    }
}

/// A handler's result as JSON; `null` is kept as no result.
pub(super) fn result_json<T: Serialize>(value: &T) -> Result<Option<Bytes>, Failure> {
    let json = to_json(value).map_err(|error| {
        Failure::unrecoverable(format_args!("the result cannot be written as JSON: {error}"))
    })?;
    Ok((&json[..] != b"null").then_some(json))
}
