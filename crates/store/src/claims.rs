//! Who is fetching what from the outside world, so that two jobs, in one process or in two, do not fetch the same at once.
//!
//! A job that finds something missing in a cache claims it, fetches it, stores it and releases it. A job that does not get the
//! claim comes back a little later and finds the cache filled, or the claim free again.

use crate::db::query;
use crate::{Store, StoreError};

/// The table of claims.
#[derive(Debug, Clone, Copy)]
pub struct Claims<'s> {
    store: &'s Store,
}

impl<'s> Claims<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Claims `subject` (say `weather:475:-1223`) for `holder` until `until_ms`, if nobody holds it at `now_ms`. A holder that
    /// asks again extends its claim. Returns whether it has it.
    pub async fn take(
        &self,
        subject: &str,
        holder: &str,
        now_ms: i64,
        until_ms: i64,
    ) -> Result<bool, StoreError> {
        self.store
            .write(async |tx| {
                let done = query(
                    "INSERT INTO fetch_claims (subject, holder, expires_at) VALUES ($1, $2, $3) \
                     ON CONFLICT (subject) DO UPDATE SET holder = excluded.holder, expires_at = excluded.expires_at \
                     WHERE fetch_claims.expires_at <= $4 OR fetch_claims.holder = excluded.holder",
                )
                .bind(subject)
                .bind(holder)
                .bind(until_ms)
                .bind(now_ms)
                .execute(tx.connection())
                .await?;
                Ok(done == 1)
            })
            .await
    }

    /// Gives `subject` back, if `holder` still has it.
    pub async fn release(&self, subject: &str, holder: &str) -> Result<(), StoreError> {
        self.store
            .write(async |tx| {
                query("DELETE FROM fetch_claims WHERE subject = $1 AND holder = $2")
                    .bind(subject)
                    .bind(holder)
                    .execute(tx.connection())
                    .await?;
                Ok(())
            })
            .await
    }
}
