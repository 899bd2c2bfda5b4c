//! Forecasts that are made, and histories that none can be made of.

use bulrush::model::JobState;
use bulrush_catalog::jobs::{ForecastModel, RunForecast, RunForecastResult};
use bulrush_store::{EntityKind, Forecasts, Observation, Owner, Scope};
use bulrush_worker_forecast::FORECAST_RESULT_KIND;
use jiff::ToSpan as _;
use jiff::civil::date;
use serde_json::json;

use crate::world::{World, YESTERDAY, ada, weekly};

pub fn forecast_of(id: &str, horizon: u32) -> RunForecast {
    RunForecast { product_id: id.into(), user_id: "ada".into(), horizon, models: Vec::new(), metric: None }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_s_demand_is_forecast_day_by_day_and_kept_with_all_that_judges_it() {
    let world = World::new().await;
    world.product("tea", 140).await;
    let workers = world.start();
    let job = world.add("forecast", &forecast_of("tea", 21)).await;
    let result: RunForecastResult = world.completed("forecast", &job).await;
    assert!(result.success && result.product_id == "tea" && result.metric == "demand");
    assert_eq!((result.horizon, result.predictions, result.season), (21, 21, Some(7)));
    assert_eq!(result.forecast_id, Forecasts::id_of(job.as_str()));
    // The season is most of what there is to know.
    assert!(result.mase < 1.0 && result.accuracy.unwrap() < 15.0, "{result:?}");

    let scope = Scope::from(ada());
    let stored = world.store.forecasts().get(&scope, &result.forecast_id).await.unwrap().unwrap();
    assert_eq!((stored.job.as_str(), stored.forecast.last_day), (job.as_str(), YESTERDAY));
    assert_eq!((stored.forecast.observed, stored.forecast.accuracy.mase), (140, result.mase));
    let points = world.store.forecasts().points(&stored).await.unwrap();
    for (n, point) in points.iter().enumerate() {
        assert_eq!(point.day, YESTERDAY.checked_add((n as i64 + 1).days()).unwrap());
        assert!(0.0 <= point.low95 && point.low95 <= point.low80 && point.low80 <= point.mean, "{point:?}");
        assert!(point.mean <= point.high80 && point.high80 <= point.high95, "{point:?}");
    }
    let models = stored.forecast.details["models"].as_array().unwrap();
    let weights: f64 = models.iter().map(|model| model["weight"].as_f64().unwrap()).sum();
    assert_eq!(models.len(), 4);
    assert!((weights - 1.0).abs() < 1e-9, "{models:?}");

    let document = world.document(&job).await.unwrap();
    assert_eq!((document.kind.as_str(), document.owner), (FORECAST_RESULT_KIND, ada()));
    assert_eq!(document.document, serde_json::to_value(&result).unwrap());
    let progress = world.ended("forecast", &job).await.status.progress.unwrap();
    assert_eq!((progress.percent, progress.message.as_deref()), (100, Some("Complete")));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn models_metrics_and_properties_are_as_asked_for() {
    let world = World::new().await;
    world.thing("inn", &ada(), EntityKind::Property, json!({})).await;
    world.observe("inn", "price", YESTERDAY, &weekly(80)).await;
    world.observe("inn", "bookings", YESTERDAY, &weekly(80)).await;
    let workers = world.start();
    let chosen = vec![ForecastModel::MovingAverage, ForecastModel::ExponentialSmoothing];
    let asked = RunForecast { models: chosen, ..forecast_of("inn", 7) };
    let job = world.add("forecast", &asked).await;
    let result: RunForecastResult = world.completed("forecast", &job).await;
    assert_eq!(result.metric, "bookings", "what is forecast of a property where nobody says");
    let scope = Scope::from(ada());
    let stored = world.store.forecasts().get(&scope, &result.forecast_id).await.unwrap().unwrap();
    let models = stored.forecast.details["models"].as_array().unwrap();
    let names: Vec<&str> = models.iter().map(|model| model["model"].as_str().unwrap()).collect();
    assert_eq!(names, ["ma", "exp"]);

    let asked = RunForecast { metric: Some("price".into()), ..forecast_of("inn", 7) };
    let job = world.add("forecast", &asked).await;
    assert_eq!(world.completed::<RunForecastResult>("forecast", &job).await.metric, "price");
    let latest = world.store.forecasts().latest(&scope, "inn", Some("price"), 10).await.unwrap();
    assert_eq!(latest.len(), 1);
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn today_is_not_over_and_the_values_of_a_day_are_added_up() {
    let world = World::new().await;
    world.product("tea", 60).await;
    // At midnight and before midnight of yesterday, Los Angeles, and this morning.
    let rows = [(1_773_903_600_000, 3.0), (1_773_989_999_000, 4.0), (1_774_000_000_000, 1_000_000.0)];
    let rows = rows.map(|(ts_ms, value)| Observation { metric: "demand".into(), ts_ms, value });
    world.keep("tea", &rows).await;
    let workers = world.start();
    let job = world.add("forecast", &forecast_of("tea", 7)).await;
    let result: RunForecastResult = world.completed("forecast", &job).await;
    let scope = Scope::from(ada());
    let stored = world.store.forecasts().get(&scope, &result.forecast_id).await.unwrap().unwrap();
    assert_eq!((stored.forecast.last_day, stored.forecast.observed), (YESTERDAY, 60));
    let points = world.store.forecasts().points(&stored).await.unwrap();
    assert!(points.iter().all(|point| point.mean < 100.0), "{points:?}");
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_of_long_ago_is_forecast_from_where_it_ends_and_a_note_tells_its_age() {
    let world = World::new().await;
    world.thing("tea", &ada(), EntityKind::Product, json!({})).await;
    let last = date(2009, 6, 30);
    world.observe("tea", "demand", last, &weekly(4_000)).await;
    let workers = world.start();
    let job = world.add("forecast", &forecast_of("tea", 7)).await;
    let result: RunForecastResult = world.completed("forecast", &job).await;
    assert!(result.notes.iter().any(|note| note.contains("ends on 2009-06-30")), "{result:?}");
    let scope = Scope::from(ada());
    let stored = world.store.forecasts().get(&scope, &result.forecast_id).await.unwrap().unwrap();
    assert_eq!((stored.forecast.last_day, stored.forecast.observed), (last, 4_000));
    let points = world.store.forecasts().points(&stored).await.unwrap();
    assert_eq!(points[0].day, date(2009, 7, 1));
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_history_that_cannot_be_forecast_fails_for_good_and_says_what_is_wrong() {
    let world = World::new().await;
    let product = async |id: &str, values: &[Option<f64>]| {
        world.thing(id, &ada(), EntityKind::Product, json!({})).await;
        world.observe(id, "demand", YESTERDAY, values).await;
    };
    product("empty", &[]).await;
    product("one", &[Some(3.0)]).await;
    product("constant", &[Some(5.0); 90]).await;
    product("huge", &[Some(1.0), Some(1e301), Some(2.0)].repeat(20)).await;
    let mut holed = weekly(1_000);
    holed[400..770].fill(None);
    product("holed", &holed).await;
    world.thing("bob", &Owner::new("acme", "bob"), EntityKind::Product, json!({})).await;
    world.thing("shed", &ada(), EntityKind::Warehouse, json!({})).await;
    world.thing("other", &ada(), EntityKind::Product, json!({})).await;
    world.observe("other", "returns", YESTERDAY, &weekly(90)).await;
    let workers = world.start();
    for (id, words) in [
        ("empty", "\"empty\" has no values of \"demand\"; upload them"),
        ("other", "\"other\" has no values of \"demand\" (it has returns)"),
        ("one", "spans 1 day, and a forecast of 30 days needs"),
        ("constant", "all 90 values of the history are 5"),
        ("huge", "is 1e301"),
        ("holed", "values are missing from"),
        ("bob", "no product or property \"bob\""),
        ("shed", "no product or property \"shed\""),
        ("nowhere", "no product or property \"nowhere\""),
    ] {
        let job = world.add("forecast", &forecast_of(id, 30)).await;
        let reason = world.refused("forecast", &job).await;
        assert!(reason.contains(words), "{id}: {reason}");
        assert!(world.document(&job).await.is_none());
        assert_eq!(world.store.forecasts().latest(&Scope::All, id, None, 1).await.unwrap(), []);
    }
    workers.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_zone_that_is_none_and_a_job_without_owner_are_told() {
    let world = World::new().await;
    world.product("tea", 60).await;
    let mut entity = world.store.entities().get(&Scope::All, "tea").await.unwrap().unwrap().entity;
    entity.time_zone = Some("Mars/Base".into());
    let saved: Result<_, bulrush_store::StoreError> =
        world.store.write(async |tx| world.store.entities().save(tx, &entity).await).await;
    assert_eq!(saved.unwrap(), bulrush_store::Saved::Yes);
    let workers = world.start();
    let job = world.add("forecast", &forecast_of("tea", 7)).await;
    let reason = world.refused("forecast", &job).await;
    assert!(reason.contains("\"Mars/Base\" is no time zone"), "{reason}");

    let queue = world.queue("forecast");
    let job = queue.add(queue.typed(&forecast_of("tea", 7)).unwrap()).await.unwrap().id;
    let view = world.ended("forecast", &job).await;
    assert_eq!(view.state(), JobState::Failed);
    assert!(view.failed_reason().unwrap().contains("has no owner"), "{view:?}");
    workers.shutdown().await;
}
