//! All routes.
//!
//! | call | who |
//! |---|---|
//! | POST `/queues/{queue}/jobs` | user; administrators for internal queues |
//! | GET `/queues/{queue}/jobs/{id}`, `/jobs/{id}`, `/jobs` | owner, viewer of the tenant, administrator |
//! | POST `/files`, `/files/{id}/enrich` | user |
//! | GET `/files/{id}`, `/properties/{id}/features` | owner, viewer of the tenant, administrator |
//! | GET `/health`, `/health/live`, `/health/ready` | anybody |
//! | GET `/metrics`, `/metrics/json` | as configured |
//!
//! The first four stand under `/api/v1` and under the seeds' `/api`; health and metrics stand there and at the root, too.

use actix_web::http::StatusCode;
use actix_web::web::{self, PathConfig, ServiceConfig};
use actix_web::{HttpResponse, Resource, ResponseError as _};

use crate::files::{enrich, features, read as file, upload};
use crate::http::Flavor;
use crate::http::problem::Problem;
use crate::jobs::{add, list, read as job};
use crate::{health, metrics};

/// Adds all routes; `State` is in the application's data.
pub fn configure(config: &mut ServiceConfig) {
    config.app_data(
        // A path that cannot be decoded names nothing.
        PathConfig::default()
            .error_handler(|_, _| Problem::bad_request("invalid_path", "The path cannot be decoded.").into()),
    );
    // The longer prefix first: the shorter one would take its requests.
    for flavor in [Flavor::Versioned, Flavor::Seed] {
        config.service(
            web::scope(flavor.prefix())
                .app_data(flavor)
                .configure(domain)
                .configure(open)
                .default_service(web::to(unknown)),
        );
    }
    open(config);
    config.default_service(web::to(unknown));
}

fn domain(config: &mut ServiceConfig) {
    config
        .service(post("/queues/{queue}/jobs").route(web::post().to(add::add)))
        .service(get("/queues/{queue}/jobs/{id}").route(web::get().to(job::of_queue)))
        .service(get("/jobs").route(web::get().to(list::list)))
        .service(get("/jobs/{id}").route(web::get().to(job::of_any_queue)))
        .service(post("/files").route(web::post().to(upload::upload)))
        .service(get("/files/{id}").route(web::get().to(file::get)))
        .service(post("/files/{id}/enrich").route(web::post().to(enrich::enrich)))
        .service(get("/properties/{id}/features").route(web::get().to(features::get)));
}

fn open(config: &mut ServiceConfig) {
    config
        .service(get("/health").route(web::get().to(health::health)))
        .service(get("/health/live").route(web::get().to(health::live)))
        .service(get("/health/ready").route(web::get().to(health::ready)))
        .service(get("/metrics").route(web::get().to(metrics::prometheus)))
        .service(get("/metrics/json").route(web::get().to(metrics::as_json)));
}

/// A resource that is read; any other method is told so.
fn get(path: &str) -> Resource {
    web::resource(path).default_service(web::to(async || not_allowed("GET")))
}

/// A resource that is posted to.
fn post(path: &str) -> Resource {
    web::resource(path).default_service(web::to(async || not_allowed("POST")))
}

fn not_allowed(methods: &'static str) -> HttpResponse {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("This address is for {methods} only."),
    )
    .allow(methods)
    .error_response()
}

async fn unknown() -> HttpResponse {
    Problem::not_found("unknown_route", "There is nothing here.").error_response()
}
