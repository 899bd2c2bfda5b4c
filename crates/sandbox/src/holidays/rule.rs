//! The rules that holidays follow, and the days that come of them.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday, date};

/// When something is in a year.
#[derive(Debug, Clone, Copy)]
pub(super) enum When {
    /// Month and day.
    Fixed(i8, i8),
    /// The nth such weekday of a month; -1 is the last one.
    Nth(i8, Weekday, i8),
    /// Days after Easter Sunday.
    Easter(i64),
    /// The last such weekday before a day.
    Before(Weekday, i8, i8),
    /// The first such weekday on or after a day.
    From(Weekday, i8, i8),
}

impl When {
    /// The day in a year, where there is one.
    pub fn on(self, year: i16) -> Option<Date> {
        match self {
            Self::Fixed(month, day) => Date::new(year, month, day).ok(),
            Self::Nth(nth, weekday, month) => {
                Date::new(year, month, 1).ok()?.nth_weekday_of_month(nth, weekday).ok()
            }
            Self::Easter(days) => easter(year).checked_add(days.days()).ok(),
            Self::Before(weekday, month, day) => {
                Date::new(year, month, day).ok()?.nth_weekday(-1, weekday).ok()
            }
            Self::From(weekday, month, day) => {
                Date::new(year, month, day).ok()?.yesterday().ok()?.nth_weekday(1, weekday).ok()
            }
        }
    }
}

/// Easter Sunday of the Gregorian calendar, by the anonymous algorithm (Meeus, Jones and Butcher).
#[expect(
    clippy::many_single_char_names,
    reason = "the letters are the ones under which the algorithm is published"
)]
pub(super) fn easter(year: i16) -> Date {
    let y = i32::from(year);
    let (a, b, c) = (y % 19, y / 100, y % 100);
    let (d, e) = (b / 4, b % 4);
    let g = (b - (b + 8) / 25 + 1) / 3;
    let h = (19 * a + b - d - g + 15) % 30;
    let (i, k) = (c / 4, c % 4);
    let l = (32 + 2 * e + 2 * i - h - k) % 7;
    let m = (a + 11 * h + 22 * l) / 451;
    let n = h + l - 7 * m + 114;
    // The algorithm gives 22 March to 25 April for every year.
    date(year, (n / 31) as i8, (n % 31 + 1) as i8)
}

/// In which years a holiday is one.
#[derive(Debug, Clone, Copy)]
pub(super) enum Years {
    All,
    Since(i16),
    Until(i16),
    Between(i16, i16),
    Only(&'static [i16]),
    Except(&'static [i16]),
    /// Years that this number divides.
    Every(i16),
}

impl Years {
    fn has(self, year: i16) -> bool {
        match self {
            Self::All => true,
            Self::Since(first) => year >= first,
            Self::Until(last) => year <= last,
            Self::Between(first, last) => (first..=last).contains(&year),
            Self::Only(years) => years.contains(&year),
            Self::Except(years) => !years.contains(&year),
            Self::Every(step) => year % step == 0,
        }
    }
}

/// What the law does when a holiday is on a weekend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Weekend {
    /// Nothing.
    Lost,
    /// Friday before a Saturday and Monday after a Sunday are free too (USA).
    NearestWorkday,
    /// The next day that is neither weekend nor holiday is free too (United Kingdom).
    NextWorkday,
    /// Monday after a Sunday is free too (Canada Day).
    MondayAfterSunday,
    /// A Sunday is given to the Saturday before (the King's birthday in the Netherlands).
    SaturdayBeforeSunday,
}

/// A public holiday of a country.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    when: When,
    name: &'static str,
    local: &'static str,
    years: Years,
    /// Codes of the parts that have it; empty for the whole country.
    regions: &'static [&'static str],
    weekend: Weekend,
}

impl Rule {
    pub const fn new(when: When, name: &'static str, local: &'static str) -> Self {
        Self { when, name, local, years: Years::All, regions: &[], weekend: Weekend::Lost }
    }

    pub const fn years(mut self, years: Years) -> Self {
        self.years = years;
        self
    }

    pub const fn only_in(mut self, regions: &'static [&'static str]) -> Self {
        self.regions = regions;
        self
    }

    pub const fn weekend(mut self, weekend: Weekend) -> Self {
        self.weekend = weekend;
        self
    }

    /// Both have it in at least one place.
    fn meets(&self, other: &Self) -> bool {
        self.regions.is_empty()
            || other.regions.is_empty()
            || self.regions.iter().any(|region| other.regions.contains(region))
    }
}

/// A holiday of a year.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Holiday {
    pub date: Date,
    /// English.
    pub name: String,
    /// In the country's language.
    pub local: String,
    /// Codes of the parts that have it; empty for the whole country.
    pub regions: &'static [&'static str],
}

/// All holidays of a year by these rules, by date. A holiday that a weekend would swallow is there twice where the law says
/// so: on its day, and as "(observed)" on the day off.
pub(super) fn holidays(rules: &[Rule], year: i16) -> Vec<Holiday> {
    // The day off for a New Year's Day on a Saturday is in the year before.
    let mut holidays: Vec<Holiday> =
        (year - 1..=year + 1).flat_map(|base| of_base_year(rules, base)).collect();
    holidays.retain(|holiday| holiday.date.year() == year);
    holidays.sort_by(|a, b| (a.date, &a.name).cmp(&(b.date, &b.name)));
    holidays
}

fn of_base_year(rules: &[Rule], year: i16) -> Vec<Holiday> {
    let mut dated: Vec<(Date, &Rule)> = rules
        .iter()
        .filter(|rule| rule.years.has(year))
        .filter_map(|rule| Some((rule.when.on(year)?, rule)))
        .map(|(date, rule)| (moved(date, rule.weekend), rule))
        .collect();
    dated.sort_by_key(|(date, _)| *date);
    let mut taken = dated.clone();
    let mut holidays = Vec::new();
    for (date, rule) in dated {
        holidays.push(Holiday {
            date,
            name: rule.name.to_owned(),
            local: rule.local.to_owned(),
            regions: rule.regions,
        });
        let is_free = |day: Date| {
            !is_weekend(day) && !taken.iter().any(|(other, holder)| *other == day && holder.meets(rule))
        };
        if let Some(day_off) = day_off(date, rule.weekend, is_free) {
            taken.push((day_off, rule));
            holidays.push(Holiday {
                date: day_off,
                name: format!("{} (observed)", rule.name),
                local: format!("{} (observed)", rule.local),
                regions: rule.regions,
            });
        }
    }
    holidays
}

fn moved(date: Date, weekend: Weekend) -> Date {
    match (weekend, date.weekday()) {
        (Weekend::SaturdayBeforeSunday, Weekday::Sunday) => date.saturating_sub(1.day()),
        _ => date,
    }
}

/// The day off that makes up for a holiday on `date`.
fn day_off(date: Date, weekend: Weekend, is_free: impl Fn(Date) -> bool) -> Option<Date> {
    match (weekend, date.weekday()) {
        (Weekend::NearestWorkday, Weekday::Saturday) => date.yesterday().ok(),
        (Weekend::NearestWorkday | Weekend::MondayAfterSunday, Weekday::Sunday) => date.tomorrow().ok(),
        (Weekend::NextWorkday, Weekday::Saturday | Weekday::Sunday) => {
            date.series(1.day()).skip(1).find(|day| is_free(*day))
        }
        _ => None,
    }
}

fn is_weekend(date: Date) -> bool {
    matches!(date.weekday(), Weekday::Saturday | Weekday::Sunday)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn easter_is_where_the_church_has_it() {
        for (year, month, day) in [
            (1990, 4, 15),
            (2000, 4, 23),
            (2008, 3, 23),
            (2011, 4, 24),
            (2019, 4, 21),
            (2024, 3, 31),
            (2025, 4, 20),
            (2038, 4, 25),
            (2049, 4, 18),
            (2076, 4, 19),
            (2100, 3, 28),
        ] {
            assert_eq!(easter(year), date(year, month, day));
        }
        for year in 1583..=4099 {
            let easter = easter(year);
            assert_eq!(easter.weekday(), Weekday::Sunday);
            assert!((date(year, 3, 22)..=date(year, 4, 25)).contains(&easter), "{easter}");
        }
    }

    #[test]
    fn weekdays_are_counted_within_their_month() {
        assert_eq!(When::Nth(4, Weekday::Thursday, 11).on(2024), Some(date(2024, 11, 28)));
        assert_eq!(When::Nth(-1, Weekday::Monday, 5).on(2024), Some(date(2024, 5, 27)));
        assert_eq!(When::Before(Weekday::Monday, 5, 25).on(2026), Some(date(2026, 5, 18)));
        assert_eq!(When::From(Weekday::Monday, 7, 1).on(2024), Some(date(2024, 7, 1)));
        assert_eq!(When::From(Weekday::Monday, 7, 2).on(2024), Some(date(2024, 7, 8)));
    }
}
