//! A worker without a runtime: each call is made by the case.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bulrush::model::{ErrorKind, Finished, JobError, Outcome, QueueName, Rollup, Taken, WorkerId};
use bulrush::port::{
    Backend, Error, Renew, RenewReply, Resume, ResumeReply, Settled, Step, StepReply, Update, UpdateChange,
    WorkerInfo,
};

/// A worker of one queue.
pub struct Hand {
    backend: Arc<dyn Backend>,
    queue: QueueName,
    pub info: WorkerInfo,
    /// Number of the last call.
    pub call: u64,
    greeted: AtomicBool,
}

/// Workers of this process so far: no two have one id, as in life.
static STARTED: AtomicU64 = AtomicU64::new(0);

impl Hand {
    pub fn new(backend: Arc<dyn Backend>, queue: QueueName, number: u64) -> Self {
        let info = WorkerInfo {
            id: WorkerId(number << 32 | STARTED.fetch_add(1, Ordering::Relaxed)),
            name: format!("worker {number}"),
            slots: 10,
            version: "1".into(),
            started: 0,
        };
        Self { backend, queue, info, call: 0, greeted: AtomicBool::new(false) }
    }

    pub fn id(&self) -> WorkerId {
        self.info.id
    }

    /// Sends a step as it is, whatever its number. A worker that has not said hello does so first, as call 0.
    pub async fn send(&self, step: Step) -> Result<StepReply, Error> {
        if !self.greeted.load(Ordering::Relaxed) {
            self.try_resume(0, &[]).await.expect("a worker can say hello");
        }
        self.send_unasked(step).await
    }

    /// Sends a step without a hello before it.
    pub async fn send_unasked(&self, step: Step) -> Result<StepReply, Error> {
        self.backend.step(&self.queue, step).await
    }

    /// The next call.
    pub fn next(&mut self, finished: Vec<Finished>, want: usize) -> Step {
        self.call += 1;
        Step { worker: self.id(), call: self.call, finished, want }
    }

    pub async fn step(&mut self, finished: Vec<Finished>, want: usize) -> StepReply {
        let step = self.next(finished, want);
        self.send(step).await.expect("the step can be carried out")
    }

    pub async fn take(&mut self, want: usize) -> Vec<Arc<Taken>> {
        self.step(Vec::new(), want).await.taken
    }

    /// Takes one job, which must be there.
    pub async fn take_one(&mut self) -> Arc<Taken> {
        let mut taken = self.take(1).await;
        assert_eq!(taken.len(), 1, "a job can be taken");
        taken.remove(0)
    }

    /// Takes one job and tells its id.
    pub async fn take_id(&mut self) -> String {
        self.take_one().await.spec.id.to_string()
    }

    /// Takes all there is, in order.
    pub async fn take_ids(&mut self) -> Vec<String> {
        let mut ids = Vec::new();
        loop {
            let taken = self.take(1_000).await;
            if taken.is_empty() {
                return ids;
            }
            ids.extend(taken.iter().map(|job| job.spec.id.to_string()));
        }
    }

    pub async fn settle(&mut self, job: &Arc<Taken>, outcome: Outcome) -> Settled {
        self.step(vec![finished(job, outcome)], 0).await.settled[0]
    }

    /// Settles a job that must still be this worker's.
    pub async fn end(&mut self, job: &Arc<Taken>, outcome: Outcome) -> StepReply {
        let reply = self.step(vec![finished(job, outcome)], 0).await;
        assert_eq!(reply.settled, [Settled::Ok]);
        reply
    }

    /// Takes one job and settles it.
    pub async fn run(&mut self, outcome: Outcome) -> Arc<Taken> {
        let job = self.take_one().await;
        self.end(&job, outcome).await;
        job
    }

    /// Says hello, and names the jobs it still runs.
    pub async fn resume(&mut self, running: &[&Taken]) -> ResumeReply {
        self.call += 1;
        self.try_resume(self.call, running).await.expect("a worker can say hello")
    }

    pub async fn try_resume(&self, call: u64, running: &[&Taken]) -> Result<ResumeReply, Error> {
        self.greeted.store(true, Ordering::Relaxed);
        let running = running.iter().map(|job| (job.spec.id.clone(), job.token)).collect();
        self.backend.resume(&self.queue, Resume { info: self.info.clone(), call, running }).await
    }

    pub fn renew(&self) -> RenewReply {
        self.renew_with(0, Vec::new())
    }

    pub fn renew_with(&self, rollup_seq: u64, rollups: Vec<Rollup>) -> RenewReply {
        let renew = Renew { info: self.info.clone(), rollup_seq, rollups };
        self.backend.renew(&self.queue, renew).expect("a worker can renew")
    }

    pub async fn update(&self, job: &Taken, change: UpdateChange) -> Settled {
        self.try_update(job, change).await.expect("the update is within bounds")
    }

    pub async fn try_update(&self, job: &Taken, change: UpdateChange) -> Result<Settled, Error> {
        let update = Update { id: job.spec.id.clone(), token: job.token, change };
        self.backend.update(&self.queue, vec![update]).await.map(|settled| settled[0])
    }
}

pub fn finished(job: &Arc<Taken>, outcome: Outcome) -> Finished {
    Finished { job: job.clone(), outcome }
}

pub fn complete() -> Outcome {
    Outcome::Complete { result: None, follow_ups: Vec::new() }
}

pub fn complete_with(result: &'static str) -> Outcome {
    Outcome::Complete { result: Some(result.into()), follow_ups: Vec::new() }
}

pub fn error(message: &str) -> JobError {
    JobError { kind: ErrorKind::Retryable, message: message.to_owned() }
}

pub fn again(after_ms: u64) -> Outcome {
    Outcome::Retry { after_ms, error: error("not this time") }
}

pub fn fail() -> Outcome {
    Outcome::Fail { error: JobError { kind: ErrorKind::Unrecoverable, message: "for good".into() } }
}
