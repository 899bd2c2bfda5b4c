//! The result document of any job.
//!
//! A job writes it here, behind its fence, before it is settled in the engine: so a completed job has its result, and the
//! result is that of the run that completed it.

use crate::db::query;
use crate::ids::now_ms;
use crate::{FencedTx, Owner, Scope, Store, StoreError};

/// A stored result.
#[derive(Debug, Clone, PartialEq)]
pub struct JobResult {
    /// The job.
    pub job: String,
    /// Whose it is.
    pub owner: Owner,
    /// What kind of job made it: its queue and name.
    pub kind: String,
    /// The run that wrote it.
    pub run: i64,
    /// What it says.
    pub document: serde_json::Value,
    /// When it was last written, ms since 1970.
    pub updated_at_ms: i64,
}

/// The table of results.
#[derive(Debug, Clone, Copy)]
pub struct Results<'s> {
    store: &'s Store,
}

impl<'s> Results<'s> {
    pub(crate) fn new(store: &'s Store) -> Self {
        Self { store }
    }

    /// Keeps `document` as the result of the job that `tx` belongs to, in place of an earlier one.
    pub async fn put(
        &self,
        tx: &mut FencedTx,
        owner: &Owner,
        kind: &str,
        document: &serde_json::Value,
    ) -> Result<(), StoreError> {
        let (job, run) = (tx.job().to_owned(), tx.run());
        query(
            "INSERT INTO results (job, tenant, owner, kind, run, document, created_at, updated_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7) \
             ON CONFLICT (job) DO UPDATE SET tenant = excluded.tenant, owner = excluded.owner, kind = excluded.kind, \
                 run = excluded.run, document = excluded.document, updated_at = excluded.updated_at",
        )
        .bind(job)
        .bind(&owner.tenant)
        .bind(&owner.user)
        .bind(kind)
        .bind(run)
        .bind(document.to_string())
        .bind(now_ms())
        .execute(tx.connection())
        .await?;
        Ok(())
    }

    /// The result of `job`, if it has one that `scope` may see.
    pub async fn get(&self, scope: &Scope, job: &str) -> Result<Option<JobResult>, StoreError> {
        let sql = format!(
            "SELECT job, tenant, owner, kind, run, document, updated_at FROM results WHERE {} AND job = $3",
            scope.condition()
        );
        let Some(row) = query(sqlx::AssertSqlSafe(sql))
            .bind(scope.tenant())
            .bind(scope.user())
            .bind(job)
            .fetch_optional(self.store.readers())
            .await?
        else {
            return Ok(None);
        };
        let document: String = row.try_get("document")?;
        Ok(Some(JobResult {
            job: row.try_get("job")?,
            owner: Owner { tenant: row.try_get("tenant")?, user: row.try_get("owner")? },
            kind: row.try_get("kind")?,
            run: row.try_get("run")?,
            document: serde_json::from_str(&document)
                .map_err(|_| StoreError::unreadable("results", "document", &document))?,
            updated_at_ms: row.try_get("updated_at")?,
        }))
    }
}
