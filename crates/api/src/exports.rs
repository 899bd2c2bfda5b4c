//! POST `/exports`, GET `/exports/{id}` and its download: a user's data as a file, made by a job.
//!
//! An export, its job and its file have one id. The row of the file says how far it is once a job works on it; before that, and where
//! the job ended without a word to the row, the job says it.

use actix_web::http::{Method, StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush::model::{JobState, JobView};
use bulrush_catalog::jobs::{Export, ExportFormat, export};
use bulrush_catalog::{PayloadProblems, Queue};
use bulrush_store::{FileRow, FileState, NewOutput, StoreError};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::files::read;
use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::http::route::{Route, Who};
use crate::jobs::ask::{Ask, parse};
use crate::jobs::enqueue::{Idempotency, enqueue, traceparent};
use crate::jobs::lookup::{find_in, find_queue};
use crate::state::{Deps, State};

const QUEUE: &str = "export";

pub fn routes() -> Vec<Route> {
    let download =
        Route::new(Method::GET, "/exports/{id}/download", Who::Reader, ("exports", "downloadExport"), || {
            web::get().to(download)
        })
        .says("The file of an export.")
        .fails(404, "unknown_export")
        .fails(409, "not_ready");
    vec![
        Route::new(Method::POST, "/exports", Who::Writer, ("exports", "addExport"), || {
            web::post().to(create)
        })
        .says("Adds the job that writes the caller's data to a file.")
        .takes::<ExportBody>()
        .creates()
        .answers::<ExportAdded>(202, "The job was added.")
        .answers::<ExportAdded>(200, "The job was there already.")
        .fails(413, "data_too_large")
        .fails(429, "queue_full"),
        Route::new(Method::GET, "/exports/{id}", Who::Reader, ("exports", "getExport"), || {
            web::get().to(get)
        })
        .says("How far an export is.")
        .answers::<ExportAnswer>(200, "The export.")
        .fails(404, "unknown_export"),
        read::files(download),
    ]
}

/// What is to be exported.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct ExportBody {
    /// Which rows; observations where nothing is said.
    #[schemars(extend("enum" = ["observations", "features", "properties", "products", "publishers", "parks", "attractions", "seller-accounts", "warehouses", "competitors"]))]
    entity: Option<String>,
    #[schemars(extend("enum" = ["csv", "json", "ndjson", "xlsx"]))]
    format: String,
    /// The one property that is wanted.
    #[schemars(length(min = 1, max = 256))]
    property_id: Option<String>,
    #[schemars(length(min = 1, max = 256))]
    publisher_id: Option<String>,
    #[schemars(length(min = 1, max = 256))]
    product_id: Option<String>,
    /// The first day that is wanted.
    #[schemars(extend("format" = "date"))]
    start_date: Option<String>,
    /// The last one.
    #[schemars(extend("format" = "date"))]
    end_date: Option<String>,
    /// `metric` of observations; attributes, name or country of things.
    filters: Option<Map<String, Value>>,
    /// The client's own name for it.
    #[schemars(length(min = 1, max = 256))]
    job_id: Option<String>,
    /// The caller, unless an administrator names somebody else.
    #[schemars(length(min = 1, max = 256))]
    user_id: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ExportAdded {
    success: bool,
    export_id: String,
    job_id: String,
    status: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct ExportAnswer {
    success: bool,
    export: ExportView,
}

/// An export as its owner sees it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ExportView {
    id: String,
    job_id: String,
    /// pending, processing, completed or failed.
    status: &'static str,
    /// What the file is called.
    name: Option<String>,
    content_type: Option<String>,
    /// Bytes; of a completed one.
    size: Option<u64>,
    /// Of a completed one.
    sha256: Option<String>,
    /// Where it can be downloaded; of a completed one.
    download: Option<String>,
    /// Why there is no file; of a failed one.
    problem: Option<String>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

fn unknown() -> Problem {
    Problem::not_found("unknown_export", "There is no such export.")
}

async fn create(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_json(&request, payload, &state, state.config.json_max).await?;
    let raw: &RawValue = parse(&body, "{\"entity\": \"observations\", \"format\": \"csv\"}")?;
    let idempotency = Idempotency::of(&request, "export", &body)?;
    let queue = find_queue(&state, QUEUE)?;
    let ask = Ask { name: Some(export::NAME.into()), job_name: None, data: Some(raw), options: None };
    let mut problems = PayloadProblems::default();
    let checked = ask.check((&state, deps), &principal, queue, QUEUE, &mut problems).await?;
    // The body is the data: a field is named as the client wrote it.
    for problem in &mut problems.0 {
        if let Some(field) = problem.field.strip_prefix("data.") {
            problem.field = field.to_owned();
        }
    }
    problems.into_result()?;
    let checked = checked.ok_or_else(|| Problem::field("format", "is required"))?;
    let asked: Export = serde_json::from_slice(&checked.data).map_err(|error| Problem::internal(&error))?;
    let job = checked.into_job(&principal, idempotency.as_ref(), traceparent(&request).as_deref())?;
    let added = enqueue(deps, queue, job).await?;
    let (id, flavor) = (added.id.to_string(), Flavor::of(&request));
    if added.is_new {
        expect(deps, &principal, &id, &asked).await;
    }
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    response.insert_header((header::LOCATION, format!("{}/exports/{id}", flavor.prefix())));
    Ok(response.json(ExportAdded {
        success: true,
        export_id: id.clone(),
        job_id: id,
        status: status_of(added.state).as_str(),
    }))
}

/// Notes the file that is going to be. The job is added and will do so itself, so trouble here is no trouble of the caller's.
async fn expect(deps: &Deps, principal: &Principal, id: &str, asked: &Export) {
    let today = Timestamp::now().strftime("%Y-%m-%d");
    let output = NewOutput {
        id: id.to_owned(),
        owner: principal.row_owner(),
        name: format!("{}-{today}.{}", asked.entity.as_str(), asked.format.as_str()),
        content_type: asked.format.content_type().to_owned(),
        entity: asked.about().map(ToOwned::to_owned),
    };
    let noted: Result<bool, StoreError> =
        deps.store.write(async |tx| deps.store.files().expect(tx, &output).await).await;
    if let Err(error) = noted {
        tracing::warn!(job = id, %error, "the row of an export could not be made; its job makes it");
    }
}

/// How far a file is whose job is in a state.
fn status_of(state: Option<JobState>) -> FileState {
    match state {
        Some(JobState::Active) => FileState::Processing,
        Some(JobState::Completed) => FileState::Completed,
        Some(JobState::Failed | JobState::Cancelled) => FileState::Failed,
        _ => FileState::Pending,
    }
}

/// What is known of an export, by its row and its job.
struct Found {
    row: Option<FileRow>,
    job: Option<JobView>,
}

impl Found {
    fn state(&self) -> FileState {
        match (&self.row, &self.job) {
            (Some(row), _) if matches!(row.state, FileState::Completed | FileState::Failed) => row.state,
            // Completed, and no file any more: it was removed since.
            (None, Some(job)) if job.state() == JobState::Completed => FileState::Failed,
            (_, Some(job)) => status_of(Some(job.state())),
            // A job that was removed makes nothing more.
            (_, None) => FileState::Failed,
        }
    }

    fn problem(&self) -> Option<String> {
        let of_row = self.row.as_ref().and_then(|row| row.problem.clone());
        of_row.or_else(|| match &self.job {
            Some(job) => job.failed_reason().map(ToOwned::to_owned),
            None => Some("its job was removed before it was done".to_owned()),
        })
    }
}

async fn find(state: &State, deps: &Deps, principal: &Principal, id: &str) -> Result<Found, Problem> {
    let queue: &Queue = find_queue(state, QUEUE)?;
    let job = find_in(deps, principal, queue, id).await?;
    // Also by the name that the caller gave the job.
    let id = job.as_ref().map_or(id, |job| job.id().as_str());
    let is_ours = id.split_once('-').is_some_and(|(prefix, _)| prefix == queue.entry().prefix);
    let row =
        if is_ours && id.len() <= 64 { deps.store.files().get(&principal.rows(), id).await? } else { None };
    if row.is_none() && job.is_none() { Err(unknown()) } else { Ok(Found { row, job }) }
}

async fn get(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let found = find(&state, state.deps()?, &principal, &path).await?;
    let status = found.state();
    let problem = if status == FileState::Failed { found.problem() } else { None };
    let id = match (&found.row, &found.job) {
        (Some(row), _) => row.id.clone(),
        (None, Some(job)) => job.id().to_string(),
        (None, None) => return Err(unknown()),
    };
    let row = found.row.as_ref();
    let done = row.filter(|_| status == FileState::Completed);
    let moment = |ms: i64| Timestamp::from_millisecond(ms).ok().map(|at| at.to_string());
    let since = |job: &JobView| i64::try_from(job.status.created_at).ok().and_then(moment);
    let prefix = Flavor::of(&request).prefix();
    let view = ExportView {
        job_id: id.clone(),
        status: status.as_str(),
        name: row.map(|row| row.display_name.clone()),
        content_type: row.map(|row| row.content_type.clone()),
        size: done.map(|row| row.size),
        sha256: done.map(|row| row.sha256.clone()),
        download: done.map(|_| format!("{prefix}/exports/{id}/download")),
        problem,
        created_at: row.map_or_else(|| found.job.as_ref().and_then(since), |row| moment(row.created_at_ms)),
        updated_at: row.and_then(|row| moment(row.updated_at_ms)),
        id,
    };
    Ok(HttpResponse::Ok().json(ExportAnswer { success: true, export: view }))
}

async fn download(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let found = find(&state, deps, &principal, &path).await?;
    let status = found.state();
    match found.row {
        Some(row) if status == FileState::Completed => read::send(deps, row).await,
        _ => Err(Problem::new(
            StatusCode::CONFLICT,
            "not_ready",
            format!("The export is {}; it can be downloaded once it is completed.", status.as_str()),
        )
        .with("state", status.as_str().into())),
    }
}

/// The media types of exports, for the document.
pub fn content_types() -> impl Iterator<Item = &'static str> {
    ExportFormat::ALL.iter().map(|(format, _)| format.content_type())
}
