//! The relay of the outbox: jobs that were written down beside their data come to the engine.
//!
//! Whoever writes a row hands it over itself, once its transaction is committed; what it could not hand over any more, the relay finds. It
//! reads the rows that are left, adds their jobs, and marks them, holding no lock meanwhile: a job's id and key follow from its row
//! ([`OutboxJob`]), so that several relays, one that was killed before it could mark, and the writer itself add one job between them.
//!
//! A row that cannot become a job is kept with the reason and tried no more. A queue that is full keeps its own rows waiting and no others.

use std::collections::{BTreeMap, BTreeSet};

use bulrush::Producer;
use bulrush::model::NewJob;
use bulrush::port::{AddOutcome, Added, Error as EngineError};
use bulrush_catalog::{OutboxJob, Queue};
use bulrush_store::{OutboxLag, OutboxPlace, OutboxRow, StoreError, now_ms};
use tokio::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

use crate::Dependencies;
use crate::pause::{Pause, sleep, spread};

/// Rows that are read at once.
const PAGE: u32 = 200;
/// Pages of one pass: behind a queue that is full many rows may wait.
const PAGES: usize = 50;
/// How long rows are kept whose jobs were added: longer than the engine remembers them.
const ADDED_KEPT: Duration = Duration::from_hours(7 * 24);
/// The same for those that were refused.
const REFUSED_KEPT: Duration = Duration::from_hours(30 * 24);
/// Between two looks at what is too old.
const FORGET_EVERY: Duration = Duration::from_hours(1);
/// Rows that are forgotten in one transaction.
const FORGET_AT_ONCE: u32 = 1_000;

/// Rows and the jobs that come of them.
type Rows = Vec<(String, NewJob)>;

#[derive(Debug, thiserror::Error)]
enum OutboxError {
    #[error("the engine could not do its part: {0}")]
    Engine(#[from] EngineError),
    #[error("the store could not do its part: {0}")]
    Store(#[from] StoreError),
}

/// Relays until it is to stop.
pub(crate) async fn run(deps: Dependencies, stop: CancellationToken) {
    let mut pause = Pause::up_to(deps.pace.trouble);
    let mut state = State::default();
    while sleep(spread(deps.pace.outbox), &stop).await {
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = pass(&deps, &mut state) => done,
        };
        match done {
            Ok(()) => pause.reset(),
            Err(error) => {
                if !pause.is_troubled() {
                    tracing::warn!(%error, "the outbox cannot be relayed now; trying again");
                }
                if !pause.wait(&stop).await {
                    return;
                }
            }
        }
    }
}

/// What is known from one pass to the next.
#[derive(Default)]
struct State {
    /// Where the last one stopped; the beginning, if it came to the end.
    from: Option<OutboxPlace>,
    /// Queues that took no more.
    full: BTreeSet<String>,
    forgotten: Option<Instant>,
}

/// Goes through the rows that are left.
async fn pass(deps: &Dependencies, state: &mut State) -> Result<(), OutboxError> {
    let outbox = deps.store.outbox();
    let (mut full, mut was_any) = (BTreeSet::new(), state.from.is_some());
    for _ in 0..PAGES {
        let rows = outbox.pending(state.from.as_ref(), PAGE).await?;
        let is_last = rows.len() < PAGE as usize;
        was_any |= !rows.is_empty();
        let next = rows.last().map(OutboxRow::place).filter(|_| !is_last);
        relay(deps, rows, &state.full, &mut full).await?;
        state.from = next;
        if is_last {
            break;
        }
    }
    state.full = full;
    // Where nothing was found nothing need be counted: most looks find nothing.
    let lag = if was_any { outbox.lag().await? } else { OutboxLag { unsent: 0, oldest_at_ms: None } };
    deps.outbox.set_lag(lag, now_ms());
    if state.forgotten.is_none_or(|at| at.elapsed() >= FORGET_EVERY) {
        forget(deps).await?;
        state.forgotten = Some(Instant::now());
    }
    Ok(())
}

/// Hands a page of rows over.
async fn relay(
    deps: &Dependencies,
    rows: Vec<OutboxRow>,
    was_full: &BTreeSet<String>,
    full: &mut BTreeSet<String>,
) -> Result<(), OutboxError> {
    let mut jobs: BTreeMap<&str, (&Queue, Rows)> = BTreeMap::new();
    for row in rows {
        match job_of(deps, &row) {
            Ok((queue, job)) => {
                jobs.entry(queue.name().as_str()).or_insert((queue, Vec::new())).1.push((row.id, job));
            }
            Err(reason) => refuse(deps, &row.id, &row.queue, &reason).await?,
        }
    }
    for (queue, rows) in jobs.into_values() {
        let name = queue.name().as_str();
        if full.contains(name) {
            continue;
        }
        let (ids, added) = add(deps, queue, rows).await?;
        let mut done = Vec::new();
        for (id, added) in ids.into_iter().zip(added) {
            match added.map(|added| added.outcome) {
                Ok(AddOutcome::Full { depth_max }) => {
                    if full.insert(name.to_owned()) && !was_full.contains(name) {
                        tracing::warn!(
                            queue = name,
                            depth_max,
                            "jobs of the outbox wait: their queue is full"
                        );
                    }
                }
                // That there is one with its id or its key is what a row that was handed over before looks like.
                Ok(_) => done.push(id),
                Err(reason) => refuse(deps, &id, name, &reason).await?,
            }
        }
        if !done.is_empty() {
            let marked = deps
                .store
                .write::<_, StoreError, _>(async |tx| deps.store.outbox().mark(tx, &done, now_ms()).await)
                .await?;
            deps.outbox.count_added(marked);
            if marked > 0 {
                tracing::info!(queue = name, jobs = marked, "jobs of the outbox were added");
            }
        }
    }
    Ok(())
}

/// The job that a row stands for, or why it is none.
fn job_of<'d>(deps: &'d Dependencies, row: &OutboxRow) -> Result<(&'d Queue, NewJob), String> {
    let queue = deps.catalog.find(&row.queue).map_err(|error| error.to_string())?;
    let job = OutboxJob::from_text(&row.job).map_err(|error| format!("the job cannot be read: {error}"))?;
    queue.job(Some(&job.name), &row.queue).map_err(|error| format!("its name {error}"))?;
    Ok((queue, job.into_job(queue, &row.id)))
}

/// Adds jobs: all at once, or one by one if one of them spoils the rest. Of each what came of it, or why it can never be added.
async fn add(
    deps: &Dependencies,
    queue: &Queue,
    rows: Rows,
) -> Result<(Vec<String>, Vec<Result<Added, String>>), OutboxError> {
    let producer = Producer::new(&deps.backend, queue.name().clone());
    let (ids, jobs): (Vec<String>, Vec<NewJob>) = rows.into_iter().unzip();
    match producer.add_bulk(jobs.clone()).await {
        Ok(added) => return Ok((ids, added.into_iter().map(Ok).collect())),
        Err(error) if !is_about_the_job(&error) => return Err(error.into()),
        Err(_) => {}
    }
    let mut each = Vec::with_capacity(jobs.len());
    for job in jobs {
        each.push(match producer.add(job).await {
            Ok(added) => Ok(added),
            Err(error) if is_about_the_job(&error) => Err(error.to_string()),
            Err(error) => return Err(error.into()),
        });
    }
    Ok((ids, each))
}

/// Whether the engine refuses what it was given, whatever state it is in itself.
fn is_about_the_job(error: &EngineError) -> bool {
    matches!(error, EngineError::Check(_) | EngineError::Bound(_))
}

async fn refuse(deps: &Dependencies, row: &str, queue: &str, reason: &str) -> Result<(), OutboxError> {
    if deps.store.outbox().refuse(row, reason, now_ms()).await? {
        deps.outbox.count_refused();
        tracing::error!(
            row,
            queue,
            reason,
            "a job of the outbox cannot be added; it is kept with the reason"
        );
    }
    Ok(())
}

async fn forget(deps: &Dependencies) -> Result<(), OutboxError> {
    let outbox = deps.store.outbox();
    let before =
        |kept: Duration| now_ms().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX));
    let mut all = 0;
    loop {
        let some = outbox.forget(before(ADDED_KEPT), FORGET_AT_ONCE).await?
            + outbox.forget_refused(before(REFUSED_KEPT), FORGET_AT_ONCE).await?;
        all += some;
        if some < u64::from(FORGET_AT_ONCE) {
            break;
        }
    }
    if all > 0 {
        tracing::info!(rows = all, "old rows of the outbox were forgotten");
    }
    Ok(())
}
