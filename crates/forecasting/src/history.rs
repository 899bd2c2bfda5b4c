//! The history of what is forecast: a regular series, checked once.

use jiff::Span;
use jiff::civil::Date;

use crate::ForecastError;
use crate::run::needed;

/// The largest value. Sums and squares of the scaled values stay far within range; this leaves room for the forecast to grow.
pub(crate) const VALUE_MAX: f64 = 1e300;

/// Distance of two points of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Step {
    /// A day.
    Day,
    /// Seven days.
    Week,
    /// A calendar month.
    Month,
}

impl Step {
    /// How many of them a year has, rounded down.
    pub fn year(self) -> usize {
        match self {
            Self::Day => 365,
            Self::Week => 52,
            Self::Month => 12,
        }
    }

    /// The word for several of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Day => "days",
            Self::Week => "weeks",
            Self::Month => "months",
        }
    }

    /// So many of them, in words.
    pub(crate) fn counted(self, count: usize) -> String {
        let word = self.plural();
        format!("{count} {}", if count == 1 { word.trim_end_matches('s') } else { word })
    }
}

/// A regular series of values, oldest first: begins and ends with a value, has finite values only, and no gap that cannot be filled in.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    first: Date,
    /// For months: the day on which its points stand, or the month's last where the month is shorter.
    anchor: i8,
    step: Step,
    values: Vec<Option<f64>>,
}

impl History {
    /// A regular series of dated values, in any order: finds the step and marks the gaps.
    ///
    /// Weeks stand on one weekday; months on one day of the month, or on its last. Everything else is taken as days.
    ///
    /// # Errors
    /// What [`new`](Self::new) says; and [`ForecastError::DuplicateDay`], [`ForecastError::Irregular`].
    pub fn from_points(points: &[(Date, f64)]) -> Result<Self, ForecastError> {
        let mut sorted = points.to_vec();
        sorted.sort_by_key(|point| point.0);
        let (Some(first), Some(last)) = (sorted.first().copied(), sorted.last().copied()) else {
            return Err(ForecastError::Empty { needed: needed(1) });
        };
        for &(day, value) in &sorted {
            check_value(day, value)?;
        }
        for pair in sorted.windows(2) {
            if pair[0].0 == pair[1].0 {
                return Err(ForecastError::DuplicateDay {
                    day: pair[0].0,
                    first: pair[0].1,
                    second: pair[1].1,
                });
            }
        }
        let (step, anchor) = step_of(&sorted);
        let index = |day: Date| steps_between(first.0, day, step);
        let count = index(last.0) + 1;
        // Before anything of that size is made: two days may lie thousands of years apart.
        if sorted.len() * 2 < count {
            return Err(sparse(&sorted, step, count));
        }
        let mut values = vec![None; count];
        for &(day, value) in &sorted {
            values[index(day)] = Some(value);
        }
        Self::checked(first.0, anchor, step, values)
    }

    /// A regular series that begins at `first`; `None` is a gap. Gaps at both ends are cut off.
    ///
    /// # Errors
    /// [`ForecastError::Empty`], [`NotANumber`](ForecastError::NotANumber), [`TooLarge`](ForecastError::TooLarge),
    /// [`GapTooLong`](ForecastError::GapTooLong), [`TooManyGaps`](ForecastError::TooManyGaps),
    /// [`Calendar`](ForecastError::Calendar).
    pub fn new(first: Date, step: Step, values: Vec<Option<f64>>) -> Result<Self, ForecastError> {
        Self::checked(first, first.day(), step, values)
    }

    fn checked(
        first: Date,
        anchor: i8,
        step: Step,
        mut values: Vec<Option<f64>>,
    ) -> Result<Self, ForecastError> {
        let Some(last) = values.iter().rposition(Option::is_some) else {
            return Err(ForecastError::Empty { needed: needed(1) });
        };
        values.truncate(last + 1);
        let leading = values.iter().take_while(|value| value.is_none()).count();
        values.drain(..leading);
        let outside = ForecastError::Calendar { last: first, horizon: leading + values.len(), step };
        let first = day_after(first, anchor, step, leading).ok_or_else(|| outside.clone())?;
        let history = Self { first, anchor, step, values };
        history.try_day(history.values.len()).ok_or(outside)?;
        for (index, value) in history.values.iter().enumerate() {
            if let Some(value) = *value {
                check_value(history.day(index), value)?;
            }
        }
        let (len, limit) = (history.values.len(), history.gap_max());
        if let Some((at, steps)) = history.gaps().find(|&(_, steps)| steps > limit) {
            let (from, to) = (history.day(at), history.day(at + steps - 1));
            return Err(ForecastError::GapTooLong { from, to, steps, limit, step });
        }
        let observed = history.observed();
        if observed * 2 < len {
            let (from, to) = (history.first, history.day(len - 1));
            return Err(ForecastError::TooManyGaps { from, to, observed, of: len, step });
        }
        Ok(history)
    }

    /// Day of the first value.
    pub fn first(&self) -> Date {
        self.first
    }

    /// Day of the last value.
    pub fn last(&self) -> Date {
        self.day(self.values.len() - 1)
    }

    /// Distance of the points.
    pub fn step(&self) -> Step {
        self.step
    }

    /// The values, oldest first; `None` is a gap.
    pub fn values(&self) -> &[Option<f64>] {
        &self.values
    }

    /// How many values there are, gaps not counted.
    pub fn observed(&self) -> usize {
        self.values.iter().flatten().count()
    }

    /// The longest gap that is filled in: a third of the series, and less than a year.
    fn gap_max(&self) -> usize {
        (self.values.len() / 3).min(self.step.year() - 1)
    }

    /// The gaps, each with its place and length.
    pub(crate) fn gaps(&self) -> impl Iterator<Item = (usize, usize)> + '_ {
        let mut at = 0;
        self.values.chunk_by(|a, b| a.is_none() == b.is_none()).filter_map(move |run| {
            let start = at;
            at += run.len();
            run[0].is_none().then_some((start, run.len()))
        })
    }

    /// The day at `index`, which may lie behind the last value; none beyond the calendar.
    pub(crate) fn try_day(&self, index: usize) -> Option<Date> {
        day_after(self.first, self.anchor, self.step, index)
    }

    /// The day at `index`, up to one after the last value.
    pub(crate) fn day(&self, index: usize) -> Date {
        self.try_day(index).unwrap_or(Date::MAX)
    }
}

/// The day `steps` after `first`.
fn day_after(first: Date, anchor: i8, step: Step, steps: usize) -> Option<Date> {
    let steps = i64::try_from(steps).ok()?;
    match step {
        Step::Day => first.checked_add(Span::new().try_days(steps).ok()?).ok(),
        Step::Week => first.checked_add(Span::new().try_weeks(steps).ok()?).ok(),
        Step::Month => {
            let month = first.first_of_month().checked_add(Span::new().try_months(steps).ok()?).ok()?;
            month.with().day(anchor.min(month.days_in_month())).build().ok()
        }
    }
}

/// How many steps lie between two days of a series.
fn steps_between(first: Date, day: Date, step: Step) -> usize {
    let count = match step {
        Step::Day => days_between(first, day),
        Step::Week => days_between(first, day) / 7,
        Step::Month => month_number(day) - month_number(first),
    };
    usize::try_from(count).unwrap_or(0)
}

fn days_between(first: Date, second: Date) -> i64 {
    // A span of days alone between two civil dates always exists.
    first.until(second).map_or(0, |span| i64::from(span.get_days()))
}

fn month_number(day: Date) -> i64 {
    i64::from(day.year()) * 12 + i64::from(day.month())
}

/// The step of sorted points and, for months, the day on which they stand.
fn step_of(sorted: &[(Date, f64)]) -> (Step, i8) {
    let anchor = sorted.iter().map(|point| point.0.day()).max().unwrap_or(1);
    let shortest = sorted.windows(2).map(|pair| days_between(pair[0].0, pair[1].0)).min().unwrap_or(1);
    let on_anchor = |day: Date| day.day() == anchor.min(day.days_in_month());
    if shortest >= 28 && sorted.iter().all(|point| on_anchor(point.0)) {
        return (Step::Month, anchor);
    }
    let weekly = sorted.windows(2).all(|pair| days_between(pair[0].0, pair[1].0) % 7 == 0);
    (if shortest >= 7 && weekly { Step::Week } else { Step::Day }, anchor)
}

/// What to say of points of which less than half are there: a gap, many of them, or another step.
fn sparse(sorted: &[(Date, f64)], step: Step, count: usize) -> ForecastError {
    let distances: Vec<usize> =
        sorted.windows(2).map(|pair| steps_between(pair[0].0, pair[1].0, step)).collect();
    let next = distances.iter().filter(|&&steps| steps == 1).count();
    let (from, to) = (sorted[0].0, sorted[sorted.len() - 1].0);
    if next * 2 >= distances.len() {
        return ForecastError::TooManyGaps { from, to, observed: sorted.len(), of: count, step };
    }
    let at = distances.iter().position(|&steps| steps > 1).unwrap_or(0);
    ForecastError::Irregular { first: sorted[at].0, second: sorted[at + 1].0 }
}

fn check_value(day: Date, value: f64) -> Result<(), ForecastError> {
    if !value.is_finite() {
        Err(ForecastError::NotANumber { day, value })
    } else if value.abs() > VALUE_MAX {
        Err(ForecastError::TooLarge { day, value, limit: VALUE_MAX })
    } else {
        Ok(())
    }
}
