//! A publisher's traffic: a row for each moment, hour or day, with impressions, clicks, revenue or requests for advertisements.
//!
//! A moment is written as an instant (RFC 3339, with what it is off UTC) or by the publisher's clock: a time of day, a day and an hour, or a day,
//! which is its beginning. A time that the clock has never shown is refused. One that it has shown twice is the first of the two, and
//! where it stands in two rows the second is the second.

use std::collections::HashMap;
use std::io::Read;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::table::{self, AMOUNT_MAX, NotATable, Row, YEARS, parse_day, shown, whole};

/// The metrics, in the order of the values.
pub const METRICS: [&str; 4] = ["impressions", "clicks", "revenue", "requests"];
/// Most rows: five years of hours. All of them are kept in one transaction, which others wait for.
const ROWS_MAX: usize = 50_000;
/// Most impressions, clicks and requests of a row.
const COUNT_MAX: f64 = 1e12;

/// What a file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Traffic {
    /// By moment, ms since 1970, the values of [`METRICS`].
    pub rows: Vec<(i64, [Option<f64>; 4])>,
    /// The metrics that it has.
    pub metrics: Vec<&'static str>,
    /// Headers that mean nothing here.
    pub ignored: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Timestamp,
    Date,
    Hour,
    Impressions,
    Clicks,
    Revenue,
    Requests,
}

const VALUES: [Column; 4] = [Column::Impressions, Column::Clicks, Column::Revenue, Column::Requests];

impl table::Column for Column {
    const ALL: &'static [Self] = &[
        Self::Timestamp,
        Self::Date,
        Self::Hour,
        Self::Impressions,
        Self::Clicks,
        Self::Revenue,
        Self::Requests,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Timestamp => "timestamp",
            Self::Date => "date",
            Self::Hour => "hour",
            Self::Impressions => "impressions",
            Self::Clicks => "clicks",
            Self::Revenue => "revenue",
            Self::Requests => "requests",
        }
    }

    fn headers(self) -> &'static [&'static str] {
        match self {
            Self::Timestamp => &["timestamp", "time", "datetime", "at", "ts", "dateandtime"],
            Self::Date => &["date", "day", "datum", "ds"],
            Self::Hour => &["hour", "hourofday", "stunde"],
            Self::Impressions => &["impressions", "imps", "impr", "views", "adimpressions"],
            Self::Clicks => &["clicks", "adclicks"],
            Self::Revenue => &["revenue", "earnings", "income", "adrevenue"],
            Self::Requests => &["requests", "adrequests", "queries"],
        }
    }
}

/// Reads a publisher's traffic, times of day being those of `zone`.
///
/// # Errors
/// What is wrong with it, with the rows.
pub fn parse(source: impl Read, zone: &TimeZone) -> Result<Traffic, NotATable> {
    let mut rows: Vec<(i64, [Option<f64>; 4])> = Vec::new();
    let mut seen: HashMap<i64, u64> = HashMap::new();
    let layout = table::read(
        source,
        |layout| {
            let has_time = layout.has(Column::Timestamp) || layout.has(Column::Date);
            if layout.has(Column::Timestamp) && layout.has(Column::Date) {
                return Err(whole(Some(1), "the header has both a timestamp and a date; keep one of them"));
            }
            if layout.has(Column::Hour) && !layout.has(Column::Date) {
                return Err(whole(Some(1), "the header has an hour and no date that it is of"));
            }
            if !has_time {
                return Err(layout.lacks("timestamp or date"));
            }
            if VALUES.iter().any(|column| layout.has(*column)) {
                return Ok(());
            }
            Err(layout.lacks("impressions, clicks, revenue or requests"))
        },
        |row| {
            let moments = moments(row, zone);
            let values = VALUES.map(|column| {
                let most = if column == Column::Revenue { AMOUNT_MAX } else { COUNT_MAX };
                row.amount(column, most)
            });
            let Some((column, moments)) = moments else { return Ok(()) };
            if values.iter().all(Option::is_none) {
                row.problem(column, "stands in a row without a value; leave the row out");
                return Ok(());
            }
            // Of a time that comes twice the second, if the first is taken.
            let Some(free) = moments.iter().copied().flatten().find(|ms| !seen.contains_key(ms)) else {
                let first = moments[0].and_then(|ms| seen.get(&ms)).copied().unwrap_or_default();
                row.problem(column, format!("is the moment of row {first} again; give each moment once"));
                return Ok(());
            };
            if rows.len() == ROWS_MAX {
                return Err(whole(
                    Some(row.number),
                    format!(
                        "is one too many: {ROWS_MAX} rows are taken at once; send the rest as another file"
                    ),
                ));
            }
            seen.insert(free, row.number);
            rows.push((free, values));
            Ok(())
        },
    )?;
    rows.sort_by_key(|(ts_ms, _)| *ts_ms);
    let metrics = VALUES.into_iter().filter(|column| layout.has(*column));
    Ok(Traffic { rows, metrics: metrics.map(table::Column::name).collect(), ignored: layout.ignored() })
}

/// The moment of a row, ms since 1970, and where it is written; two of them where a clock has shown it twice.
fn moments(row: &mut Row<'_, Column>, zone: &TimeZone) -> Option<(Column, [Option<i64>; 2])> {
    let (column, text) = match row.text(Column::Timestamp) {
        Some(text) => (Column::Timestamp, text),
        None => (Column::Date, row.text(Column::Date)?),
    };
    let hour = row.text(Column::Hour).filter(|text| !text.is_empty());
    let said = match hour {
        None => Said::parse(text),
        Some(hour) => {
            let number = (hour.len() <= 2 && hour.bytes().all(|b| b.is_ascii_digit())).then(|| hour.parse());
            let Some(time) = number.and_then(Result::ok).and_then(|hour: i8| Time::new(hour, 0, 0, 0).ok())
            else {
                row.problem(Column::Hour, format!("{:?} is not an hour from 0 to 23", shown(hour)));
                return None;
            };
            parse_day(text).filter(|_| text.len() <= 10).map(|day| Said::Clock(day.to_datetime(time)))
        }
    };
    let Some(said) = said else {
        let reason = format!(
            "{:?} is not a moment; write it as 2024-12-31T13:00:00Z, 2024-12-31T13:00 or 2024-12-31",
            shown(text)
        );
        row.problem(column, reason);
        return None;
    };
    match said.moments(zone) {
        Ok(moments) if moments.iter().flatten().all(|at| YEARS.contains(&zone.to_datetime(*at).year())) => {
            Some((column, moments.map(|at| at.map(Timestamp::as_millisecond))))
        }
        Ok(_) => {
            let (first, last) = (YEARS.start(), YEARS.end());
            row.problem(column, format!("{:?} is not of the years {first} to {last}", shown(text)));
            None
        }
        Err(clock) => {
            let zone = zone.iana_name().unwrap_or("UTC");
            let reason = format!(
                "the clock of {zone} never showed {clock}: it was set over it; write the moment with its offset from UTC"
            );
            row.problem(column, reason);
            None
        }
    }
}

/// How a moment is written.
enum Said {
    /// As an instant.
    Instant(Timestamp),
    /// By a clock.
    Clock(DateTime),
    /// By a calendar: its beginning.
    Day(Date),
}

impl Said {
    fn parse(text: &str) -> Option<Self> {
        // Nothing longer is a time, and nothing in brackets one that everybody reads alike.
        if text.len() > 40 || !text.is_ascii() || text.contains('[') {
            return None;
        }
        if let Some((day, time)) = text.split_once(['T', 't', ' ']) {
            let day = parse_day(day).filter(|_| !time.is_empty())?;
            let is_offset = time.ends_with(['Z', 'z']) || time.contains(['+', '-']);
            let written = format!("{day}T{}", time.trim_start());
            return if is_offset {
                written.parse().ok().map(Self::Instant)
            } else {
                written.parse().ok().map(Self::Clock)
            };
        }
        parse_day(text).map(Self::Day)
    }

    /// The instants at which a clock of `zone` shows it: one, or two in their order.
    ///
    /// # Errors
    /// The time, if the clock has never shown it.
    fn moments(self, zone: &TimeZone) -> Result<[Option<Timestamp>; 2], DateTime> {
        let clock = match self {
            Self::Instant(at) => return Ok([Some(at), None]),
            Self::Day(day) => return Ok([bulrush_catalog::start_of_day(zone, day), None]),
            Self::Clock(clock) => clock,
        };
        match zone.to_ambiguous_timestamp(clock).offset() {
            AmbiguousOffset::Unambiguous { offset } => Ok([offset.to_timestamp(clock).ok(), None]),
            AmbiguousOffset::Fold { before, after } => {
                Ok([before.to_timestamp(clock).ok(), after.to_timestamp(clock).ok()])
            }
            AmbiguousOffset::Gap { .. } => Err(clock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> TimeZone {
        TimeZone::get("Europe/Berlin").unwrap()
    }

    fn moments_of(text: &str) -> Vec<String> {
        let found = parse(text.as_bytes(), &berlin()).unwrap();
        found.rows.iter().map(|(ms, _)| Timestamp::from_millisecond(*ms).unwrap().to_string()).collect()
    }

    fn rows(text: &str) -> Vec<(Option<u64>, String, String)> {
        match parse(text.as_bytes(), &berlin()) {
            Err(NotATable::Malformed(problems)) => {
                problems.into_iter().map(|p| (p.row, p.column.unwrap_or_default(), p.reason)).collect()
            }
            other => panic!("{text:?} gave {other:?}"),
        }
    }

    #[test]
    fn moments_are_instants_or_what_the_publisher_s_clock_shows() {
        for (text, expected) in [
            ("timestamp,clicks\n2024-01-31T13:00:00Z,1\n", "2024-01-31T13:00:00Z"),
            ("timestamp,clicks\n2024-01-31 13:00:00.5+02:00,1\n", "2024-01-31T11:00:00.5Z"),
            ("Date_Time,Clicks\n2024-01-31T13:00,1\n", "2024-01-31T12:00:00Z"),
            ("time,clicks\n2024-07-31 13:00:05,1\n", "2024-07-31T11:00:05Z"),
            ("date,hour,clicks\n2024-01-31,13,1\n", "2024-01-31T12:00:00Z"),
            ("date;hour;revenue\n31.01.2024;7;1,5\n", "2024-01-31T06:00:00Z"),
            ("date,hour,clicks\n2024-01-31,,1\n", "2024-01-30T23:00:00Z"),
            ("date,clicks\n2024-01-31,1\n", "2024-01-30T23:00:00Z"),
        ] {
            assert_eq!(moments_of(text), [expected], "{text:?}");
        }
        let all = parse(
            &b"date,Impressions,clicks,revenue,Ad Requests,note\n2024-01-31,1,2,3,4,x\n"[..],
            &berlin(),
        );
        let all = all.unwrap();
        assert_eq!(
            (all.metrics.as_slice(), all.ignored.as_slice()),
            (&METRICS[..], &["note".to_owned()][..])
        );
        assert_eq!(all.rows[0].1, [Some(1.0), Some(2.0), Some(3.0), Some(4.0)]);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_moments_and_one_that_never_came_is_refused() {
        let autumn = "date,hour,clicks\n2024-10-27,1,1\n2024-10-27,2,2\n2024-10-27,2,3\n2024-10-27,3,4\n";
        assert_eq!(
            moments_of(autumn),
            ["2024-10-26T23:00:00Z", "2024-10-27T00:00:00Z", "2024-10-27T01:00:00Z", "2024-10-27T02:00:00Z"]
        );
        assert_eq!(moments_of("date,hour,clicks\n2024-10-27,2,2\n"), ["2024-10-27T00:00:00Z"]);
        let thrice = rows("time,clicks\n2024-10-27T02:30,1\n2024-10-27T02:30,1\n2024-10-27T02:30,1\n");
        assert!(thrice.len() == 1 && thrice[0].0 == Some(4) && thrice[0].2.contains("row 2"), "{thrice:?}");
        let spring = rows("date,hour,clicks\n2024-03-31,1,1\n2024-03-31,2,1\n2024-03-31,3,1\n");
        assert!(spring.len() == 1 && spring[0].0 == Some(3), "{spring:?}");
        assert!(spring[0].2.contains("Europe/Berlin never showed 2024-03-31T02:00:00"), "{spring:?}");
        // With its offset it is a moment all the same.
        assert_eq!(moments_of("time,clicks\n2024-03-31T02:30:00+01:00,1\n"), ["2024-03-31T01:30:00Z"]);
    }

    #[test]
    fn rows_that_are_no_traffic_are_named() {
        let found = rows(
            "timestamp,clicks,impressions\nyesterday,1,1\n1706706000,1,1\n2024-01-31T25:00,1,1\n1969-12-31T00:00:00Z,1,1\n\
             2024-01-01,-1,1\n2024-01-02,1,1e13\n2024-01-03,,\n2024-01-04T00:00:00Z[Europe/Berlin],1,1\n2024-01-05,x,1\n\
             2024-01-06T,1,1\n2024-01-07,1,1\n2024-01-06T23:00:00Z,1,1\n",
        );
        let places: Vec<_> = found.iter().map(|(row, column, _)| (row.unwrap(), column.as_str())).collect();
        assert_eq!(
            places,
            [
                (2, "timestamp"),
                (3, "timestamp"),
                (4, "timestamp"),
                (5, "timestamp"),
                (6, "clicks"),
                (7, "impressions"),
                (8, "timestamp"),
                (9, "timestamp"),
                (10, "clicks"),
                (11, "timestamp"),
                (13, "timestamp"),
            ]
        );
        assert!(found[10].2.contains("row 12"), "the same moment, written otherwise: {:?}", found[10]);
        for (header, told) in [
            ("clicks\n1\n", "timestamp or date"),
            ("date,price\n2024-01-01,1\n", "impressions, clicks, revenue or requests"),
            ("date,timestamp,clicks\n", "both a timestamp and a date"),
            ("timestamp,hour,clicks\n", "an hour and no date"),
            ("date,hour,clicks\n2024-01-01,24,1\n", "not an hour"),
        ] {
            assert!(rows(header)[0].2.contains(told), "{header:?}: {:?}", rows(header));
        }
    }

    #[test]
    fn more_rows_than_one_transaction_should_hold_are_refused() {
        let begin = Timestamp::from_second(1_700_000_000).unwrap();
        let lines = (0..=ROWS_MAX as i64).map(|n| format!("{},1\n", begin + jiff::Span::new().seconds(n)));
        let text: String = std::iter::once("timestamp,clicks\n".to_owned()).chain(lines).collect();
        let found = rows(&text);
        assert!(found.len() == 1 && found[0].2.contains("50000 rows"), "{found:?}");
    }
}
