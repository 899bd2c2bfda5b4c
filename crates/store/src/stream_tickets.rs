//! Tickets for streams: each opens one, once, within its time, at whichever process it is shown.

use sha2::{Digest as _, Sha256};
use sqlx::Row as _;

use crate::{Owner, Store, StoreError};

/// Expired tickets that are swept with each new one.
const SWEEP: i64 = 100;

/// The table of tickets.
#[derive(Debug, Clone, Copy)]
pub struct StreamTickets<'s> {
    store: &'s Store,
}

/// For whom a ticket was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TicketHolder {
    /// Whose stream it opens.
    pub owner: Owner,
    /// What they may do, in the word of their token.
    pub role: String,
    /// Until when the credentials are good that it was made with, ms.
    pub valid_until_ms: i64,
}

impl<'s> StreamTickets<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Keeps a ticket until `expires_ms`; of its text only a hash.
    pub async fn issue(
        &self,
        ticket: &str,
        holder: &TicketHolder,
        now_ms: i64,
        expires_ms: i64,
    ) -> Result<(), StoreError> {
        self.store
            .write(async |tx| {
                sqlx::query(
                    "DELETE FROM stream_tickets WHERE hash IN \
                     (SELECT hash FROM stream_tickets WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
                )
                .bind(now_ms)
                .bind(SWEEP)
                .execute(tx.connection())
                .await?;
                sqlx::query(
                    "INSERT INTO stream_tickets (hash, tenant, owner, role, valid_until, expires_at) \
                     VALUES ($1, $2, $3, $4, $5, $6)",
                )
                .bind(hash(ticket))
                .bind(&holder.owner.tenant)
                .bind(&holder.owner.user)
                .bind(&holder.role)
                .bind(holder.valid_until_ms)
                .bind(expires_ms)
                .execute(tx.connection())
                .await?;
                Ok(())
            })
            .await
    }

    /// Takes a ticket: whoever shows it next is refused. None if it is unknown, was taken before, or its time is over.
    pub async fn redeem(&self, ticket: &str, now_ms: i64) -> Result<Option<TicketHolder>, StoreError> {
        self.store
            .write(async |tx| {
                let row = sqlx::query(
                    "DELETE FROM stream_tickets WHERE hash = $1 RETURNING tenant, owner, role, valid_until, expires_at",
                )
                .bind(hash(ticket))
                .fetch_optional(tx.connection())
                .await?;
                let Some(row) = row else { return Ok(None) };
                let expires_ms: i64 = row.try_get("expires_at")?;
                if expires_ms <= now_ms {
                    return Ok(None);
                }
                Ok(Some(TicketHolder {
                    owner: Owner::new(row.try_get::<String, _>("tenant")?, row.try_get::<String, _>("owner")?),
                    role: row.try_get("role")?,
                    valid_until_ms: row.try_get("valid_until")?,
                }))
            })
            .await
    }
}

fn hash(ticket: &str) -> String {
    Sha256::digest(ticket.as_bytes()).iter().fold(String::with_capacity(64), |mut text, byte| {
        use std::fmt::Write as _;
        let _ = write!(text, "{byte:02x}");
        text
    })
}
