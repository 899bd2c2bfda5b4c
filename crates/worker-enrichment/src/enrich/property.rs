//! What is to be enriched: the property, its place, and the days of its prices.

use bulrush::Context;
use bulrush_catalog::jobs::EnrichProperty;
use bulrush_store::{DayRange, Entity, EntityKind, Location, Owner, Scope, Store};
use bulrush_upstream::{Coordinates, CountryCode, DateRange, SubdivisionCode};
use jiff::tz::TimeZone;

use super::EnrichError;

/// The attribute of a property that says in which part of its country it is: a code of ISO 3166-2, such as `DE-BY`.
const SUBDIVISION: &str = "subdivision";

/// A property with a price history.
#[derive(Debug, Clone)]
pub(super) struct Property {
    pub id: String,
    pub owner: Owner,
    pub place: Location,
    /// Whose holidays count; none, if nobody said.
    pub country: Option<CountryCode>,
    /// Whose regional holidays count.
    pub subdivision: Option<SubdivisionCode>,
    /// The zone in which its days begin and end.
    pub time_zone: TimeZone,
    /// From the first to the last day that has a price.
    pub range: DayRange,
    /// How many of them have one.
    pub priced_days: usize,
    /// What was said of it and cannot be used.
    pub notes: Vec<String>,
}

impl Property {
    /// Reads the property that `payload` names, as the owner of the job sees it.
    ///
    /// The days in between those with prices belong to the history too: a series without gaps is what a forecast needs, and a
    /// day without a booking is a fact as well.
    pub async fn read(store: &Store, ctx: &Context, payload: &EnrichProperty) -> Result<Self, EnrichError> {
        let id = payload.property_id.clone();
        let owner = ctx.spec().owner.as_deref().ok_or(EnrichError::NoOwner)?;
        let owner = Owner::new(&owner.tenant, &owner.user);
        let scope = Scope::from(owner.clone());
        let Some(Entity { entity, .. }) = store.entities().get(&scope, &id).await? else {
            return Err(EnrichError::PropertyNotFound { id });
        };
        if entity.kind != EntityKind::Property {
            return Err(EnrichError::PropertyNotFound { id });
        }

        let at = Coordinates::new(payload.location.latitude, payload.location.longitude)?;
        let place = Location { latitude: at.latitude(), longitude: at.longitude() };
        let country = country(payload.country_code.as_deref().or(entity.country.as_deref()))?;
        let mut notes = Vec::new();
        let subdivision = entity.attributes.get(SUBDIVISION).and_then(|value| value.as_str());
        let subdivision = subdivision.and_then(|text| match (text.parse::<SubdivisionCode>(), country) {
            (Ok(code), Some(country)) if code.belongs_to(country) => Some(code),
            (_, None) => None,
            (_, Some(country)) => {
                let seen: String = text.chars().take(16).collect();
                notes.push(format!(
                    "The property's subdivision {seen:?} is no part of {country} and was left out of account."
                ));
                None
            }
        });
        let time_zone = time_zone(entity.time_zone.as_deref())?;

        let days = store.observations().days(&scope, &id, &time_zone).await?;
        let (Some(first), Some(last)) = (days.first(), days.last()) else {
            return Err(EnrichError::NoPricingData { id });
        };
        // A century: beyond that the dates are wrong, and every day in between would be made.
        DateRange::new(*first, *last)?;
        let range = DayRange::new(*first, *last);
        Ok(Self { id, owner, place, country, subdivision, time_zone, range, priced_days: days.len(), notes })
    }
}

fn country(said: Option<&str>) -> Result<Option<CountryCode>, EnrichError> {
    said.map(|text| {
        let error = |seen| EnrichError::Country { seen };
        text.to_ascii_uppercase().parse::<CountryCode>().map_err(|bad| error(bad.seen))
    })
    .transpose()
}

/// Without a zone of its own a property's days are those of UTC, as its upload's dates are.
fn time_zone(said: Option<&str>) -> Result<TimeZone, EnrichError> {
    let Some(name) = said else { return Ok(TimeZone::UTC) };
    TimeZone::get(name).map_err(|_| EnrichError::TimeZone { seen: name.chars().take(64).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_codes_in_either_case_and_nothing_else() {
        assert_eq!(country(Some("de")).unwrap(), "DE".parse().ok());
        assert_eq!(country(None).unwrap(), None);
        for bad in ["USA", "🇺🇸", "'; DROP", "", "XX"] {
            assert!(matches!(country(Some(bad)), Err(EnrichError::Country { .. })), "{bad:?} was accepted");
        }
    }

    #[test]
    fn time_zones_are_iana_names() {
        assert_eq!(time_zone(None).unwrap(), TimeZone::UTC);
        assert!(time_zone(Some("Europe/Berlin")).is_ok());
        assert!(matches!(time_zone(Some("../etc/passwd")), Err(EnrichError::TimeZone { .. })));
    }
}
