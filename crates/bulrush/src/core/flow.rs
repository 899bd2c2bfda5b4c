//! Flows and the outbox. Nothing is assumed atomic across queues: what one queue has to tell another is written to its own outbox in
//! the command that makes it true, is delivered again until it is acknowledged, and taking it in twice is harmless: a job that was
//! delivered is remembered by its entry, also when it has ended and is gone, and so is a cancel that came before its job.

use std::sync::Arc;

use super::check::{check_entries, check_items};
use super::{Core, own_error};
use crate::model::{
    Cause, ChildFailure, ChildState, Dedup, ErrorKind, EventKind, JobId, JobState, Millis, NewJob, QueueName,
    WorkerId,
};
use crate::port::{AddOutcome, Delivery, Error, OutboxEntry};

/// How long a delivery is remembered, ms: as long as the key of a follow-up.
const REMEMBERED_MS: u64 = 24 * 3_600 * 1_000;

impl Core {
    /// Takes in entries of another queue's outbox that are for this one. Returns what this queue's outbox holds because of it.
    ///
    /// # Errors
    /// More than one entry that are too much for one call; nothing was changed.
    pub fn deliver(
        &mut self,
        source: &QueueName,
        entries: Vec<OutboxEntry>,
        now: Millis,
    ) -> Result<Vec<OutboxEntry>, Error> {
        check_entries(&entries, &self.config.bounds)?;
        self.advance(now);
        let mut outbox = Vec::new();
        for OutboxEntry { seq, at, delivery, .. } in entries {
            match delivery {
                Delivery::Add(job) => self.deliver_job(source, (seq, at), *job, &mut outbox),
                Delivery::ChildSettled { parent, child, state } => {
                    self.child_settled(&parent, &child, state, &mut outbox);
                }
                Delivery::CancelChild { child, parent } => {
                    self.cancel_child(source, seq, &child, &parent, &mut outbox);
                }
            }
        }
        Ok(outbox)
    }

    /// Forgets outbox entries that were delivered.
    ///
    /// # Errors
    /// More entries than a call may carry; nothing was changed.
    pub fn acknowledge(&mut self, entries: &[u64], now: Millis) -> Result<(), Error> {
        check_items(entries.len(), &self.config.bounds)?;
        self.advance(now);
        for seq in entries {
            if self.outbox.remove(seq).is_some() && self.changes.wanted {
                self.changes.outbox.push(*seq);
            }
        }
        Ok(())
    }

    /// Remembers something for [`REMEMBERED_MS`] from now on, under a key that no job can ask for.
    fn remember(&mut self, key: &Arc<str>, id: &JobId, number: u64) {
        let dedup = Dedup { key: key.clone(), ttl_ms: Some(REMEMBERED_MS), fingerprint: Some(number) };
        self.dedup.hold(&dedup, id, self.now);
        if self.changes.wanted {
            self.changes.keys.push(key.clone());
        }
    }

    /// The highest number that was remembered under a key.
    fn remembered(&self, key: &str) -> Option<u64> {
        self.dedup.holder(key, self.now)?.fingerprint
    }

    /// A job from another queue's outbox. A repeat is known by its entry, for the job may have ended and be gone since.
    fn deliver_job(
        &mut self,
        source: &QueueName,
        (seq, at): (u64, Millis),
        job: NewJob,
        outbox: &mut Vec<OutboxEntry>,
    ) {
        // A key that lasts as long tells the same.
        let own_key = job.spec.dedup.as_ref().and_then(|dedup| dedup.ttl_ms);
        if own_key.is_none_or(|ttl_ms| ttl_ms < REMEMBERED_MS) {
            let key: Arc<str> = format!("{}add:{source}:{seq}:{at}", Dedup::RESERVED).into();
            let repeated = self.remembered(&key).is_some();
            self.remember(&key, &job.spec.id, seq);
            if repeated {
                return;
            }
        }
        let Some(parent) = job.spec.parent.clone() else {
            self.add_one(job, true, outbox);
            return;
        };
        let child = job.spec.id.clone();
        let added = self.add_one(job, true, outbox);
        if added.is_new() {
            // The parent was cancelled after it wrote this, and the word of it was faster.
            let cancelled = self.remembered(&cancel_key(source, &parent.id, &child));
            if cancelled.is_some_and(|cancel| cancel > seq)
                && let Some(slot) = self.find(&child)
            {
                self.cancel_now(slot, outbox);
            }
            return;
        }
        let from = self.next_outbox;
        match self.find(&added.id).map(|slot| (slot, self.jobs.get(slot))) {
            // A repeat finds its own job. One that has ended tells so again: a parent that was added anew would wait for ever.
            Some((slot, job))
                if added.id == child
                    && job
                        .spec
                        .parent
                        .as_ref()
                        .is_some_and(|p| p.id == parent.id && p.queue == parent.queue) =>
            {
                let state = job.status.state;
                if state.is_terminal() {
                    self.report_to_parent(slot, state);
                }
            }
            // Only its key is left, and the news of its end is on the way.
            None if added.id == child && self.has_news_of(&child, &parent.id) => {}
            // Somebody else's job will never report to this parent.
            _ => {
                let reason = match added.outcome {
                    AddOutcome::SameId { .. } => {
                        format!("the id {child} belongs to another job of its queue")
                    }
                    _ if added.id == child => {
                        "it has ended before, and still holds its deduplication key".to_owned()
                    }
                    _ => format!("its deduplication key is held by job {}", added.id),
                };
                let state = ChildState::Failed { reason };
                let report = Delivery::ChildSettled { parent: parent.id.clone(), child, state };
                self.post(parent.queue.clone(), report);
            }
        }
        outbox.extend(self.outbox.range(from..).map(|(_, entry)| entry.clone()));
    }

    /// Whether a child's end is still to be told to its parent.
    fn has_news_of(&self, child: &JobId, parent: &JobId) -> bool {
        self.outbox.values().any(|entry| {
            matches!(&entry.delivery, Delivery::ChildSettled { parent: p, child: c, .. } if p == parent && c == child)
        })
    }

    /// Tells the parent of a job that has just ended.
    pub(super) fn report_to_parent(&mut self, slot: u32, state: JobState) {
        let job = self.jobs.get(slot);
        let Some(parent) = job.spec.parent.clone() else { return };
        let child = job.spec.id.clone();
        let state = match state {
            JobState::Completed => ChildState::Completed { result: job.status.result.clone() },
            JobState::Cancelled => ChildState::Failed { reason: "it was cancelled".into() },
            _ => ChildState::Failed {
                reason: job
                    .status
                    .errors
                    .last()
                    .map_or_else(String::new, |attempt| attempt.error.message.clone()),
            },
        };
        let report = Delivery::ChildSettled { parent: parent.id.clone(), child, state };
        self.post(parent.queue.clone(), report);
    }

    /// Tells the parent of a job that is about to be removed before it ended.
    pub(super) fn report_removal(&mut self, slot: u32) {
        let job = self.jobs.get(slot);
        if job.status.state.is_terminal() {
            return;
        }
        if let Some(parent) = job.spec.parent.clone() {
            let child = job.spec.id.clone();
            let state = ChildState::Failed { reason: "it was removed".into() };
            let report = Delivery::ChildSettled { parent: parent.id.clone(), child, state };
            self.post(parent.queue.clone(), report);
        }
    }

    /// A child's end, as its queue tells it. The first word counts; a repeat finds the child settled.
    fn child_settled(
        &mut self,
        parent: &JobId,
        child: &JobId,
        state: ChildState,
        outbox: &mut Vec<OutboxEntry>,
    ) {
        let Some(slot) = self.find(parent) else { return };
        let job = self.jobs.get_mut(slot);
        let Some(family) = job.family.as_mut() else { return };
        let Some(position) = family.position(child) else { return };
        let kin = &mut family.children[position];
        if kin.child.state != ChildState::Pending {
            return;
        }
        let policy = kin.on_failure;
        let failure = match &state {
            ChildState::Failed { reason } => Some(format!("child {child} failed: {reason}")),
            _ => None,
        };
        kin.child.state = state;
        family.pending -= 1;
        let settled = family.pending == 0;
        let waits = job.status.state == JobState::WaitingChildren;
        if self.changes.wanted {
            self.changes.children.push((slot, position));
        }
        self.note(slot);
        if !waits {
            return;
        }
        match (failure, policy) {
            (Some(message), ChildFailure::Fail) => {
                self.leave(slot);
                let now = self.now;
                self.record_error(slot, WorkerId(0), 0, now, own_error(ErrorKind::ChildFailed, message));
                self.end(slot, JobState::Failed, Cause::ChildFailed, outbox);
            }
            (Some(_), ChildFailure::Continue) => self.start_parent(slot),
            _ if settled => self.start_parent(slot),
            _ => {}
        }
    }

    pub(super) fn start_parent(&mut self, slot: u32) {
        self.leave(slot);
        let run_at = self.jobs.get(slot).status.run_at;
        self.enter_delayed(slot, run_at, Some(Cause::ChildrenSettled));
        let waits = self.jobs.get(slot).status.state == JobState::Waiting;
        self.emit(if waits { EventKind::Waiting } else { EventKind::Delayed }, slot);
    }

    /// A parent in `source` was cancelled. The word is remembered: the child may come later, and a repeat must leave the child of a
    /// flow alone that was added anew under the same ids.
    fn cancel_child(
        &mut self,
        source: &QueueName,
        seq: u64,
        child: &JobId,
        parent: &JobId,
        outbox: &mut Vec<OutboxEntry>,
    ) {
        let key: Arc<str> = cancel_key(source, parent, child).into();
        if self.remembered(&key).is_some_and(|last| last >= seq) {
            return;
        }
        self.remember(&key, child, seq);
        let Some(slot) = self.find(child) else { return };
        let job = self.jobs.get(slot);
        let own = job.spec.parent.as_ref().is_some_and(|p| p.id == *parent && p.queue == *source);
        let unstarted =
            matches!(job.status.state, JobState::Waiting | JobState::Delayed | JobState::WaitingChildren);
        if own && unstarted {
            self.cancel_now(slot, outbox);
        }
    }

    /// Cancels a job that does not run, and asks its unsettled children not to start.
    pub(super) fn cancel_now(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) {
        self.cancel_children(slot, outbox);
        self.leave(slot);
        self.end(slot, JobState::Cancelled, Cause::Cancel, outbox);
    }

    /// Asks the unsettled children of a waiting parent not to start.
    pub(super) fn cancel_children(&mut self, slot: u32, outbox: &mut Vec<OutboxEntry>) {
        let job = self.jobs.get(slot);
        if job.status.state != JobState::WaitingChildren {
            return;
        }
        let parent = job.spec.id.clone();
        let children = job.family.as_ref().map(|family| family.children.clone()).unwrap_or_default();
        for kin in children {
            if kin.child.state == ChildState::Pending {
                let cancel = Delivery::CancelChild { child: kin.child.id, parent: parent.clone() };
                outbox.push(self.post(kin.child.queue, cancel));
            }
        }
    }
}

fn cancel_key(source: &QueueName, parent: &JobId, child: &JobId) -> String {
    format!("{}cancel:{source}:{parent}:{child}", Dedup::RESERVED)
}
