//! Prices of competitors for every property that has some declared.

use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::Progress;
use bulrush::{Client, Context, Failure, JobResult};
use bulrush_catalog::jobs::fan_out_prices::ComeTo;
use bulrush_catalog::jobs::{FanOutPrices, FanOutResult, ScrapePrices};
use bulrush_store::{NewEntity, StoreError};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{add, one_of, target};
use crate::Dependencies;

/// Properties of a page, whose jobs are added in one call.
const PAGE: u32 = 200;
/// Longest location, bytes, as the job has it.
const LOCATION_MAX: usize = 200;

pub(super) async fn run(
    client: &Client,
    deps: &Dependencies,
    mut asked: FanOutPrices,
    ctx: &Context,
) -> JobResult<FanOutResult> {
    let queue = target(client, deps, "competitor")?;
    let (at_ms, mut after, mut done) = match asked.come_to.take() {
        Some(ComeTo { at_ms, after, so_far }) => (at_ms, Some(after), so_far),
        None => (moment(ctx), None, FanOutResult::default()),
    };
    loop {
        let page = deps.store.competitors().properties(after.as_deref(), PAGE).await.map_err(failure)?;
        let is_last = page.len() < PAGE as usize;
        let last = page.last().map(|last| last.entity.id.clone());
        done.looked_at += page.len() as u64;
        let mut jobs = Vec::with_capacity(page.len());
        for property in page.into_iter().map(|row| row.entity) {
            let Some(payload) = payload(&asked, at_ms, &property) else {
                done.absent += 1;
                continue;
            };
            let owner = &property.owner;
            let job = queue.typed(&payload)?.owner(owner.tenant.as_str(), owner.user.as_str());
            jobs.push(one_of(ctx, &queue, &property.id, job));
        }
        done.jobs += add(&queue, jobs).await?;
        if is_last {
            tracing::info!(job = %ctx.id(), jobs = done.jobs, absent = done.absent, "prices of all properties are asked for");
            return Ok(done);
        }
        after = last;
        let come_to = after.clone().map(|after| ComeTo { at_ms, after, so_far: done });
        let data = serde_json::to_vec(&FanOutPrices { come_to, ..asked.clone() })?;
        ctx.set_data(data.into()).await?;
        // How many there are is not known.
        let message = Some(format!("{} jobs", done.jobs));
        ctx.progress_with(Progress { percent: 50, message, data: None });
    }
}

fn failure(error: StoreError) -> Failure {
    if error.is_transient() { Failure::retry(error) } else { Failure::unrecoverable(error) }
}

/// The moment that all of its jobs are about: the slot, whenever it is run.
fn moment(ctx: &Context) -> i64 {
    let slot = ctx.spec().schedule.as_ref().map(|schedule| schedule.slot);
    i64::try_from(slot.unwrap_or_else(|| SystemClock.now())).unwrap_or(i64::MAX)
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
