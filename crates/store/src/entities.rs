//! The things that are watched over time: properties, products, parks.

use std::fmt;
use std::str::FromStr;

use crate::db::{DbRow, query};
use crate::ids::now_ms;
use crate::scoped::Scoped;
use crate::{Owner, Scope, Store, StoreError, WriteTx};

/// What a thing is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntityKind {
    /// A hotel or a flat, with prices and occupancy.
    Property,
    /// An article, with demand and stock.
    Product,
    /// A theme park.
    Park,
    /// A ride or a show of a park.
    Attraction,
    /// A publisher of advertisements.
    Publisher,
    /// An account at a market place.
    SellerAccount,
    /// A place where stock lies.
    Warehouse,
    /// Somebody else's property or product.
    Competitor,
}

impl EntityKind {
    /// Every kind with its name in the database.
    const NAMES: [(Self, &'static str); 8] = [
        (Self::Property, "property"),
        (Self::Product, "product"),
        (Self::Park, "park"),
        (Self::Attraction, "attraction"),
        (Self::Publisher, "publisher"),
        (Self::SellerAccount, "seller_account"),
        (Self::Warehouse, "warehouse"),
        (Self::Competitor, "competitor"),
    ];

    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Property => "property",
            Self::Product => "product",
            Self::Park => "park",
            Self::Attraction => "attraction",
            Self::Publisher => "publisher",
            Self::SellerAccount => "seller_account",
            Self::Warehouse => "warehouse",
            Self::Competitor => "competitor",
        }
    }
}

impl fmt::Display for EntityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no kind of entity.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "{0:?} is no kind of entity; kinds are property, product, park, attraction, publisher, seller_account, warehouse and competitor"
)]
pub struct UnknownKind(pub String);

impl FromStr for EntityKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::NAMES
            .iter()
            .find_map(|&(kind, known)| (known == name).then_some(kind))
            .ok_or_else(|| UnknownKind(name.chars().take(100).collect()))
    }
}

/// A place on the globe.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Location {
    /// Degrees north, -90 to 90.
    pub latitude: f64,
    /// Degrees east, -180 to 180.
    pub longitude: f64,
}

impl Location {
    /// The place, if it is one.
    ///
    /// # Errors
    /// [`StoreError::NotAPlace`] outside the ranges, and for what is not a number.
    pub fn new(latitude: f64, longitude: f64) -> Result<Self, StoreError> {
        if (-90.0..=90.0).contains(&latitude) && (-180.0..=180.0).contains(&longitude) {
            Ok(Self { latitude, longitude })
        } else {
            Err(StoreError::NotAPlace { latitude, longitude })
        }
    }
}

/// What is said of an entity when it is saved.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEntity {
    /// Its identifier: [`crate::new_id`], or [`crate::derived_id`] of tenant, user and the client's own name for it.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// What it is.
    pub kind: EntityKind,
    /// What people call it.
    pub name: String,
    /// Where it is.
    pub location: Option<Location>,
    /// Its country: two letters, ISO 3166-1.
    pub country: Option<String>,
    /// Its IANA time zone, in which its days begin and end.
    pub time_zone: Option<String>,
    /// Anything else that is known of it.
    pub attributes: serde_json::Map<String, serde_json::Value>,
}

/// A stored entity.
#[derive(Debug, Clone, PartialEq)]
pub struct Entity {
    /// What was said of it.
    pub entity: NewEntity,
    /// When it was first saved, ms since 1970.
    pub created_at_ms: i64,
    /// When it was last saved, ms since 1970.
    pub updated_at_ms: i64,
}

/// Whether a row was saved.
#[must_use = "a row that belongs to somebody else is not saved"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Saved {
    /// It was.
    Yes,
    /// Its identifier belongs to another owner, for whom nothing changed. Tell the caller no more than "not found".
    NotYours,
}

/// The table of entities.
#[derive(Debug, Clone, Copy)]
pub struct Entities<'s> {
    store: &'s Store,
}

pub(crate) const COLUMNS: &str = "id, tenant, owner, kind, name, latitude, longitude, country, time_zone, attributes, created_at, updated_at";

/// How rows of this table are found and read.
const ROWS: Scoped<Entity> = Scoped { table: "entities", columns: COLUMNS, read };

impl<'s> Entities<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Makes the entity, or replaces what was said of it.
    pub async fn save(&self, tx: &mut WriteTx, entity: &NewEntity) -> Result<Saved, StoreError> {
        let done = query(
            "INSERT INTO entities (id, tenant, owner, kind, name, latitude, longitude, country, time_zone, attributes, \
                                   created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11) \
             ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, name = excluded.name, latitude = excluded.latitude, \
                 longitude = excluded.longitude, country = excluded.country, time_zone = excluded.time_zone, \
                 attributes = excluded.attributes, updated_at = excluded.updated_at \
             WHERE entities.tenant = excluded.tenant AND entities.owner = excluded.owner",
        )
        .bind(&entity.id)
        .bind(&entity.owner.tenant)
        .bind(&entity.owner.user)
        .bind(entity.kind.as_str())
        .bind(&entity.name)
        .bind(entity.location.map(|place| place.latitude))
        .bind(entity.location.map(|place| place.longitude))
        .bind(&entity.country)
        .bind(&entity.time_zone)
        .bind(serde_json::Value::Object(entity.attributes.clone()).to_string())
        .bind(now_ms())
        .execute(tx.connection())
        .await?;
        Ok(if done == 1 { Saved::Yes } else { Saved::NotYours })
    }

    /// The entity `id`, if `scope` may see it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<Entity>, StoreError> {
        ROWS.get(self.store, scope, id).await
    }

    /// Up to `limit` entities of `kind` that `scope` may see, in the order of their identifiers, after `after`.
    pub async fn list(
        &self,
        scope: &Scope,
        kind: EntityKind,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Entity>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM entities WHERE {} AND kind = $3 AND id > $4 ORDER BY id LIMIT $5",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(kind.as_str())
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Removes the entity `id` with its observations and features, if `scope` may see it; a property takes along the competitors that
    /// compete with no other. Returns whether it was there.
    pub async fn delete(&self, tx: &mut WriteTx, scope: &Scope, id: &str) -> Result<bool, StoreError> {
        crate::competitors::leave(tx, scope, id).await?;
        let sql = format!("DELETE FROM entities WHERE {} AND id = $3", scope.condition());
        let done = query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .execute(tx.connection())
            .await?;
        Ok(done == 1)
    }
}

pub(crate) fn read(row: &DbRow) -> Result<Entity, StoreError> {
    let kind: String = row.try_get("kind")?;
    let attributes: String = row.try_get("attributes")?;
    let place: (Option<f64>, Option<f64>) = (row.try_get("latitude")?, row.try_get("longitude")?);
    Ok(Entity {
        entity: NewEntity {
            id: row.try_get("id")?,
            owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
            kind: kind.parse().map_err(|_| StoreError::unreadable("entities", "kind", &kind))?,
            name: row.try_get("name")?,
            location: match place {
                (Some(latitude), Some(longitude)) => Some(Location { latitude, longitude }),
                _ => None,
            },
            country: row.try_get("country")?,
            time_zone: row.try_get("time_zone")?,
            attributes: serde_json::from_str(&attributes)
                .map_err(|_| StoreError::unreadable("entities", "attributes", &attributes))?,
        },
        created_at_ms: row.try_get("created_at")?,
        updated_at_ms: row.try_get("updated_at")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_is_read_back_from_its_name_and_no_other_is() {
        for (kind, name) in EntityKind::NAMES {
            assert_eq!((kind.as_str(), name.parse()), (name, Ok(kind)));
        }
        assert!("Property".parse::<EntityKind>().is_err());
    }

    #[test]
    fn places_off_the_globe_are_refused() {
        assert!(Location::new(-90.0, 180.0).is_ok());
        for (latitude, longitude) in [(91.0, 0.0), (0.0, -180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert!(Location::new(latitude, longitude).is_err(), "{latitude}, {longitude}");
        }
    }
}
