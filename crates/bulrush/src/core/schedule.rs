//! Schedules: putting, changing and firing them.
//!
//! What a cron expression means is not known here: whoever puts or fires a schedule tells its next slot. What is decided here is that each
//! slot fires once: a slot fires only while the schedule stands at it, and is left behind in the same step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use super::Core;
use super::check::{check_fires, check_items, check_schedule};
use crate::model::{
    JobState, Millis, Overlap, ScheduleError, ScheduleId, SchedulePage, ScheduleSpec, ScheduleState,
    ScheduleView, Scope,
};
use crate::port::{
    AddOutcome, DueSchedules, Error, Fire, FireReply, Fired, OutboxEntry, Put, PutOutcome, PutReply,
    ScheduleChange, ScheduleResult,
};

/// Schedules of one page, at most.
const PAGE_MAX: usize = 1_000;
/// Schedules looked at for one page, at most: those of others are passed over.
const SCAN_MAX: usize = 10_000;

/// All schedules of a queue.
#[derive(Debug, Default)]
pub(super) struct Timetable {
    pub all: BTreeMap<ScheduleId, Schedule>,
    /// By next slot.
    pub due: BTreeSet<(Millis, ScheduleId)>,
    /// Defaults that were asked for.
    pub defaults: BTreeSet<ScheduleId>,
    /// A slot has become the first since the last look: somebody may sleep until a later one.
    pub sooner: bool,
}

/// A schedule.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Schedule {
    pub spec: Arc<ScheduleSpec>,
    pub state: ScheduleState,
}

impl Timetable {
    pub fn is_empty(&self) -> bool {
        self.all.is_empty() && self.defaults.is_empty()
    }

    /// Lists every schedule at its slot.
    pub fn rebuild(&mut self) {
        let slots = self.all.iter().filter_map(|(id, schedule)| Some((schedule.state.next?, id.clone())));
        self.due = slots.collect();
    }

    /// Puts a schedule at its next slot.
    fn stand(&mut self, id: &ScheduleId, next: Option<Millis>) {
        let Some(schedule) = self.all.get_mut(id) else { return };
        if let Some(old) = std::mem::replace(&mut schedule.state.next, next) {
            self.due.remove(&(old, id.clone()));
        }
        if let Some(next) = next {
            self.sooner |= self.due.first().is_none_or(|(first, _)| next < *first);
            self.due.insert((next, id.clone()));
        }
    }
}

impl Core {
    /// Makes a schedule be as it is asked for. `first` is the slot that it gets if its timing is new.
    ///
    /// # Errors
    /// One that cannot be as it is asked for, or would never fire; nothing was changed.
    pub fn put_schedule(
        &mut self,
        scope: &Scope,
        spec: ScheduleSpec,
        first: Option<Millis>,
        put: Put,
        now: Millis,
    ) -> Result<PutReply, Error> {
        check_schedule(scope, &spec, &self.config.bounds)?;
        let id = spec.id.clone();
        let old = self.timetable.all.get(&id);
        if old.is_some_and(|old| !scope.admits(old.spec.owner.as_deref())) {
            return Ok(PutReply { outcome: PutOutcome::Taken, schedule: None });
        }
        if put == Put::Once && (old.is_some() || self.timetable.defaults.contains(&id)) {
            self.advance(now);
            self.remember_default(&id);
            return Ok(PutReply { outcome: PutOutcome::Known, schedule: self.schedule(scope, &id) });
        }
        if old.is_some_and(|old| *old.spec == spec) {
            return Ok(PutReply { outcome: PutOutcome::Same, schedule: self.schedule(scope, &id) });
        }
        if let Put::At(revision) = put
            && old.map(|old| old.state.revision) != revision
        {
            return Ok(PutReply { outcome: PutOutcome::Moved, schedule: self.schedule(scope, &id) });
        }
        let keeps = old.is_some_and(|old| old.spec.has_timing_of(&spec));
        if !keeps {
            let fired = old.map_or(0, |old| old.state.fired);
            if let Some(limit) = spec.limit.filter(|limit| fired >= *limit) {
                return Err(ScheduleError::Spent { limit, fired }.into());
            }
            if first.is_none() {
                return Err(ScheduleError::Never { from: self.now.max(now) }.into());
            }
        }
        let outcome = if old.is_some() { PutOutcome::Changed } else { PutOutcome::New };
        let mut state = old.map(|old| old.state.clone()).unwrap_or_default();
        let now = self.advance(now);
        let next = if keeps { state.next } else { first.filter(|_| spec.enabled) };
        if !keeps {
            state.anchor = spec.anchor_at(now);
        }
        if outcome == PutOutcome::New {
            state.created_at = now;
            // Not 1: a late call to fire a schedule of the same name that was removed must not fit.
            state.revision = now;
        } else {
            state.revision += 1;
        }
        state.updated_at = now;
        self.timetable.all.insert(id.clone(), Schedule { spec: Arc::new(spec), state });
        self.timetable.stand(&id, next);
        if put == Put::Once {
            self.remember_default(&id);
        }
        self.note_schedule(&id, true);
        Ok(PutReply { outcome, schedule: self.schedule(scope, &id) })
    }

    /// Removes, enables or disables schedules. `first` tells the slot with which one goes on that is enabled.
    ///
    /// # Errors
    /// Too many ids; nothing was changed.
    pub fn change_schedules(
        &mut self,
        scope: &Scope,
        ids: &[ScheduleId],
        change: ScheduleChange,
        first: impl Fn(&ScheduleView, Millis) -> Option<Millis>,
        now: Millis,
    ) -> Result<Vec<ScheduleResult>, Error> {
        check_items(ids.len(), &self.config.bounds)?;
        let now = self.advance(now);
        let mut results = Vec::with_capacity(ids.len());
        for id in ids {
            let Some(view) = self.schedule(scope, id) else {
                results.push(ScheduleResult::Unknown);
                continue;
            };
            results.push(match change {
                ScheduleChange::Remove => {
                    self.drop_schedule(id);
                    ScheduleResult::Done
                }
                ScheduleChange::Enable => self.enable(&view, first(&view, now)),
                ScheduleChange::Disable if !view.spec.enabled => ScheduleResult::Same,
                ScheduleChange::Disable => {
                    self.set_enabled(id, false, None);
                    ScheduleResult::Done
                }
            });
        }
        Ok(results)
    }

    fn enable(&mut self, view: &ScheduleView, first: Option<Millis>) -> ScheduleResult {
        if view.spec.enabled {
            return ScheduleResult::Same;
        }
        let spent = view.spec.limit.is_some_and(|limit| view.state.fired >= limit);
        if spent || first.is_none() {
            return ScheduleResult::Over;
        }
        self.set_enabled(view.id(), true, first);
        ScheduleResult::Done
    }

    fn set_enabled(&mut self, id: &ScheduleId, enabled: bool, next: Option<Millis>) {
        let now = self.now;
        if let Some(schedule) = self.timetable.all.get_mut(id) {
            Arc::make_mut(&mut schedule.spec).enabled = enabled;
            schedule.state.revision += 1;
            schedule.state.updated_at = now;
        }
        self.timetable.stand(id, next);
        self.note_schedule(id, false);
    }

    /// Removes at most so many schedules, and with the last of them forgets the defaults. Says whether any is left.
    pub(super) fn drop_schedules(&mut self, limit: usize) -> bool {
        let ids: Vec<ScheduleId> = self.timetable.all.keys().take(limit).cloned().collect();
        for id in &ids {
            self.drop_schedule(id);
        }
        if self.timetable.all.is_empty() {
            for id in std::mem::take(&mut self.timetable.defaults) {
                if self.changes.wanted {
                    self.changes.defaults.push(id);
                }
            }
        }
        !self.timetable.all.is_empty()
    }

    fn drop_schedule(&mut self, id: &ScheduleId) {
        self.timetable.stand(id, None);
        if self.timetable.all.remove(id).is_some() && self.changes.wanted {
            self.changes.schedules.push((id.clone(), true));
        }
    }

    fn remember_default(&mut self, id: &ScheduleId) {
        if self.timetable.defaults.insert(id.clone()) && self.changes.wanted {
            self.changes.defaults.push(id.clone());
        }
    }

    /// Notes that a store must keep this schedule's state anew, or all of it.
    pub(super) fn note_schedule(&mut self, id: &ScheduleId, whole: bool) {
        if self.changes.wanted {
            self.changes.schedules.push((id.clone(), whole));
        }
    }

    /// A schedule as anybody may read it, if it is within a scope.
    pub fn schedule(&self, scope: &Scope, id: &ScheduleId) -> Option<ScheduleView> {
        let schedule = self.timetable.all.get(id)?;
        scope.admits(schedule.spec.owner.as_deref()).then(|| self.schedule_view(schedule))
    }

    fn schedule_view(&self, schedule: &Schedule) -> ScheduleView {
        let Schedule { spec, state } = schedule;
        ScheduleView { queue: self.queue.clone(), spec: spec.clone(), state: state.clone() }
    }

    /// A page of schedules, by id.
    pub fn list_schedules(&self, scope: &Scope, after: Option<&ScheduleId>, limit: usize) -> SchedulePage {
        let limit = limit.clamp(1, PAGE_MAX);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut page = SchedulePage::default();
        let mut bytes = 0;
        let mut last = None;
        for (scanned, (id, schedule)) in
            self.timetable.all.range::<ScheduleId, _>((from, Bound::Unbounded)).enumerate()
        {
            if page.schedules.len() >= limit || scanned >= SCAN_MAX || bytes > self.config.bounds.call_bytes {
                page.next = last;
                break;
            }
            if scope.admits(schedule.spec.owner.as_deref()) {
                bytes += schedule.spec.job.data.len();
                page.schedules.push(self.schedule_view(schedule));
            }
            last = Some(id.clone());
        }
        page
    }

    /// Schedules whose next slot has come, by slot.
    pub fn due_schedules(&self, limit: usize, now: Millis) -> DueSchedules {
        let now = now.max(self.now);
        let limit = limit.clamp(1, PAGE_MAX);
        let mut reply = DueSchedules { now, ..DueSchedules::default() };
        let mut bytes = 0;
        for (slot, id) in &self.timetable.due {
            let full = reply.due.len() >= limit || bytes > self.config.bounds.call_bytes;
            if *slot > now || full {
                reply.next = Some(*slot);
                break;
            }
            if let Some(schedule) = self.timetable.all.get(id) {
                bytes += schedule.spec.job.data.len();
                reply.due.push(self.schedule_view(schedule));
            }
        }
        reply
    }

    /// The first slot of all.
    pub fn next_slot(&self) -> Option<Millis> {
        self.timetable.due.first().map(|(slot, _)| *slot)
    }

    /// Whether a slot has become the first since the last call.
    pub fn take_sooner(&mut self) -> bool {
        std::mem::take(&mut self.timetable.sooner)
    }

    /// Fires slots, each only where its schedule still stands at it.
    ///
    /// # Errors
    /// A call that is too large or contradicts itself; nothing was changed.
    pub fn fire(&mut self, fires: &[Fire], now: Millis) -> Result<FireReply, Error> {
        check_fires(fires, &self.config.bounds)?;
        let mut reply = FireReply { now: self.advance(now), ..FireReply::default() };
        for fire in fires {
            let fired = self.fire_one(fire, &mut reply.outbox);
            reply.fired.push(fired);
        }
        Ok(reply)
    }

    fn fire_one(&mut self, fire: &Fire, outbox: &mut Vec<OutboxEntry>) -> Fired {
        let id = &fire.spec.id;
        let Some(schedule) = self.timetable.all.get(id) else { return Fired::Unknown };
        if schedule.state.revision != fire.revision || schedule.state.next != Some(fire.slot) {
            return Fired::Stale;
        }
        if fire.fires.unwrap_or(fire.slot) > self.now {
            return Fired::Early;
        }
        let (spec, mut state) = (schedule.spec.clone(), schedule.state.clone());
        state.missed += fire.missed;
        let fired = match fire.fires {
            None => Fired::Passed,
            Some(slot) => self.fire_slot(&spec, &mut state, slot, outbox),
        };
        let spent = spec.limit.is_some_and(|limit| state.fired >= limit);
        let next = fire.next.filter(|next| !spent && spec.end.is_none_or(|end| *next <= end));
        if let Some(schedule) = self.timetable.all.get_mut(id) {
            schedule.state = state;
        }
        self.timetable.stand(id, next);
        self.note_schedule(id, false);
        fired
    }

    fn fire_slot(
        &mut self,
        spec: &ScheduleSpec,
        state: &mut ScheduleState,
        slot: Millis,
        outbox: &mut Vec<OutboxEntry>,
    ) -> Fired {
        if spec.overlap != Overlap::Allow
            && let Some(last) = state.last_job.as_ref().and_then(|last| self.find(last))
        {
            match self.jobs.get(last).status.state {
                ended if ended.is_terminal() => {}
                _ if spec.overlap == Overlap::Skip => {
                    state.skipped += 1;
                    return Fired::Skipped;
                }
                JobState::Active => self.request_cancel(last),
                _ => self.cancel_now(last, outbox),
            }
        }
        let added = self.add_one(spec.slot_job(slot), true, outbox);
        state.fired += 1;
        state.last_slot = Some(slot);
        state.last_job = Some(added.id.clone());
        // The job has no key that could be held, and the depth limit is not asked.
        if added.outcome == AddOutcome::New { Fired::Added(added.id) } else { Fired::There(added.id) }
    }
}
