//! The sandbox's own paths, below `/sandbox`.

use actix_web::{HttpResponse, web};
use bytes::Bytes;
use serde_json::json;

use crate::faults::FaultPlan;
use crate::server::Shared;

pub(crate) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/sandbox/faults")
                .route(web::get().to(list_faults))
                .route(web::post().to(add_fault))
                .route(web::delete().to(clear_faults)),
        )
        .service(
            web::resource("/sandbox/requests")
                .route(web::get().to(list_requests))
                .route(web::delete().to(clear_requests)),
        )
        .route("/sandbox/health", web::get().to(HttpResponse::NoContent));
}

async fn list_faults(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.faults.list())
}

async fn add_fault(shared: web::Data<Shared>, body: Bytes) -> HttpResponse {
    let plan: FaultPlan = match serde_json::from_slice(&body) {
        Ok(plan) => plan,
        Err(error) => {
            let example =
                json!({"path": "/v1/archive", "count": 2, "fault": {"kind": "server-error", "status": 503}});
            return bad_request(&format!("the body is no fault plan: {error}; an example: {example}"));
        }
    };
    match shared.faults.add(plan) {
        Ok(()) => HttpResponse::NoContent().finish(),
        Err(error) => bad_request(&error.to_string()),
    }
}

async fn clear_faults(shared: web::Data<Shared>) -> HttpResponse {
    shared.faults.clear();
    HttpResponse::NoContent().finish()
}

async fn list_requests(shared: web::Data<Shared>) -> HttpResponse {
    HttpResponse::Ok().json(shared.requests.counts())
}

async fn clear_requests(shared: web::Data<Shared>) -> HttpResponse {
    shared.requests.clear();
    HttpResponse::NoContent().finish()
}

fn bad_request(error: &str) -> HttpResponse {
    HttpResponse::BadRequest().json(json!({"error": error}))
}
