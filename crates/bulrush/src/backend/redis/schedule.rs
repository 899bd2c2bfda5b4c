//! Schedules: how they are kept, and the calls about them.
//!
//! What is asked for (`schd`) is opaque to scripts: the length of the timing u32, the timing, the rest, as the codec has both. How a schedule
//! stands (`sch`) is read and written by scripts:
//!
//! ```text
//! flags u8: enabled 1, overlap skips 2, replaces 4 | revision u48 | next slot u48 (0 none) | anchor u48 | end u48 (0 none) | limit u48 (0 none) |
//! fired u48 | skipped u48 | missed u48 | last slot u48 (0 none) | created u48 | updated u48 | length and bytes of the last job's id |
//! of an owned one: tenant and user, each with a length u16
//! ```

use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{Cmd, RedisWrite, cmd};

use super::add::put_delivered;
use super::blocking::End;
use super::maintain::put_scope;
use super::outbox::entries;
use super::packed::{Damaged, Unpack, put_text};
use super::reply::{Items, id_of, strange, unreadable};
use super::script::Script;
use super::time::left;
use super::{Answer, At, ROUNDS_MAX, Redis, Settings, Via, put_number};
use crate::core::check::{check_fires, check_items, check_schedule};
use crate::model::codec::{ScheduleParts, decode_schedule};
use crate::model::{
    Millis, Overlap, QueueName, ScheduleError, ScheduleId, SchedulePage, ScheduleSpec, ScheduleState,
    ScheduleView, Scope,
};
use crate::port::{
    BoxFuture, DueSchedules, Error, Fire, FireReply, Fired, Put, PutOutcome, PutReply, Result,
    ScheduleChange, ScheduleResult, Schedules,
};

/// Schedules of one page, at most.
const PAGE_MAX: usize = 1_000;
/// Longest wait that is asked of the server.
const WAIT_MAX: Duration = Duration::from_mins(1);

mod flag {
    pub const ENABLED: u8 = 1;
    pub const SKIPS: u8 = 1 << 1;
    pub const REPLACES: u8 = 1 << 2;
}

/// What decides whether a schedule may fire.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    enabled: bool,
    spent: bool,
    /// Its next slot.
    pub next: Option<Millis>,
}

impl Standing {
    /// Reads it from a state.
    pub fn read(bytes: &[u8]) -> Result<Self, Damaged> {
        let (enabled, state) = read_state(bytes)?;
        // Behind flags, revision, next slot, anchor and end.
        let limit = Unpack::new(&bytes[1 + 4 * 6..]).u48()?;
        Ok(Self { enabled, spent: limit > 0 && state.fired >= limit, next: state.next })
    }

    /// Whether it may stand at a slot.
    pub fn may_fire(&self) -> bool {
        self.enabled && !self.spent
    }
}

/// How a schedule stands, as far as it is not told by what is asked for.
fn read_state(bytes: &[u8]) -> Result<(bool, ScheduleState), Damaged> {
    let mut u = Unpack::new(bytes);
    let flags = u.u8()?;
    let some = |value: u64| Some(value).filter(|value| *value > 0);
    let (revision, next, anchor) = (u.u48()?, some(u.u48()?), u.u48()?);
    let (_end, _limit) = (u.u48()?, u.u48()?);
    let (fired, skipped, missed) = (u.u48()?, u.u48()?, u.u48()?);
    let (last_slot, created_at, updated_at) = (some(u.u48()?), u.u48()?, u.u48()?);
    let len = usize::from(u.u8()?);
    let id = u.take(len)?;
    let last_job = if id.is_empty() { None } else { Some(id_of(id).map_err(|_| Damaged::Bad("job id"))?) };
    let state = ScheduleState {
        revision,
        next,
        anchor,
        fired,
        skipped,
        missed,
        last_slot,
        last_job,
        created_at,
        updated_at,
    };
    Ok((flags & flag::ENABLED != 0, state))
}

fn read_view(queue: &QueueName, id: &[u8], state: &[u8], definition: &[u8]) -> Result<ScheduleView> {
    let id = std::str::from_utf8(id).ok().and_then(|id| ScheduleId::new(id).ok());
    let id = id.ok_or_else(|| strange("the id of a schedule"))?;
    let what = || format!("schedule {id} of queue {queue}");
    let (enabled, state) = read_state(state).map_err(unreadable(what()))?;
    let mut u = Unpack::new(definition);
    let mut parts = || {
        let len = u.u32()? as usize;
        Ok::<_, Damaged>((u.take(len)?, u.rest()))
    };
    let (timing, rest) = parts().map_err(unreadable(what()))?;
    let spec = decode_schedule(id.clone(), timing, rest, enabled)
        .map_err(|error| Error::Unreadable { what: what(), reason: error.to_string() })?;
    Ok(ScheduleView { queue: queue.clone(), spec: Arc::new(spec), state })
}

/// A row of the script: id, state, definition.
fn read_row(queue: &QueueName, row: &mut Items) -> Result<ScheduleView> {
    let (id, state, definition) = (row.bytes()?, row.bytes()?, row.bytes()?);
    read_view(queue, &id, &state, &definition)
}

fn put_spec(cmd: &mut Cmd, spec: &ScheduleSpec, first: Option<Millis>, now: Millis, put: Put) {
    let on = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = on(spec.enabled, flag::ENABLED)
        | on(spec.overlap == Overlap::Skip, flag::SKIPS)
        | on(spec.overlap == Overlap::Replace, flag::REPLACES);
    cmd.write_arg(spec.id.as_str().as_bytes());
    match put {
        Put::Always => cmd.write_arg(b"a"),
        Put::Once => cmd.write_arg(b"o"),
        // No schedule stands at 0.
        Put::At(revision) => put_number(cmd, revision.unwrap_or(0)),
    }
    for number in [
        u64::from(flags),
        first.unwrap_or(0),
        spec.anchor_at(now),
        spec.end.unwrap_or(0),
        // As far as the record's 48 bits go; nobody comes so far.
        spec.limit.map_or(0, |limit| limit.min((1 << 48) - 1)),
    ] {
        put_number(cmd, number);
    }
    let mut owner = Vec::new();
    if let Some(of) = &spec.owner {
        put_text(&mut owner, of.tenant.as_bytes());
        put_text(&mut owner, of.user.as_bytes());
    }
    cmd.write_arg(&owner);
    let parts = ScheduleParts::of(spec);
    cmd.write_arg(&parts.timing);
    cmd.write_arg(&parts.rest);
}

fn put_fire(cmd: &mut Cmd, queue: &QueueName, settings: &Settings, fire: &Fire) {
    cmd.write_arg(fire.spec.id.as_str().as_bytes());
    for number in [fire.revision, fire.slot, fire.fires.unwrap_or(0), fire.missed, fire.next.unwrap_or(0)] {
        put_number(cmd, number);
    }
    match fire.fires {
        Some(slot) => put_delivered(cmd, queue, settings, &fire.spec.slot_job(slot)),
        None => (0..4).for_each(|_| cmd.write_arg(b"")),
    }
}

fn read_fired(row: &mut Items) -> Result<Fired> {
    let (letter, job) = (row.bytes()?, row.bytes()?);
    Ok(match letter.as_slice() {
        b"A" => Fired::Added(id_of(&job)?),
        b"T" => Fired::There(id_of(&job)?),
        b"S" => Fired::Skipped,
        b"P" => Fired::Passed,
        b"M" => Fired::Stale,
        b"E" => Fired::Early,
        b"U" => Fired::Unknown,
        _ => return Err(strange("what became of a slot")),
    })
}

fn put_ids(cmd: &mut Cmd, ids: &[ScheduleId]) {
    cmd.write_arg_fmt(ids.len());
    for id in ids {
        cmd.write_arg(id.as_str().as_bytes());
    }
}

impl Redis {
    /// Asks for schedules. Returns the queue's time and the rest.
    async fn look_at_schedules(
        &self,
        at: &At,
        what: &str,
        arguments: impl FnOnce(&mut Cmd),
    ) -> Result<(Millis, Items)> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg(what.as_bytes());
            arguments(cmd);
        };
        self.done(Via::Pool, Script::Schedules, at, put).await
    }

    async fn schedule_views(
        &self,
        at: &At,
        scope: &Scope,
        ids: &[ScheduleId],
    ) -> Result<(Millis, Vec<Option<ScheduleView>>)> {
        let put = |cmd: &mut Cmd| {
            put_scope(cmd, scope);
            for id in ids {
                cmd.write_arg(id.as_str().as_bytes());
            }
        };
        let (now, mut items) = self.look_at_schedules(at, "get", put).await?;
        let mut rows = items.items()?;
        let mut views = Vec::with_capacity(ids.len());
        while let Some(row) = rows.next() {
            views.push(match Items::of(row) {
                Ok(mut row) => Some(read_row(&at.name, &mut row)?),
                // Nothing stands in its place.
                Err(_) => None,
            });
        }
        Ok((now, views))
    }

    async fn put_a_schedule(
        &self,
        at: &At,
        scope: &Scope,
        spec: &ScheduleSpec,
        put: Put,
    ) -> Result<PutReply> {
        // The queue's time: what is put counts from there.
        let (now, _) = self.look_at_schedules(at, "first", |_| {}).await?;
        let first = spec.first_slot(now)?;
        self.list(Via::Pool, at).await?;
        let check = |settings: &Settings| check_schedule(scope, spec, &settings.config.bounds);
        let answer = self
            .checked(Via::Pool, Script::PutSchedule, at, check, |cmd, settings| {
                cmd.write_arg_fmt(settings.version);
                put_scope(cmd, scope);
                put_spec(cmd, spec, first, now, put);
            })
            .await?;
        match answer {
            Answer::Done(_, mut items) => {
                let outcome = match items.bytes()?.as_slice() {
                    b"N" => PutOutcome::New,
                    b"C" => PutOutcome::Changed,
                    b"S" => PutOutcome::Same,
                    b"K" => PutOutcome::Known,
                    b"M" => PutOutcome::Moved,
                    b"T" => PutOutcome::Taken,
                    _ => return Err(strange("what became of a schedule")),
                };
                let schedule = match (items.bytes_or_none()?, items.bytes_or_none()?) {
                    (Some(state), Some(definition)) => {
                        Some(read_view(&at.name, spec.id.as_str().as_bytes(), &state, &definition)?)
                    }
                    _ => None,
                };
                Ok(PutReply { outcome, schedule })
            }
            Answer::Word(word, mut rest) => Err(match (word.as_slice(), spec.limit) {
                (b"never", _) => ScheduleError::Never { from: now }.into(),
                (b"spent", Some(limit)) => ScheduleError::Spent { limit, fired: rest.number()? }.into(),
                _ => strange("a moment"),
            }),
        }
    }

    async fn change_some(
        &self,
        at: &At,
        scope: &Scope,
        ids: &[ScheduleId],
        arguments: impl Fn(&mut Cmd),
    ) -> Result<Vec<u8>> {
        let check = |settings: &Settings| check_items(ids.len(), &settings.config.bounds);
        let answer = self
            .checked(Via::Pool, Script::ChangeSchedules, at, check, |cmd, settings| {
                cmd.write_arg_fmt(settings.version);
                put_scope(cmd, scope);
                arguments(cmd);
            })
            .await?;
        match answer {
            Answer::Done(_, mut items) => Ok(items.bytes_or_none()?.unwrap_or_default()),
            Answer::Word(..) => Err(strange("a moment")),
        }
    }

    /// Lets a schedule fire from now on. Its first slot is found out here, so it is looked at again if it has changed meanwhile.
    async fn enable_schedule(&self, at: &At, scope: &Scope, id: &ScheduleId) -> Result<ScheduleResult> {
        let id = std::slice::from_ref(id);
        for _ in 0..ROUNDS_MAX {
            let (now, mut views) = self.schedule_views(at, scope, id).await?;
            let Some(view) = views.pop().flatten() else { return Ok(ScheduleResult::Unknown) };
            // What is kept was understood when it was put; a schedule of a newer version that is not goes nowhere.
            let first = view.slot_after(now).ok().flatten().unwrap_or(0);
            let letters = self
                .change_some(at, scope, id, |cmd| {
                    cmd.write_arg(b"enable");
                    cmd.write_arg(view.id().as_str().as_bytes());
                    put_number(cmd, view.state.revision);
                    put_number(cmd, first);
                })
                .await?;
            if letters != b"M" {
                return result_of(letters.first().copied());
            }
        }
        Err(Error::Unsettled)
    }
}

fn result_of(letter: Option<u8>) -> Result<ScheduleResult> {
    match letter {
        Some(b'D') => Ok(ScheduleResult::Done),
        Some(b'S') => Ok(ScheduleResult::Same),
        Some(b'O') => Ok(ScheduleResult::Over),
        Some(b'U') => Ok(ScheduleResult::Unknown),
        _ => Err(strange("what became of a schedule")),
    }
}

impl Schedules for Redis {
    fn put_schedule<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        spec: ScheduleSpec,
        put: Put,
    ) -> BoxFuture<'a, Result<PutReply>> {
        Box::pin(async move {
            self.check_open()?;
            self.put_a_schedule(&self.at(queue), scope, &spec, put).await
        })
    }

    fn change_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
        change: ScheduleChange,
    ) -> BoxFuture<'a, Result<Vec<ScheduleResult>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let word: &[u8] = match change {
                ScheduleChange::Remove => b"remove",
                ScheduleChange::Disable => b"disable",
                ScheduleChange::Enable => {
                    check_items(ids.len(), &at.settings.get().config.bounds)?;
                    let mut results = Vec::with_capacity(ids.len());
                    for id in &ids {
                        results.push(self.enable_schedule(&at, scope, id).await?);
                    }
                    return Ok(results);
                }
            };
            let letters = self
                .change_some(&at, scope, &ids, |cmd| {
                    cmd.write_arg(word);
                    put_ids(cmd, &ids);
                })
                .await?;
            letters.into_iter().map(|letter| result_of(Some(letter))).collect()
        })
    }

    fn get_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        ids: Vec<ScheduleId>,
    ) -> BoxFuture<'a, Result<Vec<Option<ScheduleView>>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let mut views = Vec::with_capacity(ids.len());
            for ids in ids.chunks(100) {
                views.extend(self.schedule_views(&at, scope, ids).await?.1);
            }
            Ok(views)
        })
    }

    fn list_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        after: Option<ScheduleId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<SchedulePage>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let bytes = at.settings.get().config.bounds.call_bytes;
            let put = |cmd: &mut Cmd| {
                put_scope(cmd, scope);
                cmd.write_arg(after.as_ref().map_or("", ScheduleId::as_str).as_bytes());
                put_number(cmd, limit.clamp(1, PAGE_MAX) as u64);
                put_number(cmd, bytes as u64);
            };
            let (_, mut items) = self.look_at_schedules(&at, "list", put).await?;
            let schedules = items.rows(|row| read_row(queue, row))?;
            let next = items.text()?;
            let next = if next.is_empty() { None } else { Some(ScheduleId::new(&next)?) };
            Ok(SchedulePage { schedules, next })
        })
    }

    fn due_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let bytes = at.settings.get().config.bounds.call_bytes;
            let put = |cmd: &mut Cmd| {
                put_number(cmd, limit.clamp(1, PAGE_MAX) as u64);
                put_number(cmd, bytes as u64);
            };
            let (now, mut items) = self.look_at_schedules(&at, "due", put).await?;
            let due = items.rows(|row| read_row(queue, row))?;
            Ok(DueSchedules { now, due, next: items.moment()? })
        })
    }

    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let check = |settings: &Settings| check_fires(&fires, &settings.config.bounds);
            let answer = self
                .checked(Via::Pool, Script::Fire, &at, check, |cmd, settings| {
                    cmd.write_arg_fmt(settings.version);
                    cmd.write_arg_fmt(fires.len());
                    for fire in &fires {
                        put_fire(cmd, queue, settings, fire);
                    }
                })
                .await?;
            let Answer::Done(now, mut items) = answer else { return Err(strange("a moment")) };
            let fired = items.rows(read_fired)?;
            Ok(FireReply { fired, outbox: entries(&mut items)?, now })
        })
    }

    fn wait_due<'a>(&'a self, queue: &'a QueueName, until: Millis) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            // Which entry told last is of the same moment as the first slot, so none in between is missed.
            let (now, mut items) = self.look_at_schedules(&at, "first", |_| {}).await?;
            let (first, told) = (items.moment()?, items.text()?);
            let until = first.map_or(until, |first| first.min(until));
            if until <= now {
                return Ok(());
            }
            let limit = if self.test_time.is_some() { WAIT_MAX } else { left(until, now).min(WAIT_MAX) };
            let end = async {
                match &self.test_time {
                    Some(time) => time.clock.sleep_until(until).await,
                    None => tokio::time::sleep(limit).await,
                }
            };
            let mut read = cmd("XREAD");
            read.arg("COUNT").arg(1).arg("BLOCK").arg(limit.as_millis().max(1) as u64);
            read.arg("STREAMS").arg(at.keys.sooner()).arg(told);
            tokio::select! {
                biased;
                () = self.closed.cancelled() => Err(Error::Closed),
                seen = self.blocking.call(read, End::Unblock, limit, |_| None) => seen.map(drop),
                () = end => Ok(()),
            }
        })
    }
}
