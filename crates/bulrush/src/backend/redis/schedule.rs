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

use super::add::put_slot_job;
use super::blocking::End;
use super::maintain::put_scope;
use super::outbox::entries;
use super::packed::{Damaged, Unpack, put_text, put_u48, put_u64};
use super::reply::{Items, id_of, strange, unreadable};
use super::script::Script;
use super::time::left;
use super::{Answer, At, ROUNDS_MAX, Redis, Settings, Via, put_number};
use crate::core::check::{check_fires, check_items, check_schedules};
use crate::model::codec::{ScheduleParts, decode_schedule};
use crate::model::{
    Millis, NewJob, Overlap, QueueName, ScheduleError, ScheduleId, SchedulePage, ScheduleSpec, ScheduleState,
    ScheduleView, Scope, UnreadableSchedule,
};
use crate::port::{
    BoxFuture, DuePlace, DueSchedules, Error, Fire, FireReply, Fired, Put, PutOutcome, PutReply, Result,
    ScheduleChange, ScheduleResult, Schedules,
};

/// Schedules of one page, at most.
const PAGE_MAX: usize = 1_000;
/// Schedules that are read by id in one call, at most.
const GET_MAX: usize = 100;
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

/// What the server keeps of a schedule; a part may be gone.
struct Row {
    id: Vec<u8>,
    state: Option<Vec<u8>>,
    definition: Option<Vec<u8>>,
}

impl Row {
    /// A row of the script: id, state, definition.
    fn take(items: &mut Items) -> Result<Self> {
        Ok(Self { id: items.bytes()?, state: items.bytes_or_none()?, definition: items.bytes_or_none()? })
    }

    fn read(&self, queue: &QueueName) -> Result<ScheduleView, UnreadableSchedule> {
        let text = String::from_utf8_lossy(&self.id);
        let unreadable = |reason: String| UnreadableSchedule { id: text.clone().into_owned(), reason };
        let id = std::str::from_utf8(&self.id).ok().and_then(|id| ScheduleId::new(id).ok());
        let id = id.ok_or_else(|| unreadable("its id is not one that is allowed".to_owned()))?;
        let half =
            || unreadable("half of it is gone; verify the queue with repair, or put it anew".to_owned());
        let state = self.state.as_deref().ok_or_else(half)?;
        let definition = self.definition.as_deref().ok_or_else(half)?;
        let damaged = |error: &dyn std::fmt::Display| {
            unreadable(format!(
                "a newer version has written it, or it is damaged ({error}); upgrade, put it anew or remove it"
            ))
        };
        let (enabled, state) = read_state(state).map_err(|error| damaged(&error))?;
        let mut u = Unpack::new(definition);
        let mut parts = || {
            let len = u.u32()? as usize;
            Ok::<_, Damaged>((u.take(len)?, u.rest()))
        };
        let (timing, rest) = parts().map_err(|error| damaged(&error))?;
        let spec = decode_schedule(id, timing, rest, enabled).map_err(|error| damaged(&error))?;
        Ok(ScheduleView { queue: queue.clone(), spec: Arc::new(spec), state })
    }
}

/// Rows of the script, those apart that cannot be read.
fn read_rows(queue: &QueueName, items: &mut Items) -> Result<(Vec<ScheduleView>, Vec<UnreadableSchedule>)> {
    let (mut views, mut unreadable) = (Vec::new(), Vec::new());
    for row in items.rows(Row::take)? {
        match row.read(queue) {
            Ok(view) => views.push(view),
            Err(reason) => unreadable.push(reason),
        }
    }
    Ok((views, unreadable))
}

fn cannot_be_read(queue: &QueueName, UnreadableSchedule { id, reason }: UnreadableSchedule) -> Error {
    Error::Unreadable { what: format!("schedule {id} of queue {queue}"), reason }
}

fn put_spec(cmd: &mut Cmd, spec: &ScheduleSpec, first: Option<Millis>, now: Millis) {
    let on = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = on(spec.enabled, flag::ENABLED)
        | on(spec.overlap == Overlap::Skip, flag::SKIPS)
        | on(spec.overlap == Overlap::Replace, flag::REPLACES);
    cmd.write_arg(spec.id.as_str().as_bytes());
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

fn put_fire(
    cmd: &mut Cmd,
    queue: &QueueName,
    settings: &Settings,
    (fire, job): (&Fire, Option<&NewJob>),
    buffer: &mut Vec<u8>,
) {
    cmd.write_arg(fire.spec.id.as_str().as_bytes());
    buffer.clear();
    for number in [fire.revision, fire.slot, fire.fires.unwrap_or(0), fire.missed, fire.next.unwrap_or(0)] {
        put_u48(buffer, number);
    }
    if let Some(job) = job {
        put_slot_job(cmd, queue, settings, job, buffer);
    } else {
        put_u64(buffer, 0);
        cmd.write_arg(buffer);
        (0..3).for_each(|_| cmd.write_arg(b""));
    }
}

fn fired_of(letter: u8, job: Option<NewJob>) -> Result<Fired> {
    let id = || job.map(|job| job.spec.id).ok_or_else(|| strange("a slot that fires no job"));
    Ok(match letter {
        b'A' => Fired::Added(id()?),
        b'T' => Fired::There(id()?),
        b'S' => Fired::Skipped,
        b'P' => Fired::Passed,
        b'M' => Fired::Stale,
        b'E' => Fired::Early,
        b'U' => Fired::Unknown,
        _ => return Err(strange("what became of a slot")),
    })
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
                Ok(mut row) => {
                    let row = Row::take(&mut row)?.read(&at.name);
                    Some(row.map_err(|unreadable| cannot_be_read(&at.name, unreadable))?)
                }
                // Nothing stands in its place.
                Err(_) => None,
            });
        }
        Ok((now, views))
    }

    async fn put_some(
        &self,
        at: &At,
        scope: &Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> Result<Vec<PutReply>> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        // The queue's time: what is put counts from there.
        let (now, _) = self.look_at_schedules(at, "first", |cmd| put_number(cmd, 0)).await?;
        let check = |settings: &Settings| check_schedules(scope, &specs, &settings.config.bounds);
        self.list(Via::Pool, at).await?;
        // What is not understood is told of by the check, with the rest that cannot be.
        let firsts: Vec<_> = specs.iter().map(|spec| spec.first_slot(now).ok().flatten()).collect();
        let answer = self
            .checked(Via::Pool, Script::PutSchedules, at, check, |cmd, settings| {
                cmd.write_arg_fmt(settings.version);
                put_scope(cmd, scope);
                match put {
                    Put::Always => cmd.write_arg(b"a"),
                    Put::Once => cmd.write_arg(b"o"),
                    // No schedule stands at 0.
                    Put::At(revision) => put_number(cmd, revision.unwrap_or(0)),
                }
                cmd.write_arg_fmt(specs.len());
                for (spec, first) in specs.iter().zip(&firsts) {
                    put_spec(cmd, spec, *first, now);
                }
            })
            .await?;
        match answer {
            Answer::Done(_, mut items) => {
                let rows =
                    items.rows(|row| Ok((row.bytes()?, row.bytes_or_none()?, row.bytes_or_none()?)))?;
                if rows.len() != specs.len() {
                    return Err(strange("what became of each schedule"));
                }
                let mut replies = Vec::with_capacity(rows.len());
                for (spec, (letter, state, definition)) in specs.into_iter().zip(rows) {
                    replies.push(read_put(&at.name, spec, &letter, state, definition)?);
                }
                Ok(replies)
            }
            Answer::Word(word, mut rest) => {
                let item = (rest.number()? as usize).checked_sub(1);
                let spec =
                    item.and_then(|item| specs.get(item)).ok_or_else(|| strange("a schedule's place"))?;
                let reason = match (word.as_slice(), spec.limit) {
                    (b"never", _) => ScheduleError::Never { from: now },
                    (b"spent", Some(limit)) => ScheduleError::Spent { limit, fired: rest.number()? },
                    _ => return Err(strange("a moment")),
                };
                Err(Error::SchedulePut { schedule: spec.id.clone(), reason })
            }
        }
    }

    /// Changes some; what each needs to be told of is `each`.
    async fn change_some(
        &self,
        at: &At,
        scope: &Scope,
        command: &[u8],
        ids: &[&ScheduleId],
        each: impl Fn(&mut Cmd, usize),
    ) -> Result<Vec<u8>> {
        let check = |settings: &Settings| check_items(ids.len(), &settings.config.bounds);
        let answer = self
            .checked(Via::Pool, Script::ChangeSchedules, at, check, |cmd, settings| {
                cmd.write_arg_fmt(settings.version);
                put_scope(cmd, scope);
                cmd.write_arg(command);
                cmd.write_arg_fmt(ids.len());
                for (item, id) in ids.iter().enumerate() {
                    cmd.write_arg(id.as_str().as_bytes());
                    each(cmd, item);
                }
            })
            .await?;
        match answer {
            Answer::Done(_, mut items) => {
                let letters = items.bytes_or_none()?.unwrap_or_default();
                if letters.len() == ids.len() {
                    Ok(letters)
                } else {
                    Err(strange("what became of each schedule"))
                }
            }
            Answer::Word(word, mut rest) if word == b"unreadable" => {
                let item = (rest.number()? as usize).checked_sub(1);
                let id = item.and_then(|item| ids.get(item)).ok_or_else(|| strange("a schedule's place"))?;
                let reason = "how it stands is damaged, or a newer version has written it; upgrade, put it anew or remove it";
                let unreadable = UnreadableSchedule { id: id.to_string(), reason: reason.to_owned() };
                Err(cannot_be_read(&at.name, unreadable))
            }
            Answer::Word(..) => Err(strange("a moment")),
        }
    }

    /// Lets schedules fire from now on. Their first slots are found out here, so those are looked at again that have changed meanwhile.
    async fn enable(&self, at: &At, scope: &Scope, ids: &[ScheduleId]) -> Result<Vec<ScheduleResult>> {
        let mut results = vec![ScheduleResult::Unknown; ids.len()];
        let mut open: Vec<usize> = (0..ids.len()).collect();
        for _ in 0..ROUNDS_MAX {
            let mut asked = Vec::with_capacity(open.len());
            for some in open.chunks(GET_MAX) {
                let ids: Vec<ScheduleId> = some.iter().map(|item| ids[*item].clone()).collect();
                let (now, views) = self.schedule_views(at, scope, &ids).await?;
                for (item, view) in some.iter().zip(views) {
                    let Some(view) = view else { continue };
                    // One that is enabled stays as it is, understood or not.
                    let first = if view.spec.enabled { None } else { view.slot_after(now)? };
                    asked.push((*item, view.state.revision, first));
                }
            }
            let named: Vec<&ScheduleId> = asked.iter().map(|(item, ..)| &ids[*item]).collect();
            let letters = self
                .change_some(at, scope, b"enable", &named, |cmd, place| {
                    let (_, revision, first) = asked[place];
                    put_number(cmd, revision);
                    put_number(cmd, first.unwrap_or(0));
                })
                .await?;
            open.clear();
            for ((item, ..), letter) in asked.iter().zip(letters) {
                if letter == b'M' {
                    open.push(*item);
                } else {
                    results[*item] = result_of(letter)?;
                }
            }
            if open.is_empty() {
                return Ok(results);
            }
        }
        Err(Error::Unsettled)
    }
}

/// What became of a schedule that was put.
fn read_put(
    queue: &QueueName,
    spec: ScheduleSpec,
    letter: &[u8],
    state: Option<Vec<u8>>,
    definition: Option<Vec<u8>>,
) -> Result<PutReply> {
    let outcome = match letter {
        b"N" => PutOutcome::New,
        b"C" => PutOutcome::Changed,
        b"S" => PutOutcome::Same,
        b"K" => PutOutcome::Known,
        b"M" => PutOutcome::Moved,
        b"T" => PutOutcome::Taken,
        _ => return Err(strange("what became of a schedule")),
    };
    let schedule = match (outcome, state) {
        (PutOutcome::Taken, _) | (_, None) => None,
        // It is no matter of this call whether what is there can be read.
        (PutOutcome::Known | PutOutcome::Moved, state) => {
            Row { id: spec.id.as_str().as_bytes().to_vec(), state, definition }.read(queue).ok()
        }
        (_, Some(state)) => {
            let (_, state) = read_state(&state).map_err(unreadable(format!("schedule {}", spec.id)))?;
            Some(ScheduleView { queue: queue.clone(), spec: Arc::new(spec), state })
        }
    };
    Ok(PutReply { outcome, schedule })
}

fn result_of(letter: u8) -> Result<ScheduleResult> {
    match letter {
        b'D' => Ok(ScheduleResult::Done),
        b'S' => Ok(ScheduleResult::Same),
        b'O' => Ok(ScheduleResult::Over),
        b'U' => Ok(ScheduleResult::Unknown),
        _ => Err(strange("what became of a schedule")),
    }
}

impl Schedules for Redis {
    fn put_schedules<'a>(
        &'a self,
        queue: &'a QueueName,
        scope: &'a Scope,
        specs: Vec<ScheduleSpec>,
        put: Put,
    ) -> BoxFuture<'a, Result<Vec<PutReply>>> {
        Box::pin(async move {
            self.check_open()?;
            self.put_some(&self.at(queue), scope, specs, put).await
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
                    return self.enable(&at, scope, &ids).await;
                }
            };
            let named: Vec<&ScheduleId> = ids.iter().collect();
            let letters = self.change_some(&at, scope, word, &named, |_, _| {}).await?;
            letters.into_iter().map(result_of).collect()
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
            for ids in ids.chunks(GET_MAX) {
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
            let (schedules, unreadable) = read_rows(queue, &mut items)?;
            let next = items.text()?;
            let next = if next.is_empty() { None } else { Some(ScheduleId::new(&next)?) };
            Ok(SchedulePage { schedules, unreadable, next })
        })
    }

    fn due_schedules_after<'a>(
        &'a self,
        queue: &'a QueueName,
        after: Option<DuePlace>,
        limit: usize,
    ) -> BoxFuture<'a, Result<DueSchedules>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let bytes = at.settings.get().config.bounds.call_bytes;
            let put = |cmd: &mut Cmd| {
                put_number(cmd, limit.clamp(1, PAGE_MAX) as u64);
                put_number(cmd, bytes as u64);
                put_number(cmd, after.as_ref().map_or(0, |place| place.slot));
                cmd.write_arg(after.as_ref().map_or(b"", |place| &place.id));
            };
            let (now, mut items) = self.look_at_schedules(&at, "due", put).await?;
            let (due, unreadable) = read_rows(queue, &mut items)?;
            let (next, slot, id) = (items.moment()?, items.number()?, items.bytes()?);
            let more = (!id.is_empty()).then(|| DuePlace { slot, id: id.into() });
            Ok(DueSchedules { now, due, unreadable, next, more })
        })
    }

    fn fire<'a>(&'a self, queue: &'a QueueName, fires: Vec<Fire>) -> BoxFuture<'a, Result<FireReply>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let jobs: Vec<Option<NewJob>> = fires.iter().map(Fire::job).collect();
            let check = |settings: &Settings| check_fires(&fires, &jobs, &settings.config.bounds);
            let answer = self
                .checked(Via::Pool, Script::Fire, &at, check, |cmd, settings| {
                    cmd.write_arg_fmt(settings.version);
                    cmd.write_arg_fmt(fires.len());
                    let mut buffer = Vec::with_capacity(256);
                    for (fire, job) in fires.iter().zip(&jobs) {
                        put_fire(cmd, queue, settings, (fire, job.as_ref()), &mut buffer);
                    }
                })
                .await?;
            let Answer::Done(now, mut items) = answer else { return Err(strange("a moment")) };
            let letters = items.bytes_or_none()?.unwrap_or_default();
            if letters.len() != jobs.len() {
                return Err(strange("what became of each slot"));
            }
            let fired = letters.into_iter().zip(jobs).map(|(letter, job)| fired_of(letter, job));
            Ok(FireReply { fired: fired.collect::<Result<_>>()?, outbox: entries(&mut items)?, now })
        })
    }

    fn wait_due_after<'a>(
        &'a self,
        queue: &'a QueueName,
        from: Millis,
        until: Millis,
    ) -> BoxFuture<'a, Result<()>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            // Which entry told last is of the same moment as the first slot, so none in between is missed.
            let (now, mut items) = self.look_at_schedules(&at, "first", |cmd| put_number(cmd, from)).await?;
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
