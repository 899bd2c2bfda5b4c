//! CRUD `/webhooks`, their secrets and their deliveries: addresses that are told what happens to a user's jobs.
//!
//! An address is checked when it is given, so that who gives a forbidden one learns why; it is checked again whenever it is called. A secret
//! is shown once, when it is made, and kept sealed: neither the database nor a list nor a log has it in plain.

mod deliveries;
mod secret;
mod view;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_catalog::jobs::WebhookEvent;
use bulrush_outbound::TargetUrl;
use bulrush_store::{NewWebhook, Webhook, WebhookChange, now_ms};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::ask::parse;
use crate::jobs::manage::Said;
use crate::state::{Deps, State};
use secret::new_secret;
use view::{WebhookAnswer, WebhookList, WebhookView};

/// Most webhooks of one tenant.
const WEBHOOKS_MAX: u32 = 100;
/// Most webhooks of a page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 20;
/// How long a secret signs along after it was replaced, ms.
const OLD_SECRET_MS: i64 = 24 * 60 * 60 * 1_000;
/// Longest id of a row that is looked for, bytes.
const ID_MAX: usize = 64;

pub fn routes() -> Vec<Route> {
    let of_one = |method, path, who, id, handler| {
        Route::new(method, path, who, ("webhooks", id), handler).fails(404, "unknown_webhook")
    };
    let mut routes = vec![
        Route::new(Method::GET, "/webhooks", Who::Reader, ("webhooks", "listWebhooks"), || {
            web::get().to(list)
        })
        .says("The caller's webhooks, oldest first.")
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most webhooks of a page.",
        )
        .param("after", json!({"type": "string"}), "The id of the last webhook that was seen (next).")
        .answers::<WebhookList>(200, "A page of them.")
        .fails(400, "invalid_query")
        .fails(422, "invalid_fields"),
        Route::new(Method::POST, "/webhooks", Who::Writer, ("webhooks", "addWebhook"), || {
            web::post().to(create)
        })
        .says("Tells an address what happens to the caller's jobs.")
        .takes::<WebhookBody>()
        .answers::<WebhookAnswer>(
            201,
            "It is told from now on. The secret that signs what is sent is shown this once.",
        )
        .fails(409, "too_many_webhooks")
        .fails(422, "sealing_off"),
        of_one(Method::GET, "/webhooks/{id}", Who::Reader, "getWebhook", || web::get().to(get))
            .says("A webhook.")
            .answers::<WebhookAnswer>(200, "The webhook."),
        of_one(Method::PATCH, "/webhooks/{id}", Who::Writer, "changeWebhook", || web::patch().to(change))
            .says("Changes a webhook's address or events, or whether it is told anything.")
            .takes::<WebhookChangeBody>()
            .answers::<WebhookAnswer>(200, "The webhook as it is now."),
        of_one(Method::DELETE, "/webhooks/{id}", Who::Writer, "removeWebhook", || web::delete().to(remove))
            .says("Removes a webhook with its deliveries; nothing more is sent.")
            .answers::<Said>(200, "It was removed."),
        of_one(Method::POST, "/webhooks/{id}/secret", Who::Writer, "rotateWebhookSecret", || {
            web::post().to(rotate)
        })
        .says("Gives a webhook a new secret; the one before signs along for 24 hours.")
        .answers::<WebhookAnswer>(200, "The webhook with its new secret, which is shown this once.")
        .fails(422, "sealing_off"),
    ];
    routes.extend(deliveries::routes());
    routes
}

/// An address that is to be told.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct WebhookBody {
    /// Where messages are sent: a web address of the internet, at an allowed port.
    #[schemars(length(min = 1, max = 2048))]
    url: String,
    /// What it is told of; everything where nothing is said.
    #[schemars(extend("items" = {"enum": ["job.completed", "job.failed", "job.cancelled"]}))]
    events: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookAsk {
    url: String,
    #[serde(default)]
    events: Option<Vec<String>>,
}

/// What is to be different; what is not named stays.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct WebhookChangeBody {
    #[schemars(length(min = 1, max = 2048))]
    url: Option<String>,
    #[schemars(extend("items" = {"enum": ["job.completed", "job.failed", "job.cancelled"]}))]
    events: Option<Vec<String>>,
    /// Whether it is told anything. Enabling one that the platform has disabled forgets why.
    enabled: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WebhookChangeAsk {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    events: Option<Vec<String>>,
    #[serde(default)]
    enabled: Option<bool>,
}

fn unknown() -> Problem {
    Problem::not_found("unknown_webhook", "There is no such webhook.")
}

/// The webhook `id` of whoever asks.
async fn find(deps: &Deps, principal: &Principal, id: &str) -> Result<Webhook, Problem> {
    let found =
        if id.len() > ID_MAX { None } else { deps.store.webhooks().get(&principal.rows(), id).await? };
    found.ok_or_else(unknown)
}

/// The address as it will be called, if it may be.
fn checked_url(state: &State, url: &str, problems: &mut PayloadProblems) -> Option<String> {
    match TargetUrl::parse(url, &state.config.outbound) {
        Ok(target) => Some(target.url().to_string()),
        Err(refusal) => {
            problems.push("url", refusal.to_string());
            None
        }
    }
}

/// The events by their names, each once.
fn checked_events(events: &[String], problems: &mut PayloadProblems) -> Vec<String> {
    let known = WebhookEvent::ALL.map(|(_, name)| name);
    if events.is_empty() {
        problems.push("events", format!("must name at least one of {}", known.join(", ")));
    }
    for (n, event) in events.iter().enumerate().take(known.len() + 1) {
        if !known.contains(&event.as_str()) {
            problems.push(format!("events[{n}]"), format!("must be one of {}", known.join(", ")));
        }
    }
    if events.len() > known.len() {
        problems.push("events", format!("has {} names; there are {} events", events.len(), known.len()));
    }
    known.into_iter().filter(|name| events.iter().any(|event| event == name)).map(str::to_owned).collect()
}

async fn list(
    principal: Principal,
    request: HttpRequest,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let query = Query::of(&request)?;
    let mut problems = PayloadProblems::default();
    let limit = query.number("limit", (1, LIMIT_MAX), LIMIT_DEFAULT, &mut problems);
    let after = query.one("after", &mut problems);
    if after.is_some_and(|after| after.len() > ID_MAX) {
        problems.push("after", "must be the id of a webhook");
    }
    problems.into_result()?;
    let webhooks = deps.store.webhooks().list(&principal.rows(), after, limit as u32 + 1).await?;
    let more = webhooks.len() > limit;
    let webhooks: Vec<WebhookView> = webhooks.into_iter().take(limit).map(WebhookView::of).collect();
    let next = webhooks.last().filter(|_| more).map(|webhook| webhook.id.clone());
    Ok(HttpResponse::Ok().json(WebhookList { success: true, webhooks, next }))
}

async fn get(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let webhook = find(state.deps()?, &principal, &path).await?;
    Ok(HttpResponse::Ok().json(WebhookAnswer::of(webhook)))
}

async fn create(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let ask: WebhookAsk = parse(&body, "{\"url\": \"https://…\", \"events\": [\"job.completed\"]}")?;
    let mut problems = PayloadProblems::default();
    let url = checked_url(&state, &ask.url, &mut problems);
    let events = match &ask.events {
        Some(events) => checked_events(events, &mut problems),
        None => WebhookEvent::ALL.map(|(_, name)| name.to_owned()).to_vec(),
    };
    problems.into_result()?;
    let url = url.ok_or_else(|| Problem::field("url", "is required"))?;
    let secret = new_secret(&state)?;
    let new = NewWebhook { owner: principal.row_owner(), url, events, secret: secret.sealed };
    let Some(webhook) = deps.store.webhooks().create(&new, WEBHOOKS_MAX).await? else {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "too_many_webhooks",
            format!("Your organization has {WEBHOOKS_MAX} webhooks, as many as it may; remove one."),
        ));
    };
    let place = format!("{}/webhooks/{}", Flavor::of(&request).prefix(), webhook.id);
    let mut response = HttpResponse::Created();
    response.insert_header((header::LOCATION, place));
    Ok(response.json(WebhookAnswer::of(webhook).with_secret(secret.plain)))
}

async fn change(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let webhook = find(deps, &principal, &path).await?;
    let ask: WebhookChangeAsk = parse(&body, "{\"url\": \"https://…\", \"events\": […], \"enabled\": true}")?;
    let mut problems = PayloadProblems::default();
    let url = ask.url.as_deref().and_then(|url| checked_url(&state, url, &mut problems));
    let events = ask.events.as_deref().map(|events| checked_events(events, &mut problems));
    problems.into_result()?;
    let change = WebhookChange { url, events, enabled: ask.enabled, secret: None };
    let changed = deps.store.webhooks().update(&principal.rows(), &webhook.id, &change).await?;
    Ok(HttpResponse::Ok().json(WebhookAnswer::of(changed.ok_or_else(unknown)?)))
}

async fn remove(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let webhook = find(deps, &principal, &path).await?;
    if !deps.store.webhooks().delete(&principal.rows(), &webhook.id).await? {
        return Err(unknown());
    }
    Ok(HttpResponse::Ok().json(Said::new("Webhook removed successfully")))
}

async fn rotate(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let webhook = find(deps, &principal, &path).await?;
    let secret = new_secret(&state)?;
    let until_ms = now_ms() + OLD_SECRET_MS;
    let webhooks = deps.store.webhooks();
    let rotated = webhooks.rotate(&principal.rows(), &webhook.id, &secret.sealed, until_ms).await?;
    Ok(HttpResponse::Ok().json(WebhookAnswer::of(rotated.ok_or_else(unknown)?).with_secret(secret.plain)))
}
