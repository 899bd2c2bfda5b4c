//! CRUD `/schedules`, `/schedules/{id}/run` and `/schedules/{id}/next`: jobs that are added again and again by the clock.
//!
//! A schedule lives in its queue, and its id here says in which: `<prefix of the queue>.<id in the queue>`. What is asked for is checked as the
//! job that it stands for would be, and kept as that check left it: secrets sealed, entities found. Whose it is comes from the token, and
//! who may see it is decided where it is kept.

mod ask;
pub mod id;
mod list;
mod next;
pub mod view;

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::clock::{Clock as _, SystemClock};
use bulrush::model::{JobId, Owner, ScheduleView};
use bulrush::port::{Put, PutOutcome, PutReply, ScheduleChange, ScheduleResult};
use bulrush_catalog::Queue;
use bulrush_catalog::schedules::{named_id, unnamed_id};
use bulrush_service::Role;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::add::{AddedAnswer, AddedJob, location};
use crate::jobs::ask::{may_add, parse, random};
use crate::jobs::enqueue::{Idempotency, enqueue, traceparent};
use crate::jobs::keys::digest_text;
use crate::jobs::lookup::find_queue;
use crate::jobs::manage::Said;
use crate::state::{Deps, State};
use ask::{Place, ScheduleAsk, ScheduleBody};
use view::{ScheduleAnswer, answer};

/// Longest name, bytes, as the catalogue has it.
const NAME_MAX: usize = bulrush_catalog::schedules::NAME_MAX;
const SHAPE: &str =
    "{\"queue\": \"…\", \"cron\": \"30 2 * * *\", \"zone\": \"Europe/Berlin\", \"data\": {…}}";

pub fn routes() -> Vec<Route> {
    let of_one = |method, path, who, id, handler| {
        Route::new(method, path, who, ("schedules", id), handler).fails(404, "unknown_schedule")
    };
    let content = |route: Route| {
        route
            .takes::<ScheduleBody>()
            .fails(403, "forbidden")
            .fails(404, "unknown_queue")
            .fails(413, "data_too_large")
            .fails(422, "invalid_queue_name")
            .fails(422, "invalid_job")
    };
    vec![
        list::route(),
        content(Route::new(Method::POST, "/schedules", Who::Writer, ("schedules", "addSchedule"), || {
            web::post().to(create)
        }))
        .says("Adds a job again and again by the clock.")
        .creates()
        .answers::<ScheduleAnswer>(201, "It is kept, and fires from now on.")
        .answers::<ScheduleAnswer>(200, "It was there already, as it is asked for.")
        .fails(409, "name_taken")
        .fails(409, "too_many_schedules"),
        next::route(),
        of_one(Method::POST, "/schedules/{id}/run", Who::Writer, "runSchedule", || web::post().to(run))
            .says("Adds a job of a schedule now. Its slots and its next one stay as they are.")
            .creates()
            .answers::<AddedAnswer>(202, "The job was added.")
            .answers::<AddedAnswer>(200, "The job was there already.")
            .fails(403, "forbidden")
            .fails(429, "queue_full"),
        of_one(Method::GET, "/schedules/{id}", Who::Reader, "getSchedule", || web::get().to(get))
            .says("A schedule and how it stands.")
            .answers::<ScheduleAnswer>(200, "The schedule; its ETag is its revision."),
        content(of_one(Method::PUT, "/schedules/{id}", Who::Writer, "changeSchedule", || {
            web::put().to(replace)
        }))
        .says("Replaces what a schedule says, at the revision that If-Match names. As long as its timing stays, so does its next slot.")
        .answers::<ScheduleAnswer>(200, "The schedule as it is now.")
        .fails(400, "invalid_version")
        .fails(412, "version_conflict"),
        of_one(Method::PATCH, "/schedules/{id}", Who::Writer, "enableSchedule", || web::patch().to(enable))
            .says("Lets a schedule fire from now on, or no more.")
            .takes::<EnableBody>()
            .answers::<ScheduleAnswer>(200, "The schedule as it is now.")
            .fails(403, "forbidden")
            .fails(409, "schedule_over"),
        of_one(Method::DELETE, "/schedules/{id}", Who::Writer, "removeSchedule", || {
            web::delete().to(remove)
        })
        .says("Removes a schedule. Jobs that it has added stay.")
        .answers::<Said>(200, "It was removed."),
    ]
}

/// Whether it fires.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct EnableBody {
    enabled: bool,
}

fn unknown() -> Problem {
    Problem::not_found("unknown_schedule", "There is no such schedule.")
}

/// The schedule of this id, if the caller may see it, and its queue.
async fn find<'s>(
    state: &'s State,
    deps: &Deps,
    principal: &Principal,
    asked: &str,
) -> Result<(&'s Queue, ScheduleView), Problem> {
    let (queue, id) = id::read(&state.shared.catalog, asked).ok_or_else(unknown)?;
    let found = deps.schedules.get_schedules(queue.name(), &principal.jobs(), vec![id]).await?;
    let view = found.into_iter().next().flatten().ok_or_else(unknown)?;
    Ok((queue, view))
}

async fn get(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let (queue, view) = find(&state, state.deps()?, &principal, &path).await?;
    Ok(answer(HttpResponse::Ok(), queue, &view))
}

async fn create(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let ask: ScheduleAsk<'_> = parse(&body, SHAPE)?;
    let called = ask.queue.clone().ok_or_else(|| Problem::field("queue", "is required"))?;
    let queue = find_queue(&state, &called)?;
    may_add(&principal, queue)?;
    let mut key = request.headers().get_all("idempotency-key");
    let keyed = Idempotency::of(&request, "schedules", &body)?.and(key.next());
    let owner = &principal.owner;
    let id = match (&ask.name, keyed) {
        (Some(name), _) => named_id(owner, name).map_err(|_| {
            Problem::field(
                "name",
                format!("must have 1 to {NAME_MAX} of A-Z, a-z, 0-9, '-', '.', '_' and '~'"),
            )
        })?,
        // The same key is the same schedule, as long as that is there.
        (None, Some(key)) => unnamed_id(owner, &format!("k{}", digest_text(key.as_bytes())))
            .map_err(|e| Problem::internal(&e))?,
        (None, None) => {
            let made = JobId::generate("s", SystemClock.now(), random()?);
            unnamed_id(owner, made.as_str().trim_start_matches("s-")).map_err(|e| Problem::internal(&e))?
        }
    };
    let place = Place::new(&state, deps, &principal, queue, &called).await?;
    let spec = ask.spec(&place, id.clone(), None).await?;
    let scope = principal.jobs();
    if !principal.is_admin() {
        let there = deps.schedules.get_schedules(queue.name(), &scope, vec![id]).await?;
        if there.iter().all(Option::is_none) {
            list::room_for_one(&state, deps, &principal).await?;
        }
    }
    let PutReply { outcome, schedule } =
        deps.schedules.put_schedule(queue.name(), &scope, spec, Put::At(None)).await.map_err(ask::refused)?;
    let response = match outcome {
        PutOutcome::New => HttpResponse::Created(),
        PutOutcome::Same => HttpResponse::Ok(),
        _ if ask.name.is_none() => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "idempotency_conflict",
                "This Idempotency-Key was used for another schedule; use a new key for a new one.",
            ));
        }
        _ => {
            return Err(Problem::new(
                StatusCode::CONFLICT,
                "name_taken",
                "You have another schedule of this name in this queue; change that one, or choose another name.",
            ));
        }
    };
    let view = schedule.ok_or_else(unknown)?;
    let mut response = response;
    let place = format!("{}/schedules/{}", Flavor::of(&request).prefix(), id::write(queue, view.id()));
    response.insert_header((header::LOCATION, place));
    Ok(answer(response, queue, &view))
}

/// In whose name a schedule is checked: its owner's, whoever changes it. What an administrator may do is not what its jobs may.
fn acting(principal: &Principal, view: &ScheduleView) -> Principal {
    match view.spec.owner.as_deref() {
        Some(owner) if *owner != principal.owner => {
            Principal { owner: Owner::clone(owner), role: Role::User, ..principal.clone() }
        }
        _ => principal.clone(),
    }
}

async fn replace(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let (queue, view) = find(&state, deps, &principal, &path).await?;
    may_add(&principal, queue)?;
    let expected = match request.headers().get(header::IF_MATCH) {
        // Whoever names no revision replaces the one that is there.
        None => view.state.revision,
        Some(tag) => {
            tag.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok()).ok_or_else(|| {
                Problem::bad_request(
                    "invalid_version",
                    "If-Match must be the ETag of the schedule, such as \"1735689600000\".",
                )
            })?
        }
    };
    let ask: ScheduleAsk<'_> = parse(&body, SHAPE)?;
    let called = ask.queue.clone().unwrap_or_else(|| queue.name().to_string());
    if !find_queue(&state, &called).is_ok_and(|named| named.name() == queue.name()) {
        return Err(Problem::field(
            "queue",
            format!("is {}, and stays so; make another schedule in the other queue", queue.name()),
        ));
    }
    let own_name = bulrush_catalog::schedules::name_of(view.id(), view.spec.owner.as_deref());
    if ask.name.is_some() && ask.name.as_deref() != own_name {
        return Err(Problem::field("name", "cannot be changed; make another schedule under the other name"));
    }
    let acting = acting(&principal, &view);
    let place = Place::new(&state, deps, &acting, queue, &called).await?.free_for(&principal);
    let spec = ask.spec(&place, view.id().clone(), Some(&view)).await?;
    let scope = principal.jobs();
    let put = Put::At(Some(expected));
    let reply = deps.schedules.put_schedule(queue.name(), &scope, spec, put).await.map_err(ask::refused)?;
    match (reply.outcome, reply.schedule) {
        (PutOutcome::Changed | PutOutcome::Same, Some(view)) => Ok(answer(HttpResponse::Ok(), queue, &view)),
        (PutOutcome::Moved, Some(view)) => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version_conflict",
            format!(
                "Somebody has changed the schedule: it is at revision {}; read it again.",
                view.state.revision
            ),
        )),
        _ => Err(unknown()),
    }
}

async fn enable(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let ask: EnableBody = parse(&body, "{\"enabled\": true}")?;
    let (queue, view) = find(&state, deps, &principal, &path).await?;
    may_add(&principal, queue)?;
    let change = if ask.enabled { ScheduleChange::Enable } else { ScheduleChange::Disable };
    let ids = vec![view.id().clone()];
    let done = deps.schedules.change_schedules(queue.name(), &principal.jobs(), ids, change).await?;
    match done.first() {
        Some(ScheduleResult::Done | ScheduleResult::Same) => {
            let (queue, view) = find(&state, deps, &principal, &path).await?;
            Ok(answer(HttpResponse::Ok(), queue, &view))
        }
        Some(ScheduleResult::Over) => Err(Problem::new(
            StatusCode::CONFLICT,
            "schedule_over",
            "The schedule would never fire again: its end or its limit is reached; change that first.",
        )),
        Some(ScheduleResult::Unknown) | None => Err(unknown()),
    }
}

async fn remove(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let (queue, view) = find(&state, deps, &principal, &path).await?;
    let ids = vec![view.id().clone()];
    let done =
        deps.schedules.change_schedules(queue.name(), &principal.jobs(), ids, ScheduleChange::Remove).await?;
    if done.first() != Some(&ScheduleResult::Done) {
        return Err(unknown());
    }
    Ok(HttpResponse::Ok().json(Said::new("Schedule removed successfully")))
}

async fn run(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let (queue, view) = find(&state, deps, &principal, &path).await?;
    may_add(&principal, queue)?;
    let idempotency = Idempotency::of(&request, &format!("run {}", *path), &[])?;
    let now = deps.inspect.now().await?;
    let id = JobId::generate(queue.entry().prefix, SystemClock.now(), random()?);
    let mut job = view.spec.job_by_hand(id, now);
    job.spec.dedup = idempotency.map(|key| std::sync::Arc::new(key.dedup(&principal.owner)));
    job.spec.traceparent = traceparent(&request).map(Into::into);
    let name = job.spec.name.to_string();
    let added = enqueue(deps, queue, job).await?;
    let flavor = Flavor::of(&request);
    let data = AddedJob::new(&added, queue.name().as_str(), &name, None, flavor);
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    response.insert_header((header::LOCATION, location(flavor, queue, &added)));
    Ok(response.json(AddedAnswer::new(data)))
}
