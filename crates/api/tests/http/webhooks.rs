//! Webhooks over real HTTP: whose they are, what of them is kept and shown, and which addresses are refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{Answer, Fixture, Who, start};
use bulrush::model::QueueName;
use bulrush_catalog::SealedText;
use bulrush_catalog::jobs::DeliverWebhook;
use bulrush_service::{Sealing, Secret};
use bulrush_store::Scope;
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/webhooks";
const URL: &str = "https://example.com/hook";

async fn send(api: &Fixture, who: Who, method: Method, path: &str, body: &Value) -> Answer {
    let request = api.as_who(who, method, path).header("content-type", "application/json");
    Answer::of(request.body(body.to_string()).send().await.unwrap()).await
}

/// A webhook of Ada's: its address here and its secret.
async fn make(api: &Fixture) -> (String, String) {
    let made = api.post(Who::Ada, PATH, &json!({"url": URL})).await;
    let secret = made.expect(201)["webhook"]["secret"].as_str().unwrap().to_owned();
    (made.header("location").to_owned(), secret)
}

/// The jobs that send, by the delivery and round that they are for.
async fn jobs(api: &Fixture) -> Vec<DeliverWebhook> {
    let request = bulrush::model::PageRequest {
        state: Some(bulrush::model::JobState::Waiting),
        limit: 100,
        ..Default::default()
    };
    let page = api.backend.page(&QueueName::new("webhooks").unwrap(), request).await.unwrap();
    page.jobs.iter().map(|job| serde_json::from_slice(&job.spec.data).unwrap()).collect()
}

#[tokio::test]
async fn a_webhook_is_kept_read_changed_and_removed_by_its_owner() {
    let api = start().await;
    let made =
        api.post(Who::Ada, PATH, &json!({"url": URL, "events": ["job.failed", "job.completed"]})).await;
    let webhook = made.expect(201)["webhook"].clone();
    assert_eq!((&webhook["url"], &webhook["enabled"]), (&json!(URL), &json!(true)));
    assert_eq!(webhook["events"], json!(["job.completed", "job.failed"]));
    let path = made.header("location").to_owned();
    assert_eq!(path, format!("{PATH}/{}", webhook["id"].as_str().unwrap()));
    let read = api.get(Who::Ada, &path).await.expect(200);
    assert_eq!((&read["webhook"]["id"], &read["webhook"]["secret"]), (&webhook["id"], &Value::Null));
    assert_eq!(api.get(Who::Viewer, &path).await.status, 200);
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["webhooks"].as_array().unwrap().len(), 1);
    assert_eq!(api.get(Who::Bob, PATH).await.expect(200)["webhooks"], json!([]));

    let change =
        json!({"events": ["job.cancelled"], "enabled": false, "url": "http://example.org:8080/x?y=1"});
    let changed = send(&api, Who::Ada, Method::PATCH, &path, &change).await.expect(200)["webhook"].clone();
    assert_eq!(changed["url"], "http://example.org:8080/x?y=1");
    assert_eq!((&changed["events"], &changed["enabled"]), (&json!(["job.cancelled"]), &json!(false)));
    let same = send(&api, Who::Ada, Method::PATCH, &path, &json!({})).await.expect(200)["webhook"].clone();
    assert_eq!((&same["url"], &same["enabled"]), (&changed["url"], &changed["enabled"]));

    let unknown = format!("{PATH}/00000000-0000-7000-8000-000000000000");
    for who in [Who::Bob, Who::OtherAda] {
        for (method, below) in [
            (Method::GET, ""),
            (Method::PATCH, ""),
            (Method::DELETE, ""),
            (Method::POST, "/secret"),
            (Method::POST, "/test"),
            (Method::GET, "/deliveries"),
            (Method::POST, "/deliveries/x/redeliver"),
        ] {
            let foreign = send(&api, who, method.clone(), &format!("{path}{below}"), &json!({})).await;
            assert_eq!(foreign.problem(404), "unknown_webhook", "{method} {below}");
            let never = send(&api, who, method, &format!("{unknown}{below}"), &json!({})).await;
            assert_eq!(foreign.text, never.text);
        }
    }
    assert_eq!(api.get(Who::Ada, &path).await.expect(200)["webhook"], same);
    send(&api, Who::Ada, Method::DELETE, &path, &json!({})).await.expect(200);
    assert_eq!(api.get(Who::Ada, &path).await.problem(404), "unknown_webhook");
}

#[tokio::test]
async fn a_secret_is_shown_once_and_kept_sealed() {
    let api = start().await;
    let sealing = Sealing::new(&Secret::new("k".repeat(32))).unwrap();
    let open = |sealed: &str| {
        sealing.open(&SealedText::new(sealed.to_owned()).unwrap()).unwrap().expose().to_owned()
    };
    let (path, first) = make(&api).await;
    assert!(first.starts_with("whsec_") && first.len() > 40, "{first}");
    let row = async || api.store.webhooks().list(&Scope::All, None, 10).await.unwrap().pop().unwrap();
    assert!(!row().await.secret.contains("whsec_"));
    assert_eq!(open(&row().await.secret), first);

    let rotated = api.post(Who::Ada, &format!("{path}/secret"), &json!({})).await.expect(200);
    let second = rotated["webhook"]["secret"].as_str().unwrap();
    assert_ne!(second, first);
    assert!(rotated["webhook"]["oldSecretUntil"].is_string());
    let kept = row().await;
    assert_eq!(
        (open(&kept.secret).as_str(), open(&kept.old_secret.unwrap().secret)),
        (second, first.clone())
    );

    for (who, path) in [(Who::Ada, path.as_str()), (Who::Ada, PATH), (Who::Viewer, &path), (Who::Admin, PATH)]
    {
        let text = api.get(who, path).await.text;
        assert!(!text.contains("whsec_") && !text.contains("sealed"), "{text}");
    }
    let changed = send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": false})).await;
    assert!(!changed.text.contains("whsec_") && !changed.text.contains("sealed"), "{}", changed.text);
    // Not in any file of the database either, its log included.
    for entry in
        std::fs::read_dir(api.folder.path()).unwrap().flatten().filter(|entry| entry.path().is_file())
    {
        let bytes = std::fs::read(entry.path()).unwrap();
        for secret in [first.as_bytes(), second.as_bytes()] {
            assert!(!bytes.windows(secret.len()).any(|w| w == secret), "{:?}", entry.file_name());
        }
    }
}

#[tokio::test]
async fn e_rows_addresses_that_may_not_be_called_are_refused_by_the_field() {
    let api = start().await;
    let (path, _) = make(&api).await;
    for url in [
        // E01
        "http://127.0.0.1:6379/",
        "http://127.0.0.1/",
        "http://localhost:5432/",
        "http://localhost/",
        "http://[::1]:8080/",
        // E02
        "http://169.254.169.254/latest/meta-data/",
        "http://metadata.google.internal/",
        "http://[fd00:ec2::254]/",
        // E03
        "http://10.0.0.5/",
        "http://172.16.0.1/",
        "http://192.168.1.1/",
        "http://100.64.0.1/",
        "http://198.18.0.1/",
        "http://224.0.0.1/",
        "http://255.255.255.255/",
        "http://0.0.0.0/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://[::ffff:127.0.0.1]/",
        // E09
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "ftp://example.com/",
        "data:text/plain,x",
        "javascript:alert(1)",
        "unix:/run/x.sock",
        "https+unix://x/",
        // E11
        "https://good.example:22/",
        "https://good.example:25/",
        "https://good.example:6379/",
        "https://good.example:0/",
        "https://good.example:65536/",
        "https://ada:canary@good.example/",
        "/hook",
        "",
        "https://",
        "https://good.example/\r\nx",
    ] {
        for answer in [
            api.post(Who::Ada, PATH, &json!({"url": url})).await,
            send(&api, Who::Ada, Method::PATCH, &path, &json!({"url": url})).await,
        ] {
            assert_eq!(answer.fields(), ["url"], "{url}");
            assert!(!answer.text.contains("canary"), "{}", answer.text);
        }
    }
    let long = format!("https://good.example/{}", "x".repeat(100_000));
    assert_eq!(api.post(Who::Ada, PATH, &json!({"url": long})).await.fields(), ["url"]);
    assert_eq!(api.get(Who::Ada, &path).await.expect(200)["webhook"]["url"], URL, "and nothing was changed");
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["webhooks"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn what_an_operator_allows_is_taken() {
    let exception = "127.0.0.1:9797".parse().unwrap();
    let outbound = bulrush_outbound::OutboundPolicy::default().with_exception(exception);
    let config = bulrush_api::ApiConfig { outbound, ..Default::default() };
    let api = crate::common::start_with(config, bulrush_catalog::Catalog::default()).await;
    api.post(Who::Ada, PATH, &json!({"url": "http://127.0.0.1:9797/hook"})).await.expect(201);
    let other = api.post(Who::Ada, PATH, &json!({"url": "http://127.0.0.1:9798/hook"})).await;
    assert_eq!(other.fields(), ["url"]);
}

#[tokio::test]
async fn bodies_that_cannot_be_used_make_nothing() {
    let api = start().await;
    for (body, status) in [
        (json!({}), 422),
        (json!([]), 400),
        (json!({"url": 1}), 422),
        (json!({"url": null}), 422),
        (json!({"url": URL, "events": []}), 422),
        (json!({"url": URL, "events": "job.completed"}), 422),
        (json!({"url": URL, "events": ["job.added"]}), 422),
        (json!({"url": URL, "events": ["webhook.test"]}), 422),
        (json!({"url": URL, "events": vec!["job.failed"; 1_000]}), 422),
        (json!({"url": URL, "secret": "whsec_mine"}), 422),
        (json!({"url": URL, "enabled": false}), 422),
        (json!({"url": URL, "owner": "bob"}), 422),
    ] {
        assert_eq!(api.post(Who::Ada, PATH, &body).await.status, status, "{body}");
    }
    assert_eq!(api.post(Who::Viewer, PATH, &json!({"url": URL})).await.status, 403);
    assert_eq!(api.get(Who::Admin, PATH).await.expect(200)["webhooks"], json!([]));
    let (path, _) = make(&api).await;
    for body in [json!({"enabled": "no"}), json!({"events": []}), json!({"secret": "x"}), json!({"id": "x"})]
    {
        assert_eq!(send(&api, Who::Ada, Method::PATCH, &path, &body).await.status, 422, "{body}");
    }
    for below in ["?limit=0", "?limit=101", "?after=a&after=b"] {
        assert_eq!(api.get(Who::Ada, &format!("{PATH}{below}")).await.status, 422, "{below}");
    }
    for cursor in ["x", "1.", ".x", "1e9.x", &format!("1.{}", "x".repeat(65))] {
        let answer = api.get(Who::Ada, &format!("{path}/deliveries?cursor={cursor}")).await;
        assert_eq!(answer.problem(400), "invalid_cursor", "{cursor}");
    }
}

#[tokio::test]
async fn a_tenant_has_a_hundred_webhooks_and_no_more() {
    let api = start().await;
    for n in 0..100 {
        let who = if n % 2 == 0 { Who::Ada } else { Who::Bob };
        api.post(who, PATH, &json!({"url": URL})).await.expect(201);
    }
    assert_eq!(api.post(Who::Ada, PATH, &json!({"url": URL})).await.problem(409), "too_many_webhooks");
    api.post(Who::OtherAda, PATH, &json!({"url": URL})).await.expect(201);
    let (mut seen, mut after) = (0, String::new());
    loop {
        let page = api.get(Who::Ada, &format!("{PATH}?limit=20{after}")).await.expect(200);
        seen += page["webhooks"].as_array().unwrap().len();
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, 50);
}

#[tokio::test]
async fn a_test_is_sent_and_sent_anew_under_the_same_id() {
    let api = start().await;
    let (path, _) = make(&api).await;
    let mut ids = Vec::new();
    for _ in 0..3 {
        let sent =
            api.post(Who::Ada, &format!("{path}/test"), &json!({})).await.expect(202)["delivery"].clone();
        assert_eq!((&sent["event"], &sent["status"]), (&json!("webhook.test"), &json!("pending")));
        ids.push(sent["id"].as_str().unwrap().to_owned());
    }
    assert_eq!(jobs(&api).await.len(), 3);
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = api.get(Who::Ada, &format!("{path}/deliveries?limit=2{cursor}")).await.expect(200);
        let page_ids = page["deliveries"].as_array().unwrap().iter();
        seen.extend(page_ids.map(|delivery| delivery["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let sorted = |ids: &[String]| {
        let mut ids = ids.to_vec();
        ids.sort();
        ids
    };
    assert_eq!(sorted(&seen), sorted(&ids));

    let again = format!("{path}/deliveries/{}/redeliver", ids[0]);
    assert_eq!(api.post(Who::Ada, &again, &json!({})).await.expect(202)["delivery"]["id"], ids[0]);
    let of_first: Vec<i64> =
        jobs(&api).await.into_iter().filter(|job| job.delivery_id == ids[0]).map(|job| job.round).collect();
    assert_eq!(sorted(&of_first.iter().map(i64::to_string).collect::<Vec<_>>()), ["0", "1"]);

    let (other, _) = make(&api).await;
    for missing in
        [format!("{other}/deliveries/{}/redeliver", ids[0]), format!("{path}/deliveries/x/redeliver")]
    {
        assert_eq!(api.post(Who::Ada, &missing, &json!({})).await.problem(404), "unknown_delivery");
    }
    send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": false})).await.expect(200);
    for path in [format!("{path}/test"), again] {
        assert_eq!(api.post(Who::Ada, &path, &json!({})).await.problem(409), "webhook_disabled");
    }
}

#[tokio::test]
async fn the_queue_of_deliveries_is_not_for_users() {
    let api = start().await;
    let body = json!({"data": {"deliveryId": "x"}});
    for (who, status) in [(Who::Ada, 403), (Who::Viewer, 403), (Who::Admin, 202)] {
        assert_eq!(api.post(who, "/api/v1/queues/webhooks/jobs", &body).await.status, status);
    }
}
