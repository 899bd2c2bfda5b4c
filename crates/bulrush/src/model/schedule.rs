//! Schedules: when their jobs are due, what those are, and how a schedule stands.
//!
//! A schedule lives in its queue. Its *slots* are moments, ms since the epoch; each fires one job at most, whose id follows from schedule and
//! slot. What its slots are is computed in `crate::slots`; which of them is next is kept with it, and nothing else decides: neither
//! the jobs that it has added nor what became of them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::bounds::Bounds;
use super::new_job::no_tags;
use super::{Backoff, CheckError, Curve, JobId, Millis, NewJob, Owner, QueueName, When};

/// Longest id of a schedule, in bytes.
const ID_MAX: usize = 128;

/// Id of a schedule within its queue: 1 to 128 characters of `A-Z a-z 0-9 - . _ ~`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ScheduleId(Arc<str>);

/// An id of a schedule that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("schedule id {id:?} is not allowed: use 1 to 128 characters of A-Z, a-z, 0-9, '-', '.', '_' and '~'")]
pub struct InvalidScheduleId {
    /// What was given, cut to 150 characters.
    pub id: String,
}

impl ScheduleId {
    /// Checks an id.
    ///
    /// # Errors
    /// [`InvalidScheduleId`] says what is allowed.
    pub fn new(id: &str) -> Result<Self, InvalidScheduleId> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let allowed = (1..=ID_MAX).contains(&id.len()) && id.bytes().all(plain);
        if allowed {
            Ok(Self(id.into()))
        } else {
            Err(InvalidScheduleId { id: id.chars().take(150).collect() })
        }
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What comes before all ids, and is none.
    pub(crate) fn least() -> Self {
        Self("".into())
    }

    /// A number that follows from id and slot, the same for whoever asks.
    fn hash(&self, slot: Option<Millis>) -> u128 {
        let mut hash = Sha256::new();
        hash.update(self.0.as_bytes());
        if let Some(slot) = slot {
            hash.update([0]);
            hash.update(slot.to_be_bytes());
        }
        let mut bits = [0; 16];
        bits.copy_from_slice(&hash.finalize()[..16]);
        u128::from_be_bytes(bits)
    }
}

impl fmt::Display for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ScheduleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for ScheduleId {
    type Err = InvalidScheduleId;
    fn from_str(s: &str) -> Result<Self, InvalidScheduleId> {
        Self::new(s)
    }
}

impl<'de> Deserialize<'de> for ScheduleId {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let s = std::borrow::Cow::<'de, str>::deserialize(d)?;
        Self::new(&s).map_err(serde::de::Error::custom)
    }
}

/// When a schedule's slots are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Recurrence {
    /// By a cron expression on the clock of a place.
    Cron {
        /// Five fields (minute, hour, day of month, month, weekday) or six, with seconds before them; `L`, `W` and `#` as Quartz has them;
        /// or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`. Where both days are restricted, either suffices.
        expression: String,
        /// The time zone by its IANA name, `Europe/Berlin`, or `UTC`.
        zone: String,
    },
    /// By elapsed time.
    Every {
        /// The period, ms.
        ms: u64,
        /// A moment that is a slot, or would be: the others are whole periods from it. Without one, the schedule's start, or else the moment at
        /// which it got this timing (limit, end and whether it is enabled are part of it).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        anchor: Option<Millis>,
    },
}

/// What becomes of slots that nobody fired in time. The newest slot that is due is on time, or late; those before it are missed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "camelCase")]
pub enum Missed {
    /// Missed ones do not fire, nor does the newest when it is too late.
    #[serde(rename_all = "camelCase")]
    Skip {
        /// How late a slot may fire, ms.
        grace_ms: u64,
    },
    /// The newest one fires, however late; it stands for those before it.
    #[default]
    One,
    /// All fire, oldest first, up to a bound.
    All {
        /// The newest so many of those that are due; 1 to 1,000.
        max: u32,
    },
}

/// What becomes of a slot whose schedule's last job has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Overlap {
    /// Its job is added all the same.
    #[default]
    Allow,
    /// It fires no job; that is counted.
    Skip,
    /// The last job is cancelled (asked to stop, if it runs), and the new one added.
    Replace,
}

/// What a schedule's jobs are.
#[derive(Debug, Clone, PartialEq)]
pub struct JobTemplate {
    /// First part of their ids, up to three letters or digits.
    pub prefix: String,
    /// What kind of job.
    pub name: Arc<str>,
    /// Payload.
    pub data: Bytes,
    /// 0 is first, 2^21 last; the queue's default where none is given.
    pub priority: Option<u32>,
    /// Total tries.
    pub attempts: u32,
    /// Runs before the others of its priority.
    pub lifo: bool,
    /// Longest run of one attempt, ms.
    pub timeout_ms: Option<u64>,
    /// When a failed attempt is tried again.
    pub backoff: Option<Arc<Backoff>>,
    /// Fairness group.
    pub group: Option<Arc<str>>,
    /// Words to find them by.
    pub tags: Arc<[Arc<str>]>,
}

impl JobTemplate {
    /// What is asked for by a job: all of it but its id, of which the prefix stays, its owner, who is the schedule's, and its trace.
    ///
    /// # Errors
    /// A job with a time of its own, a deduplication key or children: each slot's job is due with its slot, known by it, and alone. (Its
    /// handler may add others as follow-ups.)
    pub fn of(job: &NewJob) -> Result<Self, ScheduleError> {
        let spec = &job.spec;
        let refused = |what| Err(ScheduleError::Template { what });
        if job.when != When::Now {
            return refused("a time of its own");
        }
        if spec.dedup.is_some() {
            return refused("a deduplication key");
        }
        if !job.children.is_empty() || spec.parent.is_some() {
            return refused("children or a parent");
        }
        Ok(Self {
            prefix: spec.id.prefix().unwrap_or_default().to_owned(),
            name: spec.name.clone(),
            data: spec.data.clone(),
            priority: (!job.default_priority).then_some(spec.priority),
            attempts: spec.attempts,
            lifo: spec.lifo,
            timeout_ms: spec.timeout_ms,
            backoff: spec.backoff.clone(),
            group: spec.group.clone(),
            tags: spec.tags.clone(),
        })
    }

    fn job(&self, id: JobId) -> NewJob {
        let mut job = NewJob::new(id, self.name.clone(), self.data.clone());
        if let Some(priority) = self.priority {
            job = job.priority(priority);
        }
        let spec = &mut job.spec;
        spec.attempts = self.attempts;
        spec.lifo = self.lifo;
        spec.timeout_ms = self.timeout_ms;
        spec.backoff.clone_from(&self.backoff);
        spec.group.clone_from(&self.group);
        spec.tags = if self.tags.is_empty() { no_tags() } else { self.tags.clone() };
        job
    }
}

/// Which slot a job is of.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ScheduleSlot {
    /// The schedule, in the job's queue.
    pub schedule: ScheduleId,
    /// The slot; the moment at which it was asked for, if somebody ran the schedule by hand.
    pub slot: Millis,
}

/// A schedule as it is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleSpec {
    /// Its id.
    pub id: ScheduleId,
    /// When its slots are.
    pub recurrence: Recurrence,
    /// What its jobs are.
    pub job: JobTemplate,
    /// No slot before.
    pub start: Option<Millis>,
    /// No slot after.
    pub end: Option<Millis>,
    /// Most jobs that it adds.
    pub limit: Option<u64>,
    /// Each job may run up to so much later than its slot, ms; how much follows from schedule and slot, evenly spread.
    pub jitter_ms: u64,
    /// What becomes of slots that nobody fired in time.
    pub missed: Missed,
    /// What becomes of a slot whose schedule's last job has not ended.
    pub overlap: Overlap,
    /// Whether it fires.
    pub enabled: bool,
    /// To whom it and its jobs belong.
    pub owner: Option<Arc<Owner>>,
}

impl ScheduleSpec {
    /// The end of time: the last moment of the year 9999.
    pub const MOMENT_MAX: Millis = 253_402_300_799_999;
    /// Longest jitter, a day in ms.
    pub const JITTER_MAX_MS: u64 = 24 * 3_600 * 1_000;
    /// Most missed slots that fire.
    pub const MISSED_MAX: u32 = 1_000;
    /// Longest cron expression, in bytes.
    pub const EXPRESSION_MAX: usize = 256;

    /// A schedule by a cron expression, in UTC.
    ///
    /// # Errors
    /// As [`JobTemplate::of`].
    pub fn cron(id: ScheduleId, expression: impl Into<String>, job: &NewJob) -> Result<Self, ScheduleError> {
        let recurrence = Recurrence::Cron { expression: expression.into(), zone: "UTC".to_owned() };
        Self::new(id, recurrence, job)
    }

    /// A schedule by elapsed time, ms.
    ///
    /// # Errors
    /// As [`JobTemplate::of`].
    pub fn every(id: ScheduleId, ms: u64, job: &NewJob) -> Result<Self, ScheduleError> {
        Self::new(id, Recurrence::Every { ms, anchor: None }, job)
    }

    /// A schedule with defaults for the rest: from now on, for ever, without jitter; of missed slots one fires, and jobs may overlap.
    ///
    /// # Errors
    /// As [`JobTemplate::of`].
    pub fn new(id: ScheduleId, recurrence: Recurrence, job: &NewJob) -> Result<Self, ScheduleError> {
        Ok(Self {
            id,
            recurrence,
            job: JobTemplate::of(job)?,
            start: None,
            end: None,
            limit: None,
            jitter_ms: 0,
            missed: Missed::default(),
            overlap: Overlap::default(),
            enabled: true,
            owner: job.spec.owner.clone(),
        })
    }

    /// On the clock of a place, for a cron expression.
    pub fn zone(mut self, name: impl Into<String>) -> Self {
        if let Recurrence::Cron { zone, .. } = &mut self.recurrence {
            *zone = name.into();
        }
        self
    }
    /// Counted from a moment, for a period.
    pub fn anchor(mut self, at: Millis) -> Self {
        if let Recurrence::Every { anchor, .. } = &mut self.recurrence {
            *anchor = Some(at);
        }
        self
    }
    /// No slot before.
    pub fn start(mut self, at: Millis) -> Self {
        self.start = Some(at);
        self
    }
    /// No slot after.
    pub fn end(mut self, at: Millis) -> Self {
        self.end = Some(at);
        self
    }
    /// Most jobs that it adds.
    pub fn limit(mut self, jobs: u64) -> Self {
        self.limit = Some(jobs);
        self
    }
    /// Each job up to so much later than its slot.
    pub fn jitter_ms(mut self, ms: u64) -> Self {
        self.jitter_ms = ms;
        self
    }
    /// What becomes of missed slots.
    pub fn missed(mut self, missed: Missed) -> Self {
        self.missed = missed;
        self
    }
    /// What becomes of a slot whose schedule's last job has not ended.
    pub fn overlap(mut self, overlap: Overlap) -> Self {
        self.overlap = overlap;
        self
    }
    /// It does not fire until it is enabled.
    pub fn disabled(mut self) -> Self {
        self.enabled = false;
        self
    }
    /// Belonging to somebody, with its jobs.
    pub fn owner(mut self, tenant: impl Into<String>, user: impl Into<String>) -> Self {
        self.owner = Some(Arc::new(Owner { tenant: tenant.into(), user: user.into() }));
        self
    }

    /// Whether another one has the same slots, as far as what is asked for tells.
    pub(crate) fn has_timing_of(&self, other: &Self) -> bool {
        self.recurrence == other.recurrence
            && (self.start, self.end, self.limit, self.enabled)
                == (other.start, other.end, other.limit, other.enabled)
    }

    /// The id of a slot's job: it sorts by the slot, and whoever asks gets the same.
    pub fn job_id(&self, slot: Millis) -> JobId {
        JobId::generate(&self.job.prefix, slot, self.id.hash(None))
    }

    /// The job of a slot.
    pub fn slot_job(&self, slot: Millis) -> NewJob {
        let mut job = self.marked(self.job_id(slot), slot);
        if self.jitter_ms > 0 {
            // At most a day, so the remainder fits.
            let jitter = (self.id.hash(Some(slot)) % (u128::from(self.jitter_ms) + 1)) as u64;
            job.when = When::At(slot.saturating_add(jitter));
        }
        // Without jitter it is due: a slot fires when it has come.
        job
    }

    /// A job of the schedule that somebody asks for by hand, under an id of its own: no slot is used up, and it overlaps nothing.
    pub fn job_by_hand(&self, id: JobId, now: Millis) -> NewJob {
        self.marked(id, now)
    }

    fn marked(&self, id: JobId, slot: Millis) -> NewJob {
        let mut job = self.job.job(id);
        job.spec.owner.clone_from(&self.owner);
        job.spec.schedule = Some(Arc::new(ScheduleSlot { schedule: self.id.clone(), slot }));
        job
    }

    /// Checks what does not depend on the moment, against a queue's bounds.
    ///
    /// # Errors
    /// The first thing that cannot be.
    pub fn check(&self, bounds: &Bounds) -> Result<(), ScheduleError> {
        for (what, moment) in [("start", self.start), ("end", self.end), ("anchor", self.given_anchor())] {
            if let Some(at) = moment.filter(|at| *at > Self::MOMENT_MAX) {
                return Err(ScheduleError::Moment { what, at });
            }
        }
        if let (Some(start), Some(end)) = (self.start, self.end)
            && start > end
        {
            return Err(ScheduleError::Reversed { start, end });
        }
        if self.limit == Some(0) {
            return Err(ScheduleError::NoJobs);
        }
        if self.jitter_ms > Self::JITTER_MAX_MS {
            return Err(ScheduleError::Jitter { ms: self.jitter_ms });
        }
        if let Missed::All { max } = self.missed
            && !(1..=Self::MISSED_MAX).contains(&max)
        {
            return Err(ScheduleError::Missed { max });
        }
        if let Some(Curve::Exponential { factor, .. }) =
            self.job.backoff.as_ref().map(|backoff| &backoff.curve)
            && !factor.is_finite()
        {
            return Err(ScheduleError::Template { what: "a back-off that grows by no number" });
        }
        self.slot_job(0).check(bounds, 0)?;
        crate::slots::check(&self.recurrence, bounds.schedule_interval_ms)
    }

    fn given_anchor(&self) -> Option<Millis> {
        match self.recurrence {
            Recurrence::Every { anchor, .. } => anchor,
            Recurrence::Cron { .. } => None,
        }
    }

    /// The moment from which periods are counted, for a schedule that gets its timing now.
    pub(crate) fn anchor_at(&self, now: Millis) -> Millis {
        self.given_anchor().or(self.start).unwrap_or(now)
    }
}

/// How a schedule stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ScheduleState {
    /// Grows with every change of what is asked for.
    pub revision: u64,
    /// The next slot; none while it is disabled, and once it is over.
    pub next: Option<Millis>,
    /// From where periods are counted.
    pub anchor: Millis,
    /// Jobs added.
    pub fired: u64,
    /// Slots that fired no job because the last one had not ended.
    pub skipped: u64,
    /// Slots that nobody fired in time. Of a long gap of a cron expression this is a lower bound.
    pub missed: u64,
    /// The last slot that fired.
    pub last_slot: Option<Millis>,
    /// Its job.
    pub last_job: Option<JobId>,
    /// When it was made.
    pub created_at: Millis,
    /// When what is asked for last changed.
    pub updated_at: Millis,
}

/// A schedule as anybody may read it.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleView {
    /// Its queue.
    pub queue: QueueName,
    /// What is asked for.
    pub spec: Arc<ScheduleSpec>,
    /// How it stands.
    pub state: ScheduleState,
}

impl ScheduleView {
    /// Its id.
    pub fn id(&self) -> &ScheduleId {
        &self.spec.id
    }

    /// Whether it will never fire again as it is: its end or its limit is reached.
    pub fn is_over(&self) -> bool {
        self.spec.enabled && self.state.next.is_none()
    }
}

/// A page of schedules, by id.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SchedulePage {
    /// The schedules.
    pub schedules: Vec<ScheduleView>,
    /// Those of the page that are there and cannot be read.
    pub unreadable: Vec<UnreadableSchedule>,
    /// Read on after this one; none at the end. A page may be short, or empty, and yet have a next one.
    pub next: Option<ScheduleId>,
}

/// A schedule that is there and cannot be read: a newer version wrote it, or it is damaged. It does not fire here; its slot is kept, and
/// putting or removing it mends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadableSchedule {
    /// Its id, as far as that is text.
    pub id: String,
    /// What is wrong.
    pub reason: String,
}

/// A schedule that cannot be as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// A cron expression that is not understood.
    #[error(
        "cron expression {expression:?} is not understood: {reason}; use five fields (minute hour day-of-month month weekday), six with \
         seconds before them, or @hourly, @daily, @weekly, @monthly, @yearly"
    )]
    Cron {
        /// What was given, cut to 80 characters.
        expression: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A name that is no time zone.
    #[error("{zone:?} is no time zone; use a name of the IANA list, as Europe/Berlin, or UTC")]
    Zone {
        /// What was given, cut to 80 characters.
        zone: String,
    },
    /// Slots too close to each other.
    #[error("slots {ms} ms apart are too close; at least {min} ms must be between two")]
    Interval {
        /// What was asked for.
        ms: u64,
        /// What is allowed.
        min: u64,
    },
    /// A period too long.
    #[error("a period of {ms} ms is too long; at most ten years are allowed")]
    Period {
        /// What was asked for.
        ms: u64,
    },
    /// A moment beyond the end of time.
    #[error("{what} {at} is after the year 9999; give milliseconds since 1970")]
    Moment {
        /// Which.
        what: &'static str,
        /// What was given.
        at: Millis,
    },
    /// It ends before it starts.
    #[error("the schedule starts at {start} and ends at {end}, before that")]
    Reversed {
        /// Its start.
        start: Millis,
        /// Its end.
        end: Millis,
    },
    /// A limit of no jobs.
    #[error("a limit of 0 jobs would never fire; leave it out, or disable the schedule")]
    NoJobs,
    /// A limit that is used up.
    #[error(
        "the schedule has added {fired} jobs and would never fire again under a limit of {limit}; raise it"
    )]
    Spent {
        /// The limit.
        limit: u64,
        /// Jobs added.
        fired: u64,
    },
    /// There is no slot.
    #[error(
        "the schedule would never fire: after {from} it has no slot before its end; correct its days, its start or its end"
    )]
    Never {
        /// From when on.
        from: Millis,
    },
    /// A jitter too long.
    #[error("a jitter of {ms} ms is too long; at most a day is allowed")]
    Jitter {
        /// What was given.
        ms: u64,
    },
    /// A bound of missed slots that is not allowed.
    #[error("{max} missed slots cannot be made up for; use 1 to 1000")]
    Missed {
        /// What was given.
        max: u32,
    },
    /// What a schedule's job cannot have.
    #[error(
        "the job of a schedule cannot have {what}; leave it out: its jobs are due with their slots, and a handler may add others as follow-ups"
    )]
    Template {
        /// What it has.
        what: &'static str,
    },
    /// Its job could not be added.
    #[error(transparent)]
    Job(#[from] CheckError),
    /// A call that names a schedule twice.
    #[error("schedule {schedule} stands twice in one call; give each once")]
    Repeated {
        /// Which.
        schedule: ScheduleId,
    },
    /// An owner outside of what the caller may touch.
    #[error(
        "the schedule would belong to somebody outside of what this call may touch; give it an owner within that"
    )]
    Owner,
    /// A call to fire that contradicts itself.
    #[error(
        "schedule {schedule} cannot fire {fires:?} at slot {slot} and go on at {next:?}: slots only grow"
    )]
    Order {
        /// Which.
        schedule: ScheduleId,
        /// The slot it stands at.
        slot: Millis,
        /// The slot that is to fire.
        fires: Option<Millis>,
        /// The slot after it.
        next: Option<Millis>,
    },
}
