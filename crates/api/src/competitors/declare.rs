//! Declaring, listing, changing and removing the competitors of a property.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_catalog::competitor::{COMPETITORS_MAX, NAME_MAX, PageRules};
use bulrush_outbound::TargetUrl;
use bulrush_store::{Competitor, Declared, Entity, NewCompetitor, derived_id, new_id};
use jiff::civil::date;
use serde::Deserialize;
use serde_json::Value;

use super::view::{CompetitorAnswer, CompetitorList};
use crate::files::property;
use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::jobs::ask::parse;
use crate::jobs::manage::Said;
use crate::state::{Deps, State};

/// Longest id or name that is looked for, bytes.
const ID_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CompetitorAsk {
    name: String,
    page: Value,
}

fn unknown() -> Problem {
    Problem::not_found("unknown_competitor", "There is no such competitor of this property.")
}

pub async fn list(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let property = property::find_in_path(deps, &principal, &path).await?.entity;
    // More than a property may have are there only where an earlier version let them in.
    let limit = COMPETITORS_MAX as u32 * 2;
    let found = deps.store.competitors().list(&principal.rows(), &property.id, None, limit).await?;
    let competitors = found.into_iter().map(Into::into).collect();
    Ok(HttpResponse::Ok().json(CompetitorList { success: true, property_id: property.id, competitors }))
}

pub async fn get(
    principal: Principal,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let property = property::find_in_path(deps, &principal, &path.0).await?;
    let found = find(deps, &principal, &property, &path.1).await?.ok_or_else(unknown)?;
    Ok(answer(HttpResponse::Ok(), found))
}

pub async fn create(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let property = property::find_in_path(deps, &principal, &path).await?;
    let new = checked(&state, &body, new_id()?)?;
    let (_, competitor) = declare(deps, &principal, &property, &new).await?;
    Ok(created(&request, &property, competitor))
}

pub async fn put(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<(String, String)>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let (of, called) = path.into_inner();
    let property = property::find_in_path(deps, &principal, &of).await?;
    if !(1..=ID_MAX).contains(&called.len()) || called.chars().any(char::is_control) {
        return Err(Problem::field(
            "competitorId",
            format!("must have 1 to {ID_MAX} bytes and no control characters"),
        ));
    }
    // One that is there, of this property or of another of the same owner's; otherwise a name for a new one.
    let there = deps.store.entities().get(&property.entity.owner.clone().into(), &called).await?;
    let is_competitor = there.is_some_and(|there| there.entity.kind == bulrush_store::EntityKind::Competitor);
    let id = if is_competitor { called } else { id_of_name(&property, &called) };
    let new = checked(&state, &body, id)?;
    let (declared, competitor) = declare(deps, &principal, &property, &new).await?;
    Ok(match declared {
        Declared::Replaced => answer(HttpResponse::Ok(), competitor),
        _ => created(&request, &property, competitor),
    })
}

pub async fn remove(
    principal: Principal,
    path: web::Path<(String, String)>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let property = property::find_in_path(deps, &principal, &path.0).await?;
    let found = find(deps, &principal, &property, &path.1).await?.ok_or_else(unknown)?;
    let competitors = deps.store.competitors();
    if !competitors.release(&principal.rows(), &property.entity.id, &found.id).await? {
        return Err(unknown());
    }
    Ok(HttpResponse::Ok().json(Said::new("Competitor removed successfully")))
}

/// The id of the competitor that the owner of `property` calls `name`.
fn id_of_name(property: &Entity, name: &str) -> String {
    let owner = &property.entity.owner;
    derived_id(&[&owner.tenant, &owner.user, "competitor", name])
}

/// The competitor of `property` with this id or name, if the caller may see it.
async fn find(
    deps: &Deps,
    principal: &Principal,
    property: &Entity,
    asked: &str,
) -> Result<Option<Competitor>, Problem> {
    if asked.is_empty() || asked.len() > ID_MAX || asked.chars().any(char::is_control) {
        return Ok(None);
    }
    let (scope, of) = (principal.rows(), &property.entity.id);
    let competitors = deps.store.competitors();
    if let Some(found) = competitors.get(&scope, of, asked).await? {
        return Ok(Some(found));
    }
    Ok(competitors.get(&scope, of, &id_of_name(property, asked)).await?)
}

/// What is to be declared, checked as the worker will read it.
fn checked(state: &State, body: &[u8], id: String) -> Result<NewCompetitor, Problem> {
    let ask: CompetitorAsk = parse(body, "{\"name\": \"…\", \"page\": {\"url\": \"https://…\"}}")?;
    let mut problems = PayloadProblems::default();
    if !(1..=NAME_MAX).contains(&ask.name.len()) || ask.name.chars().any(char::is_control) {
        problems.push("name", format!("must be a text of 1 to {NAME_MAX} bytes without control characters"));
    }
    match PageRules::from_json(&ask.page) {
        Err(wrong) => problems.0.extend(wrong.0),
        Ok(rules) => {
            // Any stay will do: the site is the same for all of them.
            let address = rules.address((date(2026, 12, 20), date(2026, 12, 23)), 2, "Innsbruck");
            let policy = state.config.outbound_pages.as_ref().unwrap_or(&state.config.outbound);
            if let Err(refusal) = TargetUrl::parse(&address, policy) {
                problems.push("page.url", refusal.to_string());
            }
        }
    }
    problems.into_result()?;
    Ok(NewCompetitor { id, name: ask.name, page: ask.page })
}

/// Declares it, for the owner of the property, whoever asks: only so is it seen by their jobs.
async fn declare(
    deps: &Deps,
    principal: &Principal,
    property: &Entity,
    new: &NewCompetitor,
) -> Result<(Declared, Competitor), Problem> {
    let property = &property.entity;
    let competitors = deps.store.competitors();
    let declared = competitors.declare(&property.owner, &property.id, new, COMPETITORS_MAX as u32).await?;
    match declared {
        Declared::Full => Err(Problem::new(
            StatusCode::CONFLICT,
            "too_many_competitors",
            format!("The property has {COMPETITORS_MAX} competitors, as many as it may; remove one."),
        )),
        Declared::NotYours => Err(unknown()),
        Declared::New | Declared::Replaced => {
            let found = competitors.get(&principal.rows(), &property.id, &new.id).await?;
            // Somebody may have removed it since.
            Ok((declared, found.ok_or_else(unknown)?))
        }
    }
}

fn created(request: &HttpRequest, property: &Entity, competitor: Competitor) -> HttpResponse {
    let (prefix, of) = (Flavor::of(request).prefix(), &property.entity.id);
    let mut response = HttpResponse::Created();
    let place = format!("{prefix}/properties/{of}/competitors/{}", competitor.id);
    response.insert_header((header::LOCATION, place));
    answer(response, competitor)
}

fn answer(mut response: actix_web::HttpResponseBuilder, competitor: Competitor) -> HttpResponse {
    response.json(CompetitorAnswer { success: true, competitor: competitor.into() })
}
