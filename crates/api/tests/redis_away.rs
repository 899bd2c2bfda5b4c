//! The API while its Redis is stopped, gone, full, a replica or loading: 503 with Retry-After, nothing lost, and back by itself.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::HashSet;

use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use common::redis::{Redis, until};
use common::{Answer, Fixture, Who, bind_on};
use reqwest::Method;
use serde_json::json;

const PATH: &str = "/api/v1/queues/analytics/jobs";

async fn served(redis: &Redis) -> Fixture {
    let backend = bulrush::backend::connect(&redis.url()).await.unwrap();
    let api = bind_on(backend, ApiConfig::default(), Catalog::default()).await;
    api.serve();
    api
}

async fn add(api: &Fixture, key: &str) -> Answer {
    let request = api.as_who(Who::Ada, Method::POST, PATH).header("idempotency-key", key);
    let body = json!({"name": "analyze", "data": {"key": key}}).to_string();
    Answer::of(request.header("content-type", "application/json").body(body).send().await.unwrap()).await
}

/// Sends what was not acknowledged again until it is, and checks that each key has made one job.
async fn settle(api: &Fixture, keys: &[String]) {
    let mut ids = HashSet::new();
    for key in keys {
        let mut id = None;
        until("the request is acknowledged", async || {
            let answer = add(api, key).await;
            if answer.status == 200 || answer.status == 202 {
                id = answer.json()["data"]["jobId"].as_str().map(str::to_owned);
            } else {
                assert_eq!(answer.problem(503), "unavailable");
            }
            id.is_some()
        })
        .await;
        assert!(ids.insert(id.unwrap()), "{key} shares a job");
    }
    assert_eq!(api.depth("analytics").await, keys.len() as u64);
}

/// Every request is answered, and what is not acknowledged is 503 with when to come back.
async fn refused(api: &Fixture, keys: &[String]) {
    let answers = futures_util::future::join_all(keys.iter().map(|key| add(api, key))).await;
    for answer in answers {
        assert_eq!(answer.problem(503), "unavailable");
        assert!(answer.header("retry-after").parse::<u32>().unwrap() >= 1);
    }
    let read = api.get(Who::Ada, "/api/v1/jobs").await;
    assert_eq!(read.problem(503), "unavailable");
    let live = api.request(Method::GET, "/health/live").send().await.unwrap();
    assert_eq!(live.status(), 200);
}

fn keys(name: &str) -> Vec<String> {
    (0..20).map(|n| format!("{name}-{n}")).collect()
}

#[tokio::test]
async fn a_server_that_is_killed_and_comes_back_costs_no_acknowledged_job() {
    let mut redis = Redis::start().await;
    let api = served(&redis).await;
    let (before, during) = (keys("before"), keys("during"));
    for key in &before {
        add(&api, key).await.expect(202);
    }
    redis.kill();
    refused(&api, &during).await;
    redis.start_again().await;
    settle(&api, &[before, during].concat()).await;
}

#[tokio::test]
async fn a_server_that_stands_still_is_not_waited_for_for_ever() {
    let redis = Redis::start().await;
    let api = served(&redis).await;
    let during = keys("during");
    redis.signal("-STOP");
    refused(&api, &during).await;
    redis.signal("-CONT");
    settle(&api, &during).await;
}

#[tokio::test]
async fn a_full_server_refuses_adds_and_answers_reads() {
    let redis = Redis::start().await;
    let api = served(&redis).await;
    let id = add(&api, "first").await.expect(202)["data"]["jobId"].as_str().unwrap().to_owned();
    redis.tell("CONFIG SET maxmemory 1");
    let refused = add(&api, "second").await;
    assert_eq!(refused.problem(503), "unavailable");
    assert!(
        !refused.text.contains("OOM") && !refused.text.to_lowercase().contains("redis"),
        "{}",
        refused.text
    );
    assert_eq!(api.get(Who::Ada, &format!("{PATH}/{id}")).await.status, 200);
    api.complete("analytics", &json!({})).await;
    redis.tell("CONFIG SET maxmemory 100mb");
    add(&api, "second").await.expect(202);
}

/// Reads a stream until it has brought this text; whether it has.
async fn brings(stream: &mut reqwest::Response, wanted: &str) -> bool {
    read_to(stream, wanted).await.contains(wanted)
}

/// What a stream brings up to this text, or to its end.
async fn read_to(stream: &mut reqwest::Response, wanted: &str) -> String {
    let mut text = String::new();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text += std::str::from_utf8(&chunk).unwrap();
        if text.contains(wanted) {
            break;
        }
    }
    text
}

#[tokio::test]
async fn streams_go_on_from_where_a_server_is_that_has_lost_everything() {
    let redis = Redis::start().await;
    let api = served(&redis).await;
    let open = async || api.as_who(Who::Ada, Method::GET, "/api/v1/sse").send().await.unwrap();
    let mut stream = open().await;
    add(&api, "before").await.expect(202);
    let seen = read_to(&mut stream, "event: job:added").await;
    let id = seen.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
    redis.tell("FLUSHALL");
    // What the old stream was told of is gone, and it ends when its reader finds that out.
    assert!(!brings(&mut stream, "event: job:added").await);
    let back = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").header("last-event-id", id);
    assert!(brings(&mut back.send().await.unwrap(), "event: reset").await, "who comes back is told");
    let mut stream = open().await;
    assert!(brings(&mut stream, "retry: 2000").await);
    add(&api, "after").await.expect(202);
    assert!(brings(&mut stream, "event: job:added").await, "the new one stays");
}

#[tokio::test]
async fn a_server_that_has_become_a_replica_is_waited_for() {
    let redis = Redis::start().await;
    let api = served(&redis).await;
    redis.tell("REPLICAOF 127.0.0.1 1");
    let refused = add(&api, "during").await;
    assert_eq!(refused.problem(503), "unavailable");
    redis.tell("REPLICAOF NO ONE");
    settle(&api, &["during".to_owned()]).await;
}
