//! The walk over waiting jobs, in the reverse of the order in which they will be taken: named groups from the last name to the first, then
//! the jobs without a group from the least urgent priority to the most urgent one, of which one has a list of its own.

use std::collections::BTreeSet;
use std::sync::Arc;

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::place::{InList, InSet, Place};
use super::walk::{Batch, Live, Row, SLICE, Source, all_bytes, key, unpack};
use crate::backend::redis::packed::Unpack;
use crate::backend::redis::put_number;
use crate::model::JobId;
use crate::port::Result;

/// Packs of one slice, of at most 16 jobs each.
const PACKS: usize = 64;
/// Groups whose names are kept at once, and those read at once.
const NAMES_MAX: usize = 1_000;
const NAMES_SLICE: usize = 64;
/// A priority's first score among the others.
const PRIORITY_STEP: u64 = 1 << 31;

enum Lane {
    /// To be found out: whether there are groups at all.
    Start,
    /// The groups before a name; none: all.
    Groups(Option<Arc<str>>),
    Group(Arc<str>, Option<InList>),
    Behind(Option<InSet>),
    List(Option<InList>),
    Ahead(Option<InSet>),
    Over,
}

/// A walk, and where it stands.
pub(super) struct WaitingWalk {
    lane: Lane,
    /// Names of groups that come next, the next one last.
    names: Vec<Arc<str>>,
    /// Where the scores of the list's priority begin, once it was read.
    edge: Option<u64>,
}

impl WaitingWalk {
    /// The walk that goes on at a place, or begins; none if the place is of another walk.
    pub fn new(place: Option<Place>) -> Option<Self> {
        let lane = match place {
            None => Lane::Start,
            Some(Place::Group(name, place)) => Lane::Group(name, Some(place)),
            Some(Place::Behind(place)) => Lane::Behind(Some(place)),
            Some(Place::List(place)) => Lane::List(Some(place)),
            Some(Place::Ahead(place)) => Lane::Ahead(Some(place)),
            Some(_) => return None,
        };
        Some(Self { lane, names: Vec::new(), edge: None })
    }

    /// The next slice; none at the end.
    pub async fn next(&mut self, source: Source<'_>) -> Result<Option<Batch>> {
        let lane = std::mem::replace(&mut self.lane, Lane::Over);
        let (batch, lane) = match lane {
            Lane::Over => return Ok(None),
            Lane::Start => {
                let grouped = self.lanes(source).await?;
                (Batch::default(), if grouped { Lane::Groups(None) } else { Lane::Behind(None) })
            }
            Lane::Groups(before) => self.groups(source, before).await?,
            Lane::Group(name, place) => {
                let (batch, place) =
                    list(source, key::GROUP, &name, place, |place| Place::Group(name.clone(), place)).await?;
                let next = match place {
                    Some(place) => Lane::Group(name, Some(place)),
                    None => Lane::Groups(Some(name)),
                };
                (batch, next)
            }
            Lane::Behind(place) => {
                let edge = self.edge(source).await?;
                let behind = place.as_ref().map(|place| (place.score, place.id.as_bytes()));
                let (found, seen) = source.set(key::PRIO, behind).await?;
                let rows: Vec<InSet> = found.into_iter().take_while(|place| place.score >= edge).collect();
                let next = match rows.last() {
                    Some(last) if seen == SLICE => Lane::Behind(Some(last.clone())),
                    _ => Lane::List(None),
                };
                (Batch::of(rows.into_iter().map(|place| in_set(place, Place::Behind)).collect()), next)
            }
            Lane::List(place) => {
                let (batch, place) = list(source, key::WAIT, "", place, Place::List).await?;
                let next = match place {
                    Some(place) => Lane::List(Some(place)),
                    None => Lane::Ahead(None),
                };
                (batch, next)
            }
            Lane::Ahead(place) => {
                let edge = self.edge(source).await?;
                let behind =
                    place.as_ref().map_or((edge, &[][..]), |place| (place.score, place.id.as_bytes()));
                let (rows, seen) = source.set(key::PRIO, Some(behind)).await?;
                let next = match rows.last() {
                    Some(last) if seen == SLICE => Lane::Ahead(Some(last.clone())),
                    _ => Lane::Over,
                };
                (Batch::of(rows.into_iter().map(|place| in_set(place, Place::Ahead)).collect()), next)
            }
        };
        self.lane = lane;
        Ok(Some(batch))
    }

    /// Whether there are named groups; and the list's priority.
    async fn lanes(&mut self, source: Source<'_>) -> Result<bool> {
        let mut lanes = source.read("lanes", |_| {}).await?;
        self.edge = Some(lanes.number()?.saturating_mul(PRIORITY_STEP));
        lanes.flag()
    }

    async fn edge(&mut self, source: Source<'_>) -> Result<u64> {
        if self.edge.is_none() {
            self.lanes(source).await?;
        }
        Ok(self.edge.unwrap_or_default())
    }

    /// The next groups, as many whole ones as make a slice.
    async fn groups(&mut self, source: Source<'_>, before: Option<Arc<str>>) -> Result<(Batch, Lane)> {
        if self.names.is_empty() {
            self.names = names(source, before.as_deref()).await?;
        }
        if self.names.is_empty() {
            return Ok((Batch::default(), Lane::Behind(None)));
        }
        let these: Vec<Arc<str>> = self.names.iter().rev().take(NAMES_SLICE).cloned().collect();
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key::GROUP);
            put_number(cmd, PACKS as u64);
            for name in &these {
                cmd.write_arg(name.as_bytes());
            }
        };
        let mut lists = source.read("lists", put).await?;
        let mut batch = Batch::default();
        let mut room = PACKS;
        let mut last = before;
        for name in these {
            if lists.len() == 0 {
                break;
            }
            let packs = all_bytes(lists.items()?)?;
            self.names.pop();
            let slice = unpack(&packs, 0, None);
            batch.looked += slice.looked.max(1);
            batch.rows.extend(
                slice.rows.into_iter().map(|row| in_list(row, |place| Place::Group(name.clone(), place))),
            );
            if packs.len() == room {
                return Ok((batch, Lane::Group(name, slice.place)));
            }
            room -= packs.len();
            last = Some(name);
        }
        Ok((batch, Lane::Groups(last)))
    }
}

fn in_set(place: InSet, of: fn(InSet) -> Place) -> Row {
    Row { id: place.id.clone(), live: Live::Waiting(None), place: of(place) }
}

fn in_list((id, generation, place): (JobId, u32, InList), of: impl FnOnce(InList) -> Place) -> Row {
    Row { id, live: Live::Waiting(Some(generation)), place: of(place) }
}

/// The next slice of a list, and where to go on; none if the list is over.
async fn list(
    source: Source<'_>,
    key: u64,
    suffix: &str,
    behind: Option<InList>,
    of: impl Fn(InList) -> Place,
) -> Result<(Batch, Option<InList>)> {
    let from = behind.as_ref().map_or(0, |place| place.index);
    let packs = source.list(key, suffix, from, PACKS).await?;
    let slice = unpack(&packs, from, behind);
    let place = slice.place.filter(|_| packs.len() == PACKS);
    let batch = Batch {
        looked: slice.looked,
        place: place.clone().map(&of),
        rows: slice.rows.into_iter().map(|row| in_list(row, &of)).collect(),
    };
    Ok((batch, place))
}

/// Names of the last groups before a name that have jobs waiting, in order.
async fn names(source: Source<'_>, before: Option<&str>) -> Result<Vec<Arc<str>>> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    let mut cursor = 0;
    loop {
        let (next, mut found) = source.hash(key::GROUPS, cursor, SLICE, true).await?;
        while found.len() > 0 {
            let (member, counts) = (found.bytes()?, found.bytes()?);
            let waiting = Unpack::new(&counts).u48().unwrap_or(1);
            let Some(name) = member.strip_prefix(b"+").and_then(|name| std::str::from_utf8(name).ok()) else {
                continue;
            };
            if waiting > 0 && before.is_none_or(|before| name < before) {
                names.insert(name.to_owned());
                if names.len() > NAMES_MAX {
                    names.pop_first();
                }
            }
        }
        cursor = next;
        if cursor == 0 {
            return Ok(names.into_iter().map(Arc::from).collect());
        }
    }
}
