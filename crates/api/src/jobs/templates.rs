//! CRUD `/templates`, and POST `/templates/{id}/run`: jobs to be added again and again.
//!
//! The catalogue ships one for each kind of job that a worker runs. They are read and run like the caller's own, under ids that no stored
//! one has, and cannot be changed: their data hold placeholders, for which a run brings values.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::templates::Otherwise;
use bulrush_catalog::{JobTemplate, PayloadProblems, Placeholder, Queue, templates};
use bulrush_store::{Template, TemplateContent, TemplateCreated, TemplateUpdated};
use bytes::Bytes;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::{read_json, read_optional_json};
use crate::http::problem::Problem;
use crate::http::query::Query;
use crate::http::route::{Route, Who};
use crate::jobs::add::{AddedAnswer, AddedJob, location};
use crate::jobs::ask::{Ask, may_add, parse};
use crate::jobs::enqueue::{Idempotency, enqueue, traceparent};
use crate::jobs::lookup::find_queue;
use crate::jobs::manage::Said;
use crate::jobs::schema::JobOptions;
use crate::jobs::view::Payload;
use crate::state::{Deps, State};

/// Most templates of one user.
const TEMPLATES_MAX: u32 = 1_000;
/// Most templates of a page.
const LIMIT_MAX: usize = 100;
const LIMIT_DEFAULT: usize = 20;
/// Longest name and description, bytes.
const NAME_MAX: usize = 100;
const DESCRIPTION_MAX: usize = 1_000;

pub fn routes() -> Vec<Route> {
    let of_one = |method, path, who, id, handler| {
        Route::new(method, path, who, ("templates", id), handler).fails(404, "unknown_template")
    };
    let content = |route: Route| {
        route
            .takes::<TemplateBody>()
            .fails(404, "unknown_queue")
            .fails(409, "name_taken")
            .fails(413, "data_too_large")
            .fails(422, "invalid_queue_name")
    };
    vec![
        Route::new(Method::GET, "/templates", Who::Reader, ("templates", "listTemplates"), || {
            web::get().to(list)
        })
        .says("The caller's templates, oldest first.")
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": LIMIT_DEFAULT}),
            "Most templates of a page.",
        )
        .param(
            "after",
            json!({"type": "string", "maxLength": 64}),
            "The id of the last one of the page before.",
        )
        .answers::<TemplateList>(200, "A page of templates.")
        .fails(400, "invalid_query")
        .fails(422, "invalid_fields"),
        Route::new(
            Method::GET,
            "/templates/catalog",
            Who::Reader,
            ("templates", "listCatalogTemplates"),
            || web::get().to(list_catalog),
        )
        .says("The templates that the platform ships: one for each kind of job that it runs for users.")
        .answers::<TemplateList>(200, "All of them, with what is to be filled in."),
        content(Route::new(Method::POST, "/templates", Who::Writer, ("templates", "addTemplate"), || {
            web::post().to(create)
        }))
        .says("Keeps a job to be added again and again.")
        .answers::<TemplateAnswer>(201, "It is kept.")
        .fails(409, "too_many_templates"),
        of_one(Method::GET, "/templates/{id}", Who::Reader, "getTemplate", || web::get().to(get))
            .says("A template, of the caller's own or of the catalogue.")
            .answers::<TemplateAnswer>(200, "The template; its ETag is its version."),
        content(of_one(Method::PUT, "/templates/{id}", Who::Writer, "changeTemplate", || {
            web::put().to(update)
        }))
        .says("Replaces what a template says, at the version that If-Match names.")
        .answers::<TemplateAnswer>(200, "The template as it is now.")
        .fails(400, "invalid_version")
        .fails(409, "built_in_template")
        .fails(412, "version_conflict"),
        of_one(Method::DELETE, "/templates/{id}", Who::Writer, "removeTemplate", || web::delete().to(remove))
            .says("Removes a template. Jobs that were added from it stay.")
            .answers::<Said>(200, "It was removed.")
            .fails(409, "built_in_template"),
        of_one(Method::POST, "/templates/{id}/run", Who::Writer, "runTemplate", || web::post().to(run))
            .says(
                "Adds the job of a template, with its placeholders filled in, and members of its data and options replaced if asked.",
            )
            .may_take::<RunBody>()
            .creates()
            .answers::<AddedAnswer>(202, "The job was added.")
            .answers::<AddedAnswer>(200, "The job was there already.")
            .fails(404, "unknown_queue")
            .fails(413, "data_too_large")
            .fails(422, "invalid_job")
            .fails(429, "queue_full"),
    ]
}

/// What a template says.
#[derive(Debug, JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct TemplateBody {
    /// One's own name for it.
    #[schemars(length(min = 1, max = 100))]
    name: String,
    /// The queue of its jobs, or an alias.
    queue: String,
    /// The name of its jobs, where the queue runs several kinds.
    job_name: Option<String>,
    data: Option<Map<String, Value>>,
    options: Option<JobOptions>,
    #[schemars(length(max = 1000))]
    description: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct TemplateAsk<'a> {
    name: String,
    queue: String,
    #[serde(default)]
    job_name: Option<Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    options: Option<Value>,
    #[serde(default)]
    description: Option<String>,
}

/// What is different this time.
#[derive(Debug, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct RunBody {
    /// What stands in place of the placeholders of a template of the catalogue.
    values: Option<Map<String, Value>>,
    /// Members that take the place of the template's.
    data: Option<Map<String, Value>>,
    /// Options that take the place of the template's.
    options: Option<JobOptions>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RunAsk {
    #[serde(default)]
    values: Option<Map<String, Value>>,
    #[serde(default)]
    data: Option<Map<String, Value>>,
    #[serde(default)]
    options: Option<Map<String, Value>>,
}

#[derive(Serialize, JsonSchema)]
struct TemplateAnswer {
    success: bool,
    template: TemplateView,
}

#[derive(Serialize, JsonSchema)]
struct TemplateList {
    success: bool,
    templates: Vec<TemplateView>,
    /// The id after which the next page begins; none at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A template.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct TemplateView {
    id: String,
    name: String,
    queue: String,
    job_name: String,
    data: Payload,
    options: Payload,
    description: String,
    /// Whether it is of the catalogue.
    built_in: bool,
    /// What is to be filled in when it is run; of one of the catalogue.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    placeholders: Vec<PlaceholderView>,
    /// Of the caller's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<i64>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

/// What is to be filled in: in the data its name stands in braces.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PlaceholderView {
    name: &'static str,
    description: &'static str,
    required: bool,
    /// What stands there if nothing is given; without one, nothing does.
    #[serde(skip_serializing_if = "Option::is_none")]
    default: Option<Value>,
    example: Option<Value>,
}

impl From<&Placeholder> for PlaceholderView {
    fn from(placeholder: &Placeholder) -> Self {
        let default = match placeholder.otherwise {
            Otherwise::Default(json) => serde_json::from_str(json).ok(),
            Otherwise::Required | Otherwise::LeftOut => None,
        };
        Self {
            name: placeholder.name,
            description: placeholder.about,
            required: placeholder.otherwise == Otherwise::Required,
            default,
            example: serde_json::from_str(placeholder.example).ok(),
        }
    }
}

impl From<&'static JobTemplate> for TemplateView {
    fn from(template: &'static JobTemplate) -> Self {
        Self {
            id: template.id(),
            name: template.name.to_owned(),
            queue: template.queue.to_owned(),
            job_name: template.job.to_owned(),
            data: Payload::of(&Bytes::from_static(template.data.as_bytes()), None),
            options: Payload::of(&Bytes::from_static(template.options.as_bytes()), None),
            description: template.description.to_owned(),
            built_in: true,
            placeholders: template.placeholders.iter().map(Into::into).collect(),
            version: None,
            created_at: None,
            updated_at: None,
        }
    }
}

impl TemplateView {
    fn of(template: Template, state: &State) -> Self {
        let Template { id, content, version, created_at_ms, updated_at_ms, .. } = template;
        let moment = |ms| Timestamp::from_millisecond(ms).ok().map(|at| at.to_string());
        let queue = state.shared.catalog.find(&content.queue).ok();
        Self {
            id,
            data: Payload::of(&Bytes::from(content.data), queue),
            options: Payload::of(&Bytes::from(content.options), None),
            name: content.name,
            queue: content.queue,
            job_name: content.job_name,
            description: content.description,
            built_in: false,
            placeholders: Vec::new(),
            version: Some(version),
            created_at: moment(created_at_ms),
            updated_at: moment(updated_at_ms),
        }
    }
}

fn answer(mut response: actix_web::HttpResponseBuilder, template: Template, state: &State) -> HttpResponse {
    response.insert_header((header::ETAG, format!("\"{}\"", template.version)));
    response.json(TemplateAnswer { success: true, template: TemplateView::of(template, state) })
}

fn unknown() -> Problem {
    Problem::not_found("unknown_template", "There is no such template.")
}

fn name_taken() -> Problem {
    Problem::new(StatusCode::CONFLICT, "name_taken", "You have another template of this name.")
}

/// Refuses to change what the catalogue ships.
fn may_change(id: &str) -> Result<(), Problem> {
    if templates::find(id).is_none() {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::CONFLICT,
        "built_in_template",
        "This template is the catalogue's and stays as it is; add one of your own.",
    ))
}

async fn find(deps: &Deps, principal: &Principal, id: &str) -> Result<Template, Problem> {
    let found = if id.len() > 64 { None } else { deps.store.templates().get(&principal.rows(), id).await? };
    found.ok_or_else(unknown)
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
    if after.is_some_and(|after| after.len() > 64) {
        problems.push("after", "must be the id of a template");
    }
    problems.into_result()?;
    let templates = deps.store.templates().list(&principal.rows(), after, limit as u32 + 1).await?;
    let more = templates.len() > limit;
    let templates: Vec<TemplateView> =
        templates.into_iter().take(limit).map(|template| TemplateView::of(template, &state)).collect();
    let next = templates.last().filter(|_| more).map(|template| template.id.clone());
    Ok(HttpResponse::Ok().json(TemplateList { success: true, templates, next }))
}

async fn list_catalog(_: Principal) -> HttpResponse {
    let templates = templates::ALL.into_iter().map(Into::into).collect();
    HttpResponse::Ok().json(TemplateList { success: true, templates, next: None })
}

async fn get(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    if let Some(built_in) = templates::find(&path) {
        return Ok(HttpResponse::Ok().json(TemplateAnswer { success: true, template: built_in.into() }));
    }
    let template = find(state.deps()?, &principal, &path).await?;
    Ok(answer(HttpResponse::Ok(), template, &state))
}

/// Reads and checks what a template is to say: as the job that it stands for would be.
async fn content(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    body: &[u8],
) -> Result<TemplateContent, Problem> {
    let ask: TemplateAsk<'_> = parse(body, "{\"name\": \"…\", \"queue\": \"…\", \"data\": {…}}")?;
    let queue = find_queue(state, &ask.queue)?;
    may_add(principal, queue)?;
    let mut problems = PayloadProblems::default();
    let plain = |text: &str| !text.chars().any(char::is_control);
    if !(1..=NAME_MAX).contains(&ask.name.len()) || !plain(&ask.name) {
        problems.push("name", format!("must be a text of 1 to {NAME_MAX} bytes without control characters"));
    }
    let description = ask.description.unwrap_or_default();
    if description.len() > DESCRIPTION_MAX {
        problems
            .push("description", format!("has {} bytes; give at most {DESCRIPTION_MAX}", description.len()));
    }
    let options = ask.options.clone().unwrap_or_else(|| json!({}));
    if options.get("jobId").is_some() {
        problems.push("options.jobId", "cannot be part of a template: it would add one job and no more");
    }
    let job = Ask { name: None, job_name: ask.job_name, data: ask.data, options: ask.options };
    let checked = job.check((state, deps), principal, queue, &ask.queue, &mut problems).await?;
    problems.into_result()?;
    let checked = checked.ok_or_else(|| Problem::field("jobName", "is not a job of this queue"))?;
    // What is stored is what was checked: secrets sealed, entities found.
    let data = String::from_utf8_lossy(&checked.data).into_owned();
    Ok(TemplateContent {
        name: ask.name,
        queue: queue.name().to_string(),
        job_name: checked.name,
        data,
        options: options.to_string(),
        description,
    })
}

async fn create(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let content = content(&state, deps, &principal, &body).await?;
    match deps.store.templates().create(&principal.row_owner(), &content, TEMPLATES_MAX).await? {
        TemplateCreated::Yes(template) => {
            let mut response = HttpResponse::Created();
            let place = format!("{}/templates/{}", Flavor::of(&request).prefix(), template.id);
            response.insert_header((header::LOCATION, place));
            Ok(answer(response, template, &state))
        }
        TemplateCreated::NameTaken => Err(name_taken()),
        TemplateCreated::Full => Err(Problem::new(
            StatusCode::CONFLICT,
            "too_many_templates",
            format!("You have {TEMPLATES_MAX} templates, as many as you may; remove one."),
        )),
    }
}

async fn update(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    may_change(&path)?;
    let template = find(deps, &principal, &path).await?;
    let expected = match request.headers().get(header::IF_MATCH) {
        // Whoever names no version replaces the one that is there.
        None => template.version,
        Some(tag) => {
            tag.to_str().ok().and_then(|tag| tag.trim_matches('"').parse().ok()).ok_or_else(|| {
                Problem::bad_request(
                    "invalid_version",
                    "If-Match must be the ETag of the template, such as \"3\".",
                )
            })?
        }
    };
    let content = content(&state, deps, &principal, &body).await?;
    match deps.store.templates().update(&principal.rows(), &template.id, expected, &content).await? {
        TemplateUpdated::Yes(template) => Ok(answer(HttpResponse::Ok(), template, &state)),
        TemplateUpdated::Conflict { version } => Err(Problem::new(
            StatusCode::PRECONDITION_FAILED,
            "version_conflict",
            format!("Somebody has changed the template: it is at version {version}; read it again."),
        )),
        TemplateUpdated::NameTaken => Err(name_taken()),
        TemplateUpdated::Absent => Err(unknown()),
    }
}

async fn remove(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    may_change(&path)?;
    let template = find(deps, &principal, &path).await?;
    if !deps.store.templates().delete(&principal.rows(), &template.id).await? {
        return Err(unknown());
    }
    Ok(HttpResponse::Ok().json(Said::new("Template removed successfully")))
}

async fn run(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_optional_json(&request, payload, &state).await?;
    let ask: RunAsk = if body.is_blank() {
        RunAsk::default()
    } else {
        parse(&body, "{\"values\": {…}, \"data\": {…}, \"options\": {…}}, or nothing")?
    };
    let Runnable { called, job_name, data, options, place } =
        runnable(deps, &principal, &path, ask.values).await?;
    let queue: &Queue = find_queue(&state, &called)?;
    may_add(&principal, queue)?;
    let idempotency = Idempotency::of(&request, &place, &body)?;
    let (data, sealed) = without_secrets(queue, data, ask.data.as_ref())?;
    let data = merged(data, ask.data)?;
    let options: Value =
        serde_json::from_str(&merged(options, ask.options)?).map_err(|e| Problem::internal(&e))?;
    let raw = RawValue::from_string(data).map_err(|error| Problem::internal(&error))?;
    let job = Ask { name: Some(job_name.into()), job_name: None, data: Some(&raw), options: Some(options) };
    let mut problems = PayloadProblems::default();
    let checked = job.check((&state, deps), &principal, queue, &called, &mut problems).await?;
    problems.into_result()?;
    let mut checked =
        checked.ok_or_else(|| Problem::field("jobName", "is not a job of this queue any more"))?;
    if !sealed.is_empty() {
        checked.data =
            Bytes::from(merged(String::from_utf8_lossy(&checked.data).into_owned(), Some(sealed))?);
    }
    let (name, client_id) = (checked.name.clone(), checked.options.job_id.clone());
    let job = checked.into_job(&principal, idempotency.as_ref(), traceparent(&request).as_deref())?;
    let added = enqueue(deps, queue, job).await?;
    let flavor = Flavor::of(&request);
    let data = AddedJob::new(&added, &called, &name, client_id.as_deref(), flavor);
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    response.insert_header((header::LOCATION, location(flavor, queue, &added)));
    Ok(response.json(AddedAnswer::new(data)))
}

/// What a template stands for.
struct Runnable {
    /// Its queue.
    called: String,
    job_name: String,
    data: String,
    options: String,
    /// What a request stands for that runs it.
    place: String,
}

/// The template `id`, filled in with `values`.
async fn runnable(
    deps: &Deps,
    principal: &Principal,
    id: &str,
    values: Option<Map<String, Value>>,
) -> Result<Runnable, Problem> {
    if let Some(built_in) = templates::find(id) {
        return Ok(Runnable {
            called: built_in.queue.to_owned(),
            job_name: built_in.job.to_owned(),
            data: Value::Object(built_in.fill(&values.unwrap_or_default())?).to_string(),
            options: built_in.options.to_owned(),
            place: format!("template {id}"),
        });
    }
    let template = find(deps, principal, id).await?;
    if values.is_some_and(|values| !values.is_empty()) {
        return Err(Problem::field(
            "values",
            "are for templates of the catalogue: this one has no placeholders; replace members of its data with data",
        ));
    }
    let TemplateContent { queue, job_name, data, options, .. } = template.content;
    let place = format!("template {} {}", template.id, template.version);
    Ok(Runnable { called: queue, job_name, data, options, place })
}

/// The data of a template without the secrets that were sealed when it was kept, and those apart: sealed once more, no worker could
/// open them. What is given anew this time is sealed like any other.
fn without_secrets(
    queue: &Queue,
    text: String,
    given: Option<&Map<String, Value>>,
) -> Result<(String, Map<String, Value>), Problem> {
    if !queue.has_secrets() {
        return Ok((text, Map::new()));
    }
    let mut map: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| Problem::internal(&error))?;
    let mut sealed = Map::new();
    for name in queue.entry().jobs.iter().flat_map(|kind| kind.hidden) {
        if let Some(secret) = map.remove(*name)
            && given.is_none_or(|given| !given.contains_key(*name))
        {
            sealed.insert((*name).to_owned(), secret);
        }
    }
    Ok((Value::Object(map).to_string(), sealed))
}

/// A JSON object with some members replaced; byte for byte the same without any.
fn merged(text: String, members: Option<Map<String, Value>>) -> Result<String, Problem> {
    let Some(members) = members.filter(|members| !members.is_empty()) else { return Ok(text) };
    let mut map: Map<String, Value> =
        serde_json::from_str(&text).map_err(|error| Problem::internal(&error))?;
    map.extend(members);
    Ok(Value::Object(map).to_string())
}
