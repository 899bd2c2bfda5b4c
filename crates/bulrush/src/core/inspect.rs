//! Reading a queue. Nothing here changes it.

use std::fmt::Write as _;
use std::ops::Bound;

use super::Core;
use super::slab::Slot;
use crate::model::{
    ActiveRun, Child, EventPage, JobId, JobPage, JobState, JobView, Millis, PageRequest, Rollup,
};
use crate::port::{Error, QueueInfo, Totals, WorkerState};

/// Records looked at for one page, at most.
const SCAN_MAX: usize = 10_000;
/// Jobs of one page, at most.
const PAGE_MAX: usize = 1_000;

impl Core {
    /// Whether it is as a queue that nobody has made: without jobs and whatever they leave behind, without settings given to it,
    /// without a pause, and no worker has said a word.
    pub fn is_blank(&self) -> bool {
        self.counts.total() == 0
            && self.totals == Totals::default()
            && self.outbox.is_empty()
            && self.dedup.iter().next().is_none()
            && self.active.workers.is_empty()
            && self.timetable.is_empty()
            && !self.configured
            && !self.paused
    }

    /// Jobs by id, in the order asked.
    pub fn get(&self, ids: &[JobId]) -> Vec<Option<JobView>> {
        ids.iter().map(|id| self.find(id).map(|slot| self.view(self.jobs.get(slot)))).collect()
    }

    fn view(&self, job: &Slot) -> JobView {
        JobView {
            queue: self.queue.clone(),
            spec: job.spec.clone(),
            status: job.status.clone(),
            active: job.active.map(|active| ActiveRun {
                token: active.token,
                started: active.started,
                deadline: active.deadline,
                cancel_requested: active.cancel,
            }),
            children_pending: job.family.as_ref().map_or(0, |family| family.pending),
        }
    }

    /// Counts, limits in force, settings, as of `now`.
    pub fn info(&self, now: Millis) -> QueueInfo {
        let now = now.max(self.now);
        let fronts = self.ready.members().flat_map(|(_, group)| group.lanes.values());
        let oldest = fronts.filter_map(|lane| lane.peek(&self.jobs)).map(|entry| {
            let status = &self.jobs.get(entry.slot).status;
            status.run_at.max(status.created_at)
        });
        QueueInfo {
            counts: self.counts,
            totals: self.totals,
            paused: self.paused,
            limited_until: self.limit_in_force().filter(|until| *until > now),
            oldest_waiting: oldest.min(),
            next_due: self.delayed.first_key_value().map(|((run_at, _), _)| *run_at),
            outbox: self.outbox.len(),
            last_event: self.events.last(),
            maintained_at: self.maintained_at,
            groups_waiting: self
                .ready
                .named()
                .filter(|(_, group)| group.waiting > 0)
                .take(PAGE_MAX)
                .map(|(name, group)| (name.to_string(), group.waiting))
                .collect(),
            config: (*self.config).clone(),
        }
    }

    /// A parent's children from the `offset`th on.
    pub fn children(&self, parent: &JobId, offset: usize, limit: usize) -> Vec<Child> {
        let family = self.find(parent).and_then(|slot| self.jobs.get(slot).family.as_ref());
        let children = family.map(|family| family.children.as_slice()).unwrap_or_default();
        children.iter().skip(offset).take(limit).map(|kin| kin.child.clone()).collect()
    }

    /// Kept log lines from line `offset` on, with their numbers.
    pub fn logs(&self, id: &JobId, offset: u32, limit: usize) -> Vec<(u32, String)> {
        let Some(slot) = self.find(id) else { return Vec::new() };
        let job = self.jobs.get(slot);
        let first = job.status.log_lines - job.logs.len() as u32;
        let skip = offset.saturating_sub(first);
        let lines = job.logs.iter().enumerate().skip(skip as usize).take(limit);
        lines.map(|(at, line)| (first + at as u32, line.to_string())).collect()
    }

    /// Events after a position.
    pub fn events_after(&self, after: u64, limit: usize) -> EventPage {
        self.events.after(after, limit)
    }

    /// Position of the last event.
    pub fn last_event(&self) -> u64 {
        self.events.last()
    }

    /// Roll-ups since a moment.
    pub fn history(&self, since: Millis, hourly: bool) -> Vec<Rollup> {
        self.history.since(since, hourly)
    }

    /// Live workers and what each runs, by id.
    pub fn workers(&self, now: Millis) -> Vec<WorkerState> {
        let now = now.max(self.now);
        let live = self.active.workers.values().filter(|worker| worker.lease_until > now);
        let mut workers: Vec<WorkerState> = live
            .filter_map(|worker| {
                let mut running: Vec<JobId> =
                    worker.running.iter().map(|slot| self.jobs.get(*slot).spec.id.clone()).collect();
                running.sort();
                Some(WorkerState { info: worker.info.clone()?, lease_until: worker.lease_until, running })
            })
            .collect();
        workers.sort_by_key(|worker| worker.info.id);
        workers
    }

    /// A page of jobs.
    ///
    /// # Errors
    /// A cursor that this queue did not issue.
    pub fn page(&self, request: &PageRequest) -> Result<JobPage, Error> {
        let limit = request.limit.clamp(1, PAGE_MAX);
        let bad_cursor = || Error::Cursor { cursor: request.cursor.clone().unwrap_or_default() };
        let cursor =
            request.cursor.as_deref().map(|text| Cursor::parse(text).ok_or_else(bad_cursor)).transpose()?;
        let mut walk: Box<dyn Iterator<Item = (u32, Cursor)> + '_> = match (&request.owner, request.state) {
            (Some(owner), _) => {
                let before = cursor.map_or(u64::MAX, |cursor| cursor.major);
                let index = self.owners.get(owner).into_iter().flatten().rev();
                let live = index.filter(move |(slot, serial)| {
                    *serial < before && self.jobs.at(*slot).is_some_and(|job| job.serial == *serial)
                });
                Box::new(live.map(|(slot, serial)| (*slot, Cursor::new(*serial, 0))))
            }
            (None, Some(JobState::Waiting)) => Box::new(self.waiting_from(cursor.as_ref())),
            (None, Some(JobState::Delayed)) => {
                let end = match cursor {
                    None => Bound::Unbounded,
                    Some(cursor) => {
                        let id = cursor.name.as_deref().and_then(|id| JobId::new(id).ok());
                        Bound::Excluded((cursor.major, id.ok_or_else(bad_cursor)?))
                    }
                };
                let range = self.delayed.range((Bound::Unbounded, end)).rev();
                Box::new(range.map(|((run_at, id), slot)| {
                    (*slot, Cursor { major: *run_at, minor: 0, name: Some(id.to_string()) })
                }))
            }
            (None, Some(JobState::Active)) => Box::new(self.active_from(cursor.as_ref()).into_iter()),
            (None, Some(state)) => {
                let before = cursor.map_or(i64::MAX, |cursor| cursor.minor);
                let entries = self.lane(state).newest_before(before, &self.jobs);
                Box::new(entries.map(|entry| (entry.slot, Cursor::new(0, entry.order))))
            }
            (None, None) => Box::new(self.all_from(cursor.as_ref())),
        };
        let mut page = JobPage::default();
        let mut last = None;
        while page.jobs.len() < limit && page.scanned < SCAN_MAX {
            let Some((slot, place)) = walk.next() else {
                last = None;
                break;
            };
            page.scanned += 1;
            last = Some(place);
            let job = self.jobs.get(slot);
            if request.owner.is_some() && request.state.is_some_and(|state| state != job.status.state) {
                continue;
            }
            let view = self.view(job);
            if request.filter.is_empty() || request.filter.admits(&view) {
                page.jobs.push(view);
            }
        }
        page.next = last.map(|place| place.text());
        Ok(page)
    }

    /// Waiting jobs in the reverse of the order in which they will be taken: named groups from the last name, then priorities from
    /// the least urgent.
    fn waiting_from(&self, cursor: Option<&Cursor>) -> impl Iterator<Item = (u32, Cursor)> + use<'_> {
        let named = self.ready.named().rev().map(|(name, group)| (Some(&**name), group));
        let plain = self.ready.group(None).map(|group| (None, group));
        let lanes = named.chain(plain).flat_map(|(name, group)| {
            group.lanes.iter().rev().map(move |(priority, lane)| (name, u64::from(*priority), lane))
        });
        let start = cursor.cloned();
        lanes
            .filter_map(move |(name, priority, lane)| {
                let Some(start) = &start else { return Some((name, priority, lane, i64::MAX)) };
                // Lanes come in falling order of (has a group, group, priority).
                let here = (name.is_some(), name, priority);
                let from = (start.name.is_some(), start.name.as_deref(), start.major);
                match here.cmp(&from) {
                    std::cmp::Ordering::Greater => None,
                    std::cmp::Ordering::Equal => Some((name, priority, lane, start.minor)),
                    std::cmp::Ordering::Less => Some((name, priority, lane, i64::MAX)),
                }
            })
            .flat_map(move |(name, priority, lane, before)| {
                lane.newest_before(before, &self.jobs).map(move |entry| {
                    let group = name.map(str::to_owned);
                    (entry.slot, Cursor { major: priority, minor: entry.order, name: group })
                })
            })
    }

    /// Active jobs, last started first. There are never more than all workers have slots.
    fn active_from(&self, cursor: Option<&Cursor>) -> Vec<(u32, Cursor)> {
        let mut rows: Vec<(u32, Cursor)> = self
            .active
            .workers
            .values()
            .flat_map(|worker| &worker.running)
            .filter_map(|slot| {
                let job = self.jobs.get(*slot);
                Some((*slot, Cursor::new(job.active?.started, job.serial as i64)))
            })
            .filter(|(_, place)| cursor.is_none_or(|c| (place.major, place.minor) < (c.major, c.minor)))
            .collect();
        rows.sort_by_key(|(_, place)| std::cmp::Reverse((place.major, place.minor)));
        rows
    }

    /// All jobs in no telling order, by slot.
    fn all_from(&self, cursor: Option<&Cursor>) -> impl Iterator<Item = (u32, Cursor)> + use<'_> {
        let end = cursor.map_or(self.jobs.slots(), |cursor| (cursor.major as u32).min(self.jobs.slots()));
        let used = (0..end).rev().filter(|slot| self.jobs.at(*slot).is_some());
        used.map(|slot| (slot, Cursor::new(u64::from(slot), 0)))
    }
}

/// Where a page ended: two numbers and a name: for waiting jobs a group, for delayed ones an id.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Cursor {
    major: u64,
    minor: i64,
    name: Option<String>,
}

impl Cursor {
    fn new(major: u64, minor: i64) -> Self {
        Self { major, minor, name: None }
    }

    fn text(&self) -> String {
        let mut text = format!("{}.{}", self.major, self.minor);
        if let Some(name) = &self.name {
            text.push('.');
            for byte in name.bytes() {
                // Writing to a string cannot fail.
                let _ = write!(text, "{byte:02x}");
            }
        }
        text
    }

    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let major = parts.next()?.parse().ok()?;
        let minor = parts.next()?.parse().ok()?;
        let name = match parts.next() {
            None => None,
            Some(hex) if hex.is_ascii() && hex.len() % 2 == 0 => {
                let digits = hex.as_bytes().chunks(2);
                let bytes = digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok());
                Some(String::from_utf8(bytes.collect::<Option<_>>()?).ok()?)
            }
            Some(_) => return None,
        };
        parts.next().is_none().then_some(Self { major, minor, name })
    }
}
