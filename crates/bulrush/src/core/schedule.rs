//! Schedules: putting, changing and firing them.
//!
//! What a cron expression means is not known here: whoever puts or fires a schedule tells its next slot. What is decided here is that each
//! slot fires once: a slot fires only while the schedule stands at it, and is left behind in the same step.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::Core;
use super::check::{check_fires, check_items, check_schedules};
use crate::model::{
    JobState, Millis, NewJob, Overlap, ScheduleError, ScheduleId, SchedulePage, ScheduleSpec, ScheduleState,
    ScheduleView, Scope,
};
use crate::port::{
    AddOutcome, DuePlace, DueSchedules, Error, Fire, FireReply, Fired, OutboxEntry, Put, PutOutcome,
    PutReply, ScheduleChange, ScheduleResult,
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
    fn stand(&mut self, id: &ScheduleId, next: Option<Millis>, now: Millis) {
        let Some(schedule) = self.all.get_mut(id) else { return };
        if let Some(old) = std::mem::replace(&mut schedule.state.next, next) {
            self.due.remove(&(old, id.clone()));
        }
        if let Some(next) = next {
            // Who waits has seen what has come, some of which may stay for ever: a slot to come wakes him before the others to come.
            let others = if next > now { self.first_after(now) } else { self.first_slot() };
            self.sooner |= others.is_none_or(|first| next < first);
            self.due.insert((next, id.clone()));
        }
    }

    fn first_slot(&self) -> Option<Millis> {
        self.due.first().map(|(slot, _)| *slot)
    }

    /// The first slot strictly after a moment.
    fn first_after(&self, moment: Millis) -> Option<Millis> {
        let from = (moment.checked_add(1)?, ScheduleId::least());
        self.due.range(from..).next().map(|(slot, _)| *slot)
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
        let replies = self.put_schedules(scope, vec![spec], &[first], put, now);
        Ok(replies.map_err(Error::of_one_schedule)?.remove(0))
    }

    /// Makes schedules be as they are asked for, all or none. `firsts` are the slots that they get where their timing is new.
    ///
    /// # Errors
    /// The first that cannot be as it is asked for, or would never fire, or more than a call may carry; nothing was changed.
    pub fn put_schedules(
        &mut self,
        scope: &Scope,
        specs: Vec<ScheduleSpec>,
        firsts: &[Option<Millis>],
        put: Put,
        now: Millis,
    ) -> Result<Vec<PutReply>, Error> {
        check_schedules(scope, &specs, &self.config.bounds)?;
        let first = |item: usize| firsts.get(item).copied().flatten();
        for (item, spec) in specs.iter().enumerate() {
            self.check_put(scope, spec, first(item), put, now)
                .map_err(|reason| Error::SchedulePut { schedule: spec.id.clone(), reason })?;
        }
        let put_one = |(item, spec)| self.put_checked(scope, spec, first(item), put, now);
        Ok(specs.into_iter().enumerate().map(put_one).collect())
    }

    /// Whether a put that is fine by itself meets something that it does not change.
    fn is_settled(&self, scope: &Scope, spec: &ScheduleSpec, put: Put) -> Option<PutOutcome> {
        let old = self.timetable.all.get(&spec.id);
        if old.is_some_and(|old| !scope.admits(old.spec.owner.as_deref())) {
            Some(PutOutcome::Taken)
        } else if put == Put::Once && (old.is_some() || self.timetable.defaults.contains(&spec.id)) {
            Some(PutOutcome::Known)
        } else if old.is_some_and(|old| *old.spec == *spec) {
            Some(PutOutcome::Same)
        } else if let Put::At(revision) = put
            && old.map(|old| old.state.revision) != revision
        {
            Some(PutOutcome::Moved)
        } else {
            None
        }
    }

    fn keeps_timing(&self, spec: &ScheduleSpec) -> bool {
        self.timetable.all.get(&spec.id).is_some_and(|old| old.spec.has_timing_of(spec))
    }

    /// Whether a schedule that is put would ever fire.
    fn check_put(
        &self,
        scope: &Scope,
        spec: &ScheduleSpec,
        first: Option<Millis>,
        put: Put,
        now: Millis,
    ) -> Result<(), ScheduleError> {
        if self.is_settled(scope, spec, put).is_some() || self.keeps_timing(spec) {
            return Ok(());
        }
        let fired = self.timetable.all.get(&spec.id).map_or(0, |old| old.state.fired);
        if let Some(limit) = spec.limit.filter(|limit| fired >= *limit) {
            return Err(ScheduleError::Spent { limit, fired });
        }
        if first.is_none() {
            return Err(ScheduleError::Never { from: self.now.max(now) });
        }
        Ok(())
    }

    fn put_checked(
        &mut self,
        scope: &Scope,
        spec: ScheduleSpec,
        first: Option<Millis>,
        put: Put,
        now: Millis,
    ) -> PutReply {
        let id = spec.id.clone();
        match self.is_settled(scope, &spec, put) {
            Some(PutOutcome::Taken) => return PutReply { outcome: PutOutcome::Taken, schedule: None },
            Some(PutOutcome::Known) => {
                self.advance(now);
                self.remember_default(&id);
                return PutReply { outcome: PutOutcome::Known, schedule: self.schedule(scope, &id) };
            }
            Some(outcome) => return PutReply { outcome, schedule: self.schedule(scope, &id) },
            None => {}
        }
        let keeps = self.keeps_timing(&spec);
        let old = self.timetable.all.get(&id);
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
        self.timetable.stand(&id, next, now);
        // As it was nobody may have been able to fire it.
        self.timetable.sooner |= keeps && next.is_some_and(|next| next <= now);
        if put == Put::Once {
            self.remember_default(&id);
        }
        self.note_schedule(&id, true);
        PutReply { outcome, schedule: self.schedule(scope, &id) }
    }

    /// Removes, enables or disables schedules. `first` tells the slot with which one goes on that is enabled.
    ///
    /// # Errors
    /// Too many ids, or one that is to be enabled and is not understood; nothing was changed.
    pub fn change_schedules(
        &mut self,
        scope: &Scope,
        ids: &[ScheduleId],
        change: ScheduleChange,
        first: impl Fn(&ScheduleView, Millis) -> Result<Option<Millis>, ScheduleError>,
        now: Millis,
    ) -> Result<Vec<ScheduleResult>, Error> {
        check_items(ids.len(), &self.config.bounds)?;
        let mut firsts = Vec::with_capacity(ids.len());
        for id in ids {
            let still = self.schedule(scope, id).filter(|view| !view.spec.enabled);
            firsts.push(match still {
                Some(view) if change == ScheduleChange::Enable => first(&view, self.now.max(now))?,
                _ => None,
            });
        }
        self.advance(now);
        let mut results = Vec::with_capacity(ids.len());
        for (id, first) in ids.iter().zip(firsts) {
            let Some(view) = self.schedule(scope, id) else {
                results.push(ScheduleResult::Unknown);
                continue;
            };
            results.push(match change {
                ScheduleChange::Remove => {
                    self.drop_schedule(id);
                    ScheduleResult::Done
                }
                ScheduleChange::Enable => self.enable(&view, first),
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
        self.timetable.stand(id, next, now);
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
        self.timetable.stand(id, None, self.now);
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

    /// Schedules whose next slot has come, by slot, behind a place.
    pub fn due_schedules(&self, after: Option<&DuePlace>, limit: usize, now: Millis) -> DueSchedules {
        let now = now.max(self.now);
        let limit = limit.clamp(1, PAGE_MAX);
        let mut reply = DueSchedules { now, ..DueSchedules::default() };
        let mut bytes = 0;
        let from = after.map_or(Bound::Unbounded, |place| {
            // An id that is none was never listed here: what stands at the slot is shown once more.
            let id = std::str::from_utf8(&place.id).ok().and_then(|id| ScheduleId::new(id).ok());
            Bound::Excluded((place.slot, id.unwrap_or_else(ScheduleId::least)))
        });
        let mut last = None;
        for (slot, id) in self.timetable.due.range((from, Bound::Unbounded)) {
            let full = reply.due.len() >= limit || bytes > self.config.bounds.call_bytes;
            if *slot > now || full {
                reply.next = Some(*slot);
                reply.more = last.filter(|_| *slot <= now);
                break;
            }
            if let Some(schedule) = self.timetable.all.get(id) {
                bytes += schedule.spec.job.data.len();
                reply.due.push(self.schedule_view(schedule));
            }
            last = Some(DuePlace { slot: *slot, id: Bytes::copy_from_slice(id.as_str().as_bytes()) });
        }
        reply
    }

    /// The first slot of all that come after a moment.
    pub fn next_slot(&self, from: Millis) -> Option<Millis> {
        if from == 0 { self.timetable.first_slot() } else { self.timetable.first_after(from) }
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
        let jobs: Vec<Option<NewJob>> = fires.iter().map(Fire::job).collect();
        check_fires(fires, &jobs, &self.config.bounds)?;
        let mut reply = FireReply { now: self.advance(now), ..FireReply::default() };
        for (fire, job) in fires.iter().zip(jobs) {
            let fired = self.fire_one(fire, job, &mut reply.outbox);
            reply.fired.push(fired);
        }
        Ok(reply)
    }

    fn fire_one(&mut self, fire: &Fire, job: Option<NewJob>, outbox: &mut Vec<OutboxEntry>) -> Fired {
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
        let fired = match fire.fires.zip(job) {
            None => Fired::Passed,
            Some((slot, job)) => self.fire_slot(&spec, &mut state, slot, job, outbox),
        };
        let spent = spec.limit.is_some_and(|limit| state.fired >= limit);
        let next = fire.next.filter(|next| !spent && spec.end.is_none_or(|end| *next <= end));
        if let Some(schedule) = self.timetable.all.get_mut(id) {
            schedule.state = state;
        }
        self.timetable.stand(id, next, self.now);
        self.note_schedule(id, false);
        fired
    }

    fn fire_slot(
        &mut self,
        spec: &ScheduleSpec,
        state: &mut ScheduleState,
        slot: Millis,
        job: NewJob,
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
        let added = self.add_one(job, true, outbox);
        state.fired += 1;
        state.last_slot = Some(slot);
        state.last_job = Some(added.id.clone());
        // The job has no key that could be held, and the depth limit is not asked.
        if added.outcome == AddOutcome::New { Fired::Added(added.id) } else { Fired::There(added.id) }
    }
}

#[cfg(test)]
mod tests;
