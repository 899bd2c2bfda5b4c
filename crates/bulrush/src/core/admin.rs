//! What an administrator may do. Every command is bounded and says whether more is left.

use std::sync::Arc;

use bytes::Bytes;

use super::check::check_command;
use super::{Core, SLICE};
use crate::model::{Cause, CheckError, EventKind, JobId, JobState, Millis, QueueConfig, When};
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
        self.check_command(&command)?;
        self.advance(now);
        let outbox_from = self.next_outbox;
        let mut reply = AdminReply::default();
        let mut outbox = Vec::new();
        match command {
            AdminCommand::Pause => self.set_paused(true, &mut reply),
            AdminCommand::Unpause => self.set_paused(false, &mut reply),
            AdminCommand::Cancel(ids) => {
                self.each(&ids, &mut reply, |core, slot| core.cancel(slot, &mut outbox));
            }
            AdminCommand::Remove(ids) => {
                self.each(&ids, &mut reply, |core, slot| core.remove(slot, &mut outbox));
            }
            AdminCommand::Retry { ids, data } => {
                self.each(&ids, &mut reply, |core, slot| core.retry(slot, data.as_ref()));
            }
            AdminCommand::RetryFailed { limit } => {
                let slots: Vec<u32> =
                    self.failed.oldest(&self.jobs).take(limit).map(|entry| entry.slot).collect();
                for slot in slots {
                    self.retry(slot, None);
                    reply.changed += 1;
                }
                reply.more = self.counts.failed > 0;
            }
            AdminCommand::Promote(ids) => self.each(&ids, &mut reply, Self::promote_now),
            AdminCommand::Reschedule { id, when } => {
                self.each(&[id], &mut reply, |core, slot| core.reschedule(slot, when));
            }
            AdminCommand::SetPriority { id, priority } => {
                self.each(&[id], &mut reply, |core, slot| core.set_priority(slot, priority));
            }
            AdminCommand::SetData { id, data } => {
                self.each(&[id], &mut reply, |core, slot| core.set_data(slot, data.clone()));
            }
            AdminCommand::Clean { state, older_ms, limit } => {
                let until = self.now.saturating_sub(older_ms);
                let slots = self.older_than(state, until, limit + 1);
                self.remove_all(slots, limit, &mut reply);
                if reply.changed > 0 && self.events.is_kept() {
                    let kind = EventKind::Cleaned { count: reply.changed as u32 };
                    self.events.push(self.now, kind, None, 0);
                }
            }
            AdminCommand::Drain { delayed, limit } => {
                let mut slots = self.in_state(JobState::Waiting, limit + 1);
                if delayed {
                    slots.extend(self.in_state(JobState::Delayed, (limit + 1).saturating_sub(slots.len())));
                }
                self.remove_all(slots, limit, &mut reply);
            }
            AdminCommand::Obliterate { limit, .. } => {
                let slots = self.jobs.iter().map(|(slot, _)| slot).take(limit + 1).collect();
                self.remove_all(slots, limit, &mut reply);
                // The outbox stays: parents in other queues wait for the news in it, and follow-ups were promised.
                if !reply.more {
                    if self.changes.wanted {
                        self.changes.keys.extend(self.dedup.iter().map(|(key, _)| key.clone()));
                    }
                    self.dedup.clear();
                }
            }
        }
        reply.outbox = self.outbox.range(outbox_from..).map(|(_, entry)| entry.clone()).collect();
        Ok(reply)
    }

    fn check_command(&self, command: &AdminCommand) -> Result<(), Error> {
        check_command(command, &self.config.bounds)?;
        match command {
            AdminCommand::SetPriority { id, .. } => {
                let grouped = self.find(id).is_some_and(|slot| self.jobs.get(slot).spec.group.is_some());
                if grouped { Err(CheckError::PriorityInGroup { item: 0 }.into()) } else { Ok(()) }
            }
            AdminCommand::Obliterate { force: false, .. } if self.counts.active > 0 => {
                Err(Error::Busy { active: self.counts.active })
            }
            _ => Ok(()),
        }
    }

    fn each(
        &mut self,
        ids: &[JobId],
        reply: &mut AdminReply,
        mut act: impl FnMut(&mut Self, u32) -> AdminResult,
    ) {
        for id in ids {
            let result = self.find(id).map_or(AdminResult::Unknown, |slot| act(self, slot));
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

    fn remove_one(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) {
        self.cancel_children(slot, outbox);
        self.report_removal(slot);
        self.emit(EventKind::Removed, slot);
        self.drop_job(slot);
    }

    fn remove_all(&mut self, slots: Vec<u32>, limit: usize, reply: &mut AdminReply) {
        reply.more = slots.len() > limit;
        let mut outbox = Vec::new();
        for slot in slots.into_iter().take(limit) {
            self.remove_one(slot, &mut outbox);
            reply.changed += 1;
        }
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

    /// Jobs of a state that finished (or were added) at `until` or earlier, oldest first.
    fn older_than(&self, state: JobState, until: Millis, limit: usize) -> Vec<u32> {
        let age = |slot: &u32| {
            let status = &self.jobs.get(*slot).status;
            status.finished_on.unwrap_or(status.created_at)
        };
        self.in_state(state, SLICE * 10).into_iter().filter(|slot| age(slot) <= until).take(limit).collect()
    }

    /// Slots of the jobs of a state that is not active, from the front of its collections.
    fn in_state(&self, state: JobState, limit: usize) -> Vec<u32> {
        let lane = match state {
            JobState::Waiting => {
                let groups = self.ready.members().flat_map(|(_, group)| group.lanes.values());
                return groups
                    .flat_map(|lane| lane.oldest(&self.jobs))
                    .take(limit)
                    .map(|entry| entry.slot)
                    .collect();
            }
            JobState::Delayed => return self.delayed.values().take(limit).copied().collect(),
            JobState::Active => return Vec::new(),
            JobState::WaitingChildren => &self.parents,
            JobState::Completed => &self.completed,
            JobState::Failed => &self.failed,
            JobState::Cancelled => &self.cancelled,
        };
        lane.oldest(&self.jobs).take(limit).map(|entry| entry.slot).collect()
    }
}
