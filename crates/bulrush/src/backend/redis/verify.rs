//! The invariants, checked on the server's keys. Numbers are those of ARCHITECTURE.md.
//!
//! A check walks through the queue in bounded slices: every record with the places that hold its job, then every collection with the
//! records it needs, then whatever belongs to jobs beside their records, and in the last slice the lists and the counters. Each slice is
//! of one moment. What takes many of them (the lists, the running jobs) is compared only if nothing has changed meanwhile: in a queue that
//! is never at rest, sums are compared as far as sizes of collections tell them, and lists and rotation stay unchecked.
//!
//! With `repair`, what is found is put right one by one, each under a script that looks again first; the counters last.

mod counters;
mod extras;
mod lists;
mod records;
mod schedules;
mod totals;

use deadpool_redis::redis::{Cmd, RedisWrite, Value};

use super::reply::{Items, id_of};
use super::script::Script;
use super::{At, Redis, Via, put_number};
use crate::model::{JobId, QueueName};
use crate::port::{Finding, Result, VerifyPage};

/// Records and entries checked in one slice of the port, about.
const SLICE: usize = 10_000;
/// Those of one script.
const PART: usize = 250;

/// Places of the keys (`keys.rs`), counted from 1.
mod key {
    pub const WAIT: u64 = 3;
    pub const PRIO: u64 = 4;
    pub const DUE: u64 = 5;
    pub const DEDUP: u64 = 8;
    pub const DEDUPX: u64 = 9;
    pub const DATA: u64 = 10;
    pub const OWN: u64 = 11;
    pub const PAR: u64 = 13;
    pub const FAM: u64 = 14;
    pub const RING: u64 = 15;
    pub const GROUPS: u64 = 16;
    pub const GROUP: u64 = 17;
    pub const ACT: u64 = 18;
    pub const DONE: u64 = 19;
    pub const FAIL: u64 = 20;
    pub const CANC: u64 = 21;
    pub const RATE: u64 = 23;
    pub const HELD: u64 = 24;
    pub const DL: u64 = 25;
    pub const PROG: u64 = 26;
    pub const LOGN: u64 = 27;
    pub const LOG: u64 = 28;
    pub const SCHD: u64 = 31;
    pub const SCHX: u64 = 32;
    pub const SCHI: u64 = 33;
}

/// A part of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Jobs,
    Set(u64),
    Hash(u64),
    Schedules,
    Strays(u64),
    Keys,
    Outbox,
    Totals,
}

/// All of them, in order.
const PHASES: [Phase; 20] = [
    Phase::Jobs,
    Phase::Set(key::PRIO),
    Phase::Set(key::DUE),
    Phase::Set(key::PAR),
    Phase::Set(key::FAIL),
    Phase::Set(key::CANC),
    Phase::Set(key::DL),
    Phase::Set(key::DEDUPX),
    Phase::Hash(key::ACT),
    Phase::Hash(key::DEDUP),
    Phase::Hash(key::DATA),
    Phase::Hash(key::PROG),
    Phase::Hash(key::LOGN),
    Phase::Schedules,
    Phase::Strays(key::SCHD),
    Phase::Strays(key::SCHX),
    Phase::Strays(key::SCHI),
    Phase::Keys,
    Phase::Outbox,
    Phase::Totals,
];

/// Where a check stands: the phase in the highest byte, the place in it in the others. No cursor of a scan is as large.
const PLACE_BITS: u32 = 56;
const PLACE_MAX: u64 = (1 << PLACE_BITS) - 1;

/// What the keys must be, by their places.
const TYPES: [(u64, &str); 21] = [
    (1, "hash"),
    (2, "hash"),
    (3, "list"),
    (4, "zset"),
    (5, "zset"),
    (6, "stream"),
    (7, "list"),
    (8, "hash"),
    (9, "zset"),
    (10, "hash"),
    (12, "stream"),
    (13, "zset"),
    (15, "zset"),
    (16, "hash"),
    (18, "hash"),
    (19, "list"),
    (20, "zset"),
    (21, "zset"),
    (22, "zset"),
    (23, "list"),
    (24, "zset"),
];
const LATER_TYPES: [(u64, &str); 9] = [
    (25, "zset"),
    (26, "hash"),
    (27, "hash"),
    (30, "hash"),
    (31, "hash"),
    (32, "zset"),
    (33, "zset"),
    (34, "stream"),
    (35, "set"),
];

/// How something is put right.
enum Repair {
    /// The job goes where its record says; true if no list holds it, or one does twice.
    Job(JobId, bool),
    Drop(u64, Vec<u8>),
    Unlink(u64, Vec<u8>),
    Key(Vec<u8>),
    Family(JobId),
    Worker(Vec<u8>),
    /// The schedule is listed where it stands, or goes if half of it is gone.
    Schedule(Vec<u8>),
    Recount,
}

/// A check under way.
struct Check<'a> {
    redis: &'a Redis,
    at: &'a At,
    repair: bool,
    page: VerifyPage,
    /// Members that were dropped from the set that is walked through.
    dropped: u64,
}

impl Redis {
    /// Checks a slice of a queue, from 0 on.
    pub(super) async fn check_slice(
        &self,
        queue: &QueueName,
        cursor: u64,
        repair: bool,
    ) -> Result<VerifyPage> {
        self.check_open()?;
        let at = self.at(queue);
        let mut check = Check { redis: self, at: &at, repair, page: VerifyPage::default(), dropped: 0 };
        let (mut phase, mut place) = ((cursor >> PLACE_BITS) as usize, cursor & PLACE_MAX);
        if phase >= PHASES.len() || !check.types().await? {
            return Ok(check.page);
        }
        let mut seen = 0;
        while let Some(now) = PHASES.get(phase) {
            let (part, next) = check.part(*now, place).await?;
            seen += part;
            (phase, place) = next.map_or((phase + 1, 0), |next| (phase, next & PLACE_MAX));
            if seen >= SLICE && phase < PHASES.len() {
                check.page.next = Some((phase as u64) << PLACE_BITS | place);
                break;
            }
        }
        Ok(check.page)
    }
}

impl Check<'_> {
    /// One script's part of a phase: how much was looked at, and where to go on in the phase.
    async fn part(&mut self, phase: Phase, place: u64) -> Result<(usize, Option<u64>)> {
        match phase {
            Phase::Jobs => self.jobs(place).await,
            Phase::Set(key) => self.set(key, place).await,
            Phase::Hash(key) => self.hash(key, place).await,
            Phase::Schedules => self.schedules(place).await,
            Phase::Strays(key) => self.strays(key, place).await,
            Phase::Keys => self.keys(place).await,
            Phase::Outbox => self.outbox(place).await,
            Phase::Totals => self.totals().await.map(|()| (0, None)),
        }
    }

    /// Whether each key is of its kind. Of a queue in which one is not nothing else can be told.
    async fn types(&mut self) -> Result<bool> {
        let mut items = self.read("types", |_| {}).await?;
        let mut sound = true;
        while let Some(row) = items.next() {
            let mut row = Items::of(row)?;
            let (place, found) = (row.number()?, row.text()?);
            let expected = TYPES.iter().chain(&LATER_TYPES).find(|(of, _)| *of == place);
            if let Some((_, expected)) =
                expected.filter(|(_, expected)| found != "none" && found != *expected)
            {
                sound = false;
                let name = self.at.keys.all().nth(place.saturating_sub(1) as usize).unwrap_or_default();
                let text =
                    format!("key {name} is a {found} where a {expected} should be; nothing else was checked");
                self.find(1, None, text, None).await?;
            }
        }
        Ok(sound)
    }

    /// Asks for a part of the queue.
    async fn read(&self, what: &str, arguments: impl FnOnce(&mut Cmd)) -> Result<Items> {
        let put = |cmd: &mut Cmd| {
            cmd.write_arg(what.as_bytes());
            arguments(cmd);
        };
        self.redis.script(Via::Pool, Script::Verify, self.at, put).await
    }

    /// Notes what is wrong, and puts it right where that was asked for and can be done.
    async fn find(
        &mut self,
        invariant: u8,
        job: Option<JobId>,
        text: String,
        repair: Option<Repair>,
    ) -> Result<bool> {
        let repaired = match repair.filter(|_| self.repair) {
            Some(repair) => self.mend(repair).await?,
            None => false,
        };
        self.page.findings.push(Finding { invariant, job, text, repaired });
        Ok(repaired)
    }

    async fn mend(&self, repair: Repair) -> Result<bool> {
        let put = |cmd: &mut Cmd| match &repair {
            Repair::Job(id, unlisted) => {
                cmd.write_arg(b"job");
                cmd.write_arg(id.as_bytes());
                put_number(cmd, u64::from(*unlisted));
            }
            Repair::Drop(key, member) => {
                cmd.write_arg(b"drop");
                put_number(cmd, *key);
                cmd.write_arg(member);
            }
            Repair::Unlink(key, suffix) => {
                cmd.write_arg(b"unlink");
                put_number(cmd, *key);
                cmd.write_arg(suffix);
            }
            Repair::Key(key) => {
                cmd.write_arg(b"key");
                cmd.write_arg(key);
            }
            Repair::Family(id) => {
                cmd.write_arg(b"family");
                cmd.write_arg(id.as_bytes());
            }
            Repair::Worker(worker) => {
                cmd.write_arg(b"worker");
                cmd.write_arg(worker);
            }
            Repair::Schedule(id) => {
                cmd.write_arg(b"schedule");
                cmd.write_arg(id);
            }
            Repair::Recount => cmd.write_arg(b"recount"),
        };
        self.redis.script(Via::Pool, Script::Repair, self.at, put).await?.flag()
    }
}

/// An id in a finding, where it can be told.
fn job_of(bytes: &[u8]) -> Option<JobId> {
    id_of(bytes).ok()
}

/// Bytes in a text.
fn shown(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

/// A row of a reply whose shape is known.
fn row(value: Value) -> Result<Items> {
    Items::of(value)
}
