//! Tickets that open an event stream: a browser's `EventSource` sends no header, and a token in an address would stand in logs for as
//! long as it is good. A ticket is good once, and for seconds.

use crate::db::query;
use crate::secrets::{hash, is_secret, new_secret};
use crate::{Owner, Store, StoreError};

/// The table of tickets.
#[derive(Debug, Clone, Copy)]
pub struct StreamTickets<'s> {
    store: &'s Store,
}

/// For whom a ticket stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketHolder {
    /// Whose stream it opens.
    pub owner: Owner,
    /// What they may see: `user`, `viewer` or `admin`.
    pub role: String,
    /// Until when the credentials are good that it was made with, ms since 1970: the stream ends with them.
    pub valid_until_ms: i64,
}

impl<'s> StreamTickets<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Issues a ticket that stands for `holder` and ends `good_for_ms` after `now_ms`, and
    /// sweeps those that have ended. What it returns is not kept anywhere.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an unknown role, or an owner without a name.
    pub async fn issue(
        &self,
        holder: &TicketHolder,
        now_ms: i64,
        good_for_ms: i64,
    ) -> Result<String, StoreError> {
        let ticket = new_secret()?;
        self.store
            .write::<_, StoreError, _>(async |tx| {
                let sql = format!(
                    "DELETE FROM stream_tickets WHERE ticket_hash IN \
                     (SELECT ticket_hash FROM stream_tickets WHERE expires_at <= $1 {})",
                    tx.skip_locked()
                );
                query(sqlx::AssertSqlSafe(sql)).bind(now_ms).execute(tx.connection()).await?;
                query(
                    "INSERT INTO stream_tickets (ticket_hash, tenant, owner, role, valid_until, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(hash(&ticket))
                .bind(&holder.owner.tenant)
                .bind(&holder.owner.user)
                .bind(&holder.role)
                .bind(holder.valid_until_ms)
                .bind(now_ms.saturating_add(good_for_ms))
                .execute(tx.connection())
                .await?;
                Ok(())
            })
            .await?;
        Ok(ticket)
    }

    /// Uses a ticket up: for whom it stands and with which role, if it is one, nobody has used it, and it has not ended at `now_ms`.
    /// Of several that come with the same ticket at once, in one process or in many, one gets the answer.
    pub async fn redeem(&self, ticket: &str, now_ms: i64) -> Result<Option<TicketHolder>, StoreError> {
        if !is_secret(ticket) {
            return Ok(None);
        }
        let ticket_hash = hash(ticket);
        // Looked up first, without waiting: made-up tickets must not keep the one writer busy.
        let is_known = query("SELECT 1 FROM stream_tickets WHERE ticket_hash = $1")
            .bind(&ticket_hash)
            .fetch_optional(self.store.readers())
            .await?
            .is_some();
        if !is_known {
            return Ok(None);
        }
        let taken = self
            .store
            .write::<_, StoreError, _>(async |tx| {
                query(
                    "DELETE FROM stream_tickets WHERE ticket_hash = $1 RETURNING tenant, owner, role, valid_until, expires_at",
                )
                .bind(&ticket_hash)
                .fetch_optional(tx.connection())
                .await
            })
            .await?;
        let Some(row) = taken else { return Ok(None) };
        if row.try_get::<i64>("expires_at")? <= now_ms {
            return Ok(None);
        }
        Ok(Some(TicketHolder {
            owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
            role: row.try_get("role")?,
            valid_until_ms: row.try_get("valid_until")?,
        }))
    }
}
