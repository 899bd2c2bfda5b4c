//! POST `/files`: a price history comes in.
//!
//! The bytes are streamed to the object store, read back and checked as a whole, and only then does anything else change: property,
//! prices and the file's row in one transaction. Whatever fails before takes the bytes with it.

use std::io;

use actix_multipart::{Field, Multipart};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_store::{
    Area, Entity, EntityKind, FileRow, FileState, Location, NewEntity, NewFile, Objects, Observation, Owner,
    Saved, StoredObject, new_id,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use crate::files::price_history::{self, NotAPriceHistory, PriceHistory};
use crate::files::read::FileView;
use crate::files::{enrich, property};
use crate::http::Flavor;
use crate::http::auth::Principal;
use crate::http::body::{Pace, check_encoding, check_length, too_slow};
use crate::http::problem::Problem;
use crate::jobs::enqueue::traceparent;
use crate::jobs::lookup::find_queue;
use crate::jobs::outbox;
use crate::state::{Deps, State};
use crate::things;

/// What a form may weigh beside its file, bytes.
const FORM_BYTES: u64 = 64 << 10;
/// Longest text field, bytes.
const FIELD_BYTES: usize = 1 << 10;
/// Most fields.
const FIELDS_MAX: usize = 16;

/// The text fields of the form.
#[derive(Debug, Default)]
struct Form {
    property_id: Option<String>,
    name: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
    country_code: Option<String>,
    time_zone: Option<String>,
    enrich: Option<String>,
}

/// The same, understood.
#[derive(Debug, Default)]
struct Said {
    property_id: Option<String>,
    name: Option<String>,
    location: Option<Location>,
    country: Option<String>,
    time_zone: Option<String>,
    enrich: bool,
}

/// The file of the form, stored.
struct Received {
    object: StoredObject,
    client_name: String,
}

pub async fn upload(
    principal: Principal,
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    check_encoding(&request)?;
    check_length(&request, state.config.upload_max.saturating_add(FORM_BYTES))?;
    let pace = Pace::default();
    let config = &state.config;
    let body = pace.hold(payload, config.body_timeout, config.upload_rate_min);
    let mut multipart = Multipart::new(request.headers(), body);
    let mut form = Form::default();
    let mut file = None;
    let received = receive(&mut multipart, &deps.objects, config.upload_max, &mut form, &mut file).await;
    let done = match (received, &file) {
        (Err(_), _) if pace.was_cut() => Err(too_slow()),
        (Err(problem), _) => Err(problem),
        (Ok(()), None) => Err(Problem::field("file", "is required: the CSV file, as multipart/form-data")),
        (Ok(()), Some(file)) => keep(&state, deps, &principal, &form, file, traceparent(&request)).await,
    };
    if done.is_err()
        && let Some(file) = &file
    {
        discard(&deps.objects, &file.object.key).await;
    }
    let Kept { row, history, enrichment } = done?;
    tracing::info!(file = row.id, bytes = row.size, days = history.days.len(), "price history uploaded");
    let location = format!("{}/files/{}", Flavor::of(&request).prefix(), row.id);
    let price_history = PriceHistoryView {
        rows: history.days.len(),
        first_day: history.days.first().map(|day| day.day.to_string()),
        last_day: history.days.last().map(|day| day.day.to_string()),
        metrics: &history.metrics,
        ignored_columns: &history.ignored,
    };
    let file = FileView::of(&row);
    let (file_id, property_id) = (row.id.as_str(), row.entity.as_deref());
    let enrichment = enrichment.map(|job_id| Enrichment { job_id, status: "queued" });
    let uploaded = Uploaded { success: true, file_id, property_id, file, price_history, enrichment };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(uploaded))
}

/// An upload that is kept.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded<'a> {
    success: bool,
    file_id: &'a str,
    property_id: Option<&'a str>,
    file: FileView<'a>,
    price_history: PriceHistoryView<'a>,
    /// The job that enriches the property, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrichment: Option<Enrichment>,
}

/// A job that was written down together with the upload.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Enrichment {
    job_id: String,
    status: &'static str,
}

/// What was read from it.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct PriceHistoryView<'a> {
    rows: usize,
    first_day: Option<String>,
    last_day: Option<String>,
    metrics: &'a [&'static str],
    /// Headers that mean nothing here.
    ignored_columns: &'a [String],
}

/// Takes the form in; its file goes to the object store as it comes.
async fn receive(
    multipart: &mut Multipart,
    objects: &Objects,
    limit: u64,
    form: &mut Form,
    file: &mut Option<Received>,
) -> Result<(), Problem> {
    let mut fields = 0;
    while let Some(field) = multipart.next().await {
        let mut field = field.map_err(|error| form_problem(&error))?;
        fields += 1;
        if fields > FIELDS_MAX {
            return Err(Problem::unprocessable(
                "invalid_form",
                format!("The form has more than {FIELDS_MAX} fields."),
            )
            .close());
        }
        let name = field.name().unwrap_or_default().to_owned();
        let into = match name.as_str() {
            "file" => {
                if file.is_some() {
                    return Err(
                        Problem::field("file", "is given more than once; send one file at a time").close()
                    );
                }
                let client_name = field
                    .content_disposition()
                    .and_then(|disposition| disposition.get_filename())
                    .unwrap_or_default()
                    .chars()
                    .take(4_096)
                    .collect();
                let bytes = field.map_err(|error| io::Error::other(error.to_string()));
                let object = objects.put(Area::Uploads, bytes, limit).await?;
                *file = Some(Received { object, client_name });
                continue;
            }
            "propertyId" => &mut form.property_id,
            "name" => &mut form.name,
            "latitude" => &mut form.latitude,
            "longitude" => &mut form.longitude,
            "countryCode" => &mut form.country_code,
            "timeZone" => &mut form.time_zone,
            "enrich" => &mut form.enrich,
            _ => {
                let known = "file, propertyId, name, latitude, longitude, countryCode, timeZone and enrich";
                let name: String = name.chars().take(64).collect();
                return Err(Problem::field(
                    &name,
                    format!("is not a field of this form; fields are {known}"),
                )
                .close());
            }
        };
        let text = text_of(&mut field, &name).await?;
        if into.replace(text).is_some() {
            return Err(Problem::field(&name, "is given more than once; give it once").close());
        }
    }
    Ok(())
}

async fn text_of(field: &mut Field, name: &str) -> Result<String, Problem> {
    let bytes = match field.bytes(FIELD_BYTES).await {
        Ok(Ok(bytes)) => bytes,
        Ok(Err(error)) => return Err(form_problem(&error)),
        Err(_) => return Err(Problem::field(name, format!("is longer than {FIELD_BYTES} bytes")).close()),
    };
    match String::from_utf8(bytes.to_vec()) {
        Ok(text) if !text.chars().any(char::is_control) => Ok(text.trim().to_owned()),
        _ => Err(Problem::field(name, "must be UTF-8 text without control characters").close()),
    }
}

fn form_problem(error: &actix_multipart::MultipartError) -> Problem {
    use actix_multipart::MultipartError as E;
    match error {
        E::ContentTypeMissing | E::ContentTypeParse | E::ContentTypeIncompatible => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "Send the file as multipart/form-data, in the field \"file\".",
        ),
        _ => Problem::bad_request("invalid_form", format!("The form cannot be read: {error}.")),
    }
    .close()
}

/// An upload that is kept.
struct Kept {
    row: FileRow,
    history: PriceHistory,
    /// The id of the job that enriches it.
    enrichment: Option<String>,
}

/// Checks what came, and keeps it: with the job that enriches it, if that is asked for.
async fn keep(
    state: &State,
    deps: &Deps,
    principal: &Principal,
    form: &Form,
    file: &Received,
    traceparent: Option<String>,
) -> Result<Kept, Problem> {
    let said = understand(form)?;
    let history = read_back(&deps.objects, &file.object.key).await?;
    let entity = property_of(deps, principal, &said, &file.client_name).await?;
    let observations = observations(&entity, &history)?;
    let new_file = NewFile {
        owner: Owner::new(&principal.owner.tenant, &principal.owner.user),
        client_name: file.client_name.clone(),
        size: file.object.size,
        sha256: file.object.sha256.clone(),
        content_type: "text/csv".to_owned(),
        object_key: file.object.key.clone(),
        entity: Some(entity.id.clone()),
    };
    let store = &deps.store;
    let job = if said.enrich { Some(enrich::job_of(principal, &entity, traceparent)?) } else { None };
    let (row, written) = store
        .write::<_, Problem, _>(async |tx| {
            if store.entities().save(tx, &entity).await? == Saved::NotYours {
                return Err(Problem::not_found("unknown_property", "There is no such property."));
            }
            store.observations().upsert(tx, &entity.id, &observations).await?;
            let row = store.files().insert(tx, &new_file).await?;
            // The work on a price history is the reading of it, which is done.
            store.files().set_state(tx, &row.id, FileState::Processing, None).await?;
            store.files().set_state(tx, &row.id, FileState::Completed, None).await?;
            let row = FileRow { state: FileState::Completed, ..row };
            let written = match &job {
                Some(job) => Some(outbox::write(deps, tx, enrich::QUEUE, job).await?),
                None => None,
            };
            Ok((row, written))
        })
        .await?;
    let enrichment = match job.zip(written) {
        Some((job, written)) => {
            Some(outbox::hand_over(deps, find_queue(state, enrich::QUEUE)?, job, &written).await)
        }
        None => None,
    };
    Ok(Kept { row, history, enrichment })
}

async fn discard(objects: &Objects, key: &str) {
    if let Err(error) = objects.delete(key).await {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "the bytes of a refused upload are left behind"
        );
    }
}

fn understand(form: &Form) -> Result<Said, Problem> {
    let mut problems = PayloadProblems::default();
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let mut bounded = |field: &str, text: Option<String>| {
        if text.as_ref().is_some_and(|text| text.len() > 256) {
            problems.push(field, "is longer than 256 bytes");
        }
        text
    };
    let property_id = bounded("propertyId", given(&form.property_id));
    let name = bounded("name", given(&form.name));
    let location = match (given(&form.latitude), given(&form.longitude)) {
        (None, None) => None,
        (Some(latitude), Some(longitude)) => {
            let place = latitude.parse().ok().zip(longitude.parse().ok());
            let place = place.and_then(|(latitude, longitude)| Location::new(latitude, longitude).ok());
            if place.is_none() {
                problems.push("latitude", "must be from -90 to 90, with a longitude from -180 to 180");
            }
            place
        }
        _ => {
            problems.push("latitude", "needs a longitude, and a longitude a latitude");
            None
        }
    };
    let country = given(&form.country_code).map(|code| code.to_uppercase());
    if country.as_ref().is_some_and(|code| code.len() != 2 || !code.bytes().all(|b| b.is_ascii_uppercase())) {
        problems.push("countryCode", "must be two letters of ISO 3166-1, such as DE");
    }
    let time_zone = given(&form.time_zone);
    if let Some(name) = &time_zone
        && TimeZone::get(name).is_err()
    {
        problems.push("timeZone", "must be an IANA time zone, such as Europe/Berlin");
    }
    let enrich = match given(&form.enrich).as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            problems.push("enrich", "must be true or false");
            false
        }
    };
    problems.into_result()?;
    Ok(Said { property_id, name, location, country, time_zone, enrich })
}

/// The property that the history is of: the one that is named, or a new one.
async fn property_of(
    deps: &Deps,
    principal: &Principal,
    said: &Said,
    client_name: &str,
) -> Result<NewEntity, Problem> {
    let found = match &said.property_id {
        Some(asked) => property::find(deps, principal, asked).await?,
        None => None,
    };
    if let Some(Entity { mut entity, .. }) = found {
        if entity.kind != EntityKind::Property {
            return Err(Problem::field("propertyId", "is not a property"));
        }
        if said.time_zone.is_some() && said.time_zone != entity.time_zone {
            // Its days begin where they begin: a day that moves would stand twice.
            return Err(Problem::field("timeZone", "differs from the property's, which cannot be changed"));
        }
        if let Some(name) = &said.name {
            entity.name.clone_from(name);
        }
        entity.location = said.location.or(entity.location);
        entity.country = said.country.clone().or(entity.country);
        return Ok(entity);
    }
    let shown = bulrush_store::display_name(client_name);
    let stem = shown.rsplit_once('.').map_or(shown.as_str(), |(stem, _)| stem);
    Ok(NewEntity {
        id: match &said.property_id {
            Some(name) => things::id_of_name(principal, EntityKind::Property, name),
            None => new_id()?,
        },
        owner: Owner::new(&principal.owner.tenant, &principal.owner.user),
        kind: EntityKind::Property,
        name: said.name.clone().or_else(|| said.property_id.clone()).unwrap_or_else(|| stem.to_owned()),
        location: said.location,
        country: said.country.clone(),
        time_zone: said.time_zone.clone(),
        attributes: serde_json::Map::<String, Value>::new(),
    })
}

/// Each value at the beginning of its day at the property.
fn observations(entity: &NewEntity, history: &PriceHistory) -> Result<Vec<Observation>, Problem> {
    let zone = match &entity.time_zone {
        Some(name) => TimeZone::get(name).map_err(|error| Problem::internal(&error))?,
        None => TimeZone::UTC,
    };
    let mut rows = Vec::with_capacity(history.days.len() * history.metrics.len());
    for day in &history.days {
        let begin = day.day.to_zoned(zone.clone()).map_err(|error| Problem::internal(&error))?;
        let ts_ms = begin.timestamp().as_millisecond();
        let values = [("price", Some(day.price)), ("occupancy", day.occupancy), ("bookings", day.bookings)];
        rows.extend(values.into_iter().filter_map(|(metric, value)| {
            value.map(|value| Observation { metric: metric.to_owned(), ts_ms, value })
        }));
    }
    Ok(rows)
}

/// Reads a stored history, off the threads that answer requests.
async fn read_back(objects: &Objects, key: &str) -> Result<PriceHistory, Problem> {
    let (_, mut bytes) = objects.get(key).await?;
    let (send, receive) = mpsc::channel::<io::Result<bytes::Bytes>>(4);
    let parsing = tokio::task::spawn_blocking(move || price_history::parse(Incoming::new(receive)));
    while let Some(chunk) = bytes.next().await {
        if send.send(chunk).await.is_err() {
            // The parser has seen enough.
            break;
        }
    }
    drop(send);
    let parsed = parsing.await.map_err(|error| Problem::internal(&error))?;
    parsed.map_err(|error| match error {
        NotAPriceHistory::OtherContent(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_csv",
            format!("{}.", capital(&error.to_string())),
        ),
        NotAPriceHistory::Malformed(rows) => {
            let first = rows.first().map(|problem| {
                let row = problem.row.map(|row| format!("row {row}: ")).unwrap_or_default();
                let column = problem.column.as_ref().map(|column| format!("column {column:?}: ")).unwrap_or_default();
                format!("{row}{column}{}", problem.reason)
            });
            let errors: Vec<Value> = rows
                .iter()
                .map(|problem| json!({"field": "file", "row": problem.row, "column": problem.column, "message": problem.reason}))
                .collect();
            Problem::unprocessable(
                "malformed_csv",
                format!("The file is not a price history: {}. Nothing was stored.", first.unwrap_or_default()),
            )
            .with("errors", Value::from(errors))
        }
        NotAPriceHistory::Unreadable => Problem::unavailable(&error),
    })
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars).collect()).unwrap_or_default()
}

/// Bytes from a channel, for code that reads.
struct Incoming {
    chunks: mpsc::Receiver<io::Result<bytes::Bytes>>,
    left: bytes::Bytes,
}

impl Incoming {
    fn new(chunks: mpsc::Receiver<io::Result<bytes::Bytes>>) -> Self {
        Self { chunks, left: bytes::Bytes::new() }
    }
}

impl io::Read for Incoming {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.left.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.left = chunk?,
            }
        }
        let read = self.left.len().min(buffer.len());
        buffer[..read].copy_from_slice(&self.left.split_to(read));
        Ok(read)
    }
}
