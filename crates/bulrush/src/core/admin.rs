//! What an administrator may do. Every command is bounded and says whether more is left.

use std::sync::Arc;

use bytes::Bytes;

use super::Core;
use super::check::check_command;
use crate::model::{Cause, CheckError, EventKind, JobId, JobState, Millis, QueueConfig, Scope, When};
use crate::port::{AdminCommand, AdminReply, AdminResult, Error, OutboxEntry};

impl Core {
    /// Replaces the queue's settings.
    ///
    /// # Errors
    /// Settings that cannot be used, with all that is wrong; nothing was changed.
    pub fn configure(&mut self, config: QueueConfig, now: Millis) -> Result<(), Error> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(Error::Config { problems });
        }
        self.advance(now);
        // Settings make a queue, also those that it would have had anyway, so a store is told once.
        self.changes.config |= !self.configured;
        self.configured = true;
        if *self.config != config {
            self.events.set_max(config.events_max);
            self.config = Arc::new(config);
            // Caps may have moved, so who stands in the ring is decided anew.
            self.ready.rebuild_ring(&self.config, self.now);
            self.changes.config = true;
            self.wakes += 1;
        }
        Ok(())
    }

    /// Does what an administrator asks.
    ///
    /// # Errors
    /// A command that cannot be carried out as it is; nothing was changed.
    pub fn admin(&mut self, command: AdminCommand, now: Millis) -> Result<AdminReply, Error> {
        self.admin_within(&Scope::All, command, now)
    }

    /// The same to the jobs within `scope`; others are as unknown.
    ///
    /// # Errors
    /// As [`Self::admin`], and a command that names no job unless the scope is everything.
    pub fn admin_within(
        &mut self,
        scope: &Scope,
        command: AdminCommand,
        now: Millis,
    ) -> Result<AdminReply, Error> {
        self.check_command(scope, &command)?;
        self.advance(now);
        let outbox_from = self.next_outbox;
        let mut reply = AdminReply::default();
        let mut outbox = Vec::new();
        match command {
            AdminCommand::Pause => self.set_paused(true, &mut reply),
            AdminCommand::Unpause => self.set_paused(false, &mut reply),
            AdminCommand::Cancel(ids) => {
                self.each(scope, &ids, &mut reply, |core, slot| core.cancel(slot, &mut outbox));
            }
            AdminCommand::Remove(ids) => {
                self.each(scope, &ids, &mut reply, |core, slot| core.remove(slot, &mut outbox));
            }
            AdminCommand::Discard(ids) => {
                self.each(scope, &ids, &mut reply, |core, slot| core.discard(slot, &mut outbox));
            }
            AdminCommand::Retry { ids, data } => {
                self.each(scope, &ids, &mut reply, |core, slot| core.retry(slot, data.as_ref()));
            }
            AdminCommand::RetryFailed { limit } => {
                for slot in self.first_of(&[JobState::Failed], limit, &mut reply) {
                    self.retry(slot, None);
                    reply.changed += 1;
                }
            }
            AdminCommand::Promote(ids) => self.each(scope, &ids, &mut reply, Self::promote_now),
            AdminCommand::Reschedule { id, when } => {
                self.each(scope, &[id], &mut reply, |core, slot| core.reschedule(slot, when));
            }
            AdminCommand::SetPriority { id, priority } => {
                self.each(scope, &[id], &mut reply, |core, slot| core.set_priority(slot, priority));
            }
            AdminCommand::SetData { id, data } => {
                self.each(scope, &[id], &mut reply, |core, slot| core.set_data(slot, data.clone()));
            }
            AdminCommand::Clean { state, older_ms, limit } => {
                let until = self.now.saturating_sub(older_ms);
                let found = self.find_old(state, until, limit);
                reply.more = found.more;
                self.remove_all(found.slots, &mut reply);
                if reply.changed > 0 && self.events.is_kept() {
                    let kind = EventKind::Cleaned { count: reply.changed as u32 };
                    self.events.push(self.now, kind, None, 0);
                }
            }
            AdminCommand::Drain { delayed, limit } => {
                let states = [JobState::Waiting, JobState::Delayed];
                let slots = self.first_of(&states[..=usize::from(delayed)], limit, &mut reply);
                self.remove_all(slots, &mut reply);
            }
            AdminCommand::Obliterate { limit, .. } => {
                let slots = self.first_of(&JobState::ALL, limit, &mut reply);
                self.remove_all(slots, &mut reply);
                // The outbox stays: parents in other queues wait for the news in it, and follow-ups were promised.
                if !reply.more {
                    reply.more = self.free_keys(limit - reply.changed);
                }
                if !reply.more {
                    reply.more = self.drop_schedules(limit - reply.changed);
                }
            }
        }
        reply.outbox = self.outbox.range(outbox_from..).map(|(_, entry)| entry.clone()).collect();
        Ok(reply)
    }

    fn check_command(&self, scope: &Scope, command: &AdminCommand) -> Result<(), Error> {
        check_command(scope, command, &self.config.bounds)?;
        match command {
            AdminCommand::SetPriority { id, .. } => {
                let grouped =
                    self.find_within(scope, id).is_some_and(|slot| self.jobs.get(slot).spec.group.is_some());
                if grouped { Err(CheckError::PriorityInGroup { item: 0 }.into()) } else { Ok(()) }
            }
            AdminCommand::Obliterate { force: false, .. } if self.counts.active > 0 => {
                Err(Error::Busy { active: self.counts.active })
            }
            _ => Ok(()),
        }
    }

    /// A job by id, if it is within a scope.
    fn find_within(&self, scope: &Scope, id: &JobId) -> Option<u32> {
        self.find(id)
            .filter(|slot| scope.is_all() || scope.admits(self.jobs.get(*slot).spec.owner.as_deref()))
    }

    fn each(
        &mut self,
        scope: &Scope,
        ids: &[JobId],
        reply: &mut AdminReply,
        mut act: impl FnMut(&mut Self, u32) -> AdminResult,
    ) {
        for id in ids {
            let result = self.find_within(scope, id).map_or(AdminResult::Unknown, |slot| act(self, slot));
            reply.changed += usize::from(matches!(result, AdminResult::Done | AdminResult::Requested));
            reply.results.push(result);
        }
    }

    fn set_paused(&mut self, paused: bool, reply: &mut AdminReply) {
        if self.paused != paused {
            self.paused = paused;
            self.changes.meta = true;
            reply.changed = 1;
            if self.events.is_kept() {
                let kind = if paused { EventKind::Paused } else { EventKind::Resumed };
                self.events.push(self.now, kind, None, 0);
            }
            if !paused {
                self.wakes += 1;
            }
        }
    }

    fn cancel(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) -> AdminResult {
        match self.jobs.get(slot).status.state {
            JobState::Active => {
                self.request_cancel(slot);
                AdminResult::Requested
            }
            state if state.is_terminal() => AdminResult::WrongState(state),
            _ => {
                self.cancel_now(slot, outbox);
                AdminResult::Done
            }
        }
    }

    fn remove(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) -> AdminResult {
        let state = self.jobs.get(slot).status.state;
        if state == JobState::Active {
            return AdminResult::WrongState(state);
        }
        self.remove_one(slot, outbox);
        AdminResult::Done
    }

    fn discard(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) -> AdminResult {
        match self.jobs.get(slot).status.state {
            JobState::Failed => self.remove(slot, outbox),
            state => AdminResult::WrongState(state),
        }
    }

    fn remove_one(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) {
        self.cancel_children(slot, outbox);
        self.report_removal(slot);
        self.emit(EventKind::Removed, slot);
        self.drop_job(slot);
    }

    fn remove_all(&mut self, slots: Vec<u32>, reply: &mut AdminReply) {
        reply.changed += slots.len();
        let mut outbox = Vec::new();
        for slot in slots {
            self.remove_one(slot, &mut outbox);
        }
    }

    /// Frees at most so many keys of a queue without jobs. Says whether any is left.
    fn free_keys(&mut self, limit: usize) -> bool {
        // Without jobs only keys with a time are held, unless something is broken.
        let timed = self.dedup.timed(None).map(|(end, _)| &end.1);
        let others = self.dedup.iter().filter(|(_, held)| held.until.is_none()).map(|(key, _)| key);
        let keys: Vec<Arc<str>> = timed.chain(others).take(limit).cloned().collect();
        for key in &keys {
            self.dedup.set(key, None);
        }
        if self.changes.wanted {
            self.changes.keys.extend(keys);
        }
        self.dedup.iter().next().is_some()
    }

    fn retry(&mut self, slot: u32, data: Option<&Bytes>) -> AdminResult {
        let state = self.jobs.get(slot).status.state;
        if !matches!(state, JobState::Failed | JobState::Cancelled) {
            return AdminResult::WrongState(state);
        }
        self.leave(slot);
        if let Some(data) = data {
            self.put_data(slot, data.clone());
        }
        let now = self.now;
        let job = self.jobs.get_mut(slot);
        job.status.attempts_made = 0;
        job.status.stalls = 0;
        job.status.finished_on = None;
        job.status.result = None;
        job.status.progress = None;
        job.status.run_at = now;
        // The key was freed when the job ended. It is taken again unless somebody else holds it now.
        if let Some(dedup) = self.jobs.get(slot).spec.dedup.clone()
            && self.dedup.holder(&dedup.key, now).is_none()
        {
            let id = self.jobs.get(slot).spec.id.clone();
            self.dedup.hold(&dedup, &id, now);
            if self.changes.wanted {
                self.changes.keys.push(dedup.key.clone());
            }
        }
        self.enter_waiting(slot, false, Some(Cause::Retry));
        self.emit(EventKind::Waiting, slot);
        AdminResult::Done
    }

    fn promote_now(&mut self, slot: u32) -> AdminResult {
        match self.jobs.get(slot).status.state {
            JobState::Delayed => {
                self.leave(slot);
                self.jobs.get_mut(slot).status.run_at = self.now;
                self.enter_waiting(slot, false, Some(Cause::Due));
                self.emit(EventKind::Waiting, slot);
                AdminResult::Done
            }
            state => AdminResult::WrongState(state),
        }
    }

    fn reschedule(&mut self, slot: u32, when: When) -> AdminResult {
        let state = self.jobs.get(slot).status.state;
        if !matches!(state, JobState::Waiting | JobState::Delayed) {
            return AdminResult::WrongState(state);
        }
        let run_at = match when {
            When::Now => self.now,
            When::After(ms) => self.now.saturating_add(ms),
            When::At(at) => at.max(self.now),
        };
        self.leave(slot);
        self.enter_delayed(slot, run_at, Some(Cause::Reschedule));
        let waits = self.jobs.get(slot).status.state == JobState::Waiting;
        self.emit(if waits { EventKind::Waiting } else { EventKind::Delayed }, slot);
        AdminResult::Done
    }

    fn set_priority(&mut self, slot: u32, priority: u32) -> AdminResult {
        let state = self.jobs.get(slot).status.state;
        match state {
            JobState::Waiting => {
                self.leave(slot);
                Arc::make_mut(&mut self.jobs.get_mut(slot).spec).priority = priority;
                self.enter_waiting(slot, false, Some(Cause::Reschedule));
                AdminResult::Done
            }
            JobState::Delayed | JobState::WaitingChildren => {
                Arc::make_mut(&mut self.jobs.get_mut(slot).spec).priority = priority;
                self.note(slot);
                AdminResult::Done
            }
            _ => AdminResult::WrongState(state),
        }
    }

    fn set_data(&mut self, slot: u32, data: Bytes) -> AdminResult {
        let state = self.jobs.get(slot).status.state;
        if state == JobState::Active {
            return AdminResult::WrongState(state);
        }
        self.put_data(slot, data);
        AdminResult::Done
    }

    fn put_data(&mut self, slot: u32, data: Bytes) {
        Arc::make_mut(&mut self.jobs.get_mut(slot).spec).data = data;
        if self.changes.wanted {
            self.changes.data.push(slot);
        }
    }

    /// Slots of the first jobs of the given states, at most `limit`; the reply says whether there are more.
    fn first_of(&self, states: &[JobState], limit: usize, reply: &mut AdminReply) -> Vec<u32> {
        let all = states.iter().flat_map(|state| self.in_state(*state));
        let mut slots: Vec<u32> = all.take(limit.saturating_add(1)).collect();
        reply.more = slots.len() > limit;
        slots.truncate(limit);
        slots
    }

    /// Slots of the jobs of a state, from the front of its collection.
    fn in_state(&self, state: JobState) -> Box<dyn Iterator<Item = u32> + '_> {
        match state {
            JobState::Waiting => Box::new(self.ready.walk(None, &self.jobs).map(|(_, slot)| slot)),
            JobState::Delayed => Box::new(self.delayed.values().copied()),
            JobState::Active => {
                // The table of workers has no order of its own, and the same commands must give the same queue.
                let running = self.active.workers.values().flat_map(|worker| &worker.running);
                let mut slots: Vec<u32> = running.copied().collect();
                slots.sort_unstable();
                Box::new(slots.into_iter())
            }
            state => Box::new(self.lane(state).oldest(&self.jobs).map(|entry| entry.slot)),
        }
    }
}
