//! An ordered list of jobs with lazy removal: who leaves from the middle stays as a tombstone that is dropped when it comes up.
//!
//! An entry names a slot and the slot's generation at the time. The generation moves on each time a job leaves a collection, so an
//! entry is live exactly when the two agree. Entries are sorted by `order`, so a page can start anywhere in O(log n).

use std::collections::VecDeque;

use super::slab::Jobs;

/// A job's place in a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub order: i64,
    pub slot: u32,
    pub generation: u32,
}

impl Entry {
    fn is_live(self, jobs: &Jobs) -> bool {
        jobs.generation(self.slot) == self.generation
    }
}

/// Entries sorted by `order`; the front goes first.
#[derive(Debug, Default)]
pub(super) struct Lane {
    entries: VecDeque<Entry>,
    tombstones: usize,
}

/// Below this many tombstones a lane is never swept: the sweep would cost more than it frees.
const SWEEP_MIN: usize = 1_024;

impl Lane {
    pub fn push_back(&mut self, entry: Entry) {
        debug_assert!(self.entries.back().is_none_or(|last| last.order < entry.order));
        self.entries.push_back(entry);
    }

    pub fn push_front(&mut self, entry: Entry) {
        debug_assert!(self.entries.front().is_none_or(|first| first.order > entry.order));
        self.entries.push_front(entry);
    }

    /// Takes the first live entry; the caller moves the slot's generation on.
    pub fn pop_front(&mut self, jobs: &Jobs) -> Option<Entry> {
        while let Some(entry) = self.entries.pop_front() {
            if entry.is_live(jobs) {
                return Some(entry);
            }
            self.tombstones -= 1;
        }
        None
    }

    /// The first live entry.
    pub fn front(&mut self, jobs: &Jobs) -> Option<Entry> {
        while let Some(entry) = self.entries.front().copied() {
            if entry.is_live(jobs) {
                return Some(entry);
            }
            self.entries.pop_front();
            self.tombstones -= 1;
        }
        None
    }

    /// The first live entry, found without dropping the tombstones before it.
    pub fn peek(&self, jobs: &Jobs) -> Option<Entry> {
        self.entries.iter().copied().find(|entry| entry.is_live(jobs))
    }

    /// Tells that one entry has become a tombstone. A lane that is mostly tombstones is swept, at O(1) a removal on average; those at
    /// the front go at once, so that who empties a lane from there meets none.
    pub fn bury(&mut self, jobs: &Jobs) {
        self.tombstones += 1;
        while self.entries.front().is_some_and(|entry| !entry.is_live(jobs)) {
            self.entries.pop_front();
            self.tombstones -= 1;
        }
        if self.tombstones >= SWEEP_MIN && self.tombstones * 2 > self.entries.len() {
            self.entries.retain(|entry| entry.is_live(jobs));
            self.tombstones = 0;
        }
    }

    /// Live entries.
    pub fn len(&self) -> usize {
        self.entries.len() - self.tombstones
    }

    /// Live entries before `order`, at most: tombstones among them are counted too.
    pub fn before(&self, order: i64) -> usize {
        self.entries.partition_point(|entry| entry.order < order)
    }

    /// Live entries from the back, those before `order` only.
    pub fn newest_before<'a>(&'a self, order: i64, jobs: &'a Jobs) -> impl Iterator<Item = Entry> + 'a {
        let end = self.before(order);
        self.entries.range(..end).rev().copied().filter(|entry| entry.is_live(jobs))
    }

    /// Live entries after `order`, from the front.
    pub fn after<'a>(&'a self, order: i64, jobs: &'a Jobs) -> impl Iterator<Item = Entry> + 'a {
        let start = self.entries.partition_point(|entry| entry.order <= order);
        self.entries.range(start..).copied().filter(|entry| entry.is_live(jobs))
    }

    /// Live entries from the front.
    pub fn oldest<'a>(&'a self, jobs: &'a Jobs) -> impl Iterator<Item = Entry> + 'a {
        self.entries.iter().copied().filter(|entry| entry.is_live(jobs))
    }
}
