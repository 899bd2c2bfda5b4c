//! What webhooks were told, and what they are to be told next. Rows only: sending is not the store's.

use std::str::FromStr;

use crate::db::{DbRow, query};
use crate::ids::now_ms;
use crate::{Scope, Store, StoreError, WriteTx};

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// It is to be sent at its time.
    Pending,
    /// Its receiver has it.
    Delivered,
    /// It was given up.
    Failed,
}

impl DeliveryStatus {
    const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Failed];

    /// The name in the database and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }
}

impl FromStr for DeliveryStatus {
    type Err = StoreError;

    fn from_str(name: &str) -> Result<Self, StoreError> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == name)
            .ok_or_else(|| StoreError::unreadable("webhook_deliveries", "status", name))
    }
}

/// A delivery to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDelivery {
    /// Its identifier, by which a receiver tells a repeat: [`crate::derived_id`] of webhook, event and what it is about, so that
    /// a cause which is handled twice makes one delivery.
    pub id: String,
    /// The webhook that is told.
    pub webhook: String,
    /// What happened.
    pub event: String,
    /// The job that it happened to.
    pub job: Option<String>,
    /// What is sent: JSON text, the same bytes at every attempt.
    pub payload: String,
    /// When it is to be sent, ms since 1970.
    pub next_at_ms: i64,
}

/// A stored delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its identifier.
    pub id: String,
    /// The webhook that is told.
    pub webhook: String,
    /// What happened.
    pub event: String,
    /// The job that it happened to.
    pub job: Option<String>,
    /// What is sent.
    pub payload: String,
    /// How often it was sent anew: 0 at first.
    pub round: i64,
    /// Attempts made in this round.
    pub attempt: i64,
    /// How it stands.
    pub status: DeliveryStatus,
    /// The HTTP status that the last attempt was answered with.
    pub response_status: Option<i64>,
    /// What went wrong with the last attempt, for the webhook's owner.
    pub error: Option<String>,
    /// When it was made, ms since 1970.
    pub created_at_ms: i64,
    /// When it is to be sent, ms since 1970; only of a pending one.
    pub next_at_ms: Option<i64>,
    /// When its receiver got it, ms since 1970; only of a delivered one.
    pub delivered_at_ms: Option<i64>,
}

/// The table of deliveries. They belong to whom their webhook belongs to.
#[derive(Debug, Clone, Copy)]
pub struct WebhookDeliveries<'s> {
    pub(crate) store: &'s Store,
}

pub(crate) const COLUMNS: &str = "d.id, d.webhook, d.event, d.job, d.payload, d.round, d.attempt, d.status, d.response_status, d.error, d.created_at, \
                       d.next_at, d.delivered_at";
/// A delivery has no owner of its own, so `tenant` and `owner` of a scope's condition are the webhook's.
pub(crate) const FROM: &str = "webhook_deliveries d JOIN webhooks w ON w.id = d.webhook";

impl<'s> WebhookDeliveries<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Keeps a delivery, pending, unless its identifier is there already. Returns whether it was new. In a transaction of the caller:
    /// one event may concern several webhooks, and a job writes behind its fence.
    ///
    /// # Errors
    /// [`StoreError::MissingReference`] if the webhook is not there, or no longer.
    pub async fn insert(&self, tx: &mut WriteTx, new: &NewDelivery) -> Result<bool, StoreError> {
        let done = query(
            "INSERT INTO webhook_deliveries (id, webhook, event, job, payload, attempt, status, created_at, next_at) \
             VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
        )
        .bind(&new.id)
        .bind(&new.webhook)
        .bind(&new.event)
        .bind(&new.job)
        .bind(&new.payload)
        .bind(DeliveryStatus::Pending.as_str())
        .bind(now_ms())
        .bind(new.next_at_ms)
        .execute(tx.connection())
        .await?;
        Ok(done == 1)
    }

    /// The delivery `id`, if `scope` may see its webhook.
    pub async fn get(&self, scope: &Scope, id: &str) -> Result<Option<Delivery>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE {} AND d.id = $3", scope.condition());
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(id)
            .fetch_optional(self.store.readers())
            .await?
            .map(|row| read(&row))
            .transpose()
    }

    /// Up to `limit` deliveries of `webhook`, if `scope` may see it, newest first, older than `before` (the instant and identifier of
    /// the last one seen).
    pub async fn list(
        &self,
        scope: &Scope,
        webhook: &str,
        before: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (before_ms, before_id) = before.unwrap_or((i64::MAX, ""));
        let sql = format!(
            "SELECT {COLUMNS} FROM {FROM} WHERE {} AND d.webhook = $3 \
                 AND (d.created_at < $4 OR (d.created_at = $4 AND d.id < $5)) \
             ORDER BY d.created_at DESC, d.id DESC LIMIT $6",
            scope.condition()
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(webhook)
            .bind(before_ms)
            .bind(before_id)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }

    /// Makes the delivery `id` pending and due at `now_ms`, as if it had never been tried, if `scope` may see its webhook.
    /// Returns the round that begins with it; none if it was not there. Attempts of the rounds before change nothing any more.
    pub async fn requeue(&self, scope: &Scope, id: &str, now_ms: i64) -> Result<Option<i64>, StoreError> {
        let sql = format!(
            "UPDATE webhook_deliveries SET round = round + 1, attempt = 0, status = $4, response_status = NULL, error = NULL, next_at = $5, \
                 delivered_at = NULL \
             WHERE id = $3 AND webhook IN (SELECT id FROM webhooks WHERE {}) RETURNING round",
            scope.condition()
        );
        self.store
            .write(async |tx| {
                query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .bind(DeliveryStatus::Pending.as_str())
                    .bind(now_ms)
                    .fetch_optional(tx.connection())
                    .await?
                    .map(|row| row.first())
                    .transpose()
            })
            .await
    }

    /// Forgets up to `limit` deliveries that were made before `before_ms` and are no longer pending; returns how many.
    pub async fn forget(&self, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.store
            .write(async |tx| {
                // The status is looked at again at each row: it may have been made pending since.
                let sql = format!(
                    "DELETE FROM webhook_deliveries WHERE status <> $2 AND id IN \
                     (SELECT id FROM webhook_deliveries WHERE created_at < $1 AND status <> $2 ORDER BY created_at LIMIT $3 {})",
                    tx.skip_locked()
                );
                let done = query(sqlx::AssertSqlSafe(sql))
                .bind(before_ms)
                .bind(DeliveryStatus::Pending.as_str())
                .bind(i64::from(limit))
                .execute(tx.connection())
                .await?;
                Ok(done)
            })
            .await
    }
}

pub(crate) fn read(row: &DbRow) -> Result<Delivery, StoreError> {
    let status: &str = row.try_get("status")?;
    Ok(Delivery {
        id: row.try_get("id")?,
        webhook: row.try_get("webhook")?,
        event: row.try_get("event")?,
        job: row.try_get("job")?,
        payload: row.try_get("payload")?,
        round: row.try_get("round")?,
        attempt: row.try_get("attempt")?,
        status: status.parse()?,
        response_status: row.try_get("response_status")?,
        error: row.try_get("error")?,
        created_at_ms: row.try_get("created_at")?,
        next_at_ms: row.try_get("next_at")?,
        delivered_at_ms: row.try_get("delivered_at")?,
    })
}
