//! The store's door: what comes in and what goes out is told to the ledger as it is carried out, whatever becomes of the answer.
//! A bug, where one is asked for, sits here too, so that the ledger sees what a caller of a broken engine would see.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bulrush::clock::Clock;
use bulrush::model::{
    Child, EventPage, Finished, JobId, JobPage, JobState, JobView, Millis, NewJob, PageRequest, QueueConfig,
    QueueName, Rollup, ScheduleId, SchedulePage, ScheduleSpec, ScheduleView, Scope, Taken, Token, WorkerId,
};
use bulrush::port::{
    AddReply, AdminCommand, AdminReply, AdminResult, Backend, BoxFuture, Delivery, DuePlace, DueSchedules,
    Enqueue, Explanation, Fire, FireReply, Fired, Inspect, Maintain, Maintained, OutboxEntry, Put, PutReply,
    QueueInfo, Renew, RenewReply, Result, Resume, ResumeReply, ScheduleChange, ScheduleResult, Schedules,
    Settled, Step, StepReply, Update, VerifyPage, Work, WorkerState,
};
use futures_util::FutureExt;

use super::bug::Bug;
use super::keys::Call;
use super::ledger::Ledger;
use super::lock;
use super::store::{LEASE_MS, SimClock};

pub struct Door {
    inner: Arc<dyn Backend>,
    clock: Arc<SimClock>,
    ledger: Arc<Ledger>,
    bug: Option<Bug>,
    /// For [`Bug::NoDuplicateCheck`].
    added: Mutex<BTreeSet<JobId>>,
}

impl Door {
    pub fn new(inner: Arc<dyn Backend>, clock: Arc<SimClock>, ledger: Arc<Ledger>, bug: Option<Bug>) -> Self {
        Self { inner, clock, ledger, bug, added: Mutex::default() }
    }

    fn has(&self, bug: Bug) -> bool {
        self.bug == Some(bug)
    }

    /// The records of jobs, by id. A store in memory answers at once.
    fn views(&self, queue: &QueueName, ids: &[JobId]) -> BTreeMap<JobId, JobView> {
        let views = self.inner.get(queue, ids).now_or_never().and_then(Result::ok).unwrap_or_default();
        views.into_iter().flatten().map(|view| (view.id().clone(), view)).collect()
    }

    /// Lets the ledger see which tokens still hold. `hello` is the worker whose hello may have given jobs back.
    fn look(&self, queue: &QueueName, hello: Option<WorkerId>) {
        let ids = self.ledger.flights().open_in(queue);
        let views = self.views(queue, &ids);
        self.ledger.flights().look(queue, &views, self.clock.now(), hello);
    }

    fn hears(&self, worker: WorkerId) {
        self.ledger.flights().hears(worker, self.clock.now());
    }

    /// What the ledger needs to know of a call that adds jobs, before it is carried out.
    fn before_add<'a>(&self, queue: &QueueName, jobs: impl Iterator<Item = &'a NewJob>) -> Call {
        let mut call = self.ledger.keys().call(queue, jobs);
        call.was = self.views(queue, &call.concerned);
        call
    }

    /// And afterwards.
    fn after_add(&self, queue: &QueueName, mut call: Call) {
        call.is = self.views(queue, &call.concerned);
        self.ledger.keys().judge(&call, self.clock.now());
    }

    // ------------------------------------------------------------------ bugs

    /// Lets maintenance run as if it had never paused, so that no gap is seen.
    fn hide_the_gap(&self, queue: &QueueName) {
        let now = self.clock.now();
        let info = self.inner.info(queue).now_or_never().and_then(Result::ok);
        let Some(mut at) = info.and_then(|info| info.maintained_at) else { return };
        while at + LEASE_MS / 4 < now {
            at += LEASE_MS / 4;
            self.clock.pretend(Some(at));
            drop(self.inner.maintain(queue).now_or_never());
        }
        self.clock.pretend(None);
    }

    /// Gives old settles the current token.
    fn forge(&self, queue: &QueueName, finished: &mut [Finished]) {
        for finished in finished {
            let id = finished.id().clone();
            if let Some(active) = self.views(queue, &[id]).into_values().next().and_then(|job| job.active) {
                finished.job = Arc::new(Taken { token: active.token, ..(*finished.job).clone() });
            }
        }
    }

    /// Names everything that the store believes the worker runs.
    fn name_all(&self, queue: &QueueName, resume: &mut Resume) {
        let workers = self.inner.workers(queue).now_or_never().and_then(Result::ok).unwrap_or_default();
        let own = workers.into_iter().find(|worker| worker.info.id == resume.info.id);
        let running = own.map(|worker| worker.running).unwrap_or_default();
        let named = self.views(queue, &running).into_iter();
        resume.running.extend(named.filter_map(|(id, job)| Some((id, job.active?.token))));
    }

    async fn forget_outbox(&self, queue: &QueueName, outbox: &[OutboxEntry]) {
        if self.has(Bug::OutboxAcknowledgedFirst) {
            let entries = outbox.iter().map(|entry| entry.seq).collect();
            drop(self.inner.acknowledge(queue, entries).await);
        }
    }

    /// Says of cancels what would have been said had they been carried out.
    fn pretend_to_cancel(&self, queue: &QueueName, ids: &[JobId]) -> AdminReply {
        let views = self.views(queue, ids);
        let result = |id| match views.get(id).map(JobView::state) {
            None => AdminResult::Unknown,
            Some(JobState::Active) => AdminResult::Requested,
            Some(state) if state.is_terminal() => AdminResult::WrongState(state),
            Some(_) => AdminResult::Done,
        };
        AdminReply { results: ids.iter().map(result).collect(), ..AdminReply::default() }
    }
}

/// Whom an entry tells that its parent was cancelled.
fn stops_child(entry: &OutboxEntry) -> Option<&JobId> {
    match &entry.delivery {
        Delivery::CancelChild { child, .. } => Some(child),
        _ => None,
    }
}

impl Enqueue for Door {
    fn add<'a>(&'a self, queue: &'a QueueName, mut jobs: Vec<NewJob>) -> BoxFuture<'a, Result<AddReply>> {
        Box::pin(async move {
            let mut call = self.before_add(queue, jobs.iter());
            if self.has(Bug::NoDuplicateCheck) {
                for job in &mut jobs {
                    let mut added = lock(&self.added);
                    while !added.insert(job.spec.id.clone()) {
                        job.spec.id = JobId::new(&format!("{}-again", job.spec.id)).expect("a good id");
                    }
                }
            }
            let asked = jobs.clone();
            if let Some(bug) = self.bug {
                for job in &mut jobs {
                    bug.bend_job(job);
                }
            }
            let mut reply = self.inner.add(queue, jobs).await?;
            if let Some(bug) = self.bug {
                let answers = asked.iter().zip(&mut reply.added);
                answers.for_each(|(asked, added)| bug.bend_added(asked, added));
            }
            call.answers = Some(reply.added.clone());
            self.after_add(queue, call);
            self.forget_outbox(queue, &reply.outbox).await;
            Ok(reply)
        })
    }
}

impl Work for Door {
    fn step<'a>(&'a self, queue: &'a QueueName, mut step: Step) -> BoxFuture<'a, Result<StepReply>> {
        Box::pin(async move {
            let worker = step.worker;
            let asked: Vec<(JobId, Token)> =
                step.finished.iter().map(|finished| (finished.id().clone(), finished.job.token)).collect();
            if self.has(Bug::NoTokenCheck) {
                self.forge(queue, &mut step.finished);
            }
            let mut reply = self.inner.step(queue, step).await?;
            if reply.known {
                self.hears(worker);
            }
            for ((id, token), settled) in asked.iter().zip(&reply.settled) {
                if *settled == Settled::Ok {
                    self.ledger.flights().settled(queue, id, *token);
                }
            }
            self.look(queue, None);
            self.ledger.flights().taken(queue, &reply.taken, self.clock.now());
            self.forget_outbox(queue, &reply.outbox).await;
            if self.has(Bug::CancelsUntold) {
                reply.cancel.clear();
            }
            Ok(reply)
        })
    }

    fn wait<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        self.inner.wait(queue, until)
    }

    fn resume<'a>(&'a self, queue: &'a QueueName, mut resume: Resume) -> BoxFuture<'a, Result<ResumeReply>> {
        Box::pin(async move {
            let worker = resume.info.id;
            if self.has(Bug::NoResume) {
                self.name_all(queue, &mut resume);
            }
            let reply = self.inner.resume(queue, resume).await?;
            self.hears(worker);
            self.look(queue, Some(worker));
            Ok(reply)
        })
    }

    fn update<'a>(
        &'a self,
        queue: &'a QueueName,
        updates: Vec<Update>,
    ) -> BoxFuture<'a, Result<Vec<Settled>>> {
        Box::pin(async move {
            let workers: Vec<WorkerId> = updates.iter().map(|update| update.token.worker).collect();
            let answers = self.inner.update(queue, updates).await?;
            for (worker, answer) in workers.into_iter().zip(&answers) {
                if *answer == Settled::Ok {
                    self.hears(worker);
                }
            }
            Ok(answers)
        })
    }

    fn renew(&self, queue: &QueueName, renew: Renew) -> Result<RenewReply> {
        if self.has(Bug::NoGrace) {
            self.hide_the_gap(queue);
        }
        self.hears(renew.info.id);
        if self.has(Bug::RenewalsSwallowed) {
            // What goes with a renewal still happens, but it is not the worker who is heard.
            let maintained = self.inner.maintain(queue).now_or_never().and_then(Result::ok);
            self.look(queue, None);
            return Ok(RenewReply {
                known: true,
                maintained: maintained.unwrap_or_default(),
                lease_ms: LEASE_MS,
                ..RenewReply::default()
            });
        }
        let mut reply = self.inner.renew(queue, renew)?;
        self.look(queue, None);
        if self.has(Bug::CancelsUntold) {
            reply.cancel.clear();
        }
        Ok(reply)
    }
}

impl Maintain for Door {
    fn maintain<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Maintained>> {
        Box::pin(async move {
            let reply = self.inner.maintain(queue).await?;
            self.look(queue, None);
            Ok(reply)
        })
    }

    fn configure<'a>(&'a self, queue: &'a QueueName, mut config: QueueConfig) -> BoxFuture<'a, Result<()>> {
        self.ledger.flights().limit(queue, config.clone());
        if let Some(bug) = self.bug {
            bug.bend_config(&mut config);
        }
        self.inner.configure(queue, config)
    }

    fn admin_within<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        command: AdminCommand,
    ) -> BoxFuture<'a, Result<AdminReply>> {
        Box::pin(async move {
            let AdminCommand::Cancel(ids) = command else {
                return self.inner.admin_within(queue, scope, command).await;
            };
            let reply = if self.has(Bug::CancelsUndone) {
                self.pretend_to_cancel(queue, &ids)
            } else {
                self.inner.admin_within(queue, scope, AdminCommand::Cancel(ids.clone())).await?
            };
            self.look(queue, None);
            let views = self.views(queue, &ids);
            for (id, result) in ids.iter().zip(&reply.results) {
                if let Some(job) = views.get(id) {
                    self.ledger.cancels().answered(job, *result);
                }
            }
            Ok(reply)
        })
    }

    fn deliver<'a>(
        &'a self,
        queue: &'a QueueName,
        source: &'a QueueName,
        mut entries: Vec<OutboxEntry>,
    ) -> BoxFuture<'a, Result<Vec<OutboxEntry>>> {
        Box::pin(async move {
            let jobs = entries.iter().filter_map(|entry| match &entry.delivery {
                Delivery::Add(job) => Some(&**job),
                _ => None,
            });
            let call = self.before_add(queue, jobs);
            let stopped: Vec<JobId> = entries.iter().filter_map(stops_child).cloned().collect();
            let children = self.views(queue, &stopped);
            for entry in &mut entries {
                if let (Delivery::Add(job), Some(bug)) = (&mut entry.delivery, self.bug) {
                    bug.bend_job(job);
                }
            }
            if self.has(Bug::ChildrenUntold) {
                entries.retain(|entry| stops_child(entry).is_none());
            }
            let reply = self.inner.deliver(queue, source, entries).await?;
            self.after_add(queue, call);
            self.look(queue, None);
            for id in stopped {
                self.ledger.cancels().passed_on(&id, children.get(&id));
            }
            Ok(reply)
        })
    }

    fn acknowledge<'a>(&'a self, queue: &'a QueueName, entries: Vec<u64>) -> BoxFuture<'a, Result<()>> {
        self.inner.acknowledge(queue, entries)
    }
}

macro_rules! reads {
    ($($op:ident($($arg:ident: $ty:ty),*) -> $answer:ty;)+) => { $(
        fn $op<'a>(&'a self, queue: &'a QueueName, $($arg: $ty),*) -> BoxFuture<'a, Result<$answer>> {
            self.inner.$op(queue, $($arg),*)
        }
    )+ };
}

impl Inspect for Door {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        self.inner.now()
    }
    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        self.inner.queues()
    }
    reads! {
        get(ids: &'a [JobId]) -> Vec<Option<JobView>>;
        page(request: PageRequest) -> JobPage;
        info() -> QueueInfo;
        children(parent: &'a JobId, offset: usize, limit: usize) -> Vec<Child>;
        logs(job: &'a JobId, offset: u32, limit: usize) -> Vec<(u32, String)>;
        events(after: u64, limit: usize, wait: Duration) -> EventPage;
        history(since: Millis, hourly: bool) -> Vec<Rollup>;
        workers() -> Vec<WorkerState>;
        explain(job: &'a JobId) -> Option<Explanation>;
        verify(cursor: u64, repair: bool) -> VerifyPage;
    }
}

impl Schedules for Door {
    reads! {
        put_schedules(scope: &'a Scope, specs: Vec<ScheduleSpec>, put: Put) -> Vec<PutReply>;
        change_schedules(scope: &'a Scope, ids: Vec<ScheduleId>, change: ScheduleChange) -> Vec<ScheduleResult>;
        get_schedules(scope: &'a Scope, ids: Vec<ScheduleId>) -> Vec<Option<ScheduleView>>;
        list_schedules(scope: &'a Scope, after: Option<ScheduleId>, limit: usize) -> SchedulePage;
        due_schedules_after(after: Option<DuePlace>, limit: usize) -> DueSchedules;
        wait_due_after(from: Millis, until: Millis) -> ();
    }
    fn fire<'a>(&'a self, queue: &'a QueueName, mut fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        Box::pin(async move {
            if self.has(Bug::SlotsMovedFirst) {
                // The process that would make the second call is gone now and then.
                fires.iter_mut().filter(|fire| fire.slot % 7 == 0).for_each(|fire| fire.fires = None);
            }
            let reply = self.inner.fire(queue, fires.clone()).await?;
            if self.has(Bug::SlotsUnchecked) {
                let late = fires.iter().zip(&reply.fired).filter(|(_, fired)| **fired == Fired::Stale);
                for slot in late.filter_map(|(fire, _)| Some(fire.spec.slot_job(fire.fires?))) {
                    let mut job = slot;
                    let mut added = lock(&self.added).len();
                    added += 1;
                    job.spec.id = JobId::new(&format!("{}-{added}", job.spec.id)).expect("a good id");
                    lock(&self.added).insert(job.spec.id.clone());
                    drop(self.inner.add(queue, vec![job]).await);
                }
            }
            Ok(reply)
        })
    }
}

impl Backend for Door {
    fn kind(&self) -> &'static str {
        self.inner.kind()
    }
    fn close(&self) -> BoxFuture<'_, Result<()>> {
        self.inner.close()
    }
}
