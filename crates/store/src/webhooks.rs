//! Webhooks: addresses that are told what happens to a user's jobs. What they were told is in [`crate::WebhookDeliveries`].

use crate::db::{DbRow, query};
use crate::ids::{new_id, now_ms};
use crate::scoped::Scoped;
use crate::{Owner, Scope, Store, StoreError};

/// A webhook to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewWebhook {
    /// Whose it is.
    pub owner: Owner,
    /// The address that is told. Whoever takes it in checks it.
    pub url: String,
    /// The names of the events that it is told of.
    pub events: Vec<String>,
    /// The secret that signs what is sent, sealed: the store keeps what it is given.
    pub secret: String,
}

/// What changes in a webhook; what is `None` stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WebhookChange {
    /// Another address.
    pub url: Option<String>,
    /// Other events.
    pub events: Option<Vec<String>>,
    /// Another secret, sealed.
    pub secret: Option<String>,
    /// Whether it is told anything. What was said when it was disabled goes with its being enabled again.
    pub enabled: Option<bool>,
}

/// A secret that was replaced, and that receivers may still have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OldSecret {
    /// The secret, sealed.
    pub secret: String,
    /// Until when it signs along, ms since 1970.
    pub until_ms: i64,
}

/// A stored webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its identifier.
    pub id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The address that is told.
    pub url: String,
    /// The names of the events that it is told of.
    pub events: Vec<String>,
    /// The secret that signs what is sent, sealed. Never shown.
    pub secret: String,
    /// The secret of before, while it signs along.
    pub old_secret: Option<OldSecret>,
    /// Whether it is told anything.
    pub enabled: bool,
    /// Why it was disabled, where that was not its owner's doing.
    pub disabled_reason: Option<String>,
    /// When it was made, ms since 1970.
    pub created_at_ms: i64,
    /// When it last changed, ms since 1970.
    pub updated_at_ms: i64,
}

/// The table of webhooks.
#[derive(Debug, Clone, Copy)]
pub struct Webhooks<'s> {
    pub(crate) store: &'s Store,
}

const COLUMNS: &str = "id, tenant, owner, url, events, secret, old_secret, old_secret_until, enabled, disabled_reason, created_at, updated_at";

/// How rows of this table are found and read.
pub(crate) const ROWS: Scoped<Webhook> = Scoped { table: "webhooks", columns: COLUMNS, read };

impl<'s> Webhooks<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Makes a webhook, enabled, under a new identifier; `None`, and nothing is made, if its tenant has `at_most` already.
    pub async fn create(&self, new: &NewWebhook, at_most: u32) -> Result<Option<Webhook>, StoreError> {
        let now_ms = now_ms();
        let webhook = Webhook {
            id: new_id()?,
            owner: new.owner.clone(),
            url: new.url.clone(),
            events: new.events.clone(),
            secret: new.secret.clone(),
            old_secret: None,
            enabled: true,
            disabled_reason: None,
            created_at_ms: now_ms,
            updated_at_ms: now_ms,
        };
        let is_made = self
            .store
            .write::<_, StoreError, _>(async |tx| {
                // What is seen from here on is still so at the insert.
                tx.exclude("webhooks").await?;
                let there: i64 = query("SELECT count(*) FROM webhooks WHERE tenant = $1")
                    .bind(&webhook.owner.tenant)
                    .fetch_one(tx.connection())
                    .await?
                    .first()?;
                if there >= i64::from(at_most) {
                    return Ok(false);
                }
                query(
                    "INSERT INTO webhooks (id, tenant, owner, url, events, secret, enabled, created_at, updated_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)",
                )
                .bind(&webhook.id)
                .bind(&webhook.owner.tenant)
                .bind(&webhook.owner.user)
                .bind(&webhook.url)
                .bind(list_text(&webhook.events))
                .bind(&webhook.secret)
                .bind(webhook.enabled)
                .bind(now_ms)
                .execute(tx.connection())
                .await?;
                Ok(true)
            })
            .await?;
        Ok(is_made.then_some(webhook))
    }

    /// The webhook `id`, if `scope` may see it.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<Webhook>, StoreError> {
        ROWS.get(self.store, scope, id).await
    }

    /// Up to `limit` webhooks that `scope` may see, in the order of their identifiers (the oldest first), after `after`.
    pub async fn list(
        &self,
        scope: &Scope,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Webhook>, StoreError> {
        ROWS.list(self.store, scope, after, limit).await
    }

    /// Changes the webhook `id`, if `scope` may see it, and returns how it stands now.
    pub async fn update(
        &self,
        scope: &Scope,
        id: &str,
        change: &WebhookChange,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!(
            "UPDATE webhooks SET url = COALESCE($4, url), events = COALESCE($5, events), secret = COALESCE($6, secret), \
                 enabled = COALESCE($7, enabled), disabled_reason = CASE WHEN $7 IS NULL THEN disabled_reason END, \
                 updated_at = $8 \
             WHERE {} AND id = $3 RETURNING {COLUMNS}",
            scope.condition()
        );
        self.store
            .write(async |tx| {
                query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .bind(&change.url)
                    .bind(change.events.as_deref().map(list_text))
                    .bind(&change.secret)
                    .bind(change.enabled)
                    .bind(now_ms())
                    .fetch_optional(tx.connection())
                    .await?
                    .map(|row| read(&row))
                    .transpose()
            })
            .await
    }

    /// Disables the webhook `id` and says why, if it is enabled. Returns whether it did. For the platform's own work: its receiver is
    /// gone, say.
    pub async fn disable(&self, id: &str, reason: &str) -> Result<bool, StoreError> {
        self.store
            .write(async |tx| {
                let done = query(
                    "UPDATE webhooks SET enabled = $2, disabled_reason = $3, updated_at = $4 WHERE id = $1 AND enabled",
                )
                .bind(id)
                .bind(false)
                .bind(reason)
                .bind(now_ms())
                .execute(tx.connection())
                .await?;
                Ok(done == 1)
            })
            .await
    }

    /// Removes the webhook `id` with its deliveries, if `scope` may see it. Returns whether it was there.
    pub async fn delete(&self, scope: &Scope, id: &str) -> Result<bool, StoreError> {
        let sql = format!("DELETE FROM webhooks WHERE {} AND id = $3", scope.condition());
        self.store
            .write(async |tx| {
                let done = query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .execute(tx.connection())
                    .await?;
                Ok(done == 1)
            })
            .await
    }
}

fn list_text(events: &[String]) -> String {
    serde_json::Value::from(events).to_string()
}

pub(crate) fn read(row: &DbRow) -> Result<Webhook, StoreError> {
    let events: String = row.try_get("events")?;
    let old_secret: Option<String> = row.try_get("old_secret")?;
    let old_until_ms: Option<i64> = row.try_get("old_secret_until")?;
    Ok(Webhook {
        id: row.try_get("id")?,
        owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
        url: row.try_get("url")?,
        events: serde_json::from_str(&events)
            .map_err(|_| StoreError::unreadable("webhooks", "events", &events))?,
        secret: row.try_get("secret")?,
        old_secret: old_secret.zip(old_until_ms).map(|(secret, until_ms)| OldSecret { secret, until_ms }),
        enabled: row.try_get("enabled")?,
        disabled_reason: row.try_get("disabled_reason")?,
        created_at_ms: row.try_get("created_at")?,
        updated_at_ms: row.try_get("updated_at")?,
    })
}
