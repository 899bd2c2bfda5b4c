//! The fence of each job: which of its runs may write.
//!
//! A worker that lost its lease does not know it yet. Its writes must not land after, or over, those of the worker that has
//! the job now. So each write transaction of a job begins by claiming the job's row here, and a run that was overtaken finds
//! that it cannot.

use crate::db::query;
use crate::ids::now_ms;
use crate::tx::WriteTx;
use crate::{FenceError, StoreError};

/// Claims `job` for `run` and `nonce` within `tx`, or says who holds it.
pub(crate) async fn pass(tx: &mut WriteTx, job: &str, run: i64, nonce: &str) -> Result<(), FenceError> {
    let claimed = query(
        "INSERT INTO job_fences (job, run, nonce, updated_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (job) DO UPDATE SET run = excluded.run, nonce = excluded.nonce, updated_at = excluded.updated_at \
         WHERE job_fences.run < excluded.run OR (job_fences.run = excluded.run AND job_fences.nonce = excluded.nonce)",
    )
    .bind(job)
    .bind(run)
    .bind(nonce)
    .bind(now_ms())
    .execute(tx.connection())
    .await?;
    if claimed == 1 {
        return Ok(());
    }
    // The row stays: a conflict locks it, even where it is not updated.
    let current = query("SELECT run FROM job_fences WHERE job = $1")
        .bind(job)
        .fetch_one(tx.connection())
        .await?
        .first()?;
    Err(FenceError::Stale { job: job.to_owned(), run, current })
}

/// Forgets up to `limit` fences that no run has passed since `before_ms`; returns how many. The age must exceed the longest
/// time for which a worker that lost its job could still be running.
pub async fn forget_fences(tx: &mut WriteTx, before_ms: i64, limit: i64) -> Result<u64, StoreError> {
    // The age is looked at again at each row: a run may have passed it since.
    let sql = format!(
        "DELETE FROM job_fences WHERE updated_at < $1 AND job IN \
         (SELECT job FROM job_fences WHERE updated_at < $1 ORDER BY updated_at LIMIT $2 {})",
        tx.skip_locked()
    );
    let done = query(sqlx::AssertSqlSafe(sql)).bind(before_ms).bind(limit).execute(tx.connection()).await?;
    Ok(done)
}
