//! Readiness in front of a Redis whose settings somebody changes.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::time::Duration;

use bulrush::backend::{RedisOptions, connect_redis_with};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use common::redis::{Redis, until};
use common::{Answer, Fixture, bind_on};
use reqwest::Method;
use serde_json::json;

async fn open(api: &Fixture, path: &str) -> Answer {
    Answer::of(api.request(Method::GET, path).send().await.unwrap()).await
}

#[tokio::test]
async fn a_server_that_comes_to_evict_jobs_is_not_ready_until_it_is_put_right() {
    let redis = Redis::start().await;
    let options = RedisOptions { look_every: Duration::from_millis(50), ..RedisOptions::default() };
    let engine = connect_redis_with(&redis.url(), options).await.unwrap();
    let api = bind_on(engine, ApiConfig::default(), Catalog::default()).await;
    api.serve();
    assert_eq!(open(&api, "/health/ready").await.expect(200), json!({"status": "ready"}));
    let health = open(&api, "/health").await.expect(200);
    assert_eq!((&health["backend"], &health["durability"]), (&json!("redis"), &json!("standard")));

    redis.tell("CONFIG SET maxmemory-policy allkeys-lru");
    until("it is not ready", async || open(&api, "/health/ready").await.status == 503).await;
    let ready = open(&api, "/health/ready").await.expect(503);
    assert_eq!(
        ready,
        json!({
            "status": "unhealthy",
            "reasons": [{
                "check": "maxmemory-policy",
                "reason": "allkeys-lru silently deletes jobs when memory is full",
                "cure": "CONFIG SET maxmemory-policy noeviction",
            }],
        })
    );
    let health = open(&api, "/health").await.expect(503);
    assert_eq!((&health["services"]["redis"], &health["services"]["queues"]), (&json!("up"), &json!("down")));
    assert_eq!(health["reasons"], ready["reasons"]);

    redis.tell(ready["reasons"][0]["cure"].as_str().unwrap());
    until("it is ready again", async || open(&api, "/health/ready").await.status == 200).await;
}
