//! The sender's and the relay's side of webhooks: who is to be told, what came of an attempt, and what was left lying.

use crate::db::query;
use crate::ids::now_ms;
use crate::webhook_deliveries::{COLUMNS, FROM, read};
use crate::webhooks::{self, ROWS};
use crate::{Delivery, DeliveryStatus, Scope, StoreError, Webhook, WebhookDeliveries, Webhooks, WriteTx};

/// What came of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The receiver has it.
    Delivered,
    /// It is to be tried again at this moment, ms since 1970.
    RetryAt(i64),
    /// It is given up.
    Failed,
}

/// An attempt that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// The HTTP status of the answer.
    pub response_status: Option<u16>,
    /// What went wrong, for the webhook's owner.
    pub error: Option<String>,
}

/// What tells one set of enabled webhooks from another without reading them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WebhooksMark {
    count: i64,
    /// Of all of them, so that a change counts whatever the clock of whoever made it.
    updated_sum: Option<i64>,
    last: Option<String>,
}

impl WebhooksMark {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl Webhooks<'_> {
    /// All webhooks that are to be told something, of everybody.
    pub async fn enabled(&self) -> Result<Vec<Webhook>, StoreError> {
        let sql = format!("SELECT {} FROM webhooks WHERE enabled ORDER BY id", ROWS.columns);
        query(sqlx::AssertSqlSafe(sql))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(webhooks::read)
            .collect()
    }

    /// Whether they are still those of before: they are while the mark is the same.
    pub async fn mark(&self) -> Result<WebhooksMark, StoreError> {
        let row = query(
            "SELECT count(*) AS n, CAST(sum(updated_at) AS BIGINT) AS updated, max(id) AS last FROM webhooks WHERE enabled",
        )
        .fetch_one(self.store.readers())
        .await?;
        Ok(WebhooksMark {
            count: row.try_get("n")?,
            updated_sum: row.try_get("updated")?,
            last: row.try_get("last")?,
        })
    }

    /// Gives the webhook `id` the sealed `secret`, if `scope` may see it; the one before signs along until `old_until_ms`. Returns how it
    /// stands now.
    pub async fn rotate(
        &self,
        scope: &Scope,
        id: &str,
        secret: &str,
        old_until_ms: i64,
    ) -> Result<Option<Webhook>, StoreError> {
        let sql = format!(
            "UPDATE webhooks SET old_secret = secret, old_secret_until = $5, secret = $4, updated_at = $6 \
             WHERE {} AND id = $3 RETURNING {}",
            scope.condition(),
            ROWS.columns
        );
        self.store
            .write(async |tx| {
                query(sqlx::AssertSqlSafe(sql.as_str()))
                    .bind(scope.tenant())
                    .bind(scope.user())
                    .bind(id)
                    .bind(secret)
                    .bind(old_until_ms)
                    .bind(now_ms())
                    .fetch_optional(tx.connection())
                    .await?
                    .map(|row| webhooks::read(&row))
                    .transpose()
            })
            .await
    }

    /// Forgets secrets of before a rotation whose time is over at `now_ms`; returns how many.
    pub async fn forget_old_secrets(&self, now_ms: i64) -> Result<u64, StoreError> {
        self.store
            .write(async |tx| {
                query("UPDATE webhooks SET old_secret = NULL, old_secret_until = NULL WHERE old_secret_until <= $1")
                    .bind(now_ms)
                    .execute(tx.connection())
                    .await
            })
            .await
    }
}

impl WebhookDeliveries<'_> {
    /// Notes an attempt at round `round` of the delivery `id`, if it is still to be sent. Returns whether it was: a round that was
    /// overtaken, or that somebody else settled, changes nothing.
    pub async fn record(
        &self,
        tx: &mut WriteTx,
        id: &str,
        round: i64,
        attempt: &DeliveryAttempt,
    ) -> Result<bool, StoreError> {
        let (status, next_at_ms, delivered_at_ms) = match attempt.outcome {
            AttemptOutcome::Delivered => (DeliveryStatus::Delivered, None, Some(now_ms())),
            AttemptOutcome::RetryAt(at_ms) => (DeliveryStatus::Pending, Some(at_ms), None),
            AttemptOutcome::Failed => (DeliveryStatus::Failed, None, None),
        };
        let done = query(
            "UPDATE webhook_deliveries SET attempt = attempt + 1, status = $4, response_status = $5, error = $6, next_at = $7, \
                 delivered_at = $8 \
             WHERE id = $1 AND round = $2 AND status = $3",
        )
        .bind(id)
        .bind(round)
        .bind(DeliveryStatus::Pending.as_str())
        .bind(status.as_str())
        .bind(attempt.response_status.map(i64::from))
        .bind(&attempt.error)
        .bind(next_at_ms)
        .bind(delivered_at_ms)
        .execute(tx.connection())
        .await?;
        Ok(done == 1)
    }

    /// Gives round `round` of the delivery `id` up, if it is still to be sent, without an attempt. Returns whether it was.
    pub async fn give_up(&self, id: &str, round: i64, reason: &str) -> Result<bool, StoreError> {
        self.store
            .write(async |tx| {
                let done = query(
                    "UPDATE webhook_deliveries SET status = $4, error = $5, next_at = NULL \
                     WHERE id = $1 AND round = $2 AND status = $3",
                )
                .bind(id)
                .bind(round)
                .bind(DeliveryStatus::Pending.as_str())
                .bind(DeliveryStatus::Failed.as_str())
                .bind(reason)
                .execute(tx.connection())
                .await?;
                Ok(done == 1)
            })
            .await
    }

    /// Up to `limit` deliveries that were to be sent before `before_ms` and are not settled, by their time, after `after` (time and
    /// identifier of the last one seen).
    pub async fn overdue(
        &self,
        before_ms: i64,
        after: Option<(i64, &str)>,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let (after_ms, after_id) = after.unwrap_or((i64::MIN, ""));
        let sql = format!(
            "SELECT {COLUMNS} FROM {FROM} WHERE d.status = $1 AND d.next_at < $2 \
                 AND (d.next_at > $3 OR (d.next_at = $3 AND d.id > $4)) \
             ORDER BY d.next_at, d.id LIMIT $5"
        );
        query(sqlx::AssertSqlSafe(sql))
            .bind(DeliveryStatus::Pending.as_str())
            .bind(before_ms)
            .bind(after_ms)
            .bind(after_id)
            .bind(i64::from(limit))
            .fetch_all(self.store.readers())
            .await?
            .iter()
            .map(read)
            .collect()
    }
}
