//! `aggregation/aggregate`: what was seen of a publisher, summed by hour, day, week or month of its own clock.
//!
//! Observations are read page by page and summed on a thread of their own; the sums replace all rows of the range in one transaction behind the
//! job's fence. A job that finds that another has replaced rows of the same publisher since it began to read reads again, so that what
//! stands there at the end was read last.

mod error;
mod sums;

use std::sync::Arc;

use bulrush::{Context, JobResult};
use bulrush_catalog::jobs::{Aggregate, AggregateResult, Granularity};
use bulrush_store::{EntityKind, NewEntity, Owner, Replaced, Scope};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::Dependencies;
use crate::rollup::{Span, spans};
pub(crate) use error::AggregateError;
use sums::Sums;

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "aggregation/aggregate";

/// How often a job reads again because another was faster.
const ROUNDS: u32 = 5;

/// Makes the sums.
pub(crate) async fn run(deps: Dependencies, payload: Aggregate, ctx: Context) -> JobResult<AggregateResult> {
    let error = match aggregate(&deps, &payload, &ctx).await {
        Ok(result) => return Ok(result),
        Err(error) => error,
    };
    if !matches!(error, AggregateError::Stopped) {
        tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), %error, cause = error.root_cause(), "nothing was summed");
        ctx.log(format!("not summed: {error}"));
    }
    Err(error.into_failure())
}

/// What is summed.
struct Asked {
    scope: Scope,
    owner: Owner,
    publisher: String,
    granularity: Granularity,
    /// The days of whole buckets.
    days: (Date, Date),
    zone_name: String,
    spans: Arc<[Span]>,
    notes: Vec<String>,
}

async fn aggregate(
    deps: &Dependencies,
    payload: &Aggregate,
    ctx: &Context,
) -> Result<AggregateResult, AggregateError> {
    let asked = look_up(deps, payload, ctx).await?;
    let (store, granularity) = (&deps.store, asked.granularity.as_str());
    for round in 0..ROUNDS {
        let version = store.rollups().version(&asked.publisher, granularity).await?;
        ctx.progress(5, "reading");
        let of = (&asked.scope, asked.publisher.as_str());
        let sums = sums::of_publisher(store, of, asked.spans.clone(), ctx).await?;
        ctx.progress(90, format!("keeping {} rows", sums.rows.len()));
        let result = result(&asked, &sums);
        let kept = tokio::select! {
            biased;
            _ = ctx.stopped() => return Err(AggregateError::Stopped),
            kept = keep(deps, ctx, &asked, version, &sums, &result) => kept?,
        };
        if kept == Replaced::Yes {
            ctx.progress(100, format!("{} observations in {} buckets", sums.observations, sums.buckets));
            tracing::info!(job = %ctx.id(), observations = sums.observations, rows = sums.rows.len(), granularity, "summed");
            return Ok(result);
        }
        tracing::debug!(job = %ctx.id(), round, "another job has summed this publisher meanwhile; reading again");
    }
    Err(AggregateError::Crowded)
}

/// Finds the publisher and lays out the buckets.
async fn look_up(deps: &Dependencies, payload: &Aggregate, ctx: &Context) -> Result<Asked, AggregateError> {
    let owner = ctx.spec().owner.as_deref().ok_or(AggregateError::NoOwner)?;
    // Whoever may name another user has named whose data it is; the result is the job's owner's.
    let scope = Scope::owner(&owner.tenant, &payload.user_id);
    let id = &payload.publisher_id;
    let found = deps.store.entities().get(&scope, id).await?.map(|found| found.entity);
    let found = found.filter(|found| found.kind == EntityKind::Publisher);
    let entity = found.ok_or_else(|| AggregateError::NotFound { id: id.clone() })?;
    let zone = time_zone(&entity)?;
    let days = payload.start_date.zip(payload.end_date);
    let (first, last) = days.unwrap_or_else(|| {
        let last = day_before(&zone, moment(deps, ctx));
        // One more: where clocks are set, the calendar may have gone on by two days since the last slot.
        (last.yesterday().unwrap_or(last), last)
    });
    let granularity = payload.granularity;
    let days = granularity.widen(first, last);
    let mut notes = Vec::new();
    if days != (first, last) {
        let name = granularity.as_str();
        notes.push(format!(
            "summed whole {name}s, from {} to {}: {first} or {last} is in the middle of one",
            days.0, days.1
        ));
    }
    Ok(Asked {
        scope,
        owner: Owner::new(&owner.tenant, &owner.user),
        publisher: entity.id,
        granularity,
        days,
        zone_name: entity.time_zone.unwrap_or_else(|| "UTC".to_owned()),
        spans: spans(&zone, granularity, first, last)?.into(),
        notes,
    })
}

/// Without a zone of its own a publisher's days are those of UTC, as its upload's dates are.
fn time_zone(entity: &NewEntity) -> Result<TimeZone, AggregateError> {
    let Some(name) = entity.time_zone.as_deref() else { return Ok(TimeZone::UTC) };
    TimeZone::get(name).map_err(|_| AggregateError::TimeZone {
        id: entity.id.clone(),
        seen: name.chars().take(64).collect(),
    })
}

/// The moment that a job without days is about: its slot, whenever it is run.
fn moment(deps: &Dependencies, ctx: &Context) -> Timestamp {
    let slot = ctx.spec().schedule.as_ref().and_then(|schedule| i64::try_from(schedule.slot).ok());
    slot.and_then(|slot| Timestamp::from_millisecond(slot).ok()).unwrap_or_else(|| deps.now())
}

fn day_before(zone: &TimeZone, at: Timestamp) -> Date {
    let today = zone.to_datetime(at).date();
    today.yesterday().unwrap_or(today)
}

/// Puts the sums in the place of those that were there, with the result of the job, unless another run of the job has written since.
async fn keep(
    deps: &Dependencies,
    ctx: &Context,
    asked: &Asked,
    version: i64,
    sums: &Sums,
    result: &AggregateResult,
) -> Result<Replaced, AggregateError> {
    let document = serde_json::to_value(result).map_err(|error| AggregateError::Broken(error.to_string()))?;
    let (Some(first), Some(last)) = (asked.spans.first(), asked.spans.last()) else {
        // Days that the zone left out: there is nothing to replace.
        return put_result(deps, ctx, asked, &document).await;
    };
    let span_ms = (first.start_ms, last.end_ms);
    let (store, token) = (&deps.store, ctx.token());
    let of = (asked.publisher.as_str(), asked.granularity.as_str());
    let kept = store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            let replaced = store.rollups().replace(tx, of, span_ms, version, &sums.rows).await?;
            if replaced == Replaced::Yes {
                store.results().put(tx, &asked.owner, RESULT_KIND, &document).await?;
            }
            Ok::<_, AggregateError>(replaced)
        })
        .await;
    match kept {
        // It was there when the job began.
        Err(AggregateError::Store(bulrush_store::StoreError::MissingReference(_))) => {
            Err(AggregateError::NotFound { id: asked.publisher.clone() })
        }
        kept => kept,
    }
}

async fn put_result(
    deps: &Dependencies,
    ctx: &Context,
    asked: &Asked,
    document: &serde_json::Value,
) -> Result<Replaced, AggregateError> {
    let (store, token) = (&deps.store, ctx.token());
    store
        .fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce(), async |tx| {
            store.results().put(tx, &asked.owner, RESULT_KIND, document).await?;
            Ok(Replaced::Yes)
        })
        .await
}

fn result(asked: &Asked, sums: &Sums) -> AggregateResult {
    let (start_date, end_date) = asked.days;
    let mut notes = asked.notes.clone();
    if sums.observations == 0 {
        notes.push(format!("nothing was observed from {start_date} to {end_date}, so there are no sums"));
    }
    AggregateResult {
        success: true,
        publisher_id: asked.publisher.clone(),
        granularity: asked.granularity,
        start_date,
        end_date,
        time_zone: asked.zone_name.clone(),
        observations: sums.observations,
        buckets: sums.buckets,
        rows: sums.rows.len() as u64,
        metrics: sums.metrics.iter().map(ToString::to_string).collect(),
        notes,
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn the_day_before_is_that_of_the_publisher_s_calendar() {
        let day = |zone: &str, at: &str| day_before(&TimeZone::get(zone).unwrap(), at.parse().unwrap());
        assert_eq!(day("UTC", "2026-03-01T01:00Z"), date(2026, 2, 28));
        assert_eq!(day("Pacific/Auckland", "2026-03-01T12:00Z"), date(2026, 3, 1));
        assert_eq!(day("America/Los_Angeles", "2026-03-01T01:00Z"), date(2026, 2, 27));
    }
}
