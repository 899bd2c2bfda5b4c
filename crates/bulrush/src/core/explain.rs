//! Which rules keep a job from running.

use super::Core;
use crate::model::{JobId, JobState, Millis};
use crate::port::{Explanation, Reason};

impl Core {
    /// Why a job is where it is; none for an unknown job.
    pub fn explain(&self, id: &JobId, now: Millis) -> Option<Explanation> {
        let now = now.max(self.now);
        let job = self.jobs.get(self.find(id)?);
        let state = job.status.state;
        let mut reasons = Vec::new();
        match state {
            JobState::Completed | JobState::Failed | JobState::Cancelled => {
                reasons.push(Reason::Ended(state));
            }
            JobState::Active => reasons.extend(
                job.active
                    .map(|active| Reason::Running { worker: active.token.worker, since: active.started }),
            ),
            JobState::Delayed | JobState::WaitingChildren | JobState::Waiting => {
                if state == JobState::WaitingChildren {
                    reasons.push(Reason::Children(job.family.as_ref().map_or(0, |family| family.pending)));
                }
                if job.status.run_at > now {
                    reasons.push(Reason::DueAt(job.status.run_at));
                }
                if self.paused {
                    reasons.push(Reason::Paused);
                }
                if !self.active.workers.values().any(|worker| worker.lease_until > now) {
                    reasons.push(Reason::NoWorker);
                }
                reasons.extend(self.limit_in_force().filter(|until| *until > now).map(Reason::Limited));
                if let Some(cap) = self.config.concurrency.filter(|cap| self.counts.active >= u64::from(*cap))
                {
                    reasons.push(Reason::Concurrency(cap));
                }
                self.explain_group(job.spec.group.as_deref(), now, &mut reasons);
                if state == JobState::Waiting {
                    let behind = self.jobs_before(job.spec.group.as_deref(), job.spec.priority, job.order);
                    if behind > 0 {
                        reasons.push(Reason::Behind(behind));
                    }
                }
            }
        }
        Some(Explanation { state, reasons })
    }

    fn explain_group(&self, name: Option<&str>, now: Millis, reasons: &mut Vec<Reason>) {
        let Some(group) = self.ready.group(name) else { return };
        let config = name.map_or(self.config.group_default, |name| self.config.group(name));
        if let Some(cap) = config.concurrency.filter(|cap| group.active >= *cap) {
            reasons.push(Reason::GroupConcurrency(cap));
        }
        if group.limited_until > now {
            reasons.push(Reason::GroupLimited(group.limited_until));
        }
    }

    /// Waiting jobs of the same group that go first; removed ones that still leave a trace are counted too.
    fn jobs_before(&self, name: Option<&str>, priority: u32, order: i64) -> u64 {
        let Some(group) = self.ready.group(name) else { return 0 };
        // Jobs of a named group have no priorities among them.
        let priority = if name.is_some() { 0 } else { priority };
        let urgent = group.lanes.range(..priority).map(|(_, lane)| lane.len()).sum::<usize>();
        let same = group.lanes.get(&priority).map_or(0, |lane| lane.before(order));
        (urgent + same) as u64
    }
}
