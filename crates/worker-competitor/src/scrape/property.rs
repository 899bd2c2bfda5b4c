//! For whom the prices are read: the property, its currency, and what it asks itself.

use bulrush::Context;
use bulrush_catalog::jobs::ScrapePrices;
use bulrush_store::{EntityKind, Owner, Scope};
use jiff::tz::TimeZone;

use super::ScrapeError;
use crate::Dependencies;
use crate::money::{Currency, micros};

/// The attribute of a property that names the currency of its prices.
const CURRENCY: &str = "currency";
/// The series of its prices.
const PRICE: &str = "price";

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
        let nights = (payload.check_in, payload.check_out);
        let price = deps.store.observations().mean_of_days(&scope, &id, PRICE, nights, &time_zone).await?;
        let price_micros = price.and_then(micros);
        if price_micros.is_none() {
            notes.push(
                "The property has no price of its own for some night of the stay, so it has no rank."
                    .to_owned(),
            );
        }
        Ok(Self { id, owner, currency, price_micros, notes })
    }
}
