//! GET `/health`, `/health/live` and `/health/ready`: states only, no versions, hosts or counts.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use bulrush_catalog::Catalog;
use bulrush_service::{Check, Health, Phase, Report};
use serde_json::{Value, json};

use crate::state::{Deps, State};

/// Adds the API's parts to what is told of the process.
pub fn watch(health: &Health, deps: &Deps, catalog: &Catalog) {
    let (engine, queue) = (deps.inspect.clone(), catalog.queues().first().map(|queue| queue.name().clone()));
    let check: Check = Arc::new(move || {
        let (engine, queue) = (engine.clone(), queue.clone());
        Box::pin(async move {
            // A queue is read, as an engine that is closed or whose store is away may still tell the time.
            let read = match &queue {
                Some(queue) => engine.info(queue).await.map(|_| ()),
                None => engine.now().await.map(|_| ()),
            };
            read.map_err(|error| error.to_string())
        })
    });
    health.watch("engine", check);
    let store = deps.store.clone();
    let check: Check = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
    });
    health.watch("store", check);
}

/// The seeds' shape: `redis` is the engine's store whatever it is, `postgres` the database.
pub async fn health(state: web::Data<State>) -> HttpResponse {
    let report = state.shared.health.report().await;
    let word = |name: &str| if report.parts.get(name).copied().unwrap_or(false) { "up" } else { "down" };
    let mut body = json!({
        "status": if report.is_well() { "healthy" } else { status_word(&report) },
        "services": {
            "postgres": word("store"),
            "analytics_rollups": word("store"),
            "redis": word("engine"),
            "queues": word("engine"),
        },
    });
    if let Ok(deps) = state.deps() {
        body["backend"] = Value::from(deps.backend);
    }
    answer(report.is_well(), &body)
}

/// The process runs; whether it can work is another question.
pub async fn live() -> HttpResponse {
    answer(true, &json!({"status": "up"}))
}

/// Whether to send it requests.
pub async fn ready(state: web::Data<State>) -> HttpResponse {
    let report = state.shared.health.report().await;
    answer(
        report.is_well(),
        &json!({"status": if report.is_well() { "ready" } else { status_word(&report) }}),
    )
}

fn status_word(report: &Report) -> &'static str {
    match report.phase {
        Phase::Starting => "starting",
        Phase::Stopping => "stopping",
        Phase::Ready => "unhealthy",
    }
}

fn answer(well: bool, body: &Value) -> HttpResponse {
    let mut response = if well { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !well {
        response.insert_header(("Retry-After", "1"));
    }
    response.json(body)
}
