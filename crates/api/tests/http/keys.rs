//! API keys in place of tokens.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{Answer, Fixture, Who, start, start_with};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use bulrush_store::{NewApiKey, Owner, Scope, now_ms};
use reqwest::Method;
use serde_json::json;

async fn issued(api: &Fixture, role: &str, expires_at_ms: Option<i64>) -> (String, String) {
    let key =
        NewApiKey { owner: Owner::new("acme", "ada"), role: role.into(), name: "test".into(), expires_at_ms };
    let (row, text) = api.store.api_keys().issue(&key).await.unwrap();
    (row.id, text)
}

async fn get(api: &Fixture, key: &str, path: &str) -> Answer {
    Answer::of(api.request(Method::GET, path).bearer_auth(key).send().await.unwrap()).await
}

#[tokio::test]
async fn a_key_stands_for_its_owner_with_its_role() {
    let api = start().await;
    let (id, key) = issued(&api, "user", None).await;
    let job = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    let foreign = api.add(Who::Bob, "analytics", &json!({"data": {}})).await;
    assert_eq!(get(&api, &key, &format!("/api/v1/jobs/{job}")).await.status, 200);
    assert_eq!(get(&api, &key, &format!("/api/v1/jobs/{foreign}")).await.problem(404), "unknown_job");
    let (_, viewer) = issued(&api, "viewer", None).await;
    assert_eq!(get(&api, &viewer, &format!("/api/v1/jobs/{foreign}")).await.status, 200);
    let add = api.request(Method::POST, "/api/v1/queues/analytics/jobs").bearer_auth(&viewer).body("{}");
    assert_eq!(Answer::of(add.send().await.unwrap()).await.problem(403), "forbidden");
    let ticket = api.request(Method::POST, "/api/v1/stream-tickets").bearer_auth(&key).send().await.unwrap();
    assert_eq!(Answer::of(ticket).await.problem(403), "forbidden", "who can send a header needs no ticket");
    let row = api.store.api_keys().get(&Scope::All, &id).await.unwrap().unwrap();
    assert!(row.last_used_at_ms.is_some(), "its use is noted");
}

#[tokio::test]
async fn keys_that_are_wrong_revoked_or_over_are_refused_alike() {
    let api = start().await;
    let (_, good) = issued(&api, "user", None).await;
    let (id, revoked) = issued(&api, "user", None).await;
    api.store.api_keys().revoke(&Scope::All, &id, now_ms()).await.unwrap();
    // An end that is still to come when the row is written, however slow the machine is.
    let (over_id, over) = issued(&api, "user", Some(now_ms() + 2_000)).await;
    let end_ms =
        api.store.api_keys().get(&Scope::All, &over_id).await.unwrap().unwrap().expires_at_ms.unwrap();
    while now_ms() <= end_ms {
        tokio::task::yield_now().await;
    }
    let mut wrong = good.clone().into_bytes();
    let last = wrong.len() - 1;
    wrong[last] = if wrong[last] == b'a' { b'b' } else { b'a' };
    let wrong = String::from_utf8(wrong).unwrap();
    let mut texts = Vec::new();
    for key in
        [&wrong, &revoked, &over, "blr_", "blr_unknown00000_0000000000000000000000000000000000000000000"]
    {
        let answer = get(&api, key, "/api/v1/jobs").await;
        assert_eq!(answer.problem(401), "invalid_key");
        assert!(answer.header("www-authenticate").starts_with("Bearer"));
        texts.push(answer.text);
    }
    assert!(texts.windows(2).all(|pair| pair[0] == pair[1]), "the answer tells nothing of the key");
    assert_eq!(get(&api, &good, "/api/v1/jobs").await.status, 200);
}

#[tokio::test]
async fn guessing_is_slowed_down_and_locks_nobody_out() {
    let api = start().await;
    let (_, good) = issued(&api, "user", None).await;
    let mut held_back = 0;
    // Many at once, until they are more than may be wrong within a second.
    for round in 0..100 {
        let guesses = (0..64).map(|n| format!("{}{:03}", &good[..good.len() - 3], (round * 64 + n) % 1_000));
        let guesses: Vec<String> = guesses.collect();
        let answers =
            futures_util::future::join_all(guesses.iter().map(|guess| get(&api, guess, "/api/v1/jobs")));
        for answer in answers.await {
            match answer.status {
                401 => {}
                429 => held_back += 1,
                other => panic!("{other}"),
            }
        }
        if held_back > 0 {
            break;
        }
    }
    assert!(held_back > 0);
    assert_eq!(get(&api, &good, "/api/v1/jobs").await.status, 200);
}

#[tokio::test]
async fn a_stream_ends_with_the_key_it_was_opened_with() {
    let config = ApiConfig { heartbeat: std::time::Duration::from_millis(20), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let (id, key) = issued(&api, "user", None).await;
    let mut stream = api.request(Method::GET, "/api/v1/sse").bearer_auth(&key).send().await.unwrap();
    let mut text = String::new();
    while !text.contains("\n\n:\n\n") {
        text +=
            std::str::from_utf8(&stream.chunk().await.unwrap().expect("it goes on while the key is good"))
                .unwrap();
    }
    api.store.api_keys().revoke(&Scope::All, &id, now_ms()).await.unwrap();
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text += std::str::from_utf8(&chunk).unwrap();
    }
    assert!(text.ends_with("retry: 1000\n\n"), "{text}");
}
