//! Calendarific, version 2. Every key opens it but an empty one and those that start with `invalid`.

use std::collections::HashMap;

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use serde_json::{Value, json};

use super::countries::{self, Country};
use super::rule::Holiday;
use super::{YEARS, public};

pub(super) async fn holidays(query: web::Query<HashMap<String, String>>) -> HttpResponse {
    let get = |name: &str| query.get(name).map_or("", String::as_str);
    let key = get("api_key");
    if key.is_empty() || key.starts_with("invalid") {
        return failure(
            StatusCode::UNAUTHORIZED,
            "auth failed",
            "Missing or invalid api credentials. See https://calendarific.com/api for details.",
        );
    }
    let Some(year) = get("year").parse::<i16>().ok().filter(|year| YEARS.contains(year)) else {
        return failure(StatusCode::UNPROCESSABLE_ENTITY, "invalid parameter", "The year is not supported.");
    };
    let code = get("country");
    if code.len() != 2 || !code.bytes().all(|b| b.is_ascii_alphabetic()) {
        return failure(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid parameter",
            "The country is not supported.",
        );
    }
    let Some(country) = countries::find(code) else {
        return HttpResponse::Ok().json(json!({"meta": {"code": 200}, "response": []}));
    };
    let entries: Vec<Value> =
        public::holidays(country.code, year).iter().map(|holiday| entry(country, holiday)).collect();
    HttpResponse::Ok().json(json!({"meta": {"code": 200}, "response": {"holidays": entries}}))
}

fn failure(status: StatusCode, kind: &str, detail: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({
        "meta": {"code": status.as_u16(), "error_type": kind, "error_detail": detail},
        "response": [],
    }))
}

fn entry(country: &Country, holiday: &Holiday) -> Value {
    let national = holiday.regions.is_empty();
    let kind = if national { "National holiday" } else { "Local holiday" };
    let id = country.code.to_ascii_lowercase();
    let slug: String = holiday
        .name
        .to_ascii_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join("-");
    let parts: Vec<&str> =
        holiday.regions.iter().filter_map(|code| code.split_once('-')).map(|(_, part)| part).collect();
    let states: Vec<Value> = holiday
        .regions
        .iter()
        .zip(&parts)
        .enumerate()
        .map(|(index, (code, part))| {
            json!({
                "id": index + 1, "abbrev": part, "name": part, "exception": null,
                "iso": code.to_ascii_lowercase(),
            })
        })
        .collect();
    json!({
        "name": holiday.name,
        "description": format!("{} is a holiday in {}", holiday.name, country.name),
        "country": {"id": id, "name": country.name},
        "date": {
            "iso": holiday.date,
            "datetime": {
                "year": holiday.date.year(), "month": holiday.date.month(), "day": holiday.date.day(),
            },
        },
        "type": [kind],
        "primary_type": kind,
        "canonical_url": format!("https://calendarific.com/holiday/{id}/{slug}"),
        "urlid": format!("{id}/{slug}"),
        "locations": if national { "All".to_owned() } else { parts.join(", ") },
        "states": if national { json!("All") } else { json!(states) },
    })
}
