//! GET `/files/{id}`.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, web};
use bulrush_store::{EntityKind, FileRow};
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use crate::exports;
use crate::http::auth::Principal;
use crate::http::problem::Problem;
use crate::http::route::Route;
use crate::state::{Deps, State};

pub async fn get(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let row = find(deps, &principal, &path).await?;
    let about = match &row.entity {
        Some(id) => deps.store.entities().get(&principal.rows(), id).await?,
        None => None,
    };
    let kind = about.map(|about| about.entity.kind);
    Ok(HttpResponse::Ok().json(FileAnswer { success: true, file: FileView::of(&row, kind) }))
}

/// The bytes as they came. They are somebody's, so a browser must neither guess what they are nor keep or show them.
pub async fn download(
    principal: Principal,
    path: web::Path<String>,
    state: web::Data<State>,
) -> Result<HttpResponse, Problem> {
    let deps = state.deps()?;
    let row = find(deps, &principal, &path).await?;
    if !row.has_bytes() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "not_ready",
            format!("The file is {}; it can be downloaded once it is completed.", row.state.as_str()),
        ));
    }
    send(deps, row).await
}

/// The bytes of a file that the caller may see.
pub async fn send(deps: &Deps, row: FileRow) -> Result<HttpResponse, Problem> {
    let (size, bytes) = deps.objects.get(&row.object_key).await?;
    Ok(HttpResponse::Ok()
        .content_type(row.content_type)
        .insert_header((header::CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", row.name)))
        .insert_header((header::ETAG, format!("\"{}\"", row.sha256)))
        .insert_header((header::ACCEPT_RANGES, "none"))
        .insert_header((header::CACHE_CONTROL, "private, no-store"))
        .no_chunking(size)
        .streaming(bytes))
}

/// A route that answers with a file: of any type that uploads and exports have.
pub fn files(route: Route) -> Route {
    exports::content_types()
        .fold(route, |route, content| route.answers_as::<String>(200, content, "The file."))
}

/// A file that the caller may see.
pub async fn find(deps: &Deps, principal: &Principal, id: &str) -> Result<FileRow, Problem> {
    let found = if id.len() > 64 { None } else { deps.store.files().get(&principal.rows(), id).await? };
    found.ok_or_else(|| Problem::not_found("unknown_file", "There is no such file."))
}

/// A file.
#[derive(Serialize, JsonSchema)]
pub struct FileAnswer<'a> {
    success: bool,
    file: FileView<'a>,
}

/// A file as its owner sees it; where its bytes are is nobody's business.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileView<'a> {
    id: &'a str,
    name: &'a str,
    /// Bytes.
    size: u64,
    sha256: &'a str,
    content_type: &'a str,
    status: &'static str,
    property_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    publisher_id: Option<&'a str>,
    /// Why it could not be used.
    problem: Option<&'a str>,
    created_at: Option<String>,
    updated_at: Option<String>,
}

impl<'a> FileView<'a> {
    /// Of a file that is about a thing of this kind, if it is about any.
    pub fn of(row: &'a FileRow, kind: Option<EntityKind>) -> Self {
        let about = |wanted| row.entity.as_deref().filter(|_| kind == Some(wanted));
        Self {
            id: &row.id,
            name: &row.display_name,
            size: row.size,
            sha256: &row.sha256,
            content_type: &row.content_type,
            status: row.state.as_str(),
            property_id: about(EntityKind::Property),
            product_id: about(EntityKind::Product),
            publisher_id: about(EntityKind::Publisher),
            problem: row.problem.as_deref(),
            created_at: moment(row.created_at_ms),
            updated_at: moment(row.updated_at_ms),
        }
    }
}

fn moment(ms: i64) -> Option<String> {
    Timestamp::from_millisecond(ms).ok().map(|at| at.to_string())
}
