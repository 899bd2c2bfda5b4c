//! Where the jobs are: numbered slots, and an index from id to slot.

use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::model::{Child, ChildFailure, ChildState, JobId, Millis, Spec, Status, Token};

/// A job in its slot.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub spec: Arc<Spec>,
    pub status: Status,
    /// Place in the collection that holds it.
    pub order: i64,
    /// Number of the job for stores: never used twice while the queue is open.
    pub serial: u64,
    /// While it is active: who holds it.
    pub active: Option<Active>,
    /// A parent's children.
    pub family: Option<Box<Family>>,
    /// Kept log lines, the last of which is line `status.log_lines - 1`.
    pub logs: VecDeque<Arc<str>>,
    /// Noted as changed since the last drain of changes.
    pub noted: bool,
}

/// Who holds an active job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Active {
    pub token: Token,
    pub started: Millis,
    pub deadline: Option<Millis>,
    pub cancel: bool,
    /// Log lines that this run has written.
    pub lines: u32,
    /// Where in the worker's list the job stands.
    pub position: usize,
}

/// A parent's children, in the order in which they were given.
#[derive(Debug, Clone, Default)]
pub(super) struct Family {
    pub children: Vec<Kin>,
    index: HashMap<JobId, usize>,
    pub pending: u32,
}

/// A child as its parent knows it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kin {
    pub child: Child,
    pub on_failure: ChildFailure,
}

impl Family {
    pub fn push(&mut self, kin: Kin) {
        self.index.insert(kin.child.id.clone(), self.children.len());
        self.pending += u32::from(kin.child.state == ChildState::Pending);
        self.children.push(kin);
    }

    /// Counts the pending children anew.
    pub fn recount(&mut self) {
        let pending = self.children.iter().filter(|kin| kin.child.state == ChildState::Pending);
        self.pending = pending.count() as u32;
    }

    pub fn position(&self, child: &JobId) -> Option<usize> {
        self.index.get(child).copied()
    }
}

#[derive(Debug, Default)]
struct Cell {
    generation: u32,
    job: Option<Slot>,
}

/// All jobs of a queue.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    cells: Vec<Cell>,
    free: Vec<u32>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Jobs {
    /// Slots, used or not: where a walk over all jobs ends.
    pub fn slots(&self) -> u32 {
        self.cells.len() as u32
    }

    pub fn find(&self, id: &JobId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.index.find(hash, |slot| self.id_at(*slot) == Some(id)).copied()
    }

    fn id_at(&self, slot: u32) -> Option<&JobId> {
        self.cells[slot as usize].job.as_ref().map(|job| &job.spec.id)
    }

    /// Makes room for so many more jobs.
    pub fn reserve(&mut self, more: usize) {
        self.cells.reserve(more);
        let (cells, hasher) = (&self.cells, &self.hasher);
        self.index.reserve(more, |slot| {
            cells[*slot as usize].job.as_ref().map_or(0, |job| hasher.hash_one(&job.spec.id))
        });
    }

    /// Puts a job in; its id must not be there.
    pub fn insert(&mut self, job: Slot) -> u32 {
        let hash = self.hasher.hash_one(&job.spec.id);
        let slot = if let Some(slot) = self.free.pop() {
            self.cells[slot as usize].job = Some(job);
            slot
        } else {
            self.cells.push(Cell { generation: 0, job: Some(job) });
            (self.cells.len() - 1) as u32
        };
        let (cells, hasher) = (&self.cells, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| {
            cells[*slot as usize].job.as_ref().map_or(0, |job| hasher.hash_one(&job.spec.id))
        });
        slot
    }

    pub fn remove(&mut self, slot: u32) -> Option<Slot> {
        let hash = self.hasher.hash_one(self.id_at(slot)?);
        if let Ok(entry) = self.index.find_entry(hash, |other| *other == slot) {
            entry.remove();
        }
        let cell = &mut self.cells[slot as usize];
        cell.generation = cell.generation.wrapping_add(1);
        self.free.push(slot);
        cell.job.take()
    }

    pub fn generation(&self, slot: u32) -> u32 {
        self.cells[slot as usize].generation
    }

    /// Turns every entry that names the slot into a tombstone.
    pub fn move_on(&mut self, slot: u32) {
        let cell = &mut self.cells[slot as usize];
        cell.generation = cell.generation.wrapping_add(1);
    }

    pub fn at(&self, slot: u32) -> Option<&Slot> {
        self.cells.get(slot as usize)?.job.as_ref()
    }

    /// The job in a slot that the caller knows to be used.
    pub fn get(&self, slot: u32) -> &Slot {
        self.at(slot)
            .unwrap_or_else(|| unreachable!("slot {slot} is named by a collection, so it holds a job"))
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, slot: u32) -> &mut Slot {
        let job = self.cells[slot as usize].job.as_mut();
        job.unwrap_or_else(|| unreachable!("slot {slot} is named by a collection, so it holds a job"))
    }

    pub fn iter(&self) -> impl Iterator<Item = (u32, &Slot)> {
        self.cells.iter().enumerate().filter_map(|(slot, cell)| Some((slot as u32, cell.job.as_ref()?)))
    }
}
