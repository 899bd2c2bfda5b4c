//! Seeded bugs: what a broken engine would do, done on purpose at the door to the store, to show that the ledger catches it.
//!
//! Those that need calls of their own number all calls of the worker anew, so that the store takes them for one worker's.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bulrush::model::{
    ErrorKind, Finished, JobError, JobId, NewJob, Outcome, QueueName, Taken, Token, WorkerId,
};
use bulrush::port::{
    AddOutcome, AddReply, Added, Backend, Fire, FireReply, Fired, Result, Resume, ResumeReply, Settled, Step,
    StepReply, WorkerInfo,
};
use clap::ValueEnum;

/// A bug to seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, ValueEnum)]
pub enum Bug {
    /// A success is sent to the store as "given back untouched": the job runs again.
    ForgetSuccess,
    /// A job is completed that nobody ran.
    SkipRun,
    /// An add is acknowledged that was never sent.
    SwallowAdd,
    /// A job is given back while its handler goes on: another worker runs it too.
    LetGo,
    /// The record of a job is deleted on the server.
    DeleteRecord,
    /// A completed job is put among the failed ones as well, on the server.
    TwoLists,
    /// A settle is never sent, and the worker is told that it was.
    NeverSettle,
    /// Two jobs are settled each with the other's result.
    SwapResults,
    /// A job is added that nobody asked for.
    AddAnother,
    /// A failure is told of a job that nobody ran: an attempt is burnt.
    BurnAttempt,
    /// A job is handed to the worker twice under the same token.
    HandTwice,
    /// A slot of a schedule adds two jobs.
    FireTwice,
    /// A schedule moves on from a slot without a job.
    LoseSlot,
}

impl Bug {
    /// Whether the producer has it, and not the workers.
    pub fn is_producers(self) -> bool {
        matches!(self, Self::SwallowAdd | Self::AddAnother)
    }

    /// Whether the server is damaged from outside.
    pub fn is_servers(self) -> bool {
        matches!(self, Self::DeleteRecord | Self::TwoLists)
    }

    /// Whether the tickers of schedules have it.
    pub fn is_tickers(self) -> bool {
        matches!(self, Self::FireTwice | Self::LoseSlot)
    }

    /// Its name on the command line.
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

/// One call or job in so many is dealt with wrongly.
const ONE_IN: u64 = 60;

/// A bug at work.
pub struct Wrong {
    bug: Bug,
    /// Jobs, or calls, so far.
    count: AtomicU64,
    /// Number of the last call that was made.
    call: AtomicU64,
    held: Mutex<HashMap<JobId, Token>>,
    info: Mutex<Option<WorkerInfo>>,
    again: Mutex<Vec<Arc<Taken>>>,
}

impl Wrong {
    /// A bug.
    pub fn new(bug: Bug) -> Self {
        Self {
            bug,
            count: AtomicU64::new(0),
            call: AtomicU64::new(0),
            held: Mutex::default(),
            info: Mutex::default(),
            again: Mutex::default(),
        }
    }

    fn strikes(&self) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed) % ONE_IN == ONE_IN / 2
    }

    fn next_call(&self) -> u64 {
        self.call.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Fires slots, wrongly.
    pub async fn fire(
        &self,
        store: &dyn Backend,
        queue: &QueueName,
        mut fires: Vec<Fire>,
    ) -> Result<FireReply> {
        match self.bug {
            Bug::LoseSlot => {
                for fire in &mut fires {
                    if self.strikes() {
                        fire.fires = None;
                    }
                }
                store.fire(queue, fires).await
            }
            Bug::FireTwice => {
                let reply = store.fire(queue, fires.clone()).await?;
                for (fire, fired) in fires.iter().zip(&reply.fired) {
                    if let (Some(slot), Fired::Added(_)) = (fire.fires, fired)
                        && self.strikes()
                    {
                        let mut again = fire.spec.slot_job(slot);
                        again.spec.id = JobId::derive("slo", &again.spec.id, "again");
                        store.add(queue, vec![again]).await?;
                    }
                }
                Ok(reply)
            }
            _ => store.fire(queue, fires).await,
        }
    }

    /// Adds jobs, wrongly.
    pub async fn add(
        &self,
        store: &dyn Backend,
        queue: &QueueName,
        mut jobs: Vec<NewJob>,
    ) -> Result<AddReply> {
        match self.bug {
            Bug::SwallowAdd => {
                let ids: Vec<JobId> = jobs.iter().map(|job| job.spec.id.clone()).collect();
                let swallowed: Vec<bool> = jobs.iter().map(|_| self.strikes()).collect();
                let mut keep = swallowed.iter().map(|swallowed| !swallowed);
                jobs.retain(|_| keep.next().unwrap_or(true));
                let sent = if jobs.is_empty() { AddReply::default() } else { store.add(queue, jobs).await? };
                let mut sent = sent.added.into_iter();
                let lie = |id: &JobId| Added { id: id.clone(), outcome: AddOutcome::New };
                let answer = |(id, swallowed): (&JobId, &bool)| {
                    if *swallowed { Some(lie(id)) } else { sent.next() }
                };
                let added = ids.iter().zip(&swallowed).filter_map(answer).collect();
                Ok(AddReply { added, outbox: Vec::new() })
            }
            Bug::AddAnother if self.strikes() => {
                let mut another = jobs.clone();
                another.truncate(1);
                for job in &mut another {
                    job.spec.id = JobId::derive("p", &job.spec.id, "another");
                }
                store.add(queue, another).await?;
                store.add(queue, jobs).await
            }
            _ => store.add(queue, jobs).await,
        }
    }

    /// Says hello under a number of our own.
    pub async fn resume(
        &self,
        store: &dyn Backend,
        queue: &QueueName,
        mut resume: Resume,
    ) -> Result<ResumeReply> {
        *lock(&self.info) = Some(resume.info.clone());
        resume.call = self.next_call();
        store.resume(queue, resume).await
    }

    /// Settles and takes, wrongly.
    pub async fn step(&self, store: &dyn Backend, queue: &QueueName, mut step: Step) -> Result<StepReply> {
        step.call = self.next_call();
        let worker = step.worker;
        let asked: Vec<JobId> = step.finished.iter().map(|finished| finished.id().clone()).collect();
        for finished in &step.finished {
            lock(&self.held).remove(finished.id());
        }
        let mut unsent = vec![false; asked.len()];
        match self.bug {
            Bug::ForgetSuccess => {
                for finished in step.finished.iter_mut().filter(|finished| completes(finished)) {
                    if self.strikes() {
                        finished.outcome = Outcome::Release;
                    }
                }
            }
            Bug::NeverSettle => {
                unsent = asked.iter().map(|_| self.strikes()).collect();
                let mut keep = unsent.iter().map(|unsent| !unsent);
                step.finished.retain(|_| keep.next().unwrap_or(true));
            }
            Bug::SwapResults => swap_results(&mut step.finished),
            _ => {}
        }
        let mut reply = store.step(queue, step).await?;
        if unsent.contains(&true) {
            let mut sent = reply.settled.into_iter();
            let answer = |unsent: &bool| if *unsent { Some(Settled::Ok) } else { sent.next() };
            reply.settled = unsent.iter().filter_map(answer).collect();
        }
        for taken in &reply.taken {
            lock(&self.held).insert(taken.spec.id.clone(), taken.token);
        }
        self.deal_with_taken(store, queue, worker, &mut reply).await?;
        Ok(reply)
    }

    async fn deal_with_taken(
        &self,
        store: &dyn Backend,
        queue: &QueueName,
        worker: WorkerId,
        reply: &mut StepReply,
    ) -> Result<()> {
        match self.bug {
            Bug::SkipRun | Bug::BurnAttempt => {
                let (wrong, right): (Vec<_>, Vec<_>) =
                    std::mem::take(&mut reply.taken).into_iter().partition(|_| self.strikes());
                reply.taken = right;
                let settle = |job: Arc<Taken>| {
                    lock(&self.held).remove(&job.spec.id);
                    Finished { outcome: self.invented(), job }
                };
                let finished: Vec<Finished> = wrong.into_iter().map(settle).collect();
                if !finished.is_empty() {
                    store.step(queue, Step::settle(worker, self.next_call(), finished)).await?;
                }
            }
            Bug::LetGo => {
                let Some(let_go) = reply.taken.iter().find(|_| self.strikes()) else { return Ok(()) };
                let info = lock(&self.info).clone();
                let Some(info) = info else { return Ok(()) };
                let others = lock(&self.held).clone().into_iter();
                let running = others.filter(|(id, _)| *id != let_go.spec.id).collect();
                store.resume(queue, Resume { info, call: self.next_call(), running }).await?;
            }
            Bug::HandTwice => {
                reply.taken.append(&mut lock(&self.again));
                let twice = reply.taken.iter().find(|_| self.strikes()).cloned();
                lock(&self.again).extend(twice);
            }
            _ => {}
        }
        Ok(())
    }

    /// How a job ended that nobody ran.
    fn invented(&self) -> Outcome {
        match self.bug {
            Bug::BurnAttempt => Outcome::Retry {
                after_ms: 0,
                error: JobError { kind: ErrorKind::Retryable, message: "seeded".to_owned() },
            },
            _ => Outcome::Complete { result: None, follow_ups: Vec::new() },
        }
    }
}

fn completes(finished: &Finished) -> bool {
    matches!(finished.outcome, Outcome::Complete { .. })
}

fn swap_results(finished: &mut [Finished]) {
    let mut completed = finished.iter_mut().filter(|finished| completes(finished));
    if let (Some(one), Some(other)) = (completed.next(), completed.next()) {
        std::mem::swap(&mut one.outcome, &mut other.outcome);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
