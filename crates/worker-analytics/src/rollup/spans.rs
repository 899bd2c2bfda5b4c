//! Where buckets begin and end on the clock of a time zone.
//!
//! A *day* begins at the first moment at which the calendar shows it, or a later one, and ends where the next day begins. So days follow
//! each other without gap or overlap whatever is done to the clock: one of 23 or 25 hours is that long, one that begins at 01:00 because
//! midnight was skipped begins then, one that a zone left out (the 30th of December 2011 in Apia) has no length and holds nothing, and what of an
//! evening comes again after the clock was set back over midnight belongs to the day that had begun. *Weeks* begin with their Monday (ISO 8601)
//! and *months* with their first day.
//!
//! An *hour* is a time during which the clock goes on undisturbed and shows the same hour. It ends when the clock shows a full hour, whatever
//! the zone is off UTC, and whenever the clock is set. The hour that comes twice when clocks are set back is therefore two buckets, told apart
//! by their moments, and an hour that is cut short (half an hour on Lord Howe Island) is as long as it was.

use bulrush_catalog::jobs::Granularity;
use bulrush_catalog::start_of_day;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

const HOUR_S: i64 = 3_600;

/// A bucket's place in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its first moment, ms since 1970.
    pub start_ms: i64,
    /// The moment after its last, ms since 1970.
    pub end_ms: i64,
}

/// A day that no clock shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the days from {first} to {last} reach beyond what the calendar has; choose others")]
pub struct NoSuchTime {
    /// The first day that was asked for.
    pub first: Date,
    /// The last one.
    pub last: Date,
}

/// The buckets of the days from `first` to `last`, widened to whole buckets, in order and without gaps. Buckets without length are left
/// out.
///
/// # Errors
/// [`NoSuchTime`] at the ends of time.
pub fn spans(
    zone: &TimeZone,
    granularity: Granularity,
    first: Date,
    last: Date,
) -> Result<Vec<Span>, NoSuchTime> {
    let wrong = NoSuchTime { first, last };
    let (first, last) = granularity.widen(first, last);
    let after = last.tomorrow().map_err(|_| wrong)?;
    if granularity == Granularity::Hour {
        let ends = start_of_day(zone, first).zip(start_of_day(zone, after));
        return ends.map(|(begin, end)| hours(zone, begin, end)).ok_or(wrong);
    }
    let next = |day: Date| match granularity {
        Granularity::Hour | Granularity::Day => day.tomorrow(),
        Granularity::Week => day.checked_add(jiff::Span::new().weeks(1)),
        Granularity::Month => day.checked_add(jiff::Span::new().months(1)),
    };
    let mut all = Vec::new();
    let (mut day, mut start) = (first, start_of_day(zone, first).ok_or(wrong)?);
    while day < after {
        day = next(day).map_err(|_| wrong)?;
        let end = start_of_day(zone, day).ok_or(wrong)?;
        if start < end {
            all.push(Span { start_ms: start.as_millisecond(), end_ms: end.as_millisecond() });
        }
        start = end;
    }
    Ok(all)
}

/// The hours between two moments, each of which begins one.
fn hours(zone: &TimeZone, begin: Timestamp, end: Timestamp) -> Vec<Span> {
    let (mut at, end) = (begin.as_second(), end.as_second());
    let mut all = Vec::with_capacity(usize::try_from((end - at) / HOUR_S + 2).unwrap_or_default());
    while at < end {
        let Ok(moment) = Timestamp::from_second(at) else { break };
        let offset = zone.to_offset(moment);
        // Clocks are looked at again where they are set, and only there.
        let change = zone.following(moment).find(|change| change.offset() != offset);
        let until = change.map_or(end, |change| change.timestamp().as_second().min(end));
        while at < until {
            let shown = at + i64::from(offset.seconds());
            let full = (shown.div_euclid(HOUR_S) + 1) * HOUR_S - i64::from(offset.seconds());
            let next = full.min(until);
            all.push(Span { start_ms: at * 1_000, end_ms: next * 1_000 });
            at = next;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_millisecond()
    }

    /// Where the buckets begin, and where the last one ends, on the clock of the zone.
    fn edges(zone: &str, granularity: Granularity, first: Date, last: Date) -> Vec<String> {
        let zone = TimeZone::get(zone).unwrap();
        let all = spans(&zone, granularity, first, last).unwrap();
        for pair in all.windows(2) {
            assert_eq!(pair[0].end_ms, pair[1].start_ms, "there is a gap");
        }
        let shown = |ms: i64| {
            let at = Timestamp::from_millisecond(ms).unwrap().to_zoned(zone.clone());
            at.strftime("%m-%d %H:%M%:z").to_string()
        };
        let ends = all.iter().map(|span| span.start_ms).chain(all.last().map(|span| span.end_ms));
        ends.map(shown).collect()
    }

    fn lengths(zone: &str, granularity: Granularity, first: Date, last: Date) -> Vec<i64> {
        let zone = TimeZone::get(zone).unwrap();
        let all = spans(&zone, granularity, first, last).unwrap();
        all.iter().map(|span| (span.end_ms - span.start_ms) / 60_000).collect()
    }

    #[test]
    fn days_are_as_long_as_their_clocks_make_them() {
        let day = |zone, first, last| lengths(zone, Granularity::Day, first, last);
        // Spring and autumn of 2024 in Berlin: Sundays the 31st of March and the 27th of October.
        assert_eq!(day("Europe/Berlin", date(2024, 3, 30), date(2024, 4, 1)), [1_440, 1_380, 1_440]);
        assert_eq!(day("Europe/Berlin", date(2024, 10, 26), date(2024, 10, 28)), [1_440, 1_500, 1_440]);
        assert_eq!(day("America/Los_Angeles", date(2024, 3, 10), date(2024, 3, 10)), [1_380]);
        assert_eq!(day("Australia/Lord_Howe", date(2024, 10, 6), date(2024, 10, 6)), [1_410], "half an hour");
        assert_eq!(day("Australia/Lord_Howe", date(2024, 4, 7), date(2024, 4, 7)), [1_470]);
        // The database has winter as the time that is set, by an hour less than the standard.
        assert_eq!(day("Europe/Dublin", date(2024, 3, 31), date(2024, 3, 31)), [1_380]);
        assert_eq!(day("Europe/Dublin", date(2024, 10, 27), date(2024, 10, 27)), [1_500]);
        assert_eq!(day("UTC", date(2024, 3, 31), date(2024, 3, 31)), [1_440]);
    }

    #[test]
    fn a_day_that_a_zone_left_out_holds_nothing() {
        let days = edges("Pacific/Apia", Granularity::Day, date(2011, 12, 29), date(2011, 12, 31));
        assert_eq!(days, ["12-29 00:00-10:00", "12-31 00:00+14:00", "01-01 00:00+14:00"]);
        assert_eq!(
            lengths("Pacific/Apia", Granularity::Day, date(2011, 12, 30), date(2011, 12, 30)),
            [0_i64; 0]
        );
        assert_eq!(
            lengths("Pacific/Apia", Granularity::Hour, date(2011, 12, 30), date(2011, 12, 30)),
            [0_i64; 0]
        );
        // Monday the 26th of December to Sunday the 1st of January, without the Friday.
        assert_eq!(
            lengths("Pacific/Apia", Granularity::Week, date(2011, 12, 30), date(2011, 12, 30)),
            [8_640]
        );
        assert_eq!(
            lengths("Pacific/Apia", Granularity::Month, date(2011, 12, 30), date(2011, 12, 30)),
            [43_200]
        );
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_where_the_clock_goes_on() {
        // Clocks were set from 00:00 to 01:00.
        let days = edges("America/Sao_Paulo", Granularity::Day, date(2018, 11, 3), date(2018, 11, 4));
        assert_eq!(days, ["11-03 00:00-03:00", "11-04 01:00-02:00", "11-05 00:00-02:00"]);
        // From 23:30 to 00:30, in the evening of the 30th of March 1919.
        let zone = TimeZone::get("America/Toronto").unwrap();
        let start = start_of_day(&zone, date(1919, 3, 31)).unwrap();
        assert_eq!(start.to_zoned(zone).strftime("%F %T").to_string(), "1919-03-31 00:30:00");
    }

    #[test]
    fn an_evening_that_comes_again_after_midnight_belongs_to_the_day_that_had_begun() {
        // One minute past midnight of the 7th of November 2010 the clock was set back to 23:01 of the 6th.
        let days = edges("America/St_Johns", Granularity::Day, date(2010, 11, 6), date(2010, 11, 7));
        assert_eq!(days, ["11-06 00:00-02:30", "11-07 00:00-02:30", "11-08 00:00-03:30"]);
        assert_eq!(
            lengths("America/St_Johns", Granularity::Day, date(2010, 11, 6), date(2010, 11, 7)),
            [1_440, 1_500]
        );
        let hours = edges("America/St_Johns", Granularity::Hour, date(2010, 11, 7), date(2010, 11, 7));
        assert_eq!(
            hours[..4],
            ["11-07 00:00-02:30", "11-06 23:01-03:30", "11-07 00:00-03:30", "11-07 01:00-03:30"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_buckets_and_one_that_is_skipped_is_none() {
        let autumn = edges("Europe/Berlin", Granularity::Hour, date(2024, 10, 27), date(2024, 10, 27));
        assert_eq!(autumn.len(), 26, "25 hours");
        assert_eq!(
            autumn[1..5],
            ["10-27 01:00+02:00", "10-27 02:00+02:00", "10-27 02:00+01:00", "10-27 03:00+01:00"]
        );
        let spring = edges("Europe/Berlin", Granularity::Hour, date(2024, 3, 31), date(2024, 3, 31));
        assert_eq!(spring.len(), 24, "23 hours");
        assert_eq!(spring[1..3], ["03-31 01:00+01:00", "03-31 03:00+02:00"]);
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let all = spans(&zone, Granularity::Hour, date(2024, 10, 27), date(2024, 10, 27)).unwrap();
        assert_eq!((all[2].start_ms, all[3].start_ms), (ms("2024-10-27T00:00Z"), ms("2024-10-27T01:00Z")));
    }

    #[test]
    fn hours_begin_when_the_clock_shows_them_in_zones_off_by_minutes() {
        let kolkata = edges("Asia/Kolkata", Granularity::Hour, date(2024, 1, 1), date(2024, 1, 1));
        assert_eq!((kolkata.len(), kolkata[0].as_str()), (25, "01-01 00:00+05:30"));
        let kathmandu = TimeZone::get("Asia/Kathmandu").unwrap();
        let all = spans(&kathmandu, Granularity::Hour, date(2024, 1, 1), date(2024, 1, 1)).unwrap();
        assert_eq!(all[0].start_ms, ms("2023-12-31T18:15:00Z"));
        // Clocks that are set by half an hour cut an hour in two, or one short.
        let autumn = edges("Australia/Lord_Howe", Granularity::Hour, date(2024, 4, 7), date(2024, 4, 7));
        assert_eq!(autumn[1..4], ["04-07 01:00+11:00", "04-07 01:30+10:30", "04-07 02:00+10:30"]);
        let spring = edges("Australia/Lord_Howe", Granularity::Hour, date(2024, 10, 6), date(2024, 10, 6));
        assert_eq!(spring[2..4], ["10-06 02:30+11:00", "10-06 03:00+11:00"]);
        assert_eq!(
            lengths("Australia/Lord_Howe", Granularity::Hour, date(2024, 10, 6), date(2024, 10, 6))[..4],
            [60, 60, 30, 60]
        );
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let weeks = edges("Europe/Berlin", Granularity::Week, date(2024, 3, 28), date(2024, 4, 2));
        assert_eq!(weeks, ["03-25 00:00+01:00", "04-01 00:00+02:00", "04-08 00:00+02:00"]);
        let month = edges("Europe/Berlin", Granularity::Month, date(2024, 2, 29), date(2024, 3, 1));
        assert_eq!(month, ["02-01 00:00+01:00", "03-01 00:00+01:00", "04-01 00:00+02:00"]);
        // The first week of 2021 begins in it; its first days belong to the last week of 2020.
        let turn = edges("UTC", Granularity::Week, date(2021, 1, 1), date(2021, 1, 4));
        assert_eq!(turn, ["12-28 00:00+00:00", "01-04 00:00+00:00", "01-11 00:00+00:00"]);
    }

    #[test]
    fn the_ends_of_time_are_refused() {
        for granularity in Granularity::ALL.map(|(granularity, _)| granularity) {
            assert!(spans(&TimeZone::UTC, granularity, Date::MAX, Date::MAX).is_err());
        }
    }
}
