//! `enrichment/enrich-property`: weather, holidays and the calendar for every day of a property's price history.
//!
//! The job reads the price history, fills the shared caches from outside, computes the features of every day and writes them
//! together with its result in one transaction behind its fence. Up to that transaction nothing of the property is changed, so
//! it may be stopped, and start again, at any point.

mod calendar;
mod error;
mod holidays;
mod property;
mod weather;

use std::error::Error as _;

use bulrush::{Context, JobResult};
use bulrush_catalog::jobs::{EnrichProperty, EnrichPropertyResult};
use bulrush_store::{DailyWeather, DayFeatures, StoreError};

use crate::Dependencies;
use calendar::Calendar;
pub(crate) use error::EnrichError;
use property::Property;

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "enrichment/enrich-property";

/// Enriches a property.
pub(crate) async fn run(
    deps: Dependencies,
    payload: EnrichProperty,
    ctx: Context,
) -> JobResult<EnrichPropertyResult> {
    let outcome = enrich(&deps, &payload, &ctx).await;
    outcome.map_err(|error| {
        match &error {
            EnrichError::Stopped => {}
            error => {
                let cause = root_cause(error);
                tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), %error, cause, "the property was not enriched");
                ctx.log(format!("not enriched: {error}"));
            }
        }
        error.into_failure()
    })
}

async fn enrich(
    deps: &Dependencies,
    payload: &EnrichProperty,
    ctx: &Context,
) -> Result<EnrichPropertyResult, EnrichError> {
    // Dropped at its next await when somebody asks for it: until the write nothing is lost but time.
    let (property, days, notes) = tokio::select! {
        biased;
        _ = ctx.stopped() => return Err(EnrichError::Stopped),
        gathered = gather(deps, payload, ctx) => gathered?,
    };
    ctx.check().map_err(|_| EnrichError::Stopped)?;

    let count = |has: fn(&DayFeatures) -> bool| days.iter().filter(|day| has(day)).count() as u64;
    let result = EnrichPropertyResult {
        success: true,
        property_id: property.id.clone(),
        days_enriched: days.len() as u64,
        first_day: Some(property.range.first),
        last_day: Some(property.range.last),
        days_with_weather: count(|day| day.weather != DailyWeather::default()),
        public_holidays: count(|day| day.public_holiday.is_some()),
        school_holidays: count(|day| day.school_holiday.is_some()),
        notes,
    };
    ctx.progress(90, format!("writing the features of {}", self::days(days.len())));
    write(deps, ctx, &property, &days, &result).await?;

    for note in &result.notes {
        ctx.log(note);
    }
    ctx.progress(100, format!("{} enriched", self::days(days.len())));
    tracing::info!(
        job = %ctx.id(), days = result.days_enriched, days_with_weather = result.days_with_weather,
        public_holidays = result.public_holidays, school_holidays = result.school_holidays, "property enriched"
    );
    Ok(result)
}

/// Everything but the write: the property, the features of its days, and what they lack.
async fn gather(
    deps: &Dependencies,
    payload: &EnrichProperty,
    ctx: &Context,
) -> Result<(Property, Vec<DayFeatures>, Vec<String>), EnrichError> {
    ctx.progress(2, "reading the price history");
    let mut property = Property::read(&deps.store, ctx, payload).await?;
    let today = holidays::today(deps, &property.time_zone);
    ctx.log(format!(
        "price history: {} with prices from {} to {}",
        days(property.priced_days),
        property.range.first,
        property.range.last
    ));

    let progress = Progress { ctx, from: 10, to: 50 };
    let weather = weather::of(deps, ctx, &progress, &property, today).await?;
    let progress = Progress { ctx, from: 50, to: 80 };
    let key = payload.calendarific_api_key.as_ref();
    let holidays = holidays::of(deps, ctx, &progress, &property, (today, key)).await?;

    ctx.progress(80, "computing the features");
    let calendar = Calendar {
        latitude: property.place.latitude,
        weather: &weather.days,
        public: &holidays.public,
        school: &holidays.school,
    };
    let features = calendar.features(property.range);
    let mut notes = std::mem::take(&mut property.notes);
    notes.extend(weather.notes);
    notes.extend(holidays.notes);
    Ok((property, features, notes))
}

/// Writes the features and the result, all of it or nothing, unless another run of the job has written since.
async fn write(
    deps: &Dependencies,
    ctx: &Context,
    property: &Property,
    days: &[DayFeatures],
    result: &EnrichPropertyResult,
) -> Result<(), EnrichError> {
    let document = serde_json::to_value(result)?;
    let (store, token) = (&deps.store, ctx.token());
    let mut tx = store.begin_fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce()).await?;
    store.features().upsert(&mut tx, &property.id, days).await.map_err(|error| match error {
        StoreError::MissingReference(_) => EnrichError::DeletedMeanwhile { id: property.id.clone() },
        error => error.into(),
    })?;
    store.results().put(&mut tx, &property.owner, RESULT_KIND, &document).await?;
    tx.commit().await?;
    Ok(())
}

/// A stretch of the job's progress.
pub(crate) struct Progress<'a> {
    ctx: &'a Context,
    from: u8,
    to: u8,
}

impl Progress<'_> {
    /// Reports that `done` of `all` steps of the stretch are done, and what comes now.
    fn part(&self, (done, all): (usize, usize), message: String) {
        let width = usize::from(self.to - self.from);
        let percent = usize::from(self.from) + width * done.min(all) / all.max(1);
        self.ctx.progress(u8::try_from(percent).unwrap_or(self.to), message);
    }
}

/// What tells this run of the job from every other one.
fn holder(ctx: &Context) -> String {
    format!("{}/{}", ctx.id(), ctx.token())
}

/// So many days, in words.
fn days(count: usize) -> String {
    format!("{count} day{}", if count == 1 { "" } else { "s" })
}

/// The innermost cause of an error, for the log of the operators.
fn root_cause(error: &EnrichError) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map(ToString::to_string).unwrap_or_default()
}
