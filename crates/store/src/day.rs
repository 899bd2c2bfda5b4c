//! Calendar days and ranges of them.

use jiff::civil::Date;

use crate::StoreError;

/// Days from `first` to `last`, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DayRange {
    /// The first day.
    pub first: Date,
    /// The last day, not before the first in a range that holds anything.
    pub last: Date,
}

impl DayRange {
    /// From `first` to `last`, both included; empty if `last` is before `first`.
    pub fn new(first: Date, last: Date) -> Self {
        Self { first, last }
    }

    /// Every day of the range, in order.
    pub fn days(self) -> impl Iterator<Item = Date> {
        std::iter::successors(Some(self.first), |day| day.tomorrow().ok())
            .take_while(move |day| *day <= self.last)
    }

    /// The days of the range that `known` does not hold, as few ranges as possible, in order.
    pub fn without(self, known: &std::collections::BTreeSet<Date>) -> Vec<Self> {
        let mut gaps: Vec<Self> = Vec::new();
        for day in self.days().filter(|day| !known.contains(day)) {
            match gaps.last_mut() {
                Some(gap) if gap.last.tomorrow().ok() == Some(day) => gap.last = day,
                _ => gaps.push(Self::new(day, day)),
            }
        }
        gaps
    }
}

/// A day as the database holds it, `YYYY-MM-DD`.
pub(crate) fn text(day: Date) -> String {
    day.to_string()
}

/// A day read from the database.
pub(crate) fn parse(table: &'static str, text: &str) -> Result<Date, StoreError> {
    text.parse().map_err(|_| StoreError::unreadable(table, "day", text))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::civil::date;

    use super::*;

    #[test]
    fn gaps_are_joined_into_ranges() {
        let range = DayRange::new(date(2024, 2, 27), date(2024, 3, 3));
        let known = BTreeSet::from([date(2024, 2, 29), date(2024, 3, 3), date(2024, 5, 1)]);
        assert_eq!(
            range.without(&known),
            [
                DayRange::new(date(2024, 2, 27), date(2024, 2, 28)),
                DayRange::new(date(2024, 3, 1), date(2024, 3, 2))
            ]
        );
        assert_eq!(range.without(&range.days().collect()), []);
    }

    #[test]
    fn a_range_that_ends_before_it_begins_is_empty_and_the_last_day_of_time_ends_it() {
        assert_eq!(DayRange::new(date(2024, 1, 2), date(2024, 1, 1)).days().count(), 0);
        assert_eq!(DayRange::new(Date::MAX, Date::MAX).days().count(), 1);
    }
}
