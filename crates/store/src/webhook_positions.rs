//! How far the event streams of queues were read, so that webhooks are told of each event once.

use crate::db::query;
use crate::{Store, StoreError, WriteTx};

/// How far a queue's event stream was read for webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookPosition {
    /// The last event that was looked at.
    pub position: i64,
    /// The engine's time there, ms since 1970.
    pub at_ms: i64,
}

/// The table of places.
#[derive(Debug, Clone, Copy)]
pub struct WebhookPositions<'s> {
    store: &'s Store,
}

impl<'s> WebhookPositions<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// How far `queue` was read; none if nobody ever did.
    pub async fn get(&self, queue: &str) -> Result<Option<WebhookPosition>, StoreError> {
        let row = query("SELECT position, at FROM webhook_positions WHERE queue = $1")
            .bind(queue)
            .fetch_optional(self.store.readers())
            .await?;
        row.map(|row| Ok(WebhookPosition { position: row.try_get("position")?, at_ms: row.try_get("at")? }))
            .transpose()
    }

    /// Moves `queue` to `to`, if it stands at `from` (none: nowhere yet). Returns whether it did: of two that read the same events one
    /// does. In the transaction that keeps what was read.
    pub async fn advance(
        &self,
        tx: &mut WriteTx,
        queue: &str,
        from: Option<i64>,
        to: WebhookPosition,
    ) -> Result<bool, StoreError> {
        let done = match from {
            None => {
                query(
                    "INSERT INTO webhook_positions (queue, position, at) VALUES ($1, $2, $3) ON CONFLICT (queue) DO NOTHING",
                )
                .bind(queue)
                .bind(to.position)
                .bind(to.at_ms)
                .execute(tx.connection())
                .await?
            }
            Some(from) => {
                query("UPDATE webhook_positions SET position = $2, at = $3 WHERE queue = $1 AND position = $4")
                    .bind(queue)
                    .bind(to.position)
                    .bind(to.at_ms)
                    .bind(from)
                    .execute(tx.connection())
                    .await?
            }
        };
        Ok(done == 1)
    }
}
