//! Files over HTTP: uploads of series (prices, demand, traffic), enrichment, and what came of it.

pub mod demand;
pub mod enrich;
pub mod features;
pub mod price_history;
pub mod property;
pub mod read;
pub mod series;
pub mod table;
pub mod traffic;
pub mod upload;

use actix_web::http::Method;
use actix_web::web;
use schemars::JsonSchema;
use serde_json::json;

use crate::http::route::{Route, Who};

pub fn routes() -> Vec<Route> {
    let day = || json!({"type": "string", "format": "date"});
    vec![
        Route::new(Method::POST, "/files", Who::Writer, ("files", "uploadFile"), || {
            web::post().to(upload::upload)
        })
        .says("Takes a series in, as CSV: a property's prices, a product's demand or a publisher's traffic.")
        .takes_as::<UploadForm>("multipart/form-data", true)
        .answers::<upload::Uploaded<'_>>(201, "It is kept.")
        .fails(400, "invalid_form")
        .fails(400, "upload_cut_off")
        .fails(413, "file_too_large")
        .fails(415, "unsupported_content")
        .fails(422, "invalid_form")
        .fails(422, "invalid_file"),
        Route::new(Method::GET, "/files/{id}", Who::Reader, ("files", "getFile"), || {
            web::get().to(read::get)
        })
        .says("What is known of a file.")
        .answers::<read::FileAnswer<'_>>(200, "The file.")
        .fails(404, "unknown_file"),
        read::files(
            Route::new(Method::GET, "/files/{id}/download", Who::Reader, ("files", "downloadFile"), || {
                web::get().to(read::download)
            })
            .says("The bytes of a file, as they came or were made.")
            .fails(404, "unknown_file")
            .fails(409, "not_ready"),
        ),
        Route::new(Method::POST, "/files/{id}/enrich", Who::Writer, ("files", "enrichFile"), || {
            web::post().to(enrich::enrich)
        })
        .says("Adds the job that gives the property of an upload weather, holidays and calendar.")
        .may_take::<EnrichBody>()
        .creates()
        .answers::<enrich::Queued>(202, "The job was added.")
        .answers::<enrich::Queued>(200, "The job was there already.")
        .fails(404, "unknown_file")
        .fails(429, "queue_full"),
        Route::new(
            Method::GET,
            "/properties/{id}/features",
            Who::Reader,
            ("properties", "getFeatures"),
            || web::get().to(features::get),
        )
        .says("What enrichment made of a property's days.")
        .param("from", day(), "The first day.")
        .param("to", day(), "The last day.")
        .param(
            "limit",
            json!({"type": "integer", "minimum": 1, "maximum": 1_000, "default": 366}),
            "Most days of one answer.",
        )
        .answers_nothing(304, "It is as the client knows it (If-None-Match).")
        .answers::<features::FeaturesAnswer>(
            200,
            "Days with their weather, holidays, calendar and observations.",
        )
        .fails(400, "invalid_query")
        .fails(404, "unknown_property")
        .fails(422, "invalid_fields"),
    ]
}

/// For the document.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase")]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct UploadForm {
    /// The CSV file.
    #[schemars(extend("format" = "binary"))]
    file: String,
    /// What it is about; a property, if it is left out.
    #[schemars(extend("enum" = ["property", "product", "publisher"]))]
    kind: Option<String>,
    /// The thing that it is about, by its id or a name of yours; a new one is made where it is left out or unknown.
    entity_id: Option<String>,
    /// The same, of a property.
    property_id: Option<String>,
    /// The same, of a product.
    product_id: Option<String>,
    /// The same, of a publisher.
    publisher_id: Option<String>,
    name: Option<String>,
    latitude: Option<String>,
    longitude: Option<String>,
    country_code: Option<String>,
    time_zone: Option<String>,
    /// Whether the job that enriches the property is kept with the file: both or neither.
    #[schemars(extend("enum" = ["true", "false"]))]
    enrich: Option<String>,
    /// What one of a product costs: a number, not below 0, as the three that follow.
    unit_cost: Option<String>,
    /// Days from an order of a product to its arrival.
    lead_time_days: Option<String>,
    /// Their standard deviation, days.
    lead_time_sd_days: Option<String>,
    /// How many of a product are there.
    on_hand: Option<String>,
}

/// What a property does not say already.
#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", deny_unknown_fields)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct EnrichBody {
    property_id: Option<String>,
    location: Option<Place>,
    country_code: Option<String>,
    calendarific_api_key: Option<String>,
}

#[derive(JsonSchema)]
#[allow(dead_code, reason = "it stands for the body in the document")]
struct Place {
    #[schemars(range(min = -90.0, max = 90.0))]
    latitude: f64,
    #[schemars(range(min = -180.0, max = 180.0))]
    longitude: f64,
}
