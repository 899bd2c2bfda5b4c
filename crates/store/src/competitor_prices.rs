//! What competitors asked for a stay, day by day.

use jiff::civil::Date;

use crate::bulk::{Bulk, Kind, last_of_each};
use crate::db::{DbRow, query};
use crate::{FencedTx, Scope, Store, StoreError, day};

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
            "SELECT p.competitor, p.check_in, p.check_out, p.adults, p.seen_on, p.name, p.url, p.price, p.currency, p.shown, \
             p.shown_currency, p.rate, p.rates_day, p.room, p.seen_at \
             FROM competitor_prices p JOIN entities e ON e.id = p.property \
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
}

fn read(row: &DbRow) -> Result<CompetitorPrice, StoreError> {
    const TABLE: &str = "competitor_prices";
    let at = |column: &str| day::parse(TABLE, row.try_get(column)?);
    let adults: i64 = row.try_get("adults")?;
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
        stay: Stay {
            check_in: at("check_in")?,
            check_out: at("check_out")?,
            adults: u32::try_from(adults)
                .map_err(|_| StoreError::unreadable(TABLE, "adults", &adults.to_string()))?,
        },
        seen_on: at("seen_on")?,
        seen_at_ms: row.try_get("seen_at")?,
        currency: row.try_get("currency")?,
        price,
        room: row.try_get("room")?,
    })
}
