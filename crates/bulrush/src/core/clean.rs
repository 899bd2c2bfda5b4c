//! Cleaning: removing the jobs of a state that are old enough, however many there are.
//!
//! Jobs that have ended, and parents, stand in the order of their age, so the old ones are in front. Waiting jobs stand in the order of
//! their turns and delayed ones in that of their times. Where these are few, a clean looks at all of them; else it looks at a slice a
//! call and goes on where the last one ended, round and round.
//!
//! What it has learned on the way is kept as two bounds: nothing that the round has passed, and nothing that is still before it, was
//! added before such a moment. A job that comes in lowers both, so they hold whatever happens between two calls, whoever makes them
//! and whatever age they ask for; and a clean says that nothing is left exactly when the bounds prove it. None of this is kept by a
//! store: a queue that is built anew knows nothing, and begins a round.
//!
//! A backend may look at the jobs in any order and in slices of any size, as long as repeated calls come to every job.

use std::ops::Bound;

use super::Core;
use super::ready::Place;
use crate::model::{JobId, JobState, Millis};

/// Jobs looked at in one call, at most.
const LOOK_MAX: usize = 10_000;

/// How far the rounds have come, in the collections that are not in the order of age.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    pub waiting: Round<Place>,
    pub delayed: Round<(Millis, JobId)>,
}

/// A round through a collection.
#[derive(Debug)]
pub(super) struct Round<P> {
    /// The last place that was passed; none at the start.
    after: Option<P>,
    /// Nothing up to there was added before this.
    passed: Millis,
    /// Nothing after it was added before this.
    ahead: Millis,
}

impl<P> Default for Round<P> {
    fn default() -> Self {
        Self { after: None, passed: Millis::MAX, ahead: 0 }
    }
}

/// What a clean found: slots to empty, and whether more may be left.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub slots: Vec<u32>,
    pub more: bool,
}

impl<P> Round<P> {
    /// A job comes in that was added at this moment, wherever its place may be.
    pub fn enter(&mut self, added: Millis) {
        self.ahead = self.ahead.min(added);
        if self.after.is_some() {
            self.passed = self.passed.min(added);
        }
    }

    /// Goes back to the start; what was passed is ahead again.
    fn begin(&mut self) {
        self.after = None;
        self.ahead = self.ahead.min(self.passed);
        self.passed = Millis::MAX;
    }

    /// Goes on through `walk`, which begins after the round's place, and finds what was added at `until` or before.
    fn go_on(
        &mut self,
        mut walk: impl Iterator<Item = (P, u32)>,
        added: impl Fn(u32) -> Millis,
        until: Millis,
        limit: usize,
    ) -> Found {
        let mut slots = Vec::new();
        if self.passed.min(self.ahead) > until {
            return Found { slots, more: false };
        }
        for looked in 0.. {
            let Some((place, slot)) = walk.next() else {
                // What was passed is all there is; the next round begins.
                self.ahead = std::mem::replace(&mut self.passed, Millis::MAX);
                self.after = None;
                return Found { slots, more: self.ahead <= until };
            };
            if looked == LOOK_MAX {
                break;
            }
            let added = added(slot);
            if added > until {
                self.passed = self.passed.min(added);
            } else if slots.len() < limit {
                slots.push(slot);
            } else {
                break;
            }
            self.after = Some(place);
        }
        Found { slots, more: true }
    }
}

impl Core {
    /// Jobs of a state that is not active which ended (or, of the others, were added) at `until` or before, at most `limit`.
    pub(super) fn find_old(&mut self, state: JobState, until: Millis, limit: usize) -> Found {
        let added = |slot| self.jobs.get(slot).status.created_at;
        match state {
            JobState::Waiting => {
                let mut round = std::mem::take(&mut self.rounds.waiting);
                if self.counts.waiting <= LOOK_MAX as u64 {
                    round.begin();
                }
                let walk = self.ready.walk(round.after.clone(), &self.jobs);
                let found = round.go_on(walk, added, until, limit);
                self.rounds.waiting = round;
                found
            }
            JobState::Delayed => {
                let mut round = std::mem::take(&mut self.rounds.delayed);
                if self.counts.delayed <= LOOK_MAX as u64 {
                    round.begin();
                }
                let from = round.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
                let walk =
                    self.delayed.range((from, Bound::Unbounded)).map(|(place, slot)| (place.clone(), *slot));
                let found = round.go_on(walk, added, until, limit);
                self.rounds.delayed = round;
                found
            }
            JobState::Active => Found::default(),
            _ => {
                let age = |slot: &u32| {
                    let status = &self.jobs.get(*slot).status;
                    status.finished_on.unwrap_or(status.created_at)
                };
                let old = self.lane(state).oldest(&self.jobs).map(|entry| entry.slot);
                let mut slots: Vec<u32> =
                    old.take_while(|slot| age(slot) <= until).take(limit.saturating_add(1)).collect();
                let more = slots.len() > limit;
                slots.truncate(limit);
                Found { slots, more }
            }
        }
    }
}

#[cfg(test)]
mod tests;
