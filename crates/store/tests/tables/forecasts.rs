//! Forecasts: kept once a job, seen by their owner, gone with what they are of.

use crate::common::{ada, property, save};
use bulrush_store::{
    FenceError, ForecastAccuracy, ForecastPoint, ForecastStep, Forecasts, NewForecast, Scope, Store,
    StoreError,
};
use jiff::ToSpan as _;
use jiff::civil::date;

on_each!(
    a_forecast_is_kept_as_it_was_made_and_replaced_by_the_next_run_of_its_job,
    a_forecast_is_seen_by_whoever_sees_what_it_is_of_and_goes_with_it,
    the_latest_are_listed_by_series,
    what_is_no_number_or_of_nothing_is_refused_and_leaves_nothing,
);

fn forecast(entity: &str, metric: &str, horizon: i32) -> NewForecast {
    let point = |n: i32| {
        let mean = 20.0 + f64::from(n) / 3.0;
        ForecastPoint {
            day: date(2026, 4, 1).checked_add(n.days()).unwrap(),
            mean,
            low80: mean - 1.0,
            high80: mean + 1.0,
            low95: mean - 2.0,
            high95: mean + 2.0,
        }
    };
    NewForecast {
        entity: entity.into(),
        metric: metric.into(),
        step: ForecastStep::Day,
        season: None,
        first_day: date(2026, 1, 1),
        last_day: date(2026, 3, 31),
        observed: 89,
        accuracy: ForecastAccuracy {
            mape: Some(12.5),
            mase: 0.9,
            smape: 11.0,
            coverage80: 79.0,
            coverage95: 96.0,
        },
        details: serde_json::json!({"models": [], "notes": ["a note"]}),
        points: (0..horizon).map(point).collect(),
    }
}

async fn put(store: &Store, job: &str, run: i64, new: &NewForecast) -> Result<String, FenceError> {
    store.fenced(job, run, "n", async |tx| Ok(store.forecasts().put(tx, new).await?)).await
}

async fn a_forecast_is_kept_as_it_was_made_and_replaced_by_the_next_run_of_its_job(store: &Store) {
    save(store, &property("p1", ada())).await;
    let first = forecast("p1", "demand", 500);
    let id = put(store, "for-1", 1, &first).await.unwrap();
    assert_eq!(id, Forecasts::id_of("for-1"));
    let kept = store.forecasts().get(&ada().into(), &id).await.unwrap().unwrap();
    assert_eq!(store.forecasts().points(&kept).await.unwrap(), first.points);
    assert_eq!(kept.forecast, NewForecast { points: Vec::new(), ..first });

    let second = NewForecast { season: Some(7), step: ForecastStep::Week, ..forecast("p1", "demand", 3) };
    assert_eq!(put(store, "for-1", 2, &second).await.unwrap(), id);
    let by_job = store.forecasts().get(&ada().into(), "for-1").await.unwrap().unwrap();
    assert_eq!((by_job.id.as_str(), by_job.run), (id.as_str(), 2));
    assert_eq!(
        store.forecasts().points(&by_job).await.unwrap(),
        second.points,
        "no point of the first is left"
    );
    assert_eq!(store.forecasts().latest(&ada().into(), "p1", None, 10).await.unwrap(), [by_job]);
    assert!(put(store, "for-1", 1, &forecast("p1", "demand", 1)).await.is_err(), "a late run is refused");
}

async fn a_forecast_is_seen_by_whoever_sees_what_it_is_of_and_goes_with_it(store: &Store) {
    save(store, &property("p1", ada())).await;
    let id = put(store, "for-1", 1, &forecast("p1", "demand", 2)).await.unwrap();
    for (scope, sees) in [
        (Scope::owner("acme", "ada"), true),
        (Scope::Tenant("acme".into()), true),
        (Scope::All, true),
        (Scope::owner("acme", "bob"), false),
        (Scope::owner("other", "ada"), false),
        (Scope::Tenant("other".into()), false),
    ] {
        let found = [
            store.forecasts().get(&scope, &id).await.unwrap().is_some(),
            store.forecasts().get(&scope, "for-1").await.unwrap().is_some(),
            !store.forecasts().latest(&scope, "p1", None, 10).await.unwrap().is_empty(),
        ];
        assert_eq!(found, [sees; 3], "{scope:?}");
    }
    let kept = store.forecasts().get(&Scope::All, &id).await.unwrap().unwrap();
    let gone: Result<bool, StoreError> =
        store.write(async |tx| store.entities().delete(tx, &Scope::All, "p1").await).await;
    assert!(gone.unwrap());
    assert_eq!(store.forecasts().get(&Scope::All, &id).await.unwrap(), None);
    assert_eq!(store.forecasts().points(&kept).await.unwrap(), []);
}

async fn the_latest_are_listed_by_series(store: &Store) {
    for id in ["p1", "p2"] {
        save(store, &property(id, ada())).await;
    }
    for (job, entity, metric) in
        [("a", "p1", "demand"), ("b", "p1", "returns"), ("c", "p1", "demand"), ("d", "p2", "demand")]
    {
        put(store, job, 1, &forecast(entity, metric, 1)).await.unwrap();
    }
    let jobs = async |metric: Option<&str>, limit| -> Vec<String> {
        let latest = store.forecasts().latest(&ada().into(), "p1", metric, limit).await.unwrap();
        assert!(latest.is_sorted_by(|a, b| a.created_at_ms >= b.created_at_ms), "{latest:?}");
        let mut jobs: Vec<String> = latest.into_iter().map(|one| one.job).collect();
        jobs.sort_unstable();
        jobs
    };
    assert_eq!(jobs(None, 10).await, ["a", "b", "c"]);
    assert_eq!(jobs(Some("demand"), 10).await, ["a", "c"]);
    assert_eq!(jobs(None, 2).await.len(), 2);
    assert_eq!(jobs(Some("stock"), 10).await, Vec::<String>::new());
}

async fn what_is_no_number_or_of_nothing_is_refused_and_leaves_nothing(store: &Store) {
    save(store, &property("p1", ada())).await;
    let mut bad = forecast("p1", "demand", 3);
    bad.points[1].high95 = f64::INFINITY;
    let refused = put(store, "for-1", 1, &bad).await.unwrap_err();
    assert!(
        matches!(refused, FenceError::Store(StoreError::NotANumber { index: 1, field: "high95", .. })),
        "{refused:?}"
    );
    let mut bad = forecast("p1", "demand", 3);
    bad.accuracy.mape = Some(f64::NAN);
    let refused = put(store, "for-1", 1, &bad).await.unwrap_err();
    assert!(
        matches!(refused, FenceError::Store(StoreError::NotANumber { field: "mape", .. })),
        "{refused:?}"
    );
    let refused = put(store, "for-1", 1, &forecast("nowhere", "demand", 3)).await.unwrap_err();
    assert!(matches!(refused, FenceError::Store(StoreError::MissingReference(_))), "{refused:?}");
    assert_eq!(store.forecasts().get(&Scope::All, "for-1").await.unwrap(), None);
}
