//! POST `/files/{id}/enrich`: the property of an upload gets weather, holidays and calendar.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::jobs::enrich_property::NAME;
use bulrush_catalog::jobs::{EnrichProperty, GeoPoint};
use bulrush_catalog::{Caller, OutboxJob, PayloadProblems};
use bulrush_store::{EntityKind, NewEntity};
use bytes::Bytes;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::files::{property, read};
use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::read_optional_json;
use crate::http::problem::Problem;
use crate::jobs::ask::Checked;
use crate::jobs::enqueue::{Idempotency, enqueue, traceparent};
use crate::jobs::lookup::find_queue;
use crate::jobs::options::Options;
use crate::state::State;

/// The queue of the job.
pub const QUEUE: &str = "enrichment";

/// What the body may say; the rest is known.
const KNOWN: [&str; 4] = ["propertyId", "location", "countryCode", "calendarificApiKey"];

/// An enrichment that was added, as seed 003 has it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Queued {
    success: bool,
    job_id: String,
    status: &'static str,
}

/// The job that enriches a property with what is known of it, for the owner of the property: only so is it seen by the job.
pub fn job_of(
    principal: &Principal,
    property: &NewEntity,
    traceparent: Option<String>,
) -> Result<OutboxJob, Problem> {
    principal.may_write()?;
    let Some(place) = property.location else {
        return Err(Problem::field(
            "latitude",
            "is needed with enrich, and a longitude: the property has none",
        ));
    };
    let (tenant, user) = (property.owner.tenant.clone(), property.owner.user.clone());
    let payload = EnrichProperty {
        property_id: property.id.clone(),
        user_id: user.clone(),
        location: GeoPoint { latitude: place.latitude, longitude: place.longitude },
        country_code: property.country.clone(),
        calendarific_api_key: None,
    };
    match serde_json::to_value(payload) {
        Ok(Value::Object(data)) => Ok(OutboxJob { name: NAME.to_owned(), data, tenant, user, traceparent }),
        Ok(_) => Err(Problem::field("enrich", "cannot be written as a job")),
        Err(error) => Err(Problem::internal(&error)),
    }
}

pub async fn enrich(
    principal: Principal,
    request: HttpRequest,
    path: web::Path<String>,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let body = read_optional_json(&request, payload, &state).await?;
    let asked: Map<String, Value> = if body.is_blank() {
        Map::new()
    } else {
        serde_json::from_slice(&body).map_err(|error| {
            Problem::bad_request(
                "invalid_json",
                format!("The body must be a JSON object or nothing: {error}."),
            )
        })?
    };
    let file = read::find(deps, &principal, &path).await?;
    let idempotency = Idempotency::of(&request, &format!("enrich {}", file.id), &body)?;
    let mut problems = PayloadProblems::default();
    for name in asked.keys().filter(|name| !KNOWN.contains(&name.as_str())).take(10) {
        problems.push(
            name.chars().take(64).collect::<String>(),
            format!("is not known; known are {}", KNOWN.join(", ")),
        );
    }
    problems.into_result()?;
    let named = asked.get("propertyId").filter(|value| !value.is_null());
    let property = match (named, &file.entity) {
        (Some(Value::String(name)), _) => property::find(deps, &principal, name).await?,
        (None, Some(entity)) => property::find(deps, &principal, entity).await?,
        _ => None,
    };
    let property = property.map(|found| found.entity).filter(|found| found.kind == EntityKind::Property);
    let Some(property) = property else {
        return Err(Problem::field("propertyId", "is not a property of yours"));
    };
    // What the body does not say, the property does.
    let mut data = asked;
    data.insert("propertyId".to_owned(), Value::from(property.id));
    if let Some(place) = property.location {
        let place = json!({"latitude": place.latitude, "longitude": place.longitude});
        let location = data.entry("location").or_insert(Value::Null);
        if location.is_null() {
            *location = place;
        }
    }
    if let Some(country) = property.country {
        let code = data.entry("countryCode").or_insert(Value::Null);
        if code.is_null() {
            *code = Value::from(country);
        }
    }
    let queue = find_queue(&state, QUEUE)?;
    let (name, kind) = queue.job(Some(NAME), QUEUE).map_err(|error| Problem::internal(&error))?;
    let caller = Caller { user: &principal.owner.user, may_name_others: principal.is_admin() };
    let prepared = kind.check(&data, &caller, state.sealer())?;
    let data = prepared.map_or_else(Map::new, |prepared| prepared.data);
    let checked = Checked {
        queue,
        name: name.to_owned(),
        data: Bytes::from(Value::Object(data).to_string()),
        options: Options::default(),
    };
    let job = checked.into_job(&principal, idempotency.as_ref(), traceparent(&request).as_deref())?;
    let added = enqueue(deps, queue, job).await?;
    let mut response = if added.is_new { HttpResponse::Accepted() } else { HttpResponse::Ok() };
    let location = format!("{}/jobs/{}", Flavor::of(&request).prefix(), added.id);
    Ok(response.insert_header((header::LOCATION, location)).json(Queued {
        success: true,
        job_id: added.id.to_string(),
        status: "queued",
    }))
}
