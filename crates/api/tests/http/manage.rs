//! Bulk adds, flows, what is done to jobs, dead letters and queues, over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;

use crate::common::{Answer, Fixture, Who, start, start_with};
use bulrush::model::{ErrorKind, JobError, Outcome};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use reqwest::Method;
use serde_json::{Value, json};

const ANALYTICS: &str = "/api/v1/queues/analytics";

fn job(n: usize) -> Value {
    json!({"name": "analyze", "data": {"productId": format!("p-{n}"), "horizon": 30}})
}

async fn send(api: &Fixture, who: Who, method: Method, path: &str, body: Option<Value>) -> Answer {
    let mut request = api.as_who(who, method, path);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Answer::of(request.send().await.unwrap()).await
}

/// Takes the next job and lets it fail for good.
async fn fail_one(api: &Fixture, reason: &str) {
    let (worker, job) = api.take("analytics").await;
    let error = JobError { kind: ErrorKind::Unrecoverable, message: reason.into() };
    api.settle("analytics", worker, job, Outcome::Fail { error }).await;
}

#[tokio::test]
async fn many_jobs_are_added_together_or_not_at_all() {
    let api = start().await;
    let path = format!("{ANALYTICS}/jobs/bulk");
    let jobs: Vec<Value> = (0..1_000).map(job).collect();
    let answer = api.post(Who::Ada, &path, &json!({"jobs": jobs})).await.expect(202);
    assert_eq!(answer["data"]["added"], 1_000);
    let ids: HashSet<&str> =
        answer["data"]["jobs"].as_array().unwrap().iter().map(|job| job["jobId"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 1_000);
    assert_eq!(api.depth("analytics").await, 1_000);

    let mut bad: Vec<Value> = (0..999).map(job).collect();
    bad.insert(500, json!({"name": "analyze", "options": {"priority": -1, "attempts": 0}}));
    let answer = api.post(Who::Ada, &path, &json!({"jobs": bad})).await;
    assert_eq!(answer.fields(), ["jobs[500].options.priority", "jobs[500].options.attempts"]);
    for (jobs, field) in [(json!([]), "jobs"), (Value::from(vec![job(1); 1_001]), "jobs")] {
        assert_eq!(api.post(Who::Ada, &path, &json!({"jobs": jobs})).await.fields(), [field]);
    }
    assert_eq!(api.depth("analytics").await, 1_000, "nothing was added by those");

    // The same name twice is one job.
    let twin = json!({"name": "analyze", "options": {"jobId": "mine"}});
    let answer = api.post(Who::Ada, &path, &json!({"jobs": [twin, twin]})).await.expect(202);
    assert_eq!((&answer["data"]["added"], &answer["data"]["jobs"][1]["isNew"]), (&json!(1), &json!(false)));
    assert_eq!(answer["data"]["jobs"][0]["jobId"], answer["data"]["jobs"][1]["jobId"]);
    assert_eq!(answer["data"]["jobs"][1]["clientId"], "mine");
}

#[tokio::test]
async fn a_bulk_add_with_a_key_happens_once() {
    let api = start().await;
    let path = format!("{ANALYTICS}/jobs/bulk");
    let send = async |body: &Value| {
        let request = api.as_who(Who::Ada, Method::POST, &path).header("idempotency-key", "k-1");
        Answer::of(
            request.header("content-type", "application/json").body(body.to_string()).send().await.unwrap(),
        )
        .await
    };
    let body = json!({"jobs": [job(1), job(2), job(3)]});
    let first = send(&body).await.expect(202);
    let again = send(&body).await.expect(200);
    let ids = |answer: &Value| -> Vec<String> {
        let jobs = answer["data"]["jobs"].as_array().unwrap();
        jobs.iter().map(|job| job["jobId"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids(&first), ids(&again));
    assert_eq!(again["data"]["jobs"][0]["status"], "waiting");
    assert_eq!(send(&json!({"jobs": [job(1)]})).await.problem(409), "idempotency_conflict");
    assert_eq!(api.depth("analytics").await, 3);
}

#[tokio::test]
async fn a_queue_that_is_nearly_full_takes_none_of_too_many() {
    let settings = [("BULRUSH_QUEUE_ANALYTICS_DEPTH_MAX".to_owned(), "5".to_owned())];
    let api = start_with(ApiConfig::default(), Catalog::with_settings(settings).unwrap()).await;
    let path = format!("{ANALYTICS}/jobs/bulk");
    let jobs: Vec<Value> = (0..6).map(job).collect();
    let answer = api.post(Who::Ada, &path, &json!({"jobs": jobs})).await;
    assert_eq!(answer.problem(429), "queue_full");
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(api.depth("analytics").await, 0);
    api.post(Who::Ada, &path, &json!({"jobs": jobs[..5]})).await.expect(202);
}

#[tokio::test]
async fn a_flow_runs_from_its_leaves_and_is_its_owner_s_alone() {
    let api = start().await;
    let flow = json!({
        "queue": "analytics", "name": "analyze", "data": {"productId": "p"},
        "children": [
            {"queue": "alerts", "data": {}, "options": {"jobId": "leaf"}},
            {"queue": "prediction", "name": "generate", "data": {}, "onFailure": "ignore", "children": [{"queue": "metrics:calculation"}]},
        ],
    });
    let answer = api.post(Who::Ada, "/api/v1/flows", &flow).await.expect(202);
    let root = &answer["data"];
    assert_eq!(
        (&root["status"], &root["children"][0]["status"]),
        (&json!("waiting-children"), &json!("waiting"))
    );
    assert_eq!(root["children"][1]["children"][0]["queueName"], "metrics:calculation");
    let id = root["jobId"].as_str().unwrap();
    let path = format!("{ANALYTICS}/jobs/{id}/children");
    let children = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!(children["data"]["pending"], 2);
    assert_eq!(children["data"]["children"][0]["id"], root["children"][0]["jobId"]);
    assert_eq!(api.get(Who::Bob, &path).await.problem(404), "unknown_job");
    api.complete("alerts", &json!({"ok": 1})).await;
    let children = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!(children["data"]["children"][0]["result"], json!({"ok": 1}));

    // Another user's job of the same name is no child of this one.
    let other =
        json!({"queue": "analytics", "children": [{"queue": "alerts", "options": {"jobId": "leaf"}}]});
    let own = api.post(Who::Bob, "/api/v1/flows", &other).await.expect(202);
    assert_ne!(own["data"]["children"][0]["jobId"], root["children"][0]["jobId"]);
}

#[tokio::test]
async fn a_flow_is_refused_as_a_whole_with_the_place_of_what_is_wrong() {
    let api = start().await;
    let mut deep = json!({"queue": "analytics"});
    for _ in 0..16 {
        deep = json!({"queue": "analytics", "children": [deep]});
    }
    assert_eq!(api.post(Who::Ada, "/api/v1/flows", &deep).await.fields(), ["children"]);
    let wide = json!({"queue": "analytics", "children": vec![json!({"queue": "analytics"}); 1_000]});
    assert_eq!(api.post(Who::Ada, "/api/v1/flows", &wide).await.fields(), ["children"]);
    let bad = json!({"queue": "analytics", "children": [
        {"queue": "analytics"},
        {"queue": "analytics", "children": [{"queue": "analytics", "options": {"delay": -1}, "data": 7}]},
    ]});
    let answer = api.post(Who::Ada, "/api/v1/flows", &bad).await;
    assert_eq!(answer.fields(), ["children[1].children[0].options.delay", "children[1].children[0].data"]);
    let unknown = json!({"queue": "analytics", "children": [{"queue": "nowhere"}]});
    let answer = api.post(Who::Ada, "/api/v1/flows", &unknown).await;
    assert_eq!(
        (answer.problem(404).as_str(), &answer.json()["item"]),
        ("unknown_queue", &json!("children[0]"))
    );
    let internal = json!({"queue": "analytics", "children": [{"queue": "cleanup"}]});
    assert_eq!(api.post(Who::Ada, "/api/v1/flows", &internal).await.problem(403), "forbidden");
    assert_eq!(api.depth("analytics").await, 0);
}

#[tokio::test]
async fn a_job_is_cancelled_removed_promoted_and_changed_by_its_owner() {
    let api = start().await;
    let delayed = json!({"name": "analyze", "options": {"delay": 3_600_000}});
    let id = api.add(Who::Ada, "analytics", &delayed).await;
    let path = format!("{ANALYTICS}/jobs/{id}");

    let change = json!({"priority": 7, "delay": 60_000, "data": {"productId": "p-2"}});
    let changed = send(&api, Who::Ada, Method::PATCH, &path, Some(change)).await.expect(200);
    let data = &changed["data"];
    assert_eq!((&data["priority"], &data["data"]["productId"]), (&json!(7), &json!("p-2")));
    for (bad, field) in [
        (json!({}), "priority"),
        (json!({"priority": -1}), "priority"),
        (json!({"delay": "1s"}), "delay"),
        (json!({"delay": 1, "runAt": 1}), "runAt"),
    ] {
        assert_eq!(send(&api, Who::Ada, Method::PATCH, &path, Some(bad)).await.fields(), [field]);
    }
    let foreign = json!({"data": {"userId": "bob"}});
    assert_eq!(send(&api, Who::Ada, Method::PATCH, &path, Some(foreign)).await.fields(), ["data.userId"]);

    let said = send(&api, Who::Ada, Method::POST, &format!("{path}/promote"), None).await.expect(200);
    assert_eq!(said["success"], true);
    let again = send(&api, Who::Ada, Method::POST, &format!("{path}/promote"), None).await;
    assert_eq!(
        (again.problem(409).as_str(), &again.json()["job"]["status"]),
        ("wrong_state", &json!("waiting"))
    );

    let (worker, taken) = api.take("analytics").await;
    assert_eq!(send(&api, Who::Ada, Method::DELETE, &path, None).await.problem(409), "wrong_state");
    let change = send(&api, Who::Ada, Method::PATCH, &path, Some(json!({"data": {}}))).await;
    assert_eq!(change.problem(409), "wrong_state");
    let asked = send(&api, Who::Ada, Method::POST, &format!("{path}/cancel"), None).await.expect(202);
    assert_eq!(asked["status"], "active");
    let error = JobError { kind: ErrorKind::Retryable, message: "stopped".into() };
    api.settle("analytics", worker, taken, Outcome::Fail { error }).await;
    let job = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!(job["data"]["status"], "cancelled");

    let retried = send(&api, Who::Ada, Method::POST, &format!("{path}/retry"), None).await.expect(200);
    assert_eq!((&retried["message"], &retried["jobId"]), (&json!("Job retry initiated"), &json!(id)));
    let cancelled =
        send(&api, Who::Ada, Method::POST, &format!("/api/queues/analytics/jobs/{id}/cancel"), None).await;
    assert_eq!(cancelled.expect(200)["status"], "failed", "as the seeds' pollers know it");
    let removed = send(&api, Who::Ada, Method::DELETE, &path, None).await.expect(200);
    assert_eq!(removed["message"], "Job removed successfully");
    assert_eq!(send(&api, Who::Ada, Method::DELETE, &path, None).await.problem(404), "unknown_job");
}

#[tokio::test]
async fn dead_letters_are_listed_retried_and_removed_by_filter_within_what_is_one_s_own() {
    let api = start().await;
    for (who, n) in [(Who::Ada, 0), (Who::Bob, 1), (Who::Ada, 2), (Who::OtherAda, 3)] {
        let mut body = job(n);
        body["options"] = json!({"tags": [if n == 2 { "late" } else { "early" }]});
        api.add(who, "analytics", &body).await;
        fail_one(&api, "Weather API timeout").await;
    }
    let list = api.get(Who::Ada, "/api/jobs/dlq/list").await.expect(200);
    assert_eq!((&list["total"], list["failedJobs"].as_array().unwrap().len()), (&json!(2), 2));
    let first = &list["failedJobs"][0];
    assert_eq!((&first["error"], &first["attemptsMade"]), (&json!("Weather API timeout"), &json!(1)));
    assert_eq!((&first["data"]["productId"], &first["queue"]), (&json!("p-2"), &json!("analytics")));
    assert!(first["failedAt"].is_u64());
    assert_eq!(api.get(Who::Viewer, "/api/jobs/dlq/list").await.expect(200)["total"], 3);
    assert_eq!(api.get(Who::Admin, "/api/jobs/dlq/list").await.expect(200)["total"], 4);

    let dry = api.post(Who::Ada, "/api/v1/jobs/dlq/retry?dryRun=true", &json!({})).await.expect(200);
    assert_eq!((&dry["matched"], &dry["changed"], &dry["dryRun"]), (&json!(2), &json!(0), &json!(true)));
    assert_eq!(api.get(Who::Admin, "/api/jobs/dlq/list").await.expect(200)["total"], 4);
    let done = api.post(Who::Ada, "/api/v1/jobs/dlq/retry?tag=late", &json!({})).await.expect(200);
    assert_eq!((&done["matched"], &done["changed"]), (&json!(1), &json!(1)));
    let gone = send(&api, Who::Ada, Method::DELETE, "/api/v1/jobs/dlq?limit=1", None).await.expect(200);
    assert_eq!((&gone["changed"], &gone["more"]), (&json!(1), &json!(false)));
    assert_eq!(api.get(Who::Admin, "/api/jobs/dlq/list").await.expect(200)["total"], 2, "others' are left");
    let viewer = api.post(Who::Viewer, "/api/v1/jobs/dlq/retry", &json!({})).await;
    assert_eq!(viewer.problem(403), "forbidden");
    for bad in ["dryRun=maybe", "limit=0", "limit=1001", "since=yesterday", "queue=nowhere"] {
        assert_eq!(
            api.post(Who::Ada, &format!("/api/v1/jobs/dlq/retry?{bad}"), &json!({})).await.status,
            422,
            "{bad}"
        );
    }
}

#[tokio::test]
async fn a_dead_letter_is_retried_with_other_data() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &job(1)).await;
    fail_one(&api, "no such product").await;
    let path = format!("/api/v1/jobs/{id}/retry");
    let bad = api.post(Who::Ada, &path, &json!({"data": {"userId": "bob"}})).await;
    assert_eq!(bad.fields(), ["data.userId"]);
    api.post(Who::Ada, &path, &json!({"data": {"productId": "p-9"}})).await.expect(200);
    let (_, taken) = api.take("analytics").await;
    assert_eq!(
        &taken.spec.data[..],
        br#"{"productId": "p-9"}"#.as_slice().iter().filter(|b| **b != b' ').copied().collect::<Vec<_>>()
    );
    let again = api.post(Who::Ada, &path, &json!({})).await;
    assert_eq!(
        (again.problem(409).as_str(), &again.json()["job"]["status"]),
        ("wrong_state", &json!("active"))
    );
}

#[tokio::test]
async fn jobs_are_found_by_name_tag_text_and_time() {
    let api = start().await;
    api.add(
        Who::Ada,
        "analytics",
        &json!({"name": "first", "data": {"x": "needle"}, "options": {"tags": ["t"]}}),
    )
    .await;
    api.add(Who::Ada, "analytics", &json!({"name": "second", "data": {"x": "hay"}})).await;
    let count = async |query: &str| {
        api.get(Who::Ada, &format!("/api/v1/jobs?{query}")).await.expect(200)["total"].clone()
    };
    assert_eq!(count("name=first").await, 1);
    assert_eq!(count("tag=t").await, 1);
    assert_eq!(count("q=needle").await, 1);
    assert_eq!(count("q=%25").await, 0, "no pattern, a text");
    assert_eq!(count("since=2000-01-01T00:00:00Z").await, 2);
    assert_eq!(count("since=4000000000000").await, 0);
    for bad in ["name=", "tag=a&tag=b", "q=%00", "since=1.5"] {
        assert_eq!(api.get(Who::Ada, &format!("/api/v1/jobs?{bad}")).await.status, 422, "{bad}");
    }
}

#[tokio::test]
async fn queues_tell_whole_numbers_to_administrators_and_everybody_their_own() {
    let api = start().await;
    for who in [Who::Ada, Who::Bob, Who::OtherAda] {
        api.add(who, "analytics", &job(1)).await;
    }
    let waiting =
        async |who: Who, path: &str| api.get(who, path).await.expect(200)["data"]["waiting"].clone();
    for path in [
        "/api/v1/queues/analytics/metrics",
        "/api/v1/queues/analytics/stats",
        "/api/v1/queues/analytics-queue/counts",
    ] {
        assert_eq!(waiting(Who::Ada, path).await, 1, "{path}");
        assert_eq!(waiting(Who::Viewer, path).await, 2, "{path}");
        assert_eq!(waiting(Who::Admin, path).await, 3, "{path}");
    }
    let all = api.get(Who::Ada, "/api/v1/queues/metrics").await.expect(200);
    assert_eq!(
        all["data"]["analytics"],
        json!({"waiting": 1, "active": 0, "completed": 0, "failed": 0, "delayed": 0}),
        "seed 002's five counts and nothing else"
    );
    assert_eq!(all["data"].as_object().unwrap().len(), 22);
    let stats = api.get(Who::Admin, "/api/v1/queues/analytics-queue/stats").await.expect(200);
    let keys: HashSet<&str> = stats["data"].as_object().unwrap().keys().map(String::as_str).collect();
    let wanted = ["queueName", "waiting", "active", "completed", "failed", "delayed", "isPaused", "total"];
    assert_eq!(keys, wanted.into());
    assert_eq!(stats["data"]["queueName"], "analytics-queue");
    let queues = api.get(Who::Ada, "/api/v1/queues").await.expect(200);
    assert_eq!(queues["data"].as_array().unwrap().len(), 22);
}

#[tokio::test]
async fn failed_jobs_of_a_queue_are_read_by_place() {
    let api = start().await;
    for n in 0..12 {
        api.add(Who::Ada, "analytics", &job(n)).await;
        fail_one(&api, "no").await;
    }
    let products = async |query: &str| {
        let answer = api.get(Who::Admin, &format!("{ANALYTICS}/failed{query}")).await.expect(200);
        let jobs = answer["data"].as_array().unwrap();
        jobs.iter().map(|job| job["data"]["productId"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(products("").await.len(), 10);
    assert_eq!(products("?start=0&end=10").await.len(), 11);
    assert_eq!(products("?start=10&end=10").await, ["p-1"]);
    for bad in [
        "start=3&end=2",
        "start=-1",
        "end=1e18",
        "start=0x10",
        "start=0&end=100",
        "start=901",
        "start=1&start=2",
    ] {
        assert_eq!(api.get(Who::Admin, &format!("{ANALYTICS}/failed?{bad}")).await.status, 422, "{bad}");
    }
    assert_eq!(api.get(Who::Ada, &format!("{ANALYTICS}/failed")).await.problem(403), "forbidden");
}

#[tokio::test]
async fn queues_are_paused_resumed_cleaned_and_drained_by_administrators() {
    let api = start().await;
    for n in 0..5 {
        api.add(Who::Ada, "analytics", &job(n)).await;
    }
    for _ in 0..2 {
        let said = api.post(Who::Admin, &format!("{ANALYTICS}/pause"), &json!({})).await.expect(200);
        assert_eq!(said, json!({"success": true, "message": "Queue paused successfully"}));
    }
    assert_eq!(api.get(Who::Ada, &format!("{ANALYTICS}/stats")).await.expect(200)["data"]["isPaused"], true);
    api.add(Who::Ada, "analytics", &job(9)).await;
    for _ in 0..2 {
        let said = api.post(Who::Admin, &format!("{ANALYTICS}/resume"), &json!({})).await.expect(200);
        assert_eq!(said, json!({"success": true, "message": "Queue resumed successfully"}));
    }
    api.complete("analytics", &json!({})).await;
    fail_one(&api, "no").await;
    let (_worker, _active) = api.take("analytics").await;

    let clean = async |body: Value| api.post(Who::Admin, &format!("{ANALYTICS}/clean"), &body).await;
    // Seed 004's advice for stalled jobs, and what is wrong otherwise.
    assert_eq!(clean(json!({"grace": 0, "limit": 1, "type": "active"})).await.problem(409), "wrong_state");
    assert_eq!(clean(json!({"type": "active", "grace": 0, "limit": 0})).await.problem(409), "wrong_state");
    for (bad, field) in [
        (json!({"grace": -1}), "grace"),
        (json!({"limit": -1}), "limit"),
        (json!({"limit": 0}), "limit"),
        (json!({"limit": 1e9}), "limit"),
        (json!({"type": "all"}), "type"),
        (json!({"type": null}), "type"),
        (json!({"gracePeriod": "1h"}), "gracePeriod"),
        (json!({"grace": 1, "gracePeriod": 1}), "gracePeriod"),
        (json!({"age": 1}), "age"),
    ] {
        assert_eq!(clean(bad.clone()).await.fields(), [field], "{bad}");
    }
    let kept = clean(json!({"gracePeriod": 3600})).await.expect(200);
    assert_eq!(
        (&kept["message"], &kept["data"]["removed"]),
        (&json!("Queue cleaned successfully"), &json!(0))
    );
    let cleaned = clean(json!({"grace": 0, "limit": 1000, "type": "failed"})).await.expect(200);
    assert_eq!(cleaned["data"], json!({"removed": 1, "more": false}));
    assert_eq!(clean(json!({"grace": 0})).await.expect(200)["data"]["removed"], 1, "the completed one");
    let drained = api.post(Who::Admin, &format!("{ANALYTICS}/drain"), &json!({"limit": 2})).await.expect(200);
    assert_eq!(drained["data"], json!({"removed": 2, "more": true}));
    let counts = api.get(Who::Admin, &format!("{ANALYTICS}/counts")).await.expect(200);
    assert_eq!((&counts["data"]["waiting"], &counts["data"]["active"]), (&json!(1), &json!(1)));
    for path in ["pause", "resume", "clean", "drain"] {
        for who in [Who::Ada, Who::Viewer] {
            assert_eq!(
                api.post(who, &format!("{ANALYTICS}/{path}"), &json!({})).await.problem(403),
                "forbidden"
            );
        }
    }
}

#[tokio::test]
async fn workers_are_counted_for_everybody_and_named_for_administrators() {
    let api = start().await;
    api.add(Who::Ada, "analytics", &job(1)).await;
    let (_worker, taken) = api.take("analytics").await;
    let open = Answer::of(api.request(Method::GET, "/api/v1/workers/status").send().await.unwrap())
        .await
        .expect(200);
    assert_eq!(
        (&open["data"]["workers"], &open["data"]["queues"]["analytics"]["running"]),
        (&json!(1), &json!(1))
    );
    assert!(open["data"]["queues"]["analytics"].get("details").is_none());
    let admin = api.get(Who::Admin, "/api/v1/workers/status").await.expect(200);
    let detail = &admin["data"]["queues"]["analytics"]["details"][0];
    assert_eq!((&detail["name"], &detail["running"][0]), (&json!("test"), &json!(taken.spec.id.as_str())));
    let wrong =
        api.request(Method::GET, "/api/v1/workers/status").bearer_auth("nonsense").send().await.unwrap();
    assert_eq!(Answer::of(wrong).await.problem(401), "invalid_token");
    let health = api.get(Who::Ada, "/api/v1/health/redis").await.expect(200);
    assert_eq!((&health["healthy"], &health["status"]), (&json!(true), &json!("excellent")));
}

#[tokio::test]
async fn what_a_job_logged_and_went_through_is_told_to_its_owner() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &job(1)).await;
    let (worker, taken) = api.take("analytics").await;
    let update = bulrush::port::Update {
        id: Fixture::job_id(&id),
        token: taken.token,
        change: bulrush::port::UpdateChange::Log {
            from: 0,
            lines: vec!["one".into(), "two\n{\"level\":\"fatal\"}".into()],
        },
    };
    let queue = bulrush::model::QueueName::new("analytics").unwrap();
    api.backend.update(&queue, vec![update]).await.unwrap();
    let outcome = Outcome::Complete { result: None, follow_ups: Vec::new() };
    api.settle("analytics", worker, taken, outcome).await;
    let logs = api.get(Who::Ada, &format!("{ANALYTICS}/jobs/{id}/logs?offset=1")).await.expect(200);
    assert_eq!(logs["data"]["total"], 2);
    assert_eq!(logs["data"]["lines"], json!([{"number": 1, "text": "two\n{\"level\":\"fatal\"}"}]));
    let events = api.get(Who::Ada, &format!("{ANALYTICS}/jobs/{id}/events")).await.expect(200);
    let words: Vec<&str> = events["data"]["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| event["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        (words.as_slice(), &events["data"]["complete"]),
        (&["added", "active", "completed"][..], &json!(true))
    );
    for path in ["logs", "events", "children"] {
        let foreign = api.get(Who::Bob, &format!("{ANALYTICS}/jobs/{id}/{path}")).await;
        assert_eq!(foreign.problem(404), "unknown_job");
        assert_eq!(
            api.get(Who::Ada, &format!("{ANALYTICS}/jobs/{id}/{path}?limit=0")).await.fields(),
            ["limit"]
        );
    }
}
