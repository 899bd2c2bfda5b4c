//! The document tells of every route and every answer, and is one that OpenAPI tools can read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;

use crate::common::{Answer, Who, start};
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn every_reference_of_the_document_leads_somewhere_and_every_operation_is_whole() {
    let api = start().await;
    let document =
        Answer::of(api.request(Method::GET, "/api/openapi.json").send().await.unwrap()).await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 50);
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference} leads nowhere");
    }
    let mut ids = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(ids.insert(operation["operationId"].as_str().unwrap()));
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let named: Vec<&str> =
                path.split('{').skip(1).map(|part| part.split('}').next().unwrap()).collect();
            for name in named {
                let told = parameters
                    .iter()
                    .any(|p| p["name"] == name && p["in"] == "path" && p["required"] == true);
                assert!(told, "{method} {path} does not tell of {name}");
            }
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.keys().any(|status| status.starts_with('2')), "{method} {path} never succeeds");
            for (status, response) in responses {
                assert!(!response["description"].as_str().unwrap().is_empty(), "{method} {path} {status}");
            }
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member.as_str().filter(|_| name == "$ref") {
                    Some(reference) => references.push(reference.to_owned()),
                    None => collect(member, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[tokio::test]
async fn what_the_document_says_of_a_job_is_what_is_taken() {
    let api = start().await;
    let document = api.get(Who::Admin, "/api/v1/openapi.json").await.expect(200);
    let schemas = &document["components"]["schemas"];
    let options: BTreeSet<&str> =
        schemas["JobOptions"]["properties"].as_object().unwrap().keys().map(String::as_str).collect();
    // An option that is not known is named with those that are.
    let answer = api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &json!({"options": {"#": 1}})).await;
    let errors = answer.expect(422);
    let told = errors["errors"][0]["message"].as_str().unwrap().rsplit("options are ").next().unwrap();
    assert_eq!(told.split(", ").collect::<BTreeSet<_>>(), options);
    for (name, schema) in schemas["JobOptions"]["properties"].as_object().unwrap() {
        let types = format!("{}", schema["type"]);
        if !types.contains("integer") {
            continue;
        }
        for (bound, beyond) in [("minimum", -1_i64), ("maximum", 1)] {
            let at = schema[bound].as_i64().unwrap_or_else(|| panic!("{name} has no {bound}"));
            let taken = json!({"data": {}, "options": {name: at}});
            assert_eq!(
                api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &taken).await.status,
                202,
                "{name} {at}"
            );
            let refused = json!({"data": {}, "options": {name: at + beyond}});
            assert_eq!(
                api.post(Who::Ada, "/api/v1/queues/analytics/jobs", &refused).await.status,
                422,
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn the_reference_page_loads_nothing_from_elsewhere_and_runs_nothing() {
    let api = start().await;
    let page = Answer::of(api.request(Method::GET, "/api/v1/docs").send().await.unwrap()).await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-security-policy").starts_with("default-src 'none'; style-src 'self'"));
    assert!(!page.text.contains("<script") && !page.text.contains("style=") && !page.text.contains("http"));
    assert!(page.text.contains("/api/v1/queues/{queue}/jobs/bulk"));
    let style = Answer::of(api.request(Method::GET, "/api/v1/docs.css").send().await.unwrap()).await;
    assert_eq!((style.status, style.header("content-type")), (200, "text/css; charset=utf-8"));
}

#[tokio::test]
async fn what_the_document_says_of_a_query_is_what_is_taken() {
    let api = start().await;
    let job = api.add(Who::Ada, "analytics", &json!({"data": {}})).await;
    let hook = api.post(Who::Ada, "/api/v1/webhooks", &json!({"url": "https://example.com/hook"})).await;
    let hook = hook.expect(201)["webhook"]["id"].as_str().unwrap().to_owned();
    let hourly = json!({"queue": "analytics", "every": "1h"});
    let hourly = api.post(Who::Ada, "/api/v1/schedules", &hourly).await;
    let hourly = hourly.expect(201)["schedule"]["id"].as_str().unwrap().to_owned();
    let document = api.get(Who::Admin, "/api/v1/openapi.json").await.expect(200);
    crate::competitors::property(&api, "inn").await;
    crate::rollups::publisher(&api, "paper").await;
    let mut bounds = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = match path {
                path if path.contains("/webhooks/") => &hook,
                path if path.contains("/schedules/") => &hourly,
                path if path.contains("/publishers/") => "paper",
                _ => &job,
            };
            let place =
                path.replace("{queue}", "analytics").replace("{id}", id).replace("{propertyId}", "inn");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
                if parameter["in"] != "query" || schema["type"] != "integer" || path.contains("/properties/")
                {
                    continue;
                }
                let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
                let status = async |value: i64| {
                    // Of two bounds that depend on each other the other one goes along.
                    let more = if name == "start" { format!("&end={value}") } else { String::new() };
                    let more =
                        if name == "end" && value > 9 { format!("&start={}", value.min(900)) } else { more };
                    let more = if name == "adults" {
                        "&checkIn=2026-12-20&checkOut=2026-12-22".into()
                    } else {
                        more
                    };
                    // What must be there is: the one thing that is asked about.
                    let needed = operation["parameters"].as_array().into_iter().flatten();
                    let needed = needed.filter(|one| one["in"] == "query" && one["required"] == true);
                    let needed = needed.map(|one| format!("&{}=inn", one["name"].as_str().unwrap()));
                    let target = format!("{place}?{name}={value}{more}{}", needed.collect::<String>());
                    api.as_who(Who::Admin, method.clone(), &target).send().await.unwrap().status().as_u16()
                };
                for (bound, beyond) in [("minimum", -1), ("maximum", 1)] {
                    let at = schema[bound].as_i64().unwrap_or_else(|| panic!("{path} {name} has no {bound}"));
                    assert_eq!(status(at).await, 200, "{method} {path} {name}={at}");
                    assert_eq!(status(at + beyond).await, 422, "{method} {path} {name}={}", at + beyond);
                    bounds += 1;
                }
            }
        }
    }
    assert!(bounds > 15, "{bounds}");
}
