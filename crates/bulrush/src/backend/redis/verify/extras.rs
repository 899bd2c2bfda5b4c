//! Every collection, with the records that its entries need; and the outbox.

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::{Check, PART, Repair, job_of, key, row, shown};
use crate::backend::redis::outbox::read_entry;
use crate::backend::redis::packed::Unpack;
use crate::backend::redis::put_number;
use crate::model::JobState;
use crate::port::Result;

/// Keys of the server looked at in one script: most belong to others.
const KEYS_PART: u64 = 2_000;
/// Flag of a record whose payload is kept beside it (`record.rs`), in the low byte of its flags.
const BIG: u8 = 64;

impl Check<'_> {
    /// A slice of a sorted set.
    pub(super) async fn set(&mut self, key: u64, from: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            put_number(cmd, from);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("set", put).await?;
        let seen = items.len();
        self.dropped = 0;
        while let Some(member) = items.next() {
            let mut member = row(member)?;
            let (name, score) = (member.bytes()?, member.bytes()?);
            let (head, active) = (member.bytes_or_none()?, member.flag()?);
            let held = member.bytes_or_none()?;
            if key == key::DEDUPX {
                let until = held.as_deref().and_then(|held| Unpack::new(held).u48().ok());
                let score = std::str::from_utf8(&score).ok().and_then(|digits| digits.parse().ok());
                if until.is_none() || until != score {
                    let text =
                        format!("key {} is listed to be freed at another time than its own", shown(&name));
                    self.drop_from(7, None, text, Repair::Key(name)).await?;
                }
            } else if head.is_none() {
                let text = format!("{} is in {} and has no record", shown(&name), self.name_of(key));
                self.drop_from(7, job_of(&name), text, Repair::Drop(key, name)).await?;
            } else if key == key::DL && !active {
                let text = "it has a deadline and does not run".to_owned();
                let id = job_of(&name);
                let repair = id.clone().map(|id| Repair::Job(id, false));
                if self.find(2, id, text, repair).await? {
                    self.dropped += 1;
                }
            }
        }
        let next = from + (seen as u64).saturating_sub(self.dropped);
        Ok((seen, (seen == PART).then_some(next)))
    }

    async fn drop_from(
        &mut self,
        invariant: u8,
        job: Option<crate::model::JobId>,
        text: String,
        repair: Repair,
    ) -> Result<()> {
        if self.find(invariant, job, text, Some(repair)).await? {
            self.dropped += 1;
        }
        Ok(())
    }

    fn name_of(&self, key: u64) -> &str {
        self.at.keys.all().nth(key.saturating_sub(1) as usize).unwrap_or_default()
    }

    /// A slice of a hash.
    pub(super) async fn hash(&mut self, key: u64, cursor: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, key);
            cmd.write_arg_fmt(cursor);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("hash", put).await?;
        let (next, mut rows) = (items.number()?, items.items()?);
        let seen = rows.len();
        while let Some(field) = rows.next() {
            let mut field = row(field)?;
            let (name, value) = (field.bytes()?, field.bytes()?);
            let head = field.bytes_or_none()?;
            let listed = field.bytes_or_none()?;
            if key == key::DEDUP {
                self.dedup_key(name, &value, head.as_deref(), listed.as_deref()).await?;
                continue;
            }
            let large = |head: &[u8]| head.get(19).is_some_and(|flags| flags & BIG != 0);
            let needed = head.as_deref().is_some_and(|head| key != key::DATA || large(head));
            if !needed {
                let invariant = if key == key::ACT { 2 } else { 7 };
                let what = if head.is_none() { "has no record" } else { "has its payload in its record" };
                let text = format!("{} is in {} and {what}", shown(&name), self.name_of(key));
                self.find(invariant, job_of(&name), text, Some(Repair::Drop(key, name))).await?;
            }
        }
        Ok((seen, Some(next).filter(|next| *next != 0)))
    }

    /// A deduplication key: who holds it, and until when.
    async fn dedup_key(
        &mut self,
        key: Vec<u8>,
        held: &[u8],
        head: Option<&[u8]>,
        listed: Option<&[u8]>,
    ) -> Result<()> {
        let mut u = Unpack::new(held);
        let until = u.u48().ok().filter(|_| held.len() > 15);
        let listed = listed.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u64>().ok());
        let state = head.and_then(|head| JobState::from_code(*head.get(1)?));
        let holder = held.get(15..).unwrap_or_default();
        let text = match until {
            None => format!("key {} is held by nobody who can be told", shown(&key)),
            Some(0) if state.is_none_or(JobState::is_terminal) => {
                format!(
                    "key {} has no time of its own and is held by {}, which is not pending",
                    shown(&key),
                    shown(holder)
                )
            }
            Some(0) if listed.is_some() => {
                format!("key {} has no time of its own and is listed to be freed", shown(&key))
            }
            Some(until) if until > 0 && listed != Some(until) => {
                format!("key {} is to be freed at {until} and is not listed so", shown(&key))
            }
            Some(_) => return Ok(()),
        };
        self.find(7, None, text, Some(Repair::Key(key))).await?;
        Ok(())
    }

    /// Keys that exist for one job, owner or group each.
    pub(super) async fn keys(&mut self, cursor: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg_fmt(cursor);
            put_number(cmd, KEYS_PART);
        };
        let mut items = self.read("keys", put).await?;
        let (next, mut rows) = (items.number()?, items.items()?);
        let seen = rows.len();
        while let Some(found) = rows.next() {
            let mut found = row(found)?;
            let (name, wrong) = (found.bytes()?, found.text()?);
            let rest = |prefix: &[u8]| name.strip_prefix(prefix).map(<[u8]>::to_vec);
            let places =
                [(key::FAM, &b"fam:"[..]), (key::LOG, b"log:"), (key::OWN, b"own:"), (key::GROUP, b"g:")];
            let place = places.iter().find_map(|(key, prefix)| Some((*key, rest(prefix)?)));
            let text = match wrong.as_str() {
                "unknown" => format!("key {} is none of a queue", shown(&name)),
                wrong => format!("key {} belongs to {wrong} of the queue", shown(&name)),
            };
            let repair =
                place.filter(|_| wrong != "unknown").map(|(key, suffix)| Repair::Unlink(key, suffix));
            self.find(7, None, text, repair).await?;
        }
        Ok((seen.max(PART / 10), Some(next).filter(|next| *next != 0)))
    }

    /// A slice of the outbox.
    pub(super) async fn outbox(&mut self, from: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg_fmt(from);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("out", put).await?;
        let seen = items.len();
        let mut last = from;
        while let Some(entry) = items.next() {
            let mut entry = row(entry)?;
            let (seq, bytes) = (entry.number()?, entry.bytes()?);
            last = last.max(seq);
            if let Err(damaged) = read_entry(seq, &bytes) {
                let text = format!("entry {seq} of the outbox cannot be read, nor delivered: {damaged}");
                self.find(8, None, text, None).await?;
            }
        }
        Ok((seen, (seen == PART).then_some(last + 1)))
    }
}
