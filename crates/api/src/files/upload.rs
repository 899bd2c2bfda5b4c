//! POST `/files`: a series comes in: a property's prices, a product's demand, a publisher's traffic.
//!
//! The bytes are streamed to the object store, read back and checked as a whole, and only then does anything else change: the thing,
//! its values and the file's row in one transaction. Whatever fails before takes the bytes with it.

use std::io;

use actix_multipart::{Field, Multipart};
use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use bulrush_catalog::PayloadProblems;
use bulrush_store::{
    Area, Entity, FileRow, FileState, Location, NewEntity, NewFile, Objects, Owner, Saved, StoredObject,
    new_id,
};
use futures_util::{StreamExt as _, TryStreamExt as _};
use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};
use tokio::sync::mpsc;

use crate::files::enrich;
use crate::files::read::FileView;
use crate::files::series::{self, Series, Subject};
use crate::files::table::NotATable;
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
/// Largest number of an attribute.
const ATTRIBUTE_MAX: f64 = 1e12;

/// The text fields of the form.
#[derive(Debug, Default)]
struct Form {
    kind: Option<String>,
    entity_id: Option<String>,
    property_id: Option<String>,
    product_id: Option<String>,
    publisher_id: Option<String>,
    name: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
    country_code: Option<String>,
    time_zone: Option<String>,
    enrich: Option<String>,
    unit_cost: Option<String>,
    lead_time_days: Option<String>,
    lead_time_sd_days: Option<String>,
    on_hand: Option<String>,
}

/// The same, understood.
#[derive(Debug)]
struct Said {
    subject: Subject,
    /// The thing, with the field that names it.
    id: Option<(&'static str, String)>,
    name: Option<String>,
    location: Option<Location>,
    country: Option<String>,
    time_zone: Option<String>,
    enrich: bool,
    attributes: Map<String, Value>,
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
    let Kept { row, subject, series, enrichment } = done?;
    tracing::info!(file = row.id, bytes = row.size, rows = series.rows, kind = %subject.kind(), "a series was uploaded");
    let location = format!("{}/files/{}", Flavor::of(&request).prefix(), row.id);
    let view = SeriesView {
        rows: series.rows,
        first_day: series.first_day.map(|day| day.to_string()),
        last_day: series.last_day.map(|day| day.to_string()),
        metrics: &series.metrics,
        ignored_columns: &series.ignored,
    };
    let about = row.entity.as_deref();
    let is = |wanted: Subject| subject == wanted;
    let (price_history, series) = if is(Subject::Property) { (Some(view), None) } else { (None, Some(view)) };
    let uploaded = Uploaded {
        success: true,
        file_id: row.id.as_str(),
        property_id: about.filter(|_| is(Subject::Property)),
        product_id: about.filter(|_| is(Subject::Product)),
        publisher_id: about.filter(|_| is(Subject::Publisher)),
        file: FileView::of(&row, Some(subject.kind())),
        price_history,
        series,
        enrichment: enrichment.map(|job_id| Enrichment { job_id, status: "queued" }),
    };
    Ok(HttpResponse::Created().insert_header((header::LOCATION, location)).json(uploaded))
}

/// An upload that is kept, with the thing that it is about.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Uploaded<'a> {
    success: bool,
    file_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    property_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_id: Option<&'a str>,
    file: FileView<'a>,
    /// Of a property.
    #[serde(skip_serializing_if = "Option::is_none")]
    price_history: Option<SeriesView<'a>>,
    /// Of a product or a publisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    series: Option<SeriesView<'a>>,
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
struct SeriesView<'a> {
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
            "kind" => &mut form.kind,
            "entityId" => &mut form.entity_id,
            "propertyId" => &mut form.property_id,
            "productId" => &mut form.product_id,
            "publisherId" => &mut form.publisher_id,
            "name" => &mut form.name,
            "latitude" => &mut form.latitude,
            "longitude" => &mut form.longitude,
            "countryCode" => &mut form.country_code,
            "timeZone" => &mut form.time_zone,
            "enrich" => &mut form.enrich,
            "unitCost" => &mut form.unit_cost,
            "leadTimeDays" => &mut form.lead_time_days,
            "leadTimeSdDays" => &mut form.lead_time_sd_days,
            "onHand" => &mut form.on_hand,
            _ => {
                let known = "file, kind, entityId, propertyId, productId, publisherId, name, latitude, longitude, countryCode, \
                             timeZone, enrich, unitCost, leadTimeDays, leadTimeSdDays and onHand";
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
    subject: Subject,
    series: Series,
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
    let subject = said.subject;
    let entity = thing_of(deps, principal, &said, &file.client_name).await?;
    let zone = entity.time_zone.as_deref().map_or(Ok(TimeZone::UTC), TimeZone::get);
    let zone = zone.map_err(|error| Problem::internal(&error))?;
    let series = read_back(&deps.objects, &file.object.key, subject, zone).await?;
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
                let (code, text) = unknown(subject);
                return Err(Problem::not_found(code, text));
            }
            store.observations().upsert(tx, &entity.id, &series.observations).await?;
            let row = store.files().insert(tx, &new_file).await?;
            // The work on a series is the reading of it, which is done.
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
    Ok(Kept { row, subject, series, enrichment })
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
    let name = bounded("name", given(&form.name));
    let ids = [
        ("entityId", &form.entity_id),
        ("propertyId", &form.property_id),
        ("productId", &form.product_id),
        ("publisherId", &form.publisher_id),
    ];
    let mut ids = ids.into_iter().filter_map(|(field, text)| Some((field, bounded(field, given(text))?)));
    let (id, another) = (ids.next(), ids.next());
    let kind = given(&form.kind);
    let known = kind.as_ref().map(|kind| Subject::ALL.into_iter().find(|(_, known)| known == kind));
    if matches!(known, Some(None)) {
        problems.push("kind", "must be property, product or publisher");
    }
    let subject = known.flatten().map_or_else(Subject::default, |(subject, _)| subject);
    if let Some((field, _)) = another {
        problems.push(field, "is one too many: an upload is about one thing");
    } else if let Some((field, _)) = &id
        && let Some((other, kind)) = Subject::ALL.into_iter().find(|(known, _)| known.id_field() == *field)
        && other != subject
        && problems.0.is_empty()
    {
        problems.push(*field, format!("goes with kind={kind}"));
    }
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
    if enrich && subject != Subject::Property {
        problems.push("enrich", "goes with kind=property alone");
    }
    let mut attributes = Map::new();
    for (field, text) in [
        ("unitCost", &form.unit_cost),
        ("leadTimeDays", &form.lead_time_days),
        ("leadTimeSdDays", &form.lead_time_sd_days),
        ("onHand", &form.on_hand),
    ] {
        let Some(text) = given(text) else { continue };
        if subject != Subject::Product {
            problems.push(field, "goes with kind=product alone");
            continue;
        }
        match text.parse::<f64>() {
            Ok(number) if (0.0..=ATTRIBUTE_MAX).contains(&number) => {
                attributes.insert(field.to_owned(), Value::from(number));
            }
            _ => problems.push(field, format!("must be a number from 0 to {ATTRIBUTE_MAX}")),
        }
    }
    problems.into_result()?;
    Ok(Said { subject, id, name, location, country, time_zone, enrich, attributes })
}

/// What is said of a thing that is somebody else's.
fn unknown(subject: Subject) -> (&'static str, &'static str) {
    match subject {
        Subject::Property => ("unknown_property", "There is no such property."),
        Subject::Product => ("unknown_product", "There is no such product."),
        Subject::Publisher => ("unknown_publisher", "There is no such publisher."),
    }
}

/// The thing that the series is of: the one that is named, or a new one.
async fn thing_of(
    deps: &Deps,
    principal: &Principal,
    said: &Said,
    client_name: &str,
) -> Result<NewEntity, Problem> {
    let kind = said.subject.kind();
    let found = match &said.id {
        Some((_, asked)) => things::find(deps, principal, kind, asked).await?,
        None => None,
    };
    if let Some(Entity { mut entity, .. }) = found {
        if entity.kind != kind {
            let field = said.id.as_ref().map_or(said.subject.id_field(), |(field, _)| *field);
            return Err(Problem::field(field, format!("is not a {kind}")));
        }
        if said.time_zone.is_some() && said.time_zone != entity.time_zone {
            // Its days begin where they begin: a day that moves would stand twice.
            let text = format!("differs from the {kind}'s, which cannot be changed");
            return Err(Problem::field("timeZone", text));
        }
        if let Some(name) = &said.name {
            entity.name.clone_from(name);
        }
        entity.location = said.location.or(entity.location);
        entity.country = said.country.clone().or(entity.country);
        entity.attributes.extend(said.attributes.clone());
        return Ok(entity);
    }
    let shown = bulrush_store::display_name(client_name);
    let stem = shown.rsplit_once('.').map_or(shown.as_str(), |(stem, _)| stem);
    Ok(NewEntity {
        id: match &said.id {
            Some((_, name)) => things::id_of_name(principal, kind, name),
            None => new_id()?,
        },
        owner: Owner::new(&principal.owner.tenant, &principal.owner.user),
        kind,
        name: said
            .name
            .clone()
            .or_else(|| said.id.as_ref().map(|(_, name)| name.clone()))
            .unwrap_or_else(|| stem.to_owned()),
        location: said.location,
        country: said.country.clone(),
        time_zone: said.time_zone.clone(),
        attributes: said.attributes.clone(),
    })
}

/// Reads a stored series, off the threads that answer requests.
async fn read_back(
    objects: &Objects,
    key: &str,
    subject: Subject,
    zone: TimeZone,
) -> Result<Series, Problem> {
    let (_, mut bytes) = objects.get(key).await?;
    let (send, receive) = mpsc::channel::<io::Result<bytes::Bytes>>(4);
    let parsing = tokio::task::spawn_blocking(move || series::parse(subject, Incoming::new(receive), &zone));
    while let Some(chunk) = bytes.next().await {
        if send.send(chunk).await.is_err() {
            // The parser has seen enough.
            break;
        }
    }
    drop(send);
    let parsed = parsing.await.map_err(|error| Problem::internal(&error))?;
    parsed.map_err(|error| match error {
        NotATable::OtherContent(_) => Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "not_csv",
            format!("{}.", capital(&error.to_string())),
        ),
        NotATable::Malformed(rows) => {
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
                format!("The file is not {}: {}. Nothing was stored.", subject.table(), first.unwrap_or_default()),
            )
            .with("errors", Value::from(errors))
        }
        NotATable::Unreadable => Problem::unavailable(&error),
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
