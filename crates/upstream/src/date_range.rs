//! A range of calendar days.

use jiff::civil::Date;
use jiff::{Span, ToSpan as _};

/// Calendar days from `start` to `end`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DateRange {
    start: Date,
    end: Date,
}

/// Why two days are no range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DateRangeError {
    /// The end comes first.
    #[error("the range ends on {end}, before it starts on {start}")]
    Backwards {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
    },
    /// Longer than any answer that fits into the bound of a body.
    #[error("the range from {start} to {end} has {days} days; at most {} are accepted", DateRange::DAYS_MAX)]
    TooLong {
        /// First day.
        start: Date,
        /// Last day.
        end: Date,
        /// Days in it.
        days: usize,
    },
}

impl DateRange {
    /// Most days in one range: a century, whose weather stays well below the bound of a body.
    pub const DAYS_MAX: usize = 36_525;

    /// The days from `start` to `end`, both included.
    ///
    /// # Errors
    /// [`DateRangeError`] if the end comes first or the range has more than [`Self::DAYS_MAX`] days.
    pub fn new(start: Date, end: Date) -> Result<Self, DateRangeError> {
        if end < start {
            return Err(DateRangeError::Backwards { start, end });
        }
        let range = Self { start, end };
        match range.days_count() {
            days if days > Self::DAYS_MAX => Err(DateRangeError::TooLong { start, end, days }),
            _ => Ok(range),
        }
    }

    /// First day.
    pub fn start(self) -> Date {
        self.start
    }

    /// Last day; part of the range.
    pub fn end(self) -> Date {
        self.end
    }

    /// Number of days, at least 1.
    pub fn days_count(self) -> usize {
        let days = self.start.duration_until(self.end).as_hours() / 24;
        usize::try_from(days).unwrap_or(0) + 1
    }

    /// Every day in order.
    pub fn days(self) -> impl Iterator<Item = Date> {
        let end = self.end;
        self.start.series(1.day()).take_while(move |day| *day <= end)
    }

    /// The days that this range and `start..=end` share, or nothing.
    pub(crate) fn within(self, start: Date, end: Date) -> Option<Self> {
        let (start, end) = (self.start.max(start), self.end.min(end));
        (start <= end).then_some(Self { start, end })
    }

    /// The same days as ranges of at most `days` days each, in order.
    pub(crate) fn chunks(self, days: usize) -> impl Iterator<Item = Self> {
        let length = Span::new().days(i64::try_from(days.max(1)).unwrap_or(i64::MAX) - 1);
        let mut next = Some(self.start);
        std::iter::from_fn(move || {
            let start = next.filter(|start| *start <= self.end)?;
            let end = start.saturating_add(length).min(self.end);
            next = end.tomorrow().ok();
            Some(Self { start, end })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;

    #[test]
    fn a_range_counts_both_ends_and_leap_days() {
        let range = DateRange::new(date(2012, 2, 28), date(2012, 3, 1)).unwrap();
        assert_eq!(range.days_count(), 3);
        assert_eq!(
            range.days().collect::<Vec<_>>(),
            [date(2012, 2, 28), date(2012, 2, 29), date(2012, 3, 1)]
        );
    }

    #[test]
    fn backwards_and_endless_ranges_are_refused() {
        let (a, b) = (date(2024, 1, 2), date(2024, 1, 1));
        assert_eq!(DateRange::new(a, b), Err(DateRangeError::Backwards { start: a, end: b }));
        assert!(matches!(
            DateRange::new(Date::MIN, Date::MAX),
            Err(DateRangeError::TooLong { days, .. }) if days > DateRange::DAYS_MAX
        ));
    }

    #[test]
    fn chunks_cover_the_range_once() {
        let range = DateRange::new(date(2020, 1, 1), date(2020, 1, 7)).unwrap();
        let chunks: Vec<_> = range.chunks(3).map(|c| (c.start().day(), c.end().day())).collect();
        assert_eq!(chunks, [(1, 3), (4, 6), (7, 7)]);
        let last = DateRange::new(Date::MAX, Date::MAX).unwrap();
        assert_eq!(last.chunks(3).collect::<Vec<_>>(), [last]);
    }
}
