//! Who competes with a property, and how their pages are read.
//!
//! A competitor is an entity of the kind `competitor` with the attribute `page`, of the same owner as the properties that it competes with.
//! With which ones stands in a table of its own.

use serde_json::Value;

use crate::db::{DbRow, query};
use crate::ids::now_ms;
use crate::{Entity, EntityKind, NewEntity, Owner, Saved, Scope, Store, StoreError, WriteTx};

/// The attribute that says how its page is read.
const PAGE: &str = "page";

/// What is declared of a competitor.
#[derive(Debug, Clone, PartialEq)]
pub struct NewCompetitor {
    /// Its identifier: [`crate::new_id`], or [`crate::derived_id`] of tenant, user and the client's own name for it.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// How its page is found and read. The store does not look into it.
    pub page: Value,
}

/// A competitor of a property.
#[derive(Debug, Clone, PartialEq)]
pub struct Competitor {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// What people call it.
    pub name: String,
    /// How its page is found and read; null, if nothing is declared.
    pub page: Value,
    /// When it was first declared, ms since 1970.
    pub created_at_ms: i64,
    /// When it was last declared, ms since 1970.
    pub updated_at_ms: i64,
}

/// What came of declaring a competitor.
#[must_use = "a competitor that is one too many is not declared"]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Declared {
    /// It competes with the property from now on.
    New,
    /// It did before, and what was said of it is replaced.
    Replaced,
    /// The property has as many as it may. Nothing was changed.
    Full,
    /// The property or the competitor is not this owner's. Nothing was changed.
    NotYours,
}

/// The competitors of properties.
#[derive(Debug, Clone, Copy)]
pub struct Competitors<'s> {
    store: &'s Store,
}

const COLUMNS: &str = "e.id, e.tenant, e.owner, e.name, e.attributes, e.created_at, e.updated_at";

impl<'s> Competitors<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Says that `new` competes with `property`, both of them of `owner`; what was said of it before is replaced, for all of its
    /// properties. A property has `at_most` competitors.
    pub async fn declare(
        &self,
        owner: &Owner,
        property: &str,
        new: &NewCompetitor,
        at_most: u32,
    ) -> Result<Declared, StoreError> {
        let entity = NewEntity {
            id: new.id.clone(),
            owner: owner.clone(),
            kind: EntityKind::Competitor,
            name: new.name.clone(),
            location: None,
            country: None,
            time_zone: None,
            attributes: [(PAGE.to_owned(), new.page.clone())].into_iter().collect(),
        };
        let mut tx = self.store.begin().await?;
        // What is counted here is still so at the insert.
        tx.exclude("competitor_links").await?;
        let found = query(
            "SELECT (SELECT count(*) FROM competitor_links WHERE property = $1) AS there, \
                    (SELECT count(*) FROM competitor_links WHERE property = $1 AND competitor = $2) AS known, \
                    (SELECT count(*) FROM entities WHERE id = $1 AND tenant = $3 AND owner = $4 AND kind = 'property') AS ours, \
                    (SELECT count(*) FROM entities WHERE id = $2 AND kind <> 'competitor') AS other",
        )
        .bind(property)
        .bind(&new.id)
        .bind(&owner.tenant)
        .bind(&owner.user)
        .fetch_one(tx.connection())
        .await?;
        let count = |column: &str| found.try_get::<i64>(column);
        if count("ours")? == 0 || count("other")? > 0 {
            return Ok(Declared::NotYours);
        }
        let is_known = count("known")? > 0;
        if !is_known && count("there")? >= i64::from(at_most) {
            return Ok(Declared::Full);
        }
        if self.store.entities().save(&mut tx, &entity).await? == Saved::NotYours {
            return Ok(Declared::NotYours);
        }
        let linked = query(
            "INSERT INTO competitor_links (property, competitor, created_at) VALUES ($1, $2, $3) \
             ON CONFLICT (property, competitor) DO NOTHING",
        )
        .bind(property)
        .bind(&new.id)
        .bind(now_ms())
        .execute(tx.connection())
        .await;
        match linked {
            // Somebody has removed the property since it was looked at.
            Err(StoreError::MissingReference(_)) => return Ok(Declared::NotYours),
            linked => linked?,
        };
        tx.commit().await?;
        Ok(if is_known { Declared::Replaced } else { Declared::New })
    }

    /// The competitor `id` of `property`, if `scope` may see it.
    pub async fn get(
        &self,
        scope: &Scope,
        property: &str,
        id: &str,
    ) -> Result<Option<Competitor>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM competitor_links l JOIN entities e ON e.id = l.competitor \
             WHERE {} AND l.property = $3 AND l.competitor = $4",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(id)
            .fetch_optional(self.store.readers())
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// Up to `limit` competitors of `property` that `scope` may see, in the order of their identifiers, after `after`.
    pub async fn list(
        &self,
        scope: &Scope,
        property: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Competitor>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM competitor_links l JOIN entities e ON e.id = l.competitor \
             WHERE {} AND l.property = $3 AND l.competitor > $4 ORDER BY l.competitor LIMIT $5",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(property)
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Up to `limit` properties that anybody competes with, whosever they are, in the order of their identifiers, after `after`.
    pub async fn properties(&self, after: Option<&str>, limit: u32) -> Result<Vec<Entity>, StoreError> {
        let sql = format!(
            "SELECT {} FROM entities WHERE id IN \
             (SELECT DISTINCT property FROM competitor_links WHERE property > $1 ORDER BY property LIMIT $2) ORDER BY id",
            crate::entities::COLUMNS
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(after.unwrap_or_default())
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(crate::entities::read)
            .collect()
    }

    /// Says that the competitor `id`, which `scope` may see, does not compete with `property` any more. It goes when it competes with
    /// none; what it asked stays. Returns whether it did.
    pub async fn release(&self, scope: &Scope, property: &str, id: &str) -> Result<bool, StoreError> {
        let sql = format!(
            "DELETE FROM competitor_links WHERE property = $3 AND competitor = $4 \
             AND EXISTS (SELECT 1 FROM entities WHERE {} AND id = $4)",
            scope.condition()
        );
        self.store
            .write(async |tx| {
                tx.exclude("competitor_links").await?;
                let done = query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(property)
                    .bind(id)
                    .execute(tx.connection())
                    .await?;
                query(
                    "DELETE FROM entities WHERE id = $1 AND kind = 'competitor' AND $2 > 0 \
                     AND NOT EXISTS (SELECT 1 FROM competitor_links WHERE competitor = $1)",
                )
                .bind(id)
                .bind(i64::try_from(done).unwrap_or(i64::MAX))
                .execute(tx.connection())
                .await?;
                Ok(done > 0)
            })
            .await
    }
}

/// Removes the competitors of `property` that compete with no other, as the property is going.
pub(crate) async fn leave(tx: &mut WriteTx, scope: &Scope, property: &str) -> Result<(), StoreError> {
    let sql = format!(
        "DELETE FROM entities WHERE {} AND kind = 'competitor' \
         AND id IN (SELECT competitor FROM competitor_links WHERE property = $3) \
         AND NOT EXISTS (SELECT 1 FROM competitor_links o WHERE o.competitor = entities.id AND o.property <> $3)",
        scope.condition()
    );
    query(sqlx::AssertSqlSafe(sql))
        .bind(scope.tenant())
        .bind(scope.user())
        .bind(property)
        .execute(tx.connection())
        .await?;
    Ok(())
}

fn read(row: &DbRow) -> Result<Competitor, StoreError> {
    let attributes: String = row.try_get("attributes")?;
    let mut attributes: serde_json::Map<String, Value> = serde_json::from_str(&attributes)
        .map_err(|_| StoreError::unreadable("entities", "attributes", &attributes))?;
    Ok(Competitor {
        id: row.try_get("id")?,
        owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
        name: row.try_get("name")?,
        page: attributes.remove(PAGE).unwrap_or_default(),
        created_at_ms: row.try_get("created_at")?,
        updated_at_ms: row.try_get("updated_at")?,
    })
}
