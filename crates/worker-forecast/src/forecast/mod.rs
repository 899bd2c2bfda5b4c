//! `forecast/run-forecast`: what will be sold of a product, or booked of a property, in the next days.
//!
//! The history is read, forecast on a thread of its own, and written with the job's result in one transaction behind the fence of the
//! run. Up to that transaction nothing is changed, so the job may be stopped, and start again, at any point.

mod document;

use bulrush::{Context, JobResult};
use bulrush_catalog::jobs::{ForecastModel, RunForecast, RunForecastResult};
use bulrush_forecasting::{
    Forecast, ForecastError, History, Model, Settings, Stage, Step, Watch, forecast as compute,
};
use bulrush_store::{NewForecast, StoreError};

use crate::Dependencies;
use crate::failure::Trouble;
use crate::series::{Series, Thing};

/// How the result documents of these jobs are marked in the store.
pub const RESULT_KIND: &str = "forecast/run-forecast";

/// Days of history that are read: fifty years, of which the mathematics takes the newest that say something of tomorrow.
const DAYS_MAX: u32 = 18_300;

/// Forecasts.
pub(crate) async fn run(
    deps: Dependencies,
    payload: RunForecast,
    ctx: Context,
) -> JobResult<RunForecastResult> {
    forecast(&deps, &payload, &ctx).await.map_err(|trouble| {
        if !matches!(trouble, Trouble::Stopped) {
            tracing::warn!(job = %ctx.id(), attempt = ctx.attempt(), error = %trouble, "nothing was forecast");
            ctx.log(format!("not forecast: {trouble}"));
        }
        trouble.into_failure()
    })
}

async fn forecast(
    deps: &Dependencies,
    payload: &RunForecast,
    ctx: &Context,
) -> Result<RunForecastResult, Trouble> {
    let (thing, metric, history, mut forecast) = tokio::select! {
        biased;
        _ = ctx.stopped() => return Err(Trouble::Stopped),
        made = make(deps, payload, ctx) => made?,
    };
    ctx.check().map_err(|_| Trouble::Stopped)?;
    let today = thing.zone.to_datetime(deps.now()).date();
    let old = history.last().until(today).map_or(0, |span| span.get_days());
    // A step and the time that it takes to count it.
    let is_old = old
        > match forecast.step {
            Step::Day => 7,
            Step::Week => 21,
            Step::Month => 70,
        };
    if is_old {
        let last = history.last();
        forecast
            .notes
            .push(format!("the history ends on {last}, {old} days ago; the forecast begins after it"));
    }
    ctx.progress(90, "Saving results");
    let new = document::stored(&thing, &metric, &history, &forecast);
    let result = save(deps, ctx, &thing, payload, &new, &forecast).await?;
    for note in &result.notes {
        ctx.log(note);
    }
    ctx.progress(100, "Complete");
    tracing::info!(
        job = %ctx.id(), points = result.predictions, mape = result.accuracy, mase = result.mase, season = result.season,
        "demand forecast"
    );
    Ok(result)
}

/// Everything but the write.
async fn make(
    deps: &Dependencies,
    payload: &RunForecast,
    ctx: &Context,
) -> Result<(Thing, String, History, Forecast), Trouble> {
    ctx.progress(10, "Loading historical data");
    let thing = Thing::find(&deps.store, ctx, &payload.product_id).await?;
    let window = (deps.now(), DAYS_MAX);
    let Series { metric, days } = thing.series(&deps.store, payload.metric.as_deref(), window).await?;
    let non_negative = days.values().all(|value| *value >= 0.0);
    let points: Vec<_> = days.into_iter().collect();
    let of_history = |source| Trouble::Forecast { id: thing.id().to_owned(), metric: metric.clone(), source };
    let history = History::from_points(&points).map_err(of_history)?;
    ctx.log(format!(
        "history of {metric}: {} values from {} to {}",
        history.observed(),
        history.first(),
        history.last()
    ));
    let settings =
        Settings { horizon: payload.horizon as usize, models: models(&payload.models), non_negative };
    let watching = Watching(ctx.clone());
    // It looks every few milliseconds whether the job is still wanted, so it ends soon after whoever waits for it.
    let computing = tokio::task::spawn_blocking(move || {
        let forecast = compute(&history, &settings, &watching);
        (history, forecast)
    });
    let (history, forecast) = computing.await.map_err(|error| {
        tracing::error!(job = %ctx.id(), %error, "a forecast ended by a fault");
        Trouble::Fault
    })?;
    let forecast = forecast.map_err(|error| match error {
        ForecastError::Cancelled => Trouble::Stopped,
        error => of_history(error),
    })?;
    Ok((thing, metric, history, forecast))
}

/// Tells the job how far its forecast is.
struct Watching(Context);

impl Watch for Watching {
    fn stage(&self, stage: Stage) {
        let message = match stage {
            Stage::Preprocessing => "Preprocessing data",
            Stage::Models => "Running forecast models",
            Stage::Ensemble => "Calculating ensemble",
            Stage::Accuracy => "Calculating accuracy",
        };
        self.0.progress(stage.percent(), message);
    }

    fn is_cancelled(&self) -> bool {
        self.0.stop_requested().is_some()
    }
}

/// The models that may take part.
fn models(asked: &[ForecastModel]) -> Vec<Model> {
    if asked.is_empty() {
        return Model::ALL.to_vec();
    }
    let model = |asked: &ForecastModel| match asked {
        ForecastModel::MovingAverage => Model::MovingAverage,
        ForecastModel::Linear => Model::Linear,
        ForecastModel::ExponentialSmoothing => Model::ExponentialSmoothing,
        ForecastModel::Seasonal => Model::Seasonal,
    };
    asked.iter().map(model).collect()
}

/// Writes forecast and result, both or neither, unless another run of the job has written since.
async fn save(
    deps: &Dependencies,
    ctx: &Context,
    thing: &Thing,
    payload: &RunForecast,
    new: &NewForecast,
    forecast: &Forecast,
) -> Result<RunForecastResult, Trouble> {
    let (store, token) = (&deps.store, ctx.token());
    let mut tx = store.begin_fenced(ctx.id().as_str(), i64::from(token.run), &token.nonce()).await?;
    let forecast_id = store.forecasts().put(&mut tx, new).await.map_err(|error| match error {
        StoreError::MissingReference(_) => Trouble::DeletedMeanwhile { id: thing.id().to_owned() },
        error => error.into(),
    })?;
    let accuracy = &new.accuracy;
    let result = RunForecastResult {
        success: true,
        forecast_id,
        product_id: payload.product_id.clone(),
        horizon: payload.horizon,
        accuracy: accuracy.mape,
        predictions: u32::try_from(new.points.len()).unwrap_or(u32::MAX),
        metric: new.metric.clone(),
        season: new.season.and_then(|season| u32::try_from(season).ok()),
        mase: accuracy.mase,
        smape: accuracy.smape,
        coverage80: accuracy.coverage80,
        coverage95: accuracy.coverage95,
        notes: forecast.notes.clone(),
    };
    let document = serde_json::to_value(&result)?;
    store.results().put(&mut tx, &thing.owner, RESULT_KIND, &document).await?;
    tx.commit().await?;
    Ok(result)
}
