//! Prices of competitors for every property that has some declared.

use bulrush::{Client, Context, JobResult};
use bulrush_catalog::jobs::{FanOutPrices, FanOutResult, ScrapePrices};
use bulrush_store::NewEntity;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::each::{Things, each};
use super::target;
use crate::Dependencies;

/// Longest location, bytes, as the job has it.
const LOCATION_MAX: usize = 200;

pub(super) async fn run(
    client: &Client,
    deps: &Dependencies,
    mut asked: FanOutPrices,
    ctx: &Context,
) -> JobResult<FanOutResult> {
    let queue = target(client, deps, "competitor")?;
    let come_to = asked.come_to.take();
    let job_of = |at_ms, property: &NewEntity| match payload(&asked, at_ms, property) {
        Some(payload) => Ok(Some(queue.typed(&payload)?)),
        None => Ok(None),
    };
    let data_of = |come_to| serde_json::to_vec(&FanOutPrices { come_to: Some(come_to), ..asked.clone() });
    each((deps, ctx, &queue), Things::PropertiesWithCompetitors, come_to, job_of, data_of).await
}

/// The job's payload; none where there is no such day.
fn payload(asked: &FanOutPrices, at_ms: i64, property: &NewEntity) -> Option<ScrapePrices> {
    let zone =
        property.time_zone.as_deref().and_then(|name| TimeZone::get(name).ok()).unwrap_or(TimeZone::UTC);
    let today: Date = zone.to_datetime(Timestamp::from_millisecond(at_ms).ok()?).date();
    let check_in = today.checked_add(i64::from(asked.days_ahead).days()).ok()?;
    let check_out = check_in.checked_add(i64::from(asked.nights).days()).ok()?;
    Some(ScrapePrices {
        property_id: property.id.clone(),
        user_id: property.owner.user.clone(),
        location: location(property),
        check_in,
        check_out,
        adults: asked.adults,
    })
}

/// Where it is, as a guest would type it: the attribute `location` or `city`, else its name.
fn location(property: &NewEntity) -> String {
    let known = ["location", "city"].iter().find_map(|name| property.attributes.get(*name)?.as_str());
    let given = known.filter(|text| !text.trim().is_empty()).unwrap_or(&property.name);
    let mut text: String = given.chars().filter(|char| !char.is_control()).collect();
    while text.len() > LOCATION_MAX {
        text.pop();
    }
    if text.is_empty() { property.id.chars().take(LOCATION_MAX / 4).collect() } else { text }
}

#[cfg(test)]
mod tests {
    use bulrush_store::{EntityKind, Owner};
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn entity(id: &str, user: &str, attributes: serde_json::Value) -> NewEntity {
        NewEntity {
            id: id.into(),
            owner: Owner::new("acme", user),
            kind: EntityKind::Property,
            name: "Alpenhof".into(),
            location: None,
            country: None,
            time_zone: Some("Pacific/Auckland".into()),
            attributes: serde_json::from_value(attributes).unwrap(),
        }
    }

    #[test]
    fn a_stay_is_counted_from_the_slot_s_day_at_the_property() {
        let asked = FanOutPrices { days_ahead: 7, nights: 2, adults: 2, come_to: None };
        // Noon in UTC is the next day in Auckland.
        let at_ms = "2026-12-20T12:00:00Z".parse::<Timestamp>().unwrap().as_millisecond();
        let stay = payload(&asked, at_ms, &entity("p", "ada", json!({}))).unwrap();
        assert_eq!((stay.check_in, stay.check_out), (date(2026, 12, 28), date(2026, 12, 30)));
        assert_eq!((stay.location.as_str(), stay.user_id.as_str()), ("Alpenhof", "ada"));
        let city = payload(&asked, at_ms, &entity("p", "ada", json!({"city": "Inns\nbruck"}))).unwrap();
        assert_eq!(city.location, "Innsbruck");
        let long = payload(&asked, at_ms, &entity("p", "ada", json!({"city": "é".repeat(300)}))).unwrap();
        assert!(long.location.len() <= LOCATION_MAX);
        assert!(payload(&asked, i64::MAX, &entity("p", "ada", json!({}))).is_none());
    }
}
