//! What jobs computed: `/analytics/{id}`, `/optimizations/{id}`, `/forecasts` and `/forecasts/{id}`.
//!
//! All are read through the read cache, and each within the caller's scope: what belongs to somebody else is as absent as what never was.

mod document;
mod forecasts;

use actix_web::http::Method;
use actix_web::web;
use serde_json::json;

use crate::http::route::{Route, Who};
use document::DocumentAnswer;

/// Longest id that is looked for, bytes.
const ID_MAX: usize = 256;
/// Most forecasts of an answer.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 20;

pub fn routes() -> Vec<Route> {
    let read = |path, names, handler| {
        Route::new(Method::GET, path, Who::Reader, names, handler)
            .answers_nothing(304, "It is as the client knows it (If-None-Match).")
    };
    vec![
        read("/analytics/{id}", ("analytics", "getAnalysis"), || web::get().to(document::analysis))
            .says("What an analysis found, by the id of its job.")
            .answers::<DocumentAnswer>(200, "The analysis.")
            .fails(404, "unknown_analysis"),
        read("/optimizations/{id}", ("forecasts", "getOptimization"), || {
            web::get().to(document::optimization)
        })
        .says("What to order of a product, when, and where to put it, by the id of the job.")
        .answers::<DocumentAnswer>(200, "The result.")
        .fails(404, "unknown_optimization"),
        read("/forecasts", ("forecasts", "listForecasts"), || web::get().to(forecasts::list))
            .says("The latest forecasts of a product or property, the newest first, without their points.")
            .required_param(
                "productId",
                json!({"type": "string", "maxLength": ID_MAX}),
                "The product or property.",
            )
            .param(
                "metric",
                json!({"type": "string", "maxLength": 64}),
                "One of its series; all, if left out.",
            )
            .param(
                "limit",
                json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
                "Most forecasts of the answer.",
            )
            .answers::<forecasts::ListAnswer>(200, "The forecasts.")
            .fails(400, "invalid_query")
            .fails(404, "unknown_product")
            .fails(422, "invalid_fields"),
        read("/forecasts/{id}", ("forecasts", "getForecast"), || web::get().to(forecasts::get))
            .says("A forecast with its points and what judges it, by its id or its job's.")
            .answers::<forecasts::ForecastAnswer>(200, "The forecast.")
            .fails(404, "unknown_forecast"),
    ]
}

/// Whether an id can be one: none has control characters, and PostgreSQL takes no NUL.
fn can_be_id(asked: &str) -> bool {
    (1..=ID_MAX).contains(&asked.len()) && !asked.chars().any(char::is_control)
}
