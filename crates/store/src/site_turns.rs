//! Whose turn it is at a site of the outside world: the pause between two requests, kept by all processes on one database.

use crate::db::query;
use crate::{Store, StoreError, WriteTx};

/// Longest time that a site can be held, ms. A turn beyond it is of a clock that was wrong, and counts as free.
const HELD_MS_MAX: i64 = 2 * 60 * 60 * 1_000;

/// An answer to who asks for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It is theirs at this time, ms since 1970, and nobody else's until the pause after it.
    At(i64),
    /// There is none soon enough; ask again at this time, ms since 1970.
    NotBefore(i64),
}

/// The table of turns.
#[derive(Debug, Clone, Copy)]
pub struct SiteTurns<'s> {
    store: &'s Store,
}

impl<'s> SiteTurns<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Takes the next turn at `site` if it comes within `patience_ms`, and lets the one after it come `pause_ms` later.
    pub async fn take(
        &self,
        site: &str,
        now_ms: i64,
        pause_ms: i64,
        patience_ms: i64,
    ) -> Result<Turn, StoreError> {
        let bogus_ms = now_ms.saturating_add(HELD_MS_MAX);
        self.store
            .write(async |tx| {
                let next = query(
                    "INSERT INTO site_turns (site, next_at) VALUES ($1, $2 + $3) \
                     ON CONFLICT (site) DO UPDATE SET next_at = $3 + CASE \
                         WHEN site_turns.next_at > $2 AND site_turns.next_at <= $5 THEN site_turns.next_at ELSE $2 END \
                     WHERE site_turns.next_at <= $2 + $4 OR site_turns.next_at > $5 RETURNING next_at",
                )
                .bind(site)
                .bind(now_ms)
                .bind(pause_ms)
                .bind(patience_ms)
                .bind(bogus_ms)
                .fetch_optional(tx.connection())
                .await?;
                if let Some(next) = next {
                    return Ok(Turn::At(next.first::<i64>()?.saturating_sub(pause_ms)));
                }
                let next = query("SELECT next_at FROM site_turns WHERE site = $1")
                    .bind(site)
                    .fetch_one(tx.connection())
                    .await?;
                Ok(Turn::NotBefore(next.first()?))
            })
            .await
    }

    /// Lets nobody have a turn at `site` before `until_ms`, which is bounded to two hours from `now_ms`.
    pub async fn hold(&self, site: &str, now_ms: i64, until_ms: i64) -> Result<(), StoreError> {
        let bogus_ms = now_ms.saturating_add(HELD_MS_MAX);
        self.store
            .write(async |tx| {
                query(
                    "INSERT INTO site_turns (site, next_at) VALUES ($1, $2) \
                     ON CONFLICT (site) DO UPDATE SET next_at = excluded.next_at \
                     WHERE site_turns.next_at < excluded.next_at OR site_turns.next_at > $3",
                )
                .bind(site)
                .bind(until_ms.min(bogus_ms))
                .bind(bogus_ms)
                .execute(tx.connection())
                .await?;
                Ok(())
            })
            .await
    }

    /// Forgets up to `limit` sites whose last turn was before `before_ms`; returns how many.
    pub async fn forget(&self, tx: &mut WriteTx, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        let done = query(
            "DELETE FROM site_turns WHERE next_at < $1 AND site IN \
             (SELECT site FROM site_turns WHERE next_at < $1 ORDER BY next_at LIMIT $2)",
        )
        .bind(before_ms)
        .bind(i64::from(limit))
        .execute(tx.connection())
        .await?;
        Ok(done)
    }
}
