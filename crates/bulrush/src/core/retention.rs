//! How long finished jobs are kept: by count and by age, the stricter one holds.

use super::Core;
use crate::model::JobState;

impl Core {
    /// Lets go of at most `max` jobs of a finished state that retention no longer keeps. Returns how many.
    pub(super) fn trim(&mut self, state: JobState, max: usize) -> usize {
        let keep = self.keep_of(state);
        let mut trimmed = 0;
        while trimmed < max {
            let lane = match state {
                JobState::Completed => &mut self.completed,
                JobState::Failed => &mut self.failed,
                _ => &mut self.cancelled,
            };
            let over = keep.count.is_some_and(|count| lane.len() as u64 > count);
            let Some(oldest) = lane.front(&self.jobs) else { break };
            let finished = self.jobs.get(oldest.slot).status.finished_on.unwrap_or(0);
            let aged = keep.age_ms.is_some_and(|age| finished.saturating_add(age) <= self.now);
            if !over && !aged {
                break;
            }
            self.drop_job(oldest.slot);
            trimmed += 1;
        }
        trimmed
    }

    /// Removes a job with all that belongs to it. What it had to tell other queues stays in the outbox.
    pub(super) fn drop_job(&mut self, slot: u32) {
        self.leave(slot);
        self.release_key(slot);
        self.forget(slot);
    }
}
