//! When a day begins.
//!
//! A day begins at the first moment at which the calendar shows it, or a later one. So days follow each other without gap or overlap whatever is
//! done to the clock: one whose midnight was skipped begins where the clock went on, and one that a zone left out has no length.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

/// The first moment at which the calendar of `zone` shows `day` or a later one; none at the ends of time.
pub fn start_of_day(zone: &TimeZone, day: Date) -> Option<Timestamp> {
    let midnight = day.at(0, 0, 0, 0);
    match zone.to_ambiguous_timestamp(midnight).offset() {
        // Of a midnight that comes twice the first one: the clock was set back behind it.
        AmbiguousOffset::Unambiguous { offset } | AmbiguousOffset::Fold { before: offset, .. } => {
            offset.to_timestamp(midnight).ok()
        }
        // The clock was set over midnight: the day begins at that moment, which comes after midnight by the new clock.
        AmbiguousOffset::Gap { after, .. } => {
            let before_it = after.to_timestamp(midnight).ok()?;
            let change = zone.following(before_it).find(|change| change.offset() == after)?;
            Some(change.timestamp())
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn a_day_begins_when_the_calendar_first_shows_it() {
        for (zone, day, begins) in [
            ("UTC", date(2024, 1, 1), "2024-01-01T00:00:00Z"),
            ("Europe/Berlin", date(2024, 10, 27), "2024-10-26T22:00:00Z"),
            // Midnight was skipped: from 00:00 to 01:00, and from 23:30 of the day before to 00:30.
            ("America/Sao_Paulo", date(2018, 11, 4), "2018-11-04T03:00:00Z"),
            ("America/Toronto", date(1919, 3, 31), "1919-03-31T04:30:00Z"),
            // Midnight came twice: a minute after it the clock was set back by an hour.
            ("America/St_Johns", date(2010, 11, 7), "2010-11-07T02:30:00Z"),
            // The day was left out: it begins with the next.
            ("Pacific/Apia", date(2011, 12, 30), "2011-12-30T10:00:00Z"),
            ("Pacific/Apia", date(2011, 12, 31), "2011-12-30T10:00:00Z"),
        ] {
            let found = start_of_day(&TimeZone::get(zone).unwrap(), day).unwrap();
            assert_eq!(found.to_string(), begins, "{zone} {day}");
        }
        assert_eq!(start_of_day(&TimeZone::UTC, Date::MAX), None, "no moment is as late as that");
    }
}
