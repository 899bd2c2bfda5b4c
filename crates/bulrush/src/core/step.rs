//! The hot path: settling what has ended and taking what fits, in one call.

use std::sync::Arc;

use super::check::check_finished;
use super::ready::Member;
use super::slab::Active;
use super::{Core, SLICE};
use crate::model::{Cause, EventKind, Finished, JobError, JobState, Millis, Outcome, Taken, Token, WorkerId};
use crate::port::{Delivery, Error, OutboxEntry, Settled, Step, StepReply};

/// A job with a time-out is rescued even from a live worker when so much more has passed, ms: a deadlocked runtime whose thread
/// still renews would hold it for ever. The time-out counts in whole seconds here.
const DEADLINE_MARGIN_MS: u64 = 30_000;

/// The last call of a worker, kept for the case that its answer gets lost.
#[derive(Debug, Default, Clone)]
pub(super) struct Stored {
    settled: Vec<Settled>,
    /// Slot and serial of what was taken.
    taken: Vec<(u32, u64)>,
    outbox: Vec<u64>,
    known: bool,
}

impl Stored {
    /// What stands for the answer to a hello.
    pub fn greeting() -> Self {
        Self { known: true, ..Self::default() }
    }
}

impl Core {
    /// Settles and takes.
    ///
    /// # Errors
    /// A result or follow-up beyond the queue's bounds, or a call that arrives after a later one; nothing was changed.
    pub fn step(&mut self, step: Step, now: Millis) -> Result<StepReply, Error> {
        let worker = self.active.workers.get(&step.worker).filter(|worker| worker.greeted);
        let last = worker.map(|worker| worker.last_call);
        if let Some(last) = last.filter(|last| step.call < *last) {
            return Err(Error::StaleCall { call: step.call, last });
        }
        let now = self.advance(now);
        if last == Some(step.call) {
            self.keep_alive(step.worker);
            return Ok(self.repeat(step.worker));
        }
        check_finished(&step.finished, &self.config.bounds)?;
        let known = last.is_some();
        if known {
            self.keep_alive(step.worker);
        }
        let mut stored = Stored { known, ..Stored::default() };
        stored.settled.reserve(step.finished.len());
        let mut outbox = Vec::new();
        let mut ended = [0_usize; 3];
        for finished in step.finished {
            stored.settled.push(self.settle(finished, &mut outbox, &mut ended));
        }
        for (state, n) in [JobState::Completed, JobState::Failed, JobState::Cancelled].into_iter().zip(ended)
        {
            if n > 0 {
                self.trim(state, n * 2);
            }
        }
        self.promote_due();
        // Who is not known says hello first.
        let want = if known { step.want } else { 0 };
        let taken = self.take(step.worker, step.call, want, &mut stored.taken);
        stored.outbox = outbox.iter().map(|entry| entry.seq).collect();
        let settled = stored.settled.clone();
        let mut reply = StepReply { settled, taken, known, outbox, ..StepReply::default() };
        self.fill_reply(&mut reply, step.worker, now);
        if let Some(worker) = self.active.workers.get_mut(&step.worker).filter(|worker| worker.greeted) {
            worker.last_call = step.call;
            worker.stored = stored;
        }
        Ok(reply)
    }

    /// What a worker needs to know to wait for the right thing.
    fn fill_reply(&mut self, reply: &mut StepReply, worker: WorkerId, now: Millis) {
        let member_free = self.ready.release_limited(&self.config, now);
        let first_due = self.delayed.first_key_value().map(|((run_at, _), _)| *run_at);
        reply.next_due = first_due.into_iter().chain(member_free).min();
        reply.limited_until = self.limit_in_force();
        reply.paused = self.paused;
        reply.now = now;
        reply.cancel = self.cancel_requests(worker).map(|(id, _)| id).collect();
        // Whoever could not take everything passes the word on: one wake per worker, not one per job.
        if self.can_start() {
            self.wakes += 1;
        }
    }

    /// The answer to the worker's last call, again. A job that was taken then and settled since is not told again; the others come by id,
    /// as no backend keeps the order of a take.
    fn repeat(&mut self, worker: WorkerId) -> StepReply {
        let stored = self.active.workers.get(&worker).map(|worker| worker.stored.clone()).unwrap_or_default();
        let held = |(slot, serial): &(u32, u64)| {
            let job = self.jobs.at(*slot).filter(|job| job.serial == *serial)?;
            let active = job.active.filter(|active| active.token.worker == worker)?;
            Some(self.taken(*slot, active))
        };
        let mut taken: Vec<Arc<Taken>> = stored.taken.iter().filter_map(held).collect();
        taken.sort_by(|a, b| a.spec.id.cmp(&b.spec.id));
        let mut reply = StepReply {
            settled: stored.settled,
            taken,
            outbox: stored.outbox.iter().filter_map(|seq| self.outbox.get(seq).cloned()).collect(),
            known: stored.known,
            ..StepReply::default()
        };
        self.fill_reply(&mut reply, worker, self.now);
        reply
    }

    // ------------------------------------------------------------------ settling

    /// Settles one job; counts in `ended` what reached completed, failed and cancelled.
    fn settle(
        &mut self,
        finished: Finished,
        outbox: &mut Vec<OutboxEntry>,
        ended: &mut [usize; 3],
    ) -> Settled {
        let token = finished.job.token;
        let Some(slot) = self.find(finished.id()) else { return Settled::Unknown };
        let active = match self.authorize(slot, token) {
            Ok(active) => active,
            Err(settled) => return settled,
        };
        self.leave(slot);
        self.jobs.get_mut(slot).status.settled_by = Some(token);
        let outcome = match finished.outcome {
            // Whoever asked for a cancel gets it, unless the job completed first.
            complete @ Outcome::Complete { .. } => complete,
            _ if active.cancel => Outcome::Cancelled,
            other => other,
        };
        match outcome {
            Outcome::Complete { result, follow_ups } => {
                for (queue, job) in follow_ups {
                    outbox.push(self.post(queue, Delivery::Add(Box::new(job))));
                }
                self.jobs.get_mut(slot).status.result = result;
                self.end(slot, JobState::Completed, Cause::Complete, outbox);
                ended[0] += 1;
            }
            Outcome::Retry { after_ms, error } => {
                self.fail_attempt(slot, active, error);
                let job = self.jobs.get(slot);
                if job.status.attempts_made >= job.spec.attempts {
                    self.end(slot, JobState::Failed, Cause::Fail, outbox);
                    ended[1] += 1;
                } else {
                    self.totals.retried += 1;
                    self.enter_delayed(slot, self.now.saturating_add(after_ms), Some(Cause::Again));
                    self.emit(EventKind::Retrying, slot);
                }
            }
            Outcome::Fail { error } => {
                self.fail_attempt(slot, active, error);
                self.end(slot, JobState::Failed, Cause::Fail, outbox);
                ended[1] += 1;
            }
            Outcome::Snooze { after_ms } => {
                self.uncount_attempt(slot);
                self.enter_delayed(slot, self.now.saturating_add(after_ms), Some(Cause::Again));
                let waits = self.jobs.get(slot).status.state == JobState::Waiting;
                self.emit(if waits { EventKind::Waiting } else { EventKind::Delayed }, slot);
            }
            Outcome::RateLimited { retry_after_ms } => {
                let until = self.now.saturating_add(retry_after_ms);
                match self.jobs.get(slot).spec.group.clone() {
                    member @ Some(_) => self.ready.limit(&member, until),
                    None => self.limited_until = self.limited_until.max(until),
                }
                self.give_back(slot);
                self.emit(EventKind::Waiting, slot);
            }
            Outcome::Release => {
                self.give_back(slot);
                self.emit(EventKind::Waiting, slot);
            }
            Outcome::Cancelled => {
                self.end(slot, JobState::Cancelled, Cause::Cancel, outbox);
                ended[2] += 1;
            }
        }
        Settled::Ok
    }

    /// Whether a token may write to a job: the active entry, or the answer to give instead.
    pub(super) fn authorize(&self, slot: u32, token: Token) -> Result<Active, Settled> {
        let job = self.jobs.get(slot);
        match job.active {
            Some(active) if active.token == token => Ok(active),
            _ if job.status.settled_by == Some(token) => Err(Settled::Ok),
            _ => Err(Settled::Stale),
        }
    }

    /// Ends a job and collects what its end has to tell other queues.
    pub(super) fn end(&mut self, slot: u32, state: JobState, cause: Cause, outbox: &mut Vec<OutboxEntry>) {
        let from = self.next_outbox;
        self.enter_finished(slot, state, cause);
        outbox.extend(self.outbox.range(from..).map(|(_, entry)| entry.clone()));
    }

    fn fail_attempt(&mut self, slot: u32, active: Active, error: JobError) {
        let attempt = self.jobs.get(slot).status.attempts_made;
        self.record_error(slot, active.token.worker, attempt, active.started, error);
    }

    pub(super) fn uncount_attempt(&mut self, slot: u32) {
        let status = &mut self.jobs.get_mut(slot).status;
        status.attempts_made = status.attempts_made.saturating_sub(1);
    }

    /// Puts a job that was running back to the head, its attempt not counted.
    pub(super) fn give_back(&mut self, slot: u32) {
        self.uncount_attempt(slot);
        self.enter_waiting(slot, true, Some(Cause::Return));
    }

    // ------------------------------------------------------------------ taking

    /// How many jobs may start now.
    fn allowance(&mut self, want: usize) -> usize {
        let mut room = want.min(SLICE).min(self.config.bounds.call_items);
        if room == 0 || self.paused || self.limited_until > self.now {
            return 0;
        }
        if let Some(cap) = self.config.concurrency {
            room = room.min((u64::from(cap).saturating_sub(self.counts.active)) as usize);
        }
        if let Some(limit) = self.config.rate {
            room = room.min(self.rate.room(limit, self.now));
        }
        room
    }

    /// Whether a waiting job could start now: without this a worker that waits would be woken for nothing, again and again.
    pub(super) fn can_start(&self) -> bool {
        let room = self.config.concurrency.is_none_or(|cap| self.counts.active < u64::from(cap));
        room && !self.paused && self.limit_in_force().is_none() && self.ready.has_startable()
    }

    /// Until when nothing may start because of a limit by time.
    pub(super) fn limit_in_force(&self) -> Option<Millis> {
        let by_rate = self.config.rate.and_then(|limit| self.rate.full_until(limit, self.now));
        let by_upstream = Some(self.limited_until);
        by_rate.into_iter().chain(by_upstream).filter(|until| *until > self.now).max()
    }

    fn take(
        &mut self,
        worker: WorkerId,
        call: u64,
        want: usize,
        stored: &mut Vec<(u32, u64)>,
    ) -> Vec<Arc<Taken>> {
        self.ready.release_limited(&self.config, self.now);
        let room = self.allowance(want);
        let mut bytes = self.config.bounds.call_bytes;
        let mut taken = Vec::with_capacity(room.min(self.counts.waiting as usize));
        while taken.len() < room {
            if !taken.is_empty() {
                let next = self.ready.peek(&self.jobs).map(|entry| self.jobs.get(entry.slot));
                if next.is_some_and(|job| job.spec.data.len() > bytes) {
                    break;
                }
            }
            let Some(entry) = self.ready.pop(&self.jobs, &self.config) else { break };
            let slot = entry.slot;
            let active = self.start(slot, worker, call);
            let job = self.taken(slot, active);
            stored.push((slot, self.jobs.get(slot).serial));
            bytes = bytes.saturating_sub(job.spec.data.len());
            taken.push(job);
        }
        if !taken.is_empty() {
            if self.config.rate.is_some() {
                self.rate.record(self.now, taken.len() as u32);
                self.changes.rate = true;
            }
            if self.counts.waiting == 0 && self.events.is_kept() {
                self.events.push(self.now, EventKind::Drained, None, 0);
            }
        }
        taken
    }

    /// Makes a job that was just popped from its lane active.
    fn start(&mut self, slot: u32, worker: WorkerId, take: u64) -> Active {
        self.jobs.move_on(slot);
        self.counts.waiting -= 1;
        self.set_state(slot, JobState::Active, Some(Cause::Take));
        let (now, position) = (self.now, self.position_for(worker));
        let job = self.jobs.get_mut(slot);
        job.status.run = job.status.run.wrapping_add(1);
        job.status.attempts_made += 1;
        job.status.processed_on = Some(now);
        let deadline =
            job.spec.timeout_ms.map(|timeout| now + timeout.div_ceil(1_000) * 1_000 + DEADLINE_MARGIN_MS);
        let token = Token { run: job.status.run, worker, take };
        let active = Active { token, started: now, deadline, cancel: false, lines: 0, position };
        job.active = Some(active);
        let member: Member = job.spec.group.clone();
        self.enter_active(slot, active);
        self.ready.started(&member, &self.config);
        self.emit(EventKind::Active, slot);
        active
    }

    fn taken(&self, slot: u32, active: Active) -> Arc<Taken> {
        let job = self.jobs.get(slot);
        Arc::new(Taken {
            spec: job.spec.clone(),
            token: active.token,
            attempt: job.status.attempts_made,
            stalls: job.status.stalls,
            created_at: job.status.created_at,
            run_at: job.status.run_at,
            started: active.started,
            errors: job.status.errors.clone(),
            is_parent: job.family.is_some(),
        })
    }
}
