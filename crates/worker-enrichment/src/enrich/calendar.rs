//! The place of each day in the calendar: from holidays and weather to the features of a day. No IO, no clock.

use std::collections::BTreeMap;

use bulrush_store::{DailyWeather, DayFeatures, DayRange, Season};
use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};

/// A long weekend is at least this many days.
const LONG_WEEKEND_DAYS: usize = 3;

/// What the features of a day are made of.
pub(super) struct Calendar<'a> {
    /// Degrees north of the place.
    pub latitude: f64,
    /// Weather by day.
    pub weather: &'a BTreeMap<Date, DailyWeather>,
    /// Names of public holidays by day, beyond the ends of the range too.
    pub public: &'a BTreeMap<Date, String>,
    /// Names of school holidays by day.
    pub school: &'a BTreeMap<Date, String>,
}

impl Calendar<'_> {
    /// The features of every day of `range`.
    pub fn features(&self, range: DayRange) -> Vec<DayFeatures> {
        range.days().map(|day| self.features_of(day)).collect()
    }

    fn features_of(&self, day: Date) -> DayFeatures {
        let next = self.public.range(day..).next().map(|(holiday, _)| days_between(day, *holiday));
        let last = self.public.range(..=day).next_back().map(|(holiday, _)| days_between(*holiday, day));
        DayFeatures {
            day,
            weather: self.weather.get(&day).copied().unwrap_or_default(),
            public_holiday: self.public.get(&day).cloned(),
            school_holiday: self.school.get(&day).cloned(),
            days_to_holiday: next,
            days_since_holiday: last,
            long_weekend: self.is_long_weekend(day),
            weekday: day.weekday().to_monday_one_offset().unsigned_abs(),
            weekend: is_weekend(day),
            month: day.month().unsigned_abs(),
            season: season(self.latitude, day.month()),
            iso_week: day.iso_week_date().week().unsigned_abs(),
        }
    }

    /// Whether the day is one of three or more free days in a row, at least one of them a public holiday. A single working day
    /// between a public holiday and another free day is a bridge, which many people take off, and counts as free.
    fn is_long_weekend(&self, day: Date) -> bool {
        if !self.is_free(day) {
            return false;
        }
        let (mut length, mut has_holiday) = (1, self.is_holiday(day));
        let steps: [fn(Date) -> Option<Date>; 2] = [|day| day.yesterday().ok(), |day| day.tomorrow().ok()];
        for step in steps {
            let mut at = step(day);
            while let Some(free) = at.filter(|day| self.is_free(*day)) {
                length += 1;
                has_holiday |= self.is_holiday(free);
                at = step(free);
            }
        }
        has_holiday && length >= LONG_WEEKEND_DAYS
    }

    fn is_holiday(&self, day: Date) -> bool {
        self.public.contains_key(&day)
    }

    fn is_off(&self, day: Date) -> bool {
        is_weekend(day) || self.is_holiday(day)
    }

    fn is_free(&self, day: Date) -> bool {
        if self.is_off(day) {
            return true;
        }
        let (before, after) = (day.saturating_sub(1.day()), day.saturating_add(1.day()));
        self.is_off(before) && self.is_off(after) && (self.is_holiday(before) || self.is_holiday(after))
    }
}

fn is_weekend(day: Date) -> bool {
    matches!(day.weekday(), Weekday::Saturday | Weekday::Sunday)
}

fn days_between(earlier: Date, later: Date) -> i64 {
    earlier.duration_until(later).as_hours() / 24
}

/// The season by months, as meteorologists have it; the equator belongs to the north.
fn season(latitude: f64, month: i8) -> Season {
    let south = latitude < 0.0;
    match (month, south) {
        (12 | 1 | 2, false) | (6..=8, true) => Season::Winter,
        (3..=5, false) | (9..=11, true) => Season::Spring,
        (6..=8, false) | (12 | 1 | 2, true) => Season::Summer,
        _ => Season::Autumn,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    /// The features of the days from `first` to `last` with these public holidays.
    fn features(first: Date, last: Date, holidays: &[Date]) -> Vec<DayFeatures> {
        let public = holidays.iter().map(|day| (*day, "Holiday".to_owned())).collect();
        let (weather, school) = (BTreeMap::new(), BTreeMap::new());
        let calendar = Calendar { latitude: 48.0, weather: &weather, public: &public, school: &school };
        calendar.features(DayRange::new(first, last))
    }

    /// The days of month and year that belong to a long weekend.
    fn long_weekends(year: i16, month: i8, holidays: &[Date]) -> Vec<i8> {
        let first = date(year, month, 1);
        let days = features(first, first.last_of_month(), holidays);
        days.into_iter().filter(|day| day.long_weekend).map(|day| day.day.day()).collect()
    }

    #[test]
    fn a_holiday_beside_a_weekend_makes_it_long() {
        // Labour Day of the United States, a Monday.
        assert_eq!(long_weekends(2015, 9, &[date(2015, 9, 7)]), [5, 6, 7]);
        // Good Friday and Easter Monday.
        assert_eq!(long_weekends(2024, 4, &[date(2024, 3, 29), date(2024, 4, 1)]), [1]);
        assert_eq!(long_weekends(2024, 3, &[date(2024, 3, 29), date(2024, 4, 1)]), [29, 30, 31]);
    }

    #[test]
    fn one_working_day_between_a_holiday_and_a_weekend_is_a_bridge() {
        // Ascension, a Thursday: the Friday after it joins the weekend. A Tuesday bridges the Monday before.
        assert_eq!(long_weekends(2024, 5, &[date(2024, 5, 9)]), [9, 10, 11, 12]);
        assert_eq!(long_weekends(2019, 12, &[date(2019, 12, 24)]), [21, 22, 23, 24]);
        // From a Wednesday two days are missing.
        assert_eq!(long_weekends(2024, 5, &[date(2024, 5, 1)]), Vec::<i8>::new());
    }

    #[test]
    fn a_weekend_without_a_holiday_or_with_one_inside_is_an_ordinary_one() {
        assert_eq!(long_weekends(2024, 6, &[]), Vec::<i8>::new());
        assert_eq!(long_weekends(2024, 6, &[date(2024, 6, 1)]), Vec::<i8>::new());
    }

    #[test]
    fn a_long_weekend_goes_over_the_end_of_the_range() {
        let days = features(date(2024, 12, 31), date(2024, 12, 31), &[date(2025, 1, 1), date(2024, 12, 30)]);
        assert!(days[0].long_weekend, "a bridge between two holidays, one of them outside of the range");
    }

    #[test]
    fn days_to_and_since_a_holiday_count_from_zero_and_are_unknown_without_one() {
        let days = features(date(2024, 12, 24), date(2024, 12, 27), &[date(2024, 12, 25)]);
        let distances: Vec<_> =
            days.iter().map(|day| (day.days_to_holiday, day.days_since_holiday)).collect();
        assert_eq!(distances, [(Some(1), None), (Some(0), Some(0)), (None, Some(1)), (None, Some(2))]);
    }

    #[test]
    fn seasons_turn_with_the_hemisphere() {
        let year = |latitude| (1..=12).map(|month| season(latitude, month)).collect::<Vec<_>>();
        let (north, south) = (year(47.6), year(-33.9));
        assert_eq!(
            (north[0], north[3], north[6], north[9]),
            (Season::Winter, Season::Spring, Season::Summer, Season::Autumn)
        );
        // Half a year apart, month by month.
        assert!((0..12).all(|month| south[month] == north[(month + 6) % 12]));
        assert_eq!(year(0.0), north);
    }

    #[test]
    fn leap_days_and_the_weeks_around_new_year_are_where_iso_has_them() {
        let days = features(date(2020, 2, 28), date(2020, 3, 1), &[]);
        assert_eq!(
            days.iter().map(|day| (day.month, day.weekday)).collect::<Vec<_>>(),
            [(2, 5), (2, 6), (3, 7)]
        );
        let week = |day| features(day, day, &[])[0].iso_week;
        assert_eq!((week(date(2020, 12, 31)), week(date(2021, 1, 3)), week(date(2021, 1, 4))), (53, 53, 1));
        assert_eq!(week(date(2018, 12, 31)), 1);
        assert!(features(date(2024, 6, 1), date(2024, 6, 1), &[])[0].weekend);
    }
}
