//! The day before for every publisher.

use bulrush::{Client, Context, JobResult};
use bulrush_catalog::jobs::{Aggregate, FanOutAggregates, FanOutResult, Granularity};
use bulrush_store::NewEntity;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::each::{Things, each};
use super::target;
use crate::Dependencies;

pub(super) async fn run(
    client: &Client,
    deps: &Dependencies,
    mut asked: FanOutAggregates,
    ctx: &Context,
) -> JobResult<FanOutResult> {
    let queue = target(client, deps, "aggregation")?;
    let (come_to, granularity) = (asked.come_to.take(), asked.granularity);
    let job_of = |at_ms, publisher: &NewEntity| match payload(granularity, at_ms, publisher) {
        Some(payload) => Ok(Some(queue.typed(&payload)?)),
        None => Ok(None),
    };
    let data_of = |come_to| serde_json::to_vec(&FanOutAggregates { granularity, come_to: Some(come_to) });
    each((deps, ctx, &queue), Things::Publishers, come_to, job_of, data_of).await
}

/// The job's payload, with its days, so that it is about the same ones whenever it runs; none where there are no such days. They are two: between
/// two slots a calendar may go on by two days, where clocks are set at the slot's hour or a zone leaves out a day; and what comes in late is
/// summed, too. A publisher whose time zone is none gets a job that says so.
fn payload(granularity: Granularity, at_ms: i64, publisher: &NewEntity) -> Option<Aggregate> {
    let zone = publisher.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok());
    let at = Timestamp::from_millisecond(at_ms).ok()?;
    let day = zone.unwrap_or(TimeZone::UTC).to_datetime(at).date().yesterday().ok()?;
    Some(Aggregate {
        publisher_id: publisher.id.clone(),
        start_date: Some(day.yesterday().ok()?),
        end_date: Some(day),
        granularity,
        user_id: publisher.owner.user.clone(),
    })
}

#[cfg(test)]
mod tests {
    use bulrush_store::{EntityKind, Owner};
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_days_are_the_two_before_the_slot_s_on_the_publisher_s_calendar() {
        let day = |zone: Option<&str>, at: &str| {
            let publisher = NewEntity {
                id: "pub".into(),
                owner: Owner::new("acme", "ada"),
                kind: EntityKind::Publisher,
                name: "pub".into(),
                location: None,
                country: None,
                time_zone: zone.map(Into::into),
                attributes: serde_json::Map::new(),
            };
            let at_ms = at.parse::<Timestamp>().unwrap().as_millisecond();
            let asked = payload(Granularity::Day, at_ms, &publisher).unwrap();
            let (first, last) = (asked.start_date.unwrap(), asked.end_date.unwrap());
            assert_eq!((first.tomorrow().unwrap(), asked.user_id.as_str()), (last, "ada"));
            last
        };
        assert_eq!(day(None, "2026-03-01T01:00Z"), date(2026, 2, 28));
        assert_eq!(day(Some("America/Los_Angeles"), "2026-03-01T01:00Z"), date(2026, 2, 27));
        assert_eq!(day(Some("Pacific/Auckland"), "2026-03-01T12:00Z"), date(2026, 3, 1));
        assert_eq!(day(Some("Mars/Base"), "2026-03-01T01:00Z"), date(2026, 2, 28));
        // Clocks are set at the slot: the 27th is the last day of neither, and the day before one's.
        assert_eq!(day(Some("America/Nuuk"), "2026-03-28T01:00Z"), date(2026, 3, 26));
        assert_eq!(day(Some("America/Nuuk"), "2026-03-29T01:00Z"), date(2026, 3, 28));
    }
}
