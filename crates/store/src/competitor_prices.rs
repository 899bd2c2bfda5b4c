//! What competitors asked for a stay, day by day.

use jiff::civil::Date;

use crate::bulk::{Bulk, Kind, last_of_each};
use crate::db::{DbRow, query};
use crate::{DayRange, FencedTx, Scope, Store, StoreError, day};

/// A stay that prices are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stay {
    /// The day of arrival.
    pub check_in: Date,
    /// The day of departure, after the arrival.
    pub check_out: Date,
    /// Guests.
    pub adults: u32,
}

/// What a page showed, before it was changed into the property's currency.
#[derive(Debug, Clone, PartialEq)]
pub struct ShownPrice {
    /// Per night in the property's currency, millionths of its unit. More than 0.
    pub price_micros: i64,
    /// As the page had it, millionths of the unit of `currency`.
    pub shown_micros: i64,
    /// The page's currency, ISO 4217.
    pub currency: String,
    /// Units of the property's currency for one of the page's; none where they are the same.
    pub rate: Option<f64>,
    /// The day of that rate.
    pub rates_day: Option<Date>,
}

/// What one competitor asked for a stay.
#[derive(Debug, Clone, PartialEq)]
pub struct CompetitorPrice {
    /// The competitor: an entity, or a word of the configuration.
    pub competitor: String,
    /// What people called it then.
    pub name: String,
    /// The page.
    pub url: String,
    /// The stay.
    pub stay: Stay,
    /// The day it was seen on (UTC).
    pub seen_on: Date,
    /// When it was seen, ms since 1970.
    pub seen_at_ms: i64,
    /// The property's currency, ISO 4217.
    pub currency: String,
    /// The price; none: nothing was free.
    pub price: Option<ShownPrice>,
    /// What it was for, if the page said so.
    pub room: Option<String>,
}

/// Which prices are wanted.
#[derive(Debug, Clone, PartialEq)]
pub struct PricesWanted {
    /// The days they were seen on.
    pub seen: DayRange,
    /// The one stay that they are for; none: any.
    pub stay: Option<Stay>,
    /// The one competitor that they are of; none: any.
    pub competitor: Option<String>,
}

/// The place of a price in a history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PricePlace {
    /// The day it was seen on.
    pub seen_on: Date,
    /// What it is for.
    pub stay: Stay,
    /// Whose it is.
    pub competitor: String,
}

impl CompetitorPrice {
    /// Where it stands in a history.
    pub fn place(&self) -> PricePlace {
        PricePlace { seen_on: self.seen_on, stay: self.stay, competitor: self.competitor.clone() }
    }
}

/// The table of competitors' prices.
#[derive(Debug, Clone, Copy)]
pub struct CompetitorPrices<'s> {
    store: &'s Store,
}

/// The columns that each row has of its own.
const OWN: [(&str, Kind); 15] = [
    ("competitor", Kind::Text),
    ("check_in", Kind::Text),
    ("check_out", Kind::Text),
    ("adults", Kind::Int),
    ("seen_on", Kind::Text),
    ("name", Kind::Text),
    ("url", Kind::Text),
    ("price", Kind::Int),
    ("currency", Kind::Text),
    ("shown", Kind::Int),
    ("shown_currency", Kind::Text),
    ("rate", Kind::Real),
    ("rates_day", Kind::Text),
    ("room", Kind::Text),
    ("seen_at", Kind::Int),
];
/// The columns that a row is read from.
const COLUMNS: &str = "p.competitor, p.check_in, p.check_out, p.adults, p.seen_on, p.name, p.url, p.price, p.currency, p.shown, \
    p.shown_currency, p.rate, p.rates_day, p.room, p.seen_at";
const CONFLICT: &str = "ON CONFLICT (property, competitor, check_in, check_out, adults, seen_on) DO UPDATE SET \
    job = excluded.job, name = excluded.name, url = excluded.url, price = excluded.price, currency = excluded.currency, \
    shown = excluded.shown, shown_currency = excluded.shown_currency, rate = excluded.rate, rates_day = excluded.rates_day, \
    room = excluded.room, seen_at = excluded.seen_at";

impl<'s> CompetitorPrices<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Keeps what the job of `tx` found for `property`, in place of what an earlier run of it left. A price of the same
    /// competitor, stay and day by another job is replaced.
    ///
    /// # Errors
    /// [`StoreError::MissingReference`] if the property is not there.
    pub async fn put(
        &self,
        tx: &mut FencedTx,
        property: &str,
        prices: &[CompetitorPrice],
    ) -> Result<(), StoreError> {
        let job = tx.job().to_owned();
        query("DELETE FROM competitor_prices WHERE job = $1").bind(&job).execute(tx.connection()).await?;
        let shared = vec![("property", property.into()), ("job", (&job).into())];
        let mut bulk = Bulk::new("competitor_prices", shared, OWN.to_vec(), CONFLICT);
        for row in last_of_each(prices, |row| (&row.competitor, row.stay, row.seen_on)) {
            let price = row.price.as_ref();
            bulk.push(&row.competitor);
            bulk.push(day::text(row.stay.check_in));
            bulk.push(day::text(row.stay.check_out));
            bulk.push(i64::from(row.stay.adults));
            bulk.push(day::text(row.seen_on));
            bulk.push(&row.name);
            bulk.push(&row.url);
            bulk.push(price.map(|price| price.price_micros));
            bulk.push(&row.currency);
            bulk.push(price.map(|price| price.shown_micros));
            bulk.push(price.map(|price| price.currency.as_str()));
            bulk.push(price.and_then(|price| price.rate));
            bulk.push(price.and_then(|price| price.rates_day).map(day::text));
            bulk.push(&row.room);
            bulk.push(row.seen_at_ms);
        }
        bulk.run(tx.connection()).await
    }

    /// Up to `limit` prices of a property that `scope` may see, for stays that begin on `first` or later: by arrival, stay,
    /// competitor and day.
    pub async fn of_property(
        &self,
        scope: &Scope,
        property: &str,
        first: Date,
        limit: u32,
    ) -> Result<Vec<CompetitorPrice>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM competitor_prices p JOIN entities e ON e.id = p.property \
             WHERE {} AND p.property = $3 AND p.check_in >= $4 \
             ORDER BY p.check_in, p.check_out, p.adults, p.competitor, p.seen_on LIMIT $5",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(day::text(first))
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The latest of each competitor's prices for one stay of a property that `scope` may see, by competitor, at most `limit`.
    pub async fn latest(
        &self,
        scope: &Scope,
        property: &str,
        stay: Stay,
        limit: u32,
    ) -> Result<Vec<CompetitorPrice>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM competitor_prices p JOIN entities e ON e.id = p.property \
             WHERE {} AND p.property = $3 AND p.check_in = $4 AND p.check_out = $5 AND p.adults = $6 \
             AND p.seen_on = (SELECT max(q.seen_on) FROM competitor_prices q WHERE q.property = p.property \
                 AND q.competitor = p.competitor AND q.check_in = p.check_in AND q.check_out = p.check_out AND q.adults = p.adults) \
             ORDER BY p.competitor LIMIT $7",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(day::text(stay.check_in))
            .bind(day::text(stay.check_out))
            .bind(i64::from(stay.adults))
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// The stays that were asked about on the last day on which anything was asked, the latest question first, at most `limit`.
    pub async fn last_stays(
        &self,
        scope: &Scope,
        property: &str,
        limit: u32,
    ) -> Result<Vec<Stay>, StoreError> {
        let sql = format!(
            "SELECT p.check_in, p.check_out, p.adults, max(p.seen_at) AS seen \
             FROM competitor_prices p JOIN entities e ON e.id = p.property \
             WHERE {} AND p.property = $3 \
             AND p.seen_on = (SELECT max(q.seen_on) FROM competitor_prices q WHERE q.property = $3) \
             GROUP BY p.check_in, p.check_out, p.adults ORDER BY seen DESC, p.check_in, p.check_out, p.adults LIMIT $4",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read_stay)
            .collect()
    }

    /// Up to `limit` prices of a property that `scope` may see and that `wanted` describes, by the day they were seen on, stay and
    /// competitor, after `after`.
    pub async fn history(
        &self,
        scope: &Scope,
        property: &str,
        wanted: &PricesWanted,
        after: Option<&PricePlace>,
        limit: u32,
    ) -> Result<Vec<CompetitorPrice>, StoreError> {
        // One statement for every question: what is not asked for is an empty text, which no day and no competitor is.
        let sql = format!(
            "SELECT {COLUMNS} FROM competitor_prices p JOIN entities e ON e.id = p.property \
             WHERE {} AND p.property = $3 \
             AND (p.seen_on, p.check_in, p.check_out, p.adults, p.competitor) > ($4, $5, $6, $7, $8) AND p.seen_on <= $9 \
             AND ($10 = '' OR p.competitor = $10) \
             AND ($11 = '' OR (p.check_in = $11 AND p.check_out = $12 AND p.adults = $13)) \
             ORDER BY p.seen_on, p.check_in, p.check_out, p.adults, p.competitor LIMIT $14",
            scope.condition()
        );
        let first = day::text(wanted.seen.first);
        let from =
            after.map(|place| (day::text(place.seen_on), place)).filter(|(seen_on, _)| *seen_on >= first);
        let (seen_on, stay, competitor) = match &from {
            Some((seen_on, place)) => (seen_on.as_str(), Some(place.stay), place.competitor.as_str()),
            None => (first.as_str(), None, ""),
        };
        let day_or_none = |day: Option<Date>| day.map(day::text).unwrap_or_default();
        let only = wanted.stay;
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(seen_on)
            .bind(day_or_none(stay.map(|stay| stay.check_in)))
            .bind(day_or_none(stay.map(|stay| stay.check_out)))
            .bind(stay.map_or(0, |stay| i64::from(stay.adults)))
            .bind(competitor)
            .bind(day::text(wanted.seen.last))
            .bind(wanted.competitor.as_deref().unwrap_or_default())
            .bind(day_or_none(only.map(|stay| stay.check_in)))
            .bind(day_or_none(only.map(|stay| stay.check_out)))
            .bind(only.map_or(0, |stay| i64::from(stay.adults)))
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }
}

const TABLE: &str = "competitor_prices";

fn read_stay(row: &DbRow) -> Result<Stay, StoreError> {
    let at = |column: &str| day::parse(TABLE, row.try_get(column)?);
    let adults: i64 = row.try_get("adults")?;
    let adults =
        u32::try_from(adults).map_err(|_| StoreError::unreadable(TABLE, "adults", &adults.to_string()))?;
    Ok(Stay { check_in: at("check_in")?, check_out: at("check_out")?, adults })
}

fn read(row: &DbRow) -> Result<CompetitorPrice, StoreError> {
    let rates_day: Option<&str> = row.try_get("rates_day")?;
    let (price, shown): (Option<i64>, Option<i64>) = (row.try_get("price")?, row.try_get("shown")?);
    let price = match (price, shown) {
        (Some(price_micros), Some(shown_micros)) => Some(ShownPrice {
            price_micros,
            shown_micros,
            currency: row.try_get("shown_currency")?,
            rate: row.try_get("rate")?,
            rates_day: rates_day.map(|text| day::parse(TABLE, text)).transpose()?,
        }),
        _ => None,
    };
    Ok(CompetitorPrice {
        competitor: row.try_get("competitor")?,
        name: row.try_get("name")?,
        url: row.try_get("url")?,
        stay: read_stay(row)?,
        seen_on: day::parse(TABLE, row.try_get("seen_on")?)?,
        seen_at_ms: row.try_get("seen_at")?,
        currency: row.try_get("currency")?,
        price,
        room: row.try_get("room")?,
    })
}
