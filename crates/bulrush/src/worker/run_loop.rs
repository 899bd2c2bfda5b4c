//! The taking loop: owns the slots, settles and takes through `step`, and enforces time-outs, cancels and the drain.
//!
//! At any moment at most one call is under way. Whatever ends meanwhile goes with the next call, so batches grow with the load and
//! shrink to single jobs at rest. While nothing can be taken the loop waits on the backend, which costs no calls.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::context::{Context, Run, Stop};
use super::handler::Handlers;
use super::meter::Meter;
use super::renewal::{News, Renewal, Running};
use super::slots::Slots;
use super::task::{self, Ended};
use super::updates::Updates;
use super::{Command, Gauge, WorkerOptions};
use crate::clock::{Clock, SystemClock};
use crate::flow;
use crate::model::{
    CheckError, ErrorKind, Finished, JobError, JobId, Load, Millis, Outcome, QueueConfig, Taken, Token,
};
use crate::port::{
    Backend, Error, OutboxEntry, Result, Resume, ResumeReply, Settled, Step, StepReply, WorkerInfo,
};
use crate::queue::Queue;

/// Jobs settled in one call, and taken.
const STEP_MAX: usize = 1_000;
/// A job that may not run beside what else runs here is put off by this, ms, and the second one in a call by twice as much.
const APART_MS: u64 = 1_000;
/// Longest wait on the backend, ms: the backend's own bound.
const WAIT_MAX_MS: u64 = 60_000;
/// First and longest pause after a call that failed.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

type Calling<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A call under way.
enum Call {
    Hello(Calling<Result<(ResumeReply, QueueConfig)>>),
    Step(Calling<Result<StepReply>>),
    /// No call, but a pause after one that failed.
    Pause(Calling<()>),
}

/// What a call came back with.
enum Answer {
    Hello(Box<Result<(ResumeReply, QueueConfig)>>),
    Step(Result<StepReply>),
    Paused,
}

pub(super) struct RunLoop {
    backend: Arc<dyn Backend>,
    queue: Queue,
    handlers: Handlers,
    options: WorkerOptions,
    info: WorkerInfo,
    gauge: Arc<Gauge>,
    commands: watch::Receiver<Command>,
    /// Somebody may still have something to say.
    owned: bool,
    config: QueueConfig,

    call: u64,
    under_way: Option<Call>,
    /// What the call under way settles: its answer may get lost, and a result may be refused.
    sent: Vec<Finished>,
    waiting: Option<(Millis, Calling<Result<()>>)>,
    /// The backend may have something to take.
    look: bool,
    greeted: bool,
    /// The lease was lost while a call was under way: what it took may have been given to others meanwhile.
    doubted: bool,
    pause: Duration,
    /// Jobs that the next call settles at most: fewer after one that was too large, because the bounds have changed.
    send_max: usize,

    slots: Slots,
    finished: Vec<Finished>,
    drain_until: Option<Instant>,
    closed: bool,

    ended: mpsc::UnboundedReceiver<Ended>,
    tell_ended: mpsc::UnboundedSender<Ended>,
    news: mpsc::UnboundedReceiver<News>,
    tell_news: mpsc::UnboundedSender<News>,
    renewal: Option<Running>,
    meter: Arc<Mutex<Meter>>,
    updates: Arc<Updates>,
    tasks: TaskTracker,
}

impl RunLoop {
    pub fn new(
        queue: Queue,
        handlers: Handlers,
        options: WorkerOptions,
        info: WorkerInfo,
        gauge: Arc<Gauge>,
        commands: watch::Receiver<Command>,
    ) -> Self {
        let backend = queue.backend().clone();
        let (tell_ended, ended) = mpsc::unbounded_channel();
        let (tell_news, news) = mpsc::unbounded_channel();
        let tasks = TaskTracker::new();
        let slots = Slots::new(options.stop_grace, options.stuck_after);
        let updates = Updates::new(backend.clone(), queue.name().clone(), tasks.clone());
        Self {
            backend,
            queue,
            handlers,
            options,
            info,
            gauge,
            commands,
            owned: true,
            config: QueueConfig::default(),
            call: 0,
            under_way: None,
            sent: Vec::new(),
            waiting: None,
            look: true,
            greeted: false,
            doubted: false,
            pause: PAUSE_FIRST,
            send_max: STEP_MAX,
            slots,
            finished: Vec::new(),
            drain_until: None,
            closed: false,
            ended,
            tell_ended,
            news,
            tell_news,
            renewal: None,
            meter: Arc::default(),
            updates,
            tasks,
        }
    }

    pub async fn run(mut self) {
        let mut batch = Vec::with_capacity(STEP_MAX);
        loop {
            while let Ok(ended) = self.ended.try_recv() {
                self.on_ended(ended);
            }
            self.gauge.running.store(self.slots.len(), Ordering::Relaxed);
            if self.is_done() {
                break;
            }
            if self.under_way.is_none() {
                self.start_call();
            }
            let calling = self.under_way.is_some();
            let want = self.want();
            if want == 0 {
                // Whoever cannot take leaves the word of new work to those who can.
                self.waiting = None;
            } else if !calling && self.waiting.is_none() {
                self.start_wait(None);
            }
            let moment = self.next_moment();
            // In a fixed order, so that a simulation can be played again; nothing here is ready all the time.
            tokio::select! {
                biased;
                changed = self.commands.changed(), if self.owned => self.on_command(changed.is_err()),
                answer = next_answer(&mut self.under_way), if calling => {
                    self.under_way = None;
                    self.on_answer(answer);
                }
                Some(news) = self.news.recv() => self.on_news(news),
                () = sleep_until(moment), if moment.is_some() => self.on_moment(),
                woken = next_wake(&mut self.waiting), if self.waiting.is_some() && !calling => {
                    self.waiting = None;
                    self.on_wake(woken);
                }
                // While a call is under way, what ends is left to gather for the next one.
                n = self.ended.recv_many(&mut batch, STEP_MAX), if !calling => {
                    debug_assert!(n > 0, "the loop holds a sender");
                    batch.drain(..).for_each(|ended| self.on_ended(ended));
                    // Jobs that are about to end get the chance to go with the same call.
                    if !self.slots.is_empty() {
                        tokio::task::yield_now().await;
                    }
                }
            }
        }
        self.end().await;
    }

    fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    fn is_done(&self) -> bool {
        let Some(until) = self.tell_until() else { return self.closed };
        let calling = self.under_way.as_ref().is_some_and(|call| !matches!(call, Call::Pause(_)));
        // What a store that is away cannot be told is rescued when the lease has run out.
        let in_vain = !self.greeted && Instant::now() >= until;
        self.closed || (self.slots.is_empty() && (in_vain || (!calling && self.finished.is_empty())))
    }

    /// Until when a worker that stops tries to tell a store that does not answer how its jobs have ended.
    fn tell_until(&self) -> Option<Instant> {
        self.drain_until.map(|until| until + self.options.stop_grace)
    }

    fn want(&self) -> usize {
        let free = self.options.concurrency.saturating_sub(self.slots.len());
        if self.is_draining() { 0 } else { free.min(STEP_MAX) }
    }

    // ------------------------------------------------------------------ calls

    fn start_call(&mut self) {
        if !self.greeted {
            self.under_way = Some(Call::Hello(self.hello()));
            return;
        }
        let want = self.want();
        if self.finished.is_empty() && !(self.look && want > 0) {
            return;
        }
        let loads = self.finished.iter().take(self.send_max).map(|finished| finished.outcome.load());
        let fits = Load::fits(&self.config.bounds, loads).min(self.finished.len());
        let rest = self.finished.split_off(fits);
        let finished = std::mem::replace(&mut self.finished, rest);
        self.sent.clone_from(&finished);
        self.call += 1;
        let step = Step { worker: self.info.id, call: self.call, finished, want };
        let (backend, queue) = (self.backend.clone(), self.queue.name().clone());
        self.under_way = Some(Call::Step(Box::pin(async move { backend.step(&queue, step).await })));
    }

    /// The hello, at the start and after any unanswered call. What has ended and is not settled is named too: its token still holds.
    fn hello(&mut self) -> Calling<Result<(ResumeReply, QueueConfig)>> {
        self.call += 1;
        let id_and_token = |job: &Taken| (job.spec.id.clone(), job.token);
        let running = self.slots.runs().map(|run| id_and_token(&run.job));
        let ended = self.finished.iter().map(|finished| id_and_token(&finished.job));
        let running: Vec<(JobId, Token)> = running.chain(ended).collect();
        let resume = Resume { info: self.info.clone(), call: self.call, running };
        let (backend, queue) = (self.backend.clone(), self.queue.name().clone());
        Box::pin(async move {
            let config = backend.info(&queue).await?.config;
            Ok((backend.resume(&queue, resume).await?, config))
        })
    }

    fn start_wait(&mut self, until: Option<Millis>) {
        // The backend's clock is not known here but for what it said last; a bound that is off by the difference is harmless,
        // because a wait may end early and is bounded anyway.
        let (backend, queue) = (self.backend.clone(), self.queue.name().clone());
        let until_or_default = until;
        self.waiting = Some((
            until.unwrap_or(Millis::MAX),
            Box::pin(async move {
                let until = match until_or_default {
                    Some(until) => until,
                    None => backend.now().await? + WAIT_MAX_MS,
                };
                backend.wait(&queue, until).await
            }),
        ));
    }

    fn on_answer(&mut self, answer: Answer) {
        match answer {
            Answer::Paused => {}
            Answer::Hello(answer) => self.on_hello(*answer),
            Answer::Step(Ok(reply)) => self.on_step(reply),
            Answer::Step(Err(error)) => {
                let mut unsettled = std::mem::take(&mut self.sent);
                let sent = unsettled.len();
                unsettled.append(&mut self.finished);
                self.finished = unsettled;
                self.on_step_error(&error, sent);
            }
        }
    }

    fn on_hello(&mut self, answer: Result<(ResumeReply, QueueConfig)>) {
        match answer {
            Ok((reply, config)) => {
                self.heard();
                self.config = config;
                self.greeted = true;
                self.doubted = false;
                self.look = true;
                if !reply.returned.is_empty() {
                    tracing::info!(queue = %self.queue.name(), jobs = reply.returned.len(), "jobs whose take got lost went back");
                }
                let lost: hashbrown::HashSet<JobId> = reply.lost.into_iter().collect();
                self.slots.stop_where(Stop::Lost, |run| lost.contains(&run.job.spec.id));
                self.start_renewal();
            }
            Err(error) => self.on_error("say hello", &error),
        }
    }

    fn on_step(&mut self, reply: StepReply) {
        self.heard();
        self.sent.clear();
        self.send_max = STEP_MAX;
        let refused = reply.settled.iter().filter(|settled| **settled != Settled::Ok).count();
        self.gauge.settled.fetch_add((reply.settled.len() - refused) as u64, Ordering::Relaxed);
        if refused > 0 {
            tracing::warn!(
                queue = %self.queue.name(), worker = %self.info.id, jobs = refused,
                "results were refused: the jobs had been given to another worker or removed"
            );
        }
        if !reply.known {
            // The store forgot this worker: whatever it ran has been given to others.
            self.slots.stop_where(Stop::Lost, |_| true);
            self.greeted = false;
        }
        for id in &reply.cancel {
            self.slots.stop_where(Stop::Cancelled, |run| run.job.spec.id == *id);
        }
        self.deliver(reply.outbox);
        let taken = reply.taken.len();
        // What is not started is not named in the hello that follows, and goes back to the head if it is still ours.
        let jobs = if std::mem::take(&mut self.doubted) { Vec::new() } else { reply.taken };
        let started = !jobs.is_empty();
        let mut apart = 0;
        for job in jobs {
            if self.must_run_apart(&job) {
                apart += 1;
                tracing::warn!(
                    queue = %self.queue.name(), job = %job.spec.id, stalls = job.stalls,
                    "a job that would fail if it lost its worker once more is put off: it must not run beside one that may be the cause"
                );
                let run = Arc::new(Run::new(job));
                self.settle(&run, Outcome::Snooze { after_ms: APART_MS * apart }, Duration::ZERO);
            } else {
                self.start_job(job);
            }
        }
        if started {
            // The task that was spawned last stands in a slot of this thread of the runtime that no other thread takes from, and does
            // not wake one: if it never awaits, nobody would look after time and connections any more. One more spawn moves it on.
            tokio::spawn(std::future::ready(()));
        }
        // A full hand may mean that there is more; otherwise wait for what the backend said comes next.
        self.look = taken > 0 && self.want() == 0;
        if !self.look && self.want() > 0 {
            let next = reply.next_due.into_iter().chain(reply.limited_until).min();
            let until = next.unwrap_or(Millis::MAX).min(reply.now + WAIT_MAX_MS);
            if self.waiting.as_ref().is_none_or(|(waits_until, _)| until < *waits_until) {
                self.start_wait(Some(until));
            }
        }
    }

    fn on_step_error(&mut self, error: &Error, sent: usize) {
        let of_call = match error {
            Error::Bound(bound) | Error::Check(CheckError::Bound(bound)) => bound.is_of_call(),
            _ => false,
        };
        if of_call && sent > 1 {
            self.send_max = sent / 2;
            return;
        }
        let item = match error {
            Error::Bound(bound) => Some(bound.item),
            Error::Check(check) => check.item(),
            _ => None,
        };
        // One result that the queue does not take must not hold up the others.
        if let Some(finished) = item.and_then(|item| self.finished.get_mut(item)) {
            finished.refuse(error);
            return;
        }
        self.on_error("settle and take", error);
    }

    fn on_error(&mut self, action: &str, error: &Error) {
        if matches!(error, Error::Closed) {
            tracing::info!(queue = %self.queue.name(), "the backend is closed; the worker ends");
            self.closed = true;
            self.slots.stop_where(Stop::Shutdown, |_| true);
            return;
        }
        tracing::warn!(queue = %self.queue.name(), worker = %self.info.id, %error, "could not {action}; trying again");
        self.greeted = false;
        self.waiting = None;
        let pause = self.pause;
        self.pause = (pause * 2).min(PAUSE_MAX);
        self.under_way = Some(Call::Pause(Box::pin(tokio::time::sleep(pause))));
    }

    fn on_wake(&mut self, woken: Result<()>) {
        match woken {
            Ok(()) => {
                self.heard();
                self.look = true;
            }
            Err(error) => self.on_error("wait for work", &error),
        }
    }

    fn heard(&mut self) {
        self.pause = PAUSE_FIRST;
        self.gauge.heard_at.store(SystemClock.now(), Ordering::Relaxed);
    }

    /// Delivers what other queues must know, beside the loop. What fails is left to maintenance.
    fn deliver(&mut self, outbox: Vec<OutboxEntry>) {
        if outbox.is_empty() {
            return;
        }
        let (backend, queue) = (self.backend.clone(), self.queue.name().clone());
        self.tasks.spawn(async move {
            if let Err(error) = flow::deliver(&*backend, &queue, outbox).await {
                tracing::warn!(%queue, %error, "an outbox could not be delivered at once; maintenance will do it");
            }
        });
    }

    // ------------------------------------------------------------------ jobs

    /// Whether a job must not run beside what runs here. Jobs that lost their worker together come back together, and one of them may be the
    /// cause: whoever fails with the next loss would fail with it, though nothing is wrong with it.
    fn must_run_apart(&self, job: &Taken) -> bool {
        let last = |job: &Taken| job.stalls > 0 && job.stalls >= self.config.stalls_max;
        job.stalls > 0 && self.slots.runs().any(|run| run.job.stalls > 0 && (last(&run.job) || last(job)))
    }

    fn start_job(&mut self, job: Arc<Taken>) {
        let run = Arc::new(Run::new(job));
        let Some(handler) = self.handlers.find(&run.job.spec.name).cloned() else {
            let message = self.handlers.missing(&run.job.spec.name);
            let outcome = Outcome::Fail { error: JobError { kind: ErrorKind::Unrecoverable, message } };
            self.settle(&run, outcome, Duration::ZERO);
            return;
        };
        let context = Context { run: run.clone(), updates: self.updates.clone(), queue: self.queue.clone() };
        let (tasks, tell) = (&self.tasks, self.tell_ended.clone());
        self.slots.fill(run, || tasks.spawn(task::run(handler, context, tell)));
    }

    fn on_ended(&mut self, ended: Ended) {
        // A run that counted as stuck has been settled already.
        if !self.slots.release(&ended.run) {
            return;
        }
        let outcome = task::outcome(&ended.run, ended.how, &self.options.backoff);
        self.settle(&ended.run, outcome, ended.took);
    }

    fn settle(&mut self, run: &Arc<Run>, outcome: Outcome, took: Duration) {
        let job = &run.job;
        let waited = job.started.saturating_sub(job.run_at.max(job.created_at));
        let took_ms = took.as_millis() as u64;
        let last = job.attempt >= job.spec.attempts;
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.record(job.started + took_ms, &outcome, last, waited, took_ms);
        drop(meter);
        self.finished.push(Finished { job: job.clone(), outcome });
    }

    fn on_news(&mut self, news: News) {
        if news.lost {
            tracing::warn!(queue = %self.queue.name(), worker = %self.info.id, "the lease was lost; what runs is stopped");
            self.slots.stop_where(Stop::Lost, |_| true);
            self.greeted = false;
            self.doubted = matches!(self.under_way, Some(Call::Step(_)));
        }
        // A token tells the takes of one job apart; jobs that were taken in one call share theirs.
        for (id, token) in &news.cancel {
            self.slots.stop_where(Stop::Cancelled, |run| run.job.spec.id == *id && run.job.token == *token);
        }
        self.deliver(news.outbox);
    }

    // ------------------------------------------------------------------ moments

    fn next_moment(&self) -> Option<Instant> {
        let job = self.slots.next_moment();
        let drain = self.drain_until.filter(|_| self.slots.any_undisturbed());
        // What still runs ends by moments of its own.
        let give_up = self.tell_until().filter(|_| self.slots.is_empty() && !self.greeted);
        job.into_iter().chain(drain).chain(give_up).min()
    }

    fn on_moment(&mut self) {
        // While a call is under way nobody looks for what has ended: it must not be taken for stuck.
        while let Ok(ended) = self.ended.try_recv() {
            self.on_ended(ended);
        }
        let now = Instant::now();
        for run in self.slots.on_moment(now) {
            tracing::error!(
                queue = %self.queue.name(), job = %run.job.spec.id, name = %run.job.spec.name,
                "a handler could not be stopped: it neither awaits nor checks; its slot is given back and its writes are refused"
            );
            let outcome = task::stuck_outcome(&run, &self.options.backoff);
            self.settle(&run, outcome, Duration::ZERO);
        }
        if self.drain_until.is_some_and(|until| until <= now) {
            self.slots.stop_where(Stop::Shutdown, |_| true);
        }
    }

    fn on_command(&mut self, dropped: bool) {
        self.owned = !dropped;
        let command = if dropped { Command::Stop } else { *self.commands.borrow_and_update() };
        let now = Instant::now();
        match command {
            Command::Run => {}
            Command::Drain => self.drain_until = Some(now + self.options.drain),
            Command::Stop => {
                self.drain_until = Some(now);
                self.slots.stop_where(Stop::Shutdown, |_| true);
            }
        }
        if self.is_draining() {
            self.waiting = None;
        }
    }

    // ------------------------------------------------------------------ beginning and end

    fn start_renewal(&mut self) {
        if self.renewal.is_some() {
            return;
        }
        let renewal = Renewal::new(
            self.backend.clone(),
            self.queue.name().clone(),
            self.info.clone(),
            self.meter.clone(),
            self.tell_news.clone(),
            Duration::from_millis(self.config.lease_ms),
        );
        match &self.options.renew_on_clock {
            Some(clock) => self.renewal = Some(renewal.start_task(clock.clone())),
            None => match renewal.start_thread() {
                Ok(running) => self.renewal = Some(running),
                // Without a sign of life the jobs would be rescued while they run: better not to take any.
                Err(error) => {
                    tracing::error!(%error, "the renewal thread could not be started; the worker ends");
                    self.drain_until = Some(Instant::now());
                }
            },
        }
    }

    async fn end(mut self) {
        self.under_way = None;
        self.waiting = None;
        if let Some(renewal) = self.renewal.take() {
            renewal.stop().await;
        }
        self.tasks.close();
        if !self.slots.is_empty() {
            // The backend was closed under running handlers, which have been asked to stop.
            let _ = tokio::time::timeout(self.options.stop_grace, self.tasks.wait()).await;
            self.slots.abort_all();
        }
        // A handler that is stuck cannot be joined; everything else ends at once now.
        let joined = tokio::time::timeout(self.options.stuck_after, self.tasks.wait()).await;
        if joined.is_err() {
            tracing::error!(queue = %self.queue.name(), tasks = self.tasks.len(), "handlers are stuck and cannot be joined");
        }
    }
}

async fn next_answer(call: &mut Option<Call>) -> Answer {
    match call {
        Some(Call::Hello(calling)) => Answer::Hello(Box::new(calling.await)),
        Some(Call::Step(calling)) => Answer::Step(calling.await),
        Some(Call::Pause(pausing)) => {
            pausing.await;
            Answer::Paused
        }
        None => std::future::pending().await,
    }
}

async fn next_wake(waiting: &mut Option<(Millis, Calling<Result<()>>)>) -> Result<()> {
    match waiting {
        Some((_, wait)) => wait.await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => tokio::time::sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
