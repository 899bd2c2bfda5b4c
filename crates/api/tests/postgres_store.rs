//! The API with its data on a PostgreSQL server.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use bulrush_store::Scope;
use common::postgres::Postgres;
use common::{Answer, DEADLINE, Who, start_on_database};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use sqlx::Executor as _;
use tokio::time::timeout;

const PRICES: &[u8] = b"date,price\n2024-01-01,120.5\n2024-01-02,99\n";

#[tokio::test]
async fn an_upload_a_key_and_a_template_are_kept_and_read_back() {
    let database = Postgres::create().await;
    let api = start_on_database(&database.url).await;
    let ready = Answer::of(api.request(Method::GET, "/health/ready").send().await.unwrap()).await;
    assert_eq!(ready.status, 200, "{}", ready.text);
    let file = api.upload(Who::Ada, &[("propertyId", "hotel-1")], "p.csv", PRICES).await.expect(201);
    let (id, property) = (file["fileId"].as_str().unwrap(), file["propertyId"].as_str().unwrap());
    let read = api.get(Who::Ada, &format!("/api/v1/files/{id}")).await.expect(200);
    assert_eq!(read["file"]["status"], "completed");
    assert_eq!(api.get(Who::OtherAda, &format!("/api/v1/files/{id}")).await.status, 404);
    let metrics = api.store.observations().metrics(&Scope::owner("acme", "ada"), property).await.unwrap();
    assert_eq!(metrics, [("price".to_owned(), 2)]);
    let asked = json!({"location": {"latitude": 1, "longitude": 2}});
    let job = api.post(Who::Ada, &format!("/api/v1/files/{id}/enrich"), &asked).await.expect(202);
    assert!(job["jobId"].as_str().unwrap().starts_with("enr-"));
    let template = json!({"name": "nightly", "queue": "sync", "jobName": "sync-orders", "data": {}});
    let made = api.post(Who::Ada, "/api/v1/templates", &template).await;
    assert!(matches!(made.status, 201 | 422), "{}", made.text);
    api.store.close().await;
}

/// A table that somebody locks elsewhere: who needs it is told to come back, in bounded time; nobody else notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_locked_elsewhere_makes_its_routes_unavailable_and_no_others() {
    let database = Postgres::create().await;
    let limits = "connections=4&acquire_timeout_ms=1000&statement_timeout_ms=1500&lock_timeout_ms=300";
    let api = start_on_database(&database.url_with(limits)).await;
    let file = api.upload(Who::Ada, &[], "p.csv", PRICES).await.expect(201);
    let path = format!("/api/v1/files/{}", file["fileId"].as_str().unwrap());
    let mut elsewhere = database.connect().await;
    elsewhere.execute("BEGIN").await.unwrap();
    elsewhere.execute("LOCK TABLE files, entities IN ACCESS EXCLUSIVE MODE").await.unwrap();
    // More at once than there are connections.
    let held = join_all((0..12).map(|_| api.get(Who::Ada, &path)));
    let uploads = join_all((0..6).map(|_| api.upload(Who::Ada, &[], "p.csv", PRICES)));
    let free = async {
        for target in ["/api/v1/queues", "/api/v1/queues/enrichment/counts"] {
            assert_eq!(api.get(Who::Admin, target).await.status, 200, "{target}");
        }
        let live = Answer::of(api.request(Method::GET, "/health/live").send().await.unwrap()).await;
        assert_eq!(live.status, 200);
    };
    let answers = async { tokio::join!(held, uploads, free) };
    let (held, uploads, ()) = timeout(DEADLINE, answers).await.expect("every request is answered");
    for answer in held.iter().chain(&uploads) {
        assert_eq!(answer.problem(503), "unavailable");
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(api.stored_objects(), 1, "the bytes of refused uploads are gone");
    elsewhere.execute("ROLLBACK").await.unwrap();
    assert_eq!(api.get(Who::Ada, &path).await.status, 200, "it goes on by itself");
    api.store.close().await;
}
