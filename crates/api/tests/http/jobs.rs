//! Adding, reading, waiting for and listing jobs over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::HashSet;
use std::time::Duration;

use crate::common::{Answer, Fixture, Who, start, start_with};
use bulrush::model::{JobState, Outcome, Progress};
use bulrush::port::{AdminCommand, Update, UpdateChange};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use reqwest::Method;
use serde_json::{Value, json};

const ANALYTICS: &str = "/api/v1/queues/analytics/jobs";

fn analytics() -> Value {
    json!({"name": "analyze", "data": {"productId": "p-1", "horizon": 30}})
}

#[tokio::test]
async fn a_job_is_added_and_read_in_the_shapes_of_the_seeds() {
    let api = start().await;
    let body = json!({
        "jobName": "custom-report",
        "data": {"publisherId": "pub-123", "granularity": "day", "exact": 12_345_678_901_234_567_890_u64},
        "options": {"priority": 10, "delay": 5000, "attempts": 2, "tags": ["x"]},
    });
    let answer = api.post(Who::Ada, "/api/v1/queues/report:generation/jobs", &body).await;
    let added = answer.expect(202);
    assert_eq!(added["success"], true);
    assert_eq!(added["data"]["queueName"], "report:generation", "what the client said is echoed");
    assert_eq!(
        (&added["data"]["jobName"], &added["data"]["status"]),
        (&json!("custom-report"), &json!("delayed"))
    );
    let id = added["data"]["jobId"].as_str().unwrap();
    assert_eq!(answer.header("location"), format!("/api/v1/queues/reports/jobs/{id}"));

    let by_queue = api.get(Who::Ada, answer.header("location")).await.expect(200);
    let data = &by_queue["data"];
    assert_eq!(
        (&data["id"], &data["name"], &data["data"]),
        (&json!(id), &json!("custom-report"), &body["data"])
    );
    assert_eq!(
        (&data["progress"], &data["attemptsMade"], &data["processedOn"]),
        (&json!(0), &json!(0), &Value::Null)
    );
    assert_eq!((&data["priority"], &data["attempts"], &data["tags"]), (&json!(10), &json!(2), &json!(["x"])));

    let by_id = api.get(Who::Ada, &format!("/api/jobs/{id}")).await.expect(200);
    assert_eq!(
        (&by_id["success"], &by_id["job"]["id"], &by_id["job"]["status"]),
        (&json!(true), &json!(id), &json!("delayed"))
    );

    // Seed 004's load test: any valid name.
    let load = json!({"name": "load-test", "data": {"productId": "test-1"}});
    api.post(Who::Ada, ANALYTICS, &load).await.expect(202);
}

#[tokio::test]
async fn a_job_s_life_is_seen_in_its_status() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    let (worker, job) = api.take("analytics").await;
    let queue = job_queue("analytics");
    let progress = Progress { percent: 45, message: Some("Running models…".into()), data: None };
    let update =
        Update { id: Fixture::job_id(&id), token: job.token, change: UpdateChange::Progress(progress) };
    api.backend.update(&queue, vec![update]).await.unwrap();
    let path = format!("/api/jobs/{id}");
    let active = api.get(Who::Ada, &path).await.expect(200);
    let seen = &active["job"];
    assert_eq!(
        (&seen["status"], &seen["progress"], &seen["attemptsMade"]),
        (&json!("active"), &json!(45), &json!(1))
    );
    assert_eq!(seen["message"], "Running models…");
    assert!(seen["processedOn"].is_u64());
    for internal in ["token", "worker", "lease", "owner", "dedup", "settledBy"] {
        assert!(seen.get(internal).is_none(), "{internal} is shown: {seen}");
    }
    let outcome = Outcome::Complete { result: Some(r#"{"success":true}"#.into()), follow_ups: Vec::new() };
    api.settle("analytics", worker, job, outcome).await;
    let done = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!(
        (&done["job"]["status"], &done["job"]["result"]),
        (&json!("completed"), &json!({"success": true}))
    );
    assert!(done["job"]["finishedOn"].is_u64());
}

fn job_queue(name: &str) -> bulrush::model::QueueName {
    bulrush::model::QueueName::new(name).unwrap()
}

#[tokio::test]
async fn a_cancelled_job_reads_failed_where_the_seeds_pollers_look() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    let cancel = AdminCommand::Cancel(vec![Fixture::job_id(&id)]);
    api.backend.admin(&job_queue("analytics"), cancel).await.unwrap();
    let versioned = api.get(Who::Ada, &format!("/api/v1/jobs/{id}")).await.expect(200);
    assert_eq!(versioned["job"]["status"], "cancelled");
    let seed = api.get(Who::Ada, &format!("/api/jobs/{id}")).await.expect(200);
    assert_eq!(
        (&seed["job"]["status"], &seed["job"]["failedReason"]),
        (&json!("failed"), &json!("cancelled"))
    );
    let listed = api.get(Who::Ada, "/api/jobs?status=failed").await.expect(200);
    assert_eq!((&listed["jobs"][0]["id"], &listed["jobs"][0]["status"]), (&json!(id), &json!("failed")));
    assert_eq!(api.get(Who::Ada, "/api/v1/jobs?status=failed").await.expect(200)["total"], 0);
}

#[tokio::test]
async fn every_bad_field_of_a_job_is_named_at_once_and_nothing_is_added() {
    let api = start().await;
    let body = json!({
        "name": "a:b",
        "data": {"productId": "p", "userId": "somebody-else"},
        "options": {"priority": -1, "delay": "5s", "attempts": 0, "backoff": {"type": "eval"}, "prioritty": 1},
    });
    let answer = api.post(Who::Ada, ANALYTICS, &body).await;
    assert_eq!(answer.problem(422), "invalid_fields");
    let named: HashSet<String> = answer.fields().into_iter().collect();
    let wanted = [
        "name",
        "options.priority",
        "options.delay",
        "options.attempts",
        "options.backoff.type",
        "options.prioritty",
    ];
    assert_eq!(named, wanted.map(str::to_owned).into());
    let foreign = json!({"data": {"userId": "somebody-else"}});
    assert_eq!(api.post(Who::Ada, ANALYTICS, &foreign).await.fields(), ["data.userId"]);
    assert_eq!(api.depth("analytics").await, 0);
    api.post(Who::Admin, ANALYTICS, &foreign).await.expect(202);
    for name in ["", "../x", "<b>", "a b", "a\n", &"x".repeat(1_000)] {
        assert_eq!(
            api.post(Who::Ada, ANALYTICS, &json!({"name": name, "data": {}})).await.fields(),
            ["name"]
        );
    }
    for bad in [json!(7), json!(null), json!("x"), json!([""])] {
        assert_eq!(
            api.post(Who::Ada, ANALYTICS, &json!({"data": {}, "options": {"tags": bad}})).await.fields(),
            ["options.tags"]
        );
    }
    let both = json!({"name": "a", "jobName": "b", "data": {}});
    assert_eq!(api.post(Who::Ada, ANALYTICS, &both).await.fields(), ["jobName"]);
    let several = api.post(Who::Ada, "/api/v1/queues/feeds/jobs", &json!({"data": {}})).await;
    assert_eq!(several.fields(), ["name"]);
    assert!(several.text.contains("sync-weather"), "{}", several.text);
}

#[tokio::test]
async fn a_body_that_is_not_what_it_should_be_is_told_apart_by_kind() {
    let api = start().await;
    let send = async |content_type: Option<&str>, body: &[u8]| {
        let mut request = api.as_who(Who::Ada, Method::POST, ANALYTICS);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        Answer::of(request.body(body.to_vec()).send().await.unwrap()).await
    };
    let json = Some("application/json");
    for bad in [
        &b""[..],
        b"[",
        b"\"x\"",
        b"null",
        b"[]",
        b"{\"data\":{},}",
        b"{\"data\":NaN}",
        b"\xef\xbb\xbf{\"data\":{}}",
        b"{\"data\":{}}{\"data\":{}}",
        b"{\"data\":{},\"data\":{\"x\":1}}",
        b"\xff",
    ] {
        let answer = send(json, bad).await;
        assert_eq!(answer.problem(400), "invalid_json", "{:?}", String::from_utf8_lossy(bad));
    }
    let deep = format!("{{\"data\":{}{}}}", "{\"a\":".repeat(500), "1".to_owned() + &"}".repeat(500));
    assert_eq!(send(json, deep.as_bytes()).await.problem(400), "invalid_json");
    for bad in [&b"{\"dta\":{}}"[..], b"{\"data\":[1]}", b"{\"data\":\"x\"}", b"{\"data\":{},\"options\":3}"]
    {
        assert_eq!(send(json, bad).await.problem(422), "invalid_fields");
    }
    for content_type in
        [None, Some("text/plain"), Some("application/json; charset=utf-16"), Some("multipart/form-data")]
    {
        assert_eq!(
            send(content_type, b"{\"data\":{}}").await.problem(415),
            "unsupported_media_type",
            "{content_type:?}"
        );
    }
    assert_eq!(send(Some("application/json; charset=UTF-8"), b"{\"data\":{}}").await.status, 202);
    let packed = api.as_who(Who::Ada, Method::POST, ANALYTICS).header("content-type", "application/json");
    let packed = packed.header("content-encoding", "gzip").body(vec![0x1f, 0x8b, 8]).send().await.unwrap();
    assert_eq!(Answer::of(packed).await.problem(415), "unsupported_encoding");
    assert_eq!(api.depth("analytics").await, 1);
}

#[tokio::test]
async fn data_may_have_one_mebibyte_and_no_byte_more() {
    let api = start().await;
    let of_size = |bytes: usize| format!("{{\"data\":{{\"x\":\"{}\"}}}}", "a".repeat(bytes - 8));
    let send = async |body: String| {
        let request =
            api.as_who(Who::Ada, Method::POST, ANALYTICS).header("content-type", "application/json");
        Answer::of(request.body(body).send().await.unwrap()).await
    };
    assert_eq!(send(of_size(1 << 20)).await.status, 202);
    assert_eq!(send(of_size((1 << 20) + 1)).await.problem(413), "data_too_large");
    assert_eq!(send(of_size(2 << 20)).await.problem(413), "body_too_large");
    assert_eq!(api.depth("analytics").await, 1);
}

#[tokio::test]
async fn a_wrong_queue_name_says_how_queues_are_named() {
    let api = start().await;
    let unknown = api.post(Who::Ada, "/api/v1/queues/analitics/jobs", &analytics()).await;
    assert_eq!(unknown.problem(404), "unknown_queue");
    let body = unknown.json();
    assert!(body["detail"].as_str().unwrap().contains("did you mean analytics?"), "{body}");
    assert_eq!(body["queues"].as_array().unwrap().len(), 22);
    for odd in ["Forecast", "a%20b", "%2e%2e%2fx", "%F0%9F%92%A9", &"x".repeat(64)] {
        let answer = api.post(Who::Ada, &format!("/api/v1/queues/{odd}/jobs"), &analytics()).await;
        assert_eq!(answer.problem(422), "invalid_queue_name", "{odd}");
        assert!(answer.text.contains("a-z, 0-9"), "{}", answer.text);
    }
    assert_eq!(api.get(Who::Ada, "/api/v1/queues/nope/jobs/ana-1").await.problem(404), "unknown_queue");
}

#[tokio::test]
async fn internal_queues_are_for_administrators_and_viewers_add_nothing() {
    let api = start().await;
    for queue in ["cleanup", "notification", "notification-queue"] {
        let path = format!("/api/v1/queues/{queue}/jobs");
        let body = json!({"data": {"type": "temp_files"}});
        assert_eq!(api.post(Who::Ada, &path, &body).await.problem(403), "forbidden");
        api.post(Who::Admin, &path, &body).await.expect(202);
    }
    assert_eq!(api.post(Who::Viewer, ANALYTICS, &analytics()).await.problem(403), "forbidden");
    assert_eq!(api.depth("analytics").await, 0);
}

#[tokio::test]
async fn a_foreign_job_gives_the_bytes_that_an_unknown_one_gives() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    let unknown = id.replace(char::is_numeric, "0");
    for path in ["/api/v1/jobs/", "/api/jobs/", "/api/v1/queues/analytics/jobs/"] {
        for who in [Who::Bob, Who::OtherAda] {
            let foreign = api.get(who, &format!("{path}{id}")).await;
            assert_eq!(foreign.problem(404), "unknown_job");
            let absent = api.get(who, &format!("{path}{unknown}")).await;
            assert_eq!(foreign.text.replace(&id, "ID"), absent.text.replace(&unknown, "ID"));
            assert_eq!(foreign.json()["job"], json!({"id": id, "status": "not_found"}));
        }
        for who in [Who::Ada, Who::Viewer, Who::Admin] {
            api.get(who, &format!("{path}{id}")).await.expect(200);
        }
    }
    let elsewhere = api.get(Who::Ada, &format!("/api/v1/queues/import/jobs/{id}")).await;
    assert_eq!(elsewhere.problem(404), "unknown_job", "its own job, of another queue");
}

#[tokio::test]
async fn odd_ids_are_unknown_and_nothing_else() {
    let api = start().await;
    for id in [
        "1",
        "undefined",
        "null",
        "NaN",
        "%00",
        "%F0%9F%98%80",
        "..%2f..",
        "*",
        "[a-z]",
        "%7Bq%7D:meta",
        &"x".repeat(5_000),
    ] {
        for path in ["/api/v1/jobs/", "/api/v1/queues/analytics/jobs/"] {
            let answer = api.get(Who::Ada, &format!("{path}{id}")).await;
            assert_eq!(answer.status, 404, "{id}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn the_same_idempotency_key_and_body_give_the_same_job_also_fifty_times_at_once() {
    let api = start().await;
    let send = |who: Who, key: &str, body: Value| {
        let request = api.as_who(who, Method::POST, ANALYTICS).header("content-type", "application/json");
        let request = request.header("idempotency-key", key).body(body.to_string());
        async move { Answer::of(request.send().await.unwrap()).await }
    };
    let answers =
        futures_util::future::join_all((0..50).map(|_| send(Who::Ada, "order-1", analytics()))).await;
    let ids: HashSet<String> =
        answers.iter().map(|a| a.json()["data"]["jobId"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    assert_eq!(answers.iter().filter(|answer| answer.status == 202).count(), 1);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 49);
    assert_eq!(api.depth("analytics").await, 1);
    let other = send(Who::Ada, "order-1", json!({"data": {"productId": "p-2"}})).await;
    assert_eq!(other.problem(409), "idempotency_conflict");
    // Another tenant's key, and another user's, is another key.
    assert_eq!(send(Who::OtherAda, "order-1", analytics()).await.status, 202);
    assert_eq!(send(Who::Bob, "order-1", analytics()).await.status, 202);
    // The key outlives the job's end.
    api.complete("analytics", &json!({})).await;
    let again = send(Who::Ada, "order-1", analytics()).await.expect(200);
    assert_eq!(
        (&again["data"]["jobId"], &again["data"]["status"]),
        (&json!(ids.iter().next()), &json!("completed"))
    );
    for bad in ["", &"x".repeat(256), "a\tb"] {
        assert_eq!(send(Who::Ada, bad, analytics()).await.problem(400), "invalid_idempotency_key");
    }
    let twice = api.as_who(Who::Ada, Method::POST, ANALYTICS).header("content-type", "application/json");
    let twice = twice.header("idempotency-key", "a").header("idempotency-key", "b").body("{}");
    assert_eq!(Answer::of(twice.send().await.unwrap()).await.status, 400);
}

#[tokio::test]
async fn a_client_s_own_id_names_one_job_in_its_own_space() {
    let api = start().await;
    let body = json!({"data": {}, "options": {"jobId": "nightly/2026-01-31"}});
    let first = api.post(Who::Ada, ANALYTICS, &body).await.expect(202);
    assert_eq!(first["data"]["clientId"], "nightly/2026-01-31");
    let second = api.post(Who::Ada, ANALYTICS, &body).await.expect(200);
    assert_eq!(second["data"]["jobId"], first["data"]["jobId"]);
    let foreign = api.post(Who::OtherAda, ANALYTICS, &body).await.expect(202);
    assert_ne!(foreign["data"]["jobId"], first["data"]["jobId"]);
    let by_name = api.get(Who::Ada, "/api/v1/jobs/nightly%2F2026-01-31").await.expect(200);
    assert_eq!(by_name["job"]["id"], first["data"]["jobId"]);
    let plain = json!({"data": {}, "options": {"jobId": "ana-mine"}});
    api.post(Who::Ada, ANALYTICS, &plain).await.expect(202);
    api.get(Who::Ada, "/api/v1/queues/analytics/jobs/ana-mine").await.expect(200);
    api.get(Who::Ada, "/api/v1/jobs/ana-mine").await.expect(200);
    assert_eq!(api.get(Who::Bob, "/api/v1/jobs/ana-mine").await.status, 404);
}

#[tokio::test]
async fn a_dedup_key_holds_until_its_job_has_ended_and_not_for_others() {
    let api = start().await;
    let body = json!({"data": {}, "options": {"dedup": {"key": "account-7"}}});
    let first = api.post(Who::Ada, ANALYTICS, &body).await.expect(202);
    let second = api.post(Who::Ada, ANALYTICS, &body).await.expect(200);
    assert_eq!(second["data"]["jobId"], first["data"]["jobId"]);
    api.post(Who::OtherAda, ANALYTICS, &body).await.expect(202);
    api.complete("analytics", &json!({})).await;
    api.post(Who::Ada, ANALYTICS, &body).await.expect(202);
    let both = api.as_who(Who::Ada, Method::POST, ANALYTICS).header("content-type", "application/json");
    let both =
        Answer::of(both.header("idempotency-key", "k").body(body.to_string()).send().await.unwrap()).await;
    assert_eq!(both.fields(), ["options.dedup"]);
}

#[tokio::test]
async fn a_full_queue_says_so_and_when_to_come_back() {
    let settings = [("BULRUSH_QUEUE_ANALYTICS_DEPTH_MAX".to_owned(), "1".to_owned())];
    let api = start_with(ApiConfig::default(), Catalog::with_settings(settings).unwrap()).await;
    api.add(Who::Ada, "analytics", &analytics()).await;
    let full = api.post(Who::Ada, ANALYTICS, &analytics()).await;
    assert_eq!(full.problem(429), "queue_full");
    assert!(full.header("retry-after").parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn a_wait_ends_with_the_job() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    let (worker, job) = api.take("analytics").await;
    let waiting = {
        let request = api.as_who(Who::Ada, Method::GET, &format!("/api/v1/jobs/{id}?wait=60s"));
        tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await })
    };
    // Something else happens in the queue meanwhile.
    api.add(Who::Bob, "analytics", &analytics()).await;
    let outcome = Outcome::Complete { result: Some("{}".into()), follow_ups: Vec::new() };
    api.settle("analytics", worker, job, outcome).await;
    let answer = tokio::time::timeout(Duration::from_secs(30), waiting).await.unwrap().unwrap();
    assert_eq!(answer.expect(200)["job"]["status"], "completed");
    for bad in ["61s", "-1", "soon", "1e3", ""] {
        assert_eq!(api.get(Who::Ada, &format!("/api/v1/jobs/{id}?wait={bad}")).await.fields(), ["wait"]);
    }
    let twice = api.get(Who::Ada, &format!("/api/v1/jobs/{id}?wait=1s&wait=2s")).await;
    assert_eq!(twice.fields(), ["wait"]);
}

#[tokio::test]
async fn a_wait_that_runs_out_tells_how_the_job_is() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    for wait in ["50ms", "0"] {
        let answer = api.get(Who::Ada, &format!("/api/v1/queues/analytics/jobs/{id}?wait={wait}")).await;
        assert_eq!(answer.expect(200)["data"]["status"], "waiting");
    }
}

#[tokio::test]
async fn an_etag_spares_what_the_client_knows_until_it_changes() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &analytics()).await;
    let path = format!("/api/v1/jobs/{id}");
    let first = api.get(Who::Ada, &path).await;
    let etag = first.header("etag").to_owned();
    let known = async |tags: &str| {
        let request = api.as_who(Who::Ada, Method::GET, &path).header("if-none-match", tags);
        Answer::of(request.send().await.unwrap()).await
    };
    for tags in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let answer = known(&tags).await;
        assert_eq!((answer.status, answer.text.as_str(), answer.header("etag")), (304, "", etag.as_str()));
    }
    assert_eq!(known("\"x\"").await.status, 200);
    api.complete("analytics", &json!({})).await;
    let changed = known(&etag).await;
    assert_eq!(changed.expect(200)["job"]["status"], "completed");
    assert_ne!(changed.header("etag"), etag);
}

#[tokio::test]
async fn a_list_shows_every_own_job_once_and_nobody_else_s() {
    let api = start().await;
    let mut mine = HashSet::new();
    for n in 0..23 {
        let queue = ["analytics", "import", "alerts"][n % 3];
        mine.insert(api.add(Who::Ada, queue, &json!({"data": {"n": n}})).await);
        api.add(Who::Bob, queue, &json!({"data": {}})).await;
    }
    let first = api.get(Who::Ada, "/api/jobs").await.expect(200);
    assert_eq!((first["jobs"].as_array().unwrap().len(), &first["total"]), (20, &json!(23)));
    assert_eq!((&first["success"], &first["totalIsExact"]), (&json!(true), &json!(true)));
    let (mut seen, mut stamps, mut path) = (Vec::new(), Vec::new(), "/api/v1/jobs?limit=4".to_owned());
    loop {
        let page = api.get(Who::Ada, &path).await.expect(200);
        for job in page["jobs"].as_array().unwrap() {
            seen.push(job["id"].as_str().unwrap().to_owned());
            stamps.push(job["timestamp"].as_u64().unwrap());
            assert!(job.get("data").is_none());
        }
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/jobs?limit=4&cursor={next}");
    }
    assert_eq!((seen.len(), seen.iter().cloned().collect::<HashSet<_>>()), (23, mine));
    assert!(stamps.is_sorted_by(|a, b| a >= b), "newest first: {stamps:?}");
    let viewer = api.get(Who::Viewer, "/api/v1/jobs?limit=100").await.expect(200);
    assert_eq!((viewer["jobs"].as_array().unwrap().len(), &viewer["total"]), (46, &json!(46)));
    assert_eq!(api.get(Who::OtherAda, "/api/v1/jobs").await.expect(200)["total"], 0);
    assert_eq!(api.get(Who::Admin, "/api/v1/jobs").await.expect(200)["total"], 46);
}

#[tokio::test]
async fn a_viewer_s_pages_end_also_where_most_jobs_are_another_tenant_s() {
    let api = start().await;
    for n in 0..30 {
        let who = if n % 7 == 0 { Who::Ada } else { Who::OtherAda };
        api.add(who, "analytics", &json!({"data": {"n": n}})).await;
    }
    let (mut seen, mut path) =
        (HashSet::new(), "/api/v1/jobs?limit=2&queue=analytics&status=waiting".to_owned());
    for _ in 0..40 {
        let page = api.get(Who::Viewer, &path).await.expect(200);
        seen.extend(page["jobs"].as_array().unwrap().iter().map(|job| job["id"].to_string()));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(seen.len(), 5);
            return;
        };
        path = format!("/api/v1/jobs?limit=2&queue=analytics&status=waiting&cursor={next}");
    }
    panic!("the list does not end");
}

#[tokio::test]
async fn a_list_is_filtered_by_queue_and_state_and_refuses_what_it_does_not_know() {
    let api = start().await;
    api.add(Who::Ada, "analytics", &analytics()).await;
    api.add(Who::Ada, "import", &json!({"data": {}, "options": {"delay": 60_000}})).await;
    let ids = async |query: &str| {
        let body = api.get(Who::Ada, &format!("/api/v1/jobs?{query}")).await.expect(200);
        body["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| job["queue"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids("queue=import-queue").await, ["import"]);
    assert_eq!(ids("status=delayed").await, ["import"]);
    assert_eq!(ids("status=waiting&queue=analytics").await, ["analytics"]);
    assert_eq!(ids("status=completed").await, Vec::<String>::new());
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=-1", "limit"),
        ("limit=101", "limit"),
        ("limit=1e9", "limit"),
        ("limit=10%3B", "limit"),
        ("limit=", "limit"),
        ("limit=%2B5", "limit"),
        ("status=done", "status"),
        ("status=*", "status"),
        ("queue=nope", "queue"),
        ("queue=import&queue=analytics", "queue"),
        ("queue='%20OR%201=1", "queue"),
    ] {
        assert_eq!(api.get(Who::Ada, &format!("/api/v1/jobs?{query}")).await.fields(), [field], "{query}");
    }
    let many = format!("/api/v1/jobs?{}", "status=failed&".repeat(500));
    assert_eq!(api.get(Who::Ada, &many).await.fields(), ["status"]);
}

#[tokio::test]
async fn a_cursor_is_good_for_whom_and_what_it_was_issued() {
    let api = start().await;
    for _ in 0..3 {
        api.add(Who::Ada, "analytics", &analytics()).await;
        api.add(Who::Bob, "analytics", &analytics()).await;
    }
    let page = api.get(Who::Ada, "/api/v1/jobs?limit=1").await.expect(200);
    let cursor = page["next"].as_str().unwrap();
    api.get(Who::Ada, &format!("/api/v1/jobs?limit=1&cursor={cursor}")).await.expect(200);
    for (who, query) in
        [(Who::Bob, ""), (Who::OtherAda, ""), (Who::Admin, ""), (Who::Ada, "&queue=analytics")]
    {
        let answer = api.get(who, &format!("/api/v1/jobs?limit=1&cursor={cursor}{query}")).await;
        assert_eq!(answer.problem(400), "invalid_cursor");
    }
    let changed = cursor.replacen('7', "8", 1);
    for forged in [changed.as_str(), "", ".", "x.y", "7b7d.00", "0.0", &"ab".repeat(3_600)] {
        let answer = api.get(Who::Ada, &format!("/api/v1/jobs?cursor={forged}")).await;
        assert_eq!(answer.problem(400), "invalid_cursor", "{forged}");
    }
}

#[tokio::test]
async fn a_group_takes_turns_within_its_tenant_and_shows_its_own_name() {
    let api = start().await;
    let body = json!({"data": {}, "options": {"group": "north"}});
    let id = api.add(Who::Ada, "analytics", &body).await;
    api.add(Who::OtherAda, "analytics", &body).await;
    assert_eq!(api.get(Who::Ada, &format!("/api/v1/jobs/{id}")).await.expect(200)["job"]["group"], "north");
    let info = api.backend.info(&job_queue("analytics")).await.unwrap();
    assert_eq!(info.groups_waiting, [("acme/north".to_owned(), 1), ("other/north".to_owned(), 1)]);
}

#[tokio::test]
async fn the_catalogue_s_limits_and_the_trace_go_with_the_job() {
    let api = start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = api.as_who(Who::Ada, Method::POST, ANALYTICS).header("content-type", "application/json");
    let answer = Answer::of(request.header("traceparent", trace).body("{}").send().await.unwrap()).await;
    let id = answer.expect(202)["data"]["jobId"].as_str().unwrap().to_owned();
    let job = api
        .backend
        .get(&job_queue("analytics"), &[Fixture::job_id(&id)])
        .await
        .unwrap()
        .pop()
        .flatten()
        .unwrap();
    assert_eq!((job.spec.attempts, job.spec.timeout_ms), (3, Some(600_000)));
    assert_eq!(job.spec.backoff.as_deref(), Some(&bulrush::model::Backoff::exponential(2_000, 2.0)));
    assert_eq!((&*job.spec.name, job.spec.traceparent.as_deref()), ("analyze", Some(trace)));
    let owner = job.spec.owner.as_deref().unwrap();
    assert_eq!((owner.tenant.as_str(), owner.user.as_str(), job.state()), ("acme", "ada", JobState::Waiting));
}
