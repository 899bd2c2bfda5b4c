//! The invariants, checked. Numbers are those of ARCHITECTURE.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Core;
use super::dedup::Held;
use super::slab::Slot;
use crate::model::{ChildState, JobState};
use crate::port::{Finding, VerifyPage};

/// Records checked in one slice.
const VERIFY_SLICE: u32 = 10_000;

impl Core {
    /// Checks a slice of the records, and with the last one all counts and indexes. With `repair`, whatever can be derived from the
    /// records is made anew when anything is found.
    pub fn verify(&mut self, cursor: u64, repair: bool) -> VerifyPage {
        let from = u32::try_from(cursor).unwrap_or(u32::MAX).min(self.jobs.slots());
        let end = self.jobs.slots().min(from.saturating_add(VERIFY_SLICE));
        let mut page = VerifyPage::default();
        for slot in from..end {
            if let Some(job) = self.jobs.at(slot) {
                page.checked += 1;
                self.verify_job(slot, job, &mut page.findings);
            }
        }
        if end < self.jobs.slots() {
            page.next = Some(u64::from(end));
        } else {
            self.verify_indexes(&mut page.findings);
        }
        if repair && !page.findings.is_empty() {
            self.mend();
            let mut left = Vec::new();
            (0..self.jobs.slots()).filter_map(|slot| Some((slot, self.jobs.at(slot)?))).for_each(
                |(slot, job)| {
                    self.verify_job(slot, job, &mut left);
                },
            );
            self.verify_indexes(&mut left);
            for finding in &mut page.findings {
                finding.repaired =
                    !left.iter().any(|other| other.job == finding.job && other.text == finding.text);
            }
        }
        page
    }

    /// Puts right what the records tell: tokens of jobs that do not run, counts of children, every collection and index, jobs that
    /// nobody would ever move on, keys that nobody would ever free.
    fn mend(&mut self) {
        let slots: Vec<u32> = self.jobs.iter().map(|(slot, _)| slot).collect();
        for &slot in &slots {
            let job = self.jobs.get_mut(slot);
            if job.status.state != JobState::Active {
                job.active = None;
            }
            if let Some(family) = &mut job.family {
                family.recount();
            }
            self.note(slot);
        }
        self.mend_schedules();
        self.rebuild();
        for slot in slots {
            let job = self.jobs.get(slot);
            match job.status.state {
                JobState::Active if job.active.is_none() => {
                    self.leave(slot);
                    self.ready.ended(&self.jobs.get(slot).spec.group.clone(), &self.config, self.now);
                    self.give_back(slot);
                }
                JobState::WaitingChildren if job.family.as_ref().is_none_or(|family| family.pending == 0) => {
                    self.start_parent(slot);
                }
                _ => {}
            }
        }
        let orphans: Vec<Arc<str>> =
            self.dedup.iter().filter(|(_, held)| !self.is_held(held)).map(|(key, _)| key.clone()).collect();
        for key in orphans {
            self.dedup.set(&key, None);
            if self.changes.wanted {
                self.changes.keys.push(key);
            }
        }
    }

    /// A schedule that must not fire stands nowhere.
    fn mend_schedules(&mut self) {
        let mut mended = Vec::new();
        for (id, schedule) in &mut self.timetable.all {
            let spent = schedule.spec.limit.is_some_and(|limit| schedule.state.fired >= limit);
            if (!schedule.spec.enabled || spent) && schedule.state.next.take().is_some() {
                mended.push(id.clone());
            }
        }
        for id in mended {
            self.note_schedule(&id, false);
        }
    }

    /// Whether a held key will be freed some day: at its time, or by its holder's end.
    fn is_held(&self, held: &Held) -> bool {
        let pending = |slot| !self.jobs.get(slot).status.state.is_terminal();
        held.until.is_some() || self.find(&held.id).is_some_and(pending)
    }

    fn verify_job(&self, slot: u32, job: &Slot, findings: &mut Vec<Finding>) {
        let status = &job.status;
        let mut expect = |ok: bool, invariant: u8, text: &dyn Fn() -> String| {
            if !ok {
                findings.push(Finding {
                    invariant,
                    job: Some(job.spec.id.clone()),
                    text: text(),
                    repaired: false,
                });
            }
        };
        expect(self.find(&job.spec.id) == Some(slot), 1, &|| "its id does not lead to its record".into());
        expect((status.state == JobState::Active) == job.active.is_some(), 2, &|| {
            format!(
                "it is {} but {} a token",
                status.state,
                if job.active.is_some() { "has" } else { "has not" }
            )
        });
        if let Some(active) = job.active {
            expect(active.token.run == status.run, 2, &|| {
                format!("its token is of run {}, its record of run {}", active.token.run, status.run)
            });
            let listed = self.active.workers.get(&active.token.worker);
            expect(
                listed.is_some_and(|worker| worker.running.get(active.position) == Some(&slot)),
                2,
                &|| format!("worker {} does not list it", active.token.worker),
            );
        }
        let ended = status.finished_on.is_some();
        expect(status.state.is_terminal() == ended, 4, &|| {
            format!("it is {} {} a finish time", status.state, if ended { "with" } else { "without" })
        });
        expect(status.state != JobState::Failed || !status.errors.is_empty(), 4, &|| {
            "it failed without an error".into()
        });
        expect(status.attempts_made <= job.spec.attempts, 4, &|| {
            format!("{} attempts were made, {} are allowed", status.attempts_made, job.spec.attempts)
        });
        // How many stalls were allowed when they happened is not known: settings change. But each run is counted once at most, as an
        // attempt or as a stall, unless it was the job's last: one that is lost too often, or with a stop asked for, is both.
        let counted = u64::from(status.attempts_made) + u64::from(status.stalls);
        let last = u64::from(status.state.is_terminal());
        expect(counted <= u64::from(status.run) + last, 4, &|| {
            format!(
                "{} attempts and {} stalls are counted in {} runs",
                status.attempts_made, status.stalls, status.run
            )
        });
        if let Some(family) = &job.family {
            let pending =
                family.children.iter().filter(|kin| kin.child.state == ChildState::Pending).count() as u32;
            expect(pending == family.pending, 6, &|| {
                format!("{pending} children are pending, {} are counted", family.pending)
            });
            expect(status.state != JobState::WaitingChildren || pending > 0, 6, &|| {
                "it waits for children, and all have settled".into()
            });
        } else {
            expect(status.state != JobState::WaitingChildren, 6, &|| {
                "it waits for children and has none".into()
            });
        }
    }

    fn verify_indexes(&self, findings: &mut Vec<Finding>) {
        let mut expect = |ok: bool, invariant: u8, text: &dyn Fn() -> String| {
            if !ok {
                findings.push(Finding { invariant, job: None, text: text(), repaired: false });
            }
        };
        let mut records = crate::model::Counts::default();
        let mut by_member: BTreeMap<Option<&str>, (u64, u32)> = BTreeMap::new();
        let mut with_deadline = 0;
        for (_, job) in self.jobs.iter() {
            *records.of_mut(job.status.state) += 1;
            let member = by_member.entry(job.spec.group.as_deref()).or_default();
            member.0 += u64::from(job.status.state == JobState::Waiting);
            member.1 += u32::from(job.status.state == JobState::Active);
            with_deadline += usize::from(job.active.is_some_and(|active| active.deadline.is_some()));
        }
        let lane_live = |lane: &super::Lane| lane.oldest(&self.jobs).count() as u64;
        let waiting_live: u64 =
            self.ready.members().flat_map(|(_, group)| group.lanes.values()).map(lane_live).sum();
        let running: usize = self.active.workers.values().map(|worker| worker.running.len()).sum();
        let collections = [
            (JobState::Waiting, waiting_live),
            (JobState::Delayed, self.delayed.len() as u64),
            (JobState::WaitingChildren, lane_live(&self.parents)),
            (JobState::Active, running as u64),
            (JobState::Completed, lane_live(&self.completed)),
            (JobState::Failed, lane_live(&self.failed)),
            (JobState::Cancelled, lane_live(&self.cancelled)),
        ];
        for (state, live) in collections {
            let (counted, recorded) = (self.counts.of(state), records.of(state));
            expect(live == recorded && counted == recorded, 1, &|| {
                format!("{state}: {recorded} records, {live} live entries, {counted} counted")
            });
        }
        expect(self.active.deadlines.len() == with_deadline, 2, &|| {
            format!("{with_deadline} active jobs have a deadline, {} are listed", self.active.deadlines.len())
        });
        for (name, group) in self.ready.members() {
            let (waiting, active) = by_member.remove(&name.map(|name| &**name)).unwrap_or_default();
            expect(group.waiting == waiting && group.active == active, 5, &|| {
                let name = name.map_or("(none)", |name| name);
                format!(
                    "group {name}: {waiting} waiting and {active} active jobs, {} and {} counted",
                    group.waiting, group.active
                )
            });
            let config = name.map_or(self.config.group_default, |name| self.config.group(name));
            let room = config.concurrency.is_none_or(|cap| group.active < cap);
            // The next step or pass of maintenance lets a member go whose pause is over.
            let startable = group.waiting > 0 && room && !self.ready.is_held_back(name, group);
            expect(!startable || group.ticket.is_some(), 5, &|| {
                format!(
                    "group {} could start jobs and is not in the ring",
                    name.map_or("(none)", |name| name)
                )
            });
        }
        for (name, (waiting, active)) in by_member {
            expect(waiting + u64::from(active) == 0, 5, &|| {
                format!(
                    "group {}: {waiting} waiting and {active} active jobs of an unknown group",
                    name.unwrap_or("(none)")
                )
            });
        }
        for (id, schedule) in &self.timetable.all {
            let (spec, state) = (&schedule.spec, &schedule.state);
            let listed = state.next.is_some_and(|next| self.timetable.due.contains(&(next, id.clone())));
            expect(state.next.is_some() == listed, 8, &|| {
                format!("schedule {id} stands at {:?} and is not listed there", state.next)
            });
            expect(spec.enabled || state.next.is_none(), 8, &|| {
                format!("schedule {id} is disabled and stands at {:?}", state.next)
            });
            expect(spec.limit.is_none_or(|limit| state.fired < limit) || state.next.is_none(), 8, &|| {
                format!("schedule {id} has reached its limit and stands at {:?}", state.next)
            });
        }
        for (slot, id) in &self.timetable.due {
            let stands = self.timetable.all.get(id).is_some_and(|it| it.state.next == Some(*slot));
            expect(stands, 8, &|| format!("schedule {id} is listed at {slot} and does not stand there"));
        }
        for (key, held) in self.dedup.iter() {
            expect(self.is_held(held), 7, &|| {
                format!("key {key:?} has no time of its own and is held by {}, which is not pending", held.id)
            });
        }
    }
}

#[cfg(test)]
mod tests;
