//! Schedules over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use crate::common::{Answer, DEADLINE, Fixture, Who, start, start_with};
use bulrush::{Ticker, TickerOptions};
use bulrush_api::ApiConfig;
use bulrush_catalog::{Catalog, SealedText};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/schedules";

fn nightly() -> Value {
    json!({
        "name": "nightly", "queue": "analytics-queue", "jobName": "analyze", "cron": "30 2 * * *",
        "zone": "Europe/Berlin", "data": {"productId": "p-1"}, "options": {"priority": 3, "tags": ["nightly"]},
    })
}

async fn send(
    api: &Fixture,
    who: Who,
    method: Method,
    path: &str,
    body: &Value,
    header: Option<(&str, &str)>,
) -> Answer {
    let mut request = api.as_who(who, method, path).header("content-type", "application/json");
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    Answer::of(request.body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_schedule_is_kept_read_changed_and_removed_by_its_owner() {
    let api = start().await;
    let made = api.post(Who::Ada, PATH, &nightly()).await;
    let schedule = made.expect(201)["schedule"].clone();
    assert_eq!((&schedule["queue"], &schedule["name"]), (&json!("analytics"), &json!("nightly")));
    assert_eq!((&schedule["cron"], &schedule["zone"]), (&json!("30 2 * * *"), &json!("Europe/Berlin")));
    assert_eq!(schedule["data"], json!({"productId": "p-1"}));
    assert_eq!((&schedule["options"]["priority"], &schedule["options"]["attempts"]), (&json!(3), &json!(3)));
    assert_eq!((&schedule["enabled"], &schedule["state"]["over"]), (&json!(true), &json!(false)));
    assert_eq!(schedule["owner"], json!({"tenant": "acme", "user": "ada"}));
    let path = made.header("location").to_owned();
    assert_eq!(path, format!("{PATH}/{}", schedule["id"].as_str().unwrap()));
    let tag = made.header("etag").to_owned();
    let read = api.get(Who::Ada, &path).await;
    assert_eq!((read.expect(200)["schedule"].clone(), read.header("etag")), (schedule.clone(), tag.as_str()));
    api.get(Who::Viewer, &path).await.expect(200);
    api.get(Who::Admin, &path).await.expect(200);

    // What is read can be put again, as far as it can be asked for.
    let mut again = schedule.clone();
    for told in ["id", "owner", "state"] {
        again.as_object_mut().unwrap().remove(told);
    }
    let same = send(&api, Who::Ada, Method::PUT, &path, &again, Some(("if-match", &tag))).await;
    assert_eq!(same.expect(200)["schedule"], schedule, "nothing has changed");

    again["cron"] = json!("0 4 * * *");
    let changed = send(&api, Who::Ada, Method::PUT, &path, &again, Some(("if-match", &tag))).await;
    assert_eq!(changed.expect(200)["schedule"]["cron"], "0 4 * * *");
    assert_ne!(changed.header("etag"), tag);
    let late = send(&api, Who::Ada, Method::PUT, &path, &nightly(), Some(("if-match", &tag))).await;
    assert_eq!(late.problem(412), "version_conflict");
    let odd = send(&api, Who::Ada, Method::PUT, &path, &nightly(), Some(("if-match", "one"))).await;
    assert_eq!(odd.problem(400), "invalid_version");
    for (field, other) in [("queue", "metrics"), ("name", "daily")] {
        let mut body = nightly();
        body[field] = json!(other);
        assert_eq!(send(&api, Who::Ada, Method::PUT, &path, &body, None).await.fields(), [field]);
    }
    for who in [Who::Bob, Who::OtherAda] {
        assert_eq!(api.get(who, &path).await.problem(404), "unknown_schedule");
        for (method, path) in [
            (Method::PUT, path.clone()),
            (Method::DELETE, path.clone()),
            (Method::POST, format!("{path}/run")),
            (Method::GET, format!("{path}/next")),
        ] {
            let answer = send(&api, who, method, &path, &nightly(), None).await;
            assert_eq!(answer.problem(404), "unknown_schedule", "{path}");
        }
        let answer = send(&api, who, Method::PATCH, &path, &json!({"enabled": false}), None).await;
        assert_eq!(answer.problem(404), "unknown_schedule");
    }
    assert_eq!(send(&api, Who::Viewer, Method::DELETE, &path, &json!({}), None).await.status, 403);
    send(&api, Who::Ada, Method::DELETE, &path, &json!({}), None).await.expect(200);
    assert_eq!(api.get(Who::Ada, &path).await.problem(404), "unknown_schedule");
    // Its name is free again.
    api.post(Who::Ada, PATH, &nightly()).await.expect(201);
}

#[tokio::test]
async fn a_name_is_its_owner_s_and_a_repeat_makes_no_second_schedule() {
    let api = start().await;
    let first = api.post(Who::Ada, PATH, &nightly()).await.expect(201);
    assert_eq!(api.post(Who::Ada, PATH, &nightly()).await.expect(200), first, "a repeat");
    let mut other = nightly();
    other["zone"] = json!("UTC");
    assert_eq!(api.post(Who::Ada, PATH, &other).await.problem(409), "name_taken");
    let mut ids = vec![first["schedule"]["id"].clone()];
    for who in [Who::Bob, Who::OtherAda] {
        ids.push(api.post(who, PATH, &nightly()).await.expect(201)["schedule"]["id"].clone());
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);

    let unnamed = json!({"queue": "metrics", "every": "1h"});
    let key = Some(("idempotency-key", "mine"));
    let made = send(&api, Who::Ada, Method::POST, PATH, &unnamed, key).await.expect(201);
    assert!(made["schedule"].get("name").is_none());
    let anew = api.post(Who::Ada, PATH, &unnamed).await.expect(201);
    assert_ne!(anew["schedule"]["id"], made["schedule"]["id"], "without a name or a key each is its own");
    assert_eq!(send(&api, Who::Ada, Method::POST, PATH, &unnamed, key).await.expect(200), made);
    let other = json!({"queue": "metrics", "every": "2h"});
    let conflict = send(&api, Who::Ada, Method::POST, PATH, &other, key).await;
    assert_eq!(conflict.problem(409), "idempotency_conflict");
}

#[tokio::test]
async fn schedules_are_listed_page_by_page_each_to_whom_it_belongs() {
    let api = start().await;
    for n in 0..5 {
        for who in [Who::Ada, Who::Bob, Who::OtherAda] {
            let queue = ["analytics", "metrics"][n % 2];
            let body = json!({"name": format!("s{n}"), "queue": queue, "every": "1h"});
            api.post(who, PATH, &body).await.expect(201);
        }
    }
    let names = |page: &Value| -> Vec<String> {
        let schedules = page["schedules"].as_array().unwrap().iter();
        let name = |schedule: &Value| {
            format!("{}/{}", schedule["owner"]["user"].as_str().unwrap(), schedule["name"].as_str().unwrap())
        };
        schedules.map(name).collect()
    };
    let (mut seen, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(Who::Ada, &format!("{PATH}?limit=2{after}")).await.expect(200);
        assert!(names(&page).len() <= 2);
        seen.extend(names(&page));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["ada/s0", "ada/s2", "ada/s4", "ada/s1", "ada/s3"]);
    let of = api.get(Who::Ada, &format!("{PATH}?queue=metrics:calculation")).await.expect(200);
    assert_eq!(names(&of), ["ada/s1", "ada/s3"]);
    let viewer = names(&api.get(Who::Viewer, &format!("{PATH}?limit=100")).await.expect(200));
    assert_eq!((viewer.len(), viewer.iter().filter(|name| name.starts_with("bob/")).count()), (10, 5));
    assert_eq!(names(&api.get(Who::Admin, &format!("{PATH}?limit=100")).await.expect(200)).len(), 15);
    for (query, field) in [("limit=0", "limit"), ("after=x", "after"), ("queue=exports", "queue")] {
        assert_eq!(api.get(Who::Ada, &format!("{PATH}?{query}")).await.fields(), [field]);
    }
}

#[tokio::test]
async fn every_field_that_is_wrong_is_named() {
    let api = start().await;
    let far = "x".repeat(10_240);
    for (change, fields) in [
        (json!({"cron": "* * * *"}), vec!["cron"]),
        (json!({"cron": "60 * * * *"}), vec!["cron"]),
        (json!({"cron": "* * 31 2 *"}), vec!["cron"]),
        (json!({"cron": "*/0 * * * *"}), vec!["cron"]),
        (json!({"cron": "@reboot"}), vec!["cron"]),
        (json!({"cron": far}), vec!["cron"]),
        (json!({"cron": "0 0 0 1 1 * 2027"}), vec!["cron"]),
        (json!({"cron": ""}), vec!["cron"]),
        (json!({"cron": 5}), vec!["cron"]),
        (json!({"cron": null}), vec!["cron"]),
        (json!({"cron": "* * * * * *"}), vec!["cron"]),
        (json!({"zone": "Mars/Base"}), vec!["zone"]),
        (json!({"zone": "EST5EDT"}), vec!["zone"]),
        (json!({"zone": ""}), vec!["zone"]),
        (json!({"zone": "../../etc/passwd"}), vec!["zone"]),
        (json!({"zone": "x".repeat(1_024)}), vec!["zone"]),
        (json!({"zone": 1}), vec!["zone"]),
        (json!({"cron": "bad", "zone": "Mars/Base"}), vec!["zone", "cron"]),
        (json!({"every": 60_000}), vec!["every"]),
        (json!({"anchor": 0}), vec!["anchor"]),
        (json!({"cron": null, "zone": null, "every": 0}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": 1}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": -1}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": 1e18}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": 1_000_000_000_000_000_000_u64}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": "59s"}), vec!["every"]),
        (json!({"cron": null, "zone": null, "every": "soon"}), vec!["every"]),
        (json!({"cron": null, "every": "1h"}), vec!["zone"]),
        (json!({"start": "2027-02-01T00:00:00Z", "end": "2027-01-01T00:00:00Z"}), vec!["end"]),
        (json!({"end": "2020-01-01T00:00:00Z"}), vec!["end"]),
        (json!({"end": "10000-01-01T00:00:00Z"}), vec!["end"]),
        (json!({"start": "tomorrow"}), vec!["start"]),
        (json!({"start": u64::MAX}), vec!["start"]),
        (json!({"limit": 0}), vec!["limit"]),
        (json!({"limit": 1.5}), vec!["limit"]),
        (json!({"jitter": "25h"}), vec!["jitter"]),
        (json!({"jitter": -1}), vec!["jitter"]),
        (json!({"missed": "some"}), vec!["missed"]),
        (json!({"missed": {"policy": "all", "max": 0}}), vec!["missed.max"]),
        (json!({"missed": {"policy": "all", "max": 1_001}}), vec!["missed.max"]),
        (json!({"missed": {"policy": "skip", "grace": "x"}}), vec!["missed.grace"]),
        (json!({"missed": {"policy": "one", "max": 1}}), vec!["missed.max"]),
        (json!({"overlap": "skp"}), vec!["overlap"]),
        (json!({"enabled": "yes"}), vec!["enabled"]),
        (json!({"name": ""}), vec!["name"]),
        (json!({"name": "a b"}), vec!["name"]),
        (json!({"name": "x".repeat(101)}), vec!["name"]),
        (json!({"jobName": "run analytics"}), vec!["jobName"]),
        (json!({"data": {"userId": "bob"}}), vec!["data.userId"]),
        (json!({"options": {"delay": 1, "jobId": "x"}}), vec!["options.delay", "options.jobId"]),
        (json!({"options": {"runAt": 1, "dedup": "x"}}), vec!["options.runAt", "options.dedup"]),
        (json!({"options": {"attempts": 0}, "limit": 0}), vec!["options.attempts", "limit"]),
        (json!({"queue": null}), vec!["queue"]),
    ] {
        let mut body = nightly();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = api.post(Who::Ada, PATH, &body).await;
        let mut named = answer.fields();
        let mut fields: Vec<String> = fields.into_iter().map(str::to_owned).collect();
        named.sort_unstable();
        fields.sort_unstable();
        assert_eq!(named, fields, "{change}: {}", answer.text);
        assert!(answer.text.len() < 2_000, "{change}: the answer repeats what was sent");
    }
    for (change, status) in [
        (json!({"queue": "nowhere"}), 404),
        (json!({"queue": "cleanup"}), 403),
        (json!({"queue": "fan-out"}), 403),
        (json!({"more": 1}), 422),
        (json!({"data": []}), 422),
    ] {
        let mut body = nightly();
        for (name, value) in change.as_object().unwrap() {
            body[name] = value.clone();
        }
        let answer = api.post(Who::Ada, PATH, &body).await;
        assert_eq!(answer.status, status, "{change}: {}", answer.text);
    }
    let zone = |name: &str| json!({"queue": "metrics", "cron": "0 3 * * *", "zone": name});
    let near = api.post(Who::Ada, PATH, &zone("Europe/Belin")).await;
    assert!(near.text.contains("did you mean Europe/Berlin?"), "{}", near.text);
    let never = api.post(Who::Ada, PATH, &json!({"queue": "metrics", "cron": "0 0 30 2 *"})).await;
    assert!(never.text.contains("never fire"), "{}", never.text);
    assert_eq!(api.get(Who::Admin, PATH).await.expect(200)["schedules"], json!([]), "nothing was kept");
}

#[tokio::test]
async fn what_cron_and_periods_can_say_is_taken() {
    let api = start().await;
    crate::rollups::publisher(&api, "pub-1").await;
    for body in [
        json!({"cron": "0 0 12 * * *"}),
        json!({"cron": "0 8 L * *"}),
        json!({"cron": "0 8 15W * *"}),
        json!({"cron": "0 8 * * 1#1"}),
        json!({"cron": "@hourly", "zone": "Asia/Kolkata"}),
        json!({"cron": "0 0 29 2 *"}),
        json!({"every": 60_000, "anchor": "2026-01-01T00:00:00Z", "limit": 3, "jitter": "10s"}),
        json!({"every": "1d", "missed": "skip", "overlap": "replace", "enabled": false}),
        json!({"cron": "0 3 * * *", "missed": {"policy": "all", "max": 1_000}, "start": 4_000_000_000_000_u64}),
    ] {
        let mut body = body;
        body["queue"] = json!("aggregation");
        body["data"] = json!({"publisherId": "pub-1", "granularity": "day"});
        api.post(Who::Ada, PATH, &body).await.expect(201);
    }
    // Whoever runs the platform may fire each second.
    let often = json!({"queue": "reports", "cron": "* * * * * *"});
    assert_eq!(api.post(Who::Ada, PATH, &often).await.fields(), ["cron"]);
    let made = api.post(Who::Admin, PATH, &often).await.expect(201);
    assert_eq!(made["schedule"]["missed"], json!({"policy": "one"}));
    api.post(Who::Admin, PATH, &json!({"queue": "cleanup", "cron": "@daily", "data": {"type": "old_logs"}}))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_schedule_fires_in_its_owner_s_name_and_its_job_says_of_which_it_is() {
    let config = ApiConfig { schedule_interval: Duration::from_secs(1), ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let queues = api.catalog.queues().iter().map(|queue| queue.name().clone());
    let ticker = Ticker::start(&api.backend, queues, TickerOptions::default());
    let body = json!({"queue": "analytics", "every": "1s", "limit": 1, "data": {"productId": "p"}, "options": {"group": "g"}});
    let made = api.post(Who::Ada, PATH, &body).await;
    let path = made.header("location").to_owned();
    let id = made.expect(201)["schedule"]["id"].clone();
    let waited = tokio::time::timeout(DEADLINE, async {
        loop {
            let state = api.get(Who::Ada, &path).await.expect(200)["schedule"]["state"].clone();
            if state["fired"] == 1 {
                return state;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let state = waited.await.expect("it fires");
    assert_eq!((&state["over"], &state["next"]), (&json!(true), &Value::Null));
    let job = state["lastJob"].as_str().unwrap();
    let job = api.get(Who::Ada, &format!("/api/v1/jobs/{job}")).await.expect(200)["job"].clone();
    assert_eq!((&job["schedule"]["id"], &job["group"]), (&id, &json!("g")));
    assert_eq!(job["schedule"]["slot"], state["lastSlot"]);
    let over = send(&api, Who::Ada, Method::PUT, &path, &body, None).await;
    assert_eq!(over.status, 200, "as it is asked for: {}", over.text);
    let mut other = body.clone();
    other["every"] = json!("2s");
    assert_eq!(send(&api, Who::Ada, Method::PUT, &path, &other, None).await.fields(), ["limit"]);
    send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": false}), None).await.expect(200);
    let refused = send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": true}), None).await;
    assert_eq!(refused.problem(409), "schedule_over");
    ticker.shutdown().await;
}

#[tokio::test]
async fn a_schedule_is_run_by_hand_once_for_a_key_and_stands_still_when_disabled() {
    let api = start().await;
    let path = api.post(Who::Ada, PATH, &nightly()).await.header("location").to_owned();
    let before = api.get(Who::Ada, &path).await.expect(200);
    let run = format!("{path}/run");
    let key = Some(("idempotency-key", "now"));
    let first = send(&api, Who::Ada, Method::POST, &run, &json!({}), key).await.expect(202);
    let again = send(&api, Who::Ada, Method::POST, &run, &json!({}), key).await.expect(200);
    assert_eq!(first["data"]["jobId"], again["data"]["jobId"]);
    // An administrator runs it in its owner's name.
    let other = api.post(Who::Admin, &run, &json!({})).await.expect(202);
    let id = other["data"]["jobId"].as_str().unwrap();
    let job = api.get(Who::Ada, &format!("/api/v1/jobs/{id}")).await.expect(200)["job"].clone();
    assert_eq!((&job["data"], &job["priority"]), (&json!({"productId": "p-1"}), &json!(3)));
    assert_eq!(api.get(Who::Ada, &path).await.expect(200), before, "no slot is used up");

    let next = api.get(Who::Ada, &format!("{path}/next?count=400")).await;
    assert_eq!(next.fields(), ["count"]);
    let next = api.get(Who::Ada, &format!("{path}/next?count=3")).await.expect(200);
    assert_eq!((&next["zone"], next["runs"].as_array().unwrap().len()), (&json!("Europe/Berlin"), 3));
    for run in next["runs"].as_array().unwrap() {
        let (at, local) = (run["at"].as_str().unwrap(), run["local"].as_str().unwrap());
        assert!(local.contains("T02:30:00+0") || local.contains("T03:00:00+02:00"), "{local}");
        let parse = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        assert_eq!(parse(at), parse(local));
    }
    let off = send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": false}), None).await.expect(200);
    assert_eq!(
        (&off["schedule"]["enabled"], &off["schedule"]["state"]["next"]),
        (&json!(false), &Value::Null)
    );
    assert_eq!(api.get(Who::Ada, &format!("{path}/next")).await.expect(200)["runs"], json!([]));
    // A change that says nothing of it leaves it disabled.
    let mut body = nightly();
    body["cron"] = json!("0 5 * * *");
    let changed = send(&api, Who::Ada, Method::PUT, &path, &body, None).await.expect(200);
    assert_eq!(changed["schedule"]["enabled"], false);
    let on = send(&api, Who::Ada, Method::PATCH, &path, &json!({"enabled": true}), None).await.expect(200);
    assert!(on["schedule"]["state"]["next"].is_string());
    assert_eq!(send(&api, Who::Ada, Method::PATCH, &path, &json!({}), None).await.status, 422);
}

#[tokio::test]
async fn a_user_has_as_many_schedules_as_the_configuration_says() {
    let config = ApiConfig { schedules_user: 3, ..ApiConfig::default() };
    let api = start_with(config, Catalog::default()).await;
    let body = |n: u32| {
        let queue = ["metrics", "sync"][n as usize % 2];
        json!({"name": format!("s{n}"), "queue": queue, "every": "1h"})
    };
    for n in 0..3 {
        api.post(Who::Ada, PATH, &body(n)).await.expect(201);
    }
    assert_eq!(api.post(Who::Ada, PATH, &body(3)).await.problem(409), "too_many_schedules");
    api.post(Who::Ada, PATH, &body(0)).await.expect(200);
    api.post(Who::Bob, PATH, &body(3)).await.expect(201);
    for n in 0..5 {
        api.post(Who::Admin, PATH, &body(n)).await.expect(201);
    }
}

#[tokio::test]
async fn secrets_of_a_schedule_are_sealed_hidden_and_stay_when_it_is_changed_unseen() {
    let api = start().await;
    let history = "date,price\n2024-01-01,10\n";
    let uploaded = api.upload(Who::Ada, &[("propertyId", "p-1")], "p.csv", history.as_bytes()).await;
    assert!(uploaded.status < 300, "{}", uploaded.text);
    let body = json!({"name": "daily", "queue": "enrichment", "cron": "0 4 * * *", "data": {
        "propertyId": "p-1", "location": {"latitude": 47.6, "longitude": -122.3}, "calendarificApiKey": "canary-0815",
    }});
    let made = api.post(Who::Ada, PATH, &body).await;
    let path = made.header("location").to_owned();
    let schedule = made.expect(201)["schedule"].clone();
    assert!(!made.text.contains("canary") && !made.text.contains(SealedText::PREFIX), "{}", made.text);
    assert_eq!(schedule["data"]["calendarificApiKey"], "***");
    let secret = async || {
        let queue = api.catalog.find("enrichment").unwrap().name().clone();
        let page = api.backend.list_schedules(&queue, &bulrush::model::Scope::All, None, 10).await.unwrap();
        let data: Value = serde_json::from_slice(&page.schedules[0].spec.job.data).unwrap();
        data["calendarificApiKey"].as_str().unwrap().to_owned()
    };
    let sealed = secret().await;
    assert!(sealed.starts_with(SealedText::PREFIX));
    let mut again = body.clone();
    again["cron"] = json!("0 5 * * *");
    again["data"]["calendarificApiKey"] = json!("***");
    // An administrator changes it, and it stays hers.
    let changed = send(&api, Who::Admin, Method::PUT, &path, &again, None).await.expect(200);
    assert_eq!(changed["schedule"]["owner"]["user"], "ada");
    assert_eq!(changed["schedule"]["data"]["userId"], "ada");
    assert_eq!(secret().await, sealed);
    again["data"]["calendarificApiKey"] = json!("canary-0816");
    send(&api, Who::Ada, Method::PUT, &path, &again, None).await.expect(200);
    assert_ne!(secret().await, sealed);
    // A property of somebody else's is none.
    let mut foreign = body.clone();
    foreign["name"] = json!("foreign");
    assert_eq!(api.post(Who::Bob, PATH, &foreign).await.fields(), ["data.propertyId"]);
}
