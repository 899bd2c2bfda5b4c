//! For whom the prices are read: the property, its currency, and what it asks itself.

use std::collections::BTreeMap;

use bulrush::Context;
use bulrush_catalog::jobs::ScrapePrices;
use bulrush_store::{EntityKind, Owner, Scope};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::ScrapeError;
use crate::Dependencies;
use crate::money::{Currency, micros};

/// The attribute of a property that names the currency of its prices.
const CURRENCY: &str = "currency";
/// The series of its prices.
const PRICE: &str = "price";
/// Most prices of its own that are read: several a night.
const POINTS_MAX: u32 = 10_000;

/// A property whose competitors are read.
pub(crate) struct Property {
    pub id: String,
    pub owner: Owner,
    pub currency: Currency,
    /// Its own price, the mean of the nights, millionths; none where a night has none.
    pub price_micros: Option<i64>,
    pub notes: Vec<String>,
}

impl Property {
    /// Reads the property that `payload` names, as the owner of the job sees it.
    pub async fn read(
        deps: &Dependencies,
        ctx: &Context,
        payload: &ScrapePrices,
    ) -> Result<Self, ScrapeError> {
        let id = payload.property_id.clone();
        let owner = ctx.spec().owner.as_deref().ok_or(ScrapeError::NoOwner)?;
        let owner = Owner::new(&owner.tenant, &owner.user);
        let scope = Scope::from(owner.clone());
        let Some(entity) = deps.store.entities().get(&scope, &id).await? else {
            return Err(ScrapeError::PropertyNotFound { id });
        };
        let entity = entity.entity;
        if entity.kind != EntityKind::Property {
            return Err(ScrapeError::PropertyNotFound { id });
        }
        let mut notes = Vec::new();
        let named = entity.attributes.get(CURRENCY).and_then(|value| value.as_str());
        let currency = named.map(str::parse).transpose()?.unwrap_or(deps.currency);
        if named.is_none() {
            notes.push(format!("The property names no currency; its prices are taken to be in {currency}."));
        }
        let time_zone = match entity.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| ScrapeError::TimeZone { seen: name.chars().take(64).collect() })?,
        };
        let price_micros = own_price(deps, &scope, &id, &time_zone, payload).await?;
        if price_micros.is_none() {
            notes.push(
                "The property has no price of its own for some night of the stay, so it has no rank."
                    .to_owned(),
            );
        }
        Ok(Self { id, owner, currency, price_micros, notes })
    }
}

/// The mean of the nights' own prices, the latest of each night; none where a night has none.
async fn own_price(
    deps: &Dependencies,
    scope: &Scope,
    id: &str,
    time_zone: &TimeZone,
    payload: &ScrapePrices,
) -> Result<Option<i64>, ScrapeError> {
    let begins = |day: Date| {
        day.to_zoned(time_zone.clone()).map_or(i64::MAX, |zoned| zoned.timestamp().as_millisecond())
    };
    let range = (begins(payload.check_in), begins(payload.check_out));
    let points = deps.store.observations().range(scope, id, PRICE, range, POINTS_MAX).await?;
    let mut nights = BTreeMap::new();
    for point in points {
        let Ok(instant) = Timestamp::from_millisecond(point.ts_ms) else { continue };
        nights.insert(time_zone.to_datetime(instant).date(), point.value);
    }
    let wanted = payload.check_in.until(payload.check_out).map_or(0, |span| span.get_days());
    if nights.len() != usize::try_from(wanted).unwrap_or(0) || nights.is_empty() {
        return Ok(None);
    }
    Ok(micros(nights.values().sum::<f64>() / nights.len() as f64))
}
