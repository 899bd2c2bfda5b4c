//! One job in the caller's own task, without slots, lease or time-out: for tests of handlers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use tokio_util::task::TaskTracker;

use super::context::{Context, Run};
use super::handler::Handlers;
use super::task::{self, How, panic_text};
use super::updates::Updates;
use crate::job::{Failure, JobResult};
use crate::model::{Backoff, Outcome, Taken};
use crate::queue::Queue;

/// Runs a job's handler to its end. Returns what it returned and what the backend is to be told. A panic is a failed attempt.
pub(crate) async fn run_inline(
    queue: &Queue,
    handlers: &Handlers,
    job: Arc<Taken>,
    backoff: &Backoff,
) -> (JobResult<Option<Bytes>>, Outcome) {
    let run = Arc::new(Run::new(job));
    let Some(handler) = handlers.find(&run.job.spec.name).cloned() else {
        let failure = Failure::unrecoverable(handlers.missing(&run.job.spec.name));
        let outcome = task::outcome(&run, How::Returned(Err(failure.clone())), backoff);
        return (Err(failure), outcome);
    };
    let updates = Updates::new(queue.backend().clone(), queue.name().clone(), TaskTracker::new());
    let context = Context { run: run.clone(), updates: updates.clone(), queue: queue.clone() };
    let (result, how) = match AssertUnwindSafe(async move { handler(context).await }).catch_unwind().await {
        Ok(result) => (result.clone(), How::Returned(result)),
        Err(panic) => {
            let text = panic_text(&*panic);
            (Err(Failure::retry(format_args!("the handler panicked: {text}"))), How::Panicked(text))
        }
    };
    updates.flush().await;
    (result, task::outcome(&run, how, backoff))
}
