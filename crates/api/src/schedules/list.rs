//! GET `/schedules`: the caller's schedules over all queues, queue by queue, in the order of their ids.
//!
//! What belongs to a user lies side by side in each queue, and so does a tenant's (`bulrush_catalog::schedules`): only that is read, however
//! many others there are. A schedule that a program has put under an id of its own is found by that id, and listed for administrators.

use actix_web::http::{Method, StatusCode};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{ScheduleId, ScheduleView};
use bulrush_catalog::schedules::{owner_prefix, tenant_prefix};
use bulrush_catalog::{PayloadProblems, Queue};
use bulrush_service::Role;
use futures_util::future::try_join_all;
use serde_json::json;

use super::id;
use super::view::{Schedule, ScheduleList};
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::state::{Deps, State};

const LIMIT_DEFAULT: usize = 20;
const LIMIT_MAX: usize = 100;
/// Longest id that is looked for, bytes.
const ID_MAX: usize = 140;

pub fn route() -> Route {
    Route::new(Method::GET, "/schedules", Who::Reader, ("schedules", "listSchedules"), || web::get().to(list))
        .says("The caller's schedules, queue by queue, in the order of their ids.")
        .param("queue", json!({"type": "string"}), "Schedules of this queue; an alias will do.")
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most schedules of a page.",
        )
        .param(
            "after",
            json!({"type": "string", "maxLength": ID_MAX}),
            "The id of the last one of the page before (next).",
        )
        .answers::<ScheduleList>(200, "A page of schedules.")
        .fails(400, "invalid_query")
        .fails(422, "invalid_fields")
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
    let catalog = &state.shared.catalog;
    let only = query.one("queue", &mut problems).map(|name| catalog.find(name));
    if let Some(Err(unknown)) = &only {
        problems.push("queue", unknown.to_string());
    }
    let after = query.one("after", &mut problems).map(|text| id::read(catalog, text));
    if matches!(after, Some(None)) {
        problems.push("after", "must be the id of a schedule");
    }
    problems.into_result()?;
    let (only, after) = (only.and_then(Result::ok), after.flatten());
    let mut queues: Vec<&Queue> =
        catalog.queues().iter().filter(|queue| only.is_none_or(|only| only.name() == queue.name())).collect();
    if let Some((place, _)) = &after {
        let at = queues.iter().position(|queue| queue.name() == place.name());
        queues.drain(..at.unwrap_or(queues.len()));
    }
    let mut after = after.map(|(_, id)| id);
    let mut found: Vec<(&Queue, ScheduleView)> = Vec::new();
    for queue in queues {
        // One beyond the page tells whether there is another.
        let page = read(deps, &principal, queue, after.take(), limit + 1 - found.len()).await?;
        found.extend(page.into_iter().map(|view| (queue, view)));
        if found.len() > limit {
            break;
        }
    }
    let more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().filter(|_| more).map(|(queue, view)| id::write(queue, view.id()));
    let schedules = found.iter().map(|(queue, view)| Schedule::of(queue, view)).collect();
    Ok(HttpResponse::Ok().json(ScheduleList { success: true, schedules, next }))
}

/// The caller's schedules of a queue after one, at most `limit`.
async fn read(
    deps: &Deps,
    principal: &Principal,
    queue: &Queue,
    after: Option<ScheduleId>,
    limit: usize,
) -> Result<Vec<ScheduleView>, Problem> {
    let prefix = match principal.role {
        Role::User => owner_prefix(&principal.owner),
        Role::Viewer => tenant_prefix(&principal.owner.tenant),
        Role::Admin => String::new(),
    };
    let begin = ScheduleId::new(&prefix).ok();
    // None lies at the prefix itself: something follows it in every id.
    let mut after = after.into_iter().chain(begin).max();
    let mut found = Vec::new();
    loop {
        let wanted = limit - found.len();
        let page = deps.schedules.list_schedules(queue.name(), &principal.jobs(), after, wanted).await?;
        let theirs = |id: &ScheduleId| id.as_str().starts_with(&prefix);
        found.extend(page.schedules.into_iter().filter(|view| theirs(view.id())));
        match page.next.filter(|next| theirs(next) && found.len() < limit) {
            Some(next) => after = Some(next),
            None => return Ok(found),
        }
    }
}

/// Refuses a user who has as many as they may. Several who ask at once may get a few more.
pub async fn room_for_one(state: &State, deps: &Deps, principal: &Principal) -> Result<(), Problem> {
    let max = state.config.schedules_user;
    let of_queues = state.shared.catalog.queues().iter().map(|queue| read(deps, principal, queue, None, max));
    let count: usize = try_join_all(of_queues).await?.iter().map(Vec::len).sum();
    if count < max {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "too_many_schedules",
        format!("You have {count} schedules, as many as you may ({max}); remove one."),
    ))
}
