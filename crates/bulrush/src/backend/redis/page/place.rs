//! Where a page ended, as a cursor: words that stay good while the queue moves on.
//!
//! A sorted set is gone on with behind the score and the member that were seen last, whether or not that member is still there. A list has
//! no such order; its cursor tells what stood at the place, and the index from the left at which it stood. Additions move it to higher
//! indexes and nothing moves it to lower ones, so it is looked for from there on; and if it was taken, so was everything older.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::backend::redis::packed::{Unpack, put_u32, put_u48, put_u64};
use crate::backend::redis::reply::unpack_ids;
use crate::model::{JobId, JobState};

/// What every cursor of this backend begins with.
const TAG: char = 'r';

/// A pack of a list, as it is found again when ids of it were taken or dropped: by its generation and any of the others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mark {
    pub generation: u32,
    /// A checksum of each id, in the order of the pack.
    pub sums: Vec<u32>,
}

impl Mark {
    /// The mark of a pack, and its ids. What cannot be read is a pack without ids that can be found again.
    pub fn of(pack: &[u8]) -> (Self, Vec<JobId>) {
        let mut ids = Vec::new();
        let generation = generation_of(pack);
        if let Some(generation) = generation.filter(|_| unpack_ids(pack, &mut ids).is_ok()) {
            let sums = ids.iter().map(sum_of).collect();
            (Self { generation, sums }, ids)
        } else {
            (Self { generation: u32::MAX, sums: vec![crc32fast::hash(pack)] }, Vec::new())
        }
    }

    /// Whether this is what is left of the pack with the other mark.
    pub fn is_left_of(&self, other: &Self) -> bool {
        self.generation == other.generation && self.sums.iter().any(|sum| other.sums.contains(sum))
    }
}

/// A checksum by which an id is found again among a few hundred.
pub(super) fn sum_of(id: &JobId) -> u32 {
    crc32fast::hash(id.as_bytes())
}

fn generation_of(pack: &[u8]) -> Option<u32> {
    let mut u = Unpack::new(pack);
    u.u8().ok()?;
    u.u32().ok()
}

/// A place in a list of waiting jobs: `shown` ids of a pack have been read, from its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InList {
    pub index: u64,
    pub mark: Arc<Mark>,
    pub shown: usize,
}

impl InList {
    /// How many of what is left of the pack have not been read: its first ones.
    pub fn unread(&self, left: &Mark) -> usize {
        let unread = self.mark.sums.len().saturating_sub(self.shown);
        let shown = self.mark.sums.get(unread..).unwrap_or_default();
        left.sums.iter().filter(|sum| !shown.contains(sum)).count()
    }
}

/// A place in a sorted set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InSet {
    pub score: u64,
    pub id: JobId,
}

/// A place among the completed: a job of the batch with this stamp.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct InDone {
    pub index: u64,
    pub stamp: [u8; 10],
    pub id: JobId,
}

/// Where a page ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Among the waiting jobs of a group.
    Group(Arc<str>, InList),
    /// Among those of the list's priority.
    List(InList),
    /// Among those of other priorities: behind the list in the order of taking, or before it.
    Behind(InSet),
    Ahead(InSet),
    /// In the sorted set of a state.
    Set(JobState, InSet),
    /// Among the running ones, by their start.
    Active(InSet),
    Completed(InDone),
    /// At an index of an owner's list.
    Owner(u64, JobId),
    /// In a walk over all records: in the page that the walk's cursor gives, behind the last of these. Checksums of ids, so many that
    /// one is left unless somebody removes what he reads.
    All(u64, Vec<u32>),
}

impl Place {
    /// The cursor's text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let in_set = |out: &mut Vec<u8>, place: &InSet| {
            put_u64(out, place.score);
            out.extend_from_slice(place.id.as_bytes());
        };
        let in_list = |out: &mut Vec<u8>, place: &InList| {
            put_u48(out, place.index);
            put_u32(out, place.mark.generation);
            out.push(u8::try_from(place.shown).unwrap_or(u8::MAX));
            out.push(u8::try_from(place.mark.sums.len()).unwrap_or(u8::MAX));
            place.mark.sums.iter().for_each(|sum| put_u32(out, *sum));
        };
        let kind = match self {
            Self::Group(name, place) => {
                in_list(&mut out, place);
                out.extend_from_slice(name.as_bytes());
                b'g'
            }
            Self::List(place) => {
                in_list(&mut out, place);
                b'l'
            }
            Self::Behind(place) => {
                in_set(&mut out, place);
                b'b'
            }
            Self::Ahead(place) => {
                in_set(&mut out, place);
                b'h'
            }
            Self::Set(state, place) => {
                in_set(&mut out, place);
                state.code()
            }
            Self::Active(place) => {
                in_set(&mut out, place);
                b'a'
            }
            Self::Completed(place) => {
                put_u48(&mut out, place.index);
                out.extend_from_slice(&place.stamp);
                out.extend_from_slice(place.id.as_bytes());
                b'c'
            }
            Self::Owner(index, id) => {
                put_u48(&mut out, *index);
                out.extend_from_slice(id.as_bytes());
                b'o'
            }
            Self::All(cursor, read) => {
                put_u64(&mut out, *cursor);
                for sum in read {
                    put_u32(&mut out, *sum);
                }
                b'e'
            }
        };
        let mut text = String::from(TAG);
        text.push(char::from(kind));
        for byte in out {
            // Writing to a string cannot fail.
            let _ = write!(text, "{byte:02x}");
        }
        text
    }

    /// Reads a cursor; none if it is none of ours.
    pub fn parse(whole: &str) -> Option<Self> {
        let text = whole.strip_prefix(TAG)?.as_bytes();
        let (kind, hex) = text.split_first()?;
        if hex.len() % 2 != 0 || !hex.is_ascii() {
            return None;
        }
        let bytes: Vec<u8> = hex
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
            .collect::<Option<_>>()?;
        let mut u = Unpack::new(&bytes);
        let place = match kind {
            b'g' => {
                let place = in_list(&mut u)?;
                Self::Group(rest(&mut u)?.into(), place)
            }
            b'l' => Self::List(in_list(&mut u)?),
            b'b' => Self::Behind(in_set(&mut u)?),
            b'h' => Self::Ahead(in_set(&mut u)?),
            b'd' | b'p' | b'f' | b'x' => Self::Set(JobState::from_code(*kind)?, in_set(&mut u)?),
            b'a' => Self::Active(in_set(&mut u)?),
            b'c' => {
                let index = u.u48().ok()?;
                let stamp = u.take(10).ok()?.try_into().ok()?;
                Self::Completed(InDone { index, stamp, id: id(&mut u)? })
            }
            b'o' => Self::Owner(u.u48().ok()?, id(&mut u)?),
            b'e' => {
                let cursor = u.u64().ok()?;
                let mut read = Vec::new();
                while !u.is_at_end() {
                    read.push(u.u32().ok()?);
                }
                Self::All(cursor, read)
            }
            _ => return None,
        };
        // Numbers may be written in more ways than one; ours are written in one.
        Some(place).filter(|place| u.is_at_end() && place.text() == whole)
    }
}

fn rest<'a>(u: &mut Unpack<'a>) -> Option<&'a str> {
    std::str::from_utf8(u.rest()).ok()
}

fn id(u: &mut Unpack<'_>) -> Option<JobId> {
    JobId::new(rest(u)?).ok()
}

fn in_set(u: &mut Unpack<'_>) -> Option<InSet> {
    Some(InSet { score: u.u64().ok()?, id: id(u)? })
}

fn in_list(u: &mut Unpack<'_>) -> Option<InList> {
    let index = u.u48().ok()?;
    let generation = u.u32().ok()?;
    let (shown, n) = (usize::from(u.u8().ok()?), u.u8().ok()?);
    let sums = (0..n).map(|_| u.u32().ok()).collect::<Option<Vec<_>>>()?;
    (shown <= sums.len()).then(|| InList { index, mark: Arc::new(Mark { generation, sums }), shown })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::backend::redis::reply::put_ids;

    fn id(text: &str) -> JobId {
        JobId::new(text).expect("a good id")
    }

    fn pack(ids: &[&str]) -> Vec<u8> {
        let ids: Vec<JobId> = ids.iter().map(|text| id(text)).collect();
        let mut pack = Vec::new();
        put_ids(&mut pack, ids.iter());
        pack
    }

    #[test]
    fn every_cursor_is_read_as_it_was_issued() {
        let (mark, _) = Mark::of(&pack(&["a", "b", "c"]));
        let in_list = InList { index: 70_000, mark: Arc::new(mark), shown: 2 };
        let in_set = InSet { score: u64::MAX, id: id("a.b") };
        let places = [
            Place::Group("d\u{e9}\0".into(), in_list.clone()),
            Place::List(in_list),
            Place::Behind(in_set.clone()),
            Place::Ahead(in_set.clone()),
            Place::Set(JobState::Delayed, in_set.clone()),
            Place::Set(JobState::WaitingChildren, in_set.clone()),
            Place::Set(JobState::Failed, in_set.clone()),
            Place::Set(JobState::Cancelled, in_set.clone()),
            Place::Active(in_set),
            Place::Completed(InDone { index: 3, stamp: [7; 10], id: id("x") }),
            Place::Owner(9_999, id("y")),
            Place::All(1 << 40, Vec::new()),
            Place::All(0, vec![1, u32::MAX]),
        ];
        for place in places {
            let text = place.text();
            assert!(text.bytes().all(|b| b.is_ascii_alphanumeric()), "{text}: fit for an address");
            assert_eq!(Place::parse(&text), Some(place), "{text}");
        }
    }

    #[test]
    fn what_is_left_of_a_pack_is_found_by_any_of_its_ids() {
        let (mark, _) = Mark::of(&pack(&["a", "b", "c", "d"]));
        let place = InList { index: 0, mark: Arc::new(mark), shown: 2 };
        let unread = |ids: &[&str]| {
            let (left, _) = Mark::of(&pack(ids));
            left.is_left_of(&place.mark).then(|| place.unread(&left))
        };
        assert_eq!(unread(&["a", "b", "c", "d"]), Some(2));
        assert_eq!(unread(&["b", "d"]), Some(1), "the last that was read is gone");
        assert_eq!(unread(&["d"]), Some(0), "all that is left was read");
        assert_eq!(unread(&["a"]), Some(1));
        assert_eq!(unread(&["e"]), None);
        let mut younger = pack(&["a"]);
        younger[4] = 1;
        assert!(!Mark::of(&younger).0.is_left_of(&place.mark), "the same id, added again");
        let (damaged, ids) = Mark::of(&[9, 0, 0]);
        assert!(ids.is_empty() && damaged.is_left_of(&Mark::of(&[9, 0, 0]).0), "damage does not end a walk");
    }

    proptest! {
        #[test]
        fn whatever_is_no_cursor_of_ours_is_refused(text in "r?[glbhdpfxacoe]?[0-9a-f\u{e9}]{0,60}") {
            if let Some(place) = Place::parse(&text) {
                prop_assert_eq!(place.text(), text);
            }
        }
    }
}
