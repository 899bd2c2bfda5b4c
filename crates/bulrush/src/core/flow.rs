//! Flows and the outbox. Nothing is assumed atomic across queues: what one queue has to tell another is written to its own outbox in
//! the command that makes it true, is delivered again until it is acknowledged, and taking it in twice is harmless.

use super::{Core, own_error};
use crate::model::{
    Cause, ChildFailure, ChildState, ErrorKind, EventKind, JobId, JobState, Millis, NewJob, WorkerId,
};
use crate::port::{AddOutcome, Delivery, OutboxEntry};

impl Core {
    /// Takes in what other queues' outboxes hold for this one. Returns what this queue's outbox holds because of it.
    pub fn deliver(&mut self, deliveries: Vec<Delivery>, now: Millis) -> Vec<OutboxEntry> {
        self.advance(now);
        let mut outbox = Vec::new();
        for delivery in deliveries {
            match delivery {
                Delivery::Add(job) => self.deliver_job(*job, &mut outbox),
                Delivery::ChildSettled { parent, child, state } => {
                    self.child_settled(&parent, &child, state, &mut outbox);
                }
                Delivery::CancelChild { child, parent } => self.cancel_child(&child, &parent, &mut outbox),
            }
        }
        outbox
    }

    /// Forgets outbox entries that were delivered.
    pub fn acknowledge(&mut self, entries: &[u64], now: Millis) {
        self.advance(now);
        for seq in entries {
            if self.outbox.remove(seq).is_some() && self.changes.wanted {
                self.changes.outbox.push(*seq);
            }
        }
    }

    fn deliver_job(&mut self, job: NewJob, outbox: &mut Vec<OutboxEntry>) {
        let Some(parent) = job.spec.parent.clone() else {
            self.add_one(job, true, outbox);
            return;
        };
        let child = job.spec.id.clone();
        let added = self.add_one(job, true, outbox);
        if added.is_new() {
            return;
        }
        let from = self.next_outbox;
        match self.find(&added.id).map(|slot| (slot, self.jobs.get(slot))) {
            // A repeat finds its own job. One that has ended tells so again: a parent that was added anew would wait for ever.
            Some((slot, job))
                if added.id == child && job.spec.parent.as_ref().is_some_and(|p| p.id == parent.id) =>
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

    fn cancel_child(&mut self, child: &JobId, parent: &JobId, outbox: &mut Vec<OutboxEntry>) {
        let Some(slot) = self.find(child) else { return };
        let job = self.jobs.get(slot);
        let own = job.spec.parent.as_ref().is_some_and(|p| p.id == *parent);
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
