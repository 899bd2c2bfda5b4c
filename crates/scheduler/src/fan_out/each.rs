//! The way through all things of a fan-out: page by page, from where the run before has come to.

use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{NewJob, Progress};
use bulrush::{Context, Failure, JobResult, Queue};
use bulrush_catalog::jobs::FanOutResult;
use bulrush_catalog::jobs::fan_out_prices::ComeTo;
use bulrush_store::{Entity, EntityKind, NewEntity, Scope, StoreError};

use super::{add, one_of};
use crate::Dependencies;

/// Things of a page, whose jobs are added in one call.
const PAGE: u32 = 200;

/// What a fan-out is about.
#[derive(Debug, Clone, Copy)]
pub(super) enum Things {
    /// Properties that have competitors declared.
    PropertiesWithCompetitors,
    /// Publishers.
    Publishers,
}

impl Things {
    async fn page(self, deps: &Dependencies, after: Option<&str>) -> Result<Vec<Entity>, StoreError> {
        match self {
            Self::PropertiesWithCompetitors => deps.store.competitors().properties(after, PAGE).await,
            Self::Publishers => {
                deps.store.entities().list(&Scope::All, EntityKind::Publisher, after, PAGE).await
            }
        }
    }
}

/// Adds to `queue` the job that `job_of` makes for each thing and the moment that all of them are about, ms since 1970; none: there is nothing
/// to ask. `data_of` is the fan-out's own data with how far it has come.
pub(super) async fn each(
    (deps, ctx, queue): (&Dependencies, &Context, &Queue),
    things: Things,
    come_to: Option<ComeTo>,
    job_of: impl Fn(i64, &NewEntity) -> JobResult<Option<NewJob>>,
    data_of: impl Fn(ComeTo) -> serde_json::Result<Vec<u8>>,
) -> JobResult<FanOutResult> {
    let (at_ms, mut after, mut done) = match come_to {
        Some(ComeTo { at_ms, after, so_far }) => (at_ms, Some(after), so_far),
        None => (moment(ctx), None, FanOutResult::default()),
    };
    loop {
        let page = things.page(deps, after.as_deref()).await.map_err(failure)?;
        let is_last = page.len() < PAGE as usize;
        let last = page.last().map(|last| last.entity.id.clone());
        done.looked_at += page.len() as u64;
        let mut jobs = Vec::with_capacity(page.len());
        for thing in page.into_iter().map(|row| row.entity) {
            let Some(job) = job_of(at_ms, &thing)? else {
                done.absent += 1;
                continue;
            };
            let job = job.owner(thing.owner.tenant.as_str(), thing.owner.user.as_str());
            jobs.push(one_of(ctx, queue, &thing.id, job));
        }
        done.jobs += add(queue, jobs).await?;
        if is_last {
            tracing::info!(job = %ctx.id(), ?things, jobs = done.jobs, absent = done.absent, "each has its job");
            return Ok(done);
        }
        if let Some(after) = last.clone() {
            ctx.set_data(data_of(ComeTo { at_ms, after, so_far: done })?.into()).await?;
        }
        after = last;
        // How many there are is not known.
        let message = Some(format!("{} jobs", done.jobs));
        ctx.progress_with(Progress { percent: 50, message, data: None });
    }
}

fn failure(error: StoreError) -> Failure {
    if error.is_transient() { Failure::retry(error) } else { Failure::unrecoverable(error) }
}

/// The moment that all of its jobs are about: the slot, whenever it is run.
fn moment(ctx: &Context) -> i64 {
    let slot = ctx.spec().schedule.as_ref().map(|schedule| schedule.slot);
    i64::try_from(slot.unwrap_or_else(|| SystemClock.now())).unwrap_or(i64::MAX)
}
