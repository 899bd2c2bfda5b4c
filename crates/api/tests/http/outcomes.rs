//! What jobs computed, over real HTTP: forecasts with their points, analyses, results of optimizations.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bulrush_store::{
    EntityKind, FenceError, ForecastAccuracy, ForecastPoint, ForecastStep, NewEntity, NewForecast, Owner,
    StoreError,
};
use jiff::civil::date;
use reqwest::Method;
use serde_json::{Map, json};

use crate::common::{Fixture, Who, start};

fn ada() -> Owner {
    Owner::new("acme", "ada")
}

async fn product(api: &Fixture, id: &str) {
    let entity = NewEntity {
        id: id.into(),
        owner: ada(),
        kind: EntityKind::Product,
        name: id.into(),
        location: None,
        country: None,
        time_zone: None,
        attributes: Map::new(),
    };
    let saved: Result<_, StoreError> =
        api.store.write(async |tx| api.store.entities().save(tx, &entity).await).await;
    assert_eq!(saved.unwrap(), bulrush_store::Saved::Yes);
}

/// A forecast of two days by the job `job`.
async fn forecast(api: &Fixture, job: &str, metric: &str) -> String {
    let point = |day, mean: f64| ForecastPoint {
        day,
        mean,
        low80: mean - 1.0,
        high80: mean + 1.0,
        low95: mean - 2.0,
        high95: mean + 2.0,
    };
    let new = NewForecast {
        entity: "tea".into(),
        metric: metric.into(),
        step: ForecastStep::Day,
        season: Some(7),
        first_day: date(2026, 1, 1),
        last_day: date(2026, 3, 31),
        observed: 90,
        accuracy: ForecastAccuracy { mape: None, mase: 0.8, smape: 9.5, coverage80: 81.0, coverage95: 94.5 },
        details: json!({"models": [{"model": "exp", "weight": 1.0}], "notes": []}),
        points: vec![point(date(2026, 4, 1), 20.5), point(date(2026, 4, 2), 22.0)],
    };
    api.store
        .fenced::<_, FenceError, _>(job, 1, "n", async |tx| Ok(api.store.forecasts().put(tx, &new).await?))
        .await
        .unwrap()
}

async fn result(api: &Fixture, job: &str, kind: &str) {
    let document = json!({"success": true, "answer": 42});
    api.store
        .fenced::<_, FenceError, _>(job, 1, "n", async |tx| {
            Ok(api.store.results().put(tx, &ada(), kind, &document).await?)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_forecast_is_read_by_its_id_or_its_job_s_with_its_points() {
    let api = start().await;
    product(&api, "tea").await;
    let id = forecast(&api, "for-1", "demand").await;
    let answer = api.get(Who::Ada, &format!("/api/v1/forecasts/{id}")).await.expect(200);
    assert_eq!(answer, api.get(Who::Ada, "/api/v1/forecasts/for-1").await.expect(200));
    assert_eq!(
        (&answer["forecast"]["forecastId"], &answer["forecast"]["jobId"]),
        (&json!(id), &json!("for-1"))
    );
    assert_eq!(answer["forecast"]["productId"], "tea");
    assert_eq!(
        answer["points"][0],
        json!({"day": "2026-04-01", "mean": 20.5, "low80": 19.5, "high80": 21.5, "low95": 18.5, "high95": 22.5})
    );
    assert_eq!(answer["points"].as_array().unwrap().len(), 2);
    assert_eq!(
        answer["forecast"]["accuracy"],
        json!({"mape": null, "mase": 0.8, "smape": 9.5, "coverage80": 81.0, "coverage95": 94.5})
    );
    api.get(Who::Viewer, "/api/v1/forecasts/for-1").await.expect(200);
    // What somebody has just read must not be told to the next who asks for the same.
    for who in [Who::Bob, Who::OtherAda] {
        let foreign = api.get(who, "/api/v1/forecasts/for-1").await;
        let absent = api.get(who, "/api/v1/forecasts/for-2").await;
        assert_eq!((foreign.problem(404), &foreign.text), ("unknown_forecast".to_owned(), &absent.text));
        let foreign = api.get(who, "/api/v1/forecasts?productId=tea").await;
        let absent = api.get(who, "/api/v1/forecasts?productId=coffee").await;
        assert_eq!((foreign.problem(404), &foreign.text), ("unknown_product".to_owned(), &absent.text));
    }
}

#[tokio::test]
async fn the_latest_forecasts_of_a_product_are_listed_newest_first() {
    let api = start().await;
    product(&api, "tea").await;
    let mut made = Vec::new();
    for (job, metric) in [("for-1", "demand"), ("for-2", "returns"), ("for-3", "demand")] {
        made.push(forecast(&api, job, metric).await);
    }
    let listed = async |query: &str| -> Vec<String> {
        let answer = api.get(Who::Ada, &format!("/api/v1/forecasts?productId=tea{query}")).await.expect(200);
        let ids = answer["forecasts"].as_array().unwrap().iter();
        ids.map(|one| one["forecastId"].as_str().unwrap().to_owned()).collect()
    };
    let all = listed("").await;
    assert_eq!(all.len(), 3);
    assert!(made.iter().all(|id| all.contains(id)), "{all:?} of {made:?}");
    assert_eq!(listed("&metric=returns").await, [made[1].clone()]);
    assert_eq!(listed("&limit=1").await, [all[0].clone()]);
    assert_eq!(listed("&metric=stock").await, Vec::<String>::new());
    for (query, field) in [
        ("", "productId"),
        ("productId=tea&limit=0", "limit"),
        ("productId=tea&limit=101", "limit"),
        ("productId=tea&metric=", "metric"),
        ("productId=tea&productId=tea", "productId"),
    ] {
        let answer = api.get(Who::Ada, &format!("/api/v1/forecasts?{query}")).await;
        assert!(answer.fields().contains(&field.to_owned()), "{query}: {}", answer.text);
    }
}

#[tokio::test]
async fn documents_are_read_by_the_id_of_their_job_and_only_where_they_belong() {
    let api = start().await;
    result(&api, "anh-1", "analytics-heavy/analyze").await;
    result(&api, "opt-1", "optimization/optimize").await;
    let analysis = api.get(Who::Ada, "/api/v1/analytics/anh-1").await.expect(200);
    assert_eq!((&analysis["jobId"], &analysis["result"]["answer"]), (&json!("anh-1"), &json!(42)));
    let optimization = api.get(Who::Ada, "/api/v1/optimizations/opt-1").await.expect(200);
    assert_eq!(optimization["result"]["answer"], 42);
    for (path, code) in [
        ("/api/v1/analytics/opt-1", "unknown_analysis"),
        ("/api/v1/optimizations/anh-1", "unknown_optimization"),
        ("/api/v1/analytics/%00", "unknown_analysis"),
        ("/api/v1/forecasts/%00", "unknown_forecast"),
        ("/api/v1/forecasts/%F0%9F%92%A9", "unknown_forecast"),
    ] {
        assert_eq!(api.get(Who::Ada, path).await.problem(404), code, "{path}");
    }
    for who in [Who::Bob, Who::OtherAda] {
        let foreign = api.get(who, "/api/v1/analytics/anh-1").await;
        let absent = api.get(who, "/api/v1/analytics/anh-2").await;
        assert_eq!((foreign.problem(404), &foreign.text), ("unknown_analysis".to_owned(), &absent.text));
    }
    let seen = api.get(Who::Ada, "/api/v1/analytics/anh-1").await;
    let known = api.as_who(Who::Ada, Method::GET, "/api/v1/analytics/anh-1");
    let known = known.header("if-none-match", seen.header("etag"));
    assert_eq!(known.send().await.unwrap().status(), 304);
}
