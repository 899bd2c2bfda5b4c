//! GET `/openapi.json`: the API's document (OpenAPI 3.1), made from the routes that are served; and GET `/docs`, the same for people.

use std::sync::OnceLock;

use actix_web::http::{Method, header};
use actix_web::{HttpResponse, web};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::http::Flavor;
use crate::http::route::{Route, Who};
use crate::{reference, routes};

/// Problems that a route may have because of who may call it.
const OF_CALLERS: [(u16, &str); 7] = [
    (401, "missing_token"),
    (401, "ambiguous_token"),
    (401, "invalid_token"),
    (401, "expired_token"),
    (401, "invalid_key"),
    (403, "forbidden"),
    (429, "rate_limited"),
];
/// Problems that every route may have.
const OF_ALL: [(u16, &str); 9] = [
    (400, "invalid_host"),
    (400, "invalid_path"),
    (404, "unknown_route"),
    (405, "method_not_allowed"),
    (414, "uri_too_long"),
    (431, "headers_too_large"),
    (500, "internal"),
    (503, "starting"),
    (503, "unavailable"),
];

pub fn routes() -> [Route; 3] {
    [
        Route::new(Method::GET, "/openapi.json", Who::Anybody, ("operation", "getDocument"), || {
            web::get().to(document)
        })
        .says("This document.")
        .answers::<Map<String, Value>>(200, "An OpenAPI 3.1 document."),
        Route::new(Method::GET, "/docs", Who::Anybody, ("operation", "getReference"), || web::get().to(page))
            .says("This document as a page for people.")
            .answers_as::<String>(200, "text/html", "A page."),
        Route::new(Method::GET, "/docs.css", Who::Anybody, ("operation", "getReferenceStyle"), || {
            web::get().to(style)
        })
        .says("How that page looks.")
        .answers_as::<String>(200, "text/css", "A style sheet."),
    ]
}

async fn document() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("application/json")
        .body(text())
}

async fn page() -> HttpResponse {
    static PAGE: OnceLock<String> = OnceLock::new();
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .insert_header((
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        ))
        .content_type("text/html; charset=utf-8")
        .body(PAGE.get_or_init(|| reference::page(&build())).as_str())
}

async fn style() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CACHE_CONTROL, "public, max-age=300"))
        .content_type("text/css; charset=utf-8")
        .body(reference::STYLE)
}

fn text() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| build().to_string())
}

/// A problem, as RFC 9457 has it.
#[derive(JsonSchema)]
#[allow(dead_code, reason = "it stands for the answer in the document")]
struct ProblemBody {
    /// `urn:bulrush:problem:` and the code.
    #[schemars(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// For people.
    detail: String,
    /// For programs; it does not change.
    code: String,
    success: bool,
    /// Each field that is wrong.
    errors: Option<Vec<FieldBody>>,
    /// The job that is not there, or whose state does not allow what was asked.
    job: Option<JobBody>,
    /// Which of several is wrong.
    item: Option<String>,
    /// The queues that there are, if the one that was asked for is not.
    queues: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "it stands for the answer in the document")]
struct FieldBody {
    field: String,
    message: String,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "it stands for the answer in the document")]
struct JobBody {
    id: String,
    status: String,
}

/// The document.
pub fn build() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut generator = settings.into_generator();
    generator.subschema_for::<ProblemBody>();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::all() {
        let operation = operation(&route, &mut generator);
        let method = route.method.as_str().to_ascii_lowercase();
        let place = paths.entry(format!("{}{}", Flavor::Versioned.prefix(), route.path));
        place.or_insert_with(|| json!({}))[method] = operation;
    }
    let components = json!({
        "schemas": generator.take_definitions(true),
        "securitySchemes": {
            "bearer": {
                "type": "http",
                "scheme": "bearer",
                "description": "A JWT, or an API key (blr_…).",
            },
        },
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "bulrush",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Background jobs over HTTP. Every address stands under /api, too, as older clients call it: there a cancelled \
                            job reads as failed. Health and metrics stand at the root, too.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    })
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = route.path_params().map(path_parameter).collect();
    parameters.extend(route.params.iter().map(|param| {
        json!({
            "name": param.name, "in": "query", "required": param.required, "description": param.text,
            "schema": param.schema,
        })
    }));
    if route.creates {
        parameters.push(json!({
            "name": "Idempotency-Key",
            "in": "header",
            "description": "The same key and body within 24 hours give the same job; another body is refused.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        }));
    }
    let mut responses: Map<String, Value> = Map::new();
    for success in &route.successes {
        // One status may come with several types of content.
        let response = responses
            .entry(success.status.to_string())
            .or_insert_with(|| json!({"description": success.text}));
        if let Some((content, schema)) = success.content {
            response["content"][content] = json!({"schema": schema(generator)});
        }
    }
    let of_callers =
        if matches!(route.who, Who::Anybody | Who::Configured) { &[][..] } else { &OF_CALLERS[..] };
    let mut by_status: std::collections::BTreeMap<u16, Vec<&str>> = std::collections::BTreeMap::new();
    for (status, code) in route.problems.iter().chain(of_callers).chain(&OF_ALL) {
        let codes = by_status.entry(*status).or_default();
        if !codes.contains(code) {
            codes.push(code);
        }
    }
    for (status, codes) in by_status {
        if let Some(response) = responses.get_mut(&status.to_string()) {
            // A route that answers with this status otherwise, too.
            response["content"]["application/problem+json"] =
                json!({"schema": {"$ref": "#/components/schemas/ProblemBody"}});
            continue;
        }
        responses.insert(
            status.to_string(),
            json!({
                "description": codes.join(", "),
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemBody"}}},
            }),
        );
    }
    let mut operation = json!({
        "operationId": route.id,
        "tags": [route.tag],
        "summary": route.summary,
        "responses": responses,
        "x-who": match route.who {
            Who::Anybody => "anybody",
            Who::Reader => "users, viewers, administrators",
            Who::Writer => "users, administrators",
            Who::Admin => "administrators",
            Who::Configured => "as configured",
        },
        "security": if matches!(route.who, Who::Anybody) { json!([]) }
            else if matches!(route.who, Who::Configured) { json!([{}, {"bearer": []}]) }
            else { json!([{"bearer": []}]) },
    });
    if !parameters.is_empty() {
        operation["parameters"] = Value::from(parameters);
    }
    if let Some(body) = &route.body {
        let schema = (body.schema)(generator);
        operation["requestBody"] =
            json!({"required": body.required, "content": {body.content: {"schema": schema}}});
    }
    operation
}

fn path_parameter(name: &str) -> Value {
    let (text, schema) = match name {
        "queue" => ("A queue's name, or an alias of it.", json!({"type": "string", "maxLength": 63})),
        _ => ("Its id, or the name that you gave it.", json!({"type": "string", "maxLength": 200})),
    };
    json!({"name": name, "in": "path", "required": true, "description": text, "schema": schema})
}
