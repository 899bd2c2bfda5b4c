//! Taking jobs in.

use std::sync::Arc;

use super::Core;
use super::check::check_call;
use super::slab::{Family, Kin, Slot};
use crate::model::{Child, ChildState, EventKind, JobState, Millis, NewJob, Parent, QueueName, Status, When};
use crate::port::{AddOutcome, AddReply, Added, Delivery, Error, OutboxEntry};

/// Jobs of one owner that a page of that owner can reach.
pub(super) const OWNER_INDEX_MAX: usize = 10_000;

impl Core {
    /// Adds jobs, each with the jobs it waits for.
    ///
    /// # Errors
    /// A job that cannot be added as it is, or a call that is too large; nothing was changed.
    pub fn add(&mut self, jobs: Vec<NewJob>, now: Millis) -> Result<AddReply, Error> {
        check_call(jobs.iter(), &self.config.bounds, |place| place)?;
        self.advance(now);
        let mut reply = AddReply { added: Vec::with_capacity(jobs.len()), outbox: Vec::new() };
        for job in jobs {
            reply.added.push(self.add_one(job, false, &mut reply.outbox));
        }
        Ok(reply)
    }

    /// Adds one job. What comes from an outbox (`delivered`) was admitted where it was made, so the depth limit does not apply.
    pub(super) fn add_one(&mut self, job: NewJob, delivered: bool, outbox: &mut Vec<OutboxEntry>) -> Added {
        if let Some(slot) = self.find(&job.spec.id) {
            let state = self.jobs.get(slot).status.state;
            return Added { id: job.spec.id, outcome: AddOutcome::SameId { state } };
        }
        if let Some(dedup) = &job.spec.dedup
            && let Some(held) = self.dedup.holder(&dedup.key, self.now)
        {
            let outcome = if held.fingerprint == dedup.fingerprint {
                AddOutcome::SameKey
            } else {
                AddOutcome::KeyConflict
            };
            return Added { id: held.id.clone(), outcome };
        }
        if let Some(depth_max) = self.config.depth_max
            && !delivered
            && self.counts.depth() >= depth_max
        {
            return Added { id: job.spec.id, outcome: AddOutcome::Full { depth_max } };
        }
        let id = job.spec.id.clone();
        self.insert(job, outbox);
        Added { id, outcome: AddOutcome::New }
    }

    fn insert(&mut self, job: NewJob, outbox: &mut Vec<OutboxEntry>) {
        let NewJob { mut spec, default_priority, when, children } = job;
        let now = self.now;
        if default_priority {
            spec.priority = self.config.default_priority;
        }
        let run_at = match when {
            When::Now => now,
            When::After(ms) => now.saturating_add(ms),
            When::At(at) => at.max(now),
        };
        if let Some(dedup) = &spec.dedup {
            self.dedup.hold(dedup, &spec.id, now);
            if self.changes.wanted {
                self.changes.keys.push(dedup.key.clone());
            }
        }
        let mut family = None;
        if !children.is_empty() {
            let mut kin = Family::default();
            for mut child in children {
                child.job.spec.parent = Some(Arc::new(Parent {
                    queue: self.queue.clone(),
                    id: spec.id.clone(),
                    on_failure: child.on_failure,
                }));
                kin.push(Kin {
                    child: Child {
                        queue: child.queue.clone(),
                        id: child.job.spec.id.clone(),
                        state: ChildState::Pending,
                    },
                    on_failure: child.on_failure,
                });
                outbox.push(self.post(child.queue, Delivery::Add(Box::new(child.job))));
            }
            family = Some(Box::new(kin));
        }
        let owner = spec.owner.clone();
        let members = family.as_ref().map_or(0, |family| family.children.len());
        let serial = self.next_serial;
        self.next_serial += 1;
        let slot = self.jobs.insert(Slot {
            spec: Arc::new(spec),
            status: Status {
                state: JobState::Waiting,
                created_at: now,
                run_at,
                attempts_made: 0,
                stalls: 0,
                run: 0,
                processed_on: None,
                finished_on: None,
                progress: None,
                result: None,
                errors: Vec::new(),
                log_lines: 0,
                settled_by: None,
            },
            order: 0,
            serial,
            active: None,
            family,
            logs: std::collections::VecDeque::new(),
            noted: false,
        });
        if self.changes.wanted {
            self.changes.data.push(slot);
            self.changes.children.extend((0..members).map(|position| (slot, position)));
        }
        if let Some(owner) = owner {
            let jobs = self.owners.entry(owner).or_default();
            jobs.push_back((slot, serial));
            if jobs.len() > OWNER_INDEX_MAX {
                jobs.pop_front();
            }
        }
        self.totals.added += 1;
        self.emit(EventKind::Added, slot);
        if members > 0 {
            self.enter_parents(slot);
        } else if run_at > now {
            self.enter_delayed(slot, run_at, None);
            self.emit(EventKind::Delayed, slot);
        } else {
            self.enter_waiting(slot, false, None);
        }
    }

    /// Writes something for another queue to the outbox.
    pub(super) fn post(&mut self, target: QueueName, delivery: Delivery) -> OutboxEntry {
        let entry = OutboxEntry { seq: self.next_outbox, at: self.now, target, delivery };
        self.next_outbox += 1;
        self.outbox.insert(entry.seq, entry.clone());
        if self.changes.wanted {
            self.changes.outbox.push(entry.seq);
        }
        entry
    }
}
