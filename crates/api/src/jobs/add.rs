//! POST `/queues/{queue}/jobs`.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::{Caller, PayloadProblems, Queue};
use bulrush_store::EntityKind;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::files::property;
use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_json;
use crate::http::problem::Problem;
use crate::jobs::enqueue::{Draft, Enqueued, Idempotency, enqueue, traceparent};
use crate::jobs::lookup::find_queue;
use crate::jobs::options::Options;
use crate::jobs::view::state_word;
use crate::state::{Deps, State};

/// Most bytes of a job's data.
const DATA_MAX: usize = 1 << 20;

/// The body. Of a member that stands twice inside `data` the last one counts; twice at the top is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct AddRequest<'a> {
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    job_name: Option<Value>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    #[serde(default)]
    options: Option<Value>,
}

pub async fn add(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    principal.may_write()?;
    let called = path.into_inner();
    let queue = find_queue(&state, &called)?;
    if queue.is_internal() && !principal.is_admin() {
        return Err(Problem::forbidden(
            "Only administrators and the platform itself add jobs to this queue.",
        ));
    }
    let body = read_json(&request, payload, &state.config).await?;
    let asked = parse(&body)?;
    let idempotency = Idempotency::of(&request, queue.name().as_str(), &body)?;
    let mut problems = PayloadProblems::default();
    let name = job_name(&asked, &mut problems);
    let kind = match queue.job(name.as_deref(), &called) {
        Ok(found) => Some(found),
        Err(error) => {
            problems.push("name", error.to_string());
            None
        }
    };
    let options = match &asked.options {
        None => Options::default(),
        Some(Value::Object(map)) => Options::parse(map, &mut problems),
        Some(_) => {
            problems.push("options", "must be an object");
            Options::default()
        }
    };
    let data = match kind {
        Some((_, kind)) => check_data(&state, deps, &principal, kind, asked.data, &mut problems).await?,
        None => Bytes::new(),
    };
    let job_id = options.job_id.clone();
    let ((name, _), ()) = match (kind, problems.into_result()) {
        (Some(kind), Ok(())) => (kind, ()),
        (_, Err(problems)) => return Err(problems.into()),
        (None, Ok(())) => return Err(Problem::field("name", "is not a job of this queue")),
    };
    let draft = Draft { queue, name, data, options, idempotency, traceparent: traceparent(&request) };
    let added = enqueue(deps, &principal, draft).await?;
    Ok(answer(Flavor::of(&request), queue, &called, name, job_id.as_deref(), &added))
}

/// The response to an add: 202 for a new job, 200 for one that was there.
fn answer(
    flavor: Flavor,
    queue: &Queue,
    called: &str,
    name: &str,
    client_id: Option<&str>,
    added: &Enqueued,
) -> HttpResponse {
    let mut data = json!({
        "jobId": added.id,
        "queueName": called,
        "jobName": name,
        "status": added.state.map_or("removed", |state| state_word(state, flavor)),
    });
    if let Some(client_id) = client_id {
        data["clientId"] = Value::from(client_id);
    }
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    let location = format!("{}/queues/{}/jobs/{}", flavor.prefix(), queue.name(), added.id);
    response.insert_header((header::LOCATION, location)).json(json!({"success": true, "data": data}))
}

/// Reads the body: not JSON is 400, JSON of another shape 422.
fn parse(body: &Bytes) -> Result<AddRequest<'_>, Problem> {
    let not_an_object = || {
        Problem::bad_request(
            "invalid_json",
            "The body must be a JSON object: {\"name\": \"…\", \"data\": {…}, \"options\": {…}}.",
        )
    };
    // Checked first, as an array would be read as the members in their order.
    if body.iter().find(|b| !b.is_ascii_whitespace()) != Some(&b'{') {
        return Err(not_an_object());
    }
    serde_json::from_slice(body).map_err(|error| {
        let text = error.to_string();
        if error.is_data() && !text.starts_with("duplicate field") {
            Problem::unprocessable("invalid_fields", format!("The body cannot be used: {text}."))
        } else {
            Problem::bad_request("invalid_json", format!("The body is not the JSON it should be: {text}."))
        }
    })
}

/// The job's name: seed 002 says `jobName`, seed 004 `name`.
fn job_name(asked: &AddRequest<'_>, problems: &mut PayloadProblems) -> Option<String> {
    let name = match (&asked.name, &asked.job_name) {
        (Some(name), Some(job_name)) if name != job_name => {
            problems.push("jobName", "differs from name; keep one of them");
            return None;
        }
        (Some(name), _) | (None, Some(name)) => name,
        (None, None) => return None,
    };
    if let Some(name) = name.as_str() {
        return Some(name.to_owned());
    }
    problems.push("name", "must be a text");
    None
}

/// Checks the data and makes of it what is stored: as it came, or what the payload's type makes of it with its entities found.
async fn check_data(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    kind: &bulrush_catalog::JobKind,
    data: Option<&RawValue>,
    problems: &mut PayloadProblems,
) -> Result<Bytes, Problem> {
    let raw = data.map_or("{}", RawValue::get);
    if raw.len() > DATA_MAX {
        return Err(Problem::new(
            actix_web::http::StatusCode::PAYLOAD_TOO_LARGE,
            "data_too_large",
            format!("The data has {} bytes; a job may carry {DATA_MAX}.", raw.len()),
        ));
    }
    // Parsed even where it is kept as it came: a worker must be able to, and nesting is bounded by the parser.
    let map: Map<String, Value> = match serde_json::from_str(raw) {
        Ok(Value::Object(map)) => map,
        Ok(_) => {
            problems.push("data", "must be an object");
            return Ok(Bytes::new());
        }
        Err(error) => {
            return Err(Problem::bad_request("invalid_json", format!("The data cannot be read: {error}.")));
        }
    };
    let caller = Caller { user: &principal.owner.user, may_name_others: principal.is_admin() };
    let mut prepared = match kind.check(&map, &caller, state.sealer()) {
        Ok(Some(prepared)) => prepared,
        Ok(None) => return Ok(Bytes::copy_from_slice(raw.as_bytes())),
        Err(found) => {
            problems.0.extend(found.0);
            return Ok(Bytes::new());
        }
    };
    for entity in &prepared.entities {
        let named = prepared.data.get(entity.field).and_then(Value::as_str).unwrap_or_default();
        let wanted: Option<EntityKind> = entity.kind.parse().ok();
        match property::find(deps, principal, named).await? {
            Some(found) if Some(found.entity.kind) == wanted => {
                prepared.data.insert(entity.field.to_owned(), Value::from(found.entity.id));
            }
            _ => {
                problems.push(format!("data.{}", entity.field), format!("is not a {} of yours", entity.kind));
            }
        }
    }
    Ok(Bytes::from(Value::Object(prepared.data).to_string()))
}
