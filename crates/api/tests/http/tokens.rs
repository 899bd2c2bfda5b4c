//! Who gets in: every way of asking without a good token is refused alike.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::common::{Answer, Who, start};
use reqwest::Method;

/// Every route that needs a token.
const ROUTES: [(&str, &str); 8] = [
    ("POST", "/queues/analytics/jobs"),
    ("GET", "/queues/analytics/jobs/ana-1"),
    ("GET", "/jobs"),
    ("GET", "/jobs/ana-1"),
    ("POST", "/files"),
    ("GET", "/files/1"),
    ("POST", "/files/1/enrich"),
    ("GET", "/properties/1/features"),
];

#[tokio::test]
async fn no_route_but_health_and_metrics_answers_without_a_token() {
    let api = start().await;
    for prefix in ["/api/v1", "/api"] {
        for (method, path) in ROUTES {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let answer =
                Answer::of(api.request(method, &format!("{prefix}{path}")).send().await.unwrap()).await;
            assert_eq!(answer.problem(401), "missing_token", "{prefix}{path}");
            assert!(answer.header("www-authenticate").starts_with("Bearer"));
        }
        for path in ["/health", "/health/live", "/health/ready", "/metrics", "/metrics/json"] {
            for path in [path.to_owned(), format!("{prefix}{path}")] {
                let answer = Answer::of(api.request(Method::GET, &path).send().await.unwrap()).await;
                assert_eq!(answer.status, 200, "{path}: {}", answer.text);
            }
        }
    }
}

#[tokio::test]
async fn odd_authorization_headers_are_never_ambiguous() {
    let api = start().await;
    let token = api.token(Who::Ada);
    let send = async |values: &[String]| {
        let mut request = api.request(Method::GET, "/api/jobs");
        for value in values {
            request = request.header("authorization", value);
        }
        Answer::of(request.send().await.unwrap()).await
    };
    assert_eq!(send(&[format!("Bearer {token}")]).await.status, 200);
    assert_eq!(send(&[format!("bearer {token}")]).await.status, 200, "the scheme has no case");
    let twice = send(&[format!("Bearer {token}"), format!("Bearer {token}")]).await;
    assert_eq!(twice.problem(401), "ambiguous_token");
    for odd in [
        format!("Basic {token}"),
        format!("Bearer\t{token}"),
        format!("Bearer  {token}"),
        format!("Bearer{token}"),
        token.clone(),
        "Bearer ".to_owned(),
        "Bearer".to_owned(),
        String::new(),
        format!("Bearer {token} {token}"),
        format!("Bearer {token},Bearer {token}"),
    ] {
        let answer = send(std::slice::from_ref(&odd)).await;
        answer.problem(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{odd}");
        assert!(!answer.text.contains(&token));
    }
    let in_query = api.request(Method::GET, &format!("/api/jobs?token={token}&access_token={token}"));
    let in_query = in_query.header("cookie", format!("token={token}"));
    assert_eq!(Answer::of(in_query.send().await.unwrap()).await.problem(401), "missing_token");
}

#[tokio::test]
async fn forged_expired_and_swollen_tokens_are_refused() {
    let api = start().await;
    let ask = async |token: &str| {
        Answer::of(api.request(Method::GET, "/api/jobs").bearer_auth(token).send().await.unwrap()).await
    };
    let token = api.token(Who::Ada);
    let parts: Vec<&str> = token.split('.').collect();
    let admin = api.token(Who::Admin);
    let admin_claims = admin.split('.').nth(1).unwrap();
    // {"alg":"none"}, {"alg":"None"}, {"alg":"nOnE"}
    for header in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOb25lIn0", "eyJhbGciOiJuT25FIn0"] {
        for signature in ["", parts[2]] {
            assert_eq!(ask(&format!("{header}.{}.{signature}", parts[1])).await.status, 401);
        }
    }
    for changed in [
        format!("{}.{admin_claims}.{}", parts[0], parts[2]),
        token[..token.len() - 3].to_owned(),
        format!("{token}.extra"),
        format!("{}.{}", parts[0], parts[1]),
        "not-a-token".to_owned(),
        "%%%.%%%.%%%".to_owned(),
    ] {
        assert_eq!(ask(&changed).await.problem(401), "invalid_token", "{changed}");
    }
    let swollen = ask(&"A".repeat(100_000)).await;
    assert!(matches!(swollen.status, 401 | 431), "{}", swollen.status);
    // Good for nothing, so it ended now; the leeway lets it pass for a minute.
    let just_ended = api.tokens.mint(&Who::Ada.claims(), Duration::ZERO).unwrap();
    assert_eq!(ask(&just_ended).await.status, 200);
}
