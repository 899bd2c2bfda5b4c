//! GET `/health`, `/health/live` and `/health/ready`: states, and what keeps the engine and the place of files from being relied on; no versions or
//! hosts.

use std::sync::Arc;

use actix_web::http::Method;
use actix_web::{HttpResponse, web};
use bulrush_catalog::Catalog;
use bulrush_service::{Check, Health, Phase, Report};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::time::Instant;

use crate::http::route::{Route, Who};
use crate::state::{Deps, State};

/// The part that is the engine's own judgement of its store.
const CONDITION: &str = "engine_condition";
/// The part that keeps files.
const FILES: &str = "files";
/// How long the store may take to answer before it counts as away.
const STORE_PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

pub fn routes() -> [Route; 4] {
    let health =
        |path, id, handler| Route::new(Method::GET, path, Who::Anybody, ("operation", id), handler).at_root();
    [
        health("/health", "getHealth", || web::get().to(health_of_all))
            .says("The state of the service and its parts.")
            .answers::<HealthBody>(200, "All is well.")
            .answers::<HealthBody>(503, "Something is not."),
        health("/health/live", "getLiveness", || web::get().to(live))
            .says("Whether the process runs; whether it can work is another question.")
            .answers::<StatusBody>(200, "It runs."),
        health("/health/ready", "getReadiness", || web::get().to(ready))
            .says("Whether to send it requests.")
            .answers::<StatusBody>(200, "Yes.")
            .answers::<StatusBody>(503, "No."),
        health("/health/redis", "getStoreHealth", || web::get().to(store))
            .says("How fast the engine's store answers.")
            .answers::<StoreBody>(200, "It answers.")
            .answers::<StoreBody>(503, "It does not."),
    ]
}

/// The seeds' shape: `redis` is the engine's store whatever it is, `postgres` the database.
#[derive(Serialize, JsonSchema)]
struct HealthBody {
    /// `healthy`, `unhealthy`, `starting` or `stopping`.
    status: &'static str,
    services: Services,
    /// What keeps the engine's queues.
    #[serde(skip_serializing_if = "Option::is_none")]
    backend: Option<&'static str>,
    /// What an acknowledged job survives there.
    #[serde(skip_serializing_if = "Option::is_none")]
    durability: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    reasons: Vec<Hindrance>,
}

/// `up` or `down`, each.
#[derive(Serialize, JsonSchema)]
struct Services {
    postgres: &'static str,
    analytics_rollups: &'static str,
    redis: &'static str,
    queues: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct StatusBody {
    status: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(default)]
    reasons: Vec<Hindrance>,
}

/// Why a part is not to be relied on, and what puts it right.
#[derive(Serialize, JsonSchema)]
struct Hindrance {
    check: String,
    reason: String,
    cure: String,
}

/// How the engine's store answers, as seed 004 has it.
#[derive(Serialize, JsonSchema)]
struct StoreBody {
    healthy: bool,
    /// ms; none if it did not answer.
    latency: Option<f64>,
    /// `excellent` (below 10 ms), `good` (below 50), `degraded`, or `down`.
    status: &'static str,
}

async fn store(state: web::Data<State>) -> HttpResponse {
    let down = || StoreBody { healthy: false, latency: None, status: "down" };
    let body = match state.deps() {
        Err(_) => down(),
        Ok(deps) => {
            let started = Instant::now();
            match tokio::time::timeout(STORE_PATIENCE, deps.inspect.now()).await {
                Ok(Ok(_)) => {
                    let latency = started.elapsed().as_secs_f64() * 1e3;
                    let status = match latency {
                        ms if ms < 10.0 => "excellent",
                        ms if ms < 50.0 => "good",
                        _ => "degraded",
                    };
                    StoreBody { healthy: true, latency: Some((latency * 100.0).round() / 100.0), status }
                }
                _ => down(),
            }
        }
    };
    let mut response = if body.healthy { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !body.healthy {
        response.insert_header(("Retry-After", "1"));
    }
    response.json(body)
}

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
    // What is known already: a server that may delete jobs answers like any other.
    let engine = deps.inspect.clone();
    let check: Check = Arc::new(move || {
        let hindrances: Vec<_> = engine.condition().hindrances().map(ToString::to_string).collect();
        Box::pin(async move { if hindrances.is_empty() { Ok(()) } else { Err(hindrances.join("; ")) } })
    });
    health.watch(CONDITION, check);
    let store = deps.store.clone();
    let check: Check = Arc::new(move || {
        let store = store.clone();
        Box::pin(async move { store.ping().await.map_err(|error| error.to_string()) })
    });
    health.watch("store", check);
    let objects = deps.objects.clone();
    let check: Check = Arc::new(move || {
        let objects = objects.clone();
        Box::pin(async move { objects.ping().await.map_err(|error| error.to_string()) })
    });
    health.watch(FILES, check);
}

async fn health_of_all(state: web::Data<State>) -> HttpResponse {
    let report = state.shared.health.report().await;
    let up = |name: &str| report.parts.get(name).copied().unwrap_or(false);
    let word = |up: bool| if up { "up" } else { "down" };
    let deps = state.deps().ok();
    let body = HealthBody {
        status: if report.is_well() { "healthy" } else { status_word(&report) },
        services: Services {
            postgres: word(up("store")),
            analytics_rollups: word(up("store")),
            redis: word(up("engine")),
            queues: word(up("engine") && up(CONDITION)),
        },
        backend: deps.map(|deps| deps.backend),
        durability: deps.map(|deps| deps.inspect.condition().durability.as_str()),
        reasons: reasons(&report, &state),
    };
    answer(report.is_well(), &body)
}

/// The process runs; whether it can work is another question.
async fn live() -> HttpResponse {
    answer(true, &StatusBody { status: "up", reasons: Vec::new() })
}

/// Whether to send it requests.
async fn ready(state: web::Data<State>) -> HttpResponse {
    let report = state.shared.health.report().await;
    let status = if report.is_well() { "ready" } else { status_word(&report) };
    answer(report.is_well(), &StatusBody { status, reasons: reasons(&report, &state) })
}

/// Why the engine or the place of files is not to be relied on. What else is down is in the log.
fn reasons(report: &Report, state: &State) -> Vec<Hindrance> {
    let is_down = |part| report.phase == Phase::Ready && report.parts.get(part) == Some(&false);
    let mut reasons = Vec::new();
    if is_down(CONDITION)
        && let Ok(deps) = state.deps()
    {
        reasons.extend(deps.inspect.condition().hindrances().map(|check| Hindrance {
            check: check.what.to_string(),
            reason: check.found.clone(),
            cure: check.cure.as_deref().unwrap_or_default().to_owned(),
        }));
    }
    if is_down(FILES) {
        reasons.push(Hindrance {
            check: FILES.to_owned(),
            reason: "the place of uploaded and made files does not answer".to_owned(),
            cure: "look into the log for what it says, and at the bucket or the folder".to_owned(),
        });
    }
    reasons
}

fn status_word(report: &Report) -> &'static str {
    match report.phase {
        Phase::Starting => "starting",
        Phase::Stopping => "stopping",
        Phase::Ready => "unhealthy",
    }
}

fn answer(well: bool, body: &impl Serialize) -> HttpResponse {
    let mut response = if well { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    if !well {
        response.insert_header(("Retry-After", "1"));
    }
    response.json(body)
}
