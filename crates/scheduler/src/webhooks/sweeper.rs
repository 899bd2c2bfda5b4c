//! What was left lying: deliveries whose job was never added, deliveries whose job has ended without a word, and what is too old to be kept.

use bulrush::Producer;
use bulrush::model::{JobId, JobState};
use bulrush_catalog::jobs::DeliverWebhook;
use bulrush_store::{Delivery, now_ms};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use super::deliveries;
use super::error::RelayError;
use super::relay::{claim, name};
use crate::Dependencies;
use crate::pause::{Pause, sleep, spread};

/// What the sweeping instance has claimed.
const SUBJECT: &str = "webhooks:sweeper";
/// Deliveries of a page.
const PAGE: u32 = 200;
/// Pages of one pass: behind a receiver that is slow, many deliveries are overdue and have their jobs.
const PAGES: usize = 50;
/// How long settled deliveries are kept.
const KEPT: Duration = Duration::from_hours(30 * 24);
/// Between two looks at what is too old.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Deliveries that are forgotten in one transaction.
const FORGET_AT_ONCE: u32 = 1_000;

/// Sweeps until it is to stop.
pub(crate) async fn run(deps: Dependencies, stop: CancellationToken) {
    let mut pause = Pause::up_to(deps.pace.trouble);
    let Some(holder) = name(&stop).await else { return };
    let (mut from, mut forgotten): (Option<(i64, String)>, Option<Instant>) = (None, None);
    while sleep(spread(deps.pace.sweep), &stop).await {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = pass(&deps, &holder, &mut from, &mut forgotten) => done,
        };
        match done {
            Ok(()) => pause.reset(),
            Err(error) => {
                if !pause.is_troubled() {
                    tracing::warn!(%error, "deliveries of webhooks cannot be looked after now; trying again");
                }
                if !pause.wait(&stop).await {
                    return;
                }
            }
        }
    }
}

/// One pass over what is overdue, from where the last one stopped.
async fn pass(
    deps: &Dependencies,
    holder: &str,
    from: &mut Option<(i64, String)>,
    forgotten: &mut Option<Instant>,
) -> Result<(), RelayError> {
    if !claim(deps, SUBJECT, holder).await? {
        return Ok(());
    }
    let overdue_ms = i64::try_from(deps.pace.overdue.as_millis()).unwrap_or(i64::MAX);
    let before_ms = now_ms().saturating_sub(overdue_ms);
    for _ in 0..PAGES {
        let after = from.as_ref().map(|(ms, id)| (*ms, id.as_str()));
        let rows = deps.store.webhook_deliveries().overdue(before_ms, after, PAGE).await?;
        *from = rows.last().and_then(|last| Some((last.next_at_ms?, last.id.clone())));
        if rows.is_empty() {
            break;
        }
        look_after(deps, &rows).await?;
    }
    if forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
        forget(deps).await?;
        *forgotten = Some(Instant::now());
    }
    Ok(())
}

/// Adds the jobs that are missing, and gives up what has no job any more that would say so itself.
async fn look_after(deps: &Dependencies, rows: &[Delivery]) -> Result<(), RelayError> {
    let queue = deliveries(&deps.catalog)?;
    let payloads: Vec<DeliverWebhook> =
        rows.iter().map(|row| DeliverWebhook { delivery_id: row.id.clone(), round: row.round }).collect();
    let ids: Vec<JobId> = payloads.iter().map(|payload| payload.job_id(queue)).collect();
    let found = deps.backend.get(queue.name(), &ids).await?;
    let mut missing = Vec::new();
    for ((row, payload), job) in rows.iter().zip(&payloads).zip(found) {
        let Some(job) = job else {
            missing.push(payload.job(queue, &row.webhook));
            continue;
        };
        let why = match job.state() {
            JobState::Failed => job.failed_reason().unwrap_or("its job failed").to_owned(),
            JobState::Cancelled => "its job was cancelled".to_owned(),
            JobState::Completed => "its job ended without sending it".to_owned(),
            // It waits for its turn, or for its receiver.
            _ => continue,
        };
        if deps.store.webhook_deliveries().give_up(&row.id, row.round, &why).await? {
            tracing::warn!(delivery = row.id, job = %job.id(), why, "a delivery is given up");
        }
    }
    if !missing.is_empty() {
        let count = missing.len();
        Producer::new(&deps.backend, queue.name().clone()).add_bulk(missing).await?;
        tracing::info!(deliveries = count, "deliveries that were left without a job have one again");
    }
    Ok(())
}

/// Forgets what is too old.
async fn forget(deps: &Dependencies) -> Result<(), RelayError> {
    let now_ms = now_ms();
    deps.store.webhooks().forget_old_secrets(now_ms).await?;
    let before_ms = now_ms.saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
    let mut all = 0;
    loop {
        let some = deps.store.webhook_deliveries().forget(before_ms, FORGET_AT_ONCE).await?;
        all += some;
        if some < u64::from(FORGET_AT_ONCE) {
            break;
        }
    }
    if all > 0 {
        tracing::info!(deliveries = all, "old deliveries were forgotten");
    }
    Ok(())
}
