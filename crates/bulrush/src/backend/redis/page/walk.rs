//! Walks over the jobs of a state, an owner or the whole queue, in the order of pages: a bounded slice at a time.

use std::collections::VecDeque;
use std::sync::Arc;

use deadpool_redis::redis::{Cmd, RedisWrite};
use hashbrown::HashSet;

use super::place::{InDone, InList, InSet, Mark, Place, sum_of};
use super::waiting::WaitingWalk;
use crate::backend::redis::active::Active;
use crate::backend::redis::record::Kept;
use crate::backend::redis::reply::{Items, id_of, unpack_ids};
use crate::backend::redis::script::Script;
use crate::backend::redis::{At, Redis, Via, put_number};
use crate::model::{JobId, JobState, Owner};
use crate::port::Result;

/// Entries of one slice of a collection whose entries are jobs.
pub(super) const SLICE: usize = 500;
/// Batches of completed jobs in a slice: at most 255 jobs each.
const BATCHES: usize = 20;
/// Records of one slice of a walk over all jobs: a place in the middle of a slice names all that were read of it.
const SCAN_SLICE: usize = 100;
/// Running jobs that are sorted at once.
const ACTIVE_MAX: usize = 20_000;

/// Places of the keys (`keys.rs`), counted from 1.
pub(super) mod key {
    pub const JOBS: u64 = 2;
    pub const WAIT: u64 = 3;
    pub const PRIO: u64 = 4;
    pub const DUE: u64 = 5;
    pub const OWN: u64 = 11;
    pub const PAR: u64 = 13;
    pub const GROUPS: u64 = 16;
    pub const GROUP: u64 = 17;
    pub const ACT: u64 = 18;
    pub const DONE: u64 = 19;
    pub const FAIL: u64 = 20;
    pub const CANC: u64 = 21;
}

/// What a record must say for an entry to stand for its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Live {
    /// It waits, and in a list it is of the generation of the entry.
    Waiting(Option<u32>),
    State(JobState),
    /// It ended with the batch of this stamp.
    Completed([u8; 10]),
    Active,
    Any,
}

impl Live {
    /// Whether the entry stands for its job.
    pub fn admits(self, kept: &Kept) -> bool {
        // state u8 behind the version, then generation u32 and the moment u48 (`record.rs`).
        let (state, stamp) = (kept.record.get(1).copied(), kept.record.get(2..12).unwrap_or_default());
        let is = |wanted: JobState| state == Some(wanted.code());
        match self {
            Self::Any => true,
            Self::Active => kept.active.is_some(),
            Self::Waiting(generation) => {
                is(JobState::Waiting)
                    && kept.active.is_none()
                    && generation
                        .is_none_or(|generation| stamp.get(..4) == Some(&generation.to_be_bytes()[..]))
            }
            Self::State(wanted) => is(wanted),
            // The stamp has the moment first.
            Self::Completed(batch) => {
                is(JobState::Completed)
                    && stamp.get(..4) == batch.get(6..)
                    && stamp.get(4..) == batch.get(..6)
            }
        }
    }
}

/// An entry of a collection.
#[derive(Debug)]
pub(super) struct Row {
    pub id: JobId,
    pub live: Live,
    /// Where a page that ends with it has ended.
    pub place: Place,
}

/// A slice of a walk.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub rows: Vec<Row>,
    /// Entries looked at for it.
    pub looked: usize,
    /// Where the walk stands behind it, if that is further than the last row.
    pub place: Option<Place>,
}

impl Batch {
    pub fn of(rows: Vec<Row>) -> Self {
        Self { looked: rows.len(), rows, place: None }
    }
}

/// The queue that is walked through.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub redis: &'a Redis,
    pub at: &'a At,
}

impl Source<'_> {
    /// Reads a slice.
    pub async fn read(self, what: &str, arguments: impl FnOnce(&mut Cmd)) -> Result<Items> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg(what.as_bytes());
            arguments(cmd);
        };
        self.redis.script(Via::Pool, Script::Page, self.at, put).await
    }

    /// Entries of a list from the left.
    pub async fn list(self, key: u64, suffix: &str, from: u64, count: usize) -> Result<Vec<Vec<u8>>> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            cmd.write_arg(suffix.as_bytes());
            put_number(cmd, from);
            put_number(cmd, count as u64);
        };
        all_bytes(self.read("list", put).await?)
    }

    /// Members of a sorted set with their scores, in falling order, behind a place. Those that are no ids are left out; the number says
    /// how many there were with them.
    pub async fn set(self, key: u64, behind: Option<(u64, &[u8])>) -> Result<(Vec<InSet>, usize)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            put_number(cmd, SLICE as u64);
            if let Some((score, member)) = behind {
                cmd.write_arg_fmt(score);
                cmd.write_arg(member);
            } else {
                cmd.write_arg(b"+inf");
                cmd.write_arg(b"");
            }
        };
        let mut items = self.read("set", put).await?;
        let mut rows = Vec::with_capacity(items.len() / 2);
        let seen = items.len() / 2;
        while items.len() > 0 {
            let (member, score) = (items.bytes()?, items.number()?);
            rows.extend(id_of(&member).ok().map(|id| InSet { score, id }));
        }
        Ok((rows, seen))
    }

    /// A slice of a hash, and the cursor of the next one, 0 at the end.
    pub async fn hash(self, key: u64, cursor: u64, slice: usize, values: bool) -> Result<(u64, Items)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            cmd.write_arg_fmt(cursor);
            put_number(cmd, slice as u64);
            put_number(cmd, u64::from(values));
        };
        let mut items = self.read("hash", put).await?;
        Ok((items.number()?, items.items()?))
    }
}

/// All items of a reply, as bytes.
pub(super) fn all_bytes(mut items: Items) -> Result<Vec<Vec<u8>>> {
    (0..items.len()).map(|_| items.bytes()).collect()
}

/// A walk, and where it stands.
pub(super) enum Walk<'a> {
    Waiting(WaitingWalk),
    Set { key: u64, state: JobState, behind: Option<InSet> },
    Active { behind: Option<InSet> },
    Completed { from: u64, behind: Option<InDone> },
    Owner { owner: &'a Owner, from: u64, behind: Option<(u64, JobId)>, seen: HashSet<JobId> },
    All { cursor: u64, behind: Vec<u32> },
    Over,
}

impl<'a> Walk<'a> {
    /// The walk that goes on at a place, or begins; none if the place is of another walk.
    pub fn new(state: Option<JobState>, owner: Option<&'a Owner>, place: Option<Place>) -> Option<Self> {
        let set = |key, state| (key, state);
        let (key, state) = match (owner, state) {
            (Some(owner), _) => {
                let behind = match place {
                    None => None,
                    Some(Place::Owner(index, id)) => Some((index, id)),
                    Some(_) => return None,
                };
                return Some(Self::Owner { owner, from: 0, behind, seen: HashSet::new() });
            }
            (None, None) => {
                return match place {
                    None => Some(Self::All { cursor: 0, behind: Vec::new() }),
                    Some(Place::All(cursor, behind)) => Some(Self::All { cursor, behind }),
                    Some(_) => None,
                };
            }
            (None, Some(JobState::Waiting)) => return WaitingWalk::new(place).map(Self::Waiting),
            (None, Some(JobState::Active)) => {
                return match place {
                    None => Some(Self::Active { behind: None }),
                    Some(Place::Active(place)) => Some(Self::Active { behind: Some(place) }),
                    Some(_) => None,
                };
            }
            (None, Some(JobState::Completed)) => {
                return match place {
                    None => Some(Self::Completed { from: 0, behind: None }),
                    Some(Place::Completed(place)) => {
                        Some(Self::Completed { from: place.index, behind: Some(place) })
                    }
                    Some(_) => None,
                };
            }
            (None, Some(state @ JobState::Delayed)) => set(key::DUE, state),
            (None, Some(state @ JobState::WaitingChildren)) => set(key::PAR, state),
            (None, Some(state @ JobState::Failed)) => set(key::FAIL, state),
            (None, Some(state @ JobState::Cancelled)) => set(key::CANC, state),
        };
        match place {
            None => Some(Self::Set { key, state, behind: None }),
            Some(Place::Set(of, place)) if of == state => Some(Self::Set { key, state, behind: Some(place) }),
            Some(_) => None,
        }
    }

    /// The next slice; none at the end. A slice may be without rows.
    pub async fn next(&mut self, source: Source<'_>) -> Result<Option<Batch>> {
        let (batch, over) = match self {
            Self::Over => return Ok(None),
            Self::Waiting(walk) => return walk.next(source).await,
            Self::Set { key, state, behind } => {
                let (found, seen) =
                    source.set(*key, behind.as_ref().map(|place| (place.score, place.id.as_bytes()))).await?;
                let over = seen < SLICE || found.is_empty();
                *behind = found.last().cloned().or_else(|| behind.take());
                let (state, live) = (*state, Live::State(*state));
                let row = |place: InSet| Row { id: place.id.clone(), live, place: Place::Set(state, place) };
                (Batch::of(found.into_iter().map(row).collect()), over)
            }
            Self::Active { behind } => {
                let (rows, cut) = running(source, behind.as_ref()).await?;
                *behind = rows.last().cloned();
                let row = |place: InSet| Row {
                    id: place.id.clone(),
                    live: Live::Active,
                    place: Place::Active(place),
                };
                (Batch::of(rows.into_iter().map(row).collect()), !cut)
            }
            Self::Completed { from, behind } => completed(source, from, behind).await?,
            Self::Owner { owner, from, behind, seen } => {
                let suffix = format!("{}\0{}", owner.tenant, owner.user);
                let ids = source.list(key::OWN, &suffix, *from, SLICE).await?;
                let over = ids.len() < SLICE;
                let mut batch = Batch { looked: ids.len(), ..Batch::default() };
                for (index, id) in (*from..).zip(&ids) {
                    let Ok(id) = id_of(id) else { continue };
                    // An id that was removed and added again stands there twice.
                    let first = seen.insert(id.clone());
                    if let Some((hint, last)) = behind {
                        if index >= *hint && id == *last {
                            *behind = None;
                        }
                    } else if first {
                        let place = Place::Owner(index, id.clone());
                        batch.rows.push(Row { id, live: Live::Any, place });
                    }
                }
                *from += ids.len() as u64;
                (batch, over)
            }
            Self::All { cursor, behind } => {
                let here = *cursor;
                let (next, found) = source.hash(key::JOBS, here, SCAN_SLICE, false).await?;
                let ids: Vec<JobId> =
                    all_bytes(found)?.iter().filter_map(|field| id_of(field).ok()).collect();
                let looked = ids.len().max(1);
                // The table may have grown since, and then the slice comes in another order: what was read is known by itself, not by
                // its place. What has moved to a later slice is shown again rather than left out.
                let mut read = std::mem::take(behind);
                *cursor = next;
                let mut rows = Vec::with_capacity(ids.len());
                for id in ids {
                    let sum = sum_of(&id);
                    if !read.contains(&sum) {
                        read.push(sum);
                        rows.push(Row { place: Place::All(here, read.clone()), live: Live::Any, id });
                    }
                }
                let place = (next != 0).then_some(Place::All(next, Vec::new()));
                (Batch { rows, looked, place }, next == 0)
            }
        };
        if over {
            *self = Self::Over;
        }
        Ok(Some(batch))
    }
}

/// Running jobs behind a place, last started first; and whether there are more than were sorted.
async fn running(source: Source<'_>, behind: Option<&InSet>) -> Result<(Vec<InSet>, bool)> {
    let order = |a: &InSet, b: &InSet| (b.score, b.id.as_bytes()).cmp(&(a.score, a.id.as_bytes()));
    let (mut rows, mut cursor, mut cut): (Vec<InSet>, u64, bool) = (Vec::new(), 0, false);
    loop {
        let (next, mut found) = source.hash(key::ACT, cursor, SLICE, true).await?;
        while found.len() > 0 {
            let (id, entry) = (found.bytes()?, found.bytes()?);
            let (Ok(id), Ok(entry)) = (id_of(&id), Active::decode(&entry)) else { continue };
            let place = InSet { score: entry.started, id };
            if behind.is_none_or(|behind| order(behind, &place).is_lt()) {
                rows.push(place);
            }
        }
        if rows.len() > 2 * ACTIVE_MAX {
            cut = true;
            rows.select_nth_unstable_by(ACTIVE_MAX, order);
            rows.truncate(ACTIVE_MAX);
        }
        cursor = next;
        if cursor == 0 {
            break;
        }
    }
    rows.sort_unstable_by(order);
    // A walk over a hash that grows may meet a field twice.
    rows.dedup();
    if rows.len() > ACTIVE_MAX {
        cut = true;
        rows.truncate(ACTIVE_MAX);
    }
    Ok((rows, cut))
}

/// The next completed jobs, and whether they are the last.
async fn completed(source: Source<'_>, from: &mut u64, behind: &mut Option<InDone>) -> Result<(Batch, bool)> {
    // Newest left, by turns the pack of a batch and its stamp.
    let entries = source.list(key::DONE, "", *from, 2 * BATCHES).await?;
    let over = entries.len() < 2 * BATCHES;
    let mut batch = Batch::default();
    let mut searching = behind.clone();
    let mut last = None;
    for (index, pair) in (*from..).step_by(2).zip(entries.chunks_exact(2)) {
        let mut ids = Vec::new();
        let Ok(stamp) = <[u8; 10]>::try_from(pair[1].as_slice()) else { continue };
        if unpack_ids(&pair[0], &mut ids).is_err() {
            continue;
        }
        batch.looked += ids.len();
        if let Some(place) = &searching {
            let Some(shown) = ids.iter().position(|id| stamp == place.stamp && *id == place.id) else {
                continue;
            };
            ids.truncate(shown);
            last = Some(InDone { index, ..place.clone() });
            searching = None;
        }
        for id in ids.into_iter().rev() {
            let place = InDone { index, stamp, id: id.clone() };
            last = Some(place.clone());
            batch.rows.push(Row { id, live: Live::Completed(stamp), place: Place::Completed(place) });
        }
    }
    let read = *from + entries.len() as u64;
    if let Some(place) = last {
        // The next slice begins with the last batch of this one, wherever that is by then.
        *from = if over { read } else { place.index };
        *behind = Some(place);
    } else {
        *from = read;
        if let Some(place) = behind {
            place.index = read;
            batch.place = Some(Place::Completed(place.clone()));
        }
    }
    Ok((batch, over))
}

/// A slice of a list of packs, behind a place or from the left.
pub(super) struct Packs {
    pub rows: Vec<(JobId, u32, InList)>,
    pub looked: usize,
    /// Where to go on.
    pub place: Option<InList>,
}

/// Takes the packs of a slice apart that was read from an index on: what stands behind `behind`, which is somewhere in it or further on.
pub(super) fn unpack(packs: &[Vec<u8>], from: u64, behind: Option<InList>) -> Packs {
    let mut slice = Packs { rows: Vec::new(), looked: 0, place: None };
    let mut searching = behind;
    for (index, pack) in (from..).zip(packs) {
        let (mark, ids) = Mark::of(pack);
        slice.looked += ids.len().max(1);
        let unread = match &searching {
            Some(place) if !mark.is_left_of(&place.mark) => continue,
            Some(place) => place.unread(&mark).min(ids.len()),
            None => ids.len(),
        };
        searching = None;
        let (mark, total) = (Arc::new(mark), ids.len());
        let mut left: VecDeque<JobId> = ids.into_iter().take(unread).collect();
        while let Some(id) = left.pop_back() {
            let place = InList { index, mark: mark.clone(), shown: total - left.len() };
            slice.rows.push((id, mark.generation, place));
        }
        slice.place = Some(InList { index, shown: mark.sums.len(), mark });
    }
    if let Some(place) = searching {
        slice.place = Some(InList { index: from + packs.len() as u64, ..place });
    }
    slice
}
