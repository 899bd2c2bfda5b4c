//! Jobs that are kept together with the data that they are about.
//!
//! The job is written beside the data in their transaction ([`write`]) and handed to the engine afterwards ([`hand_over`]). Whoever dies in
//! between, or finds the engine away, loses nothing: the scheduler's relay hands over what is left, under the same id.

use bulrush_catalog::{OutboxJob, Queue};
use bulrush_store::{StoreError, WriteTx, now_ms};
use serde_json::Value;

use crate::http::problem::Problem;
use crate::jobs::enqueue::enqueue;
use crate::state::Deps;

/// Writes down that `job` is to be added to `queue` if the transaction commits; returns the row's identifier.
pub async fn write(deps: &Deps, tx: &mut WriteTx, queue: &str, job: &OutboxJob) -> Result<String, Problem> {
    let value: Value = serde_json::to_value(job).map_err(|error| Problem::internal(&error))?;
    Ok(deps.store.outbox().put(tx, queue, &value).await?)
}

/// Adds the job of a row whose transaction is committed, and returns its id. That it cannot be added now is no trouble of the caller's: it
/// will be.
pub async fn hand_over(deps: &Deps, queue: &Queue, job: OutboxJob, row: &str) -> String {
    let id = OutboxJob::id(queue, row).to_string();
    let done: Result<(), Problem> = async {
        enqueue(deps, queue, job.into_job(queue, row)).await?;
        let ids = [row.to_owned()];
        deps.store
            .write::<_, StoreError, _>(async |tx| deps.store.outbox().mark(tx, &ids, now_ms()).await)
            .await?;
        Ok(())
    }
    .await;
    if let Err(problem) = done {
        tracing::warn!(row, job = id, %problem, "a job stays in the outbox; the scheduler adds it");
    }
    id
}
