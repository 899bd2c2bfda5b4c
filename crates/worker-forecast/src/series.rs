//! A thing's series by day, as its own calendar has the days.

use std::collections::BTreeMap;

use bulrush::Context;
use bulrush_store::{Entity, EntityKind, Owner, Scope, Store};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use crate::failure::Trouble;

/// Observations read at once.
const PAGE: u32 = 10_000;

/// A thing whose series are read.
pub(crate) struct Thing {
    /// What is known of it.
    pub entity: Entity,
    /// Whose it is.
    pub owner: Owner,
    /// In which its days begin and end.
    pub zone: TimeZone,
}

/// A series by day.
#[derive(Debug)]
pub(crate) struct Series {
    /// What it is called.
    pub metric: String,
    /// One value a day, where there is one.
    pub days: BTreeMap<Date, f64>,
}

impl Thing {
    /// The entity `id` of the job's owner.
    pub async fn find(store: &Store, ctx: &Context, id: &str) -> Result<Self, Trouble> {
        let owner = ctx.spec().owner.as_deref().ok_or(Trouble::NoOwner)?;
        let owner = Owner::new(&owner.tenant, &owner.user);
        let found = store.entities().get(&Scope::from(owner.clone()), id).await?;
        let entity = found
            .filter(|found| matches!(found.entity.kind, EntityKind::Product | EntityKind::Property))
            .ok_or_else(|| Trouble::NotFound { id: id.to_owned() })?;
        let zone = match entity.entity.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name)
                .map_err(|_| Trouble::TimeZone { id: id.to_owned(), seen: name.to_owned() })?,
        };
        Ok(Self { entity, owner, zone })
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.entity.entity.id
    }

    /// The last `days_max` days of a series, of those before today: today is not over, as `now` has it. The last of them is the last day with
    /// a value, however long ago that is.
    ///
    /// Several values of a day are one: counts are added up, levels (prices, occupancy, stock) are averaged.
    pub async fn series(
        &self,
        store: &Store,
        metric: Option<&str>,
        (now, days_max): (Timestamp, u32),
    ) -> Result<Series, Trouble> {
        let scope = Scope::from(self.owner.clone());
        let has = store.observations().metrics(&scope, self.id()).await?;
        let has: Vec<String> = has.into_iter().map(|(name, _)| name).collect();
        let metric = metric.map_or_else(|| self.default_metric(&has), ToOwned::to_owned);
        let today = self.zone.to_datetime(now).date();
        let (mut from_ms, end_ms) = (i64::MIN, self.begin_ms(today));
        let mut sums: BTreeMap<Date, (f64, u32)> = BTreeMap::new();
        loop {
            let page =
                store.observations().range(&scope, self.id(), &metric, (from_ms, end_ms), PAGE).await?;
            for point in &page {
                if let Ok(instant) = Timestamp::from_millisecond(point.ts_ms) {
                    let (sum, count) = sums.entry(self.zone.to_datetime(instant).date()).or_default();
                    *sum += point.value;
                    *count += 1;
                }
            }
            // A series may be older than what is read of it, and longer than memory.
            let first =
                sums.last_key_value().map(|(last, _)| last.saturating_sub(i64::from(days_max).days()));
            while first.zip(sums.first_key_value()).is_some_and(|(first, (day, _))| *day <= first) {
                sums.pop_first();
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => from_ms = last.ts_ms + 1,
                _ => break,
            }
        }
        if sums.is_empty() {
            let (id, has) = (self.id().to_owned(), has.into_iter().filter(|name| *name != metric).collect());
            return Err(Trouble::NoValues { id, metric, has });
        }
        let is_level = is_level(&metric);
        let value = |(sum, count): (f64, u32)| if is_level { sum / f64::from(count) } else { sum };
        let days = sums.into_iter().map(|(day, sum)| (day, value(sum))).collect();
        Ok(Series { metric, days })
    }

    /// What is forecast of it where nobody says: of a product what is asked for, of a property what is booked.
    fn default_metric(&self, has: &[String]) -> String {
        const OF_A_PROPERTY: [&str; 4] = ["demand", "bookings", "occupancy", "price"];
        if self.entity.entity.kind == EntityKind::Property
            && let Some(first) = OF_A_PROPERTY.into_iter().find(|name| has.iter().any(|there| there == name))
        {
            return first.to_owned();
        }
        "demand".to_owned()
    }

    fn begin_ms(&self, day: Date) -> i64 {
        day.to_zoned(self.zone.clone()).map_or(i64::MIN, |zoned| zoned.timestamp().as_millisecond())
    }
}

/// Whether a day's value is what it was like and not how much there was.
fn is_level(metric: &str) -> bool {
    matches!(metric, "price" | "occupancy" | "stock" | "rate")
}
