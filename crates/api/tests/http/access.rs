//! Who may call what: every route of the document, asked as nobody, as the owner, as another user of the tenant, as the tenant's viewer
//! and as an administrator, compared with a table that is read and agreed to by people: `access.txt`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::common::{Answer, Fixture, Who, start, start_with};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use reqwest::Method;
use serde_json::{Value, json};

const TABLE: &str = include_str!("access.txt");

/// What a route is asked with, where an empty body would not do.
fn body_of(operation: &Value) -> Option<Value> {
    let body = &operation["requestBody"]["content"]["application/json"];
    if body.is_null() {
        return None;
    }
    Some(match operation["operationId"].as_str().unwrap() {
        "addJob" => json!({"data": {}}),
        "addJobs" => json!({"jobs": [{"data": {}}]}),
        "addFlow" => json!({"queue": "analytics"}),
        "changeJob" => json!({"priority": 1}),
        "addExport" => json!({"format": "csv"}),
        "addWebhook" => json!({"url": "https://example.com/hook"}),
        "addSchedule" => json!({"queue": "analytics", "cron": "0 3 * * *"}),
        "enableSchedule" => json!({"enabled": true}),
        "addTemplate" | "changeTemplate" => json!({"name": "t", "queue": "analytics"}),
        _ => json!({}),
    })
}

async fn ask(api: &Fixture, who: Option<Who>, method: &str, path: &str, operation: &Value) -> Answer {
    // A job of Ada's own for each question, so that none depends on the one before.
    let job = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    let path = path.replace("{queue}", "analytics").replace("{id}", &job);
    let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
    let mut request = match who {
        None => api.request(method, &path),
        Some(who) => api.as_who(who, method, &path),
    };
    if let Some(body) = body_of(operation) {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    if path.ends_with("/sse") {
        // It has no end: its head is the answer.
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        return Answer { status, headers, text: String::new() };
    }
    Answer::of(request.send().await.unwrap()).await
}

#[tokio::test]
async fn every_route_answers_each_role_as_the_table_says() {
    // There are more routes than requests that one user may send in a second.
    let api =
        start_with(ApiConfig { rate_user: 0, rate_tenant: 0, ..ApiConfig::default() }, Catalog::default())
            .await;
    let document = api.get(Who::Admin, "/api/v1/openapi.json").await.expect(200);
    let mut lines = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let mut line = format!("{:6} {path:48}", method.to_uppercase());
            for who in [None, Some(Who::Ada), Some(Who::Bob), Some(Who::Viewer), Some(Who::Admin)] {
                let answer = ask(&api, who, method, path, operation).await;
                let _ = write!(line, " {}", answer.status);
            }
            lines.insert(line);
        }
    }
    let head = "method address                                          none owner other viewer admin\n";
    let found = lines.iter().fold(head.to_owned(), |text, line| text + line + "\n");
    assert!(
        found == TABLE,
        "tests/http/access.txt is not what the routes do; if what they do is meant, write it there:\n{found}"
    );
}

#[tokio::test]
async fn what_is_foreign_reads_like_what_never_was() {
    let api = start().await;
    let document = api.get(Who::Admin, "/api/v1/openapi.json").await.expect(200);
    let unknown = "ana-01hzzzzzzzzzzzzzzzzzzzzzzz";
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if !path.contains("/jobs/{id}") {
                continue;
            }
            let job = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
            let mut texts = Vec::new();
            for id in [job.as_str(), unknown] {
                let path = path.replace("{queue}", "analytics").replace("{id}", id);
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let mut request = api.as_who(Who::OtherAda, method, &path);
                if let Some(body) = body_of(operation) {
                    request = request.header("content-type", "application/json").body(body.to_string());
                }
                let answer = Answer::of(request.send().await.unwrap()).await;
                assert_eq!(answer.problem(404), "unknown_job", "{path}");
                texts.push(answer.text.replace(id, "ID"));
            }
            assert_eq!(texts[0], texts[1]);
            let kept = api.get(Who::Ada, &format!("/api/v1/jobs/{job}")).await.expect(200);
            assert_eq!(kept["job"]["status"], "waiting", "{method} {path} has changed it");
        }
    }
}
