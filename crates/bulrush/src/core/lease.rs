//! Leases, and the rescue of lost jobs.
//!
//! A worker holds one lease a queue and renews it with every call. When it runs out, the next pass of maintenance puts the worker's
//! jobs back at the head. A pass that finds the last one long ago opens a grace first: the store itself was away, so every lease
//! looks run out, and live workers must get a chance to renew.

use super::check::check_updates;
use super::slab::Active;
use super::step::Stored;
use super::{Core, SLICE, cut, own_error};
use crate::model::{Cause, ErrorKind, EventKind, JobId, JobState, Millis, Token, WorkerId};
use crate::port::{
    Error, Maintained, OutboxEntry, Renew, RenewReply, Resume, ResumeReply, Settled, Update, UpdateChange,
    WorkerInfo,
};

/// Outbox entries younger than this are still in the hands of the worker that made them, ms.
const OUTBOX_PATIENCE_MS: u64 = 2_000;
/// Outbox entries handed out by one pass of maintenance.
const OUTBOX_SLICE: usize = 100;

/// A worker that showed signs of life.
#[derive(Debug)]
pub(super) struct Worker {
    /// It has said hello since the store last forgot it. Until then it takes nothing: a step that was long on its way could
    /// otherwise revive a rescued worker whose call number was forgotten with it.
    pub greeted: bool,
    pub lease_until: Millis,
    pub info: Option<WorkerInfo>,
    pub last_call: u64,
    pub stored: Stored,
    rollup_seq: u64,
    /// Slots of the jobs it runs.
    pub running: Vec<u32>,
    /// Jobs of it that somebody asked to stop.
    cancels: usize,
}

impl Worker {
    /// Forgets what it runs, to be listed anew.
    pub fn clear(&mut self) {
        self.running.clear();
        self.cancels = 0;
    }
}

impl Core {
    /// Renews a worker's lease. Says whether it was known.
    pub(super) fn keep_alive(&mut self, id: WorkerId) -> bool {
        let lease_until = self.now + self.config.lease_ms;
        let mut known = true;
        let worker = self.active.workers.entry(id).or_insert_with(|| {
            known = false;
            Worker {
                greeted: false,
                lease_until,
                info: None,
                last_call: 0,
                stored: Stored::default(),
                rollup_seq: 0,
                running: Vec::new(),
                cancels: 0,
            }
        });
        // A lease that was given is not shortened: who holds it renews at the pace it was told.
        worker.lease_until = worker.lease_until.max(lease_until);
        known
    }

    /// Where in the worker's list the next job will stand.
    pub(super) fn position_for(&self, id: WorkerId) -> usize {
        self.active.workers.get(&id).map_or(0, |worker| worker.running.len())
    }

    /// Lists an active job with its worker. A worker that the store does not know (any more) counts as dead.
    pub(super) fn enter_active(&mut self, slot: u32, active: Active) {
        if let Some(deadline) = active.deadline {
            self.active.deadlines.insert((deadline, slot));
        }
        let worker = self.active.workers.entry(active.token.worker).or_insert_with(|| Worker {
            greeted: false,
            lease_until: 0,
            info: None,
            last_call: 0,
            stored: Stored::default(),
            rollup_seq: 0,
            running: Vec::new(),
            cancels: 0,
        });
        worker.cancels += usize::from(active.cancel);
        worker.running.push(slot);
    }

    /// Takes a job from its worker's list.
    pub(super) fn leave_active(&mut self, slot: u32) -> Option<Active> {
        let job = self.jobs.get_mut(slot);
        let active = job.active.take()?;
        let member = job.spec.group.clone();
        if let Some(deadline) = active.deadline {
            self.active.deadlines.remove(&(deadline, slot));
        }
        if let Some(worker) = self.active.workers.get_mut(&active.token.worker) {
            worker.cancels -= usize::from(active.cancel);
            worker.running.swap_remove(active.position);
            if let Some(moved) = worker.running.get(active.position)
                && let Some(other) = self.jobs.get_mut(*moved).active.as_mut()
            {
                other.position = active.position;
            }
        }
        // A freed cap may let somebody else start.
        if self.config.concurrency.is_some_and(|cap| self.counts.active + 1 >= u64::from(cap)) {
            self.wakes += 1;
        }
        let seats = self.ready.has_startable();
        self.ready.ended(&member, &self.config, self.now);
        if !seats && self.ready.has_startable() {
            self.wakes += 1;
        }
        Some(active)
    }

    /// Jobs of a worker that somebody asked to stop.
    pub(super) fn cancel_requests(&self, id: WorkerId) -> impl Iterator<Item = (JobId, Token)> + '_ {
        let worker = self.active.workers.get(&id).filter(|worker| worker.cancels > 0);
        worker.into_iter().flat_map(|worker| &worker.running).filter_map(|slot| {
            let job = self.jobs.get(*slot);
            let active = job.active.filter(|active| active.cancel)?;
            Some((job.spec.id.clone(), active.token))
        })
    }

    /// Flags an active job for a stop.
    pub(super) fn request_cancel(&mut self, slot: u32) {
        if let Some(active) = self.jobs.get_mut(slot).active.as_mut()
            && !active.cancel
        {
            active.cancel = true;
            if let Some(worker) = self.active.workers.get_mut(&active.token.worker) {
                worker.cancels += 1;
            }
            self.note(slot);
        }
    }

    /// A worker's hello: every job of it that it does not name goes back to the head, its attempt not counted.
    ///
    /// # Errors
    /// A call that arrives after a later one; nothing was changed.
    pub fn resume(&mut self, resume: &Resume, now: Millis) -> Result<ResumeReply, Error> {
        let id = resume.info.id;
        let last = self.active.workers.get(&id).map_or(0, |worker| worker.last_call);
        if resume.call < last {
            return Err(Error::StaleCall { call: resume.call, last });
        }
        self.advance(now);
        self.keep_alive(id);
        let mut reply = ResumeReply::default();
        let mut held = hashbrown::HashSet::new();
        let mut running =
            self.active.workers.get(&id).map(|worker| worker.running.clone()).unwrap_or_default();
        self.last_id_first(&mut running);
        // By job and token: a worker that was given a job again may still name its old run of it too.
        let named: hashbrown::HashSet<(&JobId, Token)> =
            resume.running.iter().map(|(id, token)| (id, *token)).collect();
        let mut outbox = Vec::new();
        for slot in running {
            let job = self.jobs.get(slot);
            let job_id = job.spec.id.clone();
            if job.active.is_some_and(|active| named.contains(&(&job_id, active.token))) {
                held.insert(job_id);
                continue;
            }
            let cancel = job.active.is_some_and(|active| active.cancel);
            self.leave(slot);
            if cancel {
                self.end(slot, JobState::Cancelled, Cause::Cancel, &mut outbox);
            } else {
                self.give_back(slot);
                self.emit(EventKind::Waiting, slot);
            }
            reply.returned.push(job_id);
        }
        reply.lost =
            resume.running.iter().map(|(id, _)| id).filter(|id| !held.contains(*id)).cloned().collect();
        if let Some(worker) = self.active.workers.get_mut(&id) {
            worker.greeted = true;
            worker.info = Some(resume.info.clone());
            worker.last_call = resume.call;
            worker.stored = Stored::greeting();
        }
        Ok(reply)
    }

    /// A worker's sign of life, with a slice of maintenance.
    pub fn renew(&mut self, renew: &Renew, now: Millis) -> RenewReply {
        self.advance(now);
        let id = renew.info.id;
        let known = self.keep_alive(id);
        if let Some(worker) = self.active.workers.get_mut(&id) {
            worker.info = Some(renew.info.clone());
            let fresh = renew.rollup_seq > worker.rollup_seq;
            worker.rollup_seq = worker.rollup_seq.max(renew.rollup_seq);
            if fresh {
                for rollup in &renew.rollups {
                    self.history.merge(rollup);
                    if self.changes.wanted {
                        self.changes.rollups.push(rollup.at);
                    }
                }
            }
        }
        let maintained = self.maintain(now);
        RenewReply {
            known,
            cancel: self.cancel_requests(id).collect(),
            maintained,
            lease_ms: self.config.lease_ms,
        }
    }

    /// Progress, log lines and data of running jobs.
    ///
    /// # Errors
    /// Something beyond the queue's bounds; nothing was changed.
    pub fn update(&mut self, updates: Vec<Update>, now: Millis) -> Result<Vec<Settled>, Error> {
        check_updates(&updates, &self.config.bounds)?;
        self.advance(now);
        Ok(updates.into_iter().map(|update| self.update_one(update)).collect())
    }

    fn update_one(&mut self, update: Update) -> Settled {
        let Some(slot) = self.find(&update.id) else { return Settled::Unknown };
        // A job that this token has settled takes no more writes.
        match self.jobs.get(slot).active {
            Some(active) if active.token == update.token => self.keep_alive(active.token.worker),
            _ => return Settled::Stale,
        };
        let bounds = self.config.bounds;
        let wanted = self.changes.wanted;
        let job = self.jobs.get_mut(slot);
        match update.change {
            UpdateChange::Progress(mut progress) => {
                progress.percent = progress.percent.min(100);
                if let Some(message) = &mut progress.message {
                    cut(message, bounds.message_bytes);
                }
                let percent = progress.percent;
                job.status.progress = Some(progress.into());
                self.emit(EventKind::Progress { percent }, slot);
            }
            UpdateChange::Log { from, lines } => {
                let Some(active) = job.active.as_mut() else { return Settled::Stale };
                let known = active.lines.saturating_sub(from) as usize;
                active.lines = active.lines.max(from.saturating_add(lines.len() as u32));
                for line in lines.into_iter().skip(known) {
                    if wanted {
                        self.changes.logs.push((slot, job.status.log_lines));
                    }
                    job.logs.push_back(line.into());
                    job.status.log_lines += 1;
                    while job.logs.len() > bounds.log_lines {
                        job.logs.pop_front();
                    }
                }
            }
            UpdateChange::Data(data) => {
                std::sync::Arc::make_mut(&mut job.spec).data = data;
                if wanted {
                    self.changes.data.push(slot);
                }
            }
        }
        self.note(slot);
        Settled::Ok
    }

    // ------------------------------------------------------------------ maintenance

    /// One bounded pass: promotes due jobs, rescues jobs of dead workers, trims what retention lets go.
    pub fn maintain(&mut self, now: Millis) -> Maintained {
        let now = self.advance(now);
        let gap = self.maintained_at.is_none_or(|last| now - last > self.config.lease_ms / 2);
        if gap {
            self.grace_until = now + self.config.lease_ms;
        }
        self.maintained_at = Some(now);
        let mut report = Maintained { promoted: self.promote_due(), ..Maintained::default() };
        self.ready.release_limited(&self.config, now);
        if self.can_start() {
            self.wakes += 1;
        }
        if now >= self.grace_until {
            report.rescued = self.rescue(&mut report.outbox);
        }
        for state in [JobState::Completed, JobState::Failed, JobState::Cancelled] {
            report.trimmed += self.trim(state, SLICE);
        }
        let mut expired = 0;
        while expired < SLICE
            && let Some(key) = self.dedup.expire_one(now)
        {
            expired += 1;
            if self.changes.wanted {
                self.changes.keys.push(key);
            }
        }
        report.more = [report.promoted, report.rescued, report.trimmed, expired].contains(&SLICE);
        let old = self.outbox.values().take_while(|entry| entry.at + OUTBOX_PATIENCE_MS <= now);
        report.outbox.extend(old.take(OUTBOX_SLICE).cloned());
        report
    }

    /// Takes jobs back whose worker is dead or whose deadline has passed, at most [`SLICE`]. Returns how many.
    fn rescue(&mut self, outbox: &mut Vec<OutboxEntry>) -> usize {
        let now = self.now;
        let mut dead: Vec<WorkerId> = self
            .active
            .workers
            .iter()
            .filter(|(_, worker)| worker.lease_until <= now)
            .map(|(id, _)| *id)
            .collect();
        // The table has no order of its own, and the same commands must give the same queue.
        dead.sort_unstable();
        let jobs_of = |id: &WorkerId| self.active.workers.get(id).map(|worker| worker.running.as_slice());
        let overdue = self.active.deadlines.iter().take_while(|(deadline, _)| *deadline <= now);
        let of_dead = dead.iter().filter_map(jobs_of).flatten().copied();
        let mut lost: Vec<u32> = of_dead.chain(overdue.map(|(_, slot)| *slot)).take(SLICE).collect();
        self.last_id_first(&mut lost);
        lost.dedup();
        for slot in &lost {
            self.rescue_one(*slot, outbox);
        }
        for id in dead {
            if self.active.workers.get(&id).is_some_and(|worker| worker.running.is_empty()) {
                self.active.workers.remove(&id);
            }
        }
        lost.len()
    }

    /// Orders jobs so that those put back at the head one by one stand there by id, which for ids of ours is by age.
    fn last_id_first(&self, slots: &mut [u32]) {
        slots.sort_unstable_by(|a, b| self.jobs.get(*b).spec.id.cmp(&self.jobs.get(*a).spec.id));
    }

    /// Takes one job back: to the head, or to the dead letters when it has lost its worker too often.
    pub(super) fn rescue_one(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) {
        let Some(active) = self.leave(slot) else { return };
        self.totals.stalled += 1;
        let stalls_max = self.config.stalls_max;
        let status = &mut self.jobs.get_mut(slot).status;
        status.stalls += 1;
        let (stalls, attempt) = (status.stalls, status.attempts_made);
        if active.cancel {
            self.end(slot, JobState::Cancelled, Cause::Cancel, outbox);
        } else if stalls > stalls_max {
            let text = format!(
                "its worker died or stalled {stalls} times while it ran, at most {stalls_max} are allowed; look for a crash, an \
                 out-of-memory kill or an endless loop in its handler"
            );
            self.record_error(
                slot,
                active.token.worker,
                attempt,
                active.started,
                own_error(ErrorKind::Crashed, text),
            );
            self.end(slot, JobState::Failed, Cause::Fail, outbox);
        } else {
            self.give_back(slot);
            self.emit(EventKind::Stalled, slot);
        }
    }
}
