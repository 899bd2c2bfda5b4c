//! The stream of events: one entry a command, taken apart.
//!
//! The id of an entry is the position of its first event; the others follow it one by one. Fields stand in the order in which things
//! happened: `t` the moment, u48; `o` hashes of owners, 8 bytes for each id of the packs that follow, or nothing where nobody owns any; a
//! code with a pack of ids, each of which is one event; `m` events one after the other, each code u8, length and bytes of the id (none for
//! a change of the queue), owner hash 8, and what goes with the code.

use super::packed::{Damaged, Unpack, utf8};
use super::reply::{Items, strange, unpack_ids, unreadable};
use crate::model::{Event, EventKind, JobId, Millis};
use crate::port::Result;

/// What a reader of the stream has to know besides the events.
pub(super) struct Window {
    /// Events are missing before these.
    pub gap: bool,
    /// The entries are to be read after this position.
    pub from: u64,
    /// Position of the last event.
    pub last: u64,
    entries: Items,
}

impl Window {
    /// Reads the answer of the script.
    pub fn read(mut items: Items) -> Result<Self> {
        Ok(Self { gap: items.flag()?, from: items.number()?, last: items.number()?, entries: items.items()? })
    }

    /// The events of the window that come after `from`, at most `limit`.
    pub fn events(mut self, limit: usize, events: &mut Vec<Event>) -> Result<()> {
        while let Some(entry) = self.entries.next() {
            let mut entry = Items::of(entry)?;
            let id = entry.text()?;
            let position = id.split('-').next().and_then(|number| number.parse().ok());
            let mut sink = Sink {
                position: position.ok_or_else(|| strange("the id of an entry"))?,
                after: self.from,
                limit,
                at: 0,
                events,
            };
            let mut fields = entry.items()?;
            sink.entry(&mut fields)?;
            if events.len() >= limit {
                break;
            }
        }
        Ok(())
    }
}

/// Where the events of one entry go.
struct Sink<'a> {
    /// Of the next event.
    position: u64,
    after: u64,
    limit: usize,
    at: Millis,
    events: &'a mut Vec<Event>,
}

impl Sink<'_> {
    fn entry(&mut self, fields: &mut Items) -> Result<()> {
        let damaged = || unreadable("an entry of the stream of events");
        let mut owners = Vec::new();
        let mut owner_at = 0;
        while fields.len() > 0 {
            let (code, value) = (fields.bytes()?, fields.bytes()?);
            match code.as_slice() {
                b"t" => self.at = Unpack::new(&value).u48().map_err(damaged())?,
                b"o" => (owners, owner_at) = (value, 0),
                b"m" => self.singles(&value).map_err(damaged())?,
                [code] => {
                    let kind = kind_of_pack(*code).map_err(damaged())?;
                    let mut ids = Vec::new();
                    unpack_ids(&value, &mut ids).map_err(damaged())?;
                    for id in ids {
                        let hash =
                            owners.get(owner_at..owner_at + 8).map_or(Ok(0), |hash| Unpack::new(hash).u64());
                        owner_at += 8;
                        self.push(kind, Some(id), hash.map_err(damaged())?);
                    }
                }
                // A kind of field that a later version writes.
                _ => {}
            }
        }
        Ok(())
    }

    fn singles(&mut self, bytes: &[u8]) -> Result<(), Damaged> {
        let mut u = Unpack::new(bytes);
        while !u.is_at_end() {
            let code = u.u8()?;
            let len = usize::from(u.u8()?);
            let id = utf8(u.take(len)?)?;
            let owner_hash = u.u64()?;
            let kind = match code {
                b'n' => EventKind::Added,
                b'w' => EventKind::Waiting,
                b'a' => EventKind::Active,
                b'g' => EventKind::Progress { percent: u.u8()? },
                b'c' => EventKind::Completed,
                b'f' => EventKind::Failed,
                b'r' => EventKind::Retrying,
                b'd' => EventKind::Delayed,
                b's' => EventKind::Stalled,
                b'x' => EventKind::Cancelled,
                b'v' => EventKind::Removed,
                b'p' => EventKind::Paused,
                b'u' => EventKind::Resumed,
                b'l' => EventKind::Cleaned { count: u.u32()? },
                b'e' => EventKind::Drained,
                _ => return Err(Damaged::Bad("kind of an event")),
            };
            let job =
                if id.is_empty() { None } else { Some(JobId::new(id).map_err(|_| Damaged::Bad("job id"))?) };
            self.push(kind, job, owner_hash);
        }
        Ok(())
    }

    fn push(&mut self, kind: EventKind, job: Option<JobId>, owner_hash: u64) {
        let position = self.position;
        self.position += 1;
        if position > self.after && self.events.len() < self.limit {
            self.events.push(Event { position, at: self.at, kind, job, owner_hash });
        }
    }
}

fn kind_of_pack(code: u8) -> Result<EventKind, Damaged> {
    match code {
        b'n' => Ok(EventKind::Added),
        b'a' => Ok(EventKind::Active),
        b'c' => Ok(EventKind::Completed),
        _ => Err(Damaged::Bad("kind of an event")),
    }
}

#[cfg(test)]
mod tests {
    use deadpool_redis::redis::Value;

    use super::super::packed::{put_u32, put_u48, put_u64};
    use super::super::reply::put_ids;
    use super::*;

    fn bytes(value: &[u8]) -> Value {
        Value::BulkString(value.to_vec())
    }

    fn ids(names: &[&str]) -> Vec<JobId> {
        names.iter().map(|name| JobId::new(name).expect("a good id")).collect()
    }

    fn pack(names: &[&str]) -> Value {
        let mut out = Vec::new();
        put_ids(&mut out, ids(names).iter());
        Value::BulkString(out)
    }

    fn single(code: u8, id: &str, owner: u64, extra: &[u8]) -> Vec<u8> {
        let mut out = vec![code, id.len() as u8];
        out.extend_from_slice(id.as_bytes());
        put_u64(&mut out, owner);
        out.extend_from_slice(extra);
        out
    }

    fn window(from: u64, entries: Vec<Value>) -> Window {
        let reply = vec![Value::Int(0), Value::Int(from as i64), bytes(b"99"), Value::Array(entries)];
        Window::read(Items::of(Value::Array(reply)).expect("an array")).expect("a window")
    }

    fn entry(id: &str, fields: Vec<Value>) -> Value {
        Value::Array(vec![bytes(id.as_bytes()), Value::Array(fields)])
    }

    #[test]
    fn every_event_of_an_entry_has_its_place_its_owner_and_its_time() {
        let mut time = Vec::new();
        put_u48(&mut time, 1_234);
        let mut hashes = Vec::new();
        (1..=3).for_each(|hash| put_u64(&mut hashes, hash));
        let mut count = Vec::new();
        put_u32(&mut count, 300);
        let singles =
            [single(b'g', "d", 9, &[50]), single(b'l', "", 0, &count), single(b'e', "", 0, &[])].concat();
        let fields = vec![
            bytes(b"t"),
            bytes(&time),
            bytes(b"o"),
            bytes(&hashes),
            bytes(b"n"),
            pack(&["a", "b"]),
            bytes(b"n"),
            pack(&["c"]),
            bytes(b"m"),
            bytes(&singles),
            bytes(b"o"),
            bytes(b""),
            bytes(b"a"),
            pack(&["a"]),
        ];
        let mut events = Vec::new();
        window(10, vec![entry("10-0", fields.clone())])
            .events(usize::MAX, &mut events)
            .expect("it can be read");
        let seen: Vec<_> = events
            .iter()
            .map(|event| {
                (event.position, event.kind, event.job.as_ref().map(JobId::as_str), event.owner_hash)
            })
            .collect();
        let expected = [
            (11, EventKind::Added, Some("b"), 2),
            (12, EventKind::Added, Some("c"), 3),
            (13, EventKind::Progress { percent: 50 }, Some("d"), 9),
            (14, EventKind::Cleaned { count: 300 }, None, 0),
            (15, EventKind::Drained, None, 0),
            (16, EventKind::Active, Some("a"), 0),
        ];
        assert_eq!(seen, expected);
        assert!(events.iter().all(|event| event.at == 1_234));
        let mut few = Vec::new();
        window(0, vec![entry("10-0", fields)]).events(2, &mut few).expect("it can be read");
        assert_eq!(few.iter().map(|event| event.position).collect::<Vec<_>>(), [10, 11]);
    }

    #[test]
    fn an_entry_that_is_damaged_is_an_error() {
        for fields in [
            vec![bytes(b"m"), bytes(b"n")],
            vec![bytes(b"m"), bytes(&single(b'?', "a", 0, &[]))],
            vec![bytes(b"z"), pack(&["a"])],
            vec![bytes(b"n"), bytes(&[2, 0, 0, 0, 0])],
            vec![bytes(b"n")],
        ] {
            assert!(window(0, vec![entry("1-0", fields)]).events(9, &mut Vec::new()).is_err());
        }
        assert!(window(0, vec![entry("x", vec![])]).events(9, &mut Vec::new()).is_err());
    }
}
