//! Requests that want something else than what the API is for: each gets a plain answer, and the next client its own.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use bulrush_api::ApiConfig;
use bulrush_catalog::Catalog;
use reqwest::Method;
use serde_json::{Value, json};

use crate::common::{Answer, DEADLINE, Fixture, Who, start, start_with};

const JOBS: &str = "/api/v1/queues/analytics/jobs";

/// Sends bytes as they are and reads until the server closes, or `enough` of the text is there.
fn raw(api: &Fixture, bytes: &[u8], enough: impl Fn(&str) -> bool) -> String {
    let mut stream = TcpStream::connect(api.base.trim_start_matches("http://")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(bytes).unwrap();
    let mut text = String::new();
    let mut buffer = [0; 8 << 10];
    while !enough(&text) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(n) => text.push_str(&String::from_utf8_lossy(&buffer[..n])),
        }
    }
    text
}

fn lives(api: &Fixture) {
    let text = raw(api, b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", |_| false);
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_that_try_to_get_round_the_routes_find_nothing() {
    let api = start().await;
    let token = api.token(Who::Bob);
    for path in [
        "/admin/queues",
        "/admin/queues/api/queues",
        "/admin//queues",
        "/ADMIN/QUEUES",
        "/admin/queues/..;/",
        "/%2fadmin%2fqueues",
        "/api/v1/../../etc/passwd",
        "/api/v1/%2e%2e/%2e%2e/etc/passwd",
        "/api/v1//jobs",
        "/api/v1/jobs/",
        "/api/v1/jobs%2f",
        "/api/v1/queues/analytics/jobs/%00",
        "/api/v1/queues/%ff/jobs",
        "/API/V1/JOBS",
        "/api/v1/queues/analytics/failed;admin=1",
    ] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
        );
        let text = raw(&api, request.as_bytes(), |_| false);
        let status: u16 = text.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        assert!(matches!(status, 400 | 401 | 403 | 404 | 405 | 422), "{path}: {text}");
        assert!(!text.contains("root:"), "{text}");
    }
}

#[tokio::test]
async fn a_method_that_is_named_in_a_header_is_not_used() {
    let api = start().await;
    let id = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    for header in ["x-http-method-override", "x-http-method", "x-method-override"] {
        let request = api.as_who(Who::Ada, Method::GET, &format!("{JOBS}/{id}")).header(header, "DELETE");
        assert_eq!(request.send().await.unwrap().status(), 200);
    }
    for method in [Method::TRACE, Method::PUT, Method::from_bytes(b"PURGE").unwrap()] {
        let answer =
            Answer::of(api.as_who(Who::Ada, method, &format!("{JOBS}/{id}")).send().await.unwrap()).await;
        assert_eq!(answer.problem(405), "method_not_allowed");
        assert_eq!(answer.header("allow"), "DELETE, PATCH, GET");
    }
    assert_eq!(api.get(Who::Ada, &format!("{JOBS}/{id}")).await.status, 200, "it is still there");
}

#[tokio::test]
async fn odd_json_is_taken_or_refused_and_comes_back_as_it_was() {
    let api = start().await;
    let send = async |body: String| {
        let request = api.as_who(Who::Ada, Method::POST, JOBS).header("content-type", "application/json");
        Answer::of(request.body(body).send().await.unwrap()).await
    };
    let members: serde_json::Map<String, Value> = (0..50_000).map(|n| (format!("k{n}"), json!(n))).collect();
    let many = send(json!({"data": members}).to_string()).await.expect(202);
    let id = many["data"]["jobId"].as_str().unwrap();
    assert_eq!(
        api.get(Who::Ada, &format!("{JOBS}/{id}")).await.expect(200)["data"]["data"]["k49999"],
        49_999
    );
    for data in [
        r#"{"__proto__":{"admin":true},"constructor":1}"#,
        r#"{"big":9007199254740993,"tiny":1e-320,"minus":-0.0,"long":123456789012345678901234567890}"#,
        r#"{"text":"ERR x\r\n+OK\r\n$-1\r\n","nul":"\u0000","sep":"\u2028<script>alert(1)</script>"}"#,
        r#"{"lone":"\ud800"}"#,
        r#"{"a":1,"a":2}"#,
    ] {
        let answer = send(format!("{{\"data\":{data}}}")).await;
        if answer.status == 400 {
            assert_eq!(answer.problem(400), "invalid_json", "{data}");
            continue;
        }
        let id = answer.expect(202)["data"]["jobId"].as_str().unwrap().to_owned();
        let read = api.get(Who::Ada, &format!("{JOBS}/{id}")).await;
        assert!(read.text.contains(&format!("\"data\":{data}")), "{data}: {}", read.text);
    }
    for bad in [
        r#"{"data":{},"data":{"x":1}}"#,
        "\u{feff}{\"data\":{}}",
        r#"{"data":{}}{"data":{}}"#,
        r#"{"data":{"x":NaN}}"#,
        r#"{"data":{},}"#,
        &format!("{{\"data\":{}{}}}", "[".repeat(2_000), "]".repeat(2_000)),
    ] {
        let answer = send((*bad).to_owned()).await;
        assert!(matches!(answer.status, 400 | 422), "{bad:.40}: {}", answer.status);
    }
    assert_eq!(
        send(format!("{{\"data\":{{\"{}\":1}}}}", "k".repeat(2 << 20))).await.problem(413),
        "body_too_large"
    );
}

#[tokio::test]
async fn names_that_could_be_read_as_something_else_are_refused() {
    let api = start().await;
    for name in
        ["a:b", "../x", "<b>", "a\r\nb", "ERR x\r\n+OK", "", "é", "a b", "{{7*7}}", "'; DROP TABLE jobs; --"]
    {
        let answer = api.post(Who::Ada, JOBS, &json!({"name": name})).await;
        assert_eq!(answer.fields(), ["name"], "{name:?}");
    }
    for id in ["a\r\nb", "\u{0}", "", &"x".repeat(201)] {
        assert_eq!(
            api.post(Who::Ada, JOBS, &json!({"options": {"jobId": id}})).await.fields(),
            ["options.jobId"]
        );
    }
    // What is a name of the client's own is a text and nothing else.
    for id in ["../x", "{q}:meta", "*", "[a-z]", "undefined", "null", "NaN", "🇺🇸", "'; DROP TABLE jobs; --"]
    {
        let added = api.post(Who::Ada, JOBS, &json!({"options": {"jobId": id}})).await.expect(202);
        assert_eq!(added["data"]["clientId"], id);
        let again = api.post(Who::Ada, JOBS, &json!({"options": {"jobId": id}})).await.expect(200);
        assert_eq!(again["data"]["jobId"], added["data"]["jobId"]);
    }
    for query in ["sort=password%20desc", "order=1;select", "fields=*"] {
        assert_eq!(
            api.get(Who::Ada, &format!("/api/v1/jobs?{query}")).await.status,
            200,
            "what is unknown is not used"
        );
    }
    for query in ["status=failed'%20OR%201=1", "status[]=failed", "queue=*", "queue=analytics%00"] {
        let answer = api.get(Who::Ada, &format!("/api/v1/jobs?{query}")).await;
        assert!(matches!(answer.status, 200 | 422), "{query}");
        assert_ne!(answer.json()["total"], json!(99));
    }
    let repeated = format!("/api/v1/jobs?{}", "status=failed&".repeat(500));
    assert_eq!(api.get(Who::Ada, &repeated).await.fields(), ["status"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pipelined_requests_are_answered_in_order_and_upgrades_are_not_taken() {
    let api = start().await;
    let requests = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n".repeat(999)
        + "GET /nowhere HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let text = raw(&api, requests.as_bytes(), |_| false);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 999);
    assert!(text.trim_end().ends_with('}') && text.contains("HTTP/1.1 404"), "the last one comes last");
    for upgrade in ["h2c", "websocket"] {
        let request = format!(
            "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: {upgrade}\r\n\r\n"
        );
        assert!(raw(&api, request.as_bytes(), |text| text.contains("\r\n\r\n")).starts_with("HTTP/1.1 200"));
    }
    for odd in [
        "GET /health/live HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /health/live HTTP/1.1\r\n\r\n",
        "GET  /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET /health/live HTTP/9.9\r\nHost: x\r\n\r\n",
        "\u{0}\u{1}\u{2}\r\n\r\n",
        "POST /api/v1/queues/analytics/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /api/v1/queues/analytics/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ] {
        let text = raw(&api, odd.as_bytes(), |text| text.contains("\r\n\r\n"));
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 4"), "{odd:?}: {text}");
    }
    lives(&api);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_say_nothing_are_closed_and_cost_the_others_nothing() {
    let config = ApiConfig { header_timeout: Duration::from_millis(500), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let address = api.base.trim_start_matches("http://").to_owned();
    let mut silent: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(&address).unwrap()).collect();
    lives(&api);
    for stream in &mut silent {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let mut text = String::new();
        // Closed, with or without a word.
        stream.read_to_string(&mut text).unwrap();
        assert!(text.is_empty() || text.starts_with("HTTP/1.1 408"), "{text}");
    }
    lives(&api);
}

#[tokio::test]
async fn what_is_taken_is_bounded_where_clients_choose_how_much() {
    let api = start().await;
    for (options, field) in [
        (json!({"tags": vec!["t"; 17]}), "options.tags"),
        (json!({"group": "g".repeat(51)}), "options.group"),
        (json!({"dedup": {"key": "k".repeat(1_025)}}), "options.dedup.key"),
        (json!({"dedup": {"key": "a\n"}}), "options.dedup.key"),
        (json!({"backoff": {"type": "exponential", "delay": 1, "factor": 1e9}}), "options.backoff.factor"),
        (json!({"timeout": 604_800_001_u64}), "options.timeout"),
        (json!({"delay": 31_536_000_001_u64}), "options.delay"),
    ] {
        assert_eq!(api.post(Who::Ada, JOBS, &json!({"options": options})).await.fields(), [field]);
    }
    let long = "x".repeat(300);
    let request = api.as_who(Who::Ada, Method::POST, JOBS).header("idempotency-key", &long).body("{}");
    let answer = Answer::of(request.header("content-type", "application/json").send().await.unwrap()).await;
    assert_eq!(answer.problem(400), "invalid_idempotency_key");
    let wide: Value = json!({"data": {"list": vec![1; 600_000]}});
    assert!(matches!(api.post(Who::Ada, JOBS, &wide).await.status, 413));
    assert_eq!(api.depth("analytics").await, 0);
}
