//! Schedules: each listed where it stands, and nothing listed that is not there.

use deadpool_redis::redis::{Cmd, RedisWrite};

use super::{Check, PART, Repair, key, row, shown};
use crate::backend::redis::put_number;
use crate::backend::redis::schedule::Standing;
use crate::port::Result;

impl Check<'_> {
    /// A slice of the schedules.
    pub(super) async fn schedules(&mut self, cursor: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg_fmt(cursor);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("schedules", put).await?;
        let (next, mut rows) = (items.number()?, items.items()?);
        let seen = rows.len();
        while let Some(schedule) = rows.next() {
            let mut schedule = row(schedule)?;
            let (id, state) = (schedule.bytes()?, schedule.bytes()?);
            let listed = schedule.bytes_or_none()?;
            let (read_by_id, whole) = (schedule.flag()?, schedule.flag()?);
            let listed = listed.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse::<u64>().ok());
            let name = shown(&id);
            let text = match Standing::read(&state) {
                Err(damaged) => format!("how schedule {name} stands cannot be read: {damaged}"),
                Ok(_) if !whole => format!("what is asked for by schedule {name} is gone"),
                Ok(it) if it.next.is_some() && !it.may_fire() => {
                    format!("schedule {name} must not fire and stands at {:?}", it.next)
                }
                Ok(it) if it.next != listed => {
                    format!("schedule {name} stands at {:?} and is listed at {listed:?}", it.next)
                }
                Ok(_) if !read_by_id => format!("schedule {name} is not among those that are read by id"),
                Ok(_) => continue,
            };
            self.find(8, None, text, Some(Repair::Schedule(id))).await?;
        }
        Ok((seen, Some(next).filter(|next| *next != 0)))
    }

    /// A slice of what is listed, or asked for, under ids of schedules.
    pub(super) async fn strays(&mut self, place: u64, from: u64) -> Result<(usize, Option<u64>)> {
        let put = |cmd: &mut Cmd| {
            put_number(cmd, place);
            cmd.write_arg_fmt(from);
            put_number(cmd, PART as u64);
        };
        let mut items = self.read("strays", put).await?;
        let (cursor, seen, mut strays) = (items.number()?, items.number()?, items.items()?);
        let mut dropped = 0;
        while strays.len() > 0 {
            let id = strays.bytes()?;
            let text = format!("{} is no schedule and stands among them", shown(&id));
            dropped += u64::from(self.find(7, None, text, Some(Repair::Schedule(id))).await?);
        }
        let next = if place == key::SCHD {
            Some(cursor).filter(|cursor| *cursor != 0)
        } else {
            (seen == PART as u64).then_some(from + seen - dropped)
        };
        Ok((seen as usize, next))
    }
}
