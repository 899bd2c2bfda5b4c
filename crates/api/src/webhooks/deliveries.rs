//! What a webhook was told: GET `/webhooks/{id}/deliveries`, POST `…/{delivery}/redeliver`, and POST `/webhooks/{id}/test`.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_catalog::jobs::{DeliverWebhook, deliver_webhook};
use bulrush_store::{Delivery, NewDelivery, StoreError, Webhook, new_id, now_ms};
use jiff::Timestamp;
use serde_json::json;

use super::view::{DeliveryAnswer, DeliveryList, DeliveryView};
use super::{ID_MAX, LIMIT_DEFAULT, LIMIT_MAX, find};
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::lookup::find_queue;
use crate::state::{Deps, State};

pub(super) fn routes() -> Vec<Route> {
    let of_one = |method, path, who, id, handler| {
        Route::new(method, path, who, ("webhooks", id), handler).fails(404, "unknown_webhook")
    };
    vec![
        of_one(Method::POST, "/webhooks/{id}/test", Who::Writer, "testWebhook", || web::post().to(test))
            .says("Sends a webhook.test to a webhook.")
            .answers::<DeliveryAnswer>(202, "It is being sent.")
            .fails(409, "webhook_disabled"),
        of_one(Method::GET, "/webhooks/{id}/deliveries", Who::Reader, "listDeliveries", || {
            web::get().to(list)
        })
        .says("What a webhook was told and is to be told, newest first.")
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most deliveries of a page.",
        )
        .param("cursor", json!({"type": "string"}), "Where the last page ended (next).")
        .answers::<DeliveryList>(200, "A page of them.")
        .fails(400, "invalid_query")
        .fails(400, "invalid_cursor")
        .fails(422, "invalid_fields"),
        of_one(
            Method::POST,
            "/webhooks/{id}/deliveries/{delivery}/redeliver",
            Who::Writer,
            "redeliver",
            || web::post().to(redeliver),
        )
        .says("Sends a delivery anew, at once and with all its attempts, whatever became of it before.")
        .answers::<DeliveryAnswer>(202, "It is being sent, under the id that it had.")
        .fails(404, "unknown_delivery")
        .fails(409, "webhook_disabled"),
    ]
}

fn unknown() -> Problem {
    Problem::not_found("unknown_delivery", "There is no such delivery.")
}

/// Nothing is sent to a webhook that is disabled.
fn must_be_enabled(webhook: &Webhook) -> Result<(), Problem> {
    if webhook.enabled {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "webhook_disabled",
        "The webhook is disabled, so nothing is sent to it; enable it first.",
    ))
}

async fn list(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let cursor = query.one("cursor", &mut problems);
    problems.into_result()?;
    let webhook = find(deps, &principal, &path).await?;
    let before = cursor.map(position).transpose()?;
    let rows = deps.store.webhook_deliveries();
    let rows = rows.list(&principal.rows(), &webhook.id, before, limit as u32 + 1).await?;
    let next = if rows.len() > limit { rows.get(limit - 1).map(cursor_of) } else { None };
    let deliveries = rows.into_iter().take(limit).map(DeliveryView::of).collect();
    Ok(HttpResponse::Ok().json(DeliveryList { success: true, deliveries, next }))
}

/// The place of a delivery in the list. It says nothing that the delivery does not, and what is found there is the caller's own.
fn cursor_of(delivery: &Delivery) -> String {
    format!("{}.{}", delivery.created_at_ms, delivery.id)
}

fn position(cursor: &str) -> Result<(i64, &str), Problem> {
    let found = cursor.split_once('.').filter(|(_, id)| (1..=ID_MAX).contains(&id.len()));
    found.and_then(|(ms, id)| Some((ms.parse().ok()?, id))).ok_or_else(|| {
        Problem::bad_request("invalid_cursor", "The cursor was not issued here; start again without one.")
    })
}

async fn test(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let webhook = find(deps, &principal, &path).await?;
    must_be_enabled(&webhook)?;
    let payload = json!({
        "type": deliver_webhook::TEST_EVENT,
        "timestamp": Timestamp::now().to_string(),
        "data": {"webhookId": webhook.id},
    });
    let new = NewDelivery {
        id: new_id()?,
        webhook: webhook.id.clone(),
        event: deliver_webhook::TEST_EVENT.to_owned(),
        job: None,
        payload: payload.to_string(),
        next_at_ms: now_ms(),
    };
    let kept: Result<bool, StoreError> =
        deps.store.write(async |tx| deps.store.webhook_deliveries().insert(tx, &new).await).await;
    match kept {
        Ok(_) => {
            send(&state, deps, &principal, &webhook, DeliverWebhook { delivery_id: new.id, round: 0 }).await
        }
        // Removed in between.
        Err(StoreError::MissingReference(_)) => Err(super::unknown()),
        Err(error) => Err(error.into()),
    }
}

async fn redeliver(
    principal: Principal,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let (id, delivery_id) = path.into_inner();
    let webhook = find(deps, &principal, &id).await?;
    if delivery_id.len() > ID_MAX {
        return Err(unknown());
    }
    let (rows, scope) = (deps.store.webhook_deliveries(), principal.rows());
    let found = rows.get(&scope, &delivery_id).await?;
    found.filter(|delivery| delivery.webhook == webhook.id).ok_or_else(unknown)?;
    must_be_enabled(&webhook)?;
    let round = rows.requeue(&scope, &delivery_id, now_ms()).await?.ok_or_else(unknown)?;
    send(&state, deps, &principal, &webhook, DeliverWebhook { delivery_id, round }).await
}

/// Adds the job that sends a delivery which is kept. The scheduler adds what is missing, so trouble here is no trouble of the caller's.
async fn send(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    webhook: &Webhook,
    payload: DeliverWebhook,
) -> Result<HttpResponse, Problem> {
    let queue = find_queue(state, deliver_webhook::QUEUE)?;
    let job = payload.job(queue, &webhook.id);
    if let Err(error) = deps.desk(queue).producer.add(job).await {
        tracing::warn!(delivery = payload.delivery_id, %error, "a delivery has no job yet; the scheduler adds it");
    }
    let delivery = deps.store.webhook_deliveries().get(&principal.rows(), &payload.delivery_id).await?;
    let delivery = DeliveryView::of(delivery.ok_or_else(unknown)?);
    Ok(HttpResponse::Accepted().json(DeliveryAnswer { success: true, delivery }))
}
