//! `aggregation/aggregate`: what was seen of a publisher, summed into hours, days, weeks and months of its own clock.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::entry::JobKind;
use crate::payload::{Caller, EntityRef, Fields, PayloadProblems, Prepared, Sealer};
use crate::templates::{JobTemplate, Placeholder};

/// The name of the job.
pub const NAME: &str = "aggregate";

/// Longest range by hours, days.
pub const HOUR_DAYS_MAX: i32 = 400;
/// Longest range by anything else, days: five years, leap days included.
pub const DAYS_MAX: i32 = 1_830;
/// The years that a range may be in.
const YEARS: std::ops::RangeInclusive<i16> = 1970..=2099;

pub(crate) const KIND: JobKind = JobKind::typed(NAME, prepare);

pub(crate) const TEMPLATE: JobTemplate = JobTemplate {
    queue: "aggregation",
    job: NAME,
    name: "Aggregate a publisher's numbers",
    description: "Sums impressions, clicks, revenue and requests of a publisher by hour, day, week or month.",
    data: r#"{"publisherId": "{publisherId}", "startDate": "{startDate}", "endDate": "{endDate}", "granularity": "{granularity}"}"#,
    options: "{}",
    placeholders: &[
        Placeholder::required("publisherId", "the publisher whose numbers are summed", r#""my-publisher""#),
        Placeholder::optional(
            "startDate",
            "the first day, with endDate; the two days before, if both are left out",
            r#""2026-11-01""#,
        ),
        Placeholder::optional("endDate", "the last day", r#""2026-11-30""#),
        Placeholder::with_default("granularity", "hour, day, week or month", r#""hour""#, r#""day""#),
    ],
};

/// How long the buckets are into which numbers are summed, on the publisher's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Granularity {
    /// The hours that the clock shows.
    Hour,
    /// Its days.
    Day,
    /// Weeks from Monday on, as ISO 8601 has them.
    Week,
    /// Months of the calendar.
    Month,
}

impl Granularity {
    /// All of them, with their names on the wire and in the store.
    pub const ALL: [(Self, &'static str); 4] =
        [(Self::Hour, "hour"), (Self::Day, "day"), (Self::Week, "week"), (Self::Month, "month")];

    /// The name on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// Longest range, days.
    pub fn days_max(self) -> i32 {
        if self == Self::Hour { HOUR_DAYS_MAX } else { DAYS_MAX }
    }

    /// The days from `first` to `last` with what is missing of the buckets that they begin and end in: a week that is touched is summed
    /// whole.
    pub fn widen(self, first: Date, last: Date) -> (Date, Date) {
        match self {
            Self::Hour | Self::Day => (first, last),
            Self::Week => {
                let since = i64::from(first.weekday().since(Weekday::Monday));
                let until = i64::from(last.weekday().until(Weekday::Sunday));
                let begin = first.checked_sub(since.days()).unwrap_or(Date::MIN);
                (begin, last.checked_add(until.days()).unwrap_or(Date::MAX))
            }
            Self::Month => (first.first_of_month(), last.last_of_month()),
        }
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Aggregate {
    /// The publisher: an entity of the store, checked against the caller before the job was added.
    pub publisher_id: String,
    /// The first day, in the publisher's time zone. Without days: the two days before that of the slot, or before the one on which the job
    /// runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_date: Option<Date>,
    /// The last one, there if the first is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_date: Option<Date>,
    /// How long the buckets are.
    pub granularity: Granularity,
    /// Whose publisher it is.
    pub user_id: String,
}

impl bulrush::Job for Aggregate {
    const NAME: &'static str = NAME;
    type Output = AggregateResult;
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AggregateResult {
    /// True: a job that did not succeed has no result.
    pub success: bool,
    /// The publisher.
    pub publisher_id: String,
    /// How long the buckets are.
    pub granularity: Granularity,
    /// The first day that was summed: that of the bucket in which the asked one is.
    pub start_date: Date,
    /// The last day.
    pub end_date: Date,
    /// The time zone of the days, an IANA name.
    pub time_zone: String,
    /// Values that were summed.
    pub observations: u64,
    /// Buckets that hold anything, whatever the metric.
    pub buckets: u64,
    /// Rows that stand for them now: one for each bucket and metric.
    pub rows: u64,
    /// The metrics that have any, by name.
    pub metrics: Vec<String>,
    /// What is to be known of the result, for people.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

fn prepare(
    data: &Map<String, Value>,
    caller: &Caller<'_>,
    _sealer: Option<&dyn Sealer>,
) -> Result<Prepared, PayloadProblems> {
    let mut problems = PayloadProblems::default();
    let mut fields = Fields::new(data, "data", &mut problems);
    fields.only(&["publisherId", "startDate", "endDate", "granularity", "userId"]);
    let publisher_id = fields.text("publisherId", 256);
    let granularity = match fields.value("granularity") {
        None => Some(Granularity::Day),
        Some(_) => fields.one_of("granularity", &Granularity::ALL),
    };
    let is_given = |fields: &Fields<'_>, name| fields.value(name).is_some();
    let (starts, ends) = (is_given(&fields, "startDate"), is_given(&fields, "endDate"));
    // One without the other is asked for like any that is missing.
    let (start_date, end_date) = if starts || ends {
        (fields.day("startDate", YEARS), fields.day("endDate", YEARS))
    } else {
        (None, None)
    };
    if let (Some(start), Some(end)) = (start_date, end_date) {
        let days = start.until(end).map_or(i32::MAX, |span| span.get_days().saturating_add(1));
        if days < 1 {
            fields.problem("endDate", format!("is before startDate ({start})"));
        } else if let Some(granularity) = granularity.filter(|granularity| days > granularity.days_max()) {
            let most = granularity.days_max();
            fields.problem(
                "endDate",
                format!("makes {days} days; at most {most} are summed by {} at once", granularity.as_str()),
            );
        }
    }
    let user_id = fields.user_id(caller);
    let (Some(publisher_id), Some(granularity), Some(user_id)) = (publisher_id, granularity, user_id) else {
        return Err(problems);
    };
    problems.into_result()?;
    let payload = Aggregate { publisher_id, start_date, end_date, granularity, user_id };
    Prepared::new(&payload, vec![EntityRef { field: "publisherId", kinds: &["publisher"] }])
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn check(change: &[(&str, Value)]) -> Result<Aggregate, Vec<String>> {
        let mut data = json!({
            "publisherId": "pub-123", "startDate": "2024-01-01", "endDate": "2024-01-31", "granularity": "day",
        });
        let data = data.as_object_mut().unwrap();
        for (field, value) in change {
            data.insert((*field).to_owned(), value.clone());
        }
        let caller = Caller { user: "ada", may_name_others: false };
        match prepare(data, &caller, None) {
            Ok(prepared) => {
                assert_eq!(prepared.entities, [EntityRef { field: "publisherId", kinds: &["publisher"] }]);
                Ok(serde_json::from_value(Value::Object(prepared.data)).unwrap())
            }
            Err(problems) => Err(problems.0.into_iter().map(|problem| problem.field).collect()),
        }
    }

    #[test]
    fn what_the_seed_asks_for_is_understood_and_days_and_granularity_may_be_left_out() {
        let payload = check(&[]).unwrap();
        assert_eq!((payload.start_date, payload.end_date), (Some(date(2024, 1, 1)), Some(date(2024, 1, 31))));
        assert_eq!((payload.granularity, payload.user_id.as_str()), (Granularity::Day, "ada"));
        let least =
            check(&[("startDate", Value::Null), ("endDate", Value::Null), ("granularity", Value::Null)]);
        let least = least.unwrap();
        assert_eq!((least.start_date, least.end_date, least.granularity), (None, None, Granularity::Day));
        assert!(check(&[("endDate", json!("2024-01-01"))]).is_ok(), "one day");
        assert!(check(&[("granularity", json!("hour")), ("endDate", json!("2025-02-03"))]).is_ok(), "400");
        assert!(check(&[("granularity", json!("week")), ("endDate", json!("2029-01-03"))]).is_ok(), "1830");
    }

    #[test]
    fn ranges_that_cannot_be_are_refused_by_their_field() {
        for (change, field) in [
            (("granularity", json!("minute")), "granularity"),
            (("granularity", json!("HOUR")), "granularity"),
            (("granularity", json!(["day"])), "granularity"),
            (("endDate", json!("2023-12-31")), "endDate"),
            (("endDate", json!("2029-01-05")), "endDate"),
            (("endDate", json!("9999-12-31")), "endDate"),
            (("endDate", json!("2024-02-30")), "endDate"),
            (("endDate", Value::Null), "endDate"),
            (("startDate", Value::Null), "startDate"),
            (("startDate", json!("0000-01-01")), "startDate"),
            (("startDate", json!("2024-01-01T00:00:00Z")), "startDate"),
            (("startDate", json!(20_240_101)), "startDate"),
            (("publisherId", json!("")), "publisherId"),
            (("publisherId", json!({"$ne": 1})), "publisherId"),
            (("userId", json!("bob")), "userId"),
            (("metric", json!("clicks")), "metric"),
        ] {
            let named = check(std::slice::from_ref(&change)).unwrap_err();
            assert_eq!(named, [format!("data.{field}")], "{change:?}");
        }
        let hours = check(&[("granularity", json!("hour")), ("endDate", json!("2025-02-04"))]);
        assert_eq!(hours.unwrap_err(), ["data.endDate"]);
    }

    #[test]
    fn a_range_is_widened_to_whole_buckets() {
        let (first, last) = (date(2024, 2, 7), date(2024, 2, 12));
        assert_eq!(Granularity::Hour.widen(first, last), (first, last));
        assert_eq!(Granularity::Day.widen(first, last), (first, last));
        assert_eq!(Granularity::Week.widen(first, last), (date(2024, 2, 5), date(2024, 2, 18)));
        assert_eq!(
            Granularity::Week.widen(date(2024, 2, 5), date(2024, 2, 11)),
            (date(2024, 2, 5), date(2024, 2, 11))
        );
        assert_eq!(Granularity::Month.widen(first, last), (date(2024, 2, 1), date(2024, 2, 29)));
    }
}
