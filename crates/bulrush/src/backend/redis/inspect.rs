//! Reading queues. Nothing here changes one, and a queue that nobody has made is read as empty.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use deadpool_redis::redis::{RedisWrite, Value, cmd, pipe};
use tokio::time::Instant;

use super::blocking::End;
use super::events::Window;
use super::outbox::read_row;
use super::packed::Unpack;
use super::record::Kept;
use super::reply::{Items, strange, unreadable};
use super::script::Script;
use super::settings::{Settings, bad_record};
use super::{At, Redis, Via, keys, put_number, rollups};
use crate::model::{
    Child, Counts, EventPage, JobId, JobPage, JobView, Millis, PageRequest, QueueName, Rollup, WorkerId,
};
use crate::port::{
    BoxFuture, Check, Condition, Error, Explanation, Inspect, QueueInfo, Result, Totals, VerifyPage,
    WorkerInfo, WorkerState,
};

/// Jobs read in one call of a script.
const GET_MAX: usize = 500;
/// Entries of the stream read in one call of a script. One may hold a thousand events and more.
const ENTRIES_MAX: usize = 200;
/// The largest whole number that Lua keeps exactly; a queue would need as many events to get there.
const POSITION_MAX: u64 = 1 << 53;
/// Longest wait for events at the server in one go.
const WAIT_MAX: Duration = Duration::from_mins(1);
const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;
/// How long roll-ups are kept: by the minute, and by the hour.
const MINUTES_KEPT: usize = 24 * 60;
const HOURS_KEPT: usize = 30 * 24;

impl Inspect for Redis {
    fn now(&self) -> BoxFuture<'_, Result<Millis>> {
        Box::pin(self.moment(Via::Pool))
    }

    fn condition(&self) -> Arc<Condition> {
        if self.closed.is_cancelled() {
            let last = self.watch.last();
            let closed = Check::hindrance("store", "it was closed", "open it again");
            return Arc::new(Condition { durability: last.durability, checks: vec![closed] });
        }
        self.watch.last()
    }

    fn queues(&self) -> BoxFuture<'_, Result<Vec<QueueName>>> {
        Box::pin(async {
            let mut members = cmd("SMEMBERS");
            members.arg(keys::queues(&self.namespace));
            let mut names = Items::of(self.plain(Via::Pool, &members).await?)?;
            let mut queues = Vec::with_capacity(names.len());
            while names.len() > 0 {
                // What is no name was not written here.
                queues.extend(QueueName::new(&names.text()?));
            }
            queues.sort();
            // A queue is made by what is left in it, which may be nothing.
            let mut looks = pipe();
            for queue in &queues {
                looks.cmd("EXISTS").arg(self.at(queue).keys.meta());
            }
            let mut there = self.plain_all(&looks).await?;
            let made = queues.iter().map(|_| there.flag()).collect::<Result<Vec<bool>>>()?;
            Ok(queues.into_iter().zip(made).filter_map(|(queue, made)| made.then_some(queue)).collect())
        })
    }

    fn get<'a>(
        &'a self,
        queue: &'a QueueName,
        ids: &'a [JobId],
    ) -> BoxFuture<'a, Result<Vec<Option<JobView>>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let mut views = Vec::with_capacity(ids.len());
            for ids in ids.chunks(GET_MAX) {
                self.get_some(&at, ids, &mut views).await?;
            }
            Ok(views)
        })
    }

    fn page<'a>(&'a self, queue: &'a QueueName, request: PageRequest) -> BoxFuture<'a, Result<JobPage>> {
        Box::pin(self.read_page(queue, request))
    }

    fn info<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<QueueInfo>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let (_, items) = self.moment_and(Script::Info, &at).await?;
            read_info(queue, items)
        })
    }

    fn children<'a>(
        &'a self,
        queue: &'a QueueName,
        parent: &'a JobId,
        offset: usize,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Child>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let mut rows = self
                .script(Via::Pool, Script::Children, &at, |cmd| {
                    cmd.write_arg(parent.as_bytes());
                    put_number(cmd, offset as u64);
                    put_number(cmd, limit as u64);
                })
                .await?;
            let mut children = Vec::with_capacity(rows.len());
            while rows.len() > 0 {
                let what = || unreadable(format!("a child of job {parent} of queue {queue}"));
                children.push(read_row(&rows.bytes()?).map_err(what())?);
            }
            Ok(children)
        })
    }

    fn logs<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
        offset: u32,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<(u32, String)>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let mut items = self
                .script(Via::Pool, Script::Logs, &at, |cmd| {
                    cmd.write_arg(job.as_bytes());
                    put_number(cmd, u64::from(offset));
                    put_number(cmd, limit as u64);
                })
                .await?;
            let first = u32::try_from(items.number()?).unwrap_or(u32::MAX);
            let mut lines = items.items()?;
            (0..lines.len() as u32).map(|n| Ok((first.saturating_add(n), lines.text()?))).collect()
        })
    }

    fn events<'a>(
        &'a self,
        queue: &'a QueueName,
        after: u64,
        limit: usize,
        wait: Duration,
    ) -> BoxFuture<'a, Result<EventPage>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let deadline = Instant::now() + wait;
            loop {
                let (page, last) = self.read_events(&at, after, limit).await?;
                let left = deadline.saturating_duration_since(Instant::now());
                if !page.events.is_empty() || page.gap || limit == 0 || left.is_zero() {
                    return Ok(page);
                }
                self.await_events(&at, last, left.min(WAIT_MAX)).await?;
            }
        })
    }

    fn history<'a>(
        &'a self,
        queue: &'a QueueName,
        since: Millis,
        hourly: bool,
    ) -> BoxFuture<'a, Result<Vec<Rollup>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let (kept, span_ms, key_ms) =
                if hourly { (HOURS_KEPT, HOUR_MS, DAY_MS) } else { (MINUTES_KEPT, MINUTE_MS, HOUR_MS) };
            // The newest span may be later than now: the clock of a queue does not go back where the server's does.
            let mut read = cmd("HGET");
            read.arg(at.keys.meta()).arg("roll");
            let mut newest = Items::of(Value::Array(vec![self.plain(Via::Pool, &read).await?]))?;
            let newest = newest.moment()?.unwrap_or(0).max(self.moment(Via::Pool).await?);
            let oldest = since.max(newest.saturating_sub(kept as u64 * span_ms));
            let mut reads = pipe();
            for key in oldest / key_ms..=newest / key_ms {
                reads.cmd("HGETALL").arg(if hourly { at.keys.hours(key) } else { at.keys.minutes(key) });
            }
            let mut keys = self.plain_all(&reads).await?;
            let mut spans = BTreeMap::new();
            while keys.len() > 0 {
                rollups::read(keys.items()?, &mut spans)?;
            }
            let excess = spans.len().saturating_sub(kept);
            Ok(spans.into_values().skip(excess).filter(|rollup| rollup.at >= since).collect())
        })
    }

    fn workers<'a>(&'a self, queue: &'a QueueName) -> BoxFuture<'a, Result<Vec<WorkerState>>> {
        Box::pin(async move {
            self.check_open()?;
            let at = self.at(queue);
            let (_, items) = self.moment_and(Script::Workers, &at).await?;
            read_workers(items)
        })
    }

    fn explain<'a>(
        &'a self,
        queue: &'a QueueName,
        job: &'a JobId,
    ) -> BoxFuture<'a, Result<Option<Explanation>>> {
        Box::pin(self.read_explanation(queue, job))
    }

    fn verify<'a>(
        &'a self,
        queue: &'a QueueName,
        cursor: u64,
        repair: bool,
    ) -> BoxFuture<'a, Result<VerifyPage>> {
        Box::pin(self.check_slice(queue, cursor, repair))
    }
}

impl Redis {
    /// The server's time.
    pub(super) async fn moment(&self, via: Via<'_>) -> Result<Millis> {
        if let Some(time) = &self.test_time {
            let mut shown = Items::of(Value::Array(vec![self.plain(via, &time.read()).await?]))?;
            return shown.number();
        }
        let mut parts = Items::of(self.plain(via, &cmd("TIME")).await?)?;
        Ok(parts.number()? * 1_000 + parts.number()? / 1_000)
    }

    /// Calls a reading script that tells the moment first.
    async fn moment_and(&self, script: Script, at: &At) -> Result<(Millis, Items)> {
        let mut items = self.script(Via::Pool, script, at, |_| {}).await?;
        let now = items.number()?;
        at.heard.set(now);
        Ok((now, items))
    }

    async fn get_some(&self, at: &At, ids: &[JobId], views: &mut Vec<Option<JobView>>) -> Result<()> {
        let mut rows = self
            .script(Via::Pool, Script::Get, at, |cmd| {
                for id in ids {
                    cmd.write_arg(id.as_bytes());
                }
            })
            .await?;
        for id in ids {
            views.push(match rows.next() {
                Some(Value::Nil) => None,
                Some(row) => Some(read_job(&at.name, id, Items::of(row)?)?),
                None => return Err(strange("a row for each id")),
            });
        }
        Ok(())
    }

    /// Events after a position as they stand now, and the position of the last one of the queue.
    async fn read_events(&self, at: &At, after: u64, limit: usize) -> Result<(EventPage, u64)> {
        let mut page = EventPage::default();
        let mut from = after;
        loop {
            let window = Window::read(
                self.script(Via::Pool, Script::Events, at, |cmd| {
                    cmd.write_arg_fmt(from.min(POSITION_MAX));
                    cmd.write_arg_fmt(ENTRIES_MAX.min(limit.max(1)));
                })
                .await?,
            )?;
            if page.events.is_empty() {
                (page.gap, page.next) = (window.gap, window.from);
            }
            let (last, before) = (window.last, page.events.len());
            window.events(limit, &mut page.events)?;
            page.next = page.events.last().map_or(page.next, |event| event.position);
            if page.events.len() == before || page.events.len() >= limit || page.next >= last {
                return Ok((page, last));
            }
            from = page.next;
        }
    }

    /// Waits until there is an event after a position, for so long at most.
    async fn await_events(&self, at: &At, last: u64, wait: Duration) -> Result<()> {
        let mut read = cmd("XREAD");
        read.arg("COUNT").arg(1).arg("BLOCK").arg(wait.as_millis().max(1) as u64);
        read.arg("STREAMS").arg(at.keys.events()).arg(format!("{last}-0"));
        tokio::select! {
            biased;
            () = self.closed.cancelled() => Err(Error::Closed),
            seen = self.blocking.call(read, End::Unblock, wait, |_| None) => seen.map(drop),
            () = tokio::time::sleep(wait) => Ok(()),
        }
    }
}

fn read_job(queue: &QueueName, id: &JobId, row: Items) -> Result<JobView> {
    read_kept(row)?.view(queue, id.clone()).map_err(bad_record(queue, id.as_str()))
}

/// A row of `get`.
pub(super) fn read_kept(mut row: Items) -> Result<Kept> {
    Ok(Kept {
        record: row.bytes()?,
        active: row.bytes_or_none()?,
        big: row.bytes_or_none()?,
        progress: row.bytes_or_none()?,
        lines: row.bytes_or_none()?,
        children_pending: row
            .bytes_or_none()?
            .and_then(|digits| String::from_utf8(digits).ok()?.parse().ok())
            .unwrap_or_default(),
    })
}

fn read_info(queue: &QueueName, mut items: Items) -> Result<QueueInfo> {
    let json = items.bytes_or_none()?.unwrap_or_default();
    let config = Settings::read(queue, &json, 0)?.config;
    let counters = items.bytes_or_none()?;
    let next_due = items.moment()?;
    let limited_until = items.moment()?;
    let oldest_waiting = items.moment()?;
    let outbox = items.number()? as usize;
    let maintained_at = items.moment()?;
    let mut groups_waiting = items.rows(|row| Ok((row.text()?, row.number()?)))?;
    groups_waiting.sort();
    let mut info = QueueInfo {
        limited_until,
        oldest_waiting,
        next_due,
        outbox,
        maintained_at,
        groups_waiting,
        config,
        ..QueueInfo::default()
    };
    if let Some(packed) = counters {
        read_counters(&packed, &mut info).map_err(unreadable(format!("the counters of queue {queue}")))?;
    }
    Ok(info)
}

/// Reads the packed counters; their order stands in `lua/part_state.lua`.
fn read_counters(packed: &[u8], info: &mut QueueInfo) -> Result<(), super::packed::Damaged> {
    let mut u = Unpack::new(packed);
    let _seen = u.u48()?;
    let waiting = u.u48()?;
    let (_listed, _prioritized) = (u.u48()?, u.u48()?);
    info.counts = Counts {
        waiting,
        delayed: u.u48()?,
        waiting_children: u.u48()?,
        active: u.u48()?,
        completed: u.u48()?,
        failed: u.u48()?,
        cancelled: u.u48()?,
    };
    // Places given, generation, entries left behind in both lists, starts in the window, numbers of the outbox.
    u.take(6 + 4 + 6 + 6 + 6 + 6)?;
    info.totals = Totals {
        added: u.u48()?,
        completed: u.u48()?,
        failed: u.u48()?,
        retried: u.u48()?,
        cancelled: u.u48()?,
        stalled: u.u48()?,
    };
    info.last_event = u.u56()?;
    // Places of the priorities (2), cancels, groups, ticket, turn (ticket, left), priority of the list.
    u.take(6 * 6 + 4 + 3)?;
    info.paused = u.u8()? & 1 != 0;
    Ok(())
}

fn read_workers(mut items: Items) -> Result<Vec<WorkerState>> {
    let worker =
        |bytes: Vec<u8>| Unpack::new(&bytes).u64().map(WorkerId).map_err(unreadable("a worker's id"));
    let live = items.rows(|row| Ok((worker(row.bytes()?)?, row.number()?, row.bytes_or_none()?)))?;
    let running = items.rows(|row| Ok((row.id()?, worker(row.bytes()?)?)))?;
    let mut states: BTreeMap<WorkerId, WorkerState> = BTreeMap::new();
    for (id, lease_until, info) in live {
        // Who has said nothing of itself yet is not shown.
        let Some(info) = info.and_then(|json| serde_json::from_slice::<WorkerInfo>(&json).ok()) else {
            continue;
        };
        states.insert(id, WorkerState { info, lease_until, running: Vec::new() });
    }
    for (job, id) in running {
        if let Some(state) = states.get_mut(&id) {
            state.running.push(job);
        }
    }
    Ok(states
        .into_values()
        .map(|mut state| {
            state.running.sort();
            state
        })
        .collect())
}
