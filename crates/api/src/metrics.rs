//! GET `/metrics` (Prometheus) and `/metrics/json`, as seed 003 has them.

use std::collections::BTreeMap;

use actix_web::http::Method;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::Counts;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::config::MetricsAccess;
use crate::http::auth::identify;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::state::State;

pub fn routes() -> [Route; 2] {
    let metrics = |path, id, handler| {
        Route::new(Method::GET, path, Who::Configured, ("operation", id), handler)
            .at_root()
            .fails(404, "unknown_route")
            .fails(401, "missing_token")
            .fails(401, "invalid_token")
            .fails(401, "expired_token")
            .fails(403, "forbidden")
    };
    [
        metrics("/metrics", "getMetrics", || web::get().to(prometheus))
            .says("Metrics in Prometheus' text format, for whom the configuration lets read them.")
            .answers_as::<String>(200, "text/plain", "The metrics."),
        metrics("/metrics/json", "getMetricsJson", || web::get().to(as_json))
            .says("Counts of all queues.")
            .answers::<MetricsJson>(200, "The counts."),
    ]
}

/// Counts of all queues, as seed 003 has them.
#[derive(Serialize, JsonSchema)]
struct MetricsJson {
    /// When, RFC 3339.
    timestamp: Option<String>,
    queues: BTreeMap<String, QueueJson>,
}

#[derive(Serialize, JsonSchema)]
struct QueueJson {
    waiting: u64,
    active: u64,
    completed: u64,
    failed: u64,
    delayed: u64,
}

/// Marks the listener that is there for metrics.
#[derive(Debug, Clone, Copy)]
pub struct OwnPort;

async fn check_access(request: &HttpRequest, state: &State) -> Result<(), Problem> {
    if request.app_data::<OwnPort>().is_some() {
        return Ok(());
    }
    if state.config.metrics_port.is_some() {
        return Err(Problem::not_found("unknown_route", "There is nothing here."));
    }
    match state.config.metrics {
        MetricsAccess::Open => Ok(()),
        MetricsAccess::Closed => Err(Problem::not_found("unknown_route", "There is nothing here.")),
        MetricsAccess::Admin if identify(request, state).await?.is_admin() => Ok(()),
        MetricsAccess::Admin => Err(Problem::forbidden("Only administrators read the metrics here.")),
    }
}

async fn prometheus(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    check_access(&request, &state).await?;
    // A process whose engine is away still tells what it knows of itself.
    let snapshot = state.snapshot().await.ok();
    let text = state.shared.metrics.render(snapshot.as_deref(), state.store_pool());
    let text = text.map_err(|error| Problem::internal(&error))?;
    Ok(HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(text))
}

async fn as_json(request: HttpRequest, state: web::Data<State>) -> Result<HttpResponse, Problem> {
    check_access(&request, &state).await?;
    let snapshot = state.snapshot().await?;
    let queue = |counts: &Counts| QueueJson {
        waiting: counts.waiting,
        active: counts.active,
        completed: counts.completed,
        failed: counts.failed,
        delayed: counts.delayed,
    };
    let queues = snapshot.queues.iter().map(|(name, info)| (name.to_string(), queue(&info.counts))).collect();
    let at = i64::try_from(snapshot.at).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    Ok(HttpResponse::Ok().json(MetricsJson { timestamp: at.map(|at| format!("{at:.3}")), queues }))
}
