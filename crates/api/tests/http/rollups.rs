//! A publisher's sums over real HTTP: whose they are, page by page, on the publisher's clock; and which jobs make them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use crate::common::{Answer, Fixture, Who, start};
use bulrush::model::QueueName;
use bulrush_catalog::jobs::{Aggregate, Granularity};
use bulrush_store::{EntityKind, FenceError, NewEntity, Owner, Replaced, Rollup, Saved, StoreError};
use jiff::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/publishers/pub/rollups";

/// A publisher of Ada's in Berlin.
pub async fn publisher(api: &Fixture, id: &str) {
    let entity = NewEntity {
        id: id.into(),
        owner: Owner::new("acme", "ada"),
        kind: EntityKind::Publisher,
        name: "The Paper".into(),
        location: None,
        country: None,
        time_zone: Some("Europe/Berlin".into()),
        attributes: serde_json::Map::new(),
    };
    let saved: Result<Saved, StoreError> =
        api.store.write(async |tx| api.store.entities().save(tx, &entity).await).await;
    assert_eq!(saved.unwrap(), Saved::Yes);
}

fn rollup(metric: &str, start: &str, end: &str, sum: f64) -> Rollup {
    let ms = |text: &str| text.parse::<Timestamp>().unwrap().as_millisecond();
    Rollup {
        metric: metric.into(),
        start_ms: ms(start),
        end_ms: ms(end),
        count: 2,
        sum,
        min: 1.0,
        max: sum - 1.0,
        p50: sum / 2.0,
        p90: sum - 1.5,
        derived: BTreeMap::new(),
    }
}

async fn put(api: &Fixture, granularity: &str, rows: &[Rollup]) {
    let version = api.store.rollups().version("pub", granularity).await.unwrap();
    let put = api.store.fenced::<_, FenceError, _>("job", 1, "n", async |tx| {
        let rollups = api.store.rollups();
        Ok(rollups.replace(tx, ("pub", granularity), (0, 1 << 50), version, rows).await?)
    });
    assert_eq!(put.await.unwrap(), Replaced::Yes);
}

#[tokio::test]
async fn sums_are_read_by_their_owner_page_by_page_on_the_publisher_s_clock() {
    let api = start().await;
    publisher(&api, "pub").await;
    let empty = api.get(Who::Ada, PATH).await.expect(200);
    assert_eq!(
        empty,
        json!({"success": true, "publisherId": "pub", "name": "The Paper", "timeZone": "Europe/Berlin",
               "granularity": "day", "rollups": []})
    );
    let derived = BTreeMap::from([("ctr".to_owned(), 0.25)]);
    let hours = [
        Rollup { derived, ..rollup("clicks", "2024-10-27T00:00Z", "2024-10-27T01:00Z", 5.0) },
        rollup("impressions", "2024-10-27T00:00Z", "2024-10-27T01:00Z", 20.0),
        rollup("clicks", "2024-10-27T01:00Z", "2024-10-27T02:00Z", 7.0),
        rollup("clicks", "2024-10-27T23:00Z", "2024-10-28T00:00Z", 9.0),
    ];
    put(&api, "hour", &hours).await;
    let body = api.get(Who::Ada, &format!("{PATH}?granularity=hour")).await.expect(200);
    let rows = body["rollups"].as_array().unwrap();
    assert_eq!(
        rows[0],
        json!({"metric": "clicks", "start": "2024-10-27T02:00:00+02:00", "end": "2024-10-27T02:00:00+01:00",
               "count": 2, "sum": 5.0, "min": 1.0, "max": 4.0, "p50": 2.5, "p90": 3.5, "derived": {"ctr": 0.25}})
    );
    let starts = |rows: &[Value]| -> Vec<String> {
        rows.iter()
            .map(|row| format!("{} {}", row["metric"].as_str().unwrap(), row["start"].as_str().unwrap()))
            .collect()
    };
    let all = starts(rows);
    assert_eq!(all[2..], ["clicks 2024-10-27T02:00:00+01:00", "clicks 2024-10-28T00:00:00+01:00"]);
    assert!(rows[1].get("derived").is_none() && body.get("next").is_none());

    let mut paged = Vec::new();
    let mut cursor = String::new();
    loop {
        let page =
            api.get(Who::Viewer, &format!("{PATH}?granularity=hour&limit=3{cursor}")).await.expect(200);
        paged.extend(starts(page["rollups"].as_array().unwrap()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(paged, all);
    for (query, expected) in [
        ("metric=impressions", &all[1..2]),
        ("from=2024-10-28", &all[3..]),
        ("to=2024-10-27", &all[..3]),
        ("from=2024-10-26&to=2024-10-26", &all[..0]),
        ("metric=nothing", &all[..0]),
    ] {
        let body = api.get(Who::Ada, &format!("{PATH}?granularity=hour&{query}")).await.expect(200);
        assert_eq!(starts(body["rollups"].as_array().unwrap()), expected, "{query}");
    }
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["rollups"], json!([]), "days are other rows");
    let known = api.get(Who::Ada, &format!("{PATH}?granularity=hour")).await;
    let again = api.as_who(Who::Ada, Method::GET, &format!("{PATH}?granularity=hour"));
    let again = again.header("if-none-match", known.header("etag")).send().await.unwrap();
    assert_eq!(Answer::of(again).await.status, 304);

    let absent = api.get(Who::Bob, "/api/v1/publishers/nobody/rollups").await;
    for who in [Who::Bob, Who::OtherAda] {
        let foreign = api.get(who, PATH).await;
        assert_eq!((foreign.problem(404), &foreign.text), ("unknown_publisher".to_owned(), &absent.text));
    }
    crate::competitors::property(&api, "inn").await;
    assert_eq!(api.get(Who::Ada, "/api/v1/publishers/inn/rollups").await.problem(404), "unknown_publisher");
}

#[tokio::test]
async fn a_question_that_is_none_is_told_by_its_field() {
    let api = start().await;
    publisher(&api, "pub").await;
    for (query, field) in [
        ("granularity=minute", "granularity"),
        ("granularity=day&granularity=hour", "granularity"),
        ("from=yesterday", "from"),
        ("from=0000-01-32", "from"),
        ("to=2024-02-30", "to"),
        ("from=2024-02-02&to=2024-02-01", "to"),
        ("metric=", "metric"),
        ("metric=a%0ab", "metric"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=10;", "limit"),
    ] {
        assert_eq!(api.get(Who::Ada, &format!("{PATH}?{query}")).await.fields(), [field], "{query}");
    }
    for cursor in ["x", "%00", "MTc", &"a".repeat(600)] {
        let answer = api.get(Who::Ada, &format!("{PATH}?cursor={cursor}")).await;
        assert_eq!(answer.problem(400), "invalid_cursor", "{cursor}");
    }
    let ends = "from=0001-01-01&to=9999-12-31";
    assert_eq!(api.get(Who::Ada, &format!("{PATH}?{ends}")).await.expect(200)["rollups"], json!([]));
}

#[tokio::test]
async fn an_aggregation_is_about_a_publisher_of_the_caller() {
    let api = start().await;
    publisher(&api, "pub").await;
    crate::competitors::property(&api, "inn").await;
    let path = "/api/v1/queues/analytics:aggregation/jobs";
    let body = |publisher: &str| {
        json!({"jobName": "custom-aggregation", "data": {
            "publisherId": publisher, "startDate": "2024-01-01", "endDate": "2024-01-31", "granularity": "hour"}})
    };
    let added = api.post(Who::Ada, path, &body("pub")).await.expect(202);
    assert_eq!(added["data"]["jobName"], "custom-aggregation");
    let id = Fixture::job_id(added["data"]["jobId"].as_str().unwrap());
    let queue = QueueName::new("aggregation").unwrap();
    let job = api.backend.get(&queue, &[id]).await.unwrap().pop().flatten().unwrap();
    let payload: Aggregate = serde_json::from_slice(&job.spec.data).unwrap();
    assert_eq!((payload.publisher_id.as_str(), payload.user_id.as_str()), ("pub", "ada"));
    assert_eq!(payload.granularity, Granularity::Hour);
    for (who, publisher) in
        [(Who::Ada, "inn"), (Who::Ada, "nobody"), (Who::Bob, "pub"), (Who::OtherAda, "pub")]
    {
        assert_eq!(api.post(who, path, &body(publisher)).await.fields(), ["data.publisherId"], "{publisher}");
    }
    let wrong = json!({"data": {"publisherId": "pub", "startDate": "2024-02-01", "endDate": "2024-01-01",
                                "granularity": "minute"}});
    assert_eq!(api.post(Who::Ada, path, &wrong).await.fields(), ["data.granularity", "data.endDate"]);
    assert_eq!(api.depth("aggregation").await, 1);
}
