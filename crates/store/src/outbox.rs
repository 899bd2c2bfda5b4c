//! Jobs that are added in the same transaction as the data that they are about.
//!
//! A program writes the job beside its data ([`Outbox::put`]) and adds it to the engine once the transaction is committed, under an identifier
//! made from the row's (so that adding twice is adding once), and marks the row ([`Outbox::mark`]). A relay, which belongs to the scheduler,
//! does the same for rows that are left ([`Outbox::pending`]): whoever dies in between leaves the row to the next. What can never become a job
//! is kept with the reason ([`Outbox::refuse`]).

use std::fmt::Write as _;
use std::sync::atomic::{AtomicI64, Ordering};

use crate::db::{DbRow, query};
use crate::ids::{new_id, now_ms};
use crate::{Store, StoreError, WriteTx};

/// Rows that are taken at once, at most.
const PAGE_MAX: usize = 1_000;

/// A job that is to be added.
#[derive(Debug, Clone, PartialEq)]
pub struct OutboxRow {
    /// Its identifier.
    pub id: String,
    /// The queue that the job is for.
    pub queue: String,
    /// The job, JSON text, as the program that wrote it and the relay agree.
    pub job: String,
    /// When it was written, ms since 1970.
    pub created_at_ms: i64,
    place: i64,
}

impl OutboxRow {
    /// Where it stands.
    pub fn place(&self) -> OutboxPlace {
        OutboxPlace { place: self.place, id: self.id.clone() }
    }
}

/// The place of a row among all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxPlace {
    place: i64,
    id: String,
}

/// A row that can never become a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// Its identifier.
    pub id: String,
    /// The queue that it names.
    pub queue: String,
    /// The job, as it was written.
    pub job: String,
    /// Why it was refused.
    pub reason: String,
    /// When, ms since 1970.
    pub refused_at_ms: i64,
}

/// How far the relay is behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutboxLag {
    /// Rows whose jobs are not added yet, and may be.
    pub unsent: u64,
    /// When the oldest of them was written, ms since 1970.
    pub oldest_at_ms: Option<i64>,
}

/// The table of jobs to be added.
#[derive(Debug, Clone, Copy)]
pub struct Outbox<'s> {
    store: &'s Store,
}

impl<'s> Outbox<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Writes down that `job` is to be added to `queue` if the transaction commits; returns the row's identifier.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for an empty queue.
    pub async fn put(
        &self,
        tx: &mut WriteTx,
        queue: &str,
        job: &serde_json::Value,
    ) -> Result<String, StoreError> {
        let id = new_id()?;
        query("INSERT INTO outbox (id, place, queue, job, created_at) VALUES ($1, $2, $3, $4, $5)")
            .bind(&id)
            .bind(next_place())
            .bind(queue)
            .bind(job.to_string())
            .bind(now_ms())
            .execute(tx.connection())
            .await?;
        Ok(id)
    }

    /// Up to `limit` rows (1,000 at most) whose jobs are not added yet, the oldest first, after `after`. Nobody is kept from reading the same
    /// ones.
    pub async fn pending(
        &self,
        after: Option<&OutboxPlace>,
        limit: u32,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        query(
            "SELECT id, place, queue, job, created_at FROM outbox \
             WHERE added_at IS NULL AND refused_at IS NULL AND (place, id) > ($1, $2) ORDER BY place, id LIMIT $3",
        )
        .bind(after.map_or(i64::MIN, |after| after.place))
        .bind(after.map_or("", |after| after.id.as_str()))
        .bind(i64::from(limit).min(PAGE_MAX as i64))
        .fetch_all(self.store.readers())
        .await?
        .iter()
        .map(read)
        .collect()
    }

    /// Marks the rows `ids` as added at `now_ms`; returns how many were not marked before.
    pub async fn mark(&self, tx: &mut WriteTx, ids: &[String], now_ms: i64) -> Result<u64, StoreError> {
        let mut marked = 0;
        // SQLite looks each place up by walking all of them.
        for page in ids.chunks(300) {
            let mut places = String::new();
            for number in 2..page.len() + 2 {
                // Writing to a string cannot fail.
                let _ = write!(places, "{}${number}", if number == 2 { "" } else { ", " });
            }
            let sql = format!("UPDATE outbox SET added_at = $1 WHERE added_at IS NULL AND id IN ({places})");
            let mut update = query(sqlx::AssertSqlSafe(sql)).kept(false).bind(now_ms);
            for id in page {
                update = update.bind(id);
            }
            marked += update.execute(tx.connection()).await?;
        }
        Ok(marked)
    }

    /// Says that the row `id` can never become a job, and why. Returns whether it was still to be added.
    pub async fn refuse(&self, id: &str, reason: &str, now_ms: i64) -> Result<bool, StoreError> {
        self.store
            .write(async |tx| {
                let done = query(
                    "UPDATE outbox SET refused_at = $2, reason = $3 WHERE id = $1 AND added_at IS NULL AND refused_at IS NULL",
                )
                .bind(id)
                .bind(now_ms)
                .bind(reason)
                .execute(tx.connection())
                .await?;
                Ok(done == 1)
            })
            .await
    }

    /// Up to `limit` rows that can never become jobs, the latest first.
    pub async fn refused(&self, limit: u32) -> Result<Vec<RefusedRow>, StoreError> {
        query(
            "SELECT id, queue, job, reason, refused_at FROM outbox WHERE refused_at IS NOT NULL \
             ORDER BY refused_at DESC, id LIMIT $1",
        )
        .bind(i64::from(limit))
        .fetch_all(self.store.readers())
        .await?
        .iter()
        .map(|row| {
            let reason: Option<String> = row.try_get("reason")?;
            Ok(RefusedRow {
                id: row.try_get("id")?,
                queue: row.try_get("queue")?,
                job: row.try_get("job")?,
                reason: reason.unwrap_or_default(),
                refused_at_ms: row.try_get("refused_at")?,
            })
        })
        .collect()
    }

    /// How far the relay is behind.
    pub async fn lag(&self) -> Result<OutboxLag, StoreError> {
        let row = query(
            "SELECT count(*) AS unsent, min(created_at) AS oldest FROM outbox WHERE added_at IS NULL AND refused_at IS NULL",
        )
        .fetch_one(self.store.readers())
        .await?;
        let unsent: i64 = row.try_get("unsent")?;
        Ok(OutboxLag { unsent: unsent.unsigned_abs(), oldest_at_ms: row.try_get("oldest")? })
    }

    /// Forgets up to `limit` rows whose jobs were added before `before_ms`; returns how many.
    pub async fn forget(&self, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.forget_by("added_at", before_ms, limit).await
    }

    /// Forgets up to `limit` rows that were refused before `before_ms`; returns how many.
    pub async fn forget_refused(&self, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.forget_by("refused_at", before_ms, limit).await
    }

    async fn forget_by(&self, column: &'static str, before_ms: i64, limit: u32) -> Result<u64, StoreError> {
        self.store
            .write(async |tx| {
                let sql = format!(
                    "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox WHERE {column} < $1 ORDER BY {column} LIMIT $2 {})",
                    tx.skip_locked()
                );
                query(sqlx::AssertSqlSafe(sql))
                    .bind(before_ms)
                    .bind(i64::from(limit))
                    .execute(tx.connection())
                    .await
            })
            .await
    }
}

/// Microseconds since 1970, greater than any before in this process.
fn next_place() -> i64 {
    static LAST: AtomicI64 = AtomicI64::new(0);
    let now = now_ms().saturating_mul(1_000);
    let before = LAST.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(now.max(last + 1)));
    // The update never declines.
    now.max(before.unwrap_or(0) + 1)
}

fn read(row: &DbRow) -> Result<OutboxRow, StoreError> {
    Ok(OutboxRow {
        id: row.try_get("id")?,
        place: row.try_get("place")?,
        queue: row.try_get("queue")?,
        job: row.try_get("job")?,
        created_at_ms: row.try_get("created_at")?,
    })
}
