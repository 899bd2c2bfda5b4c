//! The jobs that run, and the moments at which something is done about them: a run that is over its time, or is asked to stop, is first
//! told so, then its future is dropped at its next await, and what ignores that too counts as stuck.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::context::{Run, Stop};

/// The slots that are taken, by the order in which they were filled, so that a simulation can be played again.
pub(super) struct Slots {
    taken: BTreeMap<u64, Slot>,
    moments: BTreeSet<(Instant, u64)>,
    last: u64,
    stop_grace: Duration,
    stuck_after: Duration,
}

/// A job in a slot.
struct Slot {
    run: Arc<Run>,
    task: JoinHandle<()>,
    stage: Stage,
    due: Option<Instant>,
}

/// What happens to a run when its next moment comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It is asked to stop.
    Timeout,
    /// Its future is dropped at its next await.
    Drop,
    /// It counts as stuck; its slot is given back.
    Stuck,
}

impl Slots {
    /// No slot is taken. `stop_grace` lies between a request to stop and the drop, `stuck_after` between the drop and the verdict.
    pub fn new(stop_grace: Duration, stuck_after: Duration) -> Self {
        Self { taken: BTreeMap::new(), moments: BTreeSet::new(), last: 0, stop_grace, stuck_after }
    }

    pub fn len(&self) -> usize {
        self.taken.len()
    }

    pub fn is_empty(&self) -> bool {
        self.taken.is_empty()
    }

    /// What runs.
    pub fn runs(&self) -> impl Iterator<Item = &Arc<Run>> {
        self.taken.values().map(|slot| &slot.run)
    }

    /// Fills a slot with a run that `spawn` starts.
    pub fn fill(&mut self, run: Arc<Run>, spawn: impl FnOnce() -> JoinHandle<()>) {
        self.last += 1;
        let number = self.last;
        run.place_in(number);
        let due = run.job.spec.timeout_ms.map(|timeout| Instant::now() + Duration::from_millis(timeout));
        self.moments.extend(due.map(|due| (due, number)));
        self.taken.insert(number, Slot { run, task: spawn(), stage: Stage::Timeout, due });
    }

    /// Gives a run's slot back. Says whether it still had one: a run that counted as stuck has not.
    pub fn release(&mut self, run: &Run) -> bool {
        let Some(slot) = self.taken.remove(&run.slot()) else { return false };
        if let Some(due) = slot.due {
            self.moments.remove(&(due, run.slot()));
        }
        true
    }

    /// Asks runs to stop, and sees to it that they do.
    pub fn stop_where(&mut self, reason: Stop, which: impl Fn(&Run) -> bool) {
        let drop_at = Instant::now() + self.stop_grace;
        for (number, slot) in &mut self.taken {
            if slot.stage == Stage::Timeout && which(&slot.run) {
                slot.run.request_stop(reason);
                reschedule(&mut self.moments, *number, slot, Stage::Drop, drop_at);
            }
        }
    }

    /// Whether anything runs that nobody has asked to stop.
    pub fn any_undisturbed(&self) -> bool {
        self.taken.values().any(|slot| slot.stage == Stage::Timeout)
    }

    /// When something has to be done next.
    pub fn next_moment(&self) -> Option<Instant> {
        self.moments.first().map(|(at, _)| *at)
    }

    /// Does what is due, and gives back the slots of runs that could not be stopped.
    pub fn on_moment(&mut self, now: Instant) -> Vec<Arc<Run>> {
        let mut stuck = Vec::new();
        while let Some((at, number)) = self.moments.first().copied()
            && at <= now
        {
            self.moments.pop_first();
            let Some(slot) = self.taken.get_mut(&number) else { continue };
            slot.due = None;
            match slot.stage {
                Stage::Timeout => {
                    slot.run.request_stop(Stop::TimedOut);
                    reschedule(&mut self.moments, number, slot, Stage::Drop, now + self.stop_grace);
                }
                Stage::Drop => {
                    slot.task.abort();
                    reschedule(&mut self.moments, number, slot, Stage::Stuck, now + self.stuck_after);
                }
                Stage::Stuck => stuck.extend(self.taken.remove(&number).map(|slot| slot.run)),
            }
        }
        stuck
    }

    /// Drops every future at its next await.
    pub fn abort_all(&self) {
        self.taken.values().for_each(|slot| slot.task.abort());
    }
}

fn reschedule(
    moments: &mut BTreeSet<(Instant, u64)>,
    number: u64,
    slot: &mut Slot,
    stage: Stage,
    at: Instant,
) {
    if let Some(due) = slot.due.take() {
        moments.remove(&(due, number));
    }
    slot.stage = stage;
    slot.due = Some(at);
    moments.insert((at, number));
}
