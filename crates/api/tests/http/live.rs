//! Streams of events over real HTTP: who sees what, going on after a break, tickets, bounds.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::common::{Answer, DEADLINE, Fixture, Who, start, start_with, start_without_leeway};
use bulrush::model::{Outcome, Progress, QueueName};
use bulrush::port::{Update, UpdateChange};
use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use futures_util::StreamExt as _;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

/// An event as a client reads it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    id: String,
    name: String,
    data: Value,
}

/// A client with an open stream.
struct Listener {
    body: std::pin::Pin<Box<dyn futures_util::Stream<Item = Vec<u8>> + Send>>,
    text: String,
}

impl Listener {
    async fn open(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let body = response.bytes_stream().map(|chunk| chunk.map(|bytes| bytes.to_vec()).unwrap_or_default());
        let mut listener = Self { body: Box::pin(body), text: String::new() };
        // Its first words say that it listens.
        assert_eq!(listener.block().await.as_deref(), Some("retry: 2000"));
        listener
    }

    /// What stands before the next empty line; none at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let chunk = tokio::time::timeout(DEADLINE, self.body.next()).await.expect("an event in time")?;
            self.text.push_str(&String::from_utf8(chunk).unwrap());
        }
    }

    /// The next event.
    async fn next(&mut self) -> Seen {
        loop {
            let block = self.block().await.expect("the stream goes on");
            let field = |name: &str| {
                let found =
                    block.lines().find_map(|line| line.strip_prefix(name).and_then(|l| l.strip_prefix(": ")));
                found.unwrap_or_default().to_owned()
            };
            if !field("event").is_empty() {
                let data = serde_json::from_str(&field("data")).unwrap();
                return Seen { id: field("id"), name: field("event"), data };
            }
        }
    }

    /// Events up to one of this name for this job, which is the last.
    async fn until(&mut self, name: &str, job: &str) -> Vec<Seen> {
        let mut all = Vec::new();
        loop {
            let seen = self.next().await;
            let found = seen.name == name && seen.data["jobId"] == job;
            all.push(seen);
            if found {
                return all;
            }
        }
    }
}

async fn listen(api: &Fixture, who: Who, path: &str) -> Listener {
    Listener::open(api.as_who(who, Method::GET, path)).await
}

async fn add(api: &Fixture, who: Who) -> String {
    api.add(who, "analytics", &json!({"name": "analyze", "data": {"productId": "p"}})).await
}

#[tokio::test]
async fn a_job_s_progress_and_end_are_told_as_the_seeds_clients_read_them() {
    let api = start().await;
    let mut ada = listen(&api, Who::Ada, "/api/v1/sse").await;
    let id = add(&api, Who::Ada).await;
    let (worker, job) = api.take("analytics").await;
    let progress = Progress { percent: 50, message: Some("Running models...".into()), data: None };
    let update =
        Update { id: Fixture::job_id(&id), token: job.token, change: UpdateChange::Progress(progress) };
    api.backend.update(&QueueName::new("analytics").unwrap(), vec![update]).await.unwrap();
    let told = ada.until("job:progress", &id).await.pop().unwrap();
    assert_eq!((&told.data["progress"], &told.data["message"]), (&json!(50), &json!("Running models...")));
    assert_eq!((&told.data["type"], &told.data["name"]), (&json!("analytics"), &json!("analyze")));
    let outcome = Outcome::Complete { result: None, follow_ups: Vec::new() };
    api.settle("analytics", worker, job, outcome).await;
    let end = ada.until("job:complete", &id).await.pop().unwrap();
    assert_eq!(end.data["progress"], 100);
    for internal in ["token", "worker", "owner", "data", "result"] {
        assert!(end.data.get(internal).is_none(), "{internal} is told");
    }
}

#[tokio::test]
async fn everybody_sees_what_is_theirs() {
    let api = start().await;
    let mut ada = listen(&api, Who::Ada, "/api/v1/sse").await;
    let mut bob = listen(&api, Who::Bob, "/api/sse").await;
    let mut viewer = listen(&api, Who::Viewer, "/api/v1/sse").await;
    let mut admin = listen(&api, Who::Admin, "/api/v1/sse").await;
    let others = add(&api, Who::OtherAda).await;
    let bobs = add(&api, Who::Bob).await;
    let adas = add(&api, Who::Ada).await;
    let ids = |seen: &[Seen]| -> Vec<String> {
        seen.iter()
            .filter(|s| s.name == "job:added")
            .map(|s| s.data["jobId"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(&ada.until("job:added", &adas).await), std::slice::from_ref(&adas));
    assert_eq!(ids(&bob.until("job:added", &bobs).await), std::slice::from_ref(&bobs));
    assert_eq!(ids(&viewer.until("job:added", &adas).await), [bobs.clone(), adas.clone()]);
    assert_eq!(ids(&admin.until("job:added", &adas).await), [others, bobs, adas]);
    // What happens to a queue is for administrators.
    api.post(Who::Admin, "/api/v1/queues/analytics/pause", &json!({})).await.expect(200);
    let seen = loop {
        let seen = admin.next().await;
        if seen.name.starts_with("queue:") {
            break seen;
        }
    };
    assert_eq!((seen.name.as_str(), &seen.data["queue"]), ("queue:paused", &json!("analytics")));
}

#[tokio::test]
async fn a_stream_is_narrowed_to_a_queue_or_a_job() {
    let api = start().await;
    let first = add(&api, Who::Ada).await;
    let mut of_job = listen(&api, Who::Ada, &format!("/api/v1/sse?job={first}")).await;
    let mut of_queue = listen(&api, Who::Ada, "/api/v1/sse?queue=prediction").await;
    add(&api, Who::Ada).await;
    let elsewhere = api.add(Who::Ada, "prediction", &json!({"name": "generate"})).await;
    api.complete("analytics", &json!({})).await;
    for seen in of_job.until("job:complete", &first).await {
        assert_eq!(seen.data["jobId"], json!(first));
    }
    assert_eq!(of_queue.next().await.data["jobId"], json!(elsewhere));
    for (query, status) in [("job=unknown", 404), ("queue=nowhere", 404), ("queue=a&queue=b", 422)] {
        assert_eq!(api.get(Who::Ada, &format!("/api/v1/sse?{query}")).await.status, status, "{query}");
    }
    let foreign = api.get(Who::Bob, &format!("/api/v1/sse?job={first}")).await;
    assert_eq!(foreign.problem(404), "unknown_job");
}

#[tokio::test]
async fn a_client_that_comes_back_gets_what_it_missed_once_and_in_order() {
    let api = start().await;
    let mut ada = listen(&api, Who::Ada, "/api/v1/sse").await;
    let first = add(&api, Who::Ada).await;
    let last_seen = ada.until("job:added", &first).await.pop().unwrap();
    drop(ada);
    let mut missed = Vec::new();
    for n in 0..20 {
        missed.push(add(&api, Who::Ada).await);
        add(&api, Who::Bob).await;
        if n % 5 == 0 {
            missed.push(api.add(Who::Ada, "prediction", &json!({"name": "generate"})).await);
        }
    }
    let request = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").header("last-event-id", &last_seen.id);
    let mut again = Listener::open(request).await;
    let after = add(&api, Who::Ada).await;
    missed.push(after.clone());
    let seen = again.until("job:added", &after).await;
    let mut told: Vec<&str> =
        seen.iter().filter(|s| s.name == "job:added").map(|s| s.data["jobId"].as_str().unwrap()).collect();
    assert_eq!(told.len(), missed.len(), "each once");
    told.sort_unstable();
    missed.sort_unstable();
    assert_eq!(told, missed);
    // From the id of any of them the rest follows, and nothing else.
    let middle = seen[seen.len() / 2].id.clone();
    let request = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").header("last-event-id", middle);
    let mut third = Listener::open(request).await;
    let mut rest = Vec::new();
    for _ in seen.len() / 2 + 1..seen.len() {
        rest.push(third.next().await.data["jobId"].as_str().unwrap().to_owned());
    }
    let mut wanted: Vec<&str> =
        seen[seen.len() / 2 + 1..].iter().map(|seen| seen.data["jobId"].as_str().unwrap()).collect();
    // In each queue in its order; among queues in any.
    rest.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(rest, wanted);
}

#[tokio::test]
async fn an_id_that_was_not_issued_is_refused_and_one_that_is_too_old_is_told() {
    let api = start().await;
    for bad in ["-1", "0", "99999999999999999999", "text", "1.for1.00000000", &"9".repeat(5_000)] {
        let request = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").header("last-event-id", bad);
        assert_eq!(Answer::of(request.send().await.unwrap()).await.problem(400), "invalid_event_id");
    }
    let mut ada = listen(&api, Who::Ada, "/api/v1/sse").await;
    let id = add(&api, Who::Ada).await;
    let old = ada.until("job:added", &id).await.pop().unwrap().id;
    drop(ada);
    // The window of a queue holds ten thousand events.
    let jobs: Vec<Value> = (0..1_000).map(|_| json!({"data": {}})).collect();
    for _ in 0..11 {
        api.post(Who::Bob, "/api/v1/queues/analytics/jobs/bulk", &json!({"jobs": jobs})).await.expect(202);
    }
    let request = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").header("last-event-id", old);
    let mut again = Listener::open(request).await;
    assert_eq!(again.next().await.name, "reset");
}

#[tokio::test]
async fn a_ticket_opens_one_stream() {
    let api = start().await;
    let answer = api.post(Who::Ada, "/api/v1/stream-tickets", &json!({})).await.expect(201);
    assert_eq!(answer["expiresIn"], 60);
    let path = format!("/api/v1/sse?ticket={}", answer["ticket"].as_str().unwrap());
    let mut ada = Listener::open(api.request(Method::GET, &path)).await;
    let foreign = add(&api, Who::Bob).await;
    let own = add(&api, Who::Ada).await;
    let seen = ada.until("job:added", &own).await;
    assert!(seen.iter().all(|seen| seen.data["jobId"] != json!(foreign)));
    let again = Answer::of(api.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(again.problem(401), "invalid_ticket");
    for bad in ["", "x", &"0".repeat(43), &api.token(Who::Ada)] {
        let path = format!("/api/v1/sse?ticket={bad}");
        let answer = Answer::of(api.request(Method::GET, &path).send().await.unwrap()).await;
        assert_eq!(answer.problem(401), "invalid_ticket");
    }
    // A token in an address would end up in logs, so it is not taken there.
    let path = format!("/api/v1/sse?token={}", api.token(Who::Ada));
    let answer = Answer::of(api.request(Method::GET, &path).send().await.unwrap()).await;
    assert_eq!(answer.problem(401), "missing_token");
}

#[tokio::test]
async fn a_user_s_streams_are_bounded_and_counted_down_when_they_end() {
    let config = ApiConfig { streams_user: 2, ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let first = listen(&api, Who::Ada, "/api/v1/sse").await;
    let _second = listen(&api, Who::Ada, "/api/v1/sse").await;
    let third = api.get(Who::Ada, "/api/v1/sse").await;
    assert_eq!(third.problem(429), "too_many_streams");
    let _others = listen(&api, Who::Bob, "/api/v1/sse").await;
    drop(first);
    // The server notices with the next thing it writes.
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        add(&api, Who::Ada).await;
        let response = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").send().await.unwrap();
        if response.status() == 200 {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place of a closed stream is never free");
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_cut_off_and_the_others_feel_nothing() {
    let api = start().await;
    let slow = api.as_who(Who::Ada, Method::GET, "/api/v1/sse").send().await.unwrap();
    let mut quick = listen(&api, Who::Ada, "/api/v1/sse").await;
    let jobs: Vec<Value> = (0..1_000).map(|_| json!({"data": {}})).collect();
    let mut seen = 0;
    // More than a socket and the channel hold together.
    for _ in 0..40 {
        let path = "/api/v1/queues/analytics/jobs/bulk";
        api.post(Who::Ada, path, &json!({"jobs": jobs})).await.expect(202);
        let reading = async {
            while seen % 1_000 != 999 {
                if quick.next().await.name == "job:added" {
                    seen += 1;
                }
            }
            seen += usize::from(quick.next().await.name == "job:added");
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("the quick one keeps up");
    }
    assert_eq!(seen, 40_000);
    // What the slow one finds when it reads at last: some events, and an end that tells it to come back.
    let text = tokio::time::timeout(DEADLINE, slow.text()).await.expect("it ends").unwrap();
    assert!(text.ends_with("retry: 1000\n\n"), "{}", &text[text.len().saturating_sub(80)..]);
    assert!(text.matches("event: job:added").count() < 40_000);
}

#[tokio::test]
async fn a_stop_ends_streams_with_the_hint_to_come_back() {
    let api = start().await;
    let mut ada = listen(&api, Who::Ada, "/api/v1/sse").await;
    api.shutdown.begin();
    assert_eq!(ada.block().await.as_deref(), Some("retry: 1000"));
    assert_eq!(ada.block().await, None);
}

#[tokio::test]
async fn a_stream_ends_with_the_token_it_was_opened_with() {
    let config = ApiConfig { heartbeat: Duration::from_millis(50), ..ApiConfig::default() };
    let api = start_without_leeway(config).await;
    let token = api.tokens.mint(&Who::Ada.claims(), Duration::from_secs(2)).unwrap();
    let mut ada = Listener::open(api.request(Method::GET, "/api/v1/sse").bearer_auth(token)).await;
    assert_eq!(ada.block().await.as_deref(), Some(":"), "a sign of life while the token is good");
    while let Some(block) = ada.block().await {
        assert!(block == ":" || block == "retry: 1000", "{block}");
    }
}
