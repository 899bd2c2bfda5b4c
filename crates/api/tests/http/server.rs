//! The server around the routes: readiness, metrics, headers, methods, slow clients, stopping.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::common::{Answer, DEADLINE, Fixture, Who, bind, start, start_with};
use bulrush_api::{ApiConfig, MetricsAccess};
use bulrush_catalog::Catalog;
use bulrush_service::Drained;
use reqwest::Method;
use serde_json::{Value, json};

async fn open(api: &Fixture, path: &str) -> Answer {
    Answer::of(api.request(Method::GET, path).send().await.unwrap()).await
}

#[tokio::test]
async fn a_server_answers_before_it_is_ready_and_becomes_so() {
    let api = bind(ApiConfig::default(), Catalog::default()).await;
    assert_eq!(open(&api, "/health/live").await.expect(200), json!({"status": "up"}));
    assert_eq!(open(&api, "/health/ready").await.expect(503), json!({"status": "starting"}));
    assert_eq!(open(&api, "/health").await.expect(503)["services"]["redis"], "down");
    assert_eq!(open(&api, "/metrics").await.status, 200);
    let early = api.get(Who::Ada, "/api/jobs").await;
    assert_eq!((early.problem(503), early.header("retry-after")), ("starting".to_owned(), "1"));
    api.serve();
    assert_eq!(open(&api, "/health/ready").await.expect(200), json!({"status": "ready"}));
    let health = open(&api, "/health").await.expect(200);
    assert_eq!(
        health,
        json!({
            "status": "healthy",
            "services": {"postgres": "up", "analytics_rollups": "up", "redis": "up", "queues": "up"},
            "backend": "memory",
            "durability": "volatile",
        })
    );
    api.get(Who::Ada, "/api/jobs").await.expect(200);
}

#[tokio::test]
async fn a_part_that_goes_away_is_told_and_requests_get_503() {
    let api = start().await;
    api.backend.close().await.unwrap();
    let answer = api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &json!({"data": {}})).await;
    assert_eq!(answer.problem(503), "unavailable");
    assert!(!answer.header("retry-after").is_empty());
    let health = open(&api, "/health").await.expect(503);
    assert_eq!(
        (&health["services"]["redis"], &health["services"]["postgres"]),
        (&json!("down"), &json!("up"))
    );
    let ready = open(&api, "/health/ready").await.expect(503);
    assert_eq!(
        (&ready["status"], &ready["reasons"][0]["reason"]),
        (&json!("unhealthy"), &json!("it was closed"))
    );
    assert_eq!(open(&api, "/metrics").await.status, 200, "what it knows of itself is still told");
}

#[tokio::test]
async fn metrics_are_told_in_both_forms() {
    let api = start().await;
    api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    let text = open(&api, "/metrics").await;
    assert!(text.header("content-type").starts_with("text/plain"));
    for line in [
        "# TYPE bullmq_queue_waiting_jobs gauge",
        "bullmq_queue_waiting_jobs{queue=\"analytics\"} 1",
        "bulrush_jobs_added_total{queue=\"analytics\"} 1",
        "bulrush_http_requests_total{method=\"POST\",route=\"/api/v1/queues/{queue}/jobs\",status=\"202\"} 1",
    ] {
        assert!(text.text.lines().any(|l| l == line), "{line} is missing in\n{}", text.text);
    }
    let json = open(&api, "/metrics/json").await.expect(200);
    assert!(json["timestamp"].as_str().unwrap().ends_with('Z'));
    let expected = json!({"waiting": 1, "active": 0, "completed": 0, "failed": 0, "delayed": 0});
    assert_eq!((&json["queues"]["analytics"], json["queues"].as_object().unwrap().len()), (&expected, 22));
}

#[tokio::test]
async fn labels_of_metrics_do_not_grow_with_what_clients_send() {
    let api = start().await;
    for n in 0..30 {
        open(&api, &format!("/nowhere/{n}")).await;
        api.get(Who::Ada, &format!("/api/v1/jobs/x{n}")).await;
        api.post(Who::Ada, &format!("/api/v1/queues/q{n}/jobs"), &json!({})).await;
    }
    let text = open(&api, "/metrics").await.text;
    let requests = text.lines().filter(|line| line.starts_with("bulrush_http_requests_total{")).count();
    assert_eq!(requests, 3, "{text}");
    assert!(text.contains("bulrush_http_refused_total{code=\"unknown_queue\"} 30"));
}

#[tokio::test]
async fn metrics_can_be_kept_to_administrators_or_closed() {
    let config = |metrics| ApiConfig { metrics, ..ApiConfig::default() };
    let api = start_with(config(MetricsAccess::Admin), Catalog::default()).await;
    for path in ["/metrics", "/metrics/json"] {
        assert_eq!(open(&api, path).await.problem(401), "missing_token");
        assert_eq!(api.get(Who::Ada, path).await.problem(403), "forbidden");
        assert_eq!(api.get(Who::Admin, path).await.status, 200);
    }
    let api = start_with(config(MetricsAccess::Closed), Catalog::default()).await;
    assert_eq!(api.get(Who::Admin, "/metrics").await.problem(404), "unknown_route");
}

#[tokio::test]
async fn every_answer_carries_an_id_and_headers_that_keep_browsers_out() {
    let api = start().await;
    for path in ["/health", "/nowhere", "/api/v1/jobs", "/api/v1/queues/x/jobs"] {
        let answer = open(&api, path).await;
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
        assert!(answer.header("content-security-policy").contains("default-src 'none'"));
        assert_eq!(answer.header("x-request-id").len(), 16);
        assert_eq!(answer.header("server"), "");
    }
    let mine = api.request(Method::GET, "/health").header("x-request-id", "trace-1.a").send().await.unwrap();
    assert_eq!(Answer::of(mine).await.header("x-request-id"), "trace-1.a");
    let odd = api.request(Method::GET, "/health").header("x-request-id", "a b\"c").send().await.unwrap();
    assert_ne!(Answer::of(odd).await.header("x-request-id"), "a b\"c");
    let evil = api
        .as_who(Who::Ada, Method::GET, "/api/jobs")
        .header("origin", "https://evil.example")
        .send()
        .await
        .unwrap();
    assert!(evil.headers().get("access-control-allow-origin").is_none());
}

#[tokio::test]
async fn other_methods_are_refused_with_what_there_is() {
    let api = start().await;
    for (path, allowed) in [
        ("/api/v1/jobs", "GET"),
        ("/api/jobs/ana-1", "GET"),
        ("/api/v1/queues/analytics/jobs", "POST"),
        ("/api/v1/files", "POST"),
        ("/api/v1/files/1/enrich", "POST"),
        ("/metrics", "GET"),
        ("/health", "GET"),
    ] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "TRACE"].into_iter().filter(|m| *m != allowed)
        {
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let request = api.as_who(Who::Admin, method, path).header("x-http-method-override", allowed);
            let answer = Answer::of(request.send().await.unwrap()).await;
            assert_eq!(
                (answer.problem(405), answer.header("allow")),
                ("method_not_allowed".to_owned(), allowed),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn heads_beyond_their_bounds_are_refused() {
    let api = start().await;
    let long = api.get(Who::Ada, &format!("/api/v1/jobs?x={}", "a".repeat(20_000))).await;
    assert_eq!(long.problem(414), "uri_too_long");
    let raw = async |head: String| talk(&api, head.into_bytes(), true).await;
    let two = raw("GET /health HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into()).await;
    assert!(two.starts_with("HTTP/1.1 400"), "{two}");
    let many = "X-Many: 1\r\n".repeat(500);
    let many = raw(format!("GET /health HTTP/1.1\r\nHost: a\r\n{many}\r\n")).await;
    assert!(many.starts_with("HTTP/1.1 4") || many.is_empty(), "{many}");
    let broken = raw("GET /api/v1/jobs/%zz%ff HTTP/1.1\r\nHost: a\r\n\r\n".into()).await;
    assert!(broken.starts_with("HTTP/1.1 4"), "{broken}");
    assert_eq!(open(&api, "/health").await.status, 200);
}

/// Sends bytes and reads until the server closes; optionally closes its own side for writing first.
async fn talk(api: &Fixture, bytes: Vec<u8>, done: bool) -> String {
    let address = api.server.as_ref().unwrap().address();
    tokio::task::spawn_blocking(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(&bytes).unwrap();
        if done {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut answer = Vec::new();
        // A reset after the answer is as good as a close; a connection that is held open is neither.
        if let Err(error) = stream.read_to_end(&mut answer) {
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "the connection was held open");
        }
        String::from_utf8_lossy(&answer).into_owned()
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn a_slow_body_is_cut_off_and_nothing_is_added() {
    let config = ApiConfig { body_timeout: Duration::from_millis(100), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let token = api.token(Who::Ada);
    let head = format!(
        "POST /api/v1/queues/analytics/jobs HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\n"
    );
    for rest in ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"] {
        let answer = talk(&api, format!("{head}{rest}").into_bytes(), false).await;
        assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("body_too_slow"), "{answer}");
    }
    // A body that is refused unread holds the connection no longer than one that is read.
    let no_token = "POST /api/v1/queues/analytics/jobs HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n";
    let answer = talk(&api, no_token.as_bytes().to_vec(), false).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(api.depth("analytics").await, 0);
    let huge = talk(&api, format!("{head}Content-Length: 10000000000\r\n\r\n{{").into_bytes(), false).await;
    assert!(huge.starts_with("HTTP/1.1 413"), "{huge}");
}

#[tokio::test]
async fn a_slow_upload_is_cut_off_and_leaves_nothing() {
    let config = ApiConfig { body_timeout: Duration::from_millis(100), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let token = api.token(Who::Ada);
    let request = format!(
        "POST /api/v1/files HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 10000\r\n\
         Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"file\"; \
         filename=\"p.csv\"\r\n\r\ndate,price\n"
    );
    let answer = talk(&api, request.into_bytes(), false).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(api.stored_objects(), 0);
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let config = ApiConfig { header_timeout: Duration::from_millis(100), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let answer = talk(&api, b"GET /health HTTP/1.1\r\nHost: a\r\nX-Slow".to_vec(), false).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_stop_answers_what_waits_and_frees_the_port() {
    let mut api = start().await;
    let id = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    let request = api.as_who(Who::Ada, Method::GET, &format!("/api/v1/jobs/{id}?wait=60s"));
    let waiting = tokio::spawn(async move { Answer::of(request.send().await.unwrap()).await });
    // Both requests are in flight once the second one is counted.
    loop {
        let text = open(&api, "/metrics").await.text;
        let in_flight = text.lines().find_map(|line| line.strip_prefix("bulrush_http_requests_in_flight "));
        if in_flight == Some("2") {
            break;
        }
        tokio::task::yield_now().await;
    }
    let address = api.server.as_ref().unwrap().address();
    api.shutdown.begin();
    let stopped = api.server.take().unwrap().stop(&api.shutdown);
    let drained = tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap();
    assert_eq!(drained, Drained::Whole);
    let answer: Value = waiting.await.unwrap().expect(200);
    assert_eq!(answer["job"]["status"], "waiting");
    assert!(TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let api = start().await;
    let port = api.server.as_ref().unwrap().address().port();
    let shared = bulrush_api::Shared {
        catalog: Catalog::default().into(),
        tokens: api.tokens.clone().into(),
        sealing: None,
        metrics: bulrush_service::Metrics::new().unwrap().into(),
        health: bulrush_service::Health::new(),
        shutdown: bulrush_service::Shutdown::new(),
    };
    let config = ApiConfig { port, ..ApiConfig::default() };
    let error = bulrush_api::Server::bind(config, shared, Vec::new()).unwrap_err();
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
}

#[tokio::test]
async fn pages_of_other_origins_get_in_by_the_list_alone() {
    let config = ApiConfig { cors_origins: vec!["https://app.example.com".into()], ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let preflight = async |origin: &str| {
        let request = api
            .request(Method::OPTIONS, "/api/v1/queues/analytics/jobs")
            .header("origin", origin)
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "authorization,content-type,idempotency-key");
        Answer::of(request.send().await.unwrap()).await
    };
    let good = preflight("https://app.example.com").await;
    assert_eq!((good.status, good.header("access-control-allow-origin")), (200, "https://app.example.com"));
    assert!(good.header("access-control-allow-headers").contains("idempotency-key"));
    assert_eq!(good.header("access-control-allow-credentials"), "");
    for bad in [
        "null",
        "https://evil.example",
        "https://sub.app.example.com",
        "https://app.example.com.evil",
        "http://app.example.com",
    ] {
        let answer = preflight(bad).await;
        assert_eq!(answer.header("access-control-allow-origin"), "", "{bad}");
        let get =
            api.as_who(Who::Ada, Method::GET, "/api/v1/jobs").header("origin", bad).send().await.unwrap();
        let get = Answer::of(get).await;
        assert_eq!((get.status, get.header("access-control-allow-origin")), (200, ""), "{bad}");
    }
    let get = api.as_who(Who::Ada, Method::GET, "/api/v1/jobs").header("origin", "https://app.example.com");
    let get = Answer::of(get.send().await.unwrap()).await;
    assert_eq!(get.header("access-control-allow-origin"), "https://app.example.com");
    assert!(get.header("vary").to_lowercase().contains("origin"));
}

#[tokio::test]
async fn metrics_move_to_their_own_port() {
    let config = ApiConfig { metrics_port: Some(0), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    for path in ["/metrics", "/api/v1/metrics", "/metrics/json"] {
        let answer = Answer::of(api.request(Method::GET, path).send().await.unwrap()).await;
        assert_eq!(answer.problem(404), "unknown_route");
    }
    let own = api.server.as_ref().unwrap().metrics_address().unwrap();
    for (path, status) in
        [("/metrics", 200), ("/metrics/json", 200), ("/health/ready", 200), ("/api/v1/jobs", 404)]
    {
        let answer = api.client.get(format!("http://{own}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{path}");
    }
}

#[tokio::test]
async fn a_user_who_floods_is_held_back_and_others_are_not() {
    let config = ApiConfig { rate_user: 1, rate_tenant: 0, ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let mut refused = None;
    for _ in 0..1_000 {
        let answer = api.get(Who::Ada, "/api/v1/jobs").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("one a second is not as many");
    assert_eq!(refused.problem(429), "rate_limited");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() >= 1);
    assert_eq!(api.get(Who::Bob, "/api/v1/jobs").await.status, 200);
    assert_eq!(api.get(Who::OtherAda, "/api/v1/jobs").await.status, 200);
    let counted = Answer::of(api.request(Method::GET, "/metrics").send().await.unwrap()).await.text;
    assert!(counted.contains("code=\"rate_limited\""), "a refusal is counted");
}

#[tokio::test]
async fn large_bodies_share_a_bound_of_memory() {
    let config = ApiConfig { body_memory: 64 << 10, ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let body = serde_json::json!({"data": {"x": "x".repeat(100 << 10)}});
    let answer = api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &body).await;
    assert_eq!(answer.problem(503), "overloaded");
    assert_eq!(answer.header("retry-after"), "1");
    let small = serde_json::json!({"data": {"x": "x".repeat(32 << 10)}});
    for _ in 0..3 {
        api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &small).await.expect(202);
    }
}
