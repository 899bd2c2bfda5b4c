//! Holidays that were already fetched, shared by every job.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use jiff::civil::Date;

use crate::bulk::{Bulk, Kind};
use crate::db::{DbRow, query};
use crate::{DayRange, Store, StoreError, WriteTx, day};

/// Whose holiday it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HolidayKind {
    /// Shops and offices are closed.
    Public,
    /// Schools are closed.
    School,
}

impl HolidayKind {
    /// The name in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::School => "school",
        }
    }

    fn parse(name: &str) -> Result<Self, StoreError> {
        match name {
            "public" => Ok(Self::Public),
            "school" => Ok(Self::School),
            other => Err(StoreError::unreadable("holidays", "kind", other)),
        }
    }
}

/// A holiday on one day; holidays of several days are one row each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holiday {
    /// The day.
    pub day: Date,
    /// Its name, in the source's language.
    pub name: String,
    /// Whose it is.
    pub kind: HolidayKind,
    /// The part of the country that keeps it (ISO 3166-2, or the source's name); `None` is all of it.
    pub region: Option<String>,
}

/// The cache of holidays.
#[derive(Debug, Clone, Copy)]
pub struct Holidays<'s> {
    store: &'s Store,
}

impl<'s> Holidays<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// The years that are to be fetched for `country` (two letters): those that are not here, and those fetched before
    /// `stale_before_ms` (governments move holidays).
    pub async fn missing_years(
        &self,
        country: &str,
        kind: HolidayKind,
        years: RangeInclusive<i16>,
        stale_before_ms: i64,
    ) -> Result<Vec<i16>, StoreError> {
        let known = query(
            "SELECT year FROM holiday_years WHERE country = $1 AND kind = $2 AND year >= $3 AND year <= $4 \
             AND fetched_at >= $5",
        )
        .bind(country.to_ascii_uppercase())
        .bind(kind.as_str())
        .bind(i64::from(*years.start()))
        .bind(i64::from(*years.end()))
        .bind(stale_before_ms)
        .fetch_all(self.store.readers())
        .await?;
        let known = known.iter().map(DbRow::first).collect::<Result<BTreeSet<i64>, _>>()?;
        Ok(years.filter(|year| !known.contains(&i64::from(*year))).collect())
    }

    /// The holidays of `country` in `range`, by day and name: those of the whole country, and those of `region` if one is
    /// given.
    pub async fn range(
        &self,
        country: &str,
        region: Option<&str>,
        range: DayRange,
    ) -> Result<Vec<Holiday>, StoreError> {
        query(
            "SELECT day, name, kind, region FROM holidays \
             WHERE country = $1 AND day >= $2 AND day <= $3 AND (region = '' OR region = $4) ORDER BY day, name, kind",
        )
        .bind(country.to_ascii_uppercase())
        .bind(day::text(range.first))
        .bind(day::text(range.last))
        .bind(region.unwrap_or_default())
        .fetch_all(self.store.readers())
        .await?
        .iter()
        .map(|row| {
            let region: String = row.try_get("region")?;
            Ok(Holiday {
                day: day::parse("holidays", row.try_get("day")?)?,
                name: row.try_get("name")?,
                kind: HolidayKind::parse(row.try_get("kind")?)?,
                region: Some(region).filter(|region| !region.is_empty()),
            })
        })
        .collect()
    }

    /// Keeps what was fetched at `fetched_at_ms` as all the holidays of `kind` in `country` in `year`: one that is no longer
    /// among them goes. Rows of another kind or year are left out.
    pub async fn replace_year(
        &self,
        tx: &mut WriteTx,
        country: &str,
        kind: HolidayKind,
        year: i16,
        holidays: &[Holiday],
        fetched_at_ms: i64,
    ) -> Result<(), StoreError> {
        let country = country.to_ascii_uppercase();
        query("DELETE FROM holidays WHERE country = $1 AND kind = $2 AND day >= $3 AND day <= $4")
            .bind(&country)
            .bind(kind.as_str())
            .bind(format!("{year:04}-01-01"))
            .bind(format!("{year:04}-12-31"))
            .execute(tx.connection())
            .await?;
        let of_year: Vec<&Holiday> =
            holidays.iter().filter(|holiday| holiday.kind == kind && holiday.day.year() == year).collect();
        let shared = vec![("country", country.as_str().into()), ("kind", kind.as_str().into())];
        let own = vec![("day", Kind::Text), ("region", Kind::Text), ("name", Kind::Text)];
        let conflict = "ON CONFLICT (country, kind, day, region, name) DO NOTHING";
        let mut bulk = Bulk::new("holidays", shared, own, conflict);
        for holiday in of_year {
            bulk.push(day::text(holiday.day));
            bulk.push(holiday.region.as_deref().unwrap_or_default());
            bulk.push(&holiday.name);
        }
        bulk.run(tx.connection()).await?;
        query(
            "INSERT INTO holiday_years (country, kind, year, fetched_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (country, kind, year) DO UPDATE SET fetched_at = excluded.fetched_at",
        )
        .bind(&country)
        .bind(kind.as_str())
        .bind(i64::from(year))
        .bind(fetched_at_ms)
        .execute(tx.connection())
        .await?;
        Ok(())
    }
}
