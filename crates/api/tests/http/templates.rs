//! Templates over real HTTP.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common::{Answer, Fixture, Who, start};
use bulrush_catalog::SealedText;
use bulrush_service::{Sealing, Secret};
use reqwest::Method;
use serde_json::{Value, json};

const PATH: &str = "/api/v1/templates";

fn nightly() -> Value {
    json!({
        "name": "nightly", "queue": "analytics-queue", "jobName": "analyze", "description": "every product",
        "data": {"productId": "p-1", "horizon": 30}, "options": {"priority": 5, "tags": ["nightly"]},
    })
}

async fn send(
    api: &Fixture,
    who: Who,
    method: Method,
    path: &str,
    body: &Value,
    tag: Option<&str>,
) -> Answer {
    let mut request = api.as_who(who, method, path).header("content-type", "application/json");
    if let Some(tag) = tag {
        request = request.header("if-match", tag);
    }
    Answer::of(request.body(body.to_string()).send().await.unwrap()).await
}

#[tokio::test]
async fn a_template_is_kept_read_changed_and_removed_by_its_owner() {
    let api = start().await;
    let made = api.post(Who::Ada, PATH, &nightly()).await;
    let template = made.expect(201)["template"].clone();
    assert_eq!((&template["queue"], &template["version"]), (&json!("analytics"), &json!(1)));
    assert_eq!(template["data"], json!({"productId": "p-1", "horizon": 30}));
    let path = made.header("location").to_owned();
    assert_eq!(api.get(Who::Ada, &path).await.header("etag"), "\"1\"");
    assert_eq!(api.get(Who::Viewer, &path).await.status, 200);
    assert_eq!(api.post(Who::Ada, PATH, &nightly()).await.problem(409), "name_taken");
    api.post(Who::Bob, PATH, &nightly()).await.expect(201);

    let mut other = nightly();
    other["data"] = json!({"productId": "p-2"});
    let changed = send(&api, Who::Ada, Method::PUT, &path, &other, Some("\"1\"")).await.expect(200);
    assert_eq!(
        (&changed["template"]["version"], &changed["template"]["data"]["productId"]),
        (&json!(2), &json!("p-2"))
    );
    let late = send(&api, Who::Ada, Method::PUT, &path, &nightly(), Some("\"1\"")).await;
    assert_eq!(late.problem(412), "version_conflict");
    assert_eq!(
        send(&api, Who::Ada, Method::PUT, &path, &nightly(), Some("one")).await.problem(400),
        "invalid_version"
    );
    for who in [Who::Bob, Who::OtherAda] {
        assert_eq!(api.get(who, &path).await.problem(404), "unknown_template");
        assert_eq!(
            send(&api, who, Method::PUT, &path, &nightly(), None).await.problem(404),
            "unknown_template"
        );
        assert_eq!(
            send(&api, who, Method::DELETE, &path, &json!({}), None).await.problem(404),
            "unknown_template"
        );
        assert_eq!(api.post(who, &format!("{path}/run"), &json!({})).await.problem(404), "unknown_template");
    }
    send(&api, Who::Ada, Method::DELETE, &path, &json!({}), None).await.expect(200);
    assert_eq!(api.get(Who::Ada, &path).await.problem(404), "unknown_template");
}

#[tokio::test]
async fn a_template_runs_with_what_is_different_this_time_and_once_for_a_key() {
    let api = start().await;
    let path = api.post(Who::Ada, PATH, &nightly()).await.header("location").to_owned() + "/run";
    let plain = api.post(Who::Ada, &path, &json!({})).await.expect(202);
    let id = plain["data"]["jobId"].as_str().unwrap();
    let job = api.get(Who::Ada, &format!("/api/v1/jobs/{id}")).await.expect(200);
    assert_eq!(job["job"]["data"], json!({"productId": "p-1", "horizon": 30}));
    assert_eq!((&job["job"]["priority"], &job["job"]["tags"]), (&json!(5), &json!(["nightly"])));
    let changed = json!({"data": {"horizon": 7}, "options": {"priority": 1, "jobId": "mine"}});
    let other = api.post(Who::Ada, &path, &changed).await.expect(202);
    assert_eq!(other["data"]["clientId"], "mine");
    let id = other["data"]["jobId"].as_str().unwrap();
    let job = api.get(Who::Ada, &format!("/api/v1/jobs/{id}")).await.expect(200);
    assert_eq!(job["job"]["data"], json!({"productId": "p-1", "horizon": 7}));
    assert_eq!((&job["job"]["priority"], &job["job"]["tags"]), (&json!(1), &json!(["nightly"])));
    let keyed = async || {
        let request = api.as_who(Who::Ada, Method::POST, &path).header("idempotency-key", "tonight");
        Answer::of(request.send().await.unwrap()).await
    };
    let first = keyed().await.expect(202);
    assert_eq!(keyed().await.expect(200)["data"]["jobId"], first["data"]["jobId"]);
    let bad =
        api.post(Who::Ada, &path, &json!({"data": {"userId": "bob"}, "options": {"priority": -1}})).await;
    assert_eq!(bad.fields(), ["options.priority", "data.userId"]);
}

#[tokio::test]
async fn a_template_that_could_not_run_is_not_kept() {
    let api = start().await;
    for (change, status) in [
        (json!({"queue": "nowhere"}), 404),
        (json!({"queue": "cleanup"}), 403),
        (json!({"name": ""}), 422),
        (json!({"name": "x".repeat(101)}), 422),
        (json!({"name": "a\nb"}), 422),
        (json!({"data": []}), 422),
        (json!({"data": {"userId": "bob"}}), 422),
        (json!({"options": {"attempts": 0}}), 422),
        (json!({"options": {"jobId": "one"}}), 422),
        (json!({"description": "x".repeat(1_001)}), 422),
        (json!({"more": 1}), 422),
    ] {
        let mut body = nightly();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(api.post(Who::Ada, PATH, &body).await.status, status, "{change}");
    }
    assert_eq!(api.get(Who::Ada, PATH).await.expect(200)["templates"], json!([]));
}

#[tokio::test]
async fn templates_are_listed_page_by_page_and_secrets_are_not_shown() {
    let api = start().await;
    for n in 0..5 {
        let mut body = nightly();
        body["name"] = json!(format!("t-{n}"));
        api.post(Who::Ada, PATH, &body).await.expect(201);
    }
    let (mut names, mut after) = (Vec::new(), String::new());
    loop {
        let page = api.get(Who::Ada, &format!("{PATH}?limit=2{after}")).await.expect(200);
        names.extend(
            page["templates"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    // Those of one millisecond are in no order.
    names.sort();
    assert_eq!(names, ["t-0", "t-1", "t-2", "t-3", "t-4"]);
    assert_eq!(api.get(Who::Bob, PATH).await.expect(200)["templates"], json!([]));
    assert_eq!(api.get(Who::Viewer, PATH).await.expect(200)["templates"].as_array().unwrap().len(), 5);
    assert_eq!(api.get(Who::Ada, &format!("{PATH}?limit=0")).await.fields(), ["limit"]);
}

#[tokio::test]
async fn a_secret_of_a_template_is_sealed_once_and_not_shown() {
    let api = start().await;
    let prices = b"date,price\n2024-01-01,120\n";
    let place = [("name", "Inn"), ("latitude", "47.6"), ("longitude", "-122.3"), ("countryCode", "US")];
    let upload = api.upload(Who::Ada, &place, "p.csv", prices).await.expect(201);
    let property = upload["propertyId"].as_str().unwrap();
    let data = |key: &str| json!({"propertyId": property, "location": {"latitude": 47.6, "longitude": -122.3}, "countryCode": "US", "calendarificApiKey": key});
    let body = json!({"name": "enrich", "queue": "enrichment", "data": data("canary-1")});
    let made = api.post(Who::Ada, PATH, &body).await;
    assert!(
        !made.text.contains("canary") && made.expect(201)["template"]["data"]["calendarificApiKey"] == "***"
    );
    let path = format!("{}/run", made.header("location"));
    let sealing = Sealing::new(&Secret::new("k".repeat(32))).unwrap();
    for (change, key) in
        [(json!({}), "canary-1"), (json!({"data": {"calendarificApiKey": "canary-2"}}), "canary-2")]
    {
        let added = api.post(Who::Ada, &path, &change).await.expect(202);
        let id = Fixture::job_id(added["data"]["jobId"].as_str().unwrap());
        let queue = bulrush::model::QueueName::new("enrichment").unwrap();
        let job = api.backend.get(&queue, &[id]).await.unwrap().pop().flatten().unwrap();
        let stored: Value = serde_json::from_slice(&job.spec.data).unwrap();
        let sealed = SealedText::new(stored["calendarificApiKey"].as_str().unwrap().to_owned()).unwrap();
        assert_eq!(sealing.open(&sealed).unwrap().expose(), key);
    }
}

#[tokio::test]
async fn the_catalogue_s_templates_are_read_by_everybody_and_changed_by_nobody() {
    let api = start().await;
    let list = api.get(Who::Viewer, "/api/v1/templates/catalog").await.expect(200);
    let templates = list["templates"].as_array().unwrap();
    assert_eq!(templates.len(), bulrush_catalog::templates::ALL.len());
    for template in templates {
        assert_eq!((&template["builtIn"], &template["version"]), (&json!(true), &Value::Null));
        let path = format!("/api/v1/templates/{}", template["id"].as_str().unwrap());
        assert_eq!(api.get(Who::Ada, &path).await.expect(200)["template"], *template);
        let body = json!({"name": "mine", "queue": "analytics"});
        let put = send(&api, Who::Admin, Method::PUT, &path, &body, None).await;
        assert_eq!(put.problem(409), "built_in_template");
        let gone = send(&api, Who::Admin, Method::DELETE, &path, &json!({}), None).await;
        assert_eq!(gone.problem(409), "built_in_template");
    }
    let enrich = api.get(Who::Ada, "/api/v1/templates/enrichment.enrich-property").await.expect(200);
    let placeholders = enrich["template"]["placeholders"].as_array().unwrap();
    assert_eq!(
        (&placeholders[0]["name"], &placeholders[0]["required"]),
        (&json!("propertyId"), &json!(true))
    );
    assert_eq!(enrich["template"]["data"]["propertyId"], "{propertyId}");
    assert_eq!(api.get(Who::Ada, "/api/v1/templates").await.expect(200)["templates"], json!([]));
    assert_eq!(
        api.get(Who::Ada, "/api/v1/templates/webhooks.deliver").await.problem(404),
        "unknown_template"
    );
}

#[tokio::test]
async fn a_template_of_the_catalogue_is_run_with_values_for_its_placeholders() {
    let api = start().await;
    crate::competitors::property(&api, "inn").await;
    let path = "/api/v1/templates/enrichment.enrich-property/run";
    let place = json!({"latitude": 47.0, "longitude": 11.0});
    assert_eq!(api.post(Who::Ada, path, &json!({})).await.fields(), ["values.propertyId", "values.location"]);
    let odd = json!({"values": {"propertyId": "inn", "location": place, "propertyid": "x"}});
    assert_eq!(api.post(Who::Ada, path, &odd).await.fields(), ["values.propertyid"]);
    // What is filled in is checked like any other data.
    let wrong = json!({"values": {"propertyId": "nowhere", "location": place}});
    assert_eq!(api.post(Who::Ada, path, &wrong).await.fields(), ["data.propertyId"]);
    let good = json!({"values": {"propertyId": "inn", "location": place}, "options": {"priority": 3}});
    assert_eq!(api.post(Who::Bob, path, &good).await.fields(), ["data.propertyId"]);
    assert_eq!(api.post(Who::Viewer, path, &good).await.problem(403), "forbidden");
    let added = api.post(Who::Ada, path, &good).await;
    let data = added.expect(202)["data"].clone();
    assert_eq!((&data["queueName"], &data["jobName"]), (&json!("enrichment"), &json!("enrich-property")));
    let job = api.get(Who::Ada, added.header("location")).await.expect(200);
    let kept = &job["data"]["data"];
    assert_eq!((&kept["propertyId"], &kept["countryCode"]), (&json!("inn"), &Value::Null), "{job}");
    // Members may be replaced beside it, and a template of one's own has no placeholders.
    let csv = json!({"data": {"format": "xlsx"}});
    api.post(Who::Ada, "/api/v1/templates/export.export/run", &csv).await.expect(202);
    let own = api
        .post(Who::Ada, "/api/v1/templates", &json!({"name": "t", "queue": "analytics"}))
        .await
        .expect(201);
    let own = format!("/api/v1/templates/{}/run", own["template"]["id"].as_str().unwrap());
    assert_eq!(api.post(Who::Ada, &own, &json!({"values": {"a": 1}})).await.fields(), ["values"]);
}
