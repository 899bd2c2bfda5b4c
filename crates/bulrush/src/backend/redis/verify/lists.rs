//! The lists, entry by entry, and whatever else has to be counted as a whole.

use std::collections::BTreeMap;

use deadpool_redis::redis::{Cmd, RedisWrite};
use hashbrown::HashSet;

use super::{Check, PART, key, row};
use crate::backend::redis::active::Active;
use crate::backend::redis::packed::Unpack;
use crate::backend::redis::reply::{Items, id_of, unpack_ids};
use crate::backend::redis::script::Script;
use crate::backend::redis::{Via, put_number};
use crate::model::{JobId, JobState, Millis};
use crate::port::Result;

/// Packs of a list looked at in one script: of waiting jobs, of at most 16 each, and of completed ones, of at most 255.
const PACKS: u64 = 64;
const DONE_ENTRIES: u64 = 16;
/// Members read in one script where each is small.
const MEMBERS: u64 = 1_000;
/// Flag of a record whose job has a group (`record.rs`), in the low byte of its flags.
const GROUP: u8 = 4;

/// Entries of a list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub live: u64,
    pub dead: u64,
}

/// A member of the rotation.
#[derive(Debug, Clone, Default)]
pub(super) struct Member {
    /// What its row says.
    pub waiting: u64,
    pub active: u64,
    pub limited_until: Millis,
    /// It has a row.
    pub known: bool,
    pub entries: Entries,
    pub running: u64,
    pub seated: bool,
    pub held_back: bool,
}

/// What was seen of a queue.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub wait: Entries,
    pub done: Entries,
    /// Members of the rotation: `-`, and `+` with a group's name.
    pub members: BTreeMap<Vec<u8>, Member>,
    pub running: u64,
    pub cancels: u64,
    /// Starts in the rate window.
    pub started: u64,
    /// Jobs for which two live entries stand.
    pub twice: Vec<JobId>,
    /// Jobs for which none stands.
    pub missing: Vec<(JobId, JobState)>,
    /// What was found in lists that is no entry.
    pub damaged: Vec<String>,
    /// Hashes of the ids for which a live entry stands.
    live: HashSet<u64>,
}

impl Seen {
    fn enter(&mut self, id: JobId) {
        use std::hash::BuildHasher;
        let hash = self.live.hasher().hash_one(id.as_bytes());
        if !self.live.insert(hash) {
            self.twice.push(id);
        }
    }

    fn holds(&self, id: &[u8]) -> bool {
        use std::hash::BuildHasher;
        self.live.contains(&self.live.hasher().hash_one(id))
    }

    /// Live entries of all lists.
    pub fn listed(&self) -> u64 {
        self.wait.live + self.done.live + self.members.values().map(|member| member.entries.live).sum::<u64>()
    }
}

impl Check<'_> {
    /// Looks through all lists, the running jobs and the rotation; `in_lists` is how many jobs must stand in lists.
    pub(super) async fn look(&mut self, in_lists: u64) -> Result<Seen> {
        let mut seen = Seen::default();
        seen.wait = self.list(key::WAIT, b"", &mut seen).await?;
        seen.done = self.list(key::DONE, b"", &mut seen).await?;
        self.members(&mut seen).await?;
        let names: Vec<Vec<u8>> =
            seen.members.keys().filter_map(|name| Some(name.strip_prefix(b"+")?.to_vec())).collect();
        for name in names {
            let entries = self.list(key::GROUP, &name, &mut seen).await?;
            let mut member = b"+".to_vec();
            member.extend_from_slice(&name);
            seen.members.entry(member).or_default().entries = entries;
        }
        seen.started = self.starts(&mut seen.damaged).await?;
        if seen.listed() != in_lists {
            self.missing(&mut seen).await?;
        }
        Ok(seen)
    }

    async fn list(&self, key: u64, suffix: &[u8], seen: &mut Seen) -> Result<Entries> {
        let (count, step) = if key == key::DONE { (DONE_ENTRIES, 2) } else { (PACKS, 1) };
        let mut entries = Entries::default();
        let mut from = 0;
        loop {
            let put = |cmd: &mut Cmd| {
                put_number(cmd, key);
                cmd.write_arg(suffix);
                put_number(cmd, from);
                put_number(cmd, count);
            };
            let mut rows = self.read("list", put).await?;
            let found = rows.len() as u64;
            while let Some(pack) = rows.next() {
                let mut pack = row(pack)?;
                let (bytes, stamp, letters) = (pack.bytes()?, pack.bytes()?, pack.text()?);
                let mut ids = Vec::new();
                let whole = unpack_ids(&bytes, &mut ids).is_ok() && ids.len() == letters.len();
                if !whole || key == key::DONE && stamp.len() != 10 {
                    let name = self.at.keys.all().nth(key as usize - 1).unwrap_or_default();
                    seen.damaged
                        .push(format!("an entry of list {name} is no pack of ids: {}", super::shown(&bytes)));
                    continue;
                }
                for (id, letter) in ids.into_iter().zip(letters.bytes()) {
                    if letter == b'l' {
                        entries.live += 1;
                        seen.enter(id);
                    } else {
                        entries.dead += 1;
                    }
                }
            }
            if found * step < count {
                return Ok(entries);
            }
            from += count;
        }
    }

    /// The running jobs and the rotation.
    async fn members(&self, seen: &mut Seen) -> Result<()> {
        let mut cursor = 0;
        loop {
            let (next, mut rows) = self.slice_of(key::GROUPS, cursor).await?;
            while let Some(member) = rows.next() {
                let mut member = row(member)?;
                let (name, counts) = (member.bytes()?, member.bytes()?);
                let mut u = Unpack::new(&counts);
                let (Ok(waiting), Ok(active), Ok(limited_until), true) =
                    (u.u48(), u.u32(), u.u48(), u.is_at_end())
                else {
                    seen.damaged.push(format!("the counts of group {} cannot be read", super::shown(&name)));
                    continue;
                };
                let member = seen.members.entry(name).or_default();
                (member.waiting, member.active) = (waiting, u64::from(active));
                (member.limited_until, member.known) = (limited_until, true);
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        let mut met = HashSet::new();
        loop {
            let (next, mut rows) = self.slice_of(key::ACT, cursor).await?;
            while let Some(entry) = rows.next() {
                let mut entry = row(entry)?;
                let (id, entry) = (entry.bytes()?, entry.bytes()?);
                // What cannot be read has been told with its record.
                let Ok(entry) = Active::decode(&entry) else { continue };
                if !met.insert(id) {
                    continue;
                }
                seen.running += 1;
                seen.cancels += u64::from(entry.cancel);
                if !entry.group.is_empty() {
                    let name = [b"+", entry.group.as_bytes()].concat();
                    seen.members.entry(name).or_default().running += 1;
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
        for key in [key::RING, key::HELD] {
            for name in self.all_of(key).await? {
                let member = seen.members.entry(name).or_default();
                if key == key::RING {
                    member.seated = true;
                } else {
                    member.held_back = true;
                }
            }
        }
        Ok(())
    }

    async fn slice_of(&self, key: u64, cursor: u64) -> Result<(u64, Items)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            cmd.write_arg_fmt(cursor);
            put_number(cmd, MEMBERS);
        };
        let mut items = self.read("hash", put).await?;
        Ok((items.number()?, items.items()?))
    }

    /// All members of a sorted set.
    async fn all_of(&self, key: u64) -> Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        loop {
            let from = names.len() as u64;
            let put = |cmd: &mut Cmd| {
                put_number(cmd, key);
                put_number(cmd, from);
                put_number(cmd, MEMBERS);
            };
            let mut rows = self.read("set", put).await?;
            let found = rows.len() as u64;
            while let Some(member) = rows.next() {
                names.push(row(member)?.bytes()?);
            }
            if found < MEMBERS {
                return Ok(names);
            }
        }
    }

    /// Starts in the rate window.
    async fn starts(&self, damaged: &mut Vec<String>) -> Result<u64> {
        let (mut started, mut from) = (0, 0);
        loop {
            let put = |cmd: &mut Cmd| {
                cmd.write_arg(b"list");
                put_number(cmd, key::RATE);
                cmd.write_arg(b"");
                put_number(cmd, from);
                put_number(cmd, MEMBERS);
            };
            let mut batches = self.redis.script(Via::Pool, Script::Page, self.at, put).await?;
            let found = batches.len() as u64;
            while batches.len() > 0 {
                let batch = batches.bytes()?;
                let mut u = Unpack::new(&batch);
                match (u.u48(), u.u32()) {
                    (Ok(_), Ok(starts)) if u.is_at_end() => started += u64::from(starts),
                    _ => damaged.push(format!(
                        "an entry of the rate window cannot be read: {}",
                        super::shown(&batch)
                    )),
                }
            }
            if found < MEMBERS {
                return Ok(started);
            }
            from += MEMBERS;
        }
    }

    /// Jobs that must stand in a list and stand in none.
    async fn missing(&self, seen: &mut Seen) -> Result<()> {
        let mut cursor = 0;
        let mut met = HashSet::new();
        loop {
            let put = |cmd: &mut Cmd| {
                cmd.write_arg_fmt(cursor);
                put_number(cmd, 4 * PART as u64);
            };
            let mut items = self.read("heads", put).await?;
            let (next, list_priority, mut rows) = (items.number()?, items.number()?, items.items()?);
            while let Some(job) = rows.next() {
                let mut job = row(job)?;
                let (id, head, active) = (job.bytes()?, job.bytes()?, job.flag()?);
                // state u8 behind the version; the flags end before the priority, u24 (`record.rs`).
                let (Some(state), Some(flags), Some(priority)) =
                    (head.get(1).copied().and_then(JobState::from_code), head.get(19), head.get(20..23))
                else {
                    continue;
                };
                let priority = priority.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
                let listed = match state {
                    JobState::Completed => true,
                    JobState::Waiting => !active && (flags & GROUP != 0 || priority == list_priority),
                    _ => false,
                };
                if listed
                    && !seen.holds(&id)
                    && let Ok(id) = id_of(&id)
                    && met.insert(id.clone())
                {
                    seen.missing.push((id, state));
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }
}
