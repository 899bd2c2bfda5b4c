//! Exports over real HTTP: asked for, watched and downloaded. What makes the file is the worker's, so the tests stand in for it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use bulrush::model::{ErrorKind, JobError, Outcome};
use bulrush_store::{Area, Completion, FileState, StoreError};
use futures_util::stream;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, Fixture, Who, start};

const PATH: &str = "/api/v1/exports";

fn wanted() -> Value {
    json!({"entity": "observations", "format": "csv", "startDate": "2024-01-01", "filters": {"metric": "price"}})
}

async fn asked(api: &Fixture) -> String {
    let answer = api.post(Who::Ada, PATH, &wanted()).await;
    let body = answer.expect(202);
    assert_eq!((&body["success"], &body["status"]), (&json!(true), &json!("pending")));
    assert_eq!(body["exportId"], body["jobId"]);
    let id = body["exportId"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), format!("{PATH}/{id}"));
    id
}

async fn export(api: &Fixture, id: &str) -> Value {
    api.get(Who::Ada, &format!("{PATH}/{id}")).await.expect(200)["export"].clone()
}

/// What the worker does.
async fn make(api: &Fixture, id: &str, content: &'static str) {
    let (worker, job) = api.take("export").await;
    let files = api.store.files();
    let next = FileState::Processing;
    let moved: Result<bool, StoreError> =
        api.store.write(async |tx| files.set_state(tx, id, next, None).await).await;
    assert!(moved.unwrap());
    assert_eq!(export(api, id).await["status"], "processing");
    let bytes = stream::iter([Ok::<_, std::io::Error>(bytes::Bytes::from_static(content.as_bytes()))]);
    let object = api.objects.put(Area::Outputs, bytes, 1_000).await.unwrap();
    let done: Result<Completion, StoreError> =
        api.store.write(async |tx| files.complete(tx, id, &object).await).await;
    assert_eq!(done.unwrap(), Completion::Done { replaced: None });
    api.settle("export", worker, job, Outcome::Complete { result: None, follow_ups: Vec::new() }).await;
}

#[tokio::test]
async fn an_export_is_asked_for_watched_and_downloaded_by_its_owner() {
    let api = start().await;
    let id = asked(&api).await;
    let pending = export(&api, &id).await;
    assert_eq!(
        (&pending["status"], &pending["size"], &pending["download"]),
        (&json!("pending"), &Value::Null, &Value::Null)
    );
    let path = format!("{PATH}/{id}/download");
    for early in [&path, &format!("/api/v1/files/{id}/download")] {
        assert_eq!(api.get(Who::Ada, early).await.problem(409), "not_ready");
    }

    make(&api, &id, "day,value\r\n").await;
    let done = export(&api, &id).await;
    assert_eq!(
        (&done["status"], &done["size"], &done["download"]),
        (&json!("completed"), &json!(11), &json!(path))
    );
    let file = api.get(Who::Ada, &path).await;
    assert_eq!((file.status, file.text.as_str()), (200, "day,value\r\n"));
    assert_eq!(file.header("content-type"), "text/csv");
    assert_eq!(file.header("cache-control"), "private, no-store");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let name = file.header("content-disposition");
    assert!(name.starts_with("attachment; filename=\"observations-") && name.ends_with(".csv\""), "{name}");
    // It is a file like any other, under the same id.
    assert_eq!(api.get(Who::Ada, &format!("/api/v1/files/{id}/download")).await.text, file.text);

    let unknown = "exp-01hzzzzzzzzzzzzzzzzzzzzzzz";
    for who in [Who::Bob, Who::OtherAda] {
        for (tail, code) in [("", "unknown_export"), ("/download", "unknown_export")] {
            let foreign = api.get(who, &format!("{PATH}/{id}{tail}")).await;
            let absent = api.get(who, &format!("{PATH}/{unknown}{tail}")).await;
            assert_eq!((foreign.problem(404), absent.problem(404)), (code.into(), code.into()));
            assert_eq!(foreign.text.replace(&id, "ID"), absent.text.replace(unknown, "ID"));
        }
    }
}

#[tokio::test]
async fn what_cannot_be_exported_is_refused_field_by_field() {
    let api = start().await;
    for (body, fields) in [
        (json!({}), vec!["format"]),
        (json!({"format": "pdf;rm"}), vec!["format"]),
        (json!({"format": "csv", "entity": "pg_shadow"}), vec!["entity"]),
        (json!({"format": "csv", "filters": {"$gt": ""}}), vec!["filters.$gt"]),
        (json!({"format": "csv", "propertyId": "nobody's"}), vec!["propertyId"]),
        (json!({"format": "csv", "startDate": "2024-13-01", "userId": "bob"}), vec!["startDate", "userId"]),
    ] {
        let answer = api.post(Who::Ada, PATH, &body).await;
        assert_eq!(
            (answer.status, answer.fields()),
            (422, fields.iter().map(ToString::to_string).collect()),
            "{body}"
        );
    }
    for body in ["", "[]", "null", "{\"format\": \"csv\",}"] {
        let request = api.as_who(Who::Ada, Method::POST, PATH).header("content-type", "application/json");
        assert_eq!(Answer::of(request.body(body).send().await.unwrap()).await.status, 400, "{body}");
    }
    assert_eq!(api.depth("export").await, 0);
}

#[tokio::test]
async fn one_idempotency_key_makes_one_export() {
    let api = start().await;
    let post = async |body: &Value| {
        let request = api.as_who(Who::Ada, Method::POST, PATH).header("content-type", "application/json");
        Answer::of(request.header("idempotency-key", "k-1").body(body.to_string()).send().await.unwrap())
            .await
    };
    let first = post(&wanted()).await.expect(202);
    assert_eq!(post(&wanted()).await.expect(200)["exportId"], first["exportId"]);
    assert_eq!(post(&json!({"format": "json"})).await.problem(409), "idempotency_conflict");
    assert_eq!(api.depth("export").await, 1);
}

#[tokio::test]
async fn an_export_whose_job_did_not_get_there_says_so() {
    let api = start().await;
    let failed = asked(&api).await;
    let (worker, job) = api.take("export").await;
    let error = JobError { kind: ErrorKind::Unrecoverable, message: "the disk is full".into() };
    api.settle("export", worker, job, Outcome::Fail { error }).await;
    let view = export(&api, &failed).await;
    assert_eq!((&view["status"], &view["problem"]), (&json!("failed"), &json!("the disk is full")));
    assert_eq!(api.get(Who::Ada, &format!("{PATH}/{failed}/download")).await.problem(409), "not_ready");

    let cancelled = asked(&api).await;
    api.post(Who::Ada, &format!("/api/v1/queues/export/jobs/{cancelled}/cancel"), &json!({}))
        .await
        .expect(200);
    assert_eq!(export(&api, &cancelled).await["status"], "failed");
    // Added past this address: there is no row yet, and the job says how it is.
    let id = api.add(Who::Ada, "data:export", &json!({"name": "monthly", "data": wanted()})).await;
    assert_eq!(export(&api, &id).await["status"], "pending");
    assert_eq!(api.get(Who::Ada, &format!("/api/v1/files/{id}")).await.problem(404), "unknown_file");
}
