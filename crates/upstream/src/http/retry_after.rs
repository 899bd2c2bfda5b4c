//! `Retry-After`: seconds or an HTTP date, never believed beyond an hour.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

/// For a 429 without a usable time.
pub(crate) const DEFAULT: Duration = Duration::from_mins(1);
/// "At once", or a date that has passed, still means that something was too much.
const MIN: Duration = Duration::from_secs(1);
/// A mistaken or hostile upstream cannot park the work for years; after an hour it is asked again.
const MAX: Duration = Duration::from_hours(1);

/// A wrong name of the weekday says nothing about the rest of the date.
const DATE: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// The wait that `value` asks for, between one second and one hour; `None` if it is neither a number of seconds nor a date.
pub(crate) fn parse(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit is a number beyond every limit.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let at = DATE.parse_timestamp(value).ok()?;
        Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(wait.clamp(MIN, MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(value: &str) -> Option<u64> {
        let now: Timestamp = "1994-11-06T08:49:00Z".parse().unwrap();
        parse(value, now).map(|wait| wait.as_secs())
    }

    #[test]
    fn seconds_and_dates_are_understood() {
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 7 "), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:37 GMT"), Some(37));
        assert_eq!(seconds("Mon, 06 Nov 1994 08:49:37 GMT"), Some(37), "though it was a Sunday");
    }

    #[test]
    fn the_wait_stays_between_a_second_and_an_hour() {
        assert_eq!(seconds("0"), Some(1));
        assert_eq!(seconds("1000000000000"), Some(3600));
        assert_eq!(seconds("99999999999999999999999999"), Some(3600));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:48:00 GMT"), Some(1));
        assert_eq!(seconds("Fri, 06 Dec 2999 08:49:37 GMT"), Some(3600));
    }

    #[test]
    fn what_is_neither_is_nothing() {
        for value in ["", "-1", "1.5", "soon", "1e12", "٣", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(seconds(value), None, "{value:?}");
        }
    }
}
