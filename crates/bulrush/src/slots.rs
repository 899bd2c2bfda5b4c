//! The slots of a schedule: which moments an expression means. Pure: no clock, no IO.
//!
//! Cron expressions speak of a clock on a wall, which is moved twice a year where there is daylight saving time. The rules are those of ISC
//! cron:
//!
//! - *Fixed times* (no `*` and no step among seconds, minutes and hours): one that falls into the hour left out fires right after it, one
//!   that comes twice fires at the first. Several that are left out fire once together.
//! - *All others* follow elapsed time: they fire whenever the wall clock shows what they ask for, twice in an hour that comes twice, never in
//!   one that is left out. Periods (`every`) know no wall clock at all.
//!
//! The crate `croner` reads the fields and searches a clock that never moves; the moving is done here, with the bundled IANA database, so that
//! every process of a version knows the same rules.

use std::collections::VecDeque;
use std::iter::successors;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use hashbrown::HashMap;
use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::model::{Millis, NewJob, Recurrence, ScheduleError, ScheduleSpec, ScheduleView};

/// Slots of one gap of a cron expression that are counted one by one.
const COUNT_MAX: u64 = 10_000;

/// Expressions that are kept read: many schedules share few, and to read one costs more than to search its next slot.
const WALLS_MAX: usize = 1_000;

/// A database of its own, so that what the system has installed makes no difference.
static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// A schedule's slots.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    clock: Clock,
    start: Option<Millis>,
    end: Millis,
}

#[derive(Debug, Clone)]
enum Clock {
    Wall(Arc<Wall>),
    Elapsed { ms: u64, anchor: Millis },
}

/// A cron expression in a place.
#[derive(Debug, Clone)]
struct Wall {
    cron: Cron,
    zone: TimeZone,
    /// Fires at fixed times of the day.
    fixed: bool,
}

/// Slots that are due.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Backlog {
    /// The newest, oldest first.
    pub newest: VecDeque<Millis>,
    /// How many come before them: at least so many, when there are very many.
    pub older: u64,
}

impl Plan {
    /// The slots of a schedule whose periods are counted from `anchor`.
    pub fn of(spec: &ScheduleSpec, anchor: Millis) -> Result<Self, ScheduleError> {
        let clock = match &spec.recurrence {
            Recurrence::Cron { expression, zone } => Clock::Wall(Wall::of(expression, zone)?),
            Recurrence::Every { ms, .. } => Clock::Elapsed { ms: (*ms).max(1), anchor },
        };
        let end = spec.end.unwrap_or(Millis::MAX).min(ScheduleSpec::MOMENT_MAX);
        Ok(Self { clock, start: spec.start, end })
    }

    /// The first slot strictly after a moment.
    pub fn after(&self, moment: Millis) -> Option<Millis> {
        // A slot at the start itself is one.
        let from = self.start.map_or(moment, |start| moment.max(start.saturating_sub(1)));
        let slot = match &self.clock {
            Clock::Wall(wall) => wall.after(from),
            Clock::Elapsed { ms, anchor } => elapsed_after(*ms, *anchor, from),
        };
        slot.filter(|slot| *slot <= self.end)
    }

    /// The slots from `first`, which is one, up to `now`: the newest `max` of them, and how many come before those.
    pub fn backlog(&self, first: Millis, now: Millis, max: usize) -> Backlog {
        let mut backlog = Backlog::default();
        let until = now.min(self.end);
        let mut slot = Some(first);
        if let Clock::Elapsed { ms, .. } = self.clock
            && let Some(gap) = until.checked_sub(first)
        {
            // Nothing needs to be walked.
            backlog.older = (gap / ms + 1).saturating_sub(max as u64);
            slot = Some(first.saturating_add(backlog.older.saturating_mul(ms)));
        }
        let mut walked = 0;
        while let Some(at) = slot.filter(|at| *at <= until) {
            backlog.newest.push_back(at);
            if backlog.newest.len() > max {
                backlog.newest.pop_front();
                backlog.older += 1;
            }
            walked += 1;
            slot = self.after(at);
            if walked == COUNT_MAX.max(max as u64) {
                // Too many to be counted: the newest are looked for from the end.
                slot = slot.map(|at| self.shortly_before(until, max).map_or(at, |late| at.max(late)));
                walked = 0;
            }
        }
        backlog
    }

    /// A slot from which at least `max` more lead up to `until`, not many more than needed.
    fn shortly_before(&self, until: Millis, max: usize) -> Option<Millis> {
        let mut back: Millis = 1_000;
        loop {
            let from = until.saturating_sub(back);
            let first = self.after(from)?;
            let slots = successors(Some(first), |slot| self.after(*slot));
            if from == 0 || slots.take_while(|slot| *slot <= until).take(max).count() == max {
                return Some(first);
            }
            back = back.saturating_mul(2);
        }
    }
}

impl ScheduleSpec {
    /// The first slot of a schedule that gets its timing at a moment.
    ///
    /// # Errors
    /// An expression or a zone that is not understood.
    pub fn first_slot(&self, now: Millis) -> Result<Option<Millis>, ScheduleError> {
        Ok(Plan::of(self, self.anchor_at(now))?.after(now))
    }

    /// Its first slots after a moment, at most `n`, as if it were put then: to be shown before it is.
    ///
    /// # Errors
    /// As [`first_slot`](Self::first_slot).
    pub fn preview(&self, now: Millis, n: usize) -> Result<Vec<Millis>, ScheduleError> {
        let plan = Plan::of(self, self.anchor_at(now))?;
        let n = self.limit.and_then(|limit| usize::try_from(limit).ok()).map_or(n, |limit| n.min(limit));
        Ok(successors(plan.after(now), |slot| plan.after(*slot)).take(n).collect())
    }
}

impl ScheduleView {
    /// The first slot after a moment, whether it is enabled or not.
    ///
    /// # Errors
    /// An expression or a zone that this version does not understand.
    pub fn slot_after(&self, moment: Millis) -> Result<Option<Millis>, ScheduleError> {
        Ok(Plan::of(&self.spec, self.state.anchor)?.after(moment))
    }

    /// Its next slots, at most `n`, counted from its next one.
    ///
    /// # Errors
    /// As [`slot_after`](Self::slot_after).
    pub fn upcoming(&self, n: usize) -> Result<Vec<Millis>, ScheduleError> {
        let plan = Plan::of(&self.spec, self.state.anchor)?;
        let left = self.spec.limit.map_or(u64::MAX, |limit| limit.saturating_sub(self.state.fired));
        let n = usize::try_from(left).map_or(n, |left| n.min(left));
        Ok(successors(self.state.next, |slot| plan.after(*slot)).take(n).collect())
    }
}

/// Checks a recurrence, and that no two of its slots are closer than `min` ms.
pub(crate) fn check(recurrence: &Recurrence, min: u64) -> Result<(), ScheduleError> {
    match recurrence {
        Recurrence::Every { ms, .. } if *ms < min.max(1) => {
            Err(ScheduleError::Interval { ms: *ms, min: min.max(1) })
        }
        Recurrence::Every { ms, .. } if *ms > NewJob::DELAY_MAX_MS => Err(ScheduleError::Period { ms: *ms }),
        Recurrence::Every { .. } => Ok(()),
        Recurrence::Cron { expression, zone } => {
            let closest = Wall::of(expression, zone)?.closest(min);
            if closest < min { Err(ScheduleError::Interval { ms: closest, min }) } else { Ok(()) }
        }
    }
}

/// Whether a name is one of a time zone that a schedule may have.
pub(crate) fn zone(name: &str) -> Result<TimeZone, ScheduleError> {
    let unknown = || ScheduleError::Zone { zone: name.chars().take(80).collect() };
    // Names without a place are abbreviations that stayed for the sake of old systems; UTC alone says what it means.
    if name != "UTC" && !name.contains('/') || name.len() > 64 {
        return Err(unknown());
    }
    let zone = ZONES.get(name).map_err(|_| unknown())?;
    // The database forgives a wrong case; a name that is kept must be the one that others know.
    if zone.iana_name() == Some(name) { Ok(zone) } else { Err(unknown()) }
}

/// The first moment strictly after `moment` that is whole periods from `anchor`.
fn elapsed_after(ms: u64, anchor: Millis, moment: Millis) -> Option<Millis> {
    if moment >= anchor {
        anchor.checked_add(((moment - anchor) / ms).checked_add(1)?.checked_mul(ms)?)
    } else {
        Some(anchor - (anchor - moment - 1) / ms * ms)
    }
}

/// By expression, and then by zone, so that looking one up makes no text.
type Walls = HashMap<Box<str>, Vec<(Box<str>, Arc<Wall>)>>;

impl Wall {
    /// Reads an expression, or finds it read.
    fn of(expression: &str, place: &str) -> Result<Arc<Self>, ScheduleError> {
        static KEPT: LazyLock<Mutex<(Walls, usize)>> = LazyLock::new(Mutex::default);
        let kept = || KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        let find = |walls: &Walls| {
            let zones = walls.get(expression)?;
            zones.iter().find(|(zone, _)| **zone == *place).map(|(_, wall)| wall.clone())
        };
        if let Some(wall) = find(&kept().0) {
            return Ok(wall);
        }
        let wall = Arc::new(Self::parse(expression, place)?);
        let mut kept = kept();
        if kept.1 >= WALLS_MAX {
            *kept = Default::default();
        }
        kept.0.entry(expression.into()).or_default().push((place.into(), wall.clone()));
        kept.1 += 1;
        Ok(wall)
    }

    fn parse(expression: &str, place: &str) -> Result<Self, ScheduleError> {
        let refused = |reason: String| ScheduleError::Cron {
            expression: expression.chars().take(80).collect(),
            reason,
        };
        if expression.len() > ScheduleSpec::EXPRESSION_MAX {
            let (len, max) = (expression.len(), ScheduleSpec::EXPRESSION_MAX);
            return Err(refused(format!("it has {len} bytes, at most {max} are read")));
        }
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(expression).map_err(|error| refused(error.to_string()))?;
        Ok(Self { cron, zone: zone(place)?, fixed: is_fixed(expression) })
    }

    fn after(&self, moment: Millis) -> Option<Millis> {
        let from = Timestamp::from_millisecond(i64::try_from(moment).ok()?).ok()?;
        let slot = if self.fixed { self.fixed_after(from) } else { self.elapsed_after(from) };
        slot.and_then(|slot| Millis::try_from(slot.as_millisecond()).ok())
    }

    /// The next time of day, whenever the clock shows it first; where it never does, when the clock has jumped over it.
    fn fixed_after(&self, from: Timestamp) -> Option<Timestamp> {
        let mut civil = self.zone.to_datetime(from);
        loop {
            civil = self.next_shown(civil, false)?;
            let ambiguous = self.zone.to_ambiguous_timestamp(civil);
            let at = match ambiguous.offset() {
                AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(civil).ok()?,
                AmbiguousOffset::Fold { before, .. } => before.to_timestamp(civil).ok()?,
                AmbiguousOffset::Gap { after, .. } => {
                    // Read with the later offset it lies before the jump.
                    let before = after.to_timestamp(civil).ok()?;
                    self.zone.following(before).next()?.timestamp()
                }
            };
            // In an hour that comes twice, times of its first pass are over in the second.
            if at > from {
                return Some(at);
            }
        }
    }

    /// The next moment at which the clock shows what is asked for, from jump to jump.
    fn elapsed_after(&self, from: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (from, false);
        loop {
            let offset: Offset = self.zone.to_offset(from);
            let shown = self.next_shown(offset.to_datetime(from), inclusive);
            let at = shown.and_then(|civil| offset.to_timestamp(civil).ok());
            let jump = self.zone.following(from).next().map(|jump| jump.timestamp());
            match (at, jump) {
                (Some(at), Some(jump)) if at >= jump => (from, inclusive) = (jump, true),
                (at, _) => return at,
            }
        }
    }

    /// The next time that the expression asks for on a clock that never jumps.
    fn next_shown(&self, civil: DateTime, inclusive: bool) -> Option<DateTime> {
        // A part of a second counts as over.
        let (inclusive, whole) = match civil.subsec_nanosecond() {
            0 => (inclusive, civil),
            nanoseconds => (false, civil.checked_sub(i64::from(nanoseconds).nanoseconds()).ok()?),
        };
        let still = whole.to_zoned(TimeZone::UTC).ok()?;
        self.cron.find_next_occurrence(&still, inclusive).ok().map(|next| next.datetime())
    }

    /// How close two times of the day are at the closest, ms, across midnight too; exact down to `enough`, below which it does not matter.
    fn closest(&self, enough: u64) -> u64 {
        const DAY: i64 = 24 * 3_600;
        let pattern = &self.cron.pattern;
        let set = |component: &croner::CronComponent, max: u16| -> Vec<i64> {
            let is_set = |at: &u16| component.is_bit_set(*at, 1).unwrap_or(false);
            (0..=max).filter(is_set).map(i64::from).collect()
        };
        let (seconds, minutes, hours) =
            (set(&pattern.seconds, 59), set(&pattern.minutes, 59), set(&pattern.hours, 23));
        let mut closest = DAY;
        let (mut first, mut last) = (None, None);
        for hour in &hours {
            for minute in &minutes {
                for second in &seconds {
                    let at = hour * 3_600 + minute * 60 + second;
                    if let Some(last) = last {
                        closest = closest.min(at - last);
                    }
                    first = first.or(Some(at));
                    last = Some(at);
                    if (closest as u64) * 1_000 < enough || closest == 1 {
                        return closest as u64 * 1_000;
                    }
                }
            }
        }
        if let (Some(first), Some(last)) = (first, last) {
            closest = closest.min(first + DAY - last);
        }
        closest as u64 * 1_000
    }
}

/// Whether an expression fires at fixed times: no wildcard and no step among seconds, minutes and hours.
fn is_fixed(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    if let [word] = fields.as_slice() {
        return !word.eq_ignore_ascii_case("@hourly");
    }
    let times = if fields.len() > 5 { 3 } else { 2 };
    !fields.iter().take(times).any(|field| field.contains(['*', '?', '/']))
}

#[cfg(test)]
mod tests;
