//! One run of one job: the handler on a task of its own, and the word of how it ended, whatever happens.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::context::{Context, Run, Stop};
use super::handler::Handler;
use crate::job::{Failure, JobResult};
use crate::model::{Backoff, ErrorKind, JobError, Outcome};
use crate::random;

/// How a run ended.
pub(super) struct Ended {
    pub run: Arc<Run>,
    pub how: How,
    pub took: Duration,
}

/// How a run ended.
pub(super) enum How {
    /// The handler returned.
    Returned(JobResult<Option<Bytes>>),
    /// The handler panicked.
    Panicked(String),
    /// The handler's future was dropped before it returned.
    Dropped,
}

/// Runs a handler and tells how it ended, also when the task is aborted at an await.
pub(super) async fn run(handler: Handler, context: Context, tell: mpsc::UnboundedSender<Ended>) {
    let mut word = Word { run: Some(context.run.clone()), how: How::Dropped, tell, started: Instant::now() };
    let updates = context.updates.clone();
    let call = AssertUnwindSafe(async move { handler(context).await });
    // From here on the end is known, and nothing that happens to this task can change it.
    word.how = match call.catch_unwind().await {
        Ok(result) => How::Returned(result),
        Err(panic) => How::Panicked(panic_text(&*panic)),
    };
    // What the handler reported must not arrive after its end.
    updates.flush().await;
}

/// Tells the loop exactly once how the run ended, when it is dropped.
struct Word {
    run: Option<Arc<Run>>,
    how: How,
    tell: mpsc::UnboundedSender<Ended>,
    started: Instant,
}

impl Drop for Word {
    fn drop(&mut self) {
        if let Some(run) = self.run.take() {
            let how = std::mem::replace(&mut self.how, How::Dropped);
            // The loop outlives its tasks unless the whole runtime is going down.
            let _ = self.tell.send(Ended { run, how, took: self.started.elapsed() });
        }
    }
}

pub(super) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "the handler panicked without a message".to_owned())
}

/// What the backend is told of a run's end.
pub(super) fn outcome(run: &Run, how: How, default_backoff: &Backoff) -> Outcome {
    let backoff = run.job.spec.backoff.as_deref().unwrap_or(default_backoff);
    let retry = |kind, message: String| Outcome::Retry {
        after_ms: backoff.delay_ms(run.job.attempt, random::bits64()),
        error: JobError { kind, message },
    };
    let stopped = run.stop_reason();
    match how {
        How::Returned(Ok(result)) => Outcome::Complete { result, follow_ups: run.take_follow_ups() },
        // Whoever was told to stop is not blamed for the error that the stop caused.
        How::Returned(Err(_)) | How::Dropped if stopped.is_some() => match stopped {
            Some(Stop::Cancelled) => Outcome::Cancelled,
            Some(Stop::TimedOut) => retry(ErrorKind::Timeout, timeout_text(run)),
            _ => Outcome::Release,
        },
        How::Returned(Err(failure)) => match failure {
            Failure::Retry { message, after: None } => retry(ErrorKind::Retryable, message),
            Failure::Retry { message, after: Some(after) } => Outcome::Retry {
                after_ms: ms(after),
                error: JobError { kind: ErrorKind::Retryable, message },
            },
            Failure::Unrecoverable { message } => {
                Outcome::Fail { error: JobError { kind: ErrorKind::Unrecoverable, message } }
            }
            Failure::RateLimited { retry_after } => Outcome::RateLimited { retry_after_ms: ms(retry_after) },
            Failure::Snooze { after } => Outcome::Snooze { after_ms: ms(after) },
            Failure::Cancelled => Outcome::Cancelled,
        },
        How::Panicked(message) => retry(ErrorKind::Panic, message),
        How::Dropped => Outcome::Release,
    }
}

/// What a run that could not be stopped is settled as: its slot is given back, and its token keeps its late writes out.
pub(super) fn stuck_outcome(run: &Run, default_backoff: &Backoff) -> Outcome {
    match run.stop_reason() {
        Some(Stop::TimedOut) | None => {
            let backoff = run.job.spec.backoff.as_deref().unwrap_or(default_backoff);
            let message =
                format!("{}; it could not be stopped and is stuck in its handler", timeout_text(run));
            Outcome::Retry {
                after_ms: backoff.delay_ms(run.job.attempt, random::bits64()),
                error: JobError { kind: ErrorKind::Timeout, message },
            }
        }
        Some(Stop::Cancelled) => Outcome::Cancelled,
        Some(Stop::Shutdown | Stop::Lost) => Outcome::Release,
    }
}

fn timeout_text(run: &Run) -> String {
    format!("it ran longer than its time-out of {} ms", run.job.spec.timeout_ms.unwrap_or(0))
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
