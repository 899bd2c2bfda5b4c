//! Adding to a queue and managing it, for whoever must not be able to take work from it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::coalesce::{Batches, Coalescer, take_call};
use crate::flow;
use crate::model::{NewJob, QueueName, Scope};
use crate::port::{
    AddReply, Added, AdminCommand, AdminReply, Backend, Enqueue, Maintain, OutboxEntry, Result,
};

/// Pauses between the tries of a call whose answer was lost, ms.
const RETRY_PAUSES_MS: [u64; 6] = [20, 50, 100, 250, 500, 1_000];

/// Adds to one queue and manages it; it holds no way to take its jobs. Cheap to clone.
#[derive(Clone)]
pub struct Producer(Arc<Coalescer<Adds>>);

/// The roles of a backend that a producer needs.
struct Adds {
    name: QueueName,
    enqueue: Arc<dyn Enqueue>,
    maintain: Arc<dyn Maintain>,
    may_lose_replies: bool,
    patience: Option<Duration>,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("queue", self.name()).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer of one queue of a backend; of the backend's roles it keeps those that it needs.
    pub fn new(backend: &Arc<dyn Backend>, name: QueueName) -> Self {
        Self::make(backend, name, None)
    }

    /// One that gives up sooner: it sends no call whose answer was lost again once so much time has passed since it was first sent.
    pub fn impatient(backend: &Arc<dyn Backend>, name: QueueName, patience: Duration) -> Self {
        Self::make(backend, name, Some(patience))
    }

    fn make(backend: &Arc<dyn Backend>, name: QueueName, patience: Option<Duration>) -> Self {
        let may_lose_replies = backend.may_lose_replies();
        let (enqueue, maintain) = (backend.clone(), backend.clone());
        Self(Arc::new(Coalescer::new(Adds { name, enqueue, maintain, may_lose_replies, patience })))
    }

    /// The queue's name.
    pub fn name(&self) -> &QueueName {
        &self.0.batches().name
    }

    /// Adds one job. Returns when the backend has acknowledged it; adds that come meanwhile share the next call.
    ///
    /// # Errors
    /// A job that cannot be added as it is, or a backend that did not answer: then the job may or may not be there, and adding it
    /// again under the same id settles the question.
    pub async fn add(&self, job: NewJob) -> Result<Added> {
        self.0.ask(job).await
    }

    /// Adds many jobs, split into calls that the backend accepts. One answer per job, in the order given.
    ///
    /// # Errors
    /// As [`add`](Self::add); jobs of earlier calls have been added then.
    pub async fn add_bulk(&self, jobs: Vec<NewJob>) -> Result<Vec<Added>> {
        let mut added = Vec::with_capacity(jobs.len());
        let mut jobs = VecDeque::from(jobs);
        while !jobs.is_empty() {
            let call = take_call(&mut jobs, Adds::load);
            added.extend(self.0.batches().add(call).await?.added);
        }
        Ok(added)
    }

    /// Does what an administrator asks, to the jobs within `scope`, and delivers what it causes in other queues.
    ///
    /// # Errors
    /// As [`Maintain::admin_within`].
    pub async fn admin(&self, scope: &Scope, command: AdminCommand) -> Result<AdminReply> {
        let adds = self.0.batches();
        let mut reply = adds.maintain.admin_within(&adds.name, scope, command).await?;
        adds.deliver_or_leave(std::mem::take(&mut reply.outbox)).await;
        Ok(reply)
    }
}

impl Batches for Adds {
    type Ask = NewJob;
    type Answer = Added;

    fn load(job: &NewJob) -> (usize, usize) {
        (job.tree_len(), job.tree_bytes())
    }

    async fn carry_out(&self, jobs: Vec<NewJob>) -> Vec<Result<Added>> {
        let n = jobs.len();
        // A job that is refused as it is would take the others of its call with it, so then each goes alone.
        let again = if n == 1 { None } else { Some(jobs.clone()) };
        match (self.add(jobs).await, again) {
            (Ok(reply), _) => reply.added.into_iter().map(Ok).collect(),
            (Err(error), Some(jobs)) if !error.is_transient() => {
                let mut answers = Vec::with_capacity(n);
                for job in jobs {
                    answers.push(self.add(vec![job]).await.map(|mut reply| reply.added.remove(0)));
                }
                answers
            }
            (Err(error), _) => vec![Err(error); n],
        }
    }
}

impl Adds {
    /// One call, repeated while its answer gets lost: ids make the repeat harmless.
    async fn add(&self, jobs: Vec<NewJob>) -> Result<AddReply> {
        if !self.may_lose_replies {
            let reply = self.enqueue.add(&self.name, jobs).await?;
            return Ok(self.deliver_flow(reply).await);
        }
        let started = Instant::now();
        let is_over = || self.patience.is_some_and(|patience| started.elapsed() >= patience);
        let mut pauses = RETRY_PAUSES_MS.into_iter();
        loop {
            match self.enqueue.add(&self.name, jobs.clone()).await {
                Ok(reply) => return Ok(self.deliver_flow(reply).await),
                Err(error) if error.is_transient() => match pauses.next() {
                    Some(_) if is_over() => return Err(error),
                    Some(pause) => tokio::time::sleep(Duration::from_millis(pause)).await,
                    None => return Err(error),
                },
                Err(error) => return Err(error),
            }
        }
    }

    async fn deliver_flow(&self, mut reply: AddReply) -> AddReply {
        self.deliver_or_leave(std::mem::take(&mut reply.outbox)).await;
        reply
    }

    /// Delivers now what can be delivered now; maintenance does the rest.
    async fn deliver_or_leave(&self, outbox: Vec<OutboxEntry>) {
        if outbox.is_empty() {
            return;
        }
        if let Err(error) = flow::deliver(&*self.maintain, &self.name, outbox).await {
            tracing::warn!(queue = %self.name, %error, "an outbox could not be delivered at once; maintenance will do it");
        }
    }
}
