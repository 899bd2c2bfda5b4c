//! `scripts/up`: the platform as it runs in production, each part a process, on a Redis and a PostgreSQL of its own. The clients of the
//! documents that it comes from are served by it, and what is killed in it loses nothing and does nothing twice.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod up;

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::path;
use common::snippets::play;
use futures_util::StreamExt as _;
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection, Row as _};
use up::Up;

/// Days of an uploaded history.
const DAYS: usize = 90;

/// Each call has a key of its own, by which it is known when it is sent again.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// A client of the API.
struct Caller {
    http: Client,
    base: String,
    token: String,
}

impl Caller {
    fn new(up: &Up, token: String) -> Self {
        // Installed once for the process; a second time changes nothing.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = Client::builder().no_proxy().build().unwrap();
        Self { http, base: format!("{}/api/v1", up.base), token }
    }

    async fn send(
        &self,
        method: Method,
        target: &str,
        body: Option<&Value>,
        key: &str,
    ) -> reqwest::Result<Response> {
        let request = self.http.request(method, format!("{}{target}", self.base)).bearer_auth(&self.token);
        let request = request.header("idempotency-key", key);
        match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_string()),
            None => request,
        }
        .send()
        .await
    }

    /// The body of a good answer. A store that is away is no answer yet, and the same request is sent again: what adds has a key.
    async fn ask(&self, method: Method, target: &str, body: Option<&Value>) -> Value {
        let deadline = tokio::time::Instant::now() + up::DEADLINE;
        let key = format!("key-{}", CALLS.fetch_add(1, Ordering::Relaxed));
        loop {
            let answer = self.send(method.clone(), target, body, &key).await;
            let told = match answer {
                Ok(answer) => {
                    let status = answer.status();
                    let text = answer.text().await.unwrap_or_default();
                    if status.is_success() {
                        return common::server::json(&text);
                    }
                    assert!(status.is_server_error() || status == 429, "{method} {target}: {status} {text}");
                    text
                }
                Err(error) => error.to_string(),
            };
            assert!(tokio::time::Instant::now() < deadline, "{method} {target}: {told}");
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }

    async fn get(&self, target: &str) -> Value {
        self.ask(Method::GET, target, None).await
    }

    /// Uploads a history of prices at a place; returns the file's id and the property's.
    async fn upload(&self, name: &str, latitude: f64) -> (String, String) {
        const BOUNDARY: &str = "bulrush-test-1f7e";
        let mut body = String::new();
        let latitude = latitude.to_string();
        for (field, value) in [
            ("name", name),
            ("latitude", &latitude),
            ("longitude", "-122.31"),
            ("countryCode", "US"),
            ("timeZone", "America/Los_Angeles"),
        ] {
            let _ = write!(
                body,
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{field}\"\r\n\r\n{value}\r\n"
            );
        }
        let _ = write!(
            body,
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"p.csv\"\r\nContent-Type: text/csv\r\n\r\ndate,price\n"
        );
        let first = jiff::civil::date(2015, 1, 1);
        for (n, day) in first.series(jiff::Span::new().days(1)).take(DAYS).enumerate() {
            let _ = writeln!(body, "{day},{}", 100 + n);
        }
        let _ = write!(body, "\r\n--{BOUNDARY}--\r\n");
        let request = self.http.post(format!("{}/files", self.base)).bearer_auth(&self.token);
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        let text = answer.text().await.unwrap();
        let answer = common::server::json(&text);
        let id = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        (id("fileId"), id("propertyId"))
    }

    async fn enrich(&self, file: &str) -> String {
        let answer = self.ask(Method::POST, &format!("/files/{file}/enrich"), Some(&json!({}))).await;
        answer["jobId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn export(&self) -> String {
        let answer = self.ask(Method::POST, "/exports", Some(&json!({"format": "csv"}))).await;
        answer["jobId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    async fn add(&self, queue: &str, body: &Value) -> String {
        let answer = self.ask(Method::POST, &format!("/queues/{queue}/jobs"), Some(body)).await;
        answer["data"]["jobId"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Asks for a forecast of a property's price and for a description of its days.
    async fn compute(&self, property: &str) -> [String; 2] {
        let data = json!({"productId": property, "metric": "price", "horizon": 7});
        let forecast = self.add("forecast", &json!({"name": "run-forecast", "data": data})).await;
        let data = json!({"propertyId": property, "analysisType": "summary"});
        let analysis = self.add("analytics-heavy", &json!({"name": "analyze", "data": data})).await;
        [forecast, analysis]
    }

    async fn job(&self, id: &str) -> Value {
        self.get(&format!("/jobs/{id}")).await["job"].take()
    }

    /// Polls until a job is as it is wanted.
    async fn see(&self, id: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let deadline = tokio::time::Instant::now() + up::DEADLINE;
        loop {
            let job = self.job(id).await;
            if is_so(&job) {
                return job;
            }
            assert!(tokio::time::Instant::now() < deadline, "not within {:?}: {job}", up::DEADLINE);
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }

    async fn see_completed(&self, id: &str) -> Value {
        let job = self
            .see(id, |job| matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled")))
            .await;
        assert_eq!(job["status"], "completed", "{job}");
        job
    }
}

/// The outside world answers the next requests for weather late.
async fn slow_weather(up: &Up, requests: u32, delay_ms: u32) {
    let plan =
        json!({"path": "/v1/archive", "count": requests, "fault": {"kind": "delay", "delayMs": delay_ms}});
    let answer = Client::builder().no_proxy().build().unwrap();
    let answer =
        answer.post(format!("{}/sandbox/faults", up.outside)).body(plan.to_string()).send().await.unwrap();
    assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
}

#[tokio::test]
async fn the_clients_of_the_documents_submit_poll_stream_and_download() {
    let up = Up::start();
    let folder = tempfile::tempdir().unwrap();
    let prices = folder.path().join("prices.csv");
    std::fs::write(&prices, "date,price\n2024-01-01,120\n2024-01-02,130\n").unwrap();
    // Each document is a tenant's, so that none finds what another has done.
    for (name, calls) in [
        ("publisher", include_str!("seeds/002.txt")),
        ("hotel", include_str!("seeds/003.txt")),
        ("planner", include_str!("seeds/004.txt")),
    ] {
        let variables = HashMap::from([
            ("BASE".to_owned(), up.base.clone()),
            ("TOKEN".to_owned(), up.token("user", name, "ada")),
            ("ADMIN".to_owned(), up.token("admin", name, "root")),
            ("PRICES".to_owned(), path(&prices).to_owned()),
            ("DIR".to_owned(), path(folder.path()).to_owned()),
        ]);
        let wrong = tokio::task::spawn_blocking(move || play(calls, variables)).await.unwrap();
        assert!(wrong.is_empty(), "{name}: {}", wrong.join("\n"));
    }

    // A browser streams with a ticket, since it cannot send a header with it.
    let caller = Caller::new(&up, up.token("user", "inns", "ada"));
    let ticket =
        caller.ask(Method::POST, "/stream-tickets", None).await["ticket"].as_str().unwrap().to_owned();
    let stream = caller.http.get(format!("{}/sse?ticket={ticket}", caller.base)).send().await.unwrap();
    assert!(stream.status().is_success(), "{}", stream.status());
    let (file, property) = caller.upload("Inn", 47.45).await;
    let job = caller.enrich(&file).await;
    let mut told = String::new();
    let mut pieces = stream.bytes_stream();
    let is_told = |told: &str, event: &str| {
        told.split("\n\n").any(|it| it.contains(&format!("event: {event}")) && it.contains(&job))
    };
    tokio::time::timeout(up::DEADLINE, async {
        while !is_told(&told, "job:complete") {
            told.push_str(&String::from_utf8_lossy(&pieces.next().await.unwrap().unwrap()));
        }
    })
    .await
    .unwrap_or_else(|_| panic!("the stream does not tell of the end of {job}: {told}"));
    assert!(is_told(&told, "job:progress"), "{told}");
    assert_eq!(caller.job(&job).await["status"], "completed", "what a stream tells has happened");
    let days = caller.get(&format!("/properties/{property}/features?limit=1000")).await;
    assert_eq!(days["features"].as_array().map(Vec::len), Some(DAYS));

    let [forecast, analysis] = caller.compute(&property).await;
    let result = caller.see_completed(&forecast).await["result"].take();
    let read = caller.get(&format!("/forecasts/{}", result["forecastId"].as_str().unwrap())).await;
    assert_eq!(
        (read["points"].as_array().map(Vec::len), &read["forecast"]["jobId"]),
        (Some(7), &json!(forecast))
    );
    caller.see_completed(&analysis).await;
    let read = caller.get(&format!("/analytics/{analysis}")).await;
    assert_eq!(read["result"]["analysisType"], "summary", "{read}");

    let export = caller.export().await;
    caller.see_completed(&export).await;
    let download = |token: String| {
        let request =
            caller.http.get(format!("{}/exports/{export}/download", caller.base)).bearer_auth(token);
        async move { request.send().await.unwrap() }
    };
    let mine = download(caller.token.clone()).await;
    assert_eq!(mine.status(), 200);
    let csv = mine.text().await.unwrap();
    assert_eq!(csv.lines().count(), DAYS + 1, "a line for each observation, and the header: {csv}");
    assert_eq!(download(up.token("user", "inns", "mallory")).await.status(), 404, "nobody else's");

    let (went_well, left) = up.stop();
    assert!(went_well && left.is_empty(), "Ctrl-C leaves {left:?}");
}

#[tokio::test]
async fn what_is_killed_loses_nothing_and_does_nothing_twice() {
    let mut up = Up::start();
    let caller = Caller::new(&up, up.token("user", "inns", "ada"));
    let mut jobs = Vec::new();
    let mut properties: Vec<String> = Vec::new();
    let mut uploads = 0;
    let mut upload = async |n: usize| {
        let mut files = Vec::new();
        for _ in 0..n {
            uploads += 1;
            // Each at a place of its own, so that none finds the weather of another.
            files.push(caller.upload(&format!("Inn {uploads}"), 40.0 + f64::from(uploads)).await);
        }
        files
    };

    // A worker in the middle of its jobs.
    let files = upload(3).await;
    properties.extend(files.iter().map(|(_, property)| property.clone()));
    slow_weather(&up, 3, 20_000).await;
    for (file, _) in &files {
        let job = caller.enrich(file).await;
        caller.see(&job, |job| job["status"] == "active").await;
        jobs.push(job);
    }
    // Whatever of them has been done by the time their workers are killed.
    for property in &properties {
        jobs.extend(caller.compute(property).await);
    }
    up.replace("forecast", "KILL");
    up.replace("analytics", "KILL");
    up.replace("enrichment", "KILL");
    for job in &jobs {
        let done = caller.see_completed(job).await;
        if job.starts_with("enr-") {
            assert_eq!(done["result"]["daysEnriched"], DAYS, "{done}");
        }
    }

    // The engine's store, then the database, each while jobs run and others wait.
    for (part, signal) in [("redis", "KILL"), ("postgres", "QUIT")] {
        let files = upload(6).await;
        properties.extend(files.iter().map(|(_, property)| property.clone()));
        slow_weather(&up, 3, 3_000).await;
        let mut these = Vec::new();
        for (file, _) in &files {
            these.push(caller.enrich(file).await);
        }
        caller.see(&these[0], |job| job["status"] == "active").await;
        let export = caller.export().await;
        these.extend(caller.compute(&properties[0]).await);
        up.replace(part, signal);
        // It takes in jobs again, by itself.
        these.push(caller.export().await);
        these.push(export);
        for job in &these {
            caller.see_completed(job).await;
        }
        jobs.extend(these);
    }

    let mut database = PgConnection::connect(&up.database()).await.unwrap();
    let count = async |database: &mut PgConnection, sql: &'static str| -> BTreeMap<String, i64> {
        let rows = sqlx::query(sql).fetch_all(database).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    };
    let days = count(&mut database, "SELECT entity, count(*) FROM features GROUP BY entity").await;
    let wanted: BTreeMap<String, i64> = properties.iter().map(|id| (id.clone(), DAYS as i64)).collect();
    assert_eq!(days, wanted, "each day of each property once");
    let results = count(&mut database, "SELECT job, count(*) FROM results GROUP BY job").await;
    let exports = count(
        &mut database,
        "SELECT id, count(*) FROM files WHERE id LIKE 'exp-%' AND state = 'completed' GROUP BY id",
    )
    .await;
    for job in &jobs {
        let found = results.get(job).or_else(|| exports.get(job));
        assert_eq!(found, Some(&1), "job {job} has left its result once: {results:?} {exports:?}");
    }
    let states = count(&mut database, "SELECT state, count(*) FROM files GROUP BY state").await;
    let files = (properties.len() + exports.len()) as i64;
    assert_eq!(states, BTreeMap::from([("completed".to_owned(), files)]), "no file is left half made");
    drop(database);
    let dead = caller.get("/jobs/dlq/list").await;
    assert_eq!(dead["total"], 0, "{dead}");

    let (went_well, left) = up.stop();
    assert!(went_well && left.is_empty(), "Ctrl-C leaves {left:?}");
}
